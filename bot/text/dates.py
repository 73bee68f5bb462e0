"""Dates as they are shown, and ages and dates as people type them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from bot.errors import UsageError

_AGE = re.compile(r"(\d{1,9})\s*([hdw])", re.ASCII)
_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


def local_time(moment: datetime) -> str:
    """Write a moment in local time, to the minute: "2026-01-31 09:05"."""
    return moment.astimezone().strftime("%Y-%m-%d %H:%M")


def parse_age(text: str, now: datetime | None = None) -> datetime:
    """Return the moment (aware, UTC) that lies an age such as "12h", "30d", "8w" before `now`.

    A date ("2026-01-31") is its midnight in local time; a date with a time is taken as it is.
    Raises UsageError for anything else, and for a date in the future or before the year 1.
    """
    now = now or datetime.now(UTC)
    wanted = text.strip().lower()
    try:
        age = _AGE.fullmatch(wanted)
        moment = (
            now - int(age[1]) * _UNITS[age[2]]
            if age
            else datetime.fromisoformat(wanted.upper()).astimezone(UTC)
        )
    except (ValueError, OverflowError, OSError) as error:
        raise UsageError(
            f'"{text}" is neither an age nor a date', 'write "12h", "30d", "8w" or "2026-01-31"'
        ) from error
    if moment > now:
        # Everything is older than a date in the future, which nobody means by one.
        raise UsageError(f'"{text}" lies in the future', 'write "12h", "30d", "8w" or "2026-01-31"')
    return moment
