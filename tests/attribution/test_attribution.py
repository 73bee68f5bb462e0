"""What a trace says of a reply and its proposals."""

from __future__ import annotations

import gzip
import json
import time
from itertools import permutations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from running import in_time

from bot.attribution import passages
from bot.attribution.attribution import attribute
from bot.attribution.passages import nearest_passages

PURR = "Purring is a self-regulating behaviour that calms the cat."
HURT = "It is not always a good sign, because hurt cats purr as well."
VET = "Take it to a veterinarian if it hides and refuses to eat."
BIG = "Lions and tigers are too large to purr in that manner."
REPLY = f"{PURR}\n\n{HURT}\n\n{VET}\n"


def test_each_block_finds_who_said_it() -> None:
    """A block is given to those that say nearly the same, the nearest first, and to nobody else."""
    found = attribute(
        REPLY, [("a", f"{PURR} {BIG}"), ("b", f"Sure! Hurt cats purr as well: {HURT}"), ("c", PURR)]
    )
    said = [[found.proposals[match.proposal].name for match in traced.matches] for traced in found.blocks]
    assert said == [["a", "c"], ["b"], []]
    assert found.blocks[0].matches[0].score == 1
    assert found.blocks[2].nearest is not None
    assert found.blocks[2].nearest.score < found.near


def test_shares_add_up() -> None:
    """Blocks count by their characters, ties are shared, and shares and the rest make the whole."""
    found = attribute(REPLY, [("a", PURR), ("b", HURT), ("c", PURR)])
    characters = len(PURR) + len(HURT) + len(VET)
    shares = [proposal.share for proposal in found.proposals]
    assert shares == pytest.approx(
        [len(PURR) / 2 / characters, len(HURT) / characters, len(PURR) / 2 / characters]
    )
    assert found.own == pytest.approx(len(VET) / characters)
    assert sum(shares) + found.own == pytest.approx(1)


def test_a_paraphrase_is_near_and_a_subject_alone_is_not() -> None:
    """The same statement in other words is near; another statement about the same thing is not."""
    found = attribute(
        "Smash: A powerful downward shot aimed to win the point.",
        [
            ("same", "Smash: A powerful, downward shot that aims to finish the rally quickly."),
            ("other", "Drop Shot: A soft, gentle shot that falls just over the net."),
        ],
    )
    assert [match.proposal for match in found.blocks[0].matches] == [0]


def test_sentences_joined_by_the_aggregator_are_found() -> None:
    """A block made of two neighbouring sentences of a proposal is its."""
    proposal = f"{BIG} {PURR} {HURT} {VET}"
    found = attribute(f"{PURR} {HURT}", [("a", proposal)])
    # All but the pair of words across the seam.
    assert found.blocks[0].matches[0].score > 0.98


def test_identical_proposals_are_equal() -> None:
    """Proposals with the same text get the same figures, and agree wholly."""
    first, second, third = (found := attribute(REPLY, [("a", HURT), ("b", HURT), ("c", BIG)])).proposals
    assert (first.bleu, first.edit, first.tfidf, first.share) == (
        second.bleu,
        second.edit,
        second.tfidf,
        second.share,
    )
    assert found.agreement[0][1] == pytest.approx(1)
    assert found.agreement[0][2] == found.agreement[2][0] < 0.5
    assert third.share == 0


def test_the_order_of_proposals_does_not_matter() -> None:
    """Each proposal's figures are the same wherever it stands."""
    proposals = [("a", f"{PURR} {VET}"), ("b", f"{HURT} {BIG}"), ("c", REPLY)]
    expected = {proposal.name: proposal for proposal in attribute(REPLY, proposals).proposals}
    for order in permutations(proposals):
        for proposal in attribute(REPLY, order).proposals:
            for figure in ("bleu", "edit", "tfidf", "share"):
                assert getattr(proposal, figure) == pytest.approx(getattr(expected[proposal.name], figure))


@pytest.mark.parametrize("reply", ["", " \n"])
def test_an_empty_reply_came_from_nowhere(reply: str) -> None:
    """Nothing is like an empty reply, an empty proposal included."""
    found = attribute(reply, [("a", PURR), ("b", "")])
    assert found.blocks == ()
    assert found.own == 0
    assert {(p.bleu, p.edit, p.tfidf, p.share) for p in found.proposals} == {(0, 0, 0, 0)}


def test_without_proposals_all_is_the_aggregators() -> None:
    """An aggregator that answered alone said everything itself."""
    found = attribute(REPLY, [])
    assert (found.proposals, found.agreement) == ((), ())
    assert found.own == pytest.approx(1)


def test_an_empty_proposal_is_like_nothing() -> None:
    """An empty proposal gets zeros and disturbs no other."""
    found = attribute(PURR, [("empty", ""), ("a", PURR)])
    assert (found.proposals[0].bleu, found.proposals[0].edit, found.proposals[0].tfidf) == (0, 0, 0)
    assert found.proposals[1].share == 1
    assert found.own == 0


