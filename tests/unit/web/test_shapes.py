"""What is wrong with what the API is given is said in words."""

from __future__ import annotations

from typing import Any

import pytest

from imgproxy.errors import InvalidOption
from imgproxy.web.api.shapes import Given, Listing, SomeTags, UploadJson, Which, convert
from imgproxy.web.api.template_shapes import Preview


@pytest.mark.parametrize(
    ("given", "shape", "option", "detail"),
    [
        (
            {"since": "2026-05-01"},
            Listing,
            "since",
            "since: Expected a moment as RFC 3339 has it, such as 2026-05-01T12:00:00Z",
        ),
        ({"cursor": "x"}, Listing, "cursor", "cursor: Expected `next` of the page before"),
        ({"format": "JPG"}, Listing, "format", "format: Expected a format such as jpg"),
        ({"ids": ["A"]}, Which, "ids", "ids[0]: Expected an id, 16 small letters and digits"),
        ({"tags": ["a", "b,c"]}, SomeTags, "tags", "tags[1]: Expected text without commas and control characters"),
        ({"template_id": "-"}, UploadJson, "template_id", "template_id: Expected 1 to 64 small letters, digits, - and _"),
        ({"format": "jpg"}, UploadJson, "format", "format: Expected one of avif, jpeg, png, webp, got 'jpg'"),
        ({"format": "jpg"}, Preview, "format", "format: Expected one of png, webp, got 'jpg'"),
        ({"limit": 0}, Listing, "limit", "limit: Expected `int` >= 1"),
        ({"limt": 1}, Listing, "limt", "Object contains unknown field `limt`"),
    ],
)
def test_a_refusal(given: dict[str, Any], shape: type[Given], option: str, detail: str) -> None:
    with pytest.raises(InvalidOption) as refused:
        convert(given, shape, strict=True)
    assert refused.value.option == option
    assert str(refused.value).startswith(detail)
