"""The mixture as an MCP server: what it offers, whatever carries the messages (`bot.serve.mcp_server`).

    tools       ask_panel(question, …)   the reply of the mixture
                compare(question, …)     every model's answer, and how they differ
    resources   moa://presets/NAME       a preset's models

A call is a turn as at the OpenAI API: the same mixtures, the same number at once, the same budget. Its
progress is notified to clients that want that.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import replace
from importlib.metadata import version
from typing import Annotated, Any, Final

import mcp_types as types
from mcp import MCPError
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from bot.events import AggregatorStarted, CallFinished, Event, JudgeStarted, RoundStarted
from bot.method.mixture import Mixture
from bot.method.plan import Plan
from bot.render.turn_text import round_title
from bot.serve.api_errors import ApiError, bad_request
from bot.serve.request_schema import MAX_REFERENCES, MoaOptions
from bot.serve.request_turn import ServedTurn
from bot.serve.served_mixtures import SERVED
from bot.serve.turn_request import Conversation, TurnRequest
from bot.serve.turn_route import Service
from bot.settings.options import MAX_ROUNDS
from bot.text.names import short_name
from bot.text.numbers import plural
from bot.turn_result import TurnResult

ASK_PANEL: Final = "ask_panel"
COMPARE: Final = "compare"
PRESETS: Final = "moa://presets/"
_DESCRIPTIONS: Final = {
    ASK_PANEL: "Ask a panel of several language models. They answer independently, and one of them writes a"
    " single reply from all their answers. For questions where a mistake matters, or a second opinion helps."
    " Takes from seconds to minutes.",
    COMPARE: "Ask a panel of several language models, and get the answer of each of them, with a comparison"
    " of where they agree, contradict each other, or stand alone. Takes from seconds to minutes.",
}
_Context = ServerRequestContext[Any, Any]


class Arguments(BaseModel):
    """The arguments of both tools."""

    model_config = ConfigDict(extra="forbid")

    question: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)] = Field(
        description="The question, with all that is needed to answer it: the panel sees nothing else."
    )
    preset: str | None = Field(
        default=None, description="Another mixture; the resources list those that there are."
    )
    models: Annotated[list[str], Field(min_length=1, max_length=MAX_REFERENCES)] | None = Field(
        default=None, description="The models of the panel, if not those of the mixture."
    )
    rounds: Annotated[int, Field(ge=1, le=MAX_ROUNDS)] | None = Field(
        default=None,
        description="How many times the panel answers; in each further round they read all answers.",
    )


def mcp_server(service: Service, compare_instructions: Mapping[str, str]) -> Server[Any]:
    """Return the server; `compare_instructions` are those of mode "compare"."""
    tools = _Tools(service, compare_instructions)
    return Server(
        "moa-bot",
        version=version("moa-bot"),
        on_list_tools=tools.list_tools,
        on_call_tool=tools.call_tool,
        on_list_resources=tools.list_resources,
        on_read_resource=tools.read_resource,
    )


class _Tools:
    def __init__(self, service: Service, compare_instructions: Mapping[str, str]) -> None:
        self._service, self._instructions = service, compare_instructions

    async def list_tools(
        self, _context: _Context, _params: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        """List the two tools."""
        schema = Arguments.model_json_schema()
        hints = types.ToolAnnotations(read_only_hint=True, open_world_hint=True)
        return types.ListToolsResult(
            tools=[
                types.Tool(name=name, description=text, input_schema=schema, annotations=hints)
                for name, text in _DESCRIPTIONS.items()
            ]
        )

    async def call_tool(self, context: _Context, params: types.CallToolRequestParams) -> types.CallToolResult:
        """Run a turn; what goes wrong is a result with an error, which the caller's model can read."""
        try:
            if params.name not in _DESCRIPTIONS:
                raise bad_request(f"There is no tool {params.name[:100]!r} here.", None)
            return await self._run(context, params.name, _read(params.arguments or {}, self._service))
        except ApiError as error:
            return types.CallToolResult(content=[_text(error.message)], is_error=True)

    async def _run(self, context: _Context, name: str, arguments: Arguments) -> types.CallToolResult:
        service = self._service
        with service.turns.start() as cancel_token:
            options = MoaOptions(references=arguments.models, rounds=arguments.rounds)
            request = TurnRequest(
                arguments.preset or SERVED, Conversation(prompt=arguments.question), options
            )
            try:
                served = service.mixtures.get(request.model, options)
            except ApiError as error:
                # It names the fields of the OpenAI API.
                if (error.param or "").partition(".")[0] != "moa":
                    raise
                said = error.message.removeprefix("moa.references: ").removeprefix("moa: ")
                raise bad_request(f"models: {said}", "models") from None
            plan = self._plan(served.plan, name)
            mixture = Mixture(plan, service.ask, served.models, tools=service.tools)
            turn = ServedTurn(mixture, request, service.log, cancel_token, service.budget)
            finished = 0
            async with aclosing(turn.events()) as events:
                async for event in events:
                    finished += isinstance(event, CallFinished)
                    if message := _progress(event):
                        total = max(plan.calls, finished + 1)
                        await context.session.report_progress(finished, total, message)
            turn.finish_reason()
            values = _values(turn.result, with_answers=name == COMPARE)
            return types.CallToolResult(content=[_text(turn.text())], structured_content=values)

    def _plan(self, plan: Plan, name: str) -> Plan:
        """Return the plan of a call: the panel is asked, whatever the mixture would do with a prompt."""
        if name == ASK_PANEL:
            return replace(plan, on_demand=False)
        if not plan.layers:
            raise bad_request("This mixture has no models to compare: it is a lone model.", "preset")
        instructions = {**plan.instructions, **self._instructions}
        judge = plan.judge or plan.aggregator
        return replace(plan, on_demand=False, mode="compare", judge=judge, instructions=instructions)

    async def list_resources(
        self, _context: _Context, _params: types.PaginatedRequestParams | None
    ) -> types.ListResourcesResult:
        """List the mixtures that can run here."""
        return types.ListResourcesResult(
            resources=[
                types.Resource(
                    uri=PRESETS + name, name=name, description=description, mime_type="application/json"
                )
                for name, description in self._service.mixtures.entries()
            ]
        )

    async def read_resource(
        self, _context: _Context, params: types.ReadResourceRequestParams
    ) -> types.ReadResourceResult:
        """Return the models of a mixture. MCPError for one that there is not."""
        uri = str(params.uri)
        name = uri.removeprefix(PRESETS)
        known = dict(self._service.mixtures.entries())
        if not uri.startswith(PRESETS) or name not in known:
            raise MCPError(types.INVALID_PARAMS, "There is no such resource here.")
        try:
            plan = self._service.mixtures.get(name, MoaOptions()).plan
        except ApiError as error:
            raise MCPError(types.INVALID_PARAMS, error.message) from None
        text = json.dumps({"name": name, "description": known[name], **_mixture(plan)}, ensure_ascii=False)
        contents = types.TextResourceContents(uri=uri, mime_type="application/json", text=text)
        return types.ReadResourceResult(contents=[contents])


