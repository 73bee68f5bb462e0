"""The sources of a reply, a line each: [1] How cats purr · nature.com, as links where there are links."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from bot.render.styles import style
from bot.text.sanitise import one_line
from bot.text.tool_calls import host_of
from bot.text.wrap import cut_cells

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bot.text.wrap import Row
    from bot.tool_use import ToolSource

MOST_SHOWN: Final = 8
"""Sources under a reply; /sources lists all."""
_LINKING: Final = frozenset({"iTerm.app", "WezTerm", "vscode", "ghostty", "Hyper", "rio", "Tabby"})
_VARIABLES: Final = (
    "WT_SESSION",
    "KITTY_WINDOW_ID",
    "KONSOLE_VERSION",
    "ALACRITTY_WINDOW_ID",
    "WEZTERM_PANE",
    "DOMTERM",
)
_VTE: Final = 5000
"""The version of VTE that has links (0.50)."""
_LONGEST_LINK: Final = 2000
_SAFE: Final = "/:?#[]@!$&'()*+,;=%~-._"


def has_links(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether the terminal is known to show links (OSC 8); other terminals are sent the address as text."""
    vte = environ.get("VTE_VERSION", "")
    return (
        environ.get("TERM_PROGRAM") in _LINKING
        or any(environ.get(name) for name in _VARIABLES)
        or (vte.isdecimal() and int(vte) >= _VTE)
    )


def source_text(number: int, source: ToolSource) -> str:
    """Return a source as text, with its whole address."""
    return f"[{number}] " + " · ".join(filter(None, [one_line(source.title), one_line(source.url)]))


def source_row(number: int, source: ToolSource, width: int) -> Row | None:
    """Return a source with its title as a link, in at most `width` cells; None if it cannot be one."""
    from rich.style import Style  # noqa: PLC0415 - not on the way to the prompt

    host = host_of(source.url)
    url = quote(source.url, safe=_SAFE)
    if not host or len(url) > _LONGEST_LINK or not url.startswith(("http://", "https://")):
        return None
    dim, head = style("dim"), f"[{number}] "
    title = one_line(source.title) or one_line(source.url)
    end = "" if title == one_line(source.url) else f" · {host}"
    shown = cut_cells(title, max(width - len(head) - len(end), 1))
    return [(head, dim), (shown, dim + Style(link=url)), (end, dim)]
