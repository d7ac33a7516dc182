"""From the merged tree of raw values to typed settings. What is wrong is said with its key, its place, and a near match."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from imgproxy.configuration import shape, units
from imgproxy.configuration.layers import ENVIRONMENT_PREFIX, Layers, Text
from imgproxy.errors import SettingsError
from imgproxy.suggestions import did_you_mean

_MAX_SECRET = 64 * 1024


def place(root: type[msgspec.Struct], keys: list[str], text: str, origin: str) -> tuple[list[str], object]:
    """Where the value of an environment variable belongs and what it is: Text for a scalar, a TOML value for the rest.

    Names in mappings (sources) have dashes where the variable has underscores. Raises SettingsError for an unknown key.
    """
    kind: Any = root
    spelled: list[str] = []
    for key in keys:
        if found := shape.tables(kind):
            known = {name: field.type for table in found for name, field in shape.keys(table).items()}
            known |= {marker[0]: str for table in found if (marker := shape.tag(table))}
            if key not in known:
                raise SettingsError(f"{origin} is not a setting{_near(key, known, spelled, _variable)}")
            kind, name = known[key], key
        elif shape.tables(shape.values(kind)):
            kind, name = shape.values(kind), key.replace("_", "-")
        else:
            raise SettingsError(f"{origin} is not a setting; did you mean {_variable(spelled)}?")
        spelled.append(name)
    return spelled, Text(text) if shape.is_scalar(kind) else _toml(text, kind, origin)


def _toml(text: str, kind: Any, origin: str) -> object:
    if shape.items(kind) is None:
        wanted = 'a TOML table such as {name = "value"}'
    else:
        wanted = "a TOML list of tables" if shape.tables(shape.items(kind)) else 'a TOML list such as ["a", "b"]'
    try:
        tree = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        tree = {}
    value = tree.get("value")
    if len(tree) != 1 or not isinstance(value, dict if shape.items(kind) is None else list):
        raise SettingsError(f"{origin}: expected {wanted}")
    return value


def decode(kind: Any, value: object, path: str, layers: Layers, default: object = None) -> Any:
    """`value`, found at `path` of the tree, as `kind`; a table's missing keys are those of `default`. Raises SettingsError."""
    if found := shape.tables(kind):
        return _table(found, _mapping(value, path, layers), path, layers, default)
    if (inner := shape.values(kind)) is not None:
        return {name: decode(inner, each, _under(path, name), layers) for name, each in _mapping(value, path, layers).items()}
    if (inner := shape.items(kind)) is not None and isinstance(value, list):
        return shape.sequence(kind)(decode(inner, each, f"{path}[{number}]", layers) for number, each in enumerate(value))
    return _scalar(kind, value, path, layers)


def _table(
    found: tuple[type[msgspec.Struct], ...], value: dict[str, object], path: str, layers: Layers, default: object
) -> msgspec.Struct:
    table, value = _arm(found, value, path, layers)
    known = shape.keys(table)
    for key in value:
        if key not in known:
            where = layers.where(_under(path, key))
            raise SettingsError(
                f"{where}{_under(path, key)} is not a setting{_near(key, known, path.split('.') if path else [])}"
            )
    given = {key: decode(known[key].type, each, _under(path, key), layers, known[key].default) for key, each in value.items()}
    if isinstance(default, table):
        return msgspec.structs.replace(default, **given)
    for key, field in known.items():
        if key not in value and field.required:
            raise SettingsError(f"{layers.where(path)}{path}: {key} is missing")
    return table(**given)


def _arm(
    found: tuple[type[msgspec.Struct], ...], value: dict[str, object], path: str, layers: Layers
) -> tuple[type[msgspec.Struct], dict[str, object]]:
    by_tag = {marker[1]: table for table in found if (marker := shape.tag(table))}
    if not by_tag:
        return found[0], value
    marker = shape.tag(found[0])
    field = marker[0] if marker else ""
    choices = " or ".join(f'"{name}"' for name in by_tag)
    if field not in value:
        raise SettingsError(f"{layers.where(path)}{path}: {field} is missing, it is {choices}")
    said = value[field]
    chosen = said.value if isinstance(said, Text) else said
    if not isinstance(chosen, str) or chosen not in by_tag:
        where = layers.where(_under(path, field))
        raise SettingsError(f"{where}{_under(path, field)}: expected {choices}, got {_shown(said)}")
    return by_tag[chosen], {key: each for key, each in value.items() if key != field}


def _mapping(value: object, path: str, layers: Layers) -> dict[str, object]:
    if isinstance(value, dict):
        return value
    raise SettingsError(f"{layers.where(path)}{path}: expected a table, got {_shown(value)}")


def _scalar(kind: Any, value: object, path: str, layers: Layers) -> object:
    marks = shape.marks(kind)
    raw = value.value if isinstance(value, Text) else value
    try:
        if isinstance(raw, str) and "unit" in marks:
            raw = units.seconds(raw) if marks["unit"] == "seconds" else units.size(raw)
        if isinstance(raw, str) and "secret" in marks:
            raw = _secret(raw)
        return msgspec.convert(raw, kind, strict=not isinstance(value, Text))
    except (ValueError, msgspec.ValidationError) as error:
        expected = shape.choices(kind) or _readable(str(error))
        got = "" if "secret" in marks else f", got {_shown(value)}"
        raise SettingsError(f"{layers.where(path)}{path}: {expected}{got}") from None


def _secret(value: str) -> str:
    """The content of the file that "file:/path" names, without the newline at its end; another value is the secret itself."""
    if not value.startswith("file:"):
        return value
    path = Path(value.removeprefix("file:"))
    if not path.is_absolute():
        raise ValueError("a secret's file needs an absolute path: file:/run/secrets/name")
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_SECRET + 1)
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from None
    if not content.strip() or len(content) > _MAX_SECRET:
        raise ValueError(f"{path} is {'empty' if not content.strip() else 'larger than 64 KiB'}")
    try:
        return content.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not UTF-8") from None


_WORDS = (
    ("`int`", "a whole number"),
    ("`float`", "a number"),
    ("`str` of length >= 32", "at least 32 characters"),
    ("`str` matching regex '^[A-Za-z0-9_-]{1,32}$'", "1 to 32 letters, digits, dashes or underscores"),
    ("`str`", "a string"),
    ("`bool`", "true or false"),
    ("`array`", "a list"),
    ("`object`", "a table"),
    (".0", ""),
)


def _readable(message: str) -> str:
    """msgspec's sentence in the operator's words: "Expected `int` <= 65535, got `str`" is about types he never wrote."""
    message = message.split(", got ")[0]
    for theirs, ours in _WORDS:
        message = message.replace(theirs, ours)
    return message[:1].lower() + message[1:]


def _shown(value: object) -> str:
    raw = value.value if isinstance(value, Text) else value
    if isinstance(raw, bool):
        return str(raw).lower()
    if isinstance(raw, (dict, list)):
        return "a table" if isinstance(raw, dict) else "a list"
    text = f'"{raw}"' if isinstance(raw, str) else str(raw)
    return text if len(text) <= 80 else f"{text[:77]}…"


def _under(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _dotted(keys: list[str]) -> str:
    return ".".join(keys)


def _variable(keys: list[str]) -> str:
    return ENVIRONMENT_PREFIX + "__".join(keys).upper().replace("-", "_")


def _near(key: str, known: Iterable[str], around: list[str], spell: Any = _dotted) -> str:
    names = sorted(known)
    hint = did_you_mean(key, names, likeness=0.5, spell=lambda near: spell([*around, near]))
    return hint or (f"; there are {', '.join(names)}" if len(names) <= 12 else "")
