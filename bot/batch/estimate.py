"""What a batch may cost, before anything is asked: prompts estimated, prices from the catalogue.

Two figures: `likely`, if every answer takes `LIKELY_TOKENS` tokens, and `most`, if every answer takes
all that it may. Both count that later layers read all answers of the layer before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bot.messages import Agent, Usage
from bot.method.context import MESSAGE_TOKENS, estimate_tokens
from bot.text.numbers import money, plural

if TYPE_CHECKING:
    from bot.batch.rows import PromptRow
    from bot.method.plan import Plan

LIKELY_TOKENS = 500
_FRAME_TOKENS = 40
"""What stands around an answer that another model reads."""

Cost = Callable[[Agent, Usage], float | None]


@dataclass(slots=True)
class Estimate:
    """US dollars and calls of a batch; `unpriced` are the models whose price is not known."""

    prompts: int = 0
    calls: int = 0
    likely: float = 0.0
    most: float = 0.0
    unpriced: set[str] = field(default_factory=set)

    def text(self) -> str:
        """Say it in a sentence or two."""
        head = f"{plural(self.prompts, 'prompt')}, {plural(self.calls, 'call')}"
        likely, most = money(self.likely), money(self.most)
        if self.unpriced:
            return (
                f"{head}. The prices of {', '.join(sorted(self.unpriced))} are not known;"
                f" the others cost about {likely}, at most {most}."
            )
        return f"{head}: about {likely} if answers take {LIKELY_TOKENS} tokens each, at most {most}."


def estimate(rows: Iterable[PromptRow], plan: Plan, cost: Cost) -> Estimate:
    """Return what answering these rows may cost."""
    found = Estimate()
    likely, most = _Reckoner(plan, cost, LIKELY_TOKENS), _Reckoner(plan, cost, None)
    for row in rows:
        found.prompts += 1
        for reckoner in (likely, most):
            reckoner.row(row)
    found.calls, found.unpriced = most.calls, most.unpriced
    found.likely, found.most = likely.dollars, most.dollars
    return found


class _Reckoner:
    """Adds up what rows cost when answers take `tokens` tokens (None: all that they may)."""

    def __init__(self, plan: Plan, cost: Cost, tokens: int | None) -> None:
        self._plan, self._cost, self._tokens = plan, cost, tokens
        self._instruction = estimate_tokens(plan.instruction)
        self._system = estimate_tokens(plan.system or "")
        self.calls, self.dollars = 0, 0.0
        self.unpriced: set[str] = set()

    def row(self, row: PromptRow) -> None:
        """Count a row in, turn by turn."""
        history = 0
        for turn in row.turns:
            history += estimate_tokens(turn) + MESSAGE_TOKENS
            history += self._turn(history + self._system + MESSAGE_TOKENS)

    def _turn(self, prompt: int) -> int:
        """Count one turn in; returns the tokens of its reply."""
        plan, read, reply = self._plan, 0, 0
        for layer in (*plan.layers, (plan.aggregator,)):
            asked = prompt + (self._instruction + read if read else 0)
            read = 0
            for agent in layer:
                usual = plan.max_tokens if agent is plan.aggregator else plan.reference_max_tokens
                limit = agent.max_tokens or usual
                reply = limit if self._tokens is None else min(limit, self._tokens)
                read += reply + _FRAME_TOKENS
                self.calls += 1
                price = self._cost(agent, Usage(asked, reply))
                if price is None:
                    self.unpriced.add(agent.model)
                else:
                    self.dollars += price
        return reply
