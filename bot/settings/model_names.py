"""Names of models as users write them: "MODEL", "MODEL*N", "ENDPOINT:MODEL", several with commas, "none"."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

MAX_TIMES = 64
NONE = "none"
"""Instead of a list of models: no model."""


def parse_model(text: str) -> str:
    """Return the one model that `text` names, trimmed. ValueError says what it is instead."""
    name = text.strip()
    if not name:
        raise ValueError("an empty model name")
    if not name.isprintable():
        raise ValueError("a model name with control characters")
    if "," in name or "*" in name:
        raise ValueError(f'"{name}"')
    return name


def parse_models(items: str | Iterable[str]) -> tuple[str, ...]:
    """Return the models in order, each as often as it is listed: ("a", "b", "b") for "a, b*2".

    `items` is a text with commas, or several such texts; "none" alone is no model at all. ValueError says
    what is wrong.
    """
    texts = (items,) if isinstance(items, str) else items
    models = tuple(model for text in texts for item in text.split(",") for model in _times(item))
    if NONE not in map(str.lower, models):
        return models
    if len(models) > 1:
        raise ValueError('"none" beside other models')
    return ()


def _times(item: str) -> tuple[str, ...]:
    name, star, count = item.rpartition("*")
    if not star:
        return (parse_model(item),)
    count = count.strip()
    if not (count.isascii() and count.isdigit() and len(count) <= len(str(MAX_TIMES))):
        count = "0"
    if not 1 <= int(count) <= MAX_TIMES:
        shown = item.strip() if item.isprintable() else "?"
        raise ValueError(f'"{shown}" (MODEL*N takes an N from 1 to {MAX_TIMES})')
    return (parse_model(name),) * int(count)


def split_endpoint(spec: str, known: Container[str]) -> tuple[str, str]:
    """Return (endpoint, model) of "ENDPOINT:MODEL"; the endpoint is "" unless `known` has it.

    "qwen3:8b" is a model's name. ValueError when no model follows a known endpoint.
    """
    prefix, colon, model = spec.partition(":")
    if not colon or prefix not in known:
        return "", spec
    if not model.strip():
        raise ValueError(f'"{prefix}:" without a model')
    return prefix, model.strip()


def join_models(models: Iterable[str]) -> str:
    """Return a list of models as one text that `parse_models` reads: "a, b*2", "none"."""
    runs: list[tuple[str, int]] = []
    for model in models:
        if runs and runs[-1][0] == model and runs[-1][1] < MAX_TIMES:
            runs[-1] = (model, runs[-1][1] + 1)
        else:
            runs.append((model, 1))
    return ", ".join(model if times == 1 else f"{model}*{times}" for model, times in runs) or NONE