def test_signs_without_words_are_recognised() -> None:
    """A block of signs or emoji alone is near to the same signs."""
    assert attribute("🎉🎉", [("a", "🎉🎉"), ("b", "words")]).proposals[0].share == 1


def test_japanese_blocks_are_found() -> None:
    """Text without spaces is compared too."""
    proposals = [("a", "猫は嬉しい時に喉を鳴らします。"), ("b", "今日は東京で雨が降る。")]
    found = attribute("猫は嬉しいときに喉を鳴らします。", proposals)
    assert [match.proposal for match in found.blocks[0].matches] == [0]


@pytest.mark.slow
def test_64_proposals() -> None:
    """64 equal proposals share the reply evenly, in little time."""
    started = time.process_time()
    found = attribute(REPLY * 5, [(f"m{number}", REPLY) for number in range(64)])
    assert [proposal.share for proposal in found.proposals] == pytest.approx([1 / 64] * 64)
    assert in_time(time.process_time() - started, 5)


@pytest.mark.slow
def test_a_very_long_reply_is_bounded() -> None:
    """A reply of 10,000 lines takes seconds, and each of its lines is still found."""
    lines = [f"Number {number} times {number * 7919 % 9973} makes some result" for number in range(10_000)]
    started = time.process_time()
    found = attribute(
        "\n".join(lines), [("first", "\n".join(lines[:5000])), ("second", "\n".join(lines[5000:]))]
    )
    assert in_time(time.process_time() - started, 30)
    assert len(found.blocks) == 10_000
    assert [proposal.share for proposal in found.proposals] == pytest.approx([0.5, 0.5], abs=0.02)


@pytest.mark.slow
def test_what_is_not_compared_is_said() -> None:
    """Texts beyond the bound are cut, and the trace says so."""
    paragraph = f"```\n{PURR * 20}\n```\n\n"
    text = paragraph * (1_100_000 // len(paragraph))
    found = attribute(text, [("a", text)])
    assert found.notes == (
        "Only the first 1,000,000 characters of the reply are compared.",
        "Only the first 1,000,000 characters of each proposal are compared.",
    )
    assert found.own == pytest.approx(0)


def test_a_cut_off_search_finds_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """With hardly any look-ups allowed, the rarest words still lead to the nearest passages."""
    sentences = [
        f"The {word} animal number {number} does purr" for number, word in enumerate("abcdefghij" * 20)
    ]
    blocks = [f"The animal number {number} does purr" for number in range(0, 200, 17)]
    whole = nearest_passages(blocks, [sentences, sentences[::-1]])
    monkeypatch.setattr(passages, "LOOKUPS", 0)
    monkeypatch.setattr(passages, "_FEWEST_LOOKUPS", 10)
    assert [max(row) for row in nearest_passages(blocks, [sentences, sentences[::-1]])] == pytest.approx(
        [max(row) for row in whole], abs=0.05
    )


TEXT = st.text(alphabet="abc .\n-猫。`|#", max_size=80)


@pytest.mark.slow
@given(TEXT, st.lists(TEXT, max_size=5))
def test_any_texts_can_be_traced(reply: str, texts: list[str]) -> None:
    """Whatever the texts, all figures lie between 0 and 1, shares add up, and the same comes out twice."""
    proposals = [(f"m{number}", text) for number, text in enumerate(texts)]
    found = attribute(reply, proposals)
    figures = [figure for p in found.proposals for figure in (p.bleu, p.edit, p.tfidf, p.share)]
    figures += [value for row in found.agreement for value in row]
    assert all(0 <= figure <= 1 + 1e-9 for figure in figures)
    whole = sum(proposal.share for proposal in found.proposals) + found.own
    assert whole == pytest.approx(1 if found.blocks else 0)
    assert attribute(reply, proposals) == found


@pytest.mark.slow
def test_recorded_replies_are_near_their_own_question_only(recorded: Path) -> None:
    """Recorded replies share many blocks with answers to their instruction, next to none with others'."""
    with gzip.open(recorded / "alpaca_eval" / "recorded_answers.jsonl.gz", "rt", encoding="utf-8") as lines:
        answers = [json.loads(line)["outputs"] for line, _ in zip(lines, range(30), strict=False)]
    models = ["Qwen1.5-110B-Chat", "Qwen1.5-72B-Chat", "dbrx-instruct"]
    own, other = 0.0, 0.0
    for number, outputs in enumerate(answers):
        stranger = answers[number - 1]
        own += attribute(outputs["Together-MoA"], [(model, outputs[model]) for model in models]).own
        other += attribute(outputs["Together-MoA"], [(model, stranger[model]) for model in models]).own
    assert own / len(answers) < 0.85
    assert other / len(answers) > 0.98
