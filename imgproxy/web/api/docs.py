"""/docs: the OpenAPI document as a page to read. It is made here, whole: no script, nothing from another host."""

from __future__ import annotations

import json
from collections.abc import Iterator
from html import escape
from typing import Any

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'",
    "Cache-Control": "public, max-age=300",
    "X-Content-Type-Options": "nosniff",
}

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --accent: #0b6bcb }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
code, pre, .path { font-family: ui-monospace, monospace; font-size: .9em }
details { border: 1px solid var(--line); border-radius: .5rem; margin: .5rem 0; padding: 0 1rem }
summary { cursor: pointer; padding: .6rem 0 } summary:hover { color: var(--accent) }
.method { display: inline-block; width: 4.5rem; font-weight: 700 } .old { text-decoration: line-through }
table { border-collapse: collapse; width: 100%; margin: .5rem 0 1rem } td, th { text-align: left; vertical-align: top }
td, th { border-bottom: 1px solid var(--line); padding: .25rem .75rem .25rem 0 }
pre { background: var(--soft); overflow-x: auto; padding: .75rem; border-radius: .5rem }
"""


def page(document: bytes) -> str:
    """The page of an OpenAPI document."""
    told: dict[str, Any] = json.loads(document)
    info = told["info"]
    lines = [
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>",
        f"<title>{escape(info['title'])}</title><style>{_STYLE}</style>",
        f"<h1>{escape(info['title'])} <small>{escape(info['version'])}</small></h1><p>{escape(info['description'])}",
        "<p>Send a key as <code>Authorization: Bearer KEY</code>, <code>X-API-Key: KEY</code> or <code>?key=KEY</code>; "
        "<code>imgproxy apikey create</code> makes one. The same as a file: <a href=/openapi.json>/openapi.json</a>.",
        "<h2>Operations</h2>",
    ]
    for path, methods in told["paths"].items():
        for method, operation in methods.items():
            lines += _operation(path, method.upper(), operation)
    lines.append("<h2>Schemas</h2>")
    for name, schema in sorted(told["components"]["schemas"].items()):
        shown = escape(json.dumps(schema, indent=2, ensure_ascii=False))
        lines.append(f"<details id='{escape(name)}'><summary><code>{escape(name)}</code></summary><pre>{shown}</pre></details>")
    return "\n".join(lines)


def _operation(path: str, method: str, operation: dict[str, Any]) -> Iterator[str]:
    old = " old" if operation.get("deprecated") else ""
    yield f"<details id='{escape(operation['operationId'])}'><summary><span class=method>{method}</span>"
    yield f"<span class='path{old}'>{escape(path)}</span> — {escape(operation['summary'])}</summary>"
    yield f"<p>{_code(operation['description'])}"
    if operation["parameters"]:
        yield "<table><tr><th>parameter<th>in<th>meaning<th>takes"
        for each in operation["parameters"]:
            needed = " (required)" if each.get("required") else ""
            yield f"<tr><td><code>{escape(each['name'])}</code><td>{each['in']}{needed}"
            yield f"<td>{_code(each['description'])}<td>{_schema(each['schema'])}"
        yield "</table>"
    bodies = operation.get("requestBody", {}).get("content", {})
    if bodies:
        yield "<table><tr><th>body<th>holds"
        for kind, body in bodies.items():
            yield f"<tr><td><code>{escape(kind)}</code><td>{_schema(body['schema'])}"
        yield "</table>"
    yield "<table><tr><th>status<th>answer"
    for status, response in operation["responses"].items():
        held = [_schema(each["schema"]) for each in response["content"].values() if "schema" in each]
        yield f"<tr><td>{escape(status)}<td>{_code(response['description'])} {' '.join(held)}"
    yield "</table></details>"


def _code(text: str) -> str:
    """What stands between backquotes as code."""
    parts = escape(text).split("`")
    return "".join(f"<code>{part}</code>" if number % 2 else part for number, part in enumerate(parts))


def _schema(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f"<a href='#{name}'><code>{name}</code></a>"
    facts = [f"{name}: {value}" for name, value in schema.items() if name not in ("description", "items")]
    if "items" in schema:
        facts.append(f"each {json.dumps(schema['items'], ensure_ascii=False)}")
    described = f"{escape(schema['description'])}. " if "description" in schema else ""
    return described + f"<code>{escape('; '.join(facts))}</code>"
