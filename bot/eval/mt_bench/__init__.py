"""MT-Bench: 80 questions of two turns in 8 categories, each turn graded 1 to 10 by a judge."""
