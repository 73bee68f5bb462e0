"""`moa-bot eval …`: the paper's benchmarks and analyses. The work itself is in `bot.eval`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bot.cli import reports
from bot.cli.options import Given, with_options

if TYPE_CHECKING:
    from bot.cli.streams import Streams
    from bot.eval.benchmark import Stage
    from bot.eval.workbench import Options
    from bot.settings.settings import Settings

app = typer.Typer(
    help="Run the paper's evaluations (AlpacaEval 2.0, MT-Bench, FLASK) and its analyses.",
    no_args_is_help=True,
)

BENCHMARKS = {"alpaca_eval": "AlpacaEval 2.0", "mt_bench": "MT-Bench", "flask": "FLASK"}
WITHOUT_CONVERSATION = (
    "preset",
    "aggregator",
    "reference_models",
    "rounds",
    "temperature",
    "max_tokens",
    "reference_max_tokens",
    "min_references",
    "mode",
    "system",
    "system_file",
    "quiet",
    "verbose",
    "json",
    "demo",
    "endpoint",
    "num_proc",
    "seed",
    "rate",
    "timeout",
)
"""The options of a mixture, without those of a conversation and of a terminal."""

Out = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="DIR",
        help="The run's folder; evaluations/BENCH/NAME if not given.",
        show_default=False,
    ),
]
Limit = Annotated[
    int | None,
    typer.Option("--limit", min=1, metavar="N", help="Only the first N items.", show_default=False),
]
Judge = Annotated[
    str | None,
    typer.Option(
        "--judge",
        metavar="MODEL",
        help="The judge, at any endpoint (ENDPOINT:MODEL); the official one if not given.",
        show_default=False,
    ),
]
Concurrency = Annotated[
    int, typer.Option("--concurrency", min=1, max=4096, metavar="N", help="Requests under way at once.")
]
DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data_dir", metavar="DIR", help="Where the official files lie, to work offline.", show_default=False
    ),
]
Altered = Annotated[
    bool,
    typer.Option(
        "--accept_altered", help="Take files in --data_dir that are not the official ones, and say so."
    ),
]
MaxErrors = Annotated[
    int,
    typer.Option(
        "--max_errors", min=0, metavar="N", help="Fail when more than N items are without a figure."
    ),
]
MaxCost = Annotated[
    float | None,
    typer.Option(
        "--max_cost", min=0, metavar="DOLLARS", help="Stop before this is spent.", show_default=False
    ),
]
Name = Annotated[
    str | None,
    typer.Option(
        "--name", metavar="NAME", help="What to call the mixture in files and tables.", show_default=False
    ),
]


def _options(benchmark: str, **said: Any) -> Options:
    from bot.eval.workbench import Options

    return Options(benchmark=benchmark, **said)


def _stage(benchmark: str, stages: Sequence[Stage]) -> Callable[..., None]:
    """Make the command that runs these stages of a benchmark."""

    def command(
        ctx: typer.Context,
        *,
        out: Out = None,
        limit: Limit = None,
        judge: Judge = None,
        concurrency: Concurrency = 32,
        data_dir: DataDir = None,
        accept_altered: Altered = False,
        max_errors: MaxErrors = 0,
        max_cost: MaxCost = None,
        name: Name = None,
        given: Given,
    ) -> None:
        from bot.eval.evaluation import evaluate

        options = _options(
            benchmark,
            out=out,
            limit=limit,
            judge=judge,
            concurrency=concurrency,
            data_dir=data_dir,
            accept_altered=accept_altered,
            max_errors=max_errors,
            max_cost=max_cost,
            name=name,
        )
        _leave(ctx, given, lambda settings, streams: evaluate(settings, streams, options, tuple(stages)))

    return with_options(WITHOUT_CONVERSATION)(command)


def _score(benchmark: str) -> Callable[..., None]:
    """Make the command that makes a benchmark's figures: of a file, or of a run's folder."""

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
        out: Out = None,
        limit: Limit = None,
        data_dir: DataDir = None,
        accept_altered: Altered = False,
        max_errors: MaxErrors = 0,
        name: Name = None,
        given: Given,
    ) -> None:
        if file is not None:
            _score_file(benchmark, file, data_dir, as_json=bool(given.get("json")))
            return
        from bot.eval.evaluation import evaluate
        from bot.eval.workbench import SCORE_ONLY

        options = _options(
            benchmark,
            out=out,
            limit=limit,
            data_dir=data_dir,
            accept_altered=accept_altered,
            max_errors=max_errors,
            name=name,
        )
        _leave(ctx, given, lambda settings, streams: evaluate(settings, streams, options, SCORE_ONLY))

    return with_options(WITHOUT_CONVERSATION)(command)


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
    from bot.cli.app import leave
    from bot.cli.streams import Streams
    from bot.settings.resolve import resolve

    settings = resolve(given, ctx.find_root().obj)
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


@app.command()
@with_options(WITHOUT_CONVERSATION)
def sweep(
    ctx: typer.Context,
    *,
    benchmark: Annotated[str, typer.Argument(metavar="BENCH", help="alpaca_eval, mt_bench or flask.")],
    kinds: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[KIND]...",
            help="proposers, single, rounds, roles, rank; the first four if none is named.",
            show_default=False,
        ),
    ] = None,
    out: Out = None,
    limit: Limit = None,
    judge: Judge = None,
    concurrency: Concurrency = 32,
    data_dir: DataDir = None,
    accept_altered: Altered = False,
    max_errors: MaxErrors = 0,
    max_cost: MaxCost = None,
    given: Given,
) -> None:
    """Evaluate many mixtures made from one: numbers of proposers, rounds, roles; one table."""
    from bot.eval.sweep import SWEEPS

    said = (out, limit, judge, concurrency, data_dir, accept_altered, max_errors, max_cost)
    _sweep(ctx, given, benchmark, tuple(kinds or SWEEPS), said)


@app.command()
@with_options(WITHOUT_CONVERSATION)
def rank(
    ctx: typer.Context,
    *,
    benchmark: Annotated[str, typer.Argument(metavar="BENCH", help="alpaca_eval, mt_bench or flask.")],
    out: Out = None,
    limit: Limit = None,
    judge: Judge = None,
    concurrency: Concurrency = 32,
    data_dir: DataDir = None,
    accept_altered: Altered = False,
    max_errors: MaxErrors = 0,
    max_cost: MaxCost = None,
    given: Given,
) -> None:
    """Compare the mixture with its LLM-ranker: the same proposals, of which the aggregator picks one."""
    said = (out, limit, judge, concurrency, data_dir, accept_altered, max_errors, max_cost)
    _sweep(ctx, given, benchmark, ("rank",), said)


_SWEEP_FIELDS = (
    "out",
    "limit",
    "judge",
    "concurrency",
    "data_dir",
    "accept_altered",
    "max_errors",
    "max_cost",
)


def _sweep(
    ctx: typer.Context, given: Given, benchmark: str, kinds: Sequence[str], said: Sequence[Any]
) -> None:
    from bot.eval.sweep import sweep as run
    from bot.eval.workbench import name_of

    fields = dict(zip(_SWEEP_FIELDS, said, strict=True))

    def work(settings: Settings, streams: Streams) -> Any:
        name = f"{'rank' if kinds == ('rank',) else 'sweep'}-{name_of(settings)}"
        out = fields.pop("out") or Path("evaluations") / benchmark / name
        return run(settings, streams, _options(benchmark, out=out, name=name, **fields), kinds)

    _leave(ctx, given, work)
