"""Reads how old is old: what people type after `--older_than`."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from bot.errors import UsageError

_AGE = re.compile(r"(\d{1,9})\s*([hdw])", re.ASCII)
_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


def parse_age(text: str, now: datetime | None = None) -> datetime:
    """Return the moment (aware, UTC) that lies an age such as "12h", "30d", "8w" before `now`.

    A date ("2026-01-31") is its midnight in local time; a date with a time is taken as it is.
    Raises UsageError for anything else, and for what lies in the future or before all time.
    """
    now = now or datetime.now(UTC)
    said = text.strip().lower()
    try:
        age = _AGE.fullmatch(said)
        moment = (
            now - int(age[1]) * _UNITS[age[2]]
            if age
            else datetime.fromisoformat(said.upper()).astimezone(UTC)
        )
    except (ValueError, OverflowError, OSError) as error:
        raise UsageError(f'"{text}" is no age or date', 'write "12h", "30d", "8w" or "2026-01-31"') from error
    if moment > now:
        # It would mean all conversations, which nobody means by a date.
        raise UsageError(f'"{text}" lies in the future', 'write "12h", "30d", "8w" or "2026-01-31"')
    return moment
