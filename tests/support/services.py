"""The offline service for tests: one process, whose behaviour each test sets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bot.demo.process import DemoProcess
from bot.demo.references import split_prompt


def conversation(body: Mapping[str, Any]) -> list[str]:
    """The conversation in a request: prompts and replies in turn, without system prompts and references."""
    *history, last = [message["content"] for message in body["messages"] if message["role"] != "system"]
    return [*history, split_prompt(last)[0]]


def start_service(folder: Path, behaviour: Mapping[str, Any]) -> DemoProcess:
    """Start the service with this behaviour and with its inspection routes."""
    file = folder / "behaviour.json"
    file.write_text(json.dumps(behaviour), encoding="utf-8")
    return DemoProcess(file, inspect=True)


def models(**behaviours: Mapping[str, Any]) -> dict[str, Any]:
    """A behaviour that serves these models: `models(a={"reply": "x"})`."""
    return {"models": {name: dict(behaviour) for name, behaviour in behaviours.items()}}
