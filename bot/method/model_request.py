"""What one call sends: messages fitted to the model's context, parameters of the agent or the mixture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from bot.errors import Failure
from bot.events import Notice
from bot.messages import Endpoint, Message, Request
from bot.method import prompts
from bot.method.consult import required_fields
from bot.method.context import MESSAGE_TOKENS, Fitted, estimate_tokens, fit, fit_notices, image_tokens
from bot.method.tool_loop import ToolLoop
from bot.method.turn_context import Task, TurnContext
from bot.turn_result import Slot

SECOND_BUDGET = 0.75
"""Share of the context length that is aimed at once the estimate has proved too low."""
CHARACTERS_PER_TOKEN = 4
DELTA_INTERVAL = 0.05
"""Seconds: proposals are watched, not read, as they stream; 20 updates a second are enough."""
MIN_TEMPERATURE = 1e-4
"""A temperature below this is sent as 0."""


@dataclass(slots=True)
class ModelRequest:
    """Builds the requests of one call; the fields are the parameters of `bot.method.model_call.ModelCall`.

    `loop` has the tools that are offered, None for none; `tool_messages` are its messages in the request
    that was fitted last.
    """

    slot: Slot
    turn_context: TurnContext
    answers: Sequence[str]
    partial_reply: str
    comparison: str
    evidence: prompts.Evidence | None
    task: Task
    loop: ToolLoop | None = None
    tool_messages: tuple[Message, ...] = ()

    @property
    def writes(self) -> bool:
        """Whether the call writes the reply, or a draft of it."""
        return self.slot.role in {"aggregator", "draft"}

    @property
    def contributes(self) -> bool:
        """Whether the call is one of several that contribute to the reply."""
        return self.slot.role in {"reference", "review"}

    def max_tokens(self) -> int:
        """Return how many tokens the model may write."""
        plan, agent = self.turn_context.plan, self.slot.agent
        if agent.max_tokens is not None:
            return agent.max_tokens
        return plan.reference_max_tokens if self.contributes else plan.max_tokens

    def fit(self, context_length: int | None) -> Fitted:
        """Return what is sent, but for the messages about tools, cut to a context of so many tokens."""
        turn_context = self.turn_context
        # Only the model that is offered the tools can read messages about them as they are.
        read = tuple if self.writes else prompts.tools_as_text
        history = read(turn_context.history)
        asked = Message("user", turn_context.prompt, images=turn_context.images)
        if not turn_context.models.sees(self.slot.agent):
            history, asked = tuple(map(prompts.unseen, history)), prompts.unseen(asked)
        more_tokens = sum(estimate_tokens(text) + MESSAGE_TOKENS for text in self.task.correction or ())
        if self.loop is not None:
            self.tool_messages = self.loop.messages(context_length, self.max_tokens())
            more_tokens += self.loop.tokens(self.tool_messages)
        instruction = turn_context.plan.instruction
        if self.evidence:
            instruction = f"{instruction}\n\n{turn_context.plan.instructions.get('tools', '')}".strip()
        return fit(
            systems=(turn_context.plan.system, self.slot.agent.system),
            instruction=instruction,
            answers=self.answers,
            history=history,
            prompt=asked.content,
            images=asked.images,
            after=read(turn_context.after),
            max_tokens=self.max_tokens(),
            context_length=context_length,
            placement=turn_context.plan.placement,
            comparison=self.comparison,
            task=self.task.sentence,
            more_tokens=more_tokens,
            evidence=self.evidence,
        )

    def smaller_context(self, failure: Failure, context_length: int | None) -> int:
        """Return the context length, in tokens, to fit the second request into."""
        if failure.limit is not None:
            self.turn_context.models.learn_context_length(self.slot.agent, failure.limit)
        known = failure.limit or context_length
        if known is None:
            # The limit is unknown: aim below what has just been refused.
            refused = self.fit(None).messages
            characters = sum(len(message.content) for message in (*refused, *self.tool_messages))
            seen = sum(image_tokens(message.images) for message in refused)
            known = characters // CHARACTERS_PER_TOKEN + seen + self.max_tokens()
        return int(known * SECOND_BUDGET)

    def build(self, fitted: Fitted) -> Request:
        """Return the request that was fitted last."""
        plan, agent, models = self.turn_context.plan, self.slot.agent, self.turn_context.models
        temperature = plan.temperature if agent.temperature is None else agent.temperature
        writes = self.writes
        endpoint, messages = models.endpoint(agent.endpoint), fitted.messages
        # With answers in it, the system message is another one each time, and nothing after it can be cached.
        varies = plan.placement == "system" and self.answers
        if endpoint.wants_cache_mark(agent.model) and not varies:
            messages = prompts.mark_history(messages)
        if self.partial_reply:
            messages = prompts.continue_reply(messages, self.partial_reply)
        if self.task.correction:
            messages = prompts.correct_reply(messages, *self.task.correction)
        messages += self.tool_messages
        return Request(
            endpoint=endpoint,
            model=agent.model,
            messages=messages,
            temperature=0.0 if temperature < MIN_TEMPERATURE else temperature,
            max_tokens=fitted.max_tokens,
            seed=None if plan.seed is None else plan.seed + self.slot.index,
            extra=_joined_fields(
                models.request_fields(agent),
                plan.reply_fields if writes else {},
                self.loop.fields if self.loop else {},
                self.task.fields,
            ),
            timeout=plan.timeout,
            delta_interval=0.0 if writes else DELTA_INTERVAL,
            retry_partial=not writes,
            cache_key=self._cache_key(endpoint),
            required=required_fields(self.slot),
        )

    def _cache_key(self, endpoint: Endpoint) -> str:
        """Return the key of the conversation, "" for a service that takes none: a prompt can be long."""
        if not (endpoint.cache_key_field or endpoint.cache_key_header):
            return ""
        context = self.turn_context
        return prompts.cache_key(context.plan.system, context.history, context.prompt, self.slot.agent.model)

    def notices(self, fitted: Fitted) -> list[Notice]:
        """Return what had to be cut for this model, as a notice that is given once."""
        name, prompt = self.slot.agent.model, self.turn_context.prompt
        key = f"{name}: {bool(fitted.dropped)}{bool(fitted.shortened)}{fitted.tightened}"
        # A prompt that is too long is said each time.
        key += f"{hash(prompt)}" if fitted.excess else ""
        return [Notice(line) for line in fit_notices(name, fitted)] if self.turn_context.is_new(key) else []


def _joined_fields(*fields: Mapping[str, object]) -> dict[str, object]:
    """Return the fields of all; the tools of several are offered together, else the last one's counts."""
    tools = [tool for each in fields for tool in cast("list[object]", each.get("tools", ()))]
    joined = {name: value for each in fields for name, value in each.items()}
    return {**joined, "tools": tools} if tools else joined
