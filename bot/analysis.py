"""The comparison of a panel's answers: what they agree on, where they differ, what none of them says.

`read_analysis` makes one of any JSON value: a judge's, the store's, an imported file's. What does not fit
is coerced or left out, never an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

LISTS = ("consensus", "contradictions", "partial", "unique", "blind_spots")
"""The names of the lists, in JSON and as attributes."""

MAX_ITEMS = 20
"""Items of a list that are kept."""
MAX_POSITIONS = 8
"""Positions of a contradiction that are kept."""
MAX_TEXT = 400
"""Characters of a text that are kept."""
_MAX_READ = 200
"""Items of a list that are looked at."""
_TEXT_KEYS = ("claim", "text", "point", "insight", "position", "statement", "question", "blind_spot", "topic")
_NUMBER_KEYS = ("answers", "answer", "by", "numbers", "sources", "models")
_NOTHING = frozenset(
    {"", "none", "nothing", "n/a", "null", "none identified", "none found", "no blind spots"}
)
"""What judges write into a list that should be empty."""
_NUMBER = re.compile(r"(?<![\w.-])\d{1,4}(?![\w]|\.\d)")


@dataclass(frozen=True, slots=True)
class ComparedAnswer:
    """An answer that was compared: its place (`round` from 1, `slot` from 0) and its model."""

    round: int
    slot: int
    model: str


@dataclass(frozen=True, slots=True)
class Claim:
    """What some answers say. `answers` are their numbers, from 1; () where the judge named none."""

    text: str
    answers: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Contradiction:
    """A question that answers settle in different ways: two positions or more.

    `settled_by` is what would settle it, "" where the judge did not say.
    """

    question: str
    positions: tuple[Claim, ...]
    settled_by: str = ""


@dataclass(frozen=True, slots=True)
class Analysis:
    """A judge's comparison of the last round's answers.

    Number n in a claim is `answers[n - 1]`. `consensus` are claims of several answers, `partial` what only
    some cover, `unique` claims of one answer, `blind_spots` what no answer addresses.
    """

    answers: tuple[ComparedAnswer, ...] = ()
    consensus: tuple[Claim, ...] = ()
    contradictions: tuple[Contradiction, ...] = ()
    partial: tuple[Claim, ...] = ()
    unique: tuple[Claim, ...] = ()
    blind_spots: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Return the number of items in all lists; without any, an analysis counts as false."""
        return sum(len(getattr(self, name)) for name in LISTS)

    def claims_of(self, number: int) -> Iterator[tuple[str, str]]:
        """Yield (kind, text) of everything that answer `number` says, the kind in the singular."""
        for kind, claims in (("agreed", self.consensus), ("partial", self.partial), ("unique", self.unique)):
            yield from ((kind, claim.text) for claim in claims if number in claim.answers)
        for each in self.contradictions:
            for position in each.positions:
                if number in position.answers:
                    yield "disputed", f"{position.text} ({each.question})"

    def as_json(self) -> dict[str, Any]:
        """Return the analysis as plain JSON values."""
        return {
            "answers": [
                {"number": number, "round": each.round, "slot": each.slot, "model": each.model}
                for number, each in enumerate(self.answers, start=1)
            ],
            "consensus": [_claim_json("claim", each) for each in self.consensus],
            "contradictions": [
                {
                    "question": each.question,
                    "positions": [_claim_json("position", position) for position in each.positions],
                    "settled_by": each.settled_by,
                }
                for each in self.contradictions
            ],
            "partial": [_claim_json("claim", each) for each in self.partial],
            "unique": [
                {"claim": each.text, "answer": each.answers[0] if each.answers else None}
                for each in self.unique
            ],
            "blind_spots": list(self.blind_spots),
        }


def _claim_json(name: str, claim: Claim) -> dict[str, Any]:
    return {name: claim.text, "answers": list(claim.answers)}


def stored_analysis(value: object) -> Analysis | None:
    """Return the analysis that `as_json` made `value` of, None where it is none or has no items."""
    if not isinstance(value, dict):
        return None
    listed = value.get("answers")
    found = map(_compared_answer, listed[:_MAX_READ] if isinstance(listed, list) else ())
    answers = [each for each in found if each is not None]
    return read_analysis(value, answers) or None


