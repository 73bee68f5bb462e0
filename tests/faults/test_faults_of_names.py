"""A model that is not there is told with the nearest that is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest
from running import in_time

from bot.client.model_list import ListedModel, ModelList
from bot.client.suggest import ModelSuggester
from bot.demo.process import DemoProcess
from bot.errors import Failure, FailureKind
from bot.messages import CallUpdate, Completion, Endpoint, Message, Request
from bot.text.nearest import nearest_model

NAMES = ("openai/gpt-oss-120b", "openai/gpt-oss-20b", "Qwen/Qwen3-235B-A22B-Instruct", "zai-org/GLM-5.2")


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("openai/gpt-oss-120", "openai/gpt-oss-120b"),
        ("gpt-oss-20b", "openai/gpt-oss-20b"),
        ("ZAI-ORG/glm-5.2", "zai-org/GLM-5.2"),
        ("glm-5.1", "zai-org/GLM-5.2"),
        ("mistral", ""),
        ("", ""),
        ("openai/gpt-oss-120b", "openai/gpt-oss-20b"),
    ],
)
def test_the_nearest_model(asked: str, found: str) -> None:
    """Letters count, capitals and the maker's name hardly; what is listed and still not served is no help."""
    assert nearest_model(asked, NAMES) == found


def request(model: str, url: str = "http://one/v1") -> Request:
    return Request(Endpoint("own", url), model, (Message("user", "hi"),), 0.7, 10)


async def unknown(asked: Request) -> AsyncGenerator[CallUpdate, None]:
    yield Failure(FailureKind.NOT_FOUND, "", asked.model, hint="check the name")


class Lists:
    """A way to list models that counts how often it is used."""

    def __init__(self, said: ModelList | Failure, *, hold: bool = False) -> None:
        self.said, self.hold, self.asked = said, hold, 0
        self.release = asyncio.Event()

    async def __call__(self, endpoint: Endpoint) -> ModelList | Failure:
        self.asked += 1
        await (self.release.wait() if self.hold else asyncio.sleep(0))
        return self.said


LISTED = ModelList(tuple(ListedModel(name) for name in NAMES))


async def last(ask: ModelSuggester, asked: Request) -> CallUpdate:
    return [update async for update in ask(asked)][-1]


def test_all_seats_share_one_list() -> None:
    """However many models are unknown, a service is asked for its list once; another has one of its own."""
    lists = Lists(LISTED)

    async def run() -> list[CallUpdate]:
        ask = ModelSuggester(unknown, lists)
        many = await asyncio.gather(*(last(ask, request("gpt-oss-20")) for _ in range(6)))
        return [*many, await last(ask, request("glm-5", "http://two/v1"))]

    *many, other = asyncio.run(run())
    assert {update.hint for update in many if isinstance(update, Failure)} == {
        "the nearest that own has is openai/gpt-oss-20b"
    }
    assert isinstance(other, Failure)
    assert "GLM-5.2" in other.hint
    assert lists.asked == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    "lists", [Lists(Failure(FailureKind.NOT_FOUND, "")), Lists(ModelList(())), Lists(LISTED, hold=True)]
)
def test_no_list_no_hint_and_no_waiting(lists: Lists) -> None:
    """A list that is refused, empty or slow leaves the failure as it was, soon."""
    started = time.monotonic()
    got = asyncio.run(last(ModelSuggester(unknown, lists, seconds=0.1), request("gpt-oss-20")))
    assert isinstance(got, Failure)
    assert got.hint == "check the name"
    assert in_time(time.monotonic() - started, 2)


def test_a_caller_that_leaves_does_not_take_the_list_along() -> None:
    """One call that is cut off while it waits for the list does not cost the others theirs."""
    lists = Lists(LISTED, hold=True)

    async def run() -> CallUpdate:
        ask = ModelSuggester(unknown, lists)
        first = asyncio.ensure_future(last(ask, request("gpt-oss-20")))
        second = asyncio.ensure_future(last(ask, request("glm-5")))
        while not lists.asked:
            await asyncio.sleep(0)
        first.cancel()
        lists.release.set()
        return await second

    got = asyncio.run(run())
    assert isinstance(got, Failure)
    assert "GLM-5.2" in got.hint
    assert lists.asked == 1


def test_all_else_passes_through() -> None:
    """Other updates are none of its business."""

    async def answers(_: Request) -> AsyncGenerator[CallUpdate, None]:
        yield Completion("yes")

    lists = Lists(LISTED)
    assert asyncio.run(last(ModelSuggester(answers, lists), request("m"))) == Completion("yes")
    assert lists.asked == 0


def test_the_whole_way(moa: Callable[..., Any], offline: Callable[..., DemoProcess]) -> None:
    """A mistyped model is named on stderr with the one that was meant, and the reply comes without it."""
    says = {name: {"reply": f"from {name}"} for name in NAMES}
    service = offline({"models": says, "demo_models": False, "bare_list": True})
    done = moa(
        *("ask", "why?", "-r", "openai/gpt-oss-12b,zai-org/GLM-5.2", "-a", "openai/gpt-oss-20b"),
        env={"TOGETHER_BASE_URL": service.base_url, "TOGETHER_API_KEY": "the-key"},
    )
    assert (done.returncode, done.stdout) == (0, "from openai/gpt-oss-20b\n")
    assert "no such model" in done.stderr
    assert "the nearest that together has is openai/gpt-oss-120b" in done.stderr
