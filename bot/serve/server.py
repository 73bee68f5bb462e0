"""Listens, serves until a signal, and shuts down gracefully.

After the first SIGTERM or Ctrl-C no new requests are accepted, and those in progress get some
seconds to finish; then they are cancelled and end with an error. The second signal cancels them at
once. uvicorn handles HTTP; signals, the socket and the log are handled here, because uvicorn's own
signal handlers would close streams without an error, and its log would mix with the program's.
"""

from __future__ import annotations

import asyncio
import re
import socket
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import closing, contextmanager, suppress
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
from bot.settings import paths
from bot.settings.endpoints import is_loopback
from bot.store.responses import ResponseStore

if TYPE_CHECKING:
    from typing import TextIO

    from bot.settings.settings import Settings

BACKLOG = 512
_ORIGIN = re.compile(r"\*|[a-z][a-z0-9+.-]*://[^/\s?#@]+")
GOODBYE_SECONDS = 2.0
"""How long connections may take to close once their turns are cancelled."""


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """Where to listen, and the bearer key that is required (None: none).

    Pages from the origins in `cors` may use the service in a browser.
    """

    host: str
    port: int
    key: str | None = field(default=None, repr=False)
    cors: tuple[str, ...] = ()

    def check(self) -> None:
        """Raise UsageError for an address beyond this computer, or for all pages, without a key."""
        for origin in self.cors:
            if not _ORIGIN.fullmatch(origin):
                raise UsageError(
                    f"--cors {origin}: this is not an origin.",
                    hint="Write it as https://example.com:8080, or *.",
                )
        if self.key is None and "*" in self.cors:
            raise UsageError(
                "--cors '*' lets every page that is open in a browser here ask: that needs a key.",
                hint="Name the page's origin, or put a long random key into MOA_BOT_SERVE_KEY.",
            )
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


class QuietServer(uvicorn.Server):
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
    keep_responses: bool = True,
) -> ExitCode:
    """Serve until a signal; returns when all turns and workers have ended.

    `keep_responses`: responses of /v1/responses can be stored.
    Raises MoaError when it cannot listen, UsageError and KeyMissingError when the mixture cannot run.
    """
    address.check()
    with address.listen() as listening:
        async with App(settings, say, verbose) as app:
            app.mixture()
            turns = Turns(limits.turns)
            responses = ResponseStore(paths.responses_file() if keep_responses else None)
            service = Service(
                ServedMixtures(app.settings, resolve),
                app.ask,
                app.log,
                turns,
                limits,
                TurnBudget(app.settings.max_cost),
                responses=responses,
                tools=app.permitted,
                learn_vision=app.learn_vision,
            )
            config = uvicorn.Config(
                make_app(service, key=address.key, host=address.host, cors=address.cors),
                http=TimedProtocol,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=int(limits.grace + GOODBYE_SECONDS) + 1,
            )
            url = address.url(listening.getsockname()[1])
            with closing(responses):
                await until_stopped(
                    QuietServer(config),
                    listening,
                    turns,
                    limits.grace,
                    lambda: say(f"moa-bot: serving the mixture as model {SERVED} at {url} (Ctrl-C ends it)"),
                )
    return ExitCode.DONE


async def until_stopped(
    server: QuietServer, listening: socket.socket, turns: Turns, grace: float, on_ready: Callable[[], None]
) -> None:
    """Serve until a signal or two: the first gives turns `grace` seconds, the second cancels them."""
    stop, stop_at_once = asyncio.Event(), asyncio.Event()

    def on_signal() -> None:
        (stop_at_once if stop.is_set() else stop).set()

    with handle_signals(on_signal):
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        await first_of(serving, server.ready.wait())
        if not serving.done():
            on_ready()
            await first_of(serving, stop.wait())
        turns.close()
        server.should_exit = True
        with suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await first_of(asyncio.create_task(turns.wait_idle()), stop_at_once.wait())
        turns.cancel_all()
        await serving


async def first_of(task: asyncio.Task[None], other: Coroutine[Any, Any, object]) -> None:
    """Wait until one of the two has ended; the task's result is left to the caller."""
    waiting = asyncio.ensure_future(other)
    try:
        await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
