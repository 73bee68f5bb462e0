"""Changing config.toml: what is changed, what stays, and what is refused."""

from __future__ import annotations

import os
import stat
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import ConfigError, UsageError
from bot.settings.config_key import parse_key, parse_value
from bot.settings.edit import _changed, change_config
from bot.settings.options import FILE_OPTIONS

MINE = """\
# my settings

temperature = 0.5  # cool

# the good one
[presets.mine]
# who writes
aggregator = "a"
reference_models = ["x",
  "y"] # two
rounds = 2

# the lab's machine
[endpoints.work]
base_url = "http://work.example/v1"
"""
MIXTURE = {"aggregator": "a", "reference_models": ["b"]}


def test_comments_and_order_stay(home: Path) -> None:
    """A value is exchanged in its place, a new one follows the last of its table, all else is untouched."""
    file = home / "config.toml"
    file.write_text(MINE, encoding="utf-8")
    changes = {
        ("temperature",): 0.7,
        ("rounds",): 3,
        ("presets", "mine", "reference_models"): ["z"],
        ("presets", "mine", "max_tokens"): 9,
        ("presets", "new"): MIXTURE,
    }
    assert change_config(file, changes) == ""
    assert file.read_text(encoding="utf-8") == (
        MINE.replace("0.5", "0.7")
        .replace("# cool\n", "# cool\nrounds = 3\n")
        .replace('["x",\n  "y"]', '["z"]')
        .replace("rounds = 2\n", "rounds = 2\nmax_tokens = 9\n")
        + '\n[presets.new]\naggregator = "a"\nreference_models = ["b"]\n'
    )


def test_setting_and_taking_out_again(home: Path) -> None:
    """Nothing is left behind of what was put in, not even its table."""
    file = home / "config.toml"
    file.write_text(MINE, encoding="utf-8")
    changes: dict[tuple[str, ...], object] = {
        ("rounds",): 3,
        ("models", "org/Model-1.5", "context"): 5,
        ("endpoints", "work", "key_env"): "WORK_KEY",
    }
    change_config(file, changes)
    said = tomllib.loads(file.read_text(encoding="utf-8"))
    assert said["models"]["org/Model-1.5"]["context"] == 5
    change_config(file, dict.fromkeys(changes))
    assert file.read_text(encoding="utf-8").rstrip() == MINE.rstrip()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "rounds = 2\n"),
        ("# c", "rounds = 2\n\n# c"),
        ("# c\n\n# of a\n[a]\n", "# c\n\nrounds = 2\n\n# of a\n[a]\n"),
        ("x = [\n[1],\n]\n[t]", "x = [\n[1],\n]\nrounds = 2\n[t]"),
        ("x = '''\n[t]\n'''", "x = '''\n[t]\n'''\nrounds = 2\n"),
        ("[t]\nx = 1", "rounds = 2\n\n[t]\nx = 1"),
    ],
)
def test_where_a_new_value_goes(before: str, after: str) -> None:
    """Above all tables, behind what is there; lines that only look like a table's head are none."""
    assert _changed(before, ("rounds",), 2) == after


@pytest.mark.parametrize(
    "text",
    [
        "presets = {mine = {rounds = 2}}",
        "presets.mine.rounds = 2",
        "[presets]\nmine = {rounds = 2}",
        "[presets.mine]",
    ],
)
def test_every_way_to_write_a_table(text: str) -> None:
    """However the table is written, the value is in it afterwards."""
    said = tomllib.loads(_changed(text, ("presets", "mine", "seed"), 3))
    assert said["presets"]["mine"]["seed"] == 3
    assert set(said["presets"]["mine"]) <= {"rounds", "seed"}


_names = st.sampled_from(["a", "b", "zai-org/M-1.5", "with space", 'quo"te'])
_steps = st.lists(
    st.tuples(
        st.lists(_names, min_size=1, max_size=3).map(tuple),
        st.one_of(st.none(), st.integers(-9, 9), st.text("ab\n\"'#[=", max_size=6), st.lists(st.booleans())),
    ),
    max_size=6,
)


@given(_steps)
def test_whatever_is_changed_is_so(steps: list[tuple[tuple[str, ...], object]]) -> None:
    """After any changes the file says the last thing that was said of each key, and is TOML."""
    text = ""
    expected: dict[str, object] = {}
    for key, value in steps:
        if not _fits(expected, key):
            continue
        text = _changed(text, key, value)
        _apply(expected, key, value)
        assert tomllib.loads(text) == expected


def _fits(table: dict[str, object], key: tuple[str, ...]) -> bool:
    inner: object = table
    for part in key:
        if not isinstance(inner, dict):
            return False
        inner = inner.get(part, {})
    return not (isinstance(inner, dict) and inner)


def _apply(table: dict[str, object], key: tuple[str, ...], value: object) -> None:
    first, *rest = key
    if not rest:
        if value is None:
            table.pop(first, None)
        else:
            table[first] = value
        return
    if value is None and first not in table:
        return
    inner = table.setdefault(first, {})
    assert isinstance(inner, dict)
    _apply(inner, tuple(rest), value)
    if not inner and value is None:
        del table[first]


