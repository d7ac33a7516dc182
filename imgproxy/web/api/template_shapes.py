"""What the API takes and answers of templates, and of what is drawn later. As `shapes.py`."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from imgproxy.library.jobs import Status
from imgproxy.templates.document import Template
from imgproxy.web.api.shapes import Cursor, Drawn, DrawnFormat, Given, PageSize, Private, Tags, TemplateId, Webhook

MOST_ROWS = 1000
"""Of one batch."""


class Batch(Given, frozen=True):
    """One picture per row, all of one template."""

    template_id: TemplateId
    rows: Annotated[
        tuple[Drawn, ...], Meta(min_length=1, max_length=MOST_ROWS, description=f"What differs in each: up to {MOST_ROWS:,}")
    ]
    format: DrawnFormat = "png"
    tags: Tags = ()
    private: Private = False
    webhook: Webhook = ""


class TemplateListing(Given, frozen=True):
    cursor: Cursor | None = None
    limit: PageSize = 20


class Preview(Given, frozen=True):
    """Values of the template's variables may be given beside these, as v.NAME=VALUE."""

    w: Annotated[int, Meta(ge=0, le=4096, description="Width in pixels; 0: the canvas'")] = 0
    format: Annotated[Literal["png", "webp"], Meta(description="Of the preview")] = "png"


class TemplateSummary(Struct, frozen=True, kw_only=True):
    """`read_only`: it is one of the server's files, for every account. Sizes are in pixels, times as RFC 3339 has them.
    `invalid` says what is wrong with one that an older server stored, of which nothing else is known: replace or delete it."""

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
    """The summary, and the template itself."""

    document: Template


class TemplatesAnswer(Struct, frozen=True):
    """`next` is the cursor of the page after this one, null on the last."""

    templates: tuple[TemplateSummary, ...]
    next: str | None


class Progress(Struct, frozen=True):
    """In rows: `failed` ones are not `done`."""

    done: int
    failed: int
    total: int


class RowAnswer(Struct, frozen=True, kw_only=True):
    """What came of one row: a picture, with the layers that show a fallback, or the `code` and `detail` of an error."""

    row: int
    success: bool
    id: str | UnsetType = UNSET
    url: str | UnsetType = UNSET
    created_at: str | UnsetType = UNSET
    fallbacks: tuple[str, ...] | UnsetType = UNSET
    code: str | UnsetType = UNSET
    detail: str | UnsetType = UNSET


class WebhookAnswer(Struct, frozen=True):
    """`delivered`: one of the `calls` made was answered with 2xx. `failed`: none was, and no more are made."""

    url: str
    status: Literal["waiting", "delivered", "failed"]
    calls: int


class JobAnswer(Struct, frozen=True, kw_only=True):
    """`failed`: no row could be drawn. `results` are those of the rows so far, in their order."""

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
    """What the calls to this account's webhooks are signed with (Standard Webhooks)."""

    secret: str
