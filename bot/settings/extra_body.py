"""`extra_body`: further fields of the requests to an endpoint, a model, an agent, or those of a preset.

Services have parameters of their own, such as OpenRouter's `plugins`, and tools that they run themselves.
What the program itself sets in a request cannot be set here. Fields are kept as the JSON text of an object,
which can be compared and hashed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from bot.settings.files import Section

KEY: Final = "extra_body"
_LONGEST: Final = 100_000
"""Characters of the fields as JSON."""
_OWN: Final = frozenset(
    {
        *("model", "models", "messages", "prompt", "input", "stream", "stream_options", "n", "best_of"),
        *("tool_choice", "parallel_tool_calls", "functions", "function_call", "response_format"),
    }
)
_OPTIONS: Final = {
    "temperature": "temperature",
    "max_tokens": "max_tokens",
    "max_completion_tokens": "max_tokens",
    "seed": "seed",
}
"""Fields that an option sets."""
_WHERE_TO: Final = frozenset(
    {"api_key", "api_base", "api_version", "base_url", "authorization", "headers", "extra_headers"}
    | {"extra_query", "extra_body", "custom_llm_provider", "user_config", "mock_response"}
)
"""Fields by which a gateway would send a request elsewhere, or with another key."""


def read_extra_body(section: Section) -> str:
    """Return the fields that a table says, as JSON, "" for none. ConfigError names one that cannot be set."""
    value = section.table.get(KEY)
    if value is None:
        return ""
    if not isinstance(value, dict):
        raise section.wrong_type(KEY, "a table of a request's fields")
    for name, field in value.items():
        if problem := _problem(name.strip().lower(), field):
            raise section.error(KEY, f"{name} cannot be set here: {problem}")
    try:
        _check_numbers(value)
        text = json.dumps(value, sort_keys=True) if value else ""
    except (TypeError, ValueError, RecursionError):
        raise section.error(KEY, "expected what JSON can say: no dates, no nan, no inf") from None
    if len(text) > _LONGEST:
        raise section.error(KEY, f"more than {_LONGEST:,} characters")
    return text


def _problem(name: str, value: object) -> str:
    if name == "tools":
        return "" if _run_at_the_service(value) else 'only tools that the service runs, no type "function"'
    if name in _OPTIONS:
        return f"use the option {_OPTIONS[name]}"
    if name in _WHERE_TO:
        return "where a request goes, and with which key, is the endpoint's matter"
    return "the program sets it itself" if name in _OWN else ""


def _run_at_the_service(tools: object) -> bool:
    """Whether these are tools that need no answer of ours, such as `{type = "openrouter:web_search"}`."""
    if not isinstance(tools, list) or not tools:
        return False
    kinds = [tool.get("type") if isinstance(tool, dict) else None for tool in tools]
    return all(isinstance(kind, str) and kind not in {"", "function", "custom"} for kind in kinds)


def _check_numbers(value: object) -> None:
    """Raise ValueError for a number that JSON has not."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(value)
    for each in value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ():
        _check_numbers(each)


def merged(*texts: str) -> str:
    """Return the fields of all, as JSON; of a field that several have, the last one's value counts."""
    fields = extra_fields(*texts)
    return json.dumps(fields, sort_keys=True) if fields else ""


def extra_fields(*texts: str) -> dict[str, Any]:
    """Return the fields of all as an object; of a field that several have, the last one's value counts."""
    return {name: value for text in texts if text for name, value in json.loads(text).items()}
