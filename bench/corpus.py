"""Pictures made by code: the same on every machine that has the same libvips, and near enough to photographs to time with.

Three things that photographs are made of: things in front of each other with sizes that follow a power law ("dead leaves", the
usual model of natural images; it gives edges at every scale), texture and light at every scale (noise in octaves), and the
sensor's grain. `python -m bench.corpus [DIR]` prints how they compare with real ones.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyvips

SCENES = 8
"""Different pictures of the common size; runs that need more names link to these."""

SIZE = (1800, 1200)
"""Two megapixels, 3:2."""

CAMERA = 11_500_000
"""Pixels from which a JPEG counts as a camera's."""

PHOTOGRAPHS = (".jpg", ".jpeg", ".png", ".webp", ".avif", ".gif")

_SAVERS: dict[str, tuple[str, dict[str, object]]] = {
    "jpeg": ("jpegsave_buffer", {"Q": 80}),
    "webp": ("webpsave_buffer", {"Q": 79, "effort": 2}),
    "avif": ("heifsave_buffer", {"Q": 60, "effort": 1, "compression": "av1"}),
}
"""As the server encodes by default."""

_SMALLEST, _LARGEST = 3.0, 420.0
_DENSE, _SPARSE = 700, 6000
"""Pixels to a leaf, in the busiest and the calmest picture."""
_COARSEST, _FINEST = 256, 2
"""Pixels between the points of the noise. Finer than that is the grain."""


@dataclass(frozen=True, slots=True)
class Special:
    """A PNG with transparency, an animated GIF, the largest JPEG (22 MP where made by code) and a PNG of a camera's size."""

    alpha: str
    moving: str
    large: str
    large_png: str


@dataclass(frozen=True, slots=True)
class Corpus:
    """`scenes` are the names of the 2 MP JPEGs in `directory`, `cameras` of JPEGs as cameras make them (12 MP and more),
    `mixed` of pictures of all kinds and sizes. `special` are single ones that some scenarios ask for.
    """

    directory: Path
    scenes: tuple[str, ...]
    cameras: tuple[str, ...]
    mixed: tuple[str, ...]
    special: Special
    photographs: bool

    def fresh_names(self, prefix: str, count: int, names: tuple[str, ...] = ()) -> list[str]:
        """`count` new names of `names` (the scenes) in turn: hard links, so other pictures to the server, of the same bytes."""
        names = names or self.scenes
        (self.directory / prefix).mkdir()
        fresh = [f"{prefix}/{index}{Path(names[index % len(names)]).suffix}" for index in range(count)]
        for index, name in enumerate(fresh):
            (self.directory / name).hardlink_to(self.directory / names[index % len(names)])
        return fresh


def make(directory: Path, photographs: Path | None = None) -> Corpus:
    """Write the corpus into `directory`. With `photographs`, the pictures in there take the place of those made by code."""
    directory.mkdir(exist_ok=True)
    if photographs is not None:
        return _copied(directory, photographs)
    scenes = []
    for seed in range(SCENES):
        name = f"scene-{seed}.jpg"
        scene(*SIZE, seed=seed).jpegsave(str(directory / name), Q=88)
        scenes.append(name)
    others = tuple(_others(directory))
    special = Special(_alpha(directory), "moving.gif", _large(directory), _large_png(directory, "camera.jpg"))
    return Corpus(directory, tuple(scenes), ("camera.jpg",), (*scenes, *others), special, photographs=False)


def _others(directory: Path) -> Iterator[str]:
    """What else is asked of an image proxy: a camera's full size, transparency, other formats, an animation."""
    scene(4000, 3000, seed=100).jpegsave(str(directory / "camera.jpg"), Q=90)
    yield "camera.jpg"
    small = scene(1200, 900, seed=101)
    small.pngsave(str(directory / "picture.png"), compression=3)
    yield "picture.png"
    fade = (pyvips.Image.xyz(1200, 900)[0] * 255 / 1199).cast("uchar")
    small.bandjoin(fade).webpsave(str(directory / "clear.webp"), Q=85, effort=2)
    yield "clear.webp"
    _animation(directory)
    yield "moving.gif"


def _animation(directory: Path) -> None:
    frames = [scene(240, 180, seed=200 + index) for index in range(6)]
    strip = pyvips.Image.arrayjoin(frames, across=1).copy()
    strip.set_type(pyvips.GValue.gint_type, "page-height", 180)
    strip.set_type(pyvips.GValue.array_int_type, "delay", [100] * len(frames))
    strip.gifsave(str(directory / "moving.gif"), effort=1)


def _alpha(directory: Path) -> str:
    """2048×1536, the middle opaque, fading out to the edges."""
    place = pyvips.Image.xyz(2048, 1536) - [1024, 768]
    distance = (place[0] * place[0] + place[1] * place[1]) ** 0.5
    alpha = ((1000 - distance) * 255 / 400).cast("uchar")
    scene(2048, 1536, seed=102).bandjoin(alpha).pngsave(str(directory / "alpha.png"), compression=3)
    return "alpha.png"


def _large(directory: Path) -> str:
    scene(5760, 3840, seed=103).jpegsave(str(directory / "large.jpg"), Q=90)
    return "large.jpg"


def _large_png(directory: Path, camera: str) -> str:
    image = pyvips.Image.thumbnail(str(directory / camera), 4000, height=3000, size="down")
    image.colourspace("srgb").pngsave(str(directory / "large.png"), compression=2, keep="none")
    return "large.png"


