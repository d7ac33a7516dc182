"""What can go wrong, as a tree by cause. No HTTP here: `web/errors.py` has the one table of statuses.

ImgproxyError                    ours to mend: nobody foresaw it, or a stored file cannot be read
├── SettingsError                the operator's configuration; the server does not start
├── RequestError                 the asker is wrong
│   ├── InvalidTarget            the URL does not parse
│   ├── InvalidOption            an option is unknown, doubled, or out of its bounds
│   ├── InvalidRange             a Range that lies outside the stored bytes
│   ├── OptionForbidden          an option that this server lets no URL have
│   ├── SignatureMissing
│   ├── SignatureInvalid
│   ├── GrantInvalid             the token itself does not verify
│   ├── GrantExceeded            the token verifies, the request is outside its policy
│   ├── Expired
│   ├── BodyInvalid              a body that is not what its headers or the API say
│   ├── TemplateInvalid          a template that cannot be drawn as it is written
│   ├── BodyTooLarge             more bytes than the server takes
│   ├── MediaTypeUnsupported     a body of a type that the resource does not take
│   ├── KeyMissing               the API wants a key
│   ├── KeyInvalid               there is no such key, or its token does not verify
│   ├── ScopeMissing             the key may not do that
│   ├── RateExceeded             more requests with one key than it has in a minute
│   ├── QuotaExceeded            the account has no room left
│   ├── PictureUnknown           no hosted picture of that id in this account
│   ├── TemplateUnknown          no template of that id for this account
│   ├── TemplateReadOnly         it is a file of the server's
│   ├── JobUnknown               no job of that id in this account, or no longer
│   ├── PreconditionFailed       it is not in the state any more that the asker has seen
│   ├── DownloadUnknown          no result of that name, or no longer
│   └── SourceUnknown            no source of that name is configured
├── SourceError                  the original cannot be had
│   ├── SourceNotFound
│   ├── SourceForbidden          outside the root, the allow-list, or the public internet
│   ├── SourceTooLarge
│   ├── OriginFailed             refused, broke off, or answered nonsense
│   └── OriginTimeout
├── ImageError                   the original is not a picture this server will draw
│   ├── NotAnImage               no known magic bytes
│   ├── FormatUnavailable        a format whose optional library is not installed here
│   ├── Undecodable              truncated or broken
│   ├── ImageTooLarge            pixels, sides, or frames beyond the limits
│   ├── ResultTooLarge           what was asked for is beyond the limits
│   ├── RegionOutside            the part that was asked for begins beside the picture
│   ├── InvalidMarkup            a text that is to be drawn is not the markup it says it is
│   ├── HashsumMismatch          its bytes are not those that the URL is for
│   ├── RenderTimeout            took longer than its deadline
│   ├── RenderCrashed            the render process died of it, or failed as nobody foresaw
│   └── Quarantined              it killed render processes before
└── CapacityError                try again later: memory, descriptors or the disk are used up
    ├── QueueFull
    ├── QueueTimeout
    ├── CatalogueUnavailable     the database of the hosted pictures does not answer
    ├── StorageFull              the disk of the hosted pictures is full
    └── Draining

The leaves are what is raised, and the root and CapacityError themselves. Every `code` is stable, in kebab case, part of the
public interface.
"""

from __future__ import annotations

from typing import ClassVar, Self


class ImgproxyError(Exception):
    """The root. `str(error)` is one sentence that may be shown to whoever asked."""

    code: ClassVar[str] = "internal"

    def alone(self) -> Self:
        """Itself, without what it was raised from: the frames of all that, which hold drafts and descriptors."""
        self.__cause__ = self.__context__ = None
        return self.with_traceback(None)


class SettingsError(ImgproxyError):
    code = "settings"


class RequestError(ImgproxyError):
    code = "bad-request"


class InvalidTarget(RequestError):
    code = "invalid-target"


