"""ALIASES: the environment of an imgproxy server, as settings of this one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from imgproxy.configuration.layers import Text, Tree
from imgproxy.errors import SettingsError

WEB, LOCAL, WATERMARK = "imgproxy-web", "imgproxy-local", "imgproxy-watermark"
"""The sources that allowed sources, the local root and the directory of a watermark become."""

Placed = Iterator[tuple[str, object]]


@dataclass(frozen=True, slots=True)
class Alias:
    """`variable` is without its prefix, `becomes` what it sets, for the table in the README; `place` gives dotted keys and
    their values, and raises ValueError, with what was expected, for a text that is none."""

    variable: str
    becomes: str
    place: Callable[[str], Placed]


def _scalar(key: str) -> Callable[[str], Placed]:
    def place(text: str) -> Placed:
        yield key, Text(text)

    return place


def _list(key: str) -> Callable[[str], Placed]:
    def place(text: str) -> Placed:
        yield key, [part.strip() for part in text.split(",") if part.strip()]

    return place


def _keys(text: str) -> Placed:
    yield "imgproxy.enabled", True
    yield from _list("imgproxy.keys")(text)


def _prefix(text: str) -> Placed:
    inner = text.strip("/")
    yield "imgproxy.prefix", f"/{inner}/" if inner else "/"


def _local(text: str) -> Placed:
    yield "imgproxy.enabled", True
    yield "imgproxy.local", LOCAL
    yield f"sources.{LOCAL}.type", "files"
    yield f"sources.{LOCAL}.root", text


_HOST = re.compile(r"(?:https?://)([^/@]+)/?")
_LOCAL_ALL = re.compile("local:/{0,3}")


def _allowed(text: str) -> Placed:
    hosts = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        if _LOCAL_ALL.fullmatch(part):
            continue
        found = _HOST.fullmatch(part)
        if found is None:
            # A path would be lost here, and more be allowed than was.
            raise ValueError(f'expected hosts such as "https://example.com/", or local://, without a path; got "{part[:80]}"')
        hosts.append(found[1])
    yield "imgproxy.enabled", True
    if not hosts:
        return
    yield "imgproxy.web", WEB
    yield f"sources.{WEB}.type", "http"
    yield f"sources.{WEB}.allow", hosts


def _quality(text: str) -> Placed:
    yield "encode.jpeg_quality", Text(text)


def _qualities(text: str) -> Placed:
    for part in text.split(","):
        name, mark, quality = part.strip().partition("=")
        name = {"jpg": "jpeg"}.get(name, name)
        if not mark or name not in ("jpeg", "webp", "avif"):
            raise ValueError(f'expected qualities of jpeg, webp and avif, such as "jpeg=80,webp=79,avif=63"; got "{part[:80]}"')
        yield f"encode.{name}_quality", Text(quality)


def _watermark_path(text: str) -> Placed:
    directory, slash, name = text.rpartition("/")
    if not (slash and name):
        raise ValueError('expected the whole path of a file, such as "/srv/logo.png"')
    yield "imgproxy.enabled", True
    yield "imgproxy.watermark", f"{WATERMARK}/{name}"
    yield f"sources.{WATERMARK}.type", "files"
    yield f"sources.{WATERMARK}.root", directory or "/"


def _watermark_url(text: str) -> Placed:
    yield "imgproxy.watermark", f"{WEB}/{text}"


def _replacements(text: str) -> Placed:
    yield "imgproxy.url_replacements", [part.strip() for part in text.split(";") if part.strip()]


def _ttl(text: str) -> Placed:
    for name in (WEB, LOCAL):
        yield f"sources.{name}.freshness.max_age", Text(text)


ALIASES: tuple[Alias, ...] = (
    Alias("KEY", "`imgproxy.keys`, and `imgproxy.enabled`", _keys),
    Alias("SALT", "`imgproxy.salts`", _list("imgproxy.salts")),
    Alias("SIGNATURE_SIZE", "`imgproxy.signature_size`", _scalar("imgproxy.signature_size")),
    Alias("TRUSTED_SIGNATURES", "`imgproxy.trusted_signatures`", _list("imgproxy.trusted_signatures")),
    Alias("PATH_PREFIX", "`imgproxy.prefix`", _prefix),
    Alias("ARGUMENTS_SEPARATOR", "`imgproxy.separator`", _scalar("imgproxy.separator")),
    Alias("PRESETS", "`imgproxy.presets`", _list("imgproxy.presets")),
    Alias("PRESETS_PATH", "`imgproxy.presets_file`", _scalar("imgproxy.presets_file")),
    Alias("ONLY_PRESETS", "`imgproxy.only_presets`", _scalar("imgproxy.only_presets")),
    Alias("ALLOWED_PROCESSING_OPTIONS", "`imgproxy.allowed_options`", _list("imgproxy.allowed_options")),
    Alias("SOURCE_URL_ENCRYPTION_KEY", "`imgproxy.encryption_key`", _scalar("imgproxy.encryption_key")),
    Alias("BASE_URL", "`imgproxy.base_url`", _scalar("imgproxy.base_url")),
    Alias("URL_REPLACEMENTS", "`imgproxy.url_replacements`", _replacements),
    Alias("BASE64_URL_INCLUDES_FILENAME", "`imgproxy.base64_filename`", _scalar("imgproxy.base64_filename")),
    Alias("ALLOW_SECURITY_OPTIONS", "`imgproxy.security_options`", _scalar("imgproxy.security_options")),
    Alias("WATERMARK_PATH", f"`sources.{WATERMARK}`, and `imgproxy.watermark`", _watermark_path),
    Alias("WATERMARK_URL", "`imgproxy.watermark`; its host must be allowed", _watermark_url),
    Alias("WATERMARK_OPACITY", "`imgproxy.watermark_opacity`", _scalar("imgproxy.watermark_opacity")),
    Alias("LOCAL_FILESYSTEM_ROOT", f"`sources.{LOCAL}`, and `imgproxy.local`", _local),
    Alias("ALLOWED_SOURCES", f"`sources.{WEB}.allow`, and `imgproxy.web`; whole hosts only", _allowed),
    Alias("QUALITY", "`encode.jpeg_quality`", _quality),
    Alias("FORMAT_QUALITY", "`encode.jpeg_quality`, `encode.webp_quality`, `encode.avif_quality`", _qualities),
    Alias("TTL", "`freshness.max_age` of those two sources; seconds", _ttl),
)

_BY_VARIABLE = {alias.variable: alias for alias in ALIASES}


def placed(variable: str, text: str) -> list[tuple[list[str], object]] | None:
    """The keys and values that IMGPROXY_<variable> stands for, none where it is empty, as imgproxy has it; None where it is no
    alias. Raises SettingsError."""
    alias = _BY_VARIABLE.get(variable)
    if alias is None:
        return None
    if not text:
        return []
    try:
        return [(key.split("."), value) for key, value in alias.place(text)]
    except ValueError as error:
        raise SettingsError(f"environment IMGPROXY_{variable}: {error}") from None


def drop_unused(tree: Tree) -> None:
    """Takes out a source that a TTL was set for but no pictures."""
    sources = tree.get("sources")
    for name in (WEB, LOCAL):
        if isinstance(sources, dict) and isinstance(sources.get(name), dict) and "type" not in sources[name]:
            del sources[name]


def table() -> str:
    """ALIASES as a Markdown table."""
    rows = ["| variable of imgproxy | here |", "|---|---|"]
    rows += [f"| `IMGPROXY_{alias.variable}` | {alias.becomes} |" for alias in ALIASES]
    return "\n".join(rows) + "\n"
