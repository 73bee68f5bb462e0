"""Suggests the nearest model that a service has when it does not have the one that was asked for.

    Retrier ─► ModelSuggester ─► pool
                     └─ "no such model": the service's list, fetched once, then a hint in the failure

It never makes a call succeed, and never delays a turn for long: without a list there is no hint.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress
from dataclasses import replace

from bot.client.model_list import ModelList
from bot.errors import Failure, FailureKind
from bot.messages import Ask, CallUpdate, Endpoint, Request
from bot.text.nearest import nearest_model

LIST_SECONDS = 2.0
"""How long a failure waits for the list."""

ListModels = Callable[[Endpoint], Awaitable[ModelList | Failure]]
"""Fetches the models of a service: the pool's way, or a test's."""


class ModelSuggester:
    """Wraps a way to ask: a failure for an unknown model gets the nearest known one as its hint."""

    def __init__(self, ask: Ask, list_models: ListModels, *, seconds: float = LIST_SECONDS) -> None:
        self._ask, self._list_models, self._seconds = ask, list_models, seconds
        self._fetches: dict[tuple[str, str | None], asyncio.Task[ModelList]] = {}

    async def __call__(self, request: Request) -> AsyncGenerator[CallUpdate, None]:
        """Make one call; its updates, the last a completion or a failure."""
        async with aclosing(self._ask(request)) as updates:
            async for update in updates:
                if isinstance(update, Failure) and update.kind is FailureKind.NOT_FOUND:
                    yield await self._with_hint(update, request)
                else:
                    yield update

    async def _with_hint(self, failure: Failure, request: Request) -> Failure:
        found = nearest_model(request.model, await self.names(request.endpoint))
        if not found:
            return failure
        return replace(failure, hint=f"the nearest that {request.endpoint.name} has is {found}")

    async def names(self, endpoint: Endpoint, seconds: float | None = None) -> tuple[str, ...]:
        """Return the names of the service's chat models; () as in `list`."""
        found = await self.list(endpoint, seconds)
        return tuple(model.id for model in found.models if model.chats)

    async def list(self, endpoint: Endpoint, seconds: float | None = None) -> ModelList:
        """Return the service's list of models, fetched once.

        It is empty when the service gives none, or it does not come within `seconds`.
        """
        key = (endpoint.base_url, endpoint.key)
        if key not in self._fetches:
            self._fetches[key] = asyncio.ensure_future(self._fetch(endpoint))
        # Other calls may wait for the same list: it goes on when this one is cancelled or waits no longer.
        with suppress(TimeoutError):
            async with asyncio.timeout(self._seconds if seconds is None else seconds):
                return await asyncio.shield(self._fetches[key])
        return ModelList(())

    async def _fetch(self, endpoint: Endpoint) -> ModelList:
        model_list = await self._list_models(endpoint)
        return ModelList(()) if isinstance(model_list, Failure) else model_list
