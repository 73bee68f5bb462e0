"""Checks the names of models before a round is paid for.

    name ─┬─ in the catalogue, answered before, or checked by --local ─► good
          └─ else the service's list ─┬─ listed, or no list ─► good
                                      └─ not listed ─► asked for one token: good, or no such model

Services serve models that they do not list, so that a list alone refuses no name. A turn whose
aggregator (and fallbacks) do not exist fails before a reference model is asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING

from bot.errors import Failure, FailureKind
from bot.messages import Agent, Message, Request
from bot.settings.endpoints import DEMO, LOCAL, SHIPPED

if TYPE_CHECKING:
    from bot.client.suggest import ModelSuggester
    from bot.method.plan import Plan
    from bot.method.turn_context import Models
    from bot.settings.settings import Settings
    from bot.store import Store

LIST_SECONDS = 5.0
"""How long a list is waited for, the start of the workers included."""
PROBE_SECONDS = 5.0
"""How long a model that is not listed is waited for; one that is slower counts as good."""


class NameCheck:
    """Checks the models of plans; what was found out holds for its whole life.

    `models` returns what is known of services, `store` the conversations, if they are kept.
    """

    def __init__(
        self,
        settings: Callable[[], Settings],
        models: Callable[[], Models],
        store: Store | None,
        suggester: ModelSuggester,
    ) -> None:
        self._settings, self._models, self._store = settings, models, store
        self._suggester = suggester
        self._checked: dict[tuple[str, str], Failure | None] = {}
        self._told: set[str] = set()

    async def __call__(self, plan: Plan) -> tuple[tuple[str, ...], Failure | None]:
        """Return notices about models that do not exist, and the failure when none can write the reply."""
        agents = {(agent.endpoint, agent.model): agent for agent in plan.agents()}
        new = [agent for key, agent in agents.items() if key not in self._checked]
        found = await asyncio.gather(*(self._check(agent) for agent in new))
        for agent, failure in zip(new, found, strict=True):
            self._checked[agent.endpoint, agent.model] = failure
        missing = {key: failure for key in agents if (failure := self._checked[key])}
        writers = [(agent.endpoint, agent.model) for agent in (plan.aggregator, *plan.fallbacks)]
        if all(key in missing for key in writers):
            return (), missing[writers[0]]
        notices = [text for failure in missing.values() if (text := str(failure)) not in self._told]
        self._told.update(notices)
        return tuple(notices), None

    async def _check(self, agent: Agent) -> Failure | None:
        """Return why there is no such model, None when there is, or nothing is known."""
        if self._is_known(agent):
            return None
        endpoint = self._models().endpoint(agent.endpoint)
        listed = await self._suggester.names(endpoint, LIST_SECONDS)
        if not listed or agent.model in listed:
            return None
        return await self._probe(agent)

    def _is_known(self, agent: Agent) -> bool:
        settings = self._settings()
        if settings.local or agent.endpoint in {DEMO, LOCAL}:
            return True
        facts = settings.catalogue.facts(agent.model)
        if facts and facts.endpoint == agent.endpoint and facts.status != "retired":
            return settings.endpoints[agent.endpoint].source == SHIPPED or self._has_answered(agent)
        return self._has_answered(agent)

    def _has_answered(self, agent: Agent) -> bool:
        return self._store is not None and self._store.has_answered(agent.endpoint, agent.model)

    async def _probe(self, agent: Agent) -> Failure | None:
        """Ask the model for one token; return the failure when there is no such model."""
        request = Request(
            self._models().endpoint(agent.endpoint),
            agent.model,
            (Message("user", "Say yes."),),
            temperature=0.0,
            max_tokens=1,
            extra=self._models().request_fields(agent),
            timeout=PROBE_SECONDS,
        )
        # The timeout of a request is about each word; this one is about the whole call.
        with suppress(TimeoutError):
            async with asyncio.timeout(PROBE_SECONDS), aclosing(self._suggester(request)) as updates:
                async for update in updates:
                    if isinstance(update, Failure) and update.kind is FailureKind.NOT_FOUND:
                        return update
        return None
