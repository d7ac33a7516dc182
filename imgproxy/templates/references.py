"""Which pictures a template shows for these values, by whose word. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from imgproxy.templates.document import MOST_IN_NAMES, Canvas, ImageLayer, Template
from imgproxy.templates.expressions import bounded, names_in


@dataclass(frozen=True, slots=True)
class Reference:
    """`text` is what `Picture` in a document is. `fixed`: the template itself says so; `placed`: it says at least which source
    it is from."""

    layer: str
    text: str
    fixed: bool
    placed: bool

    @property
    def remote(self) -> bool:
        return self.text.startswith(("https://", "http://"))


def references(template: Template, values: Mapping[str, str]) -> Iterator[Reference]:
    """All that may be shown, fallbacks too; whether or not the layer is, and without those that come to nothing.

    Raises InvalidOption for one that is too long.
    """
    filled = template.with_defaults(values)
    for name, said in _said(template):
        text = bounded(name, said, filled, MOST_IN_NAMES).strip()
        if text:
            source, slash, _ = said.strip().partition("/")
            yield Reference(name, text, not names_in(said), bool(slash) and "{{" not in source)


def _said(template: Template) -> Iterator[tuple[str, str]]:
    yield "fallback", template.fallback
    for name, part in (("canvas", template.canvas), *((layer.name, layer) for layer in template.layers)):
        if isinstance(part, Canvas | ImageLayer):
            yield name, part.picture
            yield name, part.fallback
