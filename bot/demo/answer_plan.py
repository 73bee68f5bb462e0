"""The plan of one answer: its tokens, their timing, and its faults.

plan_answer ─► AnswerPlan ─► fault_injection changes it ─► answer_writer sends it, timed by TokenTiming
"""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass, field
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any, Final, Protocol
from zlib import crc32

from bot.demo import DEMO_AGGREGATOR, DEMO_REFERENCES
from bot.demo.fault_rules import seeded_random

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence

    from bot.demo.behaviour import ModelBehaviour
    from bot.demo.chat_reader import ParsedChat
    from bot.demo.http_wire import Exchange

_TOKEN: Final = re.compile(r"\s{0,12}(?:\w{1,12}|[^\w\s]{1,12})|\s{1,12}")
_PER_MESSAGE: Final = 4
"""Tokens that every message of a prompt counts more than its text."""


class NotRecordedError(Exception):
    """There is no recorded answer to this prompt."""


class AnswerWriter(Protocol):
    """Sends an answer token by token, streamed or whole; the other methods are for faults."""

    exchange: Exchange

    async def start(self) -> None:
        """Start the answer."""

    async def write_token(self, name: str, text: str) -> None:
        """Write one token of the field `name`."""

    async def write_bytes(self, content: bytes) -> None:
        """Write these bytes as part of the text, without escaping them."""

    async def write_garbage(self, text: str) -> bool:
        """Write a text that is not JSON in place of JSON; returns whether the answer can go on."""

    async def write_error(self, error: dict[str, Any]) -> None:
        """End the answer with an error."""

    async def flush(self) -> None:
        """Send everything written so far, also in an answer that is sent whole."""

    async def finish(self, tokens: int) -> None:
        """End the answer after so many tokens."""


@dataclass(slots=True)
class AnswerPlan:
    """An answer to be sent.

    `reasoning` is sent first, in the field `reasoning_field`, then `tokens`. `actions` run before
    token number n (from 0, reasoning included), or at the end if there are fewer; one that returns
    False ends the answer. `content` is the content of an answer without tokens: "", None, or left
    out (`no_content`). `untimed` tokens are sent at once; with `timestamped`, each token becomes the
    time at which it is sent. `top_logprobs` are those of the first token, and sent with it.
    `piece_size` splits the body into chunks of so many bytes.
    """

    number: int
    model: str
    prompt_tokens: int
    reasoning: Sequence[str]
    tokens: Iterable[str]
    reasoning_field: str = "reasoning"
    reasoning_tokens: int = 0
    finish: str | None = "stop"
    usage: bool = True
    usage_chunk: bool = False
    cached_tokens: int | None = None
    endless: bool = False
    untimed: bool = False
    timestamped: bool = False
    done: bool = True
    comments: bool = False
    choices: bool = True
    content: str | None = ""
    no_content: bool = False
    top_logprobs: Mapping[str, float] | None = None
    piece_size: int | None = None
    actions: dict[int, list[Callable[[AnswerWriter], Awaitable[bool]]]] = field(default_factory=dict)

    def tokens_by_field(self) -> Iterator[tuple[str, str]]:
        """Yield (field, token) in the order in which they are sent."""
        return chain(
            zip(repeat(self.reasoning_field), self.reasoning, strict=False),
            zip(repeat("content"), self.tokens, strict=False),
        )

    def usage_after(self, completion_tokens: int) -> dict[str, Any]:
        """Return the usage object after so many completion tokens, reasoning included."""
        usage: dict[str, Any] = {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": completion_tokens,
            "total_tokens": self.prompt_tokens + completion_tokens,
        }
        if self.cached_tokens is not None:
            cached = min(self.cached_tokens, self.prompt_tokens)
            usage["prompt_tokens_details"] = {"cached_tokens": cached}
        if self.reasoning_tokens:
            usage["completion_tokens_details"] = {"reasoning_tokens": self.reasoning_tokens}
        return usage


class TokenTiming:
    """When each token is due, by an absolute schedule, so that the rate does not drift."""

    def __init__(self, behaviour: ModelBehaviour, model: str, number: int) -> None:
        self.interval = 1 / behaviour.tokens_per_second if behaviour.tokens_per_second else 0.0
        self.due = 0.0
        self._behaviour = behaviour
        self._seed = (behaviour.seed, model, number)
        self._drawn = 0

    def start(self) -> None:
        """Start the schedule: the first token is due after `first_token` seconds."""
        self.due = time.monotonic() + self.with_jitter(self._behaviour.first_token)

    def advance(self) -> None:
        """Set `due` to the time of the next token."""
        if self.interval:
            self.due += self.with_jitter(self.interval)

    def with_jitter(self, seconds: float) -> float:
        """Return `seconds` with the configured jitter, the same in every run."""
        if not self._behaviour.jitter or not seconds:
            return seconds
        self._drawn += 1
        return seconds * (1 + self._behaviour.jitter * (2 * seeded_random(*self._seed, self._drawn) - 1))


