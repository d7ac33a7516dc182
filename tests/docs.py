"""The parts of README.md, and the schema of templates, that are made from the code. `python -m tests.docs` rewrites them; tests
keep them true."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from imgproxy import errors, metrics
from imgproxy.configuration import aliases
from imgproxy.formats import FORMATS
from imgproxy.templates.document import END, Template
from imgproxy.templates.expressions import FILTERS
from imgproxy.urls import info, native, processing
from imgproxy.web.errors import status_of

README = Path(__file__).parent.parent / "README.md"
SCHEMA = Path(__file__).parent.parent / "config" / "template.schema.json"


def formats_table() -> str:
    rows = ["| format | in | out | alpha | moves | largest side out |", "|---|---|---|---|---|---|"]
    for row in FORMATS.values():
        if row.name == "json":
            continue
        written = f"with `[{row.writer}]`" if row.writer else "yes" if row.saver else ""
        cells = [row.alpha, row.animation]
        read = f"with `[{row.extra}]`" if row.extra else "yes" if row.loader else ""
        side = (str(row.max_side) if row.max_side else "–") if row.saver else ""
        rows.append(f"| {row.name} | {read} | {written} | {' | '.join('yes' if cell else '' for cell in cells)} | {side} |")
    return "\n".join(rows)


def leaves(cause: type[errors.ImgproxyError] = errors.ImgproxyError) -> list[type[errors.ImgproxyError]]:
    """The classes that have no subclass."""
    below = cause.__subclasses__()
    return [leaf for child in below for leaf in leaves(child)] if below else [cause]


def errors_table() -> str:
    causes = dict(re.findall(r"^[│├└─ ]*(\w+) {2,}(.+)", inspect.getdoc(errors) or "", re.MULTILINE))
    raised = [*leaves(), errors.CapacityError, errors.ImgproxyError]
    found = [leaf for leaf in raised if leaf is not errors.SettingsError and leaf.__module__ == errors.__name__]
    found.sort(key=lambda leaf: (status_of(leaf), leaf.code))
    rows = (f"| {status_of(leaf)} | `{leaf.code}` | {causes[leaf.__name__]} |" for leaf in found)
    return "\n".join(("| status | code | cause |", "|---|---|---|", *rows))


def filters_table() -> str:
    rows = ["| filter | example | what |", "|---|---|---|"]
    return "\n".join(
        [*rows, *(f"| `{name}` | `{{{{ name \\| {each.example} }}}}` | {each.help} |" for name, each in FILTERS.items())]
    )


def template_schema() -> str:
    """The JSON Schema of templates, for editors."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema"} | msgspec.json.schema(Template)
    # What reads it knows `$` as the end and nothing else.
    return json.dumps(_unindented(schema), indent=2, ensure_ascii=False).replace(json.dumps(END)[1:-1], "$") + "\n"


def _unindented(part: Any) -> Any:
    """Descriptions are docstrings, which keep their indentation up to Python 3.12."""
    if isinstance(part, dict):
        return {key: _unindented(value) for key, value in part.items()}
    if isinstance(part, list):
        return [_unindented(each) for each in part]
    return inspect.cleandoc(part) if isinstance(part, str) else part


PARTS: dict[str, Callable[[], str]] = {
    "options": native.table,
    "processing": processing.table,
    "info": info.table,
    "aliases": aliases.table,
    "formats": formats_table,
    "filters": filters_table,
    "errors": errors_table,
    "metrics": metrics.table,
}


def rendered(text: str) -> str:
    for name, make in PARTS.items():
        begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        before, _, rest = text.partition(begin)
        _, _, after = rest.partition(end)
        text = f"{before}{begin}\n{make()}\n{end}{after}"
    return text


if __name__ == "__main__":
    README.write_text(rendered(README.read_text()))
    SCHEMA.write_text(template_schema())
