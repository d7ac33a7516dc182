"""100,000 spoilt URLs: nothing comes of them but our own errors, and none that was not signed is let in."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from imgproxy.errors import ImgproxyError, RequestError
from imgproxy.keysalt import KeySalt
from imgproxy.signing import Signer, authorize
from imgproxy.urls.base64url import base64_of
from imgproxy.urls.dialect import Dialect, Signed
from imgproxy.urls.encrypted import Cipherer
from imgproxy.urls.imgproxy import Imgproxy
from imgproxy.urls.imgproxy_info import ImgproxyInfo
from imgproxy.urls.native import Native

MANY = 12_500
"""Of each of the eight seeds."""

KEY = KeySalt([("943b421c9eb07c83", "520f986b998545b4")])
SIGNER = Signer([("k1", "0123456789abcdef0123456789abcdef")])
DOOR = Imgproxy(
    web="web",
    local="local",
    presets={"card": ("rs:fill:300:400", "g:sm"), "default": ("q:80",)},
    cipher=Cipherer(bytes(range(32))),
    watermark=("local", "logo.png"),
    security=True,
    file_names=True,
)
LOGO = base64_of("local:///logo.png")
PATHS = (
    "/rs:fill:300:400:0/g:fp:0.5:0.25/plain/local:///shop/dress.jpg@webp",
    f"/pr:card/wm:0.5:soea:10:10:0.2/wmu:{LOGO}/-/pix:4/-/rot:90/{LOGO}/name.png",
    f"/aq:dssim:0.02:70:85:0.001/jpgo:1:0:1:1:1:3/fq:jpg:80:webp:75/hs:md5:{'0' * 32}/exp:1798761600/plain/https://a.test/b.jpg",
    "/c:0.5:100:noea:1:2/t:10:ff00ff:1/pd:1:2:3:4/fn:dG9t:1/att:1/gr:0.5:000:down:0.1:1/plain/local:///a%20b.jpg",
)
QUERIES = (
    "w=300&h=400&fit=crop&crop=focalpoint&fp-x=0.5&q=80&dpr=2",
    "mark=brand/logo.png&mark-align=top,left&mark-alpha=50&txt=Hello+World&txt-font=DejaVu+Sans&ch=width,dpr",
    "rect=0,0,0.5,0.5&trim=auto&bg=80ff0000&border=4,333333&corner-radius=1,2,3,4&mask=corners&fm=png&expires=1798761600",
    "palette=json&colors=4&auto=format,compress&dl=name.jpg",
)
NASTY = (
    *(
        "%",
        "%2",
        "%zz",
        "%00",
        "%ff",
        "%2F",
        "%2e%2e",
        "..",
        "//",
        "/",
        "?",
        "&",
        "=",
        ":",
        "@",
        "#",
        "-",
        ".",
        "+",
        "\0",
        "\n",
        " ",
    ),
    *("é", "\udcff", "🙂", "٣", "NaN", "inf", "-inf", "1e999", "-0", "9" * 40, "0x10", "1_000"),
    *("plain/", "enc/", "-/", "s=", "unsafe", "w=1", "pr:x"),
)

Change = Callable[[random.Random, str], str]


def _insert(chance: random.Random, text: str) -> str:
    at = chance.randrange(len(text) + 1)
    return text[:at] + chance.choice(NASTY) + text[at:]


def _replace(chance: random.Random, text: str) -> str:
    at = chance.randrange(len(text))
    return text[:at] + chance.choice(NASTY) + text[at + 1 + chance.randrange(4) :]


def _delete(chance: random.Random, text: str) -> str:
    at = chance.randrange(len(text))
    return text[:at] + text[at + 1 + chance.randrange(8) :]


def _flip(chance: random.Random, text: str) -> str:
    at = chance.randrange(len(text))
    return text[:at] + chr(ord(text[at]) ^ (1 << chance.randrange(7))) + text[at + 1 :]


def _case(chance: random.Random, text: str) -> str:
    at = chance.randrange(len(text))
    return text[:at] + text[at].swapcase() + text[at + 1 :]


def _swap(chance: random.Random, text: str) -> str:
    mark = chance.choice("/&:")
    parts = text.split(mark)
    chance.shuffle(parts)
    return mark.join(parts)


def _double(chance: random.Random, text: str) -> str:
    mark = chance.choice("/&:")
    parts = text.split(mark)
    at = chance.randrange(len(parts))
    return mark.join([*parts[:at], *[parts[at]] * chance.choice((2, 3, 70)), *parts[at:]])


def _cut(chance: random.Random, text: str) -> str:
    return text[: chance.randrange(1, len(text) + 1)]


CHANGES: tuple[Change, ...] = (_insert, _insert, _replace, _delete, _flip, _case, _swap, _double, _cut)


def spoilt(chance: random.Random, text: str) -> str:
    for _ in range(chance.choice((1, 1, 1, 2, 3, 6))):
        text = chance.choice(CHANGES)(chance, text) if text else "/"
    return text


def targets() -> list[tuple[Dialect, KeySalt | Signer, str]]:
    """Signed ones."""
    found: list[tuple[Dialect, KeySalt | Signer, str]] = []
    for path in PATHS:
        found += [(DOOR, KEY, f"/{KEY.sign(path)}{path}"), (ImgproxyInfo(DOOR), KEY, f"/info/{KEY.sign(path)}{path}")]
    found += [(Native(), SIGNER, SIGNER.sign(f"/images/shop/2026/dress.jpg?{query}")) for query in QUERIES]
    return found


@pytest.mark.parametrize("seed", range(8))
def test_what_is_spoilt_is_refused_and_nothing_else_happens(seed: int) -> None:
    chance = random.Random(seed)
    signed = targets()
    whole: set[tuple[Dialect, Signed]] = set()
    for dialect, _, target in signed:
        whole.add((dialect, dialect.split(target)))
    parsed = 0
    for number in range(MANY):
        dialect, verifier, target = signed[number % len(signed)]
        mutant = spoilt(chance, target)
        if not dialect.matches(mutant):
            continue
        try:
            parts = dialect.split(mutant)
        except RequestError:
            continue
        try:
            authorize(verifier, parts, dialect.parse, False, 0)
        except ImgproxyError:
            pass
        else:
            assert (dialect, parts) in whole, f"a forgery is let in: {mutant!r}"
        try:
            request = dialect.parse(parts.payload)
        except RequestError:
            continue
        parsed += 1
        assert request.source
    assert parsed > MANY // 100, "enough of them are still URLs that mean something"


def test_options_without_end_are_refused_at_once() -> None:
    for payload in (
        f"/{'w:1/' * 100_000}plain/local:///a",
        f"/{'-/' * 100_000}plain/local:///a",
        f"/w:1/{'-/' * 100_000}plain/local:///a",
    ):
        with pytest.raises(RequestError):
            DOOR.parse(payload)
    with pytest.raises(RequestError):
        Native().parse(f"/images/a/b?{'&'.join(['w=1'] * 100_000)}")
