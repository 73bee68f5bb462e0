"""One MCP server of the program: started when it is first needed, started again once when it has ended.

    not started ─► starting ─► running ─► ended ─► (once) starting …
                       └► failed

Its session lives in a task of its own, as the SDK's must begin and end in the same task.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeVar

from bot.errors import MoaError
from bot.settings.mcp_servers import McpServer
from bot.text.sanitise import one_line
from bot.tool_use import Tool
from bot.tools.child import EXTRA
from bot.tools.result import ToolError, ToolResult

if TYPE_CHECKING:
    from mcp.client.session import ClientSession
    from pydantic import BaseModel

_Result = TypeVar("_Result", bound="BaseModel")
_STARTS = 2
_MAX_PAGES, _MAX_TOOLS = 20, 200
_CLOSE_TIMEOUT = 8.0
_LONGEST = 300  # characters of an error
_SECRET = 6  # characters from which on a configured value is kept out of messages and the log


class ServerConnection:
    """A server and the session with it. `log` writes a line to the log."""

    def __init__(self, server: McpServer, log: Callable[[str], None]) -> None:
        self.server = server
        self.error = ""
        """Why it does not run, "" while nothing is wrong."""
        self._log = log
        self._starts = 0
        self._session: ClientSession | None = None
        self._task: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()
        self._stop = asyncio.Event()
        self._listed: list[Tool] | None = None
        self._listing = asyncio.Lock()
        self._read_only: dict[str, bool] = {}
        self._secrets: list[str] = []
        self._ran = False

    @property
    def state(self) -> str:
        """Whether it runs, in a word: "running", "starting", "failed", "not started"."""
        if self._session is not None:
            return "running"
        if self._task is not None and not self._task.done():
            return "starting"
        return "failed" if self.error else "not started"

    async def tools(self) -> list[Tool]:
        """Return the server's tools, asked for again when it said that they changed. ToolError."""
        async with self._listing:
            session = await self._running()
            if self._listed is None:
                self._listed = []
                self._listed = await self._list(session)
            return self._listed

    async def call(self, name: str, arguments: Mapping[str, Any]) -> ToolResult:
        """Call a tool by its name at the server. ToolError for whatever goes wrong."""
        if not any(tool.name == f"{self.server.name}.{name}" for tool in await self.tools()):
            raise ToolError(f"{self.server.name} has no tool {name}")
        session = await self._running()
        import mcp_types as types  # noqa: PLC0415 - imported with the server's session

        from bot.tools.mcp_values import result_of  # noqa: PLC0415 - likewise

        parameters = types.CallToolRequestParams(name=name, arguments=dict(arguments))
        # Not `call_tool`, which checks the result with a schema that the server wrote.
        result = await self._send(session, types.CallToolRequest(params=parameters), types.CallToolResult)
        try:
            return result_of(result)
        except ToolError as error:
            raise ToolError(self._hide(str(error))) from None

    async def close(self) -> None:
        """End the server, and wait until it has ended."""
        self._starts = _STARTS
        self._stop.set()
        if self._task is not None:
            done, _ = await asyncio.wait([self._task], timeout=_CLOSE_TIMEOUT)
            if not done:
                self._task.cancel()
                await asyncio.wait([self._task], timeout=_CLOSE_TIMEOUT)

    async def _running(self) -> ClientSession:
        """Return the session, of a server that is started if it does not run. ToolError when it cannot be."""
        if self._task is not None and self._ready.is_set() and self._session is None:
            # It has just ended.
            await asyncio.wait([self._task])
        if self._task is None or self._task.done():
            if self._task is not None and not (self._ran and self._starts < _STARTS):
                raise self._failed()
            self._starts += 1
            self._ran, self._listed = False, None
            self._ready.clear()
            self._stop.clear()
            self._task = asyncio.create_task(self._run())
        await self._ready.wait()
        if self._session is None:
            raise self._failed()
        return self._session

    def _failed(self) -> ToolError:
        return ToolError(f"{self.server.name}: {self.error or 'it has ended'}")

    async def _run(self) -> None:
        """Start the server and hold its session until it ends or shall end."""
        try:
            if find_spec("mcp") is None:
                raise ToolError(f"MCP servers need {EXTRA}")  # noqa: TRY301 - one way for every error
            server = self.server.expanded(os.environ)
            self._secrets = _secrets(self.server.secrets(os.environ))
            # In a thread, as it takes more than a second.
            sessions = await asyncio.to_thread(import_module, "bot.tools.mcp_session")
            async with AsyncExitStack() as stack:
                async with asyncio.timeout(server.timeout):
                    opened = sessions.open_session(
                        server, self._write_log, changed=self._changed, ended=self._ended
                    )
                    session = await stack.enter_async_context(opened)
                self._session, self._ran, self.error = session, True, ""
                self._ready.set()
                await self._stop.wait()
                self._session = None
        except TimeoutError:
            self._set_error(f"it does not answer within {self.server.timeout} s")
        except Exception as error:  # noqa: BLE001 - whatever the SDK raises for what a server does
            if not self._stop.is_set():  # else it ended, and the reason is known
                self._set_error(_reason(error))
        finally:
            self._session = None
            self._ready.set()

    async def _list(self, session: ClientSession) -> list[Tool]:
        import mcp_types as types  # noqa: PLC0415 - imported with the server's session

        from bot.tools.mcp_values import known_read_only, tool_of  # noqa: PLC0415 - likewise

        found: dict[str, Tool] = {}
        cursor: str | None = None
        for _ in range(_MAX_PAGES):
            parameters = types.PaginatedRequestParams(cursor=cursor)
            page = await self._send(session, types.ListToolsRequest(params=parameters), types.ListToolsResult)
            for listed in page.tools:
                if (tool := tool_of(self.server, listed)) is not None:
                    found.setdefault(tool.name, tool)
            cursor = page.next_cursor
            if not cursor or len(found) >= _MAX_TOOLS:
                break
        return known_read_only(list(found.values())[:_MAX_TOOLS], self._read_only)

    async def _send(self, session: ClientSession, request: Any, result: type[_Result]) -> _Result:
        from mcp.shared.exceptions import MCPError  # noqa: PLC0415 - imported with the server's session

        seconds = self.server.timeout
        try:
            async with asyncio.timeout(seconds):
                return await session.send_request(request, result)
        except TimeoutError:
            raise ToolError(f"{self.server.name}: no answer within {seconds} s") from None
        except MCPError as error:
            await asyncio.sleep(0)  # a server that has just ended is known to have by now
            raise ToolError(self._hide(f"{self.server.name}: {self.error or error.message}")) from None
        except Exception as error:  # noqa: BLE001 - whatever the SDK raises for what a server sends
            raise ToolError(f"{self.server.name}: unreadable answer ({type(error).__name__})") from None

    def _changed(self) -> None:
        self._listed = None

    def _ended(self, reason: str) -> None:
        if not self._stop.is_set():
            self._set_error(reason)
            self._stop.set()

    def _set_error(self, reason: str) -> None:
        self.error = self._hide(one_line(reason))[:_LONGEST]
        self._log(f"MCP server {self.server.name} | {self.error}")

    def _write_log(self, line: str) -> None:
        self._log(f"MCP server {self.server.name} | {self._hide(line)}")

    def _hide(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text


def _secrets(values: list[str]) -> list[str]:
    """Return what of these values must not reach the log or a message, the longest first."""
    words = {word for value in values for word in (value, *value.split()) if len(word) >= _SECRET}
    return sorted(words, key=len, reverse=True)


def _reason(error: BaseException) -> str:
    """Return what an exception says, of a group its first."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    said = error.message if isinstance(error, MoaError) else str(error)
    return said or type(error).__name__
