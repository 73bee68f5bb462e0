"""A journal: every call of a stage on a line of its own, appended the moment it is over.

    calls.jsonl   {"messages": ID, "content": [[role, text], …]}     once per different conversation
                  {"key": KEY, "at": …, "model": …, "answer": {…}}   a call that was answered
                  {"key": KEY, "at": …, "model": …, "failure": {…}}  a call that failed

A call's key is a digest of all that decides its answer: endpoint, model, messages, parameters and
the number of the sample. What is in the journal with an answer is not asked again; nor is what the
service refused for what it says (too long, filtered). Other failures are kept for the record, and
asked again. A line goes out in one write, so that a process can be killed
at any instant: what a power cut leaves half written is skipped. Only where an answer stands is kept in
memory. Nothing here makes a call.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from bot.errors import Failure, FailureKind, MoaError
from bot.messages import Completion, Message, Request, Usage

SYNC_SECONDS = 5.0
"""So much may be lost when the machine (not the program) dies."""

_SETTLED = frozenset({FailureKind.CONTEXT_LENGTH, FailureKind.CONTENT_FILTER})
"""Failures that the same request would meet again."""


class Record(Protocol):
    """What an asker must know of a journal."""

    spent: float
    unpriced: int

    def answer(self, key: str) -> Completion | Failure | None:
        """Return the answer on record under this key (or the refusal), None when there is none."""

    def add(
        self, key: str, request: Request, outcome: Completion | Failure, cost: float | None, retries: int = 0
    ) -> None:
        """Keep a call that is over."""

    def sync(self, *, now: bool = False) -> None:
        """Have the disk keep what was written."""


class Journal:
    """One append-only file of calls, open for reading and writing. Use it as a context manager.

    Raises MoaError when the file cannot be opened. One process at a time: see `RunFolder`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.torn = 0
        """Lines that cannot be read: what a crash left half written."""
        self.failures = 0
        """Failed calls on record."""
        self.spent = 0.0
        """US dollars that all calls on record cost, as far as their prices were known."""
        self.unpriced = 0
        """Calls on record of unknown price."""
        self._places: dict[str, int] = {}
        self._conversations: dict[str, int] = {}
        self._synced = 0.0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
            self._descriptor = os.open(path, flags, 0o600)
        except OSError as error:
            raise MoaError(f"{path}: the journal cannot be opened: {error.strerror}") from error
        self._lines = path.open("rb")
        self._end = self._read()

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, key: str) -> bool:
        return key in self._places

    def __enter__(self) -> Self:
        """Return itself; it is open already."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    def answer(self, key: str) -> Completion | Failure | None:
        """Return the answer on record under this key (or the refusal), None when there is none."""
        place = self._places.get(key)
        if place is None:
            return None
        line = self._line(place)
        if "answer" in line:
            return completion_of(line["answer"])
        return Failure(**{**line["failure"], "kind": FailureKind(line["failure"]["kind"])})

    def messages(self, key: str) -> tuple[Message, ...]:
        """Return what the call on record under this key was asked; KeyError when there is none."""
        place = self._conversations[self._line(self._places[key])["messages"]]
        return tuple(Message(role, text) for role, text in self._line(place)["content"])

    def add(
        self,
        key: str,
        request: Request,
        outcome: Completion | Failure,
        cost: float | None,
        retries: int = 0,
    ) -> None:
        """Append a call that is over. Raises MoaError when it cannot be written (a full disk, say)."""
        conversation = digest([[message.role, message.content] for message in request.messages])
        if conversation not in self._conversations:
            content = [[message.role, message.content] for message in request.messages]
            self._conversations[conversation] = self._append({"messages": conversation, "content": content})
        line: dict[str, Any] = {
            "key": key,
            "at": round(time.time(), 3),
            "endpoint": request.endpoint.name,
            "model": request.model,
            "messages": conversation,
            "parameters": parameters_of(request),
            "retries": retries,
            "cost": cost,
        }
        if isinstance(outcome, Completion):
            self._places[key] = self._append(line | {"answer": _plain(asdict(outcome))})
        else:
            place = self._append(line | {"failure": _plain(asdict(outcome)) | {"message": outcome.message}})
            if outcome.kind in _SETTLED:
                self._places[key] = place
            self.failures += 1
        self._count(cost)

    def sync(self, *, now: bool = False) -> None:
        """Have the disk keep what was written, if that is due; may be called from any thread."""
        if now or time.monotonic() - self._synced >= SYNC_SECONDS:
            self._synced = time.monotonic()
            with suppress(OSError):  # closed meanwhile, or a file system that knows no fsync
                os.fsync(self._descriptor)

    def close(self) -> None:
        """Write through and close; a second call does nothing."""
        if self._descriptor >= 0:
            self.sync(now=True)
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)
            self._lines.close()

    def _append(self, line: dict[str, Any]) -> int:
        data = json.dumps(line, separators=(",", ":")).encode() + b"\n"
        place = self._end
        try:
            written = 0
            while written < len(data):
                written += os.write(self._descriptor, data[written:])
        except OSError as error:
            raise MoaError(
                f"{self.path}: the journal cannot be written: {error.strerror}",
                hint="What is in it is kept; the same command goes on from there.",
            ) from error
        self._end += len(data)
        return place

    def _line(self, place: int) -> dict[str, Any]:
        self._lines.seek(place)
        line: dict[str, Any] = json.loads(self._lines.readline())
        return line

    def _read(self) -> int:
        """Learn what is on record; returns the file's length. A torn last line gets its end."""
        place, data = 0, b""
        for data in self._lines:
            self._learn(place, data)
            place += len(data)
        if data and not data.endswith(b"\n"):
            os.write(self._descriptor, b"\n")
            place += 1
        return place

    def _learn(self, place: int, data: bytes) -> None:
        try:
            line = json.loads(data)
            if "content" in line:
                self._conversations[line["messages"]] = place
                return
            if "answer" in line or line["failure"]["kind"] in _SETTLED:
                self._places[line["key"]] = place
            self.failures += "failure" in line
            self._count(line.get("cost"))
        except (ValueError, TypeError, KeyError):
            self.torn += bool(data.strip())

    def _count(self, cost: float | None) -> None:
        if cost is None:
            self.unpriced += 1
        else:
            self.spent += cost


