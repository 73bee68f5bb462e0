"""How amounts are written for people: money, durations and counts. One format each, used everywhere.

Files and JSON hold the plain numbers instead.
"""

from __future__ import annotations

_SMALLEST = 0.0001  # dollars
_MINUTE, _HOUR = 60, 3600  # seconds
_THOUSAND, _MILLION = 1000, 1_000_000


def money(dollars: float | None, unknown: int = 0) -> str:
    """Write US dollars: "$1,204.50", "$3.20", "$0.031", "$0.0183"; "cost unknown" for None.

    Below a dollar there are three significant digits. A "+" at the end says that `unknown` amounts
    are not included.
    """
    if dollars is None:
        return "cost unknown"
    if dollars == 0:
        text = "$0"
    elif dollars < _SMALLEST:
        text = f"<${_SMALLEST}"
    elif dollars >= 1:
        text = f"${dollars:,.2f}"
    else:
        whole, _, decimals = f"{dollars:.3g}".partition(".")
        text = f"${whole}.{decimals:0<2}"
    return text + ("+" if unknown else "")


def duration(seconds: float) -> str:
    """Write seconds: "6.0 s" (an int without tenths: "6 s"), "2 min 05 s", "1 h 02 min"."""
    whole = round(seconds)
    if round(seconds, 1) < _MINUTE:
        return f"{whole} s" if isinstance(seconds, int) else f"{seconds:.1f} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE:02d} s"
    minutes = round(seconds / _MINUTE)
    return f"{minutes // _MINUTE:,} h {minutes % _MINUTE:02d} min"


def plural(count: int, noun: str, nouns: str = "") -> str:
    """Write "1 answer", "5 answers"; `nouns` is the plural where it is not `noun` with an s."""
    return f"{count:,} {noun if count == 1 else nouns or f'{noun}s'}"


def compact(count: int) -> str:
    """Write a count in few characters: "640", "12k", "1M", "1.5M"."""
    if count < _THOUSAND:
        return str(count)
    thousands = round(count / _THOUSAND)
    if thousands < _THOUSAND:
        return f"{thousands}k"
    return f"{count / _MILLION:.1f}".removesuffix(".0") + "M"
