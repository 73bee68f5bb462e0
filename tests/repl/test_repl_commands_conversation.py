"""Slash commands about the conversation: what was said and what comes next."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from pathlib import Path

import pytest
from chat_service import Service
from chatting import Chat, chatting, in_loop
from pictures_made import picture
from services import conversation

from bot.app.app import App
from bot.repl import commands
from bot.repl.commands import COMMANDS
from bot.tool_use import ToolRun


async def identifier(talk: Chat) -> str:
    """The id of the newest conversation."""
    return (await talk.enter("/history 1")).split("\n")[-1].split()[0]


@in_loop
async def test_command_help(service: Service) -> None:
    """The page of all names every command and every key; with a name it describes that command only."""
    async with chatting(height=100) as talk:
        page = await talk.enter("/help all")
        assert all(f"  /{name} " in page or f"  /{name}\n" in page for name in COMMANDS)
        assert all(keys in page for keys, _ in commands.KEYS)
        assert max(map(len, page.split("\n"))) <= 80
        assert await talk.enter("/help retry") == (
            "  /retry [AGGREGATOR]\n"
            "    Ask the last prompt again, this time with AGGREGATOR if you name one.\n"
            "\n"
            "    The new reply replaces the earlier one, unless it fails or is stopped: then\n"
            "    the earlier one stays."
        )
        assert await talk.enter("/? /exit") == "  /exit, /quit, /bye\n    Leave the chat, as Ctrl-D does."


@in_loop
async def test_the_help_page_fits_the_window(service: Service) -> None:
    """In 80 x 24 it is there from the line that asked for it to the next prompt, every command in it."""
    async with chatting() as talk:
        await talk.enter("/help")
        rows = talk.screen.screen.display
        assert any(row.startswith(">>> /help") for row in rows)
        page = await talk.enter("/help")
        assert [row.split()[0] for row in page.split("\n")[:10]] == [f"/{name}" for name in commands.FIRST]
        assert {f"/{name}" for name in COMMANDS} == set(re.findall(r"/[a-z_]+", page))
        assert max(map(len, page.split("\n"))) <= 80


@pytest.mark.parametrize("name", ["exit", "quit", "bye"])
def test_ways_to_leave(service: Service, name: str) -> None:
    """Each of the names ends the chat."""
    in_loop(_leaves)(name)


async def _leaves(name: str) -> None:
    async with chatting() as talk:
        talk.type(f"/{name}\r")
        assert await talk.end() == 0


def test_command_exit(service: Service) -> None:
    """It ends the chat with code 0, also while text is waiting to be read."""
    in_loop(_leaves)("exit now")


@in_loop
async def test_command_new(service: Service) -> None:
    """The next prompt goes without what was said before, as a conversation of its own."""
    async with chatting() as talk:
        await talk.enter("first")
        assert await talk.enter("/new") == "  A new conversation."
        assert "new conversation" in await talk.bar()
        assert await talk.enter("/refs") == "There is no reply yet."
        assert await talk.enter("/retry") == "Nothing was asked yet."
        await talk.enter("second")
        assert conversation(service.bodies()[-1]) == ["second"]
        assert len((await talk.enter("/history")).split("\n")) == 3


@in_loop
async def test_command_clear(service: Service) -> None:
    """It begins a new conversation on an empty screen."""
    async with chatting() as talk:
        await talk.enter("first")
        await talk.enter("/clear")
        assert talk.screen.screen.display[0].startswith("  A new conversation.")
        assert "first" not in "\n".join(talk.screen.screen.display)


@in_loop
async def test_command_retry(service: Service) -> None:
    """The prompt is asked again without its first reply; another aggregator writes this one reply only."""
    service.says(other={"reply": "another reply"})
    async with chatting() as talk:
        await talk.enter("why?")
        shown = await talk.enter("/retry other")
        assert "another reply" in shown
        assert "2 models → other" in shown
        await talk.enter("and then?")
        assert conversation(service.bodies()[-1]) == ["why?", "another reply", "and then?"]


@in_loop
async def test_retry_that_fails(service: Service) -> None:
    """The earlier reply stays the last one, for the commands and the next prompt, also when resumed."""
    async with chatting() as talk:
        await talk.enter("one")
        await talk.enter("two")
        service.says(a={"failures": [{"status": 400}]}, b={"failures": [{"status": 400}]})
        shown = await talk.enter("/retry")
        assert "✗" in shown
        assert shown.endswith("  The earlier reply stays in the conversation.\n" + "─" * 72)
        assert "from a" in await talk.enter("/refs")
        assert "There is no option" not in await talk.enter("/retry nonesuch:model")
        found = await identifier(talk)
        await talk.enter("/new")
        await talk.enter(f"/resume {found}")
        service.says(judge={"reply": "another reply"})
        await talk.enter("/retry")
        await talk.enter("three")
        assert conversation(service.bodies()[-1]) == ["one", "the reply", "two", "another reply", "three"]
        await talk.enter("/undo")
        await talk.keys("\x15/undo\r")
        await talk.until(lambda: talk.screen.here == ">>> two", "the prompt in the line")


@in_loop
async def test_retry_after_a_failure(service: Service) -> None:
    """A prompt that failed is asked again, and the reply before it stays in the conversation."""
    async with chatting({"min_references": 2}) as talk:
        await talk.enter("one")
        service.says(a={"failures": [{"status": 400}]})
        assert "✗" in await talk.enter("two")
        service.says()
        assert "the reply" in await talk.enter("/retry")
        assert conversation(service.bodies()[-1]) == ["one", "the reply", "two"]


@in_loop
async def test_command_undo(service: Service) -> None:
    """Prompt and reply are out of the conversation, and the prompt stands in the line again."""
    async with chatting() as talk:
        assert await talk.enter("/undo") == "There is nothing to undo."
        await talk.enter("one")
        await talk.enter("two")
        await talk.enter("/undo")
        await talk.until(lambda: talk.screen.here == ">>> two", "the prompt in the line")
        await talk.keys("\x15three\r")
        assert conversation(service.bodies()[-1]) == ["one", "the reply", "three"]


@in_loop
async def test_undo_leaves_the_turn_before_as_the_last(service: Service) -> None:
    """What looks at the last reply looks at the one before, and nothing is left after the only one."""
    service.says(a={"replies": ["answer 1", "answer 2"]})
    async with chatting() as talk:
        await talk.enter("one")
        await talk.enter("two")
        await talk.enter("/undo")
        assert "answer 1" in await talk.keys("\x15/refs\r")
        await talk.enter("/undo")
        assert "There is no reply yet." in await talk.keys("\x15/refs\r")


@in_loop
async def test_command_edit(service: Service, editor: Path) -> None:
    """What the editor saves stands in the line; it begins with the words given, else with the last prompt."""
    async with chatting() as talk:
        said = await talk.enter("/edit some words")
        assert said == "  Press Enter to ask it.\n>>> from the editor\n... in two lines"
        await talk.shows("... in two lines")
        assert (editor / "given").read_text() == "some words"
        await talk.keys("\r")
        assert service.prompts() == ["from the editor\nin two lines"]
        (editor / "writes").write_text("\n \n")
        assert await talk.enter("/edit") == "  Nothing was written."
        assert (editor / "given").read_text() == "from the editor\nin two lines"


@in_loop
async def test_edit_without_an_editor(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """An editor that fails or does not exist is said, and nothing is asked."""
    monkeypatch.delenv("VISUAL", raising=False)
    async with chatting() as talk:
        monkeypatch.setenv("EDITOR", "no-such-editor-4711")
        assert "no-such-editor-4711 does not start" in await talk.enter("/edit x")
        monkeypatch.setenv("EDITOR", f"{sys.executable} -c 'raise SystemExit(3)'")
        assert "ended with status 3" in await talk.enter("/edit x")
        assert service.prompts() == []


@in_loop
async def test_command_file(service: Service, tmp_path: Path) -> None:
    """Attached files are named with their size and go along once; names may hold blanks."""
    (tmp_path / "my notes.txt").write_text("line 1\nline 2\n", encoding="utf-8")
    async with chatting(width=200) as talk:
        assert await talk.enter("/file") == "  Nothing is attached."
        said = await talk.enter(f"/file '{tmp_path}/my notes.txt'")
        assert said == "  my notes.txt: 2 lines, about 5 tokens, attached to the next prompt"
        assert "1 attached" in await talk.bar()
        assert await talk.enter("/attach") == "  Attached: my notes.txt"
        await talk.enter("sum up")
        await talk.enter("again")
        assert service.prompts() == ["sum up\n\nFile my notes.txt:\n```\nline 1\nline 2\n```", "again"]
        assert "No such file" in await talk.enter("/file nowhere.txt")
        await talk.enter(f"/file {tmp_path}/my\\ notes.txt")
        assert await talk.enter("/file -") == "  Nothing is attached."


@in_loop
async def test_an_attached_file_that_is_gone(service: Service, tmp_path: Path) -> None:
    """Nothing is asked, and the prompt stands in the line again."""
    (tmp_path / "notes.txt").write_text("line\n", encoding="utf-8")
    async with chatting(width=200) as talk:
        await talk.enter(f"/file {tmp_path}/notes.txt")
        (tmp_path / "notes.txt").unlink()
        assert "No such file" in await talk.enter("sum up")
        await talk.until(lambda: talk.screen.here == ">>> sum up")
        await talk.keys("\x03/file -\r")
        assert service.prompts() == []


@in_loop
async def test_files_that_a_prompt_names(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is attached is said; asked again or taken back and sent again, it is there once."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my notes.txt").write_text("line 1\n", encoding="utf-8")
    (tmp_path / "other.bin").write_bytes(b"\0")
    text = "sum up @my\\ notes.txt\n\nFile my notes.txt:\n```\nline 1\n```"
    async with chatting(width=200) as talk:
        said = await talk.enter("sum up @my\\ notes.txt")
        assert "  attached: my notes.txt (1 line, about 3 tokens)" in said
        await talk.enter("/retry")
        await talk.enter("/undo")
        await talk.keys("\r")
        await talk.until(lambda: len(service.prompts()) == 3)
        assert service.prompts() == [text] * 3
    async with chatting(width=200) as talk:
        assert "other.bin: not a text file" in await talk.enter("what is @other.bin")
        await talk.until(lambda: talk.screen.here == ">>> what is @other.bin")
        assert "not a text file" in await talk.keys("\x03/single b what is @other.bin\r")
        await talk.until(lambda: talk.screen.here == ">>> /single b what is @other.bin")
        assert len(service.prompts()) == 3


@in_loop
async def test_a_page_that_is_not_waited_for(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C ends the wait: nothing is asked, and the prompt stands in the line again."""
    fetching = asyncio.Event()

    async def fetch(app: App, url: str) -> ToolRun:
        fetching.set()
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(App, "fetch_page", fetch)
    async with chatting(width=200) as talk:
        talk.type("sum up @https://example.com\r")
        await fetching.wait()
        assert "Stopped: nothing was asked." in await talk.keys("\x03")
        await talk.until(lambda: talk.screen.here == ">>> sum up @https://example.com")
        assert service.prompts() == []


