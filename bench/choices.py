"""What the defaults were chosen by: for each way of doing one thing, its processor time, its bytes, and how near it comes to
the original at that size (`bench.similarity`). Nothing here passes or fails: whoever changes a default looks at the curve.

The drawing is libvips alone, in this process: no server, no engine. The ways of one group take turns.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median

import pyvips

from bench import similarity
from bench.report import Row
from bench.stage import Stage

Ladder = Sequence[tuple[int, float]]
"""(the JPEG decoder's factor, from which shrink on it is used), the largest first."""

LADDERS: dict[str, Ladder] = {
    "8 from 8, 4 from 4, 2 from 2": ((8, 8.0), (4, 4.0), (2, 2.0)),
    "8 from 16, 4 from 5, 2 from 2": ((8, 16.0), (4, 5.0), (2, 2.0)),
    "8 from 16, 4 from 8, 2 from 4": ((8, 16.0), (4, 8.0), (2, 4.0)),
    "8 from 12, 4 from 6, 2 from 3": ((8, 12.0), (4, 6.0), (2, 3.0)),
    "1 always": (),
}

KERNELS: dict[str, Mapping[str, object]] = {
    "lanczos3": {},
    "lanczos2": {"kernel": "lanczos2"},
    "mitchell": {"kernel": "mitchell"},
    "cubic": {"kernel": "cubic"},
    "linear": {"kernel": "linear"},
    "lanczos3, gap 2": {"gap": 2.0},
}

_AV1: Mapping[str, object] = {"Q": 60, "compression": "av1", "bitdepth": 8, "subsample_mode": "on"}

Options = Mapping[str, object]

ENCODERS: dict[str, tuple[str, Mapping[str, Options]]] = {
    "jpeg": (
        "jpegsave_buffer",
        {
            "q80": {"Q": 80},
            "q80 optimize": {"Q": 80, "optimize_coding": True},
            "q79 optimize": {"Q": 79, "optimize_coding": True},
            "q80 progressive": {"Q": 80, "interlace": True, "optimize_coding": True},
            "q80 trellis": {"Q": 80, "optimize_coding": True, "trellis_quant": True},
        },
    ),
    "webp": (
        "webpsave_buffer",
        {f"q79 effort {effort}": {"Q": 79, "effort": effort} for effort in range(5)}
        | {"q79 effort 2 smart": {"Q": 79, "effort": 2, "smart_subsample": True}}
        | {"q81 effort 1": {"Q": 81, "effort": 1}, "q77 effort 2 smart": {"Q": 77, "effort": 2, "smart_subsample": True}},
    ),
    "avif": (
        "heifsave_buffer",
        {f"q60 effort {effort}": {**_AV1, "effort": effort} for effort in range(4)}
        | {f"q60 effort {effort} ssim": {**_AV1, "effort": effort, "tune": "ssim"} for effort in range(3)}
        | {f"q60 effort {effort} psnr": {**_AV1, "effort": effort, "tune": "psnr"} for effort in range(3)},
    ),
    "png": (
        "pngsave_buffer",
        {f"compression {level}": {"compression": level} for level in (1, 2, 3, 4, 6, 9)}
        | {f"compression 4 {how}": {"compression": 4, "filter": how} for how in ("sub", "up", "paeth", "all")}
        | {f"palette effort {effort}": {"palette": True, "Q": 100, "effort": effort} for effort in (1, 3)},
    ),
    "gif": (
        "gifsave_buffer",
        {f"effort {effort}": {"effort": effort} for effort in (1, 3, 7)}
        | {f"reuse effort {effort}": {"effort": effort, "reuse": True} for effort in (1, 3)},
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sample:
    """`wanted` is the original at the size that is asked for."""

    source: bytes
    wanted: pyvips.Image


Way = Callable[[Sample], bytes]


async def run(stage: Stage) -> list[Row]:
    names = stage.corpus.scenes[:2] if stage.quick else stage.corpus.scenes
    scenes = [_sample(stage.corpus.directory / name, 400, 300) for name in names]
    small = [_sample(stage.corpus.directory / name, 160, 120) for name in names]
    large = [_sample(stage.corpus.directory / name, 800, 600) for name in stage.corpus.cameras[:2]]
    moving = [_sample(stage.corpus.directory / stage.corpus.special.moving, 100, None)]
    rows: list[Row] = []
    for what, samples in (("2 MP → 400×300", scenes), ("2 MP → 160×120", small), ("camera → 800×600", large)):
        for group, ways in _drawing().items():
            rows += _compare(f"{group}, {what}", ways, samples, stage.rounds())
    for name in ENCODERS:
        rows += _compare(f"{name} of 400×300", _encoders(name), moving if name == "gif" else scenes, stage.rounds(3))
    return rows


def _drawing() -> dict[str, dict[str, Way]]:
    return {
        "shrink": {name: _drawn(ladder, {}) for name, ladder in LADDERS.items()},
        "kernel": {name: _drawn(LADDERS["8 from 8, 4 from 4, 2 from 2"], options) for name, options in KERNELS.items()},
    }


def _drawn(ladder: Ladder, options: Mapping[str, object]) -> Way:
    def draw(sample: Sample) -> bytes:
        header = _opened(sample.source, 1)
        width, height = sample.wanted.width, sample.wanted.height
        asked = min(header.width / width, header.height / height)
        image = _opened(sample.source, next((factor for factor, least in ladder if asked >= least), 1))
        scale = max(width / image.width, height / image.height)
        sized = (max(width, round(image.width * scale)), max(height, round(image.height * scale)))
        image = image.resize(sized[0] / image.width, vscale=sized[1] / image.height, **options)
        image = image.extract_area(round((image.width - width) / 2), round((image.height - height) / 2), width, height)
        return bytes(image.jpegsave_buffer(Q=95, optimize_coding=False))

    return draw


def _encoders(name: str) -> dict[str, Way]:
    saver, ways = ENCODERS[name]
    return {way: _encoded(saver, options) for way, options in ways.items()}


def _encoded(saver: str, options: Mapping[str, object]) -> Way:
    return lambda sample: bytes(getattr(sample.wanted, saver)(keep=0, **options))


def _opened(source: bytes, shrink: int) -> pyvips.Image:
    return pyvips.Image.jpegload_buffer(source, shrink=shrink, access="sequential", autorotate=False)


def _sample(path: Path, width: int, height: int | None) -> Sample:
    return Sample(path.read_bytes(), similarity.reference(path, width, height))


def _compare(group: str, ways: Mapping[str, Way], samples: Sequence[Sample], rounds: int) -> Iterator[Row]:
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            began = time.process_time()
            for sample in samples:
                way(sample)
            spent[name].append((time.process_time() - began) * 1000 / len(samples))
    for name, way in ways.items():
        made = [(way(sample), sample.wanted) for sample in samples]
        yield Row(
            scenario="choices",
            what=f"{group}: {name}",
            value=round(median(spent[name]), 2),
            unit="ms CPU",
            rounds=[round(value, 2) for value in spent[name]],
            beside={
                "bytes": round(mean(len(data) for data, _ in made)),
                "SSIM": round(mean(similarity.ssim(similarity.opened(data), wanted) for data, wanted in made), 4),
            },
        )
