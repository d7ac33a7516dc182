"""One operation of the API, as a row: what validates its requests is what /openapi.json says of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from aiohttp import web

from imgproxy.errors import ImgproxyError
from imgproxy.library.keys import Caller, Scope
from imgproxy.web.api.shapes import Given, Nothing


@dataclass(frozen=True, slots=True)
class Call:
    """One request to the API, understood: `query` is of the operation's type, and `body` where it takes JSON."""

    request: web.Request
    caller: Caller
    query: Any
    body: Any = None

    @property
    def tenant(self) -> str:
        return self.caller.tenant


@dataclass(frozen=True, slots=True)
class Reply:
    """`response` goes out as `{"success": true, "response": …}`, unless it says so itself; bytes as they are."""

    response: msgspec.Struct | bytes
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


Run = Callable[[Call], Awaitable[Reply | web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Operation:
    """`path` has its variables in braces. `answer` None: bytes of some picture. `body`: the JSON that it takes. `upload`: it
    takes a picture, raw, as a form, or in the JSON of `body`. `reads`: it reads that JSON itself. `options`: its query has
    those of pictures' URLs as well, `values`: those of a template's variables. `accepted` is what it answers with 202 where it
    was asked to `Prefer: respond-async`. `conditional`: it looks at If-Match. `errors` are those beside what every operation
    may answer. `deprecated` ones are for scripts written for older APIs."""

    id: str
    method: str
    path: str
    scope: Scope
    summary: str
    run: Run
    answer: Any
    status: int = 200
    query: type[Given] = Nothing
    body: type[msgspec.Struct] | None = None
    upload: bool = False
    reads: bool = False
    options: bool = False
    values: bool = False
    accepted: Any = None
    conditional: bool = False
    errors: tuple[type[ImgproxyError], ...] = ()
    deprecated: bool = False
