"""Names the nearest model that a service has when it does not have the one that was asked for.

    Retrier ─► Nearest ─► pool
                  └─ "no such model": the service's list, asked for once, then a hint in the failure

It never makes a call succeed, and never holds a turn up for long: a list that does not come soon
is done without.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import replace

from bot.client.model_list import ModelList
from bot.errors import Failure, FailureKind
from bot.messages import Ask, CallUpdate, Endpoint, Request
from bot.text.nearest import nearest_model

SECONDS = 2.0
"""How long a failure waits for the list."""

Lists = Callable[[Endpoint], Awaitable[ModelList | Failure]]
"""A way to ask for the models of a service: the pool's, or a test's."""


class ModelSuggester:
    """A way to ask, like the one it is given, whose unknown models are told with the nearest known one."""

    def __init__(self, ask: Ask, lists: Lists, *, seconds: float = SECONDS) -> None:
        self._ask, self._lists, self._seconds = ask, lists, seconds
        self._asked: dict[tuple[str, str | None], asyncio.Task[tuple[str, ...]]] = {}

    async def __call__(self, request: Request) -> AsyncGenerator[CallUpdate, None]:
        """Make one call; its updates, the last a completion or a failure."""
        async with aclosing(self._ask(request)) as updates:
            async for update in updates:
                if isinstance(update, Failure) and update.kind is FailureKind.NOT_FOUND:
                    yield await self._hinted(update, request)
                else:
                    yield update

    async def _hinted(self, failure: Failure, request: Request) -> Failure:
        endpoint = request.endpoint
        key = (endpoint.base_url, endpoint.key)
        if key not in self._asked:
            self._asked[key] = asyncio.ensure_future(self._names(endpoint))
        # Others may wait for the same list: it goes on when this call is cut off.
        found = nearest_model(request.model, await asyncio.shield(self._asked[key]))
        if not found:
            return failure
        return replace(failure, hint=f"the nearest that {endpoint.name} has is {found}")

    async def _names(self, endpoint: Endpoint) -> tuple[str, ...]:
        """Return the names on the service's list; () when it does not come in time."""
        try:
            async with asyncio.timeout(self._seconds):
                model_list = await self._lists(endpoint)
        except TimeoutError:
            return ()
        if isinstance(model_list, Failure):
            return ()
        return tuple(model.id for model in model_list.models if model.chats)
