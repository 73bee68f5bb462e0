"""moa-bot as a library: a mixture that other programs ask, in their own thread or event loop.

    caller (any thread, any event loop) ─► Mixture, Conversation ─► Job ═► Engine ─► Program
                                                              (an event loop in a thread)

The program's event loop runs in a thread of its own, so that one mixture can be asked from plain
code, from a notebook whose loop runs already, and from any number of coroutines. It starts with
the first question, and ends with `close`, when nobody holds the mixture any more, or at the
interpreter's end.

Options are those of the command line, with the same precedence: what is said here, then the
environment, config.toml, the preset, the defaults. Unless `save` is said, nothing is kept.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypedDict, Unpack

from bot.api.runtime import Job, Runtime
from bot.app.load_settings import load_settings
from bot.app.make_plan import make_plan
from bot.errors import TurnFailedError, UsageError
from bot.events import Event, TurnFinished, TurnResult
from bot.messages import Message

if TYPE_CHECKING:
    from bot.app.session import Session
    from bot.method.plan import Plan
    from bot.settings.settings import Settings


class Options(TypedDict, total=False):
    """The options of a mixture; those that are not given come from elsewhere, as at the command line."""

    reference_models: str | Sequence[str]
    aggregator: str
    rounds: int
    temperature: float
    max_tokens: int
    reference_max_tokens: int
    min_references: int
    mode: str
    fallbacks: str | Sequence[str]
    deadline: float
    quorum: float
    grace: float
    early_stop: bool
    adaptive: bool
    agreement: float
    light_aggregator: str
    multi_turn: bool
    system: str
    system_file: str | Path
    save: bool
    demo: bool
    local: bool
    models_dir: str | Path
    endpoint: str
    num_proc: int
    seed: int
    rate: float
    timeout: float


class Mixture:
    """A Mixture of Agents, ready to be asked.

    `preset` is the mixture to start from. `api_key` and `base_url` are those of the default
    endpoint, for this mixture alone. Raises UsageError for options that make no sense, ConfigError
    for a mistake in a settings file. Worker processes start with the first question (or with
    `with`), and KeyMissingError comes then.
    """

    def __init__(
        self,
        preset: str | None = None,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        **options: Unpack[Options],
    ) -> None:
        self._settings = _settle(preset, api_key, base_url, dict(options))
        self._plan = make_plan(self._settings)
        self._runtime = Runtime(self._settings)
        weakref.finalize(self, self._runtime.request_close).atexit = False

    @property
    def plan(self) -> Plan:
        """What the mixture runs: layers, aggregator, limits."""
        return self._plan

    def ask(self, prompt: str) -> TurnResult:
        """Ask once, without any history; returns the whole turn.

        Raises TurnFailedError when there is no reply. Ctrl-C cancels every call of the turn.
        """
        return self.chat().ask(prompt)

    async def aask(self, prompt: str) -> TurnResult:
        """Do as `ask`, without blocking the event loop."""
        return await self.chat().aask(prompt)

    def stream(self, prompt: str) -> Stream:
        """Ask once; iterate the events of the turn with `for` or `async for`."""
        return self.chat().stream(prompt)

    def chat(self, history: Sequence[Message] = ()) -> Conversation:
        """Begin a conversation; `history` is what was said before it."""
        return Conversation(self, history)

    def close(self) -> None:
        """End the workers; returns when they are gone. A turn still under way is cancelled."""
        self._runtime.close()

    async def aclose(self) -> None:
        """Do as `close`, without blocking the event loop."""
        await asyncio.to_thread(self.close)

    def __enter__(self) -> Self:
        """Start the workers."""
        self._runtime.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the workers."""
        self.close()

    async def __aenter__(self) -> Self:
        """Start the workers."""
        await asyncio.to_thread(self._runtime.open)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the workers."""
        await self.aclose()


class Conversation:
    """A conversation with a mixture; made by `Mixture.chat`.

    Turns follow one another: a second question waits until the first is answered.
    """

    def __init__(self, mixture: Mixture, history: Sequence[Message] = ()) -> None:
        # Held so that the mixture lives as long as anybody talks with it.
        self._mixture = mixture
        self._begun = list(history)
        self._session: Session | None = None
        self._lock = asyncio.Lock()

    @property
    def history(self) -> tuple[Message, ...]:
        """What was said so far: the prompts, and the replies to them."""
        return tuple(self._begun if self._session is None else self._session.history)

    def ask(self, prompt: str) -> TurnResult:
        """Ask, with what was said before; returns the whole turn. Raises TurnFailedError."""
        return _reply(self._job(prompt).wait())

    async def aask(self, prompt: str) -> TurnResult:
        """Do as `ask`, without blocking the event loop."""
        job = await asyncio.to_thread(self._job, prompt)
        return _reply(await job.wait_async())

    def stream(self, prompt: str) -> Stream:
        """Ask; iterate the events of the turn with `for` or `async for`."""
        return Stream(lambda put: self._job(prompt, put))

    def _job(self, prompt: str, put: Callable[[Event], None] | None = None) -> Job[TurnResult]:
        """Start the turn. `put` is given every event, in the engine's thread."""
        if not prompt.strip():
            raise UsageError("Nothing was asked: the prompt is empty.")
        return self._mixture._runtime.start(lambda: self._turn(prompt, put))  # noqa: SLF001 - the same module

    async def _turn(self, prompt: str, put: Callable[[Event], None] | None) -> TurnResult:
        async with self._lock:
            if self._session is None:
                self._session = self._mixture._runtime.session()  # noqa: SLF001 - the same module
                self._session.history[:] = self._begun
            result: TurnResult | None = None
            async with aclosing(self._session.turn(prompt)) as events:
                async for event in events:
                    if isinstance(event, TurnFinished):
                        result = event.result
                    if put is not None:
                        put(event)
        assert result is not None  # noqa: S101 - a turn's last event is TurnFinished
        return result


