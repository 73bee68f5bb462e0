"""Questions of one's own: rows of a file, or of a data set on the hub, with their targets.

A row has a prompt (or several turns, or `messages` as in the OpenAI API), a target or several, an id, a group
of questions that belong together; which columns these are, `--columns` can say.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bot.bulk.rows import PromptRow, kind_of, load_table, prompt_column, read_row
from bot.errors import UsageError
from bot.eval.benchmark import Item
from bot.eval.official_data import DataError, read_rows

if TYPE_CHECKING:
    from bot.method.plan import Plan

_USUAL = {
    "target": ("target", "answer", "expected", "ideal", "label"),
    "id": ("id",),
    "group": ("group", "category", "subject"),
}
"""Columns that are looked for where `--columns` names none, in this order."""
_ROLES = ("prompt", "messages", *_USUAL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question(Item):
    """A question with its targets, which are alternatives. `row` has the conversation before it."""

    row: PromptRow
    targets: tuple[str, ...] = ()
    group: str = ""

    @property
    def stratum(self) -> str:
        """Its group: of each, a sample has its share."""
        return self.group

    def plan_for(self, plan: Plan) -> Plan:
        """Return the plan with the row's own system prompt."""
        return self.row.plan_for(plan)


def read_columns(text: str | None) -> dict[str, str]:
    """Read "prompt=question,target=answer" as {"prompt": "question", …}. Raises UsageError."""
    found: dict[str, str] = {}
    for part in filter(str.strip, (text or "").split(",")):
        role, equals, column = (each.strip() for each in part.partition("="))
        if not equals or not column or role not in _ROLES:
            raise UsageError(
                f"--columns: expected {'=…, '.join(_ROLES)}=…, found {part.strip()}",
                hint="Such as: --columns prompt=question,target=answer",
            )
        found[role] = column
    if "prompt" in found and "messages" in found:
        raise UsageError("--columns: expected either prompt or messages, not both")
    return found


def load_questions(
    source: str, columns: Mapping[str, str], *, split: str = "test", subset: str | None = None
) -> list[Question]:
    """Return the questions of a source in their order. Raises UsageError for what cannot be read.

    An id that no column names is the row's number, from 1.
    """
    rows = _rows(source, split, subset)
    if not rows:
        raise UsageError(f"{source}: there are no questions in there.")
    names = list(dict.fromkeys(name for row in rows for name in row))
    for role, column in columns.items():
        if column not in names:
            raise UsageError(
                f"--columns {role}={column}: there is no such column.", hint=f"It has: {', '.join(names)}."
            )
    prompts = prompt_column(names, columns.get("prompt") or columns.get("messages"))
    place = {
        role: columns.get(role) or next((name for name in usual if name in names and name != prompts), None)
        for role, usual in _USUAL.items()
    }
    questions, seen = [], set()
    for index, values in enumerate(rows):
        row = read_row(source, index, values, prompts)
        name = _text(values.get(place["id"] or "")) or str(index + 1)
        if name in seen:
            raise UsageError(f"{source}: row {index + 1}: another row has the id {name} as well.")
        seen.add(name)
        group = _text(values.get(place["group"] or ""))
        targets = tuple(_targets(values.get(place["target"] or "")))
        questions.append(Question(id=name, turns=row.turns, row=row, targets=targets, group=group))
    return questions


def _rows(source: str, split: str, subset: str | None) -> list[dict[str, Any]]:
    """Return the rows of a source; JSON lines and CSV as they are, without types that columns must have."""
    file = Path(source).expanduser()
    plain = kind_of(file) == "json" or (kind_of(file) == "csv" and ".tsv" not in file.suffixes)
    if file.is_file() and plain and file.suffix not in {".bz2", ".xz", ".zst"}:
        try:
            return read_rows(file)
        except DataError as error:
            raise UsageError(error.message, hint=error.hint) from None
    return list(load_table(source, split, subset))


def _targets(value: object) -> Iterator[str]:
    """Yield the alternatives that a target is: the items of a list, else one text."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        for each in value:
            yield from (
                _targets(each) if not isinstance(each, Sequence) or isinstance(each, str) else [_text(each)]
            )
    elif text := _text(value):
        yield text


def _text(value: object) -> str:
    """Return a value of a column as text: JSON for what is no text, "" for nothing."""
    if value is None or isinstance(value, str):
        return (value or "").strip()
    return json.dumps(value, ensure_ascii=False, default=str)
