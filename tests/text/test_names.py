"""Names as they are shown, and the names that mistyped ones were meant to be."""

from __future__ import annotations

import pytest

from bot.messages import Agent
from bot.text.names import slot_names
from bot.text.nearest import did_you_mean, expected_names


@pytest.mark.parametrize(
    ("agents", "names"),
    [
        (["a/x", "b/y"], ["x", "y"]),
        (["a/x", "b/x", "c/z"], ["a/x", "b/x", "z"]),
        (["a/x", "a/x", "b/y"], ["x #1", "x #2", "y"]),
        (["plain"], ["plain"]),
    ],
)
def test_names_are_short_and_different(agents: list[str], names: list[str]) -> None:
    """No two slots look alike."""
    assert slot_names([Agent(model) for model in agents]) == names


def test_the_same_model_at_two_services() -> None:
    """The endpoint tells them apart."""
    agents = [Agent("a/x"), Agent("a/x", endpoint="local")]
    assert slot_names(agents) == ["a/x @ together", "a/x @ local"]


def test_a_mistyped_name_is_recognised() -> None:
    """One that is near is named; without one nothing is guessed, and where it helps all are listed."""
    names = ["rounds", "aggregator"]
    assert did_you_mean("ruonds", names) == "Did you mean rounds? "
    assert did_you_mean("x" * 1_000_000, names) == ""
    assert expected_names("agregator", names) == "did you mean aggregator?"
    assert expected_names("zzz", names) == "expected one of rounds, aggregator"