class RunFolder:
    """A run's folder, held by one process at a time: a second one is refused.

    The lock is the operating system's and ends with the process, however that ends. Raises
    MoaError. Use it as a context manager.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise MoaError(f"{path}: cannot be used as a folder for a run: {error.strerror}") from error
        try:
            _lock(self._descriptor)
        except OSError:
            os.close(self._descriptor)
            raise MoaError(
                f"{path}: another run is at work in this folder.",
                hint="Wait for it, or give another --out.",
            ) from None

    def __enter__(self) -> Self:
        """Return itself; it is held already."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let it go."""
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)


def _lock(descriptor: int) -> None:
    """Take the lock or raise OSError, at once."""
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]  # Windows' own
        return
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def key_of(request: Request, sample: str) -> str:
    """Return the key of a call: 32 hex digits of all that decides its answer.

    A service on this computer is known by its name alone: its port may be another tomorrow.
    """
    from bot.settings.endpoints import is_loopback_url

    endpoint = request.endpoint
    where = "" if is_loopback_url(endpoint.base_url) else endpoint.base_url
    messages = [[message.role, message.content] for message in request.messages]
    return digest([endpoint.name, where, request.model, messages, parameters_of(request), sample])


def parameters_of(request: Request) -> dict[str, Any]:
    """Return what a request says besides model and messages."""
    return {
        "temperature": request.temperature,
        "max_tokens": request.max_tokens,
        "seed": request.seed,
        **request.extra,
    }


def digest(value: object) -> str:
    """Return 32 hex digits of a JSON value, the same for equal values in every run."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def completion_of(answer: dict[str, Any]) -> Completion:
    """Return the completion that was written as JSON."""
    usage = Usage(**answer.get("usage", {}))
    truncation_kind = FailureKind(answer["broken"]) if answer.get("broken") else None
    top = tuple((str(token), float(value)) for token, value in answer.get("top_logprobs", ()))
    rest = {name: answer[name] for name in _AS_IS if name in answer}
    return Completion(usage=usage, truncation_kind=truncation_kind, top_logprobs=top, **rest)


_AS_IS = ("text", "reasoning", "finish_reason", "first_token", "seconds", "retries", "partial")


def _plain(value: dict[str, Any]) -> dict[str, Any]:
    """Drop what says nothing: journals are long enough."""
    return {name: part for name, part in value.items() if part not in (None, "", 0, (), {}) or name == "text"}
