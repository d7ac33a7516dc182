"""/v1/templates: making, changing and trying templates. Those that are files are shown, and changed by nobody."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Sequence
from typing import Any

from aiohttp import hdrs

from imgproxy.errors import (
    InvalidOption,
    MediaTypeUnsupported,
    OptionForbidden,
    PreconditionFailed,
    QuotaExceeded,
    TemplateInvalid,
    TemplateReadOnly,
    TemplateUnknown,
)
from imgproxy.formats import FORMATS
from imgproxy.library.catalogue import ID
from imgproxy.library.templates import Made, Templates, unknown
from imgproxy.spec import Transform
from imgproxy.templates.document import Template
from imgproxy.templates.shelf import Kept, Shelf
from imgproxy.templates.source import told_fallbacks
from imgproxy.web.api.api import Api
from imgproxy.web.api.operation import Call, Operation, Reply
from imgproxy.web.api.renders import DRAWING, Renders
from imgproxy.web.api.shapes import DeletedAnswer, Drawn, cursor_at, page_of
from imgproxy.web.api.telling import moment
from imgproxy.web.api.template_shapes import Preview, TemplateAnswer, TemplateListing, TemplatesAnswer, TemplateSummary

_ID = re.compile(ID)
_PREFIX = "v."
_TAG = re.compile(r'\s*(?:W/)?"([^"]*)"\s*(?:,|$)')


class TemplatesApi:
    def __init__(self, templates: Templates, shelf: Shelf, renders: Renders, api: Api) -> None:
        self._templates = templates
        self._shelf = shelf
        self._renders = renders
        self._api = api

    def operations(self) -> tuple[Operation, ...]:
        many, one = "/v1/templates", "/v1/templates/{template}"
        changing: dict[str, Any] = {"conditional": True, "errors": (TemplateUnknown, TemplateReadOnly, PreconditionFailed)}
        wrong = (TemplateInvalid, MediaTypeUnsupported, OptionForbidden)
        return (
            Operation(
                "listTemplates", "GET", many, "read", "List templates: the server's files, then the account's, newest first",
                self.listed, TemplatesAnswer, query=TemplateListing,
            ),
            Operation(
                "makeTemplate", "POST", many, "write", "Store a template", self.make, TemplateAnswer, 201,
                body=Template, reads=True, errors=(*wrong, QuotaExceeded),
            ),
            Operation(
                "getTemplate", "GET", one, "read", "Get a template, and its version as ETag", self.told, TemplateAnswer,
                errors=(TemplateUnknown,),
            ),
            Operation(
                "setTemplate", "PUT", one, "write", "Replace a template", self.change, TemplateAnswer, body=Template,
                reads=True, conditional=True, errors=(*wrong, *changing["errors"]),
            ),
            Operation(
                "deleteTemplate", "DELETE", one, "delete", "Delete a template", self.delete, DeletedAnswer, **changing
            ),
            Operation(
                "previewTemplate", "GET", f"{one}/preview", "read", "Preview a template", self.preview,
                None, query=Preview, values=True, errors=DRAWING,
            ),
        )  # fmt: skip

    async def listed(self, call: Call) -> Reply:
        asked: TemplateListing = call.query
        files = [] if asked.cursor else [_file(kept) for kept in self._shelf.files]
        found = await self._templates.search(call.tenant, cursor_at(asked.cursor), asked.limit + 1)
        page, following = page_of(found, asked.limit)
        told = []
        for made in page:
            told.append(_summary(made))
            await asyncio.sleep(0)  # others have their turn: each document is read for it
        return Reply(TemplatesAnswer((*files, *told), following))

    async def make(self, call: Call) -> Reply:
        made = await self._templates.add(call.tenant, await self._document(call))
        reply = _told(made)
        return Reply(reply.response, 201, {**reply.headers, "Location": f"/v1/templates/{made.id}"})

    async def told(self, call: Call) -> Reply:
        id = call.request.match_info["template"]
        kept = self._shelf.file(id)
        if kept is not None:
            return Reply(TemplateAnswer(**_facts(kept), document=kept.template), headers={"ETag": f'"{kept.version}"'})
        return _told(await self._templates.get(call.tenant, _own(id)))

    async def change(self, call: Call) -> Reply:
        id, document = self._changeable(call), await self._document(call)
        return _told(await self._templates.change(call.tenant, id, document, _versions(call)))

    async def delete(self, call: Call) -> Reply:
        id = self._changeable(call)
        await self._templates.delete(call.tenant, id, _versions(call))
        return Reply(DeletedAnswer((id,)))

    async def preview(self, call: Call) -> Reply:
        asked: Preview = call.query
        kept = await self._renders.find(call.tenant, call.request.match_info["template"])
        filled = await self._renders.fill(call.tenant, kept, Drawn(variables=_values(call)))
        picture = await self._renders.draw(filled, Transform(width=asked.w, format=asked.format, enlarge=True))
        data = await asyncio.to_thread(os.pread, picture.draft.handle.fd, picture.draft.length, 0)
        headers = {"Content-Type": FORMATS[picture.format].media_type}
        return Reply(data, headers=headers | told_fallbacks(picture.fallbacks))

    async def _document(self, call: Call) -> str:
        """Raises as `Shelf.checked` and `Renders.permit`."""
        data = await self._api.read(call.request)
        await self._renders.permit(call.tenant, self._shelf.checked("new", data).template)
        return data.decode()

    def _changeable(self, call: Call) -> str:
        id = call.request.match_info["template"]
        if self._shelf.file(id) is not None:
            raise TemplateReadOnly(f"{id} is a file of the server's")
        return _own(id)


def _own(id: str) -> str:
    if not _ID.fullmatch(id):
        raise unknown(id)
    return id


def _versions(call: Call) -> Sequence[str] | None:
    """What If-Match wants (RFC 9110 §13.1.1); None: anything that is there. A weak tag matches nothing."""
    said = ",".join(call.request.headers.getall(hdrs.IF_MATCH, ()))
    if not said or said.strip() == "*":
        return None
    return [match[1] for match in _TAG.finditer(said) if not match[0].lstrip().startswith("W/")]


def _values(call: Call) -> dict[str, str]:
    """Those of a template's variables in the query."""
    own = (*Preview.__struct_fields__, "key")
    values: dict[str, str] = {}
    for name, value in call.request.query.items():
        if name in own:
            continue
        if not name.startswith(_PREFIX):
            raise InvalidOption(name[:40], f"{name[:40]!a} is unknown; values of variables are written v.NAME=VALUE")
        if name[len(_PREFIX) :] in values:
            raise InvalidOption(name[:40], f"{name[:40]} is given twice")
        values[name[len(_PREFIX) :]] = value
    return values


def _facts(kept: Kept) -> dict[str, Any]:
    template = kept.template
    return {
        "id": kept.id,
        "version": kept.version,
        "title": template.title,
        "description": template.description,
        "width": template.canvas.width,
        "height": template.canvas.height,
        "variables": tuple(template.variables),
        "read_only": kept.tenant is None,
    }


def _file(kept: Kept) -> TemplateSummary:
    return TemplateSummary(**_facts(kept))


def _summary(made: Made) -> TemplateSummary:
    try:
        facts = _facts(made.kept)
    except TemplateInvalid as error:
        # The others of the page are told all the same.
        facts = dict.fromkeys(("title", "description"), "") | dict.fromkeys(("width", "height"), 0)
        facts |= {"id": made.id, "version": made.version, "variables": (), "read_only": False, "invalid": str(error)}
    return TemplateSummary(**facts, created_at=moment(made.created_at), updated_at=moment(made.updated_at))


def _told(made: Made) -> Reply:
    kept = made.kept
    answer = TemplateAnswer(
        **_facts(kept), created_at=moment(made.created_at), updated_at=moment(made.updated_at), document=kept.template
    )
    return Reply(answer, headers={"ETag": f'"{kept.version}"'})
