"""What is said about a long turn with models on this computer."""

from __future__ import annotations

import pytest

from bot.errors import Failure, FailureKind
from bot.messages import Agent, Completion, Usage
from bot.repl.slow_models import explanation, slowest_call
from bot.turn_result import Call, Slot, TurnResult


def call(index: int, model: str, seconds: float, usage: Usage = Usage(), endpoint: str = "local") -> Call:  # noqa: B008
    completion = Completion("text", usage=usage, first_token=10.0, seconds=seconds)
    return Call(Slot(1, index, Agent(model, endpoint)), completion)


FAST = call(0, "fast.gguf", 11.0, Usage(100, 20))
SLOW = call(1, "owner/repo/slow.gguf", 52.0, Usage(2000, 504, cached_tokens=100))
CUT = Call(SLOW.slot, failure=Failure(FailureKind.TOO_SLOW, "cut off after 10 s"))
WRITER = Call(Slot(2, 0, Agent("slow.gguf", "local"), "aggregator"), SLOW.completion)


@pytest.mark.parametrize(
    ("calls", "seconds", "said"),
    [
        ([FAST, SLOW], 70.0, "slow.gguf read 1,900 tokens in 10.0 s and wrote 504 at 12/s."),
        ([FAST, CUT], 30.0, "slow.gguf was cut off."),
        ([FAST, call(1, "slow.gguf", 52.0)], 70.0, "slow.gguf took 52.0 s."),
        (
            [FAST, call(1, "slow.gguf", 20.0, Usage(10, 35))],
            30.0,
            "read 10 tokens in 10.0 s and wrote 35 at 3.5/s.",
        ),
    ],
)
def test_what_is_said(calls: list[Call], seconds: float, said: str) -> None:
    """What the slowest model read and wrote, and how to leave it out."""
    result = TurnResult("done", "r", "", "m", tuple(calls), seconds=seconds)
    slow = slowest_call(result, {"local"})
    assert slow is not None
    text = explanation(result, slow)
    assert said in text
    assert text.startswith("The turn took ")
    assert text.endswith(" To leave it out: /references -slow.gguf")


def test_what_cannot_be_left_out() -> None:
    """The aggregator, and the only reference model, are only explained."""
    for calls in ([FAST, WRITER], [SLOW]):
        result = TurnResult("done", "r", "", "m", tuple(calls), seconds=70.0)
        slow = slowest_call(result, {"local"})
        assert slow is not None
        assert explanation(result, slow).endswith("504 at 12/s.")


@pytest.mark.parametrize(
    ("calls", "seconds"),
    [([FAST, SLOW], 19.0), ([FAST], 60.0), ([call(0, "x", 50.0, endpoint="together")], 60.0), ([], 60.0)],
)
def test_nothing_is_said(calls: list[Call], seconds: float) -> None:
    """About a short turn, or one whose time went elsewhere."""
    assert slowest_call(TurnResult("done", "r", "", "m", tuple(calls), seconds=seconds), {"local"}) is None
