"""What a batch has answered: appended row by row while it runs, written in order at its end.

    OUT.run/answers.jsonl   a line for each row that is over, in the order in which they ended
    OUT                     JSONL or Parquet, in the order of the rows, made of it

A row's answer belongs to what the row asks: after a change of the source, what still asks the same is
kept, the rest asked anew.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bot.batch.rows import PromptRow
from bot.errors import MoaError, UsageError

if TYPE_CHECKING:
    from bot.bulk.answering import ItemAnswer
    from bot.events import TurnResult

FORMS = (".jsonl", ".parquet")


class Answers:
    """The append-only file of a batch's answers."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._places: dict[int, tuple[int, str, bool]] = {}
        self._lines = path.open("ab+")
        self._end = self._read()

    def answered(self, row: PromptRow) -> bool:
        """Tell whether this very row has a reply."""
        known = self._places.get(row.index)
        return known is not None and known[1] == row.digest and not known[2]

    def add(self, row: PromptRow, line: dict[str, Any]) -> None:
        """Append a row's line; whole, in one write."""
        data = json.dumps({**line, "digest": row.digest}).encode() + b"\n"
        try:
            self._lines.write(data)
            self._lines.flush()
        except OSError as error:
            raise MoaError(f"{self.path}: cannot be written: {error.strerror}") from error
        self._places[row.index] = (self._end, row.digest, bool(line["error"]))
        self._end += len(data)

    def in_order(self) -> Iterator[dict[str, Any]]:
        """Yield the last line of every row, in the order of the rows."""
        with self.path.open("rb") as lines:
            for _, (place, _, _) in sorted(self._places.items()):
                lines.seek(place)
                line: dict[str, Any] = json.loads(lines.readline())
                line.pop("digest", None)
                yield line

    def keep_only(self, count: int) -> None:
        """Forget rows that the source does not have any more."""
        self._places = {index: known for index, known in self._places.items() if index < count}

    def close(self) -> None:
        """Close the file."""
        self._lines.close()

    def _read(self) -> int:
        place, data = 0, b""
        with self.path.open("rb") as lines:
            for data in lines:
                try:
                    line = json.loads(data)
                    self._places[line["index"]] = (place, line["digest"], bool(line["error"]))
                except (ValueError, TypeError, KeyError):
                    pass  # half a line, of a run that was killed
                place += len(data)
        if data and not data.endswith(b"\n"):
            self._lines.write(b"\n")
            place += 1
        return place


def line_of(row: PromptRow, answer: ItemAnswer, result: TurnResult | None) -> dict[str, Any]:
    """Return a row of the answers file, as JSON.

    `input` holds the row's own columns; `reply` the last turn's reply (`replies` all of them, when
    there are several), `error` why there is none; `references` the last turn's proposals by round.
    """
    return {
        "index": row.index,
        "input": dict(row.columns),
        "reply": answer.turns[-1] if answer.turns and not answer.failed else None,
        **({"replies": list(answer.turns)} if len(row.turns) > 1 else {}),
        "error": answer.failure or None,
        "model": result.model if result else None,
        "references": [
            [{"model": call.slot.agent.model, "text": call.answer} for call in layer]
            for layer in (result.rounds if result else ())
        ],
        "prompt_tokens": answer.prompt_tokens,
        "completion_tokens": answer.completion_tokens,
        "cost": answer.cost,
        "seconds": answer.seconds,
        "notices": list(answer.notices),
    }


def check_form(path: Path) -> None:
    """Raise UsageError unless the file's name ends in a form that answers are written in."""
    if path.suffix not in FORMS:
        raise UsageError(f"--out: expected a name that ends in {' or '.join(FORMS)}, found {path.name}")


def write_answers(answers: Answers, path: Path) -> None:
    """Write the answers file, whole or not at all. Raises MoaError."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".parquet":
            _write_parquet(answers, beside)
        else:
            with beside.open("w", encoding="utf-8", errors="backslashreplace") as file:
                for line in answers.in_order():
                    file.write(json.dumps(line, ensure_ascii=False) + "\n")
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise MoaError(f"{path}: cannot be written: {error.strerror or error}") from error


def _write_parquet(answers: Answers, path: Path) -> None:
    import datasets  # type: ignore[import-untyped,unused-ignore]  # ships no types

    datasets.disable_progress_bars()
    rows = [
        # Columns of changing shape would be no table: what came in stays JSON.
        {**line, "input": json.dumps(line["input"], ensure_ascii=False), "replies": line.get("replies") or []}
        for line in answers.in_order()
    ]
    datasets.Dataset.from_list(rows).to_parquet(str(path))
