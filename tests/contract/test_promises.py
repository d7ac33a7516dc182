"""What the catalogue promises of templates and jobs, over SQLite and over a real PostgreSQL."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import update

from imgproxy.cache.bans import Bans
from imgproxy.errors import JobUnknown, PreconditionFailed, QueueFull, QuotaExceeded, TemplateInvalid, TemplateUnknown
from imgproxy.library import jobs as jobs_module
from imgproxy.library import templates as templates_module
from imgproxy.library.catalogue import Catalogue, new_id, now
from imgproxy.library.database import Database, address
from imgproxy.library.jobs import Jobs, Order, Outcome, Promised
from imgproxy.library.migrations import migrate
from imgproxy.library.tables import jobs as table
from imgproxy.library.templates import Templates
from tests.contract.test_catalogue import QUOTA, catalogue, close, tenant

__all__ = ["catalogue", "tenant"]


def document(title: str) -> str:
    return json.dumps({"title": title, "canvas": {"width": 9, "height": 9}, "layers": []})


ORDER = Order(template="a", document=msgspec.Raw(document("x").encode()), everybodys=False, format="png")


async def test_a_template_is_its_tenants_alone(catalogue: Catalogue, tenant: str, tmp_path: Path) -> None:
    templates = Templates(catalogue, Bans(tmp_path))
    made = await templates.add(tenant, document("one"))
    assert await templates.get(tenant, made.id) == made
    found = await templates.find(made.id)
    assert found is not None
    assert (found.id, found.version, found.tenant, found.template.title) == (made.id, made.version, tenant, "one")
    for work in (
        templates.get("another", made.id),
        templates.change("another", made.id, document("two"), None),
        templates.delete("another", made.id),
    ):
        with pytest.raises(TemplateUnknown):
            await work
    assert await templates.search("another", None, 9) == []
    assert await templates.search(tenant, None, 9) == [made]
    assert await templates.find("0" * 16) is None


async def test_a_change_is_seen_at_once_by_everybody(catalogue: Catalogue, tenant: str, tmp_path: Path) -> None:
    one, other = Templates(catalogue, Bans(tmp_path)), Templates(catalogue, Bans(tmp_path), clock=lambda: 0.0)
    made = await one.add(tenant, document("one"))
    assert await other.find(made.id) is not None
    changed = await one.change(tenant, made.id, document("two"), [made.version])
    assert changed.version != made.version
    assert (changed.created_at, changed.updated_at > made.updated_at) == (made.created_at, True)
    found = await other.find(made.id)
    assert found is not None
    assert (found.version, found.template.title) == (changed.version, "two")
    with pytest.raises(PreconditionFailed):
        await one.change(tenant, made.id, document("three"), [made.version])
    with pytest.raises(PreconditionFailed):
        await one.delete(tenant, made.id, [made.version])
    with pytest.raises(TemplateInvalid, match="canvas"):
        await one.change(tenant, made.id, "{}", None)
    await one.delete(tenant, made.id, [changed.version])
    assert await other.find(made.id) is None


async def test_two_who_change_one_version_are_not_both_right(catalogue: Catalogue, tenant: str, tmp_path: Path) -> None:
    templates = Templates(catalogue, Bans(tmp_path))
    made = await templates.add(tenant, document("one"))
    work = (templates.change(tenant, made.id, document(f"by {number}"), [made.version]) for number in range(4))
    came = await asyncio.gather(*work, return_exceptions=True)
    assert sorted(isinstance(each, PreconditionFailed) for each in came) == [False, True, True, True]


async def test_pages_of_templates(catalogue: Catalogue, tenant: str, tmp_path: Path) -> None:
    templates = Templates(catalogue, Bans(tmp_path))
    made = [await templates.add(tenant, document(str(number))) for number in range(3)]
    pages, after = [], None
    while page := await templates.search(tenant, after, 1):
        pages += page
        after = page[-1].created_at, page[-1].id
    assert [each.id for each in pages] == [each.id for each in reversed(made)]


async def test_an_account_has_so_many_templates(
    catalogue: Catalogue, tenant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(templates_module, "MOST_TEMPLATES", 1)
    templates = Templates(catalogue, Bans(tmp_path))
    await templates.add(tenant, document("one"))
    with pytest.raises(QuotaExceeded):
        await templates.add(tenant, document("two"))


async def taken(jobs: Jobs, wanted: Promised) -> Promised | None:
    """The lease of that job; those of other tests are put back."""
    others = []
    found = await jobs.take()
    while found is not None and found.id != wanted.id:
        others.append(found)
        found = await jobs.take()
    for each in others:
        await jobs.release(each)
    return found


async def test_a_job_is_done_row_by_row(catalogue: Catalogue, tenant: str) -> None:
    jobs = Jobs(catalogue, 0)
    job = await jobs.add(tenant, ORDER, [msgspec.Raw(b"{}"), msgspec.Raw(b'{"a":1}')], "")
    assert (job.status, job.total) == ("queued", 2)
    with pytest.raises(JobUnknown):
        await jobs.get("another", job.id)
    lease = await taken(jobs, job)
    assert lease is not None
    assert (lease.status, lease.order) == ("working", ORDER)
    assert await taken(jobs, job) is None
    await jobs.release(lease)
    passed_over = await jobs.take([tenant])
    assert passed_over is None or passed_over.tenant != tenant
    if passed_over is not None:
        await jobs.release(passed_over)
    lease = await taken(jobs, job)
    assert lease is not None
    assert await jobs.pending(job.id) == [(0, "{}"), (1, '{"a":1}')]
    good, bad = Outcome(id="p" * 16, created_at=5), Outcome(code="image", detail="no")
    await jobs.settle(lease, 0, good)
    await jobs.settle(lease, 0, bad)  # somebody else was first
    assert await jobs.pending(job.id) == [(1, '{"a":1}')]
    await jobs.settle(lease, 1, bad)
    ended = await jobs.drawn(lease)
    assert (ended.status, ended.done, ended.failed, ended.due_at) == ("done", 1, 1, None)
    assert await jobs.outcomes(job.id) == {0: good, 1: bad}
    assert await taken(jobs, job) is None
    await jobs.expire(job.created_at)
    assert await jobs.get(tenant, job.id) == ended
    await jobs.expire(now())
    with pytest.raises(JobUnknown):
        await jobs.get(tenant, job.id)


async def test_a_job_whose_process_died_is_taken_up_by_one_other(catalogue: Catalogue, tenant: str) -> None:
    jobs = Jobs(catalogue, 0)
    job = await jobs.add(tenant, ORDER, [msgspec.Raw(b"{}")], "")
    first = await taken(jobs, job)
    assert first is not None
    async with catalogue.database.writing() as connection:
        await connection.execute(update(table).where(table.c.id == job.id).values(leased_until=1))
    came = [each for each in await asyncio.gather(*(jobs.take() for _ in range(4))) if each is not None and each.id == job.id]
    assert len(came) == 1
    assert not await jobs.renew(first)
    assert await jobs.renew(came[0])
    await jobs.release(first)  # no longer its to give
    assert await taken(jobs, job) is None
    await jobs.release(came[0])
    again = await taken(jobs, job)
    assert again is not None


async def test_a_lease_lasts_as_long_whatever_the_clocks_of_machines_say(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalogue, tenant = Catalogue(Database(address(postgres_url, tmp_path))), f"t-{new_id()}"
    await migrate(catalogue.database)
    await catalogue.open_account(tenant, QUOTA, QUOTA)
    jobs, hour = Jobs(catalogue, 0), 3_600_000_000
    job = await jobs.add(tenant, ORDER, [msgspec.Raw(b"{}")], "https://example.com/")
    first = await taken(jobs, job)
    assert first is not None
    with monkeypatch.context() as ahead:
        ahead.setattr(jobs_module, "now", lambda: now() + hour)
        assert await taken(jobs, job) is None
        assert await jobs.renew(first)
        await jobs.call(first, called=False, again_in=0)
        again = await taken(jobs, job)
        assert again is not None
        await jobs.release(again)
        later = await jobs.add(tenant, ORDER, [msgspec.Raw(b"{}")], "")
    for each in (job, later):
        assert await taken(jobs, each) is not None
    await close(catalogue.database)


async def test_a_job_of_which_rows_are_left_stays_due(catalogue: Catalogue, tenant: str) -> None:
    jobs = Jobs(catalogue, 0)
    job = await jobs.add(tenant, ORDER, [msgspec.Raw(b"{}")] * 2, "")
    lease = await taken(jobs, job)
    assert lease is not None
    await jobs.settle(lease, 0, Outcome(id="p" * 16))
    left = await jobs.drawn(lease)
    assert (left.status, left.due_at, left.lease) == ("working", job.due_at, lease.lease)
    await jobs.release(lease)
    again = await taken(jobs, job)
    assert again is not None
    await jobs.settle(again, 1, Outcome(id="q" * 16))
    assert (await jobs.drawn(again)).due_at is None


async def test_a_webhook_is_called_again_until_it_is_not(catalogue: Catalogue, tenant: str) -> None:
    jobs = Jobs(catalogue, 0)
    job = await jobs.add(tenant, ORDER, [msgspec.Raw(b"{}")], "https://example.com/")
    lease = await taken(jobs, job)
    assert lease is not None
    await jobs.settle(lease, 0, Outcome(id="p" * 16))
    lease = await jobs.drawn(lease)
    await jobs.call(lease, called=False, again_in=0)
    lease = await taken(jobs, job)
    assert lease is not None
    assert (lease.calls, lease.called) == (1, False)
    await jobs.call(lease, called=False, again_in=3600)
    assert await taken(jobs, job) is None
    assert (await jobs.get(tenant, job.id)).due_at is not None


async def test_so_many_pictures_may_wait(catalogue: Catalogue, tenant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs_module, "MOST_OPEN", 2)
    jobs = Jobs(catalogue, 0)
    rows = [msgspec.Raw(b"{}")] * 2
    first = await jobs.add(tenant, ORDER, rows, "")
    with pytest.raises(QueueFull):
        await jobs.add(tenant, ORDER, rows[:1], "")
    lease = await taken(jobs, first)
    assert lease is not None
    await jobs.settle(lease, 0, Outcome(id="p" * 16))
    await jobs.add(tenant, ORDER, rows[:1], "")


async def test_each_tenant_has_a_secret_until_it_wants_another(catalogue: Catalogue, tenant: str) -> None:
    jobs = Jobs(catalogue, 0)
    await catalogue.open_account(f"{tenant}-2", None, QUOTA)
    first = await jobs.secret(tenant)
    assert (await jobs.secret(tenant), len(first)) == (first, 64)
    assert await jobs.secret(f"{tenant}-2") != first
    second = await jobs.secret(tenant, anew=True)
    assert second != first
    assert await jobs.secret(tenant) == second
