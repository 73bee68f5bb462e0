"""Behaviour files: how the offline service and each of its models behave.

A behaviour is read from a TOML or JSON file, or sent to a running service. `[models."ID"]` serves a
model of that id; `[models."*"]` has the defaults of all models. Keys at the top are for the whole
service. Without a behaviour the demonstration models answer without delay.

    require_key = "secret"               # 401 without it; also for a single model
    any_model = true                     # every id is served, with the values of "*"

    [models."*"]
    tokens_per_second = 50

    [models."demo/sceptic"]
    delay = 0.4
    failures = [{ status = 429, times = 2, headers = { Retry-After = 1 } }]

A model's reply is the first of these that its table has: `echo` (the request's body as JSON),
`replies` (one after the other), `reply`, `recorded` with `recorded_as`, `stamps` (the times of so many
tokens), `program` (the id of a demonstration model), else the demonstration model of its own id, else
one chosen by its id. Timing: `delay` seconds to the headers, then `first_token` seconds, then
`tokens_per_second`; `jitter` (0 to 1) varies all of them by up to that fraction.
"""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bot.demo import DEMO_AGGREGATOR, DEMO_CONTEXT, DEMO_REFERENCES
from bot.demo.behaviour_schema import (
    AT_LEAST_ONE,
    COUNT,
    FLAG,
    FRACTION,
    HEADERS,
    INTEGER,
    RATE,
    SECONDS,
    STRING,
    STRINGS,
    TABLE,
    TABLES,
    ValueType,
    check_table,
    one_of,
)
from bot.demo.fault_rules import FaultRule, parse_rule
from bot.demo.recorded import Recordings
from bot.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

DEMO_MODELS: Final = (*DEMO_REFERENCES, DEMO_AGGREGATOR)
_DEMO_FACTS: Final[dict[str, Any]] = {
    "owned_by": "moa-bot",
    "context_length": DEMO_CONTEXT,
    "pricing": {"input": 0, "output": 0},
}
_SERVICE: Final[dict[str, ValueType]] = {
    "require_key": STRING,
    "max_concurrent": AT_LEAST_ONE,
    "any_model": FLAG,
    "demo_models": FLAG,
    "bare_list": FLAG,
    "models": TABLE,
}
_MODEL: Final[dict[str, ValueType]] = {
    "require_key": STRING,
    "max_concurrent": AT_LEAST_ONE,
    "reject_fields": STRINGS,
    "context": AT_LEAST_ONE,
    "delay": SECONDS,
    "first_token": SECONDS,
    "tokens_per_second": RATE,
    "jitter": FRACTION,
    "seed": INTEGER,
    "reply": STRING,
    "replies": STRINGS,
    "recorded": STRING,
    "recorded_as": STRING,
    "stamps": COUNT,
    "echo": FLAG,
    "program": one_of(*DEMO_MODELS),
    "reasoning": STRING,
    "reasoning_field": one_of("reasoning", "reasoning_content", "think"),
    "usage": FLAG,
    "usage_chunk": FLAG,
    "cached_tokens": COUNT,
    "headers": HEADERS,
    "facts": TABLE,
    "failures": TABLES,
}
_REPLIES: Final = frozenset({"echo", "replies", "reply", "recorded", "stamps", "program"})


@dataclass(frozen=True, slots=True)
class ModelBehaviour:
    """How one model behaves; times in seconds, sizes in tokens, None for what is not configured.

    `recorded` is {instruction: reply}, `top_logprobs` {instruction: {token: log probability}} of the
    reply's first token. A field in `reject_fields` is answered with a 400; `facts` are further fields
    of the model's entry in the models list, `headers` further headers of every answer. With
    `usage_chunk`, usage comes in a chunk of its own; `cached_tokens` of the prompt tokens are said to
    come from a cache.
    """

    require_key: str | None = None
    max_concurrent: int | None = None
    reject_fields: tuple[str, ...] = ()
    context: int | None = None
    delay: float = 0.0
    first_token: float = 0.0
    tokens_per_second: float | None = None
    jitter: float = 0.0
    seed: int = 0
    reply: str | None = None
    replies: tuple[str, ...] = ()
    recorded: Mapping[str, str] | None = None
    top_logprobs: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    stamps: int | None = None
    echo: bool = False
    program: str | None = None
    reasoning: str = ""
    reasoning_field: str = "reasoning"
    usage: bool = True
    usage_chunk: bool = False
    cached_tokens: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    failures: tuple[FaultRule, ...] = ()


