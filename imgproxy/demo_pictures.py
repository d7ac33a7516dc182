"""Draws the sample pictures of `imgproxy serve --demo`: `python -m imgproxy.demo_pictures DIRECTORY`.

In a process of its own, because the supervisor must not load libvips.
"""

from __future__ import annotations

import itertools
import math
import random
import sys
from pathlib import Path
from typing import Any

import pyvips

Image = Any
"""pyvips ships no types."""

WIDTH, HEIGHT = 1920, 1280
HORIZON = 0.70
SUN = (0.63, 0.50)
Color = tuple[float, float, float]

SKY: tuple[tuple[float, Color], ...] = (
    (0.0, (22, 34, 84)),
    (0.28, (84, 74, 148)),
    (0.48, (214, 112, 124)),
    (0.60, (252, 172, 110)),
    (0.72, (255, 214, 150)),
)


def draw(directory: Path) -> None:
    """Write every sample into `directory`: JPEG with and without EXIF orientation, PNG with alpha, GIF, WebP, SVG."""
    lake = evening_lake()
    lake.jpegsave(str(directory / "lake.jpg"), Q=90)
    turned = lake.resize(0.5).rot270().copy()
    turned.set_type(pyvips.GValue.gint_type, "orientation", 6)
    turned.set_type(pyvips.GValue.gstr_type, "exif-ifd0-Copyright", "Public domain")
    turned.jpegsave(str(directory / "turned.jpg"), Q=88)
    pyvips.Image.svgload_buffer(balloon_svg(0.0, 0.0, size=900).encode()).pngsave(str(directory / "balloon.png"))
    frames = [pyvips.Image.svgload_buffer(scene_svg(frame / 24).encode()).flatten() for frame in range(24)]
    strip = pyvips.Image.arrayjoin(frames, across=1).copy()
    strip.set_type(pyvips.GValue.gint_type, "page-height", frames[0].height)
    strip.set_type(pyvips.GValue.array_int_type, "delay", [70] * len(frames))
    strip.gifsave(str(directory / "flight.gif"))
    strip.webpsave(str(directory / "flight.webp"), Q=80, effort=2)
    (directory / "balloon.svg").write_text(scene_svg(0.2), "utf-8")


def evening_lake() -> Image:
    """Mountains before a low sun, and their reflection, as 8-bit sRGB."""
    chance = random.Random(7)  # noqa: S311 - the same picture every time
    grid = pyvips.Image.xyz(WIDTH, HEIGHT).cast("float")
    x, y = grid[0] / WIDTH, grid[1] / HEIGHT
    # In memory, because the water reads it from anywhere.
    land = _mountains(_sky(x, y), x, y, chance).copy_memory()
    water = _water(land, x, y)
    shore = ((y - HORIZON) * HEIGHT / 2).linear(1, 0.5)
    picture = _mix(land, water, _clamp(shore))
    vignette = 1.04 - 0.5 * ((x - 0.5) ** 2 + (y - 0.5) ** 2)
    grain = pyvips.Image.gaussnoise(WIDTH, HEIGHT, sigma=2.2, mean=0, seed=3)
    finished: Image = (picture * vignette + grain).cast("uchar").copy(interpretation="srgb")
    return finished


def _sky(x: Image, y: Image) -> Image:
    sky = _gradient(y)
    distance = ((x - SUN[0]) * (WIDTH / HEIGHT)) ** 2 + (y - SUN[1]) ** 2
    for spread, strength in ((0.10, 46.0), (0.014, 62.0), (0.0022, 60.0)):
        sky = sky + (distance * (-1 / spread)).exp() * strength * [1.0, 0.78, 0.5]
    disc = _clamp((0.034 - distance**0.5) * 420)
    sky = _mix(sky, _flat([420, 384, 300]), disc)
    clouds = sum(_noise(cell * 3, cell, seed) * weight for cell, weight, seed in ((150, 0.55, 1), (60, 0.3, 2), (24, 0.15, 3)))
    band = (((y - 0.30) / 0.17) ** 2 * -1).exp()
    lit = _clamp(clouds * 2.6 - 0.05) * band
    return _mix(sky, _flat([255, 182, 148]), lit * 0.55)


