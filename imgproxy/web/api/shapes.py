"""What the API takes and answers, as types: the same ones validate requests and make /openapi.json."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Generic, Literal, TypeVar

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
Tags = Annotated[tuple[Tag, ...], Meta(max_length=MOST_TAGS)]
Ids = Annotated[tuple[Id, ...], Meta(max_length=MOST_IDS)]
Size = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Bytes = Annotated[int, Meta(ge=0, le=2**53)]
Address = Annotated[str, Meta(max_length=8192, description="A picture to import from another server, http:// or https://")]
_MOMENT = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?(Z|[+-][0-9]{2}:[0-9]{2})" + END
Moment = Annotated[str, Meta(pattern=_MOMENT, description="RFC 3339")]

TemplateId = Annotated[str, Meta(pattern=NAME, description="The id of a template")]
_CURSOR = f"^[0-9]{{1,16}}-{ID}{END}"
Cursor = Annotated[str, Meta(pattern=_CURSOR)]
_FORMAT = f"^[a-z0-9]{{0,8}}{END}"
Values = Annotated[dict[str, Annotated[str, Meta(max_length=MOST_CHARACTERS)]], Meta(max_length=MOST_VARIABLES)]
Modifications = Annotated[tuple[Modification, ...], Meta(max_length=MOST_MODIFICATIONS)]
Webhook = Annotated[str, Meta(max_length=2048, description="Where the job is told of when it is done, http:// or https://")]

T = TypeVar("T")
Shape = TypeVar("Shape", bound=Struct)


class Given(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of a request."""


class Nothing(Given, frozen=True):
    """No parameters."""


class Flags(Given, frozen=True):
    """What is told of a picture beside the plain facts: EXIF, more facts (`verbose`), a JPEG of about 500 bytes in base64, and
    how full the account is."""

    with_exif: bool = False
    verbose: bool = False
    with_mini_preview: bool = False
    with_account: bool = False


class Upload(Flags, frozen=True):
    """Fields of the query, of a form beside the file, or of a JSON body, of which the later ones win."""

    tags: Tags = ()
    private: bool = False


class Drawn(Given, frozen=True):
    """What of a template differs in one picture. Modifications come after variables."""

    modifications: Modifications = ()
    variables: Values = {}


DrawnFormat = Literal["png", "jpeg", "webp", "avif"]


class UploadJson(Upload, frozen=True):
    """One of the three: a picture to import, one as a data URI in base64, or a template to draw, with what differs in it. With
    `Prefer: respond-async` that is done later, and `webhook` is told of it."""

    url: Address = ""
    data: str = ""
    template_id: TemplateId | None = None
    modifications: Modifications = ()
    variables: Values = {}
    format: DrawnFormat = "png"
    webhook: Webhook = ""

    @property
    def drawn(self) -> Drawn:
        return Drawn(modifications=self.modifications, variables=self.variables)


class Process(Given, frozen=True):
    """The bytes are the answer, unless they are to be stored for a while, or answered in base64. Beside these stand the options
    that URLs of pictures have."""

    store: bool = False
    base64: bool = False


class ProcessJson(Process, frozen=True):
    """One of `url` and `data`; `parameters` are options of URLs, by their names."""

    url: Address = ""
    data: str = ""
    parameters: Annotated[dict[str, str | int | float | bool], Meta(max_length=MAX_OPTIONS)] = {}


class Listing(Flags, frozen=True):
    """All that is given must hold; `cursor` is `next` of the page before. `url` imports a picture, as scripts written for older
    APIs do; use POST."""

    tags: Tags = ()
    format: Annotated[str, Meta(pattern=_FORMAT)] = ""
    min_width: Size = 0
    max_width: Size = 0
    min_height: Size = 0
    max_height: Size = 0
    min_size: Bytes = 0
    max_size: Bytes = 0
    since: Moment | None = None
    until: Moment | None = None
    private: bool | None = None
    cursor: Cursor | None = None
    limit: Annotated[int, Meta(ge=1, le=LONGEST_PAGE)] = 20
    url: Address = ""


class Change(Given, frozen=True):
    """What is not given stays. `tags` take the place of all others."""

    tags: Tags | UnsetType = UNSET
    private: bool | UnsetType = UNSET


class SomeTags(Given, frozen=True):
    tags: Tags


class Which(Given, frozen=True):
    """Either."""

    ids: Ids = ()
    tag: Tag | None = None


class MaybeTags(Given, frozen=True):
    """None: every tag. An empty list is a list of none."""

    tags: Tags | None = None


class Storage(Struct, frozen=True):
    """In bytes, and for people."""

    max: int
    max_readable: str
    used: int
    used_readable: str
    remaining: int
    remaining_readable: str


class AccountAnswer(Struct, frozen=True):
    num_images: int
    storage: Storage


class PictureAnswer(Struct, frozen=True, kw_only=True):
    """`width` and `height` are upright pixels, `filesize` bytes, `created_at` RFC 3339."""

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
    """`next` is the cursor of the page after this one, None on the last."""

    images: tuple[PictureAnswer, ...]
    next: str | None


class DeletedAnswer(Struct, frozen=True):
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


def listed(shape: type[Struct]) -> frozenset[str]:
    """The fields that are lists: in a query and in a form with commas between."""
    return frozenset(each.encode_name for each in msgspec.structs.fields(shape) if each.type in (Tags, Tags | None, Ids))


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
