"""`python -m bot.demo serve`: the offline service without the rest of the program.

It is the child process of `--demo` and of the tests, so it imports nothing that is slow to import.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bot.demo.serve import serve
from bot.errors import ExitCode, MoaError

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    options = _parser().parse_args(arguments)

    def report(message: dict[str, object]) -> None:
        print(json.dumps(message), flush=True)

    try:
        serve(
            options.host,
            options.port,
            options.behaviour,
            inspect=options.inspect,
            on_ready=lambda base_url: report({"base_url": base_url}),
            child=options.child,
        )
    except MoaError as error:
        if options.child:
            report({"error": error.message, "hint": error.hint, "kind": type(error).__name__})
        else:
            print(f"moa-bot: {error.message}" + (f" ({error.hint})" if error.hint else ""), file=sys.stderr)
        return error.exit_code
    return ExitCode.DONE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bot.demo",
        description="An OpenAI-compatible service on this computer; no key, no network.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    command = commands.add_parser(
        "serve", help="serve the demonstration models", description="Serve until Ctrl-C."
    )
    command.add_argument("--host", default="127.0.0.1", help="where to listen (default: %(default)s)")
    command.add_argument("--port", type=int, default=0, help="0, the default, takes a free port")
    command.add_argument("--behaviour", type=Path, metavar="FILE", help="how the models behave, TOML or JSON")
    command.add_argument("--inspect", action="store_true", help="show requests and connections under /demo")
    command.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
