"""The inside of a paragraph, heading or table cell: Markdown's inline tokens as styled text.

Also returns how much of such text is firm, that is, cannot change when more of it streams in.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bot.render.styles import link_to, style
from bot.text.sanitise import sanitise
from bot.text.wrap import cut_runs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markdown_it.token import Token
    from rich.style import Style

    from bot.text.wrap import Run

# Characters shown as themselves that later text could turn into markup: an opening mark without its
# end so far. A false match only delays the moment when a row becomes final.
_OPENER = re.compile(
    r"`|\$(?!\s)|\*(?!\s)|(?<![^\W_])_(?!\s)|~~(?!\s)|~\Z"
    r"|\[(?![^\[\]]*\](?![(\[:]|\Z))|<(?=[A-Za-z][^\s<>]*\Z)|<\Z|&(?=[#\w]{0,32}\Z)|\\\Z|!\Z"
)
_DEFINITION = re.compile(r"\[[^\[\]]+\]: ")
_MASK = "x"


@dataclass(slots=True)
class Inline:
    """Styled text: `runs` joined are the text; `firm` is how many of its characters are certain.

    `lines` has where in the text each line of the source begins, after the first; None for a line
    that begins inside emphasis or a link.
    """

    runs: list[Run] = field(default_factory=list)
    firm: int = 0
    lines: list[int | None] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The text without its styles."""
        return "".join(run[0] for run in self.runs)

    def skip(self, count: int) -> None:
        """Leave out the first `count` characters."""
        if count:
            self.runs = cut_runs(self.runs, [count])[1]
            self.firm -= count
            self.lines = [None if at is None else at - count for at in self.lines]


class _Builder:
    """Collects runs, and beside them the text in which to look for unfinished markup."""

    def __init__(self, base: Style | None) -> None:
        self.runs: list[Run] = []
        self.seen: list[str] = []
        self.length = 0
        self.styles: list[Style | None] = [base]
        self.opened: list[int] = []
        self.hrefs: list[tuple[str, int]] = []
        self.spans: list[tuple[int, int]] = []
        self.closed_at: int | None = None
        self.line_start = 0
        self.lines: list[int | None] = []

    def add(self, text: str, look: Style | None = None, *, literal: bool = False) -> None:
        """Append visible text; `literal` text was markup's own and cannot open any."""
        if not text:
            return
        current = self.styles[-1]
        self.runs.append((text, look if current is None else current if look is None else current + look))
        self.seen.append(_MASK * len(text) if literal else text)
        self.length += len(text)
        self.closed_at = None

    def open(self, look: Style) -> None:
        """Enter a construct (emphasis, a link)."""
        current = self.styles[-1]
        self.styles.append(look if current is None else current + look)
        self.opened.append(self.length)

    def close(self) -> None:
        """Leave the construct entered last."""
        self.styles.pop()
        self.closed_at = self.opened.pop()
        self.spans.append((self.closed_at, self.length))

    def breaks(self, text: str) -> None:
        """Append the end of a line of the source, shown as `text`."""
        self.add(text)
        self.line_start = self.length
        self.lines.append(None if self.opened else self.length)


def inline(tokens: Sequence[Token], source: str, base: Style | None = None) -> Inline:
    r"""Return the text of an inline token's `tokens`, made from `source`.

    A hard line break is "\n" in the result, and so is the one before a link's definition; all else
    is on one line. A link's target follows its text in brackets unless the text is the target. The
    result has visible characters only.
    """
    builder = _Builder(base)
    for index, token in enumerate(tokens):
        if token.type == "softbreak" and _DEFINITION.match(tokens[index + 1].content):
            builder.breaks("\n")
        else:
            _add(builder, token)
    firm = builder.length
    opener = _OPENER.search("".join(builder.seen))
    if opener:
        # What it opens may include the end of emphasis around it, which then is none.
        at = opener.start()
        firm = min([at, *(start for start, end in builder.spans if start <= at < end)])
    if builder.closed_at is not None:
        # Emphasis that ends at the end of the text may yet turn out not to end there.
        firm = min(firm, builder.closed_at)
    if "|" in source[source.rfind("\n") + 1 :]:
        # The next line could turn this one into a table's head.
        firm = min(firm, builder.line_start)
    return Inline(builder.runs, firm, builder.lines)


def _add(builder: _Builder, token: Token) -> None:
    kind = token.type
    if kind == "text":
        builder.add(sanitise(token.content, newlines=False))
    elif kind == "softbreak":
        builder.breaks(" ")
    elif kind == "hardbreak":
        builder.breaks("\n")
    elif kind in {"code_inline", "literal"}:
        start = builder.length
        look = style("code") if kind == "code_inline" else None
        builder.add(sanitise(token.content, newlines=False), look, literal=True)
        builder.closed_at = start
    elif kind == "image":
        _image(builder, token)
    elif kind == "link_open":
        builder.hrefs.append((_target(token, "href"), len(builder.runs)))
        builder.open(style("link"))
    elif kind == "link_close":
        _end_of_link(builder)
    elif token.nesting == 1:
        builder.open(style(token.tag))
    elif token.nesting == -1:
        builder.close()
    else:
        builder.add(sanitise(token.content, newlines=False))


def _end_of_link(builder: _Builder) -> None:
    href, first = builder.hrefs.pop()
    shown = "".join(run[0] for run in builder.runs[first:])
    start = builder.opened[-1]
    builder.close()
    if shown and (link := link_to(href)):
        builder.runs[first:] = [(text, look + link if look else link) for text, look in builder.runs[first:]]
        href = "" if href in {shown, f"mailto:{shown}"} else _place(href)
    if href and href not in {shown, f"mailto:{shown}"}:
        builder.add(f" ({href})" if shown else href, style("url"), literal=True)
    builder.closed_at = start


def _image(builder: _Builder, token: Token) -> None:
    start, source = builder.length, _target(token, "src")
    alt = sanitise(token.content, newlines=False)
    builder.add(alt, style("link"), literal=True)
    if alt and (link := link_to(source)):
        text, look = builder.runs[-1]
        builder.runs[-1] = (text, look + link if look else link)
        source = _place(source)
    if source and source != alt:
        builder.add(f" ({source})" if alt else source, style("url"), literal=True)
    builder.closed_at = start


def _place(address: str) -> str:
    """Return what is shown of an address that the text itself opens: where it leads must stay visible."""
    return re.sub(r"^(?:mailto:|https?://(?:[^/?#]*@)?)|(?<=[^/:])[/?#].*", "", address, flags=re.IGNORECASE)


def _target(token: Token, name: str) -> str:
    return sanitise(str(token.attrs.get(name, "")), newlines=False)
