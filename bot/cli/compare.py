"""`moa-bot eval compare`, and `report_study` for all commands that make a study: a comparison printed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from bot.bulk.files import replacing
from bot.cli.output import print_json, print_text, terminal_width
from bot.eval.arms import Study
from bot.eval.compare_runs import read_runs
from bot.eval.comparison import compare, comparison_json
from bot.eval.comparison_page import comparison_page
from bot.eval.comparison_text import comparison_text


def report_study(study: Study, *, as_json: bool = False, html: Path | None = None) -> None:
    """Print the figures of a study on stdout, as text or JSON, and write the page `html` if it is named.

    Raises MoaError (exit code 1) where no item is scored by all arms, and where the page cannot be written.
    """
    comparison = compare(study)
    if as_json:
        print_json(comparison_json(comparison))
    else:
        print_text(comparison_text(comparison, terminal_width()))
    if html:
        with replacing(html) as temporary:
            temporary.write_text(comparison_page(comparison), encoding="utf-8", errors="replace")
        print(f"moa-bot: {html}", file=sys.stderr)


def compare_runs(
    *,
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN...", help="Folders of runs, logs of inspect_ai (.eval), samples of lm-eval (.jsonl)."
        ),
    ],
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="Write one page with plots.", show_default=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare runs that answered the same questions, by intervals and tests: is the mixture worth it."""
    report_study(read_runs(runs), as_json=as_json, html=html)
