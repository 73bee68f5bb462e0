"""The Responses API: what a request can contain, the events of a stream, and stored responses."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from fake_models import failed

from bot.errors import FailureKind
from bot.messages import Completion, Message, ToolCall, Usage
from bot.store.responses import KEEP_DAYS, ResponseStore, StoredResponse

Make = Callable[..., Any]
TOOL = {"type": "function", "name": "weather", "description": "Of a city", "parameters": {"type": "object"}}
CALL = ToolCall("call_1", "weather", '{"city":"Oslo"}')
CALLING = Completion("", usage=Usage(9, 3), finish_reason="tool_calls", tool_calls=(CALL,))
FUNCTION_CALL = {"type": "function_call", "call_id": "call_1", "name": "weather", "arguments": CALL.arguments}
OUTPUT = {"type": "function_call_output", "call_id": "call_1", "output": "rain"}


def part(text: str) -> dict[str, str]:
    return {"type": "input_text", "text": text}


def ask(app: Any, *requests: dict[str, Any]) -> list[Any]:
    """Send the requests one after another; one that is callable is made of the answers before it."""

    async def work() -> list[Any]:
        answers: list[Any] = []
        async with app.client() as client:
            for request in requests:
                body = request(answers) if callable(request) else request
                answers.append(
                    await client.post("/v1/responses", json={"model": "moa", "input": "why?", **body})
                )
        return answers

    return asyncio.run(work())


def events(answer: Any) -> list[dict[str, Any]]:
    found = []
    for block in answer.text.strip().split("\n\n"):
        kind, data = block.splitlines()
        event = json.loads(data.removeprefix("data: "))
        assert kind == f"event: {event['type']}"
        found.append(event)
    assert [event["sequence_number"] for event in found] == list(range(len(found)))
    return found


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ResponseStore]:
    store = ResponseStore(tmp_path / "responses.db")
    yield store
    store.close()


def test_a_whole_response(make: Make) -> None:
    """One message; the tokens are those of the reply's own call."""
    [answer] = ask(make(), {"instructions": "Be brief.", "metadata": {"a": "b"}})
    body = answer.json()
    assert (answer.status_code, body["object"], body["status"], body["error"]) == (
        200,
        "response",
        "completed",
        None,
    )
    [item] = body["output"]
    assert (item["type"], item["role"], item["status"]) == ("message", "assistant", "completed")
    assert item["content"] == [
        {"type": "output_text", "text": "the reply", "annotations": [], "logprobs": []}
    ]
    assert (body["usage"]["input_tokens"], body["usage"]["output_tokens"]) == (10, 2)
    assert body["moa"]["usage"]["total_tokens"] == 38
    assert (body["instructions"], body["metadata"], body["store"]) == ("Be brief.", {"a": "b"}, False)


def test_the_events_of_a_stream(make: Make) -> None:
    """In the API's order; the last has the whole response."""
    found = events(ask(make(), {"stream": True})[0])
    assert [event["type"].removeprefix("response.") for event in found] == [
        "created", "in_progress", "output_item.added", "content_part.added",
        "output_text.delta", "output_text.delta", "output_text.done",
        "content_part.done", "output_item.done", "completed",
    ]  # fmt: skip
    assert [event["delta"] for event in found if event["type"].endswith("delta")] == ["the", " reply"]
    assert found[6]["text"] == found[7]["part"]["text"] == "the reply"
    assert found[0]["response"]["id"] == found[-1]["response"]["id"]
    assert found[-1]["response"]["output"] == [found[8]["item"]]
    assert {event["item_id"] for event in found if "item_id" in event} == {found[2]["item"]["id"]}


