"""The panel behind a reply: how many models were asked in the round that was used, and who answered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

_MAX_READ = 1_000
"""Entries of a stored list that are read."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A model whose answer was not there, and why, such as "rate limited" or "cut off after 12 s"."""

    model: str
    reason: str


@dataclass(frozen=True, slots=True)
class Panel:
    """Who was asked in the round that the reply is made from, and who answered.

    `families` counts the families of the models that answered.
    """

    asked: int
    answered: int
    left_out: tuple[LeftOut, ...] = ()
    families: int = 0

    def as_json(self) -> dict[str, Any]:
        """Return the panel as plain JSON values."""
        return {
            "asked": self.asked,
            "answered": self.answered,
            "left_out": [{"model": each.model, "reason": each.reason} for each in self.left_out],
            "families": self.families,
        }


def stored_panel(value: object) -> Panel | None:
    """Return the panel that `as_json` made `value` of, None where it is none."""
    if not isinstance(value, dict):
        return None
    asked, answered, families = (value.get(name) for name in ("asked", "answered", "families"))
    listed = value.get("left_out")
    if type(asked) is not int or type(answered) is not int or type(families) is not int:
        return None
    entries = listed[:_MAX_READ] if isinstance(listed, list) else ()
    left_out = tuple(
        LeftOut(str(each.get("model")), str(each.get("reason"))) for each in entries if isinstance(each, dict)
    )
    return Panel(asked, answered, left_out, families)
