"""Commands that look at the last reply: what each model said, where it came from, what it cost."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bot.errors import UsageError
from bot.repl.commands import command, number, words
from bot.repl.commands.conversation import write_file

if TYPE_CHECKING:
    from bot.events import Call, TurnResult
    from bot.repl.room import Room


@command("refs", "proposals", arguments="[ROUND]")
async def _refs(room: Room, argument: str) -> None:
    """Show what every reference model answered in the last round, or in another one."""
    from bot.render.proposals import show_proposals

    result = last_result(room)
    if not result.rounds:
        raise UsageError("No reference model was asked for this reply.")
    rounds = len(result.rounds)
    which = number(argument, rounds, "round") if argument else rounds
    plain = room.settings.plain or room.terminal.bare
    show_proposals(room.console(), result.rounds[which - 1], which, rounds, plain=plain)


@command("trace")
async def _trace(room: Room, argument: str) -> None:  # noqa: ARG001 - every command takes one
    """Show how like each proposal the reply is, and what none of them said."""
    import asyncio

    from bot.trace import from_result, trace_text

    console = room.console()
    trace = await asyncio.to_thread(from_result, last_result(room), room.settings.min_references)
    console.print(trace_text(trace, console.width))


@command("cost")
async def _cost(room: Room, argument: str) -> None:  # noqa: ARG001
    """Show the tokens and dollars of the last turn by model, and of this chat."""
    from bot.render import phrases

    if room.result is not None:
        result = room.result
        calls = [call for layer in result.rounds for call in layer]
        calls += [*result.attempts, *([result.aggregator] if result.aggregator else [])]
        room.say_list([(_asked(call), f"{_tokens(call):<16}  {phrases.money(call.cost)}") for call in calls])
        room.say(f"  this turn: {phrases.money(result.cost)}")
    spent = room.spent
    known = phrases.money(spent.dollars if spent.dollars or not spent.unpriced else None)
    unknown = f" and {phrases.plural(spent.unpriced, 'turn')} of unknown cost" if spent.unpriced else ""
    room.say(
        f"  this chat: {known}{unknown if spent.dollars else ''}, {phrases.plural(spent.tokens, 'token')}"
    )


@command("copy")
async def _copy(room: Room, argument: str) -> None:  # noqa: ARG001
    """Copy the last reply to the clipboard."""
    copy_text(room, room.last_reply())


@command("code", arguments="[N] [FILE]", completes="files")
async def _code(room: Room, argument: str) -> None:
    """List the reply's code blocks; with N: copy that one, or write it to FILE."""
    from bot.render import phrases
    from bot.render.sanitise import sanitise

    blocks = code_blocks(room.last_reply())
    if not blocks:
        raise UsageError("There is no code in the last reply.")
    which, _, name = argument.partition(" ")
    if not which:
        for index, (language, code) in enumerate(blocks, start=1):
            lines = phrases.plural(code.count("\n"), "line")
            room.say(f"  {index}  {phrases.one_line(language) or 'text':<10} {lines}: {_first_line(code)}")
        return
    code = blocks[number(which, len(blocks), "code block") - 1][1]
    if name.strip():
        write_file(room, Path(" ".join(words(name))).expanduser(), code)
        return
    room.streams.say(sanitise(code).rstrip("\n"))
    copy_text(room, code)


@command("save", arguments="FILE", completes="files")
async def _save(room: Room, argument: str) -> None:
    """Write the last reply to a file."""
    if not argument:
        raise UsageError("Where to? /save FILE")
    write_file(room, Path(" ".join(words(argument))).expanduser(), room.last_reply())


@command("expand")
async def _expand(room: Room, argument: str) -> None:  # noqa: ARG001
    """Show the reference models' answers as they come, or fold them again.

    Ctrl-O does the same for one turn, while the models think.
    """
    room.expanded = not room.expanded
    room.say(f"  Answers are {'shown as they come' if room.expanded else 'folded'} from now on.")


def last_result(room: Room) -> TurnResult:
    """Return the last turn, also of a conversation that was resumed; UsageError when there is none."""
    if room.result is None and room.program.store is not None and (turns := room.turns()):
        from bot.store.results import result_of

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
        if not room.streams.stdout_is_terminal or room.terminal.bare:
            raise UsageError("There is no clipboard here.") from None
        from base64 import b64encode

        encoded = b64encode(text.encode("utf-8", "replace")).decode("ascii")
        print(f"\x1b]52;c;{encoded}\a", end="", file=room.streams.stdout, flush=True)
    room.say(f"  Copied ({len(text):,} characters).")


def _asked(call: Call) -> str:
    from bot.render import phrases

    where = "reply" if call.seat.role == "aggregator" else f"round {call.seat.round}"
    return f"{where:<7}  {phrases.short_name(call.seat.agent.model)}"


def _tokens(call: Call) -> str:
    usage = call.completion.usage if call.completion else None
    if usage is None or usage.completion_tokens is None:
        return "tokens unknown" if call.failure is None else str(call.failure.kind)
    return f"{usage.prompt_tokens or 0:,} + {usage.completion_tokens:,}"


def _first_line(code: str) -> str:
    from bot.render import phrases

    line = phrases.one_line(code.strip().partition("\n")[0])
    return line if len(line) <= 50 else line[:49] + "…"  # noqa: PLR2004 - a list's width
