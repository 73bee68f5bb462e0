"""Does the reply take after the better proposals? The paper's section 3.3, with its controls.

For each instruction the proposals are ranked twice: by how like the aggregator's reply they are, and
by how good they are. The Spearman correlation of the two, averaged over instructions, is the figure.
Beside it stand two things without which it would mislead:

    null      the same with the qualities shuffled among an instruction's proposals
    length    how long a proposal is, in the place of how like the reply it is

This shows similarity, not its cause: a longer proposal is both preferred and easier to resemble.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bot.errors import needs_extra
from bot.eval.alpaca_eval.data import LEADERBOARD
from bot.eval.official_data import DataError, read_rows
from bot.text.similarity import BLEU_LENGTH, bleu, levenshtein, tfidf
from bot.text.words import spaced

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from bot.eval.proposals import ScoredTurn

    Floats = NDArray[np.float64]

MEASURES = ("bleu_3", "bleu_4", "bleu_5", "levenshtein", "tfidf")
CONTROL = "length"
SHUFFLES = 100
SEED = 0
PROPOSERS = (
    "Qwen1.5-110B-Chat",
    "Qwen1.5-72B-Chat",
    "Mixtral-8x22B-Instruct-v0.1",
    "Meta-Llama-3-70B-Instruct",
    "dbrx-instruct",
)
"""The paper's reference models of which answers and win rates are published."""


@dataclass(frozen=True, slots=True)
class Instance:
    """One instruction: the reply, the proposals behind it, and how good each of them is (more is better)."""

    reply: str
    proposals: tuple[str, ...]
    preferences: tuple[float, ...]


def measure(instance: Instance, names: Sequence[str]) -> dict[str, list[float]]:
    """Return by measure each proposal's similarity to the reply, 0 to 1; for `length` its characters."""
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
    instances: Iterable[Instance], measures: Sequence[str] = MEASURES, *, seed: int = SEED
) -> dict[str, Any]:
    """Return for each measure, and for length, the mean Spearman correlation with its standard error.

    `null_mean` and `null_spread` are mean and standard deviation of that mean over seeded shuffles of
    the preferences. `n` counts the instructions that a correlation could be computed of: where all
    proposals are equally like the reply, or equally good, there is none. Raises UsageError where
    scipy is not installed.
    """
    with needs_extra("eval"):
        from scipy import stats  # type: ignore[import-untyped]  # noqa: PLC0415 - an extra
    import numpy as np  # noqa: PLC0415 - an extra

    generator = np.random.default_rng(seed)
    names = [*measures, CONTROL]
    found: dict[str, list[float]] = {name: [] for name in names}
    null: dict[str, Floats] = {name: np.zeros(SHUFFLES) for name in names}
    count = 0
    for instance in instances:
        count += 1
        better = _standardised(stats.rankdata(instance.preferences))
        if better is None:
            continue
        values = measure(instance, names)
        shuffled = generator.permuted(np.tile(better, (SHUFFLES, 1)), axis=1)
        for name in names:
            nearer = _standardised(stats.rankdata(values[name]))
            if nearer is not None:
                found[name].append(float(nearer @ better))
                null[name] += shuffled @ nearer
    rows = {name: _summary(found[name], null[name]) for name in names}
    return {
        "instructions": count,
        "seed": seed,
        "shuffles": SHUFFLES,
        "measures": {name: rows[name] for name in measures},
        "control": {CONTROL: rows[CONTROL]},
        "notes": _notes(rows, measures),
    }


def recorded_instances(path: Path, aggregator: str, proposers: Sequence[str] = PROPOSERS) -> list[Instance]:
    """Return the instances of a file of recorded answers, rows {instruction, outputs: {model: text}}.

    How good a proposer is, is its published length-controlled win rate. Raises DataError for a file
    that cannot be read, or in which a model has no answer.
    """
    try:
        preferences = tuple(LEADERBOARD[model][0] for model in proposers)
    except KeyError as error:
        raise DataError(f"No win rate is known for {error}.") from error
    instances = []
    for number, row in enumerate(read_rows(path), 1):
        outputs = row.get("outputs")
        texts = outputs if isinstance(outputs, dict) else {}
        missing = [model for model in (aggregator, *proposers) if not isinstance(texts.get(model), str)]
        if missing:
            raise DataError(f"{path}, row {number}: no answer of {', '.join(missing)}")
        proposals = tuple(texts[model] for model in proposers)
        instances.append(Instance(texts[aggregator], proposals, preferences))
    return instances


def own_instances(turns: Iterable[ScoredTurn]) -> list[Instance]:
    """Return the instances of a run's own turns whose proposals all have a score by its judge."""
    instances = []
    for each in turns:
        scores = tuple(score for score in each.proposals if score is not None)
        if len(scores) == len(each.proposals):
            texts = tuple(proposal.text for proposal in each.turn.proposals)
            instances.append(Instance(each.turn.reply, texts, scores))
    return instances


def _bleus(reply: str, proposals: Sequence[str], names: Sequence[str]) -> dict[str, list[float]]:
    """Return BLEU of all orders named, counting each pair's words once: what `bleu` returns for each.

    The counts of the highest order hold those of the lower ones, and counting is what it costs.
    """
    from sacrebleu.metrics.bleu import BLEU  # noqa: PLC0415 - takes long, and is for this figure only

    orders = {name: int(name.removeprefix("bleu_")) for name in names}
    found: dict[str, list[float]] = {name: [] for name in names}
    metric = BLEU(max_ngram_order=max(orders.values(), default=1), effective_order=True)
    for proposal in proposals if names else ():
        special = max(len(reply), len(proposal)) > BLEU_LENGTH or not reply.strip() or not proposal.strip()
        counted = None if special else metric.sentence_score(spaced(reply), [spaced(proposal)])
        for name, order in orders.items():
            if counted is None:
                found[name].append(bleu(reply, proposal, order))
                continue
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


def _standardised(ranks: Floats) -> Floats | None:
    """Return ranks with mean 0 and length 1, whose product is Spearman's; None when they are all the same."""
    import numpy as np  # noqa: PLC0415 - an extra

    centred = ranks - ranks.mean()
    length = float(np.linalg.norm(centred))
    return centred / length if length else None


def _summary(values: Sequence[float], null: Floats) -> dict[str, Any]:
    import numpy as np  # noqa: PLC0415 - an extra
    from scipy import stats  # noqa: PLC0415 - an extra

    count = len(values)
    if not count:
        return {"mean": None, "standard_error": None, "null_mean": None, "null_spread": None, "n": 0}
    means = null / count
    return {
        "mean": float(np.mean(values)),
        "standard_error": float(stats.sem(values)) if count > 1 else None,
        "null_mean": float(means.mean()),
        "null_spread": float(means.std(ddof=1)),
        "n": count,
    }


def _notes(rows: Mapping[str, Mapping[str, Any]], measures: Sequence[str]) -> list[str]:
    length = rows[CONTROL]["mean"]
    means = [rows[name]["mean"] for name in measures if rows[name]["mean"] is not None]
    if length is None or not means or max(means) > length:
        return []
    note = f"The proposals' length alone ({length:.3f}) goes with preference as well as any similarity does: "
    return [note + "the similarity shows no more than that."]
