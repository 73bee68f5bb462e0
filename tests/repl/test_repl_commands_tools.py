"""The slash command about tools."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from chat_service import Service
from chatting import chatting, in_loop

SCRIPT = Path(__file__).parents[1] / "support" / "scripted_mcp.py"


@pytest.mark.slow
@in_loop
async def test_command_tools(service: Service, home: Path) -> None:
    """Servers with their state, tools with their permission; a server that fails says why."""
    servers = f"""
[mcp.own]
command = {json.dumps(sys.executable)}
args = [{json.dumps(str(SCRIPT))}]

[mcp.gone]
command = "no-such-command"
"""
    (home / "config.toml").write_text(servers, encoding="utf-8")
    async with chatting() as talk:
        said = await talk.enter("/tools web")
        assert "web  built in" in said
        assert "own" not in said
        said = await talk.enter("/tools")
        assert "Starting own, gone" in said
        assert "own  running, " in said
        assert "gone  failed, there is no command no-such-command" in said
        rows = {line.split()[0]: line.split()[1] for line in said.splitlines() if "." in line.split()[0]}
        assert (rows["own.echo"], rows["own.write"]) == ("read-only", "asks")
        assert "No tool" in await talk.enter("/tools nothing")
