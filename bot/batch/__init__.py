"""Answers a whole file or data set of prompts: `moa-bot batch`.

rows ──► estimate (what it may cost)
  └────► run ──► the runner, client and journal of `bot.bulk`, on the same mixture as the chat
           │       └─ or, with --engine ray, ray_runner: the same, on a cluster
           └───► answers: what is done, resumed; the answers file at the end
"""
