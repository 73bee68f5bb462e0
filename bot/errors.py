"""What can go wrong, and what the program says and returns when it does.

An error has one of two forms:

* `Failure` is a value. A call that fails in a worker process returns one, because an exception of
  the SDK cannot be unpickled: sent to the main process, it would break the pool.
* `MoaError` is raised inside one process, up to the single error boundary in `bot.cli`.

    MoaError                 anything the program says in a line or two        exit 1
     ├── UsageError          wrong options or arguments                        exit 2
     │    └── ConfigError    a wrong key, type or value in a settings file     exit 2
     ├── KeyMissingError     no API key for an endpoint that needs one         exit 3
     ├── StoreError          the conversation store cannot be used             exit 1
     │    └── StoreDamagedError   its file is broken, or no store at all       exit 1
     └── TurnFailedError     a turn without a reply; holds its `Failure`       exit 1 or 3
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum, StrEnum


class ExitCode(IntEnum):
    """The program's exit statuses; nothing else is ever returned."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    NO_KEY = 3
    INTERRUPTED = 130


class FailureKind(StrEnum):
    """Why a call or a turn failed; the value is the short form that is shown and stored."""

    KEY_REFUSED = "key refused"
    FORBIDDEN = "not allowed"
    NOT_FOUND = "no such model"
    BAD_REQUEST = "request refused"
    CONTEXT_LENGTH = "context too long"
    CONTENT_FILTER = "content filtered"
    REFUSED = "refused to answer"
    RATE_LIMITED = "rate limited"
    QUOTA = "quota used up"
    BUDGET = "budget"
    ATTACHMENT = "attachment"
    OVERLOADED = "service overloaded"
    LOADING = "loading its model"
    SERVICE = "service error"
    CONNECTION = "cannot connect"
    TIMEOUT = "timed out"
    CUT = "stream cut"
    GARBLED = "unreadable answer"
    ENDLESS = "endless answer"
    EMPTY = "empty answer"
    INVALID_REPLY = "not the JSON that was asked for"
    OUT_OF_TOKENS = "out of tokens while thinking"
    WORKER = "worker died"
    TOO_FEW = "too few references"
    CANCELLED = "stopped"
    TOO_SLOW = "too slow"
    SETTING = "wrong setting"
    INTERNAL = "internal error"

    @property
    def worth_retrying(self) -> bool:
        """Whether the same request may succeed a moment later."""
        return self in _TRANSIENT


_TRANSIENT = frozenset(
    {
        FailureKind.RATE_LIMITED,
        FailureKind.OVERLOADED,
        FailureKind.LOADING,
        FailureKind.SERVICE,
        FailureKind.CONNECTION,
        FailureKind.TIMEOUT,
        FailureKind.CUT,
    }
)


@dataclass(frozen=True, slots=True)
class Failure:
    """A call or a turn that gave no answer, in plain strings (picklable, printable, storable).

    `model` is the model that was asked ("" where there is no particular one), `status` the HTTP
    status if there was one, `retry_after` the seconds the service asked to wait, `limit` the
    context length in tokens that a context-length error named, `hint` what the user can do. `refused`
    is what of the request the service does not accept, as `bot.client.refusals` reads it.
    """

    kind: FailureKind
    message: str
    model: str = ""
    status: int | None = None
    retry_after: float | None = None
    limit: int | None = None
    hint: str = ""
    refused: str = ""

    def describe(self) -> str:
        """Return what happened: kind and message."""
        if not self.message:
            return str(self.kind)
        return self.message if self.message.startswith(self.kind) else f"{self.kind}: {self.message}"

    def __str__(self) -> str:
        """One line: the model, what happened, what to do."""
        head = f"{self.model}: " if self.model else ""
        return head + self.describe() + (f" ({self.hint})" if self.hint else "")


class MoaError(Exception):
    """Anything that ends the program with a message of a line or two and `exit_code`."""

    exit_code: ExitCode = ExitCode.FAILED

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(MoaError):
    """Wrong options or arguments."""

    exit_code = ExitCode.USAGE


class ConfigError(UsageError):
    """A settings file with a wrong key, type or value: one line naming file, key, expectation."""


@contextmanager
def needs_extra(extra: str) -> Iterator[None]:
    """Turn a failed import within into a UsageError that names the extra to install."""
    try:
        yield
    except ImportError as error:
        raise UsageError(
            f"This needs a library that is not installed: {error.name or error}",
            hint=f"pip install 'moa-bot[{extra}]'",
        ) from error


class KeyMissingError(MoaError):
    """No API key where the endpoint needs one."""

    exit_code = ExitCode.NO_KEY


class StoreError(MoaError):
    """The conversation store cannot be opened, read or written, or knows no such conversation."""


class StoreDamagedError(StoreError):
    """The store's file is broken or holds something else; it can be renamed and a new one made."""


class TurnFailedError(MoaError):
    """A turn that ended without a reply."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(str(failure))
        self.failure = failure
        if failure.kind is FailureKind.KEY_REFUSED:
            self.exit_code = ExitCode.NO_KEY
