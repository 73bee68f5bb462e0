"""AlpacaEval's official files (instructions, judge prompt, inputs of the fit), and published figures.

The hub's files have no published sha256. They are pinned by revision, and by digests of what they
say, so that the same data in another form passes too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from bot.eval.benchmark import Item
from bot.eval.official_data import OfficialData, OfficialFile

_HUB = (
    "https://huggingface.co/datasets/tatsu-lab/alpaca_eval/resolve/17853a40d13d6685f232795138d844a92b4089c6/"
)
REPOSITORY = (
    "https://raw.githubusercontent.com/tatsu-lab/alpaca_eval/1020da21d069684a5d21756c3d78873df4b7e8bc/"
)

BASELINE = "gpt4_1106_preview"
COUNT = 805

QUESTIONS = OfficialFile(
    "alpaca_eval.questions", _HUB, "alpaca_eval_gpt4_baseline.json", others=("recorded_answers.jsonl",)
)
DIFFICULTY = OfficialFile("alpaca_eval.difficulty", _HUB, "instruction_difficulty.csv")
GAMED = OfficialFile("alpaca_eval.gamed", _HUB, "df_gamed.csv", others=("df_gamed_surrogate.csv",))
PROMPT = OfficialFile(
    "alpaca_eval.prompt",
    REPOSITORY,
    "src/alpaca_eval/evaluators_configs/alpaca_eval_clf_gpt4_turbo/alpaca_eval_clf.txt",
    ("784227e6dc2832fc08c43d2c8ea3a308e7523780187a1aaad2f85e30bac85f62",),
    hint="the package alpaca_eval 0.6.6 holds it too",
)

_QUESTIONS_DIGEST = "8acb64a0e258c0896b46c2a15c084e192ba9372e5e5ff61584db7702b320f889"
_DIFFICULTY_DIGEST = "e2ff5aa83457c64c7a0104abf86f96f01f75263a3c66d8638322763aa6dc9e8b"


LEADERBOARD: dict[str, tuple[float, float]] = {
    "Together-MoA": (65.38, 59.87),
    "Together-MoA-Lite": (59.14, 56.59),
    "gpt-4o-2024-05-13": (57.46, 51.33),
    "gpt-4-turbo-2024-04-09": (55.02, 46.12),
    "Qwen1.5-110B-Chat": (43.91, 33.78),
    "Qwen1.5-72B-Chat": (36.57, 26.50),
    "Meta-Llama-3-70B-Instruct": (34.42, 33.18),
    "Mixtral-8x22B-Instruct-v0.1": (30.88, 22.21),
    "dbrx-instruct": (25.38, 18.45),
}
"""The AlpacaEval 2.0 leaderboard: length-controlled and raw win rate in per cent."""

PAPER: dict[str, tuple[float, ...]] = {
    "MoA with GPT-4o": (65.7,),
    "MoA": (65.1,),
    "MoA-Lite": (59.3,),
    "GPT-4 Omni": (57.5,),
    "GPT-4 Turbo": (55.0,),
}
"""The paper's table: length-controlled win rate in per cent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question(Item):
    """An instruction, its data set, the baseline's answer; its id is its place in the official order."""

    dataset: str
    baseline: str

    @property
    def instruction(self) -> str:
        """What is asked."""
        return self.turns[0]

    @property
    def stratum(self) -> str:
        """Its data set."""
        return self.dataset


@dataclass(frozen=True, slots=True)
class Comparison:
    """A judged answer as the fit sees it: its instruction's index and difficulty, y in 0 … 1, and d/std(d).

    d is the length of the baseline's answer less that of the judged one, in characters.
    """

    index: int
    preference: float
    length: float
    difficulty: float


def questions(data: OfficialData) -> list[Question]:
    """Return the official instructions in their order. Raises DataError."""
    rows = data.records(
        QUESTIONS,
        lambda row: (
            int(row.get("index", 0)),
            row["instruction"],
            row["dataset"],
            row["outputs"][BASELINE] if "outputs" in row else row["output"],
        ),
    )
    rows.sort(key=lambda row: row[0])
    found = [
        Question(id=str(index), turns=(instruction,), dataset=dataset, baseline=baseline)
        for index, (_, instruction, dataset, baseline) in enumerate(rows)
    ]
    if _digest([each.instruction, each.baseline] for each in found) != _QUESTIONS_DIGEST:
        data.reject(QUESTIONS, f"{QUESTIONS.name}: not the {COUNT} official instructions and answers")
    return found


def difficulties(data: OfficialData) -> dict[int, float]:
    """Return each instruction's difficulty by its index. Raises DataError."""
    # Written by pandas, the column of the index has no name.
    pairs = data.records(
        DIFFICULTY,
        lambda row: (int(row["index" if "index" in row else ""]), float(row["instruction_difficulty"])),
    )
    found = dict(pairs)
    if _digest([str(index), f"{found[index]:.6f}"] for index in sorted(found)) != _DIFFICULTY_DIGEST:
        data.reject(DIFFICULTY, f"{DIFFICULTY.name}: not the official difficulties")
    return found


def gamed(data: OfficialData) -> list[Comparison]:
    """Return the judgments of two baselines that play to their length. Raises DataError."""
    found = data.records(
        GAMED,
        lambda row: Comparison(
            index=int(row["index"]),
            preference=float(row["preference"]),
            length=float(row["std_delta_len"]),
            difficulty=float(row["instruction_difficulty"]),
        ),
    )
    if len(found) != 2 * COUNT:
        data.reject(GAMED, f"{GAMED.name}: {len(found)} rows instead of {2 * COUNT}")
    return found


def _digest(records: Iterable[Iterable[str]]) -> str:
    text = "\x1e".join("\x1f".join(record) for record in records)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
