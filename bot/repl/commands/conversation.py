"""Commands about the conversation: start, continue, undo, attach, store and export."""

from __future__ import annotations

import os
from dataclasses import replace
from inspect import cleandoc
from itertools import chain, count, groupby
from pathlib import Path
from typing import TYPE_CHECKING

from bot.app.attachments import read_file
from bot.app.editor import edit_text
from bot.errors import StoreError, UsageError
from bot.method.context import estimate_tokens
from bot.repl.command_syntax import parse_number, split_arguments
from bot.repl.commands.registry import COMMANDS, FIRST, KEYS, MAIN_KEYS, Quit, command, find_command
from bot.text.numbers import plural

if TYPE_CHECKING:
    from bot.repl.chat_context import ChatContext
    from bot.store import Store


@command("help", "?", arguments="[COMMAND|all]", completes="commands")
async def _help(chat: ChatContext, argument: str) -> None:
    """Show the main commands, all commands and keys, or what one of them does."""
    if argument == "all":
        chat.say_list(
            [(f"{entry.name} {entry.arguments}".rstrip(), entry.help) for entry in COMMANDS.values()]
        )
        chat.say("")
        chat.say_list(KEYS)
    elif argument:
        entry = find_command(argument.removeprefix("/"))
        names = ", ".join(f"/{name}" for name in entry.names)
        chat.say(f"  {names} {entry.arguments}".rstrip())
        for line in cleandoc(entry.run.__doc__ or "").splitlines():
            chat.say(f"    {line}".rstrip())
    else:
        chat.say_list([(COMMANDS[name].name, COMMANDS[name].summary) for name in FIRST])
        chat.say("")
        rest = [entry for name, entry in COMMANDS.items() if name not in {*FIRST, "help"}]
        groups = [
            (group, " ".join(entry.name for entry in entries))
            for group, entries in groupby(rest, lambda entry: entry.group)
        ]
        chat.say_list([*groups, ("Keys", MAIN_KEYS)])
        chat.say("")
        chat.say("  /help COMMAND describes a command, /help all lists all commands and keys.")


@command("exit", "quit", "bye")
async def _exit(chat: ChatContext, argument: str) -> None:  # noqa: ARG001 - every command takes one
    """Leave the chat, as Ctrl-D does."""
    raise Quit


@command("new")
async def _new(chat: ChatContext, argument: str) -> None:  # noqa: ARG001
    """Start a new conversation."""
    chat.session.clear()
    chat.app.permitted.forget()
    chat.result, chat.prompt, chat.attachments = None, "", ()
    chat.say("  A new conversation.")


@command("clear")
async def _clear(chat: ChatContext, argument: str) -> None:
    """Start a new conversation on a clear screen."""
    chat.terminal.clear()
    await _new(chat, argument)


@command("retry", arguments="[AGGREGATOR]", completes="models")
async def _retry(chat: ChatContext, argument: str) -> None:
    """Ask the last prompt again, this time with AGGREGATOR if you name one.

    The new reply replaces the earlier one, unless it fails or is stopped: then the earlier one stays.
    """
    mixture = chat.app.mixture({"aggregator": argument}) if argument else None
    await chat.ask(chat.last_prompt(), mixture=mixture, retry=chat.answered, again=True)


@command("undo")
async def _undo(chat: ChatContext, argument: str) -> None:  # noqa: ARG001
    """Remove the last prompt and its reply from the conversation."""
    attachments = chat.last_attachments()
    prompt = chat.session.undo_turn()
    if prompt is None:
        raise UsageError("There is nothing to undo.")
    chat.draft_prompt(prompt)
    chat.prompt, chat.result, chat.attachments = "", None, attachments
    chat.say("  Undone; the prompt is in the line again.")


@command("edit", arguments="[TEXT]")
async def _edit(chat: ChatContext, argument: str) -> None:
    """Write the next prompt in your editor, starting with TEXT or the last prompt."""
    with chat.terminal.released():
        text = edit_text(argument or chat.prompt)
    chat.draft_prompt(text.strip("\n") if text.strip() else "")
    chat.say("  Press Enter to ask it." if text.strip() else "  Nothing was written.")


@command("file", "attach", arguments="[PATH …]", completes="files")
async def _file(chat: ChatContext, argument: str) -> None:
    """Attach files (text, image, PDF) to the next prompt; without PATH list them; `-` clears."""
    if argument == "-":
        chat.files.clear()
    for name in split_arguments(argument) if argument != "-" else []:
        path = Path(name).expanduser()
        file = await read_file(path, path.name)
        chat.files.append(path)
        tokens = plural(file.attachment.tokens, "token")
        chat.say(f"  {path.name}: {file.size}, about {tokens}, attached to the next prompt")
    if not argument or argument == "-":
        names = ", ".join(path.name for path in chat.files)
        chat.say(f"  Attached: {names}" if names else "  Nothing is attached.")


@command("history", arguments="[N]")
async def _history(chat: ChatContext, argument: str) -> None:
    """List the latest conversations."""
    from bot.history.terminal import list_text

    limit = int(argument[:9]) if argument.isdecimal() else 0 if argument else 15
    if limit < 1:
        raise UsageError("N must be a whole number, at least 1: /history N")
    rows = _store(chat).list_conversations(limit)
    chat.say(
        list_text(rows, chat.terminal.width).rstrip("\n") if rows else "  No conversations are kept yet."
    )


