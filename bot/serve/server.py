"""Listens, serves until a signal, and shuts down gracefully.

After the first SIGTERM or Ctrl-C no new requests are accepted, and those in progress get some
seconds to finish; then they are cancelled and end with an error. The second signal cancels them at
once. uvicorn handles HTTP; signals, the socket and the log are handled here, because uvicorn's own
signal handlers would close streams without an error, and its log would mix with the program's.
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
from bot.app.signals import handle_signals
from bot.app.turn_budget import TurnBudget
from bot.errors import ExitCode, MoaError, UsageError
from bot.serve.app import make_app
from bot.serve.limits import Limits, Turns
from bot.serve.request_timeout import TimedProtocol
from bot.serve.served_mixtures import SERVED, Resolve, ServedMixtures
from bot.serve.turn_route import Service
from bot.settings.endpoints import is_loopback

if TYPE_CHECKING:
    from typing import TextIO

    from bot.settings.settings import Settings

BACKLOG = 512
GOODBYE_SECONDS = 2.0
"""How long connections may take to close once their turns are cancelled."""


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """Where to listen, and the bearer key that is required (None: none)."""

    host: str
    port: int
    key: str | None = field(default=None, repr=False)

    def check(self) -> None:
        """Raise UsageError for an address beyond this computer without a key."""
        if self.key is None and not is_loopback(self.host):
            raise UsageError(
                f"{self.host} can be reached from other computers: that needs a key.",
                hint="Put a long random one into MOA_BOT_SERVE_KEY (or into another variable that --key_env"
                " names); clients send it as their API key.",
            )

    def listen(self) -> socket.socket:
        """Return a listening socket. MoaError when the address cannot be used."""
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(
                self.host, self.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            listening = socket.socket(family, kind, protocol)
        except OSError as error:
            raise self._cannot(error) from None
        try:
            # On Windows SO_REUSEADDR would let two programs share the port.
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
        """Return the base URL for clients."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104 - read, not bound
        return f"http://{f'[{host}]' if ':' in host else host}:{port}/v1"

    def _cannot(self, error: OSError) -> MoaError:
        why = error.strerror or str(error)
        return MoaError(
            f"Cannot listen at {self.host}:{self.port}: {why}.", hint="Choose another --host or --port."
        )


class _Server(uvicorn.Server):
    """uvicorn's server without its signal handlers; `ready` is set once it serves."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to serve."""
        await super().startup(sockets)
        self.ready.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Install no handlers."""
        yield


async def serve(
    settings: Settings,
    resolve: Resolve,
    address: ListenAddress,
    limits: Limits,
    *,
    say: Callable[[str], None],
    verbose: TextIO | None = None,
) -> ExitCode:
    """Serve until a signal; returns when all turns and workers have ended.

    Raises MoaError when it cannot listen, UsageError and KeyMissingError when the mixture cannot run.
    """
    address.check()
    with address.listen() as listening:
        async with App(settings, say, verbose) as app:
            app.mixture()
            turns = Turns(limits.turns)
            service = Service(
                ServedMixtures(app.settings, resolve),
                app.ask,
                app.log,
                turns,
                limits,
                TurnBudget(app.settings.max_cost),
            )
            config = uvicorn.Config(
                make_app(service, key=address.key, host=address.host),
                http=TimedProtocol,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=int(limits.grace + GOODBYE_SECONDS) + 1,
            )
            url = address.url(listening.getsockname()[1])
            await _until_stopped(
                _Server(config),
                listening,
                turns,
                limits.grace,
                lambda: say(f"moa-bot: serving the mixture as model {SERVED} at {url} (Ctrl-C ends it)"),
            )
    return ExitCode.DONE


async def _until_stopped(
    server: _Server, listening: socket.socket, turns: Turns, grace: float, on_ready: Callable[[], None]
) -> None:
    stop, stop_at_once = asyncio.Event(), asyncio.Event()

    def on_signal() -> None:
        (stop_at_once if stop.is_set() else stop).set()

    with handle_signals(on_signal):
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        await _first(serving, server.ready.wait())
        if not serving.done():
            on_ready()
            await _first(serving, stop.wait())
        turns.close()
        server.should_exit = True
        with suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await _first(asyncio.create_task(turns.wait_idle()), stop_at_once.wait())
        turns.cancel_all()
        await serving


async def _first(task: asyncio.Task[None], other: Coroutine[Any, Any, object]) -> None:
    """Wait until one of the two has ended; the task's result is left to the caller."""
    waiting = asyncio.ensure_future(other)
    try:
        await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
