"""What is typed after `moa-bot config set`: a name and a text become a key and a value of config.toml.

    rounds 2    presets.mine.reference_models a,b*2    endpoints.work.base_url https://…
    models.zai-org/GLM-5.2.context 200000              (no quotation marks needed)

Only the kind of the value is decided here, by the table of options if it has the name; whether the
file is valid with it is checked when it is written (`bot.settings.edit`).
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

from bot.errors import UsageError
from bot.settings.option import Group, Kind, Option
from bot.settings.options import BY_NAME, FILE_OPTIONS, PRESET_OPTIONS
from bot.settings.values import InvalidValueError, parse_text
from bot.text.nearest import did_you_mean

if TYPE_CHECKING:
    from bot.settings.edit import Key

_TABLES = ("endpoints", "presets", "prompts", "models", "mcp", "web")
_FORMS = "presets.NAME.rounds, endpoints.NAME.base_url, models.ID.context, mcp.NAME.command"
_IN_AGENT = frozenset({"temperature", "max_tokens"})
_KINDS: dict[str, dict[str, Kind]] = {
    "endpoints": {
        "ask_usage": Kind.BOOL,
        "rejects": Kind.MODELS,
        "rate": Kind.FLOAT,
        "parallel": Kind.INT,
    },
    "presets": {"aggregator": Kind.MODEL, "reference_models": Kind.MODELS},
    "prompts": {},
    "models": {
        "context": Kind.INT,
        "max_output": Kind.INT,
        "input_price": Kind.FLOAT,
        "output_price": Kind.FLOAT,
        "cached_input_price": Kind.FLOAT,
        "rejects": Kind.MODELS,
        "system_role": Kind.BOOL,
        "alternate_roles": Kind.BOOL,
        "vision": Kind.BOOL,
        "tools": Kind.BOOL,
        "structured_output": Kind.BOOL,
    },
    "mcp": {
        "args": Kind.NAMES,
        "read_only": Kind.NAMES,
        "timeout": Kind.INT,
        "disabled": Kind.BOOL,
    },
    "web": {"allow_hosts": Kind.NAMES, "allow_private": Kind.BOOL},
}


def parse_key(name: str) -> Key:
    """Return the key of a setting's name. UsageError when there is no such setting."""
    table, dot, rest = name.partition(".")
    if not dot:
        option = BY_NAME.get(name.replace("-", "_"))
        if option is None:
            hint = did_you_mean(name, (*FILE_OPTIONS, *_TABLES))
            raise UsageError(
                f"There is no setting {_shown(name)}.",
                hint=f"{hint}The options by name are settings, and so are {_FORMS}.",
            )
        if not option.in_file:
            raise UsageError(
                f"{option.name}: not a setting for a file.", hint=f"Use {option.flag} or {option.variable}."
            )
        return (option.name,)
    if table not in _TABLES:
        raise UsageError(f"There is no setting {_shown(name)}.", hint=f"Tables have names such as {_FORMS}.")
    parts = _quoted(rest) or _unquoted(table, rest)
    if not all(part.strip() and part.isprintable() for part in parts):
        raise UsageError(f"{_shown(name)}: not a complete name.", hint=f"Such as {_FORMS}.")
    return (table, *parts)


def parse_value(key: Key, text: str) -> object:
    """Return the text as a value of this key. UsageError when the key does not accept it."""
    if "\0" in text or not _is_unicode(text):
        raise UsageError(f"{'.'.join(key)}: expected a text in UTF-8.")
    if key[0] == "endpoints" and key[2:] == ("cache_marks",):
        return _split(text)  # patterns, which are no names of models
    option = _option(key)
    try:
        value = parse_text(option, text, separator=os.pathsep)
    except InvalidValueError as problem:
        raise UsageError(f"{'.'.join(key)}: {problem}") from None
    if option.kind in {Kind.MODELS, Kind.NAMES}:
        return _split(text)
    # Paths are relative to the current folder here, but in config.toml to the folder of config.toml.
    if isinstance(value, Path):
        return str(value.absolute())
    if isinstance(value, tuple):
        return [str(path.absolute()) for path in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",")]


def _option(key: Key) -> Option:
    """Return the option that checks the key's value; one made for it where the table has none."""
    name = key[-1]
    if len(key) == 1:
        return BY_NAME[name]
    table, inner = key[0], key[1:] if key[0] == "web" else key[2:]
    if table == "presets":
        if len(inner) == 1 and name in PRESET_OPTIONS:
            return BY_NAME[name]
        if inner[:1] == ("agents",) and name in _IN_AGENT:
            return BY_NAME[name]
        if name == "layers" or len(key) == 2:  # noqa: PLR2004 - presets.NAME
            raise UsageError(f"{'.'.join(key)}: a table, not a value.", hint="Write it: moa-bot config edit")
    kind = _KINDS[table].get(name, Kind.TEXT) if len(inner) == 1 else Kind.TEXT
    return Option(name=name, kind=kind, group=Group.ADVANCED, help="", may_be_empty=True)


def _quoted(rest: str) -> tuple[str, ...]:
    """Split a name that is written as in TOML, with quotation marks; () when there are none in it."""
    if not {'"', "'"}.intersection(rest):
        return ()
    try:
        table: object = tomllib.loads(f"{rest} = 0")
    except tomllib.TOMLDecodeError:
        return ("",)
    parts: list[str] = []
    while isinstance(table, dict) and len(table) == 1:
        [(part, table)] = table.items()
        parts.append(part)
    return tuple(parts) if table == 0 else ("",)


def _unquoted(table: str, rest: str) -> tuple[str, ...]:
    """Split a name at its dots, but not at those in a model's name."""
    if table == "models" and "." in rest:
        model, _, fact = rest.rpartition(".")
        return model, fact
    if table == "presets" and ".agents." in rest:
        preset, _, inner = rest.partition(".agents.")
        model, _, name = inner.rpartition(".")
        return preset, "agents", model, name
    return tuple(rest.split("."))


def _shown(name: str) -> str:
    return name if name.isprintable() and len(name) < 60 else "of that name"  # noqa: PLR2004 - a line's room


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
