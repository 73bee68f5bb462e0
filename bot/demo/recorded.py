"""Recorded answers: looks up the reply to an instruction in a file.

The file is JSONL, gzipped or not, one object per line: {"instruction": text, "outputs": {key: text}},
optionally with "top_logprobs": {key: {token: log probability}} of the first token, for requests that
ask for them. The instruction is the user's whole last message.
"""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

from bot.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Recordings:
    """The recorded files of a behaviour, each read once."""

    def __init__(self) -> None:
        self._rows: dict[Path, list[dict[str, Any]]] = {}

    def answers(self, path: Path, key: str, where: str, source: str) -> dict[str, str]:
        """Return {instruction: the text recorded under `key`}; raises ConfigError."""
        rows = self._read(path, where, source)
        found = {row["instruction"]: row["outputs"].get(key) for row in rows}
        answers = {instruction: text for instruction, text in found.items() if isinstance(text, str)}
        if not answers:
            keys = sorted({str(key) for row in rows for key in row["outputs"]})
            raise ConfigError(
                f"{source}: {where}recorded_as: expected a key of the outputs in {path}, not {key!r}",
                "it holds " + (", ".join(keys) or "no outputs"),
            )
        return answers

    def top_logprobs(self, path: Path, key: str, where: str, source: str) -> dict[str, dict[str, float]]:
        """Return {instruction: the first token's log probabilities}; raises ConfigError."""
        found = {
            row["instruction"]: (row.get("top_logprobs") or {}).get(key)
            for row in self._read(path, where, source)
        }
        return {instruction: tokens for instruction, tokens in found.items() if isinstance(tokens, dict)}

    def _read(self, path: Path, where: str, source: str) -> list[dict[str, Any]]:
        if path not in self._rows:
            self._rows[path] = list(_parse(path, where, source))
        return self._rows[path]


def _parse(path: Path, where: str, source: str) -> Iterator[dict[str, Any]]:
    try:
        with (
            gzip.open(path, "rt", encoding="utf-8")
            if path.suffix == ".gz"
            else path.open(encoding="utf-8") as lines
        ):
            for number, line in enumerate(lines, start=1):
                row = json.loads(line) if line.strip() else None
                if row is None:
                    continue
                if not (
                    isinstance(row, dict)
                    and isinstance(row.get("instruction"), str)
                    and isinstance(row.get("outputs"), dict)
                ):
                    raise ConfigError(
                        f"{path}: line {number}: expected an object with instruction and outputs"
                    )
                yield row
    except (OSError, EOFError, ValueError) as error:
        raise ConfigError(f"{source}: {where}recorded: cannot read {path}: {error}") from error
