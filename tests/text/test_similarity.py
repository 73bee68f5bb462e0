"""The measures of similarity: what they give, that they are the published ones, and that they stay cheap."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from running import in_time

from bot.text.similarity import bleu, levenshtein, tfidf

TEXTS = [
    "Cats purr for many reasons. A purr is not always a good sign!",
    "A cat that purrs isn't always content: some purr when hurt, x = 5.",
    "Die Katze schnurrt, weil sie zufrieden ist; naïve Gründe gibt's viele.",
    "cats CATS Cats and under_scored wörds 42 4 2",
    "",
    "? ! a b",
]


def test_equal_texts_are_wholly_alike() -> None:
    """A text is like itself to the full by every measure, in any script."""
    for text in (*TEXTS[:4], "猫はなぜ喉を鳴らすのですか。", "ทำไมแมวถึงครางล่ะ"):
        assert bleu(text, text) == pytest.approx(1)
        assert levenshtein(text, text) == 1
        assert tfidf([text, text])[0][1] == pytest.approx(1)


def test_different_texts_are_not_alike() -> None:
    """Texts that share no word have nothing in common for BLEU and TF-IDF."""
    assert bleu("one two three four five", "six seven eight nine ten") < 0.01
    assert tfidf(["one two three", "six seven eight"])[0][1] == 0


@pytest.mark.parametrize("empty", ["", " \n"])
def test_empty_texts_are_like_nothing(empty: str) -> None:
    """A text without words gives 0 by BLEU and TF-IDF, on either side, even with itself."""
    assert bleu(empty, "some words") == bleu("some words", empty) == bleu(empty, empty) == 0
    assert tfidf([empty, "some words"]) == [[0, 0], [0, 1]]
    assert levenshtein("", "some words") == 0
    assert levenshtein("", "") == 1
    assert tfidf([]) == []


def test_bleu_has_a_direction_and_an_order() -> None:
    """BLEU asks how much of the candidate stands in the reference, in runs of up to `order` words."""
    short, long = "the cat sat on the mat", "the cat sat on the mat and then it went away again"
    assert bleu(long, short) != bleu(short, long)
    scrambled = "mat the on sat cat the"
    scores = [bleu(scrambled, short, order) for order in (1, 2, 4)]
    assert scores[0] == pytest.approx(1)
    assert scores[0] > scores[1] > scores[2]


def test_scripts_without_spaces_are_compared_by_character() -> None:
    """Two Japanese sentences that differ in one word are much alike; they would have no word in common."""
    one, other = "猫は嬉しいときに喉を鳴らします", "猫は悲しいときに喉を鳴らします"
    assert bleu(one, other) > 0.6
    assert 0.7 < tfidf([one, other])[0][1] < 1
    assert bleu(one, "東京天気予報明日") < 0.1


@pytest.mark.slow
def test_tfidf_is_scikit_learns() -> None:
    """The cosines are those of scikit-learn's TfidfVectorizer with its default settings."""
    sklearn = pytest.importorskip("sklearn.feature_extraction.text")
    matrix = sklearn.TfidfVectorizer().fit_transform(TEXTS)
    expected = (matrix @ matrix.T).toarray()
    found = tfidf(TEXTS)
    for row, values in enumerate(found):
        assert values == pytest.approx(list(expected[row]), abs=1e-12)


def test_bleu_is_sacrebleus() -> None:
    """Scores are sacrebleu's sentence scores with effective order."""
    from sacrebleu.metrics.bleu import BLEU

    for order in (3, 4, 5):
        metric = BLEU(max_ngram_order=order, effective_order=True)
        for one, other in pairwise(TEXTS[:4]):
            assert bleu(one, other, order) == metric.sentence_score(one, [other]).score / 100


@given(st.text(max_size=60), st.text(max_size=60))
def test_every_measure_is_between_0_and_1(one: str, other: str) -> None:
    """Whatever the texts, each measure is a number from 0 to 1, and the symmetric ones are symmetric."""
    cosines = tfidf([one, other])
    for value in (bleu(one, other), levenshtein(one, other), cosines[0][1]):
        assert 0 <= value <= 1
    assert cosines[0][1] == cosines[1][0]
    assert levenshtein(one, other) == levenshtein(other, one)


@pytest.mark.slow
def test_very_long_texts_are_bounded() -> None:
    """Two texts of a million characters take seconds, not minutes, and a text stays like itself."""
    text = " ".join(f"word{number * 7919 % 4001}" for number in range(120_000))
    started = time.process_time()
    assert levenshtein(text, text[:-1] + "x") == 1  # the difference is beyond what is looked at
    assert bleu(text, text) == pytest.approx(1)
    assert in_time(time.process_time() - started, 5)
