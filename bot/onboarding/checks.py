"""The checks of `moa-bot doctor`, in the order in which one thing needs another.

    versions ─ configuration ─ keys ─ endpoints ─ models ─ terminal ─ store ─ log ─ proxies

Each check is told as soon as it is done. What fails is told and does not stop the rest; where the
settings themselves cannot be read, the checks that need them are left out.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import TYPE_CHECKING

from bot.app.make_plan import make_plan
from bot.errors import Failure, FailureKind, KeyMissingError, MoaError, UsageError
from bot.onboarding.machine import Check, Verdict, broken, fine, machine_checks, note, proxies, versions
from bot.onboarding.services import open_services
from bot.settings.endpoints import LOCAL
from bot.text.numbers import duration, money, plural

if TYPE_CHECKING:
    from bot.app.streams import Streams
    from bot.client.model_list import ModelList
    from bot.messages import Agent, Completion
    from bot.onboarding.services import Services
    from bot.settings.settings import Settings


async def run_checks(
    settings: Settings | MoaError,
    streams: Streams,
    *,
    calls: bool = True,
    environ: Mapping[str, str] = os.environ,
) -> AsyncIterator[Check]:
    """Yield every check. `settings` may be the error that there are none; `calls` lets models be asked."""
    yield versions()
    sound = False
    if isinstance(settings, MoaError):
        advice = f"{settings.hint} Mend it: moa-bot config edit".strip()
        yield broken("configuration", settings.message, advice)
    else:
        found = list(_configuration(settings))
        sound = all(check.verdict is not Verdict.BROKEN for check in found)
        for check in found:
            yield check
        if sound:
            async for check in _services(settings, environ, calls=calls):
                yield check
            yield await _nearby(settings)
    for check in machine_checks(streams, environ):
        yield check
    if sound and not isinstance(settings, MoaError):
        yield proxies(settings, environ)


def _configuration(settings: Settings) -> Iterator[Check]:
    file = settings.config_file
    yield fine("configuration", str(file) if file.exists() else f"the defaults; {file} is not there")
    name = f"preset {settings.preset.name}"
    try:
        plan = make_plan(settings)
    except UsageError as error:
        yield broken("mixture", f"{name}: {error.message}", error.hint or "Change it: moa-bot config show")
        return
    slots = max((len(layer) for layer in plan.layers), default=0)
    said = f"{name}: {slots} × {plan.rounds} → {plan.aggregator.model}"
    for sentence in settings.notices():
        yield note("mixture", said, sentence)
        return
    yield fine("mixture", said)


async def _services(settings: Settings, environ: Mapping[str, str], *, calls: bool) -> AsyncIterator[Check]:
    async with open_services(settings, environ) as services:
        settings = services.settings
        agents = _different(settings)
        usable = []
        for name in dict.fromkeys(agent.endpoint for agent in agents):
            check = _key(settings, name, environ)
            yield check
            if check.verdict is Verdict.FINE:
                usable.append(name)
        lists = await asyncio.gather(*(services.models(name) for name in usable))
        reached = dict(zip(usable, lists, strict=True))
        for name, answer in reached.items():
            yield _endpoint(settings, name, answer, agents)
        asked = [agent for agent in agents if agent.endpoint in reached and calls]
        async for check in _models(services, asked):
            yield check


async def _nearby(settings: Settings) -> Check:
    """Tell which services listen on this computer, used or not."""
    from bot.local.discovery import look

    found = await look(settings.endpoints.values())
    if not found:
        return fine("this computer", "no service of models answers here")
    said = [
        f"{service.endpoint.name} at {service.endpoint.base_url},"
        f" {plural(len(service.model_list.models), 'model')}"
        for service in found
    ]
    return fine("this computer", "; ".join(said))


def _different(settings: Settings) -> list[Agent]:
    """Return every model of the mixture once, whatever slots it has."""
    agents = make_plan(settings).agents()
    return list({(agent.endpoint, agent.model): agent for agent in agents}.values())


def _key(settings: Settings, name: str, environ: Mapping[str, str]) -> Check:
    config = settings.endpoints[name]
    try:
        settings.endpoint(name, environ)
        place = config.key_place(environ)
    except (KeyMissingError, UsageError) as error:
        return broken(f"key of {name}", error.message, error.hint)
    return fine(f"key of {name}", place or "none is needed")


def _endpoint(settings: Settings, name: str, answer: ModelList | Failure, agents: list[Agent]) -> Check:
    title, url = f"endpoint {name}", settings.endpoints[name].base_url
    if name == LOCAL:
        return _engine(title)
    if isinstance(answer, Failure):
        if answer.kind in {FailureKind.NOT_FOUND, FailureKind.GARBLED}:
            return note(title, f"{url} answers, but lists no models: {answer.message}")
        return broken(title, f"{url}: {answer.kind}: {answer.message}", answer.hint)
    there = {model.id for model in answer.models}
    gone = [agent.model for agent in agents if agent.endpoint == name and agent.model not in there]
    said = f"{url}, {plural(len(there), 'model')}"
    if gone:
        advice = f"See what is served: moa-bot models --endpoint {name}"
        return note(title, f"{said}; not among them: {', '.join(gone)}", advice)
    return fine(title, said)


def _engine(title: str) -> Check:
    from bot.local.engine_process import EXTRA, installed

    if installed():
        return fine(title, "the engine inside")
    return broken(title, "the engine is not installed", EXTRA)


async def _models(services: Services, agents: list[Agent]) -> AsyncIterator[Check]:
    """Ask all models side by side; yield them in their order, and what it cost at the end."""
    tasks = [asyncio.ensure_future(services.call(agent)) for agent in agents]
    total, unknown = 0.0, 0
    try:
        for agent, task in zip(agents, tasks, strict=True):
            answer = await task
            if isinstance(answer, Failure):
                yield broken(
                    f"model {agent.model}", f"{answer.kind}: {answer.message}".rstrip(": "), answer.hint
                )
                continue
            cost = services.cost(agent, answer)
            total, unknown = total + (cost or 0.0), unknown + (cost is None)
            yield fine(f"model {agent.model}", _answered(answer))
    finally:
        for task in tasks:
            task.cancel()
    if tasks:
        more = f", and {unknown} of unknown price" if unknown else ""
        yield fine("calls", f"{len(tasks)} side by side, {money(total)}{more}")


def _answered(completion: Completion) -> str:
    usage = completion.usage
    parts = [duration(completion.seconds)]
    if usage.total_tokens is not None:
        parts.append(plural(usage.total_tokens, "token"))
    if completion.retries:
        parts.append(f"after {completion.retries + 1} tries")
    return ", ".join(parts)
