"""One answer as it grows: text and thinking apart, usage, and how it ended. No network here."""

from __future__ import annotations

from time import monotonic

from bot.client.logprobs import TopLogprobs, top_logprobs
from bot.client.thinking import ThinkSplitter, split_thinking
from bot.errors import Failure
from bot.messages import Completion, Delta, Usage
from bot.text.numbers import duration

LONGEST_CALL = 1800.0
"""Seconds after which an answer that still comes is cut off: some models never stop."""
CHARACTERS_PER_TOKEN = 32
SPARE_CHARACTERS = 10_000
"""An answer longer than its tokens can be (and some) is not one that `max_tokens` was heeded for."""


class CompletionBuilder:
    """What has come of one answer: text and thinking apart, usage, how it ended."""

    def __init__(self, longest: float) -> None:
        self._longest = longest
        self._started = monotonic()
        self._splitter = ThinkSplitter()
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._first: float | None = None
        self._characters = 0
        self._top: TopLogprobs = ()
        self.usage = Usage()
        self.finish: str | None = None
        self.done = False

    def take(self, chunk: dict[str, object]) -> Delta | None:
        """Take in one chunk (or one whole completion); return what is new in it, if anything is."""
        if isinstance(usage := chunk.get("usage"), dict):
            self.usage = _usage(usage)
        choices = chunk.get("choices")
        if not (isinstance(choices, list) and choices and isinstance(choices[0], dict)):
            return None
        choice = choices[0]
        if isinstance(finish := choice.get("finish_reason"), str):
            self.finish = finish
        self._top = self._top or top_logprobs(choice)
        said = choice.get("delta") or choice.get("message")
        if not isinstance(said, dict):
            return None
        content, thought = said.get("content"), said.get("reasoning") or said.get("reasoning_content")
        text, thinking = self._splitter.feed(content) if isinstance(content, str) and content else ("", "")
        if isinstance(thought, str):
            thinking = thought + thinking
        return self._add(text, thinking)

    def close(self) -> Delta | None:
        """Return what the splitter held back."""
        return self._add(*self._splitter.close())

    def endless(self, max_tokens: int) -> str:
        """Say why the answer has to be cut off, "" while it has not."""
        if self._characters > max_tokens * CHARACTERS_PER_TOKEN + SPARE_CHARACTERS:
            return f"{self._characters:,} characters came, more than {max_tokens:,} tokens can be"
        if monotonic() - self._started > self._longest:
            return f"it was not over after {duration(self._longest)}"
        return ""

    @property
    def ended(self) -> bool:
        """Whether the service has said that the answer is over."""
        return self.finish is not None

    @property
    def started(self) -> bool:
        """Whether a word of the answer itself has come."""
        return bool(self._text)

    def completion(self, broken: Failure | None = None) -> Completion:
        """Return the answer as it stands; `broken` is what cut it off."""
        text = "".join(self._text)
        reasoning = "".join(self._reasoning)
        if not reasoning:
            text, reasoning = split_thinking(text)
        return Completion(
            text=text,
            reasoning=reasoning,
            usage=self.usage,
            finish_reason=self.finish,
            first_token=self._first,
            seconds=monotonic() - self._started,
            partial=broken.describe() if broken else "",
            truncation_kind=broken.kind if broken else None,
            top_logprobs=self._top,
        )

    def _add(self, text: str, thinking: str) -> Delta | None:
        if not (text or thinking):
            return None
        if self._first is None:
            self._first = monotonic() - self._started
        self._characters += len(text) + len(thinking)
        if text:
            self._text.append(text)
        if thinking:
            self._reasoning.append(thinking)
        return Delta(text, thinking)


def _usage(usage: dict[str, object]) -> Usage:
    def tokens(value: object) -> int | None:
        return value if isinstance(value, int) and value >= 0 else None

    details = usage.get("completion_tokens_details")
    reasoning = (
        details.get("reasoning_tokens") if isinstance(details, dict) else usage.get("reasoning_tokens")
    )
    return Usage(
        tokens(usage.get("prompt_tokens")), tokens(usage.get("completion_tokens")), tokens(reasoning)
    )
