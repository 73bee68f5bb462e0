"""Fault rules of a behaviour: which requests a fault applies to, and its settings.

A rule has a `kind`; what each kind does is in `fault_injection`. Besides the keys of its kind, a rule
can choose its requests. Without any of these keys it applies to all:

    times = 2           to the first two requests
    skip = 1            not to the first request
    every = 3           to every third request
    probability = 0.1   at random, with `seed` for a sequence that repeats
    contains = "text"   only if the last user message contains this text
    references = true   only if the request holds (false: does not hold) answers of an earlier round

Requests are counted per model. The rules are checked in order; the first that replaces the answer
ends it, those that change an answer add up.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any, Final

from bot.demo.behaviour_schema import (
    AT_LEAST_ONE,
    COUNT,
    FLAG,
    FRACTION,
    HEADERS,
    INTEGER,
    STATUS,
    STRING,
    ValueType,
    check_table,
    one_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

_REQUESTS: Final[dict[str, ValueType]] = {
    "times": AT_LEAST_ONE,
    "skip": COUNT,
    "every": AT_LEAST_ONE,
    "probability": FRACTION,
    "seed": INTEGER,
    "contains": STRING,
    "references": FLAG,
}
_AFTER: Final[dict[str, ValueType]] = {"tokens": COUNT}
_ERROR: Final[dict[str, ValueType]] = {"message": STRING, "code": STRING, "type": STRING}

KIND_KEYS: Final[dict[str, dict[str, ValueType]]] = {
    "status": {"status": STATUS, "headers": HEADERS, **_ERROR},
    "redirect": {"status": STATUS, "location": STRING},
    "refuse": {},
    "reset": {},
    "stall": {},
    "html": {"status": STATUS, "text": STRING},
    "context_length": {"limit": AT_LEAST_ONE, **_ERROR},
    "cut": {"reset": FLAG, **_AFTER},
    "stall_after": _AFTER,
    "garbage": {"text": STRING, **_AFTER},
    "invalid_utf8": _AFTER,
    "error_in_stream": {**_ERROR, **_AFTER},
    "empty": {},
    "null_content": {},
    "no_choices": {},
    "empty_delta": {},
    "no_finish": {},
    "no_done": {},
    "comments": {},
    "split": {"size": AT_LEAST_ONE},
    "repeat": {"text": STRING},
    "huge": {"bytes": AT_LEAST_ONE},
}
"""The kinds of fault, each with its keys."""


@dataclass(frozen=True, slots=True)
class FaultRule:
    """One fault rule; see the module's docstring, and `fault_injection` for the kinds."""

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

    def matches(self, prompt: str, *, references: bool) -> bool:
        """Return whether the rule is about requests with this prompt; only those are counted."""
        if self.references is not None and self.references is not references:
            return False
        return self.contains is None or self.contains in prompt

    def applies(self, count: int, key: str) -> bool:
        """Return whether the rule applies to the request number `count` (from 1) of those that match.

        `key` keeps the random sequences of several rules apart.
        """
        nth = count - self.skip
        if nth < 1 or (self.times is not None and nth > self.times):
            return False
        if self.every is not None and nth % self.every:
            return False
        return self.probability is None or seeded_random(self.seed, key, count) < self.probability


def seeded_random(*parts: object) -> float:
    """Return a number in [0, 1) that depends on `parts` alone."""
    return Random(repr(parts)).random()  # noqa: S311 - not for cryptography


def parse_rule(table: Mapping[str, Any], where: str, source: str) -> FaultRule:
    """Return the rule of a table in a behaviour file; raises ConfigError."""
    kind = table.get("kind", "status")
    check_table({"kind": kind}, {"kind": one_of(*KIND_KEYS)}, where, source)
    values = check_table(table, {"kind": STRING, **_REQUESTS, **KIND_KEYS[kind]}, where, source)
    if "headers" in values:
        values["headers"] = {name: str(value) for name, value in values["headers"].items()}
    return FaultRule(**values)
