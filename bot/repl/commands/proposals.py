"""Commands that make another reply from the answers that are there."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from bot.errors import UsageError
from bot.messages import images_of
from bot.repl.command_syntax import parse_number
from bot.repl.commands.registry import command
from bot.repl.commands.replies import last_result
from bot.text.names import short_name, slot_names
from bot.text.sanitise import one_line

if TYPE_CHECKING:
    from bot.repl.chat_context import ChatContext
    from bot.turn_result import Call, TurnResult

_TAKEN = "Taken as the reply: the answer of "
_SHOWN = 60
"""Characters of an answer in a list."""


@command("take", arguments="[N]")
async def _take(chat: ChatContext, argument: str) -> None:
    """Make answer N the reply, with which the conversation goes on; without N, list them."""
    result = last_result(chat)
    answers = _answers(result)
    if not argument:
        names = slot_names([call.slot.agent for call in answers])
        rows = [
            (f"{n}  {name}", _beginning(call))
            for n, (name, call) in enumerate(zip(names, answers, strict=True), 1)
        ]
        chat.say_list(rows)
        return
    call = answers[parse_number(argument, len(answers), "answer") - 1]
    name = short_name(call.slot.agent.model)
    notices = (*(each for each in result.notices if not each.startswith(_TAKEN)), f"{_TAKEN}{name}.")
    taken = replace(
        result,
        status="done",
        reply=call.answer,
        reasoning=call.completion.reasoning if call.completion else "",
        model=call.slot.agent.model,
        failure=None,
        notices=notices,
    )
    images = images_of(chat.last_attachments())
    chat.session.take(chat.last_prompt(), taken, replace_reply=chat.answered, images=images)
    chat.result = taken
    chat.say(f"  {notices[-1]}")


@command("merge", arguments="N,M")
async def _merge(chat: ChatContext, argument: str) -> None:
    """Have the reply written again, from the answers with these numbers alone."""
    answers = _answers(last_result(chat))
    numbers = dict.fromkeys(re.findall(r"[^\s,]+", argument))
    chosen = [answers[parse_number(number, len(answers), "answer") - 1] for number in numbers]
    if len(chosen) < 2:  # noqa: PLR2004 - one answer is nothing to merge
        raise UsageError("Which answers? /merge N,M; /take lists them, and /take N makes one the reply.")
    mixture = chat.app.mixture({"mode": "moa"})
    await chat.ask(chat.last_prompt(), mixture=mixture, retry=chat.answered, references=chosen, again=True)


def _answers(result: TurnResult) -> list[Call]:
    """Return the answers that can be taken: those of the last round with any, else the drafts."""
    for calls in (*reversed(result.rounds), result.drafts):
        if answers := [call for call in calls if call.answer]:
            return answers
    raise UsageError("There are no answers to choose from.")


def _beginning(call: Call) -> str:
    text = one_line(" ".join(call.answer[: 4 * _SHOWN].split()))
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