def _compared_answer(value: object) -> ComparedAnswer | None:
    if not isinstance(value, dict):
        return None
    round_, slot, model = value.get("round"), value.get("slot"), value.get("model")
    if type(round_) is not int or type(slot) is not int or not isinstance(model, str):
        return None
    return ComparedAnswer(round_, slot, model)


def read_analysis(value: object, answers: Sequence[ComparedAnswer]) -> Analysis:
    """Return what of a JSON value is a comparison of these answers, as far as it is one.

    Numbers of answers that do not exist are dropped, and with them a claim that has no others. A claim of
    a single answer is `unique`, wherever it stands.
    """
    found = {_key(name): each for name, each in value.items()} if isinstance(value, dict) else {}
    count = len(answers)
    claims: dict[str, list[Claim]] = {"consensus": [], "partial": [], "unique": []}
    for name in claims:
        for claim in _claims(found.get(name), count):
            if _is_nothing(claim.text):
                continue
            single = len(claim.answers) == 1 and count > 1
            several = name == "unique" and len(claim.answers) > 1
            claims["unique" if single else "partial" if several else name].append(claim)
    kept = {name: tuple(dict.fromkeys(each))[:MAX_ITEMS] for name, each in claims.items()}
    spots = (_text(each) for each in _items(found.get("blind_spots")))
    spots = (spot for spot in spots if not _is_nothing(spot))
    return Analysis(
        answers=tuple(answers),
        contradictions=tuple(_contradictions(found.get("contradictions"), count))[:MAX_ITEMS],
        blind_spots=tuple(dict.fromkeys(filter(None, spots)))[:MAX_ITEMS],
        **kept,
    )


def _is_nothing(text: str) -> bool:
    """Return whether an item says that its list is empty. A position may well be "none"."""
    return text.casefold().strip(" .-–—()[]") in _NOTHING


def _claims(value: object, count: int) -> Iterator[Claim]:
    for item in _items(value):
        if (claim := _claim(item, count)) is not None:
            yield claim


def _claim(item: object, count: int) -> Claim | None:
    """Return an item as a claim, None where it has no text or names only answers that do not exist."""
    text = _text(item)
    named = _first(item, _NUMBER_KEYS) if isinstance(item, dict) else None
    every = set(_numbers(named))
    numbers = tuple(sorted(number for number in every if 1 <= number <= count))
    return Claim(text, numbers) if text and (numbers or not every) else None


def _contradictions(value: object, count: int) -> Iterator[Contradiction]:
    for item in _items(value):
        if not isinstance(item, dict):
            continue
        listed = _first(item, ("positions",))
        if isinstance(listed, dict) and not _text(listed):
            listed = [{"position": text, "answers": numbers} for text, numbers in listed.items()]
        positions = tuple(_claims(listed, count))[:MAX_POSITIONS]
        question = _text(_first(item, ("question", "topic", "claim", "text")))
        if question and len(positions) > 1:
            yield Contradiction(question, positions, _text(_first(item, ("settled_by",))))


def _items(value: object) -> Sequence[object]:
    if isinstance(value, list):
        return value[:_MAX_READ]
    return [value] if isinstance(value, str | dict) else ()


def _text(value: object) -> str:
    """Return a text on one line, or that of an object's first key that names one; "" where there is none."""
    if isinstance(value, dict):
        value = _first(value, _TEXT_KEYS)
    if not isinstance(value, str):
        return ""
    text = " ".join(value[: 4 * MAX_TEXT].split())
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 2].rstrip() + " …"


def _numbers(value: object) -> Iterator[int]:
    """Yield the whole numbers in a value: a number, a text such as "1 and 3", or a list of either."""
    if isinstance(value, bool):
        return
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
        yield int(value)
    elif isinstance(value, str):
        yield from map(int, _NUMBER.findall(value[:MAX_TEXT]))
    elif isinstance(value, list):
        for each in value[:_MAX_READ]:
            if not isinstance(each, list):
                yield from _numbers(each)


def _first(item: dict[Any, Any], names: Sequence[str]) -> object:
    """Return the value of the first of these keys that the object has, spelt in whatever way."""
    for name in names:
        if item.get(name) is not None:
            return item[name]
    keys = {_key(key): value for key, value in item.items()}
    return next((keys[name] for name in names if keys.get(name) is not None), None)


def _key(name: object) -> str:
    return "_".join(str(name)[:40].lower().replace("-", " ").split())
