"""The rows of the store as frozen values.

Times are aware datetimes in UTC here, and UTC ISO-8601 text with milliseconds in the database
(`2026-07-02T09:31:12.345Z`), which sorts as it reads. Tokens are counts, seconds are floats,
costs are US dollars; None is "not known".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping


StoredStatus = Literal["interrupted", "done", "partial", "failed", "undone"]
"""How a turn ended: "interrupted" when it was begun and never finished, "undone" when the user undid it."""

CallStatus = Literal["done", "failed"]
CallRole = Literal["reference", "draft", "review", "judge", "aggregator", "shadow"]


class TurnId(NamedTuple):
    """A turn's key: its conversation's id, and its number in it, from 1."""

    conversation: str
    number: int


@dataclass(frozen=True, slots=True)
class StoredConversation:
    """A conversation without its turns. `settings` are the mixture's, as JSON values."""

    id: str
    title: str
    created: datetime
    updated: datetime
    settings: Mapping[str, Any] = field(default_factory=dict)
    system: str | None = None


@dataclass(frozen=True, slots=True)
class Summary:
    """A conversation in a list.

    `cost` is the sum over the turns whose cost is known, None when none is; `uncosted` counts the
    others.
    """

    conversation: StoredConversation
    turns: int
    cost: float | None
    uncosted: int


@dataclass(frozen=True, slots=True)
class StoredTurn:
    """A prompt and its reply. `reply` is "" where there is none; then `error` says why.

    `analysis`, `panel` and `shadow` are the JSON values of `bot.analysis.Analysis`, and of `Panel` and
    `Shadow` in `bot.turn_result`.
    """

    conversation: str
    number: int
    prompt: str
    created: datetime
    status: StoredStatus = "interrupted"
    reply: str = ""
    reasoning: str = ""
    error: str | None = None
    model: str = ""
    seconds: float | None = None
    first_token: float | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    reasoning_tokens: int | None = None
    cached_tokens: int | None = None
    cost: float | None = None
    notices: tuple[str, ...] = ()
    analysis: Mapping[str, Any] | None = None
    panel: Mapping[str, Any] | None = None
    shadow: Mapping[str, Any] | None = None

    @property
    def id(self) -> TurnId:
        """The turn's key in the store's methods."""
        return TurnId(self.conversation, self.number)


@dataclass(frozen=True, slots=True)
class StoredCall:
    """A finished call of turn number `turn`, at place `slot` (from 0) of `round` (from 1).

    `partial` says why `text` is not the whole answer ("" when it is). The error's kind and
    message are None unless `status` is "failed". `tools` are the JSON values of `bot.tool_use.ToolRun`.
    """

    turn: int
    round: int
    slot: int
    role: CallRole
    model: str
    endpoint: str
    status: CallStatus
    error_kind: str | None = None
    error_message: str | None = None
    text: str = ""
    reasoning: str = ""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    reasoning_tokens: int | None = None
    cached_tokens: int | None = None
    cost: float | None = None
    first_token: float | None = None
    seconds: float | None = None
    finish_reason: str | None = None
    retries: int = 0
    partial: str = ""
    tools: tuple[Mapping[str, Any], ...] = ()

    @property
    def error(self) -> str | None:
        """Kind and message on one line, None for a call that was answered."""
        if self.status == "done":
            return None
        return ": ".join(part for part in (self.error_kind, self.error_message) if part) or "failed"


@dataclass(frozen=True, slots=True)
class Hit:
    """A turn that a search found; `marks` are the (start, end) of the found words in `snippet`."""

    conversation: str
    title: str
    turn: int
    created: datetime
    snippet: str
    marks: tuple[tuple[int, int], ...] = ()


def now() -> datetime:
    """Return the time as the store keeps it: UTC, whole milliseconds."""
    return parse_time(format_time(datetime.now(UTC)))


def format_time(when: datetime) -> str:
    """Return a time as the database's text; a naive datetime is taken for local time."""
    return when.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_time(text: str) -> datetime:
    """Return the time that the database's text stands for. Raises ValueError where it is none."""
    return datetime.fromisoformat(text).astimezone(UTC)
