r"""Mode "vote": each reference ends with a line `ANSWER: …`, and the most frequent answer is the reply.

ANSWER lines ─► compared ─► more than half of the references agree ─► their answer is the reply
                   └─► a tie, no majority, no such lines ───────────► the aggregator writes (mode "moa")

Answers are the same when they are written differently only: 1,000 and 1000.0, 1/2 and 0.5, \boxed{7} and 7,
5 km and 5000 metres, 5 March 2024 and 2024-03-05, "The Nile." and "nile". A number without a unit agrees
with the same number with one, 5 with "x = 5", A with "A. Paris". What is compared is not computed: x^2-1
and (x-1)(x+1) are two answers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

from bot.events import Event, Notice, ReplyDelta
from bot.method.aggregation import Aggregation
from bot.method.fan_out import CancelToken
from bot.method.turn_context import TurnContext
from bot.text.numbers import plural
from bot.text.quantities import Quantity
from bot.text.short_answers import answer_line, detail, normalised, shown_answer
from bot.turn_result import Call

_MOST_NAMED = 5
"""Answers that a notice names at most."""
_LONGEST_NAMED = 60
"""Characters of an answer in a notice."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """An answer, as most of its voters wrote it, and the places of its voters (from 0)."""

    answer: str
    voters: tuple[int, ...]


def tally(texts: Sequence[str]) -> list[Candidate]:
    """Return the answers of these texts, the most frequent first; texts without one do not vote."""
    groups: dict[str | Quantity, list[tuple[int, str]]] = {}
    for place, text in enumerate(texts):
        answer = answer_line(text)
        if answer is not None and (key := normalised(answer)):
            groups.setdefault(key, []).append((place, answer))
    for key in [key for key in groups if isinstance(key, Quantity) and not key.unit]:
        same = [other for other in groups if isinstance(other, Quantity) and other.unit and other.agrees(key)]
        if len(same) == 1:
            groups[same[0]] = sorted(groups[same[0]] + groups.pop(key))
    candidates = [
        Candidate(
            Counter(shown_answer(answer) for _, answer in votes).most_common(1)[0][0],
            tuple(place for place, _ in votes),
        )
        for group in groups.values()
        for votes in _same_details(group)
    ]
    return sorted(candidates, key=lambda each: (-len(each.voters), each.voters))


def _same_details(group: Sequence[tuple[int, str]]) -> list[list[tuple[int, str]]]:
    """Split a group's votes (place, answer) where their details differ: "x = 5", "y = 5".

    An answer without details joins the most frequent.
    """
    parts: list[tuple[set[str], list[tuple[int, str]]]] = []
    without = []
    for vote in group:
        words = detail(vote[1])
        if not words:
            without.append(vote)
            continue
        same = next((part for part in parts if part[0] & words), None)
        if same is None:
            parts.append((set(words), [vote]))
        else:
            same[0].update(words)
            same[1].append(vote)
    if not parts:
        return [without]
    max(parts, key=lambda part: len(part[1]))[1].extend(without)
    return [sorted(votes) for _, votes in parts]


class Vote:
    """The last layer of a turn in mode "vote". With a majority no model is asked."""

    def __init__(
        self, turn_context: TurnContext, cancel_token: CancelToken, number: int, references: Sequence[Call]
    ) -> None:
        self._references = [call for call in references if call.answer]
        self._aggregation = Aggregation(turn_context, cancel_token, number, references)
        self._source: Call | None = None

    @property
    def source(self) -> Call:
        """The call whose answer is the reply: after a majority, one of its voters with nothing but that."""
        return self._source or self._aggregation.source

    async def events(self) -> AsyncGenerator[Event, None]:
        """Count the answers, and have the aggregator write the reply where that settles nothing."""
        candidates = tally([_vote(call) for call in self._references])
        voters = len(self._references)
        if candidates and 2 * len(candidates[0].voters) > voters:
            first, *others = candidates
            rest = f" ({_counts(others)})" if others else ""
            yield Notice(f"{len(first.voters)} of {voters}: {_short(first.answer)}{rest}")
            chosen = self._references[first.voters[0]]
            assert chosen.completion is not None  # noqa: S101 - it has an answer
            completion = replace(
                chosen.completion,
                text=first.answer,
                reasoning="",
                finish_reason="stop",
                partial="",
                truncation_kind=None,
            )
            self._source = replace(chosen, completion=completion)
            yield ReplyDelta(first.answer)
            return
        found = _counts(candidates) if candidates else "no answer ended with an ANSWER line"
        yield Notice(
            f"No majority among {plural(voters, 'answer')} ({found}): the aggregator writes the reply."
        )
        async with aclosing(self._aggregation.events()) as events:
            async for event in events:
                yield event


def _vote(call: Call) -> str:
    """Return the text that a call votes with: without its last line where it may be cut off within that."""
    completion = call.completion
    if completion is None or (not completion.partial and completion.finish_reason != "length"):
        return call.answer
    return call.answer.rpartition("\n")[0]


def _counts(candidates: Sequence[Candidate]) -> str:
    counts = [f"{len(each.voters)} for {_short(each.answer)}" for each in candidates[:_MOST_NAMED]]
    more = len(candidates) - _MOST_NAMED
    return ", ".join([*counts, f"{more} more"] if more > 0 else counts)


def _short(answer: str) -> str:
    line = " ".join(answer.split())
    return line if len(line) <= _LONGEST_NAMED else line[: _LONGEST_NAMED - 1] + "…"
