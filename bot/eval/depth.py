"""How often stopping early would have changed the reply: what `--early_stop shadow` has kept.

A turn in which early stop would have skipped rounds has two replies: its own, and the one made from the
answers of the round after which it would have stopped. How similar they are is the cosine of their TF-IDF
vectors: that of words, as early stop itself compares answers. Where both were judged, in an evaluation, their
scores stand beside that.
"""

from __future__ import annotations

import json
import math
import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bot.bulk.files import Row
from bot.errors import UsageError
from bot.eval.judges import JUDGES
from bot.eval.judging import STOPPED
from bot.eval.report import Table, align, number
from bot.eval.stages import RESULTS
from bot.text.similarity import tfidf
from bot.turn_result import Shadow, stored_shadow

if TYPE_CHECKING:
    from bot.store import Store

THRESHOLD = 0.75
"""Replies of a lower similarity count as different."""
ANSWERS = "answers.jsonl"
"""What a batch's folder has its answers in."""
KEPT = "kept conversations"
_QUANTILES = {
    "lowest": 0.0,
    "10 %": 0.1,
    "25 %": 0.25,
    "median": 0.5,
    "75 %": 0.75,
    "90 %": 0.9,
    "highest": 1.0,
}


@dataclass(frozen=True, slots=True)
class ShadowTurn:
    """A turn that early stop was asked about: its reply, and what early stop would have done."""

    reply: str
    shadow: Shadow


@dataclass(slots=True)
class Source:
    """Turns of one place. `scores` are the judge's (of the reply, of the one if stopped), by item."""

    name: str
    turns: list[ShadowTurn] = field(default_factory=list)
    scores: list[tuple[float, float]] = field(default_factory=list)


def stored_turns(store: Store) -> Source:
    """Return the turns of all kept conversations, those that were undone too."""
    source = Source(KEPT)
    for row in store.list_conversations():
        for turn in store.turns(row.conversation.id):
            shadow = stored_shadow(turn.shadow)
            if shadow and turn.reply and turn.status in {"done", "undone"}:
                source.turns.append(ShadowTurn(turn.reply, shadow))
    return source


def read_folder(folder: Path) -> list[Source]:
    """Return the turns of each run of an evaluation or a batch in this folder and below, or of its file.

    Raises UsageError where there is none.
    """
    found = (file for name in (RESULTS, ANSWERS) for file in folder.rglob(name))
    files = [folder] if folder.is_file() else sorted(found)
    if not files:
        raise UsageError(
            f"{folder}: there is no run of an evaluation or a batch in there.",
            hint=f"Their folders have a file {RESULTS} or {ANSWERS}.",
        )
    return [_read_run(file) for file in files]


def _read_run(file: Path) -> Source:
    # Of several lines about a row of a batch the last one counts.
    rows = {str(row.get("index", row.get("id"))): row for row in _rows(file)}
    judged = _rows(_latest_stopped(file.parent)) if file.name == RESULTS else ()
    pairs = [(row.get("score"), row.get("score_if_stopped")) for row in judged]
    return Source(
        str(file.parent if file.name in {RESULTS, ANSWERS} else file),
        [turn for row in rows.values() for turn in _turns_of(row)],
        [(float(own), float(other)) for own, other in pairs if own is not None and other is not None],
    )


def _latest_stopped(folder: Path) -> Path:
    """Return the file of the judge that judged a run last; judges of old runs have no folder of their own."""
    own = folder / STOPPED
    found = [file for file in (own, *folder.glob(f"{JUDGES}/*/{STOPPED}")) if file.exists()]
    return max(found, key=lambda file: file.stat().st_mtime, default=own)


def _rows(file: Path) -> Iterator[Row]:
    """Yield the lines that are objects; a run may have been killed while it wrote one."""
    if not file.exists():
        return
    try:
        with file.open("rb") as lines:
            for line in lines:
                with suppress(ValueError):
                    if isinstance(row := json.loads(line), dict):
                        yield row
    except OSError as error:
        raise UsageError(f"{file}: cannot be read: {error.strerror}") from error


