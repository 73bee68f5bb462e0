"""The application of `moa-bot serve` with made-up models: in this process, and listening for real clients."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx
import uvicorn
from fake_models import FakeAsk

from bot.app.load_settings import load_settings
from bot.app.log import Log
from bot.app.turn_budget import TurnBudget
from bot.messages import Completion, Request, ToolCall, Usage
from bot.serve.app import make_app
from bot.serve.limits import Limits, Turns
from bot.serve.request_timeout import TimedProtocol
from bot.serve.served_mixtures import ServedMixtures
from bot.serve.server import ListenAddress
from bot.serve.turn_route import Service
from bot.store.responses import ResponseStore

REPLY = "the reply, in seven words or so"
WEATHER = '{"city": "Oslo", "degrees": 4}'


class ServedApp:
    """The application with made-up models; `client()` talks with it inside this process."""

    def __init__(
        self,
        ask: FakeAsk,
        *,
        key: str | None = None,
        limits: Limits | None = None,
        max_cost: float | None = None,
        responses: ResponseStore | None = None,
        cors: tuple[str, ...] = (),
    ) -> None:
        said = {"reference_models": ["a", "b"], "aggregator": "judge", "system": "Be kind."}

        def again(changes: Mapping[str, object]) -> Any:
            return load_settings({**({} if "preset" in changes else said), **changes})

        self.ask = ask
        self.limits = limits or Limits()
        self.turns = Turns(self.limits.turns)
        mixtures = ServedMixtures(again({}), again)
        budget = TurnBudget(max_cost)
        store = responses or ResponseStore(None)
        self.service = Service(mixtures, ask, Log(None), self.turns, self.limits, budget, responses=store)
        self.asgi = make_app(self.service, key=key, host="127.0.0.1", cors=cors)

    def client(self, **more: Any) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(self.asgi), base_url="http://127.0.0.1", **more
        )


def weather_writer(request: Request) -> Completion:
    """Write the reply as an aggregator that can use tools and write JSON.

    It calls the first tool that it is offered, once; says what the tool said; and writes the weather.
    """
    results = [message.content for message in request.messages if message.role == "tool"]
    tools: Any = request.extra.get("tools", [])
    if tools and not results:
        call = ToolCall("call_1", tools[0]["function"]["name"], WEATHER)
        return Completion("", usage=Usage(10, 5), finish_reason="tool_calls", tool_calls=(call,))
    said = WEATHER if "response_format" in request.extra else f"They say {results[-1]}" if results else REPLY
    return Completion(said, usage=Usage(10, 7), finish_reason="stop")


@contextmanager
def listening(app: ServedApp) -> Iterator[str]:
    """Serve the application from a thread; yields its address for clients."""
    address = ListenAddress("127.0.0.1", 0, None)
    with address.listen() as listener:
        config = uvicorn.Config(app.asgi, http=TimedProtocol, ws="none", lifespan="off", log_config=None)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield address.url(listener.getsockname()[1])
        finally:
            server.should_exit = True
            thread.join()
