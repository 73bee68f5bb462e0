"""The mixture as a model of inspect_ai, with made-up models, and in an evaluation of its own."""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
import tomllib
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fake_models import FakeAsk, FakeModels, make_plan
from pictures_made import picture

from bot.app.log import Log
from bot.demo.process import DemoProcess
from bot.errors import Failure, FailureKind, UsageError
from bot.messages import Agent, Completion, Request, ToolCall, Usage

pytest.importorskip("inspect_ai", reason="the extra `inspect` is not installed")

from inspect_ai.log import transcript
from inspect_ai.model import (
    ChatMessage,
    ChatMessageAssistant,
    ChatMessageSystem,
    ChatMessageTool,
    ChatMessageUser,
    ContentAudio,
    ContentImage,
    ContentReasoning,
    ContentText,
    GenerateConfig,
    ModelOutput,
    ResponseSchema,
)
from inspect_ai.tool import ToolFunction, ToolInfo, ToolParams
from inspect_ai.util import json_schema

from bot.eval.arms import Proposal
from bot.eval.inspect_logs import read_inspect_log
from bot.harness.inspect_provider import MixtureAPI
from bot.serve.api_errors import ApiError

ROOT = Path(__file__).parents[2]
USAGE = Usage(10, 7, cached_tokens=4)
WEATHER = ToolInfo(name="weather", description="The weather", parameters=ToolParams())
ASKED = [ChatMessageUser(content="How is it?")]


class FakeRuntime:
    """A runtime in the test's own event loop, with made-up models."""

    def __init__(self, ask: FakeAsk, **changes: Any) -> None:
        plan = make_plan(((Agent("a"), Agent("b")),), **changes)
        self.app = SimpleNamespace(
            plan=plan, ask=ask, models=FakeModels(price=0.5), log=Log(None), permitted=None
        )
        self.closed = 0

    def start(self, work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        return SimpleNamespace(wait_async=work)

    def close(self) -> None:
        self.closed += 1

    def request_close(self) -> None:
        pass


def mixture(replies: Mapping[str, Any] | None = None, **changes: Any) -> tuple[MixtureAPI, FakeAsk]:
    """Return a provider with references a and b and the aggregator "judge"."""
    told = {"a": Completion("from a", usage=USAGE), "b": Completion("from b", usage=USAGE)}
    ask = FakeAsk(
        {**told, "judge": Completion("the reply", usage=USAGE, finish_reason="stop"), **(replies or {})}
    )
    api = MixtureAPI("settings", demo=True)
    api._runtime = FakeRuntime(ask, **changes)
    return api, ask


def generate(
    api: MixtureAPI,
    messages: list[ChatMessage] | None = None,
    tools: list[ToolInfo] | None = None,
    choice: Any = "auto",
    **config: Any,
) -> ModelOutput:
    """Ask once."""
    return asyncio.run(api.generate(messages or ASKED, tools or [], choice, GenerateConfig(**config)))


def test_a_reply() -> None:
    """The reply, the usage and cost of all calls, and the references in metadata and transcript."""
    api, _ = mixture()
    shown = transcript()
    output = generate(api)
    assert (output.completion, output.stop_reason, output.model) == ("the reply", "stop", "settings")
    usage = output.usage
    assert usage is not None
    assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (18, 21, 51)
    assert usage.input_tokens_cache_read == 12
    facts = output.metadata["moa"]
    assert (facts["calls"], facts["cost"], facts["model"]) == (3, 10.5, "judge")
    assert [each["text"] for each in facts["references"][0]] == ["from a", "from b"]
    answers = [{"model": "a", "text": "from a"}, {"model": "b", "text": "from b"}]
    info = shown.events[-1]
    assert (info.event, info.source, info.data) == ("info", "moa-bot", {"round": 1, "references": answers})


def test_the_cost_counts_for_inspect() -> None:
    """Its cost of a sample, and its limit of that, are the turn's dollars; an unknown cost is none."""
    from inspect_ai.model._model import compute_model_cost

    api, _ = mixture()
    [part] = api.served_model_usage(generate(api))
    assert compute_model_cost(part.cost, part.usage) == 10.5
    api._runtime.app.models.price = None
    assert api.served_model_usage(generate(api)) is None


def test_a_conversation() -> None:
    """System prompt and history go along, thinking does not; inspect's settings are the reply's."""
    api, ask = mixture({"judge": Completion("yes", "because", USAGE, finish_reason="length")})
    thought = [ContentReasoning(reasoning="hm"), ContentText(text="early")]
    messages: list[ChatMessage] = [
        ChatMessageSystem(content="Be kind."),
        ChatMessageUser(content="one"),
        ChatMessageAssistant(content=thought),
        ChatMessageUser(content=[ContentText(text="two")]),
    ]
    output = generate(api, messages, temperature=0.25, max_tokens=9, seed=3, top_p=0.5)
    for request in ask.requests:
        assert [(each.role, each.content) for each in request.messages[:3]] == [
            ("system", "Be kind."), ("user", "one"), ("assistant", "early"),
        ]  # fmt: skip
        assert (request.temperature, request.seed is not None) == (0.25, True)
        assert request.max_tokens == (9 if request.model == "judge" else 2048)
    assert output.stop_reason == "max_tokens"
    assert [part.type for part in output.message.content] == ["reasoning", "text"]
    assert generate(api, stop_seqs=["e"]).completion == "y"


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        ("auto", "auto"),
        ("any", "required"),
        (ToolFunction(name="weather"), {"type": "function", "function": {"name": "weather"}}),
    ],
)
def test_tools_are_passed_on_to_the_aggregator(choice: Any, sent: object) -> None:
    """Its calls are inspect's tool calls; their results go back to it."""
    call = ToolCall("c1", "weather", '{"city": "Oslo"}')

    def judge(request: Request) -> Completion:
        answered = any(message.role == "tool" for message in request.messages)
        return Completion("4 degrees" if answered else "", tool_calls=() if answered else (call,))

    api, ask = mixture({"judge": judge})
    output = generate(api, tools=[WEATHER], choice=choice)
    assert output.stop_reason == "tool_calls"
    [made] = output.message.tool_calls or []
    assert (made.id, made.function, made.arguments, made.parse_error) == (
        "c1",
        "weather",
        {"city": "Oslo"},
        None,
    )
    assert ask.to("judge")[0].extra["tool_choice"] == sent
    assert "tools" not in ask.to("a")[0].extra
    result = ChatMessageTool(content="4", tool_call_id="c1", function="weather")
    messages = [*ASKED, output.message, result]
    assert generate(api, messages, [WEATHER]).completion == "4 degrees"


