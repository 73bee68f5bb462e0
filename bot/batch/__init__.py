"""Answers a whole file or data set of prompts: `moa-bot batch`.

rows ──► estimate (what it may cost)
  └────► run ──► the evaluations' runner, asker and journal, on the same mixture as the chat
           │       └─ or, with --engine ray, ray_engine: the same, on a cluster
           └───► answers: what is done, resumed; the answers file at the end
"""
