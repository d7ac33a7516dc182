"""What a purge covers, as it is asked for."""

from __future__ import annotations

import pytest

from imgproxy.cache.bans import Ban
from imgproxy.request import Client, Identity, hinted
from imgproxy.spec import Transform, encode
from imgproxy.urls.native import Native
from imgproxy.web.admin import Purge, ban_of

DIALECT = Native()


def transform_of(target: str) -> Transform:
    transform = DIALECT.parse(target).transform
    assert transform is not None
    return transform


@pytest.mark.parametrize(
    ("purge", "ban"),
    [
        (Purge(source="web", path="a.jpg"), Ban(9, "web", "a.jpg")),
        (Purge(source="web", prefix="a/"), Ban(9, "web", "a/", prefix=True)),
        (Purge(source="web", prefix=""), Ban(9, "web", prefix=True)),
        (Purge(source="web", path="http:/host/a.jpg"), Ban(9, "web", "http://host/a.jpg")),
        (Purge(source="web", prefix="http:/host/"), Ban(9, "web", "http://host/", prefix=True)),
        (Purge(source="web", prefix="http:/"), Ban(9, "web", "http:/", prefix=True)),
        (Purge(url="/images/web/http:/host/a.jpg"), Ban(9, "web", "http://host/a.jpg")),
        (Purge(url="/images/web/a.jpg"), Ban(9, "web", "a.jpg")),
        (Purge(url="/images/web/a.jpg?w=9"), Ban(9, "web", "a.jpg", transform=encode(transform_of("/images/web/a.jpg?w=9")))),
        (Purge(url="/images/web/a.jpg?w=9&ch=dpr"), Ban(9, "web", "a.jpg")),
    ],
    ids=repr,
)
def test_what_a_purge_bans(purge: Purge, ban: Ban) -> None:
    assert ban_of(purge, [DIALECT], 9) == ban


@pytest.mark.parametrize("client", [Client(), Client(dpr=2), Client(width=345), Client(save_data=True)], ids=repr)
def test_what_hints_have_made_of_a_url_goes_with_it(client: Client) -> None:
    target = "/images/web/a.jpg?w=9&ch=width,dpr,save-data"
    ban = ban_of(Purge(url=target), [DIALECT], 9)
    stored = Identity("web:0123", "a.jpg", transform=encode(hinted(transform_of(target), client)))
    assert ban.applies(stored, 9)
