"""Tools that models call: what one is, what a call of it came to, and what runs them.

    Toolbox.tools()  ─► the request to a model names them ─► its answer ends with calls
    Toolbox.run(...) ─► a ToolRun ─► a message of role "tool" in the next request

The method knows tools by these values alone; `bot.tools` has those that there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Final, Protocol

WEB: Final = "web"
"""The pattern of the program's own tools."""
_MAX_READ: Final = 1_000
"""Entries of a stored list that are read."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool that models may call: `name` such as "web_fetch" or "git.git_log".

    `parameters` is the JSON Schema of its arguments. A tool that is `read_only` runs without being asked for.
    """

    name: str
    description: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class ToolSource:
    """An address that a tool's result comes from, and its title ("" where it has none)."""

    url: str
    title: str = ""


@dataclass(frozen=True, slots=True)
class ToolRun:
    """A call of a tool that really ran, or was refused; `error` says why it has no result, "" where it has.

    `arguments` are those that it ran with, `text` is what the model is sent, `bytes` the result's size before
    it was cut.
    """

    name: str
    arguments: Mapping[str, Any]
    text: str = ""
    sources: tuple[ToolSource, ...] = ()
    error: str = ""
    seconds: float = 0.0
    bytes: int = 0

    def as_json(self) -> dict[str, Any]:
        """Return all but the text as plain JSON values."""
        sources = [{"url": source.url, "title": source.title} for source in self.sources]
        return {
            "name": self.name,
            "arguments": dict(self.arguments),
            "seconds": self.seconds,
            "bytes": self.bytes,
            "sources": sources,
            "error": self.error or None,
        }


def stored_runs(value: object) -> tuple[ToolRun, ...]:
    """Return the runs that `as_json` made the items of a list of; what is something else is left out."""
    items = value[:_MAX_READ] if isinstance(value, list | tuple) else ()
    return tuple(run for item in items if isinstance(item, Mapping) and (run := _stored_run(item)))


def _stored_run(item: Mapping[str, Any]) -> ToolRun | None:
    name, arguments, listed = item.get("name"), item.get("arguments"), item.get("sources")
    if not isinstance(name, str) or not isinstance(arguments, Mapping):
        return None
    seconds, size, error = item.get("seconds"), item.get("bytes"), item.get("error")
    sources = tuple(
        ToolSource(each["url"], title if isinstance(title := each.get("title"), str) else "")
        for each in (listed[:_MAX_READ] if isinstance(listed, list) else ())
        if isinstance(each, Mapping) and isinstance(each.get("url"), str)
    )
    return ToolRun(
        name,
        arguments,
        sources=sources,
        error=error if isinstance(error, str) else "",
        seconds=float(seconds) if isinstance(seconds, int | float) else 0.0,
        bytes=size if isinstance(size, int) else 0,
    )


def add_sources(numbered: list[ToolSource], runs: Iterable[ToolRun]) -> None:
    """Add to a list the addresses that these runs found and that are not in it yet."""
    known = {source.url for source in numbered}
    for source in (source for run in runs for source in run.sources):
        if source.url not in known:
            known.add(source.url)
            numbered.append(source)


def is_named(name: str, patterns: Sequence[str]) -> bool:
    """Whether one of the patterns names the tool: "web", its name, its server's, or a glob."""
    return any(
        (pattern == WEB and name.startswith("web_") and "." not in name)
        or fnmatchcase(name, pattern)
        or name.startswith(f"{pattern}.")
        for pattern in patterns
    )


class Toolbox(Protocol):
    """The tools of a program. Only cancelling raises: whatever fails is a ToolRun with an error."""

    async def tools(self, patterns: Sequence[str]) -> tuple[Tool, ...]:
        """Return the tools that the patterns name ("web", "NAME", "NAME.tool", globs)."""
        ...

    async def run(self, name: str, arguments: Mapping[str, Any]) -> ToolRun:
        """Run a tool. The permission to do so is the caller's matter."""
        ...


class PermittedTools(Toolbox, Protocol):
    """The tools that a turn may use: those of the program, and the permission to run them."""

    async def permit(self, tool: Tool, arguments: Mapping[str, Any]) -> str:
        """Return "" when the call may run, else why it may not; waits while the user is asked."""
        ...
