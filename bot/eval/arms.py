"""The arms of a comparison: who answered which item how, and what that was scored.

eval own ────────────┐
inspect's logs ──────┼─► Study(arms) ─► comparison ─► sentence, tables, JSON, HTML
lm-eval's samples ───┘

An arm is kept in a folder of its own (`write_arm`), from which `eval compare` reads it again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from bot.bulk.files import write_json, write_rows
from bot.errors import UsageError

OUTCOMES = "outcomes.jsonl"
"""The file in an arm's folder with one outcome a line."""
ARM = "arm.json"
"""The file in an arm's folder with its name, kind, model and members, and what the study says of it."""

ArmKind = Literal["alone", "mixture"]


@dataclass(frozen=True, slots=True)
class Proposal:
    """An answer that the last layer read, in the order in which it read them, and its score from 0 to 1."""

    model: str
    text: str
    score: float | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an arm made of one item in one epoch (from 1).

    `score` is from 0 to 1, None where it could not be scored: `error` says why. `group` is what items that
    belong together have in common, "" for an item of its own. `tokens` are those of prompts and answers,
    `dollars`, `seconds` and `first_word` (both from the prompt on, without queueing) are None where unknown.
    """

    item: str
    score: float | None
    group: str = ""
    epoch: int = 1
    reply: str = ""
    proposals: tuple[Proposal, ...] = ()
    calls: int = 0
    tokens: int | None = None
    dollars: float | None = None
    seconds: float | None = None
    first_word: float | None = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Arm:
    """A lone model or a mixture, and its outcomes. `model` is what it is or who writes its replies.

    `members` are the models whose answers it reads (none for a lone model).
    """

    name: str
    kind: ArmKind
    outcomes: tuple[Outcome, ...]
    model: str = ""
    members: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Study:
    """Arms that answered the same items: what scored them, by which judge ("" for none), on which day."""

    arms: tuple[Arm, ...]
    scorer: str
    judge: str = ""
    date: str = ""
    source: str = ""


def write_outcomes(folder: Path, outcomes: Iterable[Outcome]) -> None:
    """Write the outcomes of an arm into its folder, in one go."""
    write_rows(folder / OUTCOMES, (asdict(outcome) for outcome in outcomes))


def read_outcomes(folder: Path) -> tuple[Outcome, ...]:
    """Return the outcomes in a folder. Raises UsageError for a file that is damaged or not there."""
    file = folder / OUTCOMES
    try:
        with file.open(encoding="utf-8") as lines:
            rows = [json.loads(line) for line in lines if line.strip()]
        return tuple(
            Outcome(**{**row, "proposals": tuple(Proposal(**each) for each in row.get("proposals", ()))})
            for row in rows
        )
    except OSError as error:
        raise UsageError(f"{file}: cannot be read: {error.strerror}") from error
    except (ValueError, TypeError) as error:
        raise UsageError(f"{file}: these are no outcomes of an arm: {error}") from error


def write_arm(folder: Path, arm: Arm, study: Study) -> None:
    """Write an arm of a study into a folder of its own."""
    about = {name: getattr(study, name) for name in ("scorer", "judge", "date", "source")}
    place, members = study.arms.index(arm), list(arm.members)
    own = {"name": arm.name, "kind": arm.kind, "model": arm.model, "members": members, "place": place}
    write_json(folder / ARM, {**own, **about})
    write_outcomes(folder, arm.outcomes)


def read_arms(folders: Iterable[Path]) -> list[Study]:
    """Return the arms in these folders as studies of one arm, those of a study in its order."""
    found = sorted((folder.parent, _about(folder).get("place", 0), folder) for folder in folders)
    return [read_arm(folder) for _, _, folder in found]


def read_arm(folder: Path) -> Study:
    """Return the arm in a folder as a study of one arm.

    Without `arm.json` it has the folder's name, and is a mixture where it read other models' answers.
    Raises UsageError for files that are damaged or not there.
    """
    outcomes = read_outcomes(folder)
    mixed = any(outcome.proposals for outcome in outcomes)
    kind: ArmKind = "mixture" if mixed else "alone"
    try:
        row = _about(folder)
        arm = Arm(
            name=str(row.get("name") or folder.resolve().name),
            kind="mixture" if row.get("kind", kind) == "mixture" else "alone",
            outcomes=outcomes,
            model=str(row.get("model", "")),
            members=tuple(map(str, row.get("members", ()))),
        )
    except TypeError as error:
        raise UsageError(f"{folder / ARM}: this does not describe an arm: {error}") from error
    about = {name: str(row.get(name, "")) for name in ("scorer", "judge", "date", "source")}
    return Study((arm,), **about)


def _about(folder: Path) -> dict[str, Any]:
    """Return what `arm.json` says, {} where there is none. Raises UsageError for a damaged one."""
    file = folder / ARM
    try:
        row = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    except (OSError, ValueError) as error:
        raise UsageError(f"{file}: this does not describe an arm: {error}") from error
    if not isinstance(row, dict) or not isinstance(row.get("place", 0), int):
        raise UsageError(f"{file}: this does not describe an arm.")
    return row
