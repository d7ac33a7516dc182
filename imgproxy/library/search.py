"""What is looked for among the hosted pictures of a tenant, and the statements that find it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Select, func, select, tuple_

from imgproxy.library.tables import pictures, tags

_FREQUENT = 10_000
"""Pictures of one tag, up to which they are counted."""


class Search(msgspec.Struct, frozen=True, kw_only=True):
    """Newest first. All that is given must hold; ranges include both ends, 0 and None are no bound; `after` is the
    (created_at, id) of the last picture of the page before."""

    tags: tuple[str, ...] = ()
    format: str = ""
    min_width: int = 0
    max_width: int = 0
    min_height: int = 0
    max_height: int = 0
    min_bytes: int = 0
    max_bytes: int = 0
    since: int = 0
    until: int = 0
    private: bool | None = None
    after: tuple[int, str] | None = None
    limit: int = 20


def frequencies(tenant: str, names: Sequence[str]) -> Select[Any]:
    """How many pictures have each of these tags, in one row. What is frequent is not counted to its end."""
    some = [select(tags.c.picture).where(tags.c.tenant == tenant, tags.c.tag == name).limit(_FREQUENT) for name in names]
    return select(*(select(func.count()).select_from(each.subquery()).scalar_subquery() for each in some))


def matching(tenant: str, asked: Search) -> Select[Any]:
    """Those with the first tag are looked through for all else."""
    statement = select(pictures).where(pictures.c.tenant == tenant)
    age: tuple[ColumnElement[Any], ColumnElement[Any]] = pictures.c.created_at, pictures.c.id
    first, *others = asked.tags or ("",)
    if first:
        # Ordered by the tags' own index: a page of few is found without looking at many.
        age = tags.c.created_at, tags.c.picture
        # That the pictures are of the tenant too is not said again: a planner that has no statistics would look at all of them.
        statement = select(pictures).join(tags, tags.c.picture == pictures.c.id)
        statement = statement.where(tags.c.tenant == tenant, tags.c.tag == first)
    for other in others:
        also = tags.alias()
        statement = statement.where(select(also.c.tag).where(also.c.picture == pictures.c.id, also.c.tag == other).exists())
    if asked.format:
        statement = statement.where(pictures.c.format == asked.format)
    if asked.private is not None:
        statement = statement.where(pictures.c.private == asked.private)
    if asked.after is not None:
        statement = statement.where(tuple_(*age) < tuple_(*asked.after))
    bounds = (
        (pictures.c.width, asked.min_width, asked.max_width),
        (pictures.c.height, asked.min_height, asked.max_height),
        (pictures.c.bytes, asked.min_bytes, asked.max_bytes),
        (age[0], asked.since, asked.until),
    )
    for column, least, most in bounds:
        statement = statement.where(column >= least) if least else statement
        statement = statement.where(column <= most) if most else statement
    return statement.order_by(age[0].desc(), age[1].desc())