def _turns_of(row: Row) -> Iterator[ShadowTurn]:
    """Yield the turns of an item of an evaluation, or of a row of a batch."""
    replies = row.get("turns") or row.get("replies") or [row.get("reply")]
    for value in row.get("shadows") or ():
        shadow, turn = stored_shadow(value), value.get("turn") if isinstance(value, dict) else None
        if shadow and isinstance(turn, int) and 1 <= turn <= len(replies) and replies[turn - 1]:
            yield ShadowTurn(str(replies[turn - 1]), shadow)


def figures(source: Source, threshold: float = THRESHOLD) -> dict[str, Any]:
    """Return what a source says, as plain JSON values.

    Of `turns`, early stop `would_stop` in some (`stop_after`: how many after which round); `compared` are
    those with a whole second reply, `changed` those of them whose replies are less similar than `threshold`.
    """
    stopped = [turn for turn in source.turns if turn.shadow.stop_after is not None]
    whole = [turn for turn in stopped if turn.shadow.reply and not turn.shadow.error]
    found = sorted(tfidf([turn.reply, turn.shadow.reply])[0][1] for turn in whole)
    after = Counter(turn.shadow.stop_after for turn in stopped)
    return {
        "source": source.name,
        "turns": len(source.turns),
        "would_stop": len(stopped),
        "stop_after": {str(round_): after[round_] for round_ in sorted(after, key=lambda each: each or 0)},
        "compared": len(found),
        "threshold": threshold,
        "changed": sum(value < threshold for value in found),
        "similarity": {name: _quantile(found, share) for name, share in _QUANTILES.items()}
        if found
        else None,
        "score": _score(source.scores),
    }


def _score(pairs: Sequence[tuple[float, float]]) -> dict[str, Any] | None:
    """Return the mean score of the replies and of those if stopped, and of the difference with its error."""
    if not pairs:
        return None
    differences = [stopped - own for own, stopped in pairs]
    spread = statistics.stdev(differences) / math.sqrt(len(pairs)) if len(pairs) > 1 else None
    return {
        "n": len(pairs),
        "as_it_is": statistics.fmean(own for own, _ in pairs),
        "if_stopped": statistics.fmean(stopped for _, stopped in pairs),
        "difference": statistics.fmean(differences),
        "standard_error": spread,
    }


def _quantile(values: Sequence[float], share: float) -> float:
    """Return the quantile of sorted values, between two of them in proportion."""
    place = share * (len(values) - 1)
    low = math.floor(place)
    high = min(low + 1, len(values) - 1)
    return values[low] + (values[high] - values[low]) * (place - low)


def depth_text(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return the figures of all sources as plain tables, and what they do not say."""
    rows = list(rows)
    counts: Table = [["", "turns", "would stop", "compared", "changed"]]
    spread: Table = [["similarity of the two replies", *_QUANTILES]]
    scores: Table = [["score where it would stop", "n", "as it is", "if stopped", "difference", "± se"]]
    for row in rows:
        counts.append([row["source"], *(f"{row[name]:,}" for name in ("turns", "would_stop", "compared"))])
        share = f" ({row['changed'] / row['compared']:.0%})" if row["compared"] else ""
        counts[-1].append(f"{row['changed']:,}{share}")
        if row["similarity"]:
            spread.append([row["source"], *(number(value) for value in row["similarity"].values())])
        if score := row["score"]:
            values = (score[name] for name in ("as_it_is", "if_stopped", "difference", "standard_error"))
            scores.append([row["source"], f"{score['n']:,}", *(number(value) for value in values)])
    tables = [align(table) for table in (counts, spread, scores) if len(table) > 1]
    threshold = rows[0]["threshold"] if rows else THRESHOLD
    notes = (
        f"changed: the similarity of the two replies is below {threshold:.2f}. It is one of words: replies\n"
        "that differ may say the same, and replies that agree may be wrong together. Two replies that are\n"
        "written from the same answers differ too, unless the temperature is 0."
    )
    return "\n\n".join([*tables, notes])
