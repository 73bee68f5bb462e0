"""The checks of `moa-bot doctor`, in the order in which they depend on each other.

    versions ─ configuration ─ keys ─ endpoints ─ models ─ tools ─ terminal ─ store ─ log ─ certificates
    ─ proxies

Each check is reported as soon as it is done. One that fails does not stop the rest; when the
settings cannot be read, the checks that need them are left out.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import TYPE_CHECKING

from bot.app.make_plan import make_plan
from bot.errors import Failure, FailureKind, KeyMissingError, MoaError, UsageError
from bot.local.discovery import find_services
from bot.local.engine_process import EXTRA, is_installed
from bot.local.model_files import find_models, list_left_out, model_folders
from bot.onboarding.services import open_services
from bot.onboarding.system_checks import (
    Check,
    Status,
    check_proxies,
    check_versions,
    error,
    ok,
    system_checks,
    warning,
)
from bot.onboarding.tool_checks import check_tools
from bot.settings.endpoints import LOCAL
from bot.text.names import service_title
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
    """Yield every check. `settings` may be the error of reading them; `calls` allows calls to models."""
    yield check_versions()
    valid = False
    if isinstance(settings, MoaError):
        advice = f"{settings.hint} Fix it: moa-bot config edit".strip()
        yield error("configuration", settings.message, advice)
    else:
        found = list(_configuration(settings))
        valid = all(check.status is not Status.ERROR for check in found)
        for check in found:
            yield check
        if valid:
            async for check in _services(settings, environ, calls=calls):
                yield check
            yield await _this_computer(settings)
            if files := check_model_files(settings):
                yield files
            async for check in check_tools(settings):
                yield check
    for check in system_checks(streams, environ):
        yield check
    if valid and not isinstance(settings, MoaError):
        yield check_proxies(settings, environ)


def _configuration(settings: Settings) -> Iterator[Check]:
    file = settings.config_file
    yield ok("configuration", str(file) if file.exists() else f"the defaults; {file} does not exist")
    name = f"preset {settings.preset_label}"
    try:
        plan = make_plan(settings)
    except UsageError as problem:
        yield error("mixture", f"{name}: {problem.message}", problem.hint or "See: moa-bot config show")
        return
    slots = max((len(layer) for layer in plan.layers), default=0)
    references = f"{slots} × {plan.rounds} → " if slots else ""
    summary = f"{name}: {references}{plan.aggregator.model}{'' if slots else ' alone'}"
    notice = next(iter(settings.notices()), "")
    yield warning("mixture", summary, notice) if notice else ok("mixture", summary)


async def _services(settings: Settings, environ: Mapping[str, str], *, calls: bool) -> AsyncIterator[Check]:
    async with open_services(settings, environ) as services:
        settings = services.settings
        agents = _distinct_models(settings)
        usable = []
        for name in dict.fromkeys(agent.endpoint for agent in agents):
            check = _key(settings, name, environ)
            yield check
            if check.status is Status.OK:
                usable.append(name)
        lists = await asyncio.gather(*(services.list_models(name) for name in usable))
        reached = dict(zip(usable, lists, strict=True))
        for name, answer in reached.items():
            yield _endpoint(settings, name, answer, agents)
        asked = [agent for agent in agents if agent.endpoint in reached and calls]
        async for check in _models(services, asked):
            yield check


async def _this_computer(settings: Settings) -> Check:
    """Report which services listen on this computer, used or not."""
    found = await find_services(settings.endpoints.values())
    if not found:
        return ok("this computer", "no model service answers")
    descriptions = [
        f"{service.endpoint.name} at {service.endpoint.base_url},"
        f" {'loading its model' if service.loading else plural(len(service.model_list.models), 'model')}"
        for service in found
    ]
    return ok("this computer", "; ".join(descriptions))


def check_model_files(settings: Settings) -> Check | None:
    """Report the model files on this computer, and those that --local leaves out; None without a folder."""
    folders = model_folders(settings.models_dir)
    if not folders:
        return None
    found = [find_models(folder) for folder in folders]
    left_out = [each for one in found for each in one.left_out()]
    chat = sum(not file.no_chat for one in found for _, file in one.models)
    summary = f"{plural(chat, 'model')} in {' and '.join(map(str, folders))}"
    if not left_out:
        return ok("model files", summary)
    advice = "--local leaves these out. A broken file: download it again; a base model: get its chat version."
    return warning("model files", f"{summary}; cannot chat: {list_left_out(left_out)}", advice)


def _distinct_models(settings: Settings) -> list[Agent]:
    """Return every model of the mixture once."""
    agents = make_plan(settings).agents()
    return list({(agent.endpoint, agent.model): agent for agent in agents}.values())


def _key(settings: Settings, name: str, environ: Mapping[str, str]) -> Check:
    config = settings.endpoints[name]
    title = f"{service_title(config.name)} API key"
    try:
        settings.endpoint(name, environ)
        place = config.key_source(environ)
    except (KeyMissingError, UsageError) as problem:
        return error(title, problem.message, problem.hint)
    return ok(title, place or "not needed")


def _endpoint(settings: Settings, name: str, answer: ModelList | Failure, agents: list[Agent]) -> Check:
    title, url = f"endpoint {name}", settings.endpoints[name].base_url
    if name == LOCAL:
        return _engine(title)
    if isinstance(answer, Failure):
        if answer.kind in {FailureKind.NOT_FOUND, FailureKind.GARBLED}:
            return warning(title, f"{url} answers, but lists no models: {answer.message}")
        return error(title, f"{url}: {answer.kind}: {answer.message}", answer.hint)
    listed = {model.id for model in answer.models}
    missing = [agent.model for agent in agents if agent.endpoint == name and agent.model not in listed]
    summary = f"{url}, {plural(len(listed), 'model')}"
    if missing:
        advice = f"See what is served: moa-bot models --endpoint {name}"
        return warning(title, f"{summary}; not among them: {', '.join(missing)}", advice)
    return ok(title, summary)


def _engine(title: str) -> Check:
    if is_installed():
        return ok(title, "the built-in engine")
    return error(title, "the engine is not installed", EXTRA)


async def _models(services: Services, agents: list[Agent]) -> AsyncIterator[Check]:
    """Call all models concurrently; yield one check per model, in order, and the total cost last."""
    tasks = [asyncio.ensure_future(services.call(agent)) for agent in agents]
    total, unknown = 0.0, 0
    try:
        for agent, task in zip(agents, tasks, strict=True):
            answer = await task
            if isinstance(answer, Failure):
                yield error(
                    f"model {agent.model}", f"{answer.kind}: {answer.message}".rstrip(": "), answer.hint
                )
                continue
            cost = services.cost(agent, answer)
            total, unknown = total + (cost or 0.0), unknown + (cost is None)
            name, found = f"model {agent.model}", _answered(answer)
            refused = services.adapted.get(agent)
            yield warning(name, found, refused) if refused else ok(name, found)
    finally:
        for task in tasks:
            task.cancel()
    if tasks:
        more = f", and {unknown} of unknown price" if unknown else ""
        yield ok("calls", f"{len(tasks)} at once, {money(total)}{more}")


def _answered(completion: Completion) -> str:
    usage = completion.usage
    parts = [duration(completion.seconds)]
    if usage.total_tokens is not None:
        parts.append(plural(usage.total_tokens, "token"))
    if completion.retries:
        parts.append(f"after {completion.retries + 1} attempts")
    return ", ".join(parts)
