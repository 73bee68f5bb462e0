"""What a model refuses is left out of its requests: once learned, for the session, in every use."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
from fake_models import FakeModels, layers, make_plan, run_turn

from bot.bulk.budget import Budget
from bot.bulk.cached_client import CachedClient
from bot.bulk.concurrency import AdaptiveConcurrency
from bot.bulk.journal import Journal
from bot.client.adapt import Adaptation, RequestAdapter
from bot.client.provider import Provider
from bot.client.refusals import ALTERNATING_ROLES, SYSTEM_ROLE
from bot.client.retry import Retrier
from bot.errors import Failure, FailureKind
from bot.events import Notice
from bot.messages import (
    Adapted,
    Ask,
    CallUpdate,
    Completion,
    Delta,
    Endpoint,
    Message,
    RateLimitHint,
    Request,
    Retrying,
    ToolCall,
)
from bot.method.mixture import Mixture

SYSTEM, USER, USER_2 = Message("system", "Be brief."), Message("user", "hello"), Message("user", "and?")


def request(model: str = "m", **changes: Any) -> Request:
    fields: dict[str, Any] = {
        "messages": (SYSTEM, USER, USER_2),
        "seed": 7,
        "extra": {"stream_options": {"include_usage": True}},
    }
    return Request(
        Endpoint("house", "http://fake/v1"), model, temperature=0.7, max_tokens=100, **fields | changes
    )


class Service:
    """A way to ask that refuses what it is told to, one part of a request at a time."""

    def __init__(self, *refuses: str) -> None:
        self.refuses = refuses
        self.requests: list[Request] = []

    async def __call__(self, request: Request) -> AsyncGenerator[CallUpdate, None]:
        self.requests.append(request)
        await asyncio.sleep(0)
        for part in self.refuses:
            if part in parts(request):
                message = f"HTTP 400: {part} is not supported"
                yield Failure(FailureKind.BAD_REQUEST, message, request.model, 400, refused=part)
                return
        yield RateLimitHint(0.0)
        yield Delta("hi")
        yield Completion("hi", finish_reason="stop")


def parts(request: Request) -> set[str]:
    """Return what is in a request that a service could refuse."""
    endpoint, roles = request.endpoint, [message.role for message in request.messages]
    fields = {"temperature", endpoint.max_tokens_field, *request.extra}
    found = {*fields, *({"seed"} if request.seed is not None else ())} - set(endpoint.rejects)
    if "system" in roles:
        found.add(SYSTEM_ROLE)
    if any(a == b for a, b in pairwise(roles)):
        found.add(ALTERNATING_ROLES)
    return found


async def updates(ask: Ask, asked: Request) -> list[CallUpdate]:
    return [update async for update in ask(asked)]


def said(found: Sequence[CallUpdate]) -> list[str]:
    return [update.text for update in found if isinstance(update, Adapted)]


@pytest.mark.parametrize(
    ("refuses", "setting", "what"),
    [
        (["temperature"], 'rejects = ["temperature"]', "without temperature"),
        (["seed"], 'rejects = ["seed"]', "without seed"),
        (["stream_options"], 'rejects = ["stream_options"]', "without stream_options"),
        (
            ["max_tokens"],
            'max_tokens_field = "max_completion_tokens"',
            "with max_completion_tokens instead of max_tokens",
        ),
        (["seed", "temperature"], 'rejects = ["seed", "temperature"]', "without seed and temperature"),
        ([SYSTEM_ROLE], "system_role = false", "with the system prompt in the first user message"),
        ([ALTERNATING_ROLES], "alternate_roles = true", "with consecutive messages of one role merged"),
        (
            ["temperature", "max_tokens", "max_completion_tokens"],
            'rejects = ["max_completion_tokens", "temperature"], max_tokens_field = "max_completion_tokens"',
            "without max_completion_tokens and temperature",
        ),
    ],
)
def test_asked_again_without_it(refuses: list[str], setting: str, what: str) -> None:
    """It is left out at once, remembered, and said once with the setting; no retry is counted."""
    service = Service(*refuses)
    ask = Retrier(RequestAdapter(service), tries=1)
    first = asyncio.run(updates(ask, request()))
    assert isinstance(first[-1], Completion)
    assert first[-1].retries == 0
    assert not any(isinstance(update, Retrying) for update in first)
    [sentence] = said(first)
    assert sentence.startswith(f"m is asked {what} from now on, because house refused the request. ")
    assert sentence.endswith(f'. To make this permanent, write in config.toml: [models."m"] {setting}')
    assert len(service.requests) == len(refuses) + 1
    second = asyncio.run(updates(ask, request()))
    assert (said(second), len(service.requests)) == ([], len(refuses) + 2)
    other = asyncio.run(updates(ask, request("other")))
    assert len(said(other)) == 1


def test_messages_for_models_that_do_not_accept_all_roles() -> None:
    """The system's text stands before the first user message; neighbours of one role become one."""
    assistant = Message("assistant", "hi")
    asked = request(messages=(SYSTEM, USER, assistant, USER_2, Message("system", "In English.")))
    folded = Adaptation(system_role=False).apply(asked).messages
    assert folded == (Message("user", "Be brief.\n\nIn English.\n\nhello"), assistant, USER_2)
    alone = Adaptation(system_role=False).apply(request(messages=(SYSTEM, assistant))).messages
    assert alone == (Message("user", "Be brief."), assistant)
    both = Adaptation(system_role=False, alternate_roles=True).apply(request()).messages
    assert both == (Message("user", "Be brief.\n\nhello\n\nand?"),)
    plain = request(messages=(USER, assistant))
    assert Adaptation(system_role=False, alternate_roles=True).apply(plain) == plain


