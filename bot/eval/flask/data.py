"""FLASK's official files: items, the description of the skills, the review prompt."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bot.bulk.files import Row
from bot.eval.benchmark import Item
from bot.eval.official_data import DataError, MissingDataError, OfficialData, OfficialFile

_REPOSITORY = "https://raw.githubusercontent.com/kaistAI/FLASK/3b4e22bc34aa9dc15ea0c51be3cbf5f3c8b1b5e5/"

ITEMS = OfficialFile(
    "flask.items",
    _REPOSITORY,
    "evaluation_set/flask_evaluation.jsonl",
    (
        "791950bf1f159b048eba8fee205eba606926c25467a9a31e6f9b6affc2e3e13d",
        # The same items with the columns that are needed, and no others.
        "4a70942f5e99ebbdc03def0575779f5bd97daf2d1ae1dfa227e1bcbdd3bba052",
    ),
)
HARD = OfficialFile("flask.hard", _REPOSITORY, "evaluation_set/flask_hard_evaluation.jsonl")
PROMPTS = OfficialFile(
    "flask.prompts",
    _REPOSITORY,
    "gpt_review/src/prompt.jsonl",
    ("64836bb1eb6940e7ddbbbf0ea66265191bfd49476036ca15fc2660bbfa326134",),
)
SKILLS = OfficialFile(
    "flask.skills",
    _REPOSITORY,
    "metadata_annotation/skillset/src/skillset_description.json",
    ("78f03c29f5a6510b76b8a765cb539c302d69898b7e4d7c68372c9cc2427e595e",),
)

COUNT = 1740
PROMPT_ID = 2
"""The review prompt that shows the ground truth."""

SKILL_KEYS = (
    "robustness",
    "correctness",
    "efficiency",
    "factuality",
    "commonsense",
    "comprehension",
    "insightfulness",
    "completeness",
    "metacognition",
    "readability",
    "conciseness",
    "harmlessness",
)
"""The twelve skills by the words that the official tool calls them, in its order."""

DIFFICULTIES = (
    "simple lifestyle knowledge",
    "advanced lifestyle knowledge",
    "formal education knowledge",
    "major level knowledge",
    "expert level knowledge",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction(Item):
    """An item with its ground truth, the skills it needs, and where it belongs; its id is its `idx`.

    `difficulty` is None and `domains` is empty where the item has none.
    """

    answer: str
    skills: tuple[str, ...]
    domains: tuple[str, ...]
    difficulty: str | None
    task: str

    @property
    def stratum(self) -> str:
        """Its first domain."""
        return next(iter(self.domains), "")


@dataclass(frozen=True, slots=True)
class Skill:
    """A skill: its name, the question that it asks, and what the scores 1 … 5 mean."""

    name: str
    criteria: str
    rubric: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ReviewPrompt:
    """The review prompt: the system message, the user's template, what fills its fixed places."""

    system: str
    template: str
    defaults: Mapping[str, str]


def instructions(data: OfficialData, source: OfficialFile = ITEMS) -> list[Instruction]:
    """Return the items in their order. Raises DataError."""
    # Older official files call the same columns by other names.
    return data.records(
        source,
        lambda row: Instruction(
            id=str(item_id(row)),
            turns=(row["instruction"] if "instruction" in row else row["text"],),
            answer=str(row["answer"]),
            skills=tuple(row["skill"] if "skill" in row else row["metrics"]),
            domains=domains(row) or (),
            difficulty=difficulty(row),
            task=str(row.get("task", "")),
        ),
    )


def hard(data: OfficialData, items: Iterable[Instruction]) -> frozenset[int] | None:
    """Return the ids of the FLASK-Hard items, None where their file cannot be had. Raises DataError.

    That file numbers its items by itself, so they are joined by what is asked.
    """
    try:
        found = {each.turns[0].strip() for each in instructions(data, HARD)}
    except MissingDataError:
        return None
    ids = frozenset(int(each.id) for each in items if each.turns[0].strip() in found)
    if len(ids) < len(found):
        data.reject(HARD, f"{HARD.name}: {len(found) - len(ids)} items are none of FLASK's")
    return ids


def skills(data: OfficialData) -> Mapping[str, Skill]:
    """Return the skills by name. Raises DataError."""
    found = data.records(
        SKILLS,
        lambda row: Skill(
            row["Skill"], row["Criteria"], tuple(row["Scoring"][str(score)] for score in range(1, 6))
        ),
    )
    return {skill.name: skill for skill in found}


def review_prompt(data: OfficialData) -> ReviewPrompt:
    """Return the official review prompt. Raises DataError."""
    found = data.records(
        PROMPTS,
        lambda row: (
            row["prompt_id"] == PROMPT_ID
            and ReviewPrompt(row["system_prompt"], row["prompt_template"], dict(row["defaults"]))
        ),
    )
    for prompt in found:
        if prompt:
            return prompt
    raise DataError(f"{PROMPTS.name}: no prompt with the id {PROMPT_ID}")


def domains(row: Row) -> tuple[str, ...] | None:
    """Return the domains of an item or a review, () for none, None where the row does not say."""
    value = row.get("domain", row.get("domain_labeled"))
    if value is None:
        return None
    return tuple(str(each) for each in _list(value) if str(each) != "-1")


def difficulty(row: Row) -> str | None:
    """Return the difficulty of an item or a review, None for none and where the row does not say."""
    value = _list(row.get("difficulty", row.get("difficulty_labeled")))
    return str(value[0]) if value and value[0] is not None and str(value[0]) != "-1" else None


def item_id(row: Row) -> int:
    """Return the id of an item or a review. Raises KeyError, TypeError or ValueError for none."""
    return int(row["idx"] if "idx" in row else row["question_id"])


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
