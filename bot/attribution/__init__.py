"""How similar a reply is to the proposals it was made from, block by block. Similarity, not proof.

    proposals.py       the proposals that the aggregator of a turn read
    attribution.py     the comparison, and the values it returns
     ├── blocks.py        a Markdown text split into statements
     └── passages.py      the passages of the proposals that are nearest to a block

The measures are in `bot.text.similarity`, the display in `bot.render.attribution`. Importing it
loads neither Rich, the Markdown parser, sacrebleu nor rapidfuzz.
"""
