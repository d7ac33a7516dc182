"""render: one job from bytes to bytes. The only place where libvips' errors become ours.

libvips is lazy: the stage "load" reads headers and plans, "steps" builds the pipeline (and evaluates what has to be measured:
trim, smartcrop, turning), "save" runs decoder, steps and encoder as one.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Literal

import msgspec
import pyvips

from imgproxy.errors import Undecodable
from imgproxy.formats import FORMATS
from imgproxy.jobs.wire import Finished, Job, Quick
from imgproxy.render import frames, metadata, refusal, rendition, report
from imgproxy.render.choose import Choice, choose
from imgproxy.render.costs import Costs
from imgproxy.render.draw import Drawable, Drawn, Overlays, draw, has_alpha, plan_of, staged
from imgproxy.render.encode import SAVERS, quality
from imgproxy.render.facts import Facts, refuse, refuse_size
from imgproxy.render.libvips import ERRORS, forget_errors, prepare
from imgproxy.render.load import Original, Watch
from imgproxy.render.look import look
from imgproxy.render.pace import Encoder, at_pace, paced
from imgproxy.render.plan import Plan
from imgproxy.render.rendition import Rendition, Unreadable
from imgproxy.render.sample import SIDE
from imgproxy.render.stage import Stage, stacked
from imgproxy.render.timing import timed
from imgproxy.render.verbatim import strip
from imgproxy.spec import DATA, Recipe, Transform

__all__ = ["Watch", "prepare", "render", "render_rendition"]

LOWEST_QUALITY = 20
"""Below it, re-encoding in order not to be larger than the original is not worth it."""


class Result(msgspec.Struct, frozen=True, kw_only=True):
    data: bytes
    format: str
    width: int
    height: int
    frames: int
    why: str
    interim: bool = False
    rendition: Literal["", "used", "wanted"] = ""


def render(  # noqa: PLR0913 -- a job, and all that a process has for it
    job: Job,
    source: bytes,
    out_fd: int,
    recipe: Recipe,
    watch: Watch | None = None,
    costs: Costs | None = None,
    marks: Sequence[bytes] = (),
) -> Finished:
    """Draws what `job` asks of `source`, the whole original, and writes it at the current position of `out_fd`.

    Where the job asks for a rendition of `source`, that is what it makes; it is written in parts, anything else only when it
    is complete. `watch` is shown each image that is loaded; calling `set_kill(True)` on those from another thread ends the
    evaluation with Undecodable, except inside an encoder or decoder that does not return.
    `costs` is what was learnt of this machine by the jobs before; this one adds to it. `marks` are the pictures, whole, that
    `job.transform.marks` lays over it.

    Raises NotAnImage, FormatUnavailable, Undecodable, ImageTooLarge, ResultTooLarge, RegionOutside, HashsumMismatch,
    InvalidMarkup, and OSError from writing.
    """
    stages: dict[str, float] = {}
    recipe = metadata.keeping(recipe, job.transform)
    try:
        if job.composes:
            # HarfBuzz and what breaks lines: only those pay for it who have templates.
            from imgproxy.render.compose import compose

            data, finished = compose(job, source, marks, recipe, watch)
            _write(out_fd, data)
            return finished
        if job.makes_rendition:
            return _rendition_of(job, source, out_fd, watch, stages)
        job = refusal.bounded(job, source)
        result = _result(job, source, at_pace(job, recipe), watch, stages, Encoder(job, costs or Costs()), marks)
    except ERRORS as error:
        forget_errors()
        raise Undecodable("the original is truncated or broken") from error
    return _finished(result, out_fd, stages)


def render_rendition(  # noqa: PLR0913 -- as above
    job: Job,
    rendition_fd: int,
    out_fd: int,
    recipe: Recipe,
    watch: Watch | None = None,
    costs: Costs | None = None,
    marks: Sequence[bytes] = (),
) -> Finished | None:
    """As `render`, but from `job.rendition` in `rendition_fd`. None, and nothing written, where that does not serve or cannot
    be read, for any reason: then it has to be the original."""
    stages: dict[str, float] = {}
    asked = job.transform
    if job.rendition is None or metadata.keeping(recipe, asked).keep or asked.hashsum or asked.bounds or asked.skip:
        return None  # a rendition has neither metadata nor the original's bytes
    try:
        with timed(stages, "load"):
            smaller = Rendition.open(rendition_fd, job.rendition, watch)
            refuse(smaller.facts, job.limits)
            job = _seen_small(job)
            drawing = plan_of(job, job.transform.chain[0], smaller.facts, None, recipe)
        if not smaller.serves(drawing):
            return None
        overlays = Overlays(job, marks, recipe, watch)
        result = _from(smaller, drawing, at_pace(job, recipe), stages, Encoder(job, costs or Costs()), overlays)
    except (Unreadable, *ERRORS):
        forget_errors()
        return None
    return _finished(msgspec.structs.replace(result, rendition="used"), out_fd, stages)


def _rendition_of(job: Job, source: bytes, out_fd: int, watch: Watch | None, stages: dict[str, float]) -> Finished:
    with timed(stages, "save"):
        length, (width, height) = rendition.make(job, source, out_fd, watch)
    return Finished(format="rendition", width=width, height=height, frames=1, length=length, why="", stages=stages)


def _finished(result: Result, out_fd: int, stages: dict[str, float]) -> Finished:
    with timed(stages, "write"):
        _write(out_fd, result.data)
    return Finished(
        format=result.format,
        width=result.width,
        height=result.height,
        frames=result.frames,
        length=len(result.data),
        why=result.why,
        stages=stages,
        interim=result.interim,
        rendition=result.rendition,
    )


def _result(  # noqa: PLR0913 -- one job, and what it is drawn with
    job: Job,
    source: bytes,
    recipe: Recipe,
    watch: Watch | None,
    stages: dict[str, float],
    encoder: Encoder,
    marks: Sequence[bytes],
) -> Result:
    transform = job.transform
    with timed(stages, "load"):
        original = _opened(job, source, watch)
        if isinstance(original, Original) and transform.tells_original:
            return _report(original, job, source, recipe)
        if isinstance(original, Original) and _skips(job, original):
            return _as_it_is(original, source)
        job = _seen_small(job)
        first = job.transform.chain[0]
        first, trimmed = look(original, first, job.limits)
        drawing = plan_of(job, first, original.facts, trimmed, recipe)
    result = _from(original, drawing, recipe, stages, encoder, Overlays(job, marks, recipe, watch), source)
    if job.rules is not None and not recipe.keep and rendition.wanted(original.facts, drawing, job.rules):
        return msgspec.structs.replace(result, rendition="wanted")
    return result


def _opened(job: Job, source: bytes, watch: Watch | None) -> Original | Stage:
    transform = job.transform
    original = Original(source, watch, thumbnail=transform.thumbnail)
    refuse(original.facts, job.limits)
    refusal.refuse_frames(original.facts, transform.bounds)
    if transform.pages > 1:
        return stacked(original, transform.frame or 1, transform.pages, job.limits)
    if transform.frame:
        original.show(transform.frame)
        refuse(original.facts, job.limits)
    original.whole()
    return original


def _skips(job: Job, original: Original) -> bool:
    name, transform = original.format.name, job.transform
    asked = transform.format == name or (transform.format == "auto" and (name in ("jpeg", "png", "gif") or name in job.accepts))
    return name in transform.skip and asked and original.format.passthrough


def _as_it_is(original: Original, source: bytes) -> Result:
    facts = original.facts
    return Result(
        data=source,
        format=original.format.name,
        width=facts.width,
        height=facts.height,
        frames=facts.frames,
        why="it is not to be processed",
    )


def _from(  # noqa: PLR0913 -- one picture, and what it is drawn with
    original: Drawable,
    drawing: Plan,
    recipe: Recipe,
    stages: dict[str, float],
    encoder: Encoder,
    overlays: Overlays,
    source: bytes = b"",
) -> Result:
    """`source` are the original's own bytes, where it is the original that is drawn from."""
    job = encoder.job
    with timed(stages, "steps"):
        for following in job.transform.chain[1:]:
            original = staged(original, drawing, recipe, overlays)
            following, trimmed = look(original, following, job.limits)
            drawing = plan_of(job, following, original.facts, trimmed, recipe)
        choice = _choose(job, original.facts, drawing)
        over = overlays.of(drawing)
        drawn = _settled(job, original.facts, draw(original, drawing, choice, recipe, over))
    interim = isinstance(job.pace, Quick) and paced(job, drawn.choice)
    with timed(stages, "save"):
        image, choice, encoded = encoder.encode(drawn.image, drawn.choice, recipe)
        drawn = msgspec.structs.replace(drawn, image=image, choice=choice)
        result = _as_result(drawn, encoded, choice.why)
        if isinstance(original, Original) and job.transform.keeps_pixels and job.transform.negotiate:
            result = _never_worse(job, source, original, drawn, encoded, recipe)
    return msgspec.structs.replace(result, interim=True) if interim else result


