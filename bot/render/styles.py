"""Styles: one accent colour, dim for what is secondary; nothing that needs a dark window.

The theme "terminal" has only the terminal's own sixteen colours, which follow the user's palette;
the other themes replace them. No theme has backgrounds, so text copied from the window has no
padding.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.style import Style

_ADDRESS = re.compile(r"(?:https?://|mailto:)[!-~]{1,2000}", re.IGNORECASE)
"""What a link may open: nothing on this computer, and nothing that could end its escape sequence."""

_STYLES = {
    "h1": "bold underline",
    "h2": "bold",
    "h3": "bold",
    "h4": "bold italic",
    "h5": "italic",
    "h6": "italic",
    "em": "italic",
    "strong": "bold",
    "s": "strike",
    "code": "cyan",
    "language": "dim italic",
    "link": "underline",
    "url": "dim",
    "bullet": "cyan",
    "prompt": "bold cyan",
    "rule": "dim",
    "quote bar": "dim",
    "quote": "italic",
    "table border": "dim",
    "table header": "bold",
    "dim": "dim",
    "good": "green",
    "busy": "cyan",
    "bad": "red",
    "name": "bold",
}
_SYNTAX = {
    "Comment": "dim",
    "Keyword": "magenta",
    "Operator.Word": "magenta",
    "Name.Builtin": "cyan",
    "Name.Function": "blue",
    "Name.Class": "blue",
    "Name.Decorator": "blue",
    "Name.Tag": "magenta",
    "Name.Attribute": "cyan",
    "Literal.String": "green",
    "Literal.Number": "cyan",
    "Generic.Deleted": "red",
    "Generic.Inserted": "green",
    "Generic.Heading": "bold",
    "Generic.Subheading": "magenta",
}

THEMES = {
    "auto": "dark or light as the window is, or the terminal's own colours",
    "terminal": "the terminal's own colours",
    "dark": "soft colours for a dark window",
    "light": "deep colours for a light window",
    "mono": "no colours",
}
"""Themes and their descriptions."""

_PALETTES: dict[str, dict[str, str]] = {
    "terminal": {},
    "dark": {
        "cyan": "#7dcfd0",
        "green": "#9ece8a",
        "red": "#f7768e",
        "magenta": "#c9a0e8",
        "blue": "#82aaf7",
        "dim": "#8b8fa3",
    },
    "light": {
        "cyan": "#00707d",
        "green": "#3b6e12",
        "red": "#b3261e",
        "magenta": "#7b3fa0",
        "blue": "#2353b5",
        "dim": "#6b6b76",
    },
    "mono": dict.fromkeys(("cyan", "green", "red", "magenta", "blue"), ""),
}
_theme = "terminal"
_background: str | None = None
_links = False


def use_theme(theme: str) -> None:
    """Use the colours of this theme from now on; KeyError if there is none of that name."""
    global _theme  # noqa: PLW0603 - one terminal, one theme
    if theme == "auto":
        theme = _background or "terminal"
    if _PALETTES[theme] is not _PALETTES[_theme]:
        style.cache_clear()
        syntax_style.cache_clear()
    _theme = theme


def set_background(background: str) -> None:
    """Have the theme "auto" be that for a "light" or a "dark" window, as the terminal says it is."""
    global _background  # noqa: PLW0603 - one terminal
    _background = background


def use_links(*, shown: bool) -> None:
    """Have links in replies open their address (OSC 8), as far as the terminal shows them."""
    global _links  # noqa: PLW0603 - one terminal
    _links = shown


@lru_cache(maxsize=256)
def _link_to(address: str) -> Style:
    from rich.style import Style

    return Style(link=address)


def link_to(address: str) -> Style | None:
    """Return the style of text that opens an address, None where text cannot, or not this address."""
    return _link_to(address) if _links and _ADDRESS.fullmatch(address) else None


def _parse(look: str) -> Style:
    from rich.style import Style

    palette = _PALETTES[_theme]
    return Style.parse(" ".join(palette.get(word, word) for word in look.split()))


@cache
def style(name: str) -> Style:
    """Return the style of that name; KeyError if there is none."""
    return _parse(_STYLES[name])


@cache
def syntax_style(kind: tuple[str, ...]) -> Style | None:
    """Return the style of a Pygments token type, or of the nearest kind above it."""
    for length in range(len(kind), 0, -1):
        found = _SYNTAX.get(".".join(kind[:length]))
        if found:
            return _parse(found)
    return None
