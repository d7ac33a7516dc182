from __future__ import annotations

import itertools
import time

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imgproxy.canonical import canonical
from imgproxy.request import Accepts, Client, Identity, ImageRequest, Validators, acceptable, etag, identify, negotiate
from imgproxy.spec import Transform
from tests.unit.urls.strategies import requests, transforms

CHROME = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, ()),
        ("", ()),
        ("*/*", ()),
        ("image/*", ()),
        ("image/*,*/*;q=0.8", ()),
        ("image/webp", ("webp",)),
        ("image/avif", ("avif",)),
        (CHROME, ("avif", "webp")),
        ("image/webp,image/avif", ("avif", "webp")),
        ("image/webp,image/avif;q=0.9", ("webp", "avif")),
        ("image/webp;q=0.901,image/avif;q=0.9", ("webp", "avif")),
        ("image/avif;q=0", ()),
        ("image/avif;q=0.000,image/webp", ("webp",)),
        ("image/avif;q=0,image/*;q=1", ()),
        ("image/avif,image/avif;q=0", ()),
        ("image/avif;q=0,image/avif", ()),
        ("image/webp;q=0.1,image/avif;q=0.2,image/webp;q=0.3", ("webp", "avif")),
        ("IMAGE/WebP ; Q=1", ("webp",)),
        ("image/webp\t;\tq=0.5\t,", ("webp",)),
        ("image/webp;level=1", ("webp",)),
        ("image/webp;level=1;q=0", ()),
        ('image/webp;p="a,image/avif;q=0";q=0.5', ("webp",)),
        ('image/webp;p="\\",image/avif"', ("webp",)),
        ('image/webp;p="never closed, image/avif', ("webp",)),
        ("image/webp;q=", ()),
        ("image/webp;q=2", ()),
        ("image/webp;q=1.001", ()),
        ("image/webp;q=-1", ()),
        ("image/webp;q=0.5555", ()),
        ("image/webp;q=nan", ()),
        ("image/webp;q=1.", ("webp",)),
        ("image/webp2,ximage/webp,image /webp,image/webp+x", ()),
        ("webp,avif", ()),
        (",,;;==,image/avif", ("avif",)),
    ],
)
def test_acceptable(accept: str | None, expected: Accepts) -> None:
    assert acceptable(accept) == expected


def test_two_hundred_headers_are_at_most_five_classes() -> None:
    weights = ("", ";q=0", ";q=0.3", ";q=0.9", ";q=x")
    headers = [
        f"image/avif{avif}, image/webp{webp}{rest}"
        for avif, webp, rest in itertools.product(
            weights, weights, ("", ", */*", ", image/*;q=0.5", ", text/html", ",,", ";a=b", ", *", ";")
        )
    ]
    assert len(headers) == 200
    classes = {acceptable(header) for header in headers}
    assert classes == {(), ("webp",), ("avif",), ("avif", "webp"), ("webp", "avif")}


@given(st.text(max_size=60) | st.text('image/webpavif;q=01.,"\\ *', max_size=60))
@settings(max_examples=300)
def test_any_header_is_one_of_the_five(accept: str) -> None:
    assert acceptable(accept) in {(), ("webp",), ("avif",), ("avif", "webp"), ("webp", "avif")}


@pytest.mark.parametrize("piece", ['"', '"\\', "\\", ";", ",", "image/webp;q=", 'image/avif;p="x",', ";q=1", '""'])
def test_a_long_header_costs_in_proportion(piece: str) -> None:
    """Sixteen times the header is sixteen times the work; the square of it would be 256 times."""

    def cost(count: int) -> float:
        best = 1e9
        for _ in range(5):
            began = time.process_time()
            acceptable(piece * count)
            best = min(best, time.process_time() - began)
        return best

    assert cost(64_000) < 100 * cost(4_000) + 0.01


@pytest.mark.parametrize(
    ("transform", "accepts", "vary"),
    [
        (Transform(negotiate=True), ("avif", "webp"), True),
        (Transform(format="jpeg", negotiate=True), ("avif", "webp"), True),
        (Transform(format="jpeg"), (), False),
        (Transform(format="json"), (), False),
    ],
)
def test_accept_is_looked_at_only_where_it_may_decide(transform: Transform, accepts: Accepts, vary: bool) -> None:
    request = ImageRequest(source="p", locator="a.jpg", transform=transform)
    variant = negotiate(request, Client(CHROME), transform)
    assert (variant.accepts, variant.vary) == (accepts, vary)


def _key(request: ImageRequest) -> str:
    transform = canonical(request.transform or Transform())
    return identify(negotiate(request, Client(), transform), request.source, "", b"recipe").key


def _meant(request: ImageRequest) -> tuple[str, Transform]:
    """Of a client that sends no hints it is all the same which ones would count."""
    return request.locator, canonical(msgspec.structs.replace(request.transform or Transform(), hints=()))


@given(st.data())
@settings(max_examples=150)
def test_equal_keys_are_equal_requests(data: st.DataObject) -> None:
    one = data.draw(requests(transforms()))
    other = data.draw(
        st.builds(
            lambda locator, transform: ImageRequest(source=one.source, locator=locator, transform=transform),
            st.just(one.locator) | st.sampled_from((one.locator + "/", one.locator.upper(), one.locator.replace("/", "%2F"))),
            st.just(one.transform) | transforms(),
        )
    )
    assert (_key(one) == _key(other)) == (_meant(one) == _meant(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Identity("a", "bc"), Identity("ab", "c")),
        (Identity("a", "b", "c"), Identity("a", "bc")),
        (Identity("a", "b/c"), Identity("a", "b%2Fc")),
        (Identity("a", "\u00e9"), Identity("a", "e\u0301")),
        (Identity("a", "b+c"), Identity("a", "b c")),
        (Identity("a", "b"), Identity("a", "B")),
        (Identity("a", "b", transform=b"x"), Identity("a", "b", recipe=b"x")),
        (Identity("a", "b", accepts=("avif", "webp")), Identity("a", "b", accepts=("webp", "avif"))),
        (Identity("a", "b", epoch=1), Identity("a", "b", epoch=2)),
    ],
)
def test_different_identities_have_different_keys(one: Identity, other: Identity) -> None:
    assert one.key != other.key
    assert len(one.key) == 64


@pytest.mark.parametrize(
    ("identity", "validators", "digest", "known"),
    [
        (Identity("a", "b"), None, "", False),
        (Identity("a", "b"), Validators(etag='W/"1"'), "", False),
        (Identity("a", "b"), Validators(last_modified="today"), "", False),
        (Identity("a", "b"), Validators(etag='"1"'), "", True),
        (Identity("a", "b"), Validators(etag='W/"1"'), "d", True),
        (Identity("a", "b", "v"), None, "", True),
    ],
)
def test_an_etag_needs_a_known_version(identity: Identity, validators: Validators | None, digest: str, known: bool) -> None:
    tag = etag(identity, validators, digest)
    assert bool(tag) == known
    assert not known or (tag[0] == tag[-1] == '"' and len(tag) == 34)


def test_an_etag_changes_with_the_picture_and_with_the_version() -> None:
    tags = {
        etag(Identity("a", locator, transform=transform), None, digest)
        for locator in "bc"
        for transform in (b"", b"t")
        for digest in ("1", "2")
    }
    assert len(tags) == 8
