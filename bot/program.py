"""Everything a conversation needs, opened together and closed together.

    Settings ─► Program ─┬─ offline service (with --demo)
                         ├─ Pool (workers start in the background, while a person types)
                         ├─ Store (unless nothing is to be kept)
                         ├─ Log
                         └─► Session ─► Mixture

The command line, the prompt and the batch runners all begin here.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Self, TextIO

from bot.errors import StoreError, UsageError
from bot.log import Log
from bot.messages import Agent, Endpoint, Usage
from bot.mixture import Mixture
from bot.pool import Pool
from bot.session import Session
from bot.settings import paths

if TYPE_CHECKING:
    from bot.settings.settings import Settings
    from bot.store import Conversation, Store


class KnownModels:
    """What the settings know of endpoints and models, in the form the mixture asks for it."""

    def __init__(self, settings: Settings, environ: Mapping[str, str] = os.environ) -> None:
        self._settings, self._environ = settings, environ
        self._endpoints: dict[str, Endpoint] = {}
        self._learned: dict[tuple[str, str], int] = {}

    def endpoint(self, name: str) -> Endpoint:
        """Return the service of that name; KeyMissingError when its key is missing."""
        if name not in self._endpoints:
            self._endpoints[name] = self._settings.endpoint(name, self._environ)
        return self._endpoints[name]

    def context(self, agent: Agent) -> int | None:
        """Return the context length in tokens: as the service named it, else as configured."""
        learned = self._learned.get((agent.endpoint, agent.model))
        if learned is not None:
            return learned
        facts = self._settings.catalogue.facts(agent.model)
        return facts.context if facts else None

    def learn_context(self, agent: Agent, tokens: int) -> None:
        """Remember the context length that a service has named."""
        self._learned[agent.endpoint, agent.model] = tokens

    def fields(self, agent: Agent) -> Mapping[str, object]:
        """Return further fields of the request's body: how thinking is switched, usage in streams."""
        from bot.settings.catalogue import reasoning_fields

        return {
            **reasoning_fields(self._settings.catalogue.facts(agent.model), agent.reasoning),
            **self._settings.endpoints[agent.endpoint].stream_fields,
        }

    def cost(self, agent: Agent, usage: Usage) -> float | None:
        """Return US dollars, None when price or tokens are unknown."""
        return self._settings.catalogue.cost(agent.model, usage, agent.endpoint)


class Program:
    """An open program: `async with Program(settings, say) as program`.

    `say` tells the user a line about the program itself; `verbose` is where the log goes as well.
    """

    def __init__(self, settings: Settings, say: Callable[[str], None], verbose: TextIO | None = None) -> None:
        self.settings = settings
        self.say = say
        self.log = Log(paths.log_file(), verbose)
        self.store: Store | None = None
        self.resumed: Conversation | None = None
        self.pool: Pool
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        try:
            self._open()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def session(self) -> Session:
        """Return a session with the mixture of the settings; goes on with the one resumed."""
        plan = self.settings.plan()
        models = KnownModels(self.settings)
        # Every key is looked up now: a missing one is better said before the first prompt.
        for agent in {*(agent for layer in plan.layers for agent in layer), plan.aggregator}:
            models.endpoint(agent.endpoint)
        return Session(
            Mixture(plan, self.pool.ask, models),
            store=self.store,
            multi_turn=self.settings.multi_turn,
            settings=self.settings.kept(),
            conversation=self.resumed,
        )

    def _open(self) -> None:
        settings = self.settings
        self.pool = Pool(settings.processes())
        self.pool.start()
        self._stack.push_async_callback(self.pool.close)
        self._stack.callback(self.log.close)
        if settings.demo:
            from bot.demo.process import start_demo

            demo = start_demo()
            self._stack.callback(demo.stop)
            self.settings = settings = settings.with_endpoint("demo", demo.base_url)
        if settings.save:
            self._open_store()
        if settings.continue_ or settings.resume:
            self._resume()

    def _open_store(self) -> None:
        from bot.store import Store

        try:
            self.store = Store.open(paths.store_file())
        except StoreError as error:
            if self.settings.continue_ or self.settings.resume:
                raise
            self.say(f"Nothing of this conversation is kept: {error.message}")
            return
        self._stack.callback(self.store.close)

    def _resume(self) -> None:
        if self.store is None:
            raise UsageError("--no_save leaves nothing to go on with: drop it, or --continue and --resume.")
        if self.settings.resume:
            self.resumed = self.store.conversation(self.settings.resume)
        else:
            self.resumed = self.store.latest()
            if self.resumed is None:
                raise UsageError("There is no conversation to continue yet.")
        turns = len(self.store.turns(self.resumed.id))
        self.say(f"Resumed {self.resumed.id}: {self.resumed.title} ({turns} turn{'s' * (turns != 1)})")
