"""Endpoints: the services by name, where they are, and where their keys come from.

Keys are looked up here: that of this run, the environment's, that of the endpoint's `key_cmd`, and the
one that `bot.settings.credentials` has. They travel in `bot.messages.Endpoint` and never stand in
config.toml.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from bot.errors import KeyMissingError, UsageError
from bot.messages import Endpoint
from bot.settings.credentials import FILE_NAME, FoundKey, KeyFile, clean_key
from bot.settings.files import Section, read_toml
from bot.settings.key_command import key_from, split_command
from bot.settings.paths import config_dir, shipped_file
from bot.settings.quirks import KEYS as QUIRKS
from bot.settings.quirks import Quirks, read_quirks
from bot.text.names import service_title
from bot.text.nearest import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from bot.errors import ConfigError

DEMO = "demo"
"""The offline service; its address is known once it runs."""
LOCAL = "local"
"""The built-in engine; each of its models has an address of its own, once it runs."""
LOCAL_SERVICES = frozenset({"ollama", "lmstudio", "vllm", "llamacpp"})
"""The shipped services that run models on this computer, unless their address is another's."""
BASE_URL_VARIABLE = "TOGETHER_BASE_URL"
TOGETHER = "together"
SHIPPED = "defaults"
"""The source of an address that comes with the program."""

_ENGINE = "http://local.localhost/v1"

KEYS_PAGES = {TOGETHER: "https://api.together.ai/settings/api-keys"}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,40}")
_KEY_ENV = re.compile(r"[A-Z][A-Z0-9_]{0,60}")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,80}")
_ADDRESS = re.compile(
    r"https?://(?P<host>\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:(?P<port>[0-9]{1,5}))?(/[!-~]*)?", re.IGNORECASE
)
_LAST_PORT = 65535
_URL = "an address such as https://host/v1, without user, password or query"


@dataclass(frozen=True, slots=True, eq=False)
class EndpointConfig:
    """A service as configured. `key_env` is None where no key is needed.

    `key` is a key for this run only; `source` says where the address comes from. `keys_file` is
    where a key may be kept, None where none can be. `key_cmd` is a command that prints the key.
    `hosted` says that it comes with the program as a service on the internet.
    """

    name: str
    base_url: str
    key_env: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    key: str | None = field(default=None, repr=False)
    source: str = SHIPPED
    quirks: Quirks = field(default_factory=Quirks)
    keys_file: Path | None = None
    key_cmd: tuple[str, ...] | None = None
    hosted: bool = False

    @property
    def stream_fields(self) -> dict[str, object]:
        """The fields of a streamed request's body that make the service count tokens."""
        return {"stream_options": {"include_usage": True}} if self.quirks.ask_usage else {}

    @property
    def on_this_computer(self) -> bool:
        """Whether the address is this computer's own, so that no key is needed."""
        return is_loopback_url(self.base_url)

    @property
    def runs_here(self) -> bool:
        """Whether its models run on this computer, as far as its name and address say.

        A hosted service whose address was changed to this computer is a gateway, which passes prompts on.
        """
        return self.on_this_computer and not self.hosted

    @property
    def needs_key(self) -> bool:
        """Whether the service is of no use without a key."""
        return self.key_env is not None and not self.on_this_computer

    def find_key(self, environ: Mapping[str, str]) -> FoundKey | None:
        """Return the key and where it was found, None when there is none.

        KeyMissingError for a text that cannot be a key, or a key that cannot be read; ConfigError for
        a mistake in keys.toml. The keyring is opened only when the key is known to be in it.
        """
        if given := self._given_key(environ):
            return given
        if self.key_cmd:
            where = f"command {self.key_cmd[0]}"
            return FoundKey(clean_key(key_from(self.key_cmd, self.name), f"{self.name}: {where}"), where)
        return KeyFile(self.keys_file).get(self.name) if self.keys_file else None

    def key_source(self, environ: Mapping[str, str]) -> str:
        """Return where the key would be found, "" when there is none; opens no keyring, runs no command.

        Raises as `find_key` does.
        """
        if given := self._given_key(environ):
            return given.source
        if self.key_cmd:
            return f"command {self.key_cmd[0]}"
        place = KeyFile(self.keys_file).places().get(self.name) if self.keys_file else None
        return {"file": f"file {self.keys_file}", "keyring": "system keyring", None: ""}[place]

    def _given_key(self, environ: Mapping[str, str]) -> FoundKey | None:
        """Return the key that was given for this run or in the environment."""
        if self.key and (key := clean_key(self.key, f"The {service_title(self.name)} API key")):
            return FoundKey(key, "this run")
        if self.key_env and (key := clean_key(environ.get(self.key_env, ""), self.key_env)):
            return FoundKey(key, f"environment {self.key_env}")
        return None


