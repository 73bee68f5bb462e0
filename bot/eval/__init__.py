"""The evaluations of the Mixture-of-Agents paper: AlpacaEval 2.0, MT-Bench, FLASK, and its analyses.

    benchmark     what the three have in common
    registry      the three by name; `open_benchmark(name)`
    alpaca_eval/, mt_bench/, flask/
                  each one's data, judge prompts, reading of judgments, scores
    score         the figures of a recorded judgments file
    similarity    the paper's section 3.3: what is the reply like, the better proposals?
    published     the figures that the paper and the leaderboards print
    data, files, templates, figures
                  official files, found or fetched and checked; rows; placeholders; means with errors

None of these asks a model anything: that is the affair of the runner and of what is around it
(`evaluation`, `stages`, `runner`, `journal`, `sweep`, `report`, …), all built on `benchmark`. Nothing
of the benchmarks' data or prompts is part of this package; all of it is read when it is needed.
"""
