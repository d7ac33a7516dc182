"""What a request changes of a template before it is drawn."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from imgproxy.errors import InvalidOption
from imgproxy.parts import Color
from imgproxy.templates.checked import read
from imgproxy.templates.composition import PictureElement, QrElement, ShapeElement, TextElement
from imgproxy.templates.modify import Modification, modified
from imgproxy.templates.references import references
from imgproxy.templates.resolve import Resolved, resolve

DOCUMENT = {
    "canvas": {"width": 100, "height": 50, "picture": "local/ground.jpg"},
    "variables": {"guest": {"default": "you"}, "photo": {}, "seat": {}, "modification-0": {}},
    "fallback": "library/0000000000000000",
    "layers": [
        {"type": "text", "name": "title", "text": "Hello {{ guest }}"},
        {"type": "text", "name": "seat", "text": "{{ seat | upper }}", "when": {"variable": "seat"}},
        {"type": "text", "name": "note", "text": "-", "when": {"variable": "seat"}},
        {"type": "image", "name": "face", "w": 10, "h": 10, "picture": "local/{{ photo }}"},
        {"type": "shape", "name": "box", "w": 10, "h": 10, "fill": "#000"},
        {"type": "qr", "name": "code", "w": 30, "h": 30, "data": "x"},
    ],
}
TEMPLATE = read(json.dumps(DOCUMENT).encode())


def made(*modifications: dict[str, Any], **values: str) -> Resolved:
    return resolve(*modified(TEMPLATE, msgspec.convert(modifications, tuple[Modification, ...]), values))


def texts(resolved: Resolved) -> list[str]:
    return [each.words for each in resolved.composition.elements if isinstance(each, TextElement)]


@pytest.mark.parametrize(
    ("modifications", "values", "wanted"),
    [
        ([], {"guest": "Ann"}, ["Hello Ann"]),
        ([{"name": "guest", "text": "Ben"}], {"guest": "Ann"}, ["Hello Ben"]),
        ([{"name": "title", "text": "Bye"}], {}, ["Bye"]),
        ([{"name": "seat", "text": "12a"}], {}, ["Hello you", "12A", "-"]),
        ([{"name": "note", "text": "shown"}], {}, ["Hello you", "shown"]),
        ([{"name": "title", "hide": True}], {}, []),
        ([{"name": "title", "text": "{{ seat }} <b>&amp;</b> {{"}], {"seat": "1"}, ["{{ seat }} <b>&amp;</b> {{", "1", "-"]),
        ([{"name": "guest", "text": "{{ photo }}"}], {"photo": "p"}, ["Hello {{ photo }}"]),
        ([{"name": "title", "text": "a"}, {"name": "note", "text": "b"}], {}, ["a", "b"]),
    ],
)
def test_texts(modifications: list[dict[str, Any]], values: dict[str, str], wanted: list[str]) -> None:
    assert texts(made(*modifications, **values)) == wanted


def test_colours_codes_and_pictures() -> None:
    resolved = made(
        {"name": "box", "color": "#ff0000"},
        {"name": "code", "text": "https://example.com/1", "color": "#0f0"},
        {"name": "title", "color": "#0000ff80"},
        {"name": "face", "image_url": "https://example.com/{{ seat }}.jpg"},
        photo="p.jpg",
    )
    found = {type(each): each for each in resolved.composition.elements}
    shape, code, text = found[ShapeElement], found[QrElement], found[TextElement]
    assert isinstance(shape, ShapeElement)
    assert isinstance(code, QrElement)
    assert isinstance(text, TextElement)
    assert (shape.fill, code.data) == (Color(255, 0, 0, 255), "https://example.com/1")
    assert (code.color, text.color) == (Color(0, 255, 0, 255), Color(0, 0, 255, 128))
    assert PictureElement in found
    assert resolved.pictures[-1].candidates[0] == "https://example.com/{{ seat }}.jpg"


def test_what_a_template_is_does_not_change() -> None:
    before = msgspec.json.encode(TEMPLATE)
    made({"name": "title", "text": "x"}, {"name": "box", "hide": True})
    assert msgspec.json.encode(TEMPLATE) == before


@pytest.mark.parametrize(
    ("modification", "said"),
    [
        ({"name": "titel", "text": "x"}, "modifications[0].name: there is no layer and no variable 'titel'; did you mean"),
        ({"name": "title"}, "modifications[0]: it wants text, image_url, color or hide"),
        ({"name": "box", "text": "x"}, "modifications[0].text: the layer box has none"),
        ({"name": "title", "image_url": "https://x/"}, "modifications[0].image_url: the layer title has none"),
        ({"name": "box", "color": "{{seat}}"}, "modifications[0].color: a colour is written"),
        ({"name": "photo", "hide": True}, "modifications[0].hide: photo is a variable; layers are hidden"),
    ],
)
def test_what_cannot_be_is_said(modification: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidOption) as raised:
        made(modification)
    assert str(raised.value).startswith(said)


def test_an_unknown_variable_is_said() -> None:
    with pytest.raises(InvalidOption, match="there is no variable 'gest'; did you mean guest"):
        made(gest="x")


def test_what_is_shown_and_by_whose_word() -> None:
    modification = Modification(name="face", image_url="other/x.jpg")
    found = {(each.layer, each.text): (each.fixed, each.placed) for each in references(*modified(TEMPLATE, [modification], {}))}
    assert found == {
        ("fallback", "library/0000000000000000"): (True, True),
        ("canvas", "local/ground.jpg"): (True, True),
        ("face", "other/x.jpg"): (False, False),
    }
    (face,) = (each for each in references(TEMPLATE, {"photo": "a.jpg"}) if each.layer == "face")
    assert (face.text, face.fixed, face.placed) == ("local/a.jpg", False, True)
    with pytest.raises(InvalidOption, match="face has 8198 characters, at most 8192"):
        list(references(TEMPLATE, {"photo": "x" * 8192}))
