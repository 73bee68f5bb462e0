"""Real clients against `moa-bot serve`: the official openai package, together, and the llm command."""

from __future__ import annotations

import asyncio
import base64
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import together
from pictures_made import picture
from running import LIMIT
from services import conversation

from bot.demo.process import DemoProcess

REPLY = "the reply, in seven words or so"
ASKED: list[Any] = [{"role": "user", "content": "why?"}]
Serve = Callable[..., Any]


@pytest.fixture
def openai() -> Any:
    """The package, which takes a second to import: not when tests are collected."""
    import openai

    return openai


def test_the_openai_package(openai: Any, serve: Serve, service: DemoProcess) -> None:
    """Models, whole answers, streams with usage, history and `moa` options: equal text either way."""
    with openai.OpenAI(base_url=serve().url, api_key="unused", max_retries=0) as client:
        assert [model.id for model in client.models.list()][:2] == ["moa", "default"]
        whole = client.chat.completions.create(model="moa", messages=ASKED)
        assert whole.choices[0].message.content == REPLY
        assert whole.choices[0].finish_reason == "stop"
        assert whole.usage
        calls = [request["body"]["model"] for request in service.requests()]
        assert sorted(calls) == ["a", "b", "judge"]

        chunks = list(
            client.chat.completions.create(
                model="moa", messages=ASKED, stream=True, stream_options={"include_usage": True}
            )
        )
        texts = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
        assert "".join(texts) == REPLY
        assert sum(map(bool, texts)) > 1, "it came in one piece"
        assert chunks[0].choices[0].delta.role == "assistant"
        assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
        assert chunks[-1].choices == []
        assert chunks[-1].usage
        assert chunks[-1].usage.total_tokens == whole.usage.total_tokens
        assert not any(chunk.usage for chunk in chunks[:-1])

        told = client.chat.completions.create(
            model="moa",
            messages=[
                *ASKED,
                {"role": "assistant", "content": REPLY},
                {"role": "user", "content": "really?"},
            ],
            extra_body={"moa": {"references": ["b", "b"], "rounds": 2, "include_references": True}},
        )
        assert told.model_extra
        references = told.model_extra["moa"]["references"]
        assert [[each["text"] for each in layer] for layer in references] == [["from b"] * 2] * 2
        last = service.requests()[-1]["body"]
        assert conversation(last) == ["why?", REPLY, "really?"]


def test_images_as_the_openai_package_sends_them(
    openai: Any, serve: Serve, service: DemoProcess, tmp_path: Path
) -> None:
    """In both APIs, also in a response that is continued; who sees gets the image, who does not is told."""
    (tmp_path / "config.toml").write_text("[models.a]\nvision = true\n", encoding="utf-8")
    url = f"data:image/png;base64,{base64.b64encode(picture()).decode()}"
    text, image = {"type": "text", "text": "what is it?"}, {"type": "image_url", "image_url": {"url": url}}
    running = serve(env={"MOA_BOT_HOME": str(tmp_path)})

    def asked(model: str) -> list[Any]:
        bodies = [request["body"] for request in service.requests() if request["body"]["model"] == model]
        return [
            next(each["content"] for each in body["messages"] if each["role"] == "user") for body in bodies
        ]

    with openai.OpenAI(base_url=running.url, api_key="unused", max_retries=0) as client:
        messages: Any = [{"role": "user", "content": [text, image]}]
        assert (
            client.chat.completions.create(model="moa", messages=messages).choices[0].message.content == REPLY
        )
        parts: Any = [
            {"type": "input_text", "text": "what is it?"},
            {"type": "input_image", "detail": "auto", "image_url": url},
        ]
        first = client.responses.create(model="moa", input=[{"role": "user", "content": parts}])
        client.responses.create(model="moa", input="and its colour?", previous_response_id=first.id)
        assert asked("a") == [[text, image]] * 3
        assert all("You cannot see this image" in each for each in asked("b"))
        for wrong in ("data:image/png;base64,AAAA", "file:///etc/passwd"):
            with pytest.raises(openai.BadRequestError) as refused:
                client.chat.completions.create(
                    model="moa",
                    messages=[
                        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": wrong}}]}
                    ],
                )
            assert refused.value.param.startswith("messages[0].content[0].image_url")
        with pytest.raises(openai.BadRequestError) as blind:
            client.chat.completions.create(
                model="moa", messages=messages, extra_body={"moa": {"references": ["b"]}}
            )
        assert blind.value.code == "unsupported_image"


