"""The questions of the guided set-up, and what follows from the answers."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from bot.app.make_plan import make_plan
from bot.client.model_list import ModelList
from bot.errors import Failure, FailureKind, KeyMissingError, MoaError
from bot.local.discovery import LocalService, find_services
from bot.local.local_preset import chat_models
from bot.onboarding.choose_models import Choice, choose_models
from bot.onboarding.questions import Questions, UserCancelledError
from bot.onboarding.services import list_models_at
from bot.settings.credentials import KeyFile, clean_key
from bot.settings.edit import change_config
from bot.settings.endpoints import KEYS_PAGES, TOGETHER, EndpointConfig, endpoint_with_key
from bot.settings.settings import Level, Settings
from bot.text.names import service_title
from bot.text.numbers import plural

if TYPE_CHECKING:
    from bot.app.resume import Resolve

TRIES = 3
_OTHER, _DEMO, _LOCAL = "another service", "demo", "local"


def run_setup_dialog(
    settings: Settings, service: str, resolve: Resolve, questions: Questions, environ: Mapping[str, str]
) -> Resolve:
    """Return a function that resolves settings with the answers; `service` is the one without a key.

    UserCancelledError when the user cancels; what was saved by then is kept.
    """
    return _SetupDialog(settings, service, resolve, questions, environ).run()


class _Key(NamedTuple):
    """A checked key: `key` is None when it was saved, else it is for this session only."""

    key: str | None
    model_list: ModelList | None


class _SetupDialog:
    """One pass through the questions."""

    def __init__(
        self,
        settings: Settings,
        service: str,
        resolve: Resolve,
        questions: Questions,
        environ: Mapping[str, str],
    ) -> None:
        self._settings = settings
        self._home = service
        self._environ = environ
        self._resolve = resolve
        self._questions = questions
        self._say = questions.say

    def run(self) -> Resolve:
        """Ask, save what is to be saved, and return a function that resolves settings."""
        home = self._home
        found = asyncio.run(find_services(self._settings.endpoints.values()))
        self._say(f"No {service_title(home)} API key yet. Ways to start (Ctrl-D quits):")
        while True:
            keyed = self._services_with_key()
            default = keyed[0] if keyed else ""
            choice = self._questions.choose("Which?", self._choices(home, keyed, found), default)
            if choice == _DEMO:
                return self._with({"demo": True})
            if choice in {home, _OTHER}:
                name = home if choice == home else self._choose_service(home)
                return self._after_key(name, self._ask_key(self._settings.endpoints[name]))
            if choice in keyed:
                return self._after_key(choice, self._known_key(self._settings.endpoints[choice]))
            service = next(service for service in found if service.endpoint.name == choice)
            if resolve := self._use_local(service):
                return resolve

    def _services_with_key(self) -> list[str]:
        """Return the services outside the mixture that have a key."""
        asked = {agent.endpoint for agent in make_plan(self._settings).agents()}
        names = []
        for name, config in self._settings.endpoints.items():
            with suppress(KeyMissingError):
                if name not in asked and config.needs_key and config.key_source(self._environ):
                    names.append(name)
        return names

    def _known_key(self, config: EndpointConfig) -> _Key:
        """Check a key that is there already; another one is asked for when it is refused."""
        found = config.find_key(self._environ)
        answer = self._check(config, found.key) if found else None
        if isinstance(answer, Failure) and answer.kind is FailureKind.KEY_REFUSED:
            self._say(f"{service_title(config.name)} does not accept its key: {answer.message}")
            return self._ask_key(config)
        return _Key(None, answer if isinstance(answer, ModelList) else None)

    def _choices(self, home: str, keyed: Sequence[str], found: list[LocalService]) -> list[tuple[str, str]]:
        page = KEYS_PAGES.get(home)
        choices = [
            *((name, f"use {service_title(name)}, which has a key") for name in keyed),
            (home, f"paste your {service_title(home)} API key" + (f"\n     from {page}" if page else "")),
            (_OTHER, "use another service, with its key"),
        ]
        for service in found:
            name, url = service.endpoint.name, service.endpoint.base_url
            choices.append(
                (name, f"use {name}, found at {url}, {plural(len(service.model_list.models), 'model')}")
            )
        return [*choices, (_DEMO, "try it offline with demonstration models (as --demo does)")]

    def _choose_service(self, home: str) -> str:
        others = [
            name for name, config in self._settings.endpoints.items() if config.needs_key and name != home
        ]
        return self._questions.choose("Which service?", [(name, name) for name in others])

    def _ask_key(self, config: EndpointConfig) -> _Key:
        for _ in range(TRIES):
            text = self._questions.ask(f"{service_title(config.name)} API key (not shown):", secret=True)
            try:
                key = clean_key(text, "The text")
            except KeyMissingError as error:
                self._say(f"{error.message} {error.hint}")
                continue
            if not key:
                raise UserCancelledError
            answer = self._check(config, key)
            if isinstance(answer, Failure) and answer.kind is FailureKind.KEY_REFUSED:
                self._say(f"{service_title(config.name)} does not accept this key: {answer.message}")
                continue
            if isinstance(answer, Failure):
                self._say(f"It could not be checked ({answer.kind}: {answer.message}); it is used anyway.")
                return _Key(self._save_key(config, key), None)
            self._say(f"It works: {config.name} serves {plural(len(answer.models), 'model')}.")
            return _Key(self._save_key(config, key), answer)
        raise UserCancelledError

    def _check(self, config: EndpointConfig, key: str) -> ModelList | Failure:
        self._say("Checking it …")
        endpoint = endpoint_with_key(replace(config, key=key), {})
        return asyncio.run(list_models_at(self._settings, endpoint))

    def _save_key(self, config: EndpointConfig, key: str) -> str | None:
        """Save the key if the user wants that; returns it when it is for this session only."""
        save, session = "save", "session"
        choices = [
            (save, "save it, in the system keyring or in a file that only you can read"),
            (session, "use it for this session only"),
        ]
        if config.keys_file is None or self._questions.choose("Save the key?", choices, save) == session:
            return key
        try:
            saved = KeyFile(config.keys_file).save(config.name, key)
        except MoaError as error:
            self._say(f"It cannot be saved: {error.message}")
            return key
        if saved.note:
            self._say(f"The system keyring is not used: {saved.note}.")
        self._say(f"Saved in the {saved.place}; `moa-bot keys remove {config.name}` deletes it.")
        return None

    def _after_key(self, name: str, checked: _Key) -> Resolve:
        session = {name: checked.key} if checked.key else {}
        if name == TOGETHER:
            return self._choose_preset(session)
        if name == self._home:
            # The user has named the service, and so has a mixture with it.
            return self._with({}, session)
        names = chat_models(checked.model_list.models) if checked.model_list else []
        choice = choose_models(self._questions, names, self._catalogued(name))
        if session:
            if choice.cancelled:
                raise UserCancelledError
            return self._with(choice.options(name), session)
        return self._save_preset(name, name, choice, f"Models of {name}")

    def _catalogued(self, endpoint: str) -> list[str]:
        """Return the models that the catalogue has of a service."""
        catalogue = self._settings.catalogue
        return [
            name
            for name in catalogue.models
            if (facts := catalogue.facts(name)) and facts.endpoint == endpoint and facts.status != "retired"
        ]

    def _choose_preset(self, session: Mapping[str, str]) -> Resolve:
        """Ask for a preset, unless the user has set one already."""
        endpoint = {} if self._settings.default_endpoint == TOGETHER else {"endpoint": TOGETHER}
        if self._settings.sources["preset"].level is not Level.DEFAULTS:
            return self._with(endpoint, session)
        self._say("Which mixture? `moa-bot presets` lists more.")
        names = ("default", "fast")
        choices = [(name, f"{name}: {self._settings.presets.get(name).description}") for name in names]
        name = self._questions.choose("Which?", choices, names[0])
        if name == names[0]:
            return self._with(endpoint, session)
        if not session and self._write({("preset",): name}):
            return self._with(endpoint)
        return self._with({**endpoint, "preset": name}, session)

    def _use_local(self, service: LocalService) -> Resolve | None:
        """Ask for a mixture of a local service's models; None when none of them can chat."""
        name = service.endpoint.name
        names = chat_models(service.model_list.models)
        if not names:
            self._say(f"{name} has no model yet that can chat; load one there first.")
            return None
        choice = choose_models(self._questions, names)
        return self._save_preset(_LOCAL, name, choice, f"Models of {name} on this computer")

    def _save_preset(self, preset: str, endpoint: str, choice: Choice, description: str) -> Resolve:
        """Save a mixture as the default preset; use it for this run only when it cannot be saved."""
        options = choice.options(endpoint)
        table = {"description": description, **options}
        written = self._write({("presets", preset): table, ("preset",): preset})
        if choice.cancelled:
            raise UserCancelledError
        if not written:
            return self._with(options)
        self._say(f"Saved as the preset {preset}, which is the default from now on.")
        # A preset on the command line or in the environment would win over the file.
        return self._with({} if self._resolve({}).preset.name == preset else {"preset": preset})

    def _write(self, changes: Mapping[tuple[str, ...], object]) -> bool:
        try:
            change_config(self._settings.config_file, changes)
        except MoaError as error:
            self._say(f"Not saved for the next start: {error.message}")
            return False
        return True

    def _with(self, options: Mapping[str, object], session: Mapping[str, str] | None = None) -> Resolve:
        """Return a function that resolves settings with these options, and these keys for this session."""
        keys = dict(session or {})

        def resolve(changes: Mapping[str, object]) -> Settings:
            settings = self._resolve({**options, **changes})
            endpoints = {name: replace(settings.endpoints[name], key=key) for name, key in keys.items()}
            return replace(settings, endpoints={**settings.endpoints, **endpoints}) if keys else settings

        return resolve
