"""Asks during a turn whether a tool may run: o once, c for this conversation, n never, d not this time.

Keys may be meant for the next prompt. So the question is asked only once nothing has been typed for a while,
and a key is an answer only if no other key comes right before or after it. Whoever types on has typed text,
and is asked again later.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from prompt_toolkit.key_binding import KeyPress

from bot.app.tool_permission import Decision
from bot.text.sanitise import one_line
from bot.tool_use import Tool

QUIET_SECONDS: Final = 2.0
"""How long nothing has to have been typed before the question is asked."""
ALONE_SECONDS: Final = 0.5
"""How long no other key may come before and after an answer."""
ANSWERS: Final[Mapping[str, Decision]] = {
    "o": "once",
    "c": "conversation",
    "n": "never",
    "d": "no",
}
CHOICES: Final = "o once · c in this conversation · d not this time · n never in it"
_LONGEST: Final = 2_000
"""Characters of arguments that are shown; of longer ones the beginning and the end."""
_SAID: Final[Mapping[Decision, str]] = {
    "once": "runs once",
    "conversation": "may run in this conversation",
    "never": "will not run in this conversation",
    "no": "does not run",
}


class PermissionQuestion:
    """One question at a time. `say` prints a line above what is redrawn; `keep` keeps a key as typed."""

    def __init__(self, say: Callable[[str], None], keep: Callable[[KeyPress], None]) -> None:
        self._say, self._keep = say, keep
        self._pressed_at = float("-inf")
        self._held: KeyPress | None = None
        self._pressed = asyncio.Event()
        self._asking = False

    def press(self, press: KeyPress) -> None:
        """Take a key: it may be an answer, once it is clear that it stands alone."""
        now = asyncio.get_running_loop().time()
        alone = now - self._pressed_at >= ALONE_SECONDS
        self._pressed_at = now
        self._release()
        if self._asking and alone and press.key in ANSWERS:
            self._held = press
        else:
            self._keep(press)
        self._pressed.set()

    async def ask(self, tool: Tool, arguments: Mapping[str, Any]) -> Decision:
        """Return what the user answers, as soon as there is an answer."""
        try:
            while True:
                await self._quiet()
                self._say(f"  ? {one_line(tool.name)} can change something. May it run?")
                self._say(f"    {shown_arguments(arguments)}")
                self._say(f"    {CHOICES}")
                self._pressed_at = max(self._pressed_at, asyncio.get_running_loop().time())
                self._asking = True
                if (decision := await self._answer()) is not None:
                    self._say(f"    {one_line(tool.name)} {_SAID[decision]}.")
                    return decision
        finally:
            self._asking = False
            self._release()

    async def _quiet(self) -> None:
        """Return once nothing has been typed for a while."""
        now = asyncio.get_running_loop().time
        while (left := self._pressed_at + QUIET_SECONDS - now()) > 0:  # noqa: ASYNC110 - it waits for a time
            await asyncio.sleep(left)

    async def _answer(self) -> Decision | None:
        """Wait for a key; return the decision that it is, None if it was the beginning of typing."""
        self._pressed.clear()
        await self._pressed.wait()
        held = self._held
        if held is not None:
            self._pressed.clear()
            try:
                async with asyncio.timeout(ALONE_SECONDS):
                    await self._pressed.wait()
            except TimeoutError:
                self._held = None
                return ANSWERS[held.key]
        self._asking = False
        return None

    def _release(self) -> None:
        """Give a key that was held to the next prompt after all."""
        held, self._held = self._held, None
        if held is not None:
            self._keep(held)


def shown_arguments(arguments: Mapping[str, Any]) -> str:
    """Return a call's arguments on one line, all of them where they are not very long."""
    text = one_line(json.dumps(dict(arguments), ensure_ascii=False))
    if len(text) <= _LONGEST:
        return text
    half = _LONGEST // 2
    return f"{text[:half]} [… {len(text) - 2 * half:,} characters …] {text[-half:]}"
