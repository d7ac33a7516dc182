"""What types cannot say: settings that contradict each other or the machine."""

from __future__ import annotations

import ipaddress
import re
import stat
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

from imgproxy.errors import InvalidOption, InvalidTarget, SettingsError
from imgproxy.formats import SNIFF_BYTES, sniff
from imgproxy.settings import FilesSource, HttpSource, ImgproxySettings, Key, LibrarySettings, Settings, TokenKey
from imgproxy.sources.addresses import parse_network
from imgproxy.sources.places import parse_pattern, parse_url
from imgproxy.urls.native import TEMPLATE, Native
from imgproxy.urls.presets import read_presets, refuse_loops
from imgproxy.urls.replacements import read_replacements

Problem = tuple[str, str]
"""(dotted key, what is wrong with it)."""

_LEAST_MEMORY = 96 * 1024**2
"""Of address space; with 64 MiB libvips cannot be loaded, and Python not with 20."""
_HEX_DIGITS = re.compile("(?:[0-9A-Fa-f]{2})*")
_SOURCE_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 §5.6.2
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\U0010ffff]*")
_DECIDED = frozenset(
    (
        *("accept-ch", "accept-ranges", "access-control-allow-origin", "access-control-expose-headers", "age"),
        *("cache-control", "cache-status", "connection", "content-disposition", "content-encoding", "content-length"),
        *("content-range", "content-security-policy", "content-type", "cross-origin-resource-policy", "date", "etag"),
        *("imgproxy-error", "imgproxy-fallback", "keep-alive", "server", "server-timing", "timing-allow-origin"),
        *("trailer", "transfer-encoding", "upgrade", "vary", "x-content-type-options", "x-request-id"),
    )
)
"""Headers of an answer that the server decides about: a second one would contradict it, or break the answer in two."""
_CORS_ORIGIN = re.compile(r"\*|https?://[^\s/?#]+")


def problems(settings: Settings) -> Iterator[Problem]:
    """Everything that keeps the server from starting; the first one is enough to stop."""
    yield from _server(settings)
    yield from _signing(settings)
    yield from _imgproxy(settings)
    yield from _library(settings)
    yield from _extras(settings.library)
    yield from _templates(settings)
    for name, source in settings.sources.items():
        if not _SOURCE_NAME.fullmatch(name):
            yield f"sources.{name}", "a source's name is lower-case letters, digits and dashes, and begins with no dash"
        yield from _files(f"sources.{name}", source) if isinstance(source, FilesSource) else _http(f"sources.{name}", source)
        yield from _headers(f"sources.{name}.headers", source.headers)
        for header in source.headers:
            if header.lower() in _DECIDED:
                yield f"sources.{name}.headers.{header}", "the server sends that itself; expected another header"
    yield from _machine(settings)


