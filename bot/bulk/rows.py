"""Rows with prompts: read from JSONL, CSV, Parquet, text or a data set, through `datasets`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bot.bulk.journal import digest
from bot.errors import UsageError
from bot.messages import Message

if TYPE_CHECKING:
    from bot.method.plan import Plan

COLUMNS = ("prompt", "instruction", "question", "text", "turns", "messages")
"""Columns that prompts are looked for in when none is named, in this order."""
_KINDS = {
    ".jsonl": "json",
    ".json": "json",
    ".ndjson": "json",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
    ".txt": "text",
}
_PACKED = (".gz", ".bz2", ".xz", ".zst")


@dataclass(frozen=True, slots=True)
class PromptRow:
    """A row: its place in the file (from 0), its columns, and the prompts in it, turns of a conversation.

    `history` is what was said before them; `system` is the row's own system prompt, "" for none.
    """

    index: int
    columns: Mapping[str, Any]
    turns: tuple[str, ...]
    history: tuple[Message, ...] = ()
    system: str = ""

    @property
    def digest(self) -> str:
        """What the row asks, as 32 hex digits: an answer belongs to it, not to its place alone."""
        if self.history or self.system:
            before = [[message.role, message.content] for message in self.history]
            return digest([self.system, before, list(self.turns)])
        return digest(list(self.turns))

    def plan_for(self, plan: Plan) -> Plan:
        """Return the plan with the row's own system prompt."""
        return replace(plan, system=self.system) if self.system else plan


class Rows:
    """The rows of a source, in order; iterable any number of times, memory-mapped, never all in memory.

    `source` is a file, or the name of a data set on the hub. Raises UsageError for what cannot be
    read, for a column that is not there, and, while iterating, for a row without a prompt.
    """

    def __init__(
        self,
        source: str,
        *,
        column: str | None = None,
        split: str = "train",
        subset: str | None = None,
        limit: int | None = None,
    ) -> None:
        self.source = source
        self._rows = load_table(source, split, subset)
        self._count = len(self._rows) if limit is None else min(limit, len(self._rows))
        self.column = prompt_column(list(self._rows.column_names), column)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[PromptRow]:
        for index, columns in enumerate(self._rows.select(range(self._count))):
            yield self._row(index, columns)

    def asks(self, index: int, digest: str) -> bool:
        """Return whether the row at this index, within the limit or beyond it, asks what the digest says."""
        try:
            return 0 <= index < len(self._rows) and self._row(index, self._rows[index]).digest == digest
        except UsageError:
            return False

    def _row(self, index: int, columns: Mapping[str, Any]) -> PromptRow:
        return read_row(self.source, index, columns, self.column)


def read_row(source: str, index: int, columns: Mapping[str, Any], column: str) -> PromptRow:
    """Return the row at `index` (from 0) with its prompts from this column. Raises UsageError without any."""
    value = columns.get(column)
    turns = [value] if isinstance(value, str) else value
    if isinstance(turns, Sequence) and turns and all(isinstance(t, str) and t.strip() for t in turns):
        return PromptRow(index, columns, tuple(turns))
    if isinstance(turns, Sequence) and turns and all(isinstance(t, Mapping) for t in turns):
        try:
            return _row_of_messages(index, columns, turns)
        except (KeyError, TypeError, ValueError) as error:
            reason = f"{error}" if isinstance(error, ValueError) else "no role and content"
            raise UsageError(f"{source}: row {index + 1}: column {column}: {reason}.") from error
    raise UsageError(
        f"{source}: row {index + 1}: expected a prompt (or a list of prompts or messages) in column {column}."
    )


