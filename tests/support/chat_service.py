"""The service that chats are tested against: two reference models, a and b, and a judge."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bot.demo.process import DemoProcess
from bot.demo.references import split_prompt

SAYS = {"a": {"reply": "from a"}, "b": {"reply": "from b"}, "judge": {"reply": "the reply"}}


class Service:
    """The service: what it is to say, and what it was asked."""

    def __init__(self, process: DemoProcess) -> None:
        self.process = process

    def says(self, **models: Mapping[str, Any]) -> None:
        """Have these models behave so, and the others as usual."""
        self.process.set_behaviour({"models": SAYS | models})

    def bodies(self, model: str = "judge") -> list[dict[str, Any]]:
        """What this model was asked, in order."""
        return [r["body"] for r in self.process.requests() if r["body"]["model"] == model]

    def prompts(self, model: str = "judge") -> list[str]:
        """The prompts that this model was asked, in order."""
        return [split_prompt(body["messages"][-1]["content"])[0] for body in self.bodies(model)]
