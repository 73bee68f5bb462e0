"""The plan: what a mixture runs, with nothing left to look up.

Made from settings by `bot.app.make_plan`. It knows models and endpoints by name only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from bot.messages import Agent, Mode
from bot.method.early_stop import EarlyStop
from bot.method.prompts import Placement
from bot.method.round_timeout import RoundTimeout
from bot.turn_result import CallRole

if TYPE_CHECKING:
    from bot.text.reply_format import ReplyFormat

Order = Literal["given", "rotated"]

JUDGED: frozenset[Mode] = frozenset({"fusion", "compare"})
"""The modes that ask the judge."""


WITHOUT_ROUNDS: frozenset[Mode] = frozenset({"critique"})
"""The modes in which the reference models do not answer the prompt in rounds before the last layer."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A mixture ready to run.

    `layers[r]` are the reference models of round r + 1, in order; there are as many as rounds,
    or none when there are no reference models at all. An agent's None means the mixture's value:
    `temperature`, and `max_tokens` for the aggregator, `reference_max_tokens` for the others.
    `instruction` is the aggregate-and-synthesize text, `system` the user's system prompt.
    `fallbacks` are asked, in order, when the aggregator fails; `round_timeout` says when the slow
    calls of a round are cut off. `timeout` is a request's, in seconds. `mode` is how the last layer
    makes the reply, `instructions` are the texts that only this mode needs, by name. `judge` is the
    model that compares answers, None for the aggregator. `placement` is where the answers stand in a
    request (`bot.method.prompts`), `order` in which order the last layer reads them
    (`bot.method.modes.reading_order`). `reply_fields` are further fields of the requests for the reply, such
    as `tools`. `tools` are patterns of the tools that reference models may call, up to `tool_rounds` times in
    a row; the judge and the aggregator may too with `tools_for_all`, and where there are no reference models.
    With `on_demand` the aggregator answers alone and may consult the reference models (`bot.method.consult`).
    `reply_format` is what the reply has to be, None for any text.
    """

    layers: tuple[tuple[Agent, ...], ...]
    aggregator: Agent
    temperature: float
    max_tokens: int
    reference_max_tokens: int
    min_references: int
    seed: int | None
    timeout: float
    instruction: str
    system: str | None = None
    fallbacks: tuple[Agent, ...] = ()
    round_timeout: RoundTimeout = field(default_factory=RoundTimeout)
    early_stop: EarlyStop = field(default_factory=EarlyStop)
    light_aggregator: Agent | None = None
    mode: Mode = "moa"
    instructions: Mapping[str, str] = field(default_factory=dict)
    judge: Agent | None = None
    placement: Placement = "prompt"
    order: Order = "given"
    reply_fields: Mapping[str, object] = field(default_factory=dict)
    tools: tuple[str, ...] = ()
    tool_rounds: int = 6
    tools_for_all: bool = False
    on_demand: bool = False
    reply_format: ReplyFormat | None = None

    @property
    def rounds(self) -> int:
        """The number of rounds of reference models."""
        return len(self.layers)

    @property
    def replies(self) -> int:
        """The most replies that a turn has: with --early_stop shadow there may be a second one."""
        shadow = self.early_stop.is_shadow and self.layers and self.mode not in WITHOUT_ROUNDS
        return 2 if shadow and (self.rounds > 1 or self.early_stop.adaptive) else 1

    @property
    def is_judged(self) -> bool:
        """Whether a judge compares the answers."""
        named = self.judge is not None or self.mode != "compare"
        return self.mode in JUDGED and named and bool(self.layers)

    @property
    def is_written(self) -> bool:
        """Whether a model may be asked for the reply."""
        return self.mode != "compare" or not self.layers or self.min_references < 1

    @property
    def calls(self) -> int:
        """The calls of a turn in which every model is asked once for each of its answers."""
        drafts = self.rounds if self.mode in WITHOUT_ROUNDS else 0
        last = self.replies * (self.is_judged + self.is_written)
        return self.on_demand + sum(map(len, self.layers)) + drafts + last

    @property
    def uses_tools(self) -> bool:
        """Whether any model may be offered tools."""
        return bool(self.tools) or any(agent.tools for agent in self.agents())

    def tools_of(self, agent: Agent, role: CallRole) -> tuple[str, ...]:
        """Return the patterns of the tools that an agent in this role is offered."""
        if agent.tools is None:
            allowed = self.tools_for_all or not self.layers or role in {"reference", "review"}
            return self.tools if allowed else ()
        return agent.tools

    def with_light_aggregator(self) -> Plan:
        """Return the plan whose aggregator is the light one, with the usual one as its first fallback."""
        assert self.light_aggregator is not None  # noqa: S101 - only then may it write the reply
        return replace(self, aggregator=self.light_aggregator, fallbacks=(self.aggregator, *self.fallbacks))

    def with_aggregator(self, agent: Agent) -> Plan:
        """Return the plan whose aggregator is this agent, with the usual one as its first fallback."""
        if agent == self.aggregator:
            return self
        rest = tuple(each for each in self.fallbacks if each != agent)
        return replace(self, aggregator=agent, fallbacks=(self.aggregator, *rest))

    def agents(self) -> tuple[Agent, ...]:
        """Return every different agent, in order, the aggregator last."""
        references = (agent for layer in self.layers for agent in layer)
        judge = (self.judge,) if self.judge and self.is_judged else ()
        return tuple(dict.fromkeys((*references, *judge, *self.writers())))

    def writers(self) -> tuple[Agent, ...]:
        """Return the agents that may write the reply, the aggregator last."""
        light = (self.light_aggregator,) if self.light_aggregator and self.early_stop.adaptive else ()
        return (*light, *self.fallbacks, self.aggregator)
