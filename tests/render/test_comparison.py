"""A judge's comparison: its items as they come, the line they fold into, and all of it on demand."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from rich.cells import cell_len

from bot.analysis import Analysis, ComparedAnswer, read_analysis
from bot.events import (
    AggregatorStarted,
    CallDelta,
    CallFinished,
    Compared,
    ComparisonDelta,
    JudgeStarted,
    ReplyDelta,
)
from bot.history.html import inline_to_html, markdown_to_html
from bot.messages import Agent, Completion
from bot.render.comparison import (
    comparison_lines,
    comparison_markdown,
    comparison_summary,
    comparison_text,
    newest_items,
)
from bot.render.proposals import show_proposals
from bot.render.terminal_view import TerminalView
from bot.text.sanitise import one_line
from bot.turn_result import Call, Slot

MakeScreen = Callable[..., Any]

ANSWERS = [
    ComparedAnswer(1, slot, model)
    for slot, model in enumerate(("zai/GLM-5.3", "deepseek-ai/DeepSeek-V4", "moon/Kimi-K3"))
]
FOUND = {
    "consensus": [
        {"claim": "the larynx twitches 25-150 times a second", "answers": [1, 2, 3]},
        {"claim": "cats purr in pain too", "answers": [1, 2]},
    ],
    "contradictions": [
        {
            "question": "how is it triggered?",
            "positions": [
                {"position": "a neural oscillator", "answers": [1, 3]},
                {"position": "the vocal folds alone, without nerves", "answers": [2]},
            ],
            "settled_by": "the study of excised larynges",
        }
    ],
    "unique": [{"claim": "purring near 26 Hz is linked to bone growth", "answer": 3}],
    "blind_spots": ["what it means when a cat stops purring"],
}
ANALYSIS = read_analysis(FOUND, ANSWERS)
HOSTILE = read_analysis(
    {
        "consensus": [{"claim": "\x1b[2J\x1b]0;x\x07 [bold]a[/bold] " + "wörter 漢字 " * 30, "answers": [1]}],
        "unique": [{"claim": "x\u202e" + "y" * 300, "answer": 2}],
        "contradictions": [{"question": "\x9b31m?", "positions": ["\x07a", "b\x00"]}],
        "blind_spots": ["\r\n\x1b[1A"],
    },
    [ComparedAnswer(1, slot, "m\x1b[2J" + "ä" * 60) for slot in range(3)],
)
JUDGE = Slot(2, 0, Agent("zai/GLM-5.3"), "judge")


def test_in_full() -> None:
    """Claims with a mark for each answer that makes them, then the rest, by the models' names."""
    assert comparison_lines(ANALYSIS, 80) == [
        "  agree                                            GLM-5.3  DeepSeek-V4  Kimi-K3",
        "  the larynx twitches 25-150 times a second           ●          ●          ●",
        "  cats purr in pain too                               ●          ●",
        "",
        "  differ: how is it triggered?",
        "  GLM-5.3, Kimi-K3  a neural oscillator",
        "  DeepSeek-V4       the vocal folds alone, without nerves",
        "                    would be settled by: the study of excised larynges",
        "",
        "  only Kimi-K3 says  purring near 26 Hz is linked to bone growth",
        "  nobody says        what it means when a cat stops purring",
    ]


@pytest.mark.parametrize("width", [1, 8, 20, 40, 64, 80, 200])
@pytest.mark.parametrize("analysis", [ANALYSIS, HOSTILE, Analysis()])
def test_no_line_is_wider_than_the_window(width: int, analysis: Analysis) -> None:
    """Whatever the width and the texts, and no control character is left."""
    lines = comparison_lines(analysis, width)
    assert all(cell_len(line) <= max(width, 8) for line in lines)
    assert all(line.isprintable() for line in lines)
    assert [line.rstrip() for line in str(comparison_text(analysis, width)).split("\n")] == (lines or [""])


@pytest.mark.parametrize(
    ("found", "line"),
    [
        (FOUND, "agree on 2 · differ on 1 · 1 unique · 1 blind spot"),
        ({"blind_spots": ["a", "b"]}, "2 blind spots"),
        ({"partial": [{"claim": "x", "answers": [1, 2]}]}, "1 partly covered"),
    ],
)
def test_the_line_that_it_folds_into(found: dict[str, Any], line: str) -> None:
    """Numbers of items, without the lists that are empty; no score."""
    assert comparison_summary(read_analysis(found, ANSWERS)) == line


