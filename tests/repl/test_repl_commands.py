"""Slash commands in general: their table, help, mistakes, and what they may show."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

import pytest
from chat_service import Service
from chatting import chatting, in_loop

from bot.repl.commands import COMMANDS


def test_every_command_has_a_test() -> None:
    """The table and the tests beside this one name the same commands."""
    tests = "".join(
        file.read_text(encoding="utf-8") for file in Path(__file__).parent.glob("test_repl_commands_*.py")
    )
    assert set(re.findall(r"def test_command_(\w+)\(", tests)) == set(COMMANDS)


def test_every_command_says_what_it_does() -> None:
    """Each has a help text of one sentence, and no name stands for two commands."""
    table = COMMANDS.values()
    assert all(entry.help.endswith(".") and len(entry.help) < 90 for entry in table)
    names = [name for entry in table for name in entry.names]
    assert len(names) == len(set(names))


@in_loop
async def test_help_in_a_narrow_window(service: Service) -> None:
    """In 40 columns what a command does stands below its name, and no word is cut in two."""
    async with chatting(width=40, height=200) as talk:
        page = await talk.enter("/help all")
        assert "  /retry [AGGREGATOR]\n    Ask the last prompt again, this time\n    with AGGREGATOR" in page
        assert max(map(len, page.split("\n"))) <= 40


@pytest.mark.parametrize(
    ("typed", "near"), [("hlep", "help"), ("modle", "model"), ("reference", "references"), ("xyzzy", "")]
)
@in_loop
async def test_an_unknown_command_names_the_nearest(service: Service, typed: str, near: str) -> None:
    """It says so, names the nearest and the way to a prompt with a slash; nothing is asked."""
    async with chatting() as talk:
        said = await talk.enter(f"/{typed} x")
        assert said.startswith(
            f"There is no command /{typed}." + (f" Did you mean /{near}?" if near else "\n")
        )
        assert "//" in said
        assert service.prompts() == []


@in_loop
async def test_commands_without_a_store(service: Service) -> None:
    """Where nothing is kept, the commands that need it say why; the others work."""
    async with chatting({"save": False}, width=160) as talk:
        await talk.enter("why?")
        for line in ("/history", "/search x", "/resume x", "/rename x", "/fork", "/export"):
            assert (
                await talk.enter(line)
                == "Nothing is kept in this chat (--no_save, or the store cannot be used)."
            )
        assert "from a" in await talk.enter("/refs")
        await talk.enter("/undo")


@in_loop
async def test_what_a_title_holds_never_reaches_the_terminal(service: Service, home: Path) -> None:
    """Titles and replies of other programs' making are shown without their escape sequences."""
    async with chatting() as talk:
        await talk.enter("why?")
        with sqlite3.connect(home / "conversations.db") as database:
            database.execute("UPDATE conversations SET title = ?", ("a\x1b]0;owned\x07b\x1b[2J",))
        database.close()
        shown = await talk.enter("/history")
        assert shown.endswith("ab")
        found = shown.split("\n")[-1].split()[0]
        assert (await talk.enter(f"/resume {found}")).startswith(f"Resumed {found}: ab (1 turn)\n")
        assert "owned" not in talk.written
