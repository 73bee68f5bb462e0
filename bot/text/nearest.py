"""The name that was probably meant by one that does not exist."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_LONGEST = 60  # characters of a mistyped name that are compared


def nearest_name(name: str, names: Iterable[str]) -> str:
    """Return the one of `names` that `name` was probably meant to be, "" when none is like it."""
    from difflib import get_close_matches  # noqa: PLC0415 - for mistakes only

    return next(iter(get_close_matches(name[:_LONGEST], list(names), n=1)), "")


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Return "Did you mean rounds? " with the name that is most like `name`, "" when none is."""
    near = nearest_name(name, names)
    return f"Did you mean {near}? " if near else ""


def expected_names(name: str, names: Sequence[str]) -> str:
    """Return "did you mean rounds?" for a key that does not exist, or all the keys that do."""
    near = nearest_name(name, names)
    return f"did you mean {near}?" if near else "expected one of " + ", ".join(names)


def nearest_model(name: str, names: Iterable[str]) -> str:
    """Return the model among `names` that is most like `name`, "" when none is.

    Capitals do not count, and the maker's name (before the last slash) counts for little. `name`
    itself is never returned: it may be listed and yet not be served.
    """
    known: dict[str, str] = {}
    for each in names:
        if each != name:
            known.setdefault(_without_maker(each), each)
            known[each.lower()] = each
    near = nearest_name(name.lower(), known) or nearest_name(_without_maker(name), known)
    return known[near] if near else ""


def _without_maker(name: str) -> str:
    return name.rpartition("/")[2].lower()
