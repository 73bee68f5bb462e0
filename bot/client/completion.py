"""One answer as it streams in: text and thinking apart, usage, first-token log probabilities, its end.

Pure: chunks of a chat completion in, deltas and a `Completion` out. Thinking comes by itself
(`bot.client.message_content`) or in the text between `<think>` and `</think>`; only a tag that
opens the text counts, so that a reply about the tag itself stays whole.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any

from bot.client.message_content import read_message
from bot.client.service_data import decimal_number
from bot.client.tool_calls import ToolCallBuilder
from bot.client.usage import read_usage
from bot.errors import Failure
from bot.messages import Completion, Delta, Usage
from bot.text.numbers import duration
from bot.text.repetition import RepetitionDetector
from bot.text.turn_end import TurnEndFilter
from bot.text.turn_markers import JOINER
from bot.text.words import is_blank

LONGEST_CALL = 1800.0
"""Seconds after which an answer that is still streaming is cut off: some models never stop."""
CHARACTERS_PER_TOKEN = 32
SPARE_CHARACTERS = 10_000
"""An answer longer than its tokens can be, plus these, comes from a service that ignores `max_tokens`."""
_LONGEST_REASON = 64
_CUT_SHORT = frozenset({"length", "content_filter"})
"""Reasons for the end of an answer that is not whole."""
_NO_REASONS = frozenset({"", "null"})
"""What some services write instead of null in every chunk."""
THINK_START, THINK_END = "<think>", "</think>"

TopLogprobs = tuple[tuple[str, float], ...]
"""Tokens with their natural-log probabilities, in the order of the service."""


class CompletionBuilder:
    """Collects the chunks of one answer. `longest` is in seconds; `clock` returns seconds.

    The answer ends at a turn marker, of which `turn_markers` are further ones.
    """

    def __init__(
        self, longest: float, clock: Callable[[], float] = monotonic, turn_markers: Sequence[str] = ()
    ) -> None:
        self._longest, self._clock = longest, clock
        self._started = clock()
        self._turn_end = TurnEndFilter(turn_markers)
        self._splitter = ThinkSplitter()
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._tagged: list[str] = []
        self._refusal: list[str] = []
        self._first_token: float | None = None
        self._characters = 0
        self._text_repetition, self._thinking_repetition = RepetitionDetector(), RepetitionDetector()
        self._top_logprobs: TopLogprobs = ()
        self._tool_calls = ToolCallBuilder()
        self.usage = Usage()
        self.finish_reason: str | None = None
        self.done = False
        self.words = 0
        """How many pieces of answer, thinking or tool calls have come that are not blank."""

    def add_chunk(self, chunk: dict[str, object]) -> Delta | None:
        """Add one chunk (or one whole completion); return the text or thinking in it, if there is any."""
        self.usage = read_usage(chunk, self.usage)
        choices = chunk.get("choices")
        if not (isinstance(choices, list) and choices and isinstance(choices[0], dict)):
            return None
        choice = choices[0]
        if isinstance(finish := choice.get("finish_reason"), str) and finish not in _NO_REASONS:
            self.finish_reason = finish[:_LONGEST_REASON]
        self._top_logprobs = self._top_logprobs or top_logprobs(choice)
        message = choice.get("delta") or choice.get("message")
        if not isinstance(message, dict):
            return None
        content, thought, refusal = read_message(message)
        content = self._turn_end.feed(content)
        text, tagged = self._splitter.feed(content) if content else ("", "")
        self._tagged.append(tagged)
        if characters := self._tool_calls.add(message):
            self._characters += characters
            self.words += 1
        if refusal:
            self._refusal.append(refusal)
            self._characters += len(refusal)
            self.words += not is_blank(refusal)
        return self._add(text, thought.replace(JOINER, "") + tagged)

    def close(self, *, ended_well: bool) -> Delta | None:
        """Return the text or thinking that was held back, now that the stream is over.

        If it ended well inside a `<think>` that was never closed, what followed the tag is the answer.
        """
        text, tagged = self._splitter.feed(self._turn_end.close())
        last_text, last_tagged = self._splitter.close()
        text, tagged = text + last_text, tagged + last_tagged
        if ended_well and self._splitter.thinks and self.finish_reason not in _CUT_SHORT:
            text = ("".join(self._tagged) + tagged).lstrip()
            field = "".join(self._reasoning).replace("".join(self._tagged), "", 1)
            self._reasoning, tagged = [field], ""
        return self._add(text, tagged)

    def over_limit(self, max_tokens: int) -> str:
        """Return why the answer has to be cut off, "" while it is within its limits."""
        if self.repetition:
            return self.repetition
        if self._thinking_repetition.end is not None:
            return f"its thinking repeats itself from character {self._thinking_repetition.end:,} on"
        if self._characters > max_tokens * CHARACTERS_PER_TOKEN + SPARE_CHARACTERS:
            return f"{self._characters:,} characters came, more than {max_tokens:,} tokens can be"
        if self._clock() - self._started > self._longest:
            return f"it was not over after {duration(self._longest)}"
        return ""

    @property
    def repetition(self) -> str:
        """Where the text began to repeat itself without end, "" when it does not."""
        end = self._text_repetition.end
        return "" if end is None else f"it repeats itself from character {end:,} on"

    @property
    def refusal(self) -> str:
        """The words with which the model refuses to answer, "" when it does not."""
        words = "".join(self._refusal).strip()
        return words or ("it gave no reason" if self.finish_reason == "refusal" else "")

    @property
    def ended_by_marker(self) -> bool:
        """Whether the model has begun a further turn: the answer is over, the rest is not read."""
        return self._turn_end.ended

    @property
    def finished(self) -> bool:
        """Whether the service has said that the answer is over."""
        return self.finish_reason is not None

    @property
    def has_text(self) -> bool:
        """Whether some text of the answer itself, not only thinking or blanks, has come."""
        return not is_blank("".join(self._text))

    def completion(self, truncated_by: Failure | None = None) -> Completion:
        """Return the answer so far; `truncated_by` is what cut it off.

        A text that repeats itself ends with the first of the repeated units.
        """
        text = "".join(self._text)[: self._text_repetition.end]
        reasoning = "".join(self._reasoning)
        if not reasoning:
            text, reasoning = split_thinking(text)
        return Completion(
            text=text,
            reasoning=reasoning,
            usage=self.usage,
            finish_reason="stop" if self.ended_by_marker else self.finish_reason,
            first_token=self._first_token,
            seconds=self._clock() - self._started,
            partial=truncated_by.describe() if truncated_by else "",
            truncation_kind=truncated_by.kind if truncated_by else None,
            top_logprobs=self._top_logprobs,
            # The arguments of an answer that broke off may be a part of what was to come.
            tool_calls=() if truncated_by else self._tool_calls.calls(),
        )

    def _add(self, text: str, thinking: str) -> Delta | None:
        if not (text or thinking):
            return None
        if self._first_token is None:
            self._first_token = self._clock() - self._started
        self._characters += len(text) + len(thinking)
        self.words += not (is_blank(text) and is_blank(thinking))
        if text:
            self._text.append(text)
            self._text_repetition.feed(text)
        if thinking:
            self._reasoning.append(thinking)
            self._thinking_repetition.feed(thinking)
        return Delta(text, thinking)


class ThinkSplitter:
    """Splits streamed text into answer and thinking, wherever the pieces are cut.

    `feed` returns `(text, thinking)` for a piece; `close` returns what was held back.
    """

    def __init__(self) -> None:
        self._held = ""
        self._state = "start"
        self._blanks: list[str] = []

    def feed(self, piece: str) -> tuple[str, str]:
        """Return the text and the thinking that are certain by now."""
        if self._state == "text":
            return piece, ""
        if self._state == "start" and not self._held and (not piece or piece.isspace()):
            self._blanks.append(piece)
            return "", ""
        self._held += piece
        if self._state == "start":
            lead = self._held.lstrip()
            if lead.startswith(THINK_START):
                self._held, self._state = lead[len(THINK_START) :], "thinking"
            elif THINK_START.startswith(lead):
                return "", ""
            else:
                return "".join(self._blanks) + self._release("text"), ""
        if self._state == "thinking":
            return self._feed_thinking()
        # After the thinking, the blank lines before the answer are not part of it.
        self._held = self._held.lstrip()
        return (self._release("text"), "") if self._held else ("", "")

    @property
    def thinks(self) -> bool:
        """Whether `<think>` has come and `</think>` has not."""
        return self._state == "thinking"

    def close(self) -> tuple[str, str]:
        """Return what was held back, the stream being over."""
        held, self._held = self._held, ""
        if self._state == "start":
            held = "".join(self._blanks) + held
        return ("", held) if self._state == "thinking" else (held, "")

    def _release(self, state: str) -> str:
        held, self._held, self._state = self._held, "", state
        return held

    def _feed_thinking(self) -> tuple[str, str]:
        thinking, tag, rest = self._held.partition(THINK_END)
        if tag:
            self._state, self._held = "after", rest.lstrip()
            return (self._release("text") if self._held else ""), thinking
        # The end may be the first part of the closing tag: hold that much back.
        keep = next((n for n in range(len(THINK_END) - 1, 0, -1) if self._held.endswith(THINK_END[:n])), 0)
        cut = len(self._held) - keep
        certain, self._held = self._held[:cut], self._held[cut:]
        return "", certain


def split_thinking(text: str) -> tuple[str, str]:
    """Return `(answer, thinking)` of a whole text.

    Some chat templates open the thinking themselves, so that only `</think>` shows up; in a
    whole text everything before it is thinking.
    """
    splitter = ThinkSplitter()
    answer, thinking = splitter.feed(text)
    tail, more = splitter.close()
    answer, thinking = answer + tail, thinking + more
    if not thinking and answer.count(THINK_END) == 1 and THINK_START not in answer:
        thinking, _, answer = answer.partition(THINK_END)
        answer = answer.lstrip()
    return answer, thinking


def top_logprobs(choice: dict[str, Any]) -> TopLogprobs:
    """Return the likeliest first tokens in this choice of a chunk or completion, () when it holds none.

    OpenAI sends choice.logprobs.content[0].top_logprobs = [{"token": t, "logprob": l}, …]; Together
    sends choice.logprobs.top_logprobs[0] = {t: l, …}, or choice.top_logprobs = {t: l, …}. Any other
    form counts as none.
    """
    logprobs = choice.get("logprobs")
    if isinstance(logprobs, dict):
        content = logprobs.get("content")
        first = _first(content) if isinstance(content, list) else None
        if isinstance(first, dict):
            return _token_pairs(first.get("top_logprobs"))
        return _token_pairs(_first(logprobs.get("top_logprobs")))
    return _token_pairs(_first(choice.get("top_logprobs")))


def _first(value: object) -> object:
    return (value[0] if value else None) if isinstance(value, list) else value


def _token_pairs(value: object) -> TopLogprobs:
    if isinstance(value, dict):
        pairs = list(value.items())
    elif isinstance(value, list):
        pairs = [(each.get("token"), each.get("logprob")) for each in value if isinstance(each, dict)]
    else:
        return ()
    return tuple(
        (token, number)
        for token, logprob in pairs
        if isinstance(token, str) and (number := decimal_number(logprob)) is not None
    )
