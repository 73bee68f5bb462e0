"""The forms in which services send an answer, whole and in deltas, as reference and as aggregator."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fake_models import FakeModels, layers, make_plan, run_turn
from scripted_service import EVENTS, JSON, Response, ScriptedService, asked, event, stream, whole
from virtual_time import run

from bot.client.retry import Retrier
from bot.errors import Failure, FailureKind
from bot.events import CallFinished, Notice, ReplyDelta
from bot.messages import Completion, Delta, Endpoint, Message, Request
from bot.method.mixture import Mixture

REQUEST = Request(Endpoint("e", "http://e/v1"), "m", (Message("user", "hi"),), 0.7, 1000, timeout=10)
DONE = b"data: [DONE]\n\n"
BOM = b"\xef\xbb\xbf"


def call(response: Response) -> list[Any]:
    """The updates of one call, without any retry."""
    updates: list[Any] = run(asked(ScriptedService({"m": response}), REQUEST))
    return updates


def text_part(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def thinking_part(text: str) -> dict[str, Any]:
    return {"type": "thinking", "thinking": [text_part(text)]}


MESSAGES: list[tuple[dict[str, Any], str, str]] = [
    ({"content": "yes"}, "yes", ""),
    ({"content": [text_part("yes")]}, "yes", ""),
    ({"content": [text_part("y"), text_part("es")]}, "yes", ""),
    ({"content": ["y", {"type": "output_text", "text": "es"}]}, "yes", ""),
    ({"content": [{"type": "text", "text": {"value": "yes"}}]}, "yes", ""),
    ({"content": text_part("yes")}, "yes", ""),
    ({"content": [thinking_part("hm"), text_part("yes")]}, "yes", "hm"),
    ({"content": [{"type": "thinking", "thinking": "hm"}, text_part("yes")]}, "yes", "hm"),
    ({"content": [{"type": "reasoning", "reasoning": "hm"}, text_part("yes")]}, "yes", "hm"),
    ({"content": [{"type": "reasoning", "summary": [{"text": "hm"}]}, text_part("yes")]}, "yes", "hm"),
    ({"content": [{"type": "reasoning_text", "text": "hm"}, text_part("yes")]}, "yes", "hm"),
    ({"content": [text_part("yes")], "reasoning_content": "hm"}, "yes", "hm"),
    ({"content": "yes", "reasoning": "hm", "reasoning_content": "hm"}, "yes", "hm"),
    ({"content": [text_part("<think>hm</think>yes")]}, "yes", "hm"),
    ({"content": [None, 7, [], {}, {"type": "image_url", "image_url": {}}, text_part("yes")]}, "yes", ""),
    ({"content": "yes", "refusal": None}, "yes", ""),
]


@pytest.mark.parametrize("streamed", [True, False], ids=["deltas", "whole"])
@pytest.mark.parametrize(("message", "text", "thinking"), MESSAGES, ids=lambda value: str(value)[:60])
def test_content_in_every_form(message: dict[str, Any], text: str, thinking: str, *, streamed: bool) -> None:
    """Text and thinking are read apart, as deltas and in the completion."""
    response = Response([event(message), event({}, "stop"), DONE]) if streamed else whole(message)
    *deltas, last = call(response)
    assert isinstance(last, Completion)
    assert (last.text, last.reasoning, last.partial) == (text, thinking, "")
    assert "".join(delta.text for delta in deltas) == text
    assert "".join(delta.reasoning for delta in deltas) == thinking


def test_parts_that_are_split_over_deltas() -> None:
    """Each delta has a part of its own."""
    deltas = [thinking_part("h"), thinking_part("m"), text_part("y"), text_part("es")]
    last = call(Response([*(event({"content": [part]}) for part in deltas), event({}, "stop")]))[-1]
    assert (last.text, last.reasoning) == ("yes", "hm")


REFUSALS = {
    "whole": whole({"content": None, "refusal": "I cannot help with that."}),
    "a part": whole({"content": [{"type": "refusal", "refusal": "I cannot help with that."}]}),
    "deltas": Response(
        [
            *(event({"content": None, "refusal": text}) for text in ("I cannot ", "help with ", "that.")),
            event({}, "stop"),
            DONE,
        ]
    ),
    "filtered": whole({"content": "", "refusal": "I cannot help with that."}, "content_filter"),
}
ANSWERS = {"a": stream("answer of a"), "b": stream("answer of b"), "judge": stream("the reply")}


def turn(**responses: Response) -> tuple[list[Any], Any]:
    service = ScriptedService({**ANSWERS, **responses})
    plan = make_plan(layers("a", "b"), timeout=10.0)

    async def asking() -> tuple[list[Any], Any]:
        return await run_turn(Mixture(plan, Retrier(service), FakeModels()))

    return run(asking())


@pytest.mark.parametrize("form", REFUSALS)
def test_a_refusal_is_shown_as_one(form: str) -> None:
    """Its words are the message of the failure; the other answers make the reply."""
    [last] = call(REFUSALS[form])
    assert isinstance(last, Failure)
    assert (last.kind, last.message) == (FailureKind.REFUSED, "I cannot help with that.")
    events, result = turn(a=REFUSALS[form])
    assert result.reply == "the reply"
    failures = [e.call.failure for e in events if isinstance(e, CallFinished) and e.call.failure]
    assert [str(failure) for failure in failures] == ["a: refused to answer: I cannot help with that."]
    events, result = turn(judge=REFUSALS[form])
    assert result.reply == "answer of a"
    assert any("refused to answer: I cannot help" in e.text for e in events if isinstance(e, Notice))


def test_a_refusal_after_text() -> None:
    """What was said before is a part of an answer."""
    last = call(Response([event({"content": "First, "}), event({"refusal": "no."}), event({}, "stop")]))[-1]
    assert isinstance(last, Completion)
    assert (last.text, last.partial) == ("First, ", "refused to answer: no.")


@pytest.mark.parametrize("cut", [None, 1, 2])
def test_a_byte_order_mark_before_the_stream(cut: int | None) -> None:
    """It is skipped, wherever it is cut; before a JSON body and an error body, too."""
    data = BOM + event({"content": "yes"}, "stop") + DONE
    assert call(Response([data[:cut], data[cut:]] if cut else [data]))[-1].text == "yes"
    assert call(Response([BOM + whole({"content": "yes"}).pieces[0]], JSON))[-1].text == "yes"
    refused = call(Response([BOM + b'{"error": {"message": "no luck"}}'], JSON, 400))[-1]
    assert refused.message == "HTTP 400: no luck"


OPEN_THINKING = ["<think>", "The answer", " is ", "4."]


@pytest.mark.parametrize("finish", ["stop", None, "eos"])
@pytest.mark.parametrize("streamed", [True, False], ids=["deltas", "whole"])
def test_a_think_tag_that_is_never_closed(finish: str | None, *, streamed: bool) -> None:
    """When the stream ended well, what follows the tag is the answer."""
    texts = [event({"content": text}) for text in OPEN_THINKING]
    response = Response([*texts, event({"reasoning": "hm"}, finish), DONE])
    if not streamed:
        response = whole({"content": "".join(OPEN_THINKING), "reasoning": "hm"}, finish or "stop")
    *deltas, last = call(response)
    assert isinstance(last, Completion)
    assert (last.text, last.reasoning, last.partial) == ("The answer is 4.", "hm", "")
    assert "".join(delta.text for delta in deltas) == "The answer is 4."


def test_a_think_tag_that_the_tokens_did_not_suffice_for() -> None:
    """An answer that was cut off while thinking is thinking; so is what came before a broken stream."""
    texts = [event({"content": text}) for text in OPEN_THINKING]
    last = call(Response([*texts, event({}, "length"), DONE]))[-1]
    assert (last.text, last.reasoning) == ("", "The answer is 4.")
    assert call(Response(texts))[-1].kind is FailureKind.CUT
    last = call(Response([event({"content": "<think> \n"}, "stop"), DONE]))[-1]
    assert last.text == ""


def test_an_open_think_tag_in_both_roles() -> None:
    """As a reference it is read, as an aggregator it is the reply, on the screen as well."""
    thought = Response([*(event({"content": text}) for text in OPEN_THINKING), event({}, "stop"), DONE])
    events, _ = turn(a=thought)
    assert {e.call.answer for e in events if isinstance(e, CallFinished)} >= {"The answer is 4."}
    events, result = turn(judge=thought)
    assert result.reply == "The answer is 4."
    assert "".join(e.text for e in events if isinstance(e, ReplyDelta)) == "The answer is 4."


ERRORS: list[tuple[dict[str, Any], FailureKind, str]] = [
    ({"error": {"message": "no luck", "code": 500}}, FailureKind.SERVICE, "no luck"),
    ({"error": "no luck"}, FailureKind.SERVICE, "no luck"),
    ({"error": {"message": "no luck"}, "choices": []}, FailureKind.SERVICE, "no luck"),
    ({"error": {"message": "slow", "code": 429}}, FailureKind.RATE_LIMITED, "slow"),
    ({"error": {"message": "slow", "type": "rate_limit_exceeded"}}, FailureKind.RATE_LIMITED, "slow"),
    ({"error": {"message": "busy", "code": "503"}}, FailureKind.OVERLOADED, "busy"),
    ({"object": "error", "message": "no luck", "code": 400}, FailureKind.BAD_REQUEST, "no luck"),  # vLLM
    (
        {"type": "error", "error": {"type": "overloaded", "message": "busy"}},
        FailureKind.SERVICE,
        "busy",
    ),
    ({"detail": "no luck"}, FailureKind.SERVICE, "no luck"),
    ({"error": {"error": {"message": "no luck"}}}, FailureKind.SERVICE, "no luck"),
    ({"error_code": 17, "error_msg": "no luck"}, FailureKind.SERVICE, "no luck"),
    ({"base_resp": {"status_code": 1004, "status_msg": "no luck"}}, FailureKind.SERVICE, "no luck"),
    ({"base_resp": {"status_code": [], "status_msg": "no luck"}}, FailureKind.SERVICE, "no luck"),
    ({"message": "no luck"}, FailureKind.SERVICE, "no luck"),
    ({"errors": [{"message": "no luck", "code": 1000}], "success": False}, FailureKind.SERVICE, "no luck"),
    (
        {"choices": [{"delta": {}, "finish_reason": "error", "error": {"message": "no luck"}}]},
        FailureKind.SERVICE,
        "no luck",
    ),  # OpenRouter
    ({"choices": [{"delta": {"content": ""}, "finish_reason": "error"}]}, FailureKind.SERVICE, "broke off"),
]


@pytest.mark.parametrize("form", ["deltas", "after a word", "whole", "in a list"])
@pytest.mark.parametrize(("error", "kind", "said"), ERRORS, ids=lambda value: str(value)[:60])
def test_an_error_inside_an_answer(error: dict[str, Any], kind: FailureKind, said: str, form: str) -> None:
    """In whatever form it comes, it is the call's failure; text before it is kept."""
    data = json.dumps(error).encode()
    pieces = {
        "deltas": [b"event: error\ndata: " + data + b"\n\n"],
        "after a word": [event({"content": "word"}), b"data: " + data + b"\n\n", DONE],
        "whole": [data],
        "in a list": [b"[" + data + b"]"],
    }[form]
    last = call(Response(pieces, JSON if form in {"whole", "in a list"} else EVENTS))[-1]
    if form == "after a word":
        assert isinstance(last, Completion)
        assert (last.text, last.truncation_kind) == ("word", kind)
        assert said in last.partial
    else:
        assert isinstance(last, Failure)
        assert last.kind is kind
        assert said in last.message