def _mountains(picture: Image, x: Image, y: Image, chance: random.Random) -> Image:
    haze, dark = (236, 150, 128), (22, 26, 52)
    ridges = ((0.60, 0.24, 3), (0.63, 0.17, 4), (0.665, 0.11, 5), (0.69, 0.055, 6), (0.702, 0.028, 7))
    for number, (base, height, octaves) in enumerate(ridges):
        depth = ((number + 1) / len(ridges)) ** 0.8
        profile = [base - height * value for value in _profile(chance, octaves, rough=0.36 + 0.05 * number)]
        if number == len(ridges) - 1:
            profile = _firs(profile, chance)
        edge = pyvips.Image.new_from_array([profile]).cast("float").replicate(1, HEIGHT)
        mask = _clamp((y - edge) * HEIGHT * 0.7)
        color = [far + (near - far) * depth for far, near in zip(haze, dark, strict=True)]
        # Mist lies in the valleys: every ridge is paler towards its foot, the near ones less so.
        mist = _clamp((y - edge) * 5.5) * (0.75 * (1 - depth))
        light = (((x - SUN[0]) / 0.3) ** 2 * -1).exp() * (46 * (1 - depth))
        ridge = _mix(_flat(color), _flat([255, 190, 150]), mist) + light * [1.0, 0.7, 0.45]
        picture = _mix(picture, ridge, mask)
    return picture


def _water(land: Image, x: Image, y: Image) -> Image:
    depth = _clamp((y - HORIZON) / (1 - HORIZON))
    near = depth * 0.9 + 0.1
    ripples = _noise(220, 9, 11) * 0.6 + _noise(70, 4, 12) * 0.4
    across = _clamp((x * WIDTH + ripples * near * 34) / (WIDTH - 2)) * (WIDTH - 2)
    down = _clamp((2 * HORIZON - y) + ripples * near * 0.045) * (HEIGHT - 2)
    mirrored = land.mapim(across.bandjoin(down), interpolate=pyvips.Interpolate.new("bilinear"), extend="copy")
    shade = 0.86 - depth * 0.38
    water = mirrored * shade + (depth * 26 + 4) * [0.25, 0.55, 1.0]
    path = (((x - SUN[0]) / (depth * 0.09 + 0.03)) ** 2 * -1).exp()
    glitter = _clamp(_noise(90, 5, 14) * 5 - 0.75) * path
    return water + glitter * 120 * [1.0, 0.82, 0.55]


def _gradient(y: Image) -> Image:
    rows: list[list[float]] = []
    for row in range(HEIGHT):
        at = row / HEIGHT
        below = next((stop for stop in SKY if stop[0] >= at), SKY[-1])
        above = next((stop for stop in reversed(SKY) if stop[0] <= at), SKY[0])
        part = (at - above[0]) / (below[0] - above[0]) if below[0] > above[0] else 0.0
        rows.append([first + (second - first) * part for first, second in zip(above[1], below[1], strict=True)])
    bands = [pyvips.Image.new_from_array([[row[band]] for row in rows]) for band in range(3)]
    column = bands[0].bandjoin(bands[1:]).cast("float")
    return column.replicate(y.width, 1)


def _noise(across: int, down: int, seed: int) -> Image:
    """Perlin noise from -1 to 1 whose cells are `across` × `down` pixels."""
    cell = 32
    small = pyvips.Image.perlin(
        math.ceil(WIDTH * cell / across) + cell, math.ceil(HEIGHT * cell / down) + cell, cell_size=cell, seed=seed
    )
    return small.resize(across / cell, vscale=down / cell, kernel="cubic").crop(0, 0, WIDTH, HEIGHT)


def _profile(chance: random.Random, octaves: int, rough: float) -> list[float]:
    """Heights along a ridge, 0–1 or a little more: sines that halve in length, then noise that halves in strength."""
    points = [chance.random() * 0.6, chance.random() * 0.6]
    spread = 0.75
    for _ in range(octaves + 6):
        between = [(left + right) / 2 + (chance.random() - 0.5) * spread for left, right in itertools.pairwise(points)]
        points = [value for pair in zip(points, between, strict=False) for value in pair] + [points[-1]]
        spread *= rough + 0.12
    step = (len(points) - 1) / WIDTH
    heights = []
    for column in range(WIDTH):
        place = column * step
        left = int(place)
        heights.append(points[left] + (points[min(left + 1, len(points) - 1)] - points[left]) * (place - left))
    return heights


def _firs(profile: list[float], chance: random.Random) -> list[float]:
    """A forest on the nearest ridge."""
    forest = list(profile)
    column = 0
    while column < WIDTH:
        width = chance.randint(5, 13)
        height = width * chance.uniform(1.3, 2.6) / HEIGHT
        for offset in range(min(width, WIDTH - column)):
            forest[column + offset] -= height * (1 - abs(offset - width / 2) / (width / 2))
        column += max(3, int(width * chance.uniform(0.5, 0.9)))
    return forest


