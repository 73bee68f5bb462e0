"""The bottom bar: which mixture answers, in which conversation, and what has been used so far."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bot.method.context import estimate_tokens
from bot.text.names import short_name
from bot.text.numbers import compact, money
from bot.text.sanitise import one_line

if TYPE_CHECKING:
    from prompt_toolkit.formatted_text import StyleAndTextTuples

    from bot.repl.chat_context import ChatContext

HELP = "/help"
_BETWEEN = " · "
_TITLE, _SHORTEST_TITLE = 24, 6
_WIDE = 60
"""Cells from which on there is always room for the way to the help."""


def bar(chat: ChatContext, width: int) -> StyleAndTextTuples:
    """Return the bar for a window of `width` cells: what matters least is left out where it is narrow."""
    from rich.cells import cell_len

    log_sink = len(HELP) + 2 if width >= _WIDE else 0
    shown = _BETWEEN.join(_chosen(chat, width - 2 - log_sink))
    gap = width - 2 - cell_len(shown) - len(HELP)
    end = " " * gap + HELP if gap > 1 else ""
    return [("class:bottom-toolbar.text", f" {shown}{end}")]


def _chosen(chat: ChatContext, width: int) -> list[str]:
    """Return the parts that fit into `width` cells, in the order in which they are shown."""
    from rich.cells import cell_len

    from bot.text.wrap import cut_cells

    left = width + len(_BETWEEN)
    kept: dict[int, str] = {}
    for place, part in _by_weight(chat):
        if place == _CONVERSATION:
            room_left = min(_TITLE, left - len(_BETWEEN))
            part = cut_cells(part, room_left) if room_left >= _SHORTEST_TITLE else part  # noqa: PLW2901 - the same part, cut
        cost = cell_len(part) + len(_BETWEEN)
        if cost <= left:
            left -= cost
            kept[place] = part
    return [kept[place] for place in sorted(kept)]


_PRESET, _MIXTURE, _FILES, _CONVERSATION, _CONTEXT, _COST = range(6)


def _by_weight(chat: ChatContext) -> list[tuple[int, str]]:
    """Return (place in the bar, text) of every part, the weightiest first."""
    plan, settings = chat.session.mixture.plan, chat.settings
    slots = max((len(layer) for layer in plan.layers), default=0)
    rounds = f" × {len(plan.layers)}" if len(plan.layers) > 1 else ""
    conversation = chat.session.conversation
    used = sum(estimate_tokens(message.content) for message in chat.session.history)
    context = chat.app.models.context_length(plan.aggregator)
    parts = [
        (_MIXTURE, f"{short_name(plan.aggregator.model)} ← {slots}{rounds}"),
        (_FILES, f"{len(chat.files)} attached" if chat.files else ""),
        (_CONTEXT, f"{compact(used)} of {compact(context)}" if context else f"{compact(used)} tokens"),
        (_COST, _cost(chat)),
        (_PRESET, settings.preset.name),
        (_CONVERSATION, one_line(conversation.title) if conversation else "new conversation"),
    ]
    return [(place, text) for place, text in parts if text]


def _cost(chat: ChatContext) -> str:
    spent = chat.spent
    if not spent.tokens:
        return ""
    if spent.unpriced and not spent.dollars:
        return "cost unknown"
    return money(spent.dollars, spent.unpriced)
