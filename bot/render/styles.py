"""The looks: one accent colour, dim for what is secondary; nothing that needs a dark window.

Only the terminal's own sixteen colours, no backgrounds: they follow the user's palette, and what
is copied from the window brings no padding along.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.style import Style

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


@cache
def style(name: str) -> Style:
    """Return the style of that name; KeyError if there is none."""
    from rich.style import Style

    return Style.parse(_STYLES[name])


@cache
def syntax_style(kind: tuple[str, ...]) -> Style | None:
    """Return the style of a Pygments token type, or of the nearest kind above it."""
    from rich.style import Style

    for length in range(len(kind), 0, -1):
        found = _SYNTAX.get(".".join(kind[:length]))
        if found:
            return Style.parse(found)
    return None