@in_loop
async def test_images_of_a_prompt(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    """Sent, retried, taken back and sent again, in a copy and in a resumed chat: once with each request."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cat.png").write_bytes(picture())
    async with chatting(width=200) as talk:
        assert "known to see images: a, b, judge" in await talk.enter("what is @cat.png")
        await talk.until(lambda: talk.screen.here == ">>> what is @cat.png")
        assert "cost unknown" not in await talk.bar()
    (home / "config.toml").write_text("[models.a]\nvision = true\n", encoding="utf-8")
    async with chatting(width=200) as talk:
        assert "cat.png: 64x48, about 8 tokens" in await talk.enter("/file cat.png")
        said = await talk.enter("what is it?")
        assert "b, judge cannot see images, and are told that there is one." in said
        await talk.enter("/retry")
        (tmp_path / "cat.png").unlink()
        await talk.enter("/undo")
        await talk.keys("\r")
        await talk.enter("/fork")
        await talk.enter("and now?")
    monkeypatch.setenv("MOA_BOT_CONTINUE", "true")
    async with chatting(width=200) as talk:
        await talk.enter("and now?")
        await talk.enter("/undo")
        await talk.keys("\x03/undo\r")
        await talk.keys("\x03/retry\r")
    asked = [
        [len(message["content"]) for message in body["messages"] if isinstance(message["content"], list)]
        for body in service.bodies("a")
    ]
    assert asked == [[2]] * 6


@in_loop
async def test_command_history(service: Service) -> None:
    """The latest conversations, the newest first, as many as were asked for."""
    async with chatting() as talk:
        assert await talk.enter("/history") == "  No conversations are kept yet."
        await talk.enter("why do cats purr?")
        await talk.enter("/new")
        await talk.enter("and dogs?")
        head, first, second = (await talk.enter("/history")).split("\n")
        assert head.split() == ["id", "updated", "turns", "cost", "title"]
        assert first.endswith("and dogs?")
        assert second.endswith("why do cats purr?")
        assert len((await talk.enter("/history 1")).split("\n")) == 2
        for wrong in ("0", "-1", "all"):
            assert "at least 1" in await talk.enter(f"/history {wrong}")


@in_loop
async def test_command_search(service: Service) -> None:
    """It finds words of prompts and replies."""
    async with chatting() as talk:
        await talk.enter("why do cats purr?")
        assert "cats purr" in await talk.enter("/search purr")
        assert "cats \x1b[1;36mpurr\x1b[0m" in talk.written
        assert await talk.enter("/search dogs") == "  Nothing found."


@in_loop
async def test_command_resume(service: Service) -> None:
    """It goes on with that conversation and its settings; a prompt left without a reply can be retried."""
    async with chatting() as talk:
        await talk.enter("/rounds 2")
        await talk.enter("why?")
        first = await identifier(talk)
        await talk.enter("/new")
        await talk.enter("/rounds 1")
        await talk.enter("another")
        resumed = (await talk.enter(f"/resume {first[:4]}")).split("\n")
        assert resumed[:2] == [f"Resumed {first}: why? (1 turn)", ">>> why?"]
        assert "judge ← 2 × 2 · why?" in await talk.bar()
        assert "from a" in await talk.enter("/refs 1")
        await talk.enter("and then?")
        assert conversation(service.bodies()[-1]) == [
            "why?",
            "the reply",
            "and then?",
        ]
        assert "no such conversation" in (await talk.enter("/resume zzzz")).lower()
    async with chatting({"plain": True}) as talk:
        assert "Which one?" in await talk.enter("/resume")


@in_loop
async def test_a_conversation_is_picked(service: Service) -> None:
    """Without ID, /resume lists conversations: typing filters, arrows move, Enter chooses, Esc leaves."""
    async with chatting() as talk:
        for prompt in ("red apples", "green pears", "green apples"):
            await talk.enter(prompt)
            await talk.enter("/new")
        talk.type("/resume\r")
        await talk.shows("▸ ")
        assert [row.split("turn")[1].strip() for row in talk.text.split("\n") if " 1 turn  " in row] == [
            "green apples",
            "green pears",
            "red apples",
        ]
        talk.type("nonesuch")
        await talk.shows("nothing matches")
        talk.type("\r\x15Apples GREEN")
        await talk.shows("1 of 3")
        talk.type("\x7f" * 6 + "\x1b[B\r")
        await talk.shows(": red apples (1 turn)")
        await talk.until(lambda: talk.screen.here == ">>>")
        assert "Which conversation?" not in talk.text
        talk.type("/resume\r")
        await talk.shows("Which conversation?")
        talk.type("\x1b")
        await talk.until(lambda: talk.screen.here == ">>>")
        assert talk.text.endswith(">>> /resume\n>>>")
        await talk.enter("and?")
        assert conversation(service.bodies()[-1])[0] == "red apples"


@in_loop
async def test_command_recap(service: Service) -> None:
    """A resumed conversation shows its last turns folded; /recap shows them in full."""
    long = "\n\n".join(f"**part** {number}" for number in range(1, 13))
    async with chatting() as talk:
        assert await talk.enter("/recap") == "No turn of this conversation is kept."
        for number in range(4):
            service.says(judge={"reply": f"reply {number}\n\n{long}"})
            await talk.enter(f"prompt {number}")
        identifier_ = await identifier(talk)
        live = (await talk.enter("/recap")).split("\n")
        assert live[:3] == [">>> prompt 3", "", "reply 3"]
        assert sum(row.startswith("part ") for row in live) == 12
        assert live[-2].startswith("  2 models → judge · first word")
        assert (await talk.enter("/recap 2")).count(">>> prompt") == 2
        assert "There are turns 1 to 4." in await talk.enter("/recap 5")
    async with chatting({"resume": identifier_}) as talk:
        rows = talk.text.split("\n")
        assert [row for row in rows if row.startswith(">>> ")] == [f">>> prompt {n}" for n in (1, 2, 3)]
        assert sum(row == "  … 24 more rows" for row in rows) == 2
        assert "  … 18 more rows · /recap" in rows
        assert sum(row.startswith("─") for row in rows) == 3
        assert rows[-1] == ">>>"
    assert f"  To continue this conversation: moa-bot --resume {identifier_}" in talk.text.split("\n")


@pytest.mark.parametrize("given", [{"save": False}, {"quiet": True}], ids=["not kept", "quiet"])
def test_nothing_to_come_back_to(service: Service, given: dict[str, object]) -> None:
    """What is not kept cannot be continued, and --quiet prints only replies; nor can an empty chat."""

    async def leave() -> None:
        async with chatting(given) as talk:
            await talk.enter("why?")
        assert "--resume" not in talk.text
        async with chatting() as talk:
            pass
        assert "--resume" not in talk.text

    in_loop(leave)()


@in_loop
async def test_command_rename(service: Service) -> None:
    """The conversation has its new title in the list and in the bar."""
    async with chatting() as talk:
        assert "has not begun" in await talk.enter("/rename Cats")
        await talk.enter("why?")
        assert await talk.enter("/rename About cats") == "  Now called: About cats"
        assert "About cats" in await talk.bar()
        assert (await talk.enter("/history")).endswith("About cats")


@in_loop
async def test_command_fork(service: Service) -> None:
    """The chat goes on in a copy; the original keeps only what it had."""
    async with chatting() as talk:
        await talk.enter("one")
        original = await identifier(talk)
        said = await talk.enter("/fork")
        assert said.endswith(f"{original} stays as it is.")
        await talk.enter("two")
        assert conversation(service.bodies()[-1]) == ["one", "the reply", "two"]
        turns = {row.split()[0]: row.split()[3] for row in (await talk.enter("/history")).split("\n")[1:]}
        assert sorted(turns.values()) == ["1", "2"]
        assert turns[original] == "1"


@in_loop
async def test_command_export(service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each form is written to a file that did not exist; `-` shows it; the file has a default name."""
    monkeypatch.chdir(tmp_path)
    async with chatting(width=200) as talk:
        assert "has not begun" in await talk.enter("/export")
        await talk.enter("why?")
        assert "## Turn 1\n\n> why?\n\nthe reply" in await talk.enter("/export -")
        assert '"turns"' in await talk.enter("/export json -")
        known = await identifier(talk)
        for typed, name in {
            "/export": f"why-{known}.md",
            "/export markdown": f"why-{known}-2.md",
            "/export MD": f"why-{known}-3.md",
            "/export json": f"why-{known}.json",
            "/export html": f"why-{known}.html",
        }.items():
            assert f"Written to {name} (" in await talk.enter(typed)
            assert (tmp_path / name).exists()
        for name in ("a.md", "a.json", "a.jsonl", "a.html"):
            assert f"Written to {tmp_path / name} (" in await talk.enter(f"/export {tmp_path / name}")
        assert (tmp_path / "a.md").read_text().startswith("# why?")
        assert json.loads((tmp_path / "a.json").read_text())
        assert [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
        assert (tmp_path / "a.html").read_text().startswith("<!doctype html>")
        assert "exists already" in await talk.enter(f"/export {tmp_path / 'a.md'}")
        await talk.enter(f"/export json {tmp_path / 'as told'}")
        assert json.loads((tmp_path / "as told").read_text())
        await talk.enter(f"/export {tmp_path / 'bare'}")
        assert (tmp_path / "bare").read_text().startswith("# why?")
        for wrong in ("pdf", "pdf a.md", "docx b", "XML", tmp_path / "a.xyz", "a.pdf"):
            assert "markdown, json, jsonl, html" in await talk.enter(f"/export {wrong}")
        assert not (tmp_path / "a.xyz").exists()
        assert not (tmp_path / "a.pdf").exists()
