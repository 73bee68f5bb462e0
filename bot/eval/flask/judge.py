"""The question to FLASK's judge, and the scores in its review."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Collection, Mapping

from bot.eval.benchmark import fill
from bot.eval.flask.data import SKILL_KEYS, SKILLS, Instruction, ReviewPrompt, Skill
from bot.eval.official_data import DataError
from bot.messages import Message

TEMPERATURE = 0.0
MAX_TOKENS = 1024

Scores = dict[str, int | float | None]
"""Scores 1 … 5 by skill key, None for a skill that the judge calls not applicable."""

LOWEST, HIGHEST = 1, 5

_BRACES = re.compile(r"\{[^}]+\}")
_NOT_APPLICABLE = frozenset({"n/a", "na", "not applicable"})
_LONGEST = 2_000


def messages(
    prompt: ReviewPrompt, item: Instruction, response: str, skills: Mapping[str, Skill]
) -> tuple[Message, ...]:
    """Return the judge's messages about one answer. Raises DataError for a skill without description."""
    values = {
        **prompt.defaults,
        "question": item.turns[0],
        "response": response,
        "sample_answer": item.answer,
        "skills": "".join(_described(name, skills) for name in item.skills),
        "num": str(len(item.skills)),
    }
    return (Message("system", prompt.system), Message("user", fill(prompt.template, values)))


def read_scores(review: str) -> Scores | None:
    """Return the scores of the last {…} in a review, None when there is none that can be read.

    Skills that FLASK does not know are ignored; so is what is no score.
    """
    found = _BRACES.findall(review)
    if not found or len(found[-1]) > _LONGEST:
        return None
    text = found[-1].replace("\n", "").replace("_", " ").lower()
    # JSON's word for no score; whatever else is in the review counts.
    text = re.sub(r":\s*null\b", ": None", text)
    try:
        with warnings.catch_warnings():
            # A judge's stray backslash is no fault of this program.
            warnings.simplefilter("ignore")
            value = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    return known_scores(value) or None


def known_scores(value: Mapping[object, object]) -> Scores:
    """Return what in a dictionary is a skill's score or says that there is none."""
    scores: Scores = {}
    for name, given in value.items():
        key = skill_key(str(name).lower())
        if key not in SKILL_KEYS:
            continue
        if isinstance(given, str) and given.strip().lower() in _NOT_APPLICABLE:
            scores[key] = None
        elif (score := _number(given)) is not None:
            scores[key] = score
    return scores


def asked_scores(scores: Scores, skills: Collection[str]) -> Scores | None:
    """Return the scores of the skills that the judge was asked about, None when there are none."""
    asked = {skill_key(name.lower()) for name in skills}
    return {key: value for key, value in scores.items() if key in asked} or None


def skill_key(name: str) -> str:
    """Return the word that stands for a skill: "correctness" for "logical correctness"."""
    words = name.split()
    if not words:
        return ""
    return words[1] if "logical" in name and len(words) > 1 else words[0]


def _number(given: object) -> int | float | None:
    if isinstance(given, bool):
        return None
    try:
        value = float(given) if isinstance(given, int | float | str) else None
    except ValueError:
        return None
    if value is None or not LOWEST <= value <= HIGHEST:
        return None
    return int(value) if value.is_integer() else value


def _described(name: str, skills: Mapping[str, Skill]) -> str:
    # The official tool takes the first skill whose name contains the label.
    skill = next((skill for full, skill in skills.items() if name in full), None)
    if skill is None:
        raise DataError(f"{SKILLS.name}: no description of the skill {name}")
    rubric = "".join(f"\nScore {score}: {meaning}" for score, meaning in enumerate(skill.rubric, 1))
    return f"\n{skill.name}: {skill.criteria}{rubric}\n\n"
