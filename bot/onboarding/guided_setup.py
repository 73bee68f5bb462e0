"""The guided set-up: what a user without a key sees at a terminal instead of an error.

    no key ─► menu ─┬─ a key for the default service ─► saved or not ─► preset
                    ├─ a key for another service ─► saved or not ─► a mixture of its models
                    ├─ a service found on this computer ─► a mixture of its models
                    └─ the demonstration models

Every question can be cancelled. What was saved by then is kept, and the next start goes on from there;
the program ends, with the error that there is no key if one is still missing. Never in a pipe, never
with --quiet or --json. The result is a function that resolves settings; a key for this session only is
not written anywhere.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from bot.app.make_plan import make_plan
from bot.errors import KeyMissingError
from bot.settings.endpoints import endpoint_with_key

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

    When the user cancels, KeyMissingError, which names the alternatives; KeyboardInterrupt when by then
    no key is missing any more.
    """
    if not needs_setup(settings, streams, environ):
        return resolve
    service = missing_service(settings, environ)
    assert service is not None  # noqa: S101 - that is why the set-up is needed
    # Imports httpx and prompt_toolkit, which most starts do not need here.
    from bot.onboarding.questions import Questions, UserCancelledError  # noqa: PLC0415 - most chats begin without a set-up
    from bot.onboarding.setup_dialog import run_setup_dialog  # noqa: PLC0415 - most chats begin without a set-up

    questions = Questions(streams, terminal_in, terminal_out)
    try:
        return run_setup_dialog(settings, service, resolve, questions, environ)
    except UserCancelledError:
        settings = resolve({})
        service = missing_service(settings, environ)
        if service is None:
            streams.say("What you answered is kept.")
            raise KeyboardInterrupt from None
        endpoint_with_key(settings.endpoints[service], environ)
        raise


def needs_setup(settings: Settings, streams: Streams, environ: Mapping[str, str]) -> bool:
    """Whether a user is at a terminal, and the key that the mixture needs is missing."""
    if not (streams.stdin_is_terminal and streams.stdout_is_terminal):
        return False
    if settings.quiet or settings.json or settings.demo:
        return False
    return missing_service(settings, environ) is not None


def missing_service(settings: Settings, environ: Mapping[str, str]) -> str | None:
    """Return the first service of the mixture that needs a key and has none, the default endpoint first.

    None also when something is wrong with a key: the error will say what.
    """
    asked = {agent.endpoint for agent in make_plan(settings).agents()}
    try:
        for name in sorted(asked, key=lambda name: (name != settings.default_endpoint, name)):
            config = settings.endpoints[name]
            if config.needs_key and not config.key_source(environ):
                return name
    except KeyMissingError:
        pass
    return None
