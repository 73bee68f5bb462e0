"""A real language model for tests: SmolLM2-135M-Instruct, fetched once into a folder outside the checkout.

Run as a program it prints the file's path, or says on stderr why there is none.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from filelock import FileLock

from bot.errors import MoaError
from bot.local.starter import fetch_starter

VARIABLE = "MOA_BOT_TEST_MODEL"
"""The environment variable with the path of the file, where it is known already."""


def real_model() -> Path:
    """Return the model's file, which is fetched if it is not there yet. MoaError when it cannot be."""
    if named := os.environ.get(VARIABLE):
        return Path(named)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "moa-bot-tests"
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with FileLock(cache / "fetch.lock"):
            return fetch_starter(
                lambda line: print(line, file=sys.stderr), {**os.environ, "MOA_BOT_HOME": str(cache)}
            )
    except OSError as problem:
        raise MoaError(f"{cache}: {problem.strerror or problem}") from None


if __name__ == "__main__":
    try:
        print(real_model())
    except MoaError as error:
        sys.exit(f"no real language model: {error.message}")
