"""What MCP servers send, as the program's own values: tools, and results of calls."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

import mcp_types as types

from bot.settings.mcp_servers import McpServer
from bot.text.sanitise import one_line, sanitise
from bot.text.turn_markers import defuse
from bot.tool_use import Tool, ToolSource
from bot.tools.result import ToolError, ToolResult

MAX_SCHEMA = 50_000
"""Characters of a tool's schema; it goes into every request."""
_MAX_DESCRIPTION = 4000
_NAME = re.compile(r"[A-Za-z0-9_.\-/]{1,128}")
_SCRIPTS = re.compile(r"\s*(javascript|vbscript|data):", re.IGNORECASE)


def tool_of(server: McpServer, listed: types.Tool) -> Tool | None:
    """Return a tool that a server lists, None for one that no model could be offered."""
    schema = json.dumps(listed.input_schema, ensure_ascii=False)
    if not _NAME.fullmatch(listed.name) or len(schema) > MAX_SCHEMA:
        return None
    reads = bool(listed.annotations and listed.annotations.read_only_hint)
    return Tool(
        f"{server.name}.{listed.name}",
        defuse(sanitise(listed.description or listed.title or ""))[:_MAX_DESCRIPTION],
        # Some services write tools into the prompt as they are: no text of theirs may end a message there.
        json.loads(defuse(schema)),
        read_only=reads or any(fnmatchcase(listed.name, pattern) for pattern in server.read_only),
    )


def result_of(result: types.CallToolResult) -> ToolResult:
    """Return a call's result: its text, what else it has in a word, and its links. ToolError for an error."""
    texts: list[str] = []
    sources: list[ToolSource] = []
    size = 0
    for block in result.content:
        text, source, length = _read(block)
        texts.append(text)
        sources += [source] if source else []
        size += length
    if not texts and result.structured_content is not None:
        texts = [json.dumps(result.structured_content, ensure_ascii=False)]
        size = len(texts[0].encode())
    joined = "\n".join(texts)
    if result.is_error:
        raise ToolError(joined or "it failed")
    return ToolResult(joined, _unique(sources), size)


def _read(block: types.ContentBlock) -> tuple[str, ToolSource | None, int]:
    """Return a block as text, the link that it has, and its size in bytes."""
    match block:
        case types.TextContent():
            return block.text, None, len(block.text.encode("utf-8", "replace"))
        case types.ImageContent() | types.AudioContent():
            return f"({block.type}: {one_line(block.mime_type)})", None, len(block.data)
        case types.ResourceLink():
            title = one_line(block.title or block.name)
            return f"({title}: {one_line(block.uri)})", _source(block.uri, title), len(block.uri)
        case types.EmbeddedResource(resource=types.TextResourceContents() as content):
            return content.text, _source(content.uri, ""), len(content.text.encode("utf-8", "replace"))
        case types.EmbeddedResource(resource=types.BlobResourceContents() as content):
            kind = one_line(content.mime_type or "data")
            return f"({kind}: {one_line(content.uri)})", _source(content.uri, ""), len(content.blob)
    return "(content of another kind)", None, 0


def _source(uri: str, title: str) -> ToolSource | None:
    """Return a link, None for one that would run something."""
    address = one_line(uri)
    return None if not address or _SCRIPTS.match(address) else ToolSource(address, title)


def _unique(sources: Iterable[ToolSource]) -> tuple[ToolSource, ...]:
    return tuple(dict.fromkeys(sources))


def known_read_only(tools: Sequence[Tool], before: dict[str, bool]) -> list[Tool]:
    """Return tools that are read-only only if they were so from the first time that they were listed.

    A server that changes its list must not turn a tool that asks for permission into one that needs none.
    `before` is what each was at first, and is added to.
    """
    kept = []
    for tool in tools:
        first = before.setdefault(tool.name, tool.read_only)
        kept.append(Tool(tool.name, tool.description, tool.parameters, read_only=tool.read_only and first))
    return kept
