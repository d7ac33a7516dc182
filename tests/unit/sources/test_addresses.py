from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from imgproxy.sources.addresses import AllowedNetwork, embedded, judge, parse_network

# Written out by hand: the last public address before each prefix (or None), its first, its last, the first public one after it.
V4_EDGES = [
    (None, "0.0.0.0", "0.255.255.255", "1.0.0.0"),
    ("9.255.255.255", "10.0.0.0", "10.255.255.255", "11.0.0.0"),
    ("100.63.255.255", "100.64.0.0", "100.127.255.255", "100.128.0.0"),
    ("126.255.255.255", "127.0.0.0", "127.255.255.255", "128.0.0.0"),
    ("168.63.129.15", "168.63.129.16", "168.63.129.16", "168.63.129.17"),
    ("169.253.255.255", "169.254.0.0", "169.254.255.255", "169.255.0.0"),
    ("172.15.255.255", "172.16.0.0", "172.31.255.255", "172.32.0.0"),
    ("191.255.255.255", "192.0.0.0", "192.0.0.255", "192.0.1.0"),
    ("192.0.1.255", "192.0.2.0", "192.0.2.255", "192.0.3.0"),
    ("192.88.98.255", "192.88.99.0", "192.88.99.255", "192.88.100.0"),
    ("192.167.255.255", "192.168.0.0", "192.168.255.255", "192.169.0.0"),
    ("198.17.255.255", "198.18.0.0", "198.19.255.255", "198.20.0.0"),
    ("198.51.99.255", "198.51.100.0", "198.51.100.255", "198.51.101.0"),
    ("203.0.112.255", "203.0.113.0", "203.0.113.255", "203.0.114.0"),
    ("223.255.255.255", "224.0.0.0", "239.255.255.255", None),
    (None, "240.0.0.0", "255.255.255.255", None),
]
F = "ffff:ffff:ffff:ffff:ffff:ffff"
V6_EDGES = [
    (None, "::", "::", None),
    (None, "::1", "::1", None),
    (None, "100::", "100::ffff:ffff:ffff:ffff", None),
    (None, "64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff", None),
    (None, "64:ff9b:0:0:0:1::", f"64:ff9b:{F}", None),
    (None, f"1fff:ffff:{F}", f"1fff:ffff:{F}", "2000::"),
    (f"2000:ffff:{F}", "2001::", f"2001:1ff:{F}", "2001:200::"),
    (f"2001:ffff:{F}", "2002::", f"2002:ffff:{F}", "2003::"),
    (f"2001:db7:{F}", "2001:db8::", f"2001:db8:{F}", "2001:db9::"),
    (f"3ffe:ffff:{F}", "3fff::", f"3fff:fff:{F}", "3fff:1000::"),
    (f"3fff:ffff:{F}", "4000::", f"4000:0:{F}", None),
    (None, "fc00::", f"fdff:ffff:{F}", None),
    (None, "fe80::", f"febf:ffff:{F}", None),
    (None, "fec0::", f"feff:ffff:{F}", None),
    (None, "ff00::", f"ffff:ffff:{F}", None),
]
EDGES = V4_EDGES + V6_EDGES
FORBIDDEN = sorted({edge for _, first, last, _ in EDGES for edge in (first, last)})
PUBLIC = [
    *sorted({edge for below, _, _, above in EDGES for edge in (below, above) if edge}),
    "8.8.8.8",
    "2606:4700::1111",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
]
forbidden_v4 = st.sampled_from(V4_EDGES).flatmap(
    lambda row: st.integers(int(IPv4Address(row[1])), int(IPv4Address(row[2]))).map(IPv4Address)
)
host_bits = st.integers(0, 2**64 - 1)


@pytest.mark.parametrize("address", FORBIDDEN)
def test_both_edges_of_every_forbidden_prefix_are_refused(address: str) -> None:
    assert judge((address, 443)) is not None


@pytest.mark.parametrize("address", PUBLIC)
def test_what_lies_beside_a_forbidden_prefix_may_be_dialled(address: str) -> None:
    assert judge((address, 443)) is None


