"""The table of faults: what each one is, where it can strike, and what must come of it.

A cell is a fault at a place. The offline service is programmed for one cell at a time; what the
program then says, keeps and returns is compared with what `expected` says of the cell.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bot.errors import FailureKind

REFERENCES = ("maker/alpha", "maker/beta", "maker/gamma")
JUDGE = "maker/judge"
ANSWERS = {
    name: f"This is what {name} has to say: first one thing, then another, and at last a third."
    for name in REFERENCES
}
REPLY = "The reply has a beginning that is long enough, a middle part, and an end."
TOKENS = 9
"""Tokens of an answer that come before a late fault."""
TIMEOUT = 1.0
MOST = 400
PLACES = ("one", "all", "before", "after", "second")
"""One reference, all, the aggregator before its first word, after it, all references of round 2."""


@dataclass(frozen=True)
class Fault:
    """A rule of the offline service and what it means to us.

    `kind` is the failure that must be told, None when the fault must do no harm. `said` stands in
    the message as well, `tries` is how often the request is made. A `late` fault strikes after some
    tokens; what came till then is used, as with a `torn` answer, which is only a beginning.
    """

    name: str
    rule: Mapping[str, Any]
    kind: FailureKind | None = None
    said: str = ""
    tries: int = 1
    late: bool = False
    torn: bool = False
    model: Mapping[str, Any] = field(default_factory=dict)

    @property
    def stalls(self) -> int:
        """How often a try lasts until the timeout."""
        return self.rule.get("times", self.tries) if "stall" in str(self.rule.get("kind")) else 0


@dataclass(frozen=True)
class Cell:
    """A fault at a place."""

    fault: Fault
    place: str

    def __str__(self) -> str:
        return f"{self.fault.name}-{self.place}"

    @property
    def prompt(self) -> str:
        """What is asked in this cell."""
        return f"what of {self}?"

    @property
    def struck(self) -> tuple[str, ...]:
        """The models that fail."""
        return {"one": REFERENCES[:1], "before": (JUDGE,), "after": (JUDGE,)}.get(self.place, REFERENCES)

    @property
    def bound(self) -> float:
        """Seconds that the turn may take: its timeouts, its waits, and the slowness of a busy machine."""
        return self.fault.stalls * TIMEOUT + self.fault.tries * 1.5 + 5.0

    def behaviour(self) -> dict[str, Any]:
        """The programme of the service."""
        models: dict[str, dict[str, Any]] = {name: {"reply": text} for name, text in ANSWERS.items()}
        models[JUDGE] = {"reply": REPLY}
        rule = dict(self.fault.rule)
        rules = [rule]
        if self.fault.late:
            rule["tokens"] = TOKENS
        if self.place == "second":
            rule["references"] = True
        if self.place == "after" and not self.fault.late:
            rules = [{"kind": "cut", "tokens": TOKENS, "times": 1}, {**rule, "skip": 1}]
        for name in self.struck:
            models[name] |= {"failures": rules, **self.fault.model}
        return {"models": models, "demo_models": False}


@dataclass(frozen=True)
class Expected:
    """What must come of a cell."""

    status: str
    reply: Callable[[str | None], bool]
    code: int
    said: tuple[str, ...] = ()


def expected(cell: Cell) -> Expected:
    """Return what must come of the turn."""
    fault, place = cell.fault, cell.place
    said = (str(fault.kind), fault.said)
    references = place in {"one", "all", "second"}
    if fault.kind is None or place == "one" or (references and fault.torn):
        return Expected("done", lambda reply: reply == REPLY, 0)
    if place == "second":
        return Expected("done", lambda reply: reply == REPLY, 0, ("Round 2 gave no answers",))
    if place == "all":
        code = 3 if fault.kind is FailureKind.KEY_REFUSED else 1
        return Expected("failed", lambda reply: not reply, code, (*said, "3 reference models"))
    if place == "before" and fault.torn:
        return Expected("partial", bool, 1, said)
    if place == "before":
        return Expected(
            "partial", lambda reply: reply in ANSWERS.values(), 1, (*said, "No aggregator answered")
        )
    return Expected("partial", lambda reply: bool(reply) and REPLY[:20] == (reply or "")[:20], 1, said)


def _passing(name: str, rule: Mapping[str, Any], kind: FailureKind, said: str = "") -> list[Fault]:
    """A fault that stays, which is asked three times, and the same fault once, after which all is well."""
    return [
        Fault(name, rule, kind, said, tries=3),
        Fault(f"{name}-once", {**rule, "times": 1}, tries=2),
    ]


K = FailureKind
FAULTS: tuple[Fault, ...] = (
    Fault("400", {"status": 400, "message": "no such field"}, K.BAD_REQUEST, "no such field"),
    Fault("401", {"status": 401, "message": "who are you"}, K.KEY_REFUSED, "check the key"),
    Fault("403", {"status": 403, "message": "not for you"}, K.FORBIDDEN, "plan, credit"),
    Fault("404", {"status": 404, "message": "gone"}, K.NOT_FOUND, "gone"),
    Fault(
        "filter",
        {"status": 400, "code": "content_filter", "message": "not this"},
        K.CONTENT_FILTER,
        "not this",
    ),
    *_passing("429", {"status": 429}, K.RATE_LIMITED, "HTTP 429"),
    *_passing("429-soon", {"status": 429, "headers": {"Retry-After": "0.1"}}, K.RATE_LIMITED, "HTTP 429"),
    Fault(
        "429-late", {"status": 429, "headers": {"Retry-After": "99"}}, K.RATE_LIMITED, "to wait 1 min 39 s"
    ),
    *_passing("500", {"status": 500}, K.SERVICE, "HTTP 500"),
    Fault("502", {"kind": "html", "status": 502, "text": "<h1>Bad gateway</h1>"}, K.SERVICE, "502", 3),
    *_passing("503", {"status": 503}, K.OVERLOADED, "HTTP 503"),
    Fault("504", {"status": 504}, K.SERVICE, "HTTP 504", 3),
    Fault("529", {"status": 529}, K.OVERLOADED, "HTTP 529", 3),
    *_passing("stall", {"kind": "stall"}, K.TIMEOUT, "no word for 1 s"),
    *_passing("hung-up", {"kind": "refuse"}, K.CUT, "before an answer"),
    Fault("reset", {"kind": "reset"}, K.CUT, "before an answer", 3),
    *_passing("cut", {"kind": "cut", "tokens": 0}, K.CUT),
    Fault("error-in-stream", {"kind": "error_in_stream", "message": "out of luck"}, K.SERVICE, "luck", 3),
    Fault("redirect", {"kind": "redirect"}, K.BAD_REQUEST, "check base_url"),
    Fault("quota", {"status": 429, "code": "insufficient_quota"}, K.QUOTA, "billing and quota"),
    Fault("unpaid", {"status": 402}, K.QUOTA, "billing and quota"),
    Fault("html", {"kind": "html"}, K.GARBLED, "Sign in first", 2),
    Fault("garbage", {"kind": "garbage"}, K.GARBLED, "not JSON", 2),
    Fault("garbage-once", {"kind": "garbage", "times": 1}, tries=2),
    Fault("empty", {"kind": "empty"}, K.EMPTY),
    Fault("null-content", {"kind": "null_content"}, K.EMPTY),
    Fault("no-choices", {"kind": "no_choices"}, K.EMPTY),
    Fault("empty-delta", {"kind": "empty_delta"}),
    Fault("no-usage", {"kind": "comments"}, model={"usage": False}),
    Fault("no-finish", {"kind": "no_finish"}),
    Fault("no-done", {"kind": "no_done"}),
    Fault("comments", {"kind": "comments"}),
    Fault("split", {"kind": "split", "size": 3}),
    Fault("huge", {"kind": "huge", "bytes": 50_000_000}, K.ENDLESS, "characters came", torn=True),
    Fault("repeat", {"kind": "repeat"}, K.ENDLESS, "repeats itself"),
    Fault("cut-late", {"kind": "cut"}, K.CUT, late=True, torn=True),
    Fault("reset-late", {"kind": "cut", "reset": True}, K.CUT, late=True, torn=True),
    Fault("cut-late-once", {"kind": "cut", "times": 1}, late=True, torn=True),
    Fault("stall-late", {"kind": "stall_after"}, K.TIMEOUT, "no word", late=True, torn=True),
    Fault("garbage-late", {"kind": "garbage"}, K.GARBLED, "not JSON", late=True, torn=True),
    Fault("odd-code", {"kind": "error_in_stream", "message": "no luck", "code": "²"}, K.SERVICE, "luck", 3),
    Fault("error-late", {"kind": "error_in_stream"}, K.SERVICE, late=True, torn=True),
    Fault(
        "context-of-400-digits",
        {
            "status": 400,
            "code": "context_length_exceeded",
            "message": f"This model's maximum context length is {'9' * 400} tokens.",
        },
        K.CONTEXT_LENGTH,
        "maximum context length",
        2,
    ),
    # The last, because the program remembers the context length that it was told.
    Fault("context", {"kind": "context_length"}, K.CONTEXT_LENGTH, "maximum context length", 2),
)


def cells(place: str) -> list[Cell]:
    """All faults that can strike at a place."""
    at = "after" if place == "after" else ""
    return [Cell(fault, place) for fault in FAULTS if at or not (fault.late and place == "before")]


ALL = [cell for place in PLACES for cell in cells(place)]


def options(place: str) -> dict[str, object]:
    """The options of the program for the cells at a place."""
    return {
        "reference_models": REFERENCES,
        "aggregator": JUDGE,
        "rounds": 2 if place == "second" else 1,
        "timeout": TIMEOUT,
        "max_tokens": MOST,
        "num_proc": 1,
    }


def variables(place: str) -> dict[str, str]:
    """The same options as variables of the environment."""
    said = {**options(place), "reference_models": ",".join(REFERENCES)}
    return {f"MOA_BOT_{name.upper()}": str(value) for name, value in said.items()}


@dataclass
class Kept:
    """What the store holds of one turn: its status and reply, and its calls by (round, slot)."""

    status: str
    reply: str
    calls: dict[tuple[int, int], dict[str, Any]]


def kept(home: Path, prompt: str) -> Kept:
    """Read a turn out of the store's file, past all of the program."""
    database = sqlite3.connect(home / "conversations.db")
    database.row_factory = sqlite3.Row
    try:
        turns = database.execute("SELECT * FROM turns WHERE prompt = ?", (prompt,)).fetchall()
        assert len(turns) == 1, f"{len(turns)} turns with this prompt"
        calls = database.execute("SELECT * FROM calls WHERE turn = ?", (turns[0]["id"],)).fetchall()
        slots = {(call["round"], call["slot"]): dict(call) for call in calls}
        return Kept(turns[0]["status"], turns[0]["reply"], slots)
    finally:
        database.close()


def check_kept(cell: Cell, record: Kept) -> None:
    """Check the stored turn: status, reply, and how the struck calls ended."""
    want, fault = expected(cell), cell.fault
    assert record.status == want.status
    assert want.reply(record.reply or None)
    if cell.place in {"before", "after"} or fault.kind is None:
        calls = [call for call in record.calls.values() if call["role"] == "reference"]
        assert {call["status"] for call in calls} == {"done"}
        if fault.kind is not None:
            last = max(record.calls)
            assert record.calls[last]["partial"]
        return
    round_ = 2 if cell.place == "second" else 1
    for slot in range(len(cell.struck)):
        call = record.calls[round_, slot]
        if fault.torn:
            assert call["status"] == "done"
            assert call["partial"].startswith(str(fault.kind))
            assert call["text"]
        else:
            assert (call["status"], call["error_kind"]) == ("failed", fault.kind)
