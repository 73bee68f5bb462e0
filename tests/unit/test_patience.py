"""How long a round waits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.patience import LEAST_WAIT, Patience


@pytest.mark.parametrize(
    ("patience", "seats", "answered", "limit"),
    [
        (Patience(), 6, [], None),
        (Patience(), 6, [1.0, 1.1], None),
        (Patience(), 6, [1.0, 1.1, 1.2], 10.0),
        (Patience(), 6, [1.0, 8.0, 9.0], 18.0),
        (Patience(), 6, [1.0, 8.0, 9.0, 17.0], 18.0),
        (Patience(), 1, [], None),
        (Patience(deadline=5), 6, [], 5.0),
        (Patience(deadline=30), 6, [1.0, 1.0, 1.0], 30.0),
        (Patience(quorum=4, grace=0.5), 6, [1.0, 1.0, 1.0], None),
        (Patience(quorum=4, grace=0.5), 6, [1.0, 1.0, 1.0, 2.0], 2.5),
        (Patience(quorum=4, grace=0.5, deadline=2.2), 6, [1.0, 1.0, 1.0, 2.0], 2.2),
        (Patience(quorum=0.5, grace=1), 5, [1.0, 2.0, 3.0], 4.0),
        (Patience(quorum=100, grace=1), 2, [1.0, 2.0], 3.0),
    ],
)
def test_limits(patience: Patience, seats: int, answered: list[float], limit: float | None) -> None:
    """Deadline, quorum with grace, or twice the median and ten seconds at least; the nearest counts."""
    assert patience.limit(seats, answered) == limit


@given(st.integers(2, 12), st.lists(st.floats(0, 100), min_size=1, max_size=12))
def test_by_default_never_more_than_twice_the_median(seats: int, times: list[float]) -> None:
    """However answers come, the limit is twice the median answer's time, or the least wait."""
    answered = sorted(times)[:seats]
    limit = Patience().limit(seats, answered)
    needed = -(-seats // 2)
    if len(answered) < needed:
        assert limit is None
    else:
        assert limit == max(LEAST_WAIT, 2 * answered[needed - 1])
