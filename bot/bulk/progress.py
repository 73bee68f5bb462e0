"""What a run says on stderr while it works: counts, rate, cost so far, time left.

On a terminal one line that is written anew; elsewhere a plain line now and then. Nothing is
counted here: the numbers are the tally's and the runner's.
"""

from __future__ import annotations

import shutil
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, TextIO

from bot.text.numbers import duration, money, plural

if TYPE_CHECKING:
    from bot.bulk.cached_client import Tally

REDRAW_SECONDS = 0.5
PLAIN_SECONDS = 30.0


class Progress:
    """Shows how far a stage is. `total` None: nobody knows how many items there are."""

    def __init__(self, stream: TextIO, *, terminal: bool, quiet: bool = False) -> None:
        self._stream, self._terminal, self._quiet = stream, terminal, quiet
        self._label = ""
        self._total: int | None = None
        self._done = self._failed = self._old = 0
        self._tally: Tally | None = None
        self._started = self._shown = monotonic()
        self._drawn = False

    def begin(self, label: str, total: int | None, tally: Tally) -> None:
        """Start a stage of `total` items."""
        self._label, self._total, self._tally = label, total, tally
        self._done = self._failed = self._old = 0
        self._started = self._shown = monotonic()

    def item(self, *, failed: bool, old: bool) -> None:
        """Count an item as done; `old` when nothing had to be asked for it."""
        self._done += 1
        self._failed += failed
        self._old += old

    def tick(self) -> None:
        """Show the state, if that is due."""
        every = REDRAW_SECONDS if self._terminal else PLAIN_SECONDS
        if self._quiet or monotonic() - self._shown < every:
            return
        self._shown = monotonic()
        self._write(self.line())

    def end(self) -> None:
        """Show the last state, and leave the line."""
        if self._quiet:
            return
        self._write(self.line())
        if self._terminal and self._drawn:
            with suppress(OSError, ValueError):
                self._stream.write("\n")
                self._stream.flush()
            self._drawn = False

    def line(self) -> str:
        """Return the state in one line."""
        tally, done = self._tally, self._done
        total = "" if self._total is None else f" of {self._total:,}"
        parts = [f"{self._label}: {done:,}{total}"]
        if self._old:
            parts.append(f"{self._old:,} from before")
        if self._failed:
            parts.append(f"{self._failed:,} failed")
        seconds = monotonic() - self._started
        fresh = done - self._old
        if fresh and seconds > 0:
            parts.append(f"{fresh / seconds:.2g}/s" if fresh / seconds < 10 else f"{fresh / seconds:.0f}/s")  # noqa: PLR2004 - two digits are enough
        if tally is not None:
            if tally.retries:
                parts.append(plural(tally.retries, "retry", "retries"))
            if tally.in_flight:
                parts.append(f"{tally.in_flight} under way")
            parts.append(cost_text(tally))
        if fresh and self._total is not None and done < self._total:
            parts.append(f"{duration(round((self._total - done) * seconds / fresh))} left")
        else:
            parts.append(duration(round(seconds)))
        return " · ".join(parts)

    def _write(self, text: str) -> None:
        with suppress(OSError, ValueError):
            if self._terminal:
                width = shutil.get_terminal_size().columns - 1
                self._stream.write("\r\x1b[K" + text[:width])
                self._drawn = True
            else:
                self._stream.write(f"moa-bot: {text}\n")
            self._stream.flush()


def cost_text(tally: Tally) -> str:
    """Write what was spent, and of how many calls the price is unknown."""
    if not tally.unpriced:
        return money(tally.spent)
    calls = f"{plural(tally.unpriced, 'call')} of unknown price"
    return f"{money(tally.spent)} + {calls}" if tally.spent else calls
