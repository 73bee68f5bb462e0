"""Mode "critique": one model drafts, the others review the draft, the author revises it.

author ─► draft ─► reviewers, side by side ─► no concern, or no review ─► the draft is the reply
                          └─► concerns ─► the author revises the draft ─► the reply

Each round of the plan is one review and one revision; a review without a concern is the last. The draft
streams as it is written, and so does each revision. Reviews are sealed as answers are; the draft is the
author's own message when the author revises it.
"""

from __future__ import annotations

import re
from asyncio import get_running_loop
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Final

from bot.events import (
    CallFinished,
    DraftAccepted,
    DraftDelta,
    Event,
    Notice,
    ReplyDelta,
    RoundFinished,
    RoundStarted,
)
from bot.messages import Agent, Message, Usage
from bot.method.aggregation import Aggregation, ending
from bot.method.evidence import evidence_of
from bot.method.fan_out import CancelToken, fan_out
from bot.method.model_call import ModelCall
from bot.method.panel import cut_notice
from bot.method.turn_context import Task, TurnContext
from bot.text.names import family_of
from bot.text.numbers import plural
from bot.turn_result import Call, CallRole, Slot

TASK: Final = "Do not answer the request. List the concerns about the draft, or write: nothing"

_MARKUP = re.compile(r"[*_`#>\"'“”‘’()\[\]]+")
_FAULT = r"(?:concern|issue|problem|error|mistake|fault|flaw|objection|change|correction|comment)s?"
_NONE = re.compile(
    r"(?:i |we )?(?:have |see |find |found |there (?:is|are) )?"
    rf"(?:nothing|none|n/a|no (?:[a-z]+ ){{0,2}}{_FAULT}(?: or (?:[a-z]+ )?{_FAULT})?)"
    r"(?: (?:has |have |needs? )?to (?:be )?[a-z]+| (?:is |are )?(?:needed|found|wrong|required|necessary))?"
    r" *(?:[.!:;,–—-]|$)"
)
"""How a review without a concern begins."""
_ITEM = re.compile(r"(?:[-*•–]|\d+[.)])\s+\S")
_BUT = re.compile(r"\b(?:but|however|except|although|though|apart from|other than)\b")


def has_concerns(review: str) -> bool:
    """Return whether a review names anything to change: it does unless it begins by saying "nothing".

    A review that says so and then lists something anyway, or goes on with "however", does.
    """
    lines = [line.strip() for line in review.strip().casefold().splitlines() if line.strip()]
    if not lines:
        return False
    first = re.sub(r"^(?:[-*•–]|\d+[.)]|concerns?:|review:)\s+", "", lines[0])
    first = _MARKUP.sub("", first).strip()
    if not _NONE.match(first):
        return True
    return any(_ITEM.match(line) for line in lines[1:]) or bool(_BUT.search(" ".join([first, *lines[1:]])))


def reviewers(layer: Sequence[Agent], author: Agent) -> tuple[Agent, ...]:
    """Return those of a layer that review a draft: of another family than its author, if there are any."""
    other_families = [agent for agent in layer if family_of(agent.model) != family_of(author.model)]
    others = [agent for agent in layer if (agent.model, agent.endpoint) != (author.model, author.endpoint)]
    return tuple(other_families or others or layer)


