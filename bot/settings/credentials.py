"""Keys of services: where one is kept, and how it is found, kept and forgotten.

    this run ─► environment (key_env) ─► keys.toml ─┬─ { key = "…" }        in the file itself
                                                    └─ { keyring = true }   in the system keyring

`EndpointConfig.look_up` walks that way; this module is its second half, the file and the keyring.
keys.toml lies beside config.toml, is 0600, and is refused when others can read it. The package
`keyring` is imported only to keep a key or where the file says that one is in there: it takes long,
and may ask the user to unlock something. No message in here repeats a key, or any text of the file.
"""

from __future__ import annotations

import os
import stat
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from bot.errors import ConfigError, KeyMissingError
from bot.text.numbers import duration

if TYPE_CHECKING:
    from collections.abc import Callable

FILE_NAME = "keys.toml"
SERVICE = "moa-bot"
"""The name under which the keyring keeps the keys; the user name there is the endpoint's."""
LONGEST = 4096

_PATIENCE = 60.0  # seconds: a locked keyring asks its user first
_HEADER = "# Keys of moa-bot's services. Only you may read this file; `moa-bot keys` writes it.\n\n"
_HINT = "Copy the key again, alone, without line breaks or quotation marks."

Place = Literal["file", "keyring"]


@dataclass(frozen=True, slots=True)
class Found:
    """A key, and where it was found in words ("environment MY_KEY"). The key is kept out of `repr`."""

    key: str = field(repr=False)
    where: str


class Kept(NamedTuple):
    """Where a key is kept now, in words, and why not in the keyring ("" when it is, or was not wanted)."""

    where: str
    note: str


class KeyringError(Exception):
    """The keyring cannot be used; the text says why."""


def clean_key(text: str, said: str) -> str:
    """Return a key without the blanks around it; "" when there is nothing else.

    KeyMissingError, beginning with `said`, for what cannot be a key.
    """
    key = text.strip()
    if not (key.isascii() and key.isprintable() and " " not in key) or len(key) > LONGEST:
        raise KeyMissingError(f"{said}: not a key, it holds characters that no key has.", hint=_HINT)
    return key


class KeyFile:
    """The file keys.toml, which need not exist."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def places(self) -> dict[str, Place]:
        """Return where the key of each endpoint is kept, by its name; nothing is asked of the keyring.

        KeyMissingError when others can read the file, ConfigError for a mistake in it.
        """
        return {name: "keyring" if key is None else "file" for name, key in self._read().items()}

    def get(self, name: str) -> Found | None:
        """Return an endpoint's key, None when none is kept. KeyMissingError when it cannot be read."""
        entries = self._read()
        if name not in entries:
            return None
        key = entries[name]
        if key is not None:
            return Found(clean_key(key, f"{self.path}: {name}"), f"file {self.path}")
        again = f"Keep it again: moa-bot keys set {name}"
        try:
            key = _within(lambda: _keyring().get_password(SERVICE, name))
        except KeyringError as error:
            raise KeyMissingError(
                f"The key of {name} is in the system keyring, which cannot be used: {error}", hint=again
            ) from None
        if not key:
            raise KeyMissingError(f"The key of {name} is not in the system keyring any more.", hint=again)
        return Found(clean_key(key, f"system keyring: {name}"), "system keyring")

    def keep(self, name: str, key: str, *, keyring: bool = True) -> Kept:
        """Keep an endpoint's key: in the keyring where there is one and it is wanted, else in the file."""
        before = self.places().get(name)
        note = ""
        if keyring:
            try:
                _within(lambda: _store(name, key))
            except KeyringError as error:
                note = str(error)
            else:
                self._write(name, {"keyring": True})
                return Kept("system keyring", "")
        self._write(name, {"key": key})
        if before == "keyring" and not note:
            _forget_quietly(name)
        return Kept(f"file {self.path}", note)

    def remove(self, name: str) -> bool:
        """Forget an endpoint's key; False when none was kept.

        KeyMissingError when it is in a keyring that cannot be used.
        """
        place = self.places().get(name)
        if place is None:
            return False
        if place == "keyring":
            try:
                _within(lambda: _delete(name))
            except KeyringError as error:
                raise KeyMissingError(
                    f"The key of {name} is in the system keyring, which cannot be used: {error}",
                    hint=f"To forget that it is there, take the line of {name} out of {self.path}.",
                ) from None
        self._write(name, None)
        return True

    def _read(self) -> dict[str, str | None]:
        """Return the keys in the file by endpoint; None for one that is in the keyring."""
        import tomllib

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
            # What the parser says could repeat a part of what stands there.
            raise ConfigError(f"{self.path}: not valid TOML") from None
        return {name: self._entry(name, entry) for name, entry in tables.items()}

    def _entry(self, name: str, entry: object) -> str | None:
        match entry:
            case {"key": str(key), **more} if not more:
                return key
            case {"keyring": True, **more} if not more:
                return None
            case _:
                shown = name if name.isprintable() and len(name) < LONGEST // 100 else "an entry"
                raise ConfigError(f'{self.path}: {shown}: expected {{ key = "…" }} or {{ keyring = true }}')

    def _write(self, name: str, entry: dict[str, object] | None) -> None:
        import tomlkit

        from bot.settings.files import replace_file

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
    from importlib import import_module

    try:
        return import_module("keyring")
    except ImportError:
        raise KeyringError("the package keyring is not installed (pip install 'moa-bot[keyring]')") from None


def _store(name: str, key: str) -> None:
    keyring = _keyring()
    keyring.set_password(SERVICE, name, key)
    # There is a backend that takes everything and keeps nothing.
    if keyring.get_password(SERVICE, name) != key:
        raise KeyringError("it does not keep what it is given")


def _delete(name: str) -> None:
    keyring = _keyring()
    if keyring.get_password(SERVICE, name) is not None:
        keyring.delete_password(SERVICE, name)


def _forget_quietly(name: str) -> None:
    """Take a key that has moved to the file out of the keyring, if that can be done."""
    from contextlib import suppress

    with suppress(KeyringError):
        _within(lambda: _delete(name))


def _within(work: Callable[[], Any]) -> Any:
    """Do something with the keyring, for so long at most; whatever goes wrong is a KeyringError.

    In a thread of its own: one that waits for an unlocking that never comes must not hold up the
    end of the program.
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
    thread.join(_PATIENCE)
    if not outcome:
        raise KeyringError(f"it gave no answer for {duration(_PATIENCE)}")
    done, value = outcome
    if not done:
        raise KeyringError(value)
    return value


def _reason(error: Exception) -> str:
    """Name a failure without its text: nobody knows what a backend writes in there."""
    if type(error).__name__ == "NoKeyringError":
        return "this system has none"
    return f"it failed with {type(error).__name__}"
