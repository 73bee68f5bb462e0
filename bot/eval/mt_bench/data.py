"""MT-Bench's official files (questions, reference answers, judge prompts), and the paper's figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bot.eval.benchmark import Item
from bot.eval.official_data import OfficialData, OfficialFile

_REPOSITORY = "https://raw.githubusercontent.com/lm-sys/FastChat/0e6d3e4beaab66f4d3f93db72541a4abab8af28d/"
_FOLDER = "fastchat/llm_judge/data/"

QUESTIONS = OfficialFile(
    "mt_bench.questions",
    _REPOSITORY,
    _FOLDER + "mt_bench/question.jsonl",
    ("119565adbab82227089cefdb44c8d7e2cf04dc0a0ec233634c82e7d4e2a944f7",),
)
REFERENCES = OfficialFile(
    "mt_bench.references",
    _REPOSITORY,
    _FOLDER + "mt_bench/reference_answer/gpt-4.jsonl",
    ("f957a5bc977badb66885ec970e6cd08527845780313f0995764260e5777b9b3f",),
    others=("reference_answer-gpt-4.jsonl",),
)
PROMPTS = OfficialFile(
    "mt_bench.prompts",
    _REPOSITORY,
    _FOLDER + "judge_prompts.jsonl",
    ("fd283293406d024f44c174b094ef48031d0687a4682fd3a56b29b138f80281b6",),
)

FIRST_ID = 81
CATEGORIES = ("writing", "roleplay", "reasoning", "math", "coding", "extraction", "stem", "humanities")
"""In the order of the questions' ids, ten each."""

COUNT = 160
"""Judgments of one model: 80 questions, two turns each."""

TEMPERATURES = {
    "writing": 0.7,
    "roleplay": 0.7,
    "extraction": 0.0,
    "math": 0.0,
    "coding": 0.0,
    "reasoning": 0.0,
    "stem": 0.1,
    "humanities": 0.1,
}
MAX_TOKENS = 1024
WITH_REFERENCE = frozenset({"math", "reasoning", "coding"})


PAPER: dict[str, tuple[float, ...]] = {
    "MoA with GPT-4o": (9.40,),
    "GPT-4 Turbo": (9.31,),
    "MoA": (9.25,),
    "GPT-4 Omni": (9.19,),
}
"""The paper's table: average score, 1 to 10."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question(Item):
    """A question of two turns with its category."""

    category: str

    @property
    def stratum(self) -> str:
        """Its category."""
        return self.category


@dataclass(frozen=True, slots=True)
class Prompt:
    """A judge prompt: its name, the system message, the template of the user's message."""

    name: str
    system: str
    template: str


def category(question_id: int) -> str | None:
    """Return the category of an official question, None for an id that is none."""
    place = (question_id - FIRST_ID) // 10
    return CATEGORIES[place] if 0 <= place < len(CATEGORIES) else None


def questions(data: OfficialData) -> list[Question]:
    """Return the questions in their order. Raises DataError."""
    return data.records(
        QUESTIONS,
        lambda row: Question(
            id=str(int(row["question_id"])),
            turns=tuple(row["turns"]),
            temperature=TEMPERATURES.get(row["category"]),
            max_tokens=MAX_TOKENS,
            category=row["category"],
        ),
    )


def references(data: OfficialData) -> Mapping[int, tuple[str, ...]]:
    """Return GPT-4's answers to both turns by question id, where there are any. Raises DataError."""
    return dict(
        data.records(REFERENCES, lambda row: (int(row["question_id"]), tuple(row["choices"][0]["turns"])))
    )


def prompts(data: OfficialData) -> Mapping[str, Prompt]:
    """Return the judge prompts by name. Raises DataError."""
    found = data.records(
        PROMPTS, lambda row: Prompt(row["name"], row["system_prompt"], row["prompt_template"])
    )
    return {prompt.name: prompt for prompt in found}
