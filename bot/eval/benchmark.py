"""What the three benchmarks have in common: what they ask, what the judge is asked, how means are made.

    items ──► (the mixture answers every turn) ──► answer_row ──► answers file
      │                                                 │
      └────────────── judge_requests(item, answers) ◄───┘
                              │
                     (the judge answers) ──► judgment ──► judgments file ──► score

Answers and judgments are kept as rows of the official tools' own files, so that one `score` reads
what was just judged and what others published. Nothing is run here; see `stages`.
"""

from __future__ import annotations

import math
import random
import re
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, ClassVar, Generic, Literal, TypedDict, TypeVar

from bot.bulk.files import Row
from bot.eval.official_data import DataError, OfficialData
from bot.messages import Completion, Message

Stage = Literal["generate", "judge", "score"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One thing to answer: `turns` are the user's prompts of one conversation, in order.

    `temperature` and `max_tokens` are what the benchmark prescribes for its answers, None where it
    leaves them to the model.
    """

    id: str
    turns: tuple[str, ...]
    temperature: float | None = None
    max_tokens: int | None = None

    @property
    def stratum(self) -> str:
        """The part of the benchmark that it belongs to: its category, say."""
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeRequest:
    """One question to the judge.

    `row` holds the columns of the judgments file that are known before the judge answers.
    `top_logprobs` is how many of the first token's likeliest tokens are wanted with their log
    probabilities (0: none). `reversed_messages` is the same question with the answers in the other
    order: it is asked too, if there is one.
    """

    messages: tuple[Message, ...]
    temperature: float
    max_tokens: int
    row: Row
    top_logprobs: int = 0
    reversed_messages: tuple[Message, ...] = ()


@dataclass(frozen=True, slots=True)
class Judgment:
    """What the judge's words mean. `row` is the line for the official judgments file.

    `score` is the benchmark's own number, or None when the words could not be read; `reason` then
    says why. A row without a score is written too, and counted as left out when scores are made.
    """

    score: float | None
    row: Row
    reason: str = ""


ItemT = TypeVar("ItemT", bound=Item)


def stratified(items: Sequence[ItemT], limit: int, seed: int) -> list[ItemT]:
    """Return `limit` items in their order: a random sample with as much of each stratum as the set has of it.

    With the same seed, a smaller sample is part of a larger one. The numbers by stratum are the
    proportional ones, rounded up or down.
    """
    generator = random.Random(seed)  # noqa: S311 - no secret
    strata: dict[str, list[int]] = defaultdict(list)
    for place, item in enumerate(items):
        strata[item.stratum].append(place)
    ranked = []
    for places in strata.values():
        drawn = generator.sample(places, len(places))
        ranked += [((rank + generator.random()) / len(drawn), place) for rank, place in enumerate(drawn)]
    return [items[place] for place in sorted(place for _, place in sorted(ranked)[:limit])]


class Benchmark(ABC, Generic[ItemT]):
    """A benchmark over its data, which is read when it is first needed.

    `whole` is how many judgments the official set has. `answers_file` and `judgments_file` are the
    official names of the files within a run's folder (`.json` is one list, `.jsonl` a row a line;
    `{model}` stands for the name of the mixture). `default_judge` is the model that the official
    figures were judged by, with `judge_temperature` and `judge_max_tokens`; `reads_logprobs`: it reads
    log probabilities. Any method may raise `DataError`.
    """

    name: ClassVar[str]
    whole: ClassVar[int]
    default_judge: ClassVar[str]
    judge_temperature: ClassVar[float]
    judge_max_tokens: ClassVar[int]
    reads_logprobs: ClassVar[bool] = False
    answers_file: ClassVar[str]
    judgments_file: ClassVar[str]

    def __init__(self, data: OfficialData) -> None:
        self.data = data

    def answers_path(self, model: str) -> str:
        """Return the path of the answers file of a model, from the run's folder."""
        return self.answers_file.replace("{model}", re.sub(r"[^\w.+-]+", "-", model))

    @abstractmethod
    def load(self, stages: Collection[Stage]) -> None:
        """Read all data that the stages need, before money is spent."""

    @abstractmethod
    def items(self, limit: int | None = None) -> list[ItemT]:
        """Return the benchmark's items in their official order, the first `limit` of them."""

    @abstractmethod
    def answer_row(self, item: ItemT, answers: tuple[str, ...], model: str) -> Row:
        """Return the answers to an item as a line of the official file."""

    @abstractmethod
    def judge_requests(
        self, item: ItemT, answers: tuple[str, ...], model: str, *, by_text: bool = False
    ) -> list[JudgeRequest]:
        """Return what the judge is to be asked about one answer to each of the item's turns.

        `by_text`: the judge has no log probabilities; for a benchmark that needs none it is the same.
        """

    @abstractmethod
    def judgment(
        self,
        request: JudgeRequest,
        completion: Completion,
        judge: str,
        reversed_completion: Completion | None = None,
    ) -> Judgment:
        """Read the judge's answer, or both of its answers; `judge` is the name that signs the row."""

    @abstractmethod
    def jury_row(self, rows: Sequence[Row], jury: str) -> Row:
        """Return the judgment that is the mean of several judges' scored judgments of the same answer."""

    @abstractmethod
    def verdict(self, score: float) -> int:
        """Return the verdict in a judgment's score, by which judges agree or do not: a side, or a grade."""

    @abstractmethod
    def score(self, rows: Iterable[Row], expected: int | None = None) -> dict[str, Any]:
        """Return the figures of judgment rows as JSON; `expected` judgments, None: a whole benchmark's."""


