"""Numbers with their units, read from plain texts and brought to one unit of a kind.

    "1,000 m", "1 km", "10^3 metres"  ─► Quantity(1000, "m")

The texts are those of short answers: in lower case, without markup.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Final

_DIGITS: Final = r"(?:\d{1,3}(?:[,_'’ ]\d{3})+|\d+)?(?:\.\d+)?"
_POWER: Final = r"(?:\s*[*×x·⋅]\s*10\s*\^\s*\{?\s*([+-]?\d{1,3})\s*\}?|e([+-]?\d{1,3}))?"
_CURRENCY: Final = r"((?:us)?[$]|[€£¥₹]|(?:usd|eur|gbp|jpy|inr|chf)(?=[\s\d-]))?"
_AMOUNT: Final = re.compile(
    rf"^{_CURRENCY}\s*([+-]?)\s*{_CURRENCY}\s*(?:(\d{{1,9}})\s+(?=\d+\s*/))?(?=[.\d])({_DIGITS}){_POWER}"
    rf"(?:\s*/\s*({_DIGITS})(?!\d))?(?:\s*(thousand|million|billion|trillion)\b)?"
    r"(?:\s*-?\s*([^\d\s*/^=+<>(),!-][^\d=+<>(),]*(?:\^?[23])?))?$"
)
_SCALES: Final = {"thousand": 3, "million": 6, "billion": 9, "trillion": 12}
_ONES: Final = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"
    " seventeen eighteen nineteen"
)
_TENS: Final = "twenty thirty forty fifty sixty seventy eighty ninety"
_WORDS: Final = {
    **{word: number for number, word in enumerate(_ONES.split())},
    **{word: 10 * number for number, word in enumerate(_TENS.split(), start=2)},
}

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
        ("m/s", "0.44704", "mph"),
        ("m^2", "1", "m^2 m2 sqm sqmeter sqmetre"),
        ("m^3", "1", "m^3 m3 cbmeter cbmetre"),
        ("°", "1", "° deg degree"),
        ("°c", "1", "°c celsius °celsius c"),
        ("°f", "1", "°f fahrenheit °fahrenheit f"),
        ("k", "1", "k kelvin"),
        ("%", "1", "% percent pct"),
        ("$", "1", "$ dollar usd us$"),
        ("$", "0.01", "cent ¢"),
        ("€", "1", "€ euro eur"),
        ("£", "1", "£ gbp"),
        ("¥", "1", "¥ yen jpy"),
        ("₹", "1", "₹ rupee inr"),
        ("j", "1", "j joule"),
        ("n", "1", "n newton"),
        ("w", "1", "w watt"),
        ("v", "1", "v volt"),
        ("a", "1", "a amp ampere"),
        ("hz", "1", "hz hertz"),
    )
    for alias in aliases.split()
}
_SPELT: Final = {"per cent": "percent", "degrees ": "°", "° ": "°", "miles per hour": "mph",
                 "square met": "sqmet", "cubic met": "cbmet"}  # fmt: skip


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


def read_quantity(text: str) -> Quantity | None:
    """Return the number, with its unit, that a plain text in lower case is, else None."""
    if (word := _WORDS.get(text)) is not None:
        return Quantity(Fraction(word), written=Fraction(word))
    found = _AMOUNT.match(text)
    if not found:
        return None
    before, sign, inside, whole, digits, power, exponent, divisor, scale, unit = found.groups()
    number = _number(digits)
    below = _number(divisor) if divisor else Fraction(1)
    if number is None or not below:
        return None
    number = number / below * Fraction(10) ** (int(power or exponent or 0) + _SCALES.get(scale, 0))
    number += int(whole or 0)
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
    name = name.removesuffix(".")
    for spelt, short in _SPELT.items():
        name = name.replace(spelt, short)
    for form in (name, name.removesuffix("s"), name.removesuffix("es")):
        if form in _UNITS:
            return _UNITS[form]
    return (name.removesuffix("s") if len(name) > 2 else name), Fraction(1)  # noqa: PLR2004
