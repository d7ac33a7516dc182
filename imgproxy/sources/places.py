"""Which URL a locator or a redirect means, and whether it may be fetched. Pure: hosts are compared as names here, and as
numbers in `addresses`. What passes is the one URL object that is fetched; it is never written out and parsed again.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from yarl import URL

from imgproxy.errors import InvalidTarget, OriginFailed, SourceForbidden

_DEFAULT_PORTS = frozenset((80, 443))

# Controls, backslashes and surrogates are where URL parsers part ways; yarl drops some of them silently.
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\\\ud800-\udfff]")
_UNSAFE_IN_PATH = re.compile(r"[\x00-\x1f\x7f\\]")
_URL = re.compile(r"(https?)://([^/?#]+)([/?].*)?", re.IGNORECASE | re.DOTALL)
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)
_AUTHORITY = re.compile(r"[^\s@%\[\]]+|\[[0-9a-f:.]+\](:[0-9]*)?", re.IGNORECASE)
_HOST = re.compile(r"(?=.{1,254}\Z)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?")
_PATTERN = re.compile(r"(\*\.)?(\[[0-9a-f:.]+\]|[^\s:@%/?#\[\]\\*]+)(?::([0-9]{1,5}))?|\*(?::([0-9]{1,5}))?", re.IGNORECASE)
_DECODINGS = 4


@dataclass(frozen=True, slots=True)
class HostPattern:
    """`labels` as they are in ASCII, () for every host; with `below`, the names beneath it and not itself."""

    labels: tuple[str, ...]
    below: bool
    ports: frozenset[int]

    def holds(self, host: str, port: int) -> bool:
        if port not in self.ports:
            return False
        labels = _labels(host)
        if not self.labels:
            return True
        if self.below:
            return len(labels) > len(self.labels) and labels[-len(self.labels) :] == self.labels
        return labels == self.labels


def parse_pattern(text: str) -> HostPattern:
    """ "img.example.com", "*.example.com", "*", "[2001:db8::1]", each with an optional ":port". Else ValueError."""
    match = _PATTERN.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a host such as img.example.com, *.example.com or *, with an optional :port")
    below, host, port = match[1], match[2], match[3] or match[4]
    ports = _DEFAULT_PORTS if port is None else frozenset((int(port),))
    if not all(1 <= each <= 65535 for each in ports):
        raise ValueError(f"{text!r} has no valid port")
    return HostPattern(_labels(_host(host)) if host else (), bool(below), ports)


def parse_url(text: str) -> URL:
    """An absolute http(s) URL, as strictly as a hostile one deserves. InvalidTarget.

    The host comes out in IDNA ASCII. Escapes stay as they are, what a URL cannot hold is escaped.
    """
    if _UNSAFE.search(text):
        raise InvalidTarget("a URL has no control characters and no backslash")
    if "#" in text:
        raise InvalidTarget("a URL to fetch has no fragment")
    match = _URL.fullmatch(text)
    if match is None:
        raise InvalidTarget("that is not a URL that begins with http:// or https://")
    if not _AUTHORITY.fullmatch(match[2]):
        raise InvalidTarget("a URL to fetch has a host, perhaps a port, and nothing else before its path")
    try:
        url = URL(text)
        host, port = url.raw_host or "", url.port
    except ValueError as error:
        raise InvalidTarget("the URL's host or port is not valid") from error
    # yarl takes the brackets off whatever is in them, an IPvFuture too.
    if ":" not in host and (not _HOST.fullmatch(host) or match[2].startswith("[")):
        raise InvalidTarget("the URL's host is not valid")
    if not port:
        raise InvalidTarget("the URL's port is not valid")
    return url


class Places:
    """Where one source may fetch from.

    With `base_url`, a locator is what follows it: a path beneath it, perhaps with a query. Without, it is a URL, whose host
    must match `allow`. Redirects may go to hosts in `allow` and to the base's own. ValueError if the operator's values are not
    valid.
    """

    def __init__(self, base_url: str, allow: Sequence[str]) -> None:
        self._patterns = [parse_pattern(text) for text in allow]
        self._base: URL | None = None
        if base_url:
            try:
                self._base = parse_url(base_url)
            except InvalidTarget as error:
                raise ValueError(f"base_url: {error}") from error
            if self._base.raw_query_string:
                raise ValueError("base_url: it has a query")
            ports = _DEFAULT_PORTS | {_port(self._base)}
            self._patterns.append(HostPattern(_labels(self._base.raw_host or ""), False, ports))

    def locate(self, locator: str) -> URL:
        """The URL that `locator` means. InvalidTarget or SourceForbidden."""
        if self._base is not None:
            return _beneath(self._base, locator)
        return self._permitted(parse_url(locator))

    def follow(self, url: URL, location: str, allow_downgrade: bool) -> URL:
        """Where a redirect from `url` leads. OriginFailed if nowhere, SourceForbidden if it must not be gone."""
        location = location.strip(" \t").partition("#")[0]
        if _SCHEME.match(location) and not _URL.match(location):
            raise SourceForbidden("the origin redirects to something that is not http")
        try:
            target = _joined(url, location)
        except (InvalidTarget, ValueError) as error:
            raise OriginFailed("the origin redirects to something that is not a URL") from error
        if url.scheme == "https" and target.scheme == "http" and not allow_downgrade:
            raise SourceForbidden("the origin redirects from https to http")
        return self._permitted(target)

    def _permitted(self, url: URL) -> URL:
        host = url.raw_host or ""
        if not any(pattern.holds(host, _port(url)) for pattern in self._patterns):
            raise SourceForbidden("that host and port are not among the allowed ones")
        return url


def _beneath(base: URL, locator: str) -> URL:
    if not locator:
        raise InvalidTarget("there is nothing after the source's name")
    path, mark, query = locator.partition("?")
    _check_path(path)
    url = parse_url(f"{base.scheme}://{base.raw_authority}{base.raw_path.rstrip('/')}/{path}{mark}{query}")
    if url.origin() != base.origin() or not url.raw_path.startswith(base.raw_path.rstrip("/") + "/"):
        raise InvalidTarget("the path leads out of the source")
    return url


def _joined(url: URL, location: str) -> URL:
    if _SCHEME.match(location):
        return parse_url(location)
    if location.startswith("//"):
        return parse_url(f"{url.scheme}:{location}")
    if _UNSAFE.search(location):
        raise InvalidTarget("a URL has no control characters and no backslash")
    return url.join(URL(location))


def _check_path(path: str) -> None:
    """Refuse what an origin that decodes once more, or oftener, could take for a way out of the base's path."""
    for _ in range(_DECODINGS):
        if _UNSAFE_IN_PATH.search(path):
            raise InvalidTarget("a path has no control characters and no backslash")
        if any(segment in (".", "..") for segment in path.split("/")):
            raise InvalidTarget("a path has no '.' or '..' segments")
        decoded = unquote(path)
        if decoded == path:
            return
        path = decoded
    raise InvalidTarget("the path is encoded too often")


def same_host(one: URL, other: URL) -> bool:
    """Whether what is meant for one may be told to the other: the same host and port, and no less encrypted."""
    return one.raw_host == other.raw_host and (one.scheme, one.port) == (other.scheme, other.port)


def _host(text: str) -> str:
    try:
        host = URL(f"http://{text}/").raw_host or ""
    except ValueError as error:
        raise ValueError(f"{text!r} is not a host") from error
    if ":" not in host and not _HOST.fullmatch(host):
        raise ValueError(f"{text!r} is not a host")
    return host


def _labels(host: str) -> tuple[str, ...]:
    return tuple(host.removesuffix(".").split("."))


def _port(url: URL) -> int:
    return url.port or 0
