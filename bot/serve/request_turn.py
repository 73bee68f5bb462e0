"""One request's turn: the mixture's events, the reply ended at a stop text, and the finish reason.

Sends nothing: `turn_route` does, from what this yields.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING

from bot.app.turn_budget import BudgetError
from bot.client.error_mapping import redact
from bot.events import Event, ReplyDelta, TurnFinished
from bot.messages import Usage
from bot.serve.api_errors import ApiError, error_for, rate_limited, service_stopping
from bot.serve.reply_format import checked_reply
from bot.turn_result import TurnResult

if TYPE_CHECKING:
    from bot.app.log import Log
    from bot.app.turn_budget import TurnBudget
    from bot.messages import ToolCall
    from bot.method.mixture import CancelToken, Mixture
    from bot.serve.turn_request import TurnRequest

LENGTH = "length"
_ENDINGS = frozenset({LENGTH, "content_filter"})


class StopCutter:
    """Ends a streamed text before the first stop text, also one that is divided between pieces."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = stops
        self._held = ""
        self.cut = False

    def feed(self, text: str) -> str:
        """Return the part of the text so far, not returned yet, that no stop text can begin in."""
        if self.cut or not self._stops:
            return "" if self.cut else text
        text, self._held = self._held + text, ""
        places = [place for stop in self._stops if (place := text.find(stop)) >= 0]
        if places:
            self.cut = True
            return text[: min(places)]
        length = self._possible_stop(text)
        self._held = text[len(text) - length :]
        return text[: len(text) - length]

    def close(self) -> str:
        """Return what was held back, once the text is complete."""
        held, self._held = self._held, ""
        return held

    def _possible_stop(self, text: str) -> int:
        """Return how many characters at the text's end may be the beginning of a stop text."""
        longest = max(map(len, self._stops)) - 1
        return next(
            (
                length
                for length in range(min(longest, len(text)), 0, -1)
                if any(stop.startswith(text[-length:]) for stop in self._stops)
            ),
            0,
        )


class ServedTurn:
    """A turn in progress: iterate `events()` to its end, then ask for `finish_reason()` and `text()`."""

    def __init__(
        self,
        mixture: Mixture,
        request: TurnRequest,
        log: Log,
        cancel_token: CancelToken,
        budget: TurnBudget,
    ) -> None:
        self._mixture = mixture
        self._budget = budget
        self._request = request
        self._log = log
        self._cancel_token = cancel_token
        self._cutter = StopCutter(request.stop)
        self._pieces: list[str] = []
        self._text = ""
        self._result: TurnResult | None = None

    async def events(self) -> AsyncGenerator[Event, None]:
        """Yield the turn's events, the reply's only up to a stop text. ApiError when it may cost too much."""
        reserved = self._reserve()
        try:
            async with aclosing(self._events()) as events:
                async for event in events:
                    yield event
        finally:
            self._budget.settle(reserved, self._result.cost if self._result else None)

    def _reserve(self) -> float:
        mixture, conversation = self._mixture, self._request.conversation
        messages = (*conversation.history, *conversation.after)
        try:
            return self._budget.reserve(
                mixture.plan, messages, conversation.prompt, mixture.models.cost, conversation.images
            )
        except BudgetError as error:
            if error.temporary:
                raise rate_limited(error.message, "budget_reserved", 5) from None
            # Not a 429, which clients send again by themselves.
            raise ApiError(402, f"{error.message} {error.hint}", "insufficient_quota") from None

    async def _events(self) -> AsyncGenerator[Event, None]:
        conversation, whole = self._request.conversation, self._request.reply_format is not None
        running = self._mixture.run(
            conversation.history,
            conversation.prompt,
            self._cancel_token,
            after=conversation.after,
            prefill=conversation.prefill,
            images=conversation.images,
        )
        async with aclosing(running) as events:
            async for event in events:
                self._log.log_event(event)
                if isinstance(event, ReplyDelta):
                    text = self._record(self._cutter.feed(event.text))
                    # JSON is sent once it is known to be what was asked for.
                    yield ReplyDelta("" if whole else text, event.reasoning)
                    if self._cutter.cut:
                        self._cancel_token.stop()
                    continue
                if isinstance(event, TurnFinished):
                    self._result = event.result
                    # A reply that came without deltas has not been through the cutter yet.
                    late = "" if any(self._pieces) or self._cutter.cut else event.result.reply
                    rest = self._record(self._cutter.feed(late) + self._cutter.close())
                    self._text = "".join(self._pieces) if self._cutter.cut else event.result.reply
                    if whole:
                        rest = self._text = await self._checked(self._text)
                    if rest:
                        yield ReplyDelta(rest)
                yield event

    @property
    def result(self) -> TurnResult:
        """The whole turn, once it is over."""
        assert self._result is not None  # noqa: S101 - a turn's last event is TurnFinished
        return self._result

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The reply's tool calls."""
        completion = self.result.writer.completion if self.result.writer else None
        return completion.tool_calls if completion and not self._cutter.cut else ()

    @property
    def usage(self) -> Usage:
        """The tokens of the call that wrote the reply, where none did (a vote) those of the whole turn."""
        completion = self.result.writer.completion if self.result.writer else None
        if self.result.writer is None and self.result.reply:
            return self.result.usage
        return completion.usage if completion else Usage()

    def text(self) -> str:
        """Return the reply."""
        return self._text

    def finish_reason(self) -> str:
        """Return why the reply ended. ApiError when there is none, or only a part of one."""
        result = self.result
        if self._cutter.cut:
            return "stop"
        if result.status == "done":
            reason = result.finish_reason
            if self.tool_calls and reason != LENGTH:
                return "tool_calls"
            return reason if reason in _ENDINGS else "stop"
        if self._cancel_token.stopped:
            raise service_stopping()
        if result.failure is not None:
            raise error_for(result.failure)
        completion = result.writer.completion if result.writer else None
        if completion is None or completion.truncation_kind is not None:
            why = completion.partial if completion else "the reason is unknown"
            raise ApiError(502, f"The reply broke off: {redact(why)}.", "reply_cut_off")
        # A whole text stands in for the reply (a proposal, when no aggregator answered); a notice says so.
        return "stop"

    async def _checked(self, reply: str) -> str:
        """Return the reply as the request wants it; one that is not whole cannot be that."""
        form = self._request.reply_format
        if form is None or self.tool_calls or self.finish_reason() == LENGTH or self._cutter.cut:
            return reply
        return await asyncio.to_thread(checked_reply, form, reply)

    def _record(self, text: str) -> str:
        self._pieces.append(text)
        return text
