"""What a batch has answered: appended row by row while it runs, written in order at its end.

    OUT.run/answers.jsonl   a line for each row that is over, in the order in which they ended
    OUT                     JSONL or Parquet, in the order of the rows, made of it

A row's answer belongs to what the row asks: after a change of the source, what still asks the same is
kept, the rest asked anew.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bot.bulk.files import AppendLog, Row, replacing, write_rows
from bot.bulk.rows import PromptRow, Rows

if TYPE_CHECKING:
    from bot.bulk.answering import ItemAnswer
    from bot.turn_result import TurnResult


class Answers:
    """The append-only file of the answers to the rows of a source."""

    def __init__(self, path: Path) -> None:
        self._last: dict[int, tuple[int, str, bool]] = {}
        self._log = AppendLog(path, self._index)
        self.close = self._log.close

    def answered(self, row: PromptRow) -> bool:
        """Return whether this very row has a reply."""
        _, digest, replied = self._last.get(row.index, (0, "", False))
        return replied and digest == row.digest

    def add(self, row: PromptRow, line: Row) -> None:
        """Append a row's line."""
        line = {**line, "digest": row.digest}
        self._index(self._log.append(line), line)

    def of_others(self, rows: Rows) -> bool:
        """Return whether there is a reply that is to none of these rows."""
        return any(
            replied and not rows.asks(index, digest) for index, (_, digest, replied) in self._last.items()
        )

    def in_order(self, rows: Rows) -> Iterator[Row]:
        """Yield the last line of every row, in the order of the rows.

        Those beyond the limit of `rows` are among them if they have been answered.
        """
        for index, (offset, digest, _) in sorted(self._last.items()):
            if index >= len(rows) and not rows.asks(index, digest):
                continue
            line = self._log.read(offset)
            del line["digest"]
            yield line

    def _index(self, offset: int, line: Row) -> None:
        self._last[line["index"]] = (offset, line["digest"], not line["error"])


def line_of(row: PromptRow, answer: ItemAnswer, result: TurnResult | None) -> Row:
    """Return a row of the answers file, as JSON.

    `input` holds the row's own columns; `reply` the last turn's reply (`replies` all of them, when
    there are several), `error` why there is none; `references` the last turn's proposals by round;
    `panel` who was asked and answered, `analysis` the judge's comparison, both of the last turn and None
    where there is none; `sources` what the tools of the last turn found, if anything; `shadows` what early
    stop would have done, with --early_stop shadow.
    """
    sources = result.sources_json() if result else []
    return {
        "index": row.index,
        "input": dict(row.columns),
        "reply": answer.turns[-1] if answer.turns and not answer.failed else None,
        **({"replies": list(answer.turns)} if len(row.turns) > 1 else {}),
        "error": answer.failure or None,
        "model": _writer(answer, result),
        "references": [
            [{"model": call.slot.agent.model, "text": call.answer} for call in layer]
            for layer in (result.rounds if result else ())
        ],
        "panel": result.panel.as_json() if result and result.panel else None,
        "analysis": result.analysis.as_json() if result and result.analysis else None,
        **({"sources": sources} if sources else {}),
        "prompt_tokens": answer.prompt_tokens,
        "completion_tokens": answer.completion_tokens,
        "cost": answer.cost,
        "seconds": answer.seconds,
        "notices": list(answer.notices),
        **({"shadows": list(answer.shadows)} if answer.shadows else {}),
    }


def _writer(answer: ItemAnswer, result: TurnResult | None) -> str | None:
    """Return the model that wrote the reply, or the aggregator that failed to."""
    if answer.failed and result and result.attempts:
        return result.attempts[-1].slot.agent.model
    return result.model if result else None


def write_answers(answers: Answers, rows: Rows, path: Path) -> None:
    """Write the answers file, whole or not at all. Raises MoaError."""
    if path.suffix != ".parquet":
        write_rows(path, answers.in_order(rows))
        return
    import datasets  # type: ignore[import-untyped,unused-ignore]  # noqa: PLC0415 - takes 600 ms, and is for Parquet only

    datasets.disable_progress_bars()
    table: list[dict[str, Any]] = [
        # Columns of changing shape would be no table: the row's own columns stay JSON.
        {
            **{name: value for name, value in line.items() if name != "shadows"},
            **{
                name: json.dumps(line.get(name), ensure_ascii=False)
                for name in ("input", "panel", "analysis", "sources")
            },
            "replies": line.get("replies") or [],
        }
        for line in answers.in_order(rows)
    ]
    text, number, amount = (datasets.Value(kind) for kind in ("string", "int64", "float64"))
    # Named, because a column of nothing but None (no error, no known price) would have no type.
    types = {
        **dict.fromkeys(("index", "prompt_tokens", "completion_tokens"), number),
        **dict.fromkeys(("cost", "seconds"), amount),
        **dict.fromkeys(("replies", "notices"), datasets.List(text)),
        "references": datasets.List(datasets.List({"model": text, "text": text})),
    }
    columns = dict.fromkeys(name for line in table for name in line)
    features = datasets.Features({name: types.get(name, text) for name in columns})
    with replacing(path) as temporary:
        datasets.Dataset.from_list(table, features=features).to_parquet(str(temporary))
