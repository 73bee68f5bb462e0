"""The Mixture of Agents itself, pure: it is given a plan and a way to ask, and yields events.

mixture.py            a turn: the rounds, then the last layer
 ├── fan_out.py       the calls of a round side by side, cut off by round_timeout.py or the user
 │    └── model_call.py   one call: its request, its retry with a smaller context, its end
 │         ├── prompts.py    the messages that a model is sent
 │         └── context.py    fitted to its context length
 ├── early_stop.py    whether a round was the last
 ├── shadow_stop.py   the same, only noted, with the reply that it would have led to
 └── modes.py         the last layer of each mode
      ├── fusion.py       a judge compares (its reply is read by judge_reply.py), then the aggregator writes
      ├── critique.py     mode "critique": a draft, its reviews, the revision
      ├── compare.py      mode "compare": the answers as they are
      ├── vote.py         mode "vote": the most frequent answer
      ├── aggregation.py  the aggregator writes the reply, also when aggregators fail
      └── ranking.py      mode "rank": it picks one of the answers
plan.py               what a mixture runs
turn_context.py       what the calls of a turn share
panel.py              who answered in a round
"""
