"""The mixture as a model provider of inspect_ai: `inspect eval TASK --model moa/PRESET`.

    inspect ─► MixtureAPI.generate ─► chat_request ─► TurnRequest ─► Runtime ═► ServedTurn
       ◄── ModelOutput, events in the transcript ◄── inspect_output ◄──┘

A request is read and answered as `moa-bot serve` does, without HTTP: tools are passed on to the aggregator,
images to models that see. inspect loads this module by the entry point `moa`.
"""

from __future__ import annotations

import asyncio
import json
import weakref
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from inspect_ai.log import transcript
from inspect_ai.model import (
    GenerateConfig,
    ModelAPI,
    ModelCost,
    ModelOutput,
    ModelUsage,
    RetryDecision,
    ServedModelUsage,
    modelapi,
)

from bot.api.library import MixtureOptions, mixture_settings
from bot.api.runtime import Runtime
from bot.app.app import App
from bot.app.turn_budget import TurnBudget
from bot.errors import Failure, FailureKind, MoaError, TurnFailedError, UsageError
from bot.harness.inspect_output import METADATA, model_output, refusal_output, transcript_data
from bot.harness.inspect_request import chat_request
from bot.method.mixture import CancelToken, Mixture
from bot.serve.api_errors import ApiError
from bot.serve.chat_request import parse_chat_request
from bot.serve.request_turn import ServedTurn
from bot.serve.served_mixtures import with_overrides
from bot.turn_result import TurnResult

if TYPE_CHECKING:
    from bot.serve.turn_request import TurnRequest
    from bot.settings.settings import Settings

ALONE = "alone:"
"""In front of a model that answers alone, without a mixture."""
SETTINGS = "settings"
"""The mixture of the settings."""
SOURCE = "moa-bot"
"""The source of the events in the transcript."""
_OPTIONS = frozenset(MixtureOptions.__annotations__) - {"save"} | {"preset"}
_TRY_LATER = 429


@modelapi(name="moa")  # type: ignore[untyped-decorator,unused-ignore]  # typed only where inspect_ai is there
def moa() -> type[ModelAPI]:
    """Return the provider."""
    return MixtureAPI


class UnansweredError(TurnFailedError):
    """A turn without a reply. `kinds` say why: those of its references' failures where too few answered."""

    def __init__(self, failure: Failure, result: TurnResult) -> None:
        super().__init__(failure)
        self.kinds = {failure.kind}
        if failure.kind is FailureKind.TOO_FEW:
            self.kinds |= {call.failure.kind for call in result.calls if call.failure}