USAGE = b'data: {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 1}, "message": "ok"}\n\n'


def test_a_chunk_of_usage_is_no_error() -> None:
    """A chunk without choices that holds the usage is read."""
    last = call(Response([event({"content": "yes"}, "stop"), USAGE, DONE]))[-1]
    assert (last.text, last.usage.completion_tokens) == ("yes", 1)


EMPTY = {
    "JSON": JSON,
    "a page": {"content-type": "text/html"},
    "text": {"content-type": "text/plain; charset=utf-8"},
    "no type": {},
}


@pytest.mark.parametrize("headers", EMPTY)
@pytest.mark.parametrize("body", [b"", b" \r\n"])
def test_an_empty_body(headers: str, body: bytes) -> None:
    """It is named as that, asked for once more, and then the call has failed."""
    response = Response([body], EMPTY[headers])
    [last] = call(response)
    assert last.kind is FailureKind.GARBLED
    assert last.message.endswith("the service sent an empty body")
    _, result = turn(judge=response)
    assert result.reply == "answer of a"
    service = ScriptedService({"m": [response, stream("yes")]})
    *_, last = run(asked(Retrier(service), REQUEST))
    assert (last.text, last.retries) == ("yes", 1)


TYPES = [
    "text/event-stream",
    "application/json",
    "text/plain; charset=utf-8",
    "application/octet-stream",
    "",
    "application/json, text/html",
]
ANSWERED = {
    "a stream": [event({"content": "yes"}), event({}, "stop"), DONE],
    "a stream, a byte at a time": [
        bytes([byte]) for byte in b"\r\n" + event({"content": "yes"}, "stop") + DONE
    ],
    "a comment first": [b": PROCESSING\n\n", event({"content": "yes"}, "stop")],
    "a named event": [b"event: delta\n" + event({"content": "yes"}, "stop")],
    "whole": whole({"content": "yes"}).pieces,
    "whole, a byte at a time": [bytes([byte]) for byte in b"\n\n" + whole({"content": "yes"}).pieces[0]],
    "whole, with a byte order mark": [b"\xef\xbb\xbf" + whole({"content": "yes"}).pieces[0]],
}


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("form", ANSWERED)
def test_an_answer_of_the_wrong_type(form: str, kind: str) -> None:
    """Whether an answer is a stream is seen from its beginning, whatever type it is given."""
    last = call(Response(ANSWERED[form], {"content-type": kind} if kind else {}))[-1]
    assert isinstance(last, Completion)
    assert (last.text, last.partial) == ("yes", "")


