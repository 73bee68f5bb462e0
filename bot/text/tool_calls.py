"""Tool calls as text: in a few words, for terminals and exports, and their arguments as JSON can hold them.

⌕ "cats purr"   ↓ nature.com   ⚙ git.git_log
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

from bot.text.sanitise import mend, one_line
from bot.text.wrap import cut_middle

SEARCH, FETCH, OTHER = "⌕", "↓", "⚙"
_LONGEST: Final = 80
"""Characters of one argument."""
_MOST: Final = 3
"""Arguments that are shown."""


def short_call(name: str, arguments: Mapping[str, Any], *, in_full: bool = False) -> str:
    """Return a call on one line: what is searched for, the host that is read, or the tool's arguments.

    With `in_full` the address that is read is more than its host.
    """
    query, url = arguments.get("query"), arguments.get("url")
    if isinstance(query, str) and "search" in name:
        return f'{SEARCH} "{_cut(query)}"'
    if isinstance(url, str) and (host := host_of(url)):
        return f"{FETCH} {cut_middle(address_of(url), _LONGEST) if in_full else host}"
    shown = [f"{_cut(key)}={_cut(str(value))}" for key, value in list(arguments.items())[:_MOST]]
    return " ".join([OTHER, _cut(name), *shown])


def host_of(url: str) -> str:
    """Return the host of an address without "www.", "" where it has none."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return ""
    return _cut(host.removeprefix("www."))


def address_of(url: str) -> str:
    """Return an address on one line, without its scheme, "www." and user; "" for one without a host."""
    host = host_of(url)
    if not host:
        return ""
    parts = urlsplit(url)
    port = parts.netloc.rpartition("@")[2].rpartition("]")[2].partition(":")[2]
    rest = urlunsplit(("", "", parts.path, parts.query, parts.fragment))
    return one_line(f"{host}{f':{port}' if port else ''}{rest.rstrip('/')}")


def json_arguments(arguments: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return arguments as JSON in UTF-8 can hold them: lone surrogates as U+FFFD.

    None for what no JSON can hold: NaN, an infinite number, too many levels.
    """
    try:
        text = json.dumps(dict(arguments), ensure_ascii=False, allow_nan=False)
        found: dict[str, Any] = json.loads(mend(text))
    except (ValueError, TypeError, RecursionError):
        return None
    return found


def _cut(text: str) -> str:
    line = one_line(text[: _LONGEST * 4])
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"
