"""Which proposals a turn's reply was made of."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from bot.attribution.attribution import Attribution
from bot.attribution.proposals import attribute_result, proposals_read, stored_min_references
from bot.errors import Failure, FailureKind
from bot.messages import Agent, Completion
from bot.store import StoredCall, StoredTurn
from bot.store.results import turn_result
from bot.turn_result import Call, Slot, TurnResult

FAILED = "failed"
Rounds = list[list[tuple[str, str]]]
Build = Callable[..., Attribution]


def from_live_turn(rounds: Rounds, reply: str, needed: int = 1) -> Attribution:
    def call(number: int, index: int, model: str, text: str) -> Call:
        slot = Slot(number, index, Agent(model))
        if text == FAILED:
            return Call(slot, Completion("half a"), Failure(FailureKind.TIMEOUT, "too late", model))
        return Call(slot, Completion(text))

    calls = tuple(
        call(number, index, *answer)
        for number, answers in enumerate(rounds, start=1)
        for index, answer in enumerate(answers)
    )
    return attribute_result(TurnResult("done", reply, "", "judge", calls), needed)


def from_stored_turn(rounds: Rounds, reply: str, needed: int = 1) -> Attribution:
    def call(number: int, index: int, model: str, text: str) -> StoredCall:
        if text == FAILED:
            return StoredCall(2, number, index, "reference", model, "together", "failed", "timed out")
        return StoredCall(2, number, index, "reference", model, "together", "done", text=text)

    calls = [
        call(number, index, *answer)
        for number, answers in enumerate(rounds, start=1)
        for index, answer in enumerate(answers)
    ]
    aggregator = StoredCall(2, len(rounds) + 1, 0, "aggregator", "judge", "together", "done", text=reply)
    turn = StoredTurn("abcdef", 2, "hi", datetime(2026, 7, 2, tzinfo=UTC), "done", reply)
    return attribute_result(turn_result(turn, [*calls, aggregator]), needed)


@pytest.mark.parametrize("build", [from_live_turn, from_stored_turn])
class TestBothWays:
    """A turn gives the same attribution whether it has just ended or comes from the store."""

    def test_the_last_round_counts(self, build: Build) -> None:
        """Proposals are the last round's in the order of their slots, without the failed and empty."""
        last = [("m/a", "one"), ("m/b", FAILED), ("m/c", " "), ("m/d", "two")]
        found = build([[("m/a", "early"), ("m/b", "early")], last], "one")
        assert [proposal.name for proposal in found.proposals] == ["a", "d"]
        assert found.proposals[0].share == 1

    def test_a_round_that_was_put_aside_does_not(self, build: Build) -> None:
        """A later round with too few answers was not read: the one before it was."""
        rounds = [[("a", "one"), ("b", "two")], [("a", "three"), ("b", FAILED)]]
        assert [proposal.name for proposal in build(rounds, "one").proposals] == ["a"]
        assert [proposal.name for proposal in build(rounds, "one", 2).proposals] == ["a", "b"]
        rounds[1][0] = ("a", FAILED)
        assert [proposal.name for proposal in build(rounds, "one").proposals] == ["a", "b"]

    def test_an_aggregator_alone_has_no_proposals(self, build: Build) -> None:
        """Without any answer, or any round, there is nothing to be like."""
        assert build([[("a", FAILED)]], "one").proposals == ()
        assert build([], "one").proposals == ()


def test_names_are_those_of_the_round() -> None:
    """Equal names are told apart as in the list of the round's answers, counting the failed ones too."""
    models = ["zai/GLM-5.2", "zai/GLM-5.2", "other/GLM-5.2", "a/b", "\x1b[31m"]
    calls = [Call(Slot(1, index, Agent(model)), Completion("text")) for index, model in enumerate(models)]
    calls[0] = Call(calls[0].slot, None, Failure(FailureKind.TIMEOUT, "too late", models[0]))
    names = [name for name, _ in proposals_read([calls])]
    assert names == ["zai/GLM-5.2 #2", "other/GLM-5.2", "b", "unnamed"]


@pytest.mark.parametrize(("value", "needed"), [(3, 3), (0, 0), (True, 1), ("3", 1), (None, 1)])
def test_needed_references_come_from_the_settings(value: object, needed: int) -> None:
    """A number in a conversation's settings is believed, anything else is not."""
    assert stored_min_references({"min_references": value}) == needed
    assert stored_min_references({}) == 1
