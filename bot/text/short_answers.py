r"""Short final answers: found in a text, and written in one way, so that equal ones can be counted.

    "…so it is\n**ANSWER:** \boxed{1,000}"  ─► answer_line ─► normalised ─► Quantity(1000)

Nothing is computed but numbers, fractions and units of the table below.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Final

_LINE: Final = re.compile(
    r"^[\s>*_#`~-]*(?:(?:my|the)\s+)?(?:final\s+)?answer[\s*_`]*[:：][*_`]*[^\S\n]*(.*)$",
    re.IGNORECASE | re.MULTILINE,
)
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
_MARKUP: Final = re.compile(r"\*\*|__|`+")
_BRACKETED: Final = re.compile(r"^\([^()]{2,}\)$")
_QUOTES: Final = "\"'“”‘’«»„"
_ENDS: Final = ".,;:!。"
_ARTICLE: Final = re.compile(r"^(?:the|an?)\s+(?=\S)")
_LEAD: Final = re.compile(r"^(?:option|choice|approximately|about|roughly|exactly|≈|~|=)\s*(?=\S)")
_NAMED: Final = re.compile(r"^[a-z]\w{0,2}\s*=\s*([^=]+)$")
_CHOICE: Final = re.compile(r"^(?:\(([a-z])\)|([a-z])\s*[).:])(?:\s+\S.*)?$")
_YES_NO: Final = re.compile(r"^(yes|no)\s*[,;.:–—-]\s*\S.*$")

_DIGITS: Final = r"(?:\d{1,3}(?:[,_'’ ]\d{3})+|\d+)?(?:\.\d+)?"
_POWER: Final = r"(?:\s*[*×x]\s*10\s*\^\s*\{?\s*([+-]?\d{1,3})\s*\}?|e([+-]?\d{1,3}))?"
_AMOUNT: Final = re.compile(
    rf"^([$€£¥]?)\s*([+-]?)\s*([$€£¥]?)\s*(?=[.\d])({_DIGITS}){_POWER}"
    rf"(?:\s*/\s*({_DIGITS})(?!\d))?\s*-?\s*([^\d\s*/^=+<>(),-][^\d=+<>(),]*(?:\^?[23])?)?$"
)
_WORDS: Final = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
                 "eleven", "twelve")  # fmt: skip

_UNITS: Final[dict[str, tuple[str, Fraction]]] = {
    alias: (base, Fraction(factor))
    for base, factor, aliases in (
        ("m", "1", "m meter metre"),
        ("m", "1000", "km kilometer kilometre"),
        ("m", "0.01", "cm centimeter centimetre"),
        ("m", "0.001", "mm millimeter millimetre"),
        ("m", "1609.344", "mi mile"),
        ("m", "0.3048", "ft foot feet"),
        ("m", "0.0254", "in inch inches"),
        ("g", "1", "g gram gramme"),
        ("g", "1000", "kg kilogram kilo"),
        ("g", "0.001", "mg milligram"),
        ("g", "1000000", "t ton tonne"),
        ("s", "1", "s sec second"),
        ("s", "0.001", "ms millisecond"),
        ("s", "60", "min minute"),
        ("s", "3600", "h hr hour"),
        ("s", "86400", "d day"),
        ("s", "604800", "week wk"),
        ("year", "1", "y yr year"),
        ("l", "1", "l liter litre"),
        ("l", "0.001", "ml milliliter millilitre"),
        ("m/s", "1", "m/s"),
        ("m/s", "5/18", "km/h kph kmh"),
        ("m^2", "1", "m^2 m2 sqm"),
        ("m^3", "1", "m^3 m3"),
        ("°", "1", "° deg degree"),
        ("°c", "1", "°c celsius °celsius c"),
        ("°f", "1", "°f fahrenheit °fahrenheit f"),
        ("k", "1", "k kelvin"),
        ("%", "1", "% percent pct"),
        ("$", "1", "$ dollar usd"),
        ("$", "0.01", "cent ¢"),
        ("€", "1", "€ euro eur"),
        ("£", "1", "£ gbp"),
        ("¥", "1", "¥ yen jpy"),
        ("j", "1", "j joule"),
        ("n", "1", "n newton"),
        ("w", "1", "w watt"),
        ("v", "1", "v volt"),
        ("a", "1", "a amp ampere"),
        ("hz", "1", "hz hertz"),
    )
    for alias in aliases.split()
}


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number with its unit in the table's base, or an unknown unit by its name; "" without one.

    `written` is the number as it was written, before a unit was converted.
    """

    value: Fraction
    unit: str = ""
    written: Fraction = field(default=Fraction(0), compare=False)

    def agrees(self, bare: Quantity) -> bool:
        """Return whether a number without a unit may mean this quantity."""
        return bare.value == self.written


