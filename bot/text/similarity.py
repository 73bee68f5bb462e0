"""How similar two texts are: the measures of the Mixture-of-Agents paper (section 3.3), each 0 to 1.

    bleu          runs of words in common, by sacrebleu
    levenshtein   edits of single characters, by rapidfuzz
    tfidf         words in common, the rare ones counting more

Whole texts only: `bot.attribution.passages` finds which part of one text resembles which part of
another. The evaluations use these same functions.

Scripts written without spaces are compared by character (see `words`); for all other texts the
results are those of sacrebleu and of scikit-learn as they come.

What it costs: TF-IDF is linear in the texts' length. BLEU is linear too, but expensive, and edits are
quadratic, so both look at no more than the beginnings of very long texts: the same fraction of
each, so that their lengths keep their proportion. That begins with texts of `BLEU_LENGTH`
characters, and with two of about `EDIT_LENGTH` characters; below, nothing is left out.
"""

from __future__ import annotations

import math
from collections import Counter
from functools import cache
from typing import TYPE_CHECKING

from bot.text.words import spaced, terms

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sacrebleu.metrics.bleu import BLEU

Vector = dict[str, float]
"""Weights by word, of length 1 (or empty)."""

BLEU_LENGTH = 100_000
"""Characters of the longer text that BLEU looks at (a tenth of a second a pair)."""

EDIT_LENGTH = 32_768
"""Characters of each of two equally long texts that edits are counted in (0.03 s a pair)."""


def bleu(candidate: str, reference: str, order: int = 4) -> float:
    """Return sentence BLEU up to `order` words in a row (effective order), 0 to 1.

    It measures how much of `candidate` is in `reference`, and is not symmetric. 0 when one of them
    has no words.
    """
    if not candidate.strip() or not reference.strip():
        return 0.0
    candidate, reference = _beginnings(
        candidate, reference, BLEU_LENGTH / max(len(candidate), len(reference))
    )
    score: float = _metric(order).sentence_score(spaced(candidate), [spaced(reference)]).score
    return min(score / 100, 1.0)


def levenshtein(first: str, second: str) -> float:
    """Return 1 - edits / length of the longer text, 0 to 1; two empty texts are equal."""
    from rapidfuzz.distance import Levenshtein  # noqa: PLC0415 - takes long, and is for traces and evaluations only

    pairs = max(len(first) * len(second), 1)
    first, second = _beginnings(first, second, EDIT_LENGTH / math.sqrt(pairs))
    return Levenshtein.normalized_similarity(first, second)


def tfidf(texts: Sequence[str]) -> list[list[float]]:
    """Return the cosine of every two of `texts`, 0 to 1: row i, column j.

    The words of all `texts` together say which words are rare. The diagonal is 1, but 0 for a text
    without words.
    """
    vectors = tfidf_vectors(texts)
    cosines = [[0.0] * len(texts) for _ in texts]
    for row, vector in enumerate(vectors):
        for column in range(row + 1):
            cosines[row][column] = cosines[column][row] = _cosine(vector, vectors[column])
    return cosines


def tfidf_vectors(texts: Sequence[str]) -> list[Vector]:
    """Return each text's words with their weights, as scikit-learn's `TfidfVectorizer()` does."""
    counts = [Counter(terms(text)) for text in texts]
    rarity = inverse_frequency(counts)
    vectors = []
    for words in counts:
        weights = {word: count * rarity[word] for word, count in words.items()}
        length = math.sqrt(math.fsum(weight * weight for weight in weights.values()))
        vectors.append({word: weight / length for word, weight in weights.items()})
    return vectors


def inverse_frequency(counts: Sequence[Mapping[str, int]]) -> Vector:
    """Return ln((1 + n) / (1 + number of the n texts with the word)) + 1 for each word: at least 1."""
    frequency = Counter(word for words in counts for word in words)
    return {word: math.log((1 + len(counts)) / (1 + number)) + 1 for word, number in frequency.items()}


def _cosine(first: Vector, second: Vector) -> float:
    if first is second:
        return 1.0 if first else 0.0
    if len(second) < len(first):
        first, second = second, first
    return min(math.fsum(weight * second.get(word, 0.0) for word, weight in first.items()), 1.0)


def _beginnings(first: str, second: str, fraction: float) -> tuple[str, str]:
    """Return that fraction of both texts, at least a character; all of them from 1 on."""
    if fraction >= 1:
        return first, second
    return first[: math.ceil(len(first) * fraction)], second[: math.ceil(len(second) * fraction)]


@cache
def _metric(order: int) -> BLEU:
    from sacrebleu.metrics.bleu import BLEU  # noqa: PLC0415 - takes long, and is for traces and evaluations only

    return BLEU(max_ngram_order=order, effective_order=True)
