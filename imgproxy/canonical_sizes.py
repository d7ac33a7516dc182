"""The rules of `canonical.py` about sizes: how a picture is met with its box, and which part of it stays. Pure."""

from __future__ import annotations

from imgproxy.parts import Gravity
from imgproxy.spec import Transform


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


def plain_open(asked: Transform) -> dict[str, object]:
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
    gravity = plain_gravity(asked.gravity)
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


def _plain_gravities(asked: Transform) -> dict[str, object]:
    gravity, placement = plain_gravity(asked.gravity), asked.placement and (plain_gravity(asked.placement) or Gravity())
    crops = _covers(asked) or (asked.rules == "imgproxy" and bool(asked.min_width or asked.min_height))
    extends = asked.extend or asked.extend_aspect
    if not extends:
        placement = None
    elif not crops:
        # A letterbox can only place the whole picture; there is no part of it to choose.
        placed = placement or (gravity if gravity and gravity.kind == "anchor" else None)
        gravity, placement = (None, placed) if placed and placed.kind == "focal" else (plain_gravity(placed), None)
    elif placement == (gravity if gravity and gravity.kind == "anchor" else Gravity()):
        placement = None
    if not (crops or extends):
        gravity = None
    return {"gravity": gravity, "placement": placement}


def plain_gravity(gravity: Gravity | None) -> Gravity | None:
    """None for the centre, and without what its kind has no use for."""
    if gravity is None or gravity.kind == "anchor":
        return None if gravity == Gravity() else gravity
    kept = Gravity("focal", gravity.x, gravity.y) if gravity.kind == "focal" else Gravity(gravity.kind)
    return None if kept == Gravity("focal") else kept


SIZE_RULES = (_plain_sizes, _plain_aspect, _plain_fit, _plain_gravities)
