"""The pool of workers, with the models of the engine inside: calls to local:… go to their processes.

    ask(request to local:NAME) ─► Engines.lease ─► the pool, with the process's address in its place

Everything else goes through as it is. A program that names no such model pays for none of it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bot.client.model_list import ListedModel, ModelList
from bot.errors import Failure, FailureKind, MoaError, UsageError
from bot.messages import CallUpdate, Endpoint, Request
from bot.settings.endpoints import LOCAL
from bot.workers.pool import LIST_SECONDS, Pool

if TYPE_CHECKING:
    from bot.local.engine_cache import Engines
    from bot.method.plan import Plan
    from bot.workers.forkserver import StartMethod


class LocalPool(Pool):
    """A pool that also answers for the endpoint `local`.

    `folder` tells the folder of models, `say` tells the user a line.
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
        self._engines: Engines | None = None

    @property
    def engines(self) -> Engines:
        """The engine's processes; made when they are first needed."""
        if self._engines is None:
            from bot.local.engine_cache import Engines

            self._engines = Engines(self._folder, self._say)
        return self._engines

    async def prepare(self, plan: Plan) -> None:
        """Find, fetch and look through the files of a plan's local models. MoaError when one is amiss."""
        for agent in plan.agents():
            if agent.endpoint == LOCAL:
                await self.engines.ready(agent.model)

    def ask(self, request: Request) -> AsyncGenerator[CallUpdate, None]:
        """Make one call, as `Pool.ask` does."""
        return self._lease(request) if request.endpoint.name == LOCAL else super().ask(request)

    async def models(self, endpoint: Endpoint, timeout: float = LIST_SECONDS) -> ModelList | Failure:  # noqa: ASYNC109 - the wire's, as in Pool
        """Return the models that a service lists; of `local`, the files in the folder of models."""
        if endpoint.name != LOCAL:
            return await super().models(endpoint, timeout)
        return model_list(self._folder())

    async def close(self) -> None:
        """End all workers and all models; returns when they are gone."""
        await super().close()
        if self._engines is not None:
            await self._engines.close()

    async def _lease(self, request: Request) -> AsyncGenerator[CallUpdate, None]:
        try:
            async with self.engines.lease(request.model) as endpoint:
                updates = super().ask(replace(request, endpoint=endpoint))
                async with aclosing(updates):
                    async for update in updates:
                        yield update
        except MoaError as error:
            kind = FailureKind.NOT_FOUND if isinstance(error, UsageError) else FailureKind.BAD_REQUEST
            yield Failure(kind, error.message, request.model, hint=error.hint)


def model_list(folder: Path | None) -> ModelList | Failure:
    """Return the models in the folder, the files fetched from the hub among them."""
    from bot.local.hub import folder_of_fetched
    from bot.local.model_files import SUFFIX, context_for, models_in

    own = folder_of_fetched()
    try:
        found = models_in(folder) if folder is not None else []
        found += models_in(own) if own.is_dir() else []
    except UsageError as error:
        return Failure(FailureKind.NOT_FOUND, error.message, hint=error.hint)
    names = {name: ListedModel(name, context_for(file)) for name, file in found if name.endswith(SUFFIX)}
    return ModelList(tuple(names[name] for name in sorted(names, key=str.casefold)))
