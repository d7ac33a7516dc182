"""How much trouble is taken over a result that is to be AVIF: quickly for whoever waits, thoroughly where nobody does.

AVIF at its least effort takes 1.7 times as long as WebP and has a quarter fewer bytes; at effort 4 it takes sixty times as long
for a tenth fewer still (photographs, 400×300 to 800×600, libvips 8.18.7 with aom 3.15).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import msgspec
import pyvips

from imgproxy.formats import FORMATS
from imgproxy.jobs.wire import Job, Quick, Thorough
from imgproxy.render.choose import Choice, holds
from imgproxy.render.costs import Costs
from imgproxy.render.encode import SAVERS, quality
from imgproxy.render.search import saved, searches
from imgproxy.spec import Recipe, Transform

THOROUGH_WEBP = 6
"""The highest effort of WebP; next to any thorough AVIF it costs nothing."""


def at_pace(job: Job, recipe: Recipe) -> Recipe:
    """`recipe` with the efforts of the job's pace."""
    if searches(job.transform):
        return recipe
    match job.pace:
        case Quick():
            return msgspec.structs.replace(recipe, avif_effort=0)
        case Thorough(effort=effort):
            return msgspec.structs.replace(recipe, avif_effort=effort)
        case _:
            return recipe


def paced(job: Job, choice: Choice) -> bool:
    """Whether the job's pace makes a difference."""
    return job.pace is not None and choice.format.name == "avif" and not searches(job.transform)


@dataclass(slots=True)
class Encoder:
    """Encodes the result of one job. The processor time since it was made is what went into the picture."""

    job: Job
    costs: Costs
    clock: Callable[[], float] = time.process_time
    began: float = field(init=False)

    def __post_init__(self) -> None:
        self.began = self.clock()

    def encode(self, image: pyvips.Image, choice: Choice, recipe: Recipe) -> tuple[pyvips.Image, Choice, bytes]:
        """What was encoded, how, and its bytes. `recipe` is the one `at_pace`."""
        pace = self.job.pace
        if searches(self.job.transform):
            seen = image.copy_memory()
            return seen, *self._searched(seen, choice, recipe)
        if pace is None or not paced(self.job, choice):
            return image, choice, self._save(image, choice, recipe)
        seen = image.copy_memory()
        webp = _webp_instead(self.job, choice, (seen.width, seen.height))
        if isinstance(pace, Quick):
            return seen, *self._quick(seen, choice, webp, recipe, pace.within)
        return seen, *self._thorough(seen, choice, webp, recipe)

    def _searched(self, seen: pyvips.Image, choice: Choice, recipe: Recipe) -> tuple[Choice, bytes]:
        """In each format that would do, at the quality that is searched; the fewest bytes."""
        asked = self.job.transform
        choices = [choice, *(Choice(other, "it has the fewest bytes") for other in choice.others)]
        tried = []
        for each in choices:
            name = each.format.name
            save = partial(self._at, seen, each, recipe)
            tried.append((each, saved(save, quality(asked, recipe, name), seen, each.format, asked)))
        return min(tried, key=lambda found: len(found[1]))

    def _at(self, seen: pyvips.Image, choice: Choice, recipe: Recipe, at: int) -> bytes:
        return SAVERS[choice.format.name](seen, at, self.job.transform, recipe)

    def _quick(
        self, seen: pyvips.Image, choice: Choice, webp: Choice | None, recipe: Recipe, within: float
    ) -> tuple[Choice, bytes]:
        pixels = seen.width * seen.height
        ready = self.clock()
        if webp is not None and not self.costs.allow_avif(pixels, ready - self.began, within):
            choice = msgspec.structs.replace(webp, why="WebP until there is AVIF, which would take longer")
            data = self._instead(seen, choice, recipe)
        else:
            data = self._save(seen, choice, recipe)
        self.costs.learn(choice.format.name, pixels, self.clock() - ready)
        return choice, data

    def _thorough(self, seen: pyvips.Image, choice: Choice, webp: Choice | None, recipe: Recipe) -> tuple[Choice, bytes]:
        data = self._save(seen, choice, recipe)
        if webp is None:
            return choice, data
        other = self._instead(seen, webp, msgspec.structs.replace(recipe, webp_effort=THOROUGH_WEBP))
        return (webp, other) if len(other) < len(data) else (choice, data)

    def _save(self, image: pyvips.Image, choice: Choice, recipe: Recipe) -> bytes:
        return self._at(image, choice, recipe, quality(self.job.transform, recipe, choice.format.name))

    def _instead(self, image: pyvips.Image, webp: Choice, recipe: Recipe) -> bytes:
        """As the WebP that takes the place of an AVIF."""
        return self._at(image, webp, recipe, _as_good(self.job.transform, recipe))


def _webp_instead(job: Job, choice: Choice, size: tuple[int, int]) -> Choice | None:
    """WebP, where it may take the place of the AVIF that was chosen: never where AVIF was asked for by name."""
    webp = FORMATS["webp"]
    if not job.transform.negotiate or webp.name not in job.accepts or not holds(webp, size):
        return None
    return Choice(webp, "the client accepts it, and it has fewer bytes than AVIF")


def _as_good(transform: Transform, recipe: Recipe) -> int:
    """The quality of a WebP that stands in for an AVIF: one that the URL says is AVIF's, and the two scales lie as far apart as
    their defaults do."""
    if not transform.quality:
        return quality(transform, recipe, "webp")
    return min(100, max(1, transform.quality + recipe.webp_quality - recipe.avif_quality))
