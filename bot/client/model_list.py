"""The models that a service lists: the answer to GET /models, read leniently.

Services agree on `id` and on little else, so context and price are looked for under the names that
are in use. The text is untrusted: names are sanitised. `bot.client.provider` fetches the list;
what the program itself knows of models is `bot.settings.catalogue`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bot.client.service_data import MAX_TOKENS, decimal_number, whole_number
from bot.text.sanitise import sanitise

MAX_ENTRIES = 20_000
"""Entries of one list that are read; real lists are far shorter."""

_CONTEXT = (
    # What a server on one's own computer has loaded a model with; the others are what the model can.
    "loaded_context_length",
    "n_ctx",
    "context_length",
    "max_model_len",
    "context_window",
    "max_context_length",
    "context_size",
    "n_ctx_train",
)
_MAX_CONTEXT = ("max_context_length", "n_ctx_train")
_SERVERS = {
    "llamacpp": "llamacpp",
    "library": "ollama",
    "organization_owner": "lmstudio",
    "organization-owner": "lmstudio",
    "vllm": "vllm",
}
"""The servers by what stands in their lists as the owner of a model."""
_CHAT = frozenset({"", "chat", "language", "code", "llm", "vlm", "model", "base"})
_MILLION = 1_000_000.0
_LONGEST = 200
_HIGHEST_PRICE = 1e6
"""US dollars; a higher one is a mistake of the service's."""


@dataclass(frozen=True, slots=True)
class ListedModel:
    """One model as its service lists it; None and "" where the service does not say.

    `context` in tokens, `max_context` what the model itself can, prices in US dollars per million tokens
    (`cached_input_price` for prompt tokens that the service had in its cache), `kind` such as "chat" or
    "image". `vision`: it takes images.
    """

    id: str
    context: int | None = None
    input_price: float | None = None
    output_price: float | None = None
    kind: str = ""
    cached_input_price: float | None = None
    max_context: int | None = None
    vision: bool | None = None

    @property
    def chats(self) -> bool:
        """Whether it can hold a chat, as far as the service says."""
        return self.kind in _CHAT


@dataclass(frozen=True, slots=True)
class ModelList:
    """The models of a service, sorted by name without regard to case.

    `server` is the program that serves them (llamacpp, ollama, lmstudio, vllm), "" for any other.
    """

    models: tuple[ListedModel, ...]
    server: str = ""


def read_model_list(answer: object) -> ModelList | None:
    """Return the models in a service's answer, decoded from JSON; None when it is no list of models.

    Together sends a bare list, others {"data": […]} or {"models": […]}.
    """
    entries = answer
    if isinstance(answer, Mapping):
        entries = next((answer[name] for name in ("data", "models") if name in answer), None)
    if not isinstance(entries, list):
        return None
    models = [model for entry in entries[:MAX_ENTRIES] if (model := _model(entry))]
    if entries and not models:
        return None
    owners = (entry.get("owned_by") for entry in entries if isinstance(entry, Mapping))
    server = next((_SERVERS[owner] for owner in owners if isinstance(owner, str) and owner in _SERVERS), "")
    return ModelList(tuple(sorted({model.id: model for model in models}.values(), key=_order)), server)


def _order(model: ListedModel) -> tuple[str, str]:
    return model.id.casefold(), model.id


def _model(entry: object) -> ListedModel | None:
    # Imported late: only workers read lists, while every process imports this module.
    if not isinstance(entry, Mapping):
        return None
    name = entry.get("id") or entry.get("name")
    if not isinstance(name, str) or not (name := sanitise(name[:_LONGEST], newlines=False).strip()):
        return None
    kind = entry.get("type")
    inner = [entry, *(entry[key] for key in ("metadata", "meta") if isinstance(entry.get(key), Mapping))]
    prices = next((p for part in inner if isinstance(p := part.get("pricing"), Mapping)), {})
    return ListedModel(
        name,
        _tokens(inner, _CONTEXT),
        _price(prices, "input", "prompt", "input_tokens"),
        _price(prices, "output", "completion", "output_tokens"),
        sanitise(kind[:_LONGEST], newlines=False).casefold() if isinstance(kind, str) else "",
        _price(prices, "cached_input", "input_cache_read", "cache_read_input_tokens"),
        _tokens(inner, _MAX_CONTEXT),
        _vision(entry),
    )


def _vision(entry: Mapping[str, object]) -> bool | None:
    """Return whether the entry says that the model takes images, None where it says nothing about it.

    OpenRouter: architecture.input_modalities; Mistral: capabilities.vision; Fireworks: supports_image_input;
    llama.cpp: capabilities with "multimodal"; LM Studio: type "vlm".
    """
    parts = [entry]
    parts += [part for key in ("architecture", "modalities") if isinstance(part := entry.get(key), Mapping)]
    for part in parts:
        for name in ("input_modalities", "input"):
            if isinstance(modalities := part.get(name), list):
                return "image" in modalities
    for name in ("supports_image_input", "supports_vision", "vision"):
        if isinstance(flag := entry.get(name), bool):
            return flag
    abilities = entry.get("capabilities")
    if isinstance(abilities, Mapping) and isinstance(flag := abilities.get("vision"), bool):
        return flag
    if isinstance(abilities, list) and abilities:
        return bool({"vision", "multimodal"}.intersection(map(str, abilities)))
    return True if entry.get("type") == "vlm" else None


def _tokens(parts: Sequence[Mapping[str, object]], keys: Sequence[str]) -> int | None:
    """Return the first number of tokens under one of the keys, the first key first; 0 counts as none."""
    found = (whole_number(part.get(key), MAX_TOKENS) for key in keys for part in parts)
    return next((tokens for tokens in found if tokens), None)


def _price(prices: Mapping[str, object], per_million: str, per_token: str, other: str) -> float | None:
    """Return dollars per million tokens; "prompt" and "completion" are dollars for one, often as text."""
    for name, factor in ((per_million, 1.0), (other, 1.0), (per_token, _MILLION)):
        price = decimal_number(prices.get(name))
        if price is not None and 0 <= price <= _HIGHEST_PRICE:
            return price * factor
    return None
