"""The offline service: a real OpenAI-compatible HTTP service on this computer, with models of its own.

`moa-bot --demo` starts it in a child process and everything else is the true path: SDK, worker
processes, streaming, store. The demonstration models are small programs, not language models.
Tests and benchmarks programme the same service with delays, rates, failures and fixed replies.

    process ── starts, watches ──► __main__ ─► serve ─► service ─► wire       (HTTP/1.1 over h11)
    inspector ── asks ──────────────────────────────────►  └─► chat ─► plan ─► output
                                      behaviour, rules, recorded ┘      ├─► models, aggregator
                                                                        └─► faults

This module is not the service: it only names what others need before they start one, and is cheap
to import.
"""

from __future__ import annotations

from typing import Final

DEMO_REFERENCES: Final[tuple[str, ...]] = (
    "demo/outliner",
    "demo/reader",
    "demo/sceptic",
    "demo/planner",
    "demo/telegraph",
    "demo/counter",
)
"""The demonstration models that answer side by side."""

DEMO_AGGREGATOR: Final = "demo/aggregator"
"""The demonstration model that reads their answers and writes one reply out of them."""

DEMO_CONTEXT: Final = 131_072
"""The context length in tokens that the demonstration models announce."""
