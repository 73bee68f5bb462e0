"""The real path with a real language model: engine, worker, mixture, command line, service, bulk.

One engine serves most of these tests, and every answer is short: the model computes for them all less
than a minute on one core. What it says is only looked at where it has to say it.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest
from real_model import real_model
from running import LIMIT, until

from bot.app.app import App
from bot.app.load_settings import load_settings
from bot.errors import Failure, FailureKind, MoaError
from bot.events import Event, Notice, ReplyDelta, TurnFinished
from bot.local.model_files import CONTEXT, STARTER
from bot.messages import Completion, Endpoint, Message, Request
from bot.turn_result import Call, TurnResult

pytestmark = pytest.mark.slow

pytest.importorskip("xllamacpp", reason="the engine (extra local) is not installed")

Moa = Callable[..., "subprocess.CompletedProcess[str]"]
QUESTION = "What is the capital of France? Answer in one sentence."


@pytest.fixture(scope="module")
def model() -> Path:
    """The model's file; without one the tests are skipped."""
    try:
        return real_model()
    except MoaError as error:
        pytest.skip(f"no real language model: {error.message}")


class Chat:
    """An open app with the model as two references and the aggregator, in a thread of its own."""

    def __init__(self, model: Path) -> None:
        self.name = f"local:{model}"
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self.app = App(self._resolve({}), print, None, self._resolve)
        self.run(self.app.__aenter__())

    def _resolve(self, changes: Mapping[str, object]) -> Any:
        own = {"reference_models": [self.name, self.name], "aggregator": self.name, "temperature": 0.0}
        return load_settings({**own, "max_tokens": 16, "save": False, **changes})

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(asyncio.wait_for(work, LIMIT * 4), self._loop).result()

    def close(self) -> None:
        self.run(self.app.__aexit__(None, None, None))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def turn(self, prompt: str, history: Sequence[Message] = (), **changes: object) -> list[Event]:
        async def events() -> list[Event]:
            return [event async for event in self.app.mixture(changes).run(history, prompt)]

        found: list[Event] = self.run(events())
        return found

    def answer(self, prompt: str, **fields: Any) -> Completion | Failure:
        """Ask the model alone, past the mixture."""

        async def last() -> Completion | Failure:
            [*_, end] = [update async for update in self.ask(prompt, **fields)]
            assert isinstance(end, Completion | Failure)
            return end

        found: Completion | Failure = self.run(last())
        return found

    def ask(self, prompt: str, history: Sequence[Message] = (), **fields: Any) -> AsyncGenerator[Any, None]:
        endpoint = Endpoint("local", "http://local.localhost/v1")
        values = {"temperature": 0.0, "max_tokens": 12, "timeout": LIMIT, **fields}
        extra = {"stream_options": {"include_usage": True}}
        messages = (*history, Message("user", prompt))
        return self.app.pool.ask(
            Request(endpoint, self.name.partition(":")[2], messages, extra=extra, **values)
        )

    def engine(self) -> psutil.Process:
        [pid] = self.app.pool.engines.pids
        return psutil.Process(pid)


@pytest.fixture(scope="module", autouse=True)
def _one_core() -> Iterator[None]:
    """All engines compute with one thread: two that wait for each other on a busy machine take far longer."""
    if sys.platform != "linux":
        yield
        return
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {random.choice(sorted(cores))})
    yield
    os.sched_setaffinity(0, cores)


@pytest.fixture(scope="module")
def chat(model: Path, _one_core: None) -> Iterator[Chat]:
    """The app, whose engine has read its first prompt."""
    chat = Chat(model)
    try:
        chat.answer("Hi", max_tokens=1)
        yield chat
    finally:
        chat.close()


def result_of(events: list[Event]) -> TurnResult:
    last = events[-1]
    assert isinstance(last, TurnFinished)
    return last.result


def completion_of(call: Call | None) -> Completion:
    assert call is not None
    assert call.completion is not None, call
    return call.completion


