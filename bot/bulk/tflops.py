"""How much arithmetic a query takes: the paper's stand-in for latency where services differ.

Two operations per active parameter and token; the models of a layer run side by side, so a layer
costs what its largest member costs. Sizes are read off the models' names, as the paper's are
published in them; where a name says nothing, nothing is guessed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from bot.events import Call

_ACTIVE = re.compile(r"(?<![a-z])a(\d+(?:\.\d+)?)b(?![a-z])", re.IGNORECASE)
_WHOLE = re.compile(r"(?<![a-z\d.])(\d+(?:\.\d+)?)b(?![a-z])", re.IGNORECASE)
_EXPERTS = {"8x22b": 39.0, "8x7b": 12.9, "dbrx": 36.0}
"""Billions of active parameters of mixtures of experts whose names do not say them."""


def active_parameters(model: str) -> float | None:
    """Return a model's active parameters in billions, as its name says them; None where it does not."""
    name = model.lower()
    for part, billions in _EXPERTS.items():
        if part in name:
            return billions
    found = _ACTIVE.search(name) or _WHOLE.search(name)
    return float(found[1]) if found else None


def tflops(layers: Sequence[Sequence[Call]]) -> float | None:
    """Return the teraflops of a turn, layer after layer; None when a size or a token count is unknown."""
    total = 0.0
    for layer in layers:
        largest = 0.0
        for call in layer:
            if call.completion is None:
                continue
            billions, usage = active_parameters(call.slot.agent.model), call.completion.usage
            if billions is None or usage.prompt_tokens is None or usage.completion_tokens is None:
                return None
            largest = max(largest, 2 * billions * (usage.prompt_tokens + usage.completion_tokens) / 1000)
        total += largest
    return total
