"""Does the reply take after the better proposals? The paper's section 3.3, with its controls.

For each instruction the proposals are ranked twice: by how like the aggregator's reply they are, and
by how good they are. The Spearman correlation of the two, averaged over instructions, is the figure.
Beside it stand two things without which it would mislead:

    null      the same with the qualities shuffled among an instruction's proposals
    length    how long a proposal is, in the place of how like the reply it is

This tells of likeness, not of its cause: a longer proposal is both preferred and easier to resemble.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bot.eval.extras import needs_extra
from bot.eval.files import DataError, read_rows
from bot.eval.published import ALPACA_EVAL, PAPER_PROPOSERS
from bot.text.similarity import BLEU_LENGTH, bleu, levenshtein, tfidf
from bot.text.words import spaced

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

MEASURES = ("bleu_3", "bleu_4", "bleu_5", "levenshtein", "tfidf")
CONTROL = "length"
SHUFFLES = 100
SEED = 0

_FEWEST = 2
"""Proposals that can be ranked."""


@dataclass(frozen=True, slots=True)
class Instance:
    """One instruction: the reply, the proposals behind it, and how good each of them is (more is better)."""

    reply: str
    proposals: tuple[str, ...]
    preferences: tuple[float, ...]


def measure(instance: Instance, names: Sequence[str]) -> dict[str, list[float]]:
    """Return by measure each proposal's likeness to the reply, 0 to 1; for `length` its characters."""
    reply, proposals = instance.reply, instance.proposals
    found = _bleus(reply, proposals, [name for name in names if name.startswith("bleu_")])
    if "levenshtein" in names:
        found["levenshtein"] = [levenshtein(reply, each) for each in proposals]
    if "tfidf" in names:
        found["tfidf"] = tfidf([reply, *proposals])[0][1:]
    if CONTROL in names:
        found[CONTROL] = [float(len(each)) for each in proposals]
    return found


def analyse(
    instances: Iterable[Instance],
    measures: Sequence[str] = MEASURES,
    *,
    seed: int = SEED,
    shuffles: int = SHUFFLES,
    progress: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """Return for each measure, and for length, the mean correlation with its standard error.

    `null_mean` and `null_spread` are mean and standard deviation of that mean over `shuffles` seeded
    shuffles of the preferences. `n` counts the instructions that a correlation could be computed of:
    where all proposals are equally like the reply, or equally good, there is none. `progress` is
    told how many instructions are done. Raises UsageError where scipy is not installed.
    """
    with needs_extra("eval"):
        from scipy import stats  # type: ignore[import-untyped]  # it ships no types
    import numpy as np

    generator = np.random.default_rng(seed)
    names = [*measures, CONTROL]
    found: dict[str, list[float]] = {name: [] for name in names}
    null: dict[str, Floats] = {name: np.zeros(shuffles) for name in names}
    number = 0
    for number, instance in enumerate(instances, 1):
        count = len(instance.proposals)
        better = _standard(stats.rankdata(instance.preferences)) if count >= _FEWEST else None
        if better is not None:
            values = measure(instance, names)
            shuffled = generator.permuted(np.tile(better, (shuffles, 1)), axis=1)
            for name in names:
                nearer = _standard(stats.rankdata(values[name]))
                if nearer is not None:
                    found[name].append(float(nearer @ better))
                    null[name] += shuffled @ nearer
        if progress is not None:
            progress(number)
    rows = {name: _summary(found[name], null[name]) for name in names}
    return {
        "instructions": number,
        "seed": seed,
        "shuffles": shuffles,
        "measures": {name: rows[name] for name in measures},
        "control": {CONTROL: rows[CONTROL]},
        "notes": _notes(rows, measures),
    }


def recorded_instances(
    path: Path,
    aggregator: str,
    proposers: Sequence[str] = PAPER_PROPOSERS,
    preferences: Mapping[str, float] | None = None,
) -> list[Instance]:
    """Return the instances of a file of recorded answers, rows {instruction, outputs: {model: text}}.

    `preferences` says how good each proposer is, None: its published length-controlled win rate.
    Raises DataError for a file that cannot be read, or in which a model has no answer.
    """
    of_models = preferences or {model: rates[1] for model, rates in ALPACA_EVAL.items()}
    try:
        worth = tuple(of_models[model] for model in proposers)
    except KeyError as error:
        raise DataError(f"No win rate is known for {error}.", hint="say how good it is") from error
    instances = []
    for number, row in enumerate(read_rows(path), 1):
        outputs = row.get("outputs")
        lacking = [
            model
            for model in (aggregator, *proposers)
            if not isinstance(outputs, dict) or not isinstance(outputs.get(model), str)
        ]
        if lacking or not isinstance(outputs, dict):
            raise DataError(f"{path}, row {number}: no answer of {', '.join(lacking)}")
        texts = tuple(outputs[model] for model in proposers)
        instances.append(Instance(outputs[aggregator], texts, worth))
    return instances


def _bleus(reply: str, proposals: Sequence[str], names: Sequence[str]) -> dict[str, list[float]]:
    """Return BLEU of all orders named, counting each pair's words once: what `bleu` returns for each.

    The counts of the highest order hold those of the lower ones, and counting is what it costs.
    """
    from sacrebleu.metrics.bleu import BLEU

    orders = {name: int(name.removeprefix("bleu_")) for name in names}
    found: dict[str, list[float]] = {name: [] for name in names}
    metric = BLEU(max_ngram_order=max(orders.values(), default=1), effective_order=True)
    for proposal in proposals if names else ():
        if max(len(reply), len(proposal)) > BLEU_LENGTH or not reply.strip() or not proposal.strip():
            for name, order in orders.items():
                found[name].append(bleu(reply, proposal, order))
            continue
        counted = metric.sentence_score(spaced(reply), [spaced(proposal)])
        for name, order in orders.items():
            score = BLEU.compute_bleu(
                counted.counts[:order],
                counted.totals[:order],
                counted.sys_len,
                counted.ref_len,
                smooth_method=metric.smooth_method,
                effective_order=True,
                max_ngram_order=order,
            ).score
            found[name].append(min(score / 100, 1.0))
    return found


def _standard(ranks: Floats) -> Floats | None:
    """Return ranks with mean 0 and length 1, None when they are all the same."""
    import numpy as np

    centred = ranks - ranks.mean()
    length = float(np.linalg.norm(centred))
    return centred / length if length else None


def _summary(values: Sequence[float], null: Floats) -> dict[str, Any]:
    count = len(values)
    if not count:
        return {"mean": None, "standard_error": None, "null_mean": None, "null_spread": None, "n": 0}
    mean = math.fsum(values) / count
    spread = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / max(count - 1, 1))
    means = null / count
    return {
        "mean": mean,
        "standard_error": spread / math.sqrt(count) if count > 1 else None,
        "null_mean": float(means.mean()) if len(means) else None,
        "null_spread": float(means.std(ddof=1)) if len(means) > 1 else None,
        "n": count,
    }


def _notes(rows: Mapping[str, Mapping[str, Any]], measures: Sequence[str]) -> list[str]:
    length = rows[CONTROL]["mean"]
    means = [rows[name]["mean"] for name in measures if rows[name]["mean"] is not None]
    if length is None or not means or max(means) > length:
        return []
    note = (
        f"The proposals' length alone ({length:.3f}) goes with preference as well as any likeness does: "
        "the likeness shows no more than that."
    )
    return [note]
