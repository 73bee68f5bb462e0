"""AlpacaEval 2.0: 805 instructions, one answer each, compared with GPT-4's by a judge.

data             the instructions with the baseline's answers, and what the fit needs
judge            the question to the judge, and the preference in its answer
length_control   the fit behind the length-controlled win rate
score            win rates of judged rows
benchmark        all of it as a `Benchmark`
"""
