"""Names as they are shown: of services, and of models (short, on one line, different from one another)."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from bot.text.sanitise import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bot.messages import Agent


_SERVICES = {
    "together": "Together",
    "openai": "OpenAI",
    "openrouter": "OpenRouter",
    "groq": "Groq",
    "deepseek": "DeepSeek",
    "mistral": "Mistral",
    "fireworks": "Fireworks",
    "cerebras": "Cerebras",
    "deepinfra": "DeepInfra",
    "xai": "xAI",
    "moonshot": "Moonshot",
}
"""Services as they write their names themselves."""


def service_title(name: str) -> str:
    """Return how an endpoint's service writes its own name; of one that is not known, the endpoint's name."""
    return _SERVICES.get(name, name)


def short_name(model: str) -> str:
    """Return a model's name without its maker's: the part after the last slash, on one line."""
    return one_line(model.rstrip("/").rsplit("/", 1)[-1])


def slot_names(agents: Sequence[Agent]) -> list[str]:
    """Return a different short name for each slot.

    Models of the same name keep their maker's, then their endpoint's; a model that is listed
    several times is counted: "GLM-5.3 ×1", "GLM-5.3 ×2".
    """
    models = {(agent.model, agent.endpoint) for agent in agents}
    short = Counter(short_name(model) for model, _ in models)
    full = Counter(model for model, _ in models)
    names = []
    for agent in agents:
        name = short_name(agent.model)
        if short[name] > 1:
            name = one_line(agent.model)
            if full[agent.model] > 1:
                name = one_line(f"{agent.model} @ {agent.endpoint}")
        names.append(name or "unnamed")
    total = Counter(names)
    seen: Counter[str] = Counter()
    for index, name in enumerate(names):
        seen[name] += 1
        if total[name] > 1:
            names[index] = f"{name} ×{seen[name]}"
    return names
