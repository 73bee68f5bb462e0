"""Images of a prompt: which models get them, what the others are told, and what they cost in context."""

from __future__ import annotations

from typing import Any

import pytest
from fake_models import FakeAsk, FakeModels, layers, make_plan, run_turn
from looped import looped

from bot.errors import FailureKind
from bot.events import Notice
from bot.messages import Agent, Image, Message, Mode, Request
from bot.method.context import fit, message_tokens
from bot.method.mixture import Mixture

CAT = Image("data:image/png;base64,AAAA", "cat.png", 640, 480)
DOG = Image("data:image/png;base64,BBBB", "dog.png", 64, 64)
LABEL = "[image: cat.png, 640x480]"
UNSEEN = f"{LABEL}\n(You cannot see this image."


def mixture(
    mode: Mode = "moa", *, seeing: tuple[str, ...] = ("b", "judge"), **more: Any
) -> tuple[Mixture, FakeAsk]:
    ask = FakeAsk({"a": "a concern", "b": "another concern", "judge": "1"})
    plan = make_plan(layers("a", "b"), mode=mode, **more)
    return Mixture(plan, ask, FakeModels(seeing=frozenset(seeing))), ask


def images_in(request: Request) -> list[str]:
    return [image.name for message in request.messages for image in message.images]


@pytest.mark.parametrize("placement", ["prompt", "system"])
@pytest.mark.parametrize("mode", ["moa", "fusion", "critique", "vote", "rank", "compare"])
@looped
async def test_every_model_of_every_mode(mode: Mode, placement: str) -> None:
    """Who sees gets the image with the prompt, judges and reviewers too; the others are told of it."""
    judged = {"judge": Agent("comparer")} if mode == "compare" else {}
    mixed, ask = mixture(mode, seeing=("b", "judge", "comparer"), placement=placement, **judged)
    events, result = await run_turn(mixed, prompt=f"what is it? {LABEL}", images=[CAT])
    assert result.status == "done"
    assert {request.model for request in ask.requests} >= {"a", "b"}
    for request in ask.requests:
        sees = request.model != "a"
        assert images_in(request) == (["cat.png"] if sees else [])
        asked, *_ = [message for message in request.messages if LABEL in message.content]
        assert asked.role == "user"
        assert (UNSEEN in asked.content) == (not sees)
    said = [event.text for event in events if isinstance(event, Notice)]
    assert said[0] == "a cannot see images, and is told that there is one."


@pytest.mark.parametrize("mode", ["moa", "fusion", "critique", "vote", "rank", "compare"])
@looped
async def test_nobody_sees(mode: Mode) -> None:
    """Nothing is asked; the failure names the models and the setting. In mode compare nobody writes."""
    mixed, ask = mixture(mode, seeing=("judge",) if mode == "compare" else ())
    _, result = await run_turn(mixed, images=[CAT])
    assert (result.status, ask.requests) == ("failed", [])
    assert result.failure
    assert result.failure.kind is FailureKind.ATTACHMENT
    assert "a, b" in result.failure.message
    assert "vision = true" in result.failure.hint


@looped
async def test_images_of_earlier_turns() -> None:
    """They go along to who sees, and the others are told; no new image, no refusal."""
    history = [Message("user", "a cat", images=(CAT,)), Message("assistant", "yes")]
    mixed, ask = mixture(seeing=("b",))
    _, result = await run_turn(mixed, history=history, prompt="and a dog?", images=[DOG])
    assert result.status == "done"
    [request] = ask.to("b")
    assert images_in(request) == ["cat.png", "dog.png"]
    assert request.messages[0] == history[0]  # the same bytes as in the turn before
    assert UNSEEN in ask.to("a")[0].messages[0].content
    mixed, ask = mixture(seeing=())
    _, result = await run_turn(mixed, history=history, prompt="thanks")
    assert result.status == "done"
    assert not any(map(images_in, ask.requests))


def test_images_take_context() -> None:
    """They count as tokens, the prompt's are never cut, and old ones are cut with their turn."""
    old = Message("user", "a cat", images=(CAT,))
    assert message_tokens(old) == message_tokens(Message("user", "a cat")) + 23 * 18 + 2

    def fitted(length: int, images: tuple[Image, ...] = (CAT,)) -> Any:
        history = (old, Message("assistant", "yes"))
        return fit(
            systems=(), instruction="", answers=(), history=history, prompt="and now?", max_tokens=300,
            context_length=length, images=images,
        )  # fmt: skip

    assert fitted(2000).whole
    cut = fitted(1000)
    assert cut.dropped == 2
    assert [message.images for message in cut.messages] == [(CAT,)]
    assert fitted(1000, ()).whole
    assert fitted(400).excess > 0