def test_a_mixture_of_two_rounds(chat: Chat) -> None:
    """All answers of a round are read in the next, the reply is streamed, and the tokens are counted."""
    events = chat.turn(QUESTION, rounds=2)
    result = result_of(events)
    assert result.failure is None
    first, second = ([completion_of(call) for call in calls] for calls in result.rounds)
    assert len(first) == len(second) == 2
    assert "Paris" in first[0].text
    for before, after in zip(first, second, strict=True):
        assert after.text.strip()
        assert (after.usage.prompt_tokens or 0) > 100 + (before.usage.prompt_tokens or 0)
    deltas = [event.text for event in events if isinstance(event, ReplyDelta)]
    assert len(deltas) > 1
    assert "".join(deltas).strip() == result.reply.strip() != ""
    assert all(0 < (completion_of(call).usage.completion_tokens or 0) <= 16 for call in result.calls)


def test_tools_are_not_offered_to_a_model_whose_template_has_none(chat: Chat) -> None:
    """The engine would not show them to it: that is said, and it answers without."""
    events = chat.turn(QUESTION, tools=["web"])
    said = [event.text for event in events if isinstance(event, Notice)]
    assert sum("cannot call tools: it is asked without them" in text for text in said) == 1
    assert isinstance(events[-1], TurnFinished)
    assert events[-1].result.reply


def test_an_answer_ends_at_its_limit(chat: Chat) -> None:
    """After exactly so many tokens, with the reason."""
    found = chat.answer("Tell me a long story about a dog and a cat.", max_tokens=3)
    assert isinstance(found, Completion)
    assert (found.usage.completion_tokens, found.finish_reason) == (3, "length")


def test_an_answer_ends_by_itself(chat: Chat) -> None:
    """At the model's own end of a turn, no marker of which is in the text."""
    found = chat.answer(QUESTION, max_tokens=64)
    assert isinstance(found, Completion)
    assert found.finish_reason == "stop"
    assert "Paris" in found.text
    assert "<|" not in found.text


def test_a_prompt_beyond_the_context(chat: Chat) -> None:
    """It is refused before anything is computed, with the limit."""
    before = sum(chat.engine().cpu_times()[:2])
    found = chat.answer("word " * (CONTEXT + 500))
    assert isinstance(found, Failure)
    assert (found.kind, found.limit) == (FailureKind.CONTEXT_LENGTH, CONTEXT)
    assert sum(chat.engine().cpu_times()[:2]) - before < 2


def test_seeds(chat: Chat) -> None:
    """The same seed gives the same answer, another seed another one."""
    prompt = "Write one line of a poem about the sea."
    chat.answer(prompt, max_tokens=1)  # afterwards each finds the prompt read
    texts = [chat.answer(prompt, temperature=1.0, seed=seed) for seed in (7, 7, 8)]
    first, same, other = (found.text for found in texts if isinstance(found, Completion))
    assert first == same != other


def test_the_engine_stops_with_a_cancelled_call(chat: Chat) -> None:
    """As by Ctrl-C: nothing is computed for it any more."""

    async def cut() -> None:
        calls = chat.ask("Tell a very long story about a ship.", max_tokens=2000)
        async for update in calls:
            if getattr(update, "text", ""):
                break
        await calls.aclose()

    chat.run(cut())
    engine = chat.engine()

    def idle() -> bool:
        before = sum(engine.cpu_times()[:2])
        time.sleep(0.3)
        return sum(engine.cpu_times()[:2]) - before < 0.05

    until(idle)


def test_a_conversation_is_read_from_the_cache(chat: Chat) -> None:
    """What an earlier turn has read is not read again."""
    prompt = "My name is Ada, and I like numbers. " * 6
    first = chat.answer(prompt, max_tokens=4)
    assert isinstance(first, Completion)
    history = (Message("user", prompt), Message("assistant", first.text))
    second = chat.answer("Who am I?", history=history, max_tokens=2)
    assert isinstance(second, Completion)
    assert (second.usage.cached_tokens or 0) > 0.5 * (second.usage.prompt_tokens or 0) > 30


