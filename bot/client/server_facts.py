"""What servers of models on one's own computer say of their models beside the list of GET /v1/models.

    Ollama     GET /api/ps      context_length of the models that are loaded
               POST /api/show   {"model": …}: parameters (num_ctx), model_info (…context_length), capabilities
    LM Studio  GET /api/v0/models   loaded_context_length, max_context_length, type

llama.cpp's server (meta.n_ctx) and vLLM (max_model_len) say it in the list itself. Ollama cuts a prompt
that is longer than its context without saying so, which is why the context has to be known before.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

from bot.client.model_list import ListedModel, ModelList, read_model_list
from bot.client.service_data import MAX_TOKENS, whole_number

AskServer = Callable[[str, Mapping[str, object] | None], Awaitable[object]]
"""Asks a path of the server, with a body for POST; returns decoded JSON, None without a useful answer."""

OLLAMA_CONTEXT = 4096
"""Tokens of context that Ollama gives a model which says nothing else, on most computers."""
_MOST_SHOWN = 40
"""How many models Ollama is asked about, at most."""
_NUM_CTX = re.compile(r"^num_ctx\s+(\d+)\s*$", re.MULTILINE)


async def add_server_facts(model_list: ModelList, ask: AskServer) -> ModelList:
    """Return the list with the contexts and kinds that the server tells elsewhere."""
    if model_list.server == "ollama":
        return await _of_ollama(model_list, ask)
    if model_list.server == "lmstudio":
        more = read_model_list(await ask("/api/v0/models", None))
        known = {model.id: model for model in more.models} if more else {}
        models = (_merged(model, known.get(model.id)) for model in model_list.models)
        return replace(model_list, models=tuple(models))
    return model_list


def _merged(model: ListedModel, more: ListedModel | None) -> ListedModel:
    if more is None:
        return model
    return replace(
        model, context=more.context, max_context=more.max_context, kind=more.kind, vision=more.vision
    )


async def _of_ollama(model_list: ModelList, ask: AskServer) -> ModelList:
    asked = model_list.models[:_MOST_SHOWN]
    running, *shown = await asyncio.gather(
        ask("/api/ps", None), *(ask("/api/show", {"model": model.id}) for model in asked)
    )
    loaded = _loaded(running)
    models = [_of_show(model, facts, loaded) for model, facts in zip(asked, shown, strict=True)]
    return replace(model_list, models=(*models, *model_list.models[_MOST_SHOWN:]))


def _loaded(running: object) -> dict[str, int]:
    """Return the context of each loaded model by name, from the answer to GET /api/ps."""
    entries = running.get("models") if isinstance(running, Mapping) else None
    found: dict[str, int] = {}
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, Mapping) and isinstance(name := entry.get("name"), str):
            tokens = whole_number(entry.get("context_length"), MAX_TOKENS)
            if tokens:
                found[name] = tokens
    return found


def _of_show(model: ListedModel, facts: object, loaded: Mapping[str, int]) -> ListedModel:
    """Return the model with what the answer to POST /api/show says of it."""
    if not isinstance(facts, Mapping):
        return replace(model, context=loaded.get(model.id, model.context))
    info, parameters = facts.get("model_info"), facts.get("parameters")
    info = info if isinstance(info, Mapping) else {}
    longest = next(
        (
            tokens
            for name, value in info.items()
            if str(name).endswith(".context_length") and (tokens := whole_number(value, MAX_TOKENS))
        ),
        None,
    )
    set_to = _NUM_CTX.search(parameters[:10_000]) if isinstance(parameters, str) else None
    context = loaded.get(model.id) or (whole_number(set_to[1], MAX_TOKENS) if set_to else None)
    if context is None:
        context = longest if facts.get("remote_host") else min(OLLAMA_CONTEXT, longest or OLLAMA_CONTEXT)
    abilities = facts.get("capabilities")
    chats = not isinstance(abilities, list) or not abilities or "completion" in abilities
    vision = "vision" in abilities if isinstance(abilities, list) and abilities else None
    kind = model.kind if chats else "embedding"
    return replace(model, context=context, max_context=longest, kind=kind, vision=vision)
