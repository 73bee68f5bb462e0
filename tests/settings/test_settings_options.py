"""The table of options, the names of models, and what `config show` prints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.settings.model_names import join_models, parse_models, split_endpoint
from bot.settings.options import BY_NAME, OPTIONS, Kind
from bot.settings.settings import Settings
from bot.settings.show import config_json, config_rows
from bot.settings.values import InvalidValueError, check_value

if TYPE_CHECKING:
    from conftest import Home

_NAMES = st.text("abcXYZ./-_:1", min_size=1, max_size=6)


def test_the_table_is_sound() -> None:
    """No spelling, attribute or variable stands twice; every help text is one short sentence."""
    names = [name for option in OPTIONS for name in (option.name, option.negative, option.short) if name]
    variables = [option.variable for option in OPTIONS] + [o.negative_variable for o in OPTIONS if o.negative]
    assert len(set(names)) == len(names)
    assert len(set(variables)) == len(variables)
    for option in OPTIONS:
        assert option.attribute in Settings.__dataclass_fields__
        assert option.help.endswith(".")
        assert 10 < len(option.help) <= 100
        assert bool(option.metavar) == (option.kind is not Kind.BOOL)
        assert not option.negative or option.kind is Kind.BOOL


def test_names_of_an_option() -> None:
    """Its short form, its attribute, and how the docs name it."""
    assert BY_NAME["null"].short == "-0"
    assert BY_NAME["continue"].attribute == "continue_"
    assert BY_NAME["save"].spelling == "--save / --no_save"
    assert BY_NAME["aggregator"].spelling == "--aggregator, -a MODEL"


@pytest.mark.parametrize(
    ("given_text", "models"),
    [
        ("a", ("a",)),
        (" a , b*2 ", ("a", "b", "b")),
        (["a", "b,c*1"], ("a", "b", "c")),
        ("x * 3", ("x", "x", "x")),
        ("openrouter:v/m:free*2", ("openrouter:v/m:free",) * 2),
        ([], ()),
    ],
)
def test_lists_of_models(given_text: str | list[str], models: tuple[str, ...]) -> None:
    """Commas, repetitions and MODEL*N all end in one listing per call."""
    assert parse_models(given_text) == models


@pytest.mark.parametrize(
    "text", ["", " ", ",", "a,", "a,,b", "*2", "a*", "a*0", "a*65", "a*-1", "a*x", "a*²", "a*1*2", "a\x1bb"]
)
def test_lists_that_are_none(text: str) -> None:
    """Empty names, impossible counts and control characters are refused in a printable message."""
    with pytest.raises(ValueError, match=r".+") as caught:
        parse_models(text)
    assert str(caught.value).isprintable()


@given(st.lists(st.tuples(_NAMES, st.integers(1, 64)), max_size=5))
def test_folding_a_list_can_be_undone(listed: list[tuple[str, int]]) -> None:
    """The short form of a list reads back as the same list."""
    models = tuple(name for name, times in listed for _ in range(times))
    assert parse_models(join_models(models) or []) == models


@pytest.mark.parametrize(
    ("value", "found"),
    [("", '""'), (["a", " "], '" " in it'), (["a\0b"], r'"a\x00b" in it'), ([1], "1 in it"), (1, "1")],
)
def test_paths_that_are_none(value: object, found: str) -> None:
    """The message shows the part that is wrong."""
    with pytest.raises(InvalidValueError) as caught:
        check_value(BY_NAME["file"], value)
    assert str(caught.value).endswith(f", found {found}")


def test_prefixes() -> None:
    """Only a known endpoint's name is a prefix, and only the first colon separates it."""
    known = {"ollama", "openrouter"}
    assert split_endpoint("ollama:qwen3:8b", known) == ("ollama", "qwen3:8b")
    assert split_endpoint("qwen3:8b", known) == ("", "qwen3:8b")
    assert split_endpoint("a/b", known) == ("", "a/b")
    with pytest.raises(ValueError, match='"ollama:" without a model'):
        split_endpoint("ollama:", known)


def test_config_show(home: Home) -> None:
    """Every option stands there with its value and source, in the order of the table, one line each."""
    home.config("seed = 7")
    settings = home.resolve({"rounds": 2, "system": "two\nlines"}, MOA_BOT_REFERENCE_MODELS="a,b*3")
    rows = config_rows(settings, {})
    assert [row.key for row in rows[: len(OPTIONS)]] == [option.name for option in OPTIONS]
    said = {row.key: (row.value, row.source) for row in rows}
    assert said["rounds"] == ("2", "option --rounds")
    assert said["seed"] == ("7", str(home.file))
    assert said["reference_models"] == ("a, b*3", "environment MOA_BOT_REFERENCE_MODELS")
    assert said["aggregator"] == ("Qwen/Qwen3.7-Max", "preset default")
    assert said["preset"] == ("default", "defaults")
    assert said["system"] == ("two lines", "option --system")
    assert said["temperature"] == ("0.7", "defaults")
    assert said["stream"] == ("true", "defaults")
    assert said["num_proc"] == ("-", "defaults")
    assert said["instruction"] == ("aggregate.md", "defaults")
    (home.folder / "aggregate.md").write_text("Mine.", encoding="utf-8")
    assert config_rows(settings, {})[-1].value == str(home.folder / "aggregate.md")


def test_config_show_as_json(home: Home) -> None:
    """The same as JSON: plain values by name, with their sources."""
    settings = home.resolve({"file": [Path("a.txt")]})
    shown = json.loads(json.dumps(config_json(settings, {"GROQ_API_KEY": "x"})))
    assert shown["config_file"] == str(home.file)
    assert set(shown["options"]) == set(BY_NAME)
    assert shown["options"]["file"] == {"value": ["a.txt"], "source": "option --file"}
    assert shown["options"]["max_tokens"] == {"value": 2048, "source": "defaults"}
    assert shown["endpoints"]["groq"]["key"] == "set"
    assert shown["endpoints"]["together"]["key"] == "not set"