@pytest.mark.parametrize(
    ("given", "messages"),
    [
        ("hi", [("user", "hi")]),
        ([{"role": "user", "content": "hi"}], [("user", "hi")]),
        (
            [{"type": "message", "role": "user", "content": [part("hi")]}],
            [("user", "hi")],
        ),
        (
            [
                {"role": "developer", "content": "Be kind."},
                {
                    "role": "user",
                    "content": [part("a"), part("b")],
                },
                {"type": "reasoning", "id": "rs_1", "summary": [], "content": None, "encrypted_content": "x"},
                {
                    "type": "message",
                    "id": "msg_1",
                    "role": "assistant",
                    "status": "completed",
                    "content": [{"type": "output_text", "text": "c", "annotations": []}],
                },
                {"role": "user", "content": "d"},
            ],
            [("system", "Be kind."), ("user", "a\nb"), ("assistant", "c"), ("user", "d")],
        ),
        ([{"role": "system", "content": "hi"}], [("user", "hi")]),
    ],
)
def test_what_the_input_can_be(make: Make, given: Any, messages: Any) -> None:
    """A text or items, in the forms that the SDKs send; instructions come first."""
    app = make()
    [answer] = ask(app, {"input": given, "instructions": "First."})
    assert answer.status_code == 200
    first, *rest = app.ask.to("a")[0].messages
    assert first.content.startswith("Be kind.\n\nFirst.")
    assert [(each.role, each.content) for each in rest] == [each for each in messages if each[0] != "system"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_function_call(make: Make, *, stream: bool) -> None:
    """Offered in the flat form, passed on in that of chat completions; the call comes back as an item."""
    app = make({"judge": CALLING})
    choice = {"type": "function", "name": "weather"}
    [answer] = ask(app, {"tools": [TOOL], "tool_choice": choice, "stream": stream})
    extra = app.ask.to("judge")[0].extra
    function = {name: value for name, value in TOOL.items() if name != "type"}
    assert extra["tools"] == [{"type": "function", "function": function}]
    assert extra["tool_choice"] == {"type": "function", "function": {"name": "weather"}}
    if stream:
        found = events(answer)
        assert [event["type"].removeprefix("response.") for event in found] == [
            "created", "in_progress", "output_item.added", "function_call_arguments.delta",
            "function_call_arguments.done", "output_item.done", "completed",
        ]  # fmt: skip
        body = found[-1]["response"]
    else:
        body = answer.json()
    [item] = body["output"]
    assert item == {"id": item["id"], "status": "completed", **FUNCTION_CALL}
    assert (body["tools"], body["tool_choice"]) == ([TOOL], choice)


def test_a_text_before_a_call(make: Make) -> None:
    """Both are items, each with an index of its own."""

    def calls(_request: Any) -> Completion:
        return Completion("Let me look.", finish_reason="tool_calls", tool_calls=(CALL, CALL))

    found = events(ask(make({"judge": calls}), {"tools": [TOOL], "stream": True})[0])
    output = found[-1]["response"]["output"]
    assert [item["type"] for item in output] == ["message", "function_call", "function_call"]
    assert len({item["id"] for item in output}) == 3
    done = [event for event in found if event["type"] == "response.output_item.done"]
    assert [(event["output_index"], event["item"]) for event in done] == list(enumerate(output))


def test_the_output_of_a_function(make: Make) -> None:
    """Call and output, with a text before the call, reach the aggregator as messages of tools."""
    app = make()
    before = {"role": "assistant", "content": "Let me look."}
    given = [{"role": "user", "content": "Oslo?"}, before, FUNCTION_CALL, OUTPUT]
    ask(app, {"input": given, "tools": [TOOL]})
    _, question, call, output, _ = app.ask.to("judge")[0].messages
    assert question == Message("user", "Oslo?")
    assert call == Message("assistant", "Let me look.", tool_calls=(CALL,))
    assert output == Message("tool", "rain", tool_call_id="call_1")


@pytest.mark.parametrize(
    "form",
    [
        {"type": "json_object"},
        {"type": "json_schema", "name": "x", "schema": {"type": "object"}, "strict": True},
    ],
)
def test_a_reply_in_json(make: Make, form: dict[str, Any]) -> None:
    """`text.format` is passed on as chat completions have it, and the reply is checked."""
    app = make({"judge": "{}"})
    [answer, wrong] = ask(
        app, {"text": {"format": form}}, {"text": {"format": form}, "moa": {"aggregator": "b"}}
    )
    assert answer.json()["output"][0]["content"][0]["text"] == "{}"
    field = app.ask.to("judge")[0].extra["response_format"]
    rest = {name: value for name, value in form.items() if name != "type"}
    assert field == ({"type": form["type"], "json_schema": rest} if rest else form)
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (502, "invalid_reply")


@pytest.mark.parametrize("stream", [False, True])
def test_a_response_that_is_not_complete(make: Make, *, stream: bool) -> None:
    """The limit of tokens is no failure: the response says that it is incomplete."""
    cut = Completion("half", usage=Usage(1, 1), finish_reason="length")
    app = make({"judge": cut})
    [answer] = ask(app, {"max_output_tokens": 16, "stream": stream})
    body = events(answer)[-1]["response"] if stream else answer.json()
    assert (body["status"], body["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})
    assert not stream or events(answer)[-1]["type"] == "response.incomplete"
    assert app.ask.to("judge")[0].max_tokens == 16


def test_a_response_that_fails(make: Make) -> None:
    """Before the first word it is an error with a status, later an event of the stream."""
    [early] = ask(make({"a": failed(), "b": failed()}), {"stream": True})
    assert (early.status_code, early.json()["error"]["code"]) == (502, "upstream_error")
    broken = Completion("half a", partial="cut", truncation_kind=FailureKind.CONTENT_FILTER)

    app = make({"judge": "half a"})
    original = app.ask._answer

    async def answer(request: Any) -> Any:
        async for update in original(request):
            yield broken if isinstance(update, Completion) and request.model == "judge" else update

    app.ask._answer = answer
    last = events(ask(app, {"stream": True})[0])[-1]
    assert (last["type"], last["response"]["status"]) == ("response.failed", "failed")
    assert last["response"]["error"]["code"] == "server_error"


def test_a_conversation_of_stored_responses(make: Make, store: ResponseStore) -> None:
    """Each continues the one before, without its instructions; the store can be opened anew."""
    app = make(responses=store)
    first, second, third = ask(
        app,
        {"input": "My name is Ada.", "instructions": "Be brief."},
        lambda answers: {"input": "Who am I?", "previous_response_id": answers[0].json()["id"]},
        lambda answers: {"input": "And?", "previous_response_id": answers[1].json()["id"], "stream": True},
    )
    assert [answer.status_code for answer in (first, second, third)] == [200] * 3
    assert events(third)[-1]["response"]["store"] is True
    system, *rest = app.ask.to("a")[-1].messages
    assert system.content == "Be kind."
    assert [each.content for each in rest] == [
        "My name is Ada.",
        "the reply",
        "Who am I?",
        "the reply",
        "And?",
    ]
    store.close()
    again = make(responses=ResponseStore(store._path))
    [answer] = ask(again, {"previous_response_id": second.json()["id"]})
    assert answer.status_code == 200
    assert len(again.ask.to("a")[0].messages) == 6
    again.service.responses.close()


def test_the_calls_of_a_stored_response(make: Make, store: ResponseStore) -> None:
    """Only the output of the function is sent; the call is in the response before it."""
    app = make({"judge": [CALLING, "It rains."]}, responses=store)
    ask(
        app,
        {"tools": [TOOL]},
        lambda answers: {"input": [OUTPUT], "previous_response_id": answers[0].json()["id"]},
    )
    roles = [message.role for message in app.ask.to("judge")[1].messages]
    assert roles == ["system", "user", "assistant", "tool", "user"]


def test_items_named_by_their_ids(make: Make, store: ResponseStore) -> None:
    """As Vercel's SDK sends them."""
    app = make(responses=store)
    _, known, unknown = ask(
        app,
        {},
        lambda answers: {
            "input": [
                {"role": "user", "content": "why?"},
                {"type": "item_reference", "id": answers[0].json()["output"][0]["id"]},
                {"role": "user", "content": "and?"},
            ]
        },
        {"input": [{"type": "item_reference", "id": "msg_nothing_0"}]},
    )
    assert known.status_code == 200
    assert [each.content for each in app.ask.to("a")[-1].messages[1:]] == ["why?", "the reply", "and?"]
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (400, "item_not_found")


def test_what_is_stored_can_be_read_and_deleted(make: Make, store: ResponseStore) -> None:
    """By the id; nothing is kept with `store: false`."""

    async def look() -> None:
        async with make(responses=store).client() as client:
            body = {"model": "moa", "input": "why?"}
            made = (await client.post("/v1/responses", json=body)).json()
            path = f"/v1/responses/{made['id']}"
            assert (await client.get(path)).json() == made
            items = (await client.get(f"{path}/input_items")).json()
            assert [item["content"][0]["text"] for item in items["data"]] == ["why?"]
            deleted = (await client.delete(path)).json()
            assert deleted == {"id": made["id"], "object": "response", "deleted": True}
            for method in ("GET", "DELETE"):
                answer = await client.request(method, path)
                assert (answer.status_code, answer.json()["error"]["code"]) == (404, "response_not_found")
            unkept = (await client.post("/v1/responses", json={**body, "store": False})).json()
            assert unkept["store"] is False
            assert (await client.get(f"/v1/responses/{unkept['id']}")).status_code == 404

    asyncio.run(look())


def test_old_responses_are_deleted(store: ResponseStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """After some days, when another one is stored; the file is for its owner alone."""
    from bot.store import responses

    store.save(StoredResponse({"id": "old"}, []))
    assert store._path
    assert store._path.stat().st_mode & 0o077 == 0
    later = responses.now() + timedelta(days=KEEP_DAYS, seconds=1)
    monkeypatch.setattr(responses, "now", lambda: later)
    store.save(StoredResponse({"id": "new"}, []))
    assert store.get("old") is None
    assert store.get("new") is not None


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"input": []}, "input", "invalid_value"),
        ({"input": None}, "input", "invalid_value"),
        ({"input": " "}, "input", "invalid_value"),
        ({"input": [{"type": "message", "role": "user"}]}, "input", "invalid_value"),
        ({"input": [{"type": ["message"]}]}, "input[0].type", "unsupported_parameter"),
        ({"input": [{"type": "computer_call"}]}, "input[0].type", "unsupported_parameter"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_file"}]}]},
            "input[0].content[0].type",
            "unsupported_parameter",
        ),
        ({"input": [FUNCTION_CALL]}, "input", "invalid_value"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type", "unsupported_parameter"),
        ({"text": {"format": {"type": "json_schema"}}}, "text.format", "invalid_value"),
        ({"background": True}, "background", "unsupported_parameter"),
        ({"conversation": "conv_1"}, "conversation", "unsupported_parameter"),
        ({"previous_response_id": "resp_1"}, "previous_response_id", "previous_response_not_found"),
        ({"max_output_tokens": 0}, "max_output_tokens", "invalid_value"),
    ],
)
def test_what_is_refused(make: Make, fields: dict[str, Any], param: str, code: str) -> None:
    """A 400 names the field."""
    [answer] = ask(make(), fields)
    error = answer.json()["error"]
    assert (answer.status_code, error["param"], error["code"]) == (400, param, code)
