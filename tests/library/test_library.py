"""moa-bot as a library: one mixture, asked from plain code and from coroutines."""

from __future__ import annotations

import asyncio
import gc
import threading
from contextlib import aclosing, closing
from pathlib import Path
from typing import Any

import pytest
from running import LIMIT, until

import bot
from bot import Mixture
from bot.api.library import MixtureOptions
from bot.demo.process import DemoProcess
from bot.demo.references import split_prompt
from bot.demo.scripted import SCRIPTED_ANSWERS, SCRIPTED_PROMPT
from bot.errors import ConfigError, FailureKind, KeyMissingError, TurnFailedError, UsageError
from bot.events import ReplyDelta, RoundStarted, TurnFinished
from bot.messages import Message
from bot.settings.options import OPTIONS, Group

PAIR: Any = {"reference_models": ["a", "b"], "aggregator": "judge", "num_proc": 1}
SLOW = {"reply": "word " * 400, "tokens_per_second": 40}


@pytest.mark.slow
def test_a_comparison_is_a_part_of_the_reply() -> None:
    """`analysis` has its lists as values, `panel` who answered; the judge's call is one of the calls."""
    with Mixture(demo=True, mode="fusion", reference_models=list(SCRIPTED_ANSWERS), num_proc=1) as moa:
        reply = moa.ask(SCRIPTED_PROMPT)
    assert reply.analysis is not None
    assert [claim.answers for claim in reply.analysis.unique] == [(3,)]
    assert reply.analysis.answers[2].model == "demo/sceptic"
    assert reply.panel is not None
    assert (reply.panel.asked, reply.panel.answered, reply.panel.left_out) == (5, 5, ())
    assert [call.slot.role for call in reply.calls].count("judge") == 1


def test_the_public_surface() -> None:
    """What is public is this, and no more."""
    assert bot.__all__ == ["Conversation", "Mixture", "errors", "events"]
    assert set(bot.__all__) < set(dir(bot))
    for public, names in (
        (bot.Mixture, {"aask", "aclose", "ask", "chat", "close", "plan", "stream"}),
        (bot.Conversation, {"aask", "ask", "history", "stream"}),
    ):
        assert {name for name in vars(public) if not name.startswith("_")} == names
    assert issubclass(bot.errors.TurnFailedError, bot.errors.MoaError)
    assert bot.events.ReplyDelta is ReplyDelta
    with pytest.raises(AttributeError, match="nothing"):
        _ = bot.nothing


def test_every_option_of_a_mixture_is_typed() -> None:
    """The table of options and the library's keywords name the same things."""
    in_a_mixture = {option.name for option in OPTIONS if option.group in {Group.MIXTURE, Group.ADVANCED}}
    others = {"multi_turn", "system", "system_file", "schema", "save"}
    assert set(MixtureOptions.__annotations__) == (in_a_mixture | others) - {"preset"}


def test_ask(service: DemoProcess) -> None:
    """The whole turn comes back: reply, references by round, tokens; each question stands alone."""
    with Mixture(**PAIR, rounds=2) as moa:
        result = moa.ask("why?")
        assert (result.status, result.reply, result.model) == ("done", "the reply", "judge")
        assert [[call.answer for call in layer] for layer in result.rounds] == [["from a", "from b"]] * 2
        assert result.usage.completion_tokens
        moa.ask("and then?")
    last = service.requests()[-1]["body"]["messages"]
    assert [split_prompt(message["content"])[0] for message in last] == ["and then?"]


def test_ask_with_files(service: DemoProcess, tmp_path: Path) -> None:
    """Files go along by name; what the prompt quotes attaches nothing, and what is no file is refused."""
    file = tmp_path / "notes.txt"
    file.write_text("line", encoding="utf-8")
    with Mixture(reference_models="a", aggregator="judge") as mixture:
        result = mixture.ask(f"sum up @{file}", files=file)
        assert [each.name for each in result.attachments] == ["notes.txt"]
        prompt = service.requests()[0]["body"]["messages"][-1]["content"]
        assert prompt == f"sum up @{file}\n\nFile notes.txt:\n```\nline\n```"
        with pytest.raises(UsageError, match=r"gone\.txt"):
            mixture.ask("sum up", files=[tmp_path / "gone.txt"])


def test_ask_in_a_coroutine(service: DemoProcess) -> None:
    """Many questions at once, without blocking the event loop, through one mixture."""

    async def work() -> None:
        async with Mixture(**PAIR) as moa:
            results = await asyncio.gather(*(moa.aask(f"question {number}") for number in range(8)))
            assert {result.reply for result in results} == {"the reply"}
            # A notebook's cell: plain code inside a running loop.
            assert moa.ask("why?").reply == "the reply"

    asyncio.run(work())
    assert len(service.requests()) == 27


def test_stream_in_both_ways(service: DemoProcess) -> None:
    """The events of the terminal, in their order, with `for` and with `async for`."""
    with Mixture(**PAIR) as moa:
        events = list(moa.stream("why?"))
        assert isinstance(events[0], RoundStarted)
        assert isinstance(events[-1], TurnFinished)
        assert "".join(event.text for event in events if isinstance(event, ReplyDelta)) == "the reply"

        async def work() -> list[type]:
            return [type(event) async for event in moa.stream("why?") if not isinstance(event, ReplyDelta)]

        kinds = asyncio.run(work())
        assert (kinds[0], kinds[-1]) == (RoundStarted, TurnFinished)


