"""What `history list`, `show` and `search` say, on terminals of any width and in pipes."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from rich.cells import cell_len

from bot.history.documents import list_json, search_json
from bot.history.terminal import list_text, search_text, show_text
from bot.store import Hit, StoredCall, StoredConversation, StoredTurn, Summary

WHEN = datetime(2026, 7, 2, 9, 31, 12, 345_000, tzinfo=UTC)
LOCAL = WHEN.astimezone().strftime("%Y-%m-%d %H:%M")
SETTINGS = {"preset": "fast", "reference_models": ["a", "b"], "rounds": 2, "aggregator": "vendor/judge"}
HOSTILE = "a\x1b[2Jb\x07 \x9b31mc\td\r\ne \x1b]52;c;AAAA\x07[bold]f[/abc]"


def conversation(title: str = "Cats", identifier: str = "abcdef") -> StoredConversation:
    return StoredConversation(identifier, title, WHEN, WHEN, SETTINGS, "Be kind.\nAlways.")


ROWS = [
    Summary(conversation("Why do cats purr?"), 3, 0.0312, 0),
    Summary(conversation("東京の天気はどうですか", "bcdefg"), 12, None, 12),
    Summary(conversation(HOSTILE, "cdefgh"), 1_000, 12.5, 2),
]

TURNS = [
    StoredTurn(
        "abcdef",
        1,
        "Why do cats purr?\nAnd dogs?",
        WHEN,
        "done",
        "# Because\n\nthey *can*.\n",
        reasoning="Let me think.",
        model="vendor/judge",
        seconds=14.9,
        first_token=11.1,
        prompt_tokens=9_000,
        completion_tokens=214,
        cost=0.0183,
        notices=("one reference was left out",),
    ),
    StoredTurn("abcdef", 2, "And this?", WHEN),
    StoredTurn("abcdef", 3, "And that?", WHEN, "failed", error="too few references: 0 of 2 answered"),
    StoredTurn("abcdef", 4, "Last", WHEN, "partial", "The beginning", error="stopped"),
]
CALLS = [
    StoredCall(1, 1, 0, "reference", "vendor/a", "together", "done", text="They\npurr.", seconds=3.6),
    StoredCall(1, 1, 1, "reference", "vendor/b", "together", "failed", "rate limited", "slow down"),
    StoredCall(1, 2, 0, "aggregator", "vendor/judge", "together", "done", text="# Because"),
]


def test_a_list_is_a_table() -> None:
    """In a wide window a list has a header, aligned columns, and nothing that a terminal obeys."""
    assert list_text(ROWS, 80).splitlines() == [
        "id      updated           turns     cost  title",
        f"abcdef  {LOCAL}      3  $0.0312  Why do cats purr?",
        f"bcdefg  {LOCAL}     12  unknown  東京の天気はどうですか",
        f"cdefgh  {LOCAL}   1000  $12.50+  ab c d e [bold]f[/abc]",
    ]


@pytest.mark.parametrize("width", range(1, 100, 3))
def test_no_line_is_wider_than_the_window(width: int) -> None:
    """At any width no line is wider than the window, wide characters included."""
    hit = Hit("abcdef", "東京の天気はどうですか" * 3, 2, WHEN, "東京の天気はどうですか" * 9, ())
    for text in (list_text(ROWS, width), search_text([hit], width)):
        assert text
        assert all(cell_len(line) <= width for line in text.splitlines())


def test_a_narrow_list_keeps_what_matters() -> None:
    """A narrow window loses cost, then turns, then the date, but never id and title."""
    assert list_text(ROWS, 50).splitlines()[0].split() == ["id", "updated", "turns", "title"]
    assert list_text(ROWS, 42).splitlines()[0].split() == ["id", "updated", "title"]
    assert list_text(ROWS, 24).splitlines()[1] == "abcdef  Why do cats pur…"


def test_a_piped_list_is_tab_separated() -> None:
    """In a pipe each conversation is a line of five fields, nothing padded or cut."""
    lines = [line.split("\t") for line in list_text(ROWS, None).splitlines()]
    assert lines == [
        ["abcdef", "2026-07-02T09:31:12.345Z", "3", "$0.0312", "Why do cats purr?"],
        ["bcdefg", "2026-07-02T09:31:12.345Z", "12", "", "東京の天気はどうですか"],
        ["cdefgh", "2026-07-02T09:31:12.345Z", "1000", "$12.50+", "ab c d e [bold]f[/abc]"],
    ]


def test_nothing_to_list() -> None:
    """An empty store lists as nothing, without a lonely header."""
    assert list_text([], 80) == list_text([], None) == search_text([], 80) == search_text([], None) == ""


def test_a_conversation_is_shown_whole() -> None:
    """A conversation reads as at the prompt, each turn with what became of it."""
    assert show_text(conversation(), TURNS, CALLS) == (
        "Cats\n"
        f"abcdef · {LOCAL} · 4 turns · preset fast · 2 reference models · 2 rounds"
        " · aggregator vendor/judge\n"
        "\n"
        "system prompt:\n"
        "    Be kind.\n"
        "    Always.\n"
        "\n"
        ">>> Why do cats purr?\n"
        "... And dogs?\n"
        "\n"
        "# Because\n"
        "\n"
        "they *can*.\n"
        "\n"
        "  one reference was left out\n"
        "  1 of 2 references in 1 round → vendor/judge · first word 11.1 s · 14.9 s · 9,214 tokens"
        " · $0.0183\n"
        "\n"
        ">>> And this?\n"
        "\n"
        "  interrupted: the program ended before the reply was there\n"
        "\n"
        ">>> And that?\n"
        "\n"
        "  failed: too few references: 0 of 2 answered\n"
        "\n"
        ">>> Last\n"
        "\n"
        "The beginning\n"
        "\n"
        "  the reply was cut off: stopped\n"
    )


def test_references_and_reasoning_are_shown_on_request() -> None:
    """Every proposal stands before the reply with its round, model and fate; thinking is apart."""
    shown = show_text(conversation(), TURNS[:1], CALLS, references=True, reasoning=True)
    assert (
        "... And dogs?\n"
        "\n"
        "  round 1: vendor/a · 3.6 s\n"
        "    They\n"
        "    purr.\n"
        "\n"
        "  round 1: vendor/b · rate limited: slow down\n"
        "\n"
        "  thinking\n"
        "    Let me think.\n"
        "\n"
        "# Because\n"
    ) in shown


def test_nothing_shown_is_obeyed_by_a_terminal() -> None:
    """Escape sequences and control characters from any field never reach the terminal."""
    hostile = StoredTurn(
        "abcdef", 1, HOSTILE, WHEN, "partial", HOSTILE, HOSTILE, HOSTILE, HOSTILE, notices=(HOSTILE,)
    )
    call = StoredCall(1, 1, 0, "reference", HOSTILE, HOSTILE, "failed", HOSTILE, HOSTILE, HOSTILE, HOSTILE)
    hit = Hit("abcdef", HOSTILE, 1, WHEN, HOSTILE)
    asker = StoredConversation("abcdef", HOSTILE, WHEN, WHEN, {"preset": HOSTILE}, HOSTILE)
    shown = show_text(asker, [hostile], [call], references=True, reasoning=True)
    for text in (shown, search_text([hit], 80), search_text([hit], None)):
        assert not [character for character in text if ord(character) < 32 and character not in "\n\t"]
        assert not set(text) & {chr(code) for code in range(0x7F, 0xA0)}
        assert "AAAA" not in text
        assert "[bold]f[/abc]" in text


def test_hits() -> None:
    """A hit is two lines on a terminal and one of five fields in a pipe."""
    hit = Hit("abcdef", "Cats", 2, WHEN, "…they purr\nand", ((6, 10),))
    assert search_text([hit], 80) == f"abcdef  {LOCAL}  turn 2  Cats\n    …they purr and\n"
    assert search_text([hit], None) == "abcdef\t2\t2026-07-02T09:31:12.345Z\tCats\t…they purr and\n"


def test_json_of_lists() -> None:
    """The JSON of a list and of a search has its documented keys."""
    assert list_json(ROWS[:1]) == [
        {
            "id": "abcdef",
            "title": "Why do cats purr?",
            "created": "2026-07-02T09:31:12.345Z",
            "updated": "2026-07-02T09:31:12.345Z",
            "turns": 3,
            "cost": 0.0312,
            "turns_of_unknown_cost": 0,
            "settings": SETTINGS,
        }
    ]
    assert search_json([Hit("abcdef", "Cats", 2, WHEN, "they purr", ((5, 9),))]) == [
        {
            "id": "abcdef",
            "title": "Cats",
            "turn": 2,
            "created": "2026-07-02T09:31:12.345Z",
            "snippet": "they purr",
            "marks": [[5, 9]],
        }
    ]
