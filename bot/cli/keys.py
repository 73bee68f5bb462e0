"""`moa-bot keys …`: sets, lists and removes the keys of services. A key is never shown.

A key comes from a prompt that does not echo, or from standard input; never from an argument, which
every user of the computer could read in the list of processes.
"""

from __future__ import annotations

import os
import sys
from getpass import getpass
from typing import Annotated, NamedTuple

import typer

from bot.app.load_settings import load_settings
from bot.app.streams import Streams
from bot.cli.options import Given, new_typer_app, with_options
from bot.cli.output import print_json, print_text, terminal_width
from bot.errors import KeyMissingError, UsageError
from bot.settings.credentials import MAX_LENGTH, KeyFile, clean_key
from bot.settings.endpoints import DEMO, EndpointConfig, unknown_endpoint
from bot.settings.settings import Settings
from bot.text.names import service_title
from bot.text.table import tab_separated, table

typer_app = new_typer_app("Set, list and remove the keys of services, in the system keyring or a file.")

_PROCESS_LIST = (
    "Others can read arguments in the list of processes. Run it without the key and paste it when asked,"
    " or pipe it in: moa-bot keys set ENDPOINT < FILE"
)
_KEY_LIKE = 24  # names as long as this may be keys

Endpoint = Annotated[
    str | None,
    typer.Argument(
        metavar="ENDPOINT", help="The service; the default endpoint if not given.", show_default=False
    ),
]


class _Row(NamedTuple):
    endpoint: str
    key: str
    place: str


@typer_app.command("set")
@with_options(("endpoint",))
def set_(
    ctx: typer.Context,
    *,
    endpoint: Endpoint = None,
    more: Annotated[list[str] | None, typer.Argument(hidden=True)] = None,
    in_file: Annotated[
        bool, typer.Option("--file", help="Keep it in keys.toml even if there is a system keyring.")
    ] = False,
    given: Given,
) -> None:
    """Set a key; it is asked for without echo, or read from standard input."""
    if more:
        raise UsageError("A key is not given as an argument.", hint=_PROCESS_LIST)
    settings = _settings(given, ctx)
    config = _endpoint(settings, endpoint or settings.default_endpoint)
    file = _file_of(config)
    key = _ask(config)
    saved = file.save(config.name, key, keyring=not in_file)
    if saved.note:
        print(f"The system keyring is not used: {saved.note}.", file=sys.stderr)
    secret = ", which only you can read" if saved.place.startswith("file ") else ""
    print(f"The {service_title(config.name)} API key is kept in the {saved.place}{secret}.", file=sys.stderr)
    if config.key_env and os.environ.get(config.key_env, "").strip():
        print(f"{config.key_env} is set as well, and is used before it.", file=sys.stderr)


@typer_app.command("list")
def list_(*, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List the services and where the key of each is found. No key is shown."""
    settings = load_settings({})
    rows = [_row(config) for name, config in settings.endpoints.items() if name != DEMO]
    rows += [_Row(name, "kept", "no longer an endpoint") for name in _orphans(settings)]
    if as_json:
        print_json([row._asdict() for row in rows])
    elif (width := terminal_width()) is None:
        print_text(tab_separated(rows))
    else:
        columns = {name: [getattr(row, name) for row in rows] for name in _Row._fields}
        print_text(table(columns, width, flexible="place"))


@typer_app.command()
def remove(
    *, endpoint: Annotated[str, typer.Argument(metavar="ENDPOINT", help="The service.", show_default=False)]
) -> None:
    """Remove a key."""
    settings = load_settings({})
    config = settings.endpoints.get(endpoint)
    # A key may outlive its endpoint.
    if config is None and endpoint not in _orphans(settings):
        _endpoint(settings, endpoint)
    if not _key_file(settings).remove(endpoint):
        variable = config.key_env if config else None
        set_there = variable and os.environ.get(variable, "").strip()
        raise UsageError(
            f"No {service_title(endpoint)} API key is kept.",
            hint=f"It comes from the environment: {variable}." if set_there else "",
        )
    print(f"The {service_title(endpoint)} API key was removed.", file=sys.stderr)
    if config and (place := config.key_source(os.environ)):
        print(f"There still is one: {place}.", file=sys.stderr)


def _settings(given: Given, ctx: typer.Context) -> Settings:
    return load_settings(given, ctx.obj)


def _endpoint(settings: Settings, name: str) -> EndpointConfig:
    config = settings.endpoints.get(name)
    if config is None and (len(name) >= _KEY_LIKE or not name.isprintable()):
        # It may be the key itself, so it is not repeated.
        raise UsageError("The argument is no endpoint; a key is not given as one.", hint=_PROCESS_LIST)
    if config is None:
        raise unknown_endpoint(name, settings.endpoints)
    if name == DEMO:
        raise UsageError("The offline service needs no key.")
    return config


def _file_of(config: EndpointConfig) -> KeyFile:
    if config.keys_file is None:
        raise UsageError(f"No {service_title(config.name)} API key can be kept.")
    return KeyFile(config.keys_file)


def _key_file(settings: Settings) -> KeyFile:
    """Return the file of keys, which is the same for all endpoints."""
    return _file_of(next(config for name, config in settings.endpoints.items() if name != DEMO))


def _orphans(settings: Settings) -> list[str]:
    """Return the names in the file of keys that are no longer endpoints."""
    try:
        places = _key_file(settings).places()
    except KeyMissingError:
        return []
    return [name for name in places if name not in settings.endpoints and name.isprintable()]


def _row(config: EndpointConfig) -> _Row:
    try:
        place = config.key_source(os.environ)
    except KeyMissingError as error:
        return _Row(config.name, "not usable", " ".join(f"{error.message} {error.hint}".split()))
    if place:
        return _Row(config.name, "set", place)
    if not config.needs_key:
        return _Row(config.name, "not needed", "")
    return _Row(config.name, "not set", config.key_env or "")


def _ask(config: EndpointConfig) -> str:
    """Return the key that the user types or pipes in. UsageError when there is none."""
    streams = Streams.of_process()
    if streams.stdin_is_terminal:
        try:
            text = getpass(f"{service_title(config.name)} API key (it is not shown): ")
        except EOFError:
            text = ""
    else:
        text = _piped(streams.stdin)
    key = clean_key(text, "What was given")
    if not key:
        raise UsageError("No key was given; nothing is changed.")
    return key


def _piped(descriptor: int | None) -> str:
    """Return standard input; of more than a key can have, only the beginning, which is no valid key."""
    if descriptor is None:
        return ""
    pieces: list[bytes] = []
    while sum(map(len, pieces)) <= MAX_LENGTH and (piece := os.read(descriptor, MAX_LENGTH)):
        pieces.append(piece)
    return b"".join(pieces).decode("utf-8-sig", "replace")
