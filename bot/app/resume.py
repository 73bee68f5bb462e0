"""The options with which a stored conversation is continued."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from bot.errors import MoaError, UsageError
from bot.settings import paths
from bot.settings.endpoints import DEMO
from bot.settings.options import BY_NAME, CHOOSE, Group
from bot.settings.settings import Level
from bot.store import Store

if TYPE_CHECKING:
    from bot.settings.settings import Settings
    from bot.store import StoredConversation

Resolve = Callable[[Mapping[str, object]], "Settings"]
"""Returns the settings with some options changed, as if they were on the command line."""

_NEAR = (Level.COMMAND, Level.OUTER, Level.ENVIRONMENT)


def conversation_to_resume(store: Store, settings: Settings) -> StoredConversation:
    """Return the conversation that --continue or --resume names. UsageError when there is none."""
    if settings.resume == CHOOSE:
        raise UsageError(
            "Which conversation? Give the first letters of its ID: --resume ID",
            hint="`moa-bot history list` shows them; in a terminal, `moa-bot --resume` lets you choose.",
        )
    conversation = store.conversation(settings.resume) if settings.resume else store.latest()
    if conversation is None:
        raise UsageError("There is no conversation to continue yet.")
    return conversation


def resumed_options(conversation: StoredConversation, resolve: Resolve) -> dict[str, object]:
    """Return the options that a stored conversation had, where this run gives no others.

    Options on the command line and in the environment win over the stored ones; another preset given
    there, or --demo, wins over the whole stored mixture, and --local over the models that are not on
    this computer. What the preset gives anyway is left out, so
    that a preset's layers and its models' own values stay.
    """
    base = resolve({})
    stored = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in conversation.settings.items()
        if name in base.sources and value is not None
    }
    preset = stored.pop("preset", None)
    given = base.sources["preset"].level in _NEAR
    if (given and preset != base.preset.name) or (stored.get("endpoint") == DEMO and not base.demo):
        stored = {name: value for name, value in stored.items() if BY_NAME[name].group is Group.CONVERSATION}
    elif not given and preset != DEMO and preset in base.presets.names():
        base = resolve({"preset": preset})
    if base.local:
        stored = {name: value for name, value in stored.items() if _runs_here(name, value, resolve)}
    options: dict[str, object] = {}
    if base.sources["preset"].level in _NEAR and not given:
        options["preset"] = preset
    for name, value in stored.items():
        level = base.sources[name].level
        if level not in _NEAR and not (level is Level.PRESET and base.value(name) == value):
            options[name] = value
    return options | _system_option(conversation, base, own_preset=not given or preset == base.preset.name)


def _system_option(
    conversation: StoredConversation, base: Settings, *, own_preset: bool
) -> dict[str, object]:
    """Return the option for the conversation's system prompt, where this run gives none.

    `own_preset`: the mixture is the conversation's; another one's system prompt replaces it.
    """
    levels = {base.sources[name].level for name in ("system", "system_file")}
    if levels.intersection(_NEAR) or (not own_preset and Level.PRESET in levels):
        return {}
    stored = conversation.system or ""
    same = base.system_file is None and stored == (base.system or "").strip()
    return {} if same else {"system": stored}


def _runs_here(name: str, value: object, resolve: Resolve) -> bool:
    """Whether --local accepts a stored option: its models are on this computer."""
    try:
        resolve({name: value})
    except UsageError:
        return False
    return True


def settings_to_resume(settings: Settings, resolve: Resolve) -> Settings:
    """Return the settings as --continue or --resume will change them, before anything is opened.

    They are returned unchanged when that fails: the error is reported when the conversation is opened.
    """
    if not settings.save or not (settings.continue_ or settings.resume):
        return settings
    try:
        with Store.open(paths.store_file()) as store:
            return resolve(resumed_options(conversation_to_resume(store, settings), resolve))
    except MoaError:
        return settings
