"""FLASK: 1,740 instructions, each answer graded 1 to 5 for the three skills that it needs.

data        items, skills, the review prompt
judge       the question to the judge, and the scores in its review
score       scores by skill, domain and difficulty of reviewed rows
benchmark   all of it as a `Benchmark`
"""
