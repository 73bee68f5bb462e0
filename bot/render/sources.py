"""The sources of a reply, a line each: [1] How cats purr · nature.com, as links where there are links."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from bot.render.styles import link_to, style
from bot.text.names import short_name
from bot.text.numbers import duration, plural
from bot.text.sanitise import one_line
from bot.text.tool_calls import address_of, short_call
from bot.text.wrap import cut_cells, cut_middle

if TYPE_CHECKING:
    from bot.text.wrap import Row
    from bot.tool_use import ToolSource
    from bot.turn_result import TurnResult

MOST_SHOWN: Final = 8
"""Sources under a reply; /sources, `moa-bot trace` and --json list all."""
_LONGEST_LINK: Final = 2000
_SAFE: Final = "/:?#[]@!$&'()*+,;=%~-._"


def source_text(number: int, source: ToolSource) -> str:
    """Return a source as text, with its whole address."""
    return f"[{number}] " + " · ".join(filter(None, [one_line(source.title), one_line(source.url)]))


def sources_under(result: TurnResult, rest: str = "--json") -> tuple[list[tuple[int, ToolSource]], str]:
    """Return the sources to show under a reply, and a line about those left out, which `rest` shows."""
    sources = result.shown_sources
    more = len(sources) - MOST_SHOWN
    return sources[:MOST_SHOWN], f"and {more} more: {rest}" if more > 0 else ""


def evidence_lines(result: TurnResult) -> list[str]:
    """Return which tools ran for a turn, under each model that called some, then all numbered sources."""
    lines = []
    for call in result.calls:
        if call.tool_runs:
            where = f"round {call.slot.round}" if call.slot.role == "reference" else call.slot.role
            lines.append(f"{short_name(call.slot.agent.model)}, {where}")
        for run in call.tool_runs:
            found = plural(len(run.sources), "source") if run.sources else ""
            facts = " · ".join(filter(None, [duration(run.seconds), found, one_line(run.error)]))
            lines.append(f"  {short_call(run.name, run.arguments, in_full=True)}   {facts}")
    sources = [source_text(number, source) for number, source in enumerate(result.sources, start=1)]
    return [*lines, "", *sources] if sources else lines


def source_row(number: int, source: ToolSource, width: int) -> Row | None:
    """Return a source with its title as a link, in at most `width` cells; None where there are no links.

    After the title stands the address, so that pages of one site can be told apart.
    """
    from rich.cells import cell_len  # noqa: PLC0415 - with links only

    address = address_of(source.url)
    url = quote(source.url, safe=_SAFE)
    link = link_to(url) if address and len(url) <= _LONGEST_LINK else None
    if link is None:
        return None
    dim, head, between = style("dim"), f"[{number}] ", " · "
    title, room = one_line(source.title), max(width - len(head), 1)
    if not title or title == one_line(source.url):
        return [(head, dim), (cut_middle(address, room), dim + link)]
    room = max(room - len(between), 2)
    # Each may have half of the row, and what the other leaves.
    shown = cut_cells(title, max(room - cell_len(address), (room + 1) // 2))
    end = cut_middle(address, room - cell_len(shown))
    return [(head, dim), (shown, dim + link), (between + end, dim)]
