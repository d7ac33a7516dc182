"""canonical: the one spelling of a Transform. Pure; each rule says what of it has no effect beside the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from imgproxy.canonical_sizes import SIZE_RULES, plain_gravity, plain_open
from imgproxy.encoding import JpegOptions, PngOptions, Qualities, WebpOptions
from imgproxy.layers import plain_mark, plain_text
from imgproxy.parts import Border, Bounds, Color, Components, Corners, Duotone, Mask, Region, Report, Sides
from imgproxy.spec import DATA, ONCE, PALETTES, SWATCHES, Transform

_SQUARE = Corners(0, 0, 0, 0)
_NOTHING = Transform()


def canonical(transform: Transform) -> Transform:
    """The one spelling of `transform`: what has no effect beside the rest is back at its default. Idempotent."""
    if not transform.then:
        return _link(transform)
    once = {name: getattr(transform, name) for name in ONCE}
    plain = {name: getattr(_NOTHING, name) for name in once}

    # A picture that was drawn lies upright: 1 says nothing.
    rest = [msgspec.structs.replace(each, orient=0) if each.orient == 1 else each for each in transform.then]
    links = [_link(each) for each in (transform, *rest)]
    # Each by itself: what is said once of the whole chain is said by the first.
    links = [link for each in links if (link := msgspec.structs.replace(each, then=(), **plain)) != _NOTHING]
    first, *then = links or [_NOTHING]
    return _link(msgspec.structs.replace(first, then=tuple(then), **once))


def _link(transform: Transform) -> Transform:
    transform = _by(_RULES, transform)
    # A width that is still to come gives a meaning to what has none without.
    return _by((plain_open,) if "width" in transform.hints else SIZE_RULES, transform)


def _by(rules: Iterable[Callable[[Transform], dict[str, object]]], transform: Transform) -> Transform:
    for rule in rules:
        changes = rule(transform)
        if changes:
            transform = msgspec.structs.replace(transform, **changes)
    return transform


def _plain_report(asked: Transform) -> dict[str, object]:
    report = asked.report
    if asked.format == "css" or (report and report.swatches):
        css = asked.format == "css" or (report is not None and report.css)
        count = (report.swatches if report else 0) or SWATCHES
        return {"format": "css" if css else "json", "report": Report(swatches=count, css=css)}
    if report is None:
        return {}
    if asked.format == "blurhash":
        plain = report.blurhash in (None, Components())
        return {"report": None if plain else Report(blurhash=report.blurhash)}
    if asked.format != "json":
        return {"report": None}
    return {"report": msgspec.structs.replace(report, css=False, hashsums=tuple(sorted(set(report.hashsums))))}


def _plain_negotiation(asked: Transform) -> dict[str, object]:
    if asked.format == "auto":
        return {"negotiate": True}
    if asked.format in DATA:
        plain: dict[str, object] = {"negotiate": False, "quality": 0, "compress": False}
        if asked.tells_original and (asked.report is None or asked.frame == 1):
            plain["frame"] = 0
        return plain
    return {}


def _plain_encoding(asked: Transform) -> dict[str, object]:
    """What the formats that may come of it cannot do."""
    name = asked.format
    changes: dict[str, object] = {}
    if asked.lossless and not asked.negotiate and name in ("png", "webp", "avif", "jxl"):
        # Quality and palettes are what is lost by; PNG loses by nothing else.
        changes |= {"quality": 0, "compress": False, "lossless": name != "png", "chroma": ""}
    elif asked.lossless and not asked.negotiate:
        changes["lossless"] = False
    if not (asked.negotiate or name in ("jpeg", "avif")):
        changes["chroma"] = ""
    if name in ("auto", "png", "gif"):
        changes["colors"] = next((count for count in PALETTES if count <= asked.colors), 0)
    else:
        changes["colors"] = 0
    return changes


def _plain_search(asked: Transform) -> dict[str, object]:
    """Qualities and options of formats that cannot come of it."""
    changes: dict[str, object] = {"skip": tuple(sorted(set(asked.skip)))}
    if asked.format in DATA:
        return _UNENCODED
    possible = _possible(asked)
    if asked.quality:
        changes["qualities"] = None
    elif asked.qualities:
        kept = Qualities(*(getattr(asked.qualities, name) if name in possible else 0 for name in _RATED))
        changes["qualities"] = kept if kept != Qualities() else None
    if possible.isdisjoint(("jpeg", "webp", "avif")) or (asked.lossless and not asked.negotiate):
        changes |= {"max_bytes": 0, "auto_quality": None}
    for name, nothing in (("jpeg", JpegOptions()), ("png", PngOptions()), ("webp", WebpOptions()), ("avif", None)):
        if name not in possible or getattr(asked, name) == nothing:
            changes[name] = None
    if asked.format != "auto":
        changes["best"] = False
    if possible.isdisjoint(("png", "avif")):
        changes["deep"] = False
    if asked.bounds == Bounds():
        changes["bounds"] = None
    return changes


_RATED = Qualities.__struct_fields__
_UNENCODED: dict[str, object] = {
    "best": False,
    "qualities": None,
    "max_bytes": 0,
    "auto_quality": None,
    "jpeg": None,
    "png": None,
    "webp": None,
    "avif": None,
    "skip": (),
    "metadata": "",
    "deep": False,
    "profile": False,
}


def _possible(asked: Transform) -> frozenset[str]:
    if asked.format == "auto":
        return frozenset(("jpeg", "png", "gif", "webp", "avif"))
    return frozenset((asked.format, "webp", "avif") if asked.negotiate else (asked.format,))


def _plain_layers(asked: Transform) -> dict[str, object]:
    if asked.tells_original:
        return {"mark": None, "text": None}
    mark, text = asked.mark, asked.text
    return {
        "mark": plain_mark(mark) if mark and mark.opacity else None,
        "text": plain_text(text) if text and text.opacity and text.words else None,
    }


def _plain_parts(asked: Transform) -> dict[str, object]:
    """Regions, paddings, blocks and tints that leave every pixel as it is, and what colours say beside their colour."""
    changes: dict[str, object] = {}
    if asked.region == Region(0, 0, 0, 0):
        changes["region"] = None
    cut = asked.cut
    if cut:
        plain = msgspec.structs.replace(cut, gravity=plain_gravity(cut.gravity), grow=cut.grow and bool(cut.aspect))
        changes["cut"] = plain if cut.width or cut.height or cut.aspect else None
    if asked.padding == Sides(0, 0, 0, 0):
        changes["padding"] = None
    if not asked.sharpen:
        changes["sharpen_radius"] = 1
    if asked.pixelate == 1:
        changes["pixelate"] = 0
    if asked.trim and asked.trim.color:
        changes["trim"] = msgspec.structs.replace(asked.trim, color=_opaque(asked.trim.color))
    return changes


def _plain_shades(asked: Transform) -> dict[str, object]:
    changes: dict[str, object] = {}
    if asked.colorize and not asked.colorize.color.alpha:
        changes["colorize"] = None
    if asked.gradient and not asked.gradient.color.alpha:
        changes["gradient"] = None
    if not (asked.unsharp and asked.unsharp_radius):
        changes |= {"unsharp": 0, "unsharp_radius": 2.5, "unsharp_shrunk": False}
    if asked.duotone:
        plain = Duotone(_opaque(asked.duotone.dark), _opaque(asked.duotone.light), asked.duotone.amount)
        changes["duotone"] = plain if plain.amount else None
    return changes


def _opaque(color: Color) -> Color:
    return msgspec.structs.replace(color, alpha=255)


def _plain_mask(asked: Transform) -> dict[str, object]:
    mask = asked.mask
    if mask is None:
        return {}
    if mask.shape == "corners" and mask.radii == _SQUARE:
        return {"mask": None}
    background = mask.background if mask.background and mask.background.alpha else None
    return {"mask": Mask(mask.shape, mask.radii if mask.shape == "corners" else None, background)}


def _plain_border(asked: Transform) -> dict[str, object]:
    border = asked.border
    if border is None:
        return {}
    radii = None if border.radii == _SQUARE else border.radii
    inner = None if radii is None and border.inner == _SQUARE else border.inner
    return {"border": Border(border.width, border.color, radii, inner)}


def _plain_hints(asked: Transform) -> dict[str, object]:
    """What the URL says decides."""
    said = {"width": asked.width, "dpr": asked.dpr != 1, "save-data": asked.quality or asked.lossless}
    hints = () if asked.format in DATA else tuple(sorted(hint for hint in set(asked.hints) if not said[hint]))
    return {"hints": hints}


_RULES = (
    _plain_report,
    _plain_negotiation,
    _plain_hints,
    _plain_encoding,
    _plain_search,
    _plain_layers,
    _plain_parts,
    _plain_shades,
    _plain_mask,
    _plain_border,
)