def _choose(job: Job, facts: Facts, planned: Plan) -> Choice:
    return choose(job.transform, job.accepts, facts, size=(planned.width, planned.height), alpha=has_alpha(facts, planned))


def _settled(job: Job, facts: Facts, drawn: Drawn) -> Drawn:
    """An alpha channel that says "opaque" everywhere does not make a photograph a PNG: a look at the pixels decides."""
    undecided = job.transform.format == "auto" and drawn.choice.format.name == "png" and facts.alpha and not drawn.plan.clears
    if not undecided or not drawn.image.hasalpha():
        return drawn
    seen = drawn.image.copy_memory()
    if seen[seen.bands - 1].min() < (255 if seen.format == "uchar" else 65535):
        return msgspec.structs.replace(drawn, image=seen)
    size = (drawn.plan.width, drawn.plan.height)
    again = choose(job.transform, job.accepts, facts, size=size, alpha=False)
    return msgspec.structs.replace(drawn, image=seen.extract_band(0, n=seen.bands - 1), choice=again)


def _encode(drawn: Drawn, transform: Transform, recipe: Recipe, at: int = 0) -> bytes:
    name = drawn.choice.format.name
    return SAVERS[name](drawn.image, at or quality(transform, recipe, name), transform, recipe)


def _never_worse(job: Job, source: bytes, original: Original, drawn: Drawn, encoded: bytes, recipe: Recipe) -> Result:
    """Not more bytes than the original, when nothing but another encoding was asked for and the client takes the original's."""
    own = original.format
    acceptable = own.name in ("jpeg", "png", "gif") or own.name in job.accepts
    if acceptable and original.facts.orientation == 1 and not original.facts.cmyk and original.facts.depth == 8:
        stripped = strip(source, own.name, recipe.keep)
        if stripped is not None and len(stripped) < len(encoded):
            facts = original.facts
            return Result(
                data=stripped,
                format=own.name,
                width=facts.width,
                height=facts.height,
                frames=facts.frames,
                why=f"the original's own bytes are fewer than as {drawn.choice.format.name}",
            )
    return _smaller(job, source, original, drawn, encoded, recipe)


