"""Checks of this computer: versions, the settings file, terminal, store, log, proxies.

Each check looks and tells; none of them mends anything or makes a file.
"""

from __future__ import annotations

import os
import sqlite3
import stat
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from bot import __version__
from bot.app.make_plan import make_plan
from bot.errors import StoreError
from bot.settings import paths
from bot.text.numbers import plural

if TYPE_CHECKING:
    from bot.app.streams import Streams
    from bot.settings.settings import Settings

_PACKAGES = ("together", "typer", "rich", "prompt_toolkit")
_OTHERS = 0o077
_NARROW, _LOW = 40, 10
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
_SCHEMES = frozenset({"http", "https", "socks5", "socks5h"})


class Verdict(StrEnum):
    """What a check found; the value is the sign it is shown with."""

    FINE = "✓"
    BROKEN = "✗"
    NOTE = "!"


@dataclass(frozen=True, slots=True)
class Check:
    """What one check found: about what, in words, and what to do ("" when there is nothing to do)."""

    verdict: Verdict
    name: str
    found: str
    advice: str = ""


def fine(name: str, found: str) -> Check:
    """Return what a check found in order."""
    return Check(Verdict.FINE, name, found)


def note(name: str, found: str, advice: str = "") -> Check:
    """Return what works, but should be known."""
    return Check(Verdict.NOTE, name, found, advice)


def broken(name: str, found: str, advice: str = "") -> Check:
    """Return what does not work."""
    return Check(Verdict.BROKEN, name, found, advice)


def machine_checks(streams: Streams, environ: Mapping[str, str]) -> Iterator[Check]:
    """Yield the checks that need no settings, all but the versions."""
    yield terminal(streams, environ)
    yield store(paths.store_file(environ))
    yield log(paths.log_file(environ))


def versions() -> Check:
    """Tell which versions run; a package that is missing is broken."""
    from importlib.metadata import PackageNotFoundError, version

    parts, missing = [f"moa-bot {__version__}", f"Python {sys.version.split()[0]}"], []
    for package in _PACKAGES:
        try:
            parts.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            missing.append(package)
    said = ", ".join(parts)
    if missing:
        return broken("versions", f"{said}; missing: {', '.join(missing)}", "Install moa-bot anew.")
    return fine("versions", said)


def terminal(streams: Streams, environ: Mapping[str, str]) -> Check:
    """Tell what the terminal can do, as far as the program needs it."""
    from locale import getencoding
    from shutil import get_terminal_size

    if not streams.stdout_is_terminal:
        return fine("terminal", "stdout is not a terminal: replies come as plain text")
    kind = environ.get("TERM", "") or ("Windows" if os.name == "nt" else "not set")
    size = get_terminal_size()
    if "NO_COLOR" in environ:
        colour = "no colour (NO_COLOR)"
    else:
        colour = "24-bit colour" if environ.get("COLORTERM") in {"truecolor", "24bit"} else "colour"
    said = f"TERM {kind}, {size.columns} × {size.lines}, {colour}, {getencoding()}"
    advice = []
    if kind in {"dumb", "not set"}:
        advice.append("Nothing moves in such a terminal; set TERM if it can do more, say xterm-256color.")
    if size.columns < _NARROW or size.lines < _LOW:
        advice.append("The window is small: make it larger, or use --plain.")
    if getencoding().replace("-", "").lower() != "utf8":
        advice.append("Characters beyond ASCII may look wrong: set LANG to a UTF-8 locale, say C.UTF-8.")
    return note("terminal", said, " ".join(advice)) if advice else fine("terminal", said)


def store(file: Path) -> Check:
    """Open the store and have SQLite check it; a file that others can read is told."""
    if not file.exists():
        if problem := _cannot_write(file):
            return broken("store", problem, "Check the folder's permissions, or use --no_save.")
        return fine("store", f"no conversation is kept yet; they will be in {file}")
    mode = stat.S_IMODE(file.stat().st_mode)
    try:
        said, kept = _read_store(file)
    except StoreError as error:
        return broken("store", error.message, error.hint)
    if said != "ok":
        advice = "Export what can still be read (moa-bot history export), then move it away."
        return broken("store", f"{file} is damaged: {said}", advice)
    size = f"{plural(kept, 'conversation')}, {file.stat().st_size / 1e6:.1f} MB, {file}"
    if os.name == "posix" and mode & _OTHERS:
        return note("store", f"{size}: other users could read it", f"If they still can: chmod 600 {file}")
    return fine("store", size)


def _read_store(file: Path) -> tuple[str, int]:
    """Return what SQLite says of the file ("ok" when all is well), and how many conversations it has.

    StoreError when it cannot be opened or read.
    """
    from bot.store import Store

    with Store.open(file):
        pass
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as database:
            said = [str(row[0]) for row in database.execute("PRAGMA quick_check(1)")]
            [kept] = database.execute("SELECT count(*) FROM conversations").fetchone()
    except sqlite3.Error as error:
        hint = "Move it away to start a new one, or use --no_save."
        raise StoreError(f"{file}: {error}", hint) from None
    return " ".join(" ".join(said).split()), int(kept)


def log(file: Path) -> Check:
    """Tell whether the log can be written."""
    if problem := _cannot_write(file):
        return note("log", problem, "Nothing is logged; check the permissions. All else works.")
    return fine("log", str(file))


def proxies(settings: Settings, environ: Mapping[str, str]) -> Check:
    """Tell which proxies the environment names, and whether they stand in the way of this computer."""
    named = {name: environ.get(name) or environ.get(name.lower()) for name in _PROXIES}
    given = {name: value for name, value in named.items() if value}
    if not given:
        return fine("proxies", "none")
    for name, value in given.items():
        if urlsplit(value).scheme not in _SCHEMES:
            return broken(
                "proxies", f"{name} is not the address of a proxy", f"Such as {name}=http://host:3128"
            )
    said = ", ".join(f"{name} {_without_password(value)}" for name, value in given.items())
    excepted = environ.get("NO_PROXY") or environ.get("no_proxy") or ""
    near = {agent.endpoint for agent in make_plan(settings).agents()}
    local = [name for name in near if settings.endpoints[name].on_this_computer]
    if local and not any(host in excepted for host in ("*", "localhost", "127.0.0.1")):
        return note(
            "proxies",
            f"{said}: calls to {', '.join(sorted(local))}, on this computer, go there too",
            "Set NO_PROXY=localhost,127.0.0.1",
        )
    return fine("proxies", said + (f", but not for {excepted}" if excepted else ""))


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _cannot_write(file: Path) -> str:
    """Say why a file could not be written, "" when it could; nothing is made."""
    if file.exists():
        return "" if file.is_file() and os.access(file, os.W_OK) else f"{file} cannot be written"
    folder = file.parent
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if folder.is_dir() and os.access(folder, os.W_OK | os.X_OK):
        return ""
    return f"{file} cannot be made: {folder} cannot be written to"
