"""The error boundary around the whole program, and the chat, which needs no options parsed.

Whatever goes wrong ends in `error_boundary`, the only place that turns it into a line on stderr and
an exit code. Typer is not imported here: `moa-bot` without arguments, which is how most
conversations begin, does not wait for it.
"""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import sys
import traceback
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn

from bot.app.load_settings import load_settings
from bot.app.streams import Streams
from bot.errors import ExitCode, MoaError, UsageError
from bot.settings.options import CHOOSE
from bot.settings.settings import Settings

if TYPE_CHECKING:
    from bot.settings.templates import ChosenTemplate

_DISK_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
"""What a full or broken disk says when stdout is written to it; such an error names no file."""


def error_boundary(work: Callable[[], int], arguments: Sequence[str]) -> int:
    """Do the work; returns its exit code, or that of what went wrong. Raises nothing."""
    try:
        _leave_no_core()
        _interrupt_on_signals()
        return work()
    except SystemExit as leaving:
        code = leaving.code
        return code if isinstance(code, int) else int(ExitCode.DONE if code is None else ExitCode.FAILED)
    except MoaError as error:
        print_error(error)
        return int(error.exit_code)
    except KeyboardInterrupt:
        return int(ExitCode.INTERRUPTED)
    except Exception as error:  # noqa: BLE001 - the boundary: whatever is left is a bug of ours
        if isinstance(error.__cause__, KeyboardInterrupt):
            # Python 3.11 wraps what interrupts the making of a class, such as a dataclass.
            return int(ExitCode.INTERRUPTED)
        return file_failed(error, arguments) if isinstance(error, OSError) else _report_bug(error, arguments)


def chat_or_pipe(given: Mapping[str, Any], template: str | None = None, field: Sequence[str] = ()) -> int:
    """Chat on a terminal, or answer what is piped in; returns the exit code.

    Each prompt of a pipe fills the template; a chat has its system prompt and preset.
    """
    streams, chosen = Streams.of_process(), None
    if template or field:
        from bot.settings.templates import choose_template  # noqa: PLC0415 - for templates only

        chosen = choose_template(template, field)
        if streams.stdin_is_terminal and chosen.template and (name := chosen.template.text and template):
            raise UsageError(
                f"The template {name} has a text: it is for single prompts.",
                hint=f"In the chat: /t {name} …   Once: moa-bot ask -t {name} …",
            )
        given = chosen.with_options(given)

    def resolve(changes: Mapping[str, Any]) -> Settings:
        return load_settings({**given, **changes})

    if not streams.stdin_is_terminal:
        return _pipe(resolve, streams, chosen)
    if given.get("resume") == CHOOSE and streams.stdout_is_terminal and not resolve({}).plain:
        from bot.repl.choices import choose_conversation  # noqa: PLC0415 - only where none is named

        given = {**given, "resume": choose_conversation() or ""}
        if not given["resume"]:
            return ExitCode.DONE
    from bot.app.resume import settings_to_resume  # noqa: PLC0415 - as the next three
    from bot.onboarding import run_guided_setup  # noqa: PLC0415 - commands and pipes go without
    from bot.onboarding.fetch_models import load_or_offer  # noqa: PLC0415 - likewise
    from bot.repl import run_chat  # noqa: PLC0415 - likewise

    settings = load_or_offer(resolve, streams)
    resolve_with_key = run_guided_setup(settings_to_resume(settings, resolve), resolve, streams)
    known = settings if resolve_with_key is resolve else None
    return run_async(streams, settings, lambda: run_chat(resolve_with_key, streams, known))


def _pipe(
    resolve: Callable[[Mapping[str, Any]], Settings], streams: Streams, template: ChosenTemplate | None
) -> int:
    from bot.workers.forkserver import start_forkserver  # noqa: PLC0415 - likewise, as most commands do

    # It imports the SDK while this process goes on with its own imports.
    start_forkserver()
    settings = resolve({})
    from bot.cli.pipe import pipe  # noqa: PLC0415 - imported while the fork server starts

    return run_async(streams, settings, lambda: pipe(settings, streams, resolve, template))


def run_async(streams: Streams, settings: Settings, work: Callable[[], Coroutine[Any, Any, ExitCode]]) -> int:
    """Run a command's coroutine to its end; returns the program's exit code."""
    for notice in settings.notices():
        if not settings.quiet:
            streams.say(f"moa-bot: {notice}")
    try:
        return int(asyncio.run(work()))
    except KeyboardInterrupt:
        return int(ExitCode.INTERRUPTED)
    except BrokenPipeError as error:
        # Typer would end the program with 1.
        return file_failed(error, ())


def file_failed(error: OSError, arguments: Sequence[str]) -> int:
    """Say which file cannot be read or written, stdout if none is named; returns the exit code.

    A reader that has closed the pipe is not an error.
    """
    broken = isinstance(error, BrokenPipeError)
    if not (broken or error.filename or error.errno in _DISK_ERRORS):
        return _report_bug(error, arguments)
    if not error.filename:
        # Nothing must be flushed into it at the interpreter's end.
        with suppress(OSError, ValueError, AttributeError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if broken:
        return int(ExitCode.DONE)
    where = error.filename or "Standard output cannot be written"
    print_error(MoaError(f"{where}: {error.strerror or error}."))
    return int(ExitCode.FAILED)


def print_error(error: MoaError) -> None:
    """Print on stderr what happened and what can be done."""
    with suppress(OSError, ValueError, AttributeError):
        print(f"moa-bot: {error.message}", file=sys.stderr)
        for line in error.hint.splitlines():
            print(f"  {line}", file=sys.stderr)


def _report_bug(error: Exception, arguments: Sequence[str]) -> int:
    """Say that something is wrong with the program itself, with the traceback if --verbose is given."""
    if {"--verbose", "-v"}.intersection(arguments) or os.environ.get("MOA_BOT_VERBOSE"):
        traceback.print_exception(error)
    print_error(
        MoaError(
            f"This is a mistake in moa-bot itself: {type(error).__name__}: {error}",
            hint="--verbose shows where; please report it with what that prints.",
        )
    )
    return int(ExitCode.FAILED)


def _leave_no_core() -> None:
    """Have no core file written if the program crashes: keys and prompts are in its memory."""
    with suppress(ImportError, OSError, ValueError):
        import resource  # noqa: PLC0415 - Windows has none, and writes no core files

        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


def _interrupt_on_signals() -> None:
    """Have SIGTERM and SIGHUP raise KeyboardInterrupt, so that everything that is open is closed."""
    with suppress(AttributeError, ValueError):
        signal.signal(signal.SIGTERM, _interrupt)
        signal.signal(signal.SIGHUP, _interrupt)


def _interrupt(number: int, frame: object) -> NoReturn:  # noqa: ARG001 - a signal handler's parameters
    raise KeyboardInterrupt
