"""Which tools may run, and who is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from fake_tools import COMMIT, LOG, SEARCH, FakeTools

from bot.app.tool_permission import REFUSED, Decision, PermittedToolbox
from bot.tool_use import Tool, is_named


@pytest.mark.parametrize(
    ("pattern", "named"),
    [
        ("web", ["web_search"]), ("git", ["git.git_commit", "git.git_log"]), ("git.git_log", ["git.git_log"]),
        ("git.*_log", ["git.git_log"]), ("*", ["web_search", "git.git_commit", "git.git_log"]), ("gi", []),
        ("web_fetch", []), ("", []),
    ],
)  # fmt: skip
def test_patterns(pattern: str, named: list[str]) -> None:
    """A name, a server, the web, or a glob."""
    assert [tool.name for tool in (SEARCH, COMMIT, LOG) if is_named(tool.name, [pattern])] == named


@pytest.mark.parametrize("name", ["web_pages.write", "web_.x", "web.x_y"])
def test_the_web_is_no_server(name: str) -> None:
    """A server whose name begins in the same way is neither offered nor allowed with the web."""
    assert is_named(name, ["web"]) == name.startswith("web.")


@pytest.mark.parametrize(
    ("tool", "allow", "decision", "expected", "questions"),
    [
        (SEARCH, (), None, ["", ""], 0),
        (COMMIT, (), None, ["nobody", "nobody"], 0),
        (COMMIT, ("git.git_commit",), None, ["", ""], 0),
        (COMMIT, ("git.git_log",), None, ["nobody", "nobody"], 0),
        (COMMIT, (), "once", ["", ""], 2),
        (COMMIT, (), "no", [REFUSED, REFUSED], 2),
        (COMMIT, (), "conversation", ["", ""], 1),
        (COMMIT, (), "never", [REFUSED, REFUSED], 1),
    ],
)
def test_permission(
    tool: Tool, allow: tuple[str, ...], decision: Decision | None, expected: list[str], questions: int
) -> None:
    """What only reads runs; the rest by --allow or by the user's word, once or for the conversation."""
    asked: list[Mapping[str, Any]] = []

    async def ask(_: Tool, arguments: Mapping[str, Any]) -> Decision:
        asked.append(arguments)
        assert decision is not None
        return decision

    toolbox = PermittedToolbox(FakeTools, lambda: allow, ask if decision else None)

    async def work() -> list[str]:
        return list(await asyncio.gather(*(toolbox.permit(tool, {"n": number}) for number in range(2))))

    answers = asyncio.run(work())
    assert all(want in got and bool(want) == bool(got) for want, got in zip(expected, answers, strict=True))
    assert len(asked) == questions
    toolbox.forget()
    assert asyncio.run(toolbox.permit(tool, {}))[:10] == answers[0][:10]
