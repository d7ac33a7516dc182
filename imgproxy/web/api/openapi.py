"""/openapi.json: OpenAPI 3.1, made of the operations and of the types that validate them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from inspect import cleandoc
from typing import Any

import msgspec

from imgproxy.errors import (
    BodyInvalid,
    CapacityError,
    CatalogueUnavailable,
    ImageError,
    ImgproxyError,
    InvalidOption,
    KeyInvalid,
    KeyMissing,
    RateExceeded,
    ScopeMissing,
    SourceError,
)
from imgproxy.library.catalogue import ID, MOST_IDS
from imgproxy.templates.document import END, MOST_CHARACTERS
from imgproxy.urls.options import OPTIONS
from imgproxy.web.api.operation import Operation
from imgproxy.web.api.processing import OPERATIONS
from imgproxy.web.api.shapes import Given, Success, listed
from imgproxy.web.errors import PROBLEM_TYPE, Problem, status_of

_END = msgspec.json.encode(END)[1:-1]
"""As the document would have it. There `$` is the end and nothing else, and what reads it in Go or Rust knows no `(?!`."""

_REF = "#/components/schemas/{name}"
_VARIABLE = re.compile(r"\{(\w+)\}")
_ID = {"type": "string", "pattern": f"^{ID}$"}
_VARIABLES: dict[str, dict[str, Any]] = {
    "id": {"description": "The id of a hosted picture", "schema": _ID},
    "template": {"description": "The id of a template", "schema": {"type": "string", "pattern": "^[a-z0-9][a-z0-9_-]{0,63}$"}},
    "job": {"description": "The id of a job", "schema": _ID},
    "operation": {
        "description": "What to do; at least one option that does it is required",
        "schema": {"type": "string", "enum": list(OPERATIONS)},
    },
    "object_name": {
        "description": "The last part of `upload_url`",
        "schema": {"type": "string", "pattern": "^[0-9a-f]{32}\\.[a-z0-9]{2,8}$"},
    },
    "ids": {
        "description": f"Up to {MOST_IDS} ids, with commas between",
        "schema": {"type": "array", "items": _ID, "minItems": 1, "maxItems": MOST_IDS},
        "style": "simple",
    },
}
_BINARY: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
_ALWAYS: tuple[type[ImgproxyError], ...] = (
    InvalidOption,
    KeyMissing,
    KeyInvalid,
    ScopeMissing,
    RateExceeded,
    CapacityError,
    CatalogueUnavailable,
)
_KINDS = {ImageError, SourceError}
"""Their leaves are raised, they are not."""


def document(operations: Sequence[Operation]) -> bytes:
    """The whole of it, as JSON."""
    told = [each for operation in operations for each in (operation.answer, operation.accepted) if each is not None]
    answers = [_enveloped(each) for each in told]
    bodies = [operation.body for operation in operations if operation.body is not None]
    queries = [operation.query for operation in operations]
    kinds = list(dict.fromkeys([*answers, *bodies, *queries, Problem]))
    schemas, components = msgspec.json.schema_components(kinds, ref_template=_REF)
    for schema in components.values():
        if "description" in schema:  # a docstring, indented, which would be code in Markdown
            schema["description"] = cleandoc(schema["description"])
    of = dict(zip(kinds, schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        answer = of[_enveloped(operation.answer)] if operation.answer is not None else None
        query = _resolved(of[operation.query], components)
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation, answer, query, of)
    used = {
        name: schema
        for name, schema in components.items()
        if name not in {operation.query.__name__ for operation in operations}
    } | {body.__name__: components[body.__name__] for body in bodies}
    return msgspec.json.encode(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "imgproxy: hosted pictures",
                "version": version("imgproxy-server"),
                "description": "Upload, find, tag and delete pictures, and draw templates. /images/ID?w=400 shows one.",
                "license": {"name": "MIT", "identifier": "MIT"},
            },
            "servers": [{"url": "/"}],
            "security": [{"bearer": []}, {"header": []}, {"query": []}],
            "paths": paths,
            "components": {
                "schemas": used,
                "securitySchemes": {
                    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key, or a JWT"},
                    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
                    "query": {"type": "apiKey", "in": "query", "name": "key"},
                },
            },
        }
    ).replace(_END, b"$")


def _enveloped(answer: Any) -> Any:
    return answer if issubclass(answer, Success) else Success[answer]


def _operation(operation: Operation, answer: Any, query: Any, of: dict[Any, Any]) -> dict[str, Any]:
    told: dict[str, Any] = {
        "operationId": operation.id,
        "summary": operation.summary,
        "description": " ".join([*_about(query), f"Needs the scope `{operation.scope}`."]),
        "parameters": [*_variables(operation.path), *_parameters(operation.query, query), *_others(operation)],
        "responses": _responses(operation, answer, of),
    }
    if operation.deprecated:
        told["deprecated"] = True
    if operation.body is not None:
        content: dict[str, Any] = {"application/json": {"schema": of[operation.body]}}
        if operation.upload:
            form = {"type": "object", "properties": {"file": {"type": "string", "format": "binary"}}, "required": ["file"]}
            content |= {
                "application/octet-stream": _BINARY,
                "image/*": _BINARY,
                "multipart/form-data": {"schema": form},
            }
        told["requestBody"] = {"required": True, "content": content}
    return told


def _about(query: dict[str, Any]) -> Iterator[str]:
    """What the parameters have in common."""
    if query.get("properties") and "description" in query:
        yield " ".join(query["description"].split())


def _variables(path: str) -> Iterator[dict[str, Any]]:
    for name in _VARIABLE.findall(path):
        yield {"name": name, "in": "path", "required": True, **_VARIABLES[name]}


def _parameters(shape: type[Given], query: dict[str, Any]) -> Iterator[dict[str, Any]]:
    lists = listed(shape)
    for name, schema in query.get("properties", {}).items():
        plain = _plain(schema)
        style = {"style": "form", "explode": False} if name in lists else {}
        parameter = _parameter("query", name, plain.pop("description", ""), plain, **style)
        yield parameter | {"required": name in query.get("required", ())}


def _parameter(place: str, name: str, description: str, schema: dict[str, Any], **style: Any) -> dict[str, Any]:
    return {"name": name, "in": place, "required": False, "description": description, "schema": schema, **style}


def _others(operation: Operation) -> Iterator[dict[str, Any]]:
    yield from _options(operation)
    yield from _values(operation)
    yield from _headers(operation)


def _options(operation: Operation) -> Iterator[dict[str, Any]]:
    if operation.options:
        for option in OPTIONS:
            if option.picture:
                yield _parameter("query", option.name, option.meaning, {"type": "string", "examples": [option.example]})


def _values(operation: Operation) -> Iterator[dict[str, Any]]:
    """One object, each of whose members is a parameter: what no name is known of can be said in no other way."""
    if operation.values:
        names = {"pattern": "^v\\.[a-z0-9][a-z0-9_-]{0,63}$"}
        value = {"type": "string", "maxLength": MOST_CHARACTERS}
        schema = {"type": "object", "propertyNames": names, "additionalProperties": value}
        told = "Values of the template's variables, by their names"
        yield _parameter("query", "v.NAME", told, schema, style="form", explode=True)


def _headers(operation: Operation) -> Iterator[dict[str, Any]]:
    if operation.accepted is not None and operation.upload:
        told = "`respond-async`: draw it later, and answer 202 with a job (RFC 7240)"
        yield _parameter("header", "Prefer", told, {"type": "string", "examples": ["respond-async"]})
    if operation.conditional:
        version = {"type": "string", "pattern": '^("[0-9a-f]{1,64}"|\\*)$'}
        yield _parameter("header", "If-Match", "Only if this is still its ETag", version)


def _plain(schema: dict[str, Any]) -> dict[str, Any]:
    """As a query can say it: null is said by leaving it out."""
    kinds = [each for each in schema.get("anyOf", ()) if each != {"type": "null"}]
    rest = {name: value for name, value in schema.items() if name not in ("anyOf", "default")}
    return {**kinds[0], **rest} if len(kinds) == 1 else schema if kinds else rest


def _responses(operation: Operation, answer: Any, of: dict[Any, Any]) -> dict[str, Any]:
    """One for each status."""
    content: dict[str, Any] = {"application/json": {"schema": answer}} if answer is not None else {}
    if operation.options or answer is None:
        content["image/*"] = {}
    responses: dict[str, Any] = {str(operation.status): {"description": "Done", "content": content}}
    if operation.accepted is not None:
        schema = of[_enveloped(operation.accepted)]
        responses["202"] = {"description": "Accepted, as a job", "content": {"application/json": {"schema": schema}}}
    if operation.id == "listImages":
        responses["201"] = {"description": "Imported, if there is a `url`", "content": {"application/json": {}}}
    causes: dict[int, set[str]] = {}
    body = (BodyInvalid,) if operation.body is not None else ()
    for cause in [*_ALWAYS, *operation.errors, *body]:
        for leaf in {cause, *cause.__subclasses__()} - _KINDS:
            causes.setdefault(status_of(leaf), set()).add(leaf.code)
    problem = {"schema": {"$ref": _REF.format(name=Problem.__name__)}}
    for status, codes in sorted(causes.items()):
        told = ", ".join(f"`{code}`" for code in sorted(codes))
        responses[str(status)] = {"description": told, "content": {PROBLEM_TYPE: problem}}
    if operation.body is not None:
        responses.setdefault("413", {"description": "`body-too-large`", "content": {PROBLEM_TYPE: problem}})
        responses.setdefault("415", {"description": "`media-type-unsupported`", "content": {PROBLEM_TYPE: problem}})
    return responses


def _resolved(schema: dict[str, Any], components: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = components[schema["$ref"].rpartition("/")[2]]
    return found
