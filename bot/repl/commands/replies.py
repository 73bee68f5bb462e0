"""Commands about the last reply: what each model answered, where the reply comes from, what it cost."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from textwrap import indent
from typing import TYPE_CHECKING

from bot.errors import UsageError
from bot.messages import Usage
from bot.render.sources import evidence_lines
from bot.repl.command_syntax import parse_number, split_arguments
from bot.repl.commands.conversation import write_file
from bot.repl.commands.registry import command
from bot.text.names import short_name
from bot.text.numbers import money, plural
from bot.text.sanitise import one_line, sanitise
from bot.text.table import table

if TYPE_CHECKING:
    from collections.abc import Callable

    from bot.repl.chat_context import ChatContext
    from bot.turn_result import Call, TurnResult


@command("refs", "proposals", arguments="[ROUND]")
async def _refs(chat: ChatContext, argument: str) -> None:
    """Show what every reference model answered in the last round, or in another one.

    In mode critique these are the reviews.
    """
    from bot.render.proposals import show_proposals

    result = last_result(chat)
    answers = result.rounds or result.reviews
    if not answers:
        raise UsageError("No reference model was asked for this reply.")
    rounds = len(answers)
    which = parse_number(argument, rounds, "round") if argument else rounds
    plain = chat.settings.plain or chat.terminal.is_dumb
    show_proposals(chat.console(), answers[which - 1], which, rounds, plain=plain, analysis=result.analysis)


@command("sources")
async def _sources(chat: ChatContext, argument: str) -> None:  # noqa: ARG001
    """Show which tools ran for the last reply, and all sources that they found."""
    lines = evidence_lines(last_result(chat))
    if not lines:
        raise UsageError("No tool ran for this reply.")
    chat.say(indent("\n".join(lines), "  "))


@command("diff", arguments="[N]")
async def _diff(chat: ChatContext, argument: str) -> None:
    """Show what the reply changed in its draft, or in draft N of several."""
    from bot.render.diff import diff_text

    result = last_result(chat)
    drafts = [call.answer for call in result.drafts if call.answer]
    if not drafts or not result.reply:
        raise UsageError("This reply had no draft: /set mode critique has one written and reviewed.")
    which = parse_number(argument, len(drafts), "draft") if argument else 1
    colour = chat.streams.stdout_is_terminal and not (chat.settings.plain or "NO_COLOR" in os.environ)
    shown = diff_text(drafts[which - 1], result.reply, colour=colour and not chat.terminal.is_dumb)
    if not shown:
        chat.say("  The reply is the draft as it was.")
        return
    chat.console().print(shown)


@command("analysis")
async def _analysis(chat: ChatContext, argument: str) -> None:  # noqa: ARG001 - every command takes one
    """Show how the judge compared the answers, where they agree and differ, and what none says."""
    from bot.render.comparison import comparison_text

    analysis = last_result(chat).analysis
    if analysis is None:
        raise UsageError("The answers of this reply were not compared: /set mode fusion has it done.")
    console = chat.console()
    console.print(comparison_text(analysis, console.width, plain=chat.settings.plain))


@command("trace")
async def _trace(chat: ChatContext, argument: str) -> None:  # noqa: ARG001 - every command takes one
    """Show how similar the reply is to each proposal, and what is in none of them."""
    from bot.attribution.proposals import attribute_result
    from bot.render.attribution import attribution_text

    console = chat.console()
    attribution = await asyncio.to_thread(attribute_result, last_result(chat), chat.settings.min_references)
    console.print(attribution_text(attribution, console.width))
    if lines := evidence_lines(last_result(chat)):
        chat.say(indent("\n".join(["", "tools that ran", *lines]), "  "))


@command("cost")
async def _cost(chat: ChatContext, argument: str) -> None:  # noqa: ARG001
    """Show the tokens and dollars of the last turn by model, and of this chat."""
    if (result := _find_result(chat)) is not None:
        chat.say(_cost_table(result, chat.terminal.width))
        uncached = _uncached(result, chat.app.models.cost_without_cache)
        cached = _cached(result.usage, " of the prompt tokens")
        chat.say(f"  this turn: {', '.join(filter(None, (money(result.cost), uncached, cached)))}")
    spent = chat.spent
    known = money(spent.dollars if spent.dollars or not spent.unpriced else None)
    unknown = f" and {plural(spent.unpriced, 'turn')} of unknown cost" if spent.unpriced else ""
    chat.say(f"  this chat: {known}{unknown if spent.dollars else ''}, {plural(spent.tokens, 'token')}")
    if (budget := chat.session.budget).cap is not None:
        chat.say(f"  budget: {money(budget.spent)} of {money(budget.cap)}")


@command("copy")
async def _copy(chat: ChatContext, argument: str) -> None:  # noqa: ARG001
    """Copy the last reply to the clipboard."""
    copy_text(chat, chat.last_reply())


@command("code", arguments="[N] [FILE]", completes="files")
async def _code(chat: ChatContext, argument: str) -> None:
    """List the reply's code blocks; with N, copy one, or write it to FILE."""
    # Sanitised first, as on the screen: the parser replaces some control characters by visible ones.
    blocks = code_blocks(sanitise(chat.last_reply()))
    if not blocks:
        raise UsageError("There is no code in the last reply.")
    which, _, name = argument.partition(" ")
    if not which:
        for index, (language, code) in enumerate(blocks, start=1):
            lines = plural(len(code.splitlines()), "line")
            chat.say(f"  {index}  {one_line(language) or 'text':<10} {lines}: {_first_line(code)}")
        return
    code = blocks[parse_number(which, len(blocks), "code block") - 1][1]
    if name.strip():
        write_file(chat, Path(" ".join(split_arguments(name))).expanduser(), code)
        return
    chat.streams.say(code.rstrip("\n"))
    copy_text(chat, code)


