"""Which addresses on the network are public: others are inside this computer's own network.

A page, or a person who writes one, must not be able to make the program send requests to this computer, its
network, or a cloud's metadata service. So names are looked up once, what is not public is dropped, and the
connection goes to an address that was checked: a second look-up could answer with another.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

Resolve = Callable[[str, int], Awaitable[list[str]]]
"""Returns the addresses of a host's name. OSError when there are none."""

_NOT_PUBLIC_4 = tuple(
    map(
        ip_network,
        (
            "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
            "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15",
            "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3",
        ),
    )
)  # fmt: skip
"""IANA's registry of special-purpose addresses, multicast and the reserved rest. Python's `is_global`
changed between its releases."""
_GLOBAL_6 = ip_network("2000::/3")
_NOT_PUBLIC_6 = tuple(map(ip_network, ("2001::/23", "2001:db8::/32", "3fff::/20")))
_NAT64 = ip_network("64:ff9b::/96")
_LOW_32 = 0xFFFFFFFF


def is_public(address: str) -> bool:
    """Return whether an IPv4 or IPv6 address is one of the public internet; False for what is no address."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, IPv6Address):
        embedded = _embedded_ipv4(found)
        if embedded is None:
            return found in _GLOBAL_6 and not any(found in network for network in _NOT_PUBLIC_6)
        found = embedded
    return not any(found in network for network in _NOT_PUBLIC_4)


def _embedded_ipv4(address: IPv6Address) -> IPv4Address | None:
    """Return the IPv4 address that an IPv6 address leads to: mapped, by 6to4 or by NAT64."""
    if address in _NAT64:
        return IPv4Address(int(address) & _LOW_32)
    return address.ipv4_mapped or address.sixtofour


async def resolve(host: str, port: int) -> list[str]:
    """Return the addresses of a host, as the system looks them up. OSError when there are none."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError:
        raise OSError("not the name of a host") from None
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))
