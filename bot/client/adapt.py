"""Learns from refusals: what a model does not accept is left out of its requests from then on.

    Retrier ─► RequestAdapter ─► pool
                     └─ refused (a field, the system role, repeated roles): asked again at once without
                        it; remembered once that worked, and reported once with the setting for it

It stands in the main process, so that what one worker was told holds for all of them.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from itertools import groupby

from bot.client.refusals import ALTERNATING_ROLES, LENGTHS, SYSTEM_ROLE
from bot.errors import Failure, FailureKind
from bot.messages import (
    Adapted,
    Ask,
    CallUpdate,
    Completion,
    Delta,
    Endpoint,
    Message,
    RateLimitHint,
    Request,
)


@dataclass(frozen=True, slots=True)
class Adaptation:
    """How requests to one model differ from those to others at its service.

    `rejects` are fields of the body that are left out, `max_tokens_field` replaces the service's (None:
    as it is). Without `system_role`, system messages go into the first user message; with
    `alternate_roles`, consecutive messages of one role are merged.
    """

    rejects: tuple[str, ...] = ()
    max_tokens_field: str | None = None
    system_role: bool = True
    alternate_roles: bool = False

    def apply(self, request: Request) -> Request:
        """Return the request as this model accepts it."""
        endpoint, messages = request.endpoint, request.messages
        more = tuple(name for name in self.rejects if name not in endpoint.rejects)
        field = self.max_tokens_field or endpoint.max_tokens_field
        if more or field != endpoint.max_tokens_field:
            endpoint = replace(endpoint, rejects=(*endpoint.rejects, *more), max_tokens_field=field)
        if not self.system_role:
            messages = _without_system_role(messages)
        if self.alternate_roles:
            messages = _merged(messages)
        return replace(request, endpoint=endpoint, messages=messages)

    def without(self, refused: str, request: Request) -> Adaptation:
        """Return the adaptation that also leaves out what was `refused` (see `refusals.find_refusal`)."""
        if refused == SYSTEM_ROLE:
            return replace(self, system_role=False)
        if refused == ALTERNATING_ROLES:
            merging = replace(self, alternate_roles=True)
            helps = merging.apply(request).messages != self.apply(request).messages
            # Some chat templates say this of a system message, too.
            return merging if helps else replace(merging, system_role=False)
        if refused in LENGTHS and self.max_tokens_field is None:
            return replace(self, max_tokens_field=LENGTHS[1 - LENGTHS.index(refused)])
        names = ("logprobs", "top_logprobs") if refused == "logprobs" else (refused,)
        return replace(self, rejects=tuple(sorted({*self.rejects, *names})))

    def union(self, other: Adaptation) -> Adaptation:
        """Return both adaptations as one."""
        return Adaptation(
            tuple(sorted({*self.rejects, *other.rejects})),
            other.max_tokens_field or self.max_tokens_field,
            self.system_role and other.system_role,
            self.alternate_roles or other.alternate_roles,
        )

    def describe(self, model: str, before: Adaptation, endpoint: Endpoint) -> str:
        """Return the sentences that say what is different from `before`, and how to make it permanent."""
        what, settings = [], []
        if left_out := [name for name in self.rejects if name not in before.rejects]:
            what.append(f"without {' and '.join(left_out)}")
            settings.append(f"rejects = {json.dumps(self.rejects)}")
        if self.max_tokens_field and self.max_tokens_field != before.max_tokens_field:
            if self.max_tokens_field not in self.rejects:
                what.append(f"with {self.max_tokens_field} instead of {endpoint.max_tokens_field}")
            settings.append(f'max_tokens_field = "{self.max_tokens_field}"')
        if before.system_role and not self.system_role:
            what.append("with the system prompt in the first user message")
            settings.append("system_role = false")
        if self.alternate_roles and not before.alternate_roles:
            what.append("with consecutive messages of one role merged")
            settings.append("alternate_roles = true")
        table = f"[models.{json.dumps(model, ensure_ascii=False)}]"
        return (
            f"{model} is asked {' and '.join(what)} from now on, because {endpoint.name} refused the request."
            f" To make this permanent, write in config.toml: {table} {', '.join(settings)}"
        )


_ACCEPTED = (Delta, Completion, RateLimitHint)
"""What comes only once the service has accepted a request."""

Configured = Callable[[str, str], Adaptation]
"""Returns what is configured for a model: the service's name, the model's."""


class RequestAdapter:
    """Wraps a way to ask. What is `configured` is applied to every request, then what was learned.

    `say` is given each sentence about something new; without it, that is an update `Adapted`.
    """

    def __init__(
        self,
        ask: Ask,
        configured: Configured = lambda _endpoint, _model: Adaptation(),
        say: Callable[[str], None] | None = None,
    ) -> None:
        self._ask, self._configured, self._say = ask, configured, say
        self._learned: dict[tuple[str, str], Adaptation] = {}

    async def __call__(self, request: Request) -> AsyncGenerator[CallUpdate, None]:
        """Make one call, without what is refused; the last update is a completion or a failure."""
        adaptation = self._known(request)
        left_out = {*adaptation.rejects, *request.endpoint.rejects}
        if refused_field := next((name for name in request.required if name in left_out), ""):
            message = f"it is asked without {refused_field}"
            yield Failure(FailureKind.BAD_REQUEST, message, request.model, refused=refused_field)
            return
        while True:
            sent, refused = adaptation.apply(request), None
            started = False
            async with aclosing(self._ask(sent)) as updates:
                async for update in updates:
                    if isinstance(update, Failure) and update.refused and not started:
                        refused = update
                        break
                    started = started or isinstance(update, Delta)
                    if isinstance(update, _ACCEPTED) and (said := self._learn(request, adaptation)):
                        yield Adapted(said)
                    yield update
            if refused is None:
                return
            adaptation = adaptation.without(refused.refused, request)
            if refused.refused in request.required or adaptation.apply(request) == sent:
                yield refused
                return

    def _known(self, request: Request) -> Adaptation:
        key = (request.endpoint.base_url, request.model)
        return self._learned.get(key) or self._configured(request.endpoint.name, request.model)

    def _learn(self, request: Request, adaptation: Adaptation) -> str:
        """Remember an adaptation that was accepted; returns what to say about it, "" for nothing new."""
        before = self._known(request)
        after = before.union(adaptation)
        if after == before:
            return ""
        self._learned[request.endpoint.base_url, request.model] = after
        said = after.describe(request.model, before, request.endpoint)
        if self._say is None:
            return said
        self._say(said)
        return ""


def _without_system_role(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """Return the messages with the system's texts in front of the first user message."""
    system = "\n\n".join(each.content for each in messages if each.role == "system")
    others = [each for each in messages if each.role != "system"]
    if not system:
        return tuple(others)
    first = next((index for index, each in enumerate(others) if each.role == "user"), None)
    if first is None:
        return (Message("user", system), *others)
    others[first] = replace(others[first], content=f"{system}\n\n{others[first].content}")
    return tuple(others)


def _merged(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """Return the messages with neighbours of one role as one message."""
    # A tool call and its result belong together by an id: these stay messages of their own.
    whole = enumerate(messages)
    groups = [
        tuple(message for _, message in group)
        for _, group in groupby(
            whole,
            lambda item: (item[1].role, item[0] if item[1].tool_calls or item[1].tool_call_id else None),
        )
    ]
    return tuple(
        replace(
            group[-1],
            content="\n\n".join(each.content for each in group),
            images=tuple(image for each in group for image in each.images),
        )
        for group in groups
    )
