"""`moa-bot` with prompts piped in: a reply to each, as turns of one conversation."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from bot.app.app import App
from bot.app.attachments import attach
from bot.app.resume import Resolve
from bot.app.streams import Streams
from bot.app.turn import answer, report_refusal
from bot.cli.prompt_reader import PromptReader
from bot.errors import ExitCode, UsageError
from bot.render.log_sink import LogSink
from bot.settings.settings import Settings
from bot.settings.templates import ChosenTemplate


async def pipe(
    settings: Settings, streams: Streams, resolve: Resolve, template: ChosenTemplate | None = None
) -> ExitCode:
    """Answer every prompt as it comes; one that fails is reported, and the rest are answered.

    `settings` are what `resolve({})` returns.
    Returns the exit code of the last failure (1, or 3 for a refused key), 130 when interrupted.
    """
    log_sink = LogSink(streams.stderr) if settings.verbose else None
    async with App(settings, streams.say, log_sink, resolve) as app:
        session = app.session()
        worst, asked = ExitCode.DONE, 0
        async for prompt in _prompts(settings, streams):
            asked += 1
            # Files are attached to the first prompt; with --no_multi_turn, to every prompt.
            files = settings.file if asked == 1 or not session.multi_turn else ()
            try:
                filled = template.fill(prompt) if template else prompt
                attached = await attach(filled, files, fetch=app.fetch_page)
            except UsageError as error:
                if files:
                    raise
                # A file that this prompt names: the others are answered.
                code = report_refusal(error, session, app.settings, streams)
            else:
                code = await answer(session, attached, app, streams, log_sink)
            if code is ExitCode.INTERRUPTED:
                return code
            worst = code if code is not ExitCode.DONE else worst
        if not asked:
            streams.say("moa-bot: no prompt came on standard input.")
        return worst


async def _prompts(settings: Settings, streams: Streams) -> AsyncGenerator[str, None]:
    reader = PromptReader(null=settings.null)
    async for chunk in streams.read():
        for prompt in reader.feed(chunk):
            yield prompt
    for prompt in reader.close():
        yield prompt