def _smaller(job: Job, source: bytes, original: Original, drawn: Drawn, encoded: bytes, recipe: Recipe) -> Result:
    """Re-encoded at lower and lower quality until it is no larger than the original."""
    why = drawn.choice.why
    if not drawn.choice.format.lossy or job.transform.lossless or len(encoded) <= len(source):
        return _as_result(drawn, encoded, why)
    asked = quality(job.transform, recipe, drawn.choice.format.name)
    while len(encoded) > len(source) and asked > LOWEST_QUALITY:
        asked = max(LOWEST_QUALITY, asked * 3 // 4)
        # What was read sequentially is read again.
        again = draw(original, drawn.plan, drawn.choice, recipe)
        encoded = _encode(again, job.transform, recipe, asked)
        why = f"{drawn.choice.why}; quality {asked} so as not to be larger than the original"
    return _as_result(drawn, encoded, why)


def _as_result(drawn: Drawn, encoded: bytes, why: str) -> Result:
    return Result(
        data=encoded,
        format=drawn.choice.format.name,
        width=drawn.image.width,
        height=frames.page_height(drawn.image) if drawn.frames > 1 else drawn.image.height,
        frames=drawn.frames,
        why=why,
    )


def _report(original: Original, job: Job, source: bytes, recipe: Recipe) -> Result:
    transform, facts = job.transform, original.facts
    orientation = transform.orient or facts.orientation
    width, height = facts.upright(orientation)
    if transform.report and transform.report.alpha == "pixels":
        # A vector, too, is looked at as large as it says it is.
        refuse_size(width, height, facts.frames, job.limits)
    if transform.report is None:
        data = metadata.report(original.header, facts, orientation, len(source))
    else:
        data = report.tell(transform.report, original, (width, height), source, lambda: _small(original, job, recipe))
    return Result(
        data=data,
        format=FORMATS["json"].name,
        width=width,
        height=height,
        frames=facts.frames,
        why="asked for",
    )


def _seen_small(job: Job) -> Job:
    """Colours are looked for in a small copy: where nothing is asked for that is measured in pixels, no larger one is drawn."""
    asked = job.transform
    plain = msgspec.structs.replace(asked, format="auto", report=None, frame=0, orient=0, hashsum=None, bounds=None)
    if asked.format not in DATA or plain != Transform():
        return job
    return msgspec.structs.replace(job, transform=msgspec.structs.replace(asked, width=SIDE, height=SIDE))


def _small(original: Original, job: Job, recipe: Recipe) -> pyvips.Image:
    """What colours are looked for in, upright and at most `SIDE` pixels a side."""
    asked = Transform(width=SIDE, height=SIDE, orient=job.transform.orient, frame=job.transform.frame)
    planned = plan_of(job, asked, original.facts, None, recipe)
    return draw(original, planned, Choice(FORMATS["json"], "asked for"), recipe).image


def _write(out_fd: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(out_fd, rest) :]
