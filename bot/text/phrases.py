"""How numbers, names and failures are worded on the screen. Strings only; nothing is written here.

Whatever comes from a model or a service is sanitised here, and every phrase is one line.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from bot.errors import FailureKind
from bot.text.sanitise import sanitise

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bot.errors import Failure
    from bot.events import Call, RoundFinished, TurnResult
    from bot.messages import Agent

_MINUTE = 60
_CENTS = 1.0


def one_line(text: str) -> str:
    """Return `text` sanitised, on one line, without runs of blanks."""
    return " ".join(sanitise(text, newlines=False).split())


def short_name(model: str) -> str:
    """Return a model's name without the maker's: the part after the last slash."""
    return one_line(model.rstrip("/").rsplit("/", 1)[-1])


def slot_names(agents: Sequence[Agent]) -> list[str]:
    """Return a different short name for each slot.

    Models of the same name keep their maker's, then their endpoint's; a model that sits several
    times is counted: "GLM-5.3 ×1", "GLM-5.3 ×2".
    """
    models = {(agent.model, agent.endpoint) for agent in agents}
    short = Counter(short_name(model) for model, _ in models)
    full = Counter(model for model, _ in models)
    names = []
    for agent in agents:
        name = short_name(agent.model)
        if short[name] > 1:
            name = one_line(agent.model)
            if full[agent.model] > 1:
                name = one_line(f"{agent.model} @ {agent.endpoint}")
        names.append(name)
    total = Counter(names)
    seen: Counter[str] = Counter()
    for index, name in enumerate(names):
        seen[name] += 1
        if total[name] > 1:
            names[index] = f"{name} ×{seen[name]}"
    return names


def seconds(value: float) -> str:
    """Return "6.0 s", or "2 min 05 s" from a minute on."""
    if value < _MINUTE:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), _MINUTE)
    return f"{minutes} min {rest:02d} s"


def clock(value: float) -> str:
    """Return "6.0 s", or "2:05" from a minute on, for a narrow column."""
    if value < _MINUTE:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), _MINUTE)
    return f"{minutes}:{rest:02d}"


def wait(value: float) -> str:
    """Return whole seconds to wait, or tenths below one."""
    return f"{value:.0f} s" if value >= 1 else f"{value:.1f} s"


def money(dollars: float | None) -> str:
    """Return "$0.0183", "$3.20", or "cost unknown"."""
    if dollars is None:
        return "cost unknown"
    if dollars == 0:
        return "$0"
    smallest = 0.0001
    if dollars < smallest:
        return f"<${smallest}"
    return f"${dollars:.4f}" if dollars < _CENTS else f"${dollars:,.2f}"


def plural(count: int, noun: str) -> str:
    """Return "1 answer", "5 answers"."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def reason(failure: Failure) -> str:
    """Return a failure without its model: what happened, and what the user can do."""
    return one_line(str(replace(failure, model="")))


def left_out(name: str, failure: Failure) -> str:
    """Return "dbrx-instruct left out: rate limited", "dbrx-instruct not waited for"."""
    if failure.kind is FailureKind.CANCELLED and failure.message:
        return f"{name} {failure.message}"
    return f"{name} left out: {failure.kind}"


def fold(event: RoundFinished) -> tuple[str, list[str]]:
    """Return what a round came to, in one phrase, and one for each model that was left out."""
    names = slot_names([call.slot.agent for call in event.calls])
    failures = [
        left_out(name, call.failure)
        for name, call in zip(names, event.calls, strict=True)
        if call.failure is not None
    ]
    good = len(event.calls) - len(failures)
    head = f"round {event.round}   {good} of {len(event.calls)}   {seconds(event.seconds)}"
    done = [
        (call.completion.seconds, name)
        for name, call in zip(names, event.calls, strict=True)
        if call.completion
    ]
    if len(done) > 1:
        head += f"   slowest {max(done)[1]}"
    return head + ("" if event.used else "   not used"), failures


def summary(result: TurnResult, width: int = 1000) -> list[str]:
    """Return the line under a reply: models, times, tokens, cost, and what was not as it should be.

    It is broken between its parts where it is longer than `width`.
    """
    total = _total(result)
    parts = [
        _mixture(result),
        "" if result.first_token is None else f"first word {seconds(result.first_token)}",
        seconds(result.seconds),
        "tokens unknown" if total is None else plural(total, "token"),
        money(result.cost),
    ]
    calls = [call for round_ in result.rounds for call in round_]
    failed = sum(call.failure is not None for call in calls)
    if failed:
        parts.append(f"{failed} of {len(calls)} left out")
    lines = [""]
    for part in filter(None, [*parts, cut_off(result)]):
        joined = f"{lines[-1]} · {part}" if lines[-1] else part
        if len(joined) <= width or not lines[-1]:
            lines[-1] = joined
        else:
            lines.append(part)
    return lines


def turn_failure(result: TurnResult) -> str:
    """Return why a turn gave no reply."""
    if result.failure is None:
        return "the turn failed"
    return one_line(str(result.failure))


def cut_off(result: TurnResult) -> str:
    """Return why a reply is only a part, "" if it is whole."""
    if result.status != "partial":
        return ""
    completion = result.aggregator.completion if result.aggregator else None
    why = one_line(completion.partial) if completion else ""
    return f"partial: {why}" if why else "partial"


def call_failure(call: Call) -> str:
    """Return "round 1: dbrx-instruct left out: rate limited: HTTP 429: …", all that is known."""
    if call.failure is None:
        return ""
    name = short_name(call.slot.agent.model)
    return f"round {call.slot.round}: {name} left out: {reason(call.failure)}"


def _mixture(result: TurnResult) -> str:
    aggregator = short_name(result.model)
    if not result.rounds:
        return aggregator
    slots = result.rounds[-1]
    models = {call.slot.agent.model for call in slots}
    if len(models) == 1 and len(slots) > 1:
        who = f"{short_name(slots[0].slot.agent.model)} ×{len(slots)}"
    else:
        who = plural(len(slots), "model")
    times = f" × {len(result.rounds)}" if len(result.rounds) > 1 else ""
    return f"{who}{times} → {aggregator}"


def _total(result: TurnResult) -> int | None:
    prompt, completion = result.usage.prompt_tokens, result.usage.completion_tokens
    return None if prompt is None or completion is None else prompt + completion


_PLAIN = str.maketrans(dict(zip("✓▸∙✗…·×—", "+>.x~|x-", strict=True)) | {"→": "->"})


def spell(text: str, encoding: str) -> str:
    """Return `text` with signs that a terminal of that encoding can show."""
    try:
        text.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return text.translate(_PLAIN)
    return text


_SPACES = re.compile(r"\s+")


def add_words(tail: str, text: str, limit: int = 200) -> str:
    """Return the last `limit` characters of what a model wrote, on one line."""
    return _SPACES.sub(" ", tail + sanitise(text[-limit:], newlines=False))[-limit:]
