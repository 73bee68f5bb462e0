"""The guided set-up: what a user without a key sees at a terminal instead of an error.

    no key ─► menu ─┬─ a key for the default service ─► saved or not ─► preset
                    ├─ a key for another service ─► saved or not ─► a mixture of its models
                    ├─ a service found on this computer ─► a mixture of its models
                    └─ the demonstration models

Every question can be cancelled; then the program ends with the error that there is no key. Never in
a pipe, never with --quiet or --json. The result is a function that resolves settings; a key for
this session only is not written anywhere.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from bot.app.make_plan import make_plan
from bot.errors import KeyMissingError

if TYPE_CHECKING:
    from prompt_toolkit.input import Input
    from prompt_toolkit.output import Output

    from bot.app.resume import Resolve
    from bot.app.streams import Streams
    from bot.settings.settings import Settings


def run_guided_setup(
    settings: Settings,
    resolve: Resolve,
    streams: Streams,
    *,
    environ: Mapping[str, str] = os.environ,
    terminal_in: Input | None = None,
    terminal_out: Output | None = None,
) -> Resolve:
    """Return a function that resolves settings with a key: `resolve` itself when none is missing.

    KeyMissingError, which names the alternatives, when the user cancels.
    """
    if not needs_setup(settings, streams, environ):
        return resolve
    # Imports httpx and prompt_toolkit, which most starts do not need here.
    from bot.onboarding.questions import Questions  # noqa: PLC0415 - most chats begin without a set-up
    from bot.onboarding.setup_dialog import run_setup_dialog  # noqa: PLC0415 - most chats begin without a set-up

    return run_setup_dialog(settings, resolve, Questions(streams, terminal_in, terminal_out), environ)


def needs_setup(settings: Settings, streams: Streams, environ: Mapping[str, str]) -> bool:
    """Whether a user is at a terminal, and the key that the mixture needs is missing."""
    if not (streams.stdin_is_terminal and streams.stdout_is_terminal):
        return False
    if settings.quiet or settings.json or settings.demo:
        return False
    config = settings.endpoints[settings.default_endpoint]
    try:
        if not config.needs_key or config.key_source(environ):
            return False
    except KeyMissingError:
        return False  # there is a key, and something is wrong with it: the error will say what
    return any(agent.endpoint == config.name for agent in make_plan(settings).agents())
