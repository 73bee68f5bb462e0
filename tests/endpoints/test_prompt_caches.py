"""What a service is told for its prompt cache: marks on messages, and a key for the conversation."""

from __future__ import annotations

import asyncio
import json
import pickle
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from fake_models import FakeAsk, FakeModels, layers, make_plan, run_turn

from bot.app.load_settings import load_settings
from bot.bulk.journal import key_of
from bot.client.adapt import Adaptation, RequestAdapter
from bot.client.provider import Provider
from bot.client.refusals import find_refusal
from bot.client.retry import Retrier
from bot.errors import ConfigError
from bot.messages import Adapted, CallUpdate, Completion, Endpoint, Message, Request
from bot.method.mixture import Mixture
from bot.method.prompts import Placement, cache_key, mark_history

HISTORY = (
    Message("user", "one"),
    Message("assistant", "1"),
    Message("user", "two"),
    Message("assistant", "2"),
)
MARK = {"type": "ephemeral"}
ENDPOINT = Endpoint("house", "http://fake/v1", cache_marks=("vendor/*",), cache_key_field="prompt_cache_key")


class Models(FakeModels):
    """Models at a service that wants marks for `vendor/…`, and a key."""

    def endpoint(self, name: str) -> Endpoint:
        return replace(ENDPOINT, name=name)


async def asked(history: Sequence[Message] = (), prompt: str = "three", **changes: Any) -> list[Request]:
    """Return the requests of a turn with two rounds."""
    ask = FakeAsk({})
    plan = make_plan(layers("vendor/a", "b", rounds=2), **changes)
    plan = replace(plan, aggregator=replace(plan.aggregator, model="Vendor/judge"))
    await run_turn(Mixture(plan, ask, Models()), prompt, history)
    return ask.requests


def marked(request: Request) -> list[tuple[str, str]]:
    return [(message.role, message.content) for message in request.messages if message.cache_mark]


@pytest.mark.parametrize("placement", ["prompt", "system"])
@pytest.mark.parametrize(
    ("history", "system", "mark"),
    [
        (HISTORY, "S", [("assistant", "2")]),
        (HISTORY, None, [("assistant", "2")]),
        ((), "S", [("system", "S")]),
        ((), None, []),
        ((Message("user", "one"), Message("assistant", " \n")), None, []),
    ],
)
def test_what_is_marked(
    placement: Placement, history: Sequence[Message], system: str | None, mark: list[tuple[str, str]]
) -> None:
    """The end of what later requests begin with, for models that want it, where the beginning stays."""
    requests = asyncio.run(asked(history, system=system, placement=placement))
    assert len(requests) == 5
    for place, request in enumerate(requests):
        stays = placement == "prompt" or place < 2
        assert marked(request) == (mark if stays and request.model != "b" else [])
        assert not request.messages[-1].cache_mark


def test_a_reply_that_broke_off_keeps_the_mark() -> None:
    """The request for its rest begins with the same bytes."""
    messages = mark_history((*HISTORY, Message("user", "three")))
    assert [message.cache_mark for message in messages] == [False, False, False, True, False]
    assert [replace(message, cache_mark=False) for message in messages[:-1]] == list(HISTORY)


@pytest.mark.parametrize(
    ("adaptation", "mark"),
    [
        (Adaptation(system_role=False), [("assistant", "2")]),
        (Adaptation(alternate_roles=True), [("assistant", "2")]),
        (Adaptation(rejects=("seed",)), [("assistant", "2")]),
    ],
)
def test_a_mark_stays_where_messages_are_merged(adaptation: Adaptation, mark: list[tuple[str, str]]) -> None:
    """It belongs to its message, wherever that moves to."""
    messages = mark_history((Message("system", "S"), *HISTORY, Message("user", "three")))
    request = Request(ENDPOINT, "vendor/a", messages, 0.7, 9)
    assert marked(adaptation.apply(request)) == mark


def test_the_system_prompt_in_the_prompt_is_not_marked() -> None:
    """A model without system role gets it before the prompt, which is another one next time."""
    messages = mark_history((Message("system", "S"), Message("user", "three")))
    request = Request(ENDPOINT, "vendor/a", messages, 0.7, 9)
    assert marked(Adaptation(system_role=False).apply(request)) == []


