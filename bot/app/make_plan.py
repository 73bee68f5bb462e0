"""Makes a mixture's plan from the settings. No call is made, and no key is looked up."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from bot.errors import ConfigError, UsageError
from bot.messages import Agent, Mode
from bot.method.early_stop import EarlyStop
from bot.method.plan import Plan
from bot.method.round_timeout import RoundTimeout
from bot.settings.endpoints import DEMO, unknown_endpoint
from bot.settings.files import read_text
from bot.settings.model_names import split_endpoint
from bot.settings.paths import INSTRUCTION, shipped_file
from bot.settings.settings import Level

if TYPE_CHECKING:
    from bot.settings.settings import Settings
    from bot.text.reply_format import ReplyFormat

LOCAL_REFERENCE_TOKENS = 512
"""The longest answer of a reference model on this computer: it writes slowly, and others wait for it."""
_LEAST_TEMPERATURE = 1e-4
_UNWRITTEN: frozenset[Mode] = frozenset({"vote", "compare", "rank"})
"""Modes whose reply is an answer as a reference model wrote it, or several."""
_INSTRUCTIONS: Mapping[Mode, tuple[str, ...]] = {
    "moa": (),
    "rank": ("rank",),
    "fusion": ("compare", "fuse"),
    "critique": ("review", "revise"),
    "vote": ("vote",),
    "compare": ("compare",),
}
"""The instructions of each mode beside aggregate.md: NAME is in NAME.md."""


def make_plan(settings: Settings) -> Plan:
    """Return the plan. UsageError when the settings do not fit together."""
    references = settings.reference_max_tokens
    plan = Plan(
        layers=_layers(settings),
        aggregator=_aggregator(settings),
        temperature=_sent_temperature(settings.temperature),
        max_tokens=settings.max_tokens,
        reference_max_tokens=settings.max_tokens if references is None else references,
        min_references=settings.min_references,
        seed=settings.seed,
        timeout=settings.timeout,
        instruction=instruction(settings, INSTRUCTION),
        system=_system(settings),
        fallbacks=tuple(
            _complete(settings, _agent(settings, name, "fallbacks"), ("max_tokens",))
            for name in settings.fallbacks
        ),
        round_timeout=RoundTimeout(settings.deadline, settings.quorum, settings.grace),
        early_stop=EarlyStop(settings.early_stop, settings.adaptive, settings.agreement),
        light_aggregator=_other_writer(settings, "light_aggregator"),
        mode=settings.mode,
        instructions=mode_instructions(settings, settings.mode),
        judge=_other_writer(settings, "judge"),
        placement="system" if settings.placement == "system" else "prompt",
        order="rotated" if settings.order == "rotated" else "given",
        tools=settings.tools,
        tool_rounds=settings.tool_rounds,
        tools_for_all=settings.tools_for == "all",
        on_demand=settings.when == "auto",
    )
    if settings.schema:
        plan = replace(plan, reply_format=_reply_format(settings, plan))
    if not plan.layers:
        # A lone model: there is no reference model that could be too few.
        plan = replace(plan, min_references=0, on_demand=False)
    if plan.uses_tools:
        plan = replace(plan, instructions={**plan.instructions, "tools": instruction(settings, "tools.md")})
    if plan.on_demand:
        consult = instruction(settings, "consult.md")
        plan = replace(plan, instructions={**plan.instructions, "consult": consult})
    _check_enough(settings, plan)
    _check_demo(settings, plan)
    return plan


def _layers(settings: Settings) -> tuple[tuple[Agent, ...], ...]:
    layers: tuple[tuple[Agent, ...], ...]
    if settings.sources["reference_models"].level is Level.PRESET:
        layers = settings.preset.layers
    else:
        layers = (tuple(_agent(settings, name, "reference_models") for name in settings.reference_models),)
    if not any(layers) or settings.when == "never":
        return ()
    limits = ("max_tokens", "reference_max_tokens")
    completed = [
        tuple(_with_local_limit(settings, _complete(settings, agent, limits)) for agent in layer)
        for layer in layers
    ]
    return tuple(completed[min(index, len(completed) - 1)] for index in range(settings.rounds))


def _aggregator(settings: Settings) -> Agent:
    if settings.sources["aggregator"].level is Level.PRESET:
        agent = settings.preset.aggregator
    else:
        agent = _agent(settings, settings.aggregator, "aggregator")
    return _complete(settings, agent, ("max_tokens",))


def _other_writer(settings: Settings, option: str) -> Agent | None:
    """Return the agent of an option that names one model, None where it names none."""
    name = settings.value(option)
    if name is None:
        return None
    return _complete(settings, _agent(settings, str(name), option), ("max_tokens",))


def _agent(settings: Settings, name: str, option: str) -> Agent:
    """Return the agent that the user named, with the preset's values for its model."""
    try:
        endpoint, model = split_endpoint(name, settings.endpoints)
    except ValueError as problem:
        raise UsageError(f"{settings.sources[option]}: expected ENDPOINT:MODEL, found {problem}") from None
    agent = settings.preset.with_model_defaults(Agent(model, endpoint))
    return agent if agent.endpoint else replace(agent, endpoint=_default_endpoint(settings, model))