@pytest.fixture
def at_home(model: Path, tmp_path: Path) -> Path:
    """The test's home, in which the starter model is."""
    folder = tmp_path / "home" / "models"
    folder.mkdir(parents=True)
    (folder / f"{STARTER}.gguf").symlink_to(model)
    return folder.parent


SMALL = ("--max_tokens", "12", "--reference_max_tokens", "12", "--temperature", "0")
ONE = ("-r", f"local:{STARTER}", "-a", f"local:{STARTER}")


def test_the_starter_mixture_as_json(at_home: Path, moa: Moa) -> None:
    """`ask --starter --json`: three references in roles of their own, and the reply with all tokens."""
    done = moa("ask", "--starter", "--json", *SMALL, QUESTION, timeout=3 * LIMIT)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["reply"].strip()
    [calls] = said["references"]
    assert [call["model"] for call in calls] == [STARTER] * 3
    assert all(0 < call["tokens"] <= 12 for call in calls)
    assert said["usage"]["completion_tokens"] >= sum(call["tokens"] for call in calls)
    del at_home


def test_a_batch(at_home: Path, moa: Moa, tmp_path: Path) -> None:
    """Two prompts of a file, answered in their order."""
    prompts, out = tmp_path / "prompts.jsonl", tmp_path / "out.jsonl"
    prompts.write_text('{"prompt": "Say hello."}\n{"prompt": "What is 1 + 1?"}\n', encoding="utf-8")
    done = moa("batch", str(prompts), "-o", str(out), *ONE, *SMALL, timeout=3 * LIMIT)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert [row["input"]["prompt"] for row in rows] == ["Say hello.", "What is 1 + 1?"]
    assert all(row["error"] is None and row["reply"].strip() for row in rows)
    del at_home


def test_an_evaluation_of_two_items(at_home: Path, moa: Moa, tmp_path: Path) -> None:
    """MT-Bench with two questions: both are answered. A judge's own limit is 2,048 tokens: too slow here."""
    data = tmp_path / "data"
    data.mkdir()
    rows = [
        {"question_id": number, "category": "writing", "turns": [text]}
        for number, text in ((81, "Say hello."), (82, "What is 1 + 1?"))
    ]
    (data / "question.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    arguments = ("--data_dir", str(data), "--accept_altered", "--out", str(tmp_path / "run"), "--json")
    done = moa("eval", "mt_bench", "generate", *arguments, *ONE, *SMALL, timeout=3 * LIMIT)
    assert done.returncode == 0, done.stderr
    answers = [line for file in (tmp_path / "run").rglob("*.jsonl") for line in file.read_text().splitlines()]
    assert sum("hello" in line.lower() for line in answers) >= 1
    del at_home


def test_the_openai_package(at_home: Path, start: Callable[..., subprocess.Popen[bytes]]) -> None:
    """`serve --starter`: whole and streamed, with usage."""
    openai = pytest.importorskip("openai")
    process = start(["serve", "--starter", "--port", "0", *SMALL])
    assert process.stderr
    line = process.stderr.readline().decode()
    url = next(word for word in line.split() if word.startswith("http"))
    with openai.OpenAI(base_url=url, api_key="unused", max_retries=0, timeout=4 * LIMIT) as client:
        asked = {"model": "moa", "messages": [{"role": "user", "content": QUESTION}]}
        usage = {"stream_options": {"include_usage": True}}
        chunks = list(client.chat.completions.create(**asked, stream=True, **usage))
        texts = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
        assert "".join(texts).strip()
        assert chunks[-1].usage.total_tokens > 0
    process.terminate()
    process.wait(LIMIT)
    del at_home
