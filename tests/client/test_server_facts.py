"""What servers of models on one's own computer say of themselves, with bodies as they send them."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest

from bot.client.error_mapping import failure_from_response
from bot.client.model_list import ListedModel, ModelList, read_model_list
from bot.client.provider import Provider
from bot.errors import Failure, FailureKind
from bot.messages import Endpoint, Message, Request

LLAMACPP = {
    "models": [{"name": "qwen2.5-0.5b.gguf", "model": "qwen2.5-0.5b.gguf", "type": "model"}],
    "object": "list",
    "data": [
        {
            "id": "qwen2.5-0.5b.gguf",
            "object": "model",
            "created": 1764000000,
            "owned_by": "llamacpp",
            "meta": {
                "vocab_type": 2,
                "n_vocab": 151936,
                "n_ctx": 4096,
                "n_ctx_train": 32768,
                "n_embd": 896,
                "n_params": 494032768,
                "size": 397807616,
            },
        }
    ],
}


@pytest.mark.parametrize(
    ("entry", "vision"),
    [
        ({"architecture": {"input_modalities": ["text", "image"]}}, True),
        ({"architecture": {"input_modalities": ["text"]}}, False),
        ({"input_modalities": ["text", "image"]}, True),
        ({"modalities": {"input": ["text", "image"], "output": ["text"]}}, True),
        ({"capabilities": {"vision": True}}, True),
        ({"capabilities": {"completion_chat": True}}, None),
        ({"capabilities": ["completion", "multimodal"]}, True),
        ({"capabilities": ["completion"]}, False),
        ({"supports_image_input": False}, False),
        ({"type": "vlm"}, True),
        ({"type": "chat"}, None),
        ({"architecture": "image", "capabilities": "vision", "vision": "yes"}, None),
        ({}, None),
    ],
)
def test_who_sees(entry: dict[str, Any], vision: object) -> None:
    """Services say in their own ways whether a model takes images; most do not say it."""
    found = read_model_list({"data": [{"id": "m", **entry}]})
    assert found
    assert found.models[0].vision is vision


VLLM = {
    "object": "list",
    "data": [
        {
            "id": "Qwen/Qwen3-8B",
            "object": "model",
            "created": 1764000000,
            "owned_by": "vllm",
            "root": "Qwen/Qwen3-8B",
            "parent": None,
            "max_model_len": 40960,
            "permission": [{"id": "modelperm-1", "object": "model_permission"}],
        }
    ],
}


def _of(owner: str, *names: str) -> dict[str, Any]:
    data = [{"id": name, "object": "model", "created": 1764000000, "owned_by": owner} for name in names]
    return {"object": "list", "data": data}


OLLAMA = _of("library", "qwen3:8b", "llama3.2:latest", "gemma3:4b", "nomic-embed-text:latest", "gone:1b")
PS = {
    "models": [
        {
            "name": "llama3.2:latest",
            "model": "llama3.2:latest",
            "size": 3431407616,
            "details": {"family": "llama", "parameter_size": "3.2B"},
            "expires_at": "2026-11-02T08:15:34Z",
            "size_vram": 0,
            "context_length": 16384,
        }
    ]
}
SHOWN: dict[str, Any] = {
    "qwen3:8b": {
        "parameters": 'repeat_penalty                 1\nstop                           "<|im_end|>"',
        "model_info": {"general.architecture": "qwen3", "qwen3.context_length": 40960},
        "capabilities": ["completion", "tools", "thinking"],
    },
    "llama3.2:latest": {"model_info": {"llama.context_length": 131072}, "capabilities": ["completion"]},
    "gemma3:4b": {
        "parameters": "num_ctx                        8192\ntop_k                          64",
        "model_info": {"gemma3.context_length": 131072},
        "capabilities": ["completion", "vision"],
    },
    "nomic-embed-text:latest": {
        "model_info": {"nomic-bert.context_length": 2048},
        "capabilities": ["embedding"],
    },
}
LMSTUDIO = {
    "object": "list",
    "data": [
        {
            "id": "meta-llama-3.1-8b-instruct",
            "object": "model",
            "type": "llm",
            "publisher": "lmstudio-community",
            "arch": "llama",
            "compatibility_type": "gguf",
            "quantization": "Q4_K_M",
            "state": "loaded",
            "max_context_length": 131072,
            "loaded_context_length": 4096,
        },
        {
            "id": "qwen2-vl-7b-instruct",
            "object": "model",
            "type": "vlm",
            "state": "not-loaded",
            "max_context_length": 32768,
        },
        {
            "id": "text-embedding-nomic-embed-text-v1.5",
            "object": "model",
            "type": "embeddings",
            "state": "not-loaded",
            "max_context_length": 2048,
        },
    ],
}


def models_of(answers: dict[str, Any], asked: list[str] | None = None) -> ModelList:
    """Return what the client reads from a server that answers so; other paths are not found."""

    def answer(request: httpx.Request) -> httpx.Response:
        if asked is not None:
            asked.append(request.url.path)
        found = answers.get(request.url.path)
        if callable(found):
            found = found(json.loads(request.content))
        return httpx.Response(404) if found is None else httpx.Response(200, json=found)

    async def run() -> ModelList | Failure:
        provider = Provider(transport=httpx.MockTransport(answer))
        endpoint = Endpoint("mine", "http://127.0.0.1:9/v1", "a-key-0815")
        try:
            return await provider.models(Request(endpoint, "", (), 0.0, 0, timeout=20.0))
        finally:
            await provider.close()

    found = asyncio.run(run())
    assert isinstance(found, ModelList), found
    return found


def test_llamacpp() -> None:
    """The context is what the server was started with, not what the model was trained with."""
    found = models_of({"/v1/models": LLAMACPP})
    assert found == ModelList((ListedModel("qwen2.5-0.5b.gguf", 4096, max_context=32768),), "llamacpp")


def test_vllm() -> None:
    """The list says it all, and nothing else is asked."""
    asked: list[str] = []
    found = models_of({"/v1/models": VLLM}, asked)
    assert found == ModelList((ListedModel("Qwen/Qwen3-8B", 40960),), "vllm")
    assert asked == ["/v1/models"]


def test_ollama() -> None:
    """A loaded model's context is Ollama's, else the Modelfile's, else the small default."""
    answers = {"/v1/models": OLLAMA, "/api/ps": PS, "/api/show": lambda body: SHOWN.get(body["model"])}
    found = models_of(answers)
    assert found.server == "ollama"
    contexts = {model.id: (model.context, model.max_context, model.chats) for model in found.models}
    assert contexts == {
        "qwen3:8b": (4096, 40960, True),
        "llama3.2:latest": (16384, 131072, True),
        "gemma3:4b": (8192, 131072, True),
        "nomic-embed-text:latest": (2048, 2048, False),
        "gone:1b": (None, None, True),
    }


