"""The length-controlled win rate: what the judge would prefer if both answers were equally long.

A logistic regression explains the preferences by three things: how much longer the baseline's
answer is, how difficult the instruction is, and who wins otherwise. The prediction leaves the first
one out. Judgments of two baselines that play to their length keep the fit honest about it.

Each row stands twice, as a win with weight w·y and as a loss with weight w·(1 - y), because the fit
knows labels only. The penalty is chosen by cross-validation: the same choice, by the same loss, as
scikit-learn's `LogisticRegressionCV`, written out because that takes no scores of such weighted
pairs without its metadata routing.

The error is that of a bootstrap: instructions are drawn with replacement, and all is fitted again
but the penalty. The spread of the predictions, which the official tool calls the standard error, is
no error of the rate: the judge's preferences enter it only through two fitted numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bot.errors import needs_extra
from bot.eval.alpaca_eval.data import Comparison

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

GAMED_WEIGHT = 0.1
"""0.2 for the regularisation as a whole, shared by two baselines."""

FOLDS = 5
SEED = 123
RESAMPLES = 100


def length_controlled(
    rows: Sequence[Comparison], gamed: Sequence[Comparison]
) -> tuple[list[float], list[float]]:
    """Return each row's probability to win at equal length, 0 … 1, and their means in resampled rows.

    Raises UsageError where scikit-learn is not installed.
    """
    with needs_extra("eval"):
        from sklearn.model_selection import GroupKFold  # type: ignore[import-untyped]  # noqa: PLC0415 - an extra
    import numpy as np  # noqa: PLC0415 - an extra

    both = [*rows, *gamed]
    features = np.array(
        [[math.tanh(row.length), row.difficulty, 1] for row in rows]
        + [[math.tanh(row.length), row.difficulty, 0] for row in gamed]
    )
    wins = np.array([row.preference for row in both])
    weights = np.array([1.0] * len(rows) + [GAMED_WEIGHT] * len(gamed))
    groups = [row.index for row in both]
    folds = list(GroupKFold(n_splits=FOLDS).split(features, groups=groups))
    strengths = np.logspace(-4, 4, 10)
    losses = []
    for strength in strengths:
        of_folds = []
        for train, test in folds:
            model = _regression(features[train], wins[train], weights[train], strength)
            chance = model.predict_proba(features[test])[:, 1].clip(1e-15, 1 - 1e-15)
            loss = wins[test] * np.log(chance) + (1 - wins[test]) * np.log(1 - chance)
            of_folds.append(-np.mean(loss * weights[test]))
        losses.append(np.mean(of_folds))
    best = strengths[int(np.argmin(losses))]

    def at_equal_length(weights: Floats) -> list[float]:
        _, gamma, theta = _regression(features, wins, weights, best).coef_[0].tolist()
        return [_sigmoid(theta + gamma * row.difficulty) for row in rows]

    generator = np.random.default_rng(SEED)
    means = []
    for _ in range(RESAMPLES):
        drawn = np.bincount(generator.integers(len(rows), size=len(rows)), minlength=len(rows))
        rates = at_equal_length(np.concatenate([drawn, weights[len(rows) :]]))
        means.append(float(np.average(rates, weights=drawn)))
    return at_equal_length(weights), means


def _regression(features: Floats, wins: Floats, weights: Floats, strength: float) -> Any:
    import numpy as np  # noqa: PLC0415 - an extra
    from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]  # noqa: PLC0415 - an extra

    model = LogisticRegression(
        C=strength, l1_ratio=1.0, solver="liblinear", fit_intercept=False, random_state=SEED
    )
    labels = np.repeat([1, 0], len(wins))
    return model.fit(
        np.vstack([features, features]),
        labels,
        sample_weight=np.concatenate([weights * wins, weights * (1 - wins)]),
    )


def _sigmoid(value: float) -> float:
    if value < 0:
        return 1 - _sigmoid(-value)
    return 1 / (1 + math.exp(-value))
