"""A turn on a terminal: progress on stderr, then the reply, then one dim line about it."""

from __future__ import annotations

import time
from typing import IO, TYPE_CHECKING

from bot.errors import FailureKind
from bot.events import (
    AggregatorStarted,
    CallFinished,
    Compared,
    DraftAccepted,
    DraftDelta,
    Notice,
    ReplyDelta,
    RoundFinished,
    RoundStarted,
    SideBySide,
    TurnFinished,
)
from bot.render.draft import Drafts
from bot.render.live import can_redraw, console_on
from bot.render.reply import PlainReply, RawReply, Reports
from bot.render.turn_progress import MARGIN, PlainProgress, TurnProgress
from bot.render.turn_text import json_block, partial_reason, turn_failure, turn_summary
from bot.render.view import ReplyWriter, View
from bot.text.names import short_name
from bot.text.sanitise import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.console import Console

    from bot.analysis import Analysis
    from bot.events import Event
    from bot.turn_result import Call, TurnResult


STOPPED = "Stopped before the reply began."
"""What is said of a turn that the user has stopped before a word of its reply came."""


class TerminalView(View):
    """Shows a turn where `out` or `err` is a terminal.

    Where `out` is not, it gets the reply as a pipe would; where `err` is not, it gets failures as
    plain lines. `plain` means no Markdown and nothing that is redrawn. `keep` leaves the rounds'
    summaries and the line under the reply on the screen; without it only the reply and what went
    wrong stay. A reply that has to be JSON (`is_json`) is shown once it is complete; elsewhere than on a
    terminal only if it is that. A closed `out` raises BrokenPipeError.
    """

    def __init__(
        self,
        out: Console | IO[str],
        err: Console | IO[str],
        *,
        plain: bool = False,
        quiet: bool = False,
        stream: bool = True,
        keep: bool = True,
        is_json: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._out = console_on(out)
        self._err = console_on(err)
        self._plain, self._quiet, self._stream, self._keep = plain, quiet, stream and not is_json, keep
        self._is_json = is_json
        self._clock = clock
        self._informs = self._err.is_terminal and not quiet
        self._progress = self._make_progress() if self._informs else None
        self._reports = Reports(None if self._err.is_terminal else self._err.file, quiet=quiet)
        self._reply: ReplyWriter | None = None
        self._notices: list[str] = []
        self._shows_answers = False
        self._unshown: list[Call] = []
        self._drafts = Drafts(self._out, self._progress or TurnProgress(), clock)
        redraws = not plain and can_redraw(self._out) and can_redraw(self._err)
        self._shows_drafts = self._informs and self._keep and self._stream and redraws
        self._stands = False
        """Something of this turn stays above the reply."""
        self._paused: ReplyWriter | None = None
        """Writes a reply that does not end up on a screen, while rounds are shown in the middle of it."""
        self._accepted = False
        """The reply is on the screen already."""

    def handle_event(self, event: Event) -> None:  # noqa: C901 - one case per event
        """Show what the event says."""
        self._reports.handle_event(event)
        match event:
            case ReplyDelta(text):
                if self._progress and (self._stream or not text):
                    self._progress.handle_event(event)
                if text and self._stream and not self._accepted:
                    self._feed(text)
            case DraftDelta(text) if text and self._shows_drafts:
                self._drafts.feed(text)
            case DraftAccepted():
                self._accepted = self._drafts.on_screen
            case SideBySide(calls, analysis):
                self._show_side_by_side(calls, analysis)
            case Notice(text) if self._informs:
                self._notices.append(one_line(text))
                if self._reply is None and not self._drafts.writing:
                    self._print_notices()
            case TurnFinished(result):
                self._finish(result)
            case DraftDelta() if self._drafts.writing:
                pass  # thinking, in the middle of a draft
            case RoundStarted() if self._progress and self._reply is not None:
                self._pause_reply()
                self._follow(self._progress, event)
            case _ if self._progress and self._reply is None:
                self._follow(self._progress, event)

    def _follow(self, progress: TurnProgress, event: Event) -> None:
        """Show what comes before the reply; while a draft is written, there is no room for it."""
        if isinstance(event, AggregatorStarted) and event.slot.role == "draft":
            name = short_name(event.slot.agent.model)
            self._drafts.title = f"{'revised draft' if event.references else 'draft'} · {name}"
        if isinstance(event, RoundStarted):
            self._drafts.end()
        if self._drafts.writing:
            return
        progress.handle_event(event)
        self._stands = self._stands or isinstance(event, RoundFinished | Compared)
        if isinstance(event, CallFinished) and event.call.slot.role in {"reference", "review"}:
            self._unshown.append(event.call)
            self._show_answers()

    def refresh(self) -> None:
        """Redraw times and rates, and what a redraw of the reply left out."""
        if self._reply is not None:
            self._reply.refresh()
        elif self._drafts.writing:
            self._drafts.refresh()
        elif self._progress:
            self._progress.refresh()

    def toggle_answers(self) -> None:
        """Show the answers so far and each further one as it comes, or stop showing further ones."""
        self._shows_answers = not self._shows_answers
        self._show_answers()

    def clear_live_rows(self) -> None:
        """Take what can still change off the screen; `refresh` draws it again, where the cursor is then."""
        for part in (self._progress, self._reply, self._drafts):
            if part is not None:
                part.clear_live_rows()

    def handle_resize(self) -> None:
        """Take what can still change off the screen until the window's size has settled."""
        for part in (self._progress, self._reply, self._drafts):
            if part is not None:
                part.handle_resize()

    def close(self) -> None:
        """Leave the terminal in order; a reply that was still coming is marked as cut."""
        self._drafts.keep(partial=True)
        self._end_of_progress()
        self._end_of_reply(partial=True)

    def _show_answers(self) -> None:
        """Print the answers not shown yet, if they are wanted and nothing else is being written."""
        if not (self._shows_answers and self._progress and self._reply is None):
            return
        from bot.render.proposals import show_proposal

        calls, self._unshown = self._unshown, []
        if calls:
            self._stands = True
            self._progress.clear_live_rows()
            self._drafts.print_below()
        for call in calls:
            where = "review" if call.slot.role == "review" else f"round {call.slot.round}"
            name = f"{short_name(call.slot.agent.model)}, {where}"
            show_proposal(self._err, call, name, plain=self._plain)

    def _feed(self, text: str) -> None:
        if self._reply is None:
            self._drafts.replace()
            self._end_of_progress()
            if self._stands:
                self._print_gap()
            self._reply = self._make_reply()
        self._reply.feed(text)

    def _pause_reply(self) -> None:
        """Make room for rounds after the beginning of a reply, whose rest comes below them."""
        reply, self._reply = self._reply, None
        if reply is not None and self._out.is_terminal:
            reply.close()
        else:
            self._paused = reply

    def _show_side_by_side(self, calls: Sequence[Call], analysis: Analysis | None) -> None:
        """Show answers that are the reply as they are; elsewhere their text is written like any other."""
        if self._plain or not self._out.is_terminal or self._out.is_dumb_terminal:
            return
        from bot.render.comparison import comparison_text
        from bot.render.proposals import show_side_by_side

        self._end_of_progress()
        if self._stands:
            self._print_gap()
        if analysis is not None:
            self._out.print(comparison_text(analysis, self._out.width))
        show_side_by_side(self._out, calls)
        self._accepted = True

    def _finish(self, result: TurnResult) -> None:
        if result.reply and self._reply is None and not self._accepted:
            self._feed_whole(result)
        partial = result.status == "partial"
        self._drafts.keep(partial=partial)
        self._end_of_progress()
        replied = self._reply is not None or self._accepted
        self._end_of_reply(partial=partial)
        if result.failure is not None and result.failure.kind is FailureKind.CANCELLED:
            if self._err.is_terminal:
                self._print(STOPPED)
        elif result.status == "failed" and self._err.is_terminal:
            self._print(f"✗ {turn_failure(result)}", "bad")
        elif self._informs and replied and self._keep:
            if not self._accepted:
                self._print_gap()
            self._print_sources(result)
            self._print_notices()
            for line in turn_summary(result, self._err.width - len(MARGIN)):
                self._print(line)
        elif self._informs:
            if partial:
                self._print(partial_reason(result))
            self._print_sources(result)
        self._print_notices()

    def _feed_whole(self, result: TurnResult) -> None:
        """Show a reply that was not shown while it came; JSON as a block of code."""
        if self._is_json and not self._out.is_terminal:
            if result.status == "done":
                self._feed(result.reply)
        else:
            self._feed(json_block(result.reply) if self._is_json and not self._plain else result.reply)

    def _end_of_progress(self) -> None:
        if self._progress:
            self._progress.close()

    def _end_of_reply(self, *, partial: bool) -> None:
        reply, self._reply, self._paused = self._reply or self._paused, None, None
        if reply is not None:
            reply.close(partial=partial)

    def _print_gap(self) -> None:
        """Print a blank row around the reply, where progress and reply are on the same screen."""
        if self._informs and self._keep and self._out.is_terminal:
            self._print("")

    def _print_sources(self, result: TurnResult) -> None:
        """Print what the reply cites, or all that was found."""
        from bot.render.sources import sources_under

        progress = self._progress or self._make_progress()
        sources, more = sources_under(result, "/sources" if self._keep else "--json")
        if sources and not self._keep and self._out.is_terminal and not self._accepted:
            self._print("")
        for number, source in sources:
            progress.print_source(number, source)
        if more:
            self._print(more)

    def _print_notices(self) -> None:
        notices, self._notices = self._notices, []
        for notice in notices:
            self._print(notice)

    def _print(self, text: str, look: str = "dim") -> None:
        progress = self._progress or self._make_progress()
        progress.print_line(text, look)
        self._stands = self._stands or bool(text)

    def _make_progress(self) -> TurnProgress:
        from bot.render.progress import LiveProgress

        if self._plain or not can_redraw(self._err):
            return PlainProgress(self._err)
        return LiveProgress(self._err, keep=self._keep, clock=self._clock)

    def _make_reply(self) -> ReplyWriter:
        if not self._out.is_terminal:
            return self._paused or RawReply(self._out.file)
        if self._plain or not can_redraw(self._out):
            return PlainReply(self._out.file)
        from bot.render.markdown import MarkdownStream

        return MarkdownStream(self._out, clock=self._clock)
