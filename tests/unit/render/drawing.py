"""Pictures made by code, and one call that renders them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable

import msgspec
import pyvips

from imgproxy.jobs.wire import Finished, Job, Limits
from imgproxy.render import engine
from imgproxy.spec import Recipe, Transform

LIMITS = Limits(source_pixels=50_000_000, source_side=16_384, source_frames=256, result_pixels=16_000_000, result_side=8_192)

RED, GREEN, BLUE, WHITE = (200, 30, 30), (30, 180, 30), (40, 40, 210), (255, 255, 255)

Pixel = tuple[float, ...]


def plain(width: int, height: int, color: Pixel = RED) -> pyvips.Image:
    """One colour; as many channels as `color` has."""
    image = pyvips.Image.black(width, height).new_from_image(list(color)).cast("uchar")
    return image.copy(interpretation="srgb" if len(color) > 2 else "b-w").copy_memory()


def quarters(width: int = 80, height: int = 40) -> pyvips.Image:
    """Red and green above, blue and white below: tells every orientation from every other."""
    cells = [plain(width // 2, height // 2, color) for color in (RED, GREEN, BLUE, WHITE)]
    return pyvips.Image.arrayjoin(cells, across=2).copy(interpretation="srgb").copy_memory()


def noise(width: int, height: int) -> pyvips.Image:
    bands = [pyvips.Image.gaussnoise(width, height, mean=128, sigma=60, seed=seed) for seed in (1, 2, 3)]
    return bands[0].bandjoin(bands[1:]).cast("uchar").copy(interpretation="srgb").copy_memory()


def smooth(width: int, height: int) -> pyvips.Image:
    """A gradient: what a photograph is to an encoder."""
    axes = pyvips.Image.xyz(width, height)
    across, down = axes[0] * 255 / max(width - 1, 1), axes[1] * 255 / max(height - 1, 1)
    return across.bandjoin([down, 255 - across]).cast("uchar").copy(interpretation="srgb").copy_memory()


def animation(colors: tuple[Pixel, ...], width: int = 40, height: int = 20, delay: int = 70, loop: int = 3) -> pyvips.Image:
    tall = pyvips.Image.arrayjoin([plain(width, height, color) for color in colors], across=1).copy(interpretation="srgb")
    tall.set_type(pyvips.GValue.gint_type, "page-height", height)
    tall.set_type(pyvips.GValue.array_int_type, "delay", [delay] * len(colors))
    tall.set_type(pyvips.GValue.gint_type, "loop", loop)
    return tall.copy_memory()


def oriented(orientation: int, image: pyvips.Image | None = None) -> bytes:
    """A JPEG that says so in EXIF; `image` is what is stored."""
    stored = (quarters() if image is None else image).copy()
    stored.set_type(pyvips.GValue.gint_type, "orientation", orientation)
    return bytes(stored.jpegsave_buffer(Q=95))


def job(transform: Transform, accepts: tuple[str, ...] = (), **limits: int) -> Job:
    return Job(
        transform=transform,
        accepts=accepts,  # type: ignore[arg-type]  # a test's literal
        limits=msgspec.structs.replace(LIMITS, **limits),
        source_offset=0,
        source_length=0,
        seconds=10,
    )


def render(
    source: bytes,
    transform: Transform,
    accepts: tuple[str, ...] = (),
    recipe: Recipe | None = None,
    watch: Callable[[pyvips.Image], None] | None = None,
    **limits: int,
) -> tuple[Finished, bytes]:
    with tempfile.TemporaryFile() as out:
        finished = engine.render(job(transform, accepts, **limits), source, out.fileno(), recipe or Recipe(), watch)
        out.seek(0)
        data = out.read()
    assert finished.length == len(data)
    return finished, data


def opened(data: bytes, **options: object) -> pyvips.Image:
    return pyvips.Image.new_from_buffer(data, "", **options).copy_memory()


def drawn(source: bytes, **asked: object) -> pyvips.Image:
    """The result of a transform as PNG, decoded: for looking at pixels."""
    finished, data = render(source, Transform(format="png", **asked))
    image = opened(data)
    assert (image.width, image.height) == (finished.width, finished.height)
    return image


def close(found: list[float], wanted: Pixel, by: float = 6) -> bool:
    return len(found) == len(wanted) and all(abs(one - other) <= by for one, other in zip(found, wanted, strict=True))