def fill(template: str, values: Mapping[str, str]) -> str:
    """Put the values in the place of their `{name}`; every other brace stays as it is.

    The official prompts, which hold JSON of their own, have to be rebuilt byte for byte: a template
    language or `str.format` would read their other braces. All values are put in at once, so that
    braces within a value (a model's answer, say) are never placeholders.
    """
    names = "|".join(re.escape(name) for name in values)
    return re.sub(rf"\{{({names})\}}", lambda match: values[match[1]], template)


K = TypeVar("K")


def latest_rows(
    rows: Iterable[Row], key: Callable[[Row], K], kind: str, unit: str
) -> tuple[dict[K, Row], list[str]]:
    """Return the last row under each key, and a note if there were others.

    `kind` is what a row should be, `unit` what its key stands for. Raises DataError for a row that
    `key` finds to be something else (KeyError, TypeError, ValueError).
    """
    latest: dict[K, Row] = {}
    repeated = 0
    for number, row in enumerate(rows, 1):
        try:
            place = key(row)
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"row {number} is no {kind}: {error!r}") from error
        repeated += place in latest
        latest[place] = row
    return latest, [f"{repeated} repeated rows: the last one of each {unit} counts"] if repeated else []


def not_comparable(
    altered: Sequence[str], judged: str, judges: Iterable[str], official_judge: str
) -> list[str]:
    """Return notes on why figures cannot be compared with published ones; none when they can.

    `altered` are files that are not the official ones, `judged` says what part of the set is judged
    ("" when all of it is).
    """
    reasons = [f"{key} is not the official file" for key in altered]
    if judged:
        reasons.append(f"{judged} are judged")
    others = sorted({*judges} - {official_judge})
    if others:
        reasons.append(f"the judge is {', '.join(others)}, not the official one")
    return [f"not comparable with published figures: {reason}" for reason in reasons]


Z = NormalDist().inv_cdf(0.975)
"""Standard errors from a mean to the ends of its 95 % confidence interval, with many observations."""


class Figure(TypedDict):
    """A mean of `n` scores and its standard error; None where there is nothing to make it from."""

    score: float | None
    standard_error: float | None
    n: int


def figure(groups: Iterable[Sequence[float]]) -> Figure:
    """Return the plain mean of all scores; its standard error allows for similarity within a group.

    A group is what belongs together: the turns of a question, the skills of an answer. With one
    score in each the error is the usual one, standard deviation over the square root of n.
    """
    filled = [group for group in groups if group]
    count = sum(len(group) for group in filled)
    if not count:
        return Figure(score=None, standard_error=None, n=0)
    mean = math.fsum(score for group in filled for score in group) / count
    if len(filled) == 1:
        return Figure(score=mean, standard_error=None, n=count)
    sums = [math.fsum(score - mean for score in group) for group in filled]
    spread = math.fsum(each * each for each in sums) * len(filled) / (len(filled) - 1)
    return Figure(score=mean, standard_error=math.sqrt(spread) / count, n=count)


def interval(
    groups: Iterable[Sequence[float]], lowest: float = 0.0, highest: float = 1.0
) -> list[float] | None:
    """Return the 95 % confidence interval of the mean of scores between `lowest` and `highest`.

    Wilson's score interval, with the number of independent right/wrong answers that would have the
    error of `figure`, and Student's t for the number of groups: so it stays within the scale and is
    lopsided near its ends. None with fewer than two groups.
    """
    filled = [group for group in groups if group]
    found = figure(filled)
    mean, error, degrees = found["score"], found["standard_error"], len(filled) - 1
    if mean is None or error is None:
        return None
    # Student's quantile from the normal one: Abramowitz and Stegun 26.7.5, two terms.
    t = Z + (Z**3 + Z) / (4 * degrees) + (5 * Z**5 + 16 * Z**3 + 3 * Z) / (96 * degrees**2)
    width = highest - lowest
    share, error = (mean - lowest) / width, error / width
    n = share * (1 - share) / error**2 if error else float(len(filled))
    centre = (share + t * t / (2 * n)) / (1 + t * t / n)
    half = t / (1 + t * t / n) * math.sqrt(max(0.0, share * (1 - share)) / n + t * t / (4 * n * n))
    return [lowest + width * max(0.0, centre - half), lowest + width * min(1.0, centre + half)]


def figures_by_name(
    groups: Iterable[tuple[str, Sequence[float]]], order: Sequence[str] = ()
) -> dict[str, Figure]:
    """Return the figure of each name's groups: names as in `order`, then the others sorted."""
    by_name: dict[str, list[Sequence[float]]] = defaultdict(list)
    for name, group in groups:
        by_name[name].append(group)
    names = [name for name in order if name in by_name] + sorted(by_name.keys() - set(order))
    return {name: figure(by_name[name]) for name in names}
