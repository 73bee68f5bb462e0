"""Finds model services on this computer, by asking the loopback addresses of the settings.

A service counts when it answers GET /models with a list of models in time. No key is sent. Services
are only looked for with --local, for a list of all models, in a check-up (`moa-bot doctor`), and in
the guided set-up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import NamedTuple

import httpx

from bot.client.body_limit import ACCEPT_ENCODING, limit_body
from bot.client.error_mapping import LOADING
from bot.client.model_list import ModelList, read_model_list
from bot.client.retry import LOADING_SECONDS, LOADING_WAIT
from bot.client.service_data import read_json
from bot.settings.endpoints import LOCAL, EndpointConfig

TIMEOUT = 0.2
"""Seconds for each step: to connect, to send, and to wait for the next part of the answer."""
MAX_STEPS = 10
"""The whole answer may take so many times as long."""
LOADING_STEP = 5.0
"""Seconds for each step with a service that is there and loads its model, which takes the computer's time."""
_LOADING = object()
"""The answer of a service that is loading its model."""
OLLAMA, OLLAMA_PORT = "ollama", 11434


class LocalService(NamedTuple):
    """A service that answered. `tags` is Ollama's answer to GET /api/tags, decoded from JSON.

    A service that is still `loading` its model has an empty list.
    """

    endpoint: EndpointConfig
    model_list: ModelList
    tags: object = None
    loading: bool = False


async def find_services(
    endpoints: Iterable[EndpointConfig],
    seconds: float | None = None,
    *,
    tags: bool = False,
    say: Callable[[str], None] | None = None,
) -> list[LocalService]:
    """Return the services on this computer that answer, in order; `seconds` replaces `TIMEOUT`.

    Two names of one address are one service. With `tags`, Ollama is also asked for the sizes and
    families of its models. With `say`, which shows the user a line, a service that is loading its model is
    waited for, `LOADING_SECONDS` at most.
    """
    seconds = TIMEOUT if seconds is None else seconds
    by_url: dict[str, EndpointConfig] = {}
    for endpoint in endpoints:
        url = endpoint.base_url.rstrip("/")
        if url.startswith("http:") and endpoint.on_this_computer and endpoint.name != LOCAL:
            by_url.setdefault(url, endpoint)
    # Proxies of the environment are not for this computer, and no certificates are needed for http.
    async with httpx.AsyncClient(
        timeout=seconds,
        trust_env=False,
        verify=False,  # noqa: S501
        headers={"Accept-Encoding": ACCEPT_ENCODING},
        event_hooks={"response": [limit_body]},
    ) as client:

        async def get(url: str, step: float = seconds) -> object:
            """Return the answer, decoded from JSON; None without a useful one."""
            with suppress(httpx.HTTPError, TimeoutError, ValueError):
                async with asyncio.timeout(MAX_STEPS * step):
                    response = await client.get(url, timeout=step)
                if response.status_code == httpx.codes.OK:
                    return read_json(response.text)
                if response.status_code == httpx.codes.SERVICE_UNAVAILABLE and LOADING.search(response.text):
                    return _LOADING
            return None

        async def ask(url: str, endpoint: EndpointConfig) -> LocalService | None:
            is_ollama = endpoint.name == OLLAMA or httpx.URL(url).port == OLLAMA_PORT
            more = get(f"{url.removesuffix('/v1')}/api/tags") if tags and is_ollama else _nothing()
            models, details = await asyncio.gather(get(f"{url}/models"), more)
            if models is _LOADING and say is not None:
                say(f"{endpoint.name} at {url} is loading its model: waiting for it.")
                models = await _once_loaded(lambda: get(f"{url}/models", max(seconds, LOADING_STEP)))
            if models is _LOADING:
                return LocalService(endpoint, ModelList(()), loading=True)
            model_list = read_model_list(models)
            return None if model_list is None else LocalService(endpoint, model_list, details)

        found = await asyncio.gather(*(ask(url, endpoint) for url, endpoint in by_url.items()))
    return [service for service in found if service is not None]


async def _nothing() -> None:
    """Return no answer where nothing is asked."""


async def _once_loaded(get: Callable[[], Awaitable[object]]) -> object:
    """Return what a service answers once its model is loaded, `_LOADING` when that takes too long."""
    for _ in range(round(LOADING_SECONDS / LOADING_WAIT)):
        await asyncio.sleep(LOADING_WAIT)
        if (models := await get()) is not _LOADING:
            return models
    return _LOADING
