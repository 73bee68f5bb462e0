"""Keys of services in keys.toml and in the system keyring: read, saved and removed.

    this run ─► environment (key_env) ─► keys.toml ─┬─ { key = "…" }        in the file itself
                                                    └─ { keyring = true }   in the system keyring

`EndpointConfig.find_key` looks in this order; this module has the file and the keyring. keys.toml lies
beside config.toml, has the mode 0600, and is refused when others can read it. The package `keyring`
is imported only to save a key or when the file says that a key is in it: the import takes long, and
the keyring may ask the user to unlock it. No message here repeats a key, or any text of the file.
"""

from __future__ import annotations

import os
import stat
import threading
import tomllib
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from bot.errors import ConfigError, KeyMissingError
from bot.settings.files import replace_file
from bot.text.names import service_title
from bot.text.numbers import duration

if TYPE_CHECKING:
    from collections.abc import Callable

FILE_NAME = "keys.toml"
SERVICE = "moa-bot"
"""The service name of our keys in the keyring; the user name is the endpoint's name."""
MAX_LENGTH = 4096

_KEYRING_SECONDS = 60.0  # a locked keyring asks its user first
_HEADER = "# Keys of moa-bot's services. Only you may read this file; `moa-bot keys` writes it.\n\n"
_HINT = "Copy the key again, alone, without line breaks or quotation marks."

Place = Literal["file", "keyring"]


@dataclass(frozen=True, slots=True)
class FoundKey:
    """A key, and where it was found ("environment MY_KEY"). `repr` does not show the key."""

    key: str = field(repr=False)
    source: str


class SavedKey(NamedTuple):
    """Where a key is now, and why it is not in the keyring ("" when it is, or was not meant to be)."""

    place: str
    note: str


class KeyringError(Exception):
    """The keyring cannot be used; the text says why."""


def clean_key(text: str, source: str) -> str:
    """Return a key without the blanks around it; "" when there is nothing else.

    KeyMissingError, beginning with `source`, for a text that cannot be a key.
    """
    key = text.strip()
    if not (key.isascii() and key.isprintable() and " " not in key) or len(key) > MAX_LENGTH:
        raise KeyMissingError(f"{source}: not a key, it holds characters that no key has.", hint=_HINT)
    return key