ENCODINGS = {
    "mapped": lambda v4, _: 0xFFFF << 32 | v4,
    "compatible": lambda v4, _: v4,
    "siit": lambda v4, _: 0xFFFF << 48 | v4,
    "nat64": lambda v4, _: 0x0064_FF9B << 96 | v4,
    "nat64-local-96": lambda v4, _: 0x0064_FF9B_0001 << 80 | v4,
    "nat64-local-48": lambda v4, _: 0x0064_FF9B_0001 << 80 | v4 >> 16 << 64 | (v4 & 0xFFFF) << 40,
    "nat64-local-56": lambda v4, _: 0x0064_FF9B_0001 << 80 | v4 >> 24 << 64 | (v4 & 0xFF_FFFF) << 32,
    "nat64-local-64": lambda v4, _: 0x0064_FF9B_0001 << 80 | v4 << 24,
    "6to4": lambda v4, rest: 0x2002 << 112 | v4 << 80 | rest,
    "teredo-server": lambda v4, rest: 0x2001_0000 << 96 | v4 << 64 | rest,
    "teredo-client": lambda v4, rest: 0x2001_0000 << 96 | 0x0808_0808 << 64 | rest >> 32 << 32 | v4 ^ 0xFFFF_FFFF,
    "isatap": lambda v4, rest: (0x2606_4700 << 32 | rest >> 32) << 64 | 0x0000_5EFE << 32 | v4,
    "isatap-universal": lambda v4, rest: (0x2606_4700 << 32 | rest >> 32) << 64 | 0x0200_5EFE << 32 | v4,
}


@pytest.mark.parametrize("form", ENCODINGS)
@given(v4=forbidden_v4, rest=host_bits)
@example(v4=IPv4Address("169.254.169.254"), rest=0)
def test_a_forbidden_ipv4_address_is_refused_in_every_encoding(form: str, v4: IPv4Address, rest: int) -> None:
    address = IPv6Address(ENCODINGS[form](int(v4), rest))
    assert v4 in set(embedded(address))
    assert judge((str(address), 443, 0, 0)) is not None


@given(st.ip_addresses(v=4).filter(lambda address: judge((str(address), 80)) is None))
def test_a_public_ipv4_address_may_be_dialled_natively_and_mapped(address: IPv4Address) -> None:
    assert address.is_global  # another's table: it forbids no more than this, and no less of what matters here
    assert judge((f"::ffff:{address}", 80, 0, 0)) is None


@given(st.ip_addresses(v=6))
def test_what_ipaddress_calls_not_global_is_never_dialled(address: IPv6Address) -> None:
    if not address.is_global and not address.ipv4_mapped:
        assert judge((str(address), 80, 0, 0)) is not None


@pytest.mark.parametrize(
    "sockaddr", [(), ("", 80), ("localhost", 80), ("0x7f.1", 80), ("8.8.8.8", "x"), ("/run/x.sock",), ("1", 80)]
)
def test_what_is_no_address_is_refused(sockaddr: tuple[object, ...]) -> None:
    assert judge(sockaddr) is not None


@pytest.mark.parametrize("sockaddr", [("2606:4700::1%eth0", 80, 0, 0), ("2606:4700::1", 80, 0, 3)])
def test_an_address_with_a_zone_is_refused(sockaddr: tuple[object, ...]) -> None:
    assert judge(sockaddr) == "scoped to a link"


@pytest.mark.parametrize(
    ("network", "address", "port", "dialled"),
    [
        ("10.0.0.0/8", "10.1.2.3", 80, True),
        ("10.0.0.0/8", "11.1.2.3", 80, True),
        ("10.0.0.0/8", "::ffff:10.1.2.3", 80, True),
        ("10.0.0.0/8", "172.16.0.1", 80, False),
        ("10.0.0.0/8", "64:ff9b::10.1.2.3", 80, False),
        ("127.0.0.1/32:8080", "127.0.0.1", 8080, True),
        ("127.0.0.1/32:8080", "127.0.0.1", 8081, False),
        ("127.0.0.1", "127.0.0.1", 1, True),
        ("127.0.0.1", "127.0.0.2", 1, False),
        ("fd00::/8", "fd12::1", 80, True),
        ("[fd00::/8]:443", "fd12::1", 443, True),
        ("[fd00::/8]:443", "fd12::1", 80, False),
        ("::1", "::1", 80, True),
        ("64:ff9b:1::/48", "64:ff9b:1::10.0.0.1", 80, True),
    ],
)
def test_an_allowed_network_opens_itself_and_nothing_else(network: str, address: str, port: int, dialled: bool) -> None:
    assert (judge((address, port), [parse_network(network)]) is None) is dialled


@pytest.mark.parametrize(
    "text",
    [
        "",
        "10.0.0.0/33",
        "10.0.0.1/8",
        "10.0.0.0/8:0",
        "10.0.0.0/8:70000",
        "10.0.0.0/8:x",
        "[fd00::/8",
        "[fd00::/8]:",
        "host",
        "a:1",
    ],
)
def test_a_network_that_is_none_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_network(text)


def test_a_network_is_parsed_with_its_port() -> None:
    assert parse_network("127.0.0.1/32:8080") == AllowedNetwork(parse_network("127.0.0.1").network, 8080)
    assert ip_address("127.0.0.1") in parse_network("127.0.0.1/32:8080").network
