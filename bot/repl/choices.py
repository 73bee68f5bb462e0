"""The lists from which a conversation or a model is chosen: names, and what is said of each."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from prompt_toolkit.utils import is_dumb_terminal

from bot.errors import UsageError
from bot.method.plan import Plan
from bot.repl.picker import Picker
from bot.settings import paths
from bot.settings.options import CHOOSE
from bot.store import Store
from bot.text.dates import local_time
from bot.text.numbers import compact, plural

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bot.settings.settings import Settings

WHICH_MODEL = "Which model writes the reply?"
_CONVERSATIONS = 500
"""The latest that can be chosen; older ones by their ID."""


def conversation_choices(store: Store) -> list[tuple[str, str]]:
    """Return the latest conversations by their IDs."""
    choices = []
    for row in store.list_conversations(_CONVERSATIONS):
        facts = f"{local_time(row.conversation.updated)}  {plural(row.turns, 'turn'):>8}"
        choices.append((row.conversation.id, f"{facts}  {row.conversation.title}"))
    return choices


def which_conversation(choices: Sequence[tuple[str, str]]) -> str:
    """Return the question above a list of conversations, which says where it is not of all."""
    if len(choices) < _CONVERSATIONS:
        return "Which conversation?"
    return f"Which of the latest {_CONVERSATIONS} conversations?"


def choose_conversation() -> str | None:
    """Have the user choose one of the kept conversations on the process's terminal.

    Returns its ID, None when the user leaves the list; `CHOOSE` on a terminal that cannot show one.
    Raises UsageError when there are none, StoreError when the store cannot be read.
    """
    if is_dumb_terminal():
        return CHOOSE
    with Store.open(paths.store_file()) as store:
        choices = conversation_choices(store)
    if not choices:
        raise UsageError("There is no conversation to continue yet.")
    return asyncio.run(Picker(which_conversation(choices), choices).choose())


def model_choices(settings: Settings, plan: Plan) -> list[tuple[str, str]]:
    """Return the models of the mixture, then those on this computer or of the catalogue.

    Of the latter context and prices are said, in tokens and in dollars per million tokens.
    """
    aggregator = plan.aggregator
    mixture = {f"{agent.endpoint}:{agent.model}": "in this mixture" for agent in plan.agents()}
    mixture[f"{aggregator.endpoint}:{aggregator.model}"] = "writes the reply now"
    known = dict.fromkeys(settings.local_models, "on this computer") if settings.local else {}
    catalogue = settings.catalogue
    for model in () if settings.local else catalogue.models:
        facts = catalogue.facts(model)
        if facts is None or facts.status == "retired" or any(name.endswith(f":{model}") for name in mixture):
            continue
        parts = [compact(facts.context) if facts.context else "", facts.status or ""]
        if facts.output_price is not None:
            parts.insert(1, f"${facts.input_price or 0:g} in, ${facts.output_price:g} out /M")
        known[model] = " · ".join(filter(None, parts))
    return list((mixture | known).items())
