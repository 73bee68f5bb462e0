"""The nearest place where a value was said wins: every option, every place."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from bot.app.make_plan import make_plan
from bot.errors import ConfigError, UsageError
from bot.settings.options import BY_NAME, OPTIONS, Kind, Option
from bot.settings.settings import Level

if TYPE_CHECKING:
    from conftest import Home


class Sample(NamedTuple):
    """Three values that can be told apart, as the command line gives them and as they end up."""

    given: tuple[Any, Any, Any]
    kept: tuple[Any, Any, Any]


_MODELS = "a list of models' names (MODEL or MODEL*N)"
_SPECIAL = {
    "preset": Sample(("moa", "fast", "demo-2024"), ("moa", "fast", "demo-2024")),
    "mode": Sample(("rank", "moa", "rank"), ("rank", "moa", "rank")),
    "endpoint": Sample(("groq", "openai", "ollama"), ("groq", "openai", "ollama")),
    "agreement": Sample((0.1, 0.2, 0.3), (0.1, 0.2, 0.3)),
    "temperature": Sample((0.1, 0.2, 0.3), (0.1, 0.2, 0.3)),
    "system_file": Sample((Path("/a"), Path("/b"), Path("/c")), (Path("/a"), Path("/b"), Path("/c"))),
    "schema": Sample(("none", '{"minimum":  1}', '{"title": ""}'), ("", '{"minimum": 1}', '{"title": ""}')),
    "models_dir": Sample((Path("/a"), Path("/b"), Path("/c")), (Path("/a"), Path("/b"), Path("/c"))),
}
_BY_KIND = {
    Kind.INT: Sample((2, 3, 4), (2, 3, 4)),
    Kind.FLOAT: Sample((11, 12.5, 13), (11.0, 12.5, 13.0)),
    Kind.TEXT: Sample(("a", "b", "c"), ("a", "b", "c")),
    Kind.MODELS: Sample((["a"], ["b*2"], ["c,d"]), (("a",), ("b", "b"), ("c", "d"))),
    Kind.NAMES: Sample((["a"], ["b.*"], ["c,d"]), (("a",), ("b.*",), ("c", "d"))),
    Kind.MODEL: Sample(("a", "b", "c"), ("a", "b", "c")),
    Kind.PATHS: Sample(
        ([Path("/a")], [Path("/b")], [Path("/c")]), ((Path("/a"),), (Path("/b"),), (Path("/c"),))
    ),
}
_VALUED = [option for option in OPTIONS if option.kind is not Kind.BOOL]
# --local looks for services; what it brings along is tested with some.
_SWITCHES = [option for option in OPTIONS if option.kind is Kind.BOOL and option.name != "local"]


def _sample(option: Option) -> Sample:
    if option.choices:
        three = (option.choices * 3)[:3]
        return Sample(three, three)
    return _SPECIAL.get(option.name) or _BY_KIND[option.kind]


def _as_text(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _as_toml(value: object) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_as_toml(item) for item in value) + "]"
    return str(value) if isinstance(value, int | float) else f"'{value}'"


@pytest.mark.parametrize("option", _VALUED, ids=lambda option: option.name)
def test_command_line_beats_outer_beats_environment(option: Option, home: Home) -> None:
    """An option near the subcommand beats one before it, which beats the variable, and each is named."""
    near, outer, variable = _sample(option).given
    kept = _sample(option).kept
    environ = {option.variable: _as_text(variable)}
    name = option.name
    places: list[tuple[dict[str, Any], dict[str, Any], Any, str, Level]] = [
        ({name: near}, {name: outer}, kept[0], f"option --{name}", Level.COMMAND),
        ({name: None}, {name: outer}, kept[1], f"option --{name}", Level.OUTER),
        ({}, {}, kept[2], f"environment MOA_BOT_{name.upper()}", Level.ENVIRONMENT),
    ]
    for cli, before, expected, source, level in places:
        settings = home.resolve(cli, before, **environ)
        assert settings.value(name) == expected
        assert str(settings.sources[name]) == source
        assert settings.sources[name].level is level


@pytest.mark.parametrize("option", [o for o in _VALUED if o.in_file], ids=lambda option: option.name)
def test_environment_beats_file_beats_the_rest(option: Option, home: Home) -> None:
    """A variable beats config.toml, which beats preset and defaults; the file is named."""
    variable, written, _ = _sample(option).given
    kept = _sample(option).kept
    home.config(f"{option.name} = {_as_toml(written)}")
    assert home.resolve(**{option.variable: _as_text(variable)}).value(option.name) == kept[0]
    settings = home.resolve()
    expected = home.folder / kept[1] if option.kind is Kind.PATH else kept[1]
    assert settings.value(option.name) == expected
    assert str(settings.sources[option.name]) == str(home.file)


@pytest.mark.parametrize(
    "option", [o for o in _VALUED if o.in_preset and o.name != "system_file"], ids=lambda option: option.name
)
def test_file_beats_preset_beats_defaults(option: Option, home: Home) -> None:
    """A value of config.toml beats the preset's, and the preset's beats the default; the preset is named."""
    written, own, _ = _sample(option).given
    kept = _sample(option).kept
    home.preset(
        "mine", f"aggregator = 'a'\nreference_models = ['b', 'c', 'd', 'e']\n{option.name} = {_as_toml(own)}"
    )
    settings = home.resolve({"preset": "mine"})
    assert settings.value(option.name) == kept[1]
    assert str(settings.sources[option.name]) == "preset mine"
    home.config(f"{option.name} = {_as_toml(written)}")
    assert home.resolve({"preset": "mine"}).value(option.name) == kept[0]


def test_defaults_hold_where_nothing_is_said(home: Home) -> None:
    """Without any wish the documented defaults hold, and say so."""
    settings = home.resolve()
    values = {name: settings.value(name) for name in ("temperature", "max_tokens", "rounds", "preset")}
    assert values == {"temperature": 0.7, "max_tokens": 2048, "rounds": 1, "preset": "default"}
    assert (settings.multi_turn, settings.stream, settings.save, settings.default_endpoint) == (
        True,
        True,
        True,
        "together",
    )
    assert (settings.json, settings.null, settings.demo, settings.continue_, settings.file) == (
        False,
        False,
        False,
        False,
        (),
    )
    assert {str(settings.sources[name]) for name in values} == {"defaults"}
    assert str(settings.sources["aggregator"]) == "preset default"


@pytest.mark.parametrize("option", _SWITCHES, ids=lambda option: option.name)
@pytest.mark.parametrize(
    ("text", "on"),
    [
        ("1", True),
        ("true", True),
        ("YES", True),
        (" on ", True),
        ("0", False),
        ("False", False),
        ("no", False),
    ],
)
def test_switches_in_the_environment(option: Option, text: str, on: bool, home: Home) -> None:  # noqa: FBT001 - a row
    """Both spellings of a switch work as a variable, the negative one the other way round."""
    settings = home.resolve(**{option.variable: text})
    assert settings.value(option.name) is on
    assert str(settings.sources[option.name]) == f"environment {option.variable}"
    if option.negative:
        settings = home.resolve(**{option.negative_variable: text})
        assert settings.value(option.name) is not on
        assert str(settings.sources[option.name]) == f"environment MOA_BOT_{option.negative.upper()}"


@pytest.mark.parametrize("option", [o for o in _SWITCHES if o.negative], ids=lambda option: option.name)
def test_switches_on_the_command_line(option: Option, home: Home) -> None:
    """A switch turned off on the command line beats the variable that turns it on, and is named as spelt."""
    settings = home.resolve({option.name: False}, **{option.variable: "1"})
    assert settings.value(option.name) is False
    assert str(settings.sources[option.name]) == f"option --{option.negative}"


@pytest.mark.parametrize("option", [o for o in _SWITCHES if not o.negative], ids=lambda option: option.name)
def test_a_switch_that_cannot_be_turned_off_is_not_given(option: Option, home: Home) -> None:
    """False from a parser stands for "not given" where no spelling could have said it."""
    settings = home.resolve({option.attribute: False}, **{option.variable: "1"})
    assert settings.value(option.name) is True


@pytest.mark.parametrize("option", [o for o in _SWITCHES if o.in_file], ids=lambda option: option.name)
def test_switches_in_the_file(option: Option, home: Home) -> None:
    """A switch in config.toml is taken as it stands, and a variable beats it."""
    home.config(f"{option.name} = false")
    assert home.resolve().value(option.name) is False
    assert home.resolve(**{option.variable: "1"}).value(option.name) is True


@pytest.mark.parametrize("name", ["file", "continue", "resume", "json", "null", "demo"])
def test_what_belongs_to_one_run_stays_out_of_the_file(name: str, home: Home) -> None:
    """An option that only makes sense for one run is refused in config.toml, with the way it can be said."""
    home.config(f"{name} = 'x'")
    with pytest.raises(ConfigError) as caught:
        home.resolve()
    option = BY_NAME[name]
    expected = f"{home.file}: {name}: not a setting for a file; expected {option.flag} or {option.variable}"
    assert caught.value.message == expected


def test_contradicting_variables_are_refused(home: Home) -> None:
    """A switch turned on by one variable and off by the other is an error that names both."""
    with pytest.raises(UsageError, match="MOA_BOT_STREAM and MOA_BOT_NO_STREAM: expected one of them"):
        home.resolve(MOA_BOT_STREAM="1", MOA_BOT_NO_STREAM="1")


def test_an_empty_variable_is_no_variable(home: Home) -> None:
    """A variable set to nothing says nothing."""
    assert home.resolve(MOA_BOT_ROUNDS="", MOA_BOT_REFERENCE_MODELS=" ").rounds == 1


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        (
            {"MOA_BOT_ROUNDS": "two"},
            'environment MOA_BOT_ROUNDS: expected a whole number from 0 to 20, found "two"',
        ),
        (
            {"MOA_BOT_ROUNDS": "-1"},
            'environment MOA_BOT_ROUNDS: expected a whole number from 0 to 20, found "-1"',
        ),
        (
            {"MOA_BOT_TEMPERATURE": "nan"},
            'environment MOA_BOT_TEMPERATURE: expected a number from 0 to 2, found "nan"',
        ),
        (
            {"MOA_BOT_NO_STREAM": "maybe"},
            'environment MOA_BOT_NO_STREAM: expected 1 or 0 (or true/false, yes/no, on/off), found "maybe"',
        ),
        (
            {"MOA_BOT_REFERENCE_MODELS": "a,,b"},
            f"environment MOA_BOT_REFERENCE_MODELS: expected {_MODELS}, found an empty model name",
        ),
        (
            {"MOA_BOT_AGGREGATOR": "a,b"},
            'environment MOA_BOT_AGGREGATOR: expected one model\'s name, found "a,b"',
        ),
    ],
)
def test_wrong_variables(variables: dict[str, str], message: str, home: Home) -> None:
    """A wrong value in the environment is named with its variable and what was expected."""
    with pytest.raises(UsageError) as caught:
        home.resolve(**variables)
    assert caught.value.message == message


@pytest.mark.slow
@pytest.mark.parametrize(
    ("cli", "message"),
    [
        ({"rounds": -1}, "--rounds: expected a whole number from 0 to 20, found -1"),
        ({"temperature": 2.5}, "--temperature: expected a number from 0 to 2, found 2.5"),
        ({"timeout": 0}, "--timeout: expected a number above 0 and at most 86400 seconds, found 0"),
        ({"num_proc": 0}, "--num_proc: expected a whole number from 1 to 256, found 0"),
        ({"min_references": -1}, "--min_references: expected a whole number from 0 to 1000, found -1"),
        ({"max_tokens": True}, "--max_tokens: expected a whole number from 1 to 10000000, found true"),
        (
            {"reference_models": [""]},
            f"--reference_models: expected {_MODELS}, found an empty model name",
        ),
        (
            {"reference_models": ["a*65"]},
            f'--reference_models: expected {_MODELS}, found "a*65" (MODEL*N takes an N from 1 to 64)',
        ),
        ({"endpoint": "  "}, '--endpoint: expected a text, found "  "'),
        ({"system": "\udcff"}, '--system: expected a text, found "\\udcff"'),
    ],
)
def test_wrong_options(cli: dict[str, object], message: str, home: Home) -> None:
    """A wrong value on the command line is named with its option and what was expected."""
    with pytest.raises(UsageError) as caught:
        home.resolve(cli)
    assert caught.value.message == message


def test_system_texts_exclude_each_other(home: Home, tmp_path: Path) -> None:
    """Of --system and --system_file the nearer wins; said in one place they are refused."""
    text = tmp_path / "system.txt"
    text.write_text("from the file\n", encoding="utf-8")
    assert make_plan(home.resolve({"system_file": text}, {"system": "outer"})).system == "from the file"
    assert make_plan(home.resolve({"system": "near"}, MOA_BOT_SYSTEM_FILE=str(text))).system == "near"
    with pytest.raises(UsageError, match="option --system and option --system_file: expected either"):
        home.resolve({"system": "x", "system_file": text})
    home.config('system = "x"\nsystem_file = "y"')
    with pytest.raises(ConfigError) as caught:
        home.resolve()
    assert (
        caught.value.message == f"{home.file}: system_file: expected either system or system_file, not both"
    )


def test_an_empty_system_prompt_takes_one_back(home: Home) -> None:
    """--system "" switches off the system prompt of config.toml."""
    home.config('system = "always be brief"')
    assert make_plan(home.resolve()).system == "always be brief"
    assert make_plan(home.resolve({"system": ""})).system is None


def test_continue_and_resume_exclude_each_other(home: Home) -> None:
    """--continue and --resume together are refused; a nearer --resume beats a variable's --continue."""
    with pytest.raises(UsageError, match="option --continue and option --resume"):
        home.resolve({"continue_": True, "resume": "k3"})
    settings = home.resolve({"resume": "k3"}, MOA_BOT_CONTINUE="1")
    assert (settings.resume, settings.continue_) == ("k3", False)


def test_paths_in_the_file_start_at_the_file(home: Home) -> None:
    """A relative path in config.toml is relative to its folder, wherever the program is started."""
    (home.folder / "role.md").write_text("You are terse.", encoding="utf-8")
    home.config('system_file = "role.md"')
    assert make_plan(home.resolve()).system == "You are terse."