def is_loopback(host: str) -> bool:
    """Whether listening on `host` is out of reach of other machines."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _server(settings: Settings) -> Iterator[Problem]:
    server = settings.server
    for key, host in (("server.host", server.host), ("server.admin_host", server.admin_host)):
        if not host or any(character.isspace() or character == "/" for character in host):
            yield key, f'expected an address such as "127.0.0.1", "0.0.0.0" or "::1", got "{host}"'
    if server.port and server.port == server.admin_port and server.host == server.admin_host:
        yield "server.admin_port", f"is server.port as well ({server.port}); the two need different ports"
    for origin in server.cors_origins:
        if not _CORS_ORIGIN.fullmatch(origin):
            yield "server.cors_origins", f'expected "*" or origins such as "https://example.com", got "{origin}"'
    if server.jemalloc and not Path(server.jemalloc).is_file():
        yield "server.jemalloc", f"{server.jemalloc} is not a file"


def _signing(settings: Settings) -> Iterator[Problem]:
    signing = settings.signing
    if signing.unsigned == "loopback" and not is_loopback(settings.server.host):
        yield "signing.unsigned", f'"loopback" needs a loopback server.host such as "127.0.0.1", not "{settings.server.host}"'
    if signing.unsigned == "never" and not (signing.keys or settings.imgproxy.keys):
        yield "signing.keys", 'at least one key is needed when signing.unsigned is "never"; make one with `imgproxy key`'
    yield from _repeated("signing.keys", signing.keys)


def _repeated(path: str, keys: Sequence[Key] | Sequence[TokenKey]) -> Iterator[Problem]:
    ids = [key.id for key in keys]
    for number, id in enumerate(ids):
        if id in ids[:number]:
            yield f"{path}[{number}].id", f'"{id}" is the id of another key as well'


def _imgproxy(settings: Settings) -> Iterator[Problem]:
    door = settings.imgproxy
    if len(door.keys) != len(door.salts):
        yield "imgproxy.salts", f"every key needs a salt: there are {len(door.keys)} keys and {len(door.salts)} salts"
    for key, texts in (("keys", door.keys), ("salts", door.salts), ("encryption_key", [door.encryption_key])):
        if not all(_HEX_DIGITS.fullmatch(text) for text in texts):
            yield f"imgproxy.{key}", "expected hexadecimal digits, two a byte"
    if door.encryption_key and len(door.encryption_key) not in (32, 48, 64):
        yield "imgproxy.encryption_key", f"expected 16, 24 or 32 bytes, got {len(door.encryption_key) // 2}"
    for key, name, kind in (("web", door.web, HttpSource), ("local", door.local, FilesSource)):
        if name and not isinstance(settings.sources.get(name), kind):
            yield f"imgproxy.{key}", f'there is no source "{name}" of the type {"http" if key == "web" else "files"}'
    if Native().matches(door.prefix):
        yield "imgproxy.prefix", f"{door.prefix} is for the URLs of this server's own kind, which come first; choose another"
    if door.separator.strip() != door.separator or "/" in door.separator or "?" in door.separator:
        yield "imgproxy.separator", "expected characters that a path segment may have"
    yield from _imgproxy_pictures(settings)
    if door.presets or door.presets_file:
        yield from _imgproxy_presets(door)


def _imgproxy_presets(door: ImgproxySettings) -> Iterator[Problem]:
    from imgproxy.urls.imgproxy import Imgproxy  # only those pay for it who have the door

    try:
        trial = Imgproxy(
            separator=door.separator, web="web", local="local", presets=presets_of(door), watermark=watermark_of(door)
        )
        trial.try_presets()
    except OSError as error:
        yield "imgproxy.presets_file", f"cannot read {door.presets_file}: {error.strerror}"
    except UnicodeDecodeError:
        yield "imgproxy.presets_file", f"{door.presets_file} is not UTF-8"
    except (ValueError, InvalidOption, InvalidTarget) as error:
        yield "imgproxy.presets", str(error)


def _templates(settings: Settings) -> Iterator[Problem]:
    templates = settings.templates
    if TEMPLATE in settings.sources and settings.draws_templates:
        yield f"sources.{TEMPLATE}", "is the name of the templates; call the source something else"
    if templates.directory:
        # Whoever has no templates does not load what reading them takes.
        from imgproxy.fonts import Fonts
        from imgproxy.templates.shelf import Shelf

        try:
            Shelf(templates.directory, Fonts(settings.text.fonts, settings.text.font)).load()
        except SettingsError as error:
            yield "templates.directory", str(error)
    if templates.web and not isinstance(settings.sources.get(templates.web), HttpSource):
        yield "templates.web", f'there is no source "{templates.web}" of the type http'


def _library(settings: Settings) -> Iterator[Problem]:
    library = settings.library
    if "library" in settings.sources and library.enabled:
        yield "sources.library", "is the name of the hosted pictures; call the source something else"
    if library.database and not library.database.startswith(("postgresql://", "postgres://")):
        yield "library.database", 'expected "postgresql://USER:PASSWORD@HOST/NAME", or "" for SQLite'
    if library.public_url and not re.fullmatch(r"https?://[^\s/?#@]+", library.public_url):
        yield "library.public_url", f'expected something like "https://img.example.com", got "{library.public_url}"'
    if library.web and not isinstance(settings.sources.get(library.web), HttpSource):
        yield "library.web", f'there is no source "{library.web}" of the type http'
    for number, name in enumerate(library.template_sources):
        if name not in settings.sources:
            yield f"library.template_sources[{number}]", f'there is no source "{name}"'
    try:
        read_hosts(library.webhooks.allow, library.webhooks.allow_networks)
    except ValueError as error:
        yield "library.webhooks", str(error)
    yield from _tokens(library.tokens)


def _tokens(tokens: Sequence[TokenKey]) -> Iterator[Problem]:
    if not tokens:
        return
    yield from _repeated("library.tokens", tokens)
    # Whoever takes no tokens does not load cryptography, which is half as large as all else here.
    from jwt.algorithms import get_default_algorithms
    from jwt.exceptions import InvalidKeyError

    algorithms = get_default_algorithms()
    for number, token in enumerate(tokens):
        try:
            algorithms[token.algorithm].prepare_key(token.key)
        except (InvalidKeyError, ValueError, TypeError):
            what = "a secret, and this is a public key" if token.algorithm.startswith("HS") else "a public key in PEM"
            yield f"library.tokens[{number}].key", f"expected {what}, which {token.algorithm} takes"


def _extras(library: LibrarySettings) -> Iterator[Problem]:
    """What is asked for and not installed: a web process would find out when the server listens already."""
    needs = (("bucket", library.bucket.name, "obstore", "s3"), ("database", library.database, "asyncpg", "postgres"))
    for key, asked, module, extra in needs:
        if library.enabled and asked and find_spec(module) is None:
            yield f"library.{key}", f"needs the package imgproxy-server[{extra}]"


def read_hosts(allow: list[str], networks: list[str]) -> None:
    """Raises ValueError for what is no host pattern, or no network."""
    for text in allow:
        parse_pattern(text)
    for text in networks:
        parse_network(text)


def _imgproxy_pictures(settings: Settings) -> Iterator[Problem]:
    door = settings.imgproxy
    if door.watermark and (watermark_of(door) or ("",))[0] not in settings.sources:
        yield (
            "imgproxy.watermark",
            f'expected the name of a source and a path in it, such as "brand/logo.png"; got "{door.watermark}"',
        )
    try:
        read_replacements(door.url_replacements)
    except ValueError as error:
        yield "imgproxy.url_replacements", str(error)


def watermark_of(door: ImgproxySettings) -> tuple[str, str] | None:
    """The source and the locator of the server's own; None where there is none."""
    source, _, locator = door.watermark.partition("/")
    return (source, locator) if source and locator else None


