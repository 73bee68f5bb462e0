"""MCP servers: the sections [mcp.NAME] of config.toml, and JSON files with `mcpServers`.

    [mcp.git]                                    {"mcpServers": {"git": {
    command = "mcp-server-git"                      "command": "mcp-server-git",
    args = ["--repository", "."]                    "args": ["--repository", "."],
    env = {TOKEN = "${GIT_TOKEN}"}                  "env": {"TOKEN": "${GIT_TOKEN}"}
                                                 }}}
    [mcp.docs]
    url = "https://docs.example/mcp"
    headers = {Authorization = "Bearer ${DOCS_TOKEN}"}

`${VARIABLE}`, `${env:VARIABLE}` and `${VARIABLE:-text}` are replaced when the server starts, so that keys
stand in the environment. Nothing is started here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

from bot.errors import ConfigError, UsageError
from bot.settings.endpoints import is_url
from bot.settings.files import Section, read_text

if TYPE_CHECKING:
    from collections.abc import Iterable

FILE_NAME = "mcp.json"
"""The file of servers beside config.toml, which need not exist."""
WEB = "web"
"""What names `web_fetch` and `web_search`; no server can have that name."""
TIMEOUT = 60
"""Seconds for the start of a server, and for each call, unless its `timeout` says otherwise."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,40}")
_KEYS = ("command", "args", "env", "cwd", "url", "headers", "timeout", "read_only", "disabled")
_QUERY = re.compile(r"[^\s#]*")
_VARIABLE = re.compile(r"\$\{(?:env:)?([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")

IN_PANEL: Final = "MOA_BOT_IN_PANEL"
"""Set in the environment of the servers that this program starts: `moa-bot mcp` does not run in a panel."""


@dataclass(frozen=True, slots=True)
class McpServer:
    """A server as configured: with a `command` it is a process of ours, with a `url` it is reached by HTTP.

    `timeout` is in seconds. `read_only` are globs of tools that only read, whatever the server says of them.
    `source` is the file that it stands in.
    """

    name: str
    command: str = ""
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    cwd: str = ""
    url: str = field(default="", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout: int = TIMEOUT
    read_only: tuple[str, ...] = ()
    source: str = ""

    def expanded(self, environ: Mapping[str, str]) -> McpServer:
        """Return the server with the variables in its texts replaced. UsageError for one that is not set."""

        def expand(text: str) -> str:
            return _VARIABLE.sub(lambda match: self._variable(match, environ), text)

        return replace(
            self,
            command=str(Path(expand(self.command)).expanduser()) if self.command else "",
            args=tuple(map(expand, self.args)),
            env={name: expand(value) for name, value in self.env.items()},
            cwd=str(Path(expand(self.cwd)).expanduser()) if self.cwd else "",
            url=expand(self.url),
            headers={name: expand(value) for name, value in self.headers.items()},
        )

    def secrets(self, environ: Mapping[str, str]) -> list[str]:
        """Return the texts of a server that may be keys: what it is given, the variables that it names."""
        texts = [self.command, *self.args, self.cwd, self.url, *self.env.values(), *self.headers.values()]
        named = [environ.get(match[1], "") for text in texts for match in _VARIABLE.finditer(text)]
        server = self.expanded(environ)
        query = urlsplit(server.url).query
        asked = [value.partition("=")[2] for value in query.split("&")]
        return [*server.env.values(), *server.headers.values(), *named, *asked, *map(unquote, asked)]

    def _variable(self, match: re.Match[str], environ: Mapping[str, str]) -> str:
        value = environ.get(match[1]) or match[2]
        if value is None:
            raise UsageError(f"MCP server {self.name}: the environment variable {match[1]} is not set.")
        return value


def all_servers(folder: Path, files: Iterable[Path], own: Mapping[str, McpServer]) -> dict[str, McpServer]:
    """Return all servers by name: of mcp.json in the folder, of the files, and of config.toml (`own`).

    Of two with one name the later one counts. UsageError for a mistake in a file.
    """
    found = read_server_file(folder / FILE_NAME, optional=True)
    for path in files:
        found |= read_server_file(path)
    return found | dict(own)


def read_servers(sections: Mapping[str, Section]) -> dict[str, McpServer]:
    """Return the servers of config.toml that are not disabled. ConfigError for any mistake."""
    return _by_name(_read(name, section) for name, section in sections.items())


def read_server_file(path: Path, *, optional: bool = False) -> dict[str, McpServer]:
    """Return the servers of a JSON file with `mcpServers`. UsageError for any mistake.

    Keys that other programs have there are passed over, and a name is written in letters that names have.
    """
    import json  # noqa: PLC0415 - only where there is such a file

    text = read_text(path, "the MCP servers", optional=optional)
    if not text:
        return {}
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as problem:
        raise ConfigError(f"{path}: not valid JSON: {' '.join(str(problem).split())}") from None
    servers = content.get("mcpServers", content.get("servers")) if isinstance(content, dict) else None
    if not isinstance(servers, dict):
        raise ConfigError(f'{path}: expected {{"mcpServers": {{NAME: …}}}}')
    sections = Section(path, {"mcpServers": servers}).sections("mcpServers")
    found: list[McpServer | None] = []
    names: dict[str, str] = {}
    for name, section in sections.items():
        known = {key: value for key, value in section.table.items() if key in _KEYS and value is not None}
        for other in ("serverUrl", "httpUrl"):
            if other in section.table:
                known.setdefault("url", section.table[other])
        plain = re.sub(r"[^A-Za-z0-9_-]+", "_", name).strip("_-")[:41]
        if section.table.get("type") == "sse":
            raise section.error("type", "sse is not supported; expected stdio or http")
        if plain in names:
            raise section.error("", f'expected another name: "{names[plain]}" is {plain} here as well')
        names[plain] = name
        found.append(_read(plain, Section(path, known, section.where)))
    return _by_name(found)


def _by_name(servers: Iterable[McpServer | None]) -> dict[str, McpServer]:
    return {server.name: server for server in servers if server is not None}


def _read(name: str, section: Section) -> McpServer | None:
    if not _NAME.fullmatch(name) or name == WEB:
        raise section.error("", f'expected a name of letters, digits, "_" and "-", and not "{WEB}"')
    section.reject_unknown_keys(_KEYS)
    command, url = section.text("command"), section.text("url")
    if (command is None) == (url is None):
        raise section.error("", "expected either command or url")
    # Services for many users have a key in the query.
    address, _, query = _VARIABLE.sub("x", url or "").partition("?")
    if url is not None and (not is_url(address) or not _QUERY.fullmatch(query)):
        raise section.error("url", "expected an address such as https://host/mcp, without user or fragment")
    if section.boolean("disabled"):
        return None
    return McpServer(
        name,
        command or "",
        section.texts("args"),
        section.text_table("env"),
        section.text("cwd") or "",
        url or "",
        section.text_table("headers"),
        section.positive_int("timeout") or TIMEOUT,
        section.texts("read_only"),
        str(section.file),
    )
