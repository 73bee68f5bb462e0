"""Keys: where they are saved and found, who can read them, and that none is ever shown."""

from __future__ import annotations

import json
import os
import stat
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.app.load_settings import load_settings
from bot.errors import ConfigError, ExitCode, KeyMissingError
from bot.settings.credentials import FoundKey, KeyFile, clean_key
from bot.settings.settings import Settings

SECRET = "tgp-secret-4711"
posix = pytest.mark.skipif(os.name != "posix", reason="file modes are POSIX's")


def settings(home: Path) -> Settings:
    return load_settings({}, None, {"MOA_BOT_HOME": str(home)})


def test_a_kept_key_is_found(home: Path) -> None:
    """A key kept in the file is the endpoint's; the environment's wins over it."""
    KeyFile(home / "keys.toml").save("together", SECRET)
    assert settings(home).endpoint("together", {}).key == SECRET
    assert settings(home).endpoint("together", {"TOGETHER_API_KEY": "nearer"}).key == "nearer"
    config = settings(home).endpoints["together"]
    assert config.key_source({}) == f"file {home / 'keys.toml'}"
    assert config.key_source({"TOGETHER_API_KEY": "nearer"}) == "environment TOGETHER_API_KEY"


def test_no_endpoint_gets_anothers_key(home: Path) -> None:
    """What is kept for one service is not sent to another."""
    KeyFile(home / "keys.toml").save("together", SECRET)
    with pytest.raises(KeyMissingError):
        settings(home).endpoint("openai", {})
    assert settings(home).endpoint("ollama", {}).key is None


def test_the_environment_spares_the_file(home: Path) -> None:
    """With the key in the environment, even a broken keys file is not read."""
    (home / "keys.toml").write_text("what is this", encoding="utf-8")
    assert settings(home).endpoint("together", {"TOGETHER_API_KEY": SECRET}).key == SECRET


@posix
def test_the_file_is_private(home: Path) -> None:
    """It is created with mode 0600 in a folder of mode 0700, and stays so."""
    file = KeyFile(home / "new" / "keys.toml")
    file.save("together", SECRET)
    file.save("openai", SECRET)
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.path.parent.stat().st_mode) == 0o700
    assert [entry.name for entry in file.path.parent.iterdir()] == ["keys.toml"]


@posix
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o620])
def test_a_file_that_others_can_read_is_refused(home: Path, mode: int) -> None:
    """It is neither read nor written, and the error says what to do."""
    file = KeyFile(home / "keys.toml")
    file.save("together", SECRET)
    file.path.chmod(mode)
    before = file.path.read_bytes()
    for use in (
        lambda: settings(home).endpoint("together", {}),
        lambda: file.save("openai", "x"),
        file.places,
    ):
        with pytest.raises(KeyMissingError) as caught:
            use()
        assert f"chmod 600 {file.path}" in caught.value.hint
        assert caught.value.exit_code is ExitCode.NO_KEY
    assert file.path.read_bytes() == before


@pytest.mark.parametrize(
    "text",
    [
        f"together = '{SECRET}",
        f"together = '{SECRET}'",
        f"together = {{ key = '{SECRET}', more = 1 }}",
        "together = { key = 5 }",
        "together = { keyring = false }",
        "together = 3",
    ],
)
def test_a_mistake_in_the_file(home: Path, text: str) -> None:
    """The error is one line that names the file and never repeats its content."""
    file = home / "keys.toml"
    file.write_text(text, encoding="utf-8")
    file.chmod(0o600)
    with pytest.raises(ConfigError) as caught:
        settings(home).endpoint("together", {})
    assert str(file) in caught.value.message
    assert SECRET not in caught.value.message + caught.value.hint


def test_the_keyring_is_preferred(home: Path, keyring: Path) -> None:
    """With a keyring the file only remembers that the key is in there; removing takes it out of both."""
    file = KeyFile(home / "keys.toml")
    assert file.save("together", SECRET) == ("system keyring", "")
    assert SECRET not in file.path.read_text(encoding="utf-8")
    assert json.loads(keyring.read_text(encoding="utf-8")) == {"moa-bot/together": SECRET}
    assert file.get("together") == FoundKey(SECRET, "system keyring")
    assert file.places() == {"together": "keyring"}
    assert file.remove("together")
    assert json.loads(keyring.read_text(encoding="utf-8")) == {}
    assert file.places() == {}
    assert not file.remove("together")


