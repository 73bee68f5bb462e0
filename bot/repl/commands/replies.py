"""Commands that look at the last reply: what each model said, where it came from, what it cost."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bot.errors import UsageError
from bot.repl.commands import command
from bot.repl.commands.conversation import write_file

if TYPE_CHECKING:
    from bot.events import Call, TurnResult
    from bot.repl.room import Room


@command("refs", "proposals", arguments="[ROUND]")
async def _refs(room: Room, argument: str) -> None:
    """Show what every reference model answered in the last round, or in another one."""
    from rich.console import Console

    from bot.render.proposals import show_proposals

    result = last_result(room)
    if not result.rounds:
        raise UsageError("No reference model was asked for this reply.")
    number = int(argument) if argument.isdigit() else len(result.rounds)
    if not 1 <= number <= len(result.rounds):
        raise UsageError(f"There are rounds 1 to {len(result.rounds)}.")
    console = Console(file=room.streams.stdout, highlight=False, markup=False, emoji=False)
    show_proposals(console, result.rounds[number - 1], number, len(result.rounds), plain=room.settings.plain)


@command("trace")
async def _trace(room: Room, argument: str) -> None:  # noqa: ARG001 - every command takes one
    """Show how like each proposal the reply is, and what none of them said."""
    from shutil import get_terminal_size

    from bot.trace import trace_of_result, trace_text

    for line in trace_text(trace_of_result(last_result(room)), get_terminal_size().columns):
        room.say(line)


@command("cost")
async def _cost(room: Room, argument: str) -> None:  # noqa: ARG001
    """Show the tokens and dollars of the last turn by model, and of this chat."""
    from bot.render import phrases

    if room.result is not None:
        result = room.result
        calls = [call for layer in result.rounds for call in layer]
        calls += [result.aggregator] if result.aggregator else []
        names = [phrases.short_name(call.seat.agent.model) for call in calls]
        width = max(map(len, names), default=0)
        for name, call in zip(names, calls, strict=True):
            where = "reply  " if call.seat.role == "aggregator" else f"round {call.seat.round}"
            room.say(f"  {where}  {name:<{width}}  {_tokens(call):>16}  {phrases.money(call.cost)}")
        room.say(f"  this turn: {phrases.money(result.cost)}")
    spent = room.spent
    unknown = f", {spent.unpriced} turns without a known price" if spent.unpriced else ""
    room.say(f"  this chat: {phrases.money(spent.dollars)}, {spent.tokens:,} tokens{unknown}")


@command("copy")
async def _copy(room: Room, argument: str) -> None:  # noqa: ARG001
    """Copy the last reply to the clipboard."""
    copy_text(room, room.last_reply())


@command("code", arguments="[N] [FILE]", completes="files")
async def _code(room: Room, argument: str) -> None:
    """List the reply's code blocks; with N: copy that one to the clipboard, or write it to FILE."""
    from bot.render import phrases
    from bot.render.sanitise import sanitise

    blocks = code_blocks(room.last_reply())
    if not blocks:
        raise UsageError("There is no code in the last reply.")
    number, _, name = argument.partition(" ")
    if not number:
        for index, (language, code) in enumerate(blocks, start=1):
            lines = phrases.plural(code.count("\n"), "line")
            room.say(f"  {index}  {phrases.one_line(language) or 'text':<10} {lines}: {_first_line(code)}")
        return
    if not number.isdigit() or not 1 <= int(number) <= len(blocks):
        raise UsageError(f"There are code blocks 1 to {len(blocks)}.")
    code = blocks[int(number) - 1][1]
    if name.strip():
        write_file(room, Path(name.strip()).expanduser(), code)
        return
    room.say(sanitise(code).rstrip("\n"))
    copy_text(room, code)


@command("save", arguments="FILE", completes="files")
async def _save(room: Room, argument: str) -> None:
    """Write the last reply to a file."""
    if not argument:
        raise UsageError("Where to? /save FILE")
    write_file(room, Path(argument).expanduser(), room.last_reply())


@command("expand")
async def _expand(room: Room, argument: str) -> None:  # noqa: ARG001
    """Show the reference models' answers as they come, or fold them again (Ctrl-O while they think)."""
    room.expanded = not room.expanded
    room.say(f"  Answers are {'shown as they come' if room.expanded else 'folded'} from now on.")


def last_result(room: Room) -> TurnResult:
    """Return the last turn, also of a conversation that was resumed; UsageError when there is none."""
    if room.result is None and room.program.store is not None and room.session.conversation_id:
        from bot.store.results import result_of

        turns = room.program.store.turns(room.session.conversation_id)
        if turns:
            room.result = result_of(turns[-1], room.program.store.calls(turns[-1].id))
    if room.result is None:
        raise UsageError("There is no reply yet.")
    return room.result


def code_blocks(text: str) -> list[tuple[str, str]]:
    """Return (language, code) of every fenced or indented code block of a Markdown text."""
    from markdown_it import MarkdownIt

    tokens = MarkdownIt("commonmark").parse(text)
    return [(token.info.strip(), token.content) for token in tokens if token.type in {"fence", "code_block"}]


def copy_text(room: Room, text: str) -> None:
    """Copy to the clipboard: the system's, else the terminal's (OSC 52, which also works over ssh)."""
    import pyperclip

    try:
        pyperclip.copy(text)
    except pyperclip.PyperclipException:
        if not room.streams.stdout_is_terminal:
            raise UsageError("There is no clipboard here.") from None
        from base64 import b64encode

        encoded = b64encode(text.encode("utf-8", "replace")).decode("ascii")
        print(f"\x1b]52;c;{encoded}\a", end="", file=sys.__stdout__, flush=True)
    room.say(f"  Copied ({len(text):,} characters).")


def _tokens(call: Call) -> str:
    usage = call.completion.usage if call.completion else None
    if usage is None or usage.completion_tokens is None:
        return "tokens unknown" if call.failure is None else str(call.failure.kind)
    return f"{usage.prompt_tokens or 0:,} + {usage.completion_tokens:,}"


def _first_line(code: str) -> str:
    from bot.render import phrases

    line = phrases.one_line(code.strip().partition("\n")[0])
    return line if len(line) <= 50 else line[:49] + "…"  # noqa: PLR2004 - a list's width
