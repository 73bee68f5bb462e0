"""Runs one turn of a session, shows it in a view, and lets Ctrl-C stop it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING

from bot.app.attachments import Prompt
from bot.app.signals import handle_signals
from bot.app.turn_budget import BudgetError
from bot.errors import ExitCode, Failure, FailureKind, MoaError
from bot.events import Event, TurnFinished
from bot.messages import Attachment
from bot.method.mixture import CancelToken
from bot.render import styles
from bot.render.reply import JsonView, PipeView
from bot.render.terminal_view import TerminalView
from bot.render.window import NOTIFY_AFTER, has_links, notification
from bot.turn_result import Call, TurnResult

if TYPE_CHECKING:
    from bot.app.app import App
    from bot.app.log import Log
    from bot.app.session import Session
    from bot.app.streams import Streams
    from bot.render.log_sink import LogSink
    from bot.render.view import View
    from bot.settings.settings import Settings

TICK = 0.1
"""Seconds between redraws of times and rates."""


async def answer(
    session: Session, prompt: Prompt, app: App, streams: Streams, log_sink: LogSink | None = None
) -> ExitCode:
    """Answer one prompt in a view made for these streams; returns the turn's exit code.

    Ctrl-C stops the turn; the part of the reply that has come is kept. `log_sink` writes log lines
    to the terminal, above what the view redraws. What the prompt attaches is said before it is asked. A
    prompt that the budget does not allow is reported.
    """
    cancel_token = CancelToken()
    view = view_for(app.settings, streams, session)
    if not app.settings.quiet:
        for notice in prompt.notices:
            streams.say(f"moa-bot: {notice}")
    try:
        with handle_signals(cancel_token.stop):
            result = await show(
                session,
                prompt.text,
                view,
                app.log,
                cancel_token,
                log_sink=log_sink,
                attachments=prompt.attachments,
            )
    except BudgetError as error:
        return report_refusal(error, session, app.settings, streams)
    # Without a prompt nobody reads the terminal's reports, so only "always" can be kept here.
    if app.settings.notify == "always" and streams.stderr_is_terminal and result.seconds > NOTIFY_AFTER:
        print(notification("the turn is over"), end="", file=streams.stderr, flush=True)
    return exit_code(result, stopped=cancel_token.stopped)


def report_refusal(error: MoaError, session: Session, settings: Settings, streams: Streams) -> ExitCode:
    """Print why a prompt was not asked, with --json as a failed turn without a number too."""
    streams.say("\n".join([f"moa-bot: {error.message}", *(f"  {line}" for line in error.hint.splitlines())]))
    if settings.json:
        model = session.mixture.plan.aggregator.model
        kind = FailureKind.BUDGET if isinstance(error, BudgetError) else FailureKind.ATTACHMENT
        failure = Failure(kind, error.message, hint=error.hint)
        view = JsonView(streams.stdout, conversation=lambda: (session.conversation_id, None))
        view.handle_event(TurnFinished(TurnResult("failed", "", "", model, failure=failure)))
    return error.exit_code


def view_for(settings: Settings, streams: Streams, session: Session, *, keep: bool = False) -> View:
    """Return the view for these settings and streams.

    `keep` leaves the folded rounds and the summary under the reply on the screen, as in a chat.
    """
    out, err, quiet = streams.stdout, streams.stderr, settings.quiet
    is_json = session.mixture.plan.reply_format is not None
    if settings.json:
        return JsonView(out, err, quiet=quiet, conversation=lambda: (session.conversation_id, session.turns))
    if not (streams.stdout_is_terminal or streams.stderr_is_terminal):
        return PipeView(out, err, stream=settings.stream, quiet=quiet, is_json=is_json)
    set_styles(settings, streams)
    return TerminalView(
        out, err, plain=settings.plain, quiet=quiet, stream=settings.stream, keep=keep, is_json=is_json
    )


def set_styles(settings: Settings, streams: Streams) -> None:
    """Use the theme of the settings, and links where this terminal has them."""
    styles.use_theme(settings.theme)
    styles.use_links(shown=streams.stdout_is_terminal and has_links())


async def show(
    session: Session,
    prompt: str,
    view: View,
    log: Log,
    cancel_token: CancelToken,
    *,
    log_sink: LogSink | None = None,
    follow: Callable[[Event], None] | None = None,
    retry: bool = False,
    references: Sequence[Call] = (),
    attachments: Sequence[Attachment] = (),
) -> TurnResult:
    """Run the turn and show it; returns its result.

    `log_sink` writes above what the view redraws. `follow` is called with every event. A `retry`
    replaces the session's last turn, once it is done. The reply is made from `references`, if there are any.
    """
    result: TurnResult | None = None
    if log_sink is not None:
        log_sink.view = view
    ticking = asyncio.create_task(_tick(view, log))
    try:
        with handle_signals(view.handle_resize, ("SIGWINCH",)):
            async with aclosing(
                session.turn(
                    prompt, cancel_token, retry=retry, references=references, attachments=attachments
                )
            ) as events:
                async for event in events:
                    if follow is not None:
                        follow(event)
                    view.handle_event(event)
                    log.log_event(event)
                    if isinstance(event, TurnFinished):
                        result = event.result
    finally:
        ticking.cancel()
        if log_sink is not None:
            log_sink.view = None
        view.close()
    assert result is not None  # noqa: S101 - a turn's last event is TurnFinished
    return result


def exit_code(result: TurnResult, *, stopped: bool = False) -> ExitCode:
    """Return the program's exit code for a turn's result."""
    if stopped:
        return ExitCode.INTERRUPTED
    if result.status == "done":
        return ExitCode.DONE
    if result.failure is not None and result.failure.kind is FailureKind.KEY_REFUSED:
        return ExitCode.NO_KEY
    return ExitCode.FAILED


async def _tick(view: View, log: Log) -> None:
    while True:
        await asyncio.sleep(TICK)
        # The requests are on their way by now: the writer loads while the models think.
        log.start()
        view.refresh()
