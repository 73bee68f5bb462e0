"""The evaluations of the Mixture-of-Agents paper: AlpacaEval 2.0, MT-Bench, FLASK, and its analyses.

    benchmark     what the three have in common
    alpaca_eval/, mt_bench/, flask/
                  each one's data, judge prompts, reading of judgments, scores
    registry      the three by name; `open_benchmark(name)`
    official_data official files, found or fetched, checked and read
    eval_context, stages, judging, evaluation, sweep
                  a run: what it needs, its stages, one mixture or many
    judges, trial, agreement
                  who judges, whether that works, and how far several judges agree
    calibration, recorded
                  a judge compared with the official one on recorded answers of published models
    report, charts
                  runs beside one another, as text, page and pictures
    proposals     the answers that a run's replies were made from, and their scores
    arms, comparison …
                  is the mixture worth it: arms, paired items, statistics, the sentence, tables, the page
    compare_runs  the arms of existing runs, of logs of inspect_ai, of samples of lm-eval
    similarity    the paper's section 3.3: what is the reply like, the better proposals?

Nothing of the benchmarks' data or prompts is part of this package; all of it is read when it is needed.
"""
