"""What the API takes and answers of templates, and of what is drawn later. As `shapes.py`."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from imgproxy.library.catalogue import LONGEST_PAGE
from imgproxy.library.jobs import Status
from imgproxy.templates.document import Template
from imgproxy.web.api.shapes import Cursor, Drawn, DrawnFormat, Given, Tags, TemplateId, Webhook

MOST_ROWS = 1000
"""Of one batch."""


class Batch(Given, frozen=True):
    """One picture a row of one template."""

    template_id: TemplateId
    rows: Annotated[tuple[Drawn, ...], Meta(min_length=1, max_length=MOST_ROWS)]
    format: DrawnFormat = "png"
    tags: Tags = ()
    private: bool = False
    webhook: Webhook = ""


class TemplateListing(Given, frozen=True):
    """`cursor` is `next` of the page before."""

    cursor: Cursor | None = None
    limit: Annotated[int, Meta(ge=1, le=LONGEST_PAGE)] = 20


class Preview(Given, frozen=True):
    """`w` in pixels; 0: that of the canvas. Beside these stand values of the template's variables, as v.NAME=VALUE."""

    w: Annotated[int, Meta(ge=0, le=4096)] = 0
    format: Literal["png", "webp"] = "png"


class TemplateSummary(Struct, frozen=True, kw_only=True):
    """`read_only`: it is a file of the server's, for every account. Sizes in pixels, times RFC 3339. `invalid` is what is wrong
    with one that an older server has kept, of which nothing more is told: it may be replaced or deleted."""

    id: str
    version: str
    title: str
    description: str
    width: int
    height: int
    variables: tuple[str, ...]
    read_only: bool
    invalid: str | UnsetType = UNSET
    created_at: str | UnsetType = UNSET
    updated_at: str | UnsetType = UNSET


class TemplateAnswer(TemplateSummary, frozen=True, kw_only=True):
    document: Template


class TemplatesAnswer(Struct, frozen=True):
    """`next` is the cursor of the page after this one, None on the last."""

    templates: tuple[TemplateSummary, ...]
    next: str | None


class Progress(Struct, frozen=True):
    done: int
    failed: int
    total: int


class RowAnswer(Struct, frozen=True, kw_only=True):
    """How one row came out: a picture, and the layers that show another one than theirs, or what was wrong."""

    row: int
    success: bool
    id: str | UnsetType = UNSET
    url: str | UnsetType = UNSET
    created_at: str | UnsetType = UNSET
    fallbacks: tuple[str, ...] | UnsetType = UNSET
    code: str | UnsetType = UNSET
    detail: str | UnsetType = UNSET


class WebhookAnswer(Struct, frozen=True):
    """`delivered`: one of the `calls` was answered with 2xx. `failed`: there are no more of them."""

    url: str
    status: Literal["waiting", "delivered", "failed"]
    calls: int


class JobAnswer(Struct, frozen=True, kw_only=True):
    """`failed` is a job of which no row could be drawn. `results` are of the rows that have come out, in their order."""

    id: str
    status: Status
    template_id: str
    progress: Progress
    created_at: str
    results: tuple[RowAnswer, ...]
    webhook: WebhookAnswer | UnsetType = UNSET


class WebhookMessage(Struct, frozen=True):
    """What a webhook is told; `timestamp` is RFC 3339."""

    type: Literal["job.done", "job.failed"]
    timestamp: str
    data: JobAnswer


class SecretAnswer(Struct, frozen=True):
    """With which calls to this account's webhooks are signed (Standard Webhooks)."""

    secret: str
