"""The trial judgment: one call to a judge before any answer is paid for.

It shows whether the judge's name and key are right, its price known, its parameters accepted, its words
readable; and whether it sends log probabilities, where a benchmark reads these.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bot.errors import Failure, FailureKind, MoaError, TurnFailedError
from bot.messages import Completion, Request, Usage
from bot.text.sanitise import one_line

if TYPE_CHECKING:
    from bot.app.known_models import KnownModels
    from bot.bulk.cached_client import CachedClient
    from bot.eval.benchmark import Benchmark, JudgeRequest
    from bot.eval.judges import JudgeBy
    from bot.messages import Agent, Message

TRIAL_ANSWER = "I do not know."
"""The answer that is judged: without a mixture there is none yet."""
TOGETHER = "together"
REFUSALS = frozenset({FailureKind.REFUSED, FailureKind.CONTENT_FILTER, FailureKind.CONTEXT_LENGTH})
"""Failures of a judgment that say nothing of others."""
_OF_THE_FORM = frozenset({FailureKind.BAD_REQUEST, FailureKind.EMPTY, FailureKind.OUT_OF_TOKENS})
"""Failures of a request for one token with log probabilities that one for text may not meet."""
_SHOWN = 200


def judge_request(
    agent: Agent,
    question: JudgeRequest,
    models: KnownModels,
    timeout: float,
    messages: tuple[Message, ...] = (),
) -> Request:
    """Return the call that puts a benchmark's question to a judge; `messages` in the place of its own.

    Raises KeyMissingError where the service's key is missing.
    """
    endpoint = models.endpoint(agent.endpoint)
    extra: dict[str, object] = dict(models.request_fields(agent))
    if question.top_logprobs and endpoint.name == TOGETHER:
        extra["logprobs"] = question.top_logprobs
    elif question.top_logprobs:
        extra |= {"logprobs": True, "top_logprobs": question.top_logprobs}
    return Request(
        endpoint=endpoint,
        model=agent.model,
        messages=messages or question.messages,
        temperature=question.temperature if agent.temperature is None else agent.temperature,
        max_tokens=agent.max_tokens or question.max_tokens,
        extra=extra,
        timeout=timeout,
    )


@dataclass(frozen=True, slots=True)
class Trial:
    """What trial judgments are made with; `say` is given what is to be known before the run begins."""

    benchmark: Benchmark[Any]
    models: KnownModels
    client: CachedClient
    say: Callable[[str], None]
    timeout: float

    async def run(self, agent: Agent, by: JudgeBy) -> bool:
        """Have a judge make one judgment; returns whether its preference is to be read from its words.

        Raises KeyMissingError without a key, TurnFailedError when the judge cannot be asked, MoaError when
        --judge_by wants log probabilities that it does not send or, with a budget, when its price is
        unknown. A judgment that cannot be read is reported only.
        """
        by_text = by == "text"
        outcome, problem = await self._judge(agent, by_text=by_text)
        of_form = not isinstance(outcome, Failure) or outcome.kind in _OF_THE_FORM
        if problem and of_form and self.benchmark.reads_logprobs and not by_text:
            if by == "logprobs":
                raise MoaError(f"{agent.model}: {problem}", hint="With --judge_by text its words are read.")
            self.say(
                f"{agent.model} cannot judge by log probabilities ({problem}); its words are read instead,"
                " with the answers in both orders: two calls for each judgment"
            )
            by_text = True
            outcome, problem = await self._judge(agent, by_text=True)
        if isinstance(outcome, Failure) and outcome.kind not in REFUSALS:
            raise TurnFailedError(outcome)
        if problem:
            self.say(f"the trial judgment of {agent.model} cannot be read: {problem}")
        if self.models.cost(agent, Usage(1, 1)) is None:
            self.say(f"the price of {agent.model} is not known: what judging costs is not counted")
        return by_text

    async def _judge(self, agent: Agent, *, by_text: bool) -> tuple[Completion | Failure, str]:
        """Return the outcome, and why it is no judgment, "" when it is one."""
        [item] = self.benchmark.items(1)
        answers = (TRIAL_ANSWER,) * len(item.turns)
        question = self.benchmark.judge_requests(item, answers, "trial", by_text=by_text)[0]
        request = judge_request(agent, question, self.models, self.timeout)
        outcome = await self.client.complete(request, 0)
        if isinstance(outcome, Failure):
            return outcome, outcome.describe()
        second = outcome if question.reversed_messages else None
        judgment = self.benchmark.judgment(question, outcome, agent.model, second)
        if judgment.score is not None:
            return outcome, ""
        return outcome, f"{judgment.reason}: {one_line(outcome.text)[:_SHOWN]}"
