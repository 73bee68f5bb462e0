"""How similar a reply is to the proposals it was made from.

    reply ─ blocks ─┐
                    ├─ passages ──► per block: who says nearly the same; per proposal: its share
    proposals ─ blocks (sentences)
    reply, proposals ─ similarity ─► per proposal: BLEU, edits, TF-IDF; who agrees with whom

Similarity is no proof. Models answer the same question alike without having read each other: on the
805 AlpacaEval instructions 39 % of the blocks of a model that read nobody (gpt4_1106_preview) are
near to one of five others' answers, and 36 % of Together-MoA's. An attribution says what is alike,
never what was copied.

What it costs: about 0.1 s for an ordinary turn with five proposals, 10 s when all of them and the
reply have 10,000 lines, half a minute for 64 proposals of any length. At most `REPLY_LENGTH`
characters of a reply are compared, and `PROPOSALS_LENGTH` of the proposals together, each cut at an
even share; `notes` says what was cut. `similarity` and `passages` say what they leave out of long
texts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bot.attribution.blocks import TextBlock, split_blocks
from bot.attribution.passages import nearest_passages
from bot.text.similarity import bleu, levenshtein, tfidf

if TYPE_CHECKING:
    from collections.abc import Sequence

NEAR = 0.4
"""The cosine from which on a proposal says nearly the same as a block.

Chosen by reading recorded replies: above it few pairs say different things, below it paraphrases
begin to mix with sentences that merely share their subject. Of a reply's blocks one in a thousand
comes that near to answers to another instruction.
"""

REPLY_LENGTH = 1_000_000
PROPOSALS_LENGTH = 4_000_000


@dataclass(frozen=True, slots=True)
class Proposal:
    """How similar the whole reply is to one proposal: each measure 0 to 1.

    `share` is the fraction of the reply's characters (in blocks) whose nearest proposal it is,
    among blocks that are near enough; proposals equally near share a block evenly.
    """

    name: str
    bleu: float
    edit: float
    tfidf: float
    share: float


@dataclass(frozen=True, slots=True)
class Match:
    """A proposal (its index in `Attribution.proposals`), and how near it is to a block, 0 to 1."""

    proposal: int
    score: float


@dataclass(frozen=True, slots=True)
class AttributedBlock:
    """A block of the reply with the proposals that say nearly the same, the nearest first.

    `nearest` is the best match even where it is not near, None where no word is shared.
    """

    block: TextBlock
    matches: tuple[Match, ...] = ()
    nearest: Match | None = None


@dataclass(frozen=True, slots=True)
class Attribution:
    """The comparison of a whole reply. `agreement[i][j]` is the TF-IDF cosine of proposals i and j, 0 to 1.

    `own` is the fraction of the reply's characters that no proposal is near to; shares and `own`
    add up to 1 (0 for a reply without text). `notes` say what was left out of the comparison.
    """

    proposals: tuple[Proposal, ...]
    blocks: tuple[AttributedBlock, ...]
    agreement: tuple[tuple[float, ...], ...]
    own: float
    near: float = NEAR
    notes: tuple[str, ...] = ()


def attribute(reply: str, proposals: Sequence[tuple[str, str]], near: float = NEAR) -> Attribution:
    """Compare a reply with its proposals, given as (name, text). `near`: see `NEAR`.

    The same texts always give the same result, and it does not depend on the proposals' order.
    """
    reply, texts, notes = _within_bounds(reply, [text for _, text in proposals])
    blocks = split_blocks(reply)
    sources = [[block.text for block in split_blocks(text, long=0)] for text in texts]
    scores = nearest_passages([block.text for block in blocks], sources)
    attributed = tuple(_attributed(block, row, near) for block, row in zip(blocks, scores, strict=True))
    shares, own = _shares(attributed, len(texts))
    cosines = [tuple(row) for row in tfidf([reply, *texts])]
    return Attribution(
        tuple(
            Proposal(name, bleu(reply, text), _edit(reply, text), cosine, share)
            for (name, _), text, cosine, share in zip(proposals, texts, cosines[0][1:], shares, strict=True)
        ),
        attributed,
        tuple(row[1:] for row in cosines[1:]),
        own,
        near,
        notes,
    )


def _within_bounds(reply: str, texts: list[str]) -> tuple[str, list[str], tuple[str, ...]]:
    notes = []
    if len(reply) > REPLY_LENGTH:
        notes.append(f"Only the first {REPLY_LENGTH:,} characters of the reply are compared.")
    each = min(REPLY_LENGTH, PROPOSALS_LENGTH // max(len(texts), 1))
    if any(len(text) > each for text in texts):
        notes.append(f"Only the first {each:,} characters of each proposal are compared.")
    return reply[:REPLY_LENGTH], [text[:each] for text in texts], tuple(notes)


def _edit(reply: str, text: str) -> float:
    # Two empty texts are equal for Levenshtein, but an empty reply is not made from anything.
    return levenshtein(reply, text) if reply.strip() and text.strip() else 0.0


def _attributed(block: TextBlock, scores: Sequence[float], near: float) -> AttributedBlock:
    ordered = sorted(
        (Match(index, score) for index, score in enumerate(scores) if score > 0),
        key=lambda match: (-match.score, match.proposal),
    )
    close = tuple(match for match in ordered if match.score >= near)
    return AttributedBlock(block, close, ordered[0] if ordered else None)


def _shares(blocks: Sequence[AttributedBlock], proposals: int) -> tuple[list[float], float]:
    """Return each proposal's share of the blocks' characters, and the share of no proposal."""
    total = sum(len(each.block.text) for each in blocks)
    shares = [0.0] * proposals
    own = 0.0
    for each in blocks:
        part = len(each.block.text) / total
        nearest = [match for match in each.matches if match.score == each.matches[0].score]
        for match in nearest:
            shares[match.proposal] += part / len(nearest)
        own += 0.0 if nearest else part
    return shares, own
