"""The aggregator as a judge: it names the best answer of the last round, which is then the reply.

The LLM-ranker of the paper (section 3.3), the baseline that a mixture has to beat. Everything up
to the last round is the mixture's; how the aggregator is asked, and what happens when it fails, is
`bot.method.aggregation`'s. Here its words are read as a number, and the answer of that number is given
word for word.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace

from bot.events import Call, Event, Notice, ReplyDelta
from bot.method.aggregation import Aggregation, most_similar
from bot.method.fan_out import CancelToken
from bot.method.model_call import TurnContext

_NUMBER = re.compile(r"(?<![\w.,])\d{1,4}(?![\w,]|\.\d)")


class Ranking:
    """The last layer of a turn in mode "rank"; `call` and `attempts` as in `Aggregation`."""

    def __init__(
        self, turn_context: TurnContext, cancel_token: CancelToken, number: int, references: Sequence[Call]
    ) -> None:
        self._references = [call for call in references if call.answer]
        plan = replace(
            turn_context.plan, instruction=turn_context.plan.ranking or turn_context.plan.instruction
        )
        self._aggregation = Aggregation(replace(turn_context, plan=plan), cancel_token, number, references)
        self.call: Call | None = None

    @property
    def attempts(self) -> list[Call]:
        """The aggregators that failed before."""
        return self._aggregation.attempts

    async def events(self) -> AsyncGenerator[Event, None]:
        """Have the aggregator choose, and give what it chose."""
        async with aclosing(self._aggregation.events()) as events:
            async for event in events:
                if not isinstance(event, ReplyDelta):
                    yield event
                elif event.reasoning:
                    yield ReplyDelta("", event.reasoning)
        self.call = call = self._aggregation.call
        if call is None or call.failure is not None or call.completion is None:
            return
        chosen = self._chosen(call.completion.text)
        if chosen is None:
            chosen = most_similar(self._references)
            yield Notice(
                f"{call.slot.agent.model} named no answer: "
                f"the reply is that of {chosen.slot.agent.model}, the one most like the others."
            )
        finish = chosen.completion.finish_reason if chosen.completion else None
        self.call = replace(
            call, completion=replace(call.completion, text=chosen.answer, finish_reason=finish)
        )
        yield ReplyDelta(chosen.answer)

    def _chosen(self, said: str) -> Call | None:
        """Return the call that was chosen; where no aggregator answered, an answer stands there itself."""
        given = [call for call in self._references if call.answer == said]
        number = read_number(said, len(self._references))
        return given[0] if given else None if number is None else self._references[number - 1]


def read_number(said: str, most: int) -> int | None:
    """Return the number from 1 to `most` that is named, None when none or more than one is.

    A ranker that explains itself names several; then its last line counts, if that names one.
    """
    lines = said.strip().splitlines()
    for text in (said, lines[-1] if lines else ""):
        named = {int(number) for number in _NUMBER.findall(text)}
        fitting = {number for number in named if 1 <= number <= most}
        if len(fitting) == 1:
            return fitting.pop()
    return None
