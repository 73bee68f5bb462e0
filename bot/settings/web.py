"""What the tools `web_fetch` and `web_search` may do: the section [web] of config.toml.

[web]
search = "tavily"                 # searxng, tavily, brave, exa or ddgs
search_url = "https://…"          # of SearXNG; another address of one of the others
key_env = "TAVILY_API_KEY"        # where its key is, if not in the variable of that name
allow_hosts = ["wiki.example"]    # hosts that web_fetch may ask though their addresses are not public
allow_private = false             # true: any address
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bot.settings.endpoints import is_url

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bot.settings.files import Section

KEY_VARIABLES = {"tavily": "TAVILY_API_KEY", "brave": "BRAVE_API_KEY", "exa": "EXA_API_KEY"}
"""The environment variable of each search service's key, unless `key_env` names another."""
SEARXNG, DDGS = "searxng", "ddgs"
SEARCHES = (SEARXNG, *KEY_VARIABLES, DDGS)
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]{0,60}")


@dataclass(frozen=True, slots=True)
class WebConfig:
    """The section [web]. `search` is "" where it is chosen by what is set: an address, a key."""

    search: str = ""
    search_url: str = ""
    key_env: str = ""
    allow_hosts: tuple[str, ...] = ()
    allow_private: bool = False

    def search_service(self, environ: Mapping[str, str]) -> str:
        """Return the service that searches: the one that is named, or the first that can be used."""
        if self.search:
            return self.search
        if self.search_url:
            return SEARXNG
        return next((name for name, variable in KEY_VARIABLES.items() if environ.get(variable)), DDGS)

    def key_variable(self, service: str) -> str:
        """Return the environment variable with the service's key, "" for a service without one."""
        return (self.key_env or KEY_VARIABLES[service]) if service in KEY_VARIABLES else ""


def read_web(section: Section | None) -> WebConfig:
    """Read the section [web]; without one, everything is as it comes. ConfigError for any mistake."""
    if section is None:
        return WebConfig()
    section.reject_unknown_keys(("search", "search_url", "key_env", "allow_hosts", "allow_private"))
    url = section.text("search_url") or ""
    if url and not is_url(url):
        raise section.error("search_url", "expected an address such as https://host, without user or query")
    key_env = section.table.get("key_env", "")
    # What stands here is not repeated in the message: it may be a key that strayed.
    if key_env and not (isinstance(key_env, str) and _VARIABLE.fullmatch(key_env)):
        raise section.error("key_env", "expected the name of an environment variable, such as TAVILY_API_KEY")
    search = section.choice("search", SEARCHES) or ""
    if search == SEARXNG and not url:
        raise section.error("search_url", "missing; expected the address of the SearXNG server")
    return WebConfig(
        search,
        url.rstrip("/"),
        str(key_env),
        section.texts("allow_hosts"),
        section.boolean("allow_private") or False,
    )
