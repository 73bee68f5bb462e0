"""`moa-bot presets`: all presets, or one with its models and values."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bot.app.load_settings import load_settings
from bot.cli.options import new_typer_app
from bot.cli.output import print_json, print_text, terminal_width
from bot.settings.model_names import join_models
from bot.settings.presets import retired
from bot.text.names import same_family, short_name
from bot.text.sanitise import one_line
from bot.text.table import tab_separated, table

if TYPE_CHECKING:
    from bot.messages import Agent
    from bot.settings.preset import Preset
    from bot.settings.settings import Settings


typer_app = new_typer_app()


@typer_app.command()
def presets(
    *,
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Show this one in full.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the presets, or show one in full."""
    settings = load_settings({})
    shown = settings.presets.all() if name is None else (settings.presets.get(name),)
    if as_json:
        values = [_as_json(settings, preset) for preset in shown]
        print_json(values if name is None else values[0])
    elif name is not None:
        print_text("\n".join(_in_full(settings, shown[0])))
    else:
        _print_table(settings, shown)


def _print_table(settings: Settings, shown: tuple[Preset, ...]) -> None:
    columns = {
        "name": [preset.name for preset in shown],
        "": [_mark(settings, preset) for preset in shown],
        "description": [one_line(preset.description) for preset in shown],
        "aggregator": [short_name(preset.aggregator.model) for preset in shown],
        "references": [_references(preset) for preset in shown],
    }
    width = terminal_width()
    if width is None:
        print_text(tab_separated(zip(*columns.values(), strict=True)))
        return
    print_text(table(columns, width, flexible="description", dispensable=("references", "aggregator")))


def _mark(settings: Settings, preset: Preset) -> str:
    """Return "in use", "retired" or ""."""
    if preset.name == settings.preset.name:
        return "in use"
    return "retired" if _retired(settings, preset)[0] else ""


def _retired(settings: Settings, preset: Preset) -> tuple[tuple[str, ...], str]:
    return retired(preset, settings.catalogue, settings.default_endpoint)


def _same_family(preset: Preset) -> tuple[str, ...]:
    """Return different reference models of one family that answer side by side, () if there are none."""
    alike = (same_family(agent.model for agent in layer) for layer in preset.layers)
    return next(filter(None, alike), ())


def _references(preset: Preset) -> str:
    return " | ".join(join_models(short_name(agent.model) for agent in layer) for layer in preset.layers)


def _in_full(settings: Settings, preset: Preset) -> Iterator[str]:
    yield preset.name
    for text in (preset.description, preset.note):
        if text:
            yield f"  {one_line(text)}"
    gone, sentence = _retired(settings, preset)
    if gone:
        yield f"  {sentence}"
    if alike := _same_family(preset):
        yield f"  Not all of different families: {one_line(', '.join(alike))}"
    yield ""
    for number, layer in enumerate(preset.layers, start=1):
        heading = "reference models" if len(preset.layers) == 1 else f"reference models of round {number}"
        yield heading
        yield from [f"  {_agent(agent, gone)}" for agent in layer] or ["  none"]
    yield "aggregator"
    yield f"  {_agent(preset.aggregator, gone)}"
    if preset.values:
        yield "options"
        yield from (f"  {name} = {one_line(str(value))}" for name, value in preset.values.items())
    yield ""
    yield f"from {preset.source}"


def _agent(agent: Agent, gone: tuple[str, ...]) -> str:
    own = {
        "temperature": agent.temperature,
        "max_tokens": agent.max_tokens,
        "reasoning": agent.reasoning,
        "extra_body": agent.extra_body or None,
        "system": agent.system and f'"{agent.system}"',
    }
    parts = [f"{agent.endpoint}:{agent.model}" if agent.endpoint else agent.model]
    parts += [f"{name} {value}" for name, value in own.items() if value is not None]
    parts += ["no longer served"] if agent.model in gone and agent.endpoint in {"", "together"} else []
    return one_line(" · ".join(parts))


def _as_json(settings: Settings, preset: Preset) -> dict[str, Any]:
    return {
        "name": preset.name,
        "description": preset.description,
        "note": preset.note,
        "in_use": preset.name == settings.preset.name,
        "retired": list(_retired(settings, preset)[0]),
        "aggregator": _agent_json(preset.aggregator),
        "same_family": list(_same_family(preset)),
        "layers": [[_agent_json(agent) for agent in layer] for layer in preset.layers],
        "options": {
            name: value if isinstance(value, int | float | bool) else str(value)
            for name, value in preset.values.items()
        },
        "source": preset.source,
    }


def _agent_json(agent: Agent) -> dict[str, Any]:
    return {
        "model": agent.model,
        "endpoint": agent.endpoint or None,
        "system": agent.system,
        "temperature": agent.temperature,
        "max_tokens": agent.max_tokens,
        "reasoning": agent.reasoning,
        "extra_body": json.loads(agent.extra_body) if agent.extra_body else None,
    }