def test_a_template_that_calls_a_system_message_a_repeated_role() -> None:
    """Where there is nothing to merge, the system message is what breaks the order."""
    service = Service()
    asked = request(messages=(SYSTEM, USER))

    async def refuse_system(sent: Request) -> AsyncGenerator[CallUpdate, None]:
        if any(message.role == "system" for message in sent.messages):
            yield Failure(
                FailureKind.BAD_REQUEST, "roles must alternate", "m", 400, refused=ALTERNATING_ROLES
            )
            return
        async for update in service(sent):
            yield update

    found = asyncio.run(updates(RequestAdapter(refuse_system), asked))
    assert isinstance(found[-1], Completion)
    assert service.requests[0].messages == (Message("user", "Be brief.\n\nhello"),)


@pytest.mark.parametrize(
    "refused", ["temperature", SYSTEM_ROLE, ALTERNATING_ROLES, "max_tokens", "logprobs", "nonsense"]
)
def test_a_service_that_always_refuses(refused: str) -> None:
    """It is asked at most once more for each part, its refusal is the outcome, and nothing is learned."""
    requests: list[Request] = []

    async def refuse(sent: Request) -> AsyncGenerator[CallUpdate, None]:
        requests.append(sent)
        yield Failure(FailureKind.BAD_REQUEST, "HTTP 400: no", "m", 400, refused=refused)

    ask = Retrier(RequestAdapter(refuse))
    [failure] = asyncio.run(updates(ask, request()))
    assert isinstance(failure, Failure)
    assert failure.kind is FailureKind.BAD_REQUEST
    count = len(requests)
    assert count <= 3
    asyncio.run(updates(ask, request()))
    assert len(requests) == 2 * count
    assert requests[count] == request()


def test_after_the_first_word_nothing_is_asked_again() -> None:
    """An error in the middle of an answer is its end, whatever it says."""

    async def break_off(sent: Request) -> AsyncGenerator[CallUpdate, None]:
        yield Delta("hi")
        yield Failure(FailureKind.SERVICE, "seed is not supported", "m", refused="seed")

    found = asyncio.run(updates(RequestAdapter(break_off), request()))
    assert [type(update) for update in found] == [Delta, Failure]