def _read(values: Mapping[str, Any], service: Service) -> Arguments:
    """Return a call's arguments. ApiError (400) says what is wrong with them."""
    try:
        arguments = Arguments.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "arguments"
        raise bad_request(f"{where}: {first['msg']}.", where) from None
    if len(arguments.question.encode("utf-8", "surrogatepass")) > service.limits.body:
        raise bad_request(f"question: more than {service.limits.body:,} bytes.", "question")
    names = [name for name, _ in service.mixtures.entries()]
    if arguments.preset is not None and arguments.preset not in names:
        raise bad_request(
            f"preset: there is none of that name here; there are: {', '.join(names)}.", "preset"
        )
    return arguments


def _progress(event: Event) -> str:
    """Return what is notified of an event, "" for nothing."""
    match event:
        case RoundStarted(number, rounds, slots):
            return f"{round_title(number, rounds, slots)}: {plural(len(slots), 'model')}"
        case CallFinished(call) if call.slot.role in {"reference", "review"}:
            return f"{short_name(call.slot.agent.model)} {'answered' if call.answer else 'is left out'}"
        case JudgeStarted(slot):
            return f"{short_name(slot.agent.model)} compares"
        case AggregatorStarted(slot):
            return f"{short_name(slot.agent.model)} writes"
        case _:
            return ""


def _values(result: TurnResult, *, with_answers: bool) -> dict[str, Any]:
    """Return what there is to know of a turn beside its text."""
    values: dict[str, Any] = {
        "model": result.model,
        "panel": result.panel.as_json() if result.panel else None,
        "sources": result.sources_json(),
        "notices": list(result.notices),
        "cost": result.cost,
        "seconds": result.seconds,
    }
    if with_answers:
        values["analysis"] = result.analysis.as_json() if result.analysis else None
        values["answers"] = [
            {"model": call.slot.agent.model, "text": call.answer, "error": str(call.failure or "") or None}
            for call in (result.rounds[-1] if result.rounds else ())
        ]
    return values


def _mixture(plan: Plan) -> dict[str, Any]:
    return {
        "mode": plan.mode,
        "rounds": plan.rounds,
        "references": [[agent.model for agent in layer] for layer in plan.layers],
        "aggregator": plan.aggregator.model,
    }


def _text(text: str) -> types.TextContent:
    return types.TextContent(type="text", text=text)
