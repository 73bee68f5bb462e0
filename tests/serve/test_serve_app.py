"""The application in this process, with fake models: routes, options, errors."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from fake_models import failed
from running import LIMIT

from bot.app.known_models import KnownModels
from bot.errors import FailureKind
from bot.messages import Completion, ToolCall, Usage
from bot.serve.limits import Limits

Make = Callable[..., Any]
KEY = "a-long-and-random-bearer-key"


def chat(**fields: Any) -> dict[str, Any]:
    return {"model": "moa", "messages": [{"role": "user", "content": "why?"}], **fields}


async def post(app: Any, headers: dict[str, str] | None = None, **fields: Any) -> Any:
    async with app.client() as client:
        return await client.post("/v1/chat/completions", json=chat(**fields), headers=headers)


def run(work: Any) -> Any:
    return asyncio.run(work)


def test_the_list_of_models(make: Make) -> None:
    """The served mixture first, then the presets that can run here; each has a route of its own."""

    async def look() -> None:
        async with make().client() as client:
            listed = (await client.get("/v1/models")).json()
            names = [entry["id"] for entry in listed["data"]]
            assert names[:2] == ["moa", "default"]
            # Its namesake among the presets gets a name that can be told apart.
            assert "preset:moa" in names
            # No key for its aggregator; a service that does not run.
            assert not {"moa-gpt4o", "demo"} & set(names)
            assert len(names) == len(set(names))
            one = await client.get("/v1/models/preset:moa")
            assert one.json() == next(entry for entry in listed["data"] if entry["id"] == "preset:moa")
            assert (await client.get("/v1/models/nothing")).status_code == 404

    run(look())


def test_a_whole_answer(make: Make) -> None:
    """Text, finish reason, the tokens of the reply's own call, and apart from them those of all calls."""
    answer = run(post(make()))
    body = answer.json()
    assert answer.status_code == 200
    assert body["object"] == "chat.completion"
    assert body["model"] == "moa"
    assert body["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "the reply"},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ]
    assert body["usage"] == {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12}
    # Three calls of 10 prompt tokens; 3 + 3 + 2 words.
    total = {"prompt_tokens": 30, "completion_tokens": 8, "total_tokens": 38}
    assert body["moa"] == {"usage": total, "cost": None}


DRAFT = Completion("a draft", usage=Usage(10, 2), finish_reason="stop")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("mode", "replies", "text", "tokens"),
    [
        ("critique", {"a": "- wrong", "b": "nothing", "judge": [DRAFT, "a revision"]}, "a revision", 12),
        ("critique", {"a": "nothing", "b": "nothing", "judge": DRAFT}, "a draft", 12),
        ("vote", {"a": "ANSWER: 42", "b": "ANSWER: 42.0"}, "42", 24),
        ("compare", {"a": "from a", "b": "from b"}, "## 1 · a\n\nfrom a\n\n## 2 · b\n\nfrom b", 24),
    ],
)
def test_each_mode_has_its_reply(
    make: Make,
    monkeypatch: pytest.MonkeyPatch,
    *,
    mode: str,
    replies: dict[str, Any],
    text: str,
    tokens: int,
    stream: bool,
) -> None:
    """The final text alone, and the tokens of the call that wrote it, or of all where none did."""
    monkeypatch.setenv("MOA_BOT_MODE", mode)
    answer = run(
        post(make(replies), stream=stream, stream_options={"include_usage": True} if stream else None)
    )
    if stream:
        chunks = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: {")]
        choices = [choice for each in chunks for choice in each["choices"]]
        said, usage = "".join(each["delta"].get("content", "") for each in choices), chunks[-1]["usage"]
        reason = choices[-1]["finish_reason"]
    else:
        body = answer.json()
        said, usage = body["choices"][0]["message"]["content"], body["usage"]
        reason = body["choices"][0]["finish_reason"]
    assert (said, reason, usage["total_tokens"]) == (text, "stop", tokens)


def test_a_comparison_is_a_field_beside_the_text(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """The judge's comparison is in `moa.analysis`, whole or streamed, and never in the reply."""
    monkeypatch.setenv("MOA_BOT_MODE", "fusion")
    monkeypatch.setenv("MOA_BOT_JUDGE", "c")
    app = make({"c": json.dumps({"unique": [{"claim": "only a says so", "answer": 1}]})})
    body = run(post(app, moa={"include_references": True})).json()
    assert body["choices"][0]["message"]["content"] == "the reply"
    analysis, panel = body["moa"]["analysis"], body["moa"]["panel"]
    assert analysis["unique"] == [{"claim": "only a says so", "answer": 1}]
    assert [each["model"] for each in analysis["answers"]] == ["a", "b"]
    assert panel == {"asked": 2, "answered": 2, "left_out": [], "families": 2}
    options = {"include_usage": True}
    streamed = run(post(app, stream=True, stream_options=options, moa={"progress": True})).text
    chunks = [json.loads(line[6:]) for line in streamed.splitlines() if line.startswith("data: {")]
    deltas = [choice["delta"] for each in chunks for choice in each["choices"]]
    assert "".join(delta.get("content", "") for delta in deltas) == "the reply"
    assert [each["moa"]["analysis"] for each in chunks if "analysis" in each.get("moa", {})] == [analysis]
    [compared] = [
        moa["progress"]
        for each in chunks
        if "event" in (moa := each.get("moa", {})).get("progress", {})
        and moa["progress"]["event"] == "compared"
    ]
    assert (compared["unique"], compared["consensus"]) == (1, 0)


def test_the_tokens_of_a_stream(make: Make) -> None:
    """On request, in the last chunk: those of the reply's own call, and those of the whole turn."""
    text = run(post(make(), stream=True, stream_options={"include_usage": True})).text
    *chunks, last = (json.loads(line[6:]) for line in text.split("\n\n") if line.startswith("data: {"))
    assert (last["usage"]["total_tokens"], last["moa"]["usage"]["total_tokens"]) == (12, 38)
    assert not any(chunk["usage"] or "moa" in chunk for chunk in chunks)


def test_what_the_request_says_is_honoured(make: Make) -> None:
    """Temperature and seed apply to all models, max_tokens to the reply; history is sent."""
    app = make()
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "my name is Ada"},
        {"role": "assistant", "content": "hello"},
        {"role": "user", "content": "who am I?"},
    ]
    fields = {"temperature": 0.25, "max_tokens": 99, "seed": 5, "top_p": 0.1}
    assert run(post(app, messages=messages, moa={"reference_max_tokens": 11}, **fields)).status_code == 200
    by_model = {request.model: request for request in app.ask.requests}
    assert {request.temperature for request in app.ask.requests} == {0.25}
    assert [by_model[name].max_tokens for name in ("a", "b", "judge")] == [11, 11, 99]
    assert [by_model[name].seed for name in ("a", "b", "judge")] == [5, 6, 5]
    said = [(message.role, message.content) for message in by_model["a"].messages]
    assert said == [
        ("system", "Be kind.\n\nBe brief."),
        ("user", "my name is Ada"),
        ("assistant", "hello"),
        ("user", "who am I?"),
    ]


