"""Where the program starts: `moa-bot` and `python -m bot`.

Kept short on purpose: `--version` must not wait for anything, and where models will be asked, the
fork server should begin its imports before this process begins its own.
"""

from __future__ import annotations

import os
import sys

COMPLETION = "_MOA_BOT_COMPLETE"
WITHOUT_MODELS = frozenset(
    {"--help", "-h", "history", "trace", "config", "keys", "presets", "demo", "score", "report", "similarity"}
    | {"--show-completion", "--install-completion"}
)


def main() -> int:
    """Run the program; returns its exit code."""
    try:
        return _run(sys.argv[1:])
    except KeyboardInterrupt:
        # Ctrl-C while the program was still importing itself.
        return 130


def _run(arguments: list[str]) -> int:
    if arguments in (["--version"], ["-V"]):
        from bot import __version__

        print(f"moa-bot {__version__}")
        return 0
    if _asks_at_once(arguments):
        from bot.workers.forkserver import start_forkserver

        start_forkserver()
    if not arguments and COMPLETION not in os.environ:
        from bot.cli.boundary import converse, guarded

        return guarded(lambda: converse({}), arguments)
    from bot.cli.app import run

    return run(arguments)


def _asks_at_once(arguments: list[str]) -> bool:
    """Tell whether models will be asked as soon as possible: one question, or prompts from a pipe.

    In a chat the workers start while the user types; till then the prompt has the processor.
    """
    if COMPLETION in os.environ or WITHOUT_MODELS.intersection(arguments):
        return False
    try:
        return "ask" in arguments or not os.isatty(0)
    except OSError:
        return True


if __name__ == "__main__":
    sys.exit(main())
