"""/v1/images: hosting, finding, tagging and deleting pictures."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any

import msgspec
from msgspec import UNSET

from imgproxy.errors import (
    BodyInvalid,
    BodyTooLarge,
    ImageError,
    InvalidOption,
    MediaTypeUnsupported,
    PictureUnknown,
    QuotaExceeded,
    SourceError,
    StorageFull,
)
from imgproxy.formats import FORMATS
from imgproxy.library.catalogue import ID, MOST_IDS, Catalogue, Hosted, unknown
from imgproxy.library.intake import Draft, Intake
from imgproxy.library.search import Search
from imgproxy.spec import Transform
from imgproxy.templates.source import told_fallbacks
from imgproxy.web.api.account import account_answer
from imgproxy.web.api.api import DEPRECATED, prefers_async
from imgproxy.web.api.bodies import Bodies, merged
from imgproxy.web.api.links import Links
from imgproxy.web.api.operation import Call, Operation, Reply
from imgproxy.web.api.renders import DRAWING, Renders
from imgproxy.web.api.shapes import (
    Change,
    DeletedAnswer,
    Flags,
    HostedSuccess,
    ListAnswer,
    Listing,
    MaybeTags,
    PictureAnswer,
    SomeTags,
    Upload,
    UploadJson,
    Which,
    cursor_at,
    page_of,
)
from imgproxy.web.api.telling import moment
from imgproxy.web.api.template_shapes import JobAnswer

_ID = re.compile(ID)
UPLOADING = (BodyInvalid, BodyTooLarge, MediaTypeUnsupported, ImageError, SourceError, StorageFull, QuotaExceeded)

Later = Callable[[Call, UploadJson], Awaitable[Reply]]


class Pictures:
    """`later` promises a picture that was asked for with `Prefer: respond-async`."""

    def __init__(
        self,
        catalogue: Catalogue,
        intake: Intake,
        bodies: Bodies,
        renders: Renders,
        later: Later,
        links: Links,
    ) -> None:
        self._catalogue = catalogue
        self._intake = intake
        self._bodies = bodies
        self._renders = renders
        self._later = later
        self._links = links

    def operations(self) -> tuple[Operation, ...]:
        images, one = "/v1/images", "/v1/images/{id}"
        picture: dict[str, Any] = {"answer": PictureAnswer, "errors": (PictureUnknown,)}
        return (
            Operation(
                "hostImage", "POST", images, "write", "Host a picture", self.host, HostedSuccess, 201, Upload, UploadJson,
                upload=True, accepted=JobAnswer, errors=(*UPLOADING, *DRAWING),
            ),
            Operation(
                "listImages", "GET", images, "read", "List and search pictures, newest first", self.listed, ListAnswer,
                query=Listing, errors=UPLOADING,
            ),
            Operation(
                "deleteImages", "DELETE", images, "delete", "Delete several pictures, or all with a tag",
                self.delete_many, DeletedAnswer, query=Which, errors=(PictureUnknown,),
            ),
            Operation("getImage", "GET", one, "read", "Get what is known of a picture", self.told, query=Flags, **picture),
            Operation(
                "changeImage", "PATCH", one, "write", "Change a picture's tags, or make it public or private", self.change,
                body=Change, **picture,
            ),
            Operation(
                "deleteImage", "DELETE", one, "delete", "Delete a picture and everything made from it", self.delete,
                DeletedAnswer, errors=(PictureUnknown,),
            ),
            Operation(
                "setTags", "PUT", f"{one}/tags", "write", "Replace a picture's tags", self.set_tags, body=SomeTags, **picture
            ),
            Operation(
                "addTags", "POST", f"{one}/tags", "write", "Add tags to a picture", self.add_tags, body=SomeTags, **picture
            ),
            Operation(
                "removeTags", "DELETE", f"{one}/tags", "write", "Remove tags from a picture", self.remove_tags, query=MaybeTags,
                **picture,
            ),
            Operation(
                "deleteImagesByGet", "GET", "/v1/images/{ids}/delete", "delete",
                "As DELETE /v1/images, for scripts that can only send GET", self.old_delete, DeletedAnswer,
                errors=(PictureUnknown,), deprecated=True,
            ),
            Operation(
                "addTagsByGet", "GET", "/v1/images/{ids}/add_tags", "write",
                "As POST /v1/images/{id}/tags, for scripts that can only send GET", self.old_add_tags, ListAnswer,
                query=SomeTags, errors=(PictureUnknown,), deprecated=True,
            ),
            Operation(
                "removeTagsByGet", "GET", "/v1/images/{ids}/remove_tags", "write",
                "As DELETE /v1/images/{id}/tags, for scripts that can only send GET", self.old_remove_tags, ListAnswer,
                query=SomeTags, errors=(PictureUnknown,), deprecated=True,
            ),
        )  # fmt: skip

    async def host(self, call: Call) -> Reply:
        given = await self._bodies.read(call, UploadJson)
        if given is None or given.template_id is None:
            received = await self._bodies.receive(call, UploadJson, given=given)
            return await self._host(call, received.draft, received.asked)
        if given.url or given.data:
            raise InvalidOption("template_id", "the body wants one of url, data and template_id")
        if prefers_async(call.request):
            return await self._later(call, given)
        if given.webhook:
            raise InvalidOption("webhook", "a webhook is told of what is done later: send Prefer: respond-async")
        filled = await self._renders.fill(call.tenant, await self._renders.find(call.tenant, given.template_id), given.drawn)
        drawn = await self._renders.draw(filled, Transform(format=given.format))
        reply = await self._host(call, drawn.draft, merged(call.query, given))
        return Reply(reply.response, reply.status, {**reply.headers, **told_fallbacks(drawn.fallbacks)})

    async def _host(self, call: Call, draft: Draft, asked: Any) -> Reply:
        told = await self._intake.inspect(draft)
        # Before it is hosted: what cannot be told must not leave a picture behind that nobody knows of.
        extra = await self._extra(draft, asked)
        private = getattr(asked, "private", False) or False
        picture = await self._intake.host(call.tenant, draft, told, asked.tags, private)
        answer = await self._answer(call, picture, asked, extra)
        told_so = HostedSuccess(response=answer, id=answer.id, url=answer.url, created_at=answer.created_at)
        return Reply(told_so, 201, {"Location": f"/v1/images/{picture.id}"})

    async def listed(self, call: Call) -> Reply:
        asked: Listing = call.query
        if asked.url:
            call.request[DEPRECATED] = True
            call.caller.needs("write")
            return await self._host(call, await self._bodies.fetch(asked.url), asked)
        search = Search(
            tags=asked.tags,
            format={row.extension: row.name for row in FORMATS.values()}.get(asked.format, asked.format),
            min_width=asked.min_width,
            max_width=asked.max_width,
            min_height=asked.min_height,
            max_height=asked.max_height,
            min_bytes=asked.min_size,
            max_bytes=asked.max_size,
            since=_moment("since", asked.since),
            until=_moment("until", asked.until),
            private=asked.private,
            after=cursor_at(asked.cursor),
            limit=asked.limit + 1,
        )
        page, following = page_of(await self._catalogue.search(call.tenant, search), asked.limit)
        answers = await self._answers(call, [(each, await self._extra_of(each, asked)) for each in page], asked)
        return Reply(ListAnswer(tuple(answers), following))

    async def told(self, call: Call) -> Reply:
        picture = await self._catalogue.get(call.tenant, _id(call))
        return Reply(await self._answer(call, picture, call.query, await self._extra_of(picture, call.query)))

    async def change(self, call: Call) -> Reply:
        asked: Change = call.body
        tags = None if asked.tags is UNSET else asked.tags
        private = None if asked.private is UNSET else asked.private
        return await self._plain(call, await self._intake.change(call.tenant, _id(call), tags, private))

    async def delete(self, call: Call) -> Reply:
        deleted = await self._intake.delete(call.tenant, [_id(call)])
        return Reply(DeletedAnswer(deleted.ids))

    async def delete_many(self, call: Call) -> Reply:
        asked: Which = call.query
        if bool(asked.ids) == bool(asked.tag):
            raise InvalidOption("ids", "name either ids, or a tag")
        if asked.tag:
            return Reply(DeletedAnswer(tuple(await self._intake.delete_tagged(call.tenant, asked.tag))))
        return Reply(DeletedAnswer((await self._intake.delete(call.tenant, asked.ids)).ids))

    async def set_tags(self, call: Call) -> Reply:
        return await self._plain(call, await self._catalogue.change(call.tenant, _id(call), tags=call.body.tags))

    async def add_tags(self, call: Call) -> Reply:
        return await self._plain(call, (await self._catalogue.add_tags(call.tenant, [_id(call)], call.body.tags))[0])

    async def remove_tags(self, call: Call) -> Reply:
        return await self._plain(call, (await self._catalogue.remove_tags(call.tenant, [_id(call)], call.query.tags))[0])

    async def old_delete(self, call: Call) -> Reply:
        return Reply(DeletedAnswer((await self._intake.delete(call.tenant, _ids(call))).ids))

    async def old_add_tags(self, call: Call) -> Reply:
        return await self._all(call, await self._catalogue.add_tags(call.tenant, _ids(call), call.query.tags))

    async def old_remove_tags(self, call: Call) -> Reply:
        return await self._all(call, await self._catalogue.remove_tags(call.tenant, _ids(call), call.query.tags))

    async def _all(self, call: Call, found: Sequence[Hosted]) -> Reply:
        return Reply(ListAnswer(tuple(await self._answers(call, [(each, {}) for each in found], Flags())), None))

    async def _plain(self, call: Call, picture: Hosted) -> Reply:
        return Reply(await self._answer(call, picture, Flags(), {}))

    async def _extra_of(self, picture: Hosted, asked: Any) -> dict[str, object]:
        if not (asked.with_exif or asked.with_mini_preview):
            return {}
        return await self._extra(await self._intake.read(picture), asked)

    async def _extra(self, draft: Draft, asked: Any) -> dict[str, object]:
        extra: dict[str, object] = {}
        if asked.with_exif:
            extra["exif"] = await self._intake.exif(draft)
        if asked.with_mini_preview:
            extra["mini_preview"] = b64encode(await self._intake.preview(draft)).decode()
        return extra

    async def _answer(self, call: Call, picture: Hosted, asked: Any, extra: dict[str, object]) -> PictureAnswer:
        return (await self._answers(call, [(picture, extra)], asked))[0]

    async def _answers(self, call: Call, told: Sequence[tuple[Hosted, dict[str, object]]], asked: Any) -> list[PictureAnswer]:
        account = account_answer(await self._catalogue.account(call.tenant)) if asked.with_account else UNSET
        return [self._facts(call, picture, asked, {**extra, "account": account}) for picture, extra in told]

    def _facts(self, call: Call, picture: Hosted, asked: Any, extra: dict[str, object]) -> PictureAnswer:
        answer = PictureAnswer(
            id=picture.id,
            url=self._links.url(picture.id, self._links.base(call.request), private=picture.private),
            width=picture.width,
            height=picture.height,
            filesize=picture.bytes,
            format=FORMATS[picture.format].extension,
            tags=picture.tags,
            private=picture.private,
            created_at=moment(picture.created_at),
            blurhash=picture.blurhash,
        )
        if asked.verbose:
            extra |= {
                "content_type": FORMATS[picture.format].media_type, "frames": picture.frames, "sha256": picture.digest
            }  # fmt: skip
        return msgspec.structs.replace(answer, **extra)


def _id(call: Call) -> str:
    id: str = call.request.match_info["id"]
    if not _ID.fullmatch(id):
        raise unknown(id)
    return id


def _ids(call: Call) -> list[str]:
    ids = call.request.match_info["ids"].split(",")
    if len(ids) > MOST_IDS:
        raise InvalidOption("ids", f"{len(ids)} ids; at most {MOST_IDS} are taken at once")
    for id in ids:
        if not _ID.fullmatch(id):
            raise unknown(id)
    return ids


def _moment(name: str, text: str | None) -> int:
    if text is None:
        return 0
    try:
        return int(datetime.fromisoformat(text).timestamp() * 1_000_000) or 1  # 0 would be no bound
    except (ValueError, OverflowError):
        raise InvalidOption(name, f"{name} must be a moment as RFC 3339 has it, such as 2026-05-01T12:00:00Z") from None
