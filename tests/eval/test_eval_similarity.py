"""The paper's similarity analysis, with its null and its control."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from bot.bulk.files import write_rows
from bot.eval.official_data import DataError
from bot.eval.similarity import MEASURES, Instance, analyse, measure, recorded_instances
from bot.text.similarity import bleu

WORDS = ("the", "mixture", "of", "agents", "answers", "a", "question", "better", "than", "one", "model")


def made(count: int, *, copies: bool) -> list[Instance]:
    """Instances whose replies take after their best proposal, or after nothing."""
    generator = random.Random(7)
    instances = []
    for _ in range(count):
        proposals = [" ".join(generator.choices(WORDS, k=30)) for _ in range(5)]
        worth = generator.sample(range(5), 5)
        source = proposals[worth.index(4)] if copies else " ".join(generator.choices(WORDS, k=30))
        instances.append(Instance(source, tuple(proposals), tuple(map(float, worth))))
    return instances


PUBLISHED = {"bleu_3": 0.380, "bleu_4": 0.379, "bleu_5": 0.363, "levenshtein": 0.126, "tfidf": 0.329}


@pytest.mark.slow
def test_recorded_figures_of_together_moa(recorded: Path) -> None:
    """The recorded answers give the known correlations to within 0.005, and a null of about zero."""
    path = recorded / "alpaca_eval" / "recorded_answers.jsonl.gz"
    found = analyse(recorded_instances(path, "Together-MoA"))
    assert found["instructions"] == 805
    assert found["measures"].keys() == PUBLISHED.keys()
    for name, figure in found["measures"].items():
        assert figure["mean"] == pytest.approx(PUBLISHED[name], abs=0.005)
        assert figure["n"] >= 800
        assert 0.01 < figure["standard_error"] < 0.03
        assert abs(figure["null_mean"]) < 0.01
        assert figure["null_spread"] == pytest.approx(figure["standard_error"], rel=0.3)
    assert found["control"]["length"]["mean"] == pytest.approx(0.145, abs=0.005)


@pytest.mark.slow
@pytest.mark.parametrize(
    "texts", [("a b c d e", "a b c x e"), ("", "a"), ("十二 個", "十 二"), ("a", "a " * 60_000)]
)
def test_bleu_of_all_orders_at_once_is_that_of_each(texts: tuple[str, str]) -> None:
    """Counting words once for three orders gives what counting them for each order gives."""
    found = measure(Instance(texts[0], (texts[1],), (1.0,)), ["bleu_3", "bleu_4", "bleu_5"])
    assert found == {f"bleu_{order}": [pytest.approx(bleu(*texts, order))] for order in (3, 4, 5)}


@pytest.mark.slow
def test_a_copied_reply_is_found_and_chance_is_not() -> None:
    """Replies that copy the best proposal stand far above the null, unrelated ones within it."""
    for copies in (True, False):
        for figure in analyse(made(40, copies=copies))["measures"].values():
            above = (figure["mean"] - figure["null_mean"]) / figure["null_spread"]
            assert above > 4 if copies else above < 4


@pytest.mark.slow
def test_the_null_is_repeatable_and_its_seed_matters() -> None:
    """The same seed gives the same null; another seed another one, and the same figure."""
    instances = made(10, copies=False)
    first, again, other = (analyse(instances, ["tfidf"], seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first["measures"]["tfidf"]["null_mean"] != other["measures"]["tfidf"]["null_mean"]
    assert first["measures"]["tfidf"]["mean"] == other["measures"]["tfidf"]["mean"]


@pytest.mark.slow
def test_what_cannot_be_ranked_is_not_counted() -> None:
    """One proposal, equally good ones and equally near ones have no correlation, and are not n."""
    instances = [
        Instance("a b", ("a b",), (1.0,)),
        Instance("a b", ("a b", "b c"), (1.0, 1.0)),
        Instance("a b", ("c d", "c d"), (1.0, 2.0)),
        Instance("aa bb", ("aa bb", "cc"), (2.0, 1.0)),
    ]
    found = analyse(instances, ["levenshtein"])
    assert found["instructions"] == 4
    assert found["measures"]["levenshtein"]["n"] == 1
    assert found["measures"]["levenshtein"]["mean"] == pytest.approx(1.0)
    assert analyse([], ["tfidf"])["measures"]["tfidf"]["mean"] is None


@pytest.mark.slow
def test_a_similarity_no_better_than_length_is_noted() -> None:
    """Where length alone goes with preference as well as the similarity does, a note says so."""
    instances = [Instance("x" * 9, ("x" * 9, "x" * 5, "x"), (3.0, 2.0, 1.0))] * 3
    (note,) = analyse(instances, ["levenshtein"])["notes"]
    assert "length alone" in note
    assert not analyse(made(40, copies=True), ["tfidf"])["notes"]


def test_each_measure_has_one_value_a_proposal() -> None:
    """Similarity is 1 for the reply itself and less for others; length is in characters."""
    reply = "one two three four five six"
    instance = Instance(reply, (reply, "one two three", "nothing"), (1.0, 2.0, 3.0))
    found = measure(instance, [*MEASURES, "length"])
    for name in MEASURES:
        same, like, other = found[name]
        assert same == pytest.approx(1.0)
        assert same > like > other >= 0
    assert found["length"] == [27, 13, 7]


def test_a_model_without_an_answer_is_named(tmp_path: Path) -> None:
    """A recorded file that lacks a model's answer, or a proposer of unknown worth, is an error."""
    write_rows(tmp_path / "x.jsonl", [{"instruction": "q", "outputs": {"a": "1", "dbrx-instruct": "2"}}])
    path = tmp_path / "x.jsonl"
    assert recorded_instances(path, "a", ["dbrx-instruct"]) == [Instance("1", ("2",), (25.38,))]
    with pytest.raises(DataError, match="row 1: no answer of b"):
        recorded_instances(path, "b", ["dbrx-instruct"])
    with pytest.raises(DataError, match="No win rate is known for 'nobody'"):
        recorded_instances(path, "a", ["nobody"])
