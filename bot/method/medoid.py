"""Which of several answers is most similar to the others."""

from __future__ import annotations

from collections.abc import Sequence

from bot.text.similarity import tfidf
from bot.turn_result import Call


def most_similar(calls: Sequence[Call]) -> str:
    """Return in words why `medoid` returns that call, of two or more."""
    return "the most similar to the others" if len(calls) > 2 else "the first of two"  # noqa: PLR2004


def medoid(calls: Sequence[Call]) -> Call:
    """Return the call whose answer is most similar to the others (by TF-IDF cosines), the first of a tie."""
    if len(calls) <= 2:  # noqa: PLR2004 - of two, neither is more similar to the other
        return calls[0]
    sums = [sum(row) for row in tfidf([call.answer for call in calls])]
    return calls[sums.index(max(sums))]
