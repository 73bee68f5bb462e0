"""Checks of this computer: versions, terminal, store, log, certificates, proxies.

A check only reports; none of them repairs anything or creates a file.
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
from importlib.metadata import PackageNotFoundError, version
from locale import getencoding
from pathlib import Path
from shutil import get_terminal_size
from typing import TYPE_CHECKING

from bot import __version__
from bot.app.make_plan import make_plan
from bot.client.proxies import NetworkSettingError, proxies_of, without_password
from bot.client.tls import certificate_problem, trust_store
from bot.errors import StoreError
from bot.settings import paths
from bot.store import Store
from bot.text.numbers import plural

if TYPE_CHECKING:
    from bot.app.streams import Streams
    from bot.settings.settings import Settings

_PACKAGES = ("together", "typer", "rich", "prompt_toolkit")
_OTHER_USERS = 0o077
_MIN_COLUMNS, _MIN_LINES = 40, 10


class Status(StrEnum):
    """The result of a check; the value is its name in JSON."""

    OK = "fine"
    WARNING = "note"
    ERROR = "broken"


@dataclass(frozen=True, slots=True)
class Check:
    """One check: what was checked, what was found, and what to do about it ("" for nothing)."""

    status: Status
    name: str
    found: str
    advice: str = ""


def ok(name: str, found: str) -> Check:
    """Return a check that passed."""
    return Check(Status.OK, name, found)


def warning(name: str, found: str, advice: str = "") -> Check:
    """Return a check of something that works, but that the user should know about."""
    return Check(Status.WARNING, name, found, advice)


def error(name: str, found: str, advice: str = "") -> Check:
    """Return a check that failed."""
    return Check(Status.ERROR, name, found, advice)


def system_checks(streams: Streams, environ: Mapping[str, str]) -> Iterator[Check]:
    """Yield the checks that need no settings, except the versions."""
    yield check_terminal(streams, environ)
    yield check_store(paths.store_file(environ))
    yield check_log(paths.log_file(environ))
    yield check_certificates(environ)


def check_versions() -> Check:
    """Report the versions in use; a missing package is an error."""
    parts, missing = [f"moa-bot {__version__}", f"Python {sys.version.split()[0]}"], []
    for package in _PACKAGES:
        try:
            parts.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            missing.append(package)
    said = ", ".join(parts)
    if missing:
        return error("versions", f"{said}; missing: {', '.join(missing)}", "Reinstall moa-bot.")
    return ok("versions", said)


def check_terminal(streams: Streams, environ: Mapping[str, str]) -> Check:
    """Report what the terminal can do, as far as the program needs it."""
    if not streams.stdout_is_terminal:
        return ok("terminal", "stdout is not a terminal: replies come as plain text")
    kind = environ.get("TERM", "") or ("Windows" if os.name == "nt" else "not set")
    size = get_terminal_size()
    if "NO_COLOR" in environ:
        colour = "no colour (NO_COLOR)"
    else:
        colour = "24-bit colour" if environ.get("COLORTERM") in {"truecolor", "24bit"} else "colour"
    said = f"TERM {kind}, {size.columns} × {size.lines}, {colour}, {getencoding()}"
    advice = []
    if kind in {"dumb", "not set"}:
        advice.append("Such a terminal redraws nothing; set TERM (to xterm-256color, for example) if it can.")
    if size.columns < _MIN_COLUMNS or size.lines < _MIN_LINES:
        advice.append("The window is small: make it larger, or use --plain.")
    if getencoding().replace("-", "").lower() != "utf8":
        advice.append("Characters beyond ASCII may look wrong: set LANG to a UTF-8 locale, such as C.UTF-8.")
    return warning("terminal", said, " ".join(advice)) if advice else ok("terminal", said)


def check_store(file: Path) -> Check:
    """Open the store and have SQLite check it; warn of a file that others can read."""
    if not file.exists():
        if problem := _cannot_write(file):
            return error("store", problem, "Check the folder's permissions, or use --no_save.")
        return ok("store", f"no conversations yet; they will be stored in {file}")
    mode = stat.S_IMODE(file.stat().st_mode)
    try:
        report, count, read_only = _read_store(file)
    except StoreError as problem:
        return error("store", problem.message, problem.hint)
    if report != "ok":
        advice = "Export what can still be read (moa-bot history export), then move it away."
        return error("store", f"{file} is damaged: {report}", advice)
    size = f"{plural(count, 'conversation')}, {file.stat().st_size / 1e6:.1f} MB, {file}"
    if os.name == "posix" and mode & _OTHER_USERS:
        return warning("store", f"{size}: other users could read it", f"If they still can: chmod 600 {file}")
    advice = "New conversations are not kept; check the permissions of the file and its folder."
    return warning("store", f"{size}: it can only be read", advice) if read_only else ok("store", size)


def _read_store(file: Path) -> tuple[str, int, bool]:
    """Return SQLite's report ("ok" for an intact file), how many conversations, whether it is read-only.

    StoreError when it cannot be opened or read.
    """
    with Store.open(file) as store:
        read_only = store.read_only
    mode = "immutable=1" if read_only else "mode=ro"
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?{mode}", uri=True)) as database:
            report = [str(row[0]) for row in database.execute("PRAGMA quick_check(1)")]
            [count] = database.execute("SELECT count(*) FROM conversations").fetchone()
    except sqlite3.Error as problem:
        hint = "Move it away to start a new one, or use --no_save."
        raise StoreError(f"{file}: {problem}", hint) from None
    return " ".join(" ".join(report).split()), int(count), read_only


def check_log(file: Path) -> Check:
    """Check that the log can be written."""
    if problem := _cannot_write(file):
        return warning("log", problem, "Nothing is logged; check the permissions. Everything else works.")
    return ok("log", str(file))


def check_proxies(settings: Settings, environ: Mapping[str, str]) -> Check:
    """Report the proxies, which endpoints of the mixture go through them, and mistakes in their addresses."""
    proxies = proxies_of(environ)
    if not proxies.addresses:
        return ok("proxies", "none")
    used = [
        settings.endpoints[name] for name in dict.fromkeys(a.endpoint for a in make_plan(settings).agents())
    ]
    try:
        shown = {name: without_password(address) for name, address in proxies.checked().items()}
        through = {endpoint.name: proxies.proxy_for(endpoint.base_url) for endpoint in used}
    except NetworkSettingError as problem:
        return error("proxies", str(problem), "For example: HTTPS_PROXY=http://host:3128")
    said = ", ".join(f"{name} {address}" for name, address in shown.items())
    said += f", but not for {proxies.excepted}" if proxies.excepted else ""
    routes = [
        f"{name} {f'through {without_password(proxy)}' if proxy else 'directly'}"
        for name, proxy in through.items()
    ]
    said += f"; {', '.join(routes)}"
    if any(endpoint.on_this_computer and not proxies.excepts(endpoint.base_url) for endpoint in used):
        return warning(
            "proxies", f"{said}; NO_PROXY does not name this computer", "Set NO_PROXY=localhost,127.0.0.1,::1"
        )
    return ok("proxies", said)


def check_certificates(environ: Mapping[str, str]) -> Check:
    """Report which certificates are trusted, and a file or folder of them that cannot be used."""
    if problem := certificate_problem(environ):
        return error("certificates", problem, "Correct or unset the variable.")
    return ok("certificates", trust_store(environ))


def _cannot_write(file: Path) -> str:
    """Return why a file could not be written, "" when it could; creates nothing."""
    if file.exists():
        return "" if file.is_file() and os.access(file, os.W_OK) else f"{file} cannot be written"
    folder = file.parent
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if folder.is_dir() and os.access(folder, os.W_OK | os.X_OK):
        return ""
    return f"{file} cannot be created: {folder} is not writable"
