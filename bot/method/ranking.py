"""The aggregator as a judge: it names the best answer of the last round, which is then the reply.

The LLM-ranker of the paper (section 3.3), the baseline that a mixture has to beat. Up to the last
round the turn is the mixture's; how the aggregator is asked, and what happens when it fails, is in
`bot.method.aggregation`. Here its text is read as a number, and the answer of that number is the
reply, word for word.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace

from bot.events import Event, Notice, ReplyDelta
from bot.method.aggregation import Aggregation
from bot.method.fan_out import CancelToken
from bot.method.medoid import medoid, most_similar
from bot.method.turn_context import TurnContext
from bot.turn_result import Call

_NUMBER = re.compile(r"(?<![\w.,])\d{1,4}(?![\w,]|\.\d)")


class Ranking:
    """The last layer of a turn in mode "rank". After `events()`, `source` is the call of the chosen answer.

    Where the aggregator failed, `source` is that failed call. A single answer is chosen without asking.
    """

    def __init__(
        self, turn_context: TurnContext, cancel_token: CancelToken, number: int, references: Sequence[Call]
    ) -> None:
        self._references = [call for call in references if call.answer]
        plan = turn_context.plan
        plan = replace(plan, instruction=plan.instructions.get("rank", plan.instruction))
        self._aggregation = Aggregation(replace(turn_context, plan=plan), cancel_token, number, references)
        self._chosen: Call | None = None

    @property
    def source(self) -> Call:
        """The call whose answer is the reply, once `events()` is over."""
        return self._chosen or self._aggregation.source

    async def events(self) -> AsyncGenerator[Event, None]:
        """Have the aggregator choose, and yield the answer that it chose as the reply."""
        if len(self._references) == 1:
            self._chosen = self._references[0]
            yield Notice("There is only one answer, and so nothing to choose from.")
            yield ReplyDelta(self._chosen.answer)
            return
        async with aclosing(self._aggregation.events()) as events:
            async for event in events:
                if not isinstance(event, ReplyDelta):
                    yield event
                elif event.reasoning:
                    yield ReplyDelta("", event.reasoning)
        call = self._aggregation.source
        if call.failure is not None:
            return
        self._chosen = self._choice(call.answer)
        if self._chosen is None:
            self._chosen = medoid(self._references)
            alike = most_similar(self._references)
            yield Notice(
                f"{call.slot.agent.model} named no answer: "
                f"the reply is the answer of {self._chosen.slot.agent.model}, {alike}."
            )
        yield ReplyDelta(self._chosen.answer)

    def _choice(self, text: str) -> Call | None:
        """Return the call whose number `text` names, None where it names none.

        Where no aggregator answered, `text` is the proposal that took the place of its answer.
        """
        for call in self._references:
            if call.answer == text:
                return call
        number = read_number(text, len(self._references))
        return None if number is None else self._references[number - 1]


def read_number(text: str, largest: int) -> int | None:
    """Return the number from 1 to `largest` that `text` names, None when it names none or several.

    An explanation names several numbers; then the last line counts, if that names one.
    """
    lines = text.strip().splitlines()
    for part in (text, lines[-1] if lines else ""):
        named = {int(number) for number in _NUMBER.findall(part)}
        valid = {number for number in named if 1 <= number <= largest}
        if len(valid) == 1:
            return valid.pop()
    return None
