"""What a turn may cost at most, a conversation's budget, and what was spent.

Money is reserved before a turn begins. The most is an estimate: prompts counted in characters, every answer
as long as it may be, each layer reading all answers of the layer before, each call answered at the first
attempt. With tools, each round of them is counted with one result of the greatest length.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from bot.errors import MoaError
from bot.messages import Agent, Image, Message, Usage
from bot.method.context import ANSWER_TOKENS, MESSAGE_TOKENS, estimate_tokens, image_tokens, message_tokens
from bot.method.fusion import judge_of
from bot.method.plan import WITHOUT_ROUNDS
from bot.method.prompts import request_again
from bot.method.tool_loop import RESULT_TOKENS
from bot.text.numbers import money, plural

if TYPE_CHECKING:
    from bot.method.plan import Plan
    from bot.turn_result import CallRole, TurnResult

Cost = Callable[[Agent, Usage], float | None]
"""US dollars of a call with this usage, None when the price or the tokens are unknown."""


class BudgetError(MoaError):
    """The next turn may cost more than is left of the budget, or its price is unknown.

    `temporary`: it is allowed once the turns under way are over, if they cost nothing.
    """

    def __init__(self, message: str, hint: str = "", *, temporary: bool = False) -> None:
        super().__init__(message, hint)
        self.temporary = temporary


@dataclass(slots=True)
class TurnEstimate:
    """US dollars of a turn, without the models in `unpriced`; `reply_tokens` are the reply's."""

    dollars: float = 0.0
    reply_tokens: int = 0
    unpriced: set[str] = field(default_factory=set)


def estimate_turn(
    plan: Plan, history_tokens: int, prompt: str, cost: Cost, longest: int | None = None
) -> TurnEstimate:
    """Return what a turn costs whose system prompt and history take `history_tokens` tokens.

    Answers take `longest` tokens; None: all that they may. Of the models that may write the reply the
    dearest counts.
    """
    found = TurnEstimate()
    conversation = history_tokens + estimate_tokens(prompt) + MESSAGE_TOKENS
    around = estimate_tokens(plan.instruction)
    around += estimate_tokens(request_again(prompt)) if plan.placement == "prompt" else 0
    read = 0

    def call(agent: Agent, usual: int, role: CallRole = "reference") -> tuple[float, int]:
        """Return the dollars and the answer's tokens of a call that reads `read` tokens of answers."""
        limit = agent.max_tokens or usual
        answer = limit if longest is None else min(limit, longest)
        asked = conversation + estimate_tokens(agent.system or "") + (around + read if read else 0)
        price = cost(agent, Usage(asked, answer))
        if price is None:
            found.unpriced.add(agent.model)
        if price and longest is None and plan.tools_of(agent, role):
            # A request more for each round of tools, with the calls and results of those before it.
            results = [number * (RESULT_TOKENS + answer) for number in range(1, plan.tool_rounds + 1)]
            price += sum(cost(agent, Usage(asked + tokens, answer)) or 0.0 for tokens in results)
        return price or 0.0, answer

    if plan.on_demand:
        found.dollars += max(call(agent, plan.max_tokens, "aggregator")[0] for agent in plan.writers())
    for layer in plan.layers:
        draft = 0
        if plan.mode in WITHOUT_ROUNDS:
            # Each round is a review of a draft, which its reviewers and its author read.
            dollars, draft = max(call(agent, plan.max_tokens, "aggregator") for agent in plan.writers())
            found.dollars += dollars
            read = draft + ANSWER_TOKENS
        calls = [call(agent, plan.reference_max_tokens) for agent in layer]
        found.dollars += sum(dollars for dollars, _ in calls)
        read = sum(answer + ANSWER_TOKENS for _, answer in calls) + draft
    if plan.is_judged:
        dollars, tokens = call(judge_of(plan), plan.max_tokens, "judge")
        found.dollars += plan.replies * dollars
        read += tokens + ANSWER_TOKENS
    if not plan.is_written:
        # The reply is what there is to read.
        found.reply_tokens = read
        return found
    dollars, found.reply_tokens = max(call(agent, plan.max_tokens, "aggregator") for agent in plan.writers())
    found.dollars += plan.replies * dollars
    return found


class TurnBudget:
    """US dollars up to `cap` (None: any number) for the turns of a conversation; `spent` were paid before.

    `cap` can be set at any time: what is spent is counted without one too.
    """

    def __init__(self, cap: float | None, spent: float = 0.0) -> None:
        self.cap, self.spent = cap, spent
        self._reserved = 0.0

    def reserve(
        self,
        plan: Plan,
        history: Sequence[Message],
        prompt: str,
        cost: Cost,
        images: Sequence[Image] = (),
    ) -> float:
        """Reserve the most that a turn may cost, and return it. BudgetError when that is too much."""
        messages = [Message("system", plan.system or ""), *history]
        tokens = sum(map(message_tokens, messages)) + image_tokens(images)
        found = estimate_turn(plan, tokens, prompt, cost)
        if self.cap is not None and found.unpriced:
            raise BudgetError(
                f"The price of {', '.join(sorted(found.unpriced))} is not known, so no budget can be kept.",
                hint='Set it in config.toml ([models."ID"] input_price, output_price), or drop --max_cost.',
            )
        if self.cap is not None and found.dollars > (left := self.cap - self.spent - self._reserved):
            smaller = self._smaller(plan, tokens, prompt, cost, left)
            reserved = (
                f", with {money(self._reserved)} reserved for turns under way" if self._reserved else ""
            )
            raise BudgetError(
                f"Not asked: this turn may cost up to {money(found.dollars)}, and {money(max(left, 0.0))}"
                f" is left of the budget of {money(self.cap)}{reserved}.",
                hint=f"It would fit with {smaller}." if smaller else "Raise --max_cost to go on.",
                temporary=found.dollars <= self.cap - self.spent,
            )
        self._reserved += found.dollars
        return found.dollars

    def settle(self, reserved: float, cost: float | None) -> None:
        """Release what was reserved for a turn that is over, and book its cost, or all of it if unknown."""
        self._reserved -= reserved
        self.spent += reserved if cost is None else cost

    def _smaller(self, plan: Plan, tokens: int, prompt: str, cost: Cost, left: float) -> str:
        """Return what mixture of the same models would fit, "" if none does."""
        if plan.rounds > 1:
            one_round = replace(plan, layers=plan.layers[:1])
            if estimate_turn(one_round, tokens, prompt, cost).dollars <= left:
                return "one round (--rounds 1)"
        for count in range(len(plan.layers[0]) - 1 if plan.layers else 0, 0, -1):
            fewer = replace(plan, layers=(plan.layers[0][:count],))
            if estimate_turn(fewer, tokens, prompt, cost).dollars <= left:
                return f"{plural(count, 'reference model')} and one round"
        return ""


@dataclass(slots=True)
class Spending:
    """What a chat has cost: dollars as far as they are known, tokens, turns of unknown price."""

    dollars: float = 0.0
    tokens: int = 0
    unpriced: int = 0

    def add(self, result: TurnResult) -> None:
        """Count a turn."""
        usage = result.usage
        self.tokens += (usage.prompt_tokens or 0) + (usage.completion_tokens or 0)
        if result.cost is not None:
            self.dollars += result.cost
        elif result.calls:  # nothing was asked without them
            self.unpriced += 1
