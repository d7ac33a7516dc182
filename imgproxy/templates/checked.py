"""From the bytes of a template to one that can be drawn: whatever is wrong in it is said here, with the path to it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache

import msgspec

from imgproxy.errors import InvalidOption, RequestError, TemplateInvalid
from imgproxy.fonts import Fonts
from imgproxy.parts import Color
from imgproxy.suggestions import did_you_mean
from imgproxy.templates.document import (
    MOST_EXPRESSIONS,
    MOST_FILTERS,
    NAME,
    NAMED,
    AnyLayer,
    Canvas,
    ImageLayer,
    Template,
    TextLayer,
    words_of,
)
from imgproxy.templates.expressions import Misspelt, filters_in, names_in
from imgproxy.templates.options import read_transform

MOST_BYTES = 256 * 1024
"""Of a document."""

_PLACE = re.compile(r"(.*) - at `(?:key` in `)?\$\.?(.*)`", re.DOTALL)
_NO_CHOICE = re.compile(r"Invalid (?:enum )?value (.*) - at `(.*?)(\w+)`", re.DOTALL)
_PAINT = re.compile(r"#?([0-9a-fA-F]{3,4}|[0-9a-fA-F]{6}|[0-9a-fA-F]{8})")
_PAINTS = ("color", "background", "stroke", "fill")

_decode = msgspec.json.Decoder(Template).decode


def read(data: bytes) -> Template:
    """Raises TemplateInvalid, which begins with the path to what is wrong."""
    if len(data) > MOST_BYTES:
        raise TemplateInvalid(f"the template has {len(data)} bytes, at most {MOST_BYTES} are taken")
    try:
        template = _decode(data)
    except msgspec.ValidationError as error:
        message = in_words(str(error), Template, {NAME: NAMED})
        match = _PLACE.fullmatch(message)
        raise TemplateInvalid(f"{match[2]}: {match[1]}" if match else f"the template: {message}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise TemplateInvalid(f"the template is not JSON: {str(error)[:200]}") from None
    check(template)
    return template


def in_words(message: str, shape: type[msgspec.Struct], patterns: Mapping[str, str]) -> str:
    """What msgspec says is wrong with a `shape`, with what would be right: the choices that there are, and of `patterns` what
    they match."""
    for pattern, words in patterns.items():
        message = message.replace(f"`str` matching regex {pattern!r}", words)
    match = _NO_CHOICE.fullmatch(message)
    choices = _choices(shape).get(match[3]) if match else None
    if match is None or not choices:
        return message
    return f"Expected one of {', '.join(choices)}, got {match[1]} - at `{match[2]}{match[3]}`"


@cache
def _choices(shape: type[msgspec.Struct]) -> dict[str, list[str]]:
    """What fields of it, and of all that is in it, may say, by their names."""
    found: dict[str, list[str]] = {}
    for schema in msgspec.json.schema_components([shape])[1].values():
        for name, own in schema.get("properties", {}).items():
            found[name] = list(dict.fromkeys((*found.get(name, ()), *own.get("enum", ()))))
    return found


def check(template: Template) -> None:
    """What types cannot say: names that are there once, variables that are declared, colours, options, how much is filled in.

    Raises TemplateInvalid.
    """
    words = (template.fallback, *(text for _, part in _parts(template) for _, text in words_of(part)))
    count = sum(text.count("{{") for text in words)
    if count > MOST_EXPRESSIONS:
        raise TemplateInvalid(f"the template: its words have {count} times {{{{, at most {MOST_EXPRESSIONS} are filled in")
    seen: dict[str, int] = {}
    for index, layer in enumerate(template.layers):
        if layer.name in seen:
            raise TemplateInvalid(f"layers[{index}].name: layers[{seen[layer.name]}] is called {layer.name} as well")
        seen[layer.name] = index
    for path, part in _parts(template):
        _check_words(template, path, part)
        if isinstance(part, Canvas | ImageLayer) and part.transform:
            try:
                read_transform(part.transform)
            except RequestError as error:
                raise TemplateInvalid(f"{path}.transform: {error}") from None
        if not isinstance(part, Canvas) and part.when is not None:
            _check_variable(template, f"{path}.when.variable", part.when.variable)
    _check_text(template, "fallback", template.fallback)
    count = sum(map(filters_in, words))
    if count > MOST_FILTERS:
        raise TemplateInvalid(f"the template: its words have {count} filters, at most {MOST_FILTERS} are run")


def paint(text: str) -> Color:
    """The colour that `text` says as CSS does, with or without the #. Raises ValueError."""
    match = _PAINT.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"a colour is written #RGB, #RGBA, #RRGGBB or #RRGGBBAA; got {text[:40]!a}")
    digits = match[1] if len(match[1]) > 4 else "".join(2 * digit for digit in match[1])
    return Color(*bytes.fromhex(digits))


def _parts(template: Template) -> Iterator[tuple[str, Canvas | AnyLayer]]:
    yield "canvas", template.canvas
    for index, layer in enumerate(template.layers):
        yield f"layers[{index}]", layer


def _check_words(template: Template, path: str, part: Canvas | AnyLayer) -> None:
    for name, text in words_of(part):
        _check_text(template, f"{path}.{name}", text)
        if name.partition(".")[0] in _PAINTS and "{{" not in text:
            try:
                paint(text)
            except ValueError as error:
                raise TemplateInvalid(f"{path}.{name}: {error}") from None


def _check_text(template: Template, path: str, text: str) -> None:
    try:
        names = names_in(text)
    except Misspelt as error:
        raise TemplateInvalid(f"{path}: {error}") from None
    for name in sorted(names):
        _check_variable(template, path, name)


def _check_variable(template: Template, path: str, name: str) -> None:
    if name not in template.variables:
        hint = did_you_mean(name, template.variables)
        raise TemplateInvalid(f"{path}: there is no variable {name} in variables{hint}")


def check_fonts(template: Template, fonts: Fonts) -> None:
    """That there are the fonts it names. Raises TemplateInvalid."""
    for index, layer in enumerate(template.layers):
        if isinstance(layer, TextLayer):
            try:
                fonts.look(layer.font)
            except InvalidOption as error:
                raise TemplateInvalid(f"layers[{index}].font: {error}") from None