@pytest.mark.parametrize(
    "changes",
    [
        {("rounds",): 99},
        {("preset",): "nowhere"},
        {("presets", "x", "aggregator"): "a"},
        {("endpoints", "x", "base_url"): "not an address"},
        {("nonsense",): 1},
    ],
)
def test_no_change_makes_a_mistake(home: Path, changes: dict[tuple[str, ...], object]) -> None:
    """What the program could not read is refused in a line about the file, which stays as it was."""
    file = home / "config.toml"
    file.write_text(MINE, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        change_config(file, changes)
    assert caught.value.message.startswith(f"{file}: ")
    assert file.read_text(encoding="utf-8") == MINE
    assert [entry.name for entry in home.iterdir()] == ["config.toml"]


def test_a_mistake_of_before_does_not_stand_in_the_way(home: Path) -> None:
    """One of two mistakes can be mended, and the other one is told."""
    file = home / "config.toml"
    file.write_text("rounds = 99\ntemperature = 99\n", encoding="utf-8")
    assert "temperature" in change_config(file, {("rounds",): 2})
    assert change_config(file, {("temperature",): None}) == ""
    assert file.read_text(encoding="utf-8") == "rounds = 2\n"


def test_what_is_not_toml_is_not_touched(home: Path) -> None:
    """It cannot be changed by name; where it is wrong is said."""
    file = home / "config.toml"
    file.write_text("rounds = = 2\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="not valid TOML"):
        change_config(file, {("rounds",): 2})
    assert file.read_text(encoding="utf-8") == "rounds = = 2\n"


@pytest.mark.skipif(os.name != "posix", reason="file modes and links are POSIX's")
def test_mode_and_link_stay(home: Path, tmp_path: Path) -> None:
    """A file that is a link to another stays one, with the mode that the other has; a new one is 0600."""
    real, link = tmp_path / "dotfiles.toml", home / "config.toml"
    real.write_text("", encoding="utf-8")
    real.chmod(0o644)
    link.symlink_to(real)
    change_config(link, {("rounds",): 2})
    assert link.is_symlink()
    assert real.read_text(encoding="utf-8") == "rounds = 2\n"
    assert stat.S_IMODE(real.stat().st_mode) == 0o644
    new = home / "deep" / "er" / "config.toml"
    change_config(new, {("rounds",): 2})
    assert stat.S_IMODE(new.stat().st_mode) == 0o600


def test_a_folder_that_cannot_be_made(home: Path) -> None:
    """It is said which, as a mistake of usage."""
    (home / "file").write_text("", encoding="utf-8")
    with pytest.raises(UsageError, match="file"):
        change_config(home / "file" / "config.toml", {("rounds",): 2})


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("rounds", ("rounds",)),
        ("max-tokens", ("max_tokens",)),
        ("presets.mine.rounds", ("presets", "mine", "rounds")),
        ("models.zai-org/GLM-5.2.context", ("models", "zai-org/GLM-5.2", "context")),
        ('models."zai-org/GLM-5.2".context', ("models", "zai-org/GLM-5.2", "context")),
        (
            "presets.m.agents.zai-org/GLM-5.2.reasoning",
            ("presets", "m", "agents", "zai-org/GLM-5.2", "reasoning"),
        ),
        ("endpoints.work.headers.X-Title", ("endpoints", "work", "headers", "X-Title")),
    ],
)
def test_names(name: str, key: tuple[str, ...]) -> None:
    """A typed name is the key it looks like; the dots of a model's name need no quotation marks."""
    assert parse_key(name) == key


@pytest.mark.parametrize(
    "name", ["", "runds", "json", "file", "x.y", "presets.", "presets..x", 'models."x', "."]
)
def test_names_of_nothing(name: str) -> None:
    """What is no setting is a mistake of usage, in one line."""
    with pytest.raises(UsageError) as caught:
        parse_key(name)
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("rounds", "2", 2),
        ("temperature", "1", 1),
        ("temperature", "0.5", 0.5),
        ("stream", "off", False),
        ("reference_models", "a, b*2", ["a", "b*2"]),
        ("system", "", ""),
        ("presets.m.rounds", "3", 3),
        ("presets.m.reference_models", "a", ["a"]),
        ("presets.m.agents.x.max_tokens", "3", 3),
        ("models.x/y.input_price", "0.5", 0.5),
        ("endpoints.w.ask_usage", "no", False),
        ("endpoints.w.cache_marks", "anthropic/*, google/*", ["anthropic/*", "google/*"]),
        ("endpoints.w.cache_key_field", "", ""),
        ("endpoints.w.headers.X", "5", "5"),
    ],
)
def test_values(name: str, text: str, value: object) -> None:
    """A typed text becomes the kind of value that its setting has."""
    made = parse_value(parse_key(name), text)
    assert (made, type(made)) == (value, type(value))


def test_a_path_is_that_of_where_it_was_typed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A relative path is completed: in config.toml it would start at another folder."""
    monkeypatch.chdir(tmp_path)
    assert parse_value(("system_file",), "role.txt") == str(tmp_path / "role.txt")


@pytest.mark.parametrize(
    ("name", "text"), [("rounds", "two"), ("rounds", "-1"), ("stream", "perhaps"), ("presets.m", "x")]
)
def test_values_of_the_wrong_kind(name: str, text: str) -> None:
    """They are a mistake of usage that names the setting."""
    with pytest.raises(UsageError, match=name):
        parse_value(parse_key(name), text)


@given(st.sampled_from(FILE_OPTIONS), st.text(max_size=20))
def test_any_text_is_a_value_or_a_mistake(name: str, text: str) -> None:
    """Nothing that is typed makes a traceback, and what is taken can be written down."""
    try:
        value = parse_value((name,), text)
    except UsageError:
        return
    assert name in tomllib.loads(_changed("", (name,), value))