@command("save", arguments="FILE", completes="files")
async def _save(chat: ChatContext, argument: str) -> None:
    """Write the last reply to a file."""
    if not argument:
        raise UsageError("Where to? /save FILE")
    write_file(chat, Path(" ".join(split_arguments(argument))).expanduser(), sanitise(chat.last_reply()))


@command("expand")
async def _expand(chat: ChatContext, argument: str) -> None:  # noqa: ARG001
    """Show the reference models' answers as they come, or fold them again.

    Ctrl-O does the same for one turn, while the models think.
    """
    chat.expanded = not chat.expanded
    chat.say(f"  Answers are {'shown as they come' if chat.expanded else 'folded'} from now on.")


def last_result(chat: ChatContext) -> TurnResult:
    """Return the last turn, even of a resumed conversation; UsageError when there is none."""
    result = _find_result(chat)
    if result is None:
        raise UsageError("There is no reply yet.")
    return result


def _find_result(chat: ChatContext) -> TurnResult | None:
    if chat.result is None and chat.app.store is not None and (turns := chat.turns()):
        from bot.store.results import turn_result

        chat.result = turn_result(turns[-1], chat.app.store.calls(turns[-1].id))
    return chat.result


def code_blocks(text: str) -> list[tuple[str, str]]:
    """Return (language, code) of every fenced or indented code block of a Markdown text."""
    from markdown_it import MarkdownIt

    tokens = MarkdownIt("commonmark").parse(text)
    return [(token.info.strip(), token.content) for token in tokens if token.type in {"fence", "code_block"}]


def copy_text(chat: ChatContext, text: str) -> None:
    """Copy to the clipboard: the system's, else the terminal's (OSC 52, which also works over ssh).

    Without the control characters that the screen did not show: pasted into a terminal they would act.
    """
    import pyperclip

    text = sanitise(text)
    try:
        pyperclip.copy(text)
    except pyperclip.PyperclipException:
        if not chat.streams.stdout_is_terminal or chat.terminal.is_dumb:
            raise UsageError("There is no clipboard here.") from None
        from base64 import b64encode

        encoded = b64encode(text.encode("utf-8", "replace")).decode("ascii")
        print(f"\x1b]52;c;{encoded}\a", end="", file=chat.streams.stdout, flush=True)
    chat.say(f"  Copied ({len(text):,} characters).")


_WIDE = 70
"""Cells from which the headings of the table of costs are written out."""


def _cost_table(result: TurnResult, width: int) -> str:
    """Return a table of a turn's calls: tokens and dollars, and what is particular about them."""
    # The headings must leave room for the models' names.
    heads = ("prompt tokens", "answer tokens") if width >= _WIDE else ("prompt", "answer")
    columns: dict[str, list[str]] = {
        "call": [_asked(call, result) for call in result.calls],
        "model": [short_name(call.slot.agent.model) for call in result.calls],
        **{head: [] for head in heads},
        "cost": [money(call.cost) for call in result.calls],
        "": [],
    }
    for call in result.calls:
        usage = call.completion.usage if call.completion else Usage()
        columns[heads[0]].append(_count(usage.prompt_tokens))
        columns[heads[1]].append(_count(usage.completion_tokens))
        columns[""].append(str(call.failure.kind) if call.failure else _cached(usage))
    right = (*heads, "cost")
    return indent(table(columns, width - 2, flexible="model", dispensable=("",), right=right), "  ").rstrip(
        "\n"
    )


def _asked(call: Call, result: TurnResult) -> str:
    if call.slot.role == "aggregator":
        return "reply" if call == result.aggregator else "attempt"
    if call.slot.role != "reference":
        return call.slot.role
    return f"round {call.slot.round}"


def _count(tokens: int | None) -> str:
    return "unknown" if tokens is None else f"{tokens:,}"


def _cached(usage: Usage, what: str = "") -> str:
    """Return the share of the prompt tokens that were cached, "" where none is reported."""
    if not usage.cached_tokens or not usage.prompt_tokens:
        return ""
    return f"{usage.cached_tokens / usage.prompt_tokens:.0%}{what} cached"


def _uncached(result: TurnResult, cost_without_cache: Callable[[Call], float | None]) -> str:
    """Return what a turn would have cost without the cache, "" where that is not known or the same."""
    costs = [cost_without_cache(call) for call in result.calls]
    known = [cost for cost in costs if cost is not None]
    if result.cost is None or len(known) < len(costs):
        return ""
    shown = money(sum(known))
    return "" if shown == money(result.cost) else f"{shown} without the cache"


def _first_line(code: str) -> str:
    line = one_line(code.strip().partition("\n")[0])
    return line if len(line) <= 50 else line[:49] + "…"  # noqa: PLR2004 - a list's width
