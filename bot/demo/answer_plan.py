"""The plan of one answer: what is said, in which tokens, how fast, and what is odd about it.

    plan_answer ─► Plan  (changed by the faults of `faults`)  ─► output speaks it, at its Pace

A plan holds no connection and sends nothing.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any
from zlib import crc32

from bot.demo import DEMO_AGGREGATOR, DEMO_REFERENCES
from bot.demo.fault_rules import chance
from bot.demo.tokens import tokens_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping

    from bot.demo.behaviour import ModelBehaviour
    from bot.demo.chat_reader import Reading
    from bot.demo.output import Output


class NotRecordedError(Exception):
    """The recorded answers hold none for this prompt."""


@dataclass(slots=True)
class Plan:
    """An answer to be spoken.

    `reasoning` and `tokens` are said in this order, the first in the field `reasoning_field`.
    `acts` happen before token number n (from 0, thinking included), or at the end if there are
    fewer; an act that returns False ends the answer there. `content` is what the answer holds when
    no token is said: "", None, or no key at all (`no_content`). `hurried` tokens have no pace,
    `stamped` ones become the time at which they are sent. `top_logprobs` are those of the first token,
    sent with it.
    """

    number: int
    model: str
    prompt_tokens: int
    reasoning: list[str]
    tokens: Iterable[str]
    reasoning_field: str = "reasoning"
    reasoning_tokens: int = 0
    finish: str | None = "stop"
    usage: bool = True
    usage_chunk: bool = False
    endless: bool = False
    hurried: bool = False
    stamped: bool = False
    done: bool = True
    comments: bool = False
    choices: bool = True
    content: str | None = ""
    no_content: bool = False
    top_logprobs: Mapping[str, float] | None = None
    acts: dict[int, list[Callable[[Output], Awaitable[bool]]]] = field(default_factory=dict)

    def pieces(self) -> Iterator[tuple[str, str]]:
        """Yield (field, token) in the order in which they are said."""
        return chain(
            zip(repeat(self.reasoning_field), self.reasoning, strict=False),
            zip(repeat("content"), self.tokens, strict=False),
        )

    def usage_of(self, completion_tokens: int) -> dict[str, Any]:
        """Return the usage object after so many completion tokens, thinking included."""
        usage: dict[str, Any] = {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": completion_tokens,
            "total_tokens": self.prompt_tokens + completion_tokens,
        }
        if self.reasoning_tokens:
            usage["completion_tokens_details"] = {"reasoning_tokens": self.reasoning_tokens}
        return usage


class TokenTiming:
    """When each token is due, on an absolute schedule, so that the rate does not drift."""

    def __init__(self, behaviour: ModelBehaviour, model: str, number: int) -> None:
        self.gap = 1 / behaviour.tokens_per_second if behaviour.tokens_per_second else 0.0
        self.due = 0.0
        self._behaviour = behaviour
        self._seed = (behaviour.seed, model, number)
        self._drawn = 0

    def begin(self) -> None:
        """Let the schedule begin now: the first token is due after `first_token` seconds."""
        self.due = time.monotonic() + self.varied(self._behaviour.first_token)

    def advance(self) -> None:
        """Make the next token due."""
        if self.gap:
            self.due += self.varied(self.gap)

    def varied(self, seconds: float) -> float:
        """Return `seconds` with the programmed jitter, the same in every run."""
        if not self._behaviour.jitter or not seconds:
            return seconds
        self._drawn += 1
        return seconds * (1 + self._behaviour.jitter * (2 * chance(*self._seed, self._drawn) - 1))


def plan_answer(
    behaviour: ModelBehaviour,
    body: Mapping[str, Any],
    reading: Reading,
    *,
    number: int,
    nth: int,
    prompt_tokens: int,
) -> Plan:
    """Plan the answer to a valid request: request `number` of all, `nth` of this model (from 0).

    Raises NotRecordedError.
    """
    thinking = behaviour.reasoning if _may_think(body) else ""
    reasoning = tokens_of(thinking)
    field_name = behaviour.reasoning_field
    if thinking and field_name == "think":
        reasoning, field_name = tokens_of(f"<think>{thinking}</think>\n\n"), "content"
    stamped = behaviour.stamps is not None
    tokens = stamps(behaviour.stamps or 0) if stamped else tokens_of(_text(behaviour, body, reading, nth))
    finish = "stop"
    most = body.get("max_tokens") or body.get("max_completion_tokens")
    # An echo that is cut would be no JSON, and stamps are told their number.
    if most is not None and isinstance(tokens, list) and not behaviour.echo:
        if len(reasoning) + len(tokens) > most:
            finish = "length"
        reasoning, tokens = reasoning[:most], tokens[: max(0, most - len(reasoning))]
    asked = (body.get("stream_options") or {}) if body.get("stream") else {}
    return Plan(
        number=number,
        model=body["model"],
        prompt_tokens=prompt_tokens,
        reasoning=reasoning,
        tokens=tokens,
        stamped=stamped,
        reasoning_field=field_name,
        reasoning_tokens=len(reasoning),
        finish=finish,
        usage=behaviour.usage and asked.get("include_usage", True) is not False,
        usage_chunk=behaviour.usage_chunk,
        top_logprobs=behaviour.top_logprobs.get(reading.prompt) if body.get("logprobs") else None,
    )


def _may_think(body: Mapping[str, Any]) -> bool:
    """Tell whether the request leaves thinking on; services differ in how it is switched off."""
    reasoning = body.get("reasoning")
    template = body.get("chat_template_kwargs")
    switches = [reasoning.get("enabled")] if isinstance(reasoning, dict) else []
    if isinstance(template, dict):
        switches += [template.get("enable_thinking"), template.get("thinking")]
    return body.get("reasoning_effort") != "none" and False not in switches


def stamps(count: int) -> Iterator[str]:
    """Yield `count` tokens, each the monotonic time in seconds at which it was said."""
    for _ in range(count):
        yield f"{time.monotonic():.6f}\n"


def _text(behaviour: ModelBehaviour, body: Mapping[str, Any], reading: Reading, nth: int) -> str:
    """Return what the model says; the order of precedence is told in `behaviour`."""
    if behaviour.echo:
        return json.dumps(body, ensure_ascii=False)
    if behaviour.replies:
        return behaviour.replies[nth % len(behaviour.replies)]
    if behaviour.reply is not None:
        return behaviour.reply
    if behaviour.recorded is not None:
        text = behaviour.recorded.get(reading.prompt)
        if text is None:
            raise NotRecordedError
        return text
    # The models are kept off the way to listening; `serve` imports them right afterwards.
    from bot.demo.aggregator import aggregate
    from bot.demo.models import reference_answer

    program = behaviour.program or body["model"]
    if program == DEMO_AGGREGATOR:
        return aggregate(reading)
    if program not in DEMO_REFERENCES:
        program = DEMO_REFERENCES[crc32(program.encode(errors="replace")) % len(DEMO_REFERENCES)]
    return reference_answer(program, reading)
