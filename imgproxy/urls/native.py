"""The native front door: `/images/NAME/PATH?options`, where the options are those of `urls/options.py`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import quote, urlencode

import msgspec

from imgproxy.canonical import canonical
from imgproxy.errors import InvalidOption, InvalidTarget, SignatureInvalid
from imgproxy.request import ImageRequest
from imgproxy.spec import Transform
from imgproxy.suggestions import did_you_mean
from imgproxy.urls.dialect import Signed
from imgproxy.urls.needs import Given
from imgproxy.urls.option import Option
from imgproxy.urls.options import OPTIONS, table
from imgproxy.urls.values import mended, percent_decode

__all__ = ["OPTIONS", "Native", "table"]

MAX_OPTIONS = 32
_MOST_QUERIES = 512
"""That are remembered."""
MOST_VARIABLES = 64
"""Of a template, and so of its URL."""

_BY_NAME = {option.name: option for option in OPTIONS}
_MEANT = {field: option.name for option in OPTIONS for field in option.fields if "." not in field}
_MEANT |= {name: name for name in _BY_NAME}
"""Whole words are what other grammars call an option, and what we call its field."""
_ELSEWHERE = {
    "fit": {
        "cover": "crop",
        "contain": "clip",
        "inside": "clip",
        "scale-down": "max",
        "stretch": "scale",
        "squeeze": "scale",
        "pad": "fill",
    },
    "crop": dict.fromkeys(("smart", "sm", "auto", "face", "faces"), "attention"),
    "fm": {"jpeg": "jpg", "tif": "tiff"},
}
"""What CSS, Cloudflare, ipx, weserv and others call the values of an option."""
_ROWS = {option.name: row for row, option in enumerate(OPTIONS)}
_STRAY = re.compile("[^!-~]|#")
LIBRARY = "library"
"""The source of hosted pictures."""
TEMPLATE = "template"
"""The source of rendered templates. Its locators are an id, and behind a question mark the values of variables."""
TEMPLATE_WEB = "template.web"
"""The source of a template's pictures that are named by a whole URL, where the settings name none; no URL can name it."""

_VARIABLE = "v."
"""What names of variables begin with where they are not to be taken for options."""

_SOURCE = re.compile("[a-z0-9][a-z0-9-]*")
_PLAIN_NAME = re.compile("[a-z0-9][a-z0-9_-]{0,63}")
_DOTS = re.compile(r"//|(?:^|/)\.{0,2}(?:/|$)")