def test_a_conversation_has_a_history(service: DemoProcess) -> None:
    """What was said before goes along, and can be brought from elsewhere."""
    before = (Message("user", "my name is Ada"), Message("assistant", "hello"))
    with Mixture(**PAIR) as moa:
        chat = moa.chat(before)
        assert chat.history == before
        chat.ask("one")
        asyncio.run(chat.aask("two"))
        list(chat.stream("three"))
    said = [split_prompt(message["content"])[0] for message in service.requests()[-1]["body"]["messages"]]
    assert said == ["my name is Ada", "hello", "one", "the reply", "two", "the reply", "three"]
    assert len(chat.history) == 8


def test_a_stream_left_early(service: DemoProcess) -> None:
    """Its calls are cancelled within a second, what came stays in the history, and the mixture goes on."""
    service.set_behaviour({"models": {"a": {}, "b": {}, "judge": SLOW}})
    with Mixture(**PAIR) as moa:
        chat = moa.chat()
        with closing(iter(chat.stream("why?"))) as events:  # type: ignore[type-var]  # it is a generator
            next(event for event in events if isinstance(event, ReplyDelta) and event.text)
        until(lambda: service.requests()[-1]["cancelled"], 1)
        assert chat.history[-1].content.startswith("word")

        async def leave() -> None:
            async with aclosing(aiter(moa.stream("why?"))) as events:  # type: ignore[type-var]  # likewise
                async for event in events:
                    if isinstance(event, ReplyDelta):
                        break

        asyncio.run(leave())
        until(lambda: service.requests()[-1]["cancelled"], 1)
        service.set_behaviour({"models": {"a": {}, "b": {}, "judge": {"reply": "soon"}}})
        assert moa.ask("why?").reply == "soon"


def test_a_question_cancelled(service: DemoProcess) -> None:
    """Cancelling the coroutine that waits cancels the calls."""
    service.set_behaviour({"models": {"a": SLOW, "b": SLOW, "judge": {}}})

    async def work() -> None:
        async with Mixture(**PAIR) as moa:
            asking = asyncio.create_task(moa.aask("why?"))
            await asyncio.to_thread(until, lambda: len(service.requests()) == 2)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            await asyncio.to_thread(
                until, lambda: all(request["cancelled"] for request in service.requests()), 1
            )

    asyncio.run(work())


@pytest.mark.parametrize(
    "options",
    [{"rounds": 0}, {"reference_models": "none"}, {"reference_models": ["none"]}, {"reference_models": []}],
)
def test_a_lone_model(options: dict[str, Any]) -> None:
    """Without rounds or reference models the aggregator answers alone."""
    plan = Mixture(**{"aggregator": "a", "demo": False, **options}).plan
    assert (plan.layers, plan.min_references) == ((), 0)


def test_errors(service: DemoProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are those of bot.errors: at once for options, with the first question for keys and models."""
    with pytest.raises(UsageError, match="rounds"):
        Mixture(rounds=-1)
    with pytest.raises(UsageError, match="defualt"):
        Mixture("defualt")
    with pytest.raises(TypeError, match="layers"):
        Mixture(layers=3)  # type: ignore[call-arg]  # what is to be refused
    service.set_behaviour(
        {"models": {"a": {"failures": [{"status": 404}]}, "b": {"failures": [{"status": 404}]}}}
    )
    with Mixture(**PAIR) as moa:
        with pytest.raises(TurnFailedError) as failed:
            moa.ask("why?")
        assert failed.value.failure.kind is FailureKind.NOT_FOUND
        last = list(moa.stream("why?"))[-1]
        assert isinstance(last, TurnFinished)
        assert last.result.failure
        with pytest.raises(UsageError, match="empty"):
            moa.ask(" ")
    with pytest.raises(UsageError, match="closed"):
        moa.ask("why?")
    monkeypatch.delenv("TOGETHER_BASE_URL")
    with pytest.raises(KeyMissingError, match="OPENAI_API_KEY"):
        Mixture(**PAIR, endpoint="openai").ask("why?")
    assert issubclass(ConfigError, UsageError)


def test_an_address_and_a_key_of_its_own(service: DemoProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """base_url and api_key hold for this mixture, and the key is in no text about it."""
    monkeypatch.delenv("TOGETHER_BASE_URL")
    service.set_behaviour({"models": {"a": {}, "b": {}, "judge": {}}, "require_key": "my-very-own-key"})
    with Mixture(**PAIR, base_url=service.base_url, api_key="my-very-own-key") as moa:
        assert moa.ask("why?").status == "done"
        assert "my-very-own-key" not in repr(moa) + repr(vars(moa))


def test_closing_ends_what_is_under_way(service: DemoProcess) -> None:
    """A question asked in another thread gets an error, and no worker is left."""
    service.set_behaviour({"models": {"a": SLOW, "b": SLOW, "judge": {}}})
    moa = Mixture(**PAIR)
    said: list[BaseException] = []

    def ask() -> None:
        try:
            moa.ask("why?")
        except bot.errors.MoaError as error:
            said.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    until(lambda: len(service.requests()) == 2)
    moa.close()
    moa.close()
    asking.join(LIMIT)
    assert "cancelled" in str(said[0])


def test_a_forgotten_mixture_ends(service: DemoProcess) -> None:
    """Nobody holds it any more: its workers leave, without a call to close (the fixture looks)."""
    moa = Mixture(**PAIR)
    assert moa.ask("why?").reply == "the reply"
    del moa
    gc.collect()


@pytest.mark.slow
def test_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """demo=True needs no service and no key."""
    with Mixture(demo=True, num_proc=1) as moa:
        assert "391" in moa.ask("What is 17 * 23?").reply
