"""`moa-bot ask`: one prompt, one reply."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Annotated

import typer

from bot.app.app import App
from bot.app.attachments import Fetch, Prompt, attach
from bot.app.load_settings import load_settings
from bot.app.resume import Resolve
from bot.app.streams import Streams
from bot.app.turn import answer
from bot.cli.boundary import run_async
from bot.cli.options import (
    FIELDS,
    TEMPLATE,
    FieldOption,
    Given,
    SectionedCommand,
    TemplateOption,
    new_typer_app,
    with_options,
)
from bot.errors import ExitCode, UsageError
from bot.onboarding.fetch_models import load_or_offer
from bot.render.log_sink import LogSink
from bot.settings.settings import Settings
from bot.settings.templates import ChosenTemplate, choose_template

SILENCE_SECONDS = 1.0
"""After this time without input, the user learns that standard input is waited for."""

typer_app = new_typer_app()


@typer_app.command(cls=SectionedCommand)
@with_options()
def ask(
    ctx: typer.Context,
    *,
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PROMPT", help='What to ask. "-" or nothing: all of standard input.', show_default=False
        ),
    ] = None,
    template: TemplateOption = None,
    field: FieldOption = None,
    given: Given,
) -> None:
    """Ask one question; what is piped in or attached goes along with it."""
    streams = Streams.of_process()

    chosen = choose_template(template or ctx.meta.get(TEMPLATE), field or (), ctx.meta.get(FIELDS, ()))
    given = chosen.with_options(given, ctx.obj)
    asked = words or ([""] if chosen.is_prompt and streams.stdin_is_terminal else [])

    def resolve(changes: Mapping[str, object]) -> Settings:
        return load_settings({**given, **changes}, ctx.obj)

    settings = load_or_offer(resolve, streams)
    raise typer.Exit(
        run_async(streams, settings, lambda: ask_once(settings, streams, asked, resolve, chosen))
    )


async def ask_once(
    settings: Settings,
    streams: Streams,
    words: Sequence[str],
    resolve: Resolve,
    template: ChosenTemplate = ChosenTemplate(),  # noqa: B008 - frozen
) -> ExitCode:
    """Ask one prompt: the words, standard input and the attached files.

    `settings` are what `resolve({})` returns.
    """
    log_sink = LogSink(streams.stderr) if settings.verbose else None
    async with App(settings, streams.say, log_sink, resolve) as app:
        session = app.session()
        prompt = await _prompt(settings, streams, list(words), app.fetch_page, template)
        return await answer(session, prompt, app, streams, log_sink)


async def _prompt(
    settings: Settings, streams: Streams, words: list[str], fetch: Fetch, template: ChosenTemplate
) -> Prompt:
    only_stdin = words in ([], ["-"])
    if only_stdin and streams.stdin_is_terminal:
        if not words:
            raise UsageError(
                "What do you want to ask?", hint='moa-bot ask "…", or moa-bot alone for a conversation.'
            )
        streams.say("moa-bot: type the prompt; Ctrl-D on a line of its own ends it.")
    piped = ""
    if only_stdin or not streams.stdin_is_terminal:
        piped = await _read_all(streams, explain=not only_stdin)
    if only_stdin and len(piped.strip().splitlines()) == 1:
        # One line is a prompt like that of an argument. More may be a document, whose names attach nothing.
        typed, piped = piped, ""
    else:
        typed = "" if only_stdin else " ".join(words)
    # A document without words is what the template is about.
    if typed.strip() or not piped:
        typed = template.fill(typed, needs_words=not settings.file)
    else:
        piped = template.fill(piped)
    prompt = await attach(typed, settings.file, piped, fetch=fetch)
    if not prompt.text.strip():
        raise UsageError("Nothing was asked: standard input was empty.")
    return prompt


async def _read_all(streams: Streams, *, explain: bool) -> str:
    """Return all of standard input; with `explain`, says what it waits for when nothing comes."""
    chunks: list[bytes] = []

    async def read() -> None:
        chunks.extend([chunk async for chunk in streams.read()])

    reading = asyncio.ensure_future(read())
    try:
        done, _ = await asyncio.wait({reading}, timeout=SILENCE_SECONDS if explain else None)
        if not done:
            streams.say(
                "moa-bot: waiting for the end of standard input, which goes along with the prompt "
                "(to ask without it: < /dev/null)."
            )
        await reading
    finally:
        reading.cancel()
    return b"".join(chunks).decode("utf-8-sig", "replace")