def _complete(settings: Settings, agent: Agent, limits: tuple[str, ...]) -> Agent:
    """Return the agent with its endpoint, and without values for which the user has given others."""

    def given(*names: str) -> bool:
        return any(settings.sources[name].level < Level.PRESET for name in names)

    endpoint = agent.endpoint or settings.default_endpoint
    if endpoint not in settings.endpoints:
        raise unknown_endpoint(endpoint, settings.endpoints, f"preset {settings.preset.name}")
    own = agent.temperature
    return replace(
        agent,
        endpoint=endpoint,
        temperature=None if own is None or given("temperature") else _sent_temperature(own),
        tools=None if given("tools") else agent.tools,
        max_tokens=None if given(*limits) else agent.max_tokens,
    )


def _with_local_limit(settings: Settings, reference: Agent) -> Agent:
    """Return a reference model of this computer with its limit of tokens, unless one is set."""
    is_set = reference.max_tokens is not None or settings.reference_max_tokens is not None
    if is_set or reference.endpoint == DEMO or not settings.endpoints[reference.endpoint].runs_here:
        return reference
    return replace(reference, max_tokens=min(LOCAL_REFERENCE_TOKENS, settings.max_tokens))


def _default_endpoint(settings: Settings, model: str) -> str:
    """Return the service of a model that the user named without one.

    It is the default endpoint if the user has chosen one, else the service that the catalogue names.
    """
    default = settings.default_endpoint
    if settings.sources["endpoint"].level is not Level.DEFAULTS:
        return default
    facts = settings.catalogue.facts(model)
    return facts.endpoint if facts and facts.endpoint in settings.endpoints else default


def _sent_temperature(temperature: float) -> float:
    """Return 0 for temperatures that are almost 0."""
    return 0.0 if temperature < _LEAST_TEMPERATURE else temperature


def mode_instructions(settings: Settings, mode: Mode) -> dict[str, str]:
    """Return the instructions that only this mode needs, by name."""
    return {name: instruction(settings, f"{name}.md") for name in _INSTRUCTIONS[mode]}


def instruction(settings: Settings, name: str) -> str:
    """Return the aggregator's instruction of that file name: the user's own, else the shipped one."""
    own = settings.folder / name
    try:
        text = read_text(own, "The aggregator's instruction", optional=True)
    except UsageError as problem:
        raise ConfigError(problem.message) from None
    return text or read_text(shipped_file(name), "The aggregator's instruction")


def _reply_format(settings: Settings, plan: Plan) -> ReplyFormat:
    """Return the format of the schema. UsageError in a mode that has no aggregator to write such a reply."""
    from bot.text.reply_format import format_of_schema  # noqa: PLC0415 - imports jsonschema, for --schema only

    if plan.layers and plan.mode in _UNWRITTEN:
        raise UsageError(
            f"{settings.sources['schema']}: in mode {plan.mode} no aggregator writes the reply as JSON.",
            hint="--mode moa, fusion or critique; --schema none for a reply in words.",
        )
    return format_of_schema(json.loads(settings.schema or ""))


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
    raise UsageError(
        f"{settings.sources['min_references']}: at least {needed} references are needed,"
        f" but there are only {fewest} ({settings.sources['reference_models']})."
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
