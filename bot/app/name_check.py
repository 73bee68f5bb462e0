"""Checks the names of models before a round is paid for.

    name ─┬─ in the catalogue, answered before, or checked by --local ─► good
          └─ else the service's list ─┬─ listed, or no list ─► good
                                      └─ not listed ─► asked for one token: good, or no such model

Services serve models that they do not list, so that a list alone refuses no name; only llama.cpp's
server answers to any name, with the model that it has. A turn whose aggregator (and fallbacks) do not
exist fails before a reference model is asked. The list of a server on this computer is fetched in any
case: it says with how much context the server runs a model, which may be far less than the model can.
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
    from bot.app.known_models import KnownModels
    from bot.client.suggest import ModelSuggester
    from bot.method.plan import Plan
    from bot.settings.settings import Settings
    from bot.store import Store

LIST_SECONDS = 5.0
"""How long a list is waited for, the start of the workers included."""
_SHOWN = 5
"""How many names of a server's models a message lists."""
_ENOUGH_CONTEXT = 8192
"""Tokens with which a server's small default is not worth a notice."""
_MORE_CONTEXT = {
    "ollama": "OLLAMA_CONTEXT_LENGTH=16384 ollama serve, or PARAMETER num_ctx 16384 in a Modelfile",
    "lmstudio": "load it in LM Studio with a larger context length",
    "llamacpp": "start llama-server with a larger --ctx-size",
    "vllm": "start vLLM with a larger --max-model-len",
}
PROBE_SECONDS = 5.0
"""How long a model that is not listed is waited for; one that is slower counts as good."""


async def learn_vision(plan: Plan, models: KnownModels, suggester: ModelSuggester) -> None:
    """Fetch the lists of services that may say which of a plan's models see, and remember what they say."""

    async def learn(name: str) -> None:
        models.learn_list(name, await suggester.list(models.endpoint(name), LIST_SECONDS))

    unknown = {agent.endpoint for agent in plan.agents() if models.vision(agent) is None}
    await asyncio.gather(*map(learn, sorted(unknown)))


class NameCheck:
    """Checks the models of plans; what was found out holds for its whole life.

    `models` returns what is known of services, `store` the conversations, if they are kept.
    """

    def __init__(
        self,
        settings: Callable[[], Settings],
        models: Callable[[], KnownModels],
        store: Store | None,
        suggester: ModelSuggester,
    ) -> None:
        self._settings, self._models, self._store = settings, models, store
        self._suggester = suggester
        self._checked: dict[tuple[str, str], Failure | None] = {}
        self._told: set[str] = set()

    async def __call__(self, plan: Plan, *, vision: bool = False) -> tuple[tuple[str, ...], Failure | None]:
        """Return notices about models that do not exist, and the failure when none can write the reply.

        With `vision`, the lists of services are fetched that may say which models see.
        """
        agents = {(agent.endpoint, agent.model): agent for agent in plan.agents()}
        if vision:
            await learn_vision(plan, self._models(), self._suggester)
        new = [agent for key, agent in agents.items() if key not in self._checked]
        found = await asyncio.gather(*(self._check(agent) for agent in new))
        for agent, failure in zip(new, found, strict=True):
            self._checked[agent.endpoint, agent.model] = failure
        missing = {key: failure for key in agents if (failure := self._checked[key])}
        writers = [(agent.endpoint, agent.model) for agent in (plan.aggregator, *plan.fallbacks)]
        if all(key in missing for key in writers):
            return (), missing[writers[0]]
        said = [str(failure) for failure in missing.values()]
        said += [text for agent in agents.values() if (text := self._little_context(agent))]
        notices = [text for text in said if text not in self._told]
        self._told.update(notices)
        return tuple(notices), None

    async def _check(self, agent: Agent) -> Failure | None:
        """Return why there is no such model, None when there is, or nothing is known."""
        here = self._settings().endpoints[agent.endpoint].runs_here and agent.endpoint not in {DEMO, LOCAL}
        known = self._is_known(agent)
        if known and not here:
            return None
        endpoint = self._models().endpoint(agent.endpoint)
        found = await self._suggester.list(endpoint, LIST_SECONDS)
        listed = [model.id for model in found.models if model.chats]
        if known or not listed or agent.model in listed:
            return None
        if found.server == "llamacpp":
            has = ", ".join(listed[:_SHOWN])
            hint = f"llama.cpp's server answers to any name, with the model that it has: {has}"
            return Failure(FailureKind.NOT_FOUND, "", agent.model, hint=hint)
        return await self._probe(agent)

    def _little_context(self, agent: Agent) -> str:
        """Return a notice about a model that its server runs with much less context than it can, or ""."""
        listed = self._models().listed.get((agent.endpoint, agent.model))
        if listed is None or not listed.context or not listed.max_context:
            return ""
        if listed.context >= min(_ENOUGH_CONTEXT, listed.max_context):
            return ""
        remedy = _MORE_CONTEXT.get(agent.endpoint, "give it more where it is started")
        return (
            f"{agent.endpoint} runs {agent.model} with {listed.context:,} tokens of context, of"
            f" {listed.max_context:,} that it can; longer conversations are shortened. For more: {remedy}."
        )

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