@pytest.mark.parametrize("keep", [True, False])
def test_items_come_one_by_one_and_fold_into_a_line(make_screen: MakeScreen, keep: bool) -> None:  # noqa: FBT001 - a row of the table
    """While the judge works, what it has found stands below its name; then one line is left."""
    screen = make_screen(100, 24)
    now = [100.0]
    view = TerminalView(screen.console, screen.console, keep=keep, clock=lambda: now[0])
    view.handle_event(JudgeStarted(JUDGE, 3))
    now[0] += 1
    view.refresh()
    assert screen.rows() == ["  GLM-5.3 compares 3 answers   1.0 s"]
    view.handle_event(CallDelta(JUDGE, "{"))
    view.handle_event(ComparisonDelta(JUDGE, read_analysis({"consensus": FOUND["consensus"]}, ANSWERS)))
    now[0] += 1
    view.refresh()
    assert screen.rows() == [
        "  GLM-5.3 compares 3 answers   2.0 s",
        "    agree: the larynx twitches 25-150 times a second",
        "    agree: cats purr in pain too",
    ]
    view.handle_event(CallFinished(Call(JUDGE, Completion("{}"))))
    view.handle_event(Compared(ANALYSIS, 2.1))
    line = "  compared   agree on 2 · differ on 1 · 1 unique · 1 blind spot   2.1 s"
    assert screen.rows() == [line + "   /analysis" if keep else line]
    view.handle_event(AggregatorStarted(Slot(3, 0, Agent("q/Qwen"), "aggregator"), 3))
    view.handle_event(ReplyDelta("Yes"))
    assert screen.rows() == ([line + "   /analysis", "", "Yes"] if keep else ["Yes"])
    view.close()
    screen.assert_in_order()


def test_items_in_a_low_window(make_screen: MakeScreen) -> None:
    """More items than rows are cut, and hostile ones are harmless."""
    screen = make_screen(30, 6)
    view = TerminalView(screen.console, screen.console)
    view.handle_event(JudgeStarted(JUDGE, 3))
    many = {"blind_spots": [f"spot {number}\x1b[2J" for number in range(20)]}
    view.handle_event(ComparisonDelta(JUDGE, read_analysis(many, ANSWERS)))
    view.refresh()
    view.close()
    screen.assert_in_order()


def test_a_plain_view_has_the_line_alone(make_screen: MakeScreen) -> None:
    """Nothing is redrawn there."""
    screen = make_screen(80, 24)
    view = TerminalView(screen.console, screen.console, plain=True)
    view.handle_event(JudgeStarted(JUDGE, 3))
    view.handle_event(ComparisonDelta(JUDGE, ANALYSIS))
    view.handle_event(Compared(ANALYSIS, 2.1))
    view.close()
    assert screen.rows() == ["  compared   agree on 2 · differ on 1 · 1 unique · 1 blind spot   2.1 s"]


CLAIMS = [
    ("**25** to `150` _hertz_", "25 to 150 hertz", "<strong>25</strong> to <code>150</code> <em>hertz</em>"),
    ("2 * 3 and a_b_c and __init__", "2 * 3 and a_b_c and __init__", "2 * 3 and a_b_c and __init__"),
    ("an **end that never comes", "an **end that never comes", "an **end that never comes"),
    ("[c](https://d.example) <e> &amp; | p", "c (https://d.example) <e> & | p", None),
    (
        "[c](javascript:x) ![d](https://d.example/p.png)",
        "[c](javascript:x) d (https://d.example/p.png)",
        None,
    ),
    ("- l", "- l", "- l"),
    ("# m", "# m", "# m"),
    ("1. n", "1. n", "1. n"),
    ("> o", "> o", "&gt; o"),
    ("***", "***", "***"),
    ("```sh", "```sh", "```sh"),
    ("[x]: https://d.example", "[x]: https://d.example", "[x]: https://d.example"),
    ("`<b>` and <b>", "<b> and <b>", "<code>&lt;b&gt;</code> and &lt;b&gt;"),
    (r"\(x < y\) $z$", r"\(x < y\) $z$", r"\(x &lt; y\) $z$"),
    ("**\x1b[2J** &#27;[2J", "[2J", None),
]
"""A claim, what of it is in a line of a terminal, and what it is as HTML."""


