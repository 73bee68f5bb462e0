"""`moa-bot models`: the models that services list now, and which of them the mixture uses.

Context and price are those that the services list, else those of the settings.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Annotated

import typer

from bot.app.load_settings import load_settings
from bot.app.make_plan import make_plan
from bot.app.streams import Streams
from bot.cli.options import Given, new_typer_app, with_options
from bot.cli.output import print_json, print_text, terminal_width
from bot.errors import (
    ExitCode,
    Failure,
    FailureKind,
    KeyMissingError,
    MoaError,
    TurnFailedError,
    UsageError,
)
from bot.local.discovery import find_services
from bot.local.engine_process import EXTRA, is_installed
from bot.local.model_files import find_models, list_left_out, model_folders
from bot.onboarding.fetch_models import fetch_models
from bot.onboarding.services import open_services
from bot.settings.endpoints import LOCAL
from bot.settings.settings import Level
from bot.text.numbers import compact, money, plural
from bot.text.table import tab_separated, table

if TYPE_CHECKING:
    from bot.client.model_list import ListedModel, ModelList
    from bot.settings.settings import Settings

_OPTIONS = (
    "preset", "aggregator", "reference_models", "endpoint", "timeout", "json", "demo",
    "local", "starter", "models_dir",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ModelRow:
    """A model in the list. `used` is "preset" for a model of the mixture, "gone" when it is not served.

    `base_url` is where its service is, "" for the built-in engine.
    """

    endpoint: str
    id: str
    context: int | None = None
    input_price: float | None = None
    output_price: float | None = None
    reasoning: str | None = None
    kind: str = ""
    used: str = ""
    base_url: str = ""


typer_app = new_typer_app()


@typer_app.command()
@with_options(_OPTIONS)
def models(
    ctx: typer.Context,
    *,
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FILTER… | fetch PRESET",
            help="Only models with these words in their name; or fetch the models of a preset.",
            show_default=False,
        ),
    ] = None,
    all_kinds: Annotated[
        bool, typer.Option("--all", help="Also models that do not chat: images, speech, embeddings.")
    ] = False,
    everywhere: Annotated[
        bool,
        typer.Option("--everywhere", help="All endpoints that can be reached, even with --endpoint."),
    ] = False,
    given: Given,
) -> None:
    """List the models of every endpoint that has a key or is on this computer; ✓ marks the mixture's.

    With --endpoint, only those of that endpoint and of the mixture's. `moa-bot models fetch starter`
    fetches the tiny model of --starter.
    """
    if words and words[0] == "fetch":
        _fetch(words[1:])
        return
    settings = load_settings(given, ctx.obj)
    lists, failed = asyncio.run(_ask(settings, everywhere=everywhere))
    rows = [row for name, model_list in lists.items() for row in _rows(settings, name, model_list)]
    wanted = [word.casefold() for word in words or []]
    rows = [
        row
        for row in rows
        if row.used == "gone"
        or (all(word in row.id.casefold() for word in wanted) and (all_kinds or row.used or row.kind == ""))
    ]
    if settings.json:
        print_json(
            {"models": [asdict(row) for row in rows], "failed": {n: str(f) for n, f in failed.items()}}
        )
    elif (width := terminal_width()) is None:
        print_text(tab_separated(_cells(row) for row in rows))
    else:
        print_text(_table(rows, width, len(lists)))
    _footnotes(settings, rows, lists)
    raise typer.Exit(int(ExitCode.FAILED if failed else ExitCode.DONE))


def _fetch(names: list[str]) -> None:
    """Fetch the model files of presets, and say so on stderr."""
    if not names:
        raise UsageError("What is to be fetched?", hint="moa-bot models fetch starter")
    for preset in map(load_settings({}).presets.get, names):
        fetch_models(preset, Streams.of_process().say)
    if not is_installed():
        print(f"moa-bot: the engine that runs it is not installed: {EXTRA}", file=sys.stderr)


async def _ask(settings: Settings, *, everywhere: bool) -> tuple[dict[str, ModelList], dict[str, Failure]]:
    """Return the lists of models by endpoint, and the failures of the endpoints that sent none.

    KeyMissingError or TurnFailedError when the default endpoint fails.
    """
    async with open_services(settings) as services:
        settings = services.settings
        names = await _names(settings, everywhere=everywhere)

        async def one(name: str) -> ModelList | Failure:
            try:
                return await services.list_models(name)
            except KeyMissingError as error:
                if name == settings.default_endpoint:
                    raise
                return Failure(FailureKind.KEY_REFUSED, error.message)

        answers = dict(zip(names, await asyncio.gather(*map(one, names)), strict=True))
    failed = {name: answer for name, answer in answers.items() if isinstance(answer, Failure)}
    for name, failure in failed.items():
        if name == settings.default_endpoint:
            raise _failed(name, failure)
        print(f"moa-bot: {name}: {failure}", file=sys.stderr)
    lists = {name: answer for name, answer in answers.items() if not isinstance(answer, Failure)}
    return lists, failed


def _failed(name: str, failure: Failure) -> MoaError:
    error = TurnFailedError(failure)
    error.message = f"{name}: {failure}"
    return error


async def _names(settings: Settings, *, everywhere: bool) -> list[str]:
    """Return the endpoints to ask: those of the mixture, and all that can be reached.

    A default endpoint without a key is left out when there are others, unless the user has named it.
    """
    home = settings.default_endpoint
    used = [agent.endpoint for agent in make_plan(settings).agents()]
    named = settings.sources["endpoint"].level < Level.PRESET
    if named:
        # Models of the mixture at services without a key were not asked about.
        needless = (
            name for name in used if not settings.endpoints[name].needs_key or _has_key(settings, name)
        )
        used = [home, *needless]
    reachable = await _reachable(settings) if everywhere or not (named or settings.demo) else []
    names = sorted(dict.fromkeys((*used, *reachable)), key=lambda name: name != home)
    keyless = home not in reachable and settings.endpoints[home].needs_key
    if reachable and keyless and home in names and not named:
        print(f"moa-bot: {home} is left out: it has no key that can be used.", file=sys.stderr)
        names.remove(home)
    return names or [home]


async def _reachable(settings: Settings) -> list[str]:
    """Return the endpoints that have a key, and those that answer on this computer."""
    found = await find_services(settings.endpoints.values())
    names = [name for name in settings.endpoints if _has_key(settings, name)]
    names += [service.endpoint.name for service in found]
    return names + ([LOCAL] if settings.models_dir or model_folders(None) else [])


def _has_key(settings: Settings, name: str) -> bool:
    try:
        return settings.endpoint(name).key is not None
    except MoaError:
        return False


def _rows(settings: Settings, name: str, model_list: ModelList) -> list[ModelRow]:
    used = dict.fromkeys(agent.model for agent in make_plan(settings).agents() if agent.endpoint == name)
    rows = [_row(settings, name, model, "preset" if model.id in used else "") for model in model_list.models]
    there = {row.id for row in rows}
    if name == LOCAL or not _is_asked_for(settings):
        # A file may be named in several ways, and one of the hub's may not be here yet.
        return rows
    return rows + [ModelRow(name, model, used="gone") for model in used if model not in there]


def _is_asked_for(settings: Settings) -> bool:
    """Whether the mixture's models are to be listed: not the default ones at a service that was named."""
    chosen = ("preset", "aggregator", "reference_models")
    given = any(settings.sources[name].level < Level.PRESET for name in chosen)
    return given or settings.sources["endpoint"].level >= Level.PRESET


