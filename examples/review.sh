#!/bin/sh
# A diff on standard input, its review on standard output:   git diff | sh examples/review.sh
set -e
moa-bot ask --demo --no_save --quiet "Review this change. Name the riskiest line first."
