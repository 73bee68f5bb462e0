"""Where a reply came from: how like each proposal it is, block by block. Likeness, not proof.

    trace.py         the comparison, and the values it gives
     ├── similarity.py   how like two whole texts are (the paper's measures)
     ├── nearness.py     which passages come nearest to a block
     ├── blocks.py       a Markdown text cut into statements
     └── words.py        words, in any script
    origins.py       the proposals of a turn, just ended or kept
    show.py          a trace on a terminal, in a pipe, as JSON

Importing it loads neither Rich, the Markdown parser, sacrebleu nor rapidfuzz.
"""

from bot.trace.origins import from_calls, from_result
from bot.trace.show import trace_json, trace_lines, trace_text
from bot.trace.trace import Match, Proposal, Trace, TracedBlock, trace

__all__ = [
    "Match",
    "Proposal",
    "Trace",
    "TracedBlock",
    "from_calls",
    "from_result",
    "trace",
    "trace_json",
    "trace_lines",
    "trace_text",
]
