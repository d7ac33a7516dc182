"""What is wrong with a template is said with the path to it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from imgproxy.errors import TemplateInvalid
from imgproxy.fonts import Fonts
from imgproxy.parts import Color
from imgproxy.templates.checked import MOST_BYTES, check_fonts, paint, read
from tests.docs import SCHEMA, template_schema

CANVAS = {"width": 100, "height": 50}
TEXT = {"type": "text", "name": "a", "text": "x"}
CONFIG = Path(__file__).parents[3] / "config"


def document(*layers: dict[str, Any], **others: Any) -> bytes:
    return json.dumps({"canvas": CANVAS, "layers": layers} | others).encode()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is not JSON"),
        (b"{", "is not JSON"),
        (b"[]", "^the template: Expected `object`, got `array`"),
        (b"\xff", "is not JSON"),
        (b"[" * 100_000, "is not JSON|Expected"),
        (b" " * (MOST_BYTES + 1), "at most 262144 are taken"),
        (document(canvas={"width": 0, "height": 1}), "canvas.width: Expected `int` >= 1"),
        (document(canvas={"width": 5000, "height": 1}), "canvas.width: Expected `int` <= 4096"),
        (document(TEXT | {"colour": "#fff"}), r"layers\[0\]: Object contains unknown field `colour`"),
        (document(TEXT | {"type": "video"}), r"layers\[0\].type: Expected one of text, image, shape, qr, got 'video'"),
        (document(TEXT | {"anchor": "middle"}), r"layers\[0\].anchor: Expected one of bottom, .*, top-right, got 'middle'"),
        (document(TEXT | {"color": "reddish"}), r"layers\[0\].color: a colour is written"),
        (document(TEXT | {"text": "{{ nmae }}"}, variables={"name": {}}), r"layers\[0\].text: .* nmae .*did you mean name\?"),
        (
            document(TEXT | {"text": "{{ name | shout }}"}, variables={"name": {}}),
            r"layers\[0\].text: there is no filter shout",
        ),
        (document(TEXT | {"when": {"variable": "x"}}), r"layers\[0\].when.variable: there is no variable x"),
        (document(TEXT, TEXT), r"layers\[1\].name: layers\[0\] is called a as well"),
        (document(*(TEXT | {"name": f"a{n}"} for n in range(33))), "layers: Expected `array` of length <= 32"),
        (document(TEXT | {"text": "x" * 2001}), r"layers\[0\].text: Expected `str` of length <= 2000"),
        (document(TEXT | {"opacity": 2}), r"layers\[0\].opacity: Expected `float` <= 1"),
        (document(TEXT | {"size": float("1e400")}), "is not JSON|Expected"),
        (document({"type": "image", "name": "a", "picture": "x/y", "transform": "blurr=1"}), r"layers\[0\].transform: .*blur"),
        (
            document({"type": "image", "name": "a", "picture": "x/y", "transform": "blur={{ b }}"}, variables={"b": {}}),
            r"layers\[0\].transform: .* as in a URL, .* no variables; got 'blur={{ b }}'",
        ),
        (document({"type": "image", "name": "a", "picture": "x/y", "transform": "mark=x/y"}), "mark is for whole pictures"),
        (document({"type": "image", "name": "a", "picture": "x/y", "transform": "q=3"}), "quality is for whole pictures"),
        (document({"type": "shape", "name": "a", "fill": {"stops": [{"at": 0, "color": "#000"}]}}), r"layers\[0\].fill"),
        (
            document({"type": "qr", "name": "a", "data": "x", "error": "Z"}),
            r"layers\[0\].error: Expected one of H, L, M, Q, got 'Z'",
        ),
        (document(variables={"Bad Name": {}}), "^variables: Expected 1 to 64 small letters, digits, - and _"),
        (document(variables={"name\n": {}}), "^variables: Expected 1 to 64 small letters, digits, - and _"),
        (document(TEXT | {"name": "a\n"}), r"layers\[0\].name: Expected 1 to 64 small letters"),
        (
            document(
                *(TEXT | {"name": f"a{n}", "text": "{{ v" + "|title" * 9 + " }}"} for n in range(29)), variables={"v": {}}
            ),
            "the template: its words have 261 filters, at most 256 are run",
        ),
        (
            document(*(TEXT | {"name": f"a{n}", "text": "{{v}}" * 350} for n in range(3)), variables={"v": {}}),
            "the template: its words have 1050 times {{, at most 1024 are filled in",
        ),
        (document(layer=[]), "^the template: Object contains unknown field `layer`"),
    ],
)
def test_refused(data: bytes, message: str) -> None:
    with pytest.raises(TemplateInvalid, match=message):
        read(data)


def test_fonts_are_there() -> None:
    template = read(document(TEXT | {"font": "Noto Sans Blod"}))
    with pytest.raises(TemplateInvalid, match=r"layers\[0\].font: .* did you mean Noto Sans Bold\?"):
        check_fonts(template, Fonts((), ""))


@pytest.mark.parametrize(
    ("text", "color"),
    [
        ("#fff", Color(255, 255, 255)),
        ("0f08", Color(0, 255, 0, 136)),
        ("#102030", Color(16, 32, 48)),
        (" #10203040 ", Color(16, 32, 48, 64)),
    ],
)
def test_colours(text: str, color: Color) -> None:
    assert paint(text) == color


@pytest.mark.parametrize("path", sorted((CONFIG / "templates").glob("*.json")), ids=lambda path: path.stem)
def test_the_examples_can_be_read(path: Path) -> None:
    template = read(path.read_bytes())
    check_fonts(template, Fonts((), ""))
    assert all(variable.description or variable.default for variable in template.variables.values())


def test_the_schema_is_that_of_the_types() -> None:
    assert SCHEMA.read_text() == template_schema(), "poe docs writes it anew"