@pytest.mark.parametrize(("claim", "shown", "html"), CLAIMS, ids=[claim for claim, _, _ in CLAIMS])
def test_inline_markdown_in_a_claim(
    make_screen: MakeScreen, claim: str, shown: str, html: str | None
) -> None:
    """It is rendered as in replies, and begins no block; plain lines have it as it is."""
    found = {
        "consensus": [{"claim": claim, "answers": [1, 2]}],
        "contradictions": [{"question": claim, "positions": [claim, "no"], "settled_by": claim}],
        "unique": [{"claim": claim, "answer": 1}],
        "blind_spots": [claim],
    }
    analysis = read_analysis(found, ANSWERS)
    lines = str(comparison_text(analysis, 200)).split("\n")
    assert sum(shown in line for line in lines) == 6
    assert all(line.isprintable() for line in lines)
    assert str(comparison_text(analysis, 200, plain=True)).split("\n") == comparison_lines(analysis, 200)
    assert sum(one_line(claim) in line for line in comparison_lines(analysis, 200)) == 6
    assert all(shown in line for line in newest_items(analysis))
    screen = make_screen(120, 60)
    call = Call(Slot(1, 0, Agent("zai/GLM-5.3")), Completion("An answer."))
    show_proposals(screen.console, [call], 1, 1, analysis=analysis)
    assert any(row.startswith(" • unique: ") and shown in row for row in screen.rows())
    if html is not None:
        assert inline_to_html(claim) == html
        assert f"<li>{html} (GLM-5.3)</li>" in items_of(analysis)
    page = inline_to_html(claim) + items_of(analysis)
    assert not re.search(r"<(?:a[^>]*javascript|img|b>|e>|h\d|hr|pre|blockquote)", page)


def items_of(analysis: Analysis) -> str:
    return markdown_to_html(comparison_markdown(analysis))


def test_a_claim_of_several_rows_keeps_its_style() -> None:
    """Emphasis that is cut at the end of a row goes on in the next."""
    text = "**" + "word " * 12 + "end** and after"
    analysis = read_analysis({"blind_spots": [text]}, ANSWERS)
    shown = comparison_text(analysis, 40)
    assert all(cell_len(line) <= 40 for line in str(shown).split("\n"))
    bold = "".join(str(shown)[span.start : span.end] for span in shown.spans if "bold" in str(span.style))
    assert bold.count("word") == 12
    assert "after" not in bold


def test_a_model_is_never_markdown() -> None:
    """Its name stands as it is beside claims that are."""
    analysis = read_analysis(
        {"unique": [{"claim": "*x*", "answer": 1}]}, [ComparedAnswer(1, 0, "m/*a*_b_`c`")]
    )
    assert "*a*_b_`c`" in str(comparison_text(analysis, 80))
    assert "<li><em>x</em> (*a*_b_`c`)</li>" in items_of(analysis)


def test_each_proposal_has_its_claims(make_screen: MakeScreen) -> None:
    """Under an answer stands what the judge found in it, as text, not as Markdown."""
    screen = make_screen(80, 60)
    calls = [Call(Slot(1, each.slot, Agent(each.model)), Completion("An answer.")) for each in ANSWERS]
    show_proposals(screen.console, calls, 1, 1, analysis=ANALYSIS)
    text = "\n".join(screen.rows())
    assert text.count("agreed: the larynx twitches 25-150 times a second") == 3
    assert text.count("disputed: a neural oscillator (how is it triggered?)") == 2
    assert text.count("unique: purring near 26 Hz is linked to bone growth") == 1
    # The answers of another round were not compared.
    others = [Call(Slot(2, 0, Agent("x/other")), Completion("An answer."))]
    show_proposals(screen.console, others, 2, 2, analysis=ANALYSIS)
    assert "\n".join(screen.rows()).count("the judge found") == 3
    screen.assert_in_order()
