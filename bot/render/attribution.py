"""A trace for people and for programs: lines for a window, lines for a pipe, a value for JSON.

Only words and layout; what is shown was found by `trace`. All names and texts are sanitised, and
nothing in them is ever taken for markup.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bot.render.styles import style
from bot.text.sanitise import one_line, sanitise
from bot.text.wrap import break_points, cut_cells

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.text import Text

    from bot.attribution.attribution import AttributedBlock, Attribution, Proposal

HONEST = (
    "Likeness of words, not proof: models say the same without having read each other, "
    "and a paraphrase can look like nobody's."
)
NOBODY = "nobody: the aggregator's own"
ALONE = "No model was asked before the aggregator: the whole reply is its own."

Run = tuple[str, str]
"""A piece of a line, and the name of its style ("" for none)."""

_INDENT = "  "
_GAP = "  "
_BAR_LONGEST = 24
_BAR_SHORTEST = 6
_NAME_LONGEST = 32
_NAME_SHORTEST = 12
_MATRIX_LARGEST = 12
_NARROW = 64  # cells from which on a block and who says it stand on one line
_EIGHTHS = " ▏▎▍▌▋▊▉"


def attribution_text(trace: Attribution, width: int) -> Text:
    """Return the trace as styled text, no line wider than `width` cells, without a line end at its end."""
    from rich.text import Text

    text = Text(no_wrap=True, overflow="ignore", end="")
    for number, row in enumerate(_rows(trace, width)):
        text.append("\n" if number else "")
        for piece, look in row:
            text.append(piece, style(look) if look else None)
    return text


def attribution_lines(trace: Attribution, width: int | None) -> list[str]:
    """Return the same as plain lines.

    None means a pipe: nothing is cut or aligned. Then there is a line for each proposal (name,
    BLEU, edit, TF-IDF, share), an empty line, and a line for each block (number, the names of those
    that say nearly the same, comma between them, its text), tab between the fields.
    """
    if width is not None:
        return ["".join(piece for piece, _ in row).rstrip() for row in _rows(trace, width)]
    names = _names(trace)
    lines = [
        "\t".join((name, *(f"{value:.4f}" for value in (p.bleu, p.edit, p.tfidf, p.share))))
        for name, p in zip(names, trace.proposals, strict=True)
    ]
    lines.append("")
    for number, traced in enumerate(trace.blocks, start=1):
        said = ", ".join(names[match.proposal] for match in traced.matches)
        lines.append(f"{number}\t{said}\t{one_line(traced.block.text)}")
    return lines


def attribution_json(trace: Attribution) -> dict[str, Any]:
    """Return the trace ready for JSON; texts are as the models wrote them. Scores have four digits."""
    names = [proposal.name for proposal in trace.proposals]
    return {
        "proposals": [
            {
                "name": proposal.name,
                "bleu": round(proposal.bleu, 4),
                "edit": round(proposal.edit, 4),
                "tfidf": round(proposal.tfidf, 4),
                "share": round(proposal.share, 4),
            }
            for proposal in trace.proposals
        ],
        "own_share": round(trace.own, 4),
        "near": trace.near,
        "blocks": [
            {
                "kind": traced.block.kind,
                "line": traced.block.line,
                "text": traced.block.text,
                "said_by": [
                    {"name": names[match.proposal], "score": round(match.score, 4)}
                    for match in traced.matches
                ],
                "nearest": {
                    "name": names[traced.nearest.proposal],
                    "score": round(traced.nearest.score, 4),
                }
                if traced.nearest
                else None,
            }
            for traced in trace.blocks
        ],
        "agreement": [[round(value, 4) for value in row] for row in trace.agreement],
        "notes": [*trace.notes, HONEST],
    }


def _rows(trace: Attribution, width: int) -> Iterator[list[Run]]:
    width = max(width, 1)
    if trace.proposals:
        yield from _fitted(_table(trace, width), width)
        yield []
        yield from _fitted(_blocks(trace, width), width)
        if len(trace.proposals) > 1:
            yield []
            yield from _fitted(_agreement(trace, width), width)
        yield []
        said = [f"{trace.own:.0%} of the reply is near to none of them." if trace.blocks else "", HONEST]
    else:
        said = [ALONE]
    for sentence in (*said, *trace.notes):
        if sentence:
            yield from ([(line, "dim")] for line in _wrapped(sentence, width))


def _fitted(rows: Iterator[list[Run]], width: int) -> Iterator[list[Run]]:
    """Cut rows to the window: what a layout cannot avoid in a window of a few cells."""
    from rich.cells import cell_len

    for row in rows:
        left = width
        fitted = []
        for piece, look in row:
            shown = cut_cells(piece, left)
            fitted.append((shown, look))
            left -= cell_len(shown)
        yield fitted


def _names(trace: Attribution) -> list[str]:
    return [one_line(proposal.name) for proposal in trace.proposals]


def _table(trace: Attribution, width: int) -> Iterator[list[Run]]:
    """Yield the likeness to the whole reply, the most alike first; narrow windows lose columns."""
    names = _names(trace)
    order = sorted(range(len(names)), key=lambda index: (-trace.proposals[index].bleu, index))
    title = "likeness to the reply"
    left = min(max(map(_cells, names)), _NAME_LONGEST, max(width * 2 // 5, _NAME_SHORTEST))
    columns = {"BLEU": 4, "edit": 4, "tf-idf": 6, "share": 5}
    bar = 0
    for dropped in ("", "edit", "tf-idf", "share"):
        columns.pop(dropped, 0)
        figures = sum(size + len(_GAP) for size in columns.values())
        bar = min(width - len(_INDENT) - left - len(_GAP) - figures, _BAR_LONGEST)
        if bar >= _BAR_SHORTEST:
            break
    else:
        bar = 0
        left = max(1, min(left, width - len(_INDENT) - figures))
    room = left + (len(_GAP) + bar if bar else 0)
    head = _padded(cut_cells(title if bar else "likeness", room), room)
    yield [(_INDENT + head + "".join(_GAP + name.rjust(size) for name, size in columns.items()), "dim")]
    for index in order:
        proposal = trace.proposals[index]
        row = [(_INDENT + _padded(cut_cells(names[index], left), left), "name")]
        if bar:
            row.append((_GAP + _padded(_bar(proposal.bleu, bar), bar), "busy"))
        row.append(("".join(_GAP + _figure(proposal, name).rjust(columns[name]) for name in columns), ""))
        yield row


def _figure(proposal: Proposal, column: str) -> str:
    match column:
        case "BLEU":
            return _score(proposal.bleu)
        case "edit":
            return _score(proposal.edit)
        case "tf-idf":
            return _score(proposal.tfidf)
    return f"{proposal.share:.0%}"


def _score(value: float) -> str:
    """Write ".41", or "1.0" for what rounds to one."""
    said = f"{value:.2f}"
    return said[1:] if said.startswith("0") else said[:3]


def _bar(value: float, longest: int) -> str:
    """Draw 0 to 1 in at most `longest` cells, to the eighth of a cell."""
    eighths = round(value * longest * 8)
    return ("█" * (eighths // 8) + _EIGHTHS[eighths % 8]).rstrip() or "▏"


def _blocks(trace: Attribution, width: int) -> Iterator[list[Run]]:
    """Yield the reply's blocks, numbered, and who says nearly the same."""
    names = _names(trace)
    digits = len(str(len(trace.blocks)))
    indent = len(_INDENT) + digits + len(_GAP)
    right = min(
        max((_cells(_said(traced, names)) for traced in trace.blocks), default=0), (width - indent) * 3 // 5
    )
    for number, traced in enumerate(trace.blocks, start=1):
        look = "" if traced.matches else "busy"
        head = f"{_INDENT}{number:>{digits}}{_GAP}"
        if width < _NARROW:
            room = max(width - indent, 1)
            yield [(head, "dim"), (cut_cells(_opening(traced), room), "")]
            yield [(" " * indent, ""), (_said(traced, names, room), look or "dim")]
            continue
        room = width - indent - right - len(_GAP)
        opening = _padded(cut_cells(_opening(traced), room), room)
        yield [(head, "dim"), (opening, ""), (_GAP, ""), (_said(traced, names, right), look)]


