"""The Mixture of Agents itself: rounds of reference models, then the aggregator.

    round 1              every reference model gets the conversation and the prompt
    round 2 … rounds     the same, plus all answers of the round before
    aggregator           the same, plus all answers of the last round; its text is the reply

With --when auto the aggregator is asked alone before that, and decides whether it goes on
(`bot.method.consult`).

(arXiv 2406.04692, section 2.2; rounds = layers - 1.) The mixture is pure: it is given a way to
ask and what is known of the models, and yields events. It knows nothing of processes, services,
terminals or files; chat, batch and evaluations all run this one loop. Times are read from the
event loop's clock, so a test can set it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from bot.events import (
    Event,
)
from bot.messages import Ask, Image, Message, Usage
from bot.method.fan_out import CancelToken
from bot.method.turn import Turn
from bot.method.turn_context import CheckNames, Models, TurnContext
from bot.tool_use import PermittedTools
from bot.turn_result import Call

if TYPE_CHECKING:
    from bot.method.plan import Plan

__all__ = ["CancelToken", "Mixture"]


class Mixture:
    """A mixture ready to answer: its plan, a way to ask, and what is known of its models.

    `check_names` is asked before the first round of each turn. `tools` are those that models may call.
    """

    def __init__(
        self,
        plan: Plan,
        ask: Ask,
        models: Models,
        check_names: CheckNames | None = None,
        tools: PermittedTools | None = None,
    ) -> None:
        self.plan = plan
        self._ask = ask
        self.models = models
        self._check_names = check_names
        self._tools = tools
        self._shown_notices: set[str] = set()

    def run(
        self,
        history: Sequence[Message],
        prompt: str,
        cancel_token: CancelToken | None = None,
        *,
        after: Sequence[Message] = (),
        prefill: str = "",
        references: Sequence[Call] = (),
        images: Sequence[Image] = (),
    ) -> AsyncGenerator[Event, None]:
        """Answer `prompt` after `history`; the last event is always `TurnFinished`.

        `images` go along with the prompt. `after` are tool calls and results since the prompt. The reply
        continues `prefill`. It is made from `references`, where there are any, without asking reference
        models. Closing the iterator cancels every call of the turn.
        """
        turn_context = TurnContext(
            self.plan,
            self._ask,
            self.models,
            history,
            prompt,
            self._shown_notices,
            after,
            prefill,
            self._tools,
            images=tuple(images),
        )
        given = [_paid(call) for call in references]
        return Turn(turn_context, cancel_token or CancelToken(), self._check_names, given).events()


def _paid(call: Call) -> Call:
    """Return a call of an earlier turn for this one, in which it cost nothing."""
    completion = replace(call.completion, usage=Usage(0, 0, 0)) if call.completion else None
    return replace(call, completion=completion, cost=0.0)
