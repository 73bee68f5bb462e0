"""The answers that a run's replies were made from, and what the run's judges think of them.

generate             ─► proposals.jsonl               of each turn: the answers that its last layer read
judge --proposals    ─► judges/NAME/proposals.jsonl   of each turn: the score of the reply and of these
similarity FOLDER    ◄─ both                          is the reply like the better ones? is it one of them?
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from bot.bulk.files import Row, write_rows
from bot.bulk.run_folder import read_manifest
from bot.errors import UsageError
from bot.eval.arms import Proposal
from bot.eval.judges import OLD_FOLDER, folders_of
from bot.eval.official_data import read_rows
from bot.method.modes import reading_order

if TYPE_CHECKING:
    from bot.method.plan import Plan
    from bot.turn_result import TurnResult

PROPOSALS = "proposals.jsonl"
_FEWEST = 2


@dataclass(frozen=True, slots=True)
class Turn:
    """A turn (from 1) of an item: its reply, and the answers that its last layer read, in their order."""

    id: str
    turn: int
    reply: str
    proposals: tuple[Proposal, ...]


@dataclass(frozen=True, slots=True)
class ScoredTurn:
    """A turn with the scores of its reply and of its proposals, None where there is none."""

    turn: Turn
    reply: float | None
    proposals: tuple[float | None, ...]


def read_by_last_layer(plan: Plan, prompt: str, result: TurnResult) -> list[Proposal]:
    """Return the answers that the reply was made from: those of the last round with enough of them."""
    for number in reversed(range(len(result.rounds))):
        answered = [call for call in result.rounds[number] if call.answer]
        if number == 0 or len(answered) >= max(1, plan.min_references):
            in_order = reading_order(answered, plan.order, prompt)
            return [Proposal(call.slot.agent.model, call.answer) for call in in_order]
    return []


def write_turns(folder: Path, turns: Iterable[Turn]) -> None:
    """Write the turns of a run into its folder."""
    write_rows(folder / PROPOSALS, map(asdict, turns))


def read_turns(folder: Path) -> list[Turn]:
    """Return the turns of a run, [] for a run that kept none. Raises DataError."""
    file = folder / PROPOSALS
    rows = read_rows(file) if file.exists() else []
    return [
        Turn(**{**row, "proposals": tuple(Proposal(**each) for each in row["proposals"])}) for row in rows
    ]


def scored_turns(folder: Path) -> list[ScoredTurn]:
    """Return the turns of a run with the scores by the judges that judged last, their mean if several.

    Raises UsageError where proposals or their scores are missing, and says how they are made.
    """
    turns = read_turns(folder)
    manifest = read_manifest(folder) or read_manifest(folder.parent)
    command = f"moa-bot eval {manifest.get('benchmark', 'BENCH')}"
    if not turns:
        raise UsageError(
            f"{folder}: there are no proposals of a run.",
            hint=f"A run of an earlier version writes them, without new calls, by {command} generate.",
        )
    scores: dict[tuple[str, int], list[Row]] = defaultdict(list)
    for judge in manifest.get("jury") or list(folders_of(manifest)) or [OLD_FOLDER]:
        file = folder / judge / PROPOSALS
        for row in read_rows(file) if judge != OLD_FOLDER and file.exists() else ():
            scores[str(row["id"]), int(row["turn"])].append(row)
    if not scores:
        raise UsageError(
            f"{folder}: its proposals are not judged.",
            hint=f"{command} judge --proposals --out {folder} has its judge judge them; one call for each.",
        )
    return [_scored(turn, scores[turn.id, turn.turn]) for turn in turns if (turn.id, turn.turn) in scores]


def selection(turns: Sequence[ScoredTurn]) -> dict[str, Any]:
    """Return how well the reply does against the proposals, and how well it was chosen where it is one.

    `reply`, `best` and `mean` are mean scores of the replies, of the best proposal of each turn and of all
    of them, over `n` turns. Of `chosen` turns the reply is one of the proposals, word for word: in `accuracy`
    per cent of these it is the best one; blind choice would have `chance`.
    """
    whole = [(each, values) for each in turns if each.reply is not None and (values := _values(each))]
    hits, chances = [], []
    for each, values in whole:
        texts = [proposal.text for proposal in each.turn.proposals]
        if len(texts) >= _FEWEST and each.turn.reply in texts:
            best = max(values)
            picked = values[texts.index(each.turn.reply)]
            hits.append(100.0 * (picked == best))
            chances.append(100.0 * values.count(best) / len(values))
    return {
        "n": len(whole),
        "reply": _mean([each.reply for each, _ in whole if each.reply is not None]),
        "best": _mean([max(values) for _, values in whole]),
        "mean": _mean([fmean(values) for _, values in whole]),
        "chosen": len(hits),
        "accuracy": _mean(hits),
        "chance": _mean(chances),
    }


def _scored(turn: Turn, rows: Sequence[Row]) -> ScoredTurn:
    columns = zip(*(row["scores"] for row in rows), strict=True)
    return ScoredTurn(turn, _all([row["reply"] for row in rows]), tuple(_all(list(each)) for each in columns))


def _values(each: ScoredTurn) -> list[float]:
    """Return the scores of all proposals of a turn, [] unless all have one."""
    values = [value for value in each.proposals if value is not None]
    return values if len(values) == len(each.proposals) else []


def _all(values: Sequence[float | None]) -> float | None:
    """Return the mean of the judges' scores, None unless each has one."""
    known = [value for value in values if value is not None]
    return fmean(known) if known and len(known) == len(values) else None


def _mean(values: Sequence[float]) -> float | None:
    return fmean(values) if values else None
