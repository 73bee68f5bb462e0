"""Carries the messages of the MCP server: over stdin and stdout, or streamable HTTP.

On stdin and stdout nothing but the protocol may be written: while it serves, what else is written to stdout
goes to stderr. It ends when stdin does, or at a signal, as `bot.serve.server`: calls in progress get some
seconds, a second signal cancels them at once.
"""

from __future__ import annotations

import asyncio
import json
import os
import queue
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, Any

import uvicorn
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server

from bot.app.app import App
from bot.app.make_plan import mode_instructions
from bot.app.signals import handle_signals
from bot.app.turn_budget import TurnBudget
from bot.errors import ExitCode
from bot.serve.auth import AuthMiddleware
from bot.serve.limits import Limits, Turns
from bot.serve.mcp_tools import mcp_server
from bot.serve.served_mixtures import Resolve, ServedMixtures
from bot.serve.server import GOODBYE_SECONDS, ListenAddress, QuietServer, first_of, until_stopped
from bot.serve.turn_route import Service
from bot.text.sanitise import mend

if TYPE_CHECKING:
    from typing import TextIO

    from bot.settings.settings import Settings

PATH = "/mcp"


async def serve_mcp(
    settings: Settings,
    resolve: Resolve,
    address: ListenAddress | None,
    limits: Limits,
    *,
    say: Callable[[str], None],
    verbose: TextIO | None = None,
) -> ExitCode:
    """Serve at an address, or on stdin and stdout (None), until a signal or the end of stdin.

    Raises MoaError when it cannot listen, UsageError and KeyMissingError when the mixture cannot run.
    """
    if address is not None:
        address.check()
    async with AsyncExitStack() as stack:
        # Before the workers start, which inherit what stdin and stdout are.
        pipes = stack.enter_context(_own_pipes()) if address is None else None
        app = await stack.enter_async_context(App(settings, say, verbose))
        app.mixture()
        turns = Turns(limits.turns)
        service = Service(
            ServedMixtures(app.settings, resolve),
            app.ask,
            app.log,
            turns,
            limits,
            TurnBudget(app.settings.max_cost),
            tools=app.permitted,
        )
        server = mcp_server(service, mode_instructions(app.settings, "compare"))
        if address is None:
            assert pipes is not None  # noqa: S101 - there are some without an address
            await _serve_stdio(server, pipes, turns, limits)
        else:
            await _serve_http(server, address, turns, limits, say)
    return ExitCode.DONE


async def _serve_http(
    server: Server[Any], address: ListenAddress, turns: Turns, limits: Limits, say: Callable[[str], None]
) -> None:
    with address.listen() as listening:
        inner = server.streamable_http_app(
            streamable_http_path=PATH, max_request_body_size=limits.body, host=address.host
        )
        config = uvicorn.Config(
            AuthMiddleware(inner, key=address.key, host=address.host),
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=int(limits.grace + GOODBYE_SECONDS) + 1,
        )
        url = address.url(listening.getsockname()[1]).removesuffix("/v1") + PATH
        ready = f"moa-bot: serving the mixture over MCP at {url} (Ctrl-C ends it)"
        await until_stopped(QuietServer(config), listening, turns, limits.grace, lambda: say(ready))


async def _serve_stdio(server: Server[Any], pipes: tuple[int, int], turns: Turns, limits: Limits) -> None:
    stop, stop_at_once = asyncio.Event(), asyncio.Event()

    def on_signal() -> None:
        (stop_at_once if stop.is_set() else stop).set()

    with handle_signals(on_signal):
        running = asyncio.create_task(_run(server, pipes, limits.body))
        await first_of(running, stop.wait())
        turns.close()
        if not running.done():
            with suppress(TimeoutError):
                async with asyncio.timeout(limits.grace):
                    await first_of(asyncio.create_task(turns.wait_idle()), stop_at_once.wait())
        turns.cancel_all()
        with suppress(TimeoutError):
            async with asyncio.timeout(GOODBYE_SECONDS):
                await turns.wait_idle()
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def _run(server: Server[Any], pipes: tuple[int, int], longest: int) -> None:
    async with _writer(pipes[1]) as writer:
        reader: Any = _lines(pipes[0], longest)
        async with stdio_server(reader, writer) as (read_stream, write_stream):
            await server.run(read_stream, write_stream, server.create_initialization_options())


@contextmanager
def _own_pipes() -> Iterator[tuple[int, int]]:
    """Return stdin and stdout as descriptors of their own; all else reads nothing and writes stderr."""
    own = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    try:
        yield own
    finally:
        os.dup2(own[0], 0)
        os.dup2(own[1], 1)
        os.close(nothing)


async def _lines(descriptor: int, longest: int) -> AsyncIterator[str]:
    """Yield the lines of a descriptor; one of more than `longest` bytes is replaced by one that says so.

    A thread reads, which nothing waits for: no read can be interrupted everywhere.
    """
    loop, lines = asyncio.get_running_loop(), asyncio.Queue[bytes | None]()

    def put(line: bytes | None) -> None:
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(lines.put_nowait, line)

    def read() -> None:
        held = bytearray()
        with suppress(OSError):
            while data := os.read(descriptor, 65536):
                *whole, rest = data.split(b"\n")
                for line in whole:
                    put(bytes(held + line) if len(held) <= longest else b"too long")
                    held.clear()
                if len(held) <= longest:
                    held += rest
        put(None)

    threading.Thread(target=read, daemon=True).start()
    while (line := await lines.get()) is not None:
        yield _mended(line.decode("utf-8", "replace"))


def _mended(line: str) -> str:
    """Return a message whose halves of characters are U+FFFD: the SDK leaves one with such unanswered.

    JavaScript writes half an emoji as an escape, which is valid JSON.
    """
    if "\\ud" not in line.lower():
        return line
    try:
        return mend(json.dumps(json.loads(line), ensure_ascii=False))
    except (ValueError, RecursionError):
        return line


@asynccontextmanager
async def _writer(descriptor: int) -> AsyncIterator[Any]:
    """Return a file that a thread writes: a client that does not read keeps nothing from ending."""
    texts = queue.SimpleQueue[str | None]()

    def write() -> None:
        with suppress(OSError):
            while (text := texts.get()) is not None:
                data = text.encode("utf-8", "replace")
                while data:
                    data = data[os.write(descriptor, data) :]

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    try:
        yield _Writer(texts)
    finally:
        texts.put(None)
        thread.join(GOODBYE_SECONDS)


class _Writer:
    """What the SDK needs of a file."""

    def __init__(self, texts: queue.SimpleQueue[str | None]) -> None:
        self._texts = texts

    async def write(self, text: str) -> None:
        """Write a text, some time."""
        self._texts.put(text)

    async def flush(self) -> None:
        """Do nothing."""