@pytest.mark.parametrize("arguments", ["{", "[1]", "3"])
def test_arguments_that_are_no_object(arguments: str) -> None:
    """inspect tells the model so."""
    api, _ = mixture({"judge": Completion("", tool_calls=(ToolCall("c1", "weather", arguments),))})
    [made] = generate(api, tools=[WEATHER]).message.tool_calls or []
    assert (made.arguments, bool(made.parse_error)) == ({}, True)


def test_a_reply_in_json() -> None:
    """A response schema is the service's `response_format`."""
    api, ask = mixture({"judge": '{"degrees": 4}'})
    schema = ResponseSchema(name="weather", json_schema=json_schema(dict))
    assert json.loads(generate(api, response_schema=schema).completion) == {"degrees": 4}
    assert ask.to("judge")[0].extra["response_format"]["json_schema"]["name"] == "weather"


def test_images_go_to_models_that_see(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in requests to `serve`; what services list of their models is learnt first."""
    url = f"data:image/png;base64,{base64.b64encode(picture()).decode()}"
    api, ask = mixture()
    models, learnt = api._runtime.app.models, []

    async def learn(plan: object, known: object) -> None:
        learnt.append(known)

    api._runtime.app.learn_vision = learn
    monkeypatch.setattr(models, "sees", lambda agent: agent.model != "b")
    generate(api, [ChatMessageUser(content=[ContentText(text="what?"), ContentImage(image=url)])])
    assert learnt == [models]
    assert ask.to("a")[0].messages[-1].images
    assert not ask.to("b")[0].messages[-1].images


@pytest.mark.parametrize(
    ("messages", "config", "words"),
    [
        ([ChatMessageUser(content=[ContentAudio(audio="data:,", format="wav")])], {}, "text or image_url"),
        ([ChatMessageUser(content=[ContentImage(image="data:image/png;base64,AAAA")])], {}, "image"),
        ([ChatMessageUser(content=" ")], {}, "empty"),
        (None, {"num_choices": 2}, "it has to be 1"),
        (None, {"logprobs": True}, "not supported"),
        (None, {"temperature": 3}, "temperature"),
    ],
)  # fmt: skip
def test_what_a_mixture_cannot_do(messages: Any, config: dict[str, Any], words: str) -> None:
    """It is an error in words, which is not tried again; no model is asked."""
    api, ask = mixture()
    with pytest.raises(ApiError, match=words) as raised:
        generate(api, messages, **config)
    assert not api.should_retry(raised.value)
    assert not ask.requests


def failure(kind: FailureKind, **facts: Any) -> Failure:
    return Failure(kind, "why", **facts)


@pytest.mark.parametrize(
    ("replies", "retry"),
    [
        *(({"judge": failure(kind)}, kind.worth_retrying or kind is FailureKind.WORKER)
          for kind in FailureKind
          if kind not in {FailureKind.CONTEXT_LENGTH, FailureKind.CONTENT_FILTER, FailureKind.REFUSED}),
        ({"a": failure(FailureKind.SERVICE), "b": failure(FailureKind.SERVICE)}, True),
        ({"a": failure(FailureKind.KEY_REFUSED), "b": failure(FailureKind.KEY_REFUSED)}, False),
        ({"a": failure(FailureKind.SERVICE), "b": failure(FailureKind.NOT_FOUND)}, True),
        ({"a": failure(FailureKind.QUOTA), "b": failure(FailureKind.NOT_FOUND)}, False),
    ],
)  # fmt: skip
def test_errors(replies: dict[str, Failure], *, retry: bool) -> None:
    """What may pass is tried again by inspect, the rest fails the sample."""
    api, _ = mixture(replies, min_references=2 if "b" in replies else 0)
    if "b" not in replies:
        api._runtime.app.plan = make_plan(())
    with pytest.raises(Exception, match="why") as raised:
        generate(api)
    assert bool(api.should_retry(raised.value)) == retry


def test_a_rate_limit_is_told_as_one() -> None:
    """inspect asks fewer at once, and knows how long the service wants to wait."""
    api, _ = mixture(
        {"judge": failure(FailureKind.RATE_LIMITED, retry_after=7.0)},
    )
    api._runtime.app.plan = make_plan((), min_references=0)
    with pytest.raises(Exception, match="why") as raised:
        generate(api)
    decision = api.should_retry(raised.value)
    assert (decision.kind, decision.retry_after) == ("rate_limit", 7.0)
    assert not api.should_retry(ValueError("a bug"))


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (FailureKind.CONTEXT_LENGTH, "model_length"),
        (FailureKind.CONTENT_FILTER, "content_filter"),
        (FailureKind.REFUSED, "content_filter"),
    ],
)
def test_refusals_are_outputs(kind: FailureKind, reason: str) -> None:
    """inspect scores them, as those of its other providers."""
    api, _ = mixture({"judge": failure(kind)}, min_references=0)
    api._runtime.app.plan = make_plan((), min_references=0)
    output = generate(api)
    assert (output.stop_reason, "why" in output.completion, "why" in (output.error or "")) == (
        reason,
        True,
        True,
    )


def test_many_at_once() -> None:
    """They do not wait for one another, and each gets its own answer."""
    api, ask = mixture({"judge": lambda request: request.messages[-1].content[:4]})
    ask.hold = {"a", "b"}

    async def work() -> list[str]:
        def one(number: int) -> Coroutine[Any, Any, ModelOutput]:
            return api.generate([ChatMessageUser(content=f"q{number:03}?")], [], "auto", GenerateConfig())

        tasks = [asyncio.ensure_future(one(number)) for number in range(100)]
        while len(ask.requests) < 200:
            await asyncio.sleep(0)
        ask.release.set()
        return [output.completion for output in await asyncio.gather(*tasks)]

    assert asyncio.run(work()) == [f"q{number:03}" for number in range(100)]


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("demo", {"demo": True, "rounds": 3}, (3, "moa", 6)),
        ("moa", {}, (2, "moa", 6)),
        ("demo", {"demo": True, "mode": "fusion"}, (1, "fusion", 6)),
        ("settings", {"demo": True, "reference_models": ["demo/reader*2"]}, (1, "moa", 2)),
        ("alone:demo/sceptic", {"demo": True}, (0, "moa", 0)),
        ("alone:demo:demo/sceptic", {"demo": True, "mode": "fusion", "rounds": 2}, (0, "moa", 0)),
        ("alone:demo/sceptic", {"demo": True, "preset": "demo", "temperature": 0}, (0, "moa", 0)),
    ],
)
def test_names_and_options(name: str, options: dict[str, Any], expected: tuple[int, str, int]) -> None:
    """A preset, the mixture of the settings, or a lone model; `-M` has the mixture's options."""
    from bot.app.make_plan import make_plan as plan_of

    plan = plan_of(MixtureAPI(name, **options)._settings)
    assert (len(plan.layers), plan.mode, len(plan.layers[0]) if plan.layers else 0) == expected
    if name.startswith("alone:"):
        assert plan.aggregator.model == "demo/sceptic"
        assert plan.temperature == options.get("temperature", plan.temperature)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("demo", {"round": 2}, "moa/demo: There is no option round. Options: .*rounds"),
        ("demo", {"save": True}, "no option save"),
        ("demo", {"preset": "demo"}, "alone:MODEL"),
        ("nothing", {}, "moa/nothing: .*nothing"),
        ("demo", {"rounds": "many"}, "rounds"),
        ("alone:", {}, "aggregator"),
    ],
)
def test_wrong_names_and_options(name: str, options: dict[str, Any], words: str) -> None:
    """They are errors when the model is made, before a sample is run."""
    with pytest.raises(UsageError, match=words):
        MixtureAPI(name, **options)


