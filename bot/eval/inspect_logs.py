"""Logs of inspect_ai as arms of a comparison.

inspect's own reader reads them, .eval and .json. The mixture's provider (`moa/PRESET`) leaves in the metadata
of each model output, under `moa`, what a turn came to: references, usage, cost, seconds.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bot.errors import UsageError, needs_extra
from bot.eval.arms import Arm, Outcome, Proposal

METADATA = "moa"
"""Where the provider's facts are in the metadata of a model output."""
GROUP = "group"
"""The field of a sample's metadata with what it has in common with others."""

_VALUES = {"C": 1.0, "P": 0.5, "I": 0.0, "N": 0.0, "yes": 1.0, "true": 1.0, "no": 0.0, "false": 0.0}
"""The values of scores that are words, as `inspect_ai.scorer.value_to_float` has them."""


def read_inspect_log(path: Path) -> Arm:
    """Return what the model of a log made of its samples.

    The score is that of the log's headline metric, else that of the first scorer: C is 1, P is 0.5, I and N
    are 0. Calls in a role of their own, such as a grader's, are not counted. Raises UsageError for a file
    that is no log of inspect_ai or has no samples.
    """
    with needs_extra("inspect"):
        from inspect_ai.log import read_eval_log  # noqa: PLC0415 - an extra
    try:
        log = read_eval_log(path, resolve_attachments="full")
    except Exception as error:
        # Whatever the readers of ZIP files, JSON and the schema raise.
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise UsageError(f"{path}: this is no log of inspect_ai: {_line(why or '')}") from error
    if not log.samples:
        raise UsageError(f"{path}: there are no samples in this log (its status is {log.status}).")
    chosen = _chosen_score(log)
    outcomes = tuple(_outcome(sample, log.eval.model, chosen) for sample in log.samples)
    turns = [turn for sample in log.samples for turn in _turns(_events(sample, log.eval.model))]
    members = tuple(dict.fromkeys(each["model"] for turn in turns for each in _last_round(turn)))
    writer = next((str(turn["model"]) for turn in turns if turn.get("model")), log.eval.model)
    return Arm(log.eval.model, "mixture" if members else "alone", outcomes, model=writer, members=members)


def _chosen_score(log: Any) -> tuple[str, str]:
    """Return (scorer, value's name) of the score that is compared, each "" for the first."""
    headline = getattr(log.results, "headline", None) if log.results else None
    if headline is None or headline.scorer is None:
        return "", ""
    return headline.scorer, headline.score or ""


def _outcome(sample: Any, model: str, chosen: tuple[str, str]) -> Outcome:
    events = _events(sample, model)
    turns = _turns(events)
    score, error = _score(sample.scores or {}, chosen)
    if sample.error is not None:
        score, error = None, _line(sample.error.message)
    group = (sample.metadata or {}).get(GROUP)
    usages = [event.output.usage for event in events]
    seconds = [event.working_time for event in events]
    if turns and len(turns) == len(events):
        seconds = [turn.get("seconds") for turn in turns]
        dollars = [turn.get("cost") for turn in turns]
    else:
        dollars = [usage.total_cost if usage else None for usage in usages]
    return Outcome(
        item=str(sample.id),
        score=score,
        group=group if isinstance(group, str) else "",
        epoch=sample.epoch,
        reply=sample.output.completion,
        proposals=tuple(
            Proposal(str(each["model"]), str(each["text"]))
            for each in (_last_round(turns[-1]) if turns else ())
            if each.get("text") and not each.get("error")
        ),
        calls=sum(turn["calls"] for turn in turns) + len(events) - len(turns),
        tokens=_sum([usage.total_tokens if usage else None for usage in usages]),
        dollars=_sum(dollars),
        seconds=_sum(seconds),
        first_word=turns[0].get("first_token") if len(turns) == len(events) == 1 else None,
        error=error,
    )


def _events(sample: Any, model: str) -> list[Any]:
    """Return the answered calls of the model that is evaluated."""
    return [
        event
        for event in sample.events
        if event.event == "model" and event.model == model and not event.role and event.output.choices
    ]


def _turns(events: Iterable[Any]) -> list[dict[str, Any]]:
    """Return the turns of a mixture in the calls, in order."""
    found = [(event.output.metadata or {}).get(METADATA) for event in events]
    return [turn for turn in found if isinstance(turn, dict) and isinstance(turn.get("calls"), int)]


def _last_round(turn: Mapping[str, Any]) -> list[dict[str, Any]]:
    rounds = turn.get("references")
    return list(rounds[-1]) if isinstance(rounds, list) and rounds else []


def _score(scores: Mapping[str, Any], chosen: tuple[str, str]) -> tuple[float | None, str]:
    """Return the score from 0 to 1 and "", or None and why there is none."""
    scorer, name = chosen
    found = scores.get(scorer) or next(iter(scores.values()), None)
    if found is None:
        return None, "it was not scored"
    value = found.value
    if isinstance(value, Mapping):
        value = value.get(name, next(iter(value.values()), None))
    number = _number(value)
    if number is None:
        why = found.reason or found.explanation
        return None, _line(str(why) if why else f"the score is no number: {value}")
    if not 0 <= number <= 1:
        return None, f"the score {number:g} is not between 0 and 1"
    return number, ""


def _number(value: object) -> float | None:
    """Return a score's value as a number, None where it is none or NaN, inspect's value for "not scored"."""
    if isinstance(value, str):
        value = _VALUES.get(value, _VALUES.get(value.lower(), value))
    try:
        number = float(value)  # type: ignore[arg-type]  # what is no number is an error
    except (TypeError, ValueError):
        return None
    return None if math.isnan(number) else number


def _sum(values: Sequence[float | None]) -> Any:
    known = [value for value in values if value is not None]
    return sum(known) if known and len(known) == len(values) else None


def _line(text: str) -> str:
    return " ".join(text.split())[:200]
