"""Many connections behind one descriptor, on real sockets and both event loops."""

from __future__ import annotations

import asyncio
import math
import socket
from collections.abc import Callable, Coroutine

import pytest
import uvloop

from imgproxy.jobs.packets import Packets

LOOPS = [asyncio.new_event_loop, uvloop.new_event_loop]
Story = Callable[[Packets], Coroutine[None, None, None]]


def pair() -> tuple[socket.socket, socket.socket]:
    """Ours, which does not block, and theirs."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    return ours, theirs


def tell(loop: Callable[[], asyncio.AbstractEventLoop], story: Story) -> None:
    async def begin() -> None:
        await asyncio.wait_for(story(Packets()), 10)

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(begin())


def soon(seconds: float) -> float:
    return asyncio.get_running_loop().time() + seconds


@pytest.mark.parametrize("loop", LOOPS)
def test_packets_come_one_by_one_whenever_they_were_sent(loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def story(packets: Packets) -> None:
        ours, theirs = pair()
        theirs.send(b"before")
        with packets.of(ours) as connection, theirs:
            theirs.send(b"with it")
            assert await connection.receive(math.inf) == b"before"
            assert await connection.receive(math.inf) == b"with it"
            waiting = asyncio.create_task(connection.receive(math.inf))
            await asyncio.sleep(0)
            theirs.send(b"while it is waited for")
            assert await waiting == b"while it is waited for"
            theirs.send(b"last")
            theirs.close()
            assert await connection.receive(math.inf) == b"last"
            assert await connection.receive(math.inf) == b""
        assert ours.fileno() == -1

    tell(loop, story)


@pytest.mark.parametrize("loop", LOOPS)
def test_each_gets_its_own(loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """More than are told of in one turn of the loop."""

    async def story(packets: Packets) -> None:
        pairs = [pair() for _ in range(150)]
        waiting = [asyncio.create_task(packets.of(ours).receive(soon(30))) for ours, _ in pairs]
        await asyncio.sleep(0)
        for number, (_, theirs) in reversed([*enumerate(pairs)]):
            theirs.send(str(number).encode())
        assert await asyncio.gather(*waiting) == [str(number).encode() for number in range(150)]
        for ours, theirs in pairs:
            packets.close(ours)
            theirs.close()

    tell(loop, story)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_number_that_is_used_again_is_another_connection(loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def story(packets: Packets) -> None:
        ours, theirs = pair()
        number = ours.fileno()
        with packets.of(ours):
            theirs.send(b"for nobody")
        theirs.close()
        ours, theirs = pair()
        assert ours.fileno() == number
        with packets.of(ours) as connection, theirs:
            theirs.send(b"for this one")
            assert await connection.receive(math.inf) == b"for this one"

    tell(loop, story)


@pytest.mark.parametrize("loop", LOOPS)
def test_each_waits_as_long_as_it_was_told(loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def story(packets: Packets) -> None:
        (patient, first), (brief, second), (briefer, third) = pair(), pair(), pair()
        with packets.of(patient) as long, packets.of(brief) as short, packets.of(briefer) as shorter:
            waiting = asyncio.create_task(long.receive(soon(30)))
            await asyncio.sleep(0)
            late = [asyncio.create_task(short.receive(soon(0.04))), asyncio.create_task(shorter.receive(soon(0.02)))]
            for outcome in await asyncio.gather(*late, return_exceptions=True):
                assert isinstance(outcome, TimeoutError)
            # One that came too late is there for who waits again.
            second.send(b"late")
            assert await short.receive(soon(30)) == b"late"
            assert not waiting.done()
            first.send(b"in time")
            assert await waiting == b"in time"
        for each in (first, second, third):
            each.close()

    tell(loop, story)


async def test_who_waits_no_longer_loses_nothing() -> None:
    packets = Packets()
    ours, theirs = pair()
    with packets.of(ours) as connection, theirs:
        waiting = asyncio.create_task(connection.receive(soon(30)))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        theirs.send(b"kept")
        assert await connection.receive(soon(30)) == b"kept"


async def test_the_end_of_a_peer_that_read_nothing_is_an_end() -> None:
    packets = Packets()
    ours, theirs = pair()
    ours.send(b"unread")
    with packets.of(ours) as connection:
        theirs.close()
        assert await connection.receive(soon(30)) == b""
