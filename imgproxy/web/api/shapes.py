"""What the API takes and answers, as types: the same ones validate requests and make /openapi.json."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Annotated, Any, Generic, Literal, TypeVar, get_args, get_origin

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from imgproxy.errors import InvalidOption
from imgproxy.library.catalogue import ID, LONGEST_PAGE, MOST_IDS, MOST_TAGS, Hosted
from imgproxy.library.templates import Made
from imgproxy.templates.checked import in_words
from imgproxy.templates.document import END, MOST_CHARACTERS, NAME, NAMED
from imgproxy.templates.modify import MOST_MODIFICATIONS, Modification
from imgproxy.urls.native import MAX_OPTIONS, MOST_VARIABLES

_ID = f"^{ID}{END}"
_TAG = f"^[^\\x00-\\x1f\\x7f-\\x9f,]+{END}"
Id = Annotated[str, Meta(pattern=_ID, description="The id of a hosted picture")]
Tag = Annotated[str, Meta(min_length=1, max_length=64, pattern=_TAG, description="Without commas and control characters")]
Tags = Annotated[tuple[Tag, ...], Meta(max_length=MOST_TAGS, description=f"Up to {MOST_TAGS} tags")]
Ids = Annotated[tuple[Id, ...], Meta(max_length=MOST_IDS)]
Size = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Bytes = Annotated[int, Meta(ge=0, le=2**53)]
Address = Annotated[str, Meta(max_length=8192, description="A picture to import from another server, http:// or https://")]
_MOMENT = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?(Z|[+-][0-9]{2}:[0-9]{2})" + END
Moment = Annotated[str, Meta(pattern=_MOMENT)]

TemplateId = Annotated[str, Meta(pattern=NAME, description="The id of a template")]
_CURSOR = f"^[0-9]{{1,16}}-{ID}{END}"
Cursor = Annotated[str, Meta(pattern=_CURSOR, description="`next` of the page before")]
PageSize = Annotated[int, Meta(ge=1, le=LONGEST_PAGE, description="How many at most")]
_FORMAT = f"^[a-z0-9]{{0,8}}{END}"
_VALUES = "Values of the template's variables, by their names"
Values = Annotated[
    dict[str, Annotated[str, Meta(max_length=MOST_CHARACTERS)]], Meta(max_length=MOST_VARIABLES, description=_VALUES)
]
_DIFFERENT = "What differs at layers and variables; comes after `variables`"
Modifications = Annotated[tuple[Modification, ...], Meta(max_length=MOST_MODIFICATIONS, description=_DIFFERENT)]
Webhook = Annotated[str, Meta(max_length=2048, description="Where the finished job is posted, http:// or https://")]
DataUri = Annotated[str, Meta(description="A picture as a data URI in base64")]
Private = Annotated[bool, Meta(description="Answered only to signed URLs, grants and keys")]

T = TypeVar("T")
Shape = TypeVar("Shape", bound=Struct)


class Given(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of a request."""


class Nothing(Given, frozen=True):
    """No parameters."""


class Flags(Given, frozen=True):
    """Each of the flags adds to what the answer says of a picture."""

    with_exif: Annotated[bool, Meta(description="The picture's EXIF as well")] = False
    verbose: Annotated[bool, Meta(description="Its content type, frames and SHA-256 as well")] = False
    with_mini_preview: Annotated[bool, Meta(description="A JPEG of about 500 bytes as well, in base64")] = False
    with_account: Annotated[bool, Meta(description="How full the account is as well")] = False


class Upload(Flags, frozen=True):
    """The parameters may also be fields of a form, beside the file, or of a JSON body, which win."""

    tags: Tags = ()
    private: Private = False


class Drawn(Given, frozen=True):
    """How one picture differs from the template."""

    modifications: Modifications = ()
    variables: Values = {}


DrawnFormat = Annotated[Literal["png", "jpeg", "webp", "avif"], Meta(description="Of what is drawn from a template")]