@pytest.mark.parametrize("kind", TYPES)
def test_an_error_of_the_wrong_type(kind: str) -> None:
    """The same with an error and a status of 200."""
    last = call(Response([b'{"error": {"message": "no luck"}}'], {"content-type": kind} if kind else {}))[-1]
    assert isinstance(last, Failure)
    assert (last.kind, last.message) == (FailureKind.SERVICE, "no luck")


BLANK = [
    " ",
    "\n\n",
    "\t \r\n",
    "\u200b",
    "\ufeff",
    "\u2060\u00a0",
    "\x00",
    "\u3164",
    "\u2800\u2800",
    "\u00ad",
    "\ufe0f",
]


@pytest.mark.parametrize("blank", BLANK, ids=ascii)
@pytest.mark.parametrize("streamed", [True, False], ids=["deltas", "whole"])
def test_a_reply_of_blanks_is_empty(blank: str, *, streamed: bool) -> None:
    """As a reference it is left out, as an aggregator the best proposal is the reply."""
    response = stream(blank, blank) if streamed else whole({"content": blank})
    events, result = turn(a=response)
    assert result.reply == "the reply"
    assert [e.call.failure.kind for e in events if isinstance(e, CallFinished) and e.call.failure] == [
        FailureKind.EMPTY
    ]
    events, result = turn(judge=response)
    assert result.reply == "answer of a"
    assert any("finished without a word" in e.text for e in events if isinstance(e, Notice))
    assert "".join(e.text for e in events if isinstance(e, ReplyDelta)) == "answer of a"


