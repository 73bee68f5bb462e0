"""Figures that others published, to print beside one's own. Nothing is computed from them."""

from __future__ import annotations

ALPACA_EVAL: dict[str, tuple[float, float]] = {
    "Together-MoA": (59.87, 65.38),
    "Together-MoA-Lite": (56.59, 59.14),
    "gpt-4o-2024-05-13": (51.33, 57.46),
    "gpt-4-turbo-2024-04-09": (46.12, 55.02),
    "Qwen1.5-110B-Chat": (33.78, 43.91),
    "Qwen1.5-72B-Chat": (26.50, 36.57),
    "Meta-Llama-3-70B-Instruct": (33.18, 34.42),
    "Mixtral-8x22B-Instruct-v0.1": (22.21, 30.88),
    "dbrx-instruct": (18.45, 25.38),
}
"""The AlpacaEval 2.0 leaderboard: raw and length-controlled win rate in per cent."""

ALPACA_EVAL_PAPER: dict[str, float] = {
    "MoA with GPT-4o": 65.7,
    "MoA": 65.1,
    "MoA-Lite": 59.3,
    "GPT-4 Omni": 57.5,
    "GPT-4 Turbo": 55.0,
}
"""The paper's table: length-controlled win rate in per cent."""

MT_BENCH_PAPER: dict[str, float] = {
    "MoA with GPT-4o": 9.40,
    "GPT-4 Turbo": 9.31,
    "MoA": 9.25,
    "GPT-4 Omni": 9.19,
}
"""The paper's table: average score, 1 to 10."""

PAPER_PROPOSERS = (
    "Qwen1.5-110B-Chat",
    "Qwen1.5-72B-Chat",
    "Mixtral-8x22B-Instruct-v0.1",
    "Meta-Llama-3-70B-Instruct",
    "dbrx-instruct",
)
"""The paper's reference models of which answers and win rates are published."""
