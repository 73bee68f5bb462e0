"""`--timeout` is the longest time without a word of answer or thinking, in virtual time and in both roles."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from fake_models import FakeModels, layers, make_plan, run_turn
from scripted_service import EVENTS, JSON, Response, ScriptedService, asked, event, stream
from virtual_time import run

from bot.errors import Failure, FailureKind
from bot.events import CallFinished, Notice
from bot.messages import Agent, Completion, Endpoint, Message, Request
from bot.method.mixture import Mixture

TIMEOUT = 4.0
WORD = event({"content": "A word. "})
ANSWER = json.dumps({"choices": [{"message": {"content": "hi"}}]}).encode()
TRICKLES = {
    "comments": Response([b": still here\n\n"], pause=1, repeat=True),
    "one comment, a byte a second": Response([b":"], pause=1, repeat=True),
    "blank lines": Response([b"\n"], pause=1, repeat=True),
    "blanks": Response([event({"content": " \n"})], pause=1, repeat=True),
    "zero-width characters": Response([event({"content": "\u200b\ufeff\x00"})], pause=1, repeat=True),
    "blank thinking": Response([event({"reasoning": "\n"})], pause=1, repeat=True),
    "empty deltas": Response([event({})], pause=1, repeat=True),
    "empty texts": Response([event({"content": "", "reasoning_content": None})], pause=1, repeat=True),
    "roles": Response([event({"role": "assistant"})], pause=1, repeat=True),
    "no choices": Response([b'data: {"choices": []}\n\n'], pause=1, repeat=True),
    "usage": Response([b'data: {"choices": [], "usage": {"prompt_tokens": 3}}\n\n'], pause=1, repeat=True),
    "an event, a byte a second": Response([bytes([byte]) for byte in WORD], pause=1),
    "JSON, a byte a second": Response([bytes([byte]) for byte in ANSWER], JSON, pause=1),
    "JSON after blanks": Response([b" "], JSON, pause=1, repeat=True),
    "silence": Response([WORD], pause=3600),
}


def one_call(response: Response, timeout: float = TIMEOUT) -> tuple[list[Any], float]:
    """The updates of one call, and its seconds."""

    async def timed() -> tuple[list[Any], float]:
        request = Request(
            Endpoint("e", "http://e/v1"), "m", (Message("user", "hi"),), 0.7, 100, timeout=timeout
        )
        began = asyncio.get_running_loop().time()
        updates = await asked(ScriptedService({"m": response}), request)
        return updates, asyncio.get_running_loop().time() - began

    return run(timed())


@pytest.mark.parametrize("timeout", [TIMEOUT, 120.0])
@pytest.mark.parametrize("finish", ["stop", "length"])
@pytest.mark.parametrize("rest", [b"", b": still here\n\n", event({})], ids=["silence", "comments", "deltas"])
def test_an_answer_whose_stream_stays_open_is_whole(rest: bytes, finish: str, timeout: float) -> None:
    """What follows the announced end is waited for, but not for long."""
    response = Response([event({"content": "All of it."}, finish), *[rest] * 1000], pause=1)
    updates, seconds = one_call(response, timeout)
    assert isinstance(updates[-1], Completion)
    assert (updates[-1].text, updates[-1].partial) == ("All of it.", "")
    assert seconds <= 7


def test_words_after_an_announced_end_are_read() -> None:
    """Some services announce the end in every chunk."""
    response = Response([*[event({"content": "word "}, "stop")] * 9, b"data: [DONE]\n\n"], pause=3)
    updates, seconds = one_call(response)
    assert (updates[-1].text, updates[-1].partial, seconds) == ("word " * 9, "", 30)


@pytest.mark.parametrize("finish", ["", "null"])
def test_an_empty_finish_reason_announces_no_end(finish: str) -> None:
    """Some services write one in every chunk."""
    response = Response([event({"content": "Half of it."}, finish), b": still here\n\n"], pause=1)
    updates, _ = one_call(response)
    assert updates[-1].finish_reason is None
    assert "before the answer did" in updates[-1].partial


@pytest.mark.parametrize("trickle", TRICKLES)
def test_without_a_word_the_call_is_given_up(trickle: str) -> None:
    """Whatever else comes, after `timeout` seconds without a word the call has failed."""
    [*_, last], seconds = one_call(TRICKLES[trickle])
    assert isinstance(last, Failure)
    assert (last.kind, last.message) == (FailureKind.TIMEOUT, "no word for 4 s")
    assert seconds == TIMEOUT


@pytest.mark.parametrize("trickle", [name for name in TRICKLES if TRICKLES[name].headers == EVENTS])
def test_after_a_word_the_text_so_far_is_kept(trickle: str) -> None:
    """The time begins anew with each word; what had come by then is a part of an answer."""
    then = TRICKLES[trickle]

    class Both(Response):
        async def body(self) -> Any:
            yield WORD
            async for piece in then.body():
                yield piece

    updates, seconds = one_call(Both(()))
    last = updates[-1]
    assert isinstance(last, Completion)
    assert last.text.startswith("A word.")
    assert last.truncation_kind is FailureKind.TIMEOUT
    # A byte a second, the event would be whole after more than a minute; nothing else is a word.
    assert seconds == TIMEOUT


@pytest.mark.parametrize("delta", [{"content": "word "}, {"reasoning": "hm "}, {"reasoning_content": "hm "}])
def test_slow_words_are_not_given_up(delta: dict[str, str]) -> None:
    """A word every three seconds is fine, also when it is one of thinking."""
    words = Response([*[event(delta)] * 20, event({"content": "end"}, "stop")], pause=3)
    updates, seconds = one_call(words)
    assert isinstance(updates[-1], Completion)
    assert not updates[-1].partial
    assert seconds == 63


def turn(responses: dict[str, Response], fallbacks: tuple[Agent, ...] = ()) -> tuple[list[Any], Any, float]:
    service = ScriptedService(responses)
    plan = make_plan(layers("a", "b"), timeout=TIMEOUT, fallbacks=fallbacks)

    async def timed() -> tuple[list[Any], Any, float]:
        began = asyncio.get_running_loop().time()
        events, result = await run_turn(Mixture(plan, service, FakeModels()))
        return events, result, asyncio.get_running_loop().time() - began

    return run(timed())


GOOD = {"a": stream("answer of a"), "b": stream("answer of b"), "judge": stream("the reply")}


@pytest.mark.parametrize("trickle", TRICKLES)
def test_a_reference_without_a_word(trickle: str) -> None:
    """The turn goes on without it."""
    events, result, seconds = turn({**GOOD, "a": TRICKLES[trickle]})
    assert result.reply == "the reply"
    assert seconds == TIMEOUT
    failures = [e.call.failure for e in events if isinstance(e, CallFinished) and e.call.failure]
    assert [str(failure) for failure in failures] == ["a: timed out: no word for 4 s"]


@pytest.mark.parametrize("trickle", TRICKLES)
@pytest.mark.parametrize("fallback", [False, True])
def test_an_aggregator_without_a_word(trickle: str, *, fallback: bool) -> None:
    """Its fallbacks are asked, and without one the best proposal is the reply."""
    responses = {**GOOD, "judge": TRICKLES[trickle], "second": stream("from the fallback")}
    events, result, seconds = turn(responses, (Agent("second"),) if fallback else ())
    assert result.reply == ("from the fallback" if fallback else "answer of a")
    assert seconds == TIMEOUT
    assert any("judge failed: timed out: no word for 4 s" in e.text for e in events if isinstance(e, Notice))
