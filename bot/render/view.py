"""The views: each is told a turn's events and shows them to whoever is at the other end.

`TerminalView` is for a person: progress on stderr, then the reply, then one quiet line about it.
The views without a person, `PipeView` and `JsonView`, are in `reply`.
"""

from __future__ import annotations

import time
from typing import IO, TYPE_CHECKING, Protocol

from bot.events import CallFinished, Notice, ReplyDelta, TurnFinished
from bot.render.progress import MARGIN
from bot.render.reply import RawReply, Reports
from bot.render.turn_text import partial_reason, turn_failure, turn_summary
from bot.text.names import short_name
from bot.text.sanitise import Sanitiser, one_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

    from bot.events import Call, Event, TurnResult
    from bot.render.progress import Progress


class View(Protocol):
    """Whatever shows a turn."""

    def on(self, event: Event) -> None:
        """Take in one event."""

    def tick(self) -> None:
        """Let clocks and rates move; call it a few times a second."""

    def expand(self) -> None:
        """Show the reference models' answers as they come, or fold them again."""

    def hide(self) -> None:
        """Take off the screen what still moves, before another writes there; it comes back by itself."""

    def close(self) -> None:
        """Leave the terminal in order, however the turn ended. May be called more than once."""


class _Reply(Protocol):
    def feed(self, text: str) -> None: ...
    def refresh(self) -> None: ...
    def hide(self) -> None: ...
    def close(self, *, partial: bool = False) -> None: ...


class PlainReply:
    """Writes a reply to a terminal as plain text, sanitised, without Markdown."""

    def __init__(self, out: IO[str]) -> None:
        self._raw = RawReply(out)
        self._sanitiser = Sanitiser()

    def feed(self, text: str) -> None:
        """Write the next piece."""
        self._raw.feed(self._sanitiser.feed(text))

    def refresh(self) -> None:
        """Do nothing: all that came is written."""

    def hide(self) -> None:
        """Do nothing: what is written stays."""

    def close(self, *, partial: bool = False) -> None:
        """Write what was held back, and the final newline if it is missing."""
        self._raw.feed(self._sanitiser.close())
        self._raw.close(partial=partial)


