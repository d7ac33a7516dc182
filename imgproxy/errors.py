"""What can go wrong, as a tree by cause. No HTTP here: `web/errors.py` has the one table of statuses.

ImgproxyError                    a fault of the server: unforeseen, or a stored file that cannot be read
├── SettingsError                the operator's configuration is wrong; the server does not start
├── RequestError                 the request is wrong
│   ├── InvalidTarget            the URL does not parse
│   ├── InvalidOption            an option is unknown, given twice, or out of bounds
│   ├── InvalidRange             the Range lies outside the stored bytes
│   ├── OptionForbidden          this server allows the option in no URL
│   ├── SignatureMissing         the URL has no signature, and this server requires one
│   ├── SignatureInvalid         no key of this server signed exactly this URL
│   ├── GrantInvalid             the token itself does not verify
│   ├── GrantExceeded            the token verifies, but does not allow this request
│   ├── Expired                  the URL, or its token, has passed its expiry
│   ├── BodyInvalid              the body is not what its headers or the API say
│   ├── TemplateInvalid          the template cannot be drawn as it is written
│   ├── BodyTooLarge             the body has more bytes than the server takes
│   ├── MediaTypeUnsupported     the resource does not take bodies of this type
│   ├── KeyMissing               the API requires a key
│   ├── KeyInvalid               there is no such key, or the token does not verify
│   ├── ScopeMissing             the key does not have the scope for this
│   ├── RateExceeded             more requests with one key than it may make in a minute
│   ├── QuotaExceeded            the account has no room left
│   ├── PictureUnknown           the account has no hosted picture with this id
│   ├── TemplateUnknown          the account has no template with this id
│   ├── TemplateReadOnly         the template is one of the server's files
│   ├── JobUnknown               the account has no job with this id, or no longer has it
│   ├── PreconditionFailed       the resource has changed since the version that the request names
│   ├── DownloadUnknown          no stored result has this name, or it has been removed
│   └── SourceUnknown            no source with this name is configured
├── SourceError                  the original cannot be had
│   ├── SourceNotFound           the source has no such picture
│   ├── SourceForbidden          outside the root, the allow-list, or the public internet
│   ├── SourceTooLarge           the original has more bytes than the limits allow
│   ├── OriginFailed             the origin refused, broke off, or answered nonsense
│   └── OriginTimeout            the origin did not answer in time
├── ImageError                   the original is not a picture this server will draw
│   ├── NotAnImage               the original does not begin like any format this server knows
│   ├── FormatUnavailable        the format, or this kind of it, cannot be read here; some need an optional library
│   ├── Undecodable              the original is truncated or broken
│   ├── ImageTooLarge            the original has more pixels, longer sides or more frames than the limits allow
│   ├── ResultTooLarge           what was asked for is larger than the limits allow
│   ├── RegionOutside            the region that was asked for begins outside the picture
│   ├── InvalidMarkup            the text to be drawn is not the markup it claims to be
│   ├── HashsumMismatch          the original's bytes are not the ones the URL was made for
│   ├── RenderTimeout            drawing took longer than its deadline
│   ├── RenderCrashed            the render process died drawing it, or failed in a way nobody foresaw
│   └── Quarantined              the original has killed render processes before
└── CapacityError                memory, descriptors or disk space are used up: try again later
    ├── QueueFull                too many jobs are waiting for a render process
    ├── QueueTimeout             no render process was free in time
    ├── CatalogueUnavailable     the database of the hosted pictures does not answer
    ├── StorageFull              the disk of the hosted pictures is full
    └── Draining                 the server is shutting down

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
