"""Replies without Markdown: as the model wrote them or as JSON into pipes and files, plain on a terminal.

Nothing is wrapped, padded or coloured here, and nothing is taken out of a reply: it is data. Only
lone surrogates, which no encoding can write, become U+FFFD.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any

from bot.errors import FailureKind
from bot.events import CallFinished, CallRetrying, Notice, ReplyDelta, TurnFinished
from bot.render.live import write_text
from bot.render.sources import source_text, sources_under
from bot.render.turn_text import call_failure, failure_text, partial_reason, turn_failure
from bot.render.view import ReplyWriter, View
from bot.text.sanitise import Sanitiser, mend, one_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from bot.events import Event
    from bot.messages import Usage
    from bot.turn_result import Call, TurnResult

_HIGH_SURROGATES = ("\ud800", "\udbff")


class RawReply(ReplyWriter):
    """Writes a reply's text unchanged, as it comes, and ends it with a newline."""

    def __init__(self, out: IO[str]) -> None:
        self._out = out
        self._held = ""
        self._last = "\n"

    def feed(self, text: str) -> None:
        """Write the next piece. A surrogate pair cut in half is put together again."""
        text, self._held = self._held + text, ""
        if text and _HIGH_SURROGATES[0] <= text[-1] <= _HIGH_SURROGATES[1]:
            text, self._held = text[:-1], text[-1]
        self._write(mend(text))

    def close(self, *, partial: bool = False) -> None:  # noqa: ARG002 - data says nothing about itself
        """Write the final newline if it is missing."""
        self._write(mend(self._held))
        self._held = ""
        if self._last != "\n":
            self._write("\n")

    def _write(self, text: str) -> None:
        if text:
            write_text(self._out, text)
            self._last = text[-1]


class PlainReply(ReplyWriter):
    """Writes a reply to a terminal as plain text, sanitised, without Markdown."""

    def __init__(self, out: IO[str]) -> None:
        self._raw = RawReply(out)
        self._sanitiser = Sanitiser()

    def feed(self, text: str) -> None:
        """Write the next piece."""
        self._raw.feed(self._sanitiser.feed(text))

    def close(self, *, partial: bool = False) -> None:
        """Write what was held back, and the final newline if it is missing."""
        self._raw.feed(self._sanitiser.close())
        self._raw.close(partial=partial)


class Reports:
    """Failures, notices and sources as plain lines on stderr; with `quiet` only what failed a turn.

    `sources` is False where the reply's own output lists them.
    """

    def __init__(self, err: IO[str] | None, *, quiet: bool = False, sources: bool = True) -> None:
        self._err = err
        self._quiet = quiet
        self._sources = sources
        self._notices: set[str] = set()

    def handle_event(self, event: Event) -> None:
        """Write a failure, a notice, an incomplete reply, or the sources under a reply."""
        match event:
            case CallFinished(call) if call.failure is not None and call.slot.role in {"reference", "review"}:
                if not call.cut:  # a notice names all those of a round
                    self._write(call_failure(call, short=str(call.failure) in self._notices))
            case CallRetrying(slot, failure) if failure.kind is FailureKind.LOADING:
                # That can take minutes, in which nothing else is written; once for a model.
                line = f"{slot.agent.endpoint} is loading {slot.agent.model}: waiting for it"
                if line not in self._notices:
                    self._notices.add(line)
                    self._write(one_line(line))
            case Notice(text):
                self._notices.add(text)
                self._write(one_line(text))
            case TurnFinished(result) if result.status == "failed":
                self._write(turn_failure(result), always=True)
            case TurnFinished(result) if result.status == "partial":
                self._write(f"the reply is {partial_reason(result)}")
        if isinstance(event, TurnFinished) and self._sources and event.result.reply:
            sources, more = sources_under(event.result)
            for line in (*(source_text(number, source) for number, source in sources), more):
                self._write(line, head="")

    def _write(self, text: str, *, always: bool = False, head: str = "moa-bot: ") -> None:
        if self._err is None or not text or (self._quiet and not always):
            return
        # A closed stderr is no reason to lose the reply.
        with suppress(OSError, ValueError):
            print(f"{head}{text}", file=self._err, flush=True)


class PipeView(View):
    """Writes the reply to `out`, failures and notices to `err`; neither is a terminal.

    A reply that has to be JSON (`is_json`) is written once it is complete, and only if it is that.
    What is to be said while the reply comes is said after it: both may end up on one screen (`| cat`).
    A closed `out` raises BrokenPipeError.
    """

    def __init__(
        self,
        out: IO[str],
        err: IO[str],
        *,
        stream: bool = True,
        quiet: bool = False,
        is_json: bool = False,
    ) -> None:
        self._reply = RawReply(out)
        self._reports = Reports(err, quiet=quiet)
        self._is_json = is_json
        self._stream = stream and not is_json
        self._written = False
        self._waiting: list[Event] = []

    def handle_event(self, event: Event) -> None:
        """Write the reply as it comes; a failed turn writes nothing on `out`."""
        match event:
            case ReplyDelta(text) if text and self._stream:
                self._written = True
                self._reply.feed(text)
                return
            case TurnFinished(result):
                if not self._written and (result.status == "done" or not self._is_json):
                    self._reply.feed(result.reply)
                self.close()
        if self._written:
            self._waiting.append(event)
        else:
            self._reports.handle_event(event)

    def close(self) -> None:
        """End the reply with a newline if it has none."""
        self._written = False
        waiting, self._waiting = self._waiting, []
        try:
            self._reply.close()
        finally:
            for event in waiting:
                self._reports.handle_event(event)


