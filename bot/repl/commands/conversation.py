"""Commands about the conversation: what was said, and what comes next."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bot.cli.attachments import read_text
from bot.errors import StoreError, UsageError
from bot.repl.commands import KEYS, Quit, command, find, load

if TYPE_CHECKING:
    from bot.repl.room import Room
    from bot.store import Store


@command("help", "?", arguments="[COMMAND]")
async def _help(room: Room, argument: str) -> None:
    """Show the commands and keys, or what one of them does."""
    if argument:
        entry = find(argument.removeprefix("/"))
        names = ", ".join(f"/{name}" for name in entry.names)
        room.say(f"  {names} {entry.arguments}".rstrip())
        for line in (entry.run.__doc__ or "").splitlines():
            room.say(f"    {line.strip()}")
        return
    table = load()
    left = {entry.name: f"{entry.name} {entry.arguments}".rstrip() for entry in table.values()}
    width = max(map(len, left.values()))
    for entry in table.values():
        room.say(f"  {left[entry.name]:<{width}}  {entry.help}")
    room.say("")
    for keys, what in KEYS:
        room.say(f"  {keys:<{width}}  {what}")


@command("exit", "quit", "bye")
async def _exit(room: Room, argument: str) -> None:  # noqa: ARG001 - every command takes one
    """Leave (as Ctrl-D does)."""
    raise Quit


@command("new")
async def _new(room: Room, argument: str) -> None:  # noqa: ARG001
    """Begin a new conversation."""
    room.session.clear()
    room.result, room.prompt = None, ""
    room.say("  A new conversation.")


@command("clear")
async def _clear(room: Room, argument: str) -> None:
    """Begin a new conversation on a clean screen."""
    if room.streams.stdout_is_terminal:
        from prompt_toolkit.shortcuts import clear

        clear()
    await _new(room, argument)


@command("retry", arguments="[AGGREGATOR]", completes="models")
async def _retry(room: Room, argument: str) -> None:
    """Ask the last prompt again, once with another aggregator if you name one.

    The earlier reply is taken back out of the conversation.
    """
    prompt = room.last_prompt()
    room.session.undo()
    await room.ask(prompt, aggregator=argument or None)


@command("undo")
async def _undo(room: Room, argument: str) -> None:  # noqa: ARG001
    """Take the last prompt and its reply back out of the conversation."""
    prompt = room.session.undo()
    if prompt is None:
        raise UsageError("There is nothing to take back.")
    room.draft, room.prompt, room.result = prompt, "", None
    room.say("  Taken back; the prompt is in the line again.")


@command("edit", arguments="[TEXT]")
async def _edit(room: Room, argument: str) -> None:
    """Write the next prompt in your editor, beginning with TEXT or with the last prompt."""
    from bot.repl.editor import edit

    text = edit(argument or room.prompt)
    if text.strip():
        await room.ask(text.strip("\n"))
    else:
        room.say("  Nothing was written: nothing is asked.")


@command("file", "attach", arguments="[PATH …]", completes="files")
async def _file(room: Room, argument: str) -> None:
    """Attach text files to the next prompt; alone: list them; `-` takes them off."""
    if argument == "-":
        room.files.clear()
    for name in _words(argument) if argument != "-" else []:
        path = Path(name).expanduser()
        text = read_text(path)
        room.files.append(path)
        room.say(f"  {path.name}: {_size(text)}, goes along with the next prompt")
    if not argument or argument == "-":
        names = ", ".join(path.name for path in room.files)
        room.say(f"  Attached: {names}" if names else "  Nothing is attached.")


@command("history", arguments="[N]")
async def _history(room: Room, argument: str) -> None:
    """List the latest conversations."""
    from bot.history import list_text

    limit = int(argument) if argument.isdigit() else 15
    rows = _store(room).list_conversations(limit)
    _lines(room, list_text(rows, _width(room)) if rows else "  No conversations are kept yet.")


@command("search", arguments="WORDS")
async def _search(room: Room, argument: str) -> None:
    """Search all kept prompts and replies."""
    from bot.history import search_text

    hits = _store(room).search(argument)
    _lines(room, search_text(hits, _width(room)) if hits else "  Nothing found.")


@command("resume", arguments="ID", completes="conversations")
async def _resume(room: Room, argument: str) -> None:
    """Go on with another conversation, and with its settings."""
    store = _store(room)
    if not argument:
        raise UsageError("Which one? /history lists them; the first letters of an ID are enough.")
    room.program.resume(store.conversation(argument))
    room.session = room.program.session()
    turns = store.turns(room.session.conversation_id or "")
    room.result, room.prompt = None, next((turn.prompt for turn in reversed(turns)), "")


@command("rename", arguments="TITLE")
async def _rename(room: Room, argument: str) -> None:
    """Give this conversation another title."""
    if not argument:
        raise UsageError("What should it be called? /rename TITLE")
    conversation = _store(room).rename(_current(room), argument)
    room.session.conversation = conversation
    room.say(f"  Now called: {conversation.title}")


@command("fork")
async def _fork(room: Room, argument: str) -> None:  # noqa: ARG001
    """Go on in a copy of this conversation; the original stays as it is."""
    store, identifier = _store(room), _current(room)
    original = store.conversation(identifier)
    copy = store.restore(replace(original, id=""), store.turns(identifier), store.all_calls(identifier))
    room.session.conversation = copy
    room.say(f"  {copy.id} goes on from here; {original.id} stays as it is.")


@command("export", arguments="[markdown|json|jsonl] [FILE]", completes="files")
async def _export(room: Room, argument: str) -> None:
    """Write this conversation to a file, or show it as Markdown."""
    from bot.history.exports import FORM_OF, FORMS, exported

    words = _words(argument)
    form = words.pop(0) if words and words[0] in FORMS else ""
    path = Path(words[0]).expanduser() if words else None
    form = form or FORM_OF.get(path.suffix.lower() if path else "", "markdown")
    store, identifier = _store(room), _current(room)
    text = exported(store, store.conversation(identifier), form)
    if path is None:
        _lines(room, text)
    else:
        write_file(room, path, text)


def write_file(room: Room, path: Path, text: str) -> None:
    """Write a file that does not exist yet, and say so; UsageError when it does, or cannot be written."""
    try:
        with path.open("x", encoding="utf-8", errors="replace") as file:
            file.write(text if text.endswith("\n") else text + "\n")
    except FileExistsError:
        raise UsageError(f"{path} exists already: choose another name.") from None
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from None
    room.say(f"  Written to {path} ({_size(text)})")


def _store(room: Room) -> Store:
    if room.program.store is None:
        raise StoreError("Nothing is kept in this chat (--no_save, or the store cannot be used).")
    return room.program.store


def _current(room: Room) -> str:
    identifier = room.session.conversation_id
    if identifier is None:
        raise UsageError("This conversation has not begun yet: ask something first.")
    return identifier


def _width(room: Room) -> int:
    from shutil import get_terminal_size

    return get_terminal_size().columns if room.streams.stderr_is_terminal else 80


def _lines(room: Room, text: str) -> None:
    from bot.render.sanitise import sanitise

    room.say(sanitise(text).rstrip("\n"))


def _words(argument: str) -> list[str]:
    """Cut an argument into words as a shell does; quotes that do not end are part of a name."""
    try:
        return shlex.split(argument)
    except ValueError:
        return argument.split()


def _size(text: str) -> str:
    from bot.context import estimate_tokens

    lines = text.count("\n") + (not text.endswith("\n"))
    return f"{lines:,} line{'s' * (lines != 1)}, about {estimate_tokens(text):,} tokens"
