"""Arms as they are named: `--arm TEXT` to the plan of a lone model or of a mixture.

    alone:MODEL           a lone model, asked as the first round asks it
    preset:NAME           a preset as it is
    fusion                the mixture of the command in another mode: moa, fusion, critique, vote, rank
    rounds=2 order=rotated …    options by their names in config.toml, after one of these or alone
    name=NAME             what to call it

The options of an arm win over those of the command. A lone model's request is the very one that the first
round sends, seed included, so that a journal has its answer already.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, get_args

from bot.app.make_plan import make_plan
from bot.errors import UsageError
from bot.eval.arms import ArmKind
from bot.messages import Agent, Mode
from bot.method.early_stop import EarlyStop
from bot.settings.model_names import NONE
from bot.settings.options import BY_NAME
from bot.settings.values import InvalidValueError, parse_text
from bot.text.names import short_name
from bot.text.nearest import did_you_mean

if TYPE_CHECKING:
    from bot.method.plan import Plan
    from bot.settings.settings import Settings

MODES = tuple(mode for mode in get_args(Mode) if mode != "compare")
"""The modes that make a reply."""
OF_A_MIXTURE = ("aggregator", "reference_models", "rounds", "mode", "judge", "light_aggregator", "placement")
"""Options of the command that do not apply to another preset."""
_NO_PART = frozenset({"min_references", "fallbacks", "deadline", "quorum", "grace"})
"""Options that change nothing where every model is waited for and none is replaced."""

Resolve = Callable[[Mapping[str, object], Sequence[str]], "Settings"]
"""Returns the settings of the command with some options changed, and without some that it gave."""


@dataclass(frozen=True, slots=True)
class ArmPlan:
    """An arm to be asked. `members` are the models whose answers its last layer reads."""

    name: str
    kind: ArmKind
    plan: Plan
    model: str
    members: tuple[str, ...] = ()

    @property
    def folder(self) -> str:
        """Its name as that of a folder."""
        return folder_name(self.name)


@dataclass(frozen=True, slots=True)
class _Words:
    """An arm's words, read."""

    name: str
    alone: str | None
    preset: str | None
    options: dict[str, object]


def make_arms(
    texts: Sequence[str], resolve: Resolve, say: Callable[[str], None], *, members: bool
) -> list[ArmPlan]:
    """Return the arms in their order, the lone members last.

    Without texts there is one arm, the mixture of the command. Raises UsageError for wrong words and for
    two different arms of one name. Of two equal arms the first stays, which is said.
    """
    read = [_read(text) for text in texts or ("",)]
    base = make_plan(resolve({}, ()))
    arms = [_lone_arm(words, resolve) if words.alone else _mixture_arm(words, resolve) for words in read]
    if members:
        plans = [arm.plan for arm in arms if arm.kind == "mixture"] or [base]
        arms += _member_arms(plans)
    found: dict[str, ArmPlan] = {}
    folders: dict[str, str] = {}
    for arm in arms:
        if same := next((other for other in found.values() if arm.plan == other.plan), None):
            if arm.name != same.name:
                say(f"moa-bot: {arm.name} is the same as {same.name}, and is not asked again.")
            continue
        if folders.setdefault(arm.folder.lower(), arm.name) != arm.name or arm.name in found:
            raise UsageError(
                f"--arm: two different arms are called {arm.name}.", hint="Give one another name: name=NAME."
            )
        found[arm.name] = arm
    return list(found.values())


def _read(text: str) -> _Words:
    try:
        words = shlex.split(text)
    except ValueError as problem:
        raise UsageError(f"--arm {text}: {problem}") from None
    alone = preset = None
    name, options = "", dict[str, object]()
    for number, word in enumerate(words):
        key, equals, value = word.partition("=")
        kind, colon, rest = word.partition(":")
        if number == 0 and colon and kind in {"alone", "preset"} and rest:
            alone, preset = (rest, None) if kind == "alone" else (None, rest)
        elif number == 0 and word in MODES:
            options["mode"] = word
        elif equals and key == "name" and value:
            name = value
        elif equals:
            options[key] = _value(key.replace("-", "_").lstrip("_"), value)
        else:
            raise UsageError(
                f'--arm "{text}": expected alone:MODEL, preset:NAME, a mode or OPTION=VALUE, found {word}',
                hint=f"Modes: {', '.join(MODES)}.",
            )
    options = {key.replace("-", "_").lstrip("_"): value for key, value in options.items()}
    if options.get("mode") == "compare":
        raise UsageError("--arm mode=compare: in this mode there is no reply to be scored.")
    return _Words(
        name or " ".join(word for word in words if not word.startswith("name=")), alone, preset, options
    )