def test_another_mixture_for_one_request(make: Make) -> None:
    """`moa` changes references, rounds and aggregator for this request alone, and returns the references."""
    app = make({"c": "words of c", "d": "words of d"})
    options = {"references": ["c*2"], "rounds": 2, "aggregator": "d", "include_references": True}
    body = run(post(app, moa=options)).json()
    assert [request.model for request in app.ask.requests] == ["c", "c", "c", "c", "d"]
    told = body["moa"]
    assert (told["rounds"], told["aggregator"]) == (2, "d")
    assert [[ref["text"] for ref in layer] for layer in told["references"]] == [["words of c"] * 2] * 2
    app.ask.requests.clear()
    run(post(app))
    assert sorted(request.model for request in app.ask.requests) == ["a", "b", "judge"]


def test_a_preset_is_asked_by_its_name(make: Make) -> None:
    """Its own models answer, not those that the service was started with."""
    app = make()
    assert run(post(app, model="self-moa")).status_code == 200
    assert {request.model for request in app.ask.requests} == {"Qwen/Qwen3.7-Max"}
    assert len(app.ask.requests) == 7


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"model": "gpt-4o"}, 404, "model_not_found"),
        ({"model": "preset:nothing"}, 404, "model_not_found"),
        ({"model": "moa-gpt4o"}, 404, "model_not_found"),
        ({"moa": {"references": ["a,,b"]}}, 400, "invalid_value"),
        ({"moa": {"references": ["a*33"]}}, 400, "invalid_value"),
        ({"moa": {"references": ["a*10,b*64"]}}, 400, "invalid_value"),
        ({"moa": {"aggregator": "openai:"}}, 400, "invalid_value"),
        ({"moa": {"aggregator": "openai:gpt-4o"}}, 400, "invalid_value"),
    ],
)
def test_what_cannot_be_asked_here(make: Make, fields: dict[str, Any], status: int, code: str) -> None:
    """Unknown models are a 404, impossible changes a 400; no model is asked."""
    app = make()
    answer = run(post(app, **fields))
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (status, code)
    assert set(error) == {"message", "type", "param", "code"}
    assert app.ask.requests == []


