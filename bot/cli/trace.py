"""`moa-bot trace`: where a kept reply came from. The comparison itself is `bot.attribution`."""

from __future__ import annotations

from collections.abc import Sequence
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Annotated

import typer

from bot.app.streams import Streams
from bot.attribution.proposals import attribute_result, stored_min_references
from bot.cli.options import new_typer_app
from bot.cli.output import print_json, print_text, report_unreadable
from bot.errors import UsageError
from bot.render.attribution import attribution_json, attribution_lines, attribution_text
from bot.render.live import console_on
from bot.render.sources import evidence_lines
from bot.settings import paths
from bot.store import Store
from bot.store.results import turn_result

if TYPE_CHECKING:
    from bot.attribution.attribution import Attribution
    from bot.store import StoredTurn


typer_app = new_typer_app()


@typer_app.command()
def trace(
    ctx: typer.Context,
    *,
    identifier: Annotated[
        str | None,
        typer.Argument(
            metavar="ID",
            help="A conversation's ID or its first letters; the latest if not given.",
            show_default=False,
        ),
    ] = None,
    turn: Annotated[
        int | None,
        typer.Option(
            "--turn",
            "-t",
            min=1,
            metavar="N",
            help="The turn, counted from 1; the last with a reply if not given.",
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show how similar a reply is to each proposal, and what is in none of them."""
    streams = Streams.of_process()
    given = ctx.obj if isinstance(ctx.obj, dict) else {}
    with Store.open(paths.store_file(), report=report_unreadable) as store:
        conversation = store.latest() if identifier is None else store.conversation(identifier)
        if conversation is None:
            raise UsageError("No conversations are kept yet.")
        chosen = _chosen(store.turns(conversation.id), turn)
        calls = store.calls(chosen.id)
    result = turn_result(chosen, calls)
    attribution = attribute_result(result, stored_min_references(conversation.settings))
    if as_json or given.get("json"):
        where = {"conversation_id": chosen.conversation, "turn": chosen.number, "model": chosen.model}
        tools = [
            {
                "model": call.slot.agent.model,
                "round": call.slot.round,
                "tools": [run.as_json() for run in call.tool_runs],
            }
            for call in result.calls
            if call.tool_runs
        ]
        print_json(where | attribution_json(attribution) | {"tools": tools})
    else:
        _print(streams, attribution, plain=bool(given.get("plain")))
        if lines := evidence_lines(result):
            print_text("\n".join(["", "tools that ran", *lines]))


def _chosen(turns: Sequence[StoredTurn], number: int | None) -> StoredTurn:
    """Return that turn, or the last one with a reply; UsageError where there is none to trace."""
    replied = [turn for turn in turns if turn.reply.strip() and number in (None, turn.number)]
    if replied:
        return replied[-1]
    if number is None or any(turn.number == number for turn in turns):
        which = "This conversation" if number is None else f"Turn {number}"
        raise UsageError(f"{which} has no reply to trace.")
    raise UsageError(f"There is no turn {number}.", hint=f"The conversation has {len(turns)}.")


def _print(streams: Streams, attribution: Attribution, *, plain: bool) -> None:
    if not streams.stdout_is_terminal:
        print_text("\n".join(attribution_lines(attribution, None)))
        return
    # The window's last column stays free: some terminals wrap a line that fills it.
    width = get_terminal_size().columns - 1
    if plain:
        print_text("\n".join(attribution_lines(attribution, width)))
        return
    console_on(streams.stdout).print(attribution_text(attribution, width), soft_wrap=True)
