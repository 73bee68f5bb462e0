"""What really ran for an answer, as its readers see it: tool calls with the numbers of their sources.

An answer that claims a look-up which is not among them has no evidence beside it; the instruction
(`config/tools.md`) says what that means.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from bot.method.prompts import Evidence
from bot.method.turn_context import TurnContext
from bot.tool_use import ToolRun, ToolSource
from bot.turn_result import Call

MAX_RUNS = 30
"""Tool calls of one answer that are listed."""
MAX_SOURCES = 100
_ARGUMENTS, _TITLE, _URL, _ERROR = 200, 120, 300, 120  # characters
NOTHING_RAN = "No tool ran for this answer."


def source_lines(sources: Iterable[ToolSource], numbered: Sequence[ToolSource]) -> list[str]:
    """Return a line for each source that has a number: "[2] title · address"."""
    numbers = {source.url: number for number, source in enumerate(numbered, start=1)}
    return [
        f"[{numbers[source.url]}] "
        + " · ".join(filter(None, [_line(source.title, _TITLE), _line(source.url, _URL)]))
        for source in {source.url: source for source in sources}.values()
        if source.url in numbers
    ]


def evidence_of(context: TurnContext, calls: Sequence[Call]) -> Evidence | None:
    """Return what is shown beside the answers of these calls, None in a turn without tools."""
    if not (context.plan.uses_tools or any(call.tool_runs for call in calls)):
        return None
    numbers = {source.url: number for number, source in enumerate(context.sources, start=1)}
    sources = source_lines(context.sources[:MAX_SOURCES], context.sources)
    return Evidence(tuple(_runs(call.tool_runs, numbers) for call in calls), "\n".join(sources))


def _runs(runs: Sequence[ToolRun], numbers: dict[str, int]) -> str:
    lines = []
    for run in runs[:MAX_RUNS]:
        arguments = _line(json.dumps(dict(run.arguments), ensure_ascii=False), _ARGUMENTS)
        if run.error:
            came = f"did not run, or failed: {_line(run.error, _ERROR)}"
        else:
            found = dict.fromkeys(numbers[source.url] for source in run.sources if source.url in numbers)
            came = " ".join(["ran", *(f"[{number}]" for number in found)])
        lines.append(f"- {_line(run.name, _TITLE)} {arguments}: {came}")
    if len(runs) > MAX_RUNS:
        lines.append(f"- and {len(runs) - MAX_RUNS} more")
    return "\n".join(lines) or NOTHING_RAN


def _line(text: str, longest: int) -> str:
    """Return a text on one line, cut to so many characters."""
    line = " ".join(text[: longest * 4].split())
    return line if len(line) <= longest else line[: longest - 1] + "…"