def is_loopback_url(base_url: str) -> bool:
    """Whether a service's address leads to this computer itself."""
    address = _ADDRESS.fullmatch(base_url)
    return address is not None and is_loopback(address["host"])


def is_loopback(host: str) -> bool:
    """Whether a host's name or address is this computer's own, reachable from nowhere else."""
    name = host.strip("[]").rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    if not (name[:1].isdigit() or ":" in name):
        return False
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def read_endpoints(own: Mapping[str, Section], environ: Mapping[str, str]) -> dict[str, EndpointConfig]:
    """Return all services by name: shipped, then the user's, then TOGETHER_BASE_URL.

    ConfigError for a mistake in the user's tables, UsageError for one in the variable.
    """
    path = shipped_file("endpoints.toml")
    keys_file = config_dir(environ) / FILE_NAME
    endpoints: dict[str, EndpointConfig] = {}
    root = Section(path, read_toml(path))
    for name in root.table:
        if section := root.section(name):
            read = _read(name, section, None, SHIPPED)
            endpoints[name] = replace(read, keys_file=keys_file, hosted=not read.on_this_computer)
    endpoints[LOCAL] = EndpointConfig(LOCAL, _ENGINE, quirks=Quirks(thinking="chat_template_kwargs"))
    for name, section in own.items():
        if not _NAME.fullmatch(name) or name in {DEMO, LOCAL}:
            raise section.error("", "expected another name: letters, digits, - and _, not demo or local")
        read = _read(name, section, endpoints.get(name), str(section.file))
        endpoints[name] = replace(read, keys_file=keys_file)
    if (url := environ.get(BASE_URL_VARIABLE, "").strip()) and TOGETHER in endpoints:
        if not is_url(url):
            raise UsageError(f"environment {BASE_URL_VARIABLE}: expected {_URL}")
        source = f"environment {BASE_URL_VARIABLE}"
        endpoints[TOGETHER] = replace(endpoints[TOGETHER], base_url=_with_version(url), source=source)
    return endpoints


def _with_version(url: str) -> str:
    """Return TOGETHER_BASE_URL as an OpenAI-compatible base URL.

    The SDK of 2026 takes the address without its version and adds `/v1` to every path, its
    predecessor took it with the version: people have both in their environment.
    """
    url = url.rstrip("/")
    return url if re.search(r"/v\d+(/|$)", url) else f"{url}/v1"


