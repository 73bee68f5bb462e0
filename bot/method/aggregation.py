"""From the last round's answers to the reply, also when aggregators fail.

aggregator ─► whole ─────────────────────────────────────────────────────► the reply
    │ └─► broke off ─► asked for the rest (it, then the fallbacks) ──────► the reply
    └─► failed ─► fallback aggregators, in order ────────────────────────► the reply
                      └─► none left ─► the proposal most like the others, marked as a proposal
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace

from bot.errors import FailureKind
from bot.events import AggregatorStarted, CallDelta, CallFinished, Event, Notice, ReplyDelta
from bot.messages import Agent, Completion, Usage
from bot.method.consult import refused
from bot.method.evidence import evidence_of
from bot.method.fan_out import CancelToken, fan_out
from bot.method.json_reply import JsonReply, is_written, partial_call, rejected_call
from bot.method.medoid import medoid, most_similar
from bot.method.model_call import ModelCall
from bot.method.prompts import ContinuationJoiner
from bot.method.turn_context import Task, TurnContext
from bot.text.names import short_name
from bot.text.words import is_blank
from bot.turn_result import Call, CallRole, Slot

CONTINUE_AFTER = frozenset(
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
"""Failures that break a reply off for reasons outside the reply: the rest can be asked for."""
NEW_REPLY = "\n\n"
"""Separates a reply from a streamed text that is none: one that repeats itself from its beginning on."""


class Aggregation:
    """The last layer of a turn.

    `events()` yields one `CallFinished` for each aggregator that was asked; the last of them is
    `call`, the one behind the reply. `call.failure` is None when there is a reply. The aggregators also
    read a judge's `comparison` of the answers, if there is one.
    """

    def __init__(
        self,
        turn_context: TurnContext,
        cancel_token: CancelToken,
        number: int,
        references: Sequence[Call],
        comparison: str = "",
        *,
        role: CallRole = "aggregator",
    ) -> None:
        self._role: CallRole = role
        self._turn_context = turn_context
        self._comparison = comparison
        self._cancel_token = cancel_token
        self._number = number
        self._references = [call for call in references if call.answer]
        self._reply = ""
        self._slots = 0
        # What a shadow reply is compared with is its words.
        form = None if role == "shadow" else turn_context.plan.reply_format
        self._json = None if form is None else JsonReply(form)
        self.call: Call | None = None

    @property
    def source(self) -> Call:
        """The call whose answer is the reply, once `events()` is over."""
        assert self.call is not None  # noqa: S101 - every aggregator ends with a call
        return self.call

    async def events(self) -> AsyncGenerator[Event, None]:
        """Ask the aggregator, and its fallbacks where it fails."""
        plan = self._turn_context.plan
        candidates = (plan.aggregator, *plan.fallbacks)
        for agent in candidates:
            if self.call is not None:
                yield Notice(f"{ending(self.call)} {_name(agent)} writes the reply instead.")
                if self._is_discarded(self.call) and self._json is None:
                    yield ReplyDelta(NEW_REPLY)
            async with aclosing(self._ask_for_reply(self._next_slot(agent))) as events:
                async for event in events:
                    yield event
            if self._is_final(self.source):
                return
        # A part of a reply is better than a part with another text after it.
        if self._references and not self._reply:
            for event in self._best_proposal(self._slots):
                yield event

    def _is_final(self, call: Call) -> bool:
        """Return whether no more of the reply is to be asked for after this call."""
        if self._cancel_token.stopped or refused(call.failure):
            return True
        completion = call.completion
        return (
            call.failure is None
            and completion is not None
            and completion.truncation_kind not in CONTINUE_AFTER
        )

    async def _ask_for_reply(self, slot: Slot) -> AsyncGenerator[Event, None]:
        """Ask one aggregator for the reply, and once for the rest if it breaks off."""
        yield AggregatorStarted(slot, len(self._references))
        for attempt in (1, 2):
            async with aclosing(self._request(slot)) as events:
                async for event in events:
                    yield event
            if self._is_final(self.source) or not self._reply or attempt > 1:
                break
            yield Notice(f"{ending(self.source)} It was asked for the rest.")
        if self._json is not None:
            async with aclosing(self._check(self._json)) as events:
                async for event in events:
                    yield event
        yield CallFinished(self.source)

    async def _check(self, json_reply: JsonReply) -> AsyncGenerator[Event, None]:
        """Check the JSON of a whole reply; one that is wrong is asked for once more.

        By its end the reply is that JSON, or is marked as partial, or the call has failed.
        """
        self.call, problem = json_reply.check(self.source)
        if problem and not self._cancel_token.stopped:
            agent, rejected, self._reply = self.call.slot.agent, self._reply, ""
            yield Notice(
                f"The reply of {_name(agent)} is {FailureKind.INVALID_REPLY}: {problem}. It was asked again."
            )
            yield CallFinished(rejected_call(self.call, problem))
            slot, task = self._next_slot(agent), json_reply.task("", rejected, problem)
            yield AggregatorStarted(slot, len(self._references))
            async with aclosing(self._request(slot, task)) as events:
                async for event in events:
                    yield event
            self.call, problem = json_reply.check(self.source)
        if problem:
            self.call = partial_call(self.call, problem)
        elif is_written(self.call):
            self._reply = self.call.answer
            yield ReplyDelta(self._reply)

    def _next_slot(self, agent: Agent) -> Slot:
        self._slots += 1
        return Slot(self._number, self._slots - 1, agent, self._role)

    async def _request(self, slot: Slot, task: Task | None = None) -> AsyncGenerator[Event, None]:
        """Send one request and follow it; by its end `call` and `_reply` include what has come."""
        before = self._reply
        # What the reply begins with is not a part of it when the client has it already.
        beginning = self._turn_context.prefill + before
        joiner = ContinuationJoiner(beginning)
        answers = [call.answer for call in self._references]
        model_call = ModelCall(
            slot,
            self._turn_context,
            answers,
            beginning,
            comparison=self._comparison,
            evidence=evidence_of(self._turn_context, self._references),
            task=task or (self._json.task(beginning) if self._json else None),
        )
        async with aclosing(fan_out([model_call], self._cancel_token)) as events:
            async for event in events:
                match event:
                    case CallDelta(text=text, reasoning=reasoning):
                        text = self._shown(self._add(joiner.feed(text)))
                        if text or reasoning:
                            yield ReplyDelta(text, reasoning)
                    case CallFinished(finished):
                        if rest := self._shown(self._add(joiner.close())):
                            yield ReplyDelta(rest)
                        if finished.completion and finished.completion.truncation_kind is FailureKind.ENDLESS:
                            self._reply = self._without_repetition(before, finished)
                        if self._turn_context.prefill and not before and finished.completion:
                            completion = replace(
                                finished.completion, text=self._without_repetition(before, finished)
                            )
                            finished = replace(finished, completion=completion)
                        self.call = self._joined(self.call, finished) if before and self.call else finished
                        if is_blank(self._reply):
                            self._reply = ""
                    case _:
                        yield event

    def _add(self, text: str) -> str:
        """Add to the reply; returns what to show now: blanks at its beginning wait for a word."""
        nothing_shown = is_blank(self._reply)
        self._reply += text
        if not nothing_shown:
            return text
        return "" if is_blank(text) else self._reply

    def _shown(self, text: str) -> str:
        """Return what of a reply is shown while it comes: of JSON nothing before it has been checked."""
        return text if self._json is None else ""

    def _is_discarded(self, call: Call) -> bool:
        """Return whether the text that the call streamed is not part of the reply."""
        return call.failure is not None and call.failure.kind is FailureKind.ENDLESS and not self._reply

    def _without_repetition(self, before: str, finished: Call) -> str:
        """Return the reply up to where `finished` repeats itself; "" when too little of it is left."""
        joiner = ContinuationJoiner(self._turn_context.prefill + before)
        text = "" if finished.failure or finished.completion is None else finished.completion.text
        return before + joiner.feed(text) + joiner.close()

    def _joined(self, beginning: Call, rest: Call) -> Call:
        """Return the two calls that wrote the reply as one.

        Its usage and cost are unknown: a request that broke off reported none.
        """
        first, second = beginning.completion or Completion(""), rest.completion or Completion("")
        if rest.failure:
            # The reply is still the part that broke off first, and ends as that did.
            reason = str(replace(rest.failure, model=""))
            second = replace(second, partial=reason, truncation_kind=first.truncation_kind)
        completion = replace(
            second,
            text=self._reply,
            reasoning=first.reasoning + second.reasoning,
            usage=Usage(),
            first_token=first.first_token,
            seconds=first.seconds + second.seconds,
            retries=first.retries + second.retries + 1,
        )
        return Call(rest.slot, completion, tool_runs=beginning.tool_runs + rest.tool_runs)

    def _best_proposal(self, index: int) -> list[Event]:
        """Return the events that make the proposal most like the others the reply, marked as a proposal."""
        chosen, failed = medoid(self._references), self.source
        assert chosen.completion is not None  # noqa: S101 - it has an answer
        name = _name(chosen.slot.agent)
        completion = replace(
            chosen.completion,
            partial=f"no aggregator answered: this is {name}'s own answer",
            # The proposal's own call has its tokens and cost.
            usage=Usage(0, 0, 0),
        )
        slot = Slot(self._number, index, chosen.slot.agent, "aggregator")
        self.call = Call(slot, completion, cost=0.0)
        alike = f", {most_similar(self._references)}" if len(self._references) > 1 else ""
        return [
            Notice(ending(failed)),
            Notice(f"No aggregator answered. The reply is the answer of {name}{alike}."),
            *([ReplyDelta(NEW_REPLY)] if self._is_discarded(failed) and self._json is None else []),
            *([ReplyDelta(chosen.answer)] if self._json is None else []),
            CallFinished(self.call),
        ]


def ending(call: Call) -> str:
    """Return how an aggregator that did not finish its reply ended, as a sentence."""
    name = _name(call.slot.agent)
    if call.failure is not None:
        ending = f"{name} failed: {replace(call.failure, model='')}"
    else:
        ending = f"The reply of {name} broke off: {call.completion.partial if call.completion else ''}"
    # A service's own words may end in a full stop.
    return f"{ending.rstrip('.')}."


def _name(agent: Agent) -> str:
    return short_name(agent.model)
