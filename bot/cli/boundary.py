"""The one boundary around the program, and what is done without any options to parse.

Whatever goes wrong ends in `guarded`, the only place that turns it into a line on stderr and an exit
code. No Typer here: `moa-bot` alone, which is how most conversations begin, does not wait for it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from typing import Any, NoReturn

from bot.app.load_settings import load_settings
from bot.app.streams import Streams
from bot.errors import ExitCode, MoaError
from bot.settings.settings import Settings


def guarded(work: Callable[[], int], arguments: Sequence[str]) -> int:
    """Do the work; returns its exit code, or that of what went wrong. No exception leaves here."""
    try:
        _end_well()
        return work()
    except SystemExit as leaving:
        code = leaving.code
        return code if isinstance(code, int) else int(ExitCode.DONE if code is None else ExitCode.FAILED)
    except MoaError as error:
        tell(error)
        return int(error.exit_code)
    except KeyboardInterrupt:
        return int(ExitCode.INTERRUPTED)
    except Exception as error:  # noqa: BLE001 - the boundary: whatever is left is a bug of ours
        return _bug(error, arguments)


def converse(given: Mapping[str, Any]) -> int:
    """Chat on a terminal, or answer what is piped in; returns the exit code."""
    settings = load_settings(given)
    streams = Streams.of_process()
    if streams.stdin_is_terminal:
        from bot.onboarding import run_guided_setup
        from bot.repl import chat

        def resolve(changes: Mapping[str, Any]) -> Settings:
            return load_settings({**given, **changes})

        resolve_with_key = run_guided_setup(settings, resolve, streams)
        known = settings if resolve_with_key is resolve else None
        return finish(streams, settings, lambda: chat(resolve_with_key, streams, known))
    from bot.cli.pipe import pipe

    return finish(streams, settings, lambda: pipe(settings, streams))


def finish(streams: Streams, settings: Settings, work: Callable[[], Coroutine[Any, Any, ExitCode]]) -> int:
    """Run a command's coroutine to its end; returns the program's exit code."""
    for notice in settings.notices():
        if not settings.quiet:
            streams.say(f"moa-bot: {notice}")
    try:
        return int(asyncio.run(work()))
    except KeyboardInterrupt:
        return int(ExitCode.INTERRUPTED)
    except BrokenPipeError:
        # Whoever reads has had enough: not an error. Nothing must be flushed into the pipe later.
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, sys.stdout.fileno())
        return int(ExitCode.DONE)


def tell(error: MoaError) -> None:
    """Say on stderr what happened and what can be done."""
    with suppress(OSError, ValueError, AttributeError):
        print(f"moa-bot: {error.message}", file=sys.stderr)
        for line in error.hint.splitlines():
            print(f"  {line}", file=sys.stderr)


def _bug(error: Exception, arguments: Sequence[str]) -> int:
    """Say that something is wrong with the program itself, and where, for those who want to know."""
    if {"--verbose", "-v"}.intersection(arguments) or os.environ.get("MOA_BOT_VERBOSE"):
        import traceback

        traceback.print_exception(error)
    tell(
        MoaError(
            f"This is a mistake in moa-bot itself: {type(error).__name__}: {error}",
            hint="--verbose shows where; please report it with what that prints.",
        )
    )
    return int(ExitCode.FAILED)


def _end_well() -> None:
    """Have the program close what it opened also when a signal ends it."""
    with suppress(AttributeError, ValueError):
        signal.signal(signal.SIGTERM, _interrupt)
        signal.signal(signal.SIGHUP, _interrupt)


def _interrupt(number: int, frame: object) -> NoReturn:  # noqa: ARG001 - a signal handler's parameters
    raise KeyboardInterrupt
