"""`moa-bot eval calibrate`: how far a judge can stand in for the official one."""

from __future__ import annotations

from typing import Annotated

import typer

from bot.app.load_settings import load_settings
from bot.app.streams import Streams
from bot.cli.boundary import run_async
from bot.cli.bulk_options import EvalGiven, with_eval_options
from bot.cli.options import Given
from bot.eval.calibration import calibrate as run_calibration
from bot.eval.eval_context import EvalOptions


def register(typer_app: typer.Typer) -> None:
    """Add the command to the group `eval`."""
    typer_app.command()(calibrate)


@with_eval_options("name")
def calibrate(
    ctx: typer.Context,
    *,
    benchmark: Annotated[
        str,
        typer.Argument(metavar="[BENCH]", help="alpaca_eval or mt_bench; both if not given."),
    ] = "",
    models: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            metavar="NAME",
            help="A published model; repeatable. All with records if not given.",
            show_default=False,
        ),
    ] = None,
    eval_given: EvalGiven,
    given: Given,
) -> None:
    """Have judges judge recorded answers of published models, and compare them with the official judge."""
    settings = load_settings(given, ctx.find_root().obj)
    streams = Streams.of_process()
    options = EvalOptions(benchmark=benchmark, **eval_given)
    work = lambda: run_calibration(settings, streams, options, tuple(models or ()))  # noqa: E731 - run once
    raise typer.Exit(run_async(streams, settings, work))
