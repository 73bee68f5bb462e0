r"""Short final answers: found in a text, and written in one way, so that equal ones can be counted.

    "…so it is\n**ANSWER:** \boxed{1,000}"  ─► answer_line ─► normalised ─► Quantity(1000)

Nothing is computed but numbers, fractions and units (`quantities`).
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from bot.text.quantities import Quantity, read_quantity

_WORD: Final = r"(?:answer|antwort|réponse|respuesta|risposta|resposta|ответ|答案|答え|回答)"
"""The word as asked for, and as models translate it."""
_LINE: Final = re.compile(
    r"^(?:[\s>*_#`~-]|</?\w{1,6}>)*+(?:\d{1,2}[.)]\s+)?[*_]*+"
    rf"(?:(?:my|the)\s+)?(?:final\s+)?{_WORD}[\s*_`]*+[:：](?:[*_`]|</\w{{1,6}}>)*+[^\S\n]*+(.*)$",
    re.IGNORECASE | re.MULTILINE,
)
_OPENING: Final = re.compile(r"(?:```\w*\n|~~~\w*\n|\$\$\s*\n|\\\[\s*\n|\s)*+")
"""What stands alone on the lines between the word and an answer below it."""
_LONGEST: Final = 500
"""Characters: a longer answer is no short one."""

_BOXED: Final = re.compile(r"\\(?:boxed|fbox)\s*(?=\{)")
_WRAPPER: Final = re.compile(r"\\(?:text|textbf|mathrm|mathbf|mathit|operatorname|mbox)\s*(?=\{)")
_FRACTION: Final = re.compile(r"\\[dtc]?frac\s*(?:\{([^{}]*)\}|(\d))\s*(?:\{([^{}]*)\}|(\d))")
_ROOT: Final = re.compile(r"\\sqrt\s*\{([^{}]*)\}")
_SPACING: Final = re.compile(r"\\(?:left|right|displaystyle|quad|qquad|[,;:! ])|~")
_COMMANDS: Final = {r"\cdot": "*", r"\times": "*", r"\div": "/", r"\%": "%", r"\$": "$", r"\circ": "°"}
_MATH: Final = re.compile(r"\\\(|\\\)|\\\[|\\\]|\$\$|\$(?=[^$\n]*\$)|(?<=\S)\$(?!\S)")

_SUPERSCRIPTS: Final = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹]+")
_MARKUP: Final = re.compile(r"(?<!\w)\*\*(?=\S)|(?<=\S)\*\*(?!\w)|`+|</?(?:b|p|strong)>")
"""Emphasis, not the powers and names of code (2**3, __init__)."""
_BRACKETED: Final = re.compile(r"^\([^()]{2,}\)$")
_EMPHASIS: Final = re.compile(r"^([*_]{1,3})(?=[^\s*_])(.*[^\s*_])\1$")
_QUOTES: Final = "\"'“”‘’«»„"
_ENDS: Final = re.compile(r"(?:[.,;:。\s]|(?<=[^\W\d]{2})!)+$")
"""Final punctuation; behind a number or a letter "!" is a factorial."""
_ARTICLE: Final = re.compile(r"^(?:the|an?)\s+(?=\S)")
_LEAD: Final = re.compile(r"^(?:option|choice|approximately|about|roughly|exactly|≈|~|=)\s*(?=\S)")
_NAMED: Final = re.compile(r"^([a-z]\w{0,2})\s*=\s*([^=]+)$")
_CHOICE: Final = re.compile(r"^(?:\(([a-z])\)|([a-z])\s*[).:])(?:\s+(\S.*))?$")
_YES_NO: Final = re.compile(r"^(yes|no)\s*[,;.:–—-]\s*([^\s\d][^\d]*)$")

_VULGAR: Final = re.compile(r"(?<=\d)\s*(?=[¼½¾⅐-⅞])")

_MONTHS: Final = {
    name: number
    for number, names in enumerate(
        ("january jan", "february feb", "march mar", "april apr", "may", "june jun", "july jul",
         "august aug", "september sep sept", "october oct", "november nov", "december dec"),
        start=1,
    )
    for name in names.split()
}  # fmt: skip
_MONTH: Final = rf"({'|'.join(_MONTHS)})\.?"
_DAY: Final = r"(\d{1,2})(?:st|nd|rd|th)?"
_WEEKDAY: Final = r"(?:(?:mon|tues|wednes|thurs|fri|satur|sun)day,?\s+)?(?:the\s+)?"
_DATE: Final = re.compile(
    rf"^{_WEEKDAY}(?:{_DAY}\s+(?:of\s+)?{_MONTH},?\s+(\d{{4}})|{_MONTH}\s+{_DAY},?\s+(\d{{4}})"
    r"|(\d{4})-(\d{1,2})-(\d{1,2}))$"
)
"""A date whose month is named, or as in ISO 8601; 3/4/2024 is one day here and another there."""


def answer_line(text: str) -> str | None:
    """Return what the last line `ANSWER: …` of a text says, None where there is none."""
    found = list(_LINE.finditer(text))
    if not found:
        return None
    answer = found[-1][1].strip()
    if not _OPENING.sub("", answer).strip("*_` "):
        # Some models write the answer below the word.
        rest = text[found[-1].start(1) :]
        answer = rest[_OPENING.match(rest).end() :].partition("\n")[0].strip()  # type: ignore[union-attr]
    return answer if answer.strip("*_` ") and len(answer) <= _LONGEST else None


def boxed_answer(text: str) -> str | None:
    r"""Return what the last \\boxed{…} of a text holds, None where there is none."""
    found = list(_BOXED.finditer(text))
    if not found:
        return None
    start = found[-1].end()
    return text[start + 1 : _closing_brace(text, start)].strip() or None


def same_answer(first: str, second: str) -> bool:
    """Return whether two answers are the same, however they are written.

    A number without a unit is the same as the number with one, as it was written: 5 and 5 km.
    """
    one, other = normalised(first), normalised(second)
    details = detail(first), detail(second)
    if all(details) and not details[0] & details[1]:
        return False
    if isinstance(one, Quantity) and isinstance(other, Quantity) and bool(one.unit) != bool(other.unit):
        return one.agrees(other) if one.unit else other.agrees(one)
    return one == other


def shown_answer(answer: str) -> str:
    """Return an answer without what only surrounds it: emphasis, a box, a formula's signs, a full stop."""
    shown = _unwrapped(_MARKUP.sub("", answer).strip(), _BOXED)
    inner = shown.strip("$").strip() if len(shown) > 1 and shown[0] == shown[-1] == "$" else shown
    inner = _unwrapped(re.sub(r"^\\[(\[]|\\[)\]]$", "", inner).strip(), _BOXED)
    return _ENDS.sub("", inner) or answer


