"""How jobs and moments are told, to whoever asks and to webhooks."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal

import msgspec
from msgspec import UNSET

from imgproxy.library.jobs import Outcome, Promised
from imgproxy.web.api.links import Links
from imgproxy.web.api.template_shapes import JobAnswer, Progress, RowAnswer, WebhookAnswer, WebhookMessage


def moment(microseconds: int) -> str:
    """RFC 3339; `microseconds` since the epoch."""
    return datetime.fromtimestamp(microseconds / 1e6, UTC).isoformat(timespec="microseconds")


def job_answer(job: Promised, outcomes: Mapping[int, Outcome], links: Links, base: str) -> JobAnswer:
    """`outcomes` by the number of the row, `base` is scheme and host of its URLs."""
    private = job.order is None or job.order.private
    return JobAnswer(
        id=job.id,
        status=job.status,
        template_id=job.order.template if job.order is not None else "",
        progress=Progress(job.done, job.failed, job.total),
        created_at=moment(job.created_at),
        results=tuple(_row(number, each, links.url(each.id, base, private=private)) for number, each in outcomes.items()),
        webhook=WebhookAnswer(job.webhook, _state(job), job.calls) if job.webhook else UNSET,
    )


def message(job: Promised, outcomes: Mapping[int, Outcome], links: Links, at: int) -> bytes:
    """What its webhook is told, in JSON; `at` in microseconds since the epoch."""
    told = job_answer(job, outcomes, links, job.order.base if job.order is not None else "")
    kind: Literal["job.done", "job.failed"] = "job.failed" if job.status == "failed" else "job.done"
    return msgspec.json.encode(WebhookMessage(kind, moment(at), msgspec.structs.replace(told, webhook=UNSET)))


def _row(number: int, outcome: Outcome, url: str) -> RowAnswer:
    if outcome.code:
        return RowAnswer(row=number, success=False, code=outcome.code, detail=outcome.detail)
    at, fallbacks = moment(outcome.created_at), outcome.fallbacks or UNSET
    return RowAnswer(row=number, success=True, id=outcome.id, url=url, created_at=at, fallbacks=fallbacks)


def _state(job: Promised) -> Literal["waiting", "delivered", "failed"]:
    if job.called:
        return "delivered"
    return "waiting" if job.due_at is not None else "failed"
