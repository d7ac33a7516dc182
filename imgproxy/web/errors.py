"""STATUS: the one table from causes to HTTP statuses, and the RFC 9457 body that goes with them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from imgproxy import errors

Statuses = Mapping[type[errors.ImgproxyError], int]

STATUS: Statuses = {
    errors.RequestError: 400,
    errors.InvalidRange: 416,
    errors.OptionForbidden: 403,
    errors.SignatureMissing: 403,
    errors.SignatureInvalid: 403,
    errors.GrantInvalid: 403,
    errors.GrantExceeded: 403,
    errors.Expired: 410,
    errors.SourceUnknown: 404,
    errors.BodyTooLarge: 413,
    errors.MediaTypeUnsupported: 415,
    errors.KeyMissing: 401,
    errors.KeyInvalid: 401,
    errors.ScopeMissing: 403,
    errors.RateExceeded: 429,
    errors.QuotaExceeded: 403,
    errors.PictureUnknown: 404,
    errors.TemplateUnknown: 404,
    errors.TemplateReadOnly: 403,
    errors.JobUnknown: 404,
    errors.PreconditionFailed: 412,
    errors.DownloadUnknown: 404,
    errors.SourceError: 502,
    errors.SourceNotFound: 404,
    errors.SourceForbidden: 403,
    errors.SourceTooLarge: 413,
    errors.OriginTimeout: 504,
    errors.ImageError: 422,
    errors.FormatUnavailable: 415,
    errors.RegionOutside: 400,
    errors.InvalidMarkup: 400,
    errors.CapacityError: 503,
    errors.StorageFull: 507,
}
"""A class that is not here has its nearest ancestor's."""

PROBLEM_TYPE = "application/problem+json"


def status_of(cause: type[errors.ImgproxyError], own: Statuses = MappingProxyType({})) -> int:
    """That of the nearest class along the method resolution order, a front door's `own` first; 500 for what nobody foresaw."""
    statuses = {**STATUS, **own}
    return next((statuses[each] for each in cause.__mro__ if each in statuses), 500)


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """RFC 9457 §3. `code` is stable, `detail` is for people, `request_id` finds the log line, `option` names the option that
    was wrong.
    """

    status: int
    title: str
    code: str
    detail: str
    request_id: str
    type: str = "about:blank"
    option: str = ""


def problem(error: errors.ImgproxyError, request_id: str, own: Statuses = MappingProxyType({})) -> Problem:
    title = type(error).code.replace("-", " ").capitalize()
    option = error.option if isinstance(error, errors.InvalidOption | errors.OptionForbidden) else ""
    return Problem(status_of(type(error), own), title, type(error).code, str(error), request_id, option=option)
