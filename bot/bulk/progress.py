"""What a run shows on stderr while it works: counts, rate, cost so far, time left.

On a terminal one line that is written anew; elsewhere a plain line every half minute.
"""

from __future__ import annotations

import shutil
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING

from bot.text.numbers import duration, money, plural

if TYPE_CHECKING:
    from bot.app.streams import Streams
    from bot.bulk.cached_client import CallStats

REDRAW_SECONDS = 0.5
PLAIN_SECONDS = 30.0


class BulkProgress:
    """Shows how far a stage is, unless `quiet`."""

    def __init__(self, streams: Streams, *, quiet: bool = False) -> None:
        self._streams, self._quiet = streams, quiet
        self._terminal = streams.stderr_is_terminal

    def begin(self, label: str, total: int, stats: CallStats) -> None:
        """Start a stage of `total` items."""
        self._label, self._total, self._stats = label, total, stats
        self._done = self._failed = self._cached = 0
        self._started = self._shown = monotonic()

    def item(self, *, failed: bool, cached: bool) -> None:
        """Count an item as done; `cached` when no call had to be made for it."""
        self._done += 1
        self._failed += failed
        self._cached += cached

    def refresh(self) -> None:
        """Show the state, if that is due."""
        if monotonic() - self._shown >= (REDRAW_SECONDS if self._terminal else PLAIN_SECONDS):
            self._shown = monotonic()
            self._show(end="")

    def note(self, text: str) -> None:
        """Show a line of its own, also when quiet."""
        self._streams.say(f"\r\x1b[Kmoa-bot: {text}" if self._terminal else f"moa-bot: {text}")

    def end(self) -> None:
        """Show the last state, and leave the line."""
        self._show(end="\n")

    def _show(self, end: str) -> None:
        if self._quiet:
            return
        text = f"moa-bot: {self._line()}\n"
        if self._terminal:
            text = f"\r\x1b[K{self._line()[: shutil.get_terminal_size().columns - 1]}{end}"
        with suppress(OSError, ValueError):  # a stderr that is gone is no reason to stop
            print(text, end="", file=self._streams.stderr, flush=True)

    def _line(self) -> str:
        stats, computed = self._stats, self._done - self._cached
        seconds = monotonic() - self._started
        parts = [f"{self._label}: {self._done:,} of {self._total:,}"]
        if self._cached:
            parts.append(f"{self._cached:,} from before")
        if self._failed:
            parts.append(f"{self._failed:,} failed")
        if computed and seconds > 0:
            rate = computed / seconds
            parts.append(f"{rate:.2g}/s" if rate < 10 else f"{rate:.0f}/s")  # noqa: PLR2004 - two digits are enough
        if stats.retries:
            parts.append(plural(stats.retries, "retry", "retries"))
        if stats.in_flight:
            parts.append(f"{stats.in_flight} under way")
        parts.append(cost_text(stats))
        if computed and self._done < self._total:
            parts.append(f"{duration(round((self._total - self._done) * seconds / computed))} left")
        else:
            parts.append(duration(round(seconds)))
        return " · ".join(parts)


def cost_text(stats: CallStats) -> str:
    """Write what was spent, and of how many calls the price is unknown."""
    if not stats.unpriced:
        return money(stats.spent)
    calls = f"{plural(stats.unpriced, 'call')} of unknown price"
    return f"{money(stats.spent)} + {calls}" if stats.spent else calls
