"""What a request changes of a template before it is drawn: `modified` says what comes of it. Pure.

What is put into a template this way is bound to a variable of its own: it is data, and nothing in it is looked at again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import count
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from imgproxy.errors import InvalidOption
from imgproxy.suggestions import did_you_mean
from imgproxy.templates.checked import paint
from imgproxy.templates.document import (
    MOST_CHARACTERS,
    AnyLayer,
    ImageLayer,
    QrLayer,
    ShapeLayer,
    Template,
    TextLayer,
    Variable,
)

MOST_MODIFICATIONS = 128

Reference = Annotated[str, Meta(max_length=MOST_CHARACTERS, description="A URL, or library/ID of a hosted picture")]

_COLOURS: dict[type[AnyLayer], str] = {TextLayer: "color", QrLayer: "color", ShapeLayer: "fill"}
_CONTENTS: dict[str, dict[type[AnyLayer], str]] = {
    "text": {TextLayer: "text", QrLayer: "data"},
    "image_url": {ImageLayer: "picture"},
    "color": _COLOURS,
}
_OPTION = "modifications"


class Modification(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Changes the layer or the variable of this name. `text` and `image_url` set the variable; where there is none of that name
    they are what the layer shows, whatever its `when` says. `color` sets the layer's colour; where there is no such layer, the
    variable. `hide` leaves the layer out."""

    name: Annotated[str, Meta(min_length=1, max_length=64)]
    text: Annotated[str, Meta(max_length=MOST_CHARACTERS)] | None = None
    image_url: Reference | None = None
    color: Annotated[str, Meta(max_length=9, description="#RGB, #RGBA, #RRGGBB or #RRGGBBAA")] | None = None
    hide: bool = False


def modified(
    template: Template, modifications: Sequence[Modification], values: Mapping[str, str]
) -> tuple[Template, dict[str, str]]:
    """The template as it is then, and all values: `values` by name with those of the modifications, which are looked at later.

    Raises InvalidOption, which says which modification is wrong.
    """
    for name in values:
        if name not in template.variables:
            hint = did_you_mean(name, template.variables)
            raise InvalidOption("variables", f"variables: there is no variable {name[:40]!a}{hint}")
    making = _Making(template, dict(values))
    for index, modification in enumerate(modifications):
        making.apply(f"{_OPTION}[{index}]", modification)
    variables = {**template.variables, **dict.fromkeys(making.bound, Variable())}
    return msgspec.structs.replace(template, layers=tuple(making.layers.values()), variables=variables), making.values


class _Making:
    def __init__(self, template: Template, values: dict[str, str]) -> None:
        self.layers = {layer.name: layer for layer in template.layers}
        self.names = (*self.layers, *template.variables)
        self.variables = template.variables
        self.values = values
        self.bound: list[str] = []
        self.numbers = count()

    def apply(self, path: str, asked: Modification) -> None:
        if asked.name not in self.names:
            hint = did_you_mean(asked.name, self.names)
            raise InvalidOption(_OPTION, f"{path}.name: there is no layer and no variable {asked.name[:40]!a}{hint}")
        given = [(field, value) for field in _CONTENTS if (value := getattr(asked, field)) is not None]
        if not given and not asked.hide:
            raise InvalidOption(_OPTION, f"{path}: it wants text, image_url, color or hide")
        for field, value in given:
            self._give(f"{path}.{field}", asked.name, field, value)
        if asked.hide:
            if asked.name in self.variables and self.layers.get(asked.name) is None:
                raise InvalidOption(_OPTION, f"{path}.hide: {asked.name} is a variable; layers are hidden")
            self.layers.pop(asked.name, None)

    def _give(self, path: str, name: str, field: str, value: str) -> None:
        if field == "color":
            try:
                paint(value)
            except ValueError as error:
                raise InvalidOption(_OPTION, f"{path}: {error}") from None
        layer = self.layers.get(name)
        own = _CONTENTS[field].get(type(layer)) if layer is not None else None
        if name in self.variables and (own is None or field != "color"):
            self.values[name] = value
        elif layer is not None and own is not None:
            changes: dict[str, Any] = {own: self._bind(value)}
            if field != "color":
                changes["when"] = None
            self.layers[name] = msgspec.structs.replace(layer, **changes)
        else:
            raise InvalidOption(_OPTION, f"{path}: the layer {name} has none")

    def _bind(self, value: str) -> str:
        """The expression that says `value`."""
        name = next(each for number in self.numbers if (each := f"modification-{number}") not in self.variables)
        self.bound.append(name)
        self.values[name] = value
        return f"{{{{ {name} }}}}"
