"""Opens originals by the explicit libvips operation of their format. Nothing else in the package decodes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pyvips

from imgproxy.errors import ImageError, NotAnImage, Undecodable
from imgproxy.formats import SNIFF_BYTES, Format, sniff
from imgproxy.render import gif, heif, png, svg, tiff
from imgproxy.render.colour import in_p3, straight, without_extras
from imgproxy.render.decoders import Sheet, open_sheet, undecodable
from imgproxy.render.facts import Facts
from imgproxy.render.frames import page_height
from imgproxy.render.libvips import ERRORS, forget_errors, reads
from imgproxy.render.plan import Plan
from imgproxy.render.verbatim import require_whole

Watch = Callable[[pyvips.Image], None]
"""Is shown every image that is loaded. `image.set_kill(True)`, from any thread, ends whatever is being computed from it."""


class Original:
    """One original in memory. `source` must outlive every image loaded from here: libvips reads from it."""

    def __init__(self, source: bytes, watch: Watch | None = None, *, thumbnail: bool = False) -> None:
        """Reads the header; of the `thumbnail` where that is asked for and there is one.

        Raises NotAnImage, FormatUnavailable, Undecodable."""
        found = sniff(source[:SNIFF_BYTES])
        if found is None or not found.readable:
            raise NotAnImage("the original does not begin like any picture format this server reads")
        self._source = source
        self._watch = watch
        self._page = 0
        self._accepted = False
        self._thumbnail = thumbnail and found.loader == "heifload"
        self._premultiplied = found.loader == "heifload" and heif.premultiplied(source)
        self._p3 = _is_p3(found, source)
        self.format: Format = found
        if found.name == "svg":
            svg.refuse_nested_entities(source)
        self._sheet = None if reads(found) else open_sheet(found, source, 0)
        self.header = self._open() if self._sheet is None else _outline(self._sheet)
        self._pixels_unread = True
        if found.name == "svg":
            svg.refuse_overflow(self.header, self._open)
            self._give_view()
        self.facts = _facts(found, self.header)

    def show(self, frame: int) -> None:
        """From now on there is only this frame or page, from 1; the last where there are fewer. Raises Undecodable."""
        self._page = min(frame, self.pages) - 1
        if self._page:
            self._turn_page()
            self.facts = _facts(self.format, self.header)
        self.facts = msgspec.structs.replace(self.facts, frames=1)

    @property
    def pages(self) -> int:
        """How many frames or pages there are."""
        return _pages(self.header)

    def whole(self) -> None:
        """Raises Undecodable when the file is cut short in a way that its decoder would pass over, and FormatUnavailable.

        The size must have been found acceptable: what libvips cannot read is decoded here, and what a GIF leaves free of its
        canvas is drawn, and only then are their facts known.
        """
        self._accepted = True
        if self._sheet is not None and not self.facts.vector:
            self.header = self._decoded(self._sheet, 1.0)
            self.facts = _facts(self.format, self.header)
        if self.format.name == "gif":
            require_whole(self._source)
            self._clear()
            if not self.header.hasalpha():
                self.header = gif.on_canvas(self.header, self._source, self._page)
            self.facts = msgspec.structs.replace(self.facts, alpha=bool(self.header.hasalpha()))
        elif self.format.name == "tiff":
            tiff.require_whole(self._source, self._page)

    def load(self, plan: Plan, frames: int) -> pyvips.Image:
        """The pixels, lazily: the first frame, or all of them one below the other."""
        if self._sheet is not None:
            return self._decoded(self._sheet, plan.scale) if self.facts.vector else self.header
        options: dict[str, object] = {}
        if self.format.animation and frames > 1:
            options["n"] = -1
        if plan.shrink > 1:
            options["shrink"] = plan.shrink
        if plan.scale != 1.0:
            options["scale"] = plan.scale
        if not options and self._pixels_unread:
            # Opening costs 0.1 ms, with EXIF 0.3; but a sequential image gives its pixels once.
            self._pixels_unread = False
            return self.header
        return self._open(**options)

    def full(self, frames: int) -> pyvips.Image:
        """The pixels at full size."""
        if self._sheet is not None:
            return self._decoded(self._sheet, 1.0) if self.facts.vector else self.header
        return self._open(n=-1) if self.format.animation and frames > 1 else self._open()

    def _give_view(self) -> None:
        """So that a drawing can be scaled that does not say how large it is: libvips has measured what is in it."""
        at = svg.lacks_view(self._source)
        if at is not None:
            self._source = svg.with_view(self._source, at, self.header.width, self.header.height)
            self.header = self._open()

    def _clear(self) -> None:
        """So that nothing is left of what a frame takes away."""
        source = gif.clearing(self._source)
        if source is not self._source:
            self._source = source
            self.header = self._open()

    def _turn_page(self) -> None:
        if self._sheet is None:
            self.header = self._open()
        else:
            self._sheet = open_sheet(self.format, self._source, self._page)
            self.header = _outline(self._sheet)

    def _decoded(self, sheet: Sheet, scale: float) -> pyvips.Image:
        try:
            image = sheet.decode(scale)
        except (ImageError, MemoryError):
            raise
        except Exception as error:  # what these libraries raise over a bad file is not written down anywhere
            forget_errors()
            raise undecodable(self.format) from error
        return self._shown(image)

    def _open(self, **options: Any) -> pyvips.Image:
        if self.format.name == "svg":
            options |= svg.load_options(options.get("scale", 1.0))
        if self._page:
            options["page"] = self._page
        if self._thumbnail:
            options["thumbnail"] = True
        try:
            image = pyvips.Operation.call(
                f"{self.format.loader}_source",
                pyvips.Source.new_from_memory(self._source),
                # A picture that is half there is no picture. What libtiff cannot unpack, libvips calls an error and not a cut.
                fail_on="error" if self.format.name == "tiff" else "truncated",
                access="sequential",
                **options,
            )
        except ERRORS as error:
            forget_errors()
            raise Undecodable(f"the original begins like {self.format.name.upper()} but cannot be read") from error
        return self._shown(image)

    def _shown(self, image: pyvips.Image) -> pyvips.Image:
        """As everything here takes it."""
        if self._watch:
            self._watch(image)
        if self.format.name == "gif" and self._accepted and not image.hasalpha():
            # It is as large as the picture, so not before that is found acceptable.
            return gif.on_canvas(image, self._source, self._page)
        if self._p3 and not image.get_typeof("icc-profile-data"):
            image = in_p3(image)
        if self.format.name == "tiff":
            image = without_extras(image)
        return straight(image) if self._premultiplied and image.hasalpha() else image


def _is_p3(found: Format, source: bytes) -> bool:
    """Whether it says so by numbers: of a profile, libvips knows."""
    if found.name == "png":
        return png.display_p3(source)
    return found.loader == "heifload" and heif.display_p3(source)


def _outline(sheet: Sheet) -> pyvips.Image:
    """A header without pixels: the size, and how many pages there are. Raises Undecodable."""
    try:
        header = pyvips.Image.black(sheet.width, sheet.height, bands=3).copy(interpretation="srgb")
    except ERRORS as error:
        forget_errors()
        raise Undecodable("the original has a size that no picture has") from error
    header.set_type(pyvips.GValue.gint_type, "n-pages", sheet.pages)
    return header


def _facts(found: Format, header: pyvips.Image) -> Facts:
    # Asked for one by one: to list all fields costs more than all else here.
    return Facts(
        format=found,
        width=header.width,
        height=page_height(header) if found.animation else header.height,
        frames=_pages(header) if found.animation else 1,
        # libheif and libjxl turn upright by themselves.
        orientation=1 if found.name in ("avif", "heic", "jxl") else _orientation(header),
        alpha=bool(header.hasalpha()),
        icc=bool(header.get_typeof("icc-profile-data")),
        cmyk=header.interpretation == "cmyk",
        grey=header.interpretation in ("b-w", "grey16"),
        depth=8 if header.format == "uchar" else 16,
        graphics=bool(header.get_typeof("palette")),
        vector=found.name in ("svg", "pdf"),
    )


def _pages(header: pyvips.Image) -> int:
    return int(header.get("n-pages")) if header.get_typeof("n-pages") else 1


def _orientation(header: pyvips.Image) -> int:
    orientation = int(header.get("orientation")) if header.get_typeof("orientation") else 1
    return orientation if 1 <= orientation <= 8 else 1