@command("search", arguments="WORDS")
async def _search(chat: ChatContext, argument: str) -> None:
    """Search all stored prompts and replies."""
    from bot.history.terminal import search_text

    hits = _store(chat).search(argument)
    if not hits:
        chat.say("  Nothing found.")
        return
    colour = chat.streams.stderr_is_terminal and not (chat.settings.plain or "NO_COLOR" in os.environ)
    # It is sanitised already; its escape sequences are the search's own.
    chat.streams.say(search_text(hits, chat.terminal.width, colour=colour).rstrip("\n"))


@command("resume", arguments="[ID]", completes="conversations")
async def _resume(chat: ChatContext, argument: str) -> None:
    """Continue another conversation, with its settings; without ID, choose it from a list."""
    from bot.repl.choices import conversation_choices, which_conversation
    from bot.repl.recap import TURNS

    store = _store(chat)
    if not argument and chat.can_pick and (choices := conversation_choices(store)):
        current = chat.session.conversation_id or ""
        argument = await chat.pick(which_conversation(choices), choices, current) or ""
        if not argument:
            return
    if not argument:
        raise UsageError("Which one? /history lists them; the first letters of an ID are enough.")
    chat.app.resume(store.conversation(argument))
    chat.session = chat.app.session()
    chat.app.permitted.forget()
    chat.load_last_turn()
    if chat.streams.stderr_is_terminal:
        chat.recap(TURNS)


@command("recap", arguments="[N]")
async def _recap(chat: ChatContext, argument: str) -> None:
    """Show the last turn again in full, or the last N turns."""
    turns = chat.turns()
    if not turns:
        raise UsageError("No turn of this conversation is kept.")
    last = parse_number(argument, len(turns), "turn") if argument else 1
    chat.recap(last, folded=False)


@command("rename", arguments="TITLE")
async def _rename(chat: ChatContext, argument: str) -> None:
    """Give this conversation another title."""
    if not argument:
        raise UsageError("What should it be called? /rename TITLE")
    conversation = _store(chat).rename(_current(chat), argument)
    chat.session.conversation = conversation
    chat.say(f"  Now called: {conversation.title}")


@command("fork")
async def _fork(chat: ChatContext, argument: str) -> None:  # noqa: ARG001
    """Continue in a copy of this conversation; the original stays as it is."""
    store, identifier = _store(chat), _current(chat)
    original = store.conversation(identifier)
    turns, calls = store.turns(identifier), store.all_calls(identifier)
    copy = store.restore(replace(original, id=""), turns, calls, images_of=identifier)
    chat.session.conversation = copy
    chat.say(f"  Continuing in {copy.id}; {original.id} stays as it is.")


@command("export", arguments="[markdown|json|jsonl|html] [FILE]", completes="exports")
async def _export(chat: ChatContext, argument: str) -> None:
    """Write this conversation to a file; with `-` as FILE, show it.

    Without FILE, it is written to the current folder under its title and ID.
    """
    from bot.history.exports import FORMATS, default_name, export_conversation, format_of, named_format

    words = split_arguments(argument)
    format_name = named_format(words[0]) if words else ""
    words = words[1:] if format_name else words
    path = Path(" ".join(words)).expanduser() if words else None
    store, identifier = _store(chat), _current(chat)
    shown = words == ["-"]
    bare = words and not shown and Path(words[0]).name == words[0] and not Path(words[0]).suffix
    if bare and not format_name:
        raise UsageError(
            f"There is no format {words[0]}: use {', '.join(FORMATS)}.",
            hint=f"A file of this name is written with /export markdown {words[0]}",
        )
    format_name = format_name or format_of(None if shown else path)
    conversation = store.conversation(identifier)
    text = export_conversation(store, conversation, format_name)
    if shown:
        chat.say(text.rstrip("\n"))
        return
    if path is None:
        path = Path(default_name(conversation, format_name))
        numbered = (path.with_stem(f"{path.stem}-{number}") for number in count(2))
        path = next(file for file in chain([path], numbered) if not file.exists())
    write_file(chat, path, text)


def write_file(chat: ChatContext, path: Path, text: str) -> None:
    """Write a new file, and print its name; UsageError when it exists or cannot be written."""
    try:
        with path.open("x", encoding="utf-8", errors="replace") as file:
            file.write(text if text.endswith("\n") else text + "\n")
    except FileExistsError:
        raise UsageError(f"{path} exists already: choose another name.") from None
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from None
    chat.say(f"  Written to {path} ({_size(text)})")


def _store(chat: ChatContext) -> Store:
    if chat.app.store is None:
        raise StoreError("Nothing is kept in this chat (--no_save, or the store cannot be used).")
    return chat.app.store


def _current(chat: ChatContext) -> str:
    identifier = chat.session.conversation_id
    if identifier is None:
        raise UsageError("This conversation has not begun yet: ask something first.")
    return identifier


def _size(text: str) -> str:
    lines = text.count("\n") + (not text.endswith("\n"))
    return f"{plural(lines, 'line')}, about {plural(estimate_tokens(text), 'token')}"
