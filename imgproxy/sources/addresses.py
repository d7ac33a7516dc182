"""Which network addresses may be dialled. Pure, and decided on the socket address alone: every odd spelling of a host has
become numbers by then.

The tables are our own. `ipaddress.is_global` changed its answers between Python patch releases (CVE-2024-4032).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

_FORBIDDEN_V4 = tuple(
    IPv4Network(prefix)
    for prefix in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "168.63.129.16/32",  # looks public, and is every Azure machine's own host
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)

# All that was ever given out as public lies here; ::1, fc00::/7, fe80::/10, fec0::/10, ff00::/8, 100::/64 and the rest do not.
_GLOBAL_V6 = (IPv6Network("2000::/3"), IPv6Network("64:ff9b::/96"))
_TEREDO = IPv6Network("2001::/32")
_FORBIDDEN_V6 = tuple(
    IPv6Network(prefix)
    for prefix in (
        "2001::/23",  # IETF protocol assignments (RFC 2928), Teredo among them
        "2001:db8::/32",
        "2002::/16",  # 6to4, whose public relays are gone (RFC 7526)
        "3fff::/20",  # documentation (RFC 9637)
    )
)

_MAPPED = IPv6Network("::ffff:0:0/96")
_LOW_32 = (
    _MAPPED,
    IPv6Network("::/96"),  # compatible (RFC 4291 §2.5.5.1)
    IPv6Network("::ffff:0:0:0/96"),  # translated, SIIT (RFC 2765)
    IPv6Network("64:ff9b::/96"),  # NAT64 (RFC 6052)
)
_LOCAL_NAT64 = IPv6Network("64:ff9b:1::/48")  # RFC 8215
_6TO4 = IPv6Network("2002::/16")
_ISATAP = 0x0000_5EFE  # RFC 5214 §6.1, with or without the universal bit
_UNIVERSAL = 0x0200_0000
_MASK = 0xFFFF_FFFF

_NETWORK = re.compile(r"(?:\[([^\[\]]+)\]|([^\[\]:]+))(?::([0-9]{1,5}))?")


@dataclass(frozen=True, slots=True)
class AllowedNetwork:
    """A network that may be reached although it is not public, on one port or (None) on all."""

    network: IPv4Network | IPv6Network
    port: int | None = None

    def holds(self, address: IPv4Address | IPv6Address, port: int) -> bool:
        return address in self.network and self.port in (None, port)


def parse_network(text: str) -> AllowedNetwork:
    """ "10.0.0.0/8", "127.0.0.1/32:8080", "fd00::/8" or "[fd00::/8]:8080". ValueError for anything else."""
    bare, port = text, None
    if text.startswith("[") or text.count(":") == 1:
        match = _NETWORK.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is not a network such as 10.0.0.0/8 or 127.0.0.1/32:8080")
        bare, port = match[1] or match[2], int(match[3]) if match[3] else None
        if port is not None and not 1 <= port <= 65535:
            raise ValueError(f"{text!r} has no valid port")
    return AllowedNetwork(ip_network(bare), port)


def judge(sockaddr: Sequence[object], allowed: Sequence[AllowedNetwork] = ()) -> str | None:
    """Why this socket address (host in numbers, port, …) must not be dialled, or None if it may be.

    Everything that is not globally routable is refused unless `allowed` holds it; so is an IPv6 address that carries a refused
    IPv4 address in any of the eight known ways. What does not parse is refused.
    """
    try:
        host, port = str(sockaddr[0]), int(str(sockaddr[1]))
        address = ip_address(host)
    except (IndexError, ValueError):
        return "not a network address"
    if isinstance(address, IPv6Address) and address in _MAPPED:
        address = IPv4Address(int(address) & _MASK)
    if any(network.holds(address, port) for network in allowed):
        return None
    if isinstance(address, IPv4Address):
        return _forbidden_v4(address)
    if address.scope_id is not None or any(sockaddr[3:]):
        return "scoped to a link"
    if not any(address in network for network in _GLOBAL_V6):
        return "not global unicast"
    for network in _FORBIDDEN_V6:
        if address in network:
            return f"in {network}"
    return next((reason for each in embedded(address) if (reason := _forbidden_v4(each))), None)


def embedded(address: IPv6Address) -> Iterator[IPv4Address]:
    """Every IPv4 address that `address` may stand for: where a form is ambiguous, each reading of it."""
    number = int(address)
    if any(address in network for network in _LOW_32):
        yield IPv4Address(number & _MASK)
    if address in _6TO4:
        yield IPv4Address(number >> 80 & _MASK)
    if address in _TEREDO:
        yield IPv4Address(number >> 64 & _MASK)
        yield IPv4Address(~number & _MASK)
    if number >> 32 & _MASK & ~_UNIVERSAL == _ISATAP:
        yield IPv4Address(number & _MASK)
    if address in _LOCAL_NAT64:
        # RFC 6052 §2.2 for prefixes of 96, 64, 56 and 48 bits; bits 64 to 71 are always left out.
        yield IPv4Address(number & _MASK)
        yield IPv4Address(number >> 24 & _MASK)
        yield IPv4Address((number >> 64 & 0xFF) << 24 | number >> 32 & 0xFF_FFFF)
        yield IPv4Address((number >> 64 & 0xFFFF) << 16 | number >> 40 & 0xFFFF)


def _forbidden_v4(address: IPv4Address) -> str | None:
    return next((f"in {network}" for network in _FORBIDDEN_V4 if address in network), None)