def test_other_routes(make: Make) -> None:
    """Unknown paths and methods are errors in the API's form too."""

    async def look() -> None:
        async with make().client() as client:
            for method, path, status in (
                ("GET", "/v1/nothing", 404),
                ("GET", "/v1/chat/completions", 405),
                ("POST", "/v1/models", 405),
            ):
                answer = await client.request(method, path)
                assert answer.status_code == status
                assert answer.json()["error"]["type"] == "invalid_request_error"

    run(look())


def test_a_failed_turn(make: Make) -> None:
    """The status names the failure, streamed or not, as long as nothing has been sent."""
    app = make({"a": failed(), "b": failed()})
    for stream in (False, True):
        answer = run(post(app, stream=stream))
        assert answer.status_code == 502
        assert answer.json()["error"]["code"] == "upstream_error"
    limited = failed(FailureKind.RATE_LIMITED, "slow down")
    answer = run(post(make({"a": limited, "b": limited})))
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")


def test_a_reply_that_breaks_off(make: Make) -> None:
    """A partial reply is an error, never a complete answer."""
    broken = Completion(
        "half a", partial="stream cut", truncation_kind=FailureKind.CONTENT_FILTER, usage=Usage(1, 1)
    )
    answer = run(post(make({"judge": broken})))
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "reply_cut_off")


def test_a_token_limit_is_reported(make: Make) -> None:
    """finish_reason is the aggregator's when its text is incomplete."""
    cut = Completion("half", usage=Usage(1, 1), finish_reason="length")
    assert run(post(make({"judge": cut}))).json()["choices"][0]["finish_reason"] == "length"


def test_stop_texts_end_the_reply(make: Make) -> None:
    """The reply ends before the stop text, and the aggregator's call is cancelled."""
    app = make({"judge": "one two three four"}, hold=("judge",))
    body = run(post(app, stop=["three", "never"])).json()
    assert body["choices"][0]["message"]["content"] == "one two "
    assert body["choices"][0]["finish_reason"] == "stop"
    assert app.ask.cancelled == ["judge"]


@pytest.mark.parametrize(
    "header",
    [None, "", "Bearer", "Bearer wrong", f"Basic {KEY}", f"Bearer {KEY}x", f"Bearer {KEY[:-1]}", "Bearer é"],
)
def test_the_key_is_required(make: Make, header: str | None) -> None:
    """Without the right key every route but /healthz answers 401."""
    app = make(key=KEY)

    async def look() -> None:
        sent = {} if header is None else {"Authorization": header.encode()}
        async with app.client(headers=sent) as client:
            for answer in (
                await client.get("/v1/models"),
                await client.get("/v1/nothing"),
                await client.post("/v1/chat/completions", json=chat()),
            ):
                assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")
                assert KEY not in answer.text
            assert (await client.get("/healthz")).json() == {"status": "ok"}

    run(look())
    assert app.ask.requests == []


def test_the_right_key(make: Make) -> None:
    """With the key the service answers under any host name."""
    sent = {"Authorization": f"bearer {KEY}", "Host": "models.example.com"}
    assert run(post(make(key=KEY), sent)).status_code == 200


