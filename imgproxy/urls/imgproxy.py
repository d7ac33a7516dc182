"""imgproxy's own front door: `/SIGNATURE/option:arguments/…/plain/URL@extension`, or the URL in base64.

As its handlers/path.go and options/parser read it: what proxies do to slashes and colons is mended first, and the mended path
is what is signed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from urllib.parse import quote

import msgspec

from imgproxy.canonical import canonical
from imgproxy.errors import InvalidOption, InvalidTarget, OptionForbidden, SourceUnknown
from imgproxy.request import ImageRequest
from imgproxy.spec import ONCE, Transform
from imgproxy.urls.arguments import Asked, boolean
from imgproxy.urls.base64url import read_bytes, unbase64
from imgproxy.urls.dialect import Signed
from imgproxy.urls.encodings import format_
from imgproxy.urls.encrypted import Cipherer
from imgproxy.urls.gravities import settled
from imgproxy.urls.presets import MAX_DEPTH
from imgproxy.urls.processing import BY_NAME, NOT_OFFERED, PROCESSING, SECURITY, apply, table
from imgproxy.urls.replacements import Replacement
from imgproxy.urls.saying import options_of
from imgproxy.urls.values import percent_decode
from imgproxy.urls.watermarks import layered

__all__ = ["PROCESSING", "Imgproxy", "table"]

MAX_LINKS = 8
"""Of a chain."""

MAX_SEGMENTS = 64
"""Options of one URL, those of its presets included."""

UNSIGNED = ("unsafe", "_", "insecure", "-")
"""What clients write where nothing is signed."""

_STRAY = re.compile("[^!-~]|#")
_COLLAPSED = re.compile(r"([a-z][a-z0-9+.-]*):/(?!/)")
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://(.*)", re.DOTALL)


class Imgproxy:
    """The dialect below `prefix`, which begins and ends with a slash. A `urls.dialect.Dialect`.

    `web` is the source that `http://` and `https://` URLs are of, `local` the one of `local:///`; "" where there is none.
    `presets` have been read and checked; the one called `default` comes before every URL's own options. With `only_presets`
    the first segment names presets and nothing else. `allowed`: the options that a URL (not a preset) may have; () for all.
    `watermark` is the source and the locator of the server's own, which is laid on with `watermark_opacity`. With `security`
    URLs may set limits. With `file_names` the last segment after base64 is a name for people.
    """

    def __init__(  # noqa: PLR0913 -- what the settings say of it, each by name
        self,
        prefix: str = "/",
        *,
        web: str = "",
        local: str = "",
        base_url: str = "",
        separator: str = ":",
        presets: Mapping[str, Sequence[str]] | None = None,
        only_presets: bool = False,
        allowed: Sequence[str] = (),
        cipher: Cipherer | None = None,
        watermark: tuple[str, str] | None = None,
        watermark_opacity: float = 1,
        security: bool = False,
        file_names: bool = False,
        replacements: Sequence[Replacement] = (),
    ) -> None:
        if not (prefix.startswith("/") and prefix.endswith("/")):
            raise ValueError("a prefix begins and ends with a slash")
        self.prefix = prefix
        self._web = web
        self._local = local
        self._base_url = base_url
        self.separator = separator
        self._presets = presets or {}
        self._only_presets = only_presets
        self._allowed = frozenset(allowed)
        self._cipher = cipher
        self._watermark = watermark
        self._watermark_opacity = watermark_opacity
        self._security = security
        self._file_names = file_names
        self._replacements = tuple(replacements)

    def matches(self, target: str) -> bool:
        return target.startswith(self.prefix)

    def split(self, target: str) -> Signed:
        """The payload is the mended path after the signature, its slash included; the query is not part of it. Raises
        InvalidTarget where there is nothing for a signature."""
        path = target.partition("?")[0][len(self.prefix) :]
        signature, slash, rest = path.partition("/")
        if not signature:
            raise InvalidTarget("the URL begins with a signature, or with unsafe where none is needed")
        payload = _mended(f"{slash}{rest}")
        return Signed(payload, None if signature in UNSIGNED else signature)

    def parse(self, payload: str) -> ImageRequest:
        segments = self.segments(payload)
        count = 1 if self._only_presets else self.options(segments)
        asked = Asked()
        # Counted down over presets as well, or a few short ones would be a great deal of work.
        budget = [MAX_SEGMENTS]
        if "default" in self._presets:
            self._preset(asked, "default", budget)
        if self._only_presets:
            for name in segments[0].split(self.separator):
                self._preset(asked, name, budget)
        else:
            for segment in segments[:count]:
                self._apply(asked, segment, budget)
        source, locator, extension = self.named(segments[count:])
        if extension and not asked.raw:
            try:
                format_(asked, [extension])
            except ValueError:
                raise InvalidOption("format", f"the extension {_shown(extension)} is of no format that goes out") from None
        return self._request(source, locator, asked)

    def build(self, request: ImageRequest) -> str:
        """With the URL in plain text and `unsafe` for a signature. Raises InvalidTarget where nothing in this dialect asks for
        `request`."""
        if request.transform is not None:
            request = msgspec.structs.replace(request, transform=canonical(request.transform))
        url = self._spelled(request.source, request.locator)
        try:
            # A slash that begins the path would be taken for one of the scheme's.
            scheme, slashes, rest = url.partition(":///" if request.source == self._local else "://")
            plain = scheme + slashes + quote(rest, safe="" if rest.startswith("/") else "/:!$&'()*+,;=~")
        except UnicodeEncodeError:
            raise InvalidTarget("the path is not text") from None
        pieces = [self.separator.join(option) for option in options_of(request, self._spelled)]
        path = f"/{'/'.join([*pieces, 'plain', plain])}"
        try:
            if self.parse(_mended(path)) == request:
                return f"{self.prefix}{UNSIGNED[0]}{path}"
        except (InvalidOption, InvalidTarget, OptionForbidden, SourceUnknown):
            pass
        raise InvalidTarget("this request cannot be written as an imgproxy URL")

    def _spelled(self, source: str, locator: str) -> str:
        """The URL that stands for a picture. Raises InvalidTarget."""
        if source == self._local:
            return f"local:///{locator}"
        if source == self._web:
            return locator
        raise InvalidTarget(f"no URL scheme stands for the source {source}")

    def try_presets(self) -> None:
        """Raises InvalidOption or InvalidTarget where a preset asks for what no URL may."""
        for name in self._presets:
            asked = Asked()
            self._preset(asked, name, [MAX_SEGMENTS])
            self._transform(asked)

    def named(self, segments: Sequence[str]) -> tuple[str, str, str]:
        """The source and the locator that the last segments of a path are for, and the extension, "" where there is none.

        Raises InvalidTarget and SourceUnknown.
        """
        url, extension = self._source(segments)
        return *self._place(self._whole(url)), extension

    def segments(self, payload: str) -> list[str]:
        """Of a mended path, at least one. Raises InvalidTarget."""
        stray = _STRAY.search(payload)
        if stray:
            raise InvalidTarget(f"the character at position {stray.start()} of the URL must be percent-encoded")
        return payload.removeprefix("/").split("/")

    def options(self, segments: Sequence[str]) -> int:
        """How many of a path's segments are options, or between links of a chain: those before the first that is neither."""
        count = 0
        while count < len(segments) and (self.separator in segments[count] or (segments[count] == _LINK and count)):
            count += 1
            if count > MAX_SEGMENTS:
                raise InvalidTarget(f"the URL has more than {MAX_SEGMENTS} options")
        return count

    def _apply(self, asked: Asked, segment: str, budget: list[int], depth: int = 0) -> None:
        if segment == _LINK:
            if len(asked.links) == MAX_LINKS:
                raise InvalidTarget(f"the URL chains more than {MAX_LINKS} transforms")
            asked.follow()
            return
        name, *arguments = segment.split(self.separator)
        if not depth and self._allowed and name not in self._allowed:
            raise InvalidOption(_shown(name), f"the option {_shown(name)} is not allowed here")
        if name in ("preset", "pr"):
            for preset in arguments:
                self._preset(asked, preset, budget, depth)
            return
        budget[0] -= 1
        if budget[0] < 0:
            raise InvalidTarget(f"the URL has more than {MAX_SEGMENTS} options")
        if name in SECURITY and not (self._security or depth):
            raise OptionForbidden(_shown(name), f"this server lets no URL say {_shown(name)}")
        if name in ("filename", "fn"):
            _filename(asked, name, arguments)
            return
        option = BY_NAME.get(name)
        if option is None:
            why = "is not offered by this server" if name in NOT_OFFERED else "is none of imgproxy's"
            raise InvalidOption(_shown(name), f"the option {_shown(name)} {why}")
        apply(asked, option, name, [percent_decode(argument) for argument in arguments])

    def _preset(self, asked: Asked, name: str, budget: list[int], depth: int = 0) -> None:
        if name not in self._presets:
            raise InvalidOption("preset", f"there is no preset {_shown(name)}")
        if depth >= MAX_DEPTH:
            raise InvalidOption("preset", f"presets name presets more than {MAX_DEPTH} deep")
        for segment in self._presets[name]:
            self._apply(asked, segment, budget, depth + 1)

    def _source(self, segments: Sequence[str]) -> tuple[str, str]:
        """The URL and the extension, "" where there is none."""
        if not segments or segments == [""]:
            raise InvalidTarget("the URL names no picture: it ends with plain/ and a URL, or with one in base64")
        if segments[0] == "plain":
            url, *extensions = "/".join(segments[1:]).split("@")
            if len(extensions) > 1:
                raise InvalidTarget("there is more than one @ in the plain URL; write %40 for those that are part of it")
            return percent_decode(url), extensions[0] if extensions else ""
        encrypted = segments[0] == "enc"
        if self._file_names and len(segments) > encrypted + 1:
            segments = segments[:-1]
        encoded, *extensions = "".join(segments[encrypted:]).split(".")
        if len(extensions) > 1:
            raise InvalidTarget("there is more than one . after the base64")
        return self._decrypted(encoded) if encrypted else unbase64(encoded, _NO_URL), extensions[0] if extensions else ""

    def _decrypted(self, encoded: str) -> str:
        if self._cipher is None:
            raise InvalidTarget("this server has no key for encrypted URLs")
        try:
            url = self._cipher.decrypt(read_bytes(encoded))
            self._place(self._whole(url))
        except (ValueError, InvalidTarget, SourceUnknown):
            # One answer, whatever is wrong with it: see `Cipherer.decrypt`.
            raise InvalidTarget("the encrypted URL is not one of this server's") from None
        return url

    def _whole(self, url: str) -> str:
        """What a URL stands for, by the replacements and the base."""
        for replacement in self._replacements:
            url = replacement.of(url)
        return url if url.startswith(self._base_url) else self._base_url + url

    def _place(self, url: str) -> tuple[str, str]:
        scheme = _SCHEME.fullmatch(url)
        if scheme is None:
            raise InvalidTarget("the picture's URL must begin with http://, https:// or local:///")
        name, rest = scheme.groups()
        if name in ("http", "https") and self._web:
            return self._web, url
        # A file has no query: that is there for caches. Nor does it matter how many slashes its path begins with.
        path = rest.partition("?")[0].lstrip("/") if rest.startswith("/") else ""
        if name == "local" and self._local and path:
            return self._local, path
        raise SourceUnknown(f"this server has no pictures from {name}://")

    def _request(self, source: str, locator: str, asked: Asked) -> ImageRequest:
        beside = dict(asked.beside)
        if asked.attachment and "download" not in beside:
            name = locator.partition("?")[0].rpartition("/")[2]
            beside["download"] = name.rpartition(".")[0] or name
        if "download" in beside:
            beside["inline"] = not asked.attachment
        if beside.get("fallback") is not None:
            beside["fallback"] = self._place(beside["fallback"])
        transform = None if asked.raw else self._transform(asked)
        if asked.raw and "hashsum" in asked.links[0]:
            raise InvalidOption("hashsum", "hashsum is of pictures that are drawn; raw ones go out unread")
        return ImageRequest(source=source, locator=locator, transform=transform, **beside)

    def _transform(self, asked: Asked) -> Transform:
        own = self._watermark, self._watermark_opacity
        first, *rest = [layered(settled(link), self._place, *own) for link in asked.links]
        for link in rest:
            # Wherever in a chain it is said, it is said of the whole.
            first |= {name: link.pop(name) for name in _ONCE & link.keys()}
        return canonical(Transform(**first, then=tuple(Transform(**link) for link in rest)))


_ONCE = frozenset(ONCE)
_LINK = "-"
_NO_URL = "what stands for the picture's URL is neither plain/ nor base64 of one"


def _mended(path: str) -> str:
    """What proxies and CDNs have made of colons and of slashes that follow one another, undone."""
    before, plain, url = path.partition("/plain/")
    before = before.replace("%3A", ":").replace("%3a", ":")
    if not plain:
        return before
    return before + plain + _COLLAPSED.sub(_slashes, url, count=1) if _COLLAPSED.match(url) else before + plain + url


def _slashes(scheme: re.Match[str]) -> str:
    return f"{scheme[1]}:{'///' if scheme[1] == 'local' else '//'}"


def _filename(asked: Asked, name: str, arguments: Sequence[str]) -> None:
    if not 1 <= len(arguments) <= 2:
        raise InvalidOption(name, f"{name} takes 1 to 2 arguments; got {len(arguments)}")
    encoded = len(arguments) == 2 and boolean(arguments[1])
    asked.beside["download"] = unbase64(arguments[0]) if encoded else percent_decode(arguments[0])


def _shown(text: str) -> str:
    short = text[:40]
    return (short if short.isprintable() else ascii(short)) or "nothing"
