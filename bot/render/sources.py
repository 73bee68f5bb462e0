"""The sources of a reply, a line each: [1] How cats purr · nature.com, as links where there are links."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from bot.render.styles import link_to, style
from bot.text.names import short_name
from bot.text.numbers import duration, plural
from bot.text.sanitise import one_line
from bot.text.tool_calls import host_of, short_call
from bot.text.wrap import cut_cells

if TYPE_CHECKING:
    from bot.text.wrap import Row
    from bot.tool_use import ToolSource
    from bot.turn_result import TurnResult

MOST_SHOWN: Final = 8
"""Sources under a reply; /sources lists all."""
_LONGEST_LINK: Final = 2000
_SAFE: Final = "/:?#[]@!$&'()*+,;=%~-._"


def source_text(number: int, source: ToolSource) -> str:
    """Return a source as text, with its whole address."""
    return f"[{number}] " + " · ".join(filter(None, [one_line(source.title), one_line(source.url)]))


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
            lines.append(f"  {short_call(run.name, run.arguments)}   {facts}")
    sources = [source_text(number, source) for number, source in enumerate(result.sources, start=1)]
    return [*lines, "", *sources] if sources else lines


def source_row(number: int, source: ToolSource, width: int) -> Row | None:
    """Return a source with its title as a link, in at most `width` cells; None where there are no links."""
    host = host_of(source.url)
    url = quote(source.url, safe=_SAFE)
    link = link_to(url) if host and len(url) <= _LONGEST_LINK else None
    if link is None:
        return None
    dim, head = style("dim"), f"[{number}] "
    title = one_line(source.title) or one_line(source.url)
    end = "" if title == one_line(source.url) else f" · {host}"
    shown = cut_cells(title, max(width - len(head) - len(end), 1))
    return [(head, dim), (shown, dim + link), (end, dim)]
