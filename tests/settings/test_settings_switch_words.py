"""A switch that accepts a word beside on and off: `--early_stop shadow`, wherever an option can be given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from bot.cli.app import typer_app
from bot.cli.options import join_words
from bot.errors import MoaError
from bot.settings.config_key import parse_value

if TYPE_CHECKING:
    from conftest import Home


@pytest.mark.parametrize(
    ("arguments", "joined"),
    [
        (["--early_stop", "shadow"], ["--early_stop_shadow"]),
        (["--early-stop", "shadow", "ask", "hi"], ["--early_stop_shadow", "ask", "hi"]),
        (["ask", "--early_stop=shadow", "hi"], ["ask", "--early_stop_shadow", "hi"]),
        (["--early_stop", "ask", "hi"], ["--early_stop", "ask", "hi"]),
        (["ask", "--early_stop", "shadows are long"], ["ask", "--early_stop", "shadows are long"]),
        (["ask", "--early_stop"], ["ask", "--early_stop"]),
        (["ask", "--", "--early_stop", "shadow"], ["ask", "--", "--early_stop", "shadow"]),
        (["--no_early_stop", "shadow"], ["--no_early_stop", "shadow"]),
        (["--adaptive", "shadow"], ["--adaptive", "shadow"]),
        (["ask", "shadow", "--early_stop"], ["ask", "shadow", "--early_stop"]),
        (["-", "early_stop", "shadow"], ["-", "early_stop", "shadow"]),
        (["eval", "--rejudge", "unreadable", "x"], ["eval", "--rejudge_unreadable", "x"]),
        (["eval", "--rejudge", "--judge", "x"], ["eval", "--rejudge", "--judge", "x"]),
        (["--resume"], ["--resume=?"]),
        (["--resume", "--rounds", "2"], ["--resume=?", "--rounds", "2"]),
        (["ask", "--resume", "-q", "hi"], ["ask", "--resume=?", "-q", "hi"]),
        (["--resume", "k7m", "ask"], ["--resume", "k7m", "ask"]),
        (["--resume=k7m"], ["--resume=k7m"]),
        (["ask", "--", "--resume"], ["ask", "--", "--resume"]),
    ],
)
def test_the_word_after_a_switch(arguments: list[str], joined: list[str]) -> None:
    """Only that word belongs to the switch; any other is what it would be after a switch without words.

    `--resume` without an ID asks for one.
    """
    assert join_words(arguments) == joined


@pytest.mark.parametrize(
    ("arguments", "value"),
    [
        (["--early_stop", "shadow"], "shadow"),
        (["--early-stop=shadow", "presets"], "shadow"),
        (["--early_stop"], True),
        (["--no_early_stop"], False),
        ([], None),
    ],
)
def test_on_the_command_line(monkeypatch: pytest.MonkeyPatch, arguments: list[str], value: object) -> None:
    """The program gets the word, true or false."""
    found: list[dict[str, Any]] = []

    def chat(given: dict[str, Any], *_: object) -> int:
        found.append(given)
        return 0

    monkeypatch.setattr("bot.cli.app.chat_or_pipe", chat)
    without_command = [each for each in arguments if each != "presets"]
    result = CliRunner().invoke(typer_app, without_command)
    assert result.exit_code == 0, result.output
    assert found[0].get("early_stop") == value


def test_the_help_page_has_the_word_once() -> None:
    """The switch that the parser has for it is not shown."""
    page = CliRunner().invoke(typer_app, ["--help"]).output
    assert "early_stop_shadow" not in page
    assert "shadow: only note it" in " ".join(page.split())


def test_in_environment_file_and_preset(home: Home) -> None:
    """The word is a value like true and false, and the nearest one counts."""
    preset = "aggregator = 'a'\nreference_models = ['b', 'c']\nearly_stop = 'shadow'"
    home.preset("mine", preset)
    assert home.resolve({"preset": "mine"}).early_stop == "shadow"
    assert home.resolve({"preset": "mine", "early_stop": False}).early_stop is False
    home.config("early_stop = 'shadow'")
    assert home.resolve().early_stop == "shadow"
    assert home.resolve(MOA_BOT_EARLY_STOP="1").early_stop is True
    assert home.resolve(MOA_BOT_EARLY_STOP=" Shadow ").early_stop == "shadow"
    assert home.resolve({"early_stop": "shadow"}, MOA_BOT_NO_EARLY_STOP="1").early_stop == "shadow"
    assert home.resolve().stored_options()["early_stop"] == "shadow"


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"MOA_BOT_EARLY_STOP": "dusk"}, 'on/off), or shadow, found "dusk"'),
        ({"MOA_BOT_NO_EARLY_STOP": "shadow"}, 'on/off), found "shadow"'),
        ({"MOA_BOT_ADAPTIVE": "shadow"}, 'on/off), found "shadow"'),
    ],
)
def test_other_words_in_the_environment(home: Home, variables: dict[str, str], said: str) -> None:
    """A word that the switch does not accept is an error that says what it does."""
    with pytest.raises(MoaError, match="expected 1 or 0") as error:
        home.resolve(**variables)
    assert said in error.value.message


@pytest.mark.parametrize("value", ["'dusk'", "1", "['shadow']"])
def test_other_values_in_the_file(home: Home, value: str) -> None:
    """Likewise in config.toml."""
    home.config(f"early_stop = {value}")
    with pytest.raises(MoaError, match="expected true, false or shadow"):
        home.resolve()


@pytest.mark.parametrize(("text", "value"), [("shadow", "shadow"), ("on", True), ("0", False)])
def test_config_set(text: str, value: object) -> None:
    """`config set early_stop shadow` writes the word."""
    assert parse_value(("early_stop",), text) == value
    with pytest.raises(MoaError, match="expected 1 or 0"):
        parse_value(("presets", "mine", "early_stop"), "dusk")
