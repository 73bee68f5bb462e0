"""The worker pool with local models: calls to local:NAME go to the built-in engine's processes.

    ask(request to local:NAME) ─► EngineCache.acquire ─► the pool, with the process's address instead

All other calls pass through. Nothing of the engine is imported until a local model is named.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bot.client.model_list import ModelList
from bot.errors import Failure, FailureKind, MoaError, UsageError
from bot.local.model_files import listed_models
from bot.messages import CallUpdate, Dequeued, Endpoint, Queued, Request
from bot.settings.endpoints import LOCAL
from bot.workers.pool import LIST_SECONDS, Pool

if TYPE_CHECKING:
    from bot.local.engine_cache import EngineCache
    from bot.method.plan import Plan
    from bot.workers.forkserver import StartMethod


class LocalPool(Pool):
    """A pool that also serves the endpoint `local`.

    `folder` returns the models folder, `say` shows the user a line.
    """

    def __init__(
        self,
        num_proc: int,
        folder: Callable[[], Path | None] = lambda: None,
        say: Callable[[str], None] = lambda _: None,
        *,
        method: StartMethod | None = None,
    ) -> None:
        super().__init__(num_proc, method=method)
        self._folder, self._say = folder, say
        self._engines: EngineCache | None = None

    @property
    def engines(self) -> EngineCache:
        """The engine's processes, created on first use."""
        if self._engines is None:
            from bot.local.engine_cache import EngineCache  # noqa: PLC0415 - most mixtures have no local models

            self._engines = EngineCache(self._folder, self._say)
        return self._engines

    async def prepare(self, plan: Plan) -> None:
        """Find, download and check the files of a plan's local models. MoaError when one cannot be run."""
        for agent in plan.agents():
            if agent.endpoint == LOCAL:
                await self.engines.prepare(agent.model)

    def ask(self, request: Request) -> AsyncGenerator[CallUpdate, None]:
        """Make one call, as `Pool.ask` does."""
        return self._ask_local(request) if request.endpoint.name == LOCAL else super().ask(request)

    async def models(self, endpoint: Endpoint, timeout: float = LIST_SECONDS) -> ModelList | Failure:  # noqa: ASYNC109 - the wire's, as in Pool
        """Return the models that a service lists; for `local`, the files in the models folder."""
        if endpoint.name != LOCAL:
            return await super().models(endpoint, timeout)
        # Nothing of local models is imported before one is named.
        return listed_models(self._folder())

    async def close(self) -> None:
        """End all workers and all models; returns when they have ended."""
        await super().close()
        if self._engines is not None:
            await self._engines.close()

    async def _ask_local(self, request: Request) -> AsyncGenerator[CallUpdate, None]:
        yield Queued()
        try:
            async with self.engines.acquire(request.model) as endpoint:
                yield Dequeued()
                updates = super().ask(replace(request, endpoint=endpoint))
                async with aclosing(updates):
                    async for update in updates:
                        yield update
        except MoaError as error:
            kind = FailureKind.NOT_FOUND if isinstance(error, UsageError) else FailureKind.BAD_REQUEST
            yield Failure(kind, error.message, request.model, hint=error.hint)