def test_the_key_of_a_conversation() -> None:
    """One for each model and conversation: the same in all rounds and turns, whatever else changes."""
    first = asyncio.run(asked(prompt="one", system="S"))
    later = asyncio.run(asked(HISTORY, system="S", temperature=0.0, placement="system"))
    keys = {request.model: request.cache_key for request in first}
    assert len(set(keys.values())) == 3
    assert all(len(key) == 32 and set(key) <= set("0123456789abcdef") for key in keys.values())
    assert {(request.model, request.cache_key) for request in (*first, *later)} == set(keys.items())
    others = [("S", (), "two", "b"), (None, (), "one", "b"), ("S", (), "one", "c")]
    assert keys["b"] not in {cache_key(*other) for other in others}
    assert keys["b"] == cache_key("S", (Message("system", "x"), *HISTORY), "three", "b")
    assert cache_key(None, (), "\ud800", "b")


def test_they_reach_the_worker_and_not_the_journal() -> None:
    """A request is sent to another process; a run's calls keep the keys of version 0.1."""
    [request, *_] = asyncio.run(asked(HISTORY, system="S"))
    assert pickle.loads(pickle.dumps(request)) == request
    plain = replace(
        request,
        cache_key="",
        endpoint=replace(request.endpoint, cache_marks=(), cache_key_field=""),
        messages=tuple(replace(message, cache_mark=False) for message in request.messages),
    )
    assert key_of(request, "") == key_of(plain, "")


