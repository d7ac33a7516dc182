"""Where imgproxy's options say that things lie, as a Transform says it: `settled` and the way back, `unsettled`.

Two things are said differently. A `crop` that names no gravity has that of `gravity`; what is extended lies in the
centre. And imgproxy flips before it crops and extends, a Transform afterwards, so a flip mirrors every gravity.
"""

from __future__ import annotations

from typing import Any

import msgspec

from imgproxy.parts import Cut, Gravity
from imgproxy.spec import Transform


def settled(picture: dict[str, Any]) -> dict[str, Any]:
    """`picture` as its options have left it, with the gravities that a Transform has."""
    rest = dict(picture)
    extend, aspect = rest.pop("extend_gravity", None), rest.pop("aspect_gravity", None)
    if rest.get("extend") or rest.get("extend_aspect"):
        rest["placement"] = (extend if rest.get("extend") else aspect) or Gravity()
    cut = rest.get("cut")
    if cut and cut.gravity is None and rest.get("gravity"):
        rest["cut"] = msgspec.structs.replace(cut, gravity=rest["gravity"])
    return rest | _mirrored(rest, bool(rest.get("flip_horizontal")), bool(rest.get("flip_vertical")))


def unsettled(asked: Transform) -> Transform:
    """With gravities as the options say them: none that is only implied, and not mirrored."""
    said: dict[str, Any] = {"gravity": asked.gravity, "placement": asked.placement, "cut": asked.cut}
    if (asked.extend or asked.extend_aspect) and not asked.placement and asked.gravity and asked.gravity.kind == "anchor":
        said["placement"] = asked.gravity
    if asked.cut and not asked.cut.gravity and asked.gravity:
        said["cut"] = msgspec.structs.replace(asked.cut, gravity=Gravity())
    return msgspec.structs.replace(asked, **said | _mirrored(said, asked.flip_horizontal, asked.flip_vertical))


def _mirrored(said: dict[str, Any], across: bool, down: bool) -> dict[str, Any]:
    if not (across or down):
        return {}
    found: dict[str, Any] = {
        name: _mirror(said[name], across, down) for name in ("gravity", "placement") if said.get(name) is not None
    }
    cut: Cut | None = said.get("cut")
    if cut and cut.gravity:
        found["cut"] = msgspec.structs.replace(cut, gravity=_mirror(cut.gravity, across, down))
    return found


def _mirror(gravity: Gravity, across: bool, down: bool) -> Gravity:
    if gravity.kind == "attention" or gravity.kind == "entropy":
        return gravity
    x, offset_x = _other_way(gravity.x, gravity.offset_x) if across else (gravity.x, gravity.offset_x)
    y, offset_y = _other_way(gravity.y, gravity.offset_y) if down else (gravity.y, gravity.offset_y)
    return Gravity(gravity.kind, x, y, offset_x, offset_y)


def _other_way(at: float, offset: float) -> tuple[float, float]:
    # An offset is away from an edge, whichever it is; from the centre it has a direction.
    return round(1 - at, 9), (0.0 - offset if at == 0.5 else offset)
