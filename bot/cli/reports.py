"""`moa-bot eval report`, `compare`, `similarity` and `depth`: figures of existing runs and answers."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from bot.cli.compare import compare_runs
from bot.cli.output import print_json, print_text, report_unreadable, terminal_width
from bot.errors import UsageError
from bot.eval import charts as drawing
from bot.eval.depth import THRESHOLD, Source, depth_text, figures, read_folder, stored_turns
from bot.eval.proposals import scored_turns, selection
from bot.eval.report import align, html_report, number, read_runs, text_report
from bot.eval.similarity import analyse, own_instances, recorded_instances
from bot.eval.stages import RESULTS
from bot.settings import paths
from bot.store import Store

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
RECORDED = ("recorded_answers.jsonl.gz", "recorded_answers.jsonl")


def register(typer_app: typer.Typer) -> None:
    """Add the commands to the group `eval`."""
    typer_app.command()(report)
    typer_app.command("compare")(compare_runs)
    typer_app.command()(similarity)
    typer_app.command()(depth)


def report(
    *,
    folders: Annotated[list[Path], typer.Argument(metavar="DIR...", help="Folders of runs and sweeps.")],
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="Write one self-contained page.", show_default=False),
    ] = None,
    pictures: Annotated[
        Path | None,
        typer.Option("--pictures", metavar="DIR", help="Write PNG and SVG files.", show_default=False),
    ] = None,
    charts: Annotated[bool, typer.Option("--charts/--no_charts", help="Draw in the terminal.")] = True,
    as_json: Json = False,
) -> None:
    """Show runs beside one another and beside the published figures."""
    runs = read_runs(folders)
    if as_json:
        print_json(runs)
    else:
        print_text(text_report(runs))
        width = terminal_width()
        if charts and width and (drawn := drawing.terminal_charts(runs, min(width, 110))):
            print_text("\n" + drawn)
    if html or pictures:
        figures = drawing.pictures(runs)
        if pictures:
            drawing.save_pictures(figures, pictures)
        if html:
            html.parent.mkdir(parents=True, exist_ok=True)
            html.write_text(
                html_report(runs, {name: drawing.svg(figure) for name, figure in figures.items()}),
                encoding="utf-8",
                errors="replace",
            )
            print(f"moa-bot: {html}", file=sys.stderr)


def similarity(
    *,
    answers: Annotated[
        Path,
        typer.Argument(
            metavar="PATH",
            help="The folder of a run; or recorded answers: lines with instruction, outputs {model: text}.",
        ),
    ],
    reply: Annotated[
        str, typer.Option("--reply", metavar="MODEL", help="Whose answers are the replies.")
    ] = "Together-MoA",
    limit: Annotated[
        int | None,
        typer.Option("--limit", min=1, metavar="N", help="Only the first N.", show_default=False),
    ] = None,
    as_json: Json = False,
) -> None:
    """Ask whether a mixture's replies are more like the better proposals (section 3.3 of the paper).

    In the folder of a run also how good the replies are beside the proposals, and how well one was chosen.
    """
    selected: dict[str, Any] | None = None
    if answers.is_dir() and (answers / RESULTS).is_file():
        turns = scored_turns(answers)[:limit]
        selected = selection(turns)
        figures = {**analyse(own_instances(turns)), "selection": selected}
    else:
        if answers.is_dir():
            found = [answers / name for name in RECORDED if (answers / name).is_file()]
            if not found:
                raise UsageError(f"{answers}: there is no {RESULTS} of a run and no {RECORDED[1]} in it.")
            answers = found[0]
        figures = analyse(recorded_instances(answers, reply)[:limit])
    if as_json:
        print_json(figures)
        return
    head = ["similarity", "mean", "± se", "shuffled", "n"]
    rows = [
        [
            name,
            number(row["mean"], 3),
            number(row["standard_error"], 3),
            number(row["null_mean"], 3),
            f"{row['n']:,}",
        ]
        for name, row in {**figures["measures"], **figures["control"]}.items()
    ]
    notes = [*figures["notes"], *(_selection_text(selected) if selected else ())]
    print_text(align([head, *rows]) + "\n\n" + "\n".join(notes))


def _selection_text(found: dict[str, Any]) -> list[str]:
    """Return what `selection` says in a sentence or two."""
    means = (number(found[key], 3) for key in ("reply", "best", "mean"))
    words = "Mean score of the replies {}, of the best proposal of each turn {}, of all proposals {}"
    lines = [f"{words.format(*means)} ({found['n']:,} turns)."]
    if found["chosen"]:
        lines.append(
            f"Of {found['chosen']:,} replies that are one of the proposals, {number(found['accuracy'], 1)} %"
            f" are the best one; blind choice would have {number(found['chance'], 1)} %."
        )
    return lines


def depth(
    *,
    folders: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="DIR",
            help="Folders of evaluations and batches; the kept conversations if none is named.",
            show_default=False,
        ),
    ] = None,
    threshold: Annotated[
        float,
        typer.Option(
            "--threshold", min=0, max=1, metavar="X", help="Replies that are less similar count as changed."
        ),
    ] = THRESHOLD,
    as_json: Json = False,
) -> None:
    """Show how often stopping early would have changed the reply (turns with --early_stop shadow)."""
    sources: list[Source]
    if folders:
        sources = [source for folder in folders for source in read_folder(folder)]
    else:
        with Store.open(paths.store_file(), report=report_unreadable) as store:
            sources = [stored_turns(store)]
    if not any(source.turns for source in sources):
        raise UsageError("There are no turns with --early_stop shadow in there.")
    rows = [figures(source, threshold) for source in sources]
    if as_json:
        print_json(rows)
    else:
        print_text(depth_text(rows))
