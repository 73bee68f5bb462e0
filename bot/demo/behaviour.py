"""The behaviour programme: how the offline service and each of its models behave.

It is read from a TOML or JSON file, or sent to a running service. `[models."ID"]` serves a model
of that id; `[models."*"]` holds what every model does unless its own table says otherwise. Keys at
the top hold for the whole service. Without any programme the demonstration models answer at once.

    require_key = "secret"               # 401 without it; also for one model
    any_model = true                     # every id is served, by the values of "*"

    [models."*"]
    tokens_per_second = 50

    [models."demo/sceptic"]
    delay = 0.4
    failures = [{ status = 429, times = 2, headers = { Retry-After = 1 } }]

What a model says is the first of these that its table has: `echo` (the request's body as JSON
text), `replies` (in turn), `reply`, `recorded` with `recorded_as`, `stamps`, `program` (the id of a
demonstration model), else the demonstration model of its own id, else one chosen by its id.
Time and tokens: `delay` seconds to the headers, then `first_token` seconds, then
`tokens_per_second`; `jitter` (0 to 1) lets all of them vary by that fraction. This module reads and
holds the programme; it does none of it.
"""

from __future__ import annotations

import json
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
    RATE,
    SECONDS,
    TABLE,
    TABLES,
    TEXT,
    TEXTS,
    WHOLE,
    Want,
    one_of,
    read_table,
)
from bot.demo.fault_rules import Rule, read_rule
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
_SERVICE: Final[dict[str, Want]] = {
    "require_key": TEXT,
    "max_concurrent": AT_LEAST_ONE,
    "any_model": FLAG,
    "demo_models": FLAG,
    "bare_list": FLAG,
    "models": TABLE,
}
_MODEL: Final[dict[str, Want]] = {
    "require_key": TEXT,
    "max_concurrent": AT_LEAST_ONE,
    "reject_fields": TEXTS,
    "context": AT_LEAST_ONE,
    "delay": SECONDS,
    "first_token": SECONDS,
    "tokens_per_second": RATE,
    "jitter": FRACTION,
    "seed": WHOLE,
    "reply": TEXT,
    "replies": TEXTS,
    "recorded": TEXT,
    "recorded_as": TEXT,
    "stamps": COUNT,
    "echo": FLAG,
    "program": one_of(*DEMO_MODELS),
    "reasoning": TEXT,
    "reasoning_field": one_of("reasoning", "reasoning_content", "think"),
    "usage": FLAG,
    "usage_chunk": FLAG,
    "headers": HEADERS,
    "facts": TABLE,
    "failures": TABLES,
}
_SAYS: Final = frozenset({"echo", "replies", "reply", "recorded", "stamps", "program"})


@dataclass(frozen=True, slots=True)
class ModelBehaviour:
    """How one model behaves; seconds and tokens, None where nothing is programmed.

    `recorded` is {instruction: reply}, `top_logprobs` {instruction: {token: log probability}} of the
    reply's first token. `reject_fields` are fields of the request's body that are
    answered with a 400, `facts` further fields of the model's entry in the models list, `headers`
    further headers of every answer. `usage_chunk`: usage comes in a chunk of its own.
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
    headers: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    failures: tuple[Rule, ...] = ()


@dataclass(frozen=True, slots=True)
class Behaviour:
    """The whole programme. `models` holds the served ids; `default` is what "*" says."""

    models: Mapping[str, ModelBehaviour] = field(
        default_factory=lambda: {model: ModelBehaviour(facts=_DEMO_FACTS) for model in DEMO_MODELS}
    )
    default: ModelBehaviour = ModelBehaviour()
    require_key: str | None = None
    max_concurrent: int | None = None
    any_model: bool = False
    bare_list: bool = False

    def of(self, model: str) -> ModelBehaviour | None:
        """Return how `model` behaves; None if it is not served."""
        return self.models.get(model) or (self.default if self.any_model else None)


def load_behaviour(path: Path) -> Behaviour:
    """Read a behaviour file, TOML (`.toml`) or JSON; raises ConfigError in one line."""
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".toml":
            import tomllib

            data = tomllib.loads(text)
        else:
            data = json.loads(text)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        kind = "TOML" if path.suffix == ".toml" else "JSON"
        raise ConfigError(f"{path}: not a {kind} file: {error}") from error
    return parse_behaviour(data, str(path), path.parent)


def parse_behaviour(data: Any, source: str = "behaviour", folder: Path | None = None) -> Behaviour:
    """Make a behaviour from plain data.

    `source` names it in errors; `folder` is where paths in it begin (default: the working folder).
    Raises ConfigError naming source, key and what was expected.
    """
    if not isinstance(data, dict):
        raise ConfigError(f"{source}: expected a table at the top, not {type(data).__name__}")
    top = read_table(data, _SERVICE, "", source)
    tables: dict[str, Any] = dict(top.pop("models", {}))
    for model, table in tables.items():
        read_table({f'"{model}"': table}, {f'"{model}"': TABLE}, "models.", source)
    if top.pop("demo_models", True):
        tables = {model: {} for model in DEMO_MODELS} | tables
    default = tables.pop("*", {})
    recordings = Recordings()
    base = folder or Path()

    def read(model: str, table: Mapping[str, Any]) -> ModelBehaviour:
        own = _read_model(model, table, source, base, recordings)
        # A model that says something of its own does not say what "*" says as well.
        kept = {key: value for key, value in shared.items() if not (key in _SAYS and _SAYS & own.keys())}
        facts = {
            **(_DEMO_FACTS if model in DEMO_MODELS else {}),
            **shared.get("facts", {}),
            **own.get("facts", {}),
        }
        return ModelBehaviour(**(kept | own | {"facts": facts}))

    shared = _read_model("*", default, source, base, recordings)
    return Behaviour(
        models={model: read(model, table) for model, table in tables.items()},
        default=read("*", {}),
        **top,
    )


def _read_model(
    model: str, table: Mapping[str, Any], source: str, folder: Path, recordings: Recordings
) -> dict[str, Any]:
    """Check one model's table and turn its values into those of a ModelBehaviour."""
    where = f'models."{model}".'
    values = read_table(table, _MODEL, where, source)
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
            read_rule(rule, f"{where}failures[{index}].", source)
            for index, rule in enumerate(values["failures"])
        )
    return values