def test_a_closed_model_can_be_asked_again() -> None:
    """inspect keeps models and closes them between evaluations."""
    api, _ = mixture()
    runtime = api._runtime
    asyncio.run(api.aclose())
    assert runtime.closed == 1
    assert api._runtime is not runtime


def test_the_entry_point() -> None:
    """inspect finds the provider in the module that pyproject.toml names."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["entry-points"]["inspect_ai"] == {"moa": MixtureAPI.__module__}


EVALUATION = """
from inspect_ai import Task, eval
from inspect_ai.dataset import Sample
from inspect_ai.scorer import includes
from inspect_ai.solver import generate
import bot.harness.inspect_provider

if __name__ == "__main__":
    group = {"group": "sums"}
    samples = [Sample(f"Is {n} even?", target="reply", id=n, metadata=group) for n in (2, 3)]
    eval(
        Task(name="sums", dataset=samples, solver=generate(), scorer=includes()),
        model=["moa/settings", "moa/alone:b"],
        model_args={"rounds": 2, "num_proc": 1, "reference_models": ["a", "b"], "aggregator": "judge"},
        epochs=2,
        log_dir=LOGS,
        display="none",
    )
"""


@pytest.mark.slow
def test_an_evaluation(
    service: DemoProcess, run_script: Callable[[str], subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    """A mixture and a lone model side by side; the logs say it all, and the processes end with inspect's."""
    logs = tmp_path / "logs"
    done = run_script(EVALUATION.replace("LOGS", repr(str(logs))))
    assert (done.returncode, done.stderr) == (0, "")
    arms = {arm.name: arm for arm in map(read_inspect_log, logs.glob("*.eval"))}
    assert set(arms) == {"moa/settings", "moa/alone:b"}
    mixed, alone = arms["moa/settings"], arms["moa/alone:b"]
    assert (mixed.kind, mixed.members, mixed.model) == ("mixture", ("a", "b"), "judge")
    assert (alone.kind, alone.members, alone.model) == ("alone", (), "b")
    asked = {(item, epoch, "sums") for item in "23" for epoch in (1, 2)}
    for arm, score, calls in ((mixed, 1, 5), (alone, 0, 1)):
        assert {(each.item, each.epoch, each.group) for each in arm.outcomes} == asked
        assert all((each.score, each.calls, each.error) == (score, calls, "") for each in arm.outcomes)
        assert all(each.tokens and each.seconds and each.first_word for each in arm.outcomes)
    proposals = (Proposal("a", "from a"), Proposal("b", "from b"))
    assert all(each.proposals == proposals for each in mixed.outcomes)
    assert len(service.requests()) == 4 * 5 + 4


@pytest.mark.parametrize(("name", "text"), [("x.eval", "no zip"), ("x.json", "{"), ("x.json", "{}")])
def test_files_that_are_no_logs(tmp_path: Path, name: str, text: str) -> None:
    """They are named in a UsageError, whatever inspect's reader raises."""
    file = tmp_path / name
    file.write_text(text)
    with pytest.raises(UsageError, match=r"x\.\w+: this is no log"):
        read_inspect_log(file)