@dataclass(frozen=True, slots=True)
class Behaviour:
    """The behaviour of the whole service. `models` are the served ids; `default` is the table "*"."""

    models: Mapping[str, ModelBehaviour] = field(
        default_factory=lambda: {model: ModelBehaviour(facts=_DEMO_FACTS) for model in DEMO_MODELS}
    )
    default: ModelBehaviour = ModelBehaviour()
    require_key: str | None = None
    max_concurrent: int | None = None
    any_model: bool = False
    bare_list: bool = False

    def get(self, model: str) -> ModelBehaviour | None:
        """Return the behaviour of a model; None if it is not served."""
        return self.models.get(model) or (self.default if self.any_model else None)


def load_behaviour(path: Path) -> Behaviour:
    """Read a behaviour file, TOML (`.toml`) or JSON; raises ConfigError with a message of one line."""
    try:
        text = path.read_text(encoding="utf-8")
        data = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        kind = "TOML" if path.suffix == ".toml" else "JSON"
        raise ConfigError(f"{path}: not a {kind} file: {error}") from error
    return parse_behaviour(data, str(path), path.parent)


def parse_behaviour(data: Any, source: str = "behaviour", folder: Path | None = None) -> Behaviour:
    """Return the behaviour in plain data.

    `source` is its name in errors; relative paths start at `folder` (default: the working folder).
    Raises ConfigError, which names source, key and what was expected.
    """
    if not isinstance(data, dict):
        raise ConfigError(f"{source}: expected a table at the top, not {type(data).__name__}")
    top = check_table(data, _SERVICE, "", source)
    tables: dict[str, Any] = dict(top.pop("models", {}))
    for model, table in tables.items():
        check_table({f'"{model}"': table}, {f'"{model}"': TABLE}, "models.", source)
    if top.pop("demo_models", True):
        tables = {model: {} for model in DEMO_MODELS} | tables
    default = tables.pop("*", {})
    recordings = Recordings()
    base = folder or Path()

    def read(model: str, table: Mapping[str, Any]) -> ModelBehaviour:
        own = _read_model(model, table, source, base, recordings)
        # A model with a reply of its own does not inherit that of "*".
        inherited = {
            key: value for key, value in shared.items() if not (key in _REPLIES and _REPLIES & own.keys())
        }
        facts = {
            **(_DEMO_FACTS if model in DEMO_MODELS else {}),
            **shared.get("facts", {}),
            **own.get("facts", {}),
        }
        return ModelBehaviour(**(inherited | own | {"facts": facts}))

    shared = _read_model("*", default, source, base, recordings)
    return Behaviour(
        models={model: read(model, table) for model, table in tables.items()},
        default=read("*", {}),
        **top,
    )


def _read_model(
    model: str, table: Mapping[str, Any], source: str, folder: Path, recordings: Recordings
) -> dict[str, Any]:
    """Check one model's table, and return the values of its ModelBehaviour."""
    where = f'models."{model}".'
    values = check_table(table, _MODEL, where, source)
    key = values.pop("recorded_as", None)
    if ("recorded" in values) != (key is not None):
        raise ConfigError(f"{source}: {where}recorded: expected together with recorded_as")
    if key is not None:
        file = folder / values["recorded"]
        values["recorded"] = recordings.answers(file, key, where, source)
        values["top_logprobs"] = recordings.top_logprobs(file, key, where, source)
    for name in ("replies", "reject_fields"):
        if name in values:
            values[name] = tuple(values[name])
    if "headers" in values:
        values["headers"] = {name: str(value) for name, value in values["headers"].items()}
    if "failures" in values:
        values["failures"] = tuple(
            parse_rule(rule, f"{where}failures[{index}].", source)
            for index, rule in enumerate(values["failures"])
        )
    return values
