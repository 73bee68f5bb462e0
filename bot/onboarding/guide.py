"""The guided set-up: what a person without a key sees first, at a terminal, instead of an error.

    no key ─► menu ─┬─ a key of the default service ─► kept or not ─► preset
                    ├─ another service's key ─► kept or not ─► a mixture of its models
                    ├─ a service found on this computer ─► a mixture of its models
                    └─ the demonstration programs

Every question can be left, which ends as it would without the set-up: no key, and the ways on.
Never in a pipe, never with --quiet or --json. It hands back a way to make settings; nothing of a
key that is only for this session is written anywhere.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from bot.app.make_plan import make_plan
from bot.errors import Failure, FailureKind, KeyMissingError, MoaError
from bot.settings.endpoints import KEYS_PAGES, TOGETHER, connect

if TYPE_CHECKING:
    from prompt_toolkit.input import Input
    from prompt_toolkit.output import Output

    from bot.app.app import Resolve
    from bot.app.streams import Streams
    from bot.client.model_list import ModelList
    from bot.local.chat_models import Choice
    from bot.local.discovery import LocalService
    from bot.onboarding.questions import Questions
    from bot.settings.endpoints import EndpointConfig
    from bot.settings.settings import Settings

TRIES = 3
_OTHER, _DEMO, _LOCAL = "another service", "demo", "local"


def guided(
    settings: Settings,
    again: Resolve,
    streams: Streams,
    *,
    environ: Mapping[str, str] = os.environ,
    terminal_in: Input | None = None,
    terminal_out: Output | None = None,
) -> Resolve:
    """Return a way to make settings that has its key: `again` itself where nothing is missing.

    KeyMissingError, which names the ways on, when the person leaves the set-up.
    """
    if not is_wanted(settings, streams, environ):
        return again
    from bot.onboarding.questions import Questions, Skipped

    questions = Questions(streams, terminal_in, terminal_out)
    try:
        return _Guide(settings, again, questions).run()
    except Skipped:
        connect(settings.endpoints[settings.default_endpoint], environ)
        raise


def is_wanted(settings: Settings, streams: Streams, environ: Mapping[str, str]) -> bool:
    """Whether a person is there, and the key of the default endpoint is not, though it is needed."""
    if not (streams.stdin_is_terminal and streams.stdout_is_terminal):
        return False
    if settings.quiet or settings.json or settings.demo:
        return False
    config = settings.endpoints[settings.default_endpoint]
    try:
        if not config.needs_key or config.key_place(environ):
            return False
    except KeyMissingError:
        return False  # there is one, and something is wrong with it: that is for the error to say
    return any(agent.endpoint == config.name for agent in make_plan(settings).agents())


class _Key(NamedTuple):
    """A key that a person gave: kept (`key` is None) or for this session only; and what it opens."""

    key: str | None
    model_list: ModelList | None


class _Guide:
    """One walk through the questions."""

    def __init__(self, settings: Settings, again: Resolve, questions: Questions) -> None:
        self._settings = settings
        self._again = again
        self._questions = questions
        self._say = questions.say

    def run(self) -> Resolve:
        """Ask, keep what is to be kept, and return a way to make settings."""
        import asyncio

        from bot.local.discovery import look

        home = self._settings.default_endpoint
        found = asyncio.run(look(self._settings.endpoints.values()))
        self._say(f"There is no key of {home} yet. Some ways to begin (Ctrl-D leaves):")
        while True:
            way = self._questions.choose("Which?", self._ways(home, found))
            if way == _DEMO:
                return self._with({"demo": True})
            if way in {home, _OTHER}:
                name = home if way == home else self._service(home)
                given = self._key(self._settings.endpoints[name])
                return self._after_key(name, given)
            service = next(service for service in found if service.endpoint.name == way)
            if resolve := self._local(service):
                return resolve

    def _ways(self, home: str, found: list[LocalService]) -> list[tuple[str, str]]:
        page = KEYS_PAGES.get(home)
        ways = [
            (home, f"paste a key of {home}" + (f"\n     from {page}" if page else "")),
            (_OTHER, "use another service, with its key"),
        ]
        for service in found:
            at, number = service.endpoint.base_url, len(service.model_list.models)
            ways.append(
                (service.endpoint.name, f"use {service.endpoint.name}, found at {at}, {number} models")
            )
        return [*ways, (_DEMO, "try it offline with demonstration programs (as --demo does)")]

    def _service(self, home: str) -> str:
        others = [
            name for name, config in self._settings.endpoints.items() if config.needs_key and name != home
        ]
        return self._questions.choose("Which service?", [(name, name) for name in others])

    def _key(self, config: EndpointConfig) -> _Key:
        from bot.onboarding.questions import Skipped
        from bot.settings.credentials import clean_key

        for _ in range(TRIES):
            text = self._questions.ask(f"Key of {config.name} (it is not shown):", secret=True)
            try:
                key = clean_key(text, "What was pasted")
            except KeyMissingError as error:
                self._say(f"{error.message} {error.hint}")
                continue
            if not key:
                raise Skipped
            answer = self._check(config, key)
            if isinstance(answer, Failure) and answer.kind is FailureKind.KEY_REFUSED:
                self._say(f"{config.name} does not accept this key: {answer.message}")
                continue
            if isinstance(answer, Failure):
                self._say(f"It could not be checked ({answer.kind}: {answer.message}); going on with it.")
                return _Key(self._keep(config, key), None)
            self._say(f"It works: {config.name} serves {len(answer.models):,} models.")
            return _Key(self._keep(config, key), answer)
        raise Skipped

    def _check(self, config: EndpointConfig, key: str) -> ModelList | Failure:
        import asyncio

        from bot.onboarding.services import list_at

        self._say("Checking it …")
        endpoint = connect(replace(config, key=key), {})
        return asyncio.run(list_at(self._settings, endpoint))

    def _keep(self, config: EndpointConfig, key: str) -> str | None:
        """Keep the key if that is wanted; returns it when it is for this session only."""
        from bot.settings.credentials import KeyFile

        keep, session = "keep", "session"
        choices = [
            (keep, "keep it, in the system keyring or in a file that only you can read"),
            (session, "use it for this session only"),
        ]
        if config.keys_file is None or self._questions.choose("Keep it?", choices, keep) == session:
            return key
        try:
            kept = KeyFile(config.keys_file).keep(config.name, key)
        except MoaError as error:
            self._say(f"It cannot be kept: {error.message}")
            return key
        if kept.note:
            self._say(f"The system keyring is not used: {kept.note}.")
        self._say(f"Kept in the {kept.where}; `moa-bot keys remove {config.name}` forgets it.")
        return None

    def _after_key(self, name: str, given: _Key) -> Resolve:
        from bot.local.chat_models import choose_mixture, usable

        session = {name: given.key} if given.key else {}
        if name == TOGETHER:
            return self._preset(session)
        if name == self._settings.default_endpoint:
            # A default of the user's own, and so a mixture of the user's own.
            return self._with({}, session)
        names = usable(given.model_list.models) if given.model_list else []
        choice = choose_mixture(self._questions, names)
        if session:
            return self._with(_as_options(name, choice), session)
        return self._save(name, name, choice, f"Models of {name}")

    def _preset(self, session: Mapping[str, str]) -> Resolve:
        """Have a preset chosen, unless one was chosen elsewhere."""
        from bot.settings.settings import Level

        elsewhere = {} if self._settings.default_endpoint == TOGETHER else {"endpoint": TOGETHER}
        if self._settings.sources["preset"].level is not Level.DEFAULTS:
            return self._with(elsewhere, session)
        self._say("Which mixture? `moa-bot presets` lists more.")
        names = ("default", "fast")
        choices = [(name, f"{name}: {self._settings.presets.get(name).description}") for name in names]
        name = self._questions.choose("Which?", choices, names[0])
        if name == names[0]:
            return self._with(elsewhere, session)
        if not session and self._write({("preset",): name}):
            return self._with(elsewhere)
        return self._with({**elsewhere, "preset": name}, session)

    def _local(self, service: LocalService) -> Resolve | None:
        """Have a mixture made of a local service's models; None when it has none that chat."""
        from bot.local.chat_models import choose_mixture, usable

        name = service.endpoint.name
        names = usable(service.model_list.models)
        if not names:
            self._say(f"{name} has no model yet that can chat; load one there first.")
            return None
        choice = choose_mixture(self._questions, names)
        return self._save(_LOCAL, name, choice, f"Models of {name} on this computer")

    def _save(self, preset: str, endpoint: str, choice: Choice, description: str) -> Resolve:
        """Save a mixture as a preset, the one in use from now on; only for this run if that fails."""
        table = choice.preset(endpoint, description)
        if not self._write({("presets", preset): table, ("preset",): preset}):
            return self._with(_as_options(endpoint, choice))
        self._say(f"It is the preset {preset} from now on.")
        # What the command line or the environment says of the preset would win over the file.
        return self._with({} if self._again({}).preset.name == preset else {"preset": preset})

    def _write(self, changes: Mapping[tuple[str, ...], object]) -> bool:
        from bot.settings.edit import change_config

        try:
            change_config(self._settings.config_file, changes)
        except MoaError as error:
            self._say(f"Not kept for the next time: {error.message}")
            return False
        return True

    def _with(self, options: Mapping[str, object], session: Mapping[str, str] | None = None) -> Resolve:
        """Return a way to make settings with these options, and with these keys for this session."""
        again, keys = self._again, dict(session or {})

        def resolve(changes: Mapping[str, object]) -> Settings:
            settings = again({**options, **changes})
            given = {name: replace(settings.endpoints[name], key=key) for name, key in keys.items()}
            return replace(settings, endpoints={**settings.endpoints, **given}) if given else settings

        return resolve


def _as_options(endpoint: str, choice: Choice) -> dict[str, object]:
    return {
        "aggregator": f"{endpoint}:{choice.aggregator}",
        "reference_models": [f"{endpoint}:{model}" for model in choice.references],
    }
