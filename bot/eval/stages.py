"""The stage `generate` of an evaluation, resumable by its journal; `judge` and `score` are in `judging`.

    generate   items ─► the mixture, as in a chat ─► results.jsonl, proposals.jsonl, the official answers file

What a benchmark asks is the benchmark's; running is the runner's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from bot.bulk.answering import ItemAnswer, answer_item, sample_numbers
from bot.bulk.files import write_rows
from bot.bulk.runner import Runner, RunResult
from bot.eval.benchmark import Item
from bot.eval.eval_context import EvalContext, Variant
from bot.eval.official_data import read_rows
from bot.eval.proposals import Turn, read_by_last_layer, read_turns, write_turns
from bot.turn_result import TurnResult

RESULTS = "results.jsonl"


async def generate(context: EvalContext, variant: Variant) -> tuple[RunResult, int]:
    """Have every item answered; returns how that ended, and how many items have no answer.

    Writes the results, the proposals and the official answers file, also when only a part is answered.
    Answers that the folder has to other items are kept.
    """
    kept = {key: answer for key, answer in earlier_answers(variant.folder).items() if not answer.failed}
    answers: dict[str, ItemAnswer] = {}
    turns: dict[str, list[Turn]] = {}
    samples = sample_numbers(item.turns for item in context.items)

    async def work(index: int, item: Item) -> bool:
        plan = context.plan_for(item, variant.plan)
        ask = context.generating.for_item(index, samples[index])
        results: list[TurnResult] = []
        answers[item.id], _ = await answer_item(
            item.id, item.turns, plan, ask, context.models, tools=context.tools, on_turn=results.append
        )
        turns[item.id] = [
            Turn(item.id, number, found.reply, tuple(read_by_last_layer(plan, prompt, found)))
            for number, (prompt, found) in enumerate(zip(item.turns, results, strict=False), start=1)
            if found.status == "done"
        ]
        return not answers[item.id].failed

    runner = Runner(context.generating, context.progress, at_once=context.options.concurrency)
    result = await runner.run(f"{variant.name}: answers", context.items, work, len(context.items))
    benchmark, every = context.benchmark, {**kept, **answers}
    for turn in read_turns(variant.folder):
        if turn.id in kept and turn.id not in answers:
            turns.setdefault(turn.id, []).append(turn)
    in_order = [(item, every[item.id]) for item in benchmark.items() if item.id in every]
    write_rows(variant.folder / RESULTS, (asdict(answer) for _, answer in in_order))
    write_turns(variant.folder, (turn for item, _ in in_order for turn in turns.get(item.id, ())))
    rows = [
        benchmark.answer_row(item, answer.turns, variant.name)
        for item, answer in in_order
        if not answer.failed
    ]
    write_rows(variant.folder / benchmark.answers_path(variant.name), rows)
    missing = sum(item.id not in every or every[item.id].failed for item in context.items)
    return result, missing


def earlier_answers(folder: Path) -> Mapping[str, ItemAnswer]:
    """Return the answers by item that a generate stage has written to a folder, {} when there are none."""
    file = folder / RESULTS
    rows = read_rows(file) if file.exists() else []
    return {answer.id: answer for answer in map(ItemAnswer.from_row, rows)}