def sending(refusal: dict[str, Any] | None = None, refused: str = "") -> tuple[httpx.MockTransport, Any]:
    """Return a service that refuses requests with `refused` in them, and the bodies that it is sent."""
    bodies: list[Any] = []

    def answer(request: httpx.Request) -> httpx.Response:
        bodies.append(json.loads(request.content))
        if refusal is not None and refused in request.content.decode():
            return httpx.Response(400, json=refusal)
        return httpx.Response(
            200, json={"choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}]}
        )

    return httpx.MockTransport(answer), bodies


async def complete(transport: httpx.MockTransport, request: Request, times: int = 1) -> list[CallUpdate]:
    """Send a request as the program does, and return all updates."""
    provider = Provider(transport=transport)

    def once(request: Request) -> AsyncGenerator[CallUpdate, None]:
        return provider.complete(request)

    ask = Retrier(RequestAdapter(once))
    try:
        return [update for _ in range(times) async for update in ask(request)]
    finally:
        await provider.close()


@pytest.mark.parametrize("rejects", [(), ("cache_control",), ("prompt_cache_key",)])
def test_the_body(rejects: tuple[str, ...]) -> None:
    """A marked message is a list of one text; the others are plain; what is rejected is left out."""
    transport, bodies = sending()
    request = Request(
        replace(ENDPOINT, rejects=rejects),
        "vendor/a",
        mark_history((Message("system", "S\0"), Message("user", "three"))),
        0.7,
        9,
        cache_key="k",
    )
    assert isinstance(asyncio.run(complete(transport, request))[-1], Completion)
    [body] = bodies
    system, prompt = body["messages"]
    listed = [{"type": "text", "text": "S", "cache_control": MARK}]
    assert system == {"role": "system", "content": "S" if "cache_control" in rejects else listed}
    assert prompt == {"role": "user", "content": "three"}
    assert body.get("prompt_cache_key") == (None if "prompt_cache_key" in rejects else "k")


def test_a_key_in_a_header() -> None:
    """It is not in the body then; without a key of either kind nothing is sent."""
    found = []

    def answer(request: httpx.Request) -> httpx.Response:
        found.append((request.headers.get("x-conversation"), b"key-of" in request.content))
        return httpx.Response(200, json={"choices": [{"message": {"content": "hi"}}]})

    for header in ("x-conversation", ""):
        endpoint = Endpoint("house", "http://fake/v1", cache_key_header=header)
        request = Request(endpoint, "b", HISTORY, 0.7, 9, cache_key="key-of")
        asyncio.run(complete(httpx.MockTransport(answer), request))
    assert found == [("key-of", False), (None, False)]


REFUSALS: list[tuple[str, dict[str, Any]]] = [
    *(
        ("cache_control", {"error": {"message": message}})
        for message in (
            "messages.0.content.0.cache_control: Extra inputs are not permitted",
            "Unknown parameter: 'messages[0].content[0].cache_control'.",
            "This model does not support cache_control",
            "Invalid type for 'messages[0].content': expected a string, but got an array instead.",
            "messages[0].content: invalid type: sequence, expected a string",
        )
    ),
    *(
        (field, {"detail": [{"loc": place, "type": kind, "msg": said}]})
        for field, place, kind, said in (
            ("cache_control", ["messages", 0, "content"], "string_type", "Input should be a valid string"),
            ("cache_control", ["messages", 0, "content", 0, "cache_control"], "extra_forbidden", "no"),
            ("prompt_cache_key", ["body", "prompt_cache_key"], "extra_forbidden", "no"),
        )
    ),
    (
        "cache_control",
        {
            "error": {
                "message": "Provider returned error",
                "metadata": {"raw": '{"error":{"message":"cache_control is not supported for this model"}}'},
            }
        },
    ),
    ("prompt_cache_key", {"error": {"message": "Unrecognized request argument supplied: prompt_cache_key"}}),
    ("prompt_cache_key", {"error": {"param": "prompt_cache_key", "code": "unknown_parameter"}}),
]


@pytest.mark.parametrize(("field", "body"), REFUSALS)
def test_a_refusal_is_learned(field: str, body: dict[str, Any]) -> None:
    """The request is sent again without it, the next one at once, and one sentence names the setting."""
    transport, bodies = sending(body, f'"{field}"')
    messages = mark_history((Message("system", "S"), Message("user", "three")))
    request = Request(ENDPOINT, "vendor/a", messages, 0.7, 9, cache_key="k")
    assert find_refusal(request, json.dumps(body)) == field
    updates = asyncio.run(complete(transport, request, times=2))
    assert sum(isinstance(update, Completion) for update in updates) == 2
    assert [field in json.dumps(each) for each in bodies] == [True, False, False]
    [said] = [update.text for update in updates if isinstance(update, Adapted)]
    assert f'rejects = ["{field}"]' in said


def test_without_a_mark_nothing_is_blamed_on_it() -> None:
    """An error about a message's text is none about marks that were not sent."""
    body = json.dumps({"error": {"message": "content must be a string; cache_control is not supported"}})
    assert find_refusal(Request(ENDPOINT, "b", HISTORY, 0.7, 9), body) == ""


def test_settings(tmp_path: Path) -> None:
    """The shipped services have what they document; a table changes it, and a mistake is one line."""

    def settle(config: str = "") -> Any:
        (tmp_path / "config.toml").write_text(config, encoding="utf-8")
        return load_settings({}, None, {"MOA_BOT_HOME": str(tmp_path)})

    openrouter = settle().endpoint("openrouter", {"OPENROUTER_API_KEY": "k"})
    for model, wanted in (
        ("anthropic/claude-x", True),
        ("Google/gemini", True),
        ("qwen/qwen3-max", True),
        ("openai/gpt", False),
    ):
        assert openrouter.wants_cache_mark(model) == wanted
    fields = {name: each.quirks.cache_key_field for name, each in settle().endpoints.items()}
    assert {name: field for name, field in fields.items() if field} == {
        "openai": "prompt_cache_key",
        "openrouter": "session_id",
        "mistral": "prompt_cache_key",
        "deepinfra": "prompt_cache_key",
        "fireworks": "user",
    }
    assert settle().endpoint("xai", {"XAI_API_KEY": "k"}).cache_key_header == "x-grok-conv-id"
    own = settle('[endpoints.openrouter]\ncache_marks = []\n[endpoints.openai]\ncache_key_field = ""\n')
    assert own.endpoints["openrouter"].quirks.cache_marks == ()
    assert own.endpoints["openai"].quirks.cache_key_field == ""
    for line in (
        'cache_marks = "anthropic/*"',
        "cache_marks = [1]",
        'cache_marks = [""]',
        'cache_key_field = "messages"',
        'cache_key_field = "temperature"',
        'cache_key_field = "a b"',
        "cache_key_field = 1",
        'cache_key_header = "Authorization"',
        'cache_key_header = "x-a: b"',
        "cache_key_header = []",
    ):
        with pytest.raises(ConfigError, match=rf"{line.partition(' ')[0]}: expected"):
            settle(f"[endpoints.openai]\n{line}\n")