def _row_of_messages(index: int, columns: Mapping[str, Any], messages: Sequence[Any]) -> PromptRow:
    """Return the row of a conversation in the OpenAI API's form, whose last prompts are to be answered.

    A reply of the assistant at its end, as in data for training, is not part of what is asked. Raises
    KeyError, TypeError or ValueError for what is no such conversation.
    """
    known: list[Message] = []
    system: list[str] = []
    for message in messages:
        text = _text_of(message["content"])
        if message["role"] in {"system", "developer"} and not known:
            system.append(text)
        elif message["role"] == "user":
            known.append(Message("user", text))
        elif message["role"] == "assistant" and text.strip():
            known.append(Message("assistant", text))
        else:
            raise ValueError(f"a message of the role {message['role']!r} without text, or in this place")
    while known and known[-1].role == "assistant":
        known.pop()
    start = len(known)
    while start and known[start - 1].role == "user":
        start -= 1
    turns = tuple(message.content for message in known[start:])
    if not turns or not all(turn.strip() for turn in turns):
        raise ValueError("no prompt of the user")
    return PromptRow(index, columns, turns, tuple(known[:start]), "\n\n".join(filter(None, system)))


def _text_of(content: object) -> str:
    """Return a message's content: text, or parts of type "text" (joined), "" for none."""
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, Sequence) or any(part["type"] != "text" for part in content):
        raise ValueError("only text can be sent")
    return "".join(str(part["text"]) for part in content)


def load_table(source: str, split: str, subset: str | None) -> Any:
    """Return a file, or a data set on the hub, as a data set. Raises UsageError for what cannot be read."""
    import datasets  # type: ignore[import-untyped]  # noqa: PLC0415 - takes 600 ms, and is for data sets only

    datasets.disable_progress_bars()
    file = Path(source).expanduser()
    kind = kind_of(file)
    is_file = file.is_file()
    if is_file and kind is None:
        raise UsageError(f"{source}: its name says no kind that is known ({', '.join(_KINDS)}).")
    if not is_file and (kind is not None or file.is_absolute()):
        raise UsageError(f"{source}: there is no such file.")
    try:
        if not is_file:
            return datasets.load_dataset(source, subset, split=split)
        if kind == "text":
            lines = datasets.load_dataset(kind, data_files=str(file.absolute()), split="train")
            return lines.select([number for number, line in enumerate(lines["text"]) if line.strip()])
        more = {"delimiter": _delimiter(file)} if kind == "csv" else {}
        return datasets.load_dataset(kind, data_files=str(file.absolute()), split="train", **more)
    except Exception as error:  # `datasets` raises whatever its readers raise
        reason = " ".join(str(error.__cause__ or error).split())[:300]
        raise UsageError(f"{source}: cannot be read: {reason or type(error).__name__}") from error


def csv_delimiter(text: str) -> str:
    """Return what separates the columns of CSV, by its first line: a comma, else a semicolon or a tab."""
    header = re.sub(r'"[^"]*"', "", text.partition("\n")[0])
    return next((sign for sign in (",", ";", "\t") if sign in header), ",")


def _delimiter(file: Path) -> str:
    if ".tsv" in file.suffixes:
        return "\t"
    if file.suffix.lower() != ".csv":
        return ","  # packed
    with file.open(encoding="utf-8-sig", errors="replace") as lines:
        return csv_delimiter(lines.readline())


def kind_of(file: Path) -> str | None:
    """Return the kind of a file by its name, such as "json", None where the name says none."""
    suffixes = [suffix.lower() for suffix in file.suffixes]
    if suffixes and suffixes[-1] in _PACKED:
        suffixes.pop()
    return _KINDS.get(suffixes[-1]) if suffixes else None


def prompt_column(columns: Sequence[str], wanted: str | None) -> str:
    """Return the column of the prompts: the one wanted, or a usual one, or the only one.

    Raises UsageError when there is none.
    """
    candidates = COLUMNS if wanted is None else (wanted,)
    for name in candidates:
        if name in columns:
            return name
    if wanted is None and len(columns) == 1:
        return columns[0]
    hint = f"It has: {', '.join(columns)}."
    if wanted is None:
        raise UsageError("Which column holds the prompts? Name it with --column.", hint=hint)
    raise UsageError(f"--column: there is no column {wanted}.", hint=hint)
