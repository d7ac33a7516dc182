"""What a URL costs before anything is looked up: its signature verified and its options read, by each front door."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import cycle
from statistics import median

from bench.report import Row
from bench.stage import Stage
from imgproxy.errors import SignatureInvalid
from imgproxy.keysalt import KeySalt
from imgproxy.signing import Signer, Verifier, authorize
from imgproxy.urls.base64url import base64_of
from imgproxy.urls.dialect import Dialect
from imgproxy.urls.imgproxy import Imgproxy
from imgproxy.urls.native import Native

GOAL = 60.0
"""Microseconds of processor time for a typical URL."""

_PAIR = ("943b421c9eb07c83", "520f986b998545b4")
_PICTURE = "local:///shop/2026/11/summer-dress-in-blue.jpg"
_TYPICAL = "/rs:fill:300:400:0/g:sm/q:80"


_NEW = 2048
"""Targets whose options all differ: more than any door remembers."""


def cases() -> dict[str, tuple[Dialect, Verifier, list[str], float | None]]:
    """By name: a front door, what verifies its signatures, targets that are asked for in turn, and the goal."""
    door = Imgproxy(local="local", presets={"card": ("rs:fill:300:400:0", "g:sm", "q:80")})
    key, native, signer = KeySalt([_PAIR]), Native(), Signer([("k1", "0123456789abcdef0123456789abcdef")])

    def signed(path: str) -> str:
        return f"/{key.sign(path)}{path}"

    plain = signed(f"{_TYPICAL}/plain/{_PICTURE}@webp")
    path, cropped = "/images/local/shop/2026/11/summer-dress-in-blue.jpg", "fit=crop&crop=attention&q=80"
    return {
        "native": (native, signer, [signer.sign(f"{path}?w=300&h=400&{cropped}")], GOAL),
        "native, new options": (native, signer, [signer.sign(f"{path}?w={w}&h=400&{cropped}") for w in range(1, _NEW)], GOAL),
        "native, no options": (native, signer, [signer.sign(path)], None),
        "imgproxy, plain": (door, key, [plain], GOAL),
        "imgproxy, base64": (door, key, [signed(f"{_TYPICAL}/{base64_of(_PICTURE)}.webp")], GOAL),
        "imgproxy, a preset": (door, key, [signed(f"/pr:card/plain/{_PICTURE}@webp")], GOAL),
        "imgproxy, a wrong signature": (door, key, [f"/A{plain[2:]}" if plain[1] != "A" else f"/B{plain[2:]}"], None),
    }


def once(dialect: Dialect, verifier: Verifier, targets: list[str]) -> Callable[[], None]:
    ever = cycle(targets)

    def run() -> None:
        try:
            authorize(verifier, dialect.split(next(ever)), dialect.parse, False, 0)
        except SignatureInvalid:
            return

    return run


async def run(stage: Stage) -> list[Row]:
    count = 200 if stage.quick else 2000
    given = cases()
    works = {name: once(*case[:3]) for name, case in given.items()}
    rounds: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(stage.rounds(9)):
        for name, work in works.items():
            work()
            began = time.process_time()
            for _ in range(count):
                work()
            rounds[name].append((time.process_time() - began) / count * 1e6)
    return [_row(name, figures, given[name][3]) for name, figures in rounds.items()]


def _row(name: str, figures: list[float], goal: float | None) -> Row:
    found = median(figures)
    return Row(
        scenario="urls",
        what=f"verified and read: {name}",
        value=found,
        unit="µs CPU",
        goal=f"≤ {goal:g}" if goal else "",
        met=found <= goal if goal else None,
        rounds=figures,
    )
