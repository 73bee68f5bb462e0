"""Conversations as JSON: what `--json` prints, and the exports that can be imported again.

The keys are the fields of the store's rows and stay as they are; times are UTC ISO-8601 text
with milliseconds, seconds and dollars numbers, null what is not known. A document:

    {"format": "moa-bot conversation", "version": 1,
     "id", "title", "created", "updated", "system", "settings",
     "turns": [{"number", "prompt", "reply", "status", …,
                "references": [[call, …] per round], "drafts": [call, …],
                "reviews": [[call, …] per draft], "judge_calls": [call, …],
                "aggregator_calls": [call, …], "shadow_calls": [call, …]}, …]}

Texts are as they were stored: an export is data, which has to be sanitised where it is shown.
"""

from __future__ import annotations

import json
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from bot.history.facts import by_round, by_turn
from bot.store.rows import format_time

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bot.store import Hit, StoredCall, StoredConversation, StoredTurn, Summary

FORMAT = "moa-bot conversation"
VERSION = 1

Json = dict[str, Any]


def list_json(rows: Iterable[Summary]) -> list[Json]:
    """Return what `history list --json` prints."""
    return [
        {
            "id": row.conversation.id,
            "title": row.conversation.title,
            "created": format_time(row.conversation.created),
            "updated": format_time(row.conversation.updated),
            "turns": row.turns,
            "cost": row.cost,
            "turns_of_unknown_cost": row.uncosted,
            "settings": dict(row.conversation.settings),
        }
        for row in rows
    ]


def search_json(hits: Iterable[Hit]) -> list[Json]:
    """Return what `history search --json` prints; `marks` are [start, end] in the snippet."""
    return [
        {
            "id": hit.conversation,
            "title": hit.title,
            "turn": hit.turn,
            "created": format_time(hit.created),
            "snippet": hit.snippet,
            "marks": [list(mark) for mark in hit.marks],
        }
        for hit in hits
    ]


def document_of(
    conversation: StoredConversation, turns: Iterable[StoredTurn], calls: Iterable[StoredCall]
) -> Json:
    """Return all of a conversation as one object (see the module's docstring)."""
    calls_by_turn = by_turn(calls)
    return {
        "format": FORMAT,
        "version": VERSION,
        "id": conversation.id,
        "title": conversation.title,
        "created": format_time(conversation.created),
        "updated": format_time(conversation.updated),
        "system": conversation.system,
        "settings": dict(conversation.settings),
        "turns": [_turn(turn, calls_by_turn.get(turn.number, [])) for turn in turns],
    }


def export_json(
    conversation: StoredConversation, turns: Iterable[StoredTurn], calls: Iterable[StoredCall]
) -> str:
    """Write a conversation as one indented document."""
    return json.dumps(document_of(conversation, turns, calls), ensure_ascii=False, indent=2) + "\n"


def export_jsonl(
    conversation: StoredConversation, turns: Iterable[StoredTurn], calls: Iterable[StoredCall]
) -> str:
    """Write a conversation as one object per turn and line; each names its conversation's id."""
    document = document_of(conversation, turns, calls)
    return "".join(
        json.dumps({"conversation_id": conversation.id, **turn}, ensure_ascii=False) + "\n"
        for turn in document["turns"]
    )


def _turn(turn: StoredTurn, calls: Sequence[StoredCall]) -> Json:
    values = {column.name: getattr(turn, column.name) for column in fields(turn)}
    del values["conversation"]
    return values | {
        "created": format_time(turn.created),
        "notices": list(turn.notices),
        "references": [[_call(call) for call in of_round] for of_round in by_round(calls).values()],
        "drafts": [_call(call) for call in calls if call.role == "draft"],
        "reviews": [[_call(call) for call in each] for each in by_round(calls, "review").values()],
        "aggregator_calls": [_call(call) for call in calls if call.role == "aggregator"],
        "judge_calls": [_call(call) for call in calls if call.role == "judge"],
        "shadow_calls": [_call(call) for call in calls if call.role == "shadow"],
    }


def _call(call: StoredCall) -> Json:
    values = {column.name: getattr(call, column.name) for column in fields(call)}
    del values["turn"]
    return values | {"tools": list(call.tools)}
