"""What can be computed from a prompt: sums, counts of letters and words, and dates.

The result depends on the prompt alone, not on the day.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Iterator
from datetime import date
from fractions import Fraction
from typing import Final

from bot.demo.chat_reader import words_in
from bot.text.numbers import plural

_MAX_CHARS: Final = 5_000
_MAX_VALUE: Final = 10**30
_MAX_POWER: Final = 64
_MAX_SUM_LENGTH: Final = 80
_NUMBER: Final = r"[( ]{0,6}\d{1,15}(?:\.\d{1,9})?\){0,4}"
_SUM: Final = re.compile(rf"{_NUMBER}(?: ?(?:\*\*|[+*\u00d7\u00f7^]) ?{_NUMBER}| [-\u2212/] {_NUMBER})+")
_WORDS: Final = (("plus", "+"), ("minus", " - "), ("times", "*"), ("divided by", " / "))
_PERCENT: Final = re.compile(r"\b(\d{1,12}(?:\.\d{1,6})?)\s?(?:%|percent) of (\d{1,12}(?:\.\d{1,6})?)")
_LETTER: Final = re.compile(
    r"\bhow many (?:letters? |times )?[\"'\u201c\u2018`]?(\w)[\"'\u201d\u2019`]?(?:['\u2019]?s)?"
    r"(?: letters?)?(?: are)?(?: there)?(?: appear| occur)?s? in (?:the word )?[\"'\u201c\u2018`]?(\w{2,60})",
    re.IGNORECASE,
)
_MONTH_NAMES: Final = "january february march april may june july august september october november december"
_MONTHS: Final = _MONTH_NAMES.split()
DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_DATE: Final = re.compile(
    r"\b(?P<iso>\d{4}-\d\d-\d\d)\b"
    rf"|\b(?P<day>\d{{1,2}}) (?P<month>{'|'.join(_MONTHS)}) (?P<year>\d{{4}})\b"
    rf"|\b(?P<month2>{'|'.join(_MONTHS)}) (?P<day2>\d{{1,2}}),? (?P<year2>\d{{4}})\b",
    re.IGNORECASE,
)
_OPERATIONS: Final[dict[type[ast.operator], Callable[[Fraction, Fraction], Fraction]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


class _UnsupportedError(Exception):
    """A sum that is too large, or not a sum."""


def exact_facts(prompt: str) -> list[str]:
    """Return what can be computed from the prompt, one short line each; often none."""
    start = " ".join(prompt[:_MAX_CHARS].split())
    return [*_sums(start), *_letters(start), *_dates(start)][:6]


def size_of(prompt: str) -> str:
    """Return a sentence with the numbers of words, lines and letters of the prompt."""
    words = words_in(prompt)
    letters = sum(map(len, words))
    lines = prompt.count("\n") + 1
    longest = max(words, key=len, default="")
    suffix = f", the longest of them “{longest[:40]}”" if longest else ""
    size = f"{plural(len(words), 'word')} in {plural(lines, 'line')}"
    return f"The prompt has {size} and {letters:,} letters{suffix}."


def _sums(text: str) -> Iterator[str]:
    for part, whole in _PERCENT.findall(text):
        yield f"{part} % of {whole} = {_shown(Fraction(part) * Fraction(whole) / 100)}"
    text = _DATE.sub("|", text)
    for word, sign in _WORDS:
        text = re.sub(rf"(?<=\d)\s+{word}\s+(?=\d)", sign, text)
    for match in _SUM.finditer(text):
        written = " ".join(match.group().split())
        if len(written) <= _MAX_SUM_LENGTH:
            python = (
                written.replace("\u00d7", "*")
                .replace("\u00f7", "/")
                .replace("^", "**")
                .replace("\u2212", "-")
            )
            shown = python.replace("**", " ^ ").replace("*", " \u00d7 ").replace("+", " + ")
            try:
                value = _value(ast.parse(python, mode="eval").body)
                yield f"{' '.join(shown.split())} = {_shown(value)}"
            except (SyntaxError, ZeroDivisionError, _UnsupportedError):
                continue


def _value(node: ast.expr) -> Fraction:
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return Fraction(str(node.value))
    if isinstance(node, ast.BinOp):
        left, right = _value(node.left), _value(node.right)
        if isinstance(node.op, ast.Pow):
            if right.denominator != 1 or not 0 <= right <= _MAX_POWER or abs(left) > _MAX_VALUE:
                raise _UnsupportedError
            value = left ** int(right)
        elif type(node.op) in _OPERATIONS:
            value = _OPERATIONS[type(node.op)](left, right)
        else:
            raise _UnsupportedError
        if abs(value.numerator) <= _MAX_VALUE and value.denominator <= _MAX_VALUE:
            return value
    raise _UnsupportedError


def _shown(value: Fraction) -> str:
    if value.denominator == 1:
        return f"{value.numerator:,}"
    rounded = round(value, 6)
    return ("" if rounded == value else "about ") + f"{float(rounded):,.6f}".rstrip("0").rstrip(".")


def _letters(text: str) -> Iterator[str]:
    for letter, word in _LETTER.findall(text):
        count = word.casefold().count(letter.casefold())
        yield f"“{word}” holds the letter “{letter}” {plural(count, 'time')} among its {len(word)} letters."


def _dates(text: str) -> Iterator[str]:
    days = list(dict.fromkeys(day for match in _DATE.finditer(text) if (day := _date_of(match))))
    if len(days) == 2:  # noqa: PLR2004 - a distance has two ends
        yield f"From {min(days)} to {max(days)} it is {plural(abs((days[1] - days[0]).days), 'day')}."
    for day in days:
        yield f"{day} is a {DAYS[day.weekday()]}."


def _date_of(match: re.Match[str]) -> date | None:
    try:
        if match["iso"]:
            return date.fromisoformat(match["iso"])
        month = _MONTHS.index((match["month"] or match["month2"]).lower()) + 1
        return date(int(match["year"] or match["year2"]), month, int(match["day"] or match["day2"]))
    except ValueError:
        return None