class TerminalView:
    """A turn for a person: `out` or `err` is a terminal.

    Where `out` is none, the reply goes there as into a pipe; where `err` is none, failures go
    there as plain lines. `plain` means no Markdown and nothing that moves. `keep` leaves the
    folded rounds and the line under the reply on the screen; without it only the reply and what
    went wrong stay. A closed `out` raises BrokenPipeError.
    """

    def __init__(
        self,
        out: Console | IO[str],
        err: Console | IO[str],
        *,
        plain: bool = False,
        quiet: bool = False,
        stream: bool = True,
        show_reasoning: bool = False,
        keep: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._out = _console(out)
        self._err = _console(err)
        self._plain, self._quiet, self._stream, self._keep = plain, quiet, stream, keep
        self._show_reasoning = show_reasoning and not quiet
        self._clock = clock
        self._person = self._err.is_terminal and not quiet
        self._progress = self._make_progress() if self._person else None
        self._reports = Reports(None if self._err.is_terminal else self._err.file, quiet=quiet)
        self._reply: _Reply | None = None
        self._thinking: Sanitiser | None = None
        self._notices: list[str] = []
        self._expanded = False
        self._folded_answers: list[Call] = []

    def on(self, event: Event) -> None:
        """Take in one event."""
        self._reports.on(event)
        match event:
            case ReplyDelta(text, reasoning):
                if reasoning and self._show_reasoning and self._reply is None:
                    self._think(reasoning)
                elif self._progress and (self._stream or not text):
                    self._progress.on(event)
                if text and self._stream:
                    self._feed(text)
            case Notice(text) if self._person:
                self._notices.append(one_line(text))
                if self._reply is None and self._thinking is None:
                    self._say_notices()
            case TurnFinished(result):
                self._finish(result)
            case _ if self._progress and self._reply is None:
                # A reply that is gone on with stands where the progress would be drawn.
                self._progress.on(event)
                if isinstance(event, CallFinished) and event.call.slot.role == "reference":
                    self._folded_answers.append(event.call)
                    self._unfold()

    def tick(self) -> None:
        """Let clocks and rates move, and draw what a redraw left out."""
        if self._reply is not None:
            self._reply.refresh()
        elif self._progress and self._thinking is None:
            self._progress.refresh()

    def expand(self) -> None:
        """Show the answers of this turn so far and those to come, or fold the ones to come."""
        self._expanded = not self._expanded
        self._unfold()

    def hide(self) -> None:
        """Take the live rows off the screen; the next tick draws them again, wherever the cursor is then."""
        if self._progress:
            self._progress.hide()
        if self._reply is not None:
            self._reply.hide()

    def close(self) -> None:
        """Leave the terminal in order; a reply that was still coming is marked as cut."""
        self._end_of_progress()
        self._end_of_reply(partial=True)

    def _unfold(self) -> None:
        """Print the answers that are folded, if they are wanted and nothing else is being written."""
        if not (self._expanded and self._progress and self._reply is None and self._thinking is None):
            return
        from bot.render.proposals import show_proposal

        calls, self._folded_answers = self._folded_answers, []
        if calls:
            self._progress.hide()
        for call in calls:
            name = f"{short_name(call.slot.agent.model)}, round {call.slot.round}"
            show_proposal(self._err, call, name, plain=self._plain)

    def _feed(self, text: str) -> None:
        if self._reply is None:
            self._end_of_progress()
            self._gap()
            self._reply = self._make_reply()
        self._reply.feed(text)

    def _finish(self, result: TurnResult) -> None:
        if result.reply and self._reply is None:
            self._feed(result.reply)
        self._end_of_progress()
        partial = result.status == "partial"
        replied = self._reply is not None
        self._end_of_reply(partial=partial)
        if result.status == "failed":
            self._failed(result)
        elif self._person and replied and self._keep:
            self._gap()
            self._say_notices()
            for line in turn_summary(result, self._err.width - len(MARGIN)):
                self._say(line)
        elif self._person and partial:
            self._say(partial_reason(result))
        self._say_notices()

    def _failed(self, result: TurnResult) -> None:
        if self._err.is_terminal:
            self._say(f"✗ {turn_failure(result)}", "bad")

    def _end_of_progress(self) -> None:
        if self._progress:
            self._progress.close()
        if self._thinking is not None:
            self._write_thinking(self._thinking.close() + "\n")
            self._thinking = None

    def _end_of_reply(self, *, partial: bool) -> None:
        reply, self._reply = self._reply, None
        if reply is not None:
            reply.close(partial=partial)

    def _think(self, reasoning: str) -> None:
        if self._thinking is None:
            self._end_of_progress()
            self._thinking = Sanitiser()
        self._write_thinking(self._thinking.feed(reasoning))

    def _write_thinking(self, text: str) -> None:
        from bot.render.live import paint, write_text

        write_text(self._err, text if self._plain else paint(self._err, text, "dim"))

    def _gap(self) -> None:
        """Print a blank row around the reply, where progress and reply are on the same screen."""
        if self._person and self._keep and self._out.is_terminal:
            self._say("")

    def _say_notices(self) -> None:
        notices, self._notices = self._notices, []
        for notice in notices:
            self._say(notice)

    def _say(self, text: str, look: str = "dim") -> None:
        progress = self._progress or self._make_progress()
        progress.say(text, look)

    def _make_progress(self) -> Progress:
        from bot.render.live import can_redraw
        from bot.render.progress import PlainProgress, RoundBlock

        if self._plain or not can_redraw(self._err):
            return PlainProgress(self._err)
        return RoundBlock(self._err, keep=self._keep, clock=self._clock)

    def _make_reply(self) -> _Reply:
        from bot.render.live import can_redraw

        if not self._out.is_terminal:
            return RawReply(self._out.file)
        if self._plain or not can_redraw(self._out):
            return PlainReply(self._out.file)
        from bot.render.markdown import MarkdownStream

        return MarkdownStream(self._out, clock=self._clock)


def _console(stream: Console | IO[str]) -> Console:
    from rich.console import Console

    if isinstance(stream, Console):
        return stream
    return Console(file=stream, highlight=False, markup=False, emoji=False)