def _clamp(image: Image) -> Image:
    return (image > 0).ifthenelse((image < 1).ifthenelse(image, 1.0), 0.0)


def _flat(color: list[float]) -> Image:
    return pyvips.Image.black(WIDTH, HEIGHT).cast("float") + color


def _mix(below: Image, above: Image, part: Image) -> Image:
    return below + (above - below) * part


def balloon_svg(x: float, y: float, *, size: int = 300, wrapped: bool = True) -> str:
    """A hot-air balloon in a box of 300 × 300, with its upper left corner at (x, y)."""
    colors = ("#f94144", "#f8961e", "#f9c74f", "#90be6d", "#43aa8b", "#577590")
    gores = "".join(
        f'<path fill="{color}" d="M150 20C{150 + reach * 1.34:.0f} 20 {150 + reach * 1.3:.0f} 130 150 205'
        f'C{150 + inner * 1.3:.0f} 130 {150 + inner * 1.34:.0f} 20 150 20Z"/>'
        for color, reach, inner in zip(colors, (-100, -67, -33, 0, 33, 67), (-67, -33, 0, 33, 67, 100), strict=True)
    )
    drawn = (
        f'<g transform="translate({x:.1f} {y:.1f})"><defs>'
        '<radialGradient id="shine" cx=".36" cy=".28" r=".8"><stop offset="0" stop-color="#fff" stop-opacity=".55"/>'
        '<stop offset=".45" stop-color="#fff" stop-opacity="0"/><stop offset="1" stop-color="#201040" stop-opacity=".45"/>'
        f"</radialGradient></defs>{gores}"
        '<path fill="url(#shine)" d="M150 20C16 20 20 130 150 205C280 130 284 20 150 20Z"/>'
        '<path stroke="#5b4636" stroke-width="2.2" fill="none" d="M141 198L136 236M159 198L164 236M150 203V236"/>'
        '<path fill="#a5673f" d="M130 234h40l-5 30q-15 6-30 0z"/><path fill="#7d4a2c" d="M128 231h44v7h-44z"/>'
        '<path stroke="#8a5433" stroke-width="1.6" d="M133 246h34M135 254h30"/></g>'
    )
    if not wrapped:
        return drawn
    return f'<svg xmlns="http://www.w3.org/2000/svg" width="{size}" height="{size}" viewBox="0 0 300 300">{drawn}</svg>'


def scene_svg(phase: float) -> str:
    """The balloon over hills; `phase` 0–1 is one turn of an endless loop."""
    turn = 2 * math.pi * phase
    hills = ""
    for color, base, high, waves, speed in (
        ("#7fb7be", 205, 22, 1, 1),
        ("#4f9d8f", 228, 18, 2, 1),
        ("#2f6f5e", 252, 14, 3, 2),
    ):
        tops = " ".join(
            f"L{x} {base - high * math.sin(2 * math.pi * waves * x / 480 + speed * turn + base):.1f}" for x in range(0, 481, 12)
        )
        hills += f'<path fill="{color}" d="M0 320{tops}L480 320Z"/>'
    cloud = '<path fill="#fff" fill-opacity=".85" d="M0 0h74a16 16 0 0 0-4-31a24 24 0 0 0-44-6a19 19 0 0 0-26 37z"/>'
    clouds = "".join(
        f'<g transform="translate({(start + 640 * phase) % 640 - 100:.1f} {y}) scale({scale})">{cloud}</g>'
        for start, y, scale in ((90, 84, 1.0), (330, 58, 0.7), (520, 128, 0.85))
    )
    balloon = balloon_svg(110 + 14 * math.sin(turn), -6 + 10 * math.cos(turn), wrapped=False)
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" width="480" height="320" viewBox="0 0 480 320">'
        '<defs><linearGradient id="sky" x2="0" y2="1"><stop offset="0" stop-color="#4aa3df"/>'
        '<stop offset="1" stop-color="#fdf0d5"/></linearGradient></defs>'
        f'<rect width="480" height="320" fill="url(#sky)"/><circle cx="400" cy="70" r="30" fill="#ffd166"/>'
        f"{clouds}{hills}{balloon}</svg>"
    )


if __name__ == "__main__":
    draw(Path(sys.argv[1]))
