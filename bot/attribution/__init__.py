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

from bot.attribution.attribution import AttributedBlock, Attribution, Match, Proposal, trace
from bot.attribution.proposals import from_calls, from_result
from bot.render.attribution import attribution_json, attribution_lines, attribution_text

__all__ = [
    "Match",
    "Proposal",
    "Attribution",
    "TracedBlock",
    "from_calls",
    "from_result",
    "trace",
    "attribution_json",
    "attribution_lines",
    "attribution_text",
]
