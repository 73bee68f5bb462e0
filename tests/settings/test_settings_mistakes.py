"""Every mistake in a file is one line that names the file, the key and what was expected."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from bot.errors import ConfigError, ExitCode

if TYPE_CHECKING:
    from conftest import Home

_URL = "an address such as https://host/v1, without user, password or query"
_MODEL = 'a model (a name, or a table such as {model = "NAME", temperature = 0.3})'

_MODELS = "a list of models' names (MODEL or MODEL*N)"
_PRESETS = (
    "default, adaptive, budget, critique, deep, demo, demo-2024, fast, local, moa, moa-gpt4o, moa-lite,"
    " self-moa, specialists, starter"
)
_VARIABLE = "the name of an environment variable, in capitals, such as MY_API_KEY"
_MINE = "[presets.mine]\naggregator = 'a'\nreference_models = ['b']"

_CONFIG = [
    ("round = 2", "round: unknown key; did you mean rounds?"),
    ("rounds = 2.0", "rounds: expected a whole number from 0 to 20, found 2.0"),
    ("rounds = true", "rounds: expected a whole number from 0 to 20, found true"),
    ('rounds = "two"', 'rounds: expected a whole number from 0 to 20, found "two"'),
    ("rounds = 21", "rounds: expected a whole number from 0 to 20, found 21"),
    (f"seed = {10**30}", "seed: expected a whole number from 0 to 2000000000, found a huge number"),
    ("temperature = -0.1", "temperature: expected a number from 0 to 2, found -0.1"),
    ("temperature = nan", "temperature: expected a number from 0 to 2, found nan"),
    (
        "timeout = 1979-05-27",
        "timeout: expected a number above 0 and at most 86400 seconds, found a date or time",
    ),
    ("stream = 1", "stream: expected true or false, found 1"),
    ("system = ['x']", "system: expected a text, found a list"),
    (
        "reference_models = [1]",
        "reference_models: expected a list of models' names (MODEL or MODEL*N), found 1 in it",
    ),
    (
        "reference_models = ['a*0']",
        f'reference_models: expected {_MODELS}, found "a*0" (MODEL*N takes an N from 1 to 64)',
    ),
    ("aggregator = {}", "aggregator: expected one model's name, found a table"),
    (
        'preset = "moaa"',
        f'preset: no preset "moaa". Did you mean moa? Presets: {_PRESETS}.',
    ),
    ("presets = 3", "presets: expected a table, found 3"),
    ("[presets]\nmine = 3", "presets.mine: expected a table, found 3"),
    ("[presets.mine]\n", "presets.mine.reference_models: expected either reference_models or [[layers]]"),
    ("[presets.mine]\nreference_models = ['a']", f"presets.mine.aggregator: missing; expected {_MODEL}"),
    (
        "[presets.mine]\naggregator = 'a*2'\nreference_models = ['a']",
        "presets.mine.aggregator: expected one model, found 2",
    ),
    (
        "[presets.mine]\naggregator = 'a'\nreference_models = ['a', 7]",
        f"presets.mine.reference_models[2]: expected {_MODEL}, found 7",
    ),
    (
        "[presets.mine]\naggregator = 'a'\nreference_models = ['ollama:']",
        f'presets.mine.reference_models[1]: expected {_MODEL}, found "ollama:" without a model',
    ),
    (
        "[presets.mine]\naggregator = 'a'\nreference_models = [{model = 'b', temprature = 1}]",
        "presets.mine.reference_models[1].temprature: unknown key; did you mean temperature?",
    ),
    (
        "[presets.mine]\naggregator = 'a'\nreference_models = [{model = 'b', endpoint = 'olama'}]",
        "presets.mine.reference_models[1].endpoint: no such endpoint; did you mean ollama?",
    ),
    (
        "[presets.mine]\naggregator = 'a'\n[[presets.mine.layers]]\n",
        "presets.mine.layers[1].reference_models: missing; expected a list of models",
    ),
    (
        f"{_MINE}\n[presets.mine.agents.'x/y z']\nreasoning = 'none'",
        'presets.mine.agents."x/y z".reasoning: expected "off" or "low" or "medium" or "high", found "none"',
    ),
    (
        "[presets.mine]\naggregator = 'a'\nreference_models = ['b']\nmax_tokens = 0",
        "presets.mine.max_tokens: expected a whole number from 1 to 10000000, found 0",
    ),
    (
        "[presets.mine]\naggregator = 'a'\nreference_models = ['b']\nstream = true",
        "presets.mine.stream: unknown key; did you mean system?",
    ),
    (
        '[models."a/b"]\nkontext = 3',
        'models."a/b".kontext: unknown key; did you mean context?',
    ),
    ('[models."a/b"]\ncontext = "8k"', 'models."a/b".context: expected a whole number above 0, found "8k"'),
    (
        '[models."a/b"]\ninput_price = -1',
        'models."a/b".input_price: expected a price in US dollars per million tokens, found -1',
    ),
    (
        '[models."a/b"]\nreasoning = true',
        'models."a/b".reasoning: expected "toggle" or "effort" or "always", found true',
    ),
    ("[endpoints.mine]\n", f"endpoints.mine.base_url: missing; expected {_URL}"),
    ("[endpoints.mine]\nbase_url = 'host/v1'", f"endpoints.mine.base_url: expected {_URL}"),
    ("[endpoints.mine]\nbase_url = 'https://me:secret@host/v1'", f"endpoints.mine.base_url: expected {_URL}"),
    (
        "[endpoints.mine]\nbase_url = 'https://host/v1?key=secret'",
        f"endpoints.mine.base_url: expected {_URL}",
    ),
    ("[endpoints.mine]\nbase_url = 'https://host:99999/v1'", f"endpoints.mine.base_url: expected {_URL}"),
    ("[endpoints.mine]\nbase_url = 'http://[::::]/v1'", f"endpoints.mine.base_url: expected {_URL}"),
    ("[endpoints.mine]\nbase_url = 'http://[1.2.3.4]/v1'", f"endpoints.mine.base_url: expected {_URL}"),
    (
        "[endpoints.together]\nkey_env = 'tgp_v1_abcdef'",
        f"endpoints.together.key_env: expected {_VARIABLE}",
    ),
    ("[endpoints.together]\nkey = 'secret'", "endpoints.together.key: unknown key; did you mean key_env?"),
    (
        "[endpoints.together.headers]\nX-Y = 3",
        "endpoints.together.headers.X-Y: expected a text of one line, in ASCII",
    ),
    (
        "[endpoints.'a b']\n",
        'endpoints."a b": expected another name: letters, digits, - and _, not demo or local',
    ),
    (
        "[endpoints.demo]\n",
        "endpoints.demo: expected another name: letters, digits, - and _, not demo or local",
    ),
    ('"a\\nb" = 1', None),
    ('"\\u001b[31m" = 1', None),
]


@pytest.mark.parametrize(("text", "line"), _CONFIG, ids=[text.replace("\n", " ")[:60] for text, _ in _CONFIG])
def test_mistakes_in_the_file(text: str, line: str | None, home: Home) -> None:
    """The message is exactly this line; no control character and no secret is in it."""
    home.config(text)
    with pytest.raises(ConfigError) as caught:
        home.resolve()
    message = caught.value.message
    if line is not None:
        assert message == f"{home.file}: {line}"
    assert message.isprintable()
    assert "secret" not in message
    assert "tgp_v1" not in message
    assert caught.value.exit_code is ExitCode.USAGE


def test_unknown_key_with_nothing_near(home: Home) -> None:
    """A key that is like no other is answered with the list of keys."""
    home.config("zzzz = 1")
    with pytest.raises(ConfigError) as caught:
        home.resolve()
    assert caught.value.message.startswith(
        f"{home.file}: zzzz: unknown key; expected one of preset, aggregator, "
    )


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"system = '\xff'", "expected UTF-8 text"),
        (b"#" * 4_000_001, "cannot be read: larger than 4 MB"),
    ],
    ids=["bytes", "size"],
)
def test_files_that_are_no_settings(content: bytes, line: str, home: Home) -> None:
    """What cannot be TOML at all is said as plainly as a wrong key."""
    home.file.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        home.resolve()
    assert caught.value.message == f"{home.file}: {line}"


def test_bottomless_nesting(home: Home) -> None:
    """A file nested too deeply for the parser is no TOML, whatever the parser makes of it."""
    home.file.write_bytes(b"seed = " + b"[" * 20_000)
    with pytest.raises(ConfigError) as caught:
        home.resolve()
    assert caught.value.message.startswith(f"{home.file}: not valid TOML: ")


def test_syntax_errors_name_line_and_column(home: Home) -> None:
    """A slip in the TOML is said with its place."""
    home.config("rounds = 2\ntemperature 0.5\n")
    with pytest.raises(ConfigError) as caught:
        home.resolve()
    assert caught.value.message.startswith(f"{home.file}: not valid TOML: ")
    assert "line 2" in caught.value.message


def test_a_folder_in_the_place_of_the_file(home: Home) -> None:
    """A config.toml that cannot be opened is an error, not an empty file."""
    home.file.mkdir()
    with pytest.raises(ConfigError) as caught:
        home.resolve()
    reason = "Permission denied" if sys.platform == "win32" else "Is a directory"
    assert caught.value.message == f"{home.file}: cannot be read: {reason}"


def test_no_file_is_an_empty_file(home: Home) -> None:
    """Without a config.toml, in a folder that does not exist, the defaults hold and nothing is made."""
    settings = home.resolve(MOA_BOT_HOME=str(home.folder / "none"))
    assert settings.rounds == 1
    assert not (home.folder / "none").exists()


def test_a_byte_order_mark_and_windows_line_ends_are_fine(home: Home) -> None:
    """A file from a Windows editor reads like any other."""
    home.file.write_bytes(b"\xef\xbb\xbfrounds = 3\r\nseed = 1\r\n")
    settings = home.resolve()
    assert (settings.rounds, settings.seed) == (3, 1)
