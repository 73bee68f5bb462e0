"""A service with three models, and the program run against it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from bot.demo.process import DemoProcess

KEY = "very-secret-key-4711"


@pytest.fixture
def service(offline: Callable[..., DemoProcess]) -> DemoProcess:
    """Models a and b, and judge; the key is insisted on."""
    says = {"a": {"reply": "from a"}, "b": {"reply": "from b"}, "judge": {"reply": "the reply"}}
    return offline({"models": says, "require_key": KEY})


@pytest.fixture
def environment(service: DemoProcess) -> dict[str, str]:
    """Where the service is, its key, and its mixture."""
    return {
        "TOGETHER_BASE_URL": service.base_url,
        "TOGETHER_API_KEY": KEY,
        "MOA_BOT_REFERENCE_MODELS": "a,b",
        "MOA_BOT_AGGREGATOR": "judge",
    }


Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def bot(here: Run, environment: dict[str, str]) -> Run:
    """Run a command with that service, within this process."""
    return _with(environment, here)


@pytest.fixture
def program(moa: Run, environment: dict[str, str]) -> Run:
    """Run the program with that service, as a process of its own."""
    return _with(environment, moa)


def _with(environment: dict[str, str], run: Run) -> Run:
    def run_with(
        *arguments: str, env: dict[str, str] | None = None, **more: Any
    ) -> subprocess.CompletedProcess[str]:
        return run(*arguments, env={**environment, **(env or {})}, **more)

    return run_with
