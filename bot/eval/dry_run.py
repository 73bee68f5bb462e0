"""What an evaluation may cost, its judges included, before anything is asked (`--dry_run`).

The mixture's part is estimated as that of a batch. A judge reads its prompt and the answers, and writes
`JUDGMENT_TOKENS` tokens if it may. What the run's folder has already is not subtracted.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bot.app.known_models import KnownModels
from bot.bulk.estimate import LIKELY_TOKENS, Estimate, estimate
from bot.bulk.rows import PromptRow
from bot.bulk.run_folder import read_manifest
from bot.errors import ExitCode
from bot.eval.eval_context import EvalOptions, chosen_items, folder_of, plan_for
from bot.eval.judges import Judge, chosen_agents, folders_of, make_judge
from bot.eval.registry import open_benchmark
from bot.messages import Usage
from bot.method.context import MESSAGE_TOKENS, estimate_tokens
from bot.text.numbers import money, plural

if TYPE_CHECKING:
    from bot.app.streams import Streams
    from bot.app.turn_budget import Cost
    from bot.eval.benchmark import Benchmark, Item, JudgeRequest, Stage
    from bot.method.plan import Plan
    from bot.settings.settings import Settings

JUDGMENT_TOKENS = 300
"""What a judgment takes, about: reviews of MT-Bench and FLASK are 250 to 300 tokens long."""


@dataclass(slots=True)
class Part:
    """Calls and US dollars of the answers, or of one judge; `unpriced` are models of unknown price."""

    name: str
    calls: int = 0
    likely: float = 0.0
    most: float = 0.0
    unpriced: set[str] = field(default_factory=set)

    def add(self, other: Estimate) -> None:
        """Add what the answers to an item may cost."""
        self.calls += other.calls
        self.likely += other.likely
        self.most += other.most
        self.unpriced |= other.unpriced

    def __str__(self) -> str:
        """Say it in a line."""
        head = f"{self.name}: {plural(self.calls, 'call')}"
        cost = f"about {money(self.likely)}, at most {money(self.most)}"
        if not self.unpriced:
            return f"{head}, {cost}"
        return f"{head}, {cost}, and what {', '.join(sorted(self.unpriced))} cost, whose price is not known"

    def as_json(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        found = {"name": self.name, "calls": self.calls, "likely": self.likely, "most": self.most}
        return {**found, "unpriced": sorted(self.unpriced)}


def dry_run(
    settings: Settings,
    streams: Streams,
    options: EvalOptions,
    stages: Sequence[Stage],
    plans: Iterable[Plan],
) -> ExitCode:
    """Print what these stages may cost for the mixtures of a run or a sweep, each by itself."""
    benchmark = open_benchmark(options.benchmark, options.data_dir, accept_altered=options.accept_altered)
    benchmark.load(stages)
    items, models = chosen_items(benchmark, options), KnownModels(settings)
    plans = list(plans)
    parts = []
    if "generate" in stages:
        parts.append(_answers(settings, items, plans, models.cost))
    if "judge" in stages:
        judges = _judges(settings, options, benchmark)
        answers = [(item, [plan_for(settings, item, plan).max_tokens for plan in plans]) for item in items]
        parts += [_judgments(benchmark, judge, answers, models.cost) for judge in judges]
    likely, most = sum(part.likely for part in parts), sum(part.most for part in parts)
    if settings.json:
        found = {"parts": [part.as_json() for part in parts], "likely": likely, "most": most}
        print(json.dumps(found, indent=2), file=streams.stdout)
        return ExitCode.DONE
    head = f"{benchmark.name}: {plural(len(items), 'item')}"
    head += f" of each of {plural(len(plans), 'mixture')}" if len(plans) > 1 else ""
    total = f"together: about {money(likely)}, at most {money(most)}"
    about = f'("about": {LIKELY_TOKENS} tokens for an answer, {JUDGMENT_TOKENS} for a judgment)'
    print("\n".join([head, *map(str, parts), total, about]), file=streams.stdout)
    return ExitCode.DONE


def _answers(settings: Settings, items: Sequence[Item], plans: Sequence[Plan], cost: Cost) -> Part:
    part = Part("answers")
    for plan in plans:
        for item in items:
            part.add(estimate([PromptRow(0, {}, item.turns)], plan_for(settings, item, plan), cost))
    return part


def _judges(settings: Settings, options: EvalOptions, benchmark: Benchmark[Any]) -> list[Judge]:
    """Return the judges; those that have judged in the folder by text are known to do so."""
    kept = read_manifest(folder_of(settings, options))
    by_text = [judge for judge in folders_of(kept).values() if judge.get("by_text")]
    judges = []
    for agent in chosen_agents(settings, options.judges, options.judging, benchmark):
        judge = make_judge(agent, benchmark, settings, kept, by_text=True)
        if options.judging.by != "text" and judge.as_json() not in by_text:
            judge = make_judge(agent, benchmark, settings, kept, by_text=False)
        judges.append(judge)
    return judges


def _judgments(
    benchmark: Benchmark[Any], judge: Judge, answers: Iterable[tuple[Item, Sequence[int]]], cost: Cost
) -> Part:
    """Return what judging may cost of answers to these items; beside each, its longest answers in tokens."""
    part = Part(f"judge {judge.name}")
    for item, limits in answers:
        nothing = ("",) * len(item.turns)
        questions = benchmark.judge_requests(item, nothing, "", by_text=judge.by_text)
        for number, question in enumerate(questions, start=1):
            for limit in limits:
                # The question about a turn shows the answers to those before it.
                likely = _cost(judge, question, number * min(limit, LIKELY_TOKENS), JUDGMENT_TOKENS, cost)
                most = _cost(judge, question, number * limit, None, cost)
                part.calls += 2 if question.reversed_messages else 1
                part.likely += likely or 0.0
                part.most += most or 0.0
                part.unpriced |= {judge.agent.model} if most is None else set()
    return part


def _cost(
    judge: Judge, question: JudgeRequest, answer_tokens: int, tokens: int | None, cost: Cost
) -> float | None:
    """Return the dollars of a question about answers so long; the judge writes `tokens`, None: all it may."""
    limit = judge.agent.max_tokens or question.max_tokens
    asked = sum(estimate_tokens(message.content) + MESSAGE_TOKENS for message in question.messages)
    usage = Usage(asked + answer_tokens, limit if tokens is None else min(limit, tokens))
    found = cost(judge.agent, usage)
    return None if found is None else found * (2 if question.reversed_messages else 1)
