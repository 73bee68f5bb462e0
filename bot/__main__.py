"""Where the program starts: `moa-bot` and `python -m bot`.

Imports little, so that `--version` waits for nothing and a chat not for Typer.
"""

from __future__ import annotations

import os
import sys

COMPLETION = "_MOA_BOT_COMPLETE"
"""The environment variable with which a shell asks for completions."""


def main() -> int:
    """Run the program; returns its exit code."""
    code = 0
    try:
        code = _run(sys.argv[1:])
        if sys.stdout is not None:
            # Here, because at the interpreter's end a full disk would be a traceback.
            sys.stdout.flush()
    except OSError as error:
        from bot.cli.boundary import file_failed  # noqa: PLC0415 - --version imports nothing else

        failed = file_failed(error, sys.argv[1:])
        return code or failed
    except KeyboardInterrupt:
        # Ctrl-C while the program was still importing itself.
        return 130
    except RuntimeError as error:
        # Python 3.11 wraps whatever interrupts the making of a class, such as a dataclass.
        if isinstance(error.__cause__, KeyboardInterrupt):
            return 130
        raise
    return code


def _run(arguments: list[str]) -> int:
    if arguments in (["--version"], ["-V"]):
        from bot import __version__  # noqa: PLC0415 - --version imports nothing else

        print(f"moa-bot {__version__}")
        return 0
    if not arguments and COMPLETION not in os.environ:
        from bot.cli.boundary import chat_or_pipe, error_boundary  # noqa: PLC0415 - a chat goes without Typer

        return error_boundary(lambda: chat_or_pipe({}), arguments)
    from bot.cli.app import run  # noqa: PLC0415 - likewise

    return run(arguments)


if __name__ == "__main__":
    sys.exit(main())
