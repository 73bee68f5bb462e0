"""Everything a conversation needs, opened together and closed together.

    Settings ─► App ─┬─ offline service (with --demo)
                     ├─ Pool (workers start in the background, while the user types), with the
                     │  engine's processes of models named local:…
                     ├─ Store (unless nothing is to be saved)
                     ├─ Log
                     ├─ toolbox: the tools, and their servers when they are needed
                     └─► Session ─► Mixture

Chat, one-shot, pipe, batch, evaluations, service and library all begin here.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Self

from bot.app.known_models import KnownModels
from bot.app.log import Log, LogOutput
from bot.app.make_plan import make_plan
from bot.app.name_check import NameCheck, learn_vision
from bot.app.resume import Resolve, conversation_to_resume, resumed_options
from bot.app.session import Session
from bot.app.tool_permission import PermittedToolbox
from bot.client.adapt import Adaptation, RequestAdapter
from bot.client.model_list import ModelList
from bot.client.proxies import NetworkSettingError, proxies_of
from bot.client.retry import Retrier
from bot.client.suggest import ModelSuggester
from bot.client.tls import certificate_problem
from bot.demo.process import start_demo
from bot.errors import Failure, StoreDamagedError, StoreError, UsageError
from bot.local.local_pool import LocalPool
from bot.messages import Ask, Endpoint
from bot.method.mixture import Mixture
from bot.settings import paths
from bot.settings.endpoints import is_loopback_url
from bot.store import Store
from bot.store.database import move_damaged_file
from bot.text.names import service_title
from bot.text.numbers import plural
from bot.text.sanitise import one_line
from bot.tool_use import ToolRun

if TYPE_CHECKING:
    from bot.method.plan import Plan
    from bot.settings.settings import Settings
    from bot.store import StoredConversation
    from bot.tools.toolbox import ConfiguredToolbox


LOCK_SECONDS = 2.0
"""How long to wait for another program's write to the store: the user waits for an answer."""


