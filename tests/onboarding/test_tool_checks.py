"""What doctor says of tools."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from bot.onboarding.system_checks import Check
from bot.onboarding.tool_checks import check_tools
from bot.settings.resolve import resolve

SCRIPT = Path(__file__).parents[1] / "support" / "scripted_mcp.py"


def checks(folder: Path, config: str) -> dict[str, Check]:
    """The checks by their names."""
    file = folder / "config.toml"
    file.write_text(config)
    settings = resolve({}, environ={}, config_file=file)

    async def run() -> list[Check]:
        return [check async for check in check_tools(settings)]

    return {check.name: check for check in asyncio.run(run())}


@pytest.mark.slow
def test_servers(tmp_path: Path) -> None:
    """A server that starts has its tools counted; one that does not says why, and how to see more."""
    found = checks(
        tmp_path,
        f'[mcp.own]\ncommand = "{Path(sys.executable).as_posix()}"\nargs = ["{SCRIPT.as_posix()}"]\n'
        '[mcp.gone]\ncommand = "no-such-command"\n',
    )
    assert (found["MCP server own"].status, found["MCP server own"].found) == ("fine", "12 tools")
    assert found["MCP server gone"].status == "broken"
    assert "no command no-such-command" in found["MCP server gone"].found
    assert "tools list gone --verbose" in found["MCP server gone"].advice


def test_web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which service searches, and what it lacks; a broken mcp.json is an error."""
    monkeypatch.delenv("EXA_API_KEY", raising=False)
    name = "tools of the web"
    assert "web_search by ddgs" in checks(tmp_path, '[web]\nsearch = "ddgs"\n')[name].found
    assert "EXA_API_KEY is not set" in checks(tmp_path, '[web]\nsearch = "exa"\n')[name].found
    (tmp_path / "mcp.json").write_text("{")
    found = checks(tmp_path, "")
    assert list(found) == ["tools"]
    assert "mcp.json" in found["tools"].found
