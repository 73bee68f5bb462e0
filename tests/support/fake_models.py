"""In-process models for tests of the mixture, where processes and HTTP do not matter."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from bot.client.model_list import ListedModel
from bot.errors import Failure, FailureKind
from bot.events import Event, TurnFinished
from bot.messages import Agent, CallUpdate, Completion, Delta, Endpoint, Message, Request, Usage
from bot.method.mixture import CancelToken, Mixture
from bot.method.plan import Plan
from bot.turn_result import TurnResult


class CutAfter(str):
    """A reply whose stream breaks off at its end."""

    __slots__ = ()


Reply = str | Failure | Completion | Callable[[Request], str | Failure | Completion]


def make_plan(layers: tuple[tuple[Agent, ...], ...], **changes: Any) -> Plan:
    """Return a plan of these layers and the aggregator "judge"."""
    plan = Plan(layers, Agent("judge"), 0.7, 2048, 2048, 1, None, 60.0, "INSTRUCTION")
    return replace(plan, **changes)


@dataclass
class FakeModels:
    """Models about which nothing is known, but for what a test says."""

    contexts: dict[str, int] = field(default_factory=dict)
    price: float | None = None
    without_tools: frozenset[str] = frozenset()
    listed: dict[tuple[str, str], ListedModel] = field(default_factory=dict)
    seeing: frozenset[str] = frozenset()

    def endpoint(self, name: str) -> Endpoint:
        return Endpoint(name, "http://fake/v1")

    def context_length(self, agent: Agent) -> int | None:
        return self.contexts.get(agent.model)

    def learn_context_length(self, agent: Agent, tokens: int) -> None:
        self.contexts[agent.model] = tokens

    def request_fields(self, agent: Agent) -> Mapping[str, object]:
        return {}

    def calls_tools(self, agent: Agent) -> bool | None:
        return False if agent.model in self.without_tools else None

    def sees(self, agent: Agent) -> bool:
        return agent.model in self.seeing

    def cost(self, agent: Agent, usage: Usage) -> float | None:
        if self.price is None or usage.completion_tokens is None:
            return None
        return self.price * usage.completion_tokens


class FakeAsk:
    """A way to ask that answers from a table and keeps every request.

    A model's replies are given in order and the last one stays; `hold` names models that wait for
    `release`. Texts stream word by word.
    """

    def __init__(self, replies: Mapping[str, Reply | Sequence[Reply]], *, hold: Sequence[str] = ()) -> None:
        self.replies = {
            model: list(r) if isinstance(r, list | tuple) else [r] for model, r in replies.items()
        }
        self.requests: list[Request] = []
        self.cancelled: list[str] = []
        self.hold = set(hold)
        self.release = asyncio.Event()

    def __call__(self, request: Request) -> AsyncGenerator[CallUpdate, None]:
        self.requests.append(request)
        return self._answer(request)

    def to(self, model: str) -> list[Request]:
        """Return the requests that this model was sent, in order."""
        return [request for request in self.requests if request.model == model]

    async def _answer(self, request: Request) -> AsyncGenerator[CallUpdate, None]:
        queue = self.replies.get(request.model, [f"answer of {request.model}"])
        reply = queue.pop(0) if len(queue) > 1 else queue[0]
        if callable(reply):
            reply = reply(request)
        try:
            await asyncio.sleep(0)
            words = reply.split(" ") if isinstance(reply, str) else []
            for place, word in enumerate(words):
                yield Delta(word if place == 0 else " " + word)
                if request.model in self.hold and place == len(words) // 2:
                    await self.release.wait()
        except GeneratorExit:
            self.cancelled.append(request.model)
            raise
        except asyncio.CancelledError:
            self.cancelled.append(request.model)
            raise
        if isinstance(reply, CutAfter):
            reply = Completion(
                str(reply), partial="stream cut: the line went dead", truncation_kind=FailureKind.CUT
            )
        elif isinstance(reply, str):
            reply = Completion(reply, usage=Usage(10, len(words)), finish_reason="stop")
        yield reply


Script = Sequence[tuple[float, CallUpdate]]
"""What one request yields: each update with the seconds before it."""


class ScriptedAsk:
    """A way to ask that follows scripts; a model's requests take its scripts in order."""

    def __init__(self, scripts: Mapping[str, Sequence[Script]]) -> None:
        self._scripts = {model: list(requests) for model, requests in scripts.items()}

    async def __call__(self, request: Request) -> AsyncGenerator[CallUpdate, None]:
        for seconds, update in self._scripts[request.model].pop(0):
            await asyncio.sleep(seconds)
            yield update


def answer(seconds: float, text: str = "an answer") -> Script:
    """Return the script of an answer that comes all at once."""
    return [(seconds, Delta(text)), (0, Completion(text, first_token=seconds, seconds=seconds))]


def failed(kind: FailureKind = FailureKind.SERVICE, message: str = "HTTP 500", model: str = "") -> Failure:
    return Failure(kind, message, model)


def layers(*models: str, rounds: int = 1) -> tuple[tuple[Agent, ...], ...]:
    return (tuple(Agent(model) for model in models),) * rounds


async def run_turn(
    mixture: Mixture,
    prompt: str = "question",
    history: Sequence[Message] = (),
    cancel_token: CancelToken | None = None,
    **more: Any,
) -> tuple[list[Event], TurnResult]:
    """Run one turn to its end; returns all events and the result."""
    events = [event async for event in mixture.run(history, prompt, cancel_token, **more)]
    last = events[-1]
    assert isinstance(last, TurnFinished)
    return events, last.result
