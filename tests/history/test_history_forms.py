"""The forms of an export by name and by a file's ending, and found words in a search."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from rich.cells import cell_len

from bot.cli.app import run
from bot.history.documents import export_json, export_jsonl
from bot.history.exports import FORMATS, export_conversation
from bot.history.html import export_html
from bot.history.markdown import export_markdown
from bot.history.terminal import search_text
from bot.settings import paths
from bot.store import Hit, Store, StoredConversation
from bot.turn_result import TurnResult

if TYPE_CHECKING:
    from pty_window import PtyWindow

WHEN = datetime(2026, 7, 2, 9, 31, 12, 345_000, tzinfo=UTC)
CODES = re.compile(r"\x1b\[[0-9;]*m")


@pytest.fixture
def kept() -> StoredConversation:
    """A conversation with one turn in the store of the program's home."""
    with Store.open(paths.store_file()) as store:
        conversation = store.create_conversation({"preset": "fast"}, None, "Cats & dogs")
        turn = store.begin_turn(conversation.id, "Why do cats purr?")
        store.finish_turn(turn, TurnResult("done", "They **can**: <b>.", "", "judge"))
        return store.conversation(conversation.id)


def test_every_form_is_the_one_that_it_names(kept: StoredConversation) -> None:
    """`export_conversation` reads the conversation and writes it in the form asked for."""
    with Store.open(paths.store_file()) as store:
        whole = (kept, store.turns(kept.id), store.all_calls(kept.id))
        assert {name: export_conversation(store, kept, name) for name in FORMATS} == {
            "markdown": export_markdown(*whole),
            "json": export_json(*whole),
            "jsonl": export_jsonl(*whole),
            "html": export_html(*whole),
        }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options", "beginning"),
    [
        ("a.html", [], "<!doctype html>"),
        ("a.HTM", [], "<!doctype html>"),
        ("a.json", [], "{\n"),
        ("a.jsonl", [], '{"conversation_id"'),
        ("a.md", [], "# Cats & dogs"),
        ("a.txt", [], "# Cats & dogs"),
        ("a", [], "# Cats & dogs"),
        ("a.md", ["--format", "html"], "<!doctype html>"),
    ],
)
def test_the_form_follows_the_file(
    kept: StoredConversation, tmp_path: Path, name: str, options: list[str], beginning: str
) -> None:
    """`history export -o FILE` writes what FILE's ending asks for, unless --format says otherwise."""
    out = tmp_path / name
    assert run(["history", "export", kept.id, "-o", str(out), *options]) == 0
    assert out.read_text(encoding="utf-8").startswith(beginning)


def test_without_a_file_it_is_markdown(kept: StoredConversation, capsys: pytest.CaptureFixture[str]) -> None:
    """An export to stdout is Markdown unless --format says otherwise."""
    assert run(["history", "export", kept.id]) == 0
    assert capsys.readouterr().out.startswith("# Cats & dogs")
    assert run(["history", "export", kept.id, "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["id"] == kept.id


def hit(snippet: str, *words: str) -> Hit:
    marks = tuple(match.span() for match in re.finditer("|".join(map(re.escape, words)), snippet))
    return Hit("abcdef", "Cats", 2, WHEN, snippet, marks)


def found(text: str) -> list[str]:
    """What stands out in a coloured text."""
    return re.findall(r"\x1b\[1;36m(.*?)\x1b\[0m", text)


def test_found_words_stand_out() -> None:
    """With colour the found words are set off, and the text is otherwise the same."""
    hits = [hit("…they purr and purr", "purr", "they"), hit("東京 の天気", "天気"), hit("nothing")]
    coloured = search_text(hits, 80, colour=True)
    assert found(coloured) == ["they", "purr", "purr", "天気"]
    assert CODES.sub("", coloured) == search_text(hits, 80)
    assert "\x1b" not in search_text(hits, 80)
    assert search_text(hits, None, colour=True) == search_text(hits, None)


@pytest.mark.parametrize("width", range(1, 60, 4))
def test_a_cut_line_is_as_wide_with_colour(width: int) -> None:
    """Colours take no room, and none is left open where a line was cut."""
    hits = [hit("東京の天気はどうですか purr and purr again", "purr", "天気", "again")]
    coloured = search_text(hits, width, colour=True)
    assert CODES.sub("", coloured) == search_text(hits, width)
    for line in coloured.splitlines():
        assert cell_len(CODES.sub("", line)) <= width
        assert line.count("\x1b[1;36m") == line.count("\x1b[0m")


def test_nothing_but_our_codes_reaches_the_terminal() -> None:
    """Codes of a model's own go, and the words after them are still the ones that stand out."""
    snippet = "a\x1b[2Jb \x07purr\x9b31m \x1b]52;c;AAAA\x07and purr\r\n\ud800 purr \x1b["
    coloured = search_text([hit(snippet, "purr")], 80, colour=True)
    assert found(coloured) == ["purr"] * 3
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", CODES.sub("", coloured))
    assert "AAAA" not in coloured


@pytest.mark.parametrize(("variable", "coloured"), [("COLORTERM", True), ("NO_COLOR", False)])
def test_colour_on_a_terminal(
    kept: StoredConversation, terminal: Callable[..., PtyWindow], variable: str, *, coloured: bool
) -> None:
    """On a terminal a search sets off what it found, unless NO_COLOR is set."""
    with terminal("history", "search", "purr", env={variable: "1"}) as window:
        assert window.end() == 0
    assert kept.id in window.raw
    assert found(window.raw) == (["purr"] if coloured else [])
