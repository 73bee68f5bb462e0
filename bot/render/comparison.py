"""A judge's comparison of the answers as lines for a window or a pipe, answers named by their models.

Texts are sanitised, and nothing in them is interpreted as markup.
"""

from __future__ import annotations

import re
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

Run = tuple[str, str]
"""A piece of a line, and the name of its style ("" for none)."""

_MARKDOWN = re.compile(r"([\\`*_{}\]<>#+!|~&$-])")
"""Without "(" and "[": escaped, they would begin a formula."""
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
    return [one_line(line) for line in [*lines, *(f"nobody: {text}" for text in analysis.blind_spots)]]


def escape_markdown(text: str) -> str:
    """Return a text on one line as Markdown that shows it as it is."""
    return _MARKDOWN.sub(r"\\\1", one_line(text))


def comparison_markdown(analysis: Analysis) -> str:
    """Return the comparison as Markdown: a title in bold and a list for each kind of item."""
    names = answer_names(analysis)

    def items(claims: Sequence[Claim]) -> list[str]:
        return [f"{each.text} ({_who(each, names)})" if each.answers else each.text for each in claims]

    sections = [("Agree", items(analysis.consensus))]
    for each in analysis.contradictions:
        settled = [f"would be settled by: {each.settled_by}"] if each.settled_by else []
        sections.append((f"Differ: {each.question}", [*items(each.positions), *settled]))
    sections += [
        ("Some say", items(analysis.partial)),
        ("One alone says", items(analysis.unique)),
        ("Nobody says", list(analysis.blind_spots)),
    ]
    return "\n\n".join(
        "\n".join([f"**{escape_markdown(title)}**", "", *(f"- {escape_markdown(item)}" for item in listed)])
        for title, listed in sections
        if listed
    )


def comparison_text(analysis: Analysis, width: int) -> Text:
    """Return the comparison as styled lines, none wider than `width` cells, no newline after the last."""
    from rich.text import Text

    text = Text(no_wrap=True, overflow="ignore", end="")
    for number, row in enumerate(_rows(analysis, width)):
        text.append("\n" if number else "")
        for piece, look in row:
            text.append(piece, style(look) if look else None)
    return text


def comparison_lines(analysis: Analysis, width: int = 80) -> list[str]:
    """Return the same as plain lines."""
    return ["".join(piece for piece, _ in row).rstrip() for row in _rows(analysis, width)]


def _rows(analysis: Analysis, width: int) -> Iterator[list[Run]]:
    names = answer_names(analysis)
    alone = [(f"only {_who(claim, names)} says", claim.text) for claim in analysis.unique]
    nobody = [("nobody says", text) for text in analysis.blind_spots]
    label_width = _label_width(alone + nobody, width)
    sections = [
        [*_shared("agree", analysis.consensus, names, width)],
        *([*_contradiction(each, names, width)] for each in analysis.contradictions),
        [*_shared("some say", analysis.partial, names, width)],
        [row for label, text in alone + nobody for row in _hanging(label, label_width, text, width)],
    ]
    for number, section in enumerate(filter(None, sections)):
        if number:
            yield []
        yield from section


def _shared(title: str, claims: Sequence[Claim], names: list[str], width: int) -> Iterator[list[Run]]:
    """Yield a table of claims with a column for each answer; where there is no room, names below a claim."""
    from rich.cells import cell_len

    if not claims:
        return
    room = width - len(_INDENT) - sum(cell_len(name) + 2 for name in names)
    columns = room >= _CLAIM
    head = "".join("  " + name for name in names) if columns else ""
    yield [
        (fit_cells(_INDENT + title, room + len(_INDENT)) if columns else _INDENT + title, "dim"),
        (head, "dim"),
    ]
    for claim in claims:
        rows = _wrapped(claim.text, room if columns else width - len(_INDENT))
        marks = "".join(
            "  "
            + fit_cells(
                " " * (cell_len(name) // 2) + ("●" if number in claim.answers else ""), cell_len(name)
            )
            for number, name in enumerate(names, start=1)
        )
        for number, row in enumerate(rows):
            if columns and not number:
                yield [(_INDENT, ""), (fit_cells(row, room), ""), (marks.rstrip(), "good")]
            else:
                yield [(_INDENT, ""), (row, "")]
        if not columns and claim.answers:
            yield [(cut_cells(_INDENT * 2 + _who(claim, names), width), "name")]


def _contradiction(contradiction: Contradiction, names: list[str], width: int) -> Iterator[list[Run]]:
    for row in _wrapped(f"differ: {contradiction.question}", width - len(_INDENT)):
        yield [(_INDENT, ""), (row, "bad")]
    positions = [(_who(claim, names) or "·", claim.text) for claim in contradiction.positions]
    label_width = _label_width(positions, width)
    for label, text in positions:
        yield from _hanging(label, label_width, text, width)
    if contradiction.settled_by:
        settled = f"would be settled by: {contradiction.settled_by}"
        yield from _hanging("", label_width, settled, width, "dim")


def _label_width(pairs: Sequence[tuple[str, str]], width: int) -> int:
    """Return the cells for the labels of these (label, text): no more than a third of the window."""
    from rich.cells import cell_len

    return min(max((cell_len(label) for label, _ in pairs), default=0), max(width // 3, 1))


def _hanging(label: str, label_width: int, text: str, width: int, look: str = "") -> Iterator[list[Run]]:
    """Yield a label and a text beside it, both in as many rows as they need."""
    gap = _INDENT if label_width else ""
    labels = _wrapped(label, label_width) if label else []
    texts = _wrapped(text, width - len(_INDENT) - label_width - len(gap))
    for number in range(max(len(labels), len(texts))):
        left = labels[number] if number < len(labels) else ""
        right = texts[number] if number < len(texts) else ""
        yield [(_INDENT, ""), (fit_cells(left, label_width), "name"), (gap, ""), (right, look)]


def _wrapped(text: str, width: int) -> list[str]:
    """Return a text of a model's in rows of at most `width` cells."""
    text = one_line(text)
    return [
        "".join(piece for piece, _ in row).rstrip()
        for row in cut_runs([(text, None)], break_points(text, max(width, 1)))
    ]


def _who(claim: Claim, names: list[str]) -> str:
    return ", ".join(names[number - 1] for number in claim.answers)