def endpoint_with_key(endpoint: EndpointConfig, environ: Mapping[str, str]) -> Endpoint:
    """Return the service with its key, ready for requests.

    KeyMissingError, which names the ways on, when it needs a key and there is none.
    """
    if not endpoint.base_url:
        raise UsageError("The offline service is not running.", hint="Start moa-bot with --demo.")
    found = endpoint.find_key(environ)
    if found is None and endpoint.needs_key:
        page = KEYS_PAGES.get(endpoint.name)
        where = f" (get one at {page})" if page else ""
        raise KeyMissingError(
            f"No {service_title(endpoint.name)} API key yet: {endpoint.key_env} is not set.",
            hint=f"Set {endpoint.key_env} to your key{where}, or keep it: moa-bot keys set {endpoint.name}."
            " Or use a service on this computer (for instance --endpoint ollama, with models of its own),"
            " or try it offline with --demo.",
        )
    quirks = endpoint.quirks
    return Endpoint(
        endpoint.name,
        endpoint.base_url,
        found.key if found else None,
        dict(endpoint.headers),
        quirks.rate,
        quirks.parallel,
        quirks.max_tokens_field,
        quirks.rejects,
        own=endpoint.name in {DEMO, LOCAL},
        cache_marks=quirks.cache_marks,
        cache_key_field=quirks.cache_key_field,
        cache_key_header=quirks.cache_key_header,
    )


def unknown_endpoint(name: str, endpoints: Mapping[str, EndpointConfig], said: str = "") -> UsageError:
    """Return the error for a service that is not there; `said` is where it was named."""
    where = f"{said}: " if said else ""
    if name == DEMO:
        return UsageError(f"{where}{DEMO} is the offline service, which is not running.", hint="Use --demo.")
    hint = did_you_mean(name, endpoints)
    known = ", ".join(key for key in endpoints if key != DEMO)
    shown = name if name.isprintable() else "?"
    return UsageError(f'{where}no endpoint "{shown}".', hint=f"{hint}Endpoints: {known}.")


def _read(name: str, section: Section, base: EndpointConfig | None, source: str) -> EndpointConfig:
    section.reject_unknown_keys(("base_url", "key_env", "key_cmd", "headers", *QUIRKS))
    url = section.table.get("base_url")
    if url is None and base is None:
        raise section.error("base_url", f"missing; expected {_URL}")
    if url is not None and not (isinstance(url, str) and is_url(url)):
        raise section.error("base_url", f"expected {_URL}")
    key_env = section.table.get("key_env")
    # What stands here is not repeated in the message: it may be a key that strayed.
    if key_env is not None and not (isinstance(key_env, str) and _KEY_ENV.fullmatch(key_env)):
        raise section.error(
            "key_env", "expected the name of an environment variable, in capitals, such as MY_API_KEY"
        )
    key_cmd = split_command(section.table["key_cmd"]) if "key_cmd" in section else None
    if "key_cmd" in section and key_cmd is None:
        raise section.error("key_cmd", "expected a command that prints the key, as a text or a list of words")
    return EndpointConfig(
        name,
        url.rstrip("/") if isinstance(url, str) else base.base_url if base else "",
        key_env or (base.key_env if base else None),
        {**(base.headers if base else {}), **_headers(section)},
        source=source,
        quirks=read_quirks(section, base.quirks if base else Quirks()),
        key_cmd=key_cmd or (base.key_cmd if base else None),
        hosted=base is not None and base.hosted,
    )


def _headers(section: Section) -> dict[str, str]:
    table = section.section("headers")
    if table is None:
        return {}
    headers: dict[str, str] = {}
    for name, value in table.table.items():
        problem = _header_problem(table, name, value)
        if problem:
            raise problem
        headers[name] = str(value)
    return headers


def _header_problem(table: Section, name: str, value: object) -> ConfigError | None:
    if not _HEADER.fullmatch(name):
        return table.error(name, "expected the name of an HTTP header")
    if not (isinstance(value, str) and value.isascii() and value.isprintable()):
        return table.error(name, "expected a text of one line, in ASCII")
    return None


def is_url(text: str) -> bool:
    """Whether a text is the address of a service, without user, password or query."""
    address = _ADDRESS.fullmatch(text)
    return (
        address is not None
        and not set(text) & set("@?#")
        and int(address["port"] or 1) in range(1, _LAST_PORT + 1)
        and (not address["host"].startswith("[") or _is_ipv6(address["host"][1:-1]))
    )


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True
