from __future__ import annotations

import asyncio
import socket
import struct
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import unquote

import pytest

from imgproxy.errors import SourceError, SourceForbidden
from imgproxy.sources.addresses import parse_network
from imgproxy.sources.guard import ForbiddenAddress, Guard, SystemResolver
from tests.unit.sources.origin import Names, Origin, fetch, http, origin, reply
from tests.unit.sources.test_addresses import FORBIDDEN

METADATA = ["169.254.169.254", "fd00:ec2::254", "100.100.100.200", "192.0.0.192", "168.63.129.16"]
TARGETS = [
    *FORBIDDEN,
    *METADATA,
    "127.0.0.1",
    "::ffff:127.0.0.1",
    "64:ff9b::127.0.0.1",
    "2002:7f00:1::",
    "fe80::1",
    "fd12::1",
]

REDIRECTS = ["301 Moved Permanently", "302 Found", "303 See Other", "307 Temporary Redirect", "308 Permanent Redirect"]

SPELLINGS = [
    "2130706433",
    "0x7f000001",
    "0x7f.1",
    "0x7f.0x0.0x0.0x1",
    "0177.0.0.1",
    "0177.1",
    "017700000001",
    "00000177.0.0.1",
    "127.1",
    "127.0.1",
    "127.00.00.01",
    "0",
    "0.0",
    "0x0",
    "00",
    "[::]",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[0000::0001]",
    "[::127.0.0.1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[0:0:0:0:0:ffff:127.0.0.1]",
    "[::ffff:0:127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]",
    "[fe80::1]",
    "①②⑦.⓪.⓪.①",
    "１２７.０.０.１",
    "127。0。0。1",
    "127．0．0．1",
    "127｡0｡0｡1",
    "⑯⑨.254.169.254",
    "localhost",
    "LOCALHOST",
]

_dialled: list[object] = []
_listening = False


def _audit(event: str, arguments: tuple[object, ...]) -> None:
    if _listening and event == "socket.connect":
        _dialled.append(arguments[1])


sys.addaudithook(_audit)


@pytest.fixture
def dialled() -> Iterator[list[object]]:
    """Every address that anything in this process connects a socket to meanwhile."""
    global _listening  # an audit hook stays for ever, so it needs a switch
    _dialled.clear()
    _listening = True
    yield _dialled
    _listening = False


@pytest.fixture
async def recording() -> object:
    async with origin(reply(b"secret"), host="0.0.0.0") as here:
        yield here


def bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def test_there_are_enough_targets() -> None:
    assert len(set(TARGETS)) >= 60
    assert len(set(SPELLINGS)) >= 32


@pytest.mark.parametrize("route", ["literal", "name", "redirect"])
async def test_no_forbidden_target_is_ever_dialled(route: str, recording: Origin, dialled: list[object]) -> None:
    """By its number, by a name that resolves to it, and by a redirect from an origin that may be reached."""

    async def redirect(here: Origin, head: bytes, writer: asyncio.StreamWriter) -> None:
        host = unquote(head.split(b"?to=", 1)[1].split(b" ", 1)[0].decode())
        status = REDIRECTS[here.connections % len(REDIRECTS)]
        writer.write(reply(status=status, headers={"Location": f"http://{host}:{recording.port}/"}))

    async with origin(redirect) as honest:
        names = Names({"evil.example": [[target] for target in TARGETS]})
        allowed = {"allow": [f"*:{recording.port}", f"*:{honest.port}"], "allow_networks": [f"127.0.0.1/32:{honest.port}"]}
        for target in TARGETS:
            locator = {
                "literal": f"http://{bracketed(target)}:{recording.port}/",
                "name": f"http://evil.example:{recording.port}/",
                "redirect": f"{honest.url}/?to={bracketed(target)}",
            }[route]
            async with http(resolver=names, **allowed) as source:
                with pytest.raises(SourceForbidden) as caught:
                    await fetch(source, locator)
            assert target not in str(caught.value)
        assert recording.connections == 0
        assert set(dialled) <= {("127.0.0.1", honest.port)}
        assert honest.connections == (len(TARGETS) if route == "redirect" else 0)
        assert len(names.asked) == (len(TARGETS) if route == "name" else 0)


@pytest.mark.parametrize("spelling", SPELLINGS)
async def test_no_spelling_of_a_forbidden_address_is_dialled(spelling: str, recording: Origin, dialled: list[object]) -> None:
    """With the system's own resolver, which understands more of them than anybody should."""
    async with http(allow=[f"*:{recording.port}"], allow_networks=[]) as source:
        with pytest.raises(SourceError):
            await fetch(source, f"http://{spelling}:{recording.port}/")
    assert dialled == []
    assert recording.connections == 0


async def test_a_name_that_is_rebound_is_refused_at_its_next_connection(recording: Origin) -> None:
    """First it is an allowed address; the one it turns into is not, although the same port listens there."""
    names = Names({"rebind.example": [["127.0.0.1"], ["127.0.0.2"]]})
    async with http(
        resolver=names, base_url=f"http://rebind.example:{recording.port}/", allow_networks=["127.0.0.1"]
    ) as source:
        assert await fetch(source, "a") == b"secret"
    async with http(
        resolver=names, base_url=f"http://rebind.example:{recording.port}/", allow_networks=["127.0.0.1"]
    ) as source:
        with pytest.raises(SourceForbidden):
            await fetch(source, "a")
    assert recording.connections == 1


