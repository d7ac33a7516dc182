"""What a type annotation of the settings asks for: which fields, which elements, which unit, whether it is a secret. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec


@cache
def bare(kind: Any) -> Any:
    """`kind` without Annotated and without `| None`."""
    if get_origin(kind) is Annotated:
        return bare(get_args(kind)[0])
    if get_origin(kind) in (Union, UnionType):
        rest = [arm for arm in get_args(kind) if arm is not type(None)]
        return bare(rest[0]) if len(rest) == 1 else kind
    return kind


@cache
def marks(kind: Any) -> dict[str, Any]:
    """The `extra` of the annotations of `kind`: {"unit": "seconds" | "bytes"}, {"secret": True}."""
    found: dict[str, Any] = {}
    if get_origin(kind) is Annotated:
        for meta in kind.__metadata__:
            found |= getattr(meta, "extra", None) or {}
        found |= marks(get_args(kind)[0])
    elif get_origin(kind) in (Union, UnionType):
        for arm in get_args(kind):
            found |= marks(arm)
    return found


@cache
def tables(kind: Any) -> tuple[type[msgspec.Struct], ...]:
    """The structs a table of this kind may be: one, the arms of a tagged union, or none when it is no table with known keys."""
    kind = bare(kind)
    arms = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    structs = tuple(arm for arm in arms if isinstance(arm, type) and issubclass(arm, msgspec.Struct))
    return structs if len(structs) == len(arms) else ()


@cache
def keys(table: type[msgspec.Struct]) -> dict[str, msgspec.structs.FieldInfo]:
    """The keys of a table, in the order in which they are declared; the tag is not one of them."""
    return {field.encode_name: field for field in msgspec.structs.fields(table)}


def tag(table: type[msgspec.Struct]) -> tuple[str, str] | None:
    """The key and the value that tell this arm of a union from the others."""
    config = table.__struct_config__
    return (config.tag_field, str(config.tag)) if config.tag_field else None


def values(kind: Any) -> Any | None:
    """The kind of the values of a mapping, or None when `kind` is none."""
    kind = bare(kind)
    return get_args(kind)[1] if get_origin(kind) is dict else None


def items(kind: Any) -> Any | None:
    """The kind of the items of a list, or None when `kind` is none."""
    kind = bare(kind)
    return get_args(kind)[0] if get_origin(kind) in (list, tuple) else None


def sequence(kind: Any) -> type[list[Any]] | type[tuple[Any, ...]]:
    """Which of the two a list is kept as."""
    return tuple if get_origin(bare(kind)) is tuple else list


def choices(kind: Any) -> str:
    """'expected "a" or "b"' for a Literal, "" for the rest."""
    if get_origin(bare(kind)) is not Literal:
        return ""
    quoted = [f'"{value}"' for value in get_args(bare(kind))]
    return "expected " + " or ".join([", ".join(quoted[:-1]), quoted[-1]] if len(quoted) > 1 else quoted)


def told(kind: Any, value: object) -> object:
    """`value` as it may be shown: of a secret, and of each in a list of them, whether it is set."""
    if isinstance(value, list):
        return [told(items(kind), each) for each in value]
    return "***" if value and "secret" in marks(kind) else value


def is_scalar(kind: Any) -> bool:
    return not tables(kind) and values(kind) is None and items(kind) is None


def walk(settings: msgspec.Struct, prefix: str = "") -> Iterator[tuple[str, Any, object]]:
    """(dotted key, kind, value) of every setting in `settings`, in order; lists of tables are numbered."""
    table = type(settings)
    if marker := tag(table):
        yield f"{prefix}.{marker[0]}", str, marker[1]
    for name, field in keys(table).items():
        yield from _below(getattr(settings, name), field.type, f"{prefix}.{name}" if prefix else name)


def _below(value: object, kind: Any, path: str) -> Iterator[tuple[str, Any, object]]:
    if isinstance(value, msgspec.Struct):
        yield from walk(value, path)
    elif isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _below(inner, values(kind), f"{path}.{name}")
    elif isinstance(value, (list, tuple)) and value and tables(items(kind)):
        for number, inner in enumerate(value):
            yield from _below(inner, items(kind), f"{path}[{number}]")
    else:
        yield path, kind, value
