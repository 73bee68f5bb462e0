"""FLASK: 1,740 instructions, each answer graded 1 to 5 for the three skills that it needs."""