def test_a_page_in_a_browser_cannot_ask(make: Make) -> None:
    """Without a key, a foreign host name is refused, and so is a body that needs no CORS preflight."""
    app = make()

    async def look() -> None:
        async with app.client() as client:
            rebound = await client.post(
                "/v1/chat/completions", json=chat(), headers={"Host": "evil.example:80"}
            )
            assert (rebound.status_code, rebound.json()["error"]["code"]) == (403, "unknown_host")
            simple = {"Content-Type": "text/plain"}
            sneaked = await client.post("/v1/chat/completions", content=b"{}", headers=simple)
            assert (sneaked.status_code, sneaked.json()["error"]["code"]) == (415, "unsupported_media_type")

    run(look())
    assert app.ask.requests == []


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("host.docker.internal:8377", 200),
        ("host.containers.internal", 200),
        ("docker.internal", 403),
        ("evil.host.docker.internal", 403),
    ],
)
def test_a_container_on_this_computer(make: Make, host: str, status: int) -> None:
    """It knows this computer by a name of its own."""
    assert run(post(make(), headers={"Host": host})).status_code == status


def test_a_body_too_large(make: Make) -> None:
    """413, whether its length is announced or not."""
    app = make(limits=Limits(body=1000))

    async def pieces() -> Any:
        for _ in range(20):
            yield b" " * 100

    async def look() -> None:
        async with app.client(headers={"Content-Type": "application/json"}) as client:
            for content in (b" " * 1001, pieces()):
                answer = await client.post("/v1/chat/completions", content=content)
                assert (answer.status_code, answer.json()["error"]["code"]) == (413, "body_too_large")

    run(look())


def test_too_many_at_once(make: Make) -> None:
    """A request above the limit gets a 429 with Retry-After; after that, requests are answered again."""
    app = make(hold=("judge",), limits=Limits(turns=2))

    async def look() -> None:
        waiting = [asyncio.create_task(post(app)) for _ in range(2)]
        async with asyncio.timeout(LIMIT):
            while len(app.ask.to("judge")) < 2:
                await asyncio.sleep(0)
        refused = await post(app)
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "too_many_requests")
        assert refused.headers["retry-after"] == "1"
        app.ask.release.set()
        assert [answer.status_code for answer in await asyncio.gather(*waiting)] == [200, 200]
        assert (await post(app)).status_code == 200

    run(look())


def test_text_that_utf8_cannot_encode(make: Make) -> None:
    """Lone surrogates and line separators in a reply arrive unchanged."""
    text = "a\ud800b\u2028c\r\n\r\ndata: [DONE]"
    app = make({"judge": Completion(text, usage=Usage(1, 1))})
    assert run(post(app)).json()["choices"][0]["message"]["content"] == text


def test_a_budget_for_all_requests(make: Make) -> None:
    """A request that could exceed it is refused with 402, which clients do not send again."""
    app = make(max_cost=0.0)
    answer = run(post(app))
    assert answer.status_code == 402
    assert answer.json()["error"]["code"] == "insufficient_quota"
    assert not app.ask.requests


def test_a_budget_that_others_have_reserved(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that fits once the turns under way are over may be sent again: 429."""
    monkeypatch.setattr(KnownModels, "cost", lambda *_: 1.0)
    app = make(max_cost=5.0)

    async def two() -> list[int]:
        return [answer.status_code for answer in await asyncio.gather(post(app), post(app))]

    assert sorted(run(two())) == [200, 429]
    assert run(post(app)).status_code == 402


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("consults", [False, True])
def test_when_auto(make: Make, monkeypatch: pytest.MonkeyPatch, *, consults: bool, stream: bool) -> None:
    """The aggregator answers alone or consults the panel; a client's own tools are passed on as always."""
    monkeypatch.setenv("MOA_BOT_WHEN", "auto")
    asks = Completion(
        "", usage=Usage(10, 2), finish_reason="tool_calls", tool_calls=(ToolCall("1", "consult_panel", "{}"),)
    )
    app = make({"judge": [asks, "the reply"] if consults else "the reply"})
    answer = run(post(app, stream=stream))
    assert [request.model for request in app.ask.requests] == (
        ["judge", "a", "b", "judge"] if consults else ["judge"]
    )
    if stream:
        chunks = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: {")]
        choices = [choice for each in chunks for choice in each["choices"]]
        said, reason = (
            "".join(each["delta"].get("content", "") for each in choices),
            choices[-1]["finish_reason"],
        )
    else:
        choice = answer.json()["choices"][0]
        said, reason = choice["message"]["content"], choice["finish_reason"]
    assert (said, reason) == ("the reply", "stop")
    own = [{"type": "function", "function": {"name": "weather"}}]
    before = len(app.ask.requests)
    run(post(app, tools=own))
    assert [request.model for request in app.ask.requests[before:]] == ["a", "b", "judge"]
