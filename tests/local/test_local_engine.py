"""The built-in engine: real models, made here, in processes of their own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest
from running import LIMIT, slowness
from tiny_models import CONTEXT, make_model

from bot.client.retry import Retrier
from bot.errors import Failure, FailureKind, MoaError
from bot.local.engine_cache import SPARE, EngineCache
from bot.local.engine_process import EngineProcess
from bot.local.gguf_header import read_model
from bot.local.local_pool import LocalPool
from bot.messages import CallUpdate, Completion, Delta, Dequeued, Endpoint, Message, Queued, Request

pytestmark = pytest.mark.slow

pytest.importorskip("xllamacpp", reason="the engine (extra local) is not installed")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three tiny models of two families."""
    folder = tmp_path_factory.mktemp("models")
    for seed, name in enumerate(("qwen-tiny", "llama-tiny", "llama-tinier")):
        make_model(folder / f"{name}.gguf", seed)
    return folder


@pytest.fixture(autouse=True)
def _none_left() -> Iterator[None]:
    """No test leaves an engine running."""
    yield
    until = time.monotonic() + 5
    while left := engines_of(psutil.Process()):
        assert time.monotonic() < until, f"engines survived: {left}"
        time.sleep(0.02)


def engines_of(process: psutil.Process) -> list[int]:
    """The process ids of the engines among a process's children."""
    found = []
    for child in process.children(recursive=True):
        try:
            if any(part.endswith("engine_server.py") for part in child.cmdline()):
                found.append(child.pid)
        except psutil.Error:
            continue
    return found


def request(name: str, **more: Any) -> Request:
    said = (Message("user", "hi"),)
    fields = {"messages": said, "temperature": 0.0, "max_tokens": 12, "timeout": 20.0, **more}
    return Request(Endpoint("local", "http://local.localhost/v1"), name, **fields)


def with_engines(
    folder: Path,
    work: Callable[[EngineCache], Awaitable[Any]],
    available: Callable[[], int | None] = lambda: None,
) -> Any:
    async def run() -> Any:
        engines = EngineCache(lambda: folder, lambda _: None, available)
        async with AsyncExitStack() as stack:
            stack.push_async_callback(engines.close)
            return await asyncio.wait_for(work(engines), LIMIT)

    return asyncio.run(run())


