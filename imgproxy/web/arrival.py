"""How slowly a client may send a body: aiohttp waits for one as long as its connection is open."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from typing import TypeVar

from aiohttp import StreamReader, web

from imgproxy.errors import BodyInvalid, BodyTooLarge

RATE = 1024
"""Bytes a second, as an origin's by default."""
LONGEST = 3600.0

T = TypeVar("T")


class Arrival:
    """Of one body. `patience` is the seconds that may be waited for nothing; every byte gives 1/`rate` of a second back, up to
    that. `longest` seconds for it all. Only waiting counts, as in `sources/pace.py`; nothing that waits is called twice, as
    there, because a form's part that is cancelled has lost bytes.
    """

    def __init__(self, content: StreamReader, patience: float, rate: int = RATE, longest: float = LONGEST) -> None:
        self._content = content
        self._patience = patience
        self._rate = rate
        self._left = patience
        self._received = content.total_bytes
        self._deadline = asyncio.get_running_loop().time() + longest

    async def wait(self, more: Awaitable[T]) -> T:
        """What `more` gives, which reads from the body. Raises BodyInvalid."""
        clock = asyncio.get_running_loop().time
        began = clock()
        try:
            async with asyncio.timeout_at(min(began + self._left, self._deadline)):
                return await more
        except TimeoutError:
            raise BodyInvalid("the body arrives too slowly") from None
        finally:
            received = self._content.total_bytes
            earned = (received - self._received) / self._rate
            self._left = min(self._patience, self._left - (clock() - began) + earned)
            self._received = received

    async def each(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """`chunks`, which are read from the body. Raises BodyInvalid."""
        while (chunk := await self.wait(anext(chunks, None))) is not None:
            yield chunk


async def read_whole(request: web.Request, most: int, arrival: Arrival) -> bytes:
    """Raises BodyTooLarge and BodyInvalid."""
    if request.content_length is not None and request.content_length > most:
        raise BodyTooLarge(f"the body has {request.content_length} bytes; at most {most} are taken")
    data = bytearray()
    async for chunk in arrival.each(aiter(request.content.iter_any())):
        data += chunk
        if len(data) > most:
            raise BodyTooLarge(f"the body has more than the {most} bytes that are taken")
    return bytes(data)