class InvalidOption(RequestError):
    """`option` is the name as it was written in the URL."""

    code = "invalid-option"

    def __init__(self, option: str, message: str) -> None:
        super().__init__(message)
        self.option = option


class OptionForbidden(RequestError):
    """`option` is its name."""

    code = "option-forbidden"

    def __init__(self, option: str, message: str) -> None:
        super().__init__(message)
        self.option = option


class InvalidRange(RequestError):
    """`length` is the number of bytes there are, for `Content-Range: bytes */length`."""

    code = "invalid-range"

    def __init__(self, length: int) -> None:
        super().__init__(f"the range lies outside the {length} bytes there are")
        self.length = length


class SignatureMissing(RequestError):
    code = "signature-missing"


class SignatureInvalid(RequestError):
    code = "signature-invalid"


class GrantInvalid(RequestError):
    code = "grant-invalid"


class GrantExceeded(RequestError):
    code = "grant-exceeded"


class Expired(RequestError):
    code = "expired"


class BodyInvalid(RequestError):
    code = "body-invalid"


class TemplateInvalid(RequestError):
    """Begins with the path to what is wrong."""

    code = "template-invalid"


class BodyTooLarge(RequestError):
    code = "body-too-large"


class MediaTypeUnsupported(RequestError):
    code = "media-type-unsupported"


class KeyMissing(RequestError):
    code = "key-missing"


class KeyInvalid(RequestError):
    code = "key-invalid"


class ScopeMissing(RequestError):
    code = "scope-missing"


class RateExceeded(RequestError):
    """`retry_after` is in seconds, `most` the requests in a minute."""

    code = "rate-exceeded"

    def __init__(self, message: str, retry_after: int, most: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.most = most


class QuotaExceeded(RequestError):
    code = "quota-exceeded"


class PictureUnknown(RequestError):
    code = "picture-unknown"


class TemplateUnknown(RequestError):
    code = "template-unknown"


class TemplateReadOnly(RequestError):
    code = "template-read-only"


class JobUnknown(RequestError):
    code = "job-unknown"


class PreconditionFailed(RequestError):
    code = "precondition-failed"


class DownloadUnknown(RequestError):
    code = "download-unknown"


class SourceUnknown(RequestError):
    code = "source-unknown"


class SourceError(ImgproxyError):
    code = "source"


class SourceNotFound(SourceError):
    code = "source-not-found"


class SourceForbidden(SourceError):
    code = "source-forbidden"


class SourceTooLarge(SourceError):
    code = "source-too-large"


class OriginFailed(SourceError):
    code = "origin-failed"


class OriginTimeout(SourceError):
    code = "origin-timeout"


class ImageError(ImgproxyError):
    code = "image"


class NotAnImage(ImageError):
    code = "not-an-image"


class FormatUnavailable(ImageError):
    code = "format-unavailable"


class Undecodable(ImageError):
    code = "undecodable"


class ImageTooLarge(ImageError):
    code = "image-too-large"


class ResultTooLarge(ImageError):
    code = "result-too-large"


class RegionOutside(ImageError):
    code = "region-outside"


class InvalidMarkup(ImageError):
    code = "invalid-markup"


class HashsumMismatch(ImageError):
    code = "hashsum-mismatch"


class RenderTimeout(ImageError):
    code = "render-timeout"


class RenderCrashed(ImageError):
    code = "render-crashed"


class Quarantined(ImageError):
    code = "quarantined"


class CapacityError(ImgproxyError):
    """`retry_after` is in seconds."""

    code = "capacity"
    retry_after: int = 1


class QueueFull(CapacityError):
    code = "queue-full"

    def __init__(self, message: str, retry_after: int = 1) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class QueueTimeout(CapacityError):
    code = "queue-timeout"


class CatalogueUnavailable(CapacityError):
    code = "catalogue-unavailable"


class StorageFull(CapacityError):
    code = "storage-full"
    retry_after = 60


class Draining(CapacityError):
    code = "draining"
    retry_after = 5