async def test_the_socket_is_judged_even_if_the_name_was_not(recording: Origin, dialled: list[object]) -> None:
    """What the resolver lets through by mistake does not get a socket."""

    class Blind(Guard):
        async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC) -> list[object]:
            return await self._resolver.resolve(host, port, family)

    names = Names({"rebind.example": [["127.0.0.1", "127.0.0.2", "::1"]]})
    async with http(resolver=names, base_url=f"http://rebind.example:{recording.port}/") as source:
        source._guard = Blind([], names)
        with pytest.raises(SourceForbidden):
            await fetch(source, "a")
    assert dialled == []


@pytest.mark.parametrize(
    "answers",
    [
        ["8.8.8.8", "127.0.0.1"],
        ["127.0.0.1", "8.8.8.8"],
        ["2606:4700::1111", "10.0.0.1"],
        ["8.8.8.8", "::1"],
        ["8.8.8.8", "64:ff9b::a00:1"],
    ],
)
async def test_one_forbidden_answer_spoils_a_name(answers: list[str], dialled: list[object]) -> None:
    async with http(
        resolver=Names({"mixed.example": [answers]}), base_url="http://mixed.example/", allow_networks=[]
    ) as source:
        with pytest.raises(SourceForbidden):
            await fetch(source, "a")
    assert dialled == []


async def test_a_network_is_opened_for_its_port_alone() -> None:
    async with origin(reply(b"one")) as one, origin(reply(b"two")) as two:
        settings = {"allow": [f"*:{one.port}", f"*:{two.port}"], "allow_networks": [f"127.0.0.1/32:{one.port}"]}
        async with http(**settings) as source:
            assert await fetch(source, f"{one.url}/") == b"one"
            with pytest.raises(SourceForbidden):
                await fetch(source, f"{two.url}/")
        assert two.connections == 0


async def test_a_proxy_in_the_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch, dialled: list[object]) -> None:
    async with origin(reply(b"proxied")) as proxy, origin(reply(b"direct")) as here:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        async with http(base_url=here.url) as source:
            assert await fetch(source, "a") == b"direct"
        assert set(dialled) == {("127.0.0.1", here.port)}


async def test_the_guard_makes_sockets_for_what_may_be_dialled() -> None:
    guard = Guard([parse_network("127.0.0.1")], Names({}))
    with guard.new_socket((socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", 1))) as made:
        assert made.family == socket.AF_INET
    with pytest.raises(ForbiddenAddress):
        guard.new_socket((socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.2", 1)))
    await guard.close()


class NameServer(asyncio.DatagramProtocol):
    """Knows 127.0.0.1 for what begins with "good", and never answers for what begins with "silent"."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        end = data.index(b"\0", 12)
        name = data[13:end].decode("latin-1").replace("\4", ".")
        (kind,) = struct.unpack(">H", data[end + 1 : end + 3])
        self.asked[name] += kind == 1
        if name.startswith("silent"):
            return
        known = name.startswith("good") and kind == 1
        record = b"\xc0\x0c\0\1\0\1\0\0\x0e\x10\0\4\x7f\0\0\1" if known else b""
        head = data[:2] + struct.pack(">5H", 0x8180 if name.startswith("good") else 0x8183, 1, int(known), 0, 0)
        self.transport.sendto(head + data[12 : end + 5] + record, addr)


@asynccontextmanager
async def resolving() -> AsyncIterator[tuple[SystemResolver, NameServer]]:
    transport, server = await asyncio.get_running_loop().create_datagram_endpoint(NameServer, local_addr=("127.0.0.1", 0))
    resolver = SystemResolver([f"127.0.0.1:{transport.get_extra_info('sockname')[1]}"])
    yield resolver, server
    await resolver.close()
    transport.close()


async def numbers(resolver: SystemResolver, name: str) -> set[str]:
    return {answer["host"] for answer in await resolver.resolve(name, 80)}


async def test_names_whose_server_never_answers_hold_up_nobody() -> None:
    async with resolving() as (resolver, server):
        silent = [asyncio.ensure_future(numbers(resolver, f"silent{number}.test")) for number in range(500)]
        for number in range(20):
            assert await numbers(resolver, f"good{number}.test") == {"127.0.0.1"}
        assert sum(server.asked[f"good{number}.test"] for number in range(20)) >= 20
        assert not all(each.done() for each in silent)
        for each in silent:
            each.cancel()
        assert await numbers(resolver, "good.test") == {"127.0.0.1"}


async def test_a_name_that_is_not_there_is_an_error() -> None:
    async with resolving() as (resolver, _):
        with pytest.raises(OSError, match="not found"):
            await resolver.resolve("nobody.test")


async def test_an_odd_spelling_of_an_address_is_asked_of_nobody() -> None:
    async with resolving() as (resolver, server):
        for spelling in ("127.1", "0x7f.1", "017700000001", "2130706433", "0x7f000001.", "a.b.0X", "127.0.0.1."):
            with suppress(OSError):
                assert await numbers(resolver, spelling) == {"127.0.0.1"}
        assert not server.asked


async def test_answers_are_not_kept_without_end() -> None:
    """Each may have 64 KB, and whoever names the hosts may own their zone."""
    async with resolving() as (resolver, server):
        for _ in range(2):
            await numbers(resolver, "good.test")
        assert server.asked["good.test"] == 1
        async with asyncio.timeout(20):
            while server.asked["good.test"] == 1:
                await numbers(resolver, "good.test")


async def test_the_systems_resolver_says_numbers() -> None:
    resolver = SystemResolver()
    answers = await resolver.resolve("localhost", 8080)
    await resolver.close()
    assert {answer["host"] for answer in answers} <= {"127.0.0.1", "::1"}
    assert {answer["port"] for answer in answers} == {8080}
