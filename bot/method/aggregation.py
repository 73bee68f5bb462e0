"""From the last round's answers to the reply, whatever becomes of the aggregator.

aggregator ─► whole ─────────────────────────────────────────────► the reply
    │ └─► cut off in the middle ─► asked to go on (it, then the fallbacks) ─► the reply
    └─► failed ─► fallback aggregators, in order ─► the reply
                      └─► none left ─► the proposal most like the others, shown as what it is
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace

from bot.errors import FailureKind
from bot.events import AggregatorStarted, Call, CallDelta, CallFinished, Event, Notice, ReplyDelta, Slot
from bot.messages import Agent, Completion, Usage
from bot.method.fan_out import CancelToken, fan_out
from bot.method.model_call import ModelCall, TurnContext
from bot.method.prompts import ContinuationJoiner

GOES_ON = frozenset(
    {
        FailureKind.CUT,
        FailureKind.TIMEOUT,
        FailureKind.SERVICE,
        FailureKind.OVERLOADED,
        FailureKind.RATE_LIMITED,
        FailureKind.CONNECTION,
        FailureKind.WORKER,
        FailureKind.GARBLED,
    }
)
"""What may cut a reply off without being about the reply: then the rest is asked for."""


class Aggregation:
    """The last layer of a turn. After `events()`, `call` is the call behind the reply.

    `call.failure` is None when there is a reply; `attempts` are the aggregators that failed before.
    """

    def __init__(
        self, turn_context: TurnContext, cancel_token: CancelToken, number: int, references: Sequence[Call]
    ) -> None:
        self._turn = turn_context
        self._cancel_token = cancel_token
        self._number = number
        self._references = [call for call in references if call.answer]
        self._so_far = ""
        self.call: Call | None = None
        self.attempts: list[Call] = []

    async def events(self) -> AsyncGenerator[Event, None]:
        """Ask the aggregator, its fallbacks if need be, and tell how it goes."""
        plan = self._turn.plan
        candidates = (plan.aggregator, *plan.fallbacks)
        for index, agent in enumerate(candidates):
            slot = Slot(self._number, index, agent, "aggregator")
            yield AggregatorStarted(slot, len(self._references))
            async with aclosing(self._write(slot)) as events:
                async for event in events:
                    yield event
            if self.call is None or self._is_over(self.call):
                return
            self.attempts.append(self.call)
            if index + 1 < len(candidates):
                yield Notice(
                    f"{self._why(self.call)} {_name(candidates[index + 1])} writes the reply instead."
                )
        if self._so_far or not self._references:
            # A part of a reply is better than another text behind it.
            self.call = self.attempts.pop()
            return
        async with aclosing(self._best_proposal(len(candidates))) as events:
            async for event in events:
                yield event

    def _is_over(self, call: Call) -> bool:
        if self._cancel_token.stopped:
            return True
        completion = call.completion
        return call.failure is None and completion is not None and completion.truncation_kind not in GOES_ON

    async def _write(self, slot: Slot) -> AsyncGenerator[Event, None]:
        """One aggregator's reply, asked to go on once if it breaks off."""
        for again in (False, True):
            before = self._so_far
            async with aclosing(self._stream(ModelCall(slot, self._turn, self._texts(), before))) as events:
                async for event in events:
                    yield event
            if self.call is None or self._is_over(self.call) or not self._so_far or again:
                break
            yield Notice(f"{self._why(self.call)} It was asked for the rest.")
        if self.call is not None:
            yield CallFinished(self.call)

    async def _stream(self, call: ModelCall) -> AsyncGenerator[Event, None]:
        """Follow one request; `call` and `_so_far` are what has come of the reply by its end."""
        before, seam = self._so_far, ContinuationJoiner(self._so_far) if self._so_far else None
        async with aclosing(fan_out([call], self._cancel_token)) as events:
            async for event in events:
                match event:
                    case CallDelta(text=text, reasoning=reasoning):
                        text = seam.feed(text) if seam else text
                        self._so_far += text
                        if text or reasoning:
                            yield ReplyDelta(text, reasoning)
                    case CallFinished(finished):
                        if seam and (rest := seam.close()):
                            self._so_far += rest
                            yield ReplyDelta(rest)
                        self.call = self._joined(finished) if before else finished
                    case _:
                        yield event

    def _joined(self, call: Call) -> Call:
        """Return the call with the whole reply; what the first part cost nobody has said."""
        last = self.call.completion if self.call else None
        rest = call.completion or Completion("")
        if call.failure and last:
            # The reply is still the part that broke off; that no rest came is no end of it.
            rest = replace(
                rest, partial=str(replace(call.failure, model="")), truncation_kind=last.truncation_kind
            )
        completion = replace(
            rest,
            text=self._so_far,
            reasoning=(last.reasoning if last else "") + rest.reasoning,
            usage=Usage(),
            first_token=last.first_token if last else None,
            seconds=(last.seconds if last else 0.0) + rest.seconds,
            retries=(last.retries if last else 0) + rest.retries + 1,
        )
        return Call(call.slot, completion)

    async def _best_proposal(self, index: int) -> AsyncGenerator[Event, None]:
        """Give the proposal that is most like the others, as what it is."""
        chosen = most_similar(self._references)
        assert chosen.completion is not None  # noqa: S101 - it has an answer
        slot = replace(chosen.slot, round=self._number, index=index, role="aggregator")
        name = _name(chosen.slot.agent)
        why = f"no aggregator answered: this is {name}'s own answer"
        completion = replace(chosen.completion, partial=why, usage=Usage(0, 0, 0))
        if self.attempts:
            yield Notice(self._why(self.attempts[-1]))
        alike = ", the one most like the others" if len(self._references) > 1 else ""
        yield Notice(f"No aggregator answered. This is the answer of {name}{alike}.")
        yield ReplyDelta(chosen.answer)
        self.call = Call(slot, completion, cost=0.0)
        yield CallFinished(self.call)

    def _texts(self) -> list[str]:
        return [call.answer for call in self._references]

    @staticmethod
    def _why(call: Call) -> str:
        name = _name(call.slot.agent)
        if call.failure is not None:
            return f"{name} failed: {replace(call.failure, model='')}."
        return f"The reply of {name} broke off: {call.completion.partial if call.completion else ''}."


def most_similar(calls: Sequence[Call]) -> Call:
    """Return the call whose answer is most like all others (by TF-IDF cosine); the first among equals."""
    if len(calls) <= 2:  # noqa: PLR2004 - of two, neither is the more alike
        return calls[0]
    from bot.text.similarity import tfidf

    likeness = tfidf([call.answer for call in calls])
    scores = [sum(row) for row in likeness]
    return calls[scores.index(max(scores))]


def _name(agent: Agent) -> str:
    return agent.model.rpartition("/")[2]
