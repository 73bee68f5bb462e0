"""`moa-bot eval …`: the paper's benchmarks and analyses. The work itself is in `bot.eval`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bot.cli import reports
from bot.cli.bulk_options import Said, with_evaluation
from bot.cli.options import Given

if TYPE_CHECKING:
    from bot.app.streams import Streams
    from bot.eval.benchmark import Stage
    from bot.eval.eval_context import Options
    from bot.settings.settings import Settings

app = typer.Typer(
    help="Run the paper's evaluations (AlpacaEval 2.0, MT-Bench, FLASK) and its analyses.",
    no_args_is_help=True,
)

BENCHMARKS = {"alpaca_eval": "AlpacaEval 2.0", "mt_bench": "MT-Bench", "flask": "FLASK"}


def _options(benchmark: str, said: Said) -> Options:
    from bot.eval.eval_context import Options

    return Options(benchmark=benchmark, **said)


def _stage(benchmark: str, stages: Sequence[Stage]) -> Callable[..., None]:
    """Make the command that runs these stages of a benchmark."""

    @with_evaluation()
    def command(ctx: typer.Context, *, said: Said, given: Given) -> None:
        from bot.eval.evaluation import evaluate

        options = _options(benchmark, said)
        _leave(ctx, given, lambda settings, streams: evaluate(settings, streams, options, tuple(stages)))

    return command


def _score(benchmark: str) -> Callable[..., None]:
    """Make the command that makes a benchmark's figures: of a file, or of a run's folder."""

    @with_evaluation("judge", "concurrency", "max_cost")
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
        said: Said,
        given: Given,
    ) -> None:
        if file is not None:
            _score_file(benchmark, file, said["data_dir"], as_json=bool(given.get("json")))
            return
        from bot.eval.eval_context import SCORE_ONLY
        from bot.eval.evaluation import evaluate

        options = _options(benchmark, said)
        _leave(ctx, given, lambda settings, streams: evaluate(settings, streams, options, SCORE_ONLY))

    return command


def _score_file(benchmark: str, file: Path, data_dir: Path | None, *, as_json: bool) -> None:
    """Print the figures of a file that somebody's judge has made."""
    from bot.cli.output import put, put_json
    from bot.eval.score import score_file

    figures = score_file(benchmark, file, data_dir)
    if as_json:
        put_json(figures)
        return
    from bot.eval.report import figures_text

    put(figures_text(benchmark, figures))


def _leave(ctx: typer.Context, given: Given, work: Callable[[Settings, Streams], Any]) -> None:
    from bot.app.load_settings import load_settings
    from bot.app.streams import Streams
    from bot.cli.app import leave

    settings = load_settings(given, ctx.find_root().obj)
    streams = Streams.of_process()
    leave(streams, settings, lambda: work(settings, streams))


def _add_benchmarks() -> None:
    stages: dict[str, tuple[tuple[Stage, ...], str]] = {
        "generate": (("generate",), "Have the mixture answer every item."),
        "judge": (("judge", "score"), "Have the judge judge the answers, and print the figures."),
        "run": (("generate", "judge", "score"), "Answer, judge and score."),
    }
    for benchmark, title in BENCHMARKS.items():
        group = typer.Typer(help=f"{title}: generate, judge, score, or run all three.", no_args_is_help=True)
        for command, (of, text) in stages.items():
            group.command(command, help=text)(_stage(benchmark, of))
        group.command("score", help="Make the figures of recorded judgments.")(_score(benchmark))
        app.add_typer(group, name=benchmark)


_add_benchmarks()
reports.register(app)


Bench = Annotated[str, typer.Argument(metavar="BENCH", help="alpaca_eval, mt_bench or flask.")]


@app.command()
@with_evaluation("name")
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
    said: Said,
    given: Given,
) -> None:
    """Evaluate many mixtures made from one: numbers of proposers, rounds, roles; one table."""
    from bot.eval.sweep import SWEEPS

    _sweep(ctx, given, benchmark, tuple(kinds or SWEEPS), said)


@app.command()
@with_evaluation("name")
def rank(ctx: typer.Context, *, benchmark: Bench, said: Said, given: Given) -> None:
    """Compare the mixture with its LLM-ranker: the same proposals, of which the aggregator picks one."""
    _sweep(ctx, given, benchmark, ("rank",), said)


def _sweep(ctx: typer.Context, given: Given, benchmark: str, kinds: Sequence[str], said: Said) -> None:
    from bot.eval.eval_context import name_of
    from bot.eval.sweep import sweep as run

    def work(settings: Settings, streams: Streams) -> Any:
        name = f"{'rank' if kinds == ('rank',) else 'sweep'}-{name_of(settings)}"
        out = said["out"] or Path("evaluations") / benchmark / name
        return run(settings, streams, _options(benchmark, {**said, "out": out, "name": name}), kinds)

    _leave(ctx, given, work)