class MixtureAPI(ModelAPI):  # type: ignore[misc,unused-ignore]  # typed only where inspect_ai is there
    """A mixture, or a model alone, as inspect asks it.

    `model_name` is that of a preset, "settings" for that of the settings, or "alone:MODEL". `options` are
    those of the mixture, with `preset` for the settings of a lone model. Raises UsageError for wrong ones.
    Worker processes start with the first question and end with `close` or with the process.
    """

    def __init__(
        self,
        model_name: str,
        base_url: str | None = None,
        api_key: str | None = None,
        config: GenerateConfig = GenerateConfig(),  # noqa: B008 - as in inspect's own providers
        **options: Any,
    ) -> None:
        super().__init__(model_name, base_url, api_key, [], config)
        try:
            self._settings = _settings(model_name, base_url, api_key, options)
        except MoaError as error:
            raise UsageError(f"moa/{model_name}: {error.message} {error.hint}".rstrip()) from None
        self._budget = TurnBudget(self._settings.max_cost)
        self._start()

    async def generate(
        self,
        input: list[Any],  # noqa: A002 - inspect's name
        tools: list[Any],
        tool_choice: Any,
        config: GenerateConfig,
    ) -> ModelOutput:
        """Answer a conversation.

        Raises UnansweredError or ApiError where there is no reply; `should_retry` says which to repeat.
        """
        body = chat_request(self.model_name, input, tools, tool_choice, config)
        try:
            request = parse_chat_request(json.dumps(body).encode())
            job = await asyncio.to_thread(self._runtime.start, lambda: self._turn(request))
            turn = await job.wait_async()
            output = model_output(self.model_name, turn)
        except ApiError as error:
            if output := refusal_output(self.model_name, error):
                return output
            raise
        for data in transcript_data(turn.result):
            transcript().info(data, source=SOURCE)
        return output

    def should_retry(self, ex: Exception) -> bool | RetryDecision:
        """Whether the same request may succeed later, as far as the failures of its calls say so."""
        if isinstance(ex, ApiError):
            if ex.status == _TRY_LATER:
                return RetryDecision.rate_limit()
            return ex.code == "reply_cut_off"
        if not isinstance(ex, UnansweredError):
            return False
        if FailureKind.RATE_LIMITED in ex.kinds:
            return RetryDecision.rate_limit(ex.failure.retry_after)
        return any(kind.worth_retrying or kind is FailureKind.WORKER for kind in ex.kinds)

    def served_model_usage(self, output: ModelOutput) -> list[ServedModelUsage] | None:
        """Return the turn's cost as inspect adds it up and limits it; None where it is unknown."""
        dollars = (output.metadata or {}).get(METADATA, {}).get("cost")
        if dollars is None:
            return None
        # A price per million tokens, and a million of them: the cost is that of many models.
        price = ModelCost(input=dollars, output=0, input_cache_write=0, input_cache_read=0)
        return [ServedModelUsage(self.model_name, ModelUsage(input_tokens=1_000_000), price)]

    def connection_key(self) -> str:
        """Return what `max_connections` counts for: turns of this model."""
        return str(self.model_name)

    def close(self) -> None:
        """End the workers; a later question starts others."""
        self._runtime.close()
        self._start()

    async def aclose(self) -> None:
        """Like `close`, without blocking the event loop."""
        await asyncio.to_thread(self.close)

    def _start(self) -> None:
        self._runtime = Runtime(self._settings)
        weakref.finalize(self, self._runtime.request_close).atexit = False

    async def _turn(self, request: TurnRequest) -> ServedTurn:
        """Run a turn to its end, in the runtime's loop. Raises UnansweredError and ApiError."""
        app: App = self._runtime.app
        if request.conversation.images:
            await app.learn_vision(app.plan, app.models)
        plan = with_overrides(app.plan, request)
        mixture = Mixture(plan, app.ask, app.models, tools=app.permitted)
        turn = ServedTurn(mixture, request, app.log, CancelToken(), self._budget)
        async with aclosing(turn.events()) as events:
            async for _ in events:
                pass
        failure = turn.result.failure
        if failure is not None and failure.kind not in _AS_OUTPUT:
            raise UnansweredError(failure, turn.result)
        return turn


_AS_OUTPUT = frozenset({FailureKind.CONTEXT_LENGTH, FailureKind.CONTENT_FILTER, FailureKind.REFUSED})
"""Failures that are outputs for inspect: it scores them, and runs a sample no second time."""


def _settings(
    model_name: str, base_url: str | None, api_key: str | None, options: dict[str, Any]
) -> Settings:
    if unknown := sorted(options.keys() - _OPTIONS):
        raise UsageError(
            f"There is no option {', '.join(unknown)}.", hint=f"Options: {', '.join(sorted(_OPTIONS))}."
        )
    preset = options.pop("preset", None)
    if model_name.startswith(ALONE):
        alone = {"aggregator": model_name.removeprefix(ALONE), "rounds": 0, "mode": "moa"}
        return mixture_settings(preset, api_key, base_url, {**options, **alone})
    if preset is not None:
        raise UsageError("The preset is the model's name; the option is for alone:MODEL.")
    return mixture_settings(None if model_name == SETTINGS else model_name, api_key, base_url, options)