def _row(settings: Settings, name: str, model: ListedModel, used: str) -> ModelRow:
    facts = settings.catalogue.facts(model.id)
    priced = facts is not None and facts.endpoint in {"", name}
    if name == LOCAL:
        model = replace(model, input_price=0.0, output_price=0.0)
    said = model.input_price is not None and model.output_price is not None
    known = facts if priced and not said else None
    return ModelRow(
        name,
        model.id,
        model.context or (facts.context if facts else None),
        known.input_price if known else model.input_price,
        known.output_price if known else model.output_price,
        facts.reasoning if facts else None,
        "" if model.chats else model.kind,
        used,
        "" if name == LOCAL else settings.endpoints[name].base_url,
    )


def _cells(row: ModelRow) -> tuple[str, ...]:
    """Return a row for other programs: numbers as they are, nothing where nothing is known."""
    values = (row.endpoint, row.id, row.context, row.input_price, row.output_price, row.reasoning)
    cells = [
        "" if value is None else f"{value:g}" if isinstance(value, float) else str(value) for value in values
    ]
    return (*cells, row.used)


def _table(rows: list[ModelRow], width: int, endpoints: int) -> str:
    marks = {"preset": "✓", "gone": "✗", "": ""}
    columns = {
        " ": [marks[row.used] for row in rows],
        "model": [row.id for row in rows],
        "endpoint": [row.endpoint if endpoints > 1 else "" for row in rows],
        "kind": [row.kind for row in rows],
        "context": ["" if row.context is None else compact(row.context) for row in rows],
        "in": [_price(row.input_price) for row in rows],
        "out": [_price(row.output_price) for row in rows],
        "thinks": ["gone" if row.used == "gone" else row.reasoning or "" for row in rows],
    }
    dispensable = ("thinks", "kind", "context", "out", "in", "endpoint")
    # Half a name is no name: where even that is too wide, the window may fold the line.
    least = max((len(row.id) for row in rows), default=0) + len("✓") + 2
    columns = _without(columns, dispensable, max(width, least))
    return table(columns, max(width, least), flexible="model", right=("context", "in", "out"))


def _without(columns: dict[str, list[str]], dispensable: tuple[str, ...], width: int) -> dict[str, list[str]]:
    """Leave columns out until the names fit whole."""
    kept = {name: cells for name, cells in columns.items() if any(cells)}
    for name in dispensable:
        sizes = [max(map(len, (title, *cells))) + 2 for title, cells in kept.items()]
        if sum(sizes) - 2 <= width:
            break
        kept.pop(name, None)
    return kept


def _price(dollars: float | None) -> str:
    return "" if dollars is None else money(dollars)


def _footnotes(settings: Settings, rows: list[ModelRow], lists: dict[str, ModelList]) -> None:
    """Explain the marks on stderr, and name the models that are gone and the files that cannot chat."""
    if LOCAL in lists:
        folders = model_folders(settings.models_dir)
        if left_out := [each for folder in folders for each in find_models(folder).left_out()]:
            print(f"moa-bot: these files cannot chat: {list_left_out(left_out)}.", file=sys.stderr)
    gone = [row for row in rows if row.used == "gone"]
    mixture = f"preset {settings.preset_label}"
    for row in gone:
        print(f"moa-bot: {row.endpoint} does not list {row.id} ({mixture}).", file=sys.stderr)
    if terminal_width() is None:
        return
    used = sum(row.used == "preset" for row in rows)
    print(
        f"{plural(len(rows) - len(gone), 'model')} of {', '.join(lists)} · ✓ {used} of {mixture} ·"
        " prices in US dollars per million tokens",
        file=sys.stderr,
    )
