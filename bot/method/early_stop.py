"""Early stop: whether the answers of a round agree so well that further layers are not worth their cost.

Agreement is the mean similarity of every two answers of a round: the cosine of their TF-IDF vectors,
0 for no word in common, 1 for the same words. It says that the answers use the same words, not that
they are right. Over the 805 instructions of AlpacaEval, five open models of 2024 agree with 0.60 in
the median, with 0.75 or more for a tenth of the prompts (recipes, definitions, corrections) and with
less than 0.36 for another tenth (jokes, riddles, free writing). Where all answers are wrong together
they agree as well, and stopping keeps the rounds away that might have found it out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from bot.text.numbers import plural
from bot.text.similarity import tfidf

AGREEMENT = 0.75
"""The default threshold: answers of at least this mean similarity agree."""


@dataclass(frozen=True, slots=True)
class EarlyStop:
    """When a turn takes fewer layers than its plan has.

    `early_stop`: later rounds are skipped once the answers of one agree. `adaptive`: the same, and
    where the first round agrees already, the light aggregator writes the reply. With "shadow" the same is
    decided, but the turn takes all its rounds and keeps the reply that it would have had as well.
    `agreement` is the threshold, from 0 to 1.
    """

    early_stop: bool | Literal["shadow"] = False
    adaptive: bool = False
    agreement: float = AGREEMENT

    @property
    def is_shadow(self) -> bool:
        """Whether the decision is kept, and not followed."""
        return self.early_stop == "shadow"


@dataclass(frozen=True, slots=True)
class Decision:
    """What follows from a round: whether it was the last, and whether the light aggregator writes the reply.

    `similarity` is that of the round's answers, `reason` says what it means. `notice` says to the user what
    follows; "" when there is nothing to say.
    """

    stop: bool
    light: bool
    similarity: float
    reason: str
    notice: str


def agreement(answers: Sequence[str]) -> float | None:
    """Return the mean similarity of every two answers, None for fewer than two."""
    if len(answers) < 2:  # noqa: PLR2004 - one answer has nothing to agree with
        return None
    similarity = tfidf(answers)
    pairs = [similarity[first][second] for first, second in combinations(range(len(answers)), 2)]
    return sum(pairs) / len(pairs)


def decide(
    early_stop: EarlyStop, number: int, rounds: int, answers: Sequence[str], light: str | None = None
) -> Decision | None:
    """Return what follows from the answers of round `number` of `rounds`; None when nothing is to be decided.

    `light` is the light aggregator's name, if there is one.
    """
    if not (early_stop.early_stop or early_stop.adaptive):
        return None
    last = number == rounds
    may_be_light = early_stop.adaptive and number == 1 and light is not None
    if last and not may_be_light:
        return None
    found = agreement(answers)
    if found is None:
        return None
    limit = f"{early_stop.agreement:.2f}"
    if found < early_stop.agreement:
        reason = f"The answers of round {number} differ (similarity {found:.2f}, below {limit})"
        return Decision(
            stop=False,
            light=False,
            similarity=found,
            reason=reason,
            notice="" if last else f"{reason}: on to round {number + 1}.",
        )
    reason = f"The answers of round {number} agree (similarity {found:.2f}, {limit} is enough)"
    effects = _effects(number, rounds, light if may_be_light else None, shadow=early_stop.is_shadow)
    return Decision(
        stop=True, light=may_be_light, similarity=found, reason=reason, notice=f"{reason}: {effects}"
    )


def _effects(number: int, rounds: int, light: str | None, *, shadow: bool) -> str:
    """Return what follows where the answers of round `number` agree, as the end of a sentence."""
    left = rounds - number
    if shadow:
        skipped = f"round {rounds}" if left == 1 else f"rounds {number + 1} to {rounds}"
        how = f"without {skipped}" if left else f"by {light}"
        return f"a second reply, made {how}, is kept for `moa-bot eval depth`."
    effects = [f"round {rounds} is skipped" if left == 1 else f"{plural(left, 'more round')} are skipped"]
    if light:
        effects.append(f"{light} writes the reply")
    return f"{', '.join(effects if left else effects[1:])}."