def test_blanks_before_a_word_are_part_of_the_reply() -> None:
    """They are shown with it."""
    events, result = turn(judge=stream(" ", "\n", "  x", " ", "y"))
    assert result.reply.endswith("  x y")
    assert [e.text for e in events if isinstance(e, ReplyDelta)] == [" \n  x", " ", "y"]


GARBLED = {
    "no JSON": Response([b"data: {this is no JSON\n\n"]),
    "no JSON after thinking": Response([event({"reasoning": "hm"}), b"data: <html>\n\n"]),
    "no JSON, whole": Response([b"upstream connect error"], JSON),
    "half a JSON": Response([b'{"choices": [{"mess'], JSON),
    "a page": Response([b"<h1>Sign in</h1>"], {"content-type": "text/html"}),
    "bytes": Response([bytes(range(256))], JSON),
}


@pytest.mark.parametrize("form", GARBLED)
@pytest.mark.parametrize("role", ["a", "judge"])
def test_a_garbled_answer_is_asked_for_once_more(form: str, role: str) -> None:
    """The second try counts, and there is no third."""
    good = stream("second try")
    service = ScriptedService({**ANSWERS, role: [GARBLED[form], good]})

    async def asking(service: ScriptedService) -> Any:
        return (await run_turn(Mixture(make_plan(layers("a", "b")), Retrier(service), FakeModels())))[1]

    result = run(asking(service))
    assert result.reply == ("second try" if role == "judge" else "the reply")
    service = ScriptedService({**ANSWERS, role: GARBLED[form]})
    run(asking(service))
    assert sum(request.model == role for request in service.requests) == 2


def test_deltas_are_never_withdrawn() -> None:
    """A garbled piece after a word ends the answer there; it is not asked for again."""
    service = ScriptedService({"m": Response([event({"content": "word"}), b"data: {no JSON\n\n"])})
    updates = run(asked(Retrier(service), REQUEST))
    assert updates[0] == Delta("word")
    assert updates[-1].truncation_kind is FailureKind.GARBLED
    assert len(service.requests) == 1
