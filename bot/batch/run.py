"""A batch, from its options to its exit code: read, estimate, resume, answer, write."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from bot.app.known_models import KnownModels
from bot.app.make_plan import make_plan
from bot.batch.answers import line_of, write_answers
from bot.batch.batch import Batch, BatchOptions, check_engine, open_batch, open_rows
from bot.bulk.answering import answer_item, sample_numbers
from bot.bulk.estimate import estimate
from bot.bulk.progress import cost_text
from bot.bulk.rows import PromptRow
from bot.bulk.runner import Runner, RunResult
from bot.errors import ExitCode
from bot.text.numbers import plural

if TYPE_CHECKING:
    from bot.app.streams import Streams
    from bot.settings.settings import Settings


async def run_batch(settings: Settings, streams: Streams, options: BatchOptions) -> ExitCode:
    """Answer all rows; returns 1 when more than `max_errors` have no reply, 130 when interrupted."""
    rows = open_rows(options)
    check_engine(options, make_plan(settings))
    if options.dry_run:
        print(estimate(rows, make_plan(settings), KnownModels(settings).cost), file=streams.stdout)
        return ExitCode.DONE
    async with AsyncExitStack() as stack:
        batch = await open_batch(stack, settings, streams, options, rows)
        pending = sum(1 for _ in batch.pending())
        if not settings.quiet:
            streams.say(f"moa-bot: {estimate(rows, batch.plan, batch.app.models.cost)}")
            if pending < len(rows):
                streams.say(f"moa-bot: {len(rows) - pending:,} are answered already.")
        if options.engine == "ray" and pending:
            from bot.batch.ray_runner import run_on_ray  # noqa: PLC0415 - needs an extra

            result = await run_on_ray(batch, pending)
        else:
            result = await _run_here(batch, pending)
        write_answers(batch.answers, rows, options.answers_file())
        missing = sum(1 for _ in batch.pending())
        result.say_end(
            streams.say,
            f"{plural(missing, 'row')} without a reply" if missing else "",
            batch.client.stats,
        )
        if not settings.quiet:
            streams.say(f"moa-bot: {options.answers_file()}, {cost_text(batch.client.stats)}")
        return result.exit_code(missing, options.max_errors)


async def _run_here(batch: Batch, pending: int) -> RunResult:
    """Answer the pending rows on this machine."""
    samples = sample_numbers(row.turns for row in batch.rows)

    async def work(index: int, row: PromptRow) -> bool:
        ask = batch.client.for_item(index, samples[row.index])
        plan = row.plan_for(batch.plan)
        answer, result = await answer_item(
            str(row.index),
            row.turns,
            plan,
            ask,
            batch.app.models,
            before=row.history,
            tools=batch.app.permitted,
        )
        batch.answers.add(row, line_of(row, answer, result))
        return not answer.failed

    runner = Runner(batch.client, batch.progress, at_once=batch.options.concurrency)
    return await runner.run("batch", batch.pending(), work, pending)
