"""The bottom bar: which mixture answers, in which conversation, and what has been used so far."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bot.context import estimate_tokens
from bot.render import phrases

if TYPE_CHECKING:
    from prompt_toolkit.formatted_text import StyleAndTextTuples

    from bot.repl.room import Room

HELP = "/help"


def bar(room: Room, width: int) -> StyleAndTextTuples:
    """Return the bar for a window of `width` cells: what does not fit is left out, from the right."""
    from rich.cells import cell_len

    shown = ""
    for part in _parts(room):
        longer = f"{shown} · {part}" if shown else part
        if cell_len(longer) + 2 > width:
            break
        shown = longer
    gap = width - cell_len(shown) - len(HELP) - 3
    end = " " * gap + HELP if gap > 0 else ""
    return [("class:bottom-toolbar.text", f" {shown} {end}")]


def _parts(room: Room) -> list[str]:
    plan, settings = room.session.mixture.plan, room.settings
    seats = max((len(layer) for layer in plan.layers), default=0)
    rounds = f" × {len(plan.layers)}" if len(plan.layers) > 1 else ""
    mixture = f"{phrases.short_name(plan.aggregator.model)} ← {seats}{rounds}"
    parts = [settings.preset.name, mixture]
    if room.files:
        parts.append(f"{len(room.files)} attached")
    conversation = room.session.conversation
    parts.append(_cut(phrases.one_line(conversation.title)) if conversation else "new conversation")
    used = sum(estimate_tokens(message.content) for message in room.session.history)
    context = room.program.models.context(plan.aggregator)
    parts.append(f"{_thousands(used)} of {_thousands(context)}" if context else f"{_thousands(used)} tokens")
    if room.spent.tokens:
        more = "+" if room.spent.unpriced else ""
        parts.append(
            phrases.money(room.spent.dollars) + more if room.spent.dollars or not more else "cost unknown"
        )
    return parts


def _thousands(tokens: int) -> str:
    return str(tokens) if tokens < 1000 else f"{tokens / 1000:.0f}k"  # noqa: PLR2004 - k means a thousand


def _cut(title: str) -> str:
    return title if len(title) <= 24 else title[:23] + "…"  # noqa: PLR2004 - leaves room for the rest
