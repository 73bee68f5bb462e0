"""What the calls of a turn share, and what one of them may be asked for in the place of an answer."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from bot.errors import Failure
from bot.messages import Agent, Ask, Endpoint, Image, Message, Usage
from bot.method.plan import Plan
from bot.method.shared_tasks import SharedTasks
from bot.tool_use import PermittedTools, ToolSource, add_sources
from bot.turn_result import Call, tool_runs_of


class Models(Protocol):
    """What the mixture must know of the models beside their names."""

    def endpoint(self, name: str) -> Endpoint:
        """Return the service of that name. Raises KeyMissingError when its key is missing."""

    def context_length(self, agent: Agent) -> int | None:
        """Return the context length in tokens, None when unknown."""

    def learn_context_length(self, agent: Agent, tokens: int) -> None:
        """Remember the context length that a service has named."""

    def request_fields(self, agent: Agent) -> Mapping[str, object]:
        """Return further fields of the request's body, such as how thinking is switched."""

    def calls_tools(self, agent: Agent) -> bool | None:
        """Return whether the model can call tools, None when unknown."""

    def sees(self, agent: Agent) -> bool:
        """Return whether a model is known to take images."""

    def cost(self, agent: Agent, usage: Usage) -> float | None:
        """Return what a call cost in US dollars, None when price or tokens are unknown."""


class CheckNames(Protocol):
    """Asked before the first round of each turn."""

    def __call__(
        self, plan: Plan, *, vision: bool = False
    ) -> Awaitable[tuple[tuple[str, ...], Failure | None]]:
        """Return notices about models that do not exist, and the failure when none can write the reply.

        With `vision`, services are asked which of their models see.
        """


@dataclass(slots=True)
class TurnContext:
    """What all calls of a turn share. `shown_notices` are keys of the notices that were given before.

    `images` go along with the prompt, `after` are the tool calls and results since it, `prefill` is the
    beginning of the reply that the aggregator is to continue. `tools` are those of the program, None where
    there are none; `sources` are what they have found so far, numbered from 1 in this order.
    """

    plan: Plan
    ask: Ask
    models: Models
    history: Sequence[Message]
    prompt: str
    shown_notices: set[str]
    after: Sequence[Message] = ()
    prefill: str = ""
    tools: PermittedTools | None = None
    shared: SharedTasks = field(default_factory=SharedTasks)
    sources: list[ToolSource] = field(default_factory=list)
    images: tuple[Image, ...] = ()

    def is_new(self, notice: str) -> bool:
        """Return whether a notice, or the key of one, is given for the first time; "" never is."""
        if not notice or notice in self.shown_notices:
            return False
        self.shown_notices.add(notice)
        return True

    def add_sources(self, calls: Iterable[Call]) -> None:
        """Add what the tools of these calls found, of those calls that are read (`tool_runs_of`)."""
        add_sources(self.sources, tool_runs_of(calls))


@dataclass(frozen=True, slots=True)
class Task:
    """What a call that is not to answer the prompt is asked for.

    `sentence` ends its request; `fields` are further fields of the request's body. `correction` is a reply
    that was of no use and what is said about it: the model is asked once more.
    """

    sentence: str
    fields: Mapping[str, object] = field(default_factory=dict)
    correction: tuple[str, str] | None = None