class App:
    """What a conversation needs, open: `async with App(settings, say) as app`.

    `say` shows the user a line about the program itself; `verbose` is where the log goes as well.
    `resolve` makes the settings anew when options change while the app is open. The workers start
    after `start_after` seconds, or when they are first needed.
    """

    def __init__(
        self,
        settings: Settings,
        say: Callable[[str], None],
        verbose: LogOutput | None = None,
        resolve: Resolve | None = None,
        *,
        start_after: float = 0.0,
    ) -> None:
        self.settings = settings
        self.models = KnownModels(settings)
        self.say = say
        self._resolve = resolve
        self._start_after = start_after
        self._changed: dict[str, object] = {}
        self._warned: set[str] = set()
        self._demo_url = ""
        self._plan: Plan | None = None
        self.log = Log(paths.log_file(), verbose)
        self.store: Store | None = None
        self.resumed: StoredConversation | None = None
        self.pool: LocalPool
        self.ask: Ask
        self._check_names: NameCheck
        self.learn_vision: Callable[[Plan, KnownModels], Awaitable[None]]
        self.ask_once: Ask
        """Without retries, for work in bulk, which has its own."""
        self._toolbox: ConfiguredToolbox | None = None
        self.permitted = PermittedToolbox(lambda: self.toolbox, lambda: self.settings.allow)
        """The tools as models may run them."""
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Open everything; what is open when that fails is closed again."""
        async with AsyncExitStack() as stack:
            await self._open(stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close everything, in the reverse order."""
        await self._stack.aclose()

    @property
    def plan(self) -> Plan:
        """The plan of the settings, made once for each change of them."""
        if self._plan is None:
            self._plan = make_plan(self.settings)
        return self._plan

    @property
    def toolbox(self) -> ConfiguredToolbox:
        """The tools of the settings, made when they are first used; closed with the program."""
        if self._toolbox is None:
            from bot.tools.toolbox import ConfiguredToolbox  # noqa: PLC0415 - not on the way to the prompt

            self._toolbox = ConfiguredToolbox.of_settings(self.settings, self.log.write_line, self.say)
            self._stack.push_async_callback(self._toolbox.close)
        return self._toolbox

    async def fetch_page(self, url: str) -> ToolRun:
        """Return the readable text of a page that a prompt names; what is fetched is said."""
        if not self.settings.quiet:
            self.say(f"  fetching {url}")
        return await self.toolbox.run("web_fetch", {"url": url})

    def session(self) -> Session:
        """Return a session with the mixture of the settings; it continues the resumed conversation."""
        return Session(
            self.mixture(),
            store=self.store,
            multi_turn=self.settings.multi_turn,
            settings=self.settings.stored_options(),
            conversation=self.resumed,
            max_cost=self.settings.max_cost,
        )

    def mixture(self, changes: Mapping[str, object] | None = None, *, alone: bool = False) -> Mixture:
        """Return the mixture of the settings, or of the settings with some options changed.

        With `alone`, the aggregator answers without reference models.
        Looks up every key now, so that a missing one is an error before the prompt is sent.
        """
        settings = self._resolve_with(changes) if changes else self.settings
        models = KnownModels(settings, listed=self.models.listed) if changes else self.models
        plan = make_plan(settings) if changes else self.plan
        if alone:
            plan = replace(plan, mode="moa", layers=(), min_references=0)
        for agent in plan.agents():
            self._warn_of_plain_http(models.endpoint(agent.endpoint))
        return Mixture(plan, self.ask, models, self._check_names, self.permitted)

    def _warn_of_plain_http(self, endpoint: Endpoint) -> None:
        """Warn, once per service, that a key goes to another machine unencrypted."""
        url = endpoint.base_url.lower()
        if endpoint.key and url not in self._warned and url.startswith("http:") and not is_loopback_url(url):
            self._warned.add(url)
            self.say(
                f"The {service_title(endpoint.name)} API key and your prompts go unencrypted over the"
                f" network: {url} is plain http."
            )

    def change(self, changes: Mapping[str, object]) -> None:
        """Change options while the app is open; None takes an earlier change back.

        Raises UsageError, and changes nothing, when they do not fit together.
        """
        settings = self._resolve_with(changes)
        make_plan(settings)
        self._changed.update(changes)
        self._set_settings(settings)

    def resume(self, conversation: StoredConversation) -> None:
        """Continue a stored conversation, with its options where the user has not given others."""
        if self._resolve is not None:
            # What is the conversation's is not taken along from the one before; a budget or a theme is.
            own = {"system", "system_file", *self.settings.stored_options()}
            kept = {name: value for name, value in self._changed.items() if name not in own}
            self._changed = kept
            self._changed = kept | resumed_options(conversation, self._resolve_with)
            self._set_settings(self._resolve_with({}))
        self.resumed = conversation
        turns = self.store.count_turns(conversation.id) if self.store else 0
        self.say(f"Resumed {conversation.id}: {one_line(conversation.title)} ({plural(turns, 'turn')})")

    def _resolve_with(self, changes: Mapping[str, object]) -> Settings:
        if self._resolve is None:
            raise UsageError("Options cannot be changed here.")
        given = {name: value for name, value in {**self._changed, **changes}.items() if value is not None}
        settings = self._resolve(given)
        return settings.with_endpoint("demo", self._demo_url) if self._demo_url else settings

    def _set_settings(self, settings: Settings) -> None:
        self.settings = settings
        self.models = KnownModels(settings, listed=self.models.listed)
        self._plan = None

    async def _open(self, stack: AsyncExitStack) -> None:
        settings = self.settings
        resuming = settings.continue_ or settings.resume
        if not settings.demo and not resuming:
            self._check_keys()
        if settings.demo:
            demo = start_demo()
            stack.callback(demo.stop)
            self._demo_url = demo.base_url
            self._set_settings(settings.with_endpoint("demo", self._demo_url))
        if settings.save:
            self.store = self._open_store()
        if self.store is not None:
            stack.callback(self.store.close)
        if resuming:
            # The conversation brings its own models: which keys are needed is known only then.
            self._resume()
            self._check_keys()
        self._check_network()
        self.pool = LocalPool(self.settings.processes(), lambda: self.settings.models_dir, self.say)
        asyncio.get_running_loop().call_later(self._start_after, self.pool.start)
        ask = RequestAdapter(self.pool.ask, self._adaptation)
        suggester = ModelSuggester(ask, self._list_models)
        self.learn_vision = partial(learn_vision, suggester=suggester)
        self.ask = Retrier(suggester, rate=settings.rate)
        self._check_names = NameCheck(lambda: self.settings, lambda: self.models, self.store, suggester)
        self.ask_once = RequestAdapter(self.pool.ask, self._adaptation, self.say)
        stack.push_async_callback(self.pool.close)
        stack.callback(self.log.close)
        await self.pool.prepare(self.plan)

    def _adaptation(self, endpoint: str, model: str) -> Adaptation:
        return self.models.adaptation(endpoint, model)

    async def _list_models(self, endpoint: Endpoint) -> ModelList | Failure:
        """Return the models of a service; what its list says of prices and contexts is used from then on."""
        answer = await self.pool.models(endpoint)
        if isinstance(answer, ModelList):
            self.models.learn_list(endpoint.name, answer)
        return answer

    def _check_keys(self) -> None:
        """Raise KeyMissingError when a key is missing, before any worker is started."""
        for agent in self.plan.agents():
            self.models.endpoint(agent.endpoint)

    def _check_network(self) -> None:
        """Raise UsageError for proxies or certificates of the environment that cannot be used."""
        urls = {self.models.endpoint(agent.endpoint).base_url for agent in self.plan.agents()}
        if any(url.startswith("https:") for url in urls) and (problem := certificate_problem(os.environ)):
            raise UsageError(f"{problem}. Correct or unset the variable.")
        proxies = proxies_of(os.environ)
        try:
            for url in urls:
                proxies.proxy_for(url)
        except NetworkSettingError as error:
            raise UsageError(f"{error}. Correct or unset the variable.") from None

    def _open_store(self) -> Store | None:
        """Open the store; None when it cannot be used, and the conversation goes on without it."""
        file = paths.store_file()
        try:
            try:
                store = Store.open(file, timeout=LOCK_SECONDS, report=self.say)
            except StoreDamagedError as error:
                moved = move_damaged_file(file)
                self.say(f"{error.message}. It was renamed to {moved.name}, and a new one was created.")
                store = Store.open(file, timeout=LOCK_SECONDS, report=self.say)
        except StoreError as error:
            if self.settings.continue_ or self.settings.resume:
                raise
            self.say(f"Nothing of this conversation is kept: {error.message}.")
            return None
        if store.read_only:
            self.say(f"Nothing of this conversation is kept: the store {file} can only be read.")
        return store

    def _resume(self) -> None:
        if self.store is None:
            raise UsageError("--no_save excludes --continue and --resume: nothing is kept to continue.")
        self.resume(conversation_to_resume(self.store, self.settings))
