"""What is recognised by its first bytes."""

from __future__ import annotations

import pytest

from imgproxy.formats import FORMATS, SNIFF_BYTES, sniff


@pytest.mark.parametrize(
    "before",
    [
        b"",
        b"\xef\xbb\xbf\n",
        b'<?xml version="1.0"?>\n',
        b"<!-- one --><!-- > two -->\n<!---->",
        b'<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd">\n',
        b'<?xml version="1.0"?>\n<?xml-stylesheet href="a.css"?>\n',
        b"<!--" + b" licence" * 400 + b"-->",
        b'<!DOCTYPE s:svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "">',
        b'<?xml version="1.0"?><!-- one --><!DOCTYPE svg [<!ENTITY a "b">] ><!-- two -->',
    ],
)
def test_a_drawing_is_recognised_behind_its_prologue(before: bytes) -> None:
    assert sniff(before + b"<svg>") is FORMATS["svg"]
    assert sniff(before + b'<s:svg xmlns:s="http://www.w3.org/2000/svg">') is FORMATS["svg"]
    assert sniff(before + b"<html>") is None


@pytest.mark.parametrize(
    "piece", [b"<!---->", b"<!-->", b"<!--", b"<!DOCTYPE svg>", b"<!DOCTYPE svg[]", b"<?xml ?>", b" ", b"["]
)
@pytest.mark.parametrize("before", [b"", b"<!--", b"<!DOCTYPE svg", b"<!DOCTYPE svg[", b"<?xml"])
def test_a_prologue_that_does_not_end_is_read_once(before: bytes, piece: bytes) -> None:
    """It was read in every way in which it can be parted into comments: 2**146 of them."""
    assert sniff((before + piece * SNIFF_BYTES)[:SNIFF_BYTES]) is None
