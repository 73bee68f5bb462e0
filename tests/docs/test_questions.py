"""examples/questions.jsonl: every target that can be computed is computed again."""

from __future__ import annotations

import ast
import calendar
import contextlib
import io
import json
import re
from collections import Counter
from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bot.eval.own.questions import Question, load_questions
from bot.eval.own.scorers import rule_scorer

FILE = Path(__file__).parents[2] / "examples" / "questions.jsonl"
QUESTIONS = load_questions(str(FILE), {})


def calculated(expression: str) -> str:
    node = ast.parse(expression, mode="eval")
    allowed = (ast.Expression, ast.BinOp, ast.Constant, ast.operator)
    assert all(isinstance(each, allowed) for each in ast.walk(node)), expression
    return str(int(eval(compile(node, "", "eval"))))


def day(text: str) -> date:
    return datetime.strptime(f"{text} +0000", "%d %B %Y %z").date()


def printed(code: str) -> str:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(code, {})
    return out.getvalue().strip()


def month_days(month: str, year: str) -> str:
    return str(calendar.monthrange(int(year), list(calendar.month_name).index(month))[1])


RULES: dict[str, Callable[..., str]] = {
    r"What is (\d+) percent of (\d+)\?": lambda p, n: str(int(p) * int(n) // 100),
    r"What is ([\d +*/()-]+)\?": calculated,
    r"A box holds (\d+) pens\. How many pens do (\d+) boxes": lambda a, b: str(int(a) * int(b)),
    r"(\d+) apples are shared equally among (\d+)": lambda a, b: str(int(a) // int(b)),
    r"A train travels at (\d+) km .* in (\d+) hours": lambda v, t: str(int(v) * int(t)),
    r"A book costs (\d+) dollars.* after buying (\d+)": lambda a, n: str(100 - int(a) * int(n)),
    r"What is the remainder when (\d+) is divided by (\d+)": lambda a, b: str(int(a) % int(b)),
    r"On which day of the week was (\d+ \w+ \d+)\?": lambda when: f"{day(when):%A}",
    r"Which date is (\d+) days after (\d+ \w+ \d+)": lambda n, when: str(day(when) + timedelta(int(n))),
    r"How many days after (\d+ \w+ \d+) is (\d+ \w+ \d+)": lambda a, b: str((day(b) - day(a)).days),
    r"Was or will (\d+) be a leap year": lambda year: "yes" if calendar.isleap(int(year)) else "no",
    r"How many days does (\w+) (\d{4}) have": month_days,
    r"(?s)What does this Python code print\?.*```python\n(.*)\n```": printed,
}


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.id)
def test_targets(question: Question) -> None:
    """A target is what its question computes to, and the scorer accepts it alone."""
    rule = next((rule for rule in RULES if re.match(rule, question.turns[0])), None)
    assert (rule is None) == (question.group == "facts")
    if rule:
        found = re.match(rule, question.turns[0])
        assert found is not None
        assert question.targets == (RULES[rule](*found.groups()),)
    exact = rule_scorer("exact")
    assert all(exact.score(target, question.targets).score == 1 for target in question.targets)
    assert exact.score(f"The answer is {question.targets[0]}.", question.targets).score == 1
    assert exact.score("I do not know.", question.targets).score == 0


def test_the_file() -> None:
    """200 different questions of four groups, with the columns that `eval own` reads by itself."""
    rows: list[dict[str, Any]] = [json.loads(line) for line in FILE.read_text(encoding="utf-8").splitlines()]
    assert {tuple(row) for row in rows} == {("id", "group", "prompt", "target")}
    assert len({row["prompt"] for row in rows}) == len(rows)
    groups = Counter(row["group"] for row in rows)
    assert groups == {"arithmetic": 60, "dates": 40, "facts": 50, "code": 50}
