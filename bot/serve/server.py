"""Listens, serves until a signal says stop, and then ends gracefully.

The first SIGTERM or Ctrl-C: no new requests; what is under way gets some seconds to finish, then
its stream is cut with an error. The second: cut at once. uvicorn speaks HTTP; signals, sockets and
the log are not left to it, because the program has its own way with each.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import uvicorn

from bot.app.app import App
from bot.app.turn import interrupts
from bot.errors import ExitCode, MoaError, UsageError
from bot.serve.app import make_app
from bot.serve.auth import Limits, Turns, is_loopback
from bot.serve.chat_completions import Chat
from bot.serve.served_mixtures import SERVED, Resolve, ServedMixtures

if TYPE_CHECKING:
    from typing import TextIO

    from bot.settings.settings import Settings

BACKLOG = 512
GOODBYE_SECONDS = 2.0
"""For connections to close once their turns are cut."""


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """Where to listen, and the bearer key that is asked for (None: none)."""

    host: str
    port: int
    key: str | None = field(default=None, repr=False)

    def check(self) -> None:
        """Raise UsageError when it would be open to others without a key."""
        if self.key is None and not is_loopback(self.host):
            raise UsageError(
                f"{self.host} can be reached from other computers: that needs a key.",
                hint="Put a long random one into MOA_BOT_SERVE_KEY (or into another variable that --key_env"
                " names); clients send it as their API key.",
            )

    def listen(self) -> socket.socket:
        """Return a listening socket. MoaError when there can be none."""
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(
                self.host, self.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            listening = socket.socket(family, kind, protocol)
        except OSError as error:
            raise self._cannot(error) from None
        try:
            # On Windows the option of this name would let two programs share the port.
            option = "SO_EXCLUSIVEADDRUSE" if sys.platform == "win32" else "SO_REUSEADDR"
            listening.setsockopt(socket.SOL_SOCKET, getattr(socket, option), 1)
            listening.bind(address)
            listening.listen(BACKLOG)
        except OSError as error:
            listening.close()
            raise self._cannot(error) from None
        listening.settimeout(0)
        return listening

    def url(self, port: int) -> str:
        """Return the base URL that clients are given."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104 - read, not bound
        return f"http://{f'[{host}]' if ':' in host else host}:{port}/v1"

    def _cannot(self, error: OSError) -> MoaError:
        why = error.strerror or str(error)
        return MoaError(
            f"Cannot listen at {self.host}:{self.port}: {why}.", hint="Choose another --host or --port."
        )


class _Server(uvicorn.Server):
    """uvicorn's server, without its own handling of signals; `up` is set once it serves."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to serve."""
        await super().startup(sockets)
        self.up.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone."""
        yield


async def serve(
    settings: Settings,
    resolve: Resolve,
    place: ListenAddress,
    limits: Limits,
    *,
    say: Callable[[str], None],
    verbose: TextIO | None = None,
) -> ExitCode:
    """Serve until a signal; returns when every turn is over and every worker gone.

    Raises MoaError when it cannot listen, UsageError and KeyMissingError when the mixture cannot
    run at all.
    """
    place.check()
    with place.listen() as listening:
        async with App(settings, say, verbose) as app:
            app.mixture()
            turns = Turns(limits.turns)
            service = make_app(
                Chat(ServedMixtures(app.settings, resolve), app.ask, app.log, turns, limits),
                key=place.key,
                host=place.host,
            )
            config = uvicorn.Config(
                service,
                http="h11",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=int(limits.grace + GOODBYE_SECONDS) + 1,
            )
            url = place.url(listening.getsockname()[1])
            await _until_stopped(
                _Server(config),
                listening,
                turns,
                limits.grace,
                lambda: say(f"moa-bot: serving the mixture as model {SERVED} at {url} (Ctrl-C ends it)"),
            )
    return ExitCode.DONE


async def _until_stopped(
    server: _Server, listening: socket.socket, turns: Turns, grace: float, ready: Callable[[], None]
) -> None:
    asked = asyncio.Event()
    hurry = asyncio.Event()

    def signalled() -> None:
        (hurry if asked.is_set() else asked).set()

    with interrupts(signalled):
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        await _first(serving, server.up.wait())
        if not serving.done():
            ready()
            await _first(serving, asked.wait())
        turns.close()
        server.should_exit = True
        with suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await _first(asyncio.create_task(turns.idle()), hurry.wait())
        turns.cut()
        await serving


async def _first(task: asyncio.Task[None], other: Coroutine[Any, Any, object]) -> None:
    """Wait until one of the two is over; of the task nothing is taken away."""
    waiting = asyncio.ensure_future(other)
    try:
        await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
