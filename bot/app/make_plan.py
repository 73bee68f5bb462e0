"""Makes the plan that a mixture runs from the settings.

Models and endpoints are known by name only here: no call is made and no key is looked up.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from bot.errors import ConfigError, UsageError
from bot.messages import Agent
from bot.method.early_stop import EarlyStop
from bot.method.plan import Plan
from bot.method.round_timeout import RoundTimeout
from bot.settings.endpoints import DEMO, LOCAL, unknown_endpoint
from bot.settings.files import read_text
from bot.settings.model_names import split_endpoint
from bot.settings.paths import INSTRUCTION, RANKING, shipped_file
from bot.settings.settings import Level

if TYPE_CHECKING:
    from bot.settings.settings import Settings

IN_TURN_SECONDS = 3600.0
"""The longest round of models that wait for one another: the last one is no straggler."""
_NO_TEMPERATURE = 1e-4


def make_plan(settings: Settings) -> Plan:
    """Settle what the mixture runs. UsageError when the settings do not fit together."""
    references = settings.reference_max_tokens
    plan = Plan(
        layers=_layers(settings),
        aggregator=_aggregator(settings),
        temperature=_cool(settings.temperature),
        max_tokens=settings.max_tokens,
        reference_max_tokens=settings.max_tokens if references is None else references,
        min_references=settings.min_references,
        seed=settings.seed,
        timeout=settings.timeout,
        instruction=instruction(settings, INSTRUCTION),
        system=_system(settings),
        fallbacks=tuple(
            _settle(settings, _agent(settings, name, "fallbacks"), ("max_tokens",))
            for name in settings.fallbacks
        ),
        round_timeout=_round_timeout(settings),
        early_stop=EarlyStop(settings.early_stop, settings.adaptive, settings.agreement),
        light_aggregator=_light_aggregator(settings),
        ranking=instruction(settings, RANKING) if settings.mode == "rank" else None,
    )
    _check_enough(settings, plan)
    _check_demo(settings, plan)
    return plan


def _round_timeout(settings: Settings) -> RoundTimeout:
    """Return when stragglers are cut off: not at all where models are asked in turn, unless it was said."""
    deadline = settings.deadline
    if deadline is None and settings.quorum is None:
        asked = {agent.endpoint for layer in _layers(settings) for agent in layer}
        if any(name == LOCAL or settings.endpoints[name].quirks.parallel for name in asked):
            deadline = IN_TURN_SECONDS
    return RoundTimeout(deadline, settings.quorum, settings.grace)


def _layers(settings: Settings) -> tuple[tuple[Agent, ...], ...]:
    layers: tuple[tuple[Agent, ...], ...]
    if settings.sources["reference_models"].level is Level.PRESET:
        layers = settings.preset.layers
    else:
        layers = (tuple(_agent(settings, name, "reference_models") for name in settings.reference_models),)
    if not any(layers):
        return ()
    limits = ("max_tokens", "reference_max_tokens")
    settled = [tuple(_settle(settings, agent, limits) for agent in layer) for layer in layers]
    return tuple(settled[min(index, len(settled) - 1)] for index in range(settings.rounds))


def _aggregator(settings: Settings) -> Agent:
    if settings.sources["aggregator"].level is Level.PRESET:
        agent = settings.preset.aggregator
    else:
        agent = _agent(settings, settings.aggregator, "aggregator")
    return _settle(settings, agent, ("max_tokens",))


def _light_aggregator(settings: Settings) -> Agent | None:
    name = settings.light_aggregator
    return (
        None
        if name is None
        else _settle(settings, _agent(settings, name, "light_aggregator"), ("max_tokens",))
    )


def _agent(settings: Settings, name: str, option: str) -> Agent:
    """Return the agent that the user named; what the preset says of its model still holds."""
    try:
        endpoint, model = split_endpoint(name, settings.endpoints)
    except ValueError as problem:
        raise UsageError(f"{settings.sources[option]}: expected ENDPOINT:MODEL, found {problem}") from None
    agent = settings.preset.with_model_defaults(Agent(model, endpoint))
    return agent if agent.endpoint else replace(agent, endpoint=_home(settings, model))


def _settle(settings: Settings, agent: Agent, limits: tuple[str, ...]) -> Agent:
    """Give an agent its endpoint, and drop what the user has said otherwise nearer than the preset."""

    def said(*names: str) -> bool:
        return any(settings.sources[name].level < Level.PRESET for name in names)

    endpoint = agent.endpoint or settings.default_endpoint
    if endpoint not in settings.endpoints:
        raise unknown_endpoint(endpoint, settings.endpoints, f"preset {settings.preset.name}")
    own = agent.temperature
    return replace(
        agent,
        endpoint=endpoint,
        temperature=None if own is None or said("temperature") else _cool(own),
        max_tokens=None if said(*limits) else agent.max_tokens,
    )


def _home(settings: Settings, model: str) -> str:
    """Return the service of a model that the user named without one.

    It is the default endpoint; where nobody has said which that is, a model that is known to be
    another service's alone belongs there.
    """
    home = settings.default_endpoint
    if settings.sources["endpoint"].level is not Level.DEFAULTS:
        return home
    facts = settings.catalogue.facts(model)
    return facts.endpoint if facts and facts.endpoint in settings.endpoints else home


def _cool(temperature: float) -> float:
    return 0.0 if temperature < _NO_TEMPERATURE else temperature


def instruction(settings: Settings, name: str) -> str:
    """Return the aggregator's instruction of that file name: the user's own, else the shipped one."""
    own = settings.folder / name
    try:
        text = read_text(own, "The aggregator's instruction", optional=True)
    except UsageError as problem:
        raise ConfigError(problem.message) from None
    return text or read_text(shipped_file(name), "The aggregator's instruction")


def _system(settings: Settings) -> str | None:
    if settings.system_file is not None:
        text = read_text(settings.system_file, f"{settings.sources['system_file']}:")
    else:
        text = (settings.system or "").strip()
    return text or None


def _check_enough(settings: Settings, plan: Plan) -> None:
    fewest = min((len(layer) for layer in plan.layers), default=0)
    needed = plan.min_references
    if needed <= fewest:
        return
    source = settings.sources["reference_models"]
    if not plan.layers:
        raise UsageError(
            f"{source}: no reference models.",
            hint="Name some with --reference_models, or let the aggregator answer alone: --min_references 0.",
        )
    raise UsageError(
        f"{settings.sources['min_references']}: at least {needed} references are asked for,"
        f" but there are only {fewest} ({source})."
    )


def _check_demo(settings: Settings, plan: Plan) -> None:
    if not settings.demo:
        return
    for agent in plan.agents():
        if agent.endpoint == DEMO and not agent.model.startswith(f"{DEMO}/"):
            raise UsageError(
                f"{agent.model}: the offline service has only demonstration models (demo/…).",
                hint="Leave out --demo to ask this model.",
            )