def test_errors_as_the_openai_package_knows_them(openai: Any, serve: Serve, service: DemoProcess) -> None:
    """An unknown model, a wrong field and a failing model become its exceptions, without a key in them."""
    with openai.OpenAI(base_url=serve().url, api_key="unused", max_retries=0) as client:
        with pytest.raises(openai.NotFoundError) as unknown:
            client.chat.completions.create(model="gpt-4o", messages=ASKED)
        assert unknown.value.code == "model_not_found"
        with pytest.raises(openai.BadRequestError) as several:
            client.chat.completions.create(model="moa", messages=ASKED, n=2)
        assert (several.value.code, several.value.param) == ("unsupported_parameter", "n")
        service.set_behaviour({"models": {"a": {}, "b": {}, "judge": {}}, "require_key": "another-key"})
        for streamed in (False, True):
            with pytest.raises(openai.InternalServerError) as refused:
                client.chat.completions.create(model="moa", messages=ASKED, stream=streamed)
            assert refused.value.status_code == 502
            assert "very-secret" not in str(refused.value)
        cut = {"reply": "word " * 50, "tokens_per_second": 400, "failures": [{"kind": "cut", "tokens": 9}]}
        service.set_behaviour({"models": {"a": {}, "b": {}, "judge": cut}})
        stream = client.chat.completions.create(model="moa", messages=ASKED, stream=True)
        came: list[str] = []
        with pytest.raises(openai.APIError) as broken:
            came.extend(chunk.choices[0].delta.content or "" for chunk in stream)
        assert broken.value.code == "reply_cut_off"
        assert "".join(came).startswith("word word")


def test_the_together_package(serve: Serve) -> None:
    """Whole and streamed; it puts /v1 into the address itself."""
    url = serve().url.removesuffix("/v1")
    with together.Together(base_url=url, api_key="unused", max_retries=0) as client:
        whole = client.chat.completions.create(model="moa", messages=ASKED)
        assert whole.choices[0].message
        assert whole.choices[0].message.content == REPLY
        pieces = [
            chunk.choices[0].delta.content or ""
            for chunk in client.chat.completions.create(model="moa", messages=ASKED, stream=True)
            if chunk.choices
        ]
        assert "".join(pieces) == REPLY
        with pytest.raises(together.NotFoundError):
            client.chat.completions.create(model="gpt-4o", messages=ASKED)


def test_the_llm_command(serve: Serve, service: DemoProcess, tmp_path: Path, tagged: dict[str, str]) -> None:
    """Streamed, whole, and in a conversation of its own."""
    config = f"- model_id: mixture\n  model_name: moa\n  api_base: {serve().url}\n"
    (tmp_path / "extra-openai-models.yaml").write_text(config, encoding="utf-8")
    environment = {**tagged, "LLM_USER_PATH": str(tmp_path)}

    def llm(*arguments: str) -> str:
        command = [sys.executable, "-m", "llm", *arguments]
        done = subprocess.run(
            command,
            env=environment,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=LIMIT,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode().strip()

    assert llm("-m", "mixture", "why?") == REPLY
    assert llm("-c", "--no-stream", "-o", "temperature", "0.5", "really?") == REPLY
    last = service.requests()[-1]["body"]
    assert conversation(last) == ["why?", REPLY, "really?"]
    assert last["temperature"] == 0.5


def test_fifty_clients_at_once(openai: Any, serve: Serve, service: DemoProcess) -> None:
    """All get their own answer, through one pool of workers."""
    service.set_behaviour({"models": {"a": {}, "b": {}, "judge": {"echo": True, "delay": 0.3}}})
    serving = serve()

    async def one(client: Any, number: int) -> tuple[int, str]:
        asked: list[Any] = [{"role": "user", "content": f"question number {number}."}]
        if number % 2:
            answer = await client.chat.completions.create(model="moa", messages=asked)
            return number, answer.choices[0].message.content or ""
        pieces = [
            chunk.choices[0].delta.content or ""
            async for chunk in await client.chat.completions.create(model="moa", messages=asked, stream=True)
        ]
        return number, "".join(pieces)

    async def all_of_them() -> list[tuple[int, str]]:
        async with openai.AsyncOpenAI(base_url=serving.url, api_key="unused", max_retries=0) as client:
            return await asyncio.gather(*(one(client, number) for number in range(50)))

    answers = asyncio.run(all_of_them())
    assert len(answers) == 50
    for number, text in answers:
        assert f"question number {number}." in text
    assert len(service.requests()) == 150