def test_calls_side_by_side_say_it_once() -> None:
    """Six calls of one model are refused six times, and the user reads it once."""
    service = Service("temperature", "seed")
    ask = RequestAdapter(service)

    async def run() -> list[list[CallUpdate]]:
        return await asyncio.gather(*(updates(ask, request()) for _ in range(6)))

    results = asyncio.run(run())
    assert all(isinstance(found[-1], Completion) for found in results)
    assert sum(len(said(found)) for found in results) == 1


def test_what_is_configured_is_never_sent() -> None:
    """A model's own settings hold from the first request on."""
    service = Service("temperature", "max_tokens")
    known = Adaptation(("temperature",), "max_completion_tokens")
    found = asyncio.run(updates(RequestAdapter(service, lambda _endpoint, _model: known), request()))
    assert (len(service.requests), said(found)) == (1, [])


def test_over_the_wire() -> None:
    """A service's 400 comes back through the provider, and the next request goes without the field."""
    bodies: list[dict[str, Any]] = []

    def answer(sent: httpx.Request) -> httpx.Response:
        bodies.append(json.loads(sent.content))
        if "temperature" in bodies[-1]:
            error = {"message": "Unsupported value", "param": "temperature", "code": "unsupported_parameter"}
            return httpx.Response(400, json={"error": error})
        choice = {"message": {"content": "hi"}, "finish_reason": "stop"}
        return httpx.Response(200, json={"choices": [choice]})

    async def run() -> list[CallUpdate]:
        provider = Provider(transport=httpx.MockTransport(answer))
        try:
            return await updates(RequestAdapter(provider.complete), request())
        finally:
            await provider.close()

    found = asyncio.run(run())
    assert isinstance(found[-1], Completion)
    assert len(said(found)) == 1
    assert bodies[1] == {name: value for name, value in bodies[0].items() if name != "temperature"}


@pytest.mark.parametrize("role", ["reference", "aggregator"])
def test_in_a_turn(role: str) -> None:
    """Reference and aggregator both answer; the first turn has a notice, the next has none."""
    service = Service("temperature")

    async def ask(sent: Request) -> AsyncGenerator[CallUpdate, None]:
        picky = sent.model == ("a" if role == "reference" else "judge")
        async for update in (service if picky else Service())(sent):
            yield update

    mixture = Mixture(make_plan(layers("a", "b")), Retrier(RequestAdapter(ask)), FakeModels())
    events, result = asyncio.run(run_turn(mixture))
    assert result.status == "done"
    assert all(call.answer for call in result.calls)
    [notice] = [event.text for event in events if isinstance(event, Notice)]
    assert "without temperature" in notice
    assert result.notices == (notice,)
    _, result = asyncio.run(run_turn(mixture))
    assert (result.status, result.notices) == ("done", ())


def test_in_bulk(tmp_path: Path) -> None:
    """A batch says it on the way, and keeps the answers under the requests as they were made."""
    sentences: list[str] = []
    service = Service("temperature")

    async def run(say: Callable[[str], None]) -> Completion | Failure:
        journal = Journal(tmp_path / "calls.jsonl")
        client = CachedClient(
            RequestAdapter(service, say=say),
            journal,
            concurrency=AdaptiveConcurrency(4),
            budget=Budget(lambda _request, _usage: 0.0),
        )
        try:
            return await client.complete(request(), 0)
        finally:
            journal.close()

    assert isinstance(asyncio.run(run(sentences.append)), Completion)
    assert len(sentences) == 1
    assert isinstance(asyncio.run(run(sentences.append)), Completion)
    assert len(service.requests) == 2


def test_tool_messages_are_not_merged() -> None:
    """Where roles have to alternate, calls and results still belong together by their ids."""
    calls = tuple(ToolCall(name, name, "{}") for name in ("x", "y"))
    results = tuple(Message("tool", name, tool_call_id=name) for name in ("x", "y"))
    called = Message("assistant", "", tool_calls=calls)
    messages = (Message("user", "a"), Message("user", "b"), called, *results)
    asked = request(messages=messages)
    adapted = Adaptation(alternate_roles=True).apply(asked)
    assert adapted.messages == (Message("user", "a\n\nb"), called, *results)