def tokens_of(text: str) -> list[str]:
    """Split `text` into tokens; `"".join(tokens_of(text)) == text` for every text."""
    return _TOKEN.findall(text)


def count_prompt(texts: Iterable[str]) -> int:
    """Return the prompt tokens of a chat whose messages hold these texts."""
    return sum(len(tokens_of(text)) + _PER_MESSAGE for text in texts)


def plan_answer(
    behaviour: ModelBehaviour,
    body: Mapping[str, Any],
    chat: ParsedChat,
    *,
    number: int,
    nth: int,
    prompt_tokens: int,
) -> AnswerPlan:
    """Return the plan for a valid request: `number` of all, and `nth` of this model (from 0).

    Raises NotRecordedError.
    """
    thoughts = behaviour.reasoning if _reasoning_allowed(body) else ""
    reasoning = tokens_of(thoughts)
    field_name = behaviour.reasoning_field
    if thoughts and field_name == "think":
        reasoning, field_name = tokens_of(f"<think>{thoughts}</think>\n\n"), "content"
    timestamped = behaviour.stamps is not None
    tokens = (
        timestamps(behaviour.stamps or 0) if timestamped else tokens_of(_text(behaviour, body, chat, nth))
    )
    finish = "stop"
    limit = body.get("max_tokens") or body.get("max_completion_tokens")
    # A truncated echo would not be JSON, and the number of timestamps is given.
    if limit is not None and isinstance(tokens, list) and not behaviour.echo:
        if len(reasoning) + len(tokens) > limit:
            finish = "length"
        reasoning, tokens = reasoning[:limit], tokens[: max(0, limit - len(reasoning))]
    options = (body.get("stream_options") or {}) if body.get("stream") else {}
    return AnswerPlan(
        number=number,
        model=body["model"],
        prompt_tokens=prompt_tokens,
        reasoning=reasoning,
        tokens=tokens,
        timestamped=timestamped,
        reasoning_field=field_name,
        reasoning_tokens=len(reasoning),
        finish=finish,
        usage=behaviour.usage and options.get("include_usage", True) is not False,
        usage_chunk=behaviour.usage_chunk,
        cached_tokens=behaviour.cached_tokens,
        top_logprobs=behaviour.top_logprobs.get(chat.prompt) if body.get("logprobs") else None,
    )


def _reasoning_allowed(body: Mapping[str, Any]) -> bool:
    """Return whether the request leaves reasoning on; services differ in how it is switched off."""
    reasoning = body.get("reasoning")
    template = body.get("chat_template_kwargs")
    switches = [reasoning.get("enabled")] if isinstance(reasoning, dict) else []
    if isinstance(template, dict):
        switches += [template.get("enable_thinking"), template.get("thinking")]
    return body.get("reasoning_effort") != "none" and False not in switches


def timestamps(count: int) -> Iterator[str]:
    """Yield `count` tokens, each the monotonic time in seconds."""
    for _ in range(count):
        yield f"{time.monotonic():.6f}\n"


def _text(behaviour: ModelBehaviour, body: Mapping[str, Any], chat: ParsedChat, nth: int) -> str:
    """Return the model's reply; the docstring of `behaviour` has the order of precedence."""
    if behaviour.echo:
        return json.dumps(body, ensure_ascii=False)
    if behaviour.replies:
        return behaviour.replies[nth % len(behaviour.replies)]
    if behaviour.reply is not None:
        return behaviour.reply
    if behaviour.recorded is not None:
        text = behaviour.recorded.get(chat.prompt)
        if text is None:
            raise NotRecordedError
        return text
    form = body.get("response_format")
    if isinstance(form, dict) and form.get("type") != "text" and not chat.compares:
        from bot.demo.json_sample import json_reply  # noqa: PLC0415 - `serve` imports the models once it listens

        described = form.get("json_schema")
        return json_reply(described.get("schema") if isinstance(described, dict) else None, chat)
    return _demonstrated(behaviour.program or body["model"], chat)


def _demonstrated(program: str, chat: ParsedChat) -> str:
    """Return the reply of a demonstration model; each of them can be the judge, or an author."""
    from bot.demo.aggregator import aggregate  # noqa: PLC0415 - `serve` imports the models once it listens
    from bot.demo.critique import review, revise  # noqa: PLC0415 - `serve` imports the models once it listens
    from bot.demo.judge import best_answer, compare  # noqa: PLC0415 - `serve` imports the models once it listens
    from bot.demo.models import reference_answer  # noqa: PLC0415 - `serve` imports the models once it listens

    if chat.compares:
        return compare(chat)
    if chat.ranks and chat.references:
        return best_answer(chat)
    if chat.draft:
        return revise(chat)
    if chat.reviews:
        return review(program, chat)
    if program == DEMO_AGGREGATOR:
        return aggregate(chat)
    if program not in DEMO_REFERENCES:
        program = DEMO_REFERENCES[crc32(program.encode(errors="replace")) % len(DEMO_REFERENCES)]
    return reference_answer(program, chat)
