"""What goes through the pipe between the pool and a worker process.

    pool ── Command: (verb, call number, request) ──► worker
    pool ◄── Reply: (call number, updates) ────────── worker

A call number belongs to one call from its command to its last update; the pool never reuses it.
"""

from __future__ import annotations

from typing import Literal

from bot.client.model_list import ModelList
from bot.messages import CallUpdate, Request

CallVerb = Literal["ask", "models"]
"""Starts a call: one completion, or the list of an endpoint's models."""
Verb = Literal[CallVerb, "cancel", "ping", "quit"]
Command = tuple[Verb, int, Request | None]
"""The request comes with a `CallVerb` only; "ping" and "quit" have call number 0."""
Update = CallUpdate | ModelList
Reply = tuple[int, tuple[Update, ...]]

READY = 0
"""The call number of a worker's first reply, and of its replies to "ping"; they hold no updates."""
