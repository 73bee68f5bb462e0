"""`moa-bot eval …`: the paper's benchmarks and analyses. The work itself is in `bot.eval`."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from bot.app.load_settings import load_settings
from bot.app.streams import Streams
from bot.cli import calibrate, own, reports
from bot.cli.boundary import run_async
from bot.cli.bulk_options import JUDGE_OPTIONS, EvalGiven, with_eval_options
from bot.cli.options import Given, new_typer_app
from bot.cli.output import print_json, print_text
from bot.errors import ExitCode, MoaError
from bot.eval.benchmark import Stage
from bot.eval.eval_context import SCORE_ONLY, EvalOptions, name_of
from bot.eval.evaluation import evaluate
from bot.eval.official_data import read_rows
from bot.eval.registry import open_benchmark
from bot.eval.report import by_model, figures_text
from bot.eval.sweep import SWEEPS
from bot.eval.sweep import sweep as run_sweep
from bot.settings.settings import Settings

typer_app = new_typer_app("Run the paper's evaluations (AlpacaEval 2.0, MT-Bench, FLASK) and its analyses.")

BENCHMARKS = {"alpaca_eval": "AlpacaEval 2.0", "mt_bench": "MT-Bench", "flask": "FLASK"}
STAGES: dict[str, tuple[tuple[Stage, ...], str]] = {
    "generate": (("generate",), "Have the mixture answer every item."),
    "judge": (("judge", "score"), "Have the judge judge the answers, and print the figures."),
    "run": (("generate", "judge", "score"), "Answer, judge and score."),
}
"""The commands of a benchmark: the stages that each runs, and its help."""


def _run(
    ctx: typer.Context, given: Given, work: Callable[[Settings, Streams], Coroutine[Any, Any, ExitCode]]
) -> None:
    """Run an evaluation with the settings in force, and end the program."""
    settings = load_settings(given, ctx.find_root().obj)
    streams = Streams.of_process()
    raise typer.Exit(run_async(streams, settings, lambda: work(settings, streams)))


def _stage_command(benchmark: str, stages: Sequence[Stage]) -> Callable[..., None]:
    """Make the command that runs these stages of a benchmark."""

    @with_eval_options()
    def command(ctx: typer.Context, *, eval_given: EvalGiven, given: Given) -> None:
        options = EvalOptions(benchmark=benchmark, **eval_given)
        _run(ctx, given, lambda settings, streams: evaluate(settings, streams, options, tuple(stages)))

    return command


def _score_command(benchmark: str) -> Callable[..., None]:
    """Make the command that computes a benchmark's figures, of a file or of a run's folder."""

    @with_eval_options(*JUDGE_OPTIONS, "concurrency", "max_cost", "dry_run")
    def command(
        ctx: typer.Context,
        *,
        file: Annotated[
            Path | None,
            typer.Argument(
                metavar="FILE",
                help="Judgments in the official format, packed or not; a run's own if not given.",
                show_default=False,
            ),
        ] = None,
        eval_given: EvalGiven,
        given: Given,
    ) -> None:
        if file is None:
            options = EvalOptions(benchmark=benchmark, **eval_given)
            _run(ctx, given, lambda settings, streams: evaluate(settings, streams, options, SCORE_ONLY))
            return
        figures = open_benchmark(benchmark, eval_given["data_dir"]).score(read_rows(file))
        if given.get("json"):
            print_json(figures)
        else:
            print_text(figures_text(benchmark, figures))
        if not any(each["n"] for each in by_model(benchmark, figures).values()):
            raise MoaError(f"{file}: no row has a score.")

    return command


def _add_benchmarks() -> None:
    for benchmark, title in BENCHMARKS.items():
        group = new_typer_app(f"{title}: generate, judge, score, or run all three.")
        for name, (stages, text) in STAGES.items():
            group.command(name, help=text)(_stage_command(benchmark, stages))
        group.command("score", help="Make the figures of recorded judgments.")(_score_command(benchmark))
        typer_app.add_typer(group, name=benchmark)


_add_benchmarks()
reports.register(typer_app)
calibrate.register(typer_app)
own.register(typer_app)


Bench = Annotated[str, typer.Argument(metavar="BENCH", help="alpaca_eval, mt_bench or flask.")]


@typer_app.command()
@with_eval_options("name")
def sweep(
    ctx: typer.Context,
    *,
    benchmark: Bench,
    kinds: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[KIND]...",
            help="proposers, single, rounds, roles, rank; the first four if none is named.",
            show_default=False,
        ),
    ] = None,
    eval_given: EvalGiven,
    given: Given,
) -> None:
    """Evaluate many mixtures made from one: numbers of proposers, rounds, roles; one table."""
    _sweep(ctx, given, benchmark, tuple(kinds or SWEEPS), eval_given)


@typer_app.command()
@with_eval_options("name")
def rank(ctx: typer.Context, *, benchmark: Bench, eval_given: EvalGiven, given: Given) -> None:
    """Compare the mixture with its LLM-ranker: the same proposals, of which the aggregator picks one."""
    _sweep(ctx, given, benchmark, ("rank",), eval_given)


def _sweep(
    ctx: typer.Context, given: Given, benchmark: str, kinds: Sequence[str], eval_given: EvalGiven
) -> None:
    def work(settings: Settings, streams: Streams) -> Coroutine[Any, Any, ExitCode]:
        name = f"{'rank' if kinds == ('rank',) else 'sweep'}-{name_of(settings)}"
        out = eval_given["out"] or Path("evaluations") / benchmark / name
        options = EvalOptions(benchmark=benchmark, **{**eval_given, "out": out, "name": name})
        return run_sweep(settings, streams, options, kinds)

    _run(ctx, given, work)
