"""MT-Bench: 80 questions of two turns in 8 categories, each turn graded 1 to 10 by a judge.

data        questions, GPT-4's reference answers, judge prompts
judge       the questions to the judge, and the score in its answer
score       scores by turn and category of judged rows
benchmark   all of it as a `Benchmark`
"""
