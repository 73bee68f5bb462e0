"""An attribution as lines for a window, as lines for a pipe, and as a value for JSON.

Names and texts are sanitised, and nothing in them is interpreted as markup.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bot.render.styles import style
from bot.text.sanitise import one_line, sanitise
from bot.text.wrap import break_points, cut_cells, fit_cells

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.text import Text

    from bot.attribution.attribution import AttributedBlock, Attribution, Match, Proposal

CAVEAT = (
    "Similar wording is not proof: models can say the same without having read each other, "
    "and a paraphrase may match no proposal."
)
NO_PROPOSAL = "nobody: the aggregator's own"
NO_PROPOSALS = "No model was asked before the aggregator: the whole reply is its own."

Run = tuple[str, str]
"""A piece of a line, and the name of its style ("" for none)."""

_INDENT = "  "
_GAP = "  "
_BAR_LONGEST = 24
_BAR_SHORTEST = 6
_NAME_LONGEST = 32
_NAME_SHORTEST = 12
_MATRIX_LARGEST = 12
_NARROW = 64  # cells; in narrower windows a block and its proposals are on two lines
_EIGHTHS = " ▏▎▍▌▋▊▉"
_SCORES = ("bleu", "edit", "tfidf", "share")  # the fields of a proposal
_COLUMNS = {"BLEU": ("bleu", 4), "edit": ("edit", 4), "tf-idf": ("tfidf", 6), "share": ("share", 5)}
"""The columns of the table: the field that each shows, and its width in cells."""


def attribution_text(attribution: Attribution, width: int) -> Text:
    """Return the attribution as styled lines, none wider than `width` cells, no newline after the last."""
    from rich.text import Text

    text = Text(no_wrap=True, overflow="ignore", end="")
    for number, row in enumerate(_rows(attribution, width)):
        text.append("\n" if number else "")
        for piece, look in row:
            text.append(piece, style(look) if look else None)
    return text


def attribution_lines(attribution: Attribution, width: int | None) -> list[str]:
    """Return the same as plain lines.

    None means a pipe: nothing is cut or aligned. Then there is a line for each proposal (name,
    BLEU, edit, TF-IDF, share), an empty line, and a line for each block (number, the names of those
    that say nearly the same, comma between them, its text), tab between the fields.
    """
    if width is not None:
        return ["".join(piece for piece, _ in row).rstrip() for row in _rows(attribution, width)]
    names = _names(attribution)
    lines = [
        "\t".join((name, *(f"{getattr(proposal, score):.4f}" for score in _SCORES)))
        for name, proposal in zip(names, attribution.proposals, strict=True)
    ]
    lines.append("")
    for number, block in enumerate(attribution.blocks, start=1):
        near = ", ".join(names[match.proposal] for match in block.matches)
        lines.append(f"{number}\t{near}\t{one_line(block.block.text)}")
    return lines


def attribution_json(attribution: Attribution) -> dict[str, Any]:
    """Return the attribution ready for JSON; texts are as the models wrote them. Scores have four digits."""

    def match_json(match: Match) -> dict[str, Any]:
        return {"name": attribution.proposals[match.proposal].name, "score": round(match.score, 4)}

    return {
        "proposals": [
            {"name": proposal.name} | {name: round(getattr(proposal, name), 4) for name in _SCORES}
            for proposal in attribution.proposals
        ],
        "own_share": round(attribution.own, 4),
        "near": attribution.near,
        "blocks": [
            {
                "kind": block.block.kind,
                "line": block.block.line,
                "text": block.block.text,
                "said_by": [match_json(match) for match in block.matches],
                "nearest": match_json(block.nearest) if block.nearest else None,
            }
            for block in attribution.blocks
        ],
        "agreement": [[round(value, 4) for value in row] for row in attribution.agreement],
        "notes": [*attribution.notes, CAVEAT],
    }


def _rows(attribution: Attribution, width: int) -> Iterator[list[Run]]:
    width = max(width, 1)
    if attribution.proposals:
        yield from _fitted(_table(attribution, width), width)
        yield []
        yield from _fitted(_blocks(attribution, width), width)
        if len(attribution.proposals) > 1:
            yield []
            yield from _fitted(_agreement(attribution, width), width)
        yield []
        own = f"{attribution.own:.0%} of the reply is similar to none of them." if attribution.blocks else ""
        sentences = [own, CAVEAT]
    else:
        sentences = [NO_PROPOSALS]
    for sentence in (*sentences, *attribution.notes):
        if sentence:
            yield from ([(line, "dim")] for line in _wrapped(sentence, width))


def _fitted(rows: Iterator[list[Run]], width: int) -> Iterator[list[Run]]:
    """Cut rows to the window, where it is so narrow that no layout fits."""
    from rich.cells import cell_len

    for row in rows:
        left = width
        fitted = []
        for piece, look in row:
            shown = cut_cells(piece, left)
            fitted.append((shown, look))
            left -= cell_len(shown)
        yield fitted


def _names(attribution: Attribution) -> list[str]:
    return [one_line(proposal.name) for proposal in attribution.proposals]


def _table(attribution: Attribution, width: int) -> Iterator[list[Run]]:
    """Yield how similar the whole reply is to each proposal; narrow windows lose columns, then the bars."""
    from rich.cells import cell_len

    names = _names(attribution)
    order = sorted(range(len(names)), key=lambda index: (-attribution.proposals[index].bleu, index))
    left = min(max(map(cell_len, names)), _NAME_LONGEST, max(width * 2 // 5, _NAME_SHORTEST))
    columns = dict(_COLUMNS)
    for dropped in ("", "edit", "tf-idf", "share"):
        columns.pop(dropped, None)
        taken = len(_INDENT) + sum(size + len(_GAP) for _, size in columns.values())
        bar = min(width - taken - left - len(_GAP), _BAR_LONGEST)
        if bar >= _BAR_SHORTEST:
            break
    else:
        bar = 0
        left = max(1, min(left, width - taken))
    room = left + (len(_GAP) + bar if bar else 0)
    head = _INDENT + fit_cells("similarity to the reply" if bar else "similarity", room)
    yield [(head + "".join(_GAP + name.rjust(size) for name, (_, size) in columns.items()), "dim")]
    for index in order:
        proposal = attribution.proposals[index]
        row = [(_INDENT + fit_cells(names[index], left), "name")]
        if bar:
            row.append((_GAP + fit_cells(_bar(proposal.bleu, bar), bar), "busy"))
        figures = (_figure(proposal, score).rjust(size) for score, size in columns.values())
        row.append(("".join(_GAP + figure for figure in figures), ""))
        yield row


def _figure(proposal: Proposal, score: str) -> str:
    return f"{proposal.share:.0%}" if score == "share" else _score(getattr(proposal, score))


def _score(value: float) -> str:
    """Write ".41", or "1.0" for what rounds to one."""
    text = f"{value:.2f}"
    return text[1:] if text.startswith("0") else text[:3]


def _bar(value: float, longest: int) -> str:
    """Draw 0 to 1 in at most `longest` cells, to the eighth of a cell."""
    eighths = round(value * longest * 8)
    return ("█" * (eighths // 8) + _EIGHTHS[eighths % 8]).rstrip() or "▏"


def _blocks(attribution: Attribution, width: int) -> Iterator[list[Run]]:
    """Yield the reply's blocks, numbered, each with the proposals that say nearly the same."""
    from rich.cells import cell_len

    names = _names(attribution)
    digits = len(str(len(attribution.blocks)))
    indent = len(_INDENT) + digits + len(_GAP)
    widest = max((cell_len(_proposals_near(block, names)) for block in attribution.blocks), default=0)
    right = min(widest, (width - indent) * 3 // 5)
    for number, block in enumerate(attribution.blocks, start=1):
        look = "" if block.matches else "busy"
        head = f"{_INDENT}{number:>{digits}}{_GAP}"
        if width < _NARROW:
            room = max(width - indent, 1)
            yield [(head, "dim"), (cut_cells(_opening(block), room), "")]
            yield [(" " * indent, ""), (_proposals_near(block, names, room), look or "dim")]
            continue
        opening = fit_cells(_opening(block), width - indent - right - len(_GAP))
        yield [(head, "dim"), (opening, ""), (_GAP, ""), (_proposals_near(block, names, right), look)]


def _opening(block: AttributedBlock) -> str:
    """Return a block as one line; of code its first line, marked as code."""
    if block.block.kind != "code":
        return one_line(block.block.text)
    first, *more = sanitise(block.block.text).split("\n")
    return f"code: {one_line(first)}" + (" …" if more else "")


def _proposals_near(block: AttributedBlock, names: Sequence[str], room: int | None = None) -> str:
    """Return which proposals say nearly the same, the nearest first, as many as fit into `room` cells."""
    from rich.cells import cell_len

    near = [names[match.proposal] for match in block.matches]
    if not near:
        return NO_PROPOSAL
    if len(near) == 1:
        return near[0] + (" alone" if len(names) > 1 else " says the same")
    if len(near) == len(names):
        return f"{'both' if len(near) == 2 else f'all {len(near)}'} say the same"  # noqa: PLR2004 - both are two
    for listed in range(len(near), 0, -1):
        more = f" and {len(near) - listed} more" if listed < len(near) else ""
        text = ", ".join(near[:listed]) + f"{more} say the same"
        if room is None or cell_len(text) <= room:
            return text
    return f"{len(near)} of {len(names)} say the same"


def _agreement(attribution: Attribution, width: int) -> Iterator[list[Run]]:
    """Yield how similar the proposals are: a matrix where it fits, else the most and the least alike two."""
    from rich.cells import cell_len

    names = _names(attribution)
    yield [(_INDENT + "proposals among themselves (tf-idf)", "dim")]
    digits = len(str(len(names)))
    figures = len(names) * (3 + len(_GAP))
    left = min(max(map(cell_len, names)), _NAME_LONGEST)
    if len(names) <= _MATRIX_LARGEST and len(_INDENT) * 2 + digits + left + figures <= width:
        corner = " " * (len(_INDENT) * 2 + digits + left)
        yield [(corner + "".join(f"{_GAP}{number:>3}" for number in range(1, len(names) + 1)), "dim")]
        for row, name in enumerate(names):
            cells = [_score(value) for value in attribution.agreement[row]]
            cells[row] = "·"
            yield [
                (f"{_INDENT}{row + 1:>{digits}}{_GAP}", "dim"),
                (fit_cells(name, left), "name"),
                ("".join(f"{_GAP}{cell:>3}" for cell in cells), ""),
            ]
        return
    pairs = [
        (attribution.agreement[first][second], first, second)
        for first in range(len(names))
        for second in range(first + 1, len(names))
    ]
    extremes = [("most", max(pairs, key=lambda pair: (pair[0], -pair[1], -pair[2])))]
    extremes += [("least", min(pairs))] if len(pairs) > 1 else []
    for how, (value, first, second) in extremes:
        yield [(f"{_INDENT}{how} alike{_GAP}{_score(value)}{_GAP}{names[first]}, {names[second]}", "")]


def _wrapped(sentence: str, width: int) -> list[str]:
    room = max(width - len(_INDENT), 1)
    starts = break_points(sentence, room)
    parts = [sentence[a:b] for a, b in zip([0, *starts], [*starts, len(sentence)], strict=True)]
    return [cut_cells((_INDENT + part).rstrip(), width) for part in parts]