class KeyFile:
    """The file keys.toml. It need not exist."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def places(self) -> dict[str, Place]:
        """Return where the key of each endpoint is, by its name; the keyring is not opened.

        KeyMissingError when others can read the file, ConfigError for a mistake in it.
        """
        return {name: "keyring" if key is None else "file" for name, key in self._read().items()}

    def get(self, name: str) -> FoundKey | None:
        """Return an endpoint's key, None when there is none. KeyMissingError when it cannot be read."""
        entries = self._read()
        if name not in entries:
            return None
        key = entries[name]
        if key is not None:
            return FoundKey(clean_key(key, f"{self.path}: {name}"), f"file {self.path}")
        again = f"Set it again: moa-bot keys set {name}"
        try:
            key = _use_keyring(lambda: _keyring().get_password(SERVICE, name))
        except KeyringError as error:
            raise KeyMissingError(
                f"The {service_title(name)} API key is in the system keyring, which cannot be used: {error}",
                hint=again,
            ) from None
        if not key:
            raise KeyMissingError(
                f"The {service_title(name)} API key is not in the system keyring any more.", hint=again
            )
        return FoundKey(clean_key(key, f"system keyring: {name}"), "system keyring")

    def save(self, name: str, key: str, *, keyring: bool = True) -> SavedKey:
        """Save an endpoint's key: with `keyring` in the system keyring if there is one, else in the file."""
        before = self.places().get(name)
        note = ""
        if keyring:
            try:
                _use_keyring(lambda: _store(name, key))
            except KeyringError as error:
                note = str(error)
            else:
                self._write(name, {"keyring": True})
                return SavedKey("system keyring", "")
        self._write(name, {"key": key})
        if before == "keyring" and not note:
            _delete_if_possible(name)
        return SavedKey(f"file {self.path}", note)

    def remove(self, name: str) -> bool:
        """Remove an endpoint's key; False when there is none.

        KeyMissingError when it is in a keyring that cannot be used.
        """
        place = self.places().get(name)
        if place is None:
            return False
        if place == "keyring":
            try:
                _use_keyring(lambda: _delete(name))
            except KeyringError as error:
                raise KeyMissingError(
                    f"The {service_title(name)} API key is in the system keyring, which cannot be used:"
                    f" {error}",
                    hint=f"To forget that it is there, remove the line of {name} from {self.path}.",
                ) from None
        self._write(name, None)
        return True

    def _read(self) -> dict[str, str | None]:
        """Return the keys in the file by endpoint; None for a key that is in the keyring."""
        try:
            with self.path.open("rb") as file:
                if os.name == "posix" and stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                    raise KeyMissingError(
                        f"{self.path}: other users can read this file of keys, so it is not used.",
                        hint=f"Make it yours alone: chmod 600 {self.path}",
                    )
                tables = tomllib.load(file)
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except OSError as problem:
            raise KeyMissingError(f"{self.path}: cannot be read: {problem.strerror or problem}") from None
        except ValueError:
            # The parser's message could repeat a part of a key.
            raise ConfigError(f"{self.path}: not valid TOML") from None
        return {name: self._entry(name, entry) for name, entry in tables.items()}

    def _entry(self, name: str, entry: object) -> str | None:
        match entry:
            case {"key": str(key), **more} if not more:
                return key
            case {"keyring": True, **more} if not more:
                return None
            case _:
                shown = name if name.isprintable() and len(name) < MAX_LENGTH // 100 else "an entry"
                raise ConfigError(f'{self.path}: {shown}: expected {{ key = "…" }} or {{ keyring = true }}')

    def _write(self, name: str, entry: dict[str, object] | None) -> None:
        import tomlkit  # noqa: PLC0415 - takes 30 ms, and is for writing only

        try:
            document = tomlkit.parse(self.path.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            document = tomlkit.parse(_HEADER)
        if entry is not None:
            inline = tomlkit.inline_table()
            inline.update(entry)
            document[name] = inline
        elif name in document:
            del document[name]
        replace_file(self.path, tomlkit.dumps(document), private=True)


def _keyring() -> Any:
    """Return the package `keyring`; KeyringError when it is not installed."""
    try:
        return import_module("keyring")
    except ImportError:
        raise KeyringError("the package keyring is not installed (pip install 'moa-bot[keyring]')") from None


def _store(name: str, key: str) -> None:
    keyring = _keyring()
    keyring.set_password(SERVICE, name, key)
    # One of the backends accepts everything and stores nothing.
    if keyring.get_password(SERVICE, name) != key:
        raise KeyringError("it does not keep what it is given")


def _delete(name: str) -> None:
    keyring = _keyring()
    if keyring.get_password(SERVICE, name) is not None:
        keyring.delete_password(SERVICE, name)


def _delete_if_possible(name: str) -> None:
    """Delete a key that has moved to the file from the keyring, if that is possible."""
    with suppress(KeyringError):
        _use_keyring(lambda: _delete(name))


def _use_keyring(work: Callable[[], Any]) -> Any:
    """Do something with the keyring, in at most `_KEYRING_SECONDS`; any failure is a KeyringError.

    In a daemon thread: waiting for a user who never unlocks it must not keep the program from ending.
    """
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.extend((True, work()))
        except KeyringError as error:
            outcome.extend((False, str(error)))
        except Exception as error:  # noqa: BLE001 - a boundary: backends raise what their platform raises
            outcome.extend((False, _reason(error)))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(_KEYRING_SECONDS)
    if not outcome:
        raise KeyringError(f"it gave no answer for {duration(_KEYRING_SECONDS)}")
    done, value = outcome
    if not done:
        raise KeyringError(value)
    return value


def _reason(error: Exception) -> str:
    """Name a failure without its text, which could hold the key."""
    if type(error).__name__ == "NoKeyringError":
        return "this system has none"
    return f"it failed with {type(error).__name__}"
