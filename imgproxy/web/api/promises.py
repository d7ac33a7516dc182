"""/v1/jobs: pictures that are drawn later, one or up to a thousand, and what became of them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from imgproxy.errors import (
    InvalidOption,
    InvalidTarget,
    JobUnknown,
    OptionForbidden,
    QueueFull,
    SourceForbidden,
    TemplateUnknown,
)
from imgproxy.library.jobs import Jobs, Order
from imgproxy.web.api.links import Links
from imgproxy.web.api.operation import Call, Operation, Reply
from imgproxy.web.api.renders import Renders, plain
from imgproxy.web.api.shapes import Drawn, UploadJson
from imgproxy.web.api.telling import job_answer
from imgproxy.web.api.template_shapes import Batch, JobAnswer, SecretAnswer
from imgproxy.web.api.webhooks import Webhooks, told_secret
from imgproxy.web.api.worker import Worker

_AT_ONCE = 50
"""Rows that are looked at before anything else is done in between."""


class Promises:
    def __init__(self, jobs: Jobs, renders: Renders, webhooks: Webhooks, worker: Worker, links: Links) -> None:
        self._jobs = jobs
        self._renders = renders
        self._webhooks = webhooks
        self._worker = worker
        self._links = links

    def operations(self) -> tuple[Operation, ...]:
        signing = "/v1/webhooks/secret"
        return (
            Operation(
                "drawImages", "POST", "/v1/images/batch", "write", "Draw a template many times, later", self.batch, JobAnswer,
                202, body=Batch, errors=(TemplateUnknown, OptionForbidden, InvalidTarget, SourceForbidden, QueueFull),
            ),
            Operation(
                "getJob", "GET", "/v1/jobs/{job}", "read", "Get a job's progress and results", self.told, JobAnswer,
                errors=(JobUnknown,),
            ),
            Operation(
                "getWebhookSecret", "GET", signing, "write", "Get the secret that signs calls to webhooks", self.secret,
                SecretAnswer,
            ),
            Operation(
                "newWebhookSecret", "POST", signing, "write", "Make a new secret, which signs from now on", self.new_secret,
                SecretAnswer,
            ),
        )  # fmt: skip

    async def batch(self, call: Call) -> Reply:
        asked: Batch = call.body
        return await self._promise(call, asked, asked.template_id, asked.rows)

    async def one(self, call: Call, asked: UploadJson) -> Reply:
        """A picture that was asked for with `Prefer: respond-async`."""
        reply = await self._promise(call, asked, asked.template_id or "", [asked.drawn])
        return Reply(reply.response, reply.status, {**reply.headers, "Preference-Applied": "respond-async"})

    async def told(self, call: Call) -> Reply:
        job = await self._jobs.get(call.tenant, call.request.match_info["job"])
        return Reply(job_answer(job, await self._jobs.outcomes(job.id), self._links, self._links.base(call.request)))

    async def secret(self, call: Call) -> Reply:
        return Reply(SecretAnswer(told_secret(bytes.fromhex(await self._jobs.secret(call.tenant)))))

    async def new_secret(self, call: Call) -> Reply:
        return Reply(SecretAnswer(told_secret(bytes.fromhex(await self._jobs.secret(call.tenant, anew=True)))))

    async def _promise(self, call: Call, asked: Batch | UploadJson, template: str, rows: Sequence[Drawn]) -> Reply:
        """Durable when it returns. What cannot be drawn is refused now."""
        kept = await self._renders.find(call.tenant, template)
        for number, row in enumerate(rows):
            if number % _AT_ONCE == _AT_ONCE - 1:
                await asyncio.sleep(0)  # others have their turn
            try:
                await self._renders.fill(call.tenant, kept, row)
            except (InvalidOption, OptionForbidden) as error:
                raise type(error)(error.option, f"rows[{number}].{error}" if len(rows) > 1 else str(error)) from None
        if asked.webhook:
            await self._webhooks.check(asked.webhook)
        order = Order(
            template=kept.id, document=plain(kept.template), everybodys=kept.tenant is None, format=asked.format,
            tags=asked.tags, private=asked.private, base=self._links.base(call.request),
        )  # fmt: skip
        written = [msgspec.Raw(msgspec.json.encode(row)) for row in rows]
        promised = await self._jobs.add(call.tenant, order, written, asked.webhook)
        self._worker.wake()
        return Reply(job_answer(promised, {}, self._links, order.base), 202, {"Location": f"/v1/jobs/{promised.id}"})