class Stream:
    """The events of one turn (`bot.events`), `TurnFinished` the last; to be iterated once.

    The question is asked when the iteration begins. Leaving it early cancels every call that is
    still open; a turn without a reply is told by the last event, not raised.
    """

    def __init__(self, start: Callable[[Callable[[Event], None]], Job[TurnResult]]) -> None:
        self._start = start

    def __iter__(self) -> Iterator[Event]:
        """Iterate in plain code."""
        queue: SimpleQueue[Event | None] = SimpleQueue()
        job = self._start(queue.put)
        job.when_over(lambda: queue.put(None))
        try:
            while (event := queue.get()) is not None:
                yield event
            job.wait()
        finally:
            job.cancel()
            job.wait_over()

    def __aiter__(self) -> AsyncIterator[Event]:
        """Iterate in a coroutine."""
        return self._events()

    async def _events(self) -> AsyncGenerator[Event, None]:
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[Event | None] = asyncio.Queue()

        def put(event: Event | None) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(queue.put_nowait, event)

        job = await asyncio.to_thread(self._start, put)
        job.when_over(lambda: put(None))
        try:
            while (event := await queue.get()) is not None:
                yield event
            await job.wait_async()
        finally:
            job.cancel()
            await job.wait_over_async()


def _reply(result: TurnResult) -> TurnResult:
    if result.failure is not None:
        raise TurnFailedError(result.failure)
    return result


def _settle(
    preset: str | None, api_key: str | None, base_url: str | None, options: dict[str, object]
) -> Settings:
    for name in options:
        if name not in Options.__annotations__:
            raise TypeError(f"Mixture() got an unexpected keyword argument {name!r}")
    settings = load_settings({"save": False, **options, "preset": preset})
    if api_key is None and base_url is None:
        return settings
    name = settings.default_endpoint
    return settings.with_endpoint(name, base_url or settings.endpoints[name].base_url, api_key)
