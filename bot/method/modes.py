"""How the last layer makes the reply: one class per mode, chosen here and nowhere else.

A new mode: its name in `bot.messages.Mode`, its class in `_LAST_LAYERS`, the files of its instructions in
`bot.app.make_plan`, and a sentence in the help of --mode.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Protocol

from bot.events import Event
from bot.messages import Mode
from bot.method.aggregation import Aggregation
from bot.method.compare import Compare
from bot.method.critique import Critique
from bot.method.fan_out import CancelToken
from bot.method.fusion import Fusion
from bot.method.plan import WITHOUT_ROUNDS, Order
from bot.method.ranking import Ranking
from bot.method.turn_context import TurnContext
from bot.method.vote import Vote
from bot.turn_result import Call


class LastLayer(Protocol):
    """The last layer of a turn. It yields a `CallFinished` for each call; the last is the reply's writer."""

    def __init__(
        self, turn_context: TurnContext, cancel_token: CancelToken, number: int, references: Sequence[Call]
    ) -> None:
        """Prepare layer `number` (from 1); `references` are the answered calls of the last round."""

    @property
    def source(self) -> Call | None:
        """The call whose answer is the reply, once `events()` is over; a failed one if there is none.

        None: the user stopped the turn before any model was asked for the reply.
        """

    def events(self) -> AsyncGenerator[Event, None]:
        """Make the reply."""


_LAST_LAYERS: Mapping[Mode, type[LastLayer]] = {
    "moa": Aggregation,
    "fusion": Fusion,
    "critique": Critique,
    "vote": Vote,
    "compare": Compare,
    "rank": Ranking,
}


def last_layer(
    turn_context: TurnContext, cancel_token: CancelToken, number: int, references: Sequence[Call]
) -> LastLayer:
    """Return the last layer of the plan's mode. Without references the aggregator answers alone."""
    plan = turn_context.plan
    alone = not (plan.layers if plan.mode in WITHOUT_ROUNDS else references)
    made = Aggregation if alone else _LAST_LAYERS[plan.mode]
    return made(
        turn_context, cancel_token, number, reading_order(references, plan.order, turn_context.prompt)
    )


def reading_order(references: Sequence[Call], order: Order, prompt: str) -> Sequence[Call]:
    """Return the references in the order in which the last layer reads them.

    "rotated" begins with one of them that depends on the prompt alone: over many prompts each place is
    each model's equally often, and the same prompt is asked the same way again.
    """
    if order == "given" or not references:
        return references
    first = int.from_bytes(hashlib.sha256(prompt.encode("utf-8", "surrogatepass")).digest()) % len(references)
    return (*references[first:], *references[:first])