class UploadJson(Upload, frozen=True):
    """One of `url`, `data` and `template_id`, a template to draw, with what differs in it. With `Prefer: respond-async` it is
    drawn later, and `webhook` is told when it is done."""

    url: Address = ""
    data: DataUri = ""
    template_id: TemplateId | None = None
    modifications: Modifications = ()
    variables: Values = {}
    format: DrawnFormat = "png"
    webhook: Webhook = ""

    @property
    def drawn(self) -> Drawn:
        return Drawn(modifications=self.modifications, variables=self.variables)


class Process(Given, frozen=True):
    """The answer is the result's bytes, unless one of these is set. The options of pictures' URLs may be given beside them."""

    store: Annotated[bool, Meta(description="Keep the result for a while, and answer with its `upload_url`")] = False
    base64: Annotated[bool, Meta(description="Answer with JSON that has the result in base64")] = False


class ProcessJson(Process, frozen=True):
    """One of `url` and `data`, and what to do with it."""

    url: Address = ""
    data: DataUri = ""
    parameters: Annotated[
        dict[str, str | int | float | bool], Meta(max_length=MAX_OPTIONS, description="Options of URLs, by their names")
    ] = {}


class Listing(Flags, frozen=True):
    """Only pictures of which all that is given holds. With `url` a picture is imported, for scripts that can only send GET;
    others use POST."""

    tags: Annotated[Tags, Meta(description="That have all of these tags")] = ()
    format: Annotated[str, Meta(pattern=_FORMAT, description="Of this format, such as jpg")] = ""
    min_width: Annotated[Size, Meta(description="At least so many pixels wide")] = 0
    max_width: Annotated[Size, Meta(description="At most so many pixels wide; 0: any")] = 0
    min_height: Annotated[Size, Meta(description="At least so many pixels high")] = 0
    max_height: Annotated[Size, Meta(description="At most so many pixels high; 0: any")] = 0
    min_size: Annotated[Bytes, Meta(description="Of at least so many bytes")] = 0
    max_size: Annotated[Bytes, Meta(description="Of at most so many bytes; 0: any")] = 0
    since: Annotated[Moment | None, Meta(description="Hosted then or later, as RFC 3339 has it")] = None
    until: Annotated[Moment | None, Meta(description="Hosted then or before, as RFC 3339 has it")] = None
    private: Annotated[bool | None, Meta(description="Only private ones, or only public ones")] = None
    cursor: Cursor | None = None
    limit: PageSize = 20
    url: Address = ""


class Change(Given, frozen=True):
    """What is not given stays as it is. `tags` replace all that the picture has."""

    tags: Tags | UnsetType = UNSET
    private: Private | UnsetType = UNSET


class SomeTags(Given, frozen=True):
    tags: Tags


class Which(Given, frozen=True):
    """Either of these."""

    ids: Annotated[Ids, Meta(description=f"Up to {MOST_IDS} pictures: all of them, or none if one is not there")] = ()
    tag: Annotated[Tag | None, Meta(description="All pictures that have this tag")] = None


class MaybeTags(Given, frozen=True):
    tags: Annotated[Tags | None, Meta(description="The tags to remove; without it every tag, empty none")] = None


class Storage(Struct, frozen=True):
    """In bytes, and as humans read them. `max` is the quota."""

    max: int
    max_readable: str
    used: int
    used_readable: str
    remaining: int
    remaining_readable: str


class AccountAnswer(Struct, frozen=True):
    """How many pictures the account has, and how much room they take."""

    num_images: int
    storage: Storage


