"""What many prompts may cost, before anything is asked: tokens estimated, prices from the catalogue.

Two figures: `likely`, if every answer takes `LIKELY_TOKENS` tokens, and `most`, if every answer takes
all that it may. Both count that later layers read all answers of the layer before.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bot.app.turn_budget import Cost, estimate_turn
from bot.method.context import MESSAGE_TOKENS, estimate_tokens
from bot.text.numbers import money, plural

if TYPE_CHECKING:
    from bot.bulk.rows import PromptRow
    from bot.method.plan import Plan

LIKELY_TOKENS = 500


@dataclass(slots=True)
class Estimate:
    """US dollars and calls of a run; `unpriced` are the models whose price is not known."""

    prompts: int = 0
    calls: int = 0
    likely: float = 0.0
    most: float = 0.0
    unpriced: set[str] = field(default_factory=set)

    def __str__(self) -> str:
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

    def dollars(row: PromptRow, longest: int | None) -> float:
        """Return what a conversation costs when answers take `longest` tokens, None: all that they may."""
        before = [row.plan_for(plan).system or "", *(message.content for message in row.history)]
        history, total = sum(estimate_tokens(text) + MESSAGE_TOKENS for text in before), 0.0
        for turn in row.turns:
            each = estimate_turn(plan, history, turn, cost, longest)
            total += each.dollars
            found.unpriced |= each.unpriced
            history += estimate_tokens(turn) + each.reply_tokens + 2 * MESSAGE_TOKENS
        return total

    for row in rows:
        found.prompts += 1
        found.calls += len(row.turns) * plan.calls
        found.likely += dollars(row, LIKELY_TOKENS)
        found.most += dollars(row, None)
    return found