def normalised(answer: str) -> str | Quantity:
    """Return what is the same for all ways to write an answer: a quantity where it is one, else a text."""
    text, _ = _parts(answer)
    if (quantity := read_quantity(text)) is not None:
        return quantity
    if found := _DATE.match(text):
        day, month, year = (
            (found[1], found[2], found[3]) if found[1]
            else (found[5], found[4], found[6]) if found[4]
            else (found[9], found[8], found[7])
        )  # fmt: skip
        return f"{year}-{_MONTHS.get(month) or int(month):02}-{int(day):02}"
    # In a list or a formula blanks mean nothing; between words they do.
    text = re.sub(r"\s*(?:,\s*and\s|\sand\s|[,;])\s*", ",", text)
    text = re.sub(r"\s*([-+*/^=<>(){}\[\]|:])\s*", r"\1", text)
    return re.sub(r"\s+", " ", text).strip()


def detail(answer: str) -> frozenset[str]:
    """Return the words that `normalised` leaves out: of "x = 5" the name, of "A. Paris" the text.

    Answers that are the same but for details without a common word are different: "E. coli", "E. faecalis".
    """
    return frozenset(re.findall(r"\w+", _parts(answer)[1]))


def _parts(answer: str) -> tuple[str, str]:
    """Return the part of a plain answer that is compared, and its detail or ""."""
    text, left_out = _plain(answer), ""
    if found := _NAMED.match(text):
        text, left_out = found[2].strip(), found[1]
    elif found := _YES_NO.match(text):
        return found[1], ""
    text = _LEAD.sub("", text)
    if found := _CHOICE.match(text):
        text, left_out = found[1] or found[2], found[3] or ""
    return text, left_out


def _plain(answer: str) -> str:
    """Return an answer in lower case without LaTeX, markup, quotes, articles and final punctuation."""
    text = _SUPERSCRIPTS.sub(lambda found: "^" + unicodedata.normalize("NFKC", found[0]), answer)
    text = unicodedata.normalize("NFKC", _VULGAR.sub(" ", text))
    for sign, plain in {"−": "-", "–": "-", "⁄": "/", "π": "pi"}.items():
        text = text.replace(sign, plain)
    text = re.sub(r"√\s*(\w+)", r"sqrt(\1)", text)
    text = _unwrapped(_unwrapped(text, _BOXED), _WRAPPER)
    text = _SPACING.sub(" ", text)
    for command, sign in _COMMANDS.items():
        text = re.sub(re.escape(command) + r"(?![a-zA-Z])", sign, text)
    for _ in range(3):  # nested ones, from the inside
        text = _FRACTION.sub(
            lambda found: f"{_group(found[1] or found[2])}/{_group(found[3] or found[4])}", text
        )
        text = _ROOT.sub(r"sqrt(\1)", text)
    text = _MATH.sub("", text)
    text = re.sub(r"\^\{([^{}]*)\}", r"^\1", text).replace("^°", "°").replace("\\", "")
    text = _MARKUP.sub("", text).casefold().strip().strip(_QUOTES)
    text = _ENDS.sub("", text).strip(_QUOTES + " ")
    text = (_EMPHASIS.sub(r"\2", text)).replace("**", "^")
    text = re.sub(r"^(?:minus|negative)\s+(?=[\d.$€£¥])", "-", text)
    while _BRACKETED.match(text):
        text = text[1:-1].strip()
    return _ARTICLE.sub("", text)


def _group(text: str) -> str:
    return text if re.fullmatch(r"\s*[\w.]+\s*", text) else f"({text})"


def _unwrapped(text: str, command: re.Pattern[str]) -> str:
    """Return the text with `command{…}` replaced by what stands in the braces."""
    while found := command.search(text):
        end = _closing_brace(text, found.end())
        text = text[: found.start()] + text[found.end() + 1 : end] + text[end + 1 :]
    return text


def _closing_brace(text: str, start: int) -> int:
    """Return the place of the brace that closes the one at `start`, the text's end where there is none."""
    depth = 0
    for place in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if not depth:
            return place
    return len(text)