class PictureAnswer(Struct, frozen=True, kw_only=True):
    """`width` and `height` are in pixels, upright; `filesize` is in bytes, `created_at` as RFC 3339 has it. The `url` of a
    private picture is signed, for a while. What is not required is there if it was asked for."""

    id: str
    url: str
    width: int
    height: int
    filesize: int
    format: str
    tags: tuple[str, ...]
    private: bool
    created_at: str
    blurhash: str
    content_type: str | UnsetType = UNSET
    frames: int | UnsetType = UNSET
    sha256: str | UnsetType = UNSET
    exif: dict[str, str] | UnsetType = UNSET
    mini_preview: str | UnsetType = UNSET
    account: AccountAnswer | UnsetType = UNSET


class ListAnswer(Struct, frozen=True):
    """`next` is the cursor of the page after this one, null on the last."""

    images: tuple[PictureAnswer, ...]
    next: str | None


class DeletedAnswer(Struct, frozen=True):
    """The ids of what was there and is deleted."""

    deleted: tuple[str, ...]


class MadeAnswer(Struct, frozen=True, kw_only=True):
    """`upload_url` is where it can be had for a while, `data` the bytes in base64: whichever was asked for."""

    format: str
    width: int
    height: int
    filesize: int
    upload_url: str | UnsetType = UNSET
    data: str | UnsetType = UNSET


class Success(Struct, Generic[T], frozen=True, kw_only=True):
    # A constant, which generators of clients know; of truth values in an enum some make nothing.
    success: Annotated[bool, Meta(extra_json_schema={"const": True})] = True
    response: T


class HostedSuccess(Success[PictureAnswer], frozen=True, kw_only=True):
    """The first facts once more, where clients of template services look for them."""

    id: str
    url: str
    created_at: str


@cache
def listed(shape: type[Struct]) -> frozenset[str]:
    """The fields that are lists of texts: in a query and in a form with commas between."""
    return frozenset(each.encode_name for each in msgspec.structs.fields(shape) if _lists(each.type))


def _lists(kind: Any) -> bool:
    if get_origin(kind) is tuple:
        return _text_of(get_args(kind)[0])
    return any(map(_lists, get_args(kind)))


def _text_of(kind: Any) -> bool:
    return kind is str or str in get_args(kind)


def cursor_at(text: str | None) -> tuple[int, str] | None:
    """The (created_at, id) that it says."""
    if text is None:
        return None
    at, _, id = text.partition("-")
    return int(at), id


Row = TypeVar("Row", Hosted, Made)


def page_of(found: Sequence[Row], limit: int) -> tuple[Sequence[Row], str | None]:
    """The first `limit` of `found`, and the cursor (for `cursor_at`) of the page after them; None where these are all."""
    page = found[:limit]
    return page, f"{page[-1].created_at}-{page[-1].id}" if len(found) > limit else None


_PLACE = re.compile(r"(.*) - at `\$(.*)`")
_PATTERNS = {
    _ID: "an id, 16 small letters and digits",
    _TAG: "text without commas and control characters",
    _MOMENT: "a moment as RFC 3339 has it, such as 2026-05-01T12:00:00Z",
    _CURSOR: "`next` of the page before",
    _FORMAT: "a format such as jpg",
    NAME: NAMED,
}
"""What each is a pattern of."""


def convert(given: dict[str, object], shape: type[Shape], *, strict: bool) -> Shape:
    """Raises InvalidOption, which names the field. `strict` False: numbers and truth values are text."""
    try:
        return msgspec.convert(given, shape, strict=strict)
    except msgspec.ValidationError as error:
        raise invalid(error, shape) from None


def invalid(error: msgspec.ValidationError, shape: type[Struct]) -> InvalidOption:
    text = in_words(str(error), shape, _PATTERNS)
    match = _PLACE.fullmatch(text)
    if match is None:
        unknown = re.search("unknown field `(.*)`", text)
        return InvalidOption(unknown[1][:40] if unknown else "", text[:200])
    place = match[2].removeprefix(".").replace("[...]", "") or "body"
    return InvalidOption(place.partition("[")[0], f"{place}: {match[1]}"[:200])
