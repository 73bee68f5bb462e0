"""Calls outside a conversation: model lists, and a call of one token to check that a model answers.

They go through the same workers as all calls, without store, log and session.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from bot.app.known_models import KnownModels
from bot.client.adapt import RequestAdapter
from bot.demo.process import start_demo
from bot.errors import Failure, FailureKind, KeyMissingError
from bot.local.local_pool import LocalPool
from bot.messages import Adapted, Completion, Message, Request

if TYPE_CHECKING:
    from bot.client.model_list import ModelList
    from bot.messages import Agent, Endpoint
    from bot.settings.settings import Settings
    from bot.workers.pool import Pool

CALL_TIMEOUT = 30.0
LIST_TIMEOUT = 10.0
QUESTION = "Say yes."


class Services:
    """Running workers, and with --demo the offline service; made by `open_services`.

    `settings` are those given, with the address of the offline service if it runs. `adapted` says what
    was left out of the calls of an agent because its model refused it.
    """

    def __init__(self, settings: Settings, pool: Pool, environ: Mapping[str, str]) -> None:
        self.settings = settings
        self._pool = pool
        self._known = KnownModels(settings, environ)
        self.adapted: dict[Agent, str] = {}
        self._ask = RequestAdapter(pool.ask, self._known.adaptation)

    async def list_models(self, name: str) -> ModelList | Failure:
        """Return the models that an endpoint lists.

        KeyMissingError when its key is missing, UsageError for an unknown name.
        """
        return await self.list_models_at(self._known.endpoint(name))

    async def list_models_at(self, endpoint: Endpoint) -> ModelList | Failure:
        """Return the models of an endpoint whose key is known."""
        answer = await self._pool.models(endpoint, min(LIST_TIMEOUT, self.settings.timeout))
        if not isinstance(answer, Failure):
            self._known.learn_list(endpoint.name, answer)
        return answer

    async def call(self, agent: Agent) -> Completion | Failure:
        """Ask a model for one token; a `Completion` means that it works."""
        try:
            endpoint = self._known.endpoint(agent.endpoint)
        except KeyMissingError as error:
            return Failure(FailureKind.KEY_REFUSED, error.message, agent.model)
        request = Request(
            endpoint,
            agent.model,
            (Message("user", QUESTION),),
            temperature=0.0,
            max_tokens=1,
            extra=self._known.request_fields(agent),
            timeout=min(CALL_TIMEOUT, self.settings.timeout),
        )
        last: Completion | Failure = Failure(FailureKind.INTERNAL, "no answer came", agent.model)
        async for update in self._ask(request):
            if isinstance(update, Completion | Failure):
                last = update
            elif isinstance(update, Adapted):
                self.adapted[agent] = update.text
        return last

    def cost(self, agent: Agent, completion: Completion) -> float | None:
        """Return what a call cost in US dollars, None when price or tokens are unknown."""
        return self._known.cost(agent, completion.usage)


@asynccontextmanager
async def open_services(
    settings: Settings, environ: Mapping[str, str] = os.environ, processes: int = 1
) -> AsyncIterator[Services]:
    """Start workers, and with --demo the offline service; both end with the block."""
    async with AsyncExitStack() as stack:
        pool = LocalPool(processes, lambda: settings.models_dir)
        pool.start()
        stack.push_async_callback(pool.close)
        if settings.demo:
            demo = start_demo()
            stack.callback(demo.stop)
            settings = settings.with_endpoint("demo", demo.base_url)
        yield Services(settings, pool, environ)


async def list_models_at(settings: Settings, endpoint: Endpoint) -> ModelList | Failure:
    """Return the models of one endpoint, asked through workers of its own."""
    async with open_services(replace(settings, demo=False)) as services:
        return await services.list_models_at(endpoint)
