"""Fits a request into the context length of the model that it is sent to.

The models' tokenizers are not available here, so tokens are estimated from characters, rather too
many than too few; where the estimate was too low, the service says so and `bot.method.model_call`
asks once more with a smaller budget. What is cut, in order of the least harm: the oldest messages
of the history, then the references to one common length, then the tokens left for the answer;
never the prompt.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from bot.messages import Image, Message
from bot.method.prompts import Evidence, Placement, compose, request_again, system_message
from bot.text.numbers import plural

TOKENS_PER_ASCII = 0.3
"""Tokens per ASCII character: English prose has about 0.22-0.25, code about 0.3-0.35."""
TOKENS_PER_OTHER = 1.0
"""Tokens per other character: Chinese and Japanese have about 0.6-1.0, most other scripts less."""
MESSAGE_TOKENS = 8
"""Tokens that a chat template puts around a message."""
ANSWER_TOKENS = 40
"""Tokens of the markers around a reference."""
MIN_REFERENCE = 64
"""Tokens: a reference shorter than this is of no use to its reader."""
MIN_ANSWER = 256
"""Tokens that a long prompt leaves for the answer at least."""
DROP_STEP = 0.25
"""Share of the context length by which the history is cut at once."""
CUT_MARK = "\n[… shortened to fit]"


def estimate_tokens(text: str) -> int:
    """Return about how many tokens `text` takes, rather too many than too few."""
    ascii_characters = len(text.encode("ascii", "ignore"))
    others = len(text) - ascii_characters
    return int(ascii_characters * TOKENS_PER_ASCII + others * TOKENS_PER_OTHER) + 1


def message_tokens(message: Message) -> int:
    """Return about how many tokens a message takes, with its tool calls and images."""
    calls = "".join(f"{call.id}{call.name}{call.arguments}" for call in message.tool_calls)
    return estimate_tokens(message.content + calls) + image_tokens(message.images) + MESSAGE_TOKENS


def image_tokens(images: Iterable[Image]) -> int:
    """Return about how many tokens images take."""
    return sum(image.tokens for image in images)


@dataclass(frozen=True, slots=True)
class Fitted:
    """A request's messages after fitting, and what was cut.

    `dropped` counts messages of the history left out, `shortened` references cut; `max_tokens`
    are left for the answer, `tightened` when fewer than were asked for. `excess` is by about how many
    tokens the rest, which is never cut, is too long.
    """

    messages: tuple[Message, ...]
    max_tokens: int
    dropped: int = 0
    shortened: int = 0
    tightened: bool = False
    excess: int = 0

    @property
    def whole(self) -> bool:
        """Whether nothing had to be cut."""
        return not (self.dropped or self.shortened or self.tightened or self.excess)


def shorten(text: str, tokens: int) -> str:
    """Return `text`, or where it takes more than about `tokens` tokens its beginning and a mark.

    It is cut at the end of a line or sentence where one is near, so that the reader gets whole
    sentences.
    """
    size = estimate_tokens(text)
    if size <= tokens:
        return text
    length = max(1, int(len(text) * tokens / size) - len(CUT_MARK))
    head = text[:length]
    for end in ("\n", ". ", " "):
        at = head.rfind(end, int(length * 0.8))
        if at > 0:
            head = head[: at + (end == ". ")]
            break
    return head.rstrip() + CUT_MARK


def even_cap(sizes: Sequence[int], total: int) -> int:
    """Return the largest cap with sum(min(size, cap)) <= total: the max-min fair share of `total`."""
    left, ascending = total, sorted(sizes)
    for index, size in enumerate(ascending):
        share = left // (len(ascending) - index)
        if size > share:
            return max(share, 0)
        left -= size
    return max(ascending, default=0)


def _drop(history: Sequence[Message], sizes: Sequence[int], needed: int, step: int) -> int:
    """Return how many messages at the beginning of the history to leave out.

    They free `needed` tokens, and more up to a multiple of `step`: cut a little more at every turn, no
    two requests would begin alike. A history that is shorter than that is cut as little as possible.
    What is kept begins with a question of the user's.
    """
    if needed <= 0:
        return 0
    goal = -(-needed // step) * step
    if goal >= sum(sizes):
        goal, step = needed, 1
    dropped = freed = 0
    while dropped < len(history):
        end = dropped + 1
        while end < len(history) and history[end].role != "user":
            end += 1
        size = sum(sizes[dropped:end])
        if freed + size > goal:
            if freed >= needed:
                break
            # The turn has to go: up to the next multiple at once, not in two turns.
            goal -= (goal - freed - size) // step * step
        freed += size
        dropped = end
    return dropped


def _tokens_around_answers(instruction: str, again: str, evidence: Evidence | None) -> int:
    """Return about how many tokens the readers of answers are sent beside them.

    `again` is the request once more after the answers, "" where it is not.
    """
    tokens = estimate_tokens(instruction) + (estimate_tokens(again) if again else 0)
    if evidence:
        tokens += estimate_tokens(evidence.text) + ANSWER_TOKENS * (len(evidence.runs) + 1)
    return tokens


def _cut(
    history: Sequence[Message], blocks: Sequence[str], room: int, max_tokens: int, context_length: int
) -> tuple[int, list[str], int]:
    """Cut the history and the blocks, so that they and an answer of `max_tokens` take `room` tokens.

    Returns how many messages of the history are dropped, the blocks, and the tokens that are left for the
    answer (below 0 where even the rest is too long).
    """
    sizes = [estimate_tokens(block) for block in blocks]
    history_sizes = [message_tokens(message) for message in history]

    available = room - max_tokens
    needed = sum(history_sizes) + sum(sizes) - available
    dropped = _drop(history, history_sizes, needed, max(1, int(context_length * DROP_STEP)))
    kept = sum(history_sizes[dropped:])

    shortened = list(blocks)
    if sum(sizes) > available:
        cap = max(even_cap(sizes, available), MIN_REFERENCE)
        shortened = [shorten(block, cap) for block in blocks]
    return dropped, shortened, room - kept - sum(map(estimate_tokens, shortened))


def fit(
    *,
    systems: Sequence[str | None],
    instruction: str,
    answers: Sequence[str],
    history: Sequence[Message],
    prompt: str,
    max_tokens: int,
    context_length: int | None,
    placement: Placement = "prompt",
    after: Sequence[Message] = (),
    comparison: str = "",
    task: str = "",
    more_tokens: int = 0,
    evidence: Evidence | None = None,
    images: Sequence[Image] = (),
) -> Fitted:
    """Return the request's messages, cut where needed so that they and the answer fit `context_length`.

    `context_length` is in tokens; None means unknown, and nothing is cut. A `comparison` is shortened like
    the answers, the prompt's `images` never. `more_tokens` are those of messages that will be added after
    these.
    """
    make = partial(
        compose,
        systems,
        prompt=prompt,
        instruction=instruction,
        placement=placement,
        after=after,
        task=task,
        evidence=evidence,
        images=images,
    )
    if context_length is None:
        return Fitted(make(history, answers=answers, comparison=comparison), max_tokens)

    fixed = estimate_tokens(system_message(systems)) + estimate_tokens(prompt) + 2 * MESSAGE_TOKENS
    fixed += sum(map(message_tokens, after)) + image_tokens(images)
    fixed += more_tokens + (estimate_tokens(task) if task else 0)
    blocks = [*answers, comparison] if comparison else list(answers)
    if answers:
        again = request_again(prompt) if placement == "prompt" else ""
        fixed += ANSWER_TOKENS * len(blocks) + _tokens_around_answers(instruction, again, evidence)
    dropped, shortened, left = _cut(history, blocks, context_length - fixed, max_tokens, context_length)
    allowed = min(max_tokens, max(left, MIN_ANSWER))
    return Fitted(
        messages=make(
            history[dropped:],
            answers=shortened[: len(answers)],
            comparison="".join(shortened[len(answers) :]),
        ),
        max_tokens=allowed,
        dropped=dropped,
        shortened=sum(before != after for before, after in zip(blocks, shortened, strict=True)),
        tightened=allowed < max_tokens,
        excess=max(-left, 0),
    )


def fit_notices(model: str, fitted: Fitted) -> list[str]:
    """Return what had to be cut for this model, and whether the request is too long all the same."""
    what = []
    if fitted.dropped:
        what.append("the oldest turns are left out")
    if fitted.shortened:
        what.append("the references are shortened")
    if fitted.tightened and not fitted.excess:
        what.append(f"only {fitted.max_tokens} tokens are left for the answer")
    notices = [f"To fit the context of {model}, {' and '.join(what)}."] if what else []
    if fitted.excess:
        notices.append(
            f"The request is about {plural(fitted.excess, 'token')} too long for the context of {model}:"
            " its service may refuse it, or leave out a part of it."
        )
    return notices


def limit_notice(model: str, tokens: int | None, asked: int, context: int | None) -> str:
    """Return which limit ended a reply of so many tokens: the one asked for, or the model's context."""
    # Servers count one token more or less.
    if tokens and tokens + 1 < asked:
        size = f" ({context:,} tokens)" if context else ""
        return (
            f"The reply ended after {tokens} tokens, before --max_tokens: the context of {model}{size} is"
            " full, or its service allows no more. Begin a new conversation, or give the model a larger"
            " context where it runs."
        )
    limit = f" ({tokens})" if tokens else ""
    return f"The reply ended at its limit of tokens{limit}: see --max_tokens."
