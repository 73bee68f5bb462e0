"""Whatever stands in config.toml gives settings or one line about what is wrong."""

from __future__ import annotations

import json
import string
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st

from bot.app.make_plan import make_plan
from bot.errors import ConfigError, MoaError, UsageError
from bot.settings.options import FILE_OPTIONS, OPTIONS, PRESET_OPTIONS
from bot.settings.quirks import KEYS as QUIRKS
from bot.settings.resolve import resolve
from bot.settings.show import config_json, config_rows

pytestmark = pytest.mark.slow

_TEXTS = st.text(max_size=12) | st.sampled_from(
    ["together", "a,b*2", "openai:x", "ollama:", "off", "default"]
)
_SCALARS = (
    st.booleans()
    | st.integers()
    | st.floats()
    | _TEXTS
    | st.integers(min_value=1, max_value=3).map(lambda n: 10 ** (n * 40))
)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=3),
    max_leaves=6,
)
_AGENT_KEYS = ("model", "endpoint", "system", "temperature", "max_tokens", "reasoning")
_PRESET_KEYS = ("description", "aggregator", "reference_models", "layers", "agents", *PRESET_OPTIONS)
_FACT_KEYS = (
    "context",
    "max_output",
    "input_price",
    "output_price",
    "reasoning",
    "status",
    "note",
    "endpoint",
)
_ENDPOINT_KEYS = ("base_url", "key_env", "headers", *QUIRKS)


def _table(*keys: str) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(
        st.sampled_from(keys) | _TEXTS,
        _VALUES | st.dictionaries(st.sampled_from(_AGENT_KEYS), _VALUES, max_size=3),
        max_size=4,
    )


_DOCUMENTS = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(
            ("rounds", "system", "reference_models", "preset", "timeout", "seed", "stream"), _VALUES
        ),
        "presets": st.dictionaries(_TEXTS, _table(*_PRESET_KEYS), max_size=2) | _VALUES,
        "endpoints": st.dictionaries(_TEXTS, _table(*_ENDPOINT_KEYS), max_size=2) | _VALUES,
        "models": st.dictionaries(_TEXTS, _table(*_FACT_KEYS), max_size=2) | _VALUES,
    },
) | st.dictionaries(st.sampled_from(FILE_OPTIONS), _VALUES, max_size=4)


def _toml(value: object) -> str:
    """Write a value as inline TOML."""
    match value:
        case dict():
            return "{" + ", ".join(f"{_quoted(key)} = {_toml(item)}" for key, item in value.items()) + "}"
        case list():
            return "[" + ", ".join(_toml(item) for item in value) + "]"
        case str():
            return _quoted(value)
        case float():
            return repr(value)
        case _:
            return json.dumps(value)


def _quoted(text: str) -> str:
    plain = set(string.ascii_letters + string.digits + " .:*,/-_")
    return '"' + "".join(c if c in plain else f"\\U{ord(c):08x}" for c in text) + '"'


def _settings_or_one_line(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "config.toml"
        file.write_bytes(content)
        environ = {"MOA_BOT_HOME": folder}
        problem: MoaError | None = None
        try:
            settings = resolve({}, environ=environ)
        except ConfigError as error:
            problem = error
        if problem is not None:
            assert problem.message.startswith(f"{file}: ")
            assert len(problem.message.splitlines()) == 1
            return
        assert set(settings.sources) == {option.name for option in OPTIONS}
        json.dumps(config_json(settings, environ))
        assert all(len(row.value.splitlines()) <= 1 for row in config_rows(settings, environ))
        # Well-formed settings need not fit together: a file that is not there, too few references.
        with suppress(UsageError):
            make_plan(settings)


@limits(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_give_settings_or_one_line(content: bytes) -> None:
    """Bytes that are no settings file are refused in one line that names the file."""
    _settings_or_one_line(content)


@limits(deadline=None)
@given(_DOCUMENTS)
def test_any_toml_gives_settings_or_one_line(document: dict[str, Any]) -> None:
    """Well-formed TOML with any values at known and unknown keys never ends in another error."""
    _settings_or_one_line("\n".join(f"{key} = {_toml(value)}" for key, value in document.items()).encode())
