"""MCP over a process's stdin and stdout, with limits that the SDK's own transport does not have.

ServerProcess ─► supervise_server.py ─► the server's command, in a process group of its own
     └ holds a pipe that closes when this process ends, however it dies: the whole group ends then
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.client._transport import TransportStreams
from mcp.client.stdio import StdioServerParameters, get_default_environment, stdio_client
from mcp.shared.message import SessionMessage
from mcp_types import INTERNAL_ERROR, ErrorData, JSONRPCError, jsonrpc_message_adapter

from bot.settings.mcp_servers import IN_PANEL, McpServer
from bot.text.sanitise import one_line
from bot.tools.message_lines import MessageLines, TooLong, answered_request
from bot.tools.result import ToolError

MAX_MESSAGE = 10_000_000
"""Bytes of a message; a longer one is dropped, and its request fails."""
_CHUNK = 1 << 16
_GRACE = 0.5
"""Seconds for a server to end by itself once its stdin is closed."""
_KILL_AFTER = 3.0
_LONGEST_LOG_LINE, _MAX_LOG_LINES = 300, 500

Incoming = MemoryObjectSendStream[SessionMessage | Exception]


@asynccontextmanager
async def stdio_transport(
    server: McpServer, log: Callable[[str], None], ended: Callable[[str], None]
) -> AsyncIterator[TransportStreams]:
    """Start a server and yield its streams; `ended` is called when it ends by itself.

    ToolError when it cannot be started. `log` writes a line of its stderr.
    """
    environment = {**get_default_environment(), IN_PANEL: "1", **server.env}
    command = shutil.which(server.command, path=environment.get("PATH"))
    if command is None:
        raise ToolError(f"there is no command {server.command}")
    if server.cwd and not Path(server.cwd).is_dir():  # noqa: ASYNC240 - one look at a folder, before a process starts
        raise ToolError(f"there is no folder {server.cwd}")
    if sys.platform == "win32":
        parameters = StdioServerParameters(
            command=command, args=list(server.args), env={IN_PANEL: "1", **server.env}, cwd=server.cwd or None
        )
        with Path(os.devnull).open("w", encoding="utf-8") as nowhere:  # noqa: ASYNC230 - no file on a disk
            async with stdio_client(parameters, nowhere) as streams:
                yield streams
        return
    process = await ServerProcess.start([command, *server.args], environment, server.cwd or None)
    incoming, read = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    write, outgoing = anyio.create_memory_object_stream[SessionMessage](0)

    async def read_stdout() -> None:
        async with incoming:
            await process.read_messages(incoming)
            # First the reason: requests that wait fail as soon as the stream is closed.
            ended(await process.exit_reason())

    async with anyio.create_task_group() as group:
        group.start_soon(read_stdout)
        group.start_soon(process.write_messages, outgoing)
        group.start_soon(process.log_stderr, log)
        try:
            yield read, write
        finally:
            with anyio.CancelScope(shield=True):
                await process.end()
            group.cancel_scope.cancel()


class ServerProcess:
    """A server's process group: its supervisor and the server."""

    def __init__(self, process: Process, life: int) -> None:
        self._process, self._life = process, life

    @classmethod
    async def start(cls, command: list[str], environment: dict[str, str], cwd: str | None) -> ServerProcess:
        """Start the command under its supervisor."""
        theirs, ours = os.pipe()
        supervisor = str(Path(__file__).with_name("supervise_server.py"))
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", supervisor, str(theirs), *command),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=(theirs,),
                env=environment,
                cwd=cwd,
                # Keeps the terminal's Ctrl-C away, and makes the group that ends as one.
                start_new_session=True,
            )
        except BaseException:
            os.close(ours)
            raise
        finally:
            os.close(theirs)
        return cls(process, ours)

    async def read_messages(self, incoming: Incoming) -> None:
        """Send on the messages that the server writes, until it ends or nobody wants more."""
        stdout = self._process.stdout
        lines = MessageLines(MAX_MESSAGE)
        assert stdout is not None  # noqa: S101 - a pipe was asked for
        with suppress(anyio.ClosedResourceError, anyio.BrokenResourceError):
            while chunk := await stdout.read(_CHUNK):
                for line in lines.feed(chunk):
                    if (message := _message(line)) is not None:
                        await incoming.send(message)

    async def write_messages(self, outgoing: MemoryObjectReceiveStream[SessionMessage]) -> None:
        """Write the messages that are sent to the server."""
        stdin = self._process.stdin
        assert stdin is not None  # noqa: S101 - a pipe was asked for
        # A server that ended is noticed where it is read.
        with suppress(OSError):
            async with outgoing:
                async for sent in outgoing:
                    text = sent.message.model_dump_json(by_alias=True, exclude_unset=True)
                    stdin.write(text.encode() + b"\n")
                    await stdin.drain()

    async def log_stderr(self, log: Callable[[str], None]) -> None:
        """Write what the server says on stderr to the log: so many lines, the rest is read and dropped."""
        stderr = self._process.stderr
        assert stderr is not None  # noqa: S101 - a pipe was asked for
        lines = MessageLines(_CHUNK)
        written = 0
        while chunk := await stderr.read(_CHUNK):
            for line in lines.feed(chunk):
                if isinstance(line, bytes) and written < _MAX_LOG_LINES and line.strip():
                    log(one_line(line.decode("utf-8", "replace"))[:_LONGEST_LOG_LINE])
                    written += 1

    async def exit_reason(self) -> str:
        """Return in words how the server ended; it closed its stdout."""
        with suppress(TimeoutError):
            code = await asyncio.wait_for(self._process.wait(), _GRACE)
            return f"it ended by signal {-code}" if code < 0 else f"it ended with status {code}"
        return "it closed its output"

    async def end(self) -> None:
        """End the server as the protocol wants it, and then its whole group."""
        process = self._process
        if process.stdin is not None:
            process.stdin.close()
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), _GRACE)
        os.close(self._life)
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), _KILL_AFTER)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        # A pipe full of unread messages is never at its end, and asyncio has no public way to close it.
        process._transport.close()  # type: ignore[attr-defined]  # noqa: SLF001


def _message(line: bytes | TooLong) -> SessionMessage | None:
    """Return the message of a line; None for a line that is none, such as one that a server prints.

    For an answer that is too long or cannot be read, it is an error: its request must not wait for ever.
    """
    if isinstance(line, TooLong):
        return _error(line.request, f"its answer has more than {MAX_MESSAGE:,} bytes")
    try:
        return SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False))
    except ValueError:
        is_answer = line.lstrip().startswith(b"{") and b'"jsonrpc"' in line and b'"method"' not in line
        return _error(answered_request(line), "its answer cannot be read") if is_answer else None


def _error(request: int | None, message: str) -> SessionMessage | None:
    if request is None:
        return None
    error = ErrorData(code=INTERNAL_ERROR, message=message)
    return SessionMessage(JSONRPCError(jsonrpc="2.0", id=request, error=error))