def _opening(traced: AttributedBlock) -> str:
    """Return a block as one line; of code its first line, marked as code."""
    if traced.block.kind != "code":
        return one_line(traced.block.text)
    first, *more = sanitise(traced.block.text).split("\n")
    return f"code: {one_line(first)}" + (" …" if more else "")


def _said(traced: AttributedBlock, names: Sequence[str], room: int | None = None) -> str:
    """Return who says nearly the same, naming as many as fit into `room` cells, the nearest first."""
    near = [names[match.proposal] for match in traced.matches]
    if not near:
        return NOBODY
    if len(near) == 1:
        return near[0] + (" alone" if len(names) > 1 else " says the same")
    if len(near) == len(names):
        return f"{'both' if len(near) == 2 else f'all {len(near)}'} say the same"  # noqa: PLR2004 - both are two
    for named in range(len(near), 0, -1):
        more = f" and {len(near) - named} more" if named < len(near) else ""
        said = ", ".join(near[:named]) + f"{more} say the same"
        if room is None or _cells(said) <= room:
            return said
    return f"{len(near)} of {len(names)} say the same"


def _agreement(trace: Attribution, width: int) -> Iterator[list[Run]]:
    """Yield who agrees with whom: a matrix where it fits, else the most and the least alike two."""
    names = _names(trace)
    yield [(_INDENT + "proposals among themselves (tf-idf)", "dim")]
    digits = len(str(len(names)))
    figures = len(names) * (3 + len(_GAP))
    left = min(max(map(_cells, names)), _NAME_LONGEST)
    if len(names) <= _MATRIX_LARGEST and len(_INDENT) * 2 + digits + left + figures <= width:
        corner = " " * (len(_INDENT) * 2 + digits + left)
        yield [(corner + "".join(f"{_GAP}{number:>3}" for number in range(1, len(names) + 1)), "dim")]
        for row, name in enumerate(names):
            cells = (
                "·" if row == column else _score(value) for column, value in enumerate(trace.agreement[row])
            )
            yield [
                (f"{_INDENT}{row + 1:>{digits}}{_GAP}", "dim"),
                (_padded(cut_cells(name, left), left), "name"),
                ("".join(f"{_GAP}{cell:>3}" for cell in cells), ""),
            ]
        return
    pairs = [
        (trace.agreement[first][second], first, second)
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


def _cells(text: str) -> int:
    from rich.cells import cell_len

    return cell_len(text)


def _padded(text: str, width: int) -> str:
    return text + " " * (width - _cells(text))
