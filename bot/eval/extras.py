"""What to say when a library is missing that only evaluations need."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from bot.errors import UsageError


@contextmanager
def needs_extra(extra: str) -> Iterator[None]:
    """Turn a failed import within into a UsageError that names the extra to install."""
    try:
        yield
    except ImportError as error:
        raise _missing(str(error.name or error), extra) from error


def require(library: str, extra: str) -> None:
    """Raise that UsageError when the library is not installed, without importing it."""
    if find_spec(library) is None:
        raise _missing(library, extra)


def _missing(library: str, extra: str) -> UsageError:
    return UsageError(
        f"This needs a library that is not installed: {library}", hint=f"pip install 'moa-bot[{extra}]'"
    )
