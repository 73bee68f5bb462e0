"""The judges of an evaluation: which models, asked how, and the name and the folder of their judgments.

    --judge X --judge Y ─► Judge(X), Judge(Y) ─► OUT/judges/X/, OUT/judges/Y/   a journal and figures each

Only the official judge's judgments carry the official name. It is the official model by the exact id
that its maker's service or OpenRouter gives it, with the benchmark's own temperature and length: any
service may call a model "gpt-4".
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from bot.errors import UsageError
from bot.messages import Agent
from bot.settings.local_models import find_local_model
from bot.settings.model_names import split_endpoint

if TYPE_CHECKING:
    from bot.eval.benchmark import Benchmark
    from bot.messages import Reasoning
    from bot.settings.settings import Settings

OPENAI = "openai"
JUDGES = "judges"
"""The folder in a run's folder that holds a folder for each judge."""
OLD_FOLDER = "."
"""Where runs before there were folders of judges have their judgments: in the run's folder itself."""

_OFFICIAL_PREFIXES = {"api.openai.com": "", "openrouter.ai": "openai/"}
"""What stands before the official judges' names in the model ids of the services that have them, by host."""

JudgeBy = Literal["auto", "logprobs", "text"]
"""How an AlpacaEval judge's preference is read; `auto`: from log probabilities where there are any."""


@dataclass(frozen=True, slots=True)
class JudgeOptions:
    """Options for every judge; None: the benchmark's own."""

    temperature: float | None = None
    max_tokens: int | None = None
    reasoning: Reasoning | None = None
    by: JudgeBy = "auto"


@dataclass(frozen=True, slots=True)
class Judge:
    """A judge. `name` is what its judgments are signed with, `folder` where they are, from the run's folder.

    `agent` has the parameters in which it differs from the official judge. `by_text`: its preference is
    read from its words, in both orders, instead of from log probabilities.
    """

    agent: Agent
    name: str
    folder: str
    by_text: bool = False

    def as_json(self) -> dict[str, Any]:
        """Return what the manifest keeps of it."""
        agent = {name: value for name, value in asdict(self.agent).items() if name != "extra_body" or value}
        return {**agent, "by_text": self.by_text}


def is_official(agent: Agent, base_url: str, official: str) -> bool:
    """Whether a judge is the official model `official`, at a service whose ids say exactly that."""
    prefix = _OFFICIAL_PREFIXES.get(urlsplit(base_url).hostname or "")
    asked_otherwise = (agent.temperature, agent.max_tokens, agent.reasoning) != (None, None, None)
    asked_otherwise = asked_otherwise or bool(agent.extra_body)
    return prefix is not None and agent.model == prefix + official and not asked_otherwise


def make_judge(
    agent: Agent, benchmark: Benchmark[Any], settings: Settings, kept: Mapping[str, Any], *, by_text: bool
) -> Judge:
    """Return the judge under its name; its folder is the one that the run's manifest `kept` has for it."""
    found = Judge(agent, _name(agent, by_text=by_text), OLD_FOLDER, by_text)
    if not by_text and is_official(
        agent, settings.endpoints[agent.endpoint].base_url, benchmark.default_judge
    ):
        found = replace(found, name=benchmark.default_judge)
    folders = folders_of(kept)
    same = (folder for folder, judge in folders.items() if _read(judge) == (agent, by_text))
    slug = re.sub(r"[^\w.+-]+", "-", _name(agent, by_text=by_text)).strip("-.")
    own = f"{JUDGES}/{slug}"
    # Two names that differ only in punctuation or case are two judges.
    number, taken = 2, {folder.lower() for folder in folders}
    while own.lower() in taken:
        own, number = f"{JUDGES}/{slug}-{number}", number + 1
    return replace(found, folder=next(same, own))


def folders_of(kept: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the judges in a run's manifest by their folders."""
    if "judges" in kept:
        return dict(kept["judges"])
    return {OLD_FOLDER: kept["judge"]} if "judge" in kept else {}


def recorded_judges(
    benchmark: Benchmark[Any], settings: Settings, kept: Mapping[str, Any]
) -> tuple[Judge, ...]:
    """Return the judges that judged a folder last."""
    folders = folders_of(kept)
    jury = kept.get("jury") or list(folders)
    pairs = [_read(folders[folder]) for folder in jury]
    return tuple(make_judge(agent, benchmark, settings, kept, by_text=by_text) for agent, by_text in pairs)


def chosen_agents(
    settings: Settings, names: Sequence[str], options: JudgeOptions, benchmark: Benchmark[Any]
) -> list[Agent]:
    """Return the judges that were named, or the official one. Raises UsageError for one that cannot judge."""
    official = benchmark.default_judge
    if not names and settings.local:
        raise UsageError(
            f"The official judge, {official}, does not run on this computer.", hint="Name one with --judge."
        )
    if not names and settings.demo:
        raise UsageError("The offline service has no judge.", hint="Name one with --judge.")
    if names:
        agents = [find_judge(settings, name) for name in names]
    else:
        agents = [Agent(official, OPENAI if OPENAI in settings.endpoints else settings.default_endpoint)]
    temperature, longest = options.temperature, options.max_tokens
    if options.by != "text":
        # What the benchmark prescribes anyway is no difference.
        temperature = None if temperature == benchmark.judge_temperature else temperature
        longest = None if longest == benchmark.judge_max_tokens else longest
    own = [
        replace(agent, temperature=temperature, max_tokens=longest, reasoning=options.reasoning)
        for agent in agents
    ]
    return list(dict.fromkeys(own))


def find_judge(settings: Settings, name: str) -> Agent:
    """Return the judge of this name. Raises UsageError for one that --local does not have."""
    if settings.local:
        try:
            name = find_local_model(name, settings.local_models, settings.endpoints)
        except UsageError as problem:
            raise UsageError(f"--judge: {problem.message}", hint=problem.hint) from None
    try:
        endpoint, model = split_endpoint(name, settings.endpoints)
    except ValueError as problem:
        raise UsageError(f"--judge: expected ENDPOINT:MODEL, found {problem}") from None
    return Agent(model, endpoint or settings.default_endpoint)


def _name(agent: Agent, *, by_text: bool) -> str:
    details = ["by text"] if by_text else []
    for field, value in (
        ("temperature", None if agent.temperature is None else f"{agent.temperature:g}"),
        ("max_tokens", agent.max_tokens),
        ("reasoning", agent.reasoning),
    ):
        details += [f"{field} {value}"] if value is not None else []
    return f"{agent.endpoint}:{agent.model}" + (f" ({', '.join(details)})" if details else "")


def _read(judge: Mapping[str, Any]) -> tuple[Agent, bool]:
    fields = dict(judge)
    by_text = bool(fields.pop("by_text", False))
    return Agent(**fields), by_text
