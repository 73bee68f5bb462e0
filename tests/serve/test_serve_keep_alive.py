"""Answers that take long: what is sent meanwhile, and how an error is reported then."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
import virtual_time
from fake_models import CutAfter

from bot.serve.limits import Limits

Make = Callable[..., Any]
PATHS = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "why?"}]},
    "/v1/completions": {"prompt": "why?"},
    "/v1/responses": {"input": "why?"},
}


def post(app: Any, path: str, seconds: float, **fields: Any) -> Any:
    """Ask a service whose models take so many seconds."""

    async def work() -> Any:
        app.ask.release = asyncio.Event()
        asyncio.get_running_loop().call_later(seconds, app.ask.release.set)
        async with app.client() as client:
            return await client.post(path, json={"model": "moa", **PATHS[path], **fields})

    return virtual_time.run(work())


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(("seconds", "blanks"), [(4.9, 0), (5.1, 1), (12, 2)])
def test_blanks_before_the_answer(make: Make, path: str, seconds: float, blanks: int) -> None:
    """One after each silence; a client reads the same JSON as without them."""
    app = make(hold=("judge",), limits=Limits(keep_alive=5.0))
    answer = post(app, path, seconds)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert len(answer.text) - len(answer.text.lstrip(" ")) == blanks
    assert "the reply" in json.dumps(answer.json())


@pytest.mark.parametrize("path", PATHS)
def test_comments_in_a_stream(make: Make, path: str) -> None:
    """A stream gets comments, which clients skip."""
    app = make(hold=("a",), limits=Limits(keep_alive=5.0))
    text = post(app, path, 12, stream=True).text
    assert text.count(": the models are thinking\n\n") == 2


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(("seconds", "status"), [(4.9, 502), (5.1, 200)])
def test_an_error_after_the_first_blank(make: Make, path: str, seconds: float, status: int) -> None:
    """Before it the error has its status; after it the body says what that would have been."""
    app = make({"judge": CutAfter("one two")}, hold=("judge",), limits=Limits(keep_alive=5.0))
    answer = post(app, path, seconds)
    assert answer.status_code == status
    assert answer.json()["error"]["code"] == "reply_cut_off"
    assert answer.json().get("status", 502) == 502