class JsonView(View):
    """Writes one JSON object per turn, on one line of `out`, and failures to `err` too, if given.

    `conversation` returns the conversation's id and the turn's number when a turn is over.
    """

    def __init__(
        self,
        out: IO[str],
        err: IO[str] | None = None,
        *,
        quiet: bool = False,
        conversation: Callable[[], tuple[str | None, int | None]] = lambda: (None, None),
    ) -> None:
        self._out = out
        self._reports = Reports(err, quiet=quiet, sources=False)
        self._conversation = conversation

    def handle_event(self, event: Event) -> None:
        """Write a finished turn."""
        if isinstance(event, TurnFinished):
            conversation_id, turn = self._conversation()
            record = turn_json(event.result, conversation_id=conversation_id, turn=turn)
            RawReply(self._out).feed(json.dumps(record, ensure_ascii=False) + "\n")
        self._reports.handle_event(event)


def turn_json(result: TurnResult, *, conversation_id: str | None, turn: int | None) -> dict[str, Any]:
    """Return a turn as plain JSON values.

    `reply_object` is the value of a reply that --schema asked for, None for any other reply.
    `reply` is None and `error` says why when the turn failed. `references[r][i]` is slot i of
    round r + 1, `drafts` and `reviews` are those of mode "critique", `aggregator` the call that wrote the
    reply (None when none was asked), `attempts` are the calls before it that wrote no reply, the judge's
    (its `role` says so) and aggregators that failed; `consultation` is the aggregator's call before the
    rounds with --when auto (None where it answered alone, and without); `usage` and `cost` are the sums over
    all of them. `sources` are what tools found, which the reply cites by their numbers from 1; `tools` of a
    call are those that it ran. `analysis` is the judge's comparison, `panel` who was asked and who answered,
    `shadow` what early stop would have done (None without --early_stop shadow; `calls` are those behind its
    reply). `attachments` are the prompt's files, each with about how many tokens it takes. Seconds count
    from the prompt, a call's from its request, with those of its tools; costs are US dollars, None when
    unknown; a call's `tokens` are completion tokens as the service counts them. `cached_tokens`, those of
    the prompt tokens that came from a cache, are there where a service reported them.
    """
    usage, failed = result.usage, result.status == "failed"
    return {
        "reply": None if failed else result.reply,
        "reply_object": result.reply_object,
        "model": result.model,
        "references": [[_call(call) for call in calls] for calls in result.rounds],
        "drafts": [_call(call) for call in result.drafts],
        "reviews": [[_call(call) for call in calls] for calls in result.reviews],
        "attempts": [{"role": call.slot.role, **_call(call)} for call in (*result.judges, *result.attempts)],
        "consultation": _call(result.consultation) if result.consultation else None,
        "aggregator": _call(result.aggregator) if result.aggregator else None,
        "sources": result.sources_json(),
        "analysis": result.analysis.as_json() if result.analysis else None,
        "panel": result.panel.as_json() if result.panel else None,
        "shadow": _shadow(result),
        "attachments": [
            {"name": each.name, "kind": each.kind, "bytes": each.bytes, "tokens": each.tokens}
            for each in result.attachments
        ],
        "status": result.status,
        "error": turn_failure(result) if failed else partial_reason(result) or None,
        "usage": {
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "total_tokens": usage.total_tokens,
            **_cached(usage),
        },
        "cost": result.cost,
        "seconds": result.seconds,
        "first_token": result.first_token,
        "notices": list(result.notices),
        "conversation_id": conversation_id,
        "turn": turn,
    }


def _shadow(result: TurnResult) -> dict[str, Any] | None:
    if result.shadow is None:
        return None
    calls = [_call(call) for call in result.calls if call.slot.role == "shadow"]
    return {**result.shadow.as_json(), "calls": calls}


def _cached(usage: Usage) -> dict[str, int]:
    return {} if usage.cached_tokens is None else {"cached_tokens": usage.cached_tokens}


def _call(call: Call) -> dict[str, Any]:
    done, agent = call.completion, call.slot.agent
    return {
        "model": agent.model,
        "endpoint": agent.endpoint,
        "text": done.text if done else None,
        "reasoning": done.reasoning if done else None,
        "error": failure_text(call.failure) if call.failure else None,
        "tokens": done.usage.completion_tokens if done else None,
        "prompt_tokens": done.usage.prompt_tokens if done else None,
        **(_cached(done.usage) if done else {}),
        "seconds": done.seconds if done else None,
        "first_token": done.first_token if done else None,
        "cost": call.cost,
        "partial": done.partial if done else "",
        "tools": [run.as_json() for run in call.tool_runs],
    }