def with_pool(folder: Path, work: Callable[[LocalPool], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        pool = LocalPool(1, lambda: folder)
        try:
            return await asyncio.wait_for(work(pool), LIMIT)
        finally:
            await pool.close()

    return asyncio.run(run())


async def all_of(calls: AsyncGenerator[CallUpdate, None]) -> list[CallUpdate]:
    return [update async for update in calls]


async def updates(pool: LocalPool, asked: Request) -> list[CallUpdate]:
    return [update async for update in pool.ask(asked)]


def test_a_mixture_of_models_in_a_folder(
    folder: Path, moa: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    """Two families answer, one aggregates, streamed: no key, no network, no process left."""
    done = moa(
        "ask",
        "--local",
        "--models_dir",
        str(folder),
        "--max_tokens",
        "24",
        "--temperature",
        "0",
        "--json",
        "hi",
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["reply"].strip()
    [calls] = said["references"]
    # The first of each family, then the second of one.
    assert {call["model"] for call in calls[:2]} > {"qwen-tiny.gguf"}
    assert len({call["model"] for call in calls}) == 3
    assert all(call["text"].strip() and call["tokens"] == 24 for call in calls)
    assert said["cost"] == 0


def prompt_of(*texts: str) -> tuple[Message, ...]:
    """A system prompt, then user and assistant in turn."""
    roles = ("system", *(("user", "assistant") * len(texts)))
    return tuple(Message(role, text) for role, text in zip(roles, texts, strict=False))  # type: ignore[arg-type]


async def answer(pool: LocalPool, *texts: str) -> Completion:
    usage = {"stream_options": {"include_usage": True}}
    asked = request("qwen-tiny", messages=prompt_of(*texts), max_tokens=2, extra=usage)
    found = (await updates(pool, asked))[-1]
    assert isinstance(found, Completion), found
    return found


def test_each_agent_finds_its_prompt_again(folder: Path) -> None:
    """Three references with system prompts of their own and the aggregator: one process, one slot each."""

    async def work(pool: LocalPool) -> None:
        systems = [f"{name} " * 12 for name in ("poet", "critic", "nurse", "judge")]
        firsts = [await answer(pool, system, "one") for system in systems]
        assert len(pool.engines.pids) == 1
        for system, first in zip(systems, firsts, strict=True):
            again = await answer(pool, system, "one", "1", "two")
            sent = first.usage.prompt_tokens
            assert sent is not None
            assert (again.usage.cached_tokens or 0) > 0.8 * sent

    with_pool(folder, work)


def test_prompts_as_long_as_the_context(folder: Path) -> None:
    """Each may use all of it: what other slots keep makes room."""

    async def work(pool: LocalPool) -> None:
        for word in ("a", "b", "c", "a"):
            found = await answer(pool, word, f"{word} " * (CONTEXT // 5))
            assert CONTEXT * 0.7 < (found.usage.prompt_tokens or 0) < CONTEXT

    with_pool(folder, work)


def test_one_process_for_one_file(folder: Path, tmp_path: Path) -> None:
    """A model that is named in several ways is loaded once."""
    link = tmp_path / "link.gguf"
    link.symlink_to(folder / "qwen-tiny.gguf")

    async def work(engines: EngineCache) -> None:
        for name in ("qwen-tiny", "qwen-tiny.gguf", str(folder / "qwen-tiny.gguf"), str(link)):
            async with engines.acquire(name):
                pass
        assert len(engines.pids) == 1

    with_engines(folder, work)


def test_a_chat_in_a_pipe_with_models_by_path(
    folder: Path, moa: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    """Two turns of one conversation, with models named by their files."""
    path = folder / "qwen-tiny.gguf"
    done = moa(
        *("-r", f"local:{path},local:{folder / 'llama-tiny.gguf'}", "-a", f"local:{path}"),
        *("--max_tokens", "8", "--quiet"),
        stdin="one\ntwo\n",
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_answers_stream_and_models_stay_loaded(folder: Path) -> None:
    """Tokens are streamed, with usage; a second call uses the same process."""

    async def work(pool: LocalPool) -> None:
        first = await updates(pool, request("qwen-tiny", extra={"stream_options": {"include_usage": True}}))
        pids = pool.engines.pids
        again = await updates(pool, request("qwen-tiny.gguf"))
        assert pool.engines.pids == pids
        assert len(pids) == 1
        assert sum(isinstance(update, Delta) for update in first) > 1
        done, same = first[-1], again[-1]
        assert isinstance(done, Completion)
        assert isinstance(same, Completion)
        assert done.text == same.text
        assert done.usage.completion_tokens == 12

    with_pool(folder, work)


def test_a_prompt_that_is_too_long(folder: Path) -> None:
    """It is a failure of its own kind, with the limit, so that the turn can be shortened."""

    async def work(pool: LocalPool) -> None:
        asked = request("qwen-tiny")
        long = Request(asked.endpoint, asked.model, (Message("user", "x" * 3 * CONTEXT),), 0.0, 5)
        [*_, last] = await updates(pool, long)
        assert isinstance(last, Failure)
        assert last.kind is FailureKind.CONTEXT_LENGTH
        assert last.limit == CONTEXT

    with_pool(folder, work)


def test_many_calls_share_one_model(folder: Path) -> None:
    """Six concurrent calls use one process one after the other; a cancelled call frees it."""

    async def work(pool: LocalPool) -> None:
        cut = pool.ask(request("qwen-tiny", max_tokens=1500))
        assert isinstance(await anext(cut), Queued)
        assert isinstance(await anext(cut), Dequeued)
        first = await anext(cut)
        assert isinstance(first, Delta), first
        # As in the program: a connection that the engine closed meanwhile is made anew.
        ask = Retrier(pool.ask)
        calls = [asyncio.create_task(all_of(ask(request("qwen-tiny")))) for _ in range(6)]
        await cut.aclose()
        for got in await asyncio.gather(*calls):
            assert isinstance(got[-1], Completion)
        assert len(pool.engines.pids) == 1

    with_pool(folder, work)


def test_a_model_whose_process_died_is_loaded_again(folder: Path) -> None:
    """The next call has a new process, and its answer."""

    async def work(pool: LocalPool) -> None:
        await updates(pool, request("qwen-tiny"))
        [pid] = pool.engines.pids
        psutil.Process(pid).kill()
        psutil.Process(pid).wait(5 * slowness())
        assert isinstance((await updates(pool, request("qwen-tiny")))[-1], Completion)
        assert pool.engines.pids != [pid]

    with_pool(folder, work)


def test_models_make_room_for_one_another(folder: Path) -> None:
    """With memory for one model, the idle one is unloaded."""
    one = read_model(folder / "qwen-tiny.gguf")
    anonymous = one.anonymous_memory(CONTEXT)

    async def work(engines: EngineCache) -> None:
        def free() -> int:
            """Tell what is left when what is loaded has taken its share."""
            return SPARE + one.memory(CONTEXT) + 1000 - len(engines.pids) * anonymous

        engines._available = free
        async with engines.acquire("qwen-tiny"):
            [first] = engines.pids
        async with engines.acquire("llama-tiny"):
            [second] = engines.pids
            assert second != first
            assert not psutil.pid_exists(first)

    with_engines(folder, work)


def test_a_busy_model_is_waited_for(folder: Path) -> None:
    """Where two do not fit, the second is loaded once the first is idle."""
    one = read_model(folder / "qwen-tiny.gguf")

    async def work(engines: EngineCache) -> None:
        engines._cores = asyncio.Semaphore(2)
        engines._available = lambda: SPARE + one.memory(CONTEXT) + 1000
        order: list[str] = []

        async def second() -> None:
            async with engines.acquire("llama-tiny"):
                order.append("second")

        async with engines.acquire("qwen-tiny"):
            waiting = asyncio.create_task(second())
            await asyncio.wait({waiting}, timeout=0.2)
            order.append("first")
            assert len(engines.pids) == 1
        await waiting
        assert order == ["first", "second"]

    with_engines(folder, work)


def test_a_model_that_answers_at_length_is_not_waited_for(folder: Path) -> None:
    """From `longest_wait` on another model answers beside it; a further call to the same model waits."""

    async def work(engines: EngineCache) -> None:
        engines._longest_wait = 0.0
        async with engines.acquire("qwen-tiny"):
            same = asyncio.create_task(hold(engines, "qwen-tiny"))
            await hold(engines, "llama-tiny")
            await hold(engines, "llama-tinier")
            assert not same.done()
        await same

    async def hold(engines: EngineCache, name: str) -> None:
        async with engines.acquire(name):
            pass

    with_engines(folder, work)


def test_too_little_memory(folder: Path) -> None:
    """A model that does not fit even alone is an error that names file, memory needed, and memory free."""

    async def work(engines: EngineCache) -> None:
        with pytest.raises(MoaError, match=r"too little memory: it needs about 0\.15 GB") as caught:
            async with engines.acquire("qwen-tiny"):
                pass
        assert str(folder / "qwen-tiny.gguf") in caught.value.message
        assert "smaller model" in caught.value.hint
        assert engines.pids == []

    with_engines(folder, work, lambda: SPARE + 1_000_000)


def test_what_only_the_engine_finds_wrong(folder: Path, tmp_path: Path) -> None:
    """The engine's own error message is reported, with the file, as a failure of that call."""
    data = (folder / "qwen-tiny.gguf").read_bytes()
    odd = tmp_path / "odd.gguf"
    odd.write_bytes(data.replace(b"blk.1.ffn_up.weight", b"blk.1.ffn_xx.weight"))

    async def work(pool: LocalPool) -> None:
        [*_, last] = await updates(pool, request("odd"))
        assert isinstance(last, Failure)
        assert last.kind is FailureKind.BAD_REQUEST
        assert last.model == "odd"
        assert f"{odd}: cannot be loaded: " in last.message
        assert "ffn_" in last.message
        [*_, last] = await updates(pool, request("absent"))
        assert isinstance(last, Failure)
        assert last.kind is FailureKind.NOT_FOUND

    with_pool(tmp_path, work)


@pytest.mark.parametrize(("cut", "said"), [(300_000, "truncated"), (4, "truncated"), (2, "not a model")])
def test_a_broken_file_is_an_error_before_anything_starts(
    folder: Path, tmp_path: Path, moa: Callable[..., subprocess.CompletedProcess[str]], cut: int, said: str
) -> None:
    """One line that names file and cause, and the exit code of wrong usage."""
    broken = tmp_path / "broken.gguf"
    broken.write_bytes((folder / "qwen-tiny.gguf").read_bytes()[:cut])
    done = moa("ask", "-r", f"local:{folder / 'llama-tiny.gguf'}", "-a", f"local:{broken}", "hi")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{broken}: {said}" in done.stderr


def test_only_who_has_the_key_is_served(folder: Path) -> None:
    """Other programs on this computer cannot use the model."""
    from urllib.error import HTTPError
    from urllib.request import urlopen

    engine = EngineProcess(read_model(folder / "qwen-tiny.gguf"), CONTEXT, 1)
    try:
        endpoint = engine.wait()
        assert endpoint.key
        assert endpoint.key not in repr(endpoint)
        assert endpoint.base_url.startswith("http://127.0.0.1:")
        with pytest.raises(HTTPError) as caught:
            urlopen(f"{endpoint.base_url}/chat/completions", b"{}", timeout=5)
        caught.value.close()
        assert caught.value.code == 401
    finally:
        engine.stop()
        engine.stop()
    assert not engine.alive


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no SIGKILL on this platform")
def test_it_ends_when_the_parent_is_killed(folder: Path, tagged: dict[str, str]) -> None:
    """However the parent ends, the engine ends too; Ctrl-C does not end it."""
    script = (
        "import sys, time\nfrom pathlib import Path\nfrom bot.local.engine_process import EngineProcess\n"
        "from bot.local.gguf_header import read_model\n"
        "engine = EngineProcess(read_model(Path(sys.argv[1])), 512, 1)\nengine.wait()\n"
        "print(engine.pid, flush=True)\ntime.sleep(60)\n"
    )
    path = str(folder / "qwen-tiny.gguf")
    with subprocess.Popen([sys.executable, "-c", script, path], stdout=subprocess.PIPE, env=tagged) as parent:
        assert parent.stdout
        pid = int(parent.stdout.readline())
        os.kill(pid, signal.SIGINT)
        with pytest.raises(psutil.TimeoutExpired):
            psutil.Process(pid).wait(0.3)
        parent.kill()
        psutil.wait_procs([psutil.Process(pid)] if psutil.pid_exists(pid) else [], timeout=5)
        assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