def _copied(directory: Path, photographs: Path) -> Corpus:
    """The two-megapixel scenes are cut from the photographs at that size, so that figures stay comparable."""
    names: list[str] = []
    scenes: list[str] = []
    cameras: list[str] = []
    for path in sorted(path for path in photographs.iterdir() if path.suffix.lower() in PHOTOGRAPHS):
        (directory / path.name).write_bytes(path.read_bytes())
        names.append(path.name)
        image = pyvips.Image.new_from_file(str(path))
        if image.width * image.height < SIZE[0] * SIZE[1] or image.hasalpha():
            continue
        if image.width * image.height >= CAMERA and image.get("vips-loader") in ("jpegload", "uhdrload"):
            cameras.append(path.name)
        cut = pyvips.Image.thumbnail(str(path), SIZE[0], height=SIZE[1], size="both", crop="centre")
        name = f"scene-{len(scenes)}.jpg"
        cut.colourspace("srgb").jpegsave(str(directory / name), Q=88, keep="none")
        scenes.append(name)
    if not scenes:
        raise SystemExit(f"{photographs} has no photograph of two megapixels or more")
    special = _found(directory, names, cameras or scenes)
    return Corpus(directory, tuple(scenes), tuple(cameras or scenes), tuple(names), special, photographs=True)


def _found(directory: Path, names: list[str], cameras: list[str]) -> Special:
    """Among the photographs; what they lack is made by code."""

    def first(suffix: str, fits: Callable[[pyvips.Image], bool]) -> str | None:
        found = (name for name in names if name.endswith(suffix) and fits(_opened(directory / name)))
        return next(found, None)

    largest = max(cameras, key=lambda name: _opened(directory / name).width * _opened(directory / name).height)
    alpha = first(".png", lambda image: image.hasalpha() and image[image.bands - 1].min() < 255)
    moving = first(".gif", lambda image: image.get_typeof("n-pages") != 0 and image.get("n-pages") > 1)
    if moving is None:
        moving = "moving.gif"
        _animation(directory)
    return Special(alpha or _alpha(directory), moving, largest, _large_png(directory, cameras[0]))


def _opened(path: Path) -> pyvips.Image:
    return pyvips.Image.new_from_file(str(path))


def scene(width: int, height: int, seed: int) -> pyvips.Image:
    """One picture. Equal arguments give equal pixels."""
    dice = random.Random(seed)
    detail = 0.6 + 0.35 * dice.random()
    shade = _octaves(width, height, seed * 1000 + 17, detail) * dice.uniform(14, 26)
    grain = pyvips.Image.gaussnoise(width, height, sigma=dice.uniform(1.2, 3.0), mean=0, seed=seed * 1000 + 29)
    # Lenses and demosaicing leave no edge of one pixel.
    image = _leaves(width, height, dice).gaussblur(0.7) + shade + grain
    return image.cast("uchar").copy(interpretation="srgb").copy_memory()


def _leaves(width: int, height: int, dice: random.Random) -> pyvips.Image:
    """Discs over each other. Drawn as one SVG: pyvips copies the picture for every shape that is drawn into it."""

    def colour(light: float) -> str:
        return "#" + "".join(f"{min(255, max(0, round(light + dice.gauss(0, 22)))):02x}" for _ in range(3))

    area = _DENSE * (_SPARSE / _DENSE) ** dice.random()
    shapes = [f'<rect width="{width}" height="{height}" fill="{colour(dice.uniform(60, 190))}"/>']
    for _ in range(round(width * height / area)):
        # A density of radii of r^-3 is what natural images have; drawn from the inverse of its distribution.
        chance = dice.random()
        radius = (_SMALLEST**-2 * (1 - chance) + _LARGEST**-2 * chance) ** -0.5
        x, y, fill = dice.uniform(0, width), dice.uniform(0, height), colour(dice.uniform(15, 240))
        shapes.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" fill="{fill}"/>')
    document = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}">{"".join(shapes)}</svg>'
    return pyvips.Image.svgload_buffer(document.encode(), unlimited=True).flatten()


def _octaves(width: int, height: int, seed: int, roughness: float) -> pyvips.Image:
    """Noise at every scale, each half as wide and a little weaker than the one before."""
    across, down = -(-width // _COARSEST) + 1, -(-height // _COARSEST) + 1
    total, strength = pyvips.Image.gaussnoise(across, down, sigma=1, mean=0, seed=seed), 1.0
    while total.width * _FINEST < width:
        strength *= 0.5**roughness
        total = total.resize(2, kernel="linear")
        total += pyvips.Image.gaussnoise(total.width, total.height, sigma=strength, mean=0, seed=seed + total.width)
    return total.resize(_FINEST, kernel="linear").crop(0, 0, width, height)


def _describe(path: Path) -> str:
    """One line: how heavy the picture is as it is stored, and how heavy and how slow what the benchmarks make of it."""
    source = path.read_bytes()
    image = pyvips.Image.new_from_buffer(source, "")
    small = pyvips.Image.thumbnail_buffer(source, 400, height=300, crop="centre").copy_memory()
    parts = [f"{path.name:28} {len(source) / (image.width * image.height):.3f} B/px"]
    for name, (saver, options) in _SAVERS.items():
        times = []
        for _ in range(5):
            began = time.perf_counter()
            size = len(getattr(small, saver)(**options))
            times.append(time.perf_counter() - began)
        parts.append(f"{name} {size / 1000:5.1f} kB {1000 * sorted(times)[2]:5.1f} ms")
    return "  ".join(parts)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        made = make(Path(place), Path(sys.argv[1]) if len(sys.argv) > 1 else None)
        for name in made.scenes:
            print(_describe(made.directory / name))
