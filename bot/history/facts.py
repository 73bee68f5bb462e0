"""What listings and exports say of a conversation, a turn and a call, each on one line.

Texts are as they were stored and have to be sanitised where they are shown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bot.settings.model_names import NONE
from bot.text.numbers import duration, money, plural
from bot.text.tool_calls import short_call
from bot.tool_use import ToolSource, stored_runs
from bot.turn_result import ALONE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from bot.store import StoredCall, StoredTurn
    from bot.store.rows import CallRole

CONSULTATION = "consultation"
"""What the aggregator's call before the rounds is named."""


def mixture(settings: Mapping[str, object]) -> str:
    """Write what the settings say of a mixture, "" where they say nothing."""
    parts = []
    if preset := settings.get("preset"):
        parts.append(f"preset {preset}")
    models, rounds = settings.get("reference_models"), settings.get("rounds")
    if rounds == 0 or models == [NONE]:
        parts.append("no reference models")
    else:
        if isinstance(models, (list, tuple)):
            parts.append(plural(len(models), "reference model"))
        if isinstance(rounds, int):
            parts.append(plural(rounds, "round"))
    if (mode := settings.get("mode")) and mode != "moa":
        parts.append(f"mode {mode}")
    if aggregator := settings.get("aggregator"):
        parts.append(f"aggregator {aggregator}")
    return " · ".join(parts)


def _ending(turn: StoredTurn) -> str:
    """Write how a turn ended, "" for one that is done."""
    match turn.status:
        case "done":
            return ""
        case "partial":
            return "the reply was cut off" + (f": {turn.error}" if turn.error else "")
        case "failed":
            return "failed" + (f": {turn.error}" if turn.error else "")
        case "undone":
            return "not part of the conversation: undone, or a retry in its place"
        case "interrupted":
            return "interrupted: the program ended before the reply was there"


def notes(turn: StoredTurn) -> list[str]:
    """Return what is to be known of a turn beside its texts: how it ended, and its notices."""
    return [note for note in (_ending(turn), *turn.notices) if note]


def turn_facts(turn: StoredTurn, calls: Iterable[StoredCall]) -> str:
    """Write who answered and what it took, as far as it is known; "" where nothing is."""
    calls = list(calls)
    references = [call for call in calls if call.role == "reference"]
    parts = []
    if references:
        answered = sum(call.status == "done" for call in references)
        rounds = len({call.round for call in references})
        parts.append(f"{answered} of {plural(len(references), 'reference')} in {plural(rounds, 'round')}")
    if reviews := [call for call in calls if call.role == "review"]:
        answered = sum(call.status == "done" for call in reviews)
        parts.append(f"{answered} of {plural(len(reviews), 'review')}")
    if turn.model:
        parts = [f"{parts[0]} → {turn.model}" if parts else turn.model]
    if turn.first_token is not None:
        parts.append(f"first word {duration(turn.first_token)}")
    if turn.seconds is not None:
        parts.append(duration(turn.seconds))
    if turn.prompt_tokens is not None and turn.completion_tokens is not None:
        parts.append(plural(turn.prompt_tokens + turn.completion_tokens, "token"))
    if turn.cost is not None:
        parts.append(money(turn.cost))
    return " · ".join(parts)


def call_facts(call: StoredCall) -> str:
    """Write a call's model, why it failed, and what it took."""
    parts = [call.model]
    if call.error:
        parts.append(call.error)
    if call.completion_tokens is not None:
        parts.append(plural(call.completion_tokens, "token"))
    if call.seconds is not None:
        parts.append(duration(call.seconds))
    if call.partial:
        parts.append(f"cut: {call.partial}")
    return " · ".join(parts)


def tool_facts(call: StoredCall) -> list[str]:
    """Write a line for each tool that ran for a call, or was to."""
    lines = []
    for run in stored_runs(call.tools):
        parts = [short_call(run.name, run.arguments, in_full=True), duration(run.seconds)]
        if run.sources:
            parts.append(plural(len(run.sources), "source"))
        lines.append(" · ".join([*parts, run.error] if run.error else parts))
    return lines


def source_line(number: int, source: ToolSource) -> str:
    """Write a source: "[2] title · address"."""
    return f"[{number}] " + " · ".join(filter(None, [source.title, source.url]))


def by_turn(calls: Iterable[StoredCall]) -> dict[int, list[StoredCall]]:
    """Group calls by their turns' numbers, each group in the order of rounds and slots."""
    groups: dict[int, list[StoredCall]] = {}
    for call in sorted(calls, key=lambda call: (call.turn, call.round, call.slot)):
        groups.setdefault(call.turn, []).append(call)
    return groups


def by_round(calls: Sequence[StoredCall], role: CallRole = "reference") -> dict[int, list[StoredCall]]:
    """Group the calls of one role in a turn, the reference calls if it is not given, by their rounds."""
    rounds: dict[int, list[StoredCall]] = {}
    for call in calls:
        if call.role == role:
            rounds.setdefault(call.round, []).append(call)
    return rounds


def contributions(calls: Sequence[StoredCall]) -> list[tuple[str, list[StoredCall]]]:
    """Return what the reply of a turn was made from: each round, draft and review with its calls.

    Before them stands the aggregator's call that consulted the panel, where it decided.
    """
    alone = [call for call in calls if call.round == ALONE and call.role == "aggregator" and not call.error]
    rounds = any(call.round > ALONE for call in calls)
    found = [(CONSULTATION, alone)] if alone and rounds else []
    found += [(f"round {number}", of_round) for number, of_round in by_round(calls).items()]
    drafts, reviews = by_round(calls, "draft"), by_round(calls, "review")
    names = {number: ("draft", nth) for nth, number in enumerate(drafts, start=1)}
    names |= {number: ("review", nth) for nth, number in enumerate(reviews, start=1)}
    for number in sorted(names):
        name, nth = names[number]
        found.append((f"{name} {nth}" if nth > 1 else name, (drafts | reviews)[number]))
    return found
