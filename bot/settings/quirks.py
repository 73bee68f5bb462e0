"""How a service differs from the OpenAI API, and its limits.

Read from an endpoint's table; applied where requests are made (`bot.client.provider`), where they wait
(`bot.client.retry`) and where thinking is set (`bot.settings.catalogue`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast, get_args

from bot.settings.extra_body import read_extra_body

if TYPE_CHECKING:
    from bot.settings.files import Section

ThinkingSwitch = Literal["reasoning", "reasoning_effort", "chat_template_kwargs", "think", "thinking", "none"]
"""The field of a request that sets how much a model thinks."""

KEYS = (
    "ask_usage",
    "max_tokens_field",
    "rejects",
    "thinking",
    "rate",
    "parallel",
    "cache_marks",
    "cache_key_field",
    "cache_key_header",
    "extra_body",
)
LENGTHS = ("max_tokens", "max_completion_tokens")
_NEEDED = frozenset({"model", "messages", "stream"})
_FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
_OTHER_USE = _NEEDED | {*LENGTHS, "temperature", "seed", "stream_options"}
_HEADER = re.compile(r"x-[a-z0-9-]{1,60}", re.IGNORECASE)
_MOST_PARALLEL = 10_000
_FASTEST = 1_000_000


@dataclass(frozen=True, slots=True)
class Quirks:
    """The differences of one service.

    `ask_usage` is off when the service counts the tokens of a stream unasked and refuses to be asked.
    `rejects` are fields of a request that it refuses; `rate` is requests a minute, `parallel` requests
    at once, None for no limit. `cache_marks` are patterns of the models whose requests have to say what
    is to be cached, `cache_key_field` and `cache_key_header` are the field and the header for a key of the
    conversation, "" for none. `extra_body` are further fields of every request (JSON, "" for none).
    """

    ask_usage: bool = True
    max_tokens_field: str = "max_tokens"
    rejects: tuple[str, ...] = ()
    thinking: ThinkingSwitch = "reasoning"
    rate: float | None = None
    parallel: int | None = None
    cache_marks: tuple[str, ...] = ()
    cache_key_field: str = ""
    cache_key_header: str = ""
    extra_body: str = ""


def read_quirks(section: Section, base: Quirks) -> Quirks:
    """Return the quirks of an endpoint's table; what it lacks is as in `base`. ConfigError for a mistake."""
    ask = section.boolean("ask_usage")
    thinking = section.choice("thinking", get_args(ThinkingSwitch))
    return Quirks(
        base.ask_usage if ask is None else ask,
        section.choice("max_tokens_field", LENGTHS) or base.max_tokens_field,
        read_rejects(section) if "rejects" in section else base.rejects,
        cast("ThinkingSwitch", thinking) if thinking else base.thinking,
        _rate(section) if "rate" in section else base.rate,
        _parallel(section) if "parallel" in section else base.parallel,
        _names(section, "cache_marks", "a list of models, such as vendor/*")
        if "cache_marks" in section
        else base.cache_marks,
        _cache_key_field(section) if "cache_key_field" in section else base.cache_key_field,
        _cache_key_header(section) if "cache_key_header" in section else base.cache_key_header,
        read_extra_body(section) if "extra_body" in section else base.extra_body,
    )


def read_rejects(section: Section) -> tuple[str, ...]:
    """Return the fields that a table says are refused. ConfigError for a field that is needed."""
    names = _names(section, "rejects", "a list of a request's fields")
    if needed := _NEEDED.intersection(names):
        raise section.error("rejects", f"no request can go without {' and '.join(sorted(needed))}")
    return names


def _names(section: Section, key: str, expected: str) -> tuple[str, ...]:
    names = section.table[key]
    if not isinstance(names, list) or not all(isinstance(name, str) and name.strip() for name in names):
        raise section.wrong_type(key, expected)
    return tuple(names)


def _cache_key_field(section: Section) -> str:
    value = section.table["cache_key_field"]
    if isinstance(value, str) and (not value or (_FIELD.fullmatch(value) and value not in _OTHER_USE)):
        return value
    raise section.wrong_type("cache_key_field", 'the name of a field such as prompt_cache_key, "" for none')


def _cache_key_header(section: Section) -> str:
    value = section.table["cache_key_header"]
    if isinstance(value, str) and (not value or _HEADER.fullmatch(value)):
        return value
    raise section.wrong_type("cache_key_header", 'the name of a header such as x-session-id, "" for none')


def _rate(section: Section) -> float | None:
    value = section.table["rate"]
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _FASTEST:
        return float(value) or None
    raise section.wrong_type("rate", "requests a minute, 0 for no limit")


def _parallel(section: Section) -> int | None:
    value = section.table["parallel"]
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST_PARALLEL:
        return value or None
    raise section.wrong_type("parallel", "how many calls at once, 0 for any number")