class Native:
    """The native dialect below `prefix`, which begins and ends with a slash. `library`: a path of one segment is the id of a
    hosted picture. `templates`: the source `TEMPLATE` takes variables in the query. A `urls.dialect.Dialect`."""

    def __init__(self, prefix: str = "/images/", *, library: bool = False, templates: bool = False) -> None:
        if not (prefix.startswith("/") and prefix.endswith("/")):
            raise ValueError("a prefix begins and ends with a slash")
        self._prefix = prefix
        self._library = library
        self._templates = templates

    def matches(self, target: str) -> bool:
        return target.startswith(self._prefix)

    def hosts(self, target: str) -> bool:
        """Whether it is a hosted picture that this target names, as far as its path tells."""
        path = target.partition("?")[0][len(self._prefix) :]
        return self._library and ("/" not in path or path.startswith(f"{LIBRARY}/"))

    def split(self, target: str) -> Signed:
        """The signature is `s`, the last option, once. Raises SignatureInvalid where there is an `s` elsewhere."""
        _, _, query = target.partition("?")
        pieces = query.split("&")
        names = [piece.partition("=")[0] for piece in pieces]
        if "s" in names[:-1]:
            raise SignatureInvalid("the signature s must be the last option, and there once")
        grant = pieces[names.index("grant")].partition("=")[2] if "grant" in names else None
        if names[-1] != "s":
            return Signed(target, None, grant)
        return Signed(target[: -len(pieces[-1]) - 1], pieces[-1].partition("=")[2], grant)

    def parse(self, payload: str) -> ImageRequest:
        stray = _STRAY.search(payload)
        if stray:
            raise InvalidTarget(f"the character at position {stray.start()} of the URL must be percent-encoded")
        path, mark, query = payload.partition("?")
        source, locator = self._place(path)
        options = query if mark else None
        templated = self._templates and source == TEMPLATE
        if templated:
            if "?" in locator:
                raise InvalidTarget("the variables of a template stand in the query, not in the path")
            options, variables = _parted(query) if mark else (None, "")
            locator = f"{locator}?{variables}" if variables else locator
        # A template has no bytes of its own that could be passed on.
        transform, others = _asked(options, drawn=templated)
        return ImageRequest(source=source, locator=locator, transform=transform, **others)

    def build(self, request: ImageRequest) -> str:
        """Raises InvalidTarget or InvalidOption where nothing in this dialect asks for `request`."""
        if request.transform is not None:
            request = msgspec.structs.replace(request, transform=canonical(request.transform))
        asked = request
        if request.locator in (".", ".."):
            # Browsers take these away in any spelling.
            raise InvalidTarget("a path of dots alone cannot be written as a URL")
        variables = ""
        if self._templates and request.source == TEMPLATE:
            locator, _, variables = request.locator.partition("?")
            request = msgspec.structs.replace(request, locator=locator)
        # A slash that a proxy or a browser would take away is written as %2F.
        safe = "" if _DOTS.search(request.locator) else "/"
        try:
            path = f"{self._prefix}{request.source}/{quote(request.locator, safe=safe)}"
        except UnicodeEncodeError:
            raise InvalidTarget("the path is not text") from None
        pieces = [*(f"{_VARIABLE}{each}" for each in variables.split("&") if each), *_write(request)]
        target = f"{path}?{'&'.join(pieces)}" if pieces else path
        if self.parse(target) != asked:
            raise InvalidTarget("this request cannot be written as a native URL")
        return target

    def _place(self, path: str) -> tuple[str, str]:
        if not self.matches(path):
            raise InvalidTarget(f"the path does not begin with {self._prefix}")
        source, slash, locator = path[len(self._prefix) :].partition("/")
        if self._library and source and not slash:
            source, locator = LIBRARY, source
        if not _SOURCE.fullmatch(source):
            raise InvalidTarget("the name of a source is of small letters, digits and hyphens")
        if not locator:
            raise InvalidTarget("the path names a source but no picture in it")
        return source, mended(percent_decode(locator))


def _parted(query: str) -> tuple[str | None, str]:
    """The options of a template's URL, None where there are none, and its variables in their one spelling. What is neither is
    left with the options."""
    options: list[str] = []
    variables: dict[str, str] = {}
    for piece in query.split("&", MAX_OPTIONS + MOST_VARIABLES):
        name, _, text = piece.partition("=")
        plain = name.removeprefix(_VARIABLE)
        if not _PLAIN_NAME.fullmatch(plain) or (plain == name and (name in _BY_NAME or name == "s")):
            options.append(piece)
        elif plain in variables:
            raise InvalidOption(name[:40], f"{plain[:40]} is given twice")
        else:
            variables[plain] = percent_decode(text.replace("+", " "))
    if len(variables) > MOST_VARIABLES:
        raise InvalidTarget(f"the URL has more than {MOST_VARIABLES} variables")
    return "&".join(options) if options else None, urlencode(sorted(variables.items()), quote_via=quote)


@lru_cache(_MOST_QUERIES)
def _asked(query: str | None, *, drawn: bool) -> tuple[Transform | None, Mapping[str, Any]]:
    """The transform of the options, and the request's other fields. `drawn`: there is one even where no option asks for it.

    Sites ask for all their pictures in a few ways.
    """
    given = _read(query) if query is not None else {}
    picture: dict[str, Any] = {}
    others: dict[str, Any] = {}
    for name in sorted(given, key=_ROWS.__getitem__):
        option = _BY_NAME[name]
        drawn |= option.picture
        _put(picture if option.picture else others, option, given[name])
    return canonical(Transform(**{"enlarge": True} | picture)) if drawn else None, others


