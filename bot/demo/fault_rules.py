"""Failure rules of a behaviour: when one strikes, and what it is told to do.

A rule has a `kind`; what each kind does stands in `faults`. Beside the keys of its kind, each rule
may say when it strikes. Without any of these it strikes every time:

    times = 2           the first two requests that it sees, then never again
    skip = 1            not the first one
    every = 3           each third one
    probability = 0.1   by chance, with `seed` for a schedule that repeats
    contains = "text"   only prompts whose last user message holds this text
    references = true   only requests with (false: without) answers of a round before

Counts are kept for each model. All rules are looked at in their order; the first that replaces the
answer ends it, those that change an answer add up.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from bot.demo.behaviour_schema import (
    AT_LEAST_ONE,
    COUNT,
    FLAG,
    FRACTION,
    HEADERS,
    STATUS,
    TEXT,
    WHOLE,
    Want,
    one_of,
    read_table,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

_WHEN: Final[dict[str, Want]] = {
    "times": AT_LEAST_ONE,
    "skip": COUNT,
    "every": AT_LEAST_ONE,
    "probability": FRACTION,
    "seed": WHOLE,
    "contains": TEXT,
    "references": FLAG,
}
_AFTER: Final[dict[str, Want]] = {"tokens": COUNT}
_SAID: Final[dict[str, Want]] = {"message": TEXT, "code": TEXT, "type": TEXT}

KIND_KEYS: Final[dict[str, dict[str, Want]]] = {
    "status": {"status": STATUS, "headers": HEADERS, **_SAID},
    "redirect": {"status": STATUS, "location": TEXT},
    "refuse": {},
    "reset": {},
    "stall": {},
    "html": {"status": STATUS, "text": TEXT},
    "context_length": {"limit": AT_LEAST_ONE, **_SAID},
    "cut": {"reset": FLAG, **_AFTER},
    "stall_after": _AFTER,
    "garbage": {"text": TEXT, **_AFTER},
    "invalid_utf8": _AFTER,
    "error_in_stream": {**_SAID, **_AFTER},
    "empty": {},
    "null_content": {},
    "no_choices": {},
    "empty_delta": {},
    "no_finish": {},
    "no_done": {},
    "comments": {},
    "split": {"size": AT_LEAST_ONE},
    "repeat": {"text": TEXT},
    "huge": {"bytes": AT_LEAST_ONE},
}
"""The kinds of failure, each with the keys that it understands."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One failure rule; the module's docstring says when it strikes, `faults` what it does."""

    kind: str = "status"
    times: int | None = None
    skip: int = 0
    every: int | None = None
    probability: float | None = None
    seed: int = 0
    contains: str | None = None
    references: bool | None = None
    status: int | None = None
    message: str | None = None
    code: str | None = None
    type: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    location: str = "/v1/chat/completions"
    limit: int | None = None
    tokens: int = 0
    reset: bool = False
    text: str | None = None
    size: int = 1
    bytes: int = 50_000_000

    def concerns(self, prompt: str, *, references: bool) -> bool:
        """Tell whether the rule looks at a request with this prompt at all; only such are counted."""
        if self.references is not None and self.references is not references:
            return False
        return self.contains is None or self.contains in prompt

    def strikes(self, seen: int, model: str) -> bool:
        """Tell whether the rule strikes at the request number `seen` (from 1) that concerns it."""
        nth = seen - self.skip
        if nth < 1 or (self.times is not None and nth > self.times):
            return False
        if self.every is not None and nth % self.every:
            return False
        return self.probability is None or chance(self.seed, model, seen) < self.probability


def chance(*parts: object) -> float:
    """Return a number in [0, 1) that depends on `parts` alone, so that a schedule can be repeated."""
    # hashlib and random are slow to import, and most services never draw lots.
    from zlib import crc32

    value = crc32("\x1f".join(map(str, parts)).encode())
    # A CRC alone would give neighbouring requests related numbers.
    for _ in range(2):
        value = ((value ^ (value >> 15)) * 0x9E37_79B1) & 0xFFFF_FFFF
    return (value ^ (value >> 16)) / 2**32


def read_rule(table: Mapping[str, Any], where: str, source: str) -> Rule:
    """Make a rule from its table in a behaviour file; raises ConfigError."""
    kind = table.get("kind", "status")
    read_table({"kind": kind}, {"kind": one_of(*KIND_KEYS)}, where, source)
    values = read_table(table, {"kind": TEXT, **_WHEN, **KIND_KEYS[kind]}, where, source)
    if "headers" in values:
        values["headers"] = {name: str(value) for name, value in values["headers"].items()}
    return Rule(**values)
