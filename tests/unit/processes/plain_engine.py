"""The least that draws: a stand-in for `imgproxy.render.engine` where only the process around it is under test."""

from __future__ import annotations

import os
from collections.abc import Callable

import pyvips

from imgproxy.errors import NotAnImage, Undecodable
from imgproxy.jobs.wire import Finished, Job
from imgproxy.processes.deadline import Stoppable
from imgproxy.spec import Recipe


def prepare(allow_old: bool) -> None:
    pyvips.cache_set_max(0)
    pyvips.Image.black(16, 16).webpsave_buffer()


def render(job: Job, source: bytes, out_fd: int, recipe: Recipe, watch: Callable[[Stoppable], None]) -> Finished:
    if not source:
        raise NotAnImage("there is nothing")
    try:
        image = pyvips.Image.new_from_buffer(source, "")
        watch(image)
        out = image.thumbnail_image(16).webpsave_buffer()
    except pyvips.Error as error:
        raise Undecodable(str(error)) from error
    os.write(out_fd, out)
    return Finished(format="webp", width=16, height=16, frames=1, length=len(out), why="because", stages={})
