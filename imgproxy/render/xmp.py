"""XMP (ISO 16684-1): the simple properties and lists of a packet, by the prefix of their namespace.

The packet is anybody's XML: no document types, so that no entity can grow, and bounds on its size and depth.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

# Expat, with everything that could grow refused before it is fed.
from xml.etree.ElementTree import Element, ParseError, XMLPullParser

MOST_BYTES = 256 * 1024
MOST_DEPTH = 32
MOST_PROPERTIES = 512
MOST_CHARACTERS = 2000

_RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
_CHUNK = 4096

Properties = dict[str, dict[str, str | list[str]]]


def properties(packet: bytes) -> Properties:
    """{"dc": {"creator": ["…"], "format": "image/jpeg"}}; {} where the packet is broken, too large or too deep. Structures
    within properties are left out."""
    if len(packet) > MOST_BYTES or b"<!" in packet.replace(b"<!--", b"") or b"\x00" in packet.rstrip(b"\x00"):
        return {}
    read = _read(packet.rstrip(b"\x00"))
    if read is None:
        return {}
    root, prefixes = read
    found: Properties = {}
    left = MOST_PROPERTIES
    for description in root.iter(f"{_RDF}Description"):
        told = [(key, value) for key, value in description.items()] + [(child.tag, _content(child)) for child in description]
        for key, value in told:
            namespace, _, name = key[1:].partition("}")
            if not value or not name or key.startswith(_RDF) or namespace not in prefixes or not left:
                continue
            found.setdefault(prefixes[namespace], {}).setdefault(name, value[:MOST_CHARACTERS])
            left -= 1
    return found


def _content(element: Element) -> str | list[str]:
    container = next((child for child in element if child.tag in (f"{_RDF}Seq", f"{_RDF}Bag", f"{_RDF}Alt")), None)
    if container is not None:
        items = [(item.text or "").strip()[:MOST_CHARACTERS] for item in container]
        return [item for item in items if item]
    return "" if len(element) else (element.text or "").strip()


def _events(parser: XMLPullParser[Element]) -> Iterator[tuple[str, Element | tuple[str, str]]]:
    """A namespace is a pair of its prefix and its name."""
    return cast("Iterator[tuple[str, Element | tuple[str, str]]]", parser.read_events())


def _read(packet: bytes) -> tuple[Element, dict[str, str]] | None:
    parser: XMLPullParser[Element] = XMLPullParser(("start-ns", "start", "end"))
    prefixes: dict[str, str] = {}
    root: Element | None = None
    depth = 0
    try:
        for at in range(0, len(packet), _CHUNK):
            parser.feed(packet[at : at + _CHUNK])
            for event, value in _events(parser):
                depth += {"start": 1, "end": -1}.get(event, 0)
                if isinstance(value, tuple):
                    prefixes.setdefault(value[1], value[0])
                elif root is None:
                    root = value
                if depth > MOST_DEPTH:
                    return None
        parser.close()
    except (ParseError, ValueError, LookupError):
        return None
    return None if root is None else (root, prefixes)
