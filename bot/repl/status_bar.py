"""The bottom bar: which mixture answers, in which conversation, and what has been used so far."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.cells import cell_len

from bot.method.context import estimate_tokens
from bot.text.names import short_name
from bot.text.numbers import compact, money, plural
from bot.text.sanitise import one_line
from bot.text.wrap import cut_cells

if TYPE_CHECKING:
    from prompt_toolkit.formatted_text import StyleAndTextTuples

    from bot.repl.chat_context import ChatContext

HELP = "/help"
_SEPARATOR = " · "
_TITLE, _SHORTEST_TITLE = 24, 6
_WIDE = 60
"""From this width on, "/help" is always shown."""


def status_bar(chat: ChatContext, width: int) -> StyleAndTextTuples:
    """Return the bar for a window of `width` cells; in a narrow one the less important parts are left out."""
    reserved = len(HELP) + 2 if width >= _WIDE else 0
    text = _SEPARATOR.join(_fitting_parts(chat, width - 2 - reserved))
    gap = width - 2 - cell_len(text) - len(HELP)
    end = " " * gap + HELP if gap > 1 else ""
    return [("class:bottom-toolbar.text", f" {text}{end}")]


def _fitting_parts(chat: ChatContext, width: int) -> list[str]:
    """Return the parts that fit into `width` cells, in the order in which they are shown."""
    left = width + len(_SEPARATOR)
    fitting: dict[int, str] = {}
    for position, part in _parts_by_priority(chat):
        if position == _CONVERSATION:
            longest = min(_TITLE, left - len(_SEPARATOR))
            part = cut_cells(part, longest) if longest >= _SHORTEST_TITLE else part  # noqa: PLW2901 - the same part, cut
        needed = cell_len(part) + len(_SEPARATOR)
        if needed <= left:
            left -= needed
            fitting[position] = part
    return [fitting[position] for position in sorted(fitting)]


_PRESET, _MIXTURE, _FILES, _CONVERSATION, _CONTEXT, _COST = range(6)


def _parts_by_priority(chat: ChatContext) -> list[tuple[int, str]]:
    """Return (position in the bar, text) of every part, the most important first."""
    plan, settings = chat.session.mixture.plan, chat.settings
    slots = max((len(layer) for layer in plan.layers), default=0)
    rounds = f" × {len(plan.layers)}" if len(plan.layers) > 1 else ""
    references = f" ← {slots}{rounds}" if slots else " alone"
    conversation = chat.session.conversation
    used = sum(estimate_tokens(message.content) for message in chat.session.history)
    context = chat.app.models.context_length(plan.aggregator)
    parts = [
        (_MIXTURE, f"{short_name(plan.aggregator.model)}{references}"),
        (_FILES, f"{len(chat.files)} attached" if chat.files else ""),
        (
            _CONTEXT,
            f"{compact(used)} of {compact(context)}"
            if context
            else plural(used, "token")
            if used == 1
            else f"{compact(used)} tokens",
        ),
        (_COST, _cost(chat)),
        (_PRESET, settings.preset_label),
        (_CONVERSATION, one_line(conversation.title) if conversation else "new conversation"),
    ]
    return [(position, text) for position, text in parts if text]


def _cost(chat: ChatContext) -> str:
    spent = chat.spent
    if not spent.tokens:
        return ""
    if spent.unpriced and not spent.dollars:
        return "cost unknown"
    return money(spent.dollars, spent.unpriced)
