"""`moa-bot batch`: a whole file or data set of prompts. The work itself is in `bot.batch`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bot.app.load_settings import load_settings
from bot.app.streams import Streams
from bot.batch.batch import BatchOptions
from bot.batch.run import run_batch
from bot.cli.boundary import run_async
from bot.cli.bulk_options import MIXTURE_OPTIONS, Concurrency, MaxCost
from bot.cli.options import Given, new_typer_app, with_options

typer_app = new_typer_app()


@typer_app.command()
@with_options(MIXTURE_OPTIONS)
def batch(
    ctx: typer.Context,
    *,
    source: Annotated[
        str,
        typer.Argument(metavar="FILE", help="JSONL, CSV, Parquet or text, or the name of a data set."),
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", help="Answers: .jsonl or .parquet.", show_default=False),
    ] = None,
    column: Annotated[
        str | None,
        typer.Option("--column", metavar="NAME", help="The column of the prompts.", show_default=False),
    ] = None,
    split: Annotated[str, typer.Option("--split", metavar="NAME", help="Of a data set.")] = "train",
    subset: Annotated[
        str | None,
        typer.Option("--subset", metavar="NAME", help="Of a data set.", show_default=False),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option("--limit", min=1, metavar="N", help="Only the first N rows.", show_default=False),
    ] = None,
    concurrency: Concurrency = 32,
    max_errors: Annotated[
        int,
        typer.Option("--max_errors", min=0, metavar="N", help="Fail when more than N rows have no reply."),
    ] = 0,
    max_cost: MaxCost = None,
    dry_run: Annotated[
        bool, typer.Option("--dry_run", help="Only say what it may cost; ask nothing.")
    ] = False,
    engine: Annotated[
        str, typer.Option("--engine", metavar="ENGINE", help="local, or ray: on a Ray cluster.")
    ] = "local",
    ray_address: Annotated[
        str | None,
        typer.Option(
            "--ray_address",
            metavar="ADDRESS",
            help="The cluster of --engine ray, such as 10.0.0.5:6379; else RAY_ADDRESS, else one made here.",
            show_default=False,
        ),
    ] = None,
    given: Given,
) -> None:
    """Answer every prompt of a file; killed at any moment, the same command goes on."""
    options = BatchOptions(
        source=source,
        out=out,
        column=column,
        split=split,
        subset=subset,
        limit=limit,
        concurrency=concurrency,
        max_errors=max_errors,
        max_cost=max_cost,
        dry_run=dry_run,
        engine=engine,
        ray_address=ray_address,
    )
    settings = load_settings(given, ctx.find_root().obj)
    streams = Streams.of_process()
    raise typer.Exit(run_async(streams, settings, lambda: run_batch(settings, streams, options)))
