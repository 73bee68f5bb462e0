"""The offline service: a real OpenAI-compatible HTTP service on this computer, with models of its own.

`moa-bot --demo` starts it in a child process; the rest is as with a real service: SDK, worker
processes, streaming, store. The demonstration models are small programs, not language models.
Tests and benchmarks configure the same service with delays, rates, failures and fixed replies.

    process ── starts ──► __main__ ─► serve ─► service ─► http_wire      (HTTP/1.1 with h11)
                                                  └─► chat ─► answer_plan ─► answer_writer
                         behaviour, fault_rules, recorded ┘     ├─► models, aggregator
                                                                └── fault_injection

This module only names what others need before they start the service, and is cheap to import.
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
"""The demonstration models that answer in parallel."""

DEMO_AGGREGATOR: Final = "demo/aggregator"
"""The demonstration model that writes one reply from their answers."""

DEMO_CONTEXT: Final = 131_072
"""The context length in tokens that the demonstration models announce."""
