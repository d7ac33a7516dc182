"""canonical: the one spelling of a Transform. Pure; each rule says what of it has no effect beside the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from imgproxy.encoding import JpegOptions, PngOptions, Qualities, WebpOptions
from imgproxy.layers import plain_mark, plain_text
from imgproxy.parts import Border, Bounds, Color, Components, Corners, Duotone, Gravity, Mask, Region, Report, Sides
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
    return _by((_plain_open,) if "width" in transform.hints else _SIZE_RULES, transform)


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
        plain = msgspec.structs.replace(cut, gravity=_plain(cut.gravity), grow=cut.grow and bool(cut.aspect))
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


def _plain_sizes(asked: Transform) -> dict[str, object]:
    """imgproxy's rules only where imgix' would give other sizes, so that both doors share the rest."""
    both = bool(asked.width and asked.height)
    changes: dict[str, object] = {}
    fit = asked.fit
    if fit == "auto" and not both:
        fit = "fit"
    if fit == "cover-down" and asked.enlarge and asked.rules == "imgproxy":
        fit = "cover"
    shaped = asked.extend_aspect and both
    if not shaped or asked.rules == "imgix":
        changes["extend_aspect"] = False
    if asked.rules == "imgix":
        return changes | {"fit": fit, "zoom_x": 1, "zoom_y": 1, "max_side": 0, "clamp": asked.clamp and asked.extend}
    ratios = asked.dpr == asked.zoom_x == asked.zoom_y == 1
    sided = bool(asked.width or asked.height)
    alike = both or not (sided and (asked.extend or fit == "stretch"))
    changes |= {"fit": fit, "aspect": 0, "max_width": 0, "max_height": 0}
    if ratios and alike and not (asked.min_width or asked.min_height or asked.max_side or shaped):
        changes |= {"rules": "imgix", "extend": asked.extend and sided}
    return changes


def _plain_aspect(asked: Transform) -> dict[str, object]:
    if asked.rules == "imgproxy":
        return {}
    one_side = bool(asked.width) != bool(asked.height)
    if (asked.width and asked.height) or (one_side and asked.fit == "fit" and not asked.extend):
        return {"aspect": 0}
    if one_side or not asked.aspect:
        return {}
    # An aspect alone is the largest box in the picture, or with `extend` the smallest around it: nothing grows to fill it.
    may_grow = bool(asked.min_width or asked.min_height)
    if asked.extend and not _covers(asked):
        return {"fit": "fit"} if may_grow else {"fit": "fit", "enlarge": False}
    if not may_grow:
        return {"fit": "cover", "enlarge": True}
    return {} if _covers(asked) else {"fit": "cover"}


def _plain_fit(asked: Transform) -> dict[str, object]:
    if asked.rules == "imgproxy":
        return {"clamp": asked.clamp and asked.extend}
    sided = bool(asked.width or asked.height)
    changes: dict[str, object] = {}
    if not (sided or asked.aspect):
        changes |= {"fit": "fit", "extend": False}
        if not (asked.min_width or asked.min_height):
            changes["enlarge"] = False
    elif sided and not (asked.width and asked.height) and not (asked.aspect or _bounded(asked)):
        # The other side follows: there is no shape to be cropped or stretched to.
        changes["fit"] = "fit"
        if asked.enlarge and asked.fit != "cover-down":
            changes["extend"] = False
    elif asked.enlarge and asked.fit in ("cover", "stretch"):
        changes["extend"] = False
    if asked.fit == "cover-down":
        changes["enlarge"] = False
    if not (asked.extend and changes.get("extend", True)):
        changes["clamp"] = False
    rounded = asked.mask is not None and asked.mask.radii is not None
    if not (sided or _bounded(asked) or asked.padding or asked.border or rounded):
        changes["dpr"] = 1
    return changes


def _covers(asked: Transform) -> bool:
    return asked.fit in ("cover", "cover-down", "auto")


def _bounded(asked: Transform) -> bool:
    return bool(asked.min_width or asked.min_height or asked.max_width or asked.max_height)


def _plain_open(asked: Transform) -> dict[str, object]:
    """What has no effect whichever width the client hints at, and without one."""
    if asked.rules == "imgproxy":
        return {}
    # Within a box of whatever size an aspect says nothing, and no URL says it.
    aspect = asked.aspect if asked.fit != "fit" or asked.extend else 0
    shaped = bool(asked.height or aspect or _bounded(asked))
    fit = asked.fit if shaped else "fit"
    enlarge = asked.enlarge and asked.fit != "cover-down"
    filled = enlarge and (fit in ("cover", "stretch") or not shaped)
    extend = asked.extend and not filled
    gravity = _plain(asked.gravity)
    if not (shaped and _covers(asked)) and not (extend and gravity and gravity.kind == "anchor"):
        gravity = None
    return {
        "aspect": aspect,
        "fit": fit,
        "enlarge": enlarge,
        "extend": extend,
        "clamp": asked.clamp and extend,
        "gravity": gravity,
    }


def _plain_gravity(asked: Transform) -> dict[str, object]:
    gravity, placement = _plain(asked.gravity), asked.placement and (_plain(asked.placement) or Gravity())
    crops = _covers(asked) or (asked.rules == "imgproxy" and bool(asked.min_width or asked.min_height))
    extends = asked.extend or asked.extend_aspect
    if not extends:
        placement = None
    elif not crops:
        # A letterbox can only place the whole picture; there is no part of it to choose.
        placed = placement or (gravity if gravity and gravity.kind == "anchor" else None)
        gravity, placement = (None, placed) if placed and placed.kind == "focal" else (_plain(placed), None)
    elif placement == (gravity if gravity and gravity.kind == "anchor" else Gravity()):
        placement = None
    if not (crops or extends):
        gravity = None
    return {"gravity": gravity, "placement": placement}


def _plain(gravity: Gravity | None) -> Gravity | None:
    """None for the centre, and without what its kind has no use for."""
    if gravity is None or gravity.kind == "anchor":
        return None if gravity == Gravity() else gravity
    kept = Gravity("focal", gravity.x, gravity.y) if gravity.kind == "focal" else Gravity(gravity.kind)
    return None if kept == Gravity("focal") else kept


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
_SIZE_RULES = (_plain_sizes, _plain_aspect, _plain_fit, _plain_gravity)
