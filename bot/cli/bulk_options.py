"""The options that `moa-bot eval` and `moa-bot batch` share."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from bot.cli.options import REJUDGE_UNREADABLE, with_options
from bot.eval.judges import JudgeBy as JudgeByValue
from bot.eval.judges import JudgeOptions
from bot.messages import Reasoning
from bot.settings.options import OPTIONS, Group

_EXCLUDED = {"fallbacks", "deadline", "quorum", "grace"}
"""Every model is waited for and none is replaced, so that figures are those of the mixture as configured."""
_OTHER_OPTIONS = {"system", "system_file", "quiet", "verbose", "json"}
MIXTURE_OPTIONS = tuple(
    option.name
    for option in OPTIONS
    if option.name in _OTHER_OPTIONS
    or (option.group in {Group.MIXTURE, Group.ADVANCED} and option.name not in _EXCLUDED)
)
"""The options of a mixture, without those of a conversation and of a terminal."""

EvalGiven = dict[str, Any]
"""Options of an evaluation by name."""

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
    typer.Option(
        "--limit",
        min=1,
        metavar="N",
        help="Only N items: a random sample with a share of each category.",
        show_default=False,
    ),
]
First = Annotated[
    int | None,
    typer.Option("--first", min=1, metavar="N", help="Only the first N items.", show_default=False),
]
SampleSeed = Annotated[
    int, typer.Option("--sample_seed", metavar="N", help="Which random sample --limit takes.")
]
Judge = Annotated[
    list[str] | None,
    typer.Option(
        "--judge",
        metavar="MODEL",
        help="The judge, at any endpoint (ENDPOINT:MODEL); the official one if not given; repeatable.",
        show_default=False,
    ),
]
JudgeBy = Annotated[
    JudgeByValue,
    typer.Option(
        "--judge_by",
        help="How AlpacaEval's judge is read: by log probabilities, or by its words, asked in both orders.",
    ),
]
JudgeTemperature = Annotated[
    float | None,
    typer.Option(
        "--judge_temperature",
        min=0,
        max=2,
        metavar="X",
        help="Instead of the benchmark's.",
        show_default=False,
    ),
]
JudgeMaxTokens = Annotated[
    int | None,
    typer.Option(
        "--judge_max_tokens",
        min=1,
        metavar="N",
        help="The judge's longest answer, instead of the benchmark's.",
        show_default=False,
    ),
]
JudgeReasoning = Annotated[
    Reasoning | None,
    typer.Option(
        "--judge_reasoning",
        help="How much the judge thinks.",
        show_default=False,
    ),
]
Rejudge = Annotated[
    bool,
    typer.Option(
        "--rejudge",
        help="Make all judgments anew; --rejudge unreadable: those that could not be read.",
    ),
]
Proposals = Annotated[
    bool,
    typer.Option("--proposals", help="Judge the reference answers, too, for moa-bot eval similarity DIR."),
]
RejudgeUnreadable = Annotated[bool, typer.Option(f"--{REJUDGE_UNREADABLE}", hidden=True)]
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
        "--accept_altered", help="Accept files in --data_dir that are not the official ones, and say so."
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
DryRun = Annotated[
    bool, typer.Option("--dry_run", help="Only say what it may cost, the judge included; ask nothing.")
]
Name = Annotated[
    str | None,
    typer.Option(
        "--name", metavar="NAME", help="What to call the mixture in files and tables.", show_default=False
    ),
]

_EVAL_OPTIONS: dict[str, tuple[Any, object]] = {
    "out": (Out, None),
    "limit": (Limit, None),
    "first": (First, None),
    "sample_seed": (SampleSeed, 0),
    "judge": (Judge, None),
    "judge_by": (JudgeBy, "auto"),
    "judge_temperature": (JudgeTemperature, None),
    "judge_max_tokens": (JudgeMaxTokens, None),
    "judge_reasoning": (JudgeReasoning, None),
    "rejudge": (Rejudge, False),
    REJUDGE_UNREADABLE: (RejudgeUnreadable, False),
    "proposals": (Proposals, False),
    "concurrency": (Concurrency, 32),
    "data_dir": (DataDir, None),
    "accept_altered": (Altered, False),
    "max_errors": (MaxErrors, 0),
    "max_cost": (MaxCost, None),
    "dry_run": (DryRun, False),
    "name": (Name, None),
}
"""The options of an evaluation: type and default."""

EVAL_OPTIONS = tuple(_EVAL_OPTIONS)
"""Their names."""
JUDGE_OPTIONS = (*(name for name in _EVAL_OPTIONS if "judge" in name), "proposals")
"""Those about its judges."""


def with_eval_options(*without: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add the options of an evaluation and of its mixture to a command that takes `eval_given` and `given`.

    `without` names options of an evaluation that the command does not have.
    """
    chosen = [name for name in _EVAL_OPTIONS if name not in without]

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        signature = inspect.signature(command, eval_str=True)

        @wraps(command)
        def call(**arguments: Any) -> Any:
            eval_given = {name: arguments.pop(name) for name in chosen}
            return command(**arguments, eval_given=_with_judging(eval_given))

        own = [parameter for name, parameter in signature.parameters.items() if name != "eval_given"]
        added = [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                annotation=_EVAL_OPTIONS[name][0],
                default=_EVAL_OPTIONS[name][1],
            )
            for name in chosen
        ]
        call.__signature__ = signature.replace(  # type: ignore[attr-defined]  # what inspect reads
            parameters=[parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own + added]
        )
        # --judge is that of the evaluation here; a preset names its mixture's.
        return with_options([name for name in MIXTURE_OPTIONS if name not in _EVAL_OPTIONS])(call)

    return decorate


def _with_judging(given: EvalGiven) -> EvalGiven:
    """Return the options with those about judges as `EvalOptions` has them."""
    if "judge" not in given:
        return given
    names = ("temperature", "max_tokens", "reasoning", "by")
    judging = JudgeOptions(**{name: given[f"judge_{name}"] for name in names if f"judge_{name}" in given})
    rejudge = "unreadable" if given.get(REJUDGE_UNREADABLE) else "all" if given.get("rejudge") else None
    others = {name: value for name, value in given.items() if "judge" not in name}
    return {**others, "judge": tuple(given["judge"] or ()), "judging": judging, "rejudge": rejudge}
