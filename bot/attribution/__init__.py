"""Where a reply came from: how like each proposal it is, block by block. Likeness, not proof.

    attribution.py   the comparison, and the values it gives
     ├── passages.py     which passages of the proposals come nearest to a block
     └── blocks.py       a Markdown text cut into statements
    proposals.py     the proposals of a turn, just ended or stored

The measures are in `bot.text.similarity`, the display in `bot.render.attribution`. Importing it
loads neither Rich, the Markdown parser, sacrebleu nor rapidfuzz.
"""

from bot.attribution.attribution import AttributedBlock, Attribution, Match, Proposal, attribute
from bot.attribution.proposals import from_calls, from_result

__all__ = ["AttributedBlock", "Attribution", "Match", "Proposal", "attribute", "from_calls", "from_result"]
