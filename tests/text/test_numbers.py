"""Money, durations, counts and dates as they are written and read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from bot.errors import UsageError
from bot.text.dates import local_time, parse_age
from bot.text.numbers import compact, duration, money, plural

WHEN = datetime(2026, 7, 2, 9, 31, 12, 345_000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("dollars", "text"),
    [
        (None, "cost unknown"),
        (0.0, "$0"),
        (0.00001, "<$0.0001"),
        (0.0001, "$0.0001"),
        (0.000123456, "$0.000123"),
        (0.0183, "$0.0183"),
        (0.031, "$0.031"),
        (0.02, "$0.02"),
        (0.5, "$0.50"),
        (0.99951, "$1.00"),
        (1, "$1.00"),
        (1.239, "$1.24"),
        (3.2, "$3.20"),
        (1_234_567.891, "$1,234,567.89"),
    ],
)
def test_money(dollars: float | None, text: str) -> None:
    """Cents from a dollar on, three significant digits below; never in powers of ten."""
    assert money(dollars) == text


def test_money_that_is_not_all_known() -> None:
    """A plus sign says that some amounts are not included."""
    assert (money(12.5, 2), money(0.0, 1), money(None, 3)) == ("$12.50+", "$0+", "cost unknown")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (6, "6 s"),
        (6.0, "6.0 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 00 s"),
        (125.2, "2 min 05 s"),
        (3599.4, "59 min 59 s"),
        (3599.9, "1 h 00 min"),
        (7_265, "2 h 01 min"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    """Tenths below a minute, then minutes and seconds, then hours and minutes."""
    assert duration(seconds) == text


def test_counts() -> None:
    """One is singular, all else plural; large counts are short where room is."""
    assert [plural(count, "turn") for count in (0, 1, 2, 1_000)] == [
        "0 turns",
        "1 turn",
        "2 turns",
        "1,000 turns",
    ]
    assert plural(2, "retry", "retries") == "2 retries"
    assert [compact(count) for count in (640, 12_300, 999_600, 1_000_000, 1_048_576, 1_500_000)] == [
        "640", "12k", "1M", "1M", "1M", "1.5M",
    ]  # fmt: skip


def test_local_time() -> None:
    """Moments are written in the time of this computer, to the minute."""
    assert local_time(WHEN) == WHEN.astimezone().strftime("%Y-%m-%d %H:%M")


@pytest.mark.parametrize(
    ("text", "age"),
    [
        ("30d", timedelta(days=30)),
        ("12h", timedelta(hours=12)),
        (" 8 W ", timedelta(weeks=8)),
        ("0d", timedelta()),
        ("2026-01-31", WHEN - datetime(2026, 1, 31).astimezone()),
        ("2026-01-31t12:30", WHEN - datetime(2026, 1, 31, 12, 30).astimezone()),
        ("2026-01-31T12:30Z", WHEN - datetime(2026, 1, 31, 12, 30, tzinfo=UTC)),
    ],
)
def test_ages(text: str, age: timedelta) -> None:
    """Ages count back from now; dates are midnight, in local time unless they say otherwise."""
    assert parse_age(text, WHEN) == WHEN - age


@pytest.mark.parametrize(
    "text",
    [
        "",
        "30",
        "d",
        "-3d",
        "3x",
        "1.5d",
        "٣d",
        "999999999w",
        "2026-02-30",
        "2026-13-01",
        "yesterday",
        "2026-07-03",
    ],
)
def test_nonsense_is_no_age(text: str) -> None:
    """What is neither an age nor a date, or lies in the future, is refused with examples."""
    with pytest.raises(UsageError) as refused:
        parse_age(text, WHEN)
    assert '"30d"' in refused.value.hint