def test_the_keyring_is_not_opened_without_need(
    home: Path, keyring: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Listing where keys are, and reading one from the file, does not open it."""
    file = KeyFile(home / "keys.toml")
    file.save("together", SECRET)
    file.save("openai", SECRET, keyring=False)
    monkeypatch.setenv("FAKE_KEYRING_FAILS", "1")
    assert file.places() == {"together": "keyring", "openai": "file"}
    assert settings(home).endpoints["together"].key_source({}) == "system keyring"
    assert file.get("openai") == FoundKey(SECRET, f"file {file.path}")
    del keyring


@pytest.mark.parametrize("how", ["FAILS", "FORGETS"])
def test_a_keyring_that_fails(home: Path, keyring: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """The key is saved in the file, with the reason, but without the backend's own message."""
    monkeypatch.setenv(f"FAKE_KEYRING_{how}", "1")
    file = KeyFile(home / "keys.toml")
    kept = file.save("together", SECRET)
    assert kept.place == f"file {file.path}"
    assert kept.note
    assert "secret words" not in kept.note
    assert file.get("together") == FoundKey(SECRET, f"file {file.path}")
    del keyring


def test_no_keyring_package(home: Path) -> None:
    """Without the package the key is saved in the file, with a hint how to install the package."""
    if find_spec("keyring"):
        pytest.skip("the package keyring is installed")
    kept = KeyFile(home / "keys.toml").save("together", SECRET)
    assert "moa-bot[keyring]" in kept.note


def test_a_key_in_a_keyring_that_has_gone(home: Path, keyring: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says that it was there, and how to save it again; the same when the keyring has lost it."""
    KeyFile(home / "keys.toml").save("together", SECRET)
    monkeypatch.setenv("FAKE_KEYRING_FAILS", "1")
    with pytest.raises(KeyMissingError, match="system keyring, which cannot be used") as caught:
        settings(home).endpoint("together", {})
    assert "moa-bot keys set together" in caught.value.hint
    with pytest.raises(KeyMissingError, match="cannot be used"):
        KeyFile(home / "keys.toml").remove("together")
    monkeypatch.delenv("FAKE_KEYRING_FAILS")
    keyring.unlink()
    with pytest.raises(KeyMissingError, match="any more"):
        settings(home).endpoint("together", {})


def test_moving_a_key_from_the_keyring_to_the_file(home: Path, keyring: Path) -> None:
    """It is removed from the keyring."""
    file = KeyFile(home / "keys.toml")
    file.save("together", SECRET)
    file.save("together", "other", keyring=False)
    assert file.get("together") == FoundKey("other", f"file {file.path}")
    assert json.loads(keyring.read_text(encoding="utf-8")) == {}


def test_comments_in_the_file_stay(home: Path) -> None:
    """What the user wrote beside the keys is still there after a change."""
    file = KeyFile(home / "keys.toml")
    file.save("together", "one", keyring=False)
    file.path.write_text("# of the lab\n" + file.path.read_text(encoding="utf-8"), encoding="utf-8")
    file.save("together", "two", keyring=False)
    file.save("openai", "three", keyring=False)
    assert "# of the lab" in file.path.read_text(encoding="utf-8")
    assert file.get("together") == FoundKey("two", f"file {file.path}")


@given(st.text(max_size=40))
def test_what_passes_for_a_key(text: str) -> None:
    """A key is printable ASCII without blanks; all else is refused."""
    if all("!" <= character <= "~" for character in text.strip()):
        assert clean_key(text, "It") == text.strip()
    else:
        with pytest.raises(KeyMissingError, match=r"^It: not a key, it holds characters that no key has\.$"):
            clean_key(text, "It")


def test_no_repr_has_a_key(home: Path) -> None:
    """Neither the found key nor the endpoint shows it."""
    file = KeyFile(home / "keys.toml")
    file.save("together", SECRET)
    shown: list[Any] = [
        file.get("together"),
        settings(home).endpoints,
        settings(home).endpoint("together", {}),
    ]
    assert SECRET not in repr(shown)
