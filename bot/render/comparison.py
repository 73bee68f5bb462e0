"""A judge's comparison of the answers as lines for a window or a pipe, answers named by their models.

Texts are sanitised. On a terminal the inline Markdown in claims is styled as it is in replies; plain lines
have it as it is. No claim can begin a block of Markdown (a heading, a list), and no model's name is markup.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from bot.messages import Agent
from bot.render.styles import style
from bot.text.names import slot_names
from bot.text.numbers import plural
from bot.text.sanitise import one_line
from bot.text.wrap import break_points, cut_cells, cut_runs, fit_cells

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.text import Text

    from bot.analysis import Analysis, Claim, Contradiction
    from bot.text.wrap import Row

_MARKDOWN = re.compile(r"([\\`*_{}\]<>#+!|~&$-])")
"""Without "(" and "[": escaped, they would begin a formula."""
_BLOCK = re.compile(
    r"(?=#{1,6}(?:\s|$)|[-+*](?:\s|$)|(?:[-*_]\s*){3,}$|`{3,}[^`]*$|~{3,}|>)"
    r"|\d{1,9}(?=[.)](?:\s|$))"
    r"|\[[^\[\]]*(?=\]:)"
)
"""The beginning of a line that would begin a block in Markdown; a backslash after the match prevents it."""
_ELEMENT = re.compile(r"(?P<code>(?<!`)(`+)(?!`).+?(?<!`)\2(?!`))|<(?=[A-Za-z/!?])|!(?=\[)")
"""Code in a line, which stays as it is, or the beginning of an element or a picture."""
_INDENT = "  "
_CLAIM = 32
"""Cells that a claim needs beside the columns of the answers; with less, names stand below it."""


def comparison_summary(analysis: Analysis) -> str:
    """Return "agree on 5 · differ on 2 · 1 unique · 1 blind spot", without the lists that are empty."""
    spots, partial = len(analysis.blind_spots), len(analysis.partial)
    counts = {
        f"agree on {len(analysis.consensus)}": analysis.consensus,
        f"differ on {len(analysis.contradictions)}": analysis.contradictions,
        f"{partial} partly covered": analysis.partial,
        f"{len(analysis.unique)} unique": analysis.unique,
        plural(spots, "blind spot"): analysis.blind_spots,
    }
    return " · ".join(text for text, items in counts.items() if items)


def answer_names(analysis: Analysis) -> list[str]:
    """Return a short name for each answer, different from the others'."""
    return slot_names([Agent(each.model) for each in analysis.answers])


def newest_items(analysis: Analysis) -> list[str]:
    """Return the items in the order of the lists, a line each: what the judge has found so far."""
    lines = [f"agree: {claim.text}" for claim in analysis.consensus]
    lines += [f"differ: {each.question}" for each in analysis.contradictions]
    lines += [f"some: {claim.text}" for claim in analysis.partial]
    lines += [f"one: {claim.text}" for claim in analysis.unique]
    return [_unmarked(line) for line in [*lines, *(f"nobody: {text}" for text in analysis.blind_spots)]]


@lru_cache(maxsize=256)
def _unmarked(text: str) -> str:
    """Return a text without the marks of its inline Markdown."""
    from bot.render.blocks import inline_runs

    return "".join(piece for piece, _ in inline_runs(one_line(text)))


def escape_markdown(text: str) -> str:
    """Return a text on one line as Markdown that shows it as it is."""
    return _MARKDOWN.sub(r"\\\1", one_line(text))


def inline_markdown(text: str) -> str:
    """Return a text on one line as Markdown of one line: no block, no HTML and no picture begins in it."""
    text = _ELEMENT.sub(lambda found: found[0] if found["code"] else "\\" + found[0], one_line(text))
    block = _BLOCK.match(text)
    return f"{block[0]}\\{text[block.end() :]}" if block else text


def comparison_markdown(analysis: Analysis) -> str:
    """Return the comparison as Markdown: a title in bold and a list for each kind of item."""
    names = answer_names(analysis)

    def items(claims: Sequence[Claim]) -> list[str]:
        found = ((inline_markdown(each.text), escape_markdown(_who(each, names))) for each in claims)
        return [f"{text} ({who})" if who else text for text, who in found]

    sections = [("**Agree**", items(analysis.consensus))]
    for each in analysis.contradictions:
        settled = [f"would be settled by: {inline_markdown(each.settled_by)}"] if each.settled_by else []
        sections.append((f"**Differ:** {inline_markdown(each.question)}", [*items(each.positions), *settled]))
    sections += [
        ("**Some say**", items(analysis.partial)),
        ("**One alone says**", items(analysis.unique)),
        ("**Nobody says**", [inline_markdown(text) for text in analysis.blind_spots]),
    ]
    return "\n\n".join(
        "\n".join([title, "", *(f"- {item}" for item in listed)]) for title, listed in sections if listed
    )


def comparison_text(analysis: Analysis, width: int, *, plain: bool = False) -> Text:
    """Return the comparison as styled lines, none wider than `width` cells, no newline after the last.

    With `plain`, Markdown in it stays as it is.
    """
    from rich.text import Text

    text = Text(no_wrap=True, overflow="ignore", end="")
    for number, row in enumerate(_Layout(analysis, width, markdown=not plain).rows()):
        text.append("\n" if number else "")
        for piece, look in row:
            text.append(piece, look)
    return text


