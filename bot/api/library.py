"""moa-bot as a library: a mixture that other programs ask, in their own thread or event loop.

    caller (any thread, any event loop) ─► Mixture, Conversation ─► Job ═► Runtime ─► App
                                                                  (an event loop in a thread)

The app's event loop runs in a thread of its own, so that one mixture can be asked from synchronous
code, from a notebook whose loop runs already, and from any number of coroutines. It starts with the
first question, and ends with `close`, when the mixture is garbage, or at the interpreter's end.

Options are those of the command line, with the same precedence: keywords, then the environment,
config.toml, the preset, the defaults. Nothing is stored unless `save` is true.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, TypedDict, Unpack

from bot.api.runtime import Job, Runtime
from bot.app.attachments import attach
from bot.app.load_settings import load_settings
from bot.app.make_plan import make_plan
from bot.errors import TurnFailedError, UsageError
from bot.events import Event, TurnFinished
from bot.messages import Message, Mode
from bot.settings.model_names import NONE
from bot.settings.templates import ChosenTemplate, find_template
from bot.turn_result import TurnResult

if TYPE_CHECKING:
    from bot.app.session import Session
    from bot.method.plan import Plan
    from bot.settings.settings import Settings


Files = str | Path | Sequence[str | Path]
"""Files that go along with a prompt."""


class MixtureOptions(TypedDict, total=False):
    """The options of a mixture; the others are as on the command line."""

    reference_models: str | Sequence[str]
    aggregator: str
    rounds: int
    temperature: float
    max_tokens: int
    reference_max_tokens: int
    min_references: int
    mode: Mode
    judge: str
    placement: str
    order: Literal["given", "rotated"]
    fallbacks: str | Sequence[str]
    deadline: float
    quorum: float
    grace: float
    early_stop: bool | Literal["shadow"]
    adaptive: bool
    agreement: float
    light_aggregator: str
    tools: str | Sequence[str]
    tool_rounds: int
    tools_for: Literal["references", "all"]
    when: Literal["always", "auto", "never"]
    allow: str | Sequence[str]
    mcp_config: Files
    multi_turn: bool
    system: str
    system_file: str | Path
    schema: str | Mapping[str, Any]
    save: bool
    demo: bool
    local: bool
    starter: bool
    models_dir: str | Path
    endpoint: str
    num_proc: int
    seed: int
    rate: float
    timeout: float


class Mixture:
    """A Mixture of Agents.

    `preset` is the mixture to start from. `api_key` and `base_url` are those of the default endpoint,
    for this mixture alone. Each prompt fills the prompt template `template`, with these `fields`. Raises
    UsageError for wrong options, ConfigError for a mistake in a settings file. Worker processes start with
    the first question (or with `with`), and only then KeyMissingError is raised.
    """

    def __init__(
        self,
        preset: str | None = None,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        template: str | None = None,
        fields: Mapping[str, str] | None = None,
        **options: Unpack[MixtureOptions],
    ) -> None:
        # Its preset and system prompt are the mixture's where no others are given.
        self._template = ChosenTemplate(find_template(template), fields or {})
        given = self._template.with_options({**options, "preset": preset})
        self._settings = mixture_settings(given.pop("preset"), api_key, base_url, given)
        self._plan = make_plan(self._settings)
        self._runtime = Runtime(self._settings)
        weakref.finalize(self, self._runtime.request_close).atexit = False

    @property
    def plan(self) -> Plan:
        """The layers, aggregator and limits of the mixture."""
        return self._plan

    def ask(self, prompt: str, *, files: Files = ()) -> TurnResult:
        """Ask once, without history; returns the whole turn.

        `files` go along with the prompt, as with --file. Raises TurnFailedError when there is no reply,
        UsageError for a file that cannot be attached. Ctrl-C cancels every call of the turn.
        """
        return self.chat().ask(prompt, files=files)

    async def aask(self, prompt: str, *, files: Files = ()) -> TurnResult:
        """Like `ask`, without blocking the event loop."""
        return await self.chat().aask(prompt, files=files)

    def stream(self, prompt: str, *, files: Files = ()) -> Stream:
        """Ask once; iterate the events of the turn with `for` or `async for`."""
        return self.chat().stream(prompt, files=files)

    def chat(self, history: Sequence[Message] = ()) -> Conversation:
        """Start a conversation; `history` are the messages before it."""
        return Conversation(self, history)

    def close(self) -> None:
        """End the workers; returns when they have ended. A turn under way is cancelled."""
        self._runtime.close()

    async def aclose(self) -> None:
        """Like `close`, without blocking the event loop."""
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
        # Keeps the mixture alive as long as the conversation is used.
        self._mixture = mixture
        self._initial = list(history)
        self._session: Session | None = None
        self._lock = asyncio.Lock()

    @property
    def history(self) -> tuple[Message, ...]:
        """The messages so far: the prompts, and the replies to them."""
        return tuple(self._initial if self._session is None else self._session.history)

    def ask(self, prompt: str, *, files: Files = ()) -> TurnResult:
        """Ask with the history; returns the whole turn. Raises TurnFailedError."""
        return _reply(self._job(prompt, files).wait())

    async def aask(self, prompt: str, *, files: Files = ()) -> TurnResult:
        """Like `ask`, without blocking the event loop."""
        job = await asyncio.to_thread(self._job, prompt, files)
        return _reply(await job.wait_async())

    def stream(self, prompt: str, *, files: Files = ()) -> Stream:
        """Ask with the history; iterate the events of the turn with `for` or `async for`."""
        return Stream(lambda on_event: self._job(prompt, files, on_event))

    def _job(
        self, prompt: str, files: Files, on_event: Callable[[Event], None] | None = None
    ) -> Job[TurnResult]:
        """Start the turn. `on_event` is called with every event, in the runtime's thread."""
        paths = [Path(file) for file in ([files] if isinstance(files, str | Path) else files)]
        if not (prompt.strip() or paths):
            raise UsageError("Nothing was asked: the prompt is empty.")
        return self._mixture._runtime.start(lambda: self._turn(prompt, paths, on_event))  # noqa: SLF001 - the same module

    async def _turn(
        self, words: str, files: Sequence[Path], on_event: Callable[[Event], None] | None
    ) -> TurnResult:
        # A program's prompt may quote anybody's words: no name in it attaches a file.
        words = self._mixture._template.fill(words, needs_words=not files)  # noqa: SLF001 - the same module
        prompt = await attach(words, files, mentions=False)
        async with self._lock:
            if self._session is None:
                self._session = self._mixture._runtime.session()  # noqa: SLF001 - the same module
                self._session.history[:] = self._initial
            result: TurnResult | None = None
            turn = self._session.turn(prompt.text, attachments=prompt.attachments)
            async with aclosing(turn) as events:
                async for event in events:
                    if isinstance(event, TurnFinished):
                        result = event.result
                    if on_event is not None:
                        on_event(event)
        assert result is not None  # noqa: S101 - a turn's last event is TurnFinished
        return result