def _value(name: str, text: str) -> object:
    option = BY_NAME.get(name)
    if option is None or not option.in_preset or name in _NO_PART:
        if name not in {"aggregator", "reference_models"}:
            known = [each.name for each in BY_NAME.values() if each.in_preset and each.name not in _NO_PART]
            raise UsageError(
                f"--arm {name}=…: this is no option of an arm. {did_you_mean(name, known)}".rstrip()
            )
        option = BY_NAME[name]
    try:
        value = parse_text(option, text, os.pathsep)
    except InvalidValueError as problem:
        raise UsageError(f"--arm {name}={text}: {problem}") from None
    # What is read already is read again with the command's options, as texts.
    return (list(value) or [NONE]) if isinstance(value, tuple) else value


def _settings(words: _Words, resolve: Resolve) -> Settings:
    if words.preset is None:
        return resolve(words.options, ())
    return resolve({"preset": words.preset, **words.options}, OF_A_MIXTURE)


def _mixture_arm(words: _Words, resolve: Resolve) -> ArmPlan:
    settings = _settings(words, resolve)
    plan = make_plan(settings)
    if not plan.layers:
        return _alone(words.name or f"alone:{short_name(plan.aggregator.model)}", plan, None, plan.aggregator)
    members = tuple(agent.model for agent in plan.layers[-1])
    return ArmPlan(words.name or settings.mode, "mixture", plan, plan.aggregator.model, members)


def _lone_arm(words: _Words, resolve: Resolve) -> ArmPlan:
    plan = make_plan(_settings(words, resolve))
    wanted = words.alone or ""
    for place, agent in _listed(plan):
        if wanted in {agent.model, f"{agent.endpoint}:{agent.model}", short_name(agent.model)}:
            return _alone(words.name, plan, place, agent)
    lone = make_plan(resolve({**words.options, "aggregator": wanted, "reference_models": [NONE]}, ("mode",)))
    return _alone(words.name, lone, None, lone.aggregator)


def _listed(plan: Plan) -> list[tuple[int | None, Agent]]:
    """Return every different agent of a mixture with its place in the first round, the aggregator last.

    The place is None for one that is not in it. An aggregator whose model is a reference model is no other.
    """
    found: dict[Agent, int | None] = {}
    for number, layer in enumerate(plan.layers):
        for place, agent in enumerate(layer):
            found.setdefault(agent, None if number else place)
    models = {(agent.endpoint, agent.model) for agent in found}
    if (plan.aggregator.endpoint, plan.aggregator.model) not in models:
        found[plan.aggregator] = None
    return [(place, agent) for agent, place in found.items()]


def _alone(name: str, plan: Plan, place: int | None, agent: Agent) -> ArmPlan:
    """Return the arm of a model alone, asked as the first round asks it if it has a place there."""
    limit = plan.max_tokens if agent == plan.aggregator else plan.reference_max_tokens
    limit = limit if agent.max_tokens is None else agent.max_tokens
    # What changes nothing for a lone model is the same for all, so that equal arms are equal.
    lone = replace(
        plan,
        layers=(),
        aggregator=replace(agent, max_tokens=limit),
        max_tokens=limit,
        reference_max_tokens=limit,
        min_references=0,
        seed=None if plan.seed is None else plan.seed + (place or 0),
        instruction="",
        fallbacks=(),
        early_stop=EarlyStop(),
        light_aggregator=None,
        mode="moa",
        instructions={},
        judge=None,
        placement="prompt",
        order="given",
    )
    return ArmPlan(name, "alone", lone, agent.model)


def _member_arms(plans: Sequence[Plan]) -> list[ArmPlan]:
    """Return the lone arm of each different member of these mixtures, and of their aggregators."""
    arms: list[ArmPlan] = []
    for plan in plans:
        for place, agent in _listed(plan):
            arm = _alone("", plan, place, agent)
            if all(arm.plan != other.plan for other in arms):
                arms.append(arm)
    names = [f"alone:{short_name(arm.model)}" for arm in arms]
    return [
        replace(arm, name=name if names.count(name) == 1 else f"{name}#{names[:place].count(name) + 1}")
        for place, (arm, name) in enumerate(zip(arms, names, strict=True))
    ]


def folder_name(name: str) -> str:
    """Return a name as that of a folder."""
    return re.sub(r"[^\w.+=-]+", "-", name).strip("-.")[:100] or "arm"
