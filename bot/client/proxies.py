"""Which proxy a request goes through: the environment's variables, as curl, Go and Python write them.

Pure, and without httpx, so that `doctor` reports what will be used. httpx reads the same variables, but of
NO_PROXY neither CIDR blocks nor ports nor IPv6 addresses without brackets, and `requests` no IPv6 block.

    HTTP_PROXY, HTTPS_PROXY, ALL_PROXY   http://host:3128, host:3128, socks5://host:1080; lower case wins
    NO_PROXY                             host, .domain, *.domain, host:port, 10.0.0.0/8, fd00::/8, [::1]:80, *
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import urlsplit

SCHEMES = {"http": "http", "https": "https", "socks": "socks5", "socks5": "socks5", "socks5h": "socks5h"}
"""The kinds of proxy by their scheme, as httpx calls them."""
_PORTS = {"http": 80, "https": 443}


class NetworkSettingError(Exception):
    """A variable of the environment about proxies or certificates that cannot be used: one line."""


@dataclass(frozen=True, slots=True)
class Proxies:
    """The proxies of an environment.

    `addresses` are (variable, value) by "http", "https" or "all"; `excepted` is the value of NO_PROXY.
    `from_system` says that they come from the settings of macOS or Windows.
    """

    addresses: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    excepted: str = ""
    from_system: bool = False

    def excepts(self, url: str) -> bool:
        """Whether no proxy is to be used for a URL."""
        scheme, host, port = _split_url(url)
        return is_excepted(self.excepted, scheme, host, port) or (self.from_system and _system_excepts(host))

    def checked(self) -> dict[str, str]:
        """Return all addresses by the variable that names them. Raises NetworkSettingError."""
        return {name: _address(name, value) for name, value in self.addresses.values()}

    def proxy_for(self, url: str) -> str | None:
        """Return the address of the proxy for a URL, None for none. Raises NetworkSettingError."""
        scheme, _, _ = _split_url(url)
        name, value = self.addresses.get(scheme) or self.addresses.get("all") or ("", "")
        return _address(name, value) if value and not self.excepts(url) else None


def proxies_of(environ: Mapping[str, str]) -> Proxies:
    """Return the proxies that an environment names, else those of the system (macOS and Windows)."""
    found: dict[str, tuple[str, str]] = {}
    # Lower case last: it wins, and an empty value takes the other away.
    for name, value in sorted(environ.items()):
        kind, _, suffix = name.lower().rpartition("_")
        # In a CGI program, HTTP_PROXY is a header that the client sent.
        if suffix == "proxy" and not (name == "HTTP_PROXY" and "REQUEST_METHOD" in environ):
            found[kind] = (name, value.strip())
    excepted = found.pop("no", ("", ""))[1]
    addresses = {
        kind: named for kind, named in found.items() if named[1] and kind in {"http", "https", "all"}
    }
    if not addresses and sys.platform in {"darwin", "win32"}:
        from urllib.request import getproxies  # noqa: PLC0415 - takes 20 ms, and is for these systems only

        system = {kind: ("the system's proxy", value) for kind, value in getproxies().items()}
        return Proxies(system, excepted, from_system=True)
    return Proxies(addresses, excepted)


def _system_excepts(host: str) -> bool:
    from urllib.request import proxy_bypass  # noqa: PLC0415 - as in `proxies_of`

    return bool(proxy_bypass(host))


def _split_url(url: str) -> tuple[str, str, int]:
    """Return a URL's scheme, its host without brackets, and its port."""
    try:
        parts = urlsplit(url)
    except ValueError:  # no address at all, as the request itself will say
        return "", "", 0
    return parts.scheme, (parts.hostname or "").rstrip("."), parts.port or _PORTS.get(parts.scheme, 0)


def is_excepted(no_proxy: str, scheme: str, host: str, port: int) -> bool:
    """Whether a value of NO_PROXY names a host, which is a name or an address without brackets."""
    address = _ip(host)
    return any(
        _matches(entry, scheme, host.lower(), port, address) for entry in re.split(r"[\s,;]+", no_proxy)
    )


def _matches(
    entry: str, scheme: str, host: str, port: int, address: IPv4Address | IPv6Address | None
) -> bool:
    entry = entry.lower()
    if "://" in entry:
        wanted, _, entry = entry.partition("://")
        if wanted not in {scheme, "all"}:
            return False
    name, wanted_port = _split_port(entry)
    if wanted_port is not None and wanted_port != port:
        return False
    if address is not None:
        try:
            return address in ip_network(name, strict=False)
        except (ValueError, TypeError):
            return "*" in name and fnmatchcase(str(address), name)
    name = name.removeprefix("*.").strip(".")
    if not name.isascii():
        name = _ascii(name)
    return bool(name) and (
        host == name or host.endswith(f".{name}") or ("*" in name and fnmatchcase(host, name))
    )


def _split_port(entry: str) -> tuple[str, int | None]:
    """Return the name, address or block of an entry without brackets, and its port (None: any)."""
    if bracketed := re.fullmatch(r"\[([^\]]*)\](/\d{1,3})?(?::(\d{1,5}))?", entry):
        return bracketed[1] + (bracketed[2] or ""), int(bracketed[3]) if bracketed[3] else None
    if entry.count(":") == 1 and (with_port := re.fullmatch(r"(.*):(\d{1,5})", entry)):
        return with_port[1], int(with_port[2])
    return entry, None


def _ip(host: str) -> IPv4Address | IPv6Address | None:
    """Return the address that a host is, None for a name; one that stands for an IPv4 address as that."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _ascii(name: str) -> str:
    """Return a name as it stands in a URL."""
    try:
        return name.encode("idna").decode("ascii")
    except UnicodeError:
        return name


def _address(name: str, value: str) -> str:
    """Return a proxy's address with a scheme that httpx knows. Raises NetworkSettingError."""
    scheme, separator, rest = value.partition("://")
    if not separator:
        scheme, rest = "http", value
    address = f"{SCHEMES.get(scheme.lower(), '')}://{rest}"
    try:
        parts = urlsplit(address)
        port = parts.port
        complete = bool(parts.scheme and parts.hostname and (separator or port))
    except ValueError:  # a port or an IPv6 address that is none
        complete = False
    if not complete or re.search(r"\s", rest):
        raise NetworkSettingError(
            f"{name} is not the address of a proxy (http, https or socks5), such as http://host:3128"
        )
    return address


def without_password(url: str) -> str:
    """Return a proxy's address as it may be shown."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