def _read(query: str) -> dict[str, Any]:
    pieces = query.split("&", MAX_OPTIONS)
    if len(pieces) > MAX_OPTIONS:
        raise InvalidTarget(f"the URL has more than {MAX_OPTIONS} options")
    given: dict[str, Any] = {}
    for piece in pieces:
        name, _, text = piece.partition("=")
        option = _BY_NAME.get(name)
        if option is None:
            raise _unknown(name)
        if name in given:
            raise InvalidOption(name, f"{name} is given twice")
        text = percent_decode(text.replace("+", " ") if option.text else text)
        try:
            given[name] = option.value.read(text)
        except ValueError:
            meant = _ELSEWHERE.get(name, {}).get(text.lower())
            hint = f"; did you mean {meant}?" if meant else ""
            raise InvalidOption(name, f"{name} must be {option.value.expected}; got {_shown(text)}{hint}") from None
    for name in given:
        needs = _BY_NAME[name].needs
        if needs is not None and not needs.met(given):
            raise InvalidOption(name, f"{name} has no effect here: it needs {needs.text}")
    return given


def _unknown(name: str) -> InvalidOption | InvalidTarget:
    if not name:
        return InvalidTarget("the query has an empty option")
    if name == "s":
        return InvalidOption(name, "the signature s must be the last option")
    hint = did_you_mean(name[:32].lower(), _MEANT, likeness=0.65, spell=_MEANT.__getitem__)
    return InvalidOption(name[:40], f"there is no option {_shown(name)}{hint}")


def _shown(text: str) -> str:
    """`text` for an error message: short, and nothing in it that could act on a terminal or a log."""
    short = text if len(text) <= 40 else f"{text[:40]}…"
    return (short if short.isprintable() else ascii(short)) or "nothing"


def _put(fields: dict[str, Any], option: Option, value: Any) -> None:
    values = value if len(option.fields) > 1 else (value,) * len(option.fields)
    for path, part in zip(option.fields, values, strict=True):
        name, _, inner = path.partition(".")
        struct = fields.get(name) or option.base
        fields[name] = msgspec.structs.replace(struct, **{inner: part}) if inner and struct else part


def _get(fields: Given, option: Option) -> Any:
    paths = (path.partition(".") for path in option.fields)
    values = tuple(getattr(fields[name], inner, None) if inner else fields[name] for name, _, inner in paths)
    return values if len(values) > 1 else values[0]


def _write(request: ImageRequest) -> list[str]:
    asked = {"download": request.download, "expires": request.expires}
    others = _pieces(asked, {"download": None, "expires": 0})
    if request.transform is None:
        return others
    # What a URL without options means, as far as it means anything beside the rest of this picture.
    enlarge = canonical(msgspec.structs.replace(request.transform, enlarge=True)).enlarge
    said = msgspec.structs.asdict(Transform(enlarge=enlarge, negotiate=request.transform.format == "auto"))
    return [*(_pieces(msgspec.structs.asdict(request.transform), said) or ["fm=auto"]), *others]


def _pieces(wanted: Given, said: dict[str, Any]) -> list[str]:
    """The options in the table's order: of each row, what the rows before it have not said already."""
    pieces = []
    for option in OPTIONS:
        if not option.fields or option.fields[0].partition(".")[0] not in wanted:
            continue
        value = _get(wanted, option)
        if value == _get(said, option):
            continue
        try:
            text = option.value.write(value)
            _put(said, option, option.value.read(text))
        except ValueError:
            raise InvalidOption(option.name, f"{option.name} cannot say in a native URL what is asked for here") from None
        pieces.append(f"{option.name}={quote(text, safe=',:')}")
    return pieces
