"""`moa-bot eval own`: questions of one's own, asked of several arms, scored, compared.

FILE ─► questions ─┐
--arm … ─► plans ──┴─► answers (calls.jsonl) ─► scores (judge.jsonl) ─► a Study for each scorer

OUT/calls.jsonl, judge.jsonl        journals: killed at any time and started again, nothing is asked twice
OUT/ARM/results.jsonl               an arm's answers with what they cost
OUT/SCORER/ARM/arm.json, outcomes.jsonl
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bot.app.known_models import KnownModels
from bot.bulk import run_folder
from bot.bulk.budget import Budget
from bot.bulk.cached_client import CachedClient, CallStats
from bot.bulk.concurrency import AdaptiveConcurrency
from bot.bulk.files import write_rows
from bot.bulk.journal import Journal
from bot.bulk.progress import BulkProgress, cost_text
from bot.bulk.runner import CONCURRENCY, RunResult, bulk_retrier, open_app, price_of
from bot.errors import ExitCode, UsageError
from bot.eval.arms import Study, write_arm
from bot.eval.benchmark import stratified
from bot.eval.judges import JudgeOptions, find_judge
from bot.eval.own.arm_plans import ArmPlan, Resolve, folder_name, make_arms
from bot.eval.own.asking import Asked, Caller, ask_arms
from bot.eval.own.costs import costs_of, judge_costs
from bot.eval.own.judged import JudgedScorer
from bot.eval.own.questions import Question, load_questions, read_columns
from bot.eval.own.scoring import (
    Scorer,
    arms_of,
    check_targets,
    make_scorers,
    score_by_judges,
    score_by_rule,
    try_judges,
)
from bot.messages import Agent
from bot.text.numbers import plural

if TYPE_CHECKING:
    from bot.app.app import App
    from bot.app.streams import Streams
    from bot.settings.settings import Settings

RESULTS = "results.jsonl"

Report = Callable[[Study], None]
"""Shows a study."""


@dataclass(frozen=True, slots=True)
class OwnOptions:
    """The options of `eval own` besides the mixture; None: not given."""

    source: str
    scorers: tuple[str, ...]
    arms: tuple[str, ...] = ()
    members: bool = False
    columns: str | None = None
    split: str = "test"
    subset: str | None = None
    epochs: int = 1
    dry_run: bool = False
    out: Path | None = None
    limit: int | None = None
    first: int | None = None
    sample_seed: int = 0
    judge: tuple[str, ...] = ()
    judging: JudgeOptions = field(default_factory=JudgeOptions)
    concurrency: int = CONCURRENCY
    max_errors: int = 0
    max_cost: float | None = None

    def folder(self) -> Path:
        """Return the folder of the run."""
        stem = Path(self.source).name.partition(".")[0] or self.source
        return self.out or Path("evaluations") / "own" / folder_name(stem)


async def run_own(
    settings: Settings, streams: Streams, options: OwnOptions, resolve: Resolve, report: Report
) -> ExitCode:
    """Ask, score and report.

    Returns 1 when more than `max_errors` answers have no score, or all of them, 130 when interrupted.
    """
    questions = _questions(options)
    arms = make_arms(options.arms, resolve, streams.say, members=options.members)
    scorers = make_scorers(options.scorers, arms)
    check_targets(scorers, questions)
    judges = _judges(settings, options, scorers)
    if options.dry_run:
        cost = KnownModels(settings).cost
        parts = costs_of(arms, questions, options.epochs, cost)
        parts += judge_costs(scorers, judges, arms, questions, epochs=options.epochs, cost=cost)
        text = json.dumps({"parts": [part.as_json() for part in parts]}, indent=2)
        print(text if settings.json else "\n".join(map(str, parts)), file=streams.stdout)
        return ExitCode.DONE
    out = options.folder()
    async with AsyncExitStack() as stack:
        stack.enter_context(run_folder.lock(out))
        manifest = _manifest(out, options, arms)
        app = await open_app(stack, settings, streams)
        for agent in dict.fromkeys((*(agent for arm in arms for agent in arm.plan.agents()), *judges)):
            app.models.endpoint(agent.endpoint)
        run_folder.write_manifest(out, manifest)
        asking, judging = _open_clients(stack, app, options)
        progress = BulkProgress(streams, quiet=settings.quiet)
        calls, verdicts = (
            Caller(client, app.models, progress, options.concurrency) for client in (asking, judging)
        )
        await try_judges(scorers, questions[0], judges, verdicts, settings.timeout)
        ended, asked = await ask_arms(arms, questions, options.epochs, calls)
        _write_results(out, arms, asked)
        studies: list[Study] = []
        for scorer in scorers:
            if not ended.complete:
                break
            judge = ""
            if isinstance(scorer, JudgedScorer):
                ended, outcomes = await score_by_judges(scorer, asked, judges, verdicts, settings.timeout)
                judge = ", ".join(each.model for each in judges)
            else:
                outcomes = score_by_rule(scorer, asked)
            made = arms_of(arms, asked, outcomes)
            studies.append(Study(made, scorer.name, judge, run_folder.now()[:10], options.source))
            _write_study(out / _folder_of(scorer, scorers), studies[-1])
        if ended.complete:
            _report(studies, report)
        spent = replace(
            asking.stats,
            spent=asking.stats.spent + judging.stats.spent,
            unpriced=asking.stats.unpriced + judging.stats.unpriced,
            failures=asking.stats.failures + judging.stats.failures,
        )
        return _finish(streams, options, ended, studies, spent)


def _questions(options: OwnOptions) -> list[Question]:
    """Return the questions that are to be asked, in the order of the source."""
    if options.limit is not None and options.first is not None:
        raise UsageError("--limit and --first cannot both be given.")
    columns = read_columns(options.columns)
    questions = load_questions(options.source, columns, split=options.split, subset=options.subset)
    if options.limit is not None:
        return stratified(questions, options.limit, options.sample_seed)
    return questions[: options.first]


def _open_clients(stack: AsyncExitStack, app: App, options: OwnOptions) -> list[CachedClient]:
    """Return the clients of the mixtures and of the judges; they share the budget and the concurrency."""
    journals = [Journal(options.folder() / name) for name in ("calls.jsonl", "judge.jsonl")]
    for journal in journals:
        stack.callback(journal.close)
    ask, concurrency = bulk_retrier(app.ask_once, app.settings.rate), AdaptiveConcurrency(options.concurrency)
    budget = Budget(price_of(app.settings), options.max_cost, sum(journal.spent for journal in journals))
    return [CachedClient(ask, journal, concurrency=concurrency, budget=budget) for journal in journals]


def _judges(settings: Settings, options: OwnOptions, scorers: Sequence[Scorer]) -> tuple[Agent, ...]:
    """Return the judges. Raises UsageError where a scorer needs one and none is named."""
    judged = [scorer.name for scorer in scorers if isinstance(scorer, JudgedScorer)]
    if not judged:
        return ()
    if not options.judge:
        raise UsageError(f"--scorer {judged[0]} needs a judge.", hint="Name one with --judge.")
    own = options.judging
    return tuple(
        replace(
            find_judge(settings, name),
            temperature=own.temperature,
            max_tokens=own.max_tokens,
            reasoning=own.reasoning,
        )
        for name in dict.fromkeys(options.judge)
    )


def _manifest(out: Path, options: OwnOptions, arms: Sequence[ArmPlan]) -> dict[str, Any]:
    """Return the folder's manifest with these arms.

    Raises UsageError when the folder is another run's, or has another arm of the same name.
    """
    kept = run_folder.read_manifest(out)
    file = Path(options.source).expanduser()
    source = (
        str(file.absolute()) if file.is_file() else f"{options.source} {options.subset or ''} {options.split}"
    )
    if kept and (kept.get("benchmark") != "own" or Path(kept.get("source", "")).name != Path(source).name):
        raise UsageError(f"{out} holds a run of something else.", hint="Give another --out.")
    known: Mapping[str, Any] = kept.get("arms", {})
    made = {arm.name: run_folder.mixture_of(arm.plan) for arm in arms}
    for name, mixture in made.items():
        if known.get(name, mixture) != mixture:
            different = run_folder.differences(known[name], mixture)
            raise UsageError(
                f"{out} holds another arm {name} (different: {different}).",
                hint="Give it another name (name=…), the same options as before, or another --out.",
            )
    begun = kept.get("begun", run_folder.now())
    given = {
        key: str(getattr(options, key))
        for key in ("scorers", "epochs", "limit", "first", "sample_seed", "judge")
    }
    return {"benchmark": "own", "source": source, "begun": begun, "arms": {**known, **made}, "options": given}


def _folder_of(scorer: Scorer, scorers: Sequence[Scorer]) -> str:
    """Return the folder of a scorer; two whose names are the same as folders have a number."""
    name = folder_name(scorer.name)
    same = [each for each in scorers if folder_name(each.name) == name]
    return name if same[0] is scorer else f"{name}-{same.index(scorer) + 1}"


def _write_study(folder: Path, study: Study) -> None:
    for arm in study.arms:
        write_arm(folder / folder_name(arm.name), arm, study)


def _report(studies: Sequence[Study], report: Report) -> None:
    """Show the studies that have a score."""
    for study in studies:
        if any(outcome.score is not None for arm in study.arms for outcome in arm.outcomes):
            report(study)


def _write_results(out: Path, arms: Sequence[ArmPlan], asked: Sequence[Asked]) -> None:
    for arm in arms:
        write_rows(out / arm.folder / RESULTS, (each.row() for each in asked if each.arm is arm))


def _finish(
    streams: Streams, options: OwnOptions, ended: RunResult, studies: Sequence[Study], stats: CallStats
) -> ExitCode:
    """Say how the run ended, and return its exit code. Of several scorers the one with most misses counts."""
    lacking, whole, why = 0, 0, ""
    for study in studies:
        outcomes = [outcome for arm in study.arms for outcome in arm.outcomes]
        missing = [outcome for outcome in outcomes if outcome.score is None]
        if len(missing) >= lacking:
            lacking, whole, why = len(missing), len(outcomes), next((each.error for each in missing), "")
    text = f"{plural(lacking, 'score')} missing of {whole:,} ({why})" if lacking else ""
    if studies and lacking >= whole:
        text = f"no score at all, {text}"
    ended.say_end(streams.say, text, stats)
    streams.say(f"moa-bot: {options.folder()}, {cost_text(stats)}")
    # A run without any score has failed, however many errors are allowed.
    return ended.exit_code(lacking, min(options.max_errors, max(0, whole - 1)))