def presets_of(door: ImgproxySettings) -> dict[str, tuple[str, ...]]:
    """Those of the settings and of the file that they name. Raises OSError, and ValueError where they are not presets."""
    lines = [*door.presets, *(Path(door.presets_file).read_text("utf-8").splitlines() if door.presets_file else ())]
    presets = read_presets(lines)
    refuse_loops(presets, door.separator)
    return presets


def _files(path: str, source: FilesSource) -> Iterator[Problem]:
    root = Path(source.root)
    if not source.root or not root.exists():
        yield f"{path}.root", f'there is no directory "{source.root}"'
    elif not root.is_dir():
        yield f"{path}.root", f'"{source.root}" is not a directory'


def _http(path: str, source: HttpSource) -> Iterator[Problem]:
    if not source.base_url and not source.allow:
        yield path, "an http source needs a base_url, or hosts in allow"
    if source.base_url:
        yield from _base_url(f"{path}.base_url", source.base_url)
    for number, pattern in enumerate(source.allow):
        try:
            parse_pattern(pattern)
        except ValueError:
            wanted = '"img.example.com", "*.example.com" or "*", each with an optional ":port"'
            yield f"{path}.allow[{number}]", f'expected {wanted}, got "{pattern}"'
    for number, network in enumerate(source.allow_networks):
        try:
            parse_network(network)
        except ValueError as error:
            yield f"{path}.allow_networks[{number}]", f'expected a network such as "10.1.0.0/16": {error}'
    for key, value in (("connect_timeout", source.connect_timeout), ("first_byte_timeout", source.first_byte_timeout)):
        if value > source.total_timeout:
            yield f"{path}.{key}", f"{value:g} s is more than total_timeout, {source.total_timeout:g} s"
    yield from _headers(f"{path}.request_headers", source.request_headers)


def _base_url(key: str, url: str) -> Iterator[Problem]:
    if "@" in url.partition("://")[2].partition("/")[0]:
        yield key, "a password does not belong in the URL; send it with request_headers, from a file"
    elif "?" in url or "#" in url:
        yield key, "takes no ?query and no #fragment"
    else:
        try:
            parse_url(url)
        except InvalidTarget:
            yield key, 'expected a URL such as "https://img.example.com/photos/"'


def _headers(path: str, headers: dict[str, str]) -> Iterator[Problem]:
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name):
            yield path, f'"{name}" is not the name of a header'
        elif not _HEADER_VALUE.fullmatch(value):
            yield f"{path}.{name}", "a header's value has no line breaks and no control characters"


def _is_another_thing(directory: Path) -> bool:
    """False where there is nothing, or nothing that this user may see: it is not always the server's who checks."""
    try:
        return not stat.S_ISDIR(directory.stat().st_mode)
    except OSError:
        return False
    except ValueError:  # a NUL
        return True


def _machine(settings: Settings) -> Iterator[Problem]:
    cache, render = settings.cache, settings.render
    if _is_another_thing(Path(cache.directory)):
        yield "cache.directory", f'"{cache.directory}" is not a directory'
    if cache.memory_entry_bytes > cache.memory_bytes:
        yield "cache.memory_entry_bytes", f"{cache.memory_entry_bytes} is more than cache.memory_bytes, {cache.memory_bytes}"
    if 0 < render.memory < _LEAST_MEMORY:
        yield "render.memory", f"{render.memory} is less than a process needs to start; expected 96MiB or more"
    if render.max_rss > render.memory:
        yield "render.max_rss", f"{render.max_rss} is more than render.memory, {render.memory}"
    if render.svg_deadline > render.deadline:
        yield "render.svg_deadline", f"{render.svg_deadline:g} s is more than render.deadline, {render.deadline:g} s"
    if settings.fallback.image and not _is_picture(Path(settings.fallback.image)):
        yield "fallback.image", f'"{settings.fallback.image}" is not a file of a picture that this server knows'


def _is_picture(file: Path) -> bool:
    try:
        with file.open("rb") as content:
            return sniff(content.read(SNIFF_BYTES)) is not None
    except (OSError, ValueError):
        return False
