"""What `mark…` and `txt…` ask for."""

from __future__ import annotations

from typing import Any

import pytest

from imgproxy.layers import Mark, Text
from imgproxy.parts import Color
from imgproxy.urls.native import Native
from imgproxy.urls.overlay_options import USUAL_PAD

BOTH: list[tuple[str, dict[str, Any]]] = [
    ("align=top,left", {"x": 0, "y": 0}),
    ("align=middle", {"x": 0.5, "y": 0.5}),
    ("align=center,top", {"x": 0.5, "y": 0}),
    ("x=0.1", {"offset_x": 0.1}),
    ("y=-4", {"offset_y": -4}),
    ("rot=30", {"rotate": 330}),
    ("alpha=50", {"opacity": 0.5}),
]


def asked(query: str) -> tuple[Mark | None, Text | None]:
    transform = Native().parse(f"/images/local/a.jpg?{query}").transform
    assert transform is not None
    return transform.mark, transform.text


def differences(layer: Mark | Text | None, plain: Mark | Text | None) -> dict[str, Any]:
    assert layer is not None
    assert plain is not None
    return {name: getattr(layer, name) for name in layer.__struct_fields__ if getattr(layer, name) != getattr(plain, name)}


def placed(layer: Mark | Text | None) -> tuple[float, float]:
    """How far it is from its edges, whether that is said as padding or as an offset."""
    assert layer is not None
    return layer.offset_x + layer.pad, layer.offset_y + layer.pad


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ("tile=grid", {"tile": "grid"}),
        ("tile=chess", {"tile": "chess"}),
        ("w=120", {"width": 120}),
        ("w=0.25", {"width": 0.25}),
        ("h=0.2", {"height": 0.2}),
        ("scale=25", {"scale": 0.25}),
        ("alpha=0.5", {"opacity": 0.005}),
        ("rot=90", {"rotate": 270}),
    ],
)
def test_marks(query: str, fields: dict[str, Any]) -> None:
    found = differences(asked(f"mark=brand/l.png&mark-{query}")[0], asked("mark=brand/l.png")[0])
    assert {name: value for name, value in found.items() if name in fields} == fields
    assert found.keys() - fields.keys() <= {"x", "y", "offset_x", "offset_y", "pad"}


@pytest.mark.parametrize("locator", ["https://host/l.png", "https:/host/l.png"])
def test_a_mark_by_its_url_is_one_picture_however_it_is_spelled(locator: str) -> None:
    mark, _ = asked(f"mark=web/{locator}")
    assert mark is not None
    assert (mark.source, mark.locator) == ("web", "https://host/l.png")


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ("font=DejaVu+Sans", {"font": "DejaVu Sans"}),
        ("size=32", {"size": 32}),
        ("color=f00", {"color": Color(255, 0, 0)}),
        ("color=80ff0000", {"color": Color(255, 0, 0, 128)}),
        ("width=300", {"width": 300}),
        ("width=0.5", {"width": 0.5}),
        ("lead=6", {"lead": 6}),
        ("shad=4", {"shadow": 4}),
        ("fit=max", {"fit": True}),
        ("fit=max&txt-height=0.5", {"fit": True, "height": 0.5}),
    ],
)
def test_words(query: str, fields: dict[str, Any]) -> None:
    assert differences(asked(f"txt=Hi&txt-{query}")[1], asked("txt=Hi")[1]) == fields


@pytest.mark.parametrize(("query", "fields"), BOTH)
@pytest.mark.parametrize(("layer", "index"), [("mark=brand/l.png&mark", 0), ("txt=Hi&txt", 1)])
def test_what_both_have(layer: str, index: int, query: str, fields: dict[str, Any]) -> None:
    found = asked(f"{layer}-{query}")[index]
    assert {name: getattr(found, name) for name in fields} == fields


@pytest.mark.parametrize(("query", "away"), [("", (USUAL_PAD, USUAL_PAD)), ("-pad=20", (20, 20)), ("-x=15", (25, 10))])
@pytest.mark.parametrize(("layer", "index"), [("mark=brand/l.png", 0), ("txt=Hi", 1)])
def test_how_far_from_the_corner(layer: str, index: int, query: str, away: tuple[float, float]) -> None:
    name = layer.partition("=")[0]
    assert placed(asked(f"{layer}&{name}{query}" if query else layer)[index]) == away
