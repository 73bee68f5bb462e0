"""A batch, from its options to its exit code: read, estimate, resume, answer, write."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from bot.app.make_plan import make_plan
from bot.batch.answers import line_of, write_answers
from bot.batch.batch import Batch, Done, Options
from bot.batch.estimate import Estimate, estimate
from bot.batch.rows import PromptRow
from bot.bulk.answering import converse, samples
from bot.bulk.progress import cost_text
from bot.bulk.runner import Outcome, Runner, describe
from bot.errors import ExitCode

if TYPE_CHECKING:
    from bot.app.streams import Streams
    from bot.settings.settings import Settings


async def run_batch(settings: Settings, streams: Streams, options: Options) -> ExitCode:
    """Answer all rows; returns 1 when more than `max_errors` have no reply, 130 when interrupted."""
    batch = Batch(settings, streams, options)
    if options.dry_run:
        found = _estimate(batch, settings)
        print(found.text(), file=streams.stdout)
        return ExitCode.DONE
    async with AsyncExitStack() as stack:
        await batch.open(stack)
        if not settings.quiet:
            streams.say(f"moa-bot: {_estimate(batch, batch.settings).text()}")
        engine: Callable[[Batch, int], Awaitable[Outcome]] = _local
        if options.engine == "ray":
            from bot.batch import ray_runner

            engine = ray_runner.run
        pending = sum(1 for _ in batch.pending())
        if not settings.quiet and pending < len(batch.rows):
            streams.say(f"moa-bot: {len(batch.rows) - pending:,} are answered already.")
        outcome = await engine(batch, pending)
        write_answers(batch.answers, batch.out)
        return _finish(batch, outcome)


async def _local(batch: Batch, pending: int) -> Outcome:
    """Answer the rows that are open, on this machine."""
    numbers = samples(row.turns for row in batch.rows)
    models = batch.app.models

    async def work(place: int, row: PromptRow) -> Done:
        ask = batch.cached_client.of(place, numbers[row.index])
        return Done(*await converse(str(row.index), row.turns, batch.plan, ask, models))

    def done(place: int, row: PromptRow, result: Done) -> None:  # noqa: ARG001 - the runner's signature
        batch.answers.add(row, line_of(row, result.answer, result.result))

    runner = Runner(work, batch.cached_client, batch.progress, at_once=batch.options.concurrency, done=done)
    return await runner.run("batch", batch.pending(), pending)


def _estimate(batch: Batch, settings: Settings) -> Estimate:
    catalogue = settings.catalogue
    return estimate(
        batch.rows,
        make_plan(settings),
        lambda agent, usage: catalogue.cost(agent.model, usage, agent.endpoint),
    )


def _finish(batch: Batch, outcome: Outcome) -> ExitCode:
    """Say how it ended."""
    missing = sum(1 for _ in batch.pending())
    tally = batch.cached_client.tally
    say = batch.streams.say
    again = "The same command goes on from here."
    if outcome.interrupted:
        say(f"moa-bot: interrupted, {missing:,} rows are open. {again}")
    elif outcome.error is not None:
        say(f"moa-bot: {outcome.error.message}")
        for line in (outcome.error.hint, f"{missing:,} rows are open. {again}"):
            if line:
                say(f"  {line}")
    elif missing:
        why = describe(tally)
        say(f"moa-bot: {missing:,} rows have no reply{f' ({why})' if why else ''}. {again}")
    if not batch.settings.quiet:
        say(f"moa-bot: {batch.out}, {cost_text(tally)}")
    return outcome.code(missing, batch.options.max_errors)