class Stream:
    """The events of one turn (`bot.events`), `TurnFinished` the last; to be iterated once.

    The question is asked when the iteration begins. Leaving it early cancels every open call. A turn
    without a reply raises nothing: the last event has the failure.
    """

    def __init__(self, start: Callable[[Callable[[Event], None]], Job[TurnResult]]) -> None:
        self._start = start

    def __iter__(self) -> Iterator[Event]:
        """Iterate in synchronous code."""
        queue: SimpleQueue[Event | None] = SimpleQueue()
        job = self._start(queue.put)
        job.call_when_done(lambda: queue.put(None))
        try:
            while (event := queue.get()) is not None:
                yield event
            job.wait()
        finally:
            job.cancel()
            job.wait_done()

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
        job.call_when_done(lambda: put(None))
        try:
            while (event := await queue.get()) is not None:
                yield event
            await job.wait_async()
        finally:
            job.cancel()
            await job.wait_done_async()


def _reply(result: TurnResult) -> TurnResult:
    if result.failure is not None:
        raise TurnFailedError(result.failure)
    return result


def mixture_settings(
    preset: str | None, api_key: str | None, base_url: str | None, options: dict[str, object]
) -> Settings:
    """Return the settings of a mixture; parameters and errors are those of `Mixture`."""
    for name in options:
        if name not in MixtureOptions.__annotations__:
            raise TypeError(f"Mixture() got an unexpected keyword argument {name!r}")
    if "reference_models" in options and options["reference_models"] in ((), []):
        options["reference_models"] = NONE
    settings = load_settings({"save": False, **options, "preset": preset})
    if api_key is None and base_url is None:
        return settings
    name = settings.default_endpoint
    return settings.with_endpoint(name, base_url or settings.endpoints[name].base_url, api_key)
