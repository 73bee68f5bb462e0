"""`moa-bot eval own`: questions of one's own, asked of several arms. The work itself is in `bot.eval.own`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from bot.app.load_settings import load_settings
from bot.app.streams import Streams
from bot.cli.boundary import run_async
from bot.cli.bulk_options import EVAL_OPTIONS, EvalGiven, with_eval_options
from bot.cli.compare import report_study
from bot.cli.options import Given
from bot.eval.arms import Study
from bot.eval.own.arm_plans import folder_name
from bot.eval.own.run import OwnOptions, run_own
from bot.settings.settings import Settings

_SHARED = (
    *("out", "limit", "first", "sample_seed", "concurrency", "max_errors", "max_cost", "dry_run"),
    *("judge", "judge_temperature", "judge_max_tokens", "judge_reasoning"),
)
"""The options that it shares with the benchmarks."""

ARM_HELP = (
    "alone:MODEL, preset:NAME, or moa, fusion, critique, vote, rank; after it or alone, options as in"
    ' config.toml, such as "rounds=2 order=rotated name=mine". May be repeated.'
)


def register(typer_app: typer.Typer) -> None:
    """Add the command to the group `eval`."""
    typer_app.command()(own)


@with_eval_options(*(name for name in EVAL_OPTIONS if name not in _SHARED))
def own(
    ctx: typer.Context,
    *,
    file: Annotated[
        str,
        typer.Argument(metavar="FILE", help="JSONL, CSV, Parquet or text, or the name of a data set."),
    ],
    scorer: Annotated[
        list[str],
        typer.Option(
            "--scorer",
            metavar="NAME",
            help="exact, includes, number[:TOLERANCE], choice, regex[:PATTERN], json[:SCHEMA],"
            " rubric[:CRITERIA] or pairwise[:ARM]. May be repeated.",
        ),
    ],
    arm: Annotated[
        list[str] | None, typer.Option("--arm", metavar="ARM", help=ARM_HELP, show_default=False)
    ] = None,
    members: Annotated[
        bool, typer.Option("--members", help="Add each reference model and the aggregator, alone.")
    ] = False,
    columns: Annotated[
        str | None,
        typer.Option(
            "--columns",
            metavar="MAP",
            help="Such as prompt=question,target=answer; also messages, id, group.",
            show_default=False,
        ),
    ] = None,
    split: Annotated[str, typer.Option("--split", metavar="NAME", help="Of a data set.")] = "test",
    subset: Annotated[
        str | None, typer.Option("--subset", metavar="NAME", help="Of a data set.", show_default=False)
    ] = None,
    epochs: Annotated[
        int, typer.Option("--epochs", min=1, max=100, metavar="N", help="Ask each question N times.")
    ] = 1,
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="Write one self-contained page.", show_default=False),
    ] = None,
    eval_given: EvalGiven,
    given: Given,
) -> None:
    """Ask mixtures and lone models your own questions, and say which is better, and by how much."""
    outer = ctx.find_root().obj or {}
    eval_given.pop("rejudge", None)
    options = OwnOptions(
        source=file,
        scorers=tuple(scorer),
        arms=tuple(arm or ()),
        members=members,
        columns=columns,
        split=split,
        subset=subset,
        epochs=epochs,
        **eval_given,
    )
    settings = load_settings(given, outer)
    streams = Streams.of_process()

    def resolve(changes: Mapping[str, object], without: Sequence[str]) -> Settings:
        left_out = {*without, *changes, *(_SYSTEM if _SYSTEM & changes.keys() else ())}
        kept: list[dict[str, Any]] = [
            {name: value for name, value in level.items() if name not in left_out} for level in (given, outer)
        ]
        return load_settings({**kept[0], **changes}, kept[1])

    def report(study: Study) -> None:
        page = html
        if html and len(options.scorers) > 1:
            page = html.with_stem(f"{html.stem}-{folder_name(study.scorer)}")
        report_study(study, as_json=settings.json, html=page)

    raise typer.Exit(
        run_async(streams, settings, lambda: run_own(settings, streams, options, resolve, report))
    )


_SYSTEM = frozenset({"system", "system_file"})
"""Of these, an arm's replaces the command's other one."""
