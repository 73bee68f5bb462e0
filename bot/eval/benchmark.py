"""What the three benchmarks have in common, as their runner sees them. Nothing is run here.

    items ──► (the mixture answers every turn) ──► answer_row ──► answers file
      │                                                 │
      └────────────── judge_requests(item, answers) ◄───┘
                              │
                     (the judge answers) ──► judgment ──► judgments file ──► score

Answers and judgments are kept as rows of the official tools' own files, so that one `score` reads
what was just judged and what others published. Everything here is plain and picklable.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from bot.messages import Completion, Message

Stage = Literal["generate", "judge", "score"]
Row = dict[str, Any]
"""One line of an official file, as JSON."""


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to answer: `turns` are the user's prompts of one conversation, in order.

    `temperature` and `max_tokens` are what the benchmark prescribes for its answers, None where it
    leaves them to the model. `meta` holds the benchmark's own columns (category, dataset, …).
    """

    id: str
    turns: tuple[str, ...]
    temperature: float | None = None
    max_tokens: int | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class JudgeRequest:
    """One question to the judge. `key` is unique within a benchmark; `item` is the item's id.

    `top_logprobs` is how many of the first token's likeliest tokens are wanted with their log
    probabilities (0: none). `meta` is for `judgment`, which is handed the same request.
    """

    key: str
    item: str
    messages: tuple[Message, ...]
    temperature: float
    max_tokens: int
    top_logprobs: int = 0
    meta: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Judgment:
    """What the judge's words mean. `row` is the line for the official judgments file.

    `score` is the benchmark's own number, or None when the words could not be read; `reason` then
    says why. A row without a score is written too, and counted as left out when scores are made.
    """

    key: str
    item: str
    score: float | None
    row: Row
    reason: str = ""


class Benchmark(Protocol):
    """A benchmark over its data, which is read when it is first needed.

    `answers_file` and `judgments_file` are the official names of the files within a run's folder
    (see `files.write_rows`: `.json` is one list, `.jsonl` a row a line). `default_judge` is the
    model that the official figures were judged by. Any method may raise `DataError`.
    """

    name: str
    title: str
    default_judge: str
    answers_file: str
    judgments_file: str

    def prepare(self, stages: Collection[Stage]) -> Mapping[str, str]:
        """Read all data that the stages need, before money is spent; sha256 by name of each file."""
        ...

    def items(self, limit: int | None = None) -> list[Item]:
        """Return the benchmark's items in their official order, the first `limit` of them."""
        ...

    def answer_row(self, item: Item, answers: tuple[str, ...], model: str, at: float) -> Row:
        """Return the answers to an item as a line of the official file; `at` in seconds since 1970."""
        ...

    def judge_requests(self, item: Item, answers: tuple[str, ...], model: str) -> list[JudgeRequest]:
        """Return what the judge is to be asked about one answer to each of the item's turns."""
        ...

    def judgment(self, request: JudgeRequest, completion: Completion, judge: str, at: float) -> Judgment:
        """Read the judge's answer."""
        ...

    def score(self, rows: Iterable[Row], expected: int | None = None) -> dict[str, Any]:
        """Return the figures of judgment rows as JSON; `expected` judgments, None: a whole benchmark's."""
        ...


def known_as(judge: str, official: str) -> str:
    """Return the official judge's name for it at any endpoint (`x:gpt-4`, `openai/gpt-4`), else `judge`."""
    return official if judge.endswith((f":{official}", f"/{official}")) else judge