def test_lmstudio() -> None:
    """A loaded model's context is the one that it was loaded with; embedding models do not chat."""
    names = [entry["id"] for entry in LMSTUDIO["data"] if isinstance(entry, dict)]
    found = models_of({"/v1/models": _of("organization_owner", *names), "/api/v0/models": LMSTUDIO})
    contexts = {model.id: (model.context, model.max_context, model.chats) for model in found.models}
    assert contexts == {
        "meta-llama-3.1-8b-instruct": (4096, 131072, True),
        "qwen2-vl-7b-instruct": (32768, 32768, True),
        "text-embedding-nomic-embed-text-v1.5": (2048, 2048, False),
    }


@pytest.mark.parametrize(
    "odd", [None, [], {}, {"models": 5}, {"models": [5, {"name": 5}]}, "text", {"data": [5]}]
)
@pytest.mark.parametrize("owner", ["library", "organization_owner"])
def test_answers_of_any_form(odd: Any, owner: str) -> None:
    """Whatever else a server answers, its list holds."""
    answers = {
        "/v1/models": _of(owner, "a"),
        "/api/ps": odd,
        "/api/v0/models": odd,
        "/api/show": lambda _: odd,
    }
    [model] = models_of(answers).models
    assert (model.id, model.max_context) == ("a", None)


def test_other_services_are_asked_for_their_list_only() -> None:
    """What is not one of these servers gets no further request."""
    asked: list[str] = []
    assert models_of({"/v1/models": _of("openai", "gpt-4o")}, asked).server == ""
    assert asked == ["/v1/models"]
    assert read_model_list([{"id": "a", "owned_by": ["library"]}]) == ModelList((ListedModel("a"),))


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (
            503,
            {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}},
            FailureKind.LOADING,
        ),
        (503, {"error": "Model org/name is currently loading", "estimated_time": 20.0}, FailureKind.LOADING),
        (503, {"error": {"message": "upstream overloaded"}}, FailureKind.OVERLOADED),
        (500, {"error": {"message": "error loading model"}}, FailureKind.SERVICE),
    ],
)
def test_a_server_that_is_loading_its_model(status: int, body: dict[str, Any], kind: FailureKind) -> None:
    """Status 503 with these words is a failure of its own kind, which is waited for."""
    request = Request(Endpoint("mine", "http://127.0.0.1:9/v1"), "m", (Message("user", "hi"),), 0.0, 1)
    assert failure_from_response(request, status, json.dumps(body), {}).kind is kind
