"""What a template comes to for one reader, by numbers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from imgproxy.errors import InvalidOption
from imgproxy.parts import Color, Corners, Gravity, Mask
from imgproxy.templates.checked import read
from imgproxy.templates.composition import Box, PictureElement, QrElement, ShapeElement, TextElement
from imgproxy.templates.resolve import Resolved, resolve

NAMES = {"a": {}, "b": {"default": "two"}}


def resolved(*layers: dict[str, Any], values: dict[str, str] | None = None, **others: Any) -> Resolved:
    canvas = {"width": 100, "height": 50} | others.pop("canvas", {})
    document = {"canvas": canvas, "variables": NAMES, "layers": layers} | others
    return resolve(read(json.dumps(document).encode()), values or {})


def text(**fields: Any) -> dict[str, Any]:
    return {"type": "text", "name": "t", "text": "x"} | fields


def image(**fields: Any) -> dict[str, Any]:
    return {"type": "image", "name": "i", "picture": "shop/x.jpg"} | fields


@pytest.mark.parametrize(
    ("when", "values", "shown"),
    [
        ({"variable": "a"}, {}, False),
        ({"variable": "a"}, {"a": ""}, False),
        ({"variable": "a"}, {"a": "x"}, True),
        ({"variable": "b"}, {}, True),
        ({"variable": "b"}, {"b": ""}, False),
        ({"variable": "a", "negate": True}, {}, True),
        ({"variable": "a", "equals": "x"}, {"a": "x"}, True),
        ({"variable": "a", "equals": "x"}, {"a": "y"}, False),
        ({"variable": "a", "equals": ""}, {}, True),
        ({"variable": "a", "among": ["x", "y"]}, {"a": "y"}, True),
        ({"variable": "a", "among": ["x", "y"], "negate": True}, {"a": "y"}, False),
    ],
)
def test_when(when: dict[str, Any], values: dict[str, str], shown: bool) -> None:
    assert bool(resolved(text(when=when), values=values).composition.elements) is shown


@pytest.mark.parametrize(
    ("anchor", "expected"),
    [("top-left", (0, 0)), ("top", (0.5, 0)), ("right", (1, 0.5)), ("center", (0.5, 0.5)), ("bottom-right", (1, 1))],
)
def test_boxes(anchor: str, expected: tuple[float, float]) -> None:
    (element,) = resolved(text(x=3, y=4, w=5, h=6, anchor=anchor, rotation=90, opacity=0.5)).composition.elements
    assert element.box == Box(3, 4, 5, 6, *expected, 90, 0.5)


def test_values_take_the_place_of_defaults() -> None:
    for values, words in (({}, "two"), ({"b": "three"}, "three"), ({"b": ""}, "")):
        (element,) = resolved(text(text="{{ b }}"), values=values).composition.elements
        assert isinstance(element, TextElement)
        assert element.words == words


@pytest.mark.parametrize(
    ("layers", "settled"),
    [
        ([text(), text(name="u")], 2),
        ([text(), text(name="u", text="{{ a }}"), text(name="v")], 1),
        ([text(when={"variable": "b"}), text(name="u")], 0),
        ([text(color="{{ b }}"), text(name="u")], 0),
        ([image(), text(text="{{ a }}")], 1),
        ([image(fallback="{{ a }}"), text()], 0),
    ],
)
def test_what_is_the_same_for_everybody(layers: list[dict[str, Any]], settled: int) -> None:
    found = resolved(*layers, values={"b": "#fff", "a": "x"})
    assert found.settled == settled
    assert len(found.base.composition.elements) == settled


def test_a_background_that_varies_settles_nothing() -> None:
    assert resolved(text(), canvas={"background": "{{ a }}"}, values={"a": "#123"}).settled == 0


def test_pictures_have_candidates_in_order() -> None:
    found = resolved(
        image(picture="{{ a }}", fallback="shop/b.jpg"), image(name="j", picture="shop/c.jpg"), fallback="shop/z.jpg",
        canvas={"picture": "shop/sky.jpg"}, values={"a": " https://x.example/y.jpg "},
    )  # fmt: skip
    assert [(want.layer, want.candidates) for want in found.pictures] == [
        ("canvas", ("shop/sky.jpg", "shop/z.jpg")),
        ("i", ("https://x.example/y.jpg", "shop/b.jpg", "shop/z.jpg")),
        ("j", ("shop/c.jpg", "shop/z.jpg")),
    ]
    assert [element.index for element in found.composition.elements if isinstance(element, PictureElement)] == [0, 1, 2]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"w": 40, "h": 30}, {"width": 40, "height": 30, "fit": "cover", "gravity": Gravity()}),
        ({"w": 40, "h": 30, "fit": "contain"}, {"width": 40, "height": 30, "fit": "fit"}),
        ({"w": 40, "h": 30, "fit": "stretch"}, {"width": 40, "height": 30, "fit": "stretch"}),
        ({"w": 40}, {"width": 40, "height": 0, "fit": "fit"}),
        ({"w": 39.2, "h": 30}, {"width": 40, "height": 30}),
        ({"w": 40, "h": 30, "circle": True}, {"mask": Mask("ellipse")}),
        ({"w": 40, "h": 30, "radius": 5}, {"mask": Mask("corners", Corners(5, 5, 5, 5))}),
        ({"w": 40, "h": 30, "transform": "blur=20"}, {"width": 40, "blur": 20}),
        ({"w": 40, "h": 30, "transform": "w=10&h=10"}, {"width": 10, "height": 10}),
    ],
)
def test_how_a_picture_is_drawn(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    (element,) = resolved(image(**fields)).composition.elements
    assert isinstance(element, PictureElement)
    assert {name: getattr(element.transform, name) for name in expected} == expected


def test_shapes_and_codes() -> None:
    ramp = {"angle": 90, "stops": [{"at": 0, "color": "#000"}, {"at": 1, "color": "{{ a }}"}]}
    shape, code = resolved(
        {"type": "shape", "name": "s", "fill": ramp, "stroke": "#fff", "w": 5, "h": 5},
        {"type": "qr", "name": "q", "data": "{{ b }}", "w": 50, "h": 50}, values={"a": "#f00"},
    ).composition.elements  # fmt: skip
    assert isinstance(shape, ShapeElement)
    assert shape.ramp is not None
    assert shape.ramp.stops == ((0, Color(0, 0, 0)), (1, Color(255, 0, 0)))
    assert isinstance(code, QrElement)
    assert code.data == "two"


@pytest.mark.parametrize(
    ("layer", "values", "message"),
    [
        (text(color="{{ a }}"), {"a": "red"}, "t: a colour is written"),
        (text(color="{{ a }}"), {}, "t: a colour is written"),
        (text(text="{{ a }}{{ a }}"), {"a": "x" * 1500}, "t has 3000 characters, at most 2000"),
        ({"type": "qr", "name": "q", "data": "{{ a }}"}, {"a": "é" * 501}, "q has 1002 bytes, at most 1000"),
        (
            {"type": "image", "name": "i", "picture": "https://a.test/" + "{{ a }}" * 200},
            {"a": "x" * 1500},
            "i has 300015 characters, at most 8192",
        ),
        (
            {"type": "image", "name": "i", "picture": "local/a.jpg", "fallback": "{{ a }}" * 200},
            {"a": "x" * 1500},
            "i has 300000 characters, at most 8192",
        ),
    ],
)
def test_what_cannot_be_filled_in(layer: dict[str, Any], values: dict[str, str], message: str) -> None:
    with pytest.raises(InvalidOption, match=message):
        resolved(layer, values=values)