class Critique:
    """A whole turn in mode "critique", which has no rounds of answers before it.

    `number` is the draft's layer; each review and each revision is a layer of its own after it.
    """

    def __init__(
        self, turn_context: TurnContext, cancel_token: CancelToken, number: int, references: Sequence[Call]
    ) -> None:
        del references  # nothing was answered yet
        plan = replace(turn_context.plan, placement="prompt")
        self._turn_context = replace(turn_context, plan=plan)
        self._cancel_token = cancel_token
        self._number = number
        self._source: Call | None = None
        self._reviews: tuple[Call, ...] = ()

    @property
    def source(self) -> Call | None:
        """The call whose answer is the reply, once `events()` is over: a draft's, or the last revision's."""
        return self._source

    async def events(self) -> AsyncGenerator[Event, None]:
        """Have a draft written, reviewed and revised."""
        writing = Aggregation(self._turn_context, self._cancel_token, self._number, (), role="draft")
        async with aclosing(_as_draft(writing)) as events:
            async for event in events:
                yield event
        draft = self._source = writing.source
        if draft.failure is not None:
            return
        layers = self._turn_context.plan.layers
        for cycle, layer in enumerate(layers, start=1):
            if not self._is_whole(draft):
                break
            async with aclosing(self._review(cycle, layer, draft)) as events:
                async for event in events:
                    yield event
            concerns = [call for call in self._reviews if call.answer and has_concerns(call.answer)]
            cut = cut_notice(cycle, len(layers), self._reviews)
            for notice in filter(None, (cut, self._verdict(concerns))):
                yield Notice(notice)
            if not concerns or self._cancel_token.stopped:
                break
            last = cycle == len(layers)
            revising = self._revision(draft, concerns, "aggregator" if last else "draft")
            async with aclosing(revising.events() if last else _as_draft(revising)) as events:
                async for event in events:
                    yield event
            if last:
                self._source = revising.source
                return
            draft = self._source = revising.source
        yield DraftAccepted()
        yield ReplyDelta(draft.answer)

    def _is_whole(self, draft: Call) -> bool:
        """Return whether a draft is to be reviewed: not what is left of one, and no call of a tool."""
        completion = draft.completion
        return (
            completion is not None
            and not (completion.partial or completion.tool_calls)
            and not self._cancel_token.stopped
        )

    async def _review(self, cycle: int, layer: Sequence[Agent], draft: Call) -> AsyncGenerator[Event, None]:
        """Have the draft reviewed by those of the layer who can; `_reviews` are their calls."""
        self._cancel_token.round_cut = False
        self._number += 1
        plan = self._turn_context.plan
        plan = replace(plan, instruction=plan.instructions.get("review", plan.instruction))
        context = replace(self._turn_context, plan=plan, prefill="")
        agents = reviewers(layer, draft.slot.agent)
        slots = tuple(Slot(self._number, index, agent, "review") for index, agent in enumerate(agents))
        evidence = evidence_of(context, [draft])
        calls = [
            ModelCall(slot, context, [draft.answer], evidence=evidence, task=Task(TASK)) for slot in slots
        ]
        yield RoundStarted(cycle, plan.rounds, slots)
        now = get_running_loop().time
        started = now()
        finished: dict[Slot, Call] = {}
        async with aclosing(fan_out(calls, self._cancel_token, plan.round_timeout)) as events:
            async for event in events:
                if isinstance(event, CallFinished):
                    finished[event.call.slot] = event.call
                yield event
        self._reviews = tuple(finished[slot] for slot in slots)
        context.add_sources(self._reviews)
        used = not self._cancel_token.stopped
        yield RoundFinished(cycle, plan.rounds, self._reviews, now() - started, used)
        # Cutting the review short is not cutting the revision.
        self._cancel_token.round_cut = False

    def _verdict(self, concerns: Sequence[Call]) -> str:
        """Return what is to be said about reviews after which the draft is not revised, else ""."""
        answered = [call for call in self._reviews if call.answer]
        if self._cancel_token.stopped:
            return "Stopped before the draft was revised: the reply is the draft."
        if not answered:
            return "No reviewer answered: the reply is the draft, which nobody has reviewed."
        if not concerns:
            who = plural(len(answered), "reviewer")
            left_out = len(self._reviews) - len(answered)
            rest = f" ({left_out} did not answer)" if left_out else ""
            return f"{who} found nothing to change{rest}: the reply is the draft."
        return ""

    def _revision(self, draft: Call, concerns: Sequence[Call], role: CallRole) -> Aggregation:
        self._number += 1
        plan = self._turn_context.plan.with_aggregator(draft.slot.agent)
        plan = replace(plan, instruction=plan.instructions.get("revise", plan.instruction))
        after = (*self._turn_context.after, Message("assistant", draft.answer))
        context = replace(self._turn_context, plan=plan, after=after)
        return _Revision(context, self._cancel_token, self._number, concerns, draft=draft, role=role)


class _Revision(Aggregation):
    """Writes a revision from the reviews; where no author can, the draft stays."""

    def __init__(
        self,
        turn_context: TurnContext,
        cancel_token: CancelToken,
        number: int,
        reviews: Sequence[Call],
        *,
        draft: Call,
        role: CallRole,
    ) -> None:
        super().__init__(turn_context, cancel_token, number, reviews, role=role)
        self._draft = draft

    def _best_proposal(self, index: int) -> list[Event]:
        """Return the events that make the draft the reply, marked as unrevised."""
        draft, failed = self._draft, self.source
        assert draft.completion is not None  # noqa: S101 - it has an answer
        completion = replace(
            draft.completion,
            partial="no model revised it: this is the draft",
            # The draft's own call has its tokens and cost.
            usage=Usage(0, 0, 0),
        )
        slot = Slot(self._number, index, draft.slot.agent, self._role)
        self.call = Call(slot, completion, cost=0.0)
        notices: list[Event] = [
            Notice(ending(failed)),
            Notice("No model revised the draft. The reply is the draft."),
        ]
        # Where this was not to be the last revision, the draft becomes the reply all the same.
        shown: list[Event] = [DraftAccepted(), ReplyDelta(draft.answer)] if self._role == "aggregator" else []
        return [*notices, *shown, CallFinished(self.call)]


async def _as_draft(writing: Aggregation) -> AsyncGenerator[Event, None]:
    """Yield the events of a model that writes a draft: its words are not yet the reply's."""
    async with aclosing(writing.events()) as events:
        async for event in events:
            if isinstance(event, ReplyDelta):
                yield DraftDelta(event.text, event.reasoning)
            else:
                yield event