def comparison_lines(analysis: Analysis, width: int = 80) -> list[str]:
    """Return the same as plain lines."""
    return [_text(row).rstrip() for row in _Layout(analysis, width, markdown=False).rows()]


class _Layout:
    """A comparison in rows of at most `width` cells."""

    def __init__(self, analysis: Analysis, width: int, *, markdown: bool) -> None:
        self._analysis = analysis
        self._names = answer_names(analysis)
        self._width = width
        self._markdown = markdown

    def rows(self) -> Iterator[Row]:
        """Yield the rows, with an empty one between two kinds of items."""
        analysis = self._analysis
        alone = [(f"only {_who(claim, self._names)} says", claim.text) for claim in analysis.unique]
        nobody = [("nobody says", text) for text in analysis.blind_spots]
        label_width = self._label_width(alone + nobody)
        sections = [
            [*self._shared("agree", analysis.consensus)],
            *([*self._contradiction(each)] for each in analysis.contradictions),
            [*self._shared("some say", analysis.partial)],
            [row for label, text in alone + nobody for row in self._hanging(label, label_width, text)],
        ]
        for number, section in enumerate(filter(None, sections)):
            if number:
                yield []
            yield from section

    def _shared(self, title: str, claims: Sequence[Claim]) -> Iterator[Row]:
        """Yield a table of claims with a column for each answer; without room, names below a claim."""
        from rich.cells import cell_len

        names = self._names
        if not claims:
            return
        room = self._width - len(_INDENT) - sum(cell_len(name) + 2 for name in names)
        columns = room >= _CLAIM
        head = "".join("  " + name for name in names) if columns else ""
        title = fit_cells(_INDENT + title, room + len(_INDENT)) if columns else _INDENT + title
        yield [(title + head, style("dim"))]
        for claim in claims:
            marks = "".join(
                "  "
                + fit_cells(" " * (cell_len(name) // 2) + "●" * (number in claim.answers), cell_len(name))
                for number, name in enumerate(names, start=1)
            )
            for number, row in enumerate(self._wrapped(claim.text, room if columns else self._beside(0))):
                beside = [(marks.rstrip(), style("good"))] if columns and not number else []
                yield [(_INDENT, None), *(_filled(row, room) if beside else row), *beside]
            if not columns and claim.answers:
                yield [(cut_cells(_INDENT * 2 + _who(claim, names), self._width), style("name"))]

    def _contradiction(self, contradiction: Contradiction) -> Iterator[Row]:
        for row in self._wrapped(f"differ: {contradiction.question}", self._beside(0), "bad"):
            yield [(_INDENT, None), *row]
        positions = [(_who(claim, self._names) or "·", claim.text) for claim in contradiction.positions]
        label_width = self._label_width(positions)
        for label, text in positions:
            yield from self._hanging(label, label_width, text)
        if contradiction.settled_by:
            settled = f"would be settled by: {contradiction.settled_by}"
            yield from self._hanging("", label_width, settled, "dim")

    def _label_width(self, pairs: Sequence[tuple[str, str]]) -> int:
        """Return the cells for the labels of these (label, text): no more than a third of the window."""
        from rich.cells import cell_len

        return min(max((cell_len(label) for label, _ in pairs), default=0), max(self._width // 3, 1))

    def _hanging(self, label: str, label_width: int, text: str, look: str = "") -> Iterator[Row]:
        """Yield a label and a text beside it, both in as many rows as they need."""
        gap = _INDENT if label_width else ""
        labels = _cut([(one_line(label), style("name"))], label_width) if label else []
        texts = self._wrapped(text, self._beside(label_width + len(gap)), look)
        for number in range(max(len(labels), len(texts))):
            left = labels[number] if number < len(labels) else []
            right = texts[number] if number < len(texts) else []
            yield [(_INDENT, None), *_filled(left, label_width), (gap, None), *right]

    def _beside(self, cells: int) -> int:
        """Return the cells that are left beside the indent and so many others."""
        return self._width - len(_INDENT) - cells

    def _wrapped(self, text: str, width: int, look: str = "") -> list[Row]:
        """Return a text of a model's in rows of at most `width` cells."""
        from bot.render.blocks import inline_runs

        base = style(look) if look else None
        return _cut(inline_runs(one_line(text), base) if self._markdown else [(one_line(text), base)], width)


def _cut(runs: Row, width: int) -> list[Row]:
    """Cut runs into rows of at most `width` cells, without the blanks at a row's end."""
    rows = []
    for row in cut_runs(runs, break_points(_text(runs), max(width, 1))):
        text = _text(row)
        rows.append(cut_runs(row, [len(text.rstrip())])[0] if text.rstrip() != text else row)
    return rows


def _filled(row: Row, width: int) -> Row:
    """Return a row with blanks after it up to `width` cells."""
    from rich.cells import cell_len

    return [*row, (" " * (width - cell_len(_text(row))), None)]


def _text(row: Row) -> str:
    return "".join(piece for piece, _ in row)


def _who(claim: Claim, names: list[str]) -> str:
    return ", ".join(names[number - 1] for number in claim.answers)
