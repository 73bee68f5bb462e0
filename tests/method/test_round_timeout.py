"""How long a round waits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.method.round_timeout import MIN_WAIT, RoundTimeout


@pytest.mark.parametrize(
    ("round_timeout", "slots", "answered", "limit"),
    [
        (RoundTimeout(), 6, [], None),
        (RoundTimeout(), 6, [1.0, 1.1], None),
        (RoundTimeout(), 6, [1.0, 1.1, 1.2], 10.0),
        (RoundTimeout(), 6, [1.0, 8.0, 9.0], 18.0),
        (RoundTimeout(), 6, [1.0, 8.0, 9.0, 17.0], 18.0),
        (RoundTimeout(), 6, [1.0, 1.0, 5.0], 10.0),
        (RoundTimeout(), 6, [1.0, 1.0, 5.125], 10.25),
        (RoundTimeout(), 5, [1.0, 2.0], None),
        (RoundTimeout(), 5, [1.0, 2.0, 6.0], 12.0),
        (RoundTimeout(), 2, [6.0], 12.0),
        (RoundTimeout(), 1, [], None),
        (RoundTimeout(), 1, [3.0], None),
        (RoundTimeout(), 0, [], None),
        (RoundTimeout(deadline=5), 6, [], 5.0),
        (RoundTimeout(deadline=30), 6, [1.0, 1.0, 1.0], 30.0),
        (RoundTimeout(quorum=4, grace=0.5), 6, [1.0, 1.0, 1.0], None),
        (RoundTimeout(quorum=4, grace=0.5), 6, [1.0, 1.0, 1.0, 2.0], 2.5),
        (RoundTimeout(quorum=4, grace=0.5, deadline=2.2), 6, [1.0, 1.0, 1.0, 2.0], 2.2),
        (RoundTimeout(quorum=4, grace=0.5, deadline=9), 6, [1.0, 1.0, 1.0], 9.0),
        (RoundTimeout(quorum=4, grace=0.5, deadline=9), 6, [1.0, 1.0, 1.0, 2.0], 2.5),
        (RoundTimeout(quorum=1), 6, [], None),
        (RoundTimeout(quorum=1), 6, [1.5], 3.5),
        (RoundTimeout(quorum=1), 6, [1.5, 9.0], 3.5),
        (RoundTimeout(quorum=1.0, grace=0), 1, [1.5], 1.5),
        (RoundTimeout(quorum=0.01, grace=1), 6, [2.0], 3.0),
        (RoundTimeout(quorum=0.99, grace=1), 6, [1.0] * 5, None),
        (RoundTimeout(quorum=0.99, grace=1), 6, [1.0] * 5 + [4.0], 5.0),
        (RoundTimeout(quorum=0.5, grace=1), 4, [1.0, 2.0], 3.0),
        (RoundTimeout(quorum=0.5, grace=1), 5, [1.0, 2.0], None),
        (RoundTimeout(quorum=0.5, grace=1), 5, [1.0, 2.0, 3.0], 4.0),
        (RoundTimeout(quorum=1.5, grace=1), 5, [1.0, 2.0], 3.0),
        (RoundTimeout(quorum=100, grace=1), 2, [1.0, 2.0], 3.0),
    ],
)
def test_limits(round_timeout: RoundTimeout, slots: int, answered: list[float], limit: float | None) -> None:
    """Deadline, quorum with grace, or twice the median and ten seconds at least; the nearest counts.

    All calls were sent when the round began, so that their own seconds are those of the round.
    """
    limits = (round_timeout.own_limit(slots, answered), round_timeout.round_limit(slots, answered))
    assert min((each for each in limits if each is not None), default=None) == limit


@given(st.integers(2, 12), st.lists(st.floats(0, 100), min_size=1, max_size=12))
def test_by_default_never_more_than_twice_the_median(slots: int, times: list[float]) -> None:
    """However answers come, the limit is twice the median answer's time, or the least wait."""
    answered = sorted(times)[:slots]
    limit = RoundTimeout().own_limit(slots, answered)
    needed = -(-slots // 2)
    if len(answered) < needed:
        assert limit is None
    else:
        assert limit == max(MIN_WAIT, 2 * answered[needed - 1])