def answer_line(text: str) -> str | None:
    """Return what the last line `ANSWER: …` of a text says, None where there is none."""
    found = list(_LINE.finditer(text))
    if not found:
        return None
    answer = found[-1][1].strip()
    if not answer.strip("*_` "):
        # Some models write the answer below the word.
        rest = text[found[-1].end() :].strip()
        answer = rest.partition("\n")[0].strip()
    return answer if answer.strip("*_` ") and len(answer) <= _LONGEST else None


def shown_answer(answer: str) -> str:
    """Return an answer without what only surrounds it: emphasis, a box, a formula's signs, a full stop."""
    shown = _unwrapped(_MARKUP.sub("", answer).strip(), _BOXED)
    inner = shown.strip("$").strip() if len(shown) > 1 and shown[0] == shown[-1] == "$" else shown
    inner = _unwrapped(re.sub(r"^\\[(\[]|\\[)\]]$", "", inner).strip(), _BOXED)
    return inner.rstrip(_ENDS + " ") or answer


def normalised(answer: str) -> str | Quantity:
    """Return what is the same for all ways to write an answer: a quantity where it is one, else a text."""
    text = _plain(answer)
    for pattern in (_NAMED, _CHOICE, _YES_NO):
        if found := pattern.match(text):
            text = next(group for group in found.groups() if group).strip()
    text = _LEAD.sub("", text)
    if found := _CHOICE.match(text):
        text = found[1] or found[2]
    if text in _WORDS:
        return Quantity(Fraction(_WORDS.index(text)), written=Fraction(_WORDS.index(text)))
    quantity = _quantity(text)
    if quantity is not None:
        return quantity
    # In a list or a formula blanks mean nothing; between words they do.
    text = re.sub(r"\s*(?:,\s*and\s|\sand\s|[,;])\s*", ",", text)
    text = re.sub(r"\s*([-+*/^=<>(){}\[\]|])\s*", r"\1", text)
    return re.sub(r"\s+", " ", text).strip()


def _plain(answer: str) -> str:
    """Return an answer in lower case without LaTeX, markup, quotes, articles and final punctuation."""
    text = _SUPERSCRIPTS.sub(lambda found: "^" + unicodedata.normalize("NFKC", found[0]), answer)
    text = unicodedata.normalize("NFKC", text).replace("−", "-").replace("–", "-")
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
    text = _MARKUP.sub("", text).casefold().strip().strip(_QUOTES).rstrip(_ENDS).strip(_QUOTES + "*_ ")
    while _BRACKETED.match(text):
        text = text[1:-1].strip()
    return _ARTICLE.sub("", text)


def _group(text: str) -> str:
    return text if re.fullmatch(r"\s*[\w.]+\s*", text) else f"({text})"


def _unwrapped(text: str, command: re.Pattern[str]) -> str:
    """Return the text with `command{…}` replaced by what stands in the braces."""
    while found := command.search(text):
        depth, end = 0, len(text)
        for place in range(found.end(), len(text)):
            depth += {"{": 1, "}": -1}.get(text[place], 0)
            if not depth:
                end = place
                break
        text = text[: found.start()] + text[found.end() + 1 : end] + text[end + 1 :]
    return text


def _quantity(text: str) -> Quantity | None:
    found = _AMOUNT.match(text)
    if not found:
        return None
    before, sign, inside, digits, power, exponent, divisor, unit = found.groups()
    number = _number(digits)
    below = _number(divisor) if divisor else Fraction(1)
    if number is None or not below:
        return None
    number = number / below * Fraction(10) ** int(power or exponent or 0)
    number = -number if sign == "-" else number
    name = " ".join((unit or before or inside or "").split())
    base, factor = _unit(name)
    return Quantity(number * factor, base, number)


def _number(digits: str) -> Fraction | None:
    try:
        return Fraction(re.sub(r"[,_'’ ]", "", digits))
    except ValueError:
        return None


def _unit(name: str) -> tuple[str, Fraction]:
    """Return a unit's base and factor; one that is not in the table stands for itself, in the singular."""
    name = name.removesuffix(".").replace("per cent", "percent")
    name = name.replace("degrees ", "°").replace("° ", "°")
    for form in (name, name.removesuffix("s"), name.removesuffix("es")):
        if form in _UNITS:
            return _UNITS[form]
    return (name.removesuffix("s") if len(name) > 2 else name), Fraction(1)  # noqa: PLR2004
