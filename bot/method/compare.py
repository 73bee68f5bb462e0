"""Mode "compare": nothing is merged; the reply is the answers of the last round, one under the other.

Where a judge is named, it compares them as in mode "fusion", and its comparison stands above them. A
terminal shows the answers beside each other.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from bot.analysis import Analysis
from bot.events import Compared, Event, ReplyDelta, SideBySide
from bot.messages import Completion
from bot.method.fan_out import CancelToken
from bot.method.fusion import Fusion, comparison_text
from bot.method.turn_context import TurnContext
from bot.text.names import slot_names
from bot.turn_result import Call, Slot


class Compare:
    """The last layer of a turn in mode "compare". The aggregator is not asked."""

    def __init__(
        self, turn_context: TurnContext, cancel_token: CancelToken, number: int, references: Sequence[Call]
    ) -> None:
        self._references = [call for call in references if call.answer]
        self._aggregator = Slot(number, 0, turn_context.plan.aggregator, "aggregator")
        compares = turn_context.plan.judge is not None and len(self._references) > 1
        self._fusion = Fusion(turn_context, cancel_token, number, references) if compares else None
        self._reply = ""

    @property
    def source(self) -> Call:
        """A call with all answers as its text, which was not made."""
        return Call(self._aggregator, Completion(self._reply, finish_reason="stop"), cost=0.0)

    async def events(self) -> AsyncGenerator[Event, None]:
        """Have the answers compared if there is a judge, and yield all of them as the reply."""
        analysis: Analysis | None = None
        if self._fusion is not None:
            async with aclosing(self._fusion.compare()) as events:
                async for event in events:
                    if isinstance(event, Compared):
                        analysis = event.analysis
                    yield event
        self._reply = answers_text(self._references, analysis)
        yield SideBySide(tuple(self._references), analysis)
        yield ReplyDelta(self._reply)


def answers_text(references: Sequence[Call], analysis: Analysis | None = None) -> str:
    """Return the answers as Markdown, numbered, each under its model's name, the comparison above them."""
    names = slot_names([call.slot.agent for call in references])
    parts = [f"## Comparison\n\n{comparison_text(analysis)}"] if analysis else []
    parts += [
        f"## {number} · {name}\n\n{call.answer.strip()}"
        for number, (name, call) in enumerate(zip(names, references, strict=True), start=1)
    ]
    return "\n\n".join(parts)
