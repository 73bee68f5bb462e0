"""Names as they are shown: of services, and of models (short, on one line, different from one another)."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from bot.text.sanitise import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

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


_FAMILY = re.compile(
    r"(?<![a-z])(?:claude|command|deepseek|devstral|ernie|falcon|gemini|gemma|glm|gpt|granite|grok|hermes|hunyuan"
    r"|jamba|kimi|llama|magistral|minimax|ministral|mistral|mixtral|nemotron|nova|olmo|o[134](?![a-z0-9])|phi"
    r"|qwen|qwq|seed|smollm|solar|step|yi)(?![a-z])"
)
_ONE_FAMILY = {
    **dict.fromkeys(("devstral", "magistral", "ministral", "mixtral"), "mistral"),
    **dict.fromkeys(("o1", "o3", "o4"), "gpt"),
    "qwq": "qwen",
}
"""Names of one maker's family of models."""


def service_title(name: str) -> str:
    """Return how an endpoint's service writes its own name; of one that is not known, the endpoint's name."""
    return _SERVICES.get(name, name)


def short_name(model: str) -> str:
    """Return a model's name without its maker's: the part after the last slash, on one line."""
    return one_line(model.rstrip("/").rsplit("/", 1)[-1])


def family_of(model: str) -> str:
    """Return the family of a model by its name, such as "qwen"; one that is not known is its own family."""
    bare = model.lower().rstrip("/").rpartition("/")[2]
    found = _FAMILY.search(bare)
    return _ONE_FAMILY.get(found[0], found[0]) if found else bare


def same_family(models: Iterable[str]) -> tuple[str, ...]:
    """Return the different models of the largest family that has several of these, () where none has.

    A model that is listed several times is meant to be asked several times, and counts once.
    """
    families: dict[str, list[str]] = {}
    for model in dict.fromkeys(models):
        families.setdefault(family_of(model), []).append(model)
    largest = max(families.values(), key=len, default=[])
    return tuple(largest) if len(largest) > 1 else ()


def slot_names(agents: Sequence[Agent]) -> list[str]:
    """Return a different short name for each slot.

    Models of the same name keep their maker's, then their endpoint's; a model that is listed
    several times is numbered: "GLM-5.3 #1", "GLM-5.3 #2".
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
            names[index] = f"{name} #{seen[name]}"
    return names
