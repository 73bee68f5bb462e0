"""A run over items: what Ctrl-C does, and what calls cost."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fake_models import ScriptedAsk, answer, failed
from virtual_time import run

from bot.app.known_models import KnownModels
from bot.app.streams import Streams
from bot.bulk import runner as running
from bot.bulk.cached_client import CallStats
from bot.bulk.progress import BulkProgress
from bot.bulk.runner import Runner, RunResult, bulk_retrier, price_of
from bot.client.retry import Retrier
from bot.errors import FailureKind
from bot.messages import Agent, Completion, Endpoint, Request, Usage
from bot.settings.resolve import resolve


@pytest.mark.parametrize(
    ("signals", "finished"),
    [
        (["SIGINT"], 3),
        (["SIGINT", "SIGINT"], 0),
        (["SIGTERM"], 0),
        (["SIGHUP"], 0),
        (["SIGINT", "SIGTERM"], 0),
    ],
)
def test_the_first_interrupt_finishes_and_the_second_stops(
    monkeypatch: pytest.MonkeyPatch, signals: list[str], finished: int
) -> None:
    """After the first Ctrl-C what is under way ends by itself; after a second, and SIGTERM, it is dropped."""
    handlers: dict[str, Callable[[], None]] = {}

    @contextmanager
    def handle_signals(handler: Callable[[], None], names: Sequence[str]) -> Iterator[None]:
        handlers.update(dict.fromkeys(names, handler))
        yield

    monkeypatch.setattr(running, "handle_signals", handle_signals)
    began: list[int] = []
    done: list[int] = []

    async def work(index: int, _: str) -> bool:
        began.append(index)
        if len(began) == 3:
            for name in signals:
                handlers[name]()
        await asyncio.sleep(5)
        done.append(index)
        return True

    err = io.StringIO()
    streams = Streams(None, io.StringIO(), err, *[False] * 3)

    async def whole() -> RunResult:
        client: Any = SimpleNamespace(stats=CallStats(asked=1))
        return await Runner(client, BulkProgress(streams), at_once=3).run("x", "abcdefgh", work, 8)

    result = run(whole())
    assert (len(began), len(done)) == (3, finished)
    assert result.interrupted
    assert not result.complete
    assert ("Ctrl-C again" in err.getvalue()) == (signals[0] == "SIGINT")


@pytest.mark.parametrize(
    ("endpoint", "config", "cost"),
    [
        ("local", "", 0.0),
        ("ollama", "", 0.0),
        ("lmstudio", "", 0.0),
        ("vllm", "", 0.0),
        ("llamacpp", "", 0.0),
        ("ollama", '[endpoints.ollama]\nbase_url = "http://127.0.0.1:9/v1"\n', 0.0),
        ("ollama", '[endpoints.ollama]\nbase_url = "https://ollama.example/v1"\n', None),
        ("vllm", '[models."m"]\ninput_price = 1.0\noutput_price = 2.0\n', 3.0),
        ("gateway", '[endpoints.gateway]\nbase_url = "http://127.0.0.1:9/v1"\n', None),
        ("together", "", None),
    ],
)
def test_models_on_this_computer_cost_nothing(
    tmp_path: Path, endpoint: str, config: str, cost: float | None
) -> None:
    """For budgets and journals as for turns; a gateway on this computer is none of them."""
    (tmp_path / "config.toml").write_text(config)
    settings = resolve({}, None, {"MOA_BOT_HOME": str(tmp_path)})
    usage = Usage(1_000_000, 1_000_000)
    request = Request(Endpoint(endpoint, "http://x/v1"), "m", (), 0.7, 10)
    assert price_of(settings)(request, usage) == cost
    assert KnownModels(settings, {}).cost(Agent("m", endpoint), usage) == cost


@pytest.mark.parametrize("kind", [FailureKind.RATE_LIMITED, FailureKind.OVERLOADED, FailureKind.SERVICE])
def test_seconds_are_those_of_the_model(kind: FailureKind) -> None:
    """In a run, earlier tries and waits for a busy service are not counted as the model's time."""

    async def seconds(retrier: Retrier) -> tuple[float, float | None, int]:
        request = Request(Endpoint("x", "http://x/v1"), "m", (), 0.7, 10)
        last = [update async for update in retrier(request)][-1]
        assert isinstance(last, Completion)
        return last.seconds, last.first_token, last.retries

    scripts = {"m": [[(20, failed(kind))], [(30, failed(kind))], answer(2.0)]}
    assert run(seconds(bulk_retrier(ScriptedAsk(scripts), None))) == (2.0, 2.0, 2)
    in_a_chat = Retrier(ScriptedAsk(scripts), clock=lambda: asyncio.get_running_loop().time())
    whole, _, _ = run(seconds(in_a_chat))
    assert whole > 20 + 30 + 2
