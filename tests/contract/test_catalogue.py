"""What the catalogue promises, over SQLite and over a real PostgreSQL."""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import NoReturn

import msgspec
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, event, text

from imgproxy.errors import (
    CapacityError,
    CatalogueUnavailable,
    DownloadUnknown,
    InvalidOption,
    InvalidTarget,
    KeyInvalid,
    PictureUnknown,
    QuotaExceeded,
    SettingsError,
    StorageFull,
)
from imgproxy.library import database as database_module
from imgproxy.library import migrations
from imgproxy.library.catalogue import Account, Catalogue, Hosted, new_id, now
from imgproxy.library.database import Database, address
from imgproxy.library.downloads import Downloads
from imgproxy.library.keys import Callers
from imgproxy.library.migrations import migrate
from imgproxy.library.objects import LocalObjects, draft_in
from imgproxy.library.search import Search
from imgproxy.library.tables import METADATA, strays

QUOTA = 1000


async def close(database: Database) -> None:
    """aiosqlite has a thread a connection, whose last word is for this loop: it has to come before the loop is closed."""
    await database.close()
    for thread in threading.enumerate():
        if "_connection_worker_thread" in thread.name:
            await asyncio.to_thread(thread.join)


@pytest.fixture(params=["sqlite", "postgresql"])
async def catalogue(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Catalogue]:
    url = "" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    database = Database(address(url, tmp_path))
    await migrate(database)
    await migrate(database)
    yield Catalogue(database)
    await close(database)


@pytest.fixture
async def tenant(catalogue: Catalogue) -> str:
    """One that no other test has."""
    name = f"t-{secrets.token_hex(6)}"
    assert await catalogue.open_account(name, QUOTA, 5) == Account(name, QUOTA, 0, 0)
    return name


def picture(tenant: str, digest: str = "", size: int = 10, **changes: object) -> Hosted:
    id = new_id()
    made = Hosted(
        id=id,
        tenant=tenant,
        digest=digest or secrets.token_hex(32),
        place=f"{tenant}/{id}",
        format="jpeg",
        width=40,
        height=30,
        frames=1,
        bytes=size,
        blurhash="L",
        private=False,
        created_at=now(),
    )
    return msgspec.structs.replace(made, **changes)


async def host(catalogue: Catalogue, picture: Hosted) -> Hosted:
    """As an upload does, whose bytes were put where they belong."""
    await catalogue.expect(picture.place)
    return await catalogue.add(picture)


async def test_the_migrations_make_the_tables(catalogue: Catalogue) -> None:
    def differences(connection: Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection), METADATA))

    async with catalogue.database.reading() as connection:
        assert await connection.run_sync(differences) == []


async def test_what_was_added_is_found_by_its_tenant_alone(catalogue: Catalogue, tenant: str) -> None:
    added = await host(catalogue, picture(tenant, tags=("a", "b")))
    assert await catalogue.get(tenant, added.id) == added
    assert await catalogue.find(added.id) == msgspec.structs.replace(added, tags=())
    for work in (
        catalogue.get("another", added.id),
        catalogue.delete("another", [added.id]),
        catalogue.change("another", added.id, private=True),
        catalogue.add_tags("another", [added.id], ["x"]),
        catalogue.remove_tags("another", [added.id], None),
    ):
        with pytest.raises(PictureUnknown):
            await work
    assert await catalogue.search("another", Search()) == []
    assert await catalogue.get(tenant, added.id) == added


async def test_equal_bytes_are_kept_and_counted_once(catalogue: Catalogue, tenant: str) -> None:
    first = await host(catalogue, picture(tenant, "d" * 64))
    assert await catalogue.has_object(tenant, "d" * 64)
    second = await catalogue.reuse(picture(tenant, "d" * 64))
    third = await host(catalogue, picture(tenant, "d" * 64))
    assert second is not None
    assert {first.place, second.place, third.place} == {first.place}
    assert await catalogue.account(tenant) == Account(tenant, QUOTA, 10, 3)
    assert (await catalogue.delete(tenant, [first.id, third.id])).places == ()
    assert (await catalogue.delete(tenant, [second.id])).places == (first.place,)
    assert await catalogue.account(tenant) == Account(tenant, QUOTA, 0, 0)
    assert await catalogue.reuse(picture(tenant, "d" * 64)) is None


async def test_tenants_do_not_share_bytes(catalogue: Catalogue, tenant: str) -> None:
    other = f"{tenant}-2"
    await catalogue.open_account(other, None, QUOTA)
    mine, theirs = await host(catalogue, picture(tenant, "e" * 64)), await host(catalogue, picture(other, "e" * 64))
    assert mine.place != theirs.place
    assert (await catalogue.delete(tenant, [mine.id])).places == (mine.place,)


async def test_a_full_account_takes_no_more_and_nothing_of_it_stays(catalogue: Catalogue, tenant: str) -> None:
    await host(catalogue, picture(tenant, size=QUOTA))
    refused = picture(tenant, size=1, tags=("x",))
    with pytest.raises(QuotaExceeded):
        await host(catalogue, refused)
    assert await catalogue.find(refused.id) is None
    assert not await catalogue.has_object(tenant, refused.digest)
    assert await catalogue.account(tenant) == Account(tenant, QUOTA, QUOTA, 1)


async def test_many_at_once_are_counted_exactly(catalogue: Catalogue, tenant: str) -> None:
    async def life(number: int) -> None:
        made = await host(catalogue, picture(tenant, "f" * 64 if number % 2 else "", size=7))
        if number % 3 == 0:
            await catalogue.delete(tenant, [made.id])

    for _ in range(3):
        await asyncio.gather(*(life(number) for number in range(8)))
    left = await catalogue.search(tenant, Search(limit=100))
    used = 7 * len({each.digest for each in left})
    assert await catalogue.account(tenant) == Account(tenant, QUOTA, used, len(left))


async def test_places_are_written_down_until_somebody_has_them(catalogue: Catalogue, tenant: str) -> None:
    kept, lost = picture(tenant), picture(tenant)
    for each in (kept, lost):
        await catalogue.expect(each.place)
    await catalogue.add(kept)
    assert lost.place not in await catalogue.claim(now() - 3_600_000_000)
    claimed = await catalogue.claim(now() + 1)
    assert (kept.place in claimed, lost.place in claimed) == (False, True)
    await catalogue.delete(tenant, [kept.id])
    assert kept.place in await catalogue.claim(now() + 1)
    for each in (kept, lost):
        await catalogue.settle(each.place)
        assert each.place not in await catalogue.claim(now() + 1)


async def test_nobody_comes_back_to_a_place_that_was_claimed(catalogue: Catalogue, tenant: str) -> None:
    """A machine that was suspended for hours in the middle of an upload goes on after the sweep."""
    held_up = picture(tenant)
    await catalogue.expect(held_up.place)
    assert held_up.place in await catalogue.claim(now() + 1)
    with pytest.raises(CapacityError, match="send it again"):
        await catalogue.add(held_up)
    await catalogue.postpone(held_up.place)
    with pytest.raises(CapacityError, match="send it again"):
        await catalogue.add(held_up)
    await catalogue.settle(held_up.place)
    with pytest.raises(CapacityError, match="send it again"):
        await catalogue.add(held_up)
    assert await catalogue.account(tenant) == Account(tenant, QUOTA, 0, 0)
    assert await catalogue.find(held_up.id) is None


async def test_a_full_disk_keeps_no_sweep_from_making_room(
    catalogue: Catalogue, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = picture(tenant)
    await catalogue.expect(lost.place)

    def writing() -> NoReturn:
        raise StorageFull("there is no room for a row")

    with monkeypatch.context() as patch:
        patch.setattr(catalogue.database, "writing", writing)
        assert lost.place in await catalogue.claim(now() + 1)
    await catalogue.settle(lost.place)


async def test_a_deletion_of_many_is_all_or_nothing(catalogue: Catalogue, tenant: str) -> None:
    one = await host(catalogue, picture(tenant))
    with pytest.raises(PictureUnknown, match="0000000000000000"):
        await catalogue.delete(tenant, [one.id, "0" * 16])
    assert await catalogue.get(tenant, one.id) == one


async def test_who_deletes_the_same_at_once_does_not_wait_for_each_other(catalogue: Catalogue, tenant: str) -> None:
    ids = [(await host(catalogue, picture(tenant))).id for _ in range(20)]
    orders = [ids[start:] + ids[:start] if start % 2 else ids[::-1] for start in range(8)]
    found = await asyncio.gather(*(catalogue.delete(tenant, order) for order in orders), return_exceptions=True)
    assert sorted(type(each).__name__ for each in found) == ["Deleted"] + ["PictureUnknown"] * 7
    assert await catalogue.account(tenant) == Account(tenant, QUOTA, 0, 0)


async def test_deletion_by_tag(catalogue: Catalogue, tenant: str) -> None:
    tagged = [await host(catalogue, picture(tenant, tags=("old",))) for _ in range(3)]
    other = await host(catalogue, picture(tenant, tags=("new",)))
    assert set((await catalogue.delete_tagged(tenant, "old")).ids) == {each.id for each in tagged}
    assert (await catalogue.delete_tagged(tenant, "old")).ids == ()
    assert await catalogue.search(tenant, Search()) == [other]


async def test_deletions_take_as_many_statements_however_many_pictures(catalogue: Catalogue, tenant: str) -> None:
    """Some have bytes of their own, some the same as others, some the same as one that stays."""
    shared, staying = secrets.token_hex(32), secrets.token_hex(32)
    stays = await host(catalogue, picture(tenant, staying))
    for tag, count in (("few", 2), ("many", 20)):
        for digest in (*[""] * count, shared, shared, staying):
            made = picture(tenant, digest, tags=(tag,))
            _ = await catalogue.reuse(made) or await host(catalogue, made)
    statements: list[str] = []
    event.listen(catalogue.database.engine.sync_engine, "before_cursor_execute", lambda *seen: statements.append(seen[2]))
    taken = []
    for tag, count in (("few", 2), ("many", 20)):
        statements.clear()
        deleted = await catalogue.delete_tagged(tenant, tag)
        taken.append(len(statements))
        assert (len(deleted.ids), len(deleted.places)) == (count + 3, count + (tag == "many"))
        assert set(deleted.places) <= set(await catalogue.claim(now() + 1))
    assert taken[1] == taken[0]
    assert await catalogue.search(tenant, Search()) == [stays]
    assert await catalogue.account(tenant) == Account(tenant, QUOTA, stays.bytes, 1)


async def test_tags(catalogue: Catalogue, tenant: str) -> None:
    one = await host(catalogue, picture(tenant, tags=("b", "a")))
    assert (await catalogue.get(tenant, one.id)).tags == ("a", "b")
    assert (await catalogue.add_tags(tenant, [one.id], ["c", "a"]))[0].tags == ("a", "b", "c")
    assert (await catalogue.remove_tags(tenant, [one.id], ["b", "zzz"]))[0].tags == ("a", "c")
    assert (await catalogue.change(tenant, one.id, tags=["x"])).tags == ("x",)
    assert (await catalogue.remove_tags(tenant, [one.id], None))[0].tags == ()
    assert (await catalogue.change(tenant, one.id, private=True)).private
    with pytest.raises(InvalidOption, match="21 tags; at most 20"):
        await catalogue.add_tags(tenant, [one.id], [str(number) for number in range(21)])
    assert (await catalogue.get(tenant, one.id)).tags == ()


async def test_search(catalogue: Catalogue, tenant: str) -> None:
    old = await host(catalogue, picture(tenant, created_at=1_000_000, width=10, tags=("a",), format="png"))
    mid = await host(catalogue, picture(tenant, created_at=2_000_000, size=99, tags=("a", "b")))
    new = await host(catalogue, picture(tenant, created_at=2_000_000, height=500, private=True))
    newest = sorted((mid, new), key=lambda each: each.id, reverse=True)
    ids = {old.id: "old", mid.id: "mid", new.id: "new"}

    async def found(**asked: object) -> list[str]:
        return [ids[each.id] for each in await catalogue.search(tenant, Search(**asked))]  # type: ignore[arg-type]

    assert await found() == [*(ids[each.id] for each in newest), "old"]
    for asked, wanted in (
        ({"tags": ("a",)}, ["mid", "old"]),
        ({"tags": ("a", "b")}, ["mid"]),
        ({"tags": ("a", "nothing")}, []),
        ({"format": "png"}, ["old"]),
        ({"max_width": 10}, ["old"]),
        ({"min_height": 31}, ["new"]),
        ({"min_bytes": 99, "max_bytes": 99}, ["mid"]),
        ({"until": 1_999_999}, ["old"]),
        ({"since": 2_000_000, "private": True}, ["new"]),
        ({"tags": ("a",), "after": (2_000_000, mid.id)}, ["old"]),
        ({"tags": ("a",), "limit": 1}, ["mid"]),
    ):
        assert await found(**asked) == wanted, asked
    pages, after = [], None
    while page := await catalogue.search(tenant, Search(limit=1, after=after)):
        pages += page
        after = page[-1].created_at, page[-1].id
    assert [each.id for each in pages] == [each.id for each in (*newest, old)]


async def test_pictures_of_the_rarest_tag_are_looked_through_for_the_others(catalogue: Catalogue, tenant: str) -> None:
    for tags in (("often",), ("often",), ("often", "seldom")):
        await host(catalogue, picture(tenant, digest=secrets.token_hex(8), tags=tags))
    asked: list[list[str]] = []

    def told(_connection: object, _cursor: object, _statement: str, values: Sequence[object], *_: object) -> None:
        asked.append([value for value in values if value in ("often", "seldom", "never")])  # type: ignore[misc]

    engine = catalogue.database.engine.sync_engine
    event.listen(engine, "before_cursor_execute", told)
    for tags, order, count in (
        (("often", "seldom"), ["seldom", "often"], 1),
        (("seldom", "often"), ["seldom", "often"], 1),
        (("often", "seldom", "never"), ["never", "seldom", "often"], 0),
    ):
        assert len(await catalogue.search(tenant, Search(tags=tags))) == count
        assert asked[-1] == order
    event.remove(engine, "before_cursor_execute", told)


async def test_a_download_counts_until_it_ends(catalogue: Catalogue, tenant: str, tmp_path: Path) -> None:
    (tmp_path / "originals").mkdir()
    downloads = Downloads(catalogue, LocalObjects(tmp_path / "originals"), 60)
    content = draft_in(tmp_path)
    os.pwrite(content.fd, b"0123456789", 0)
    made = await downloads.keep(tenant, "png", content, 10)
    assert await downloads.find(tenant, made.name) == made
    handle, _ = await downloads.open(made)
    assert handle is not None
    assert os.pread(handle.fd, 99, 0) == b"0123456789"
    assert await catalogue.account(tenant) == Account(tenant, QUOTA, 10, 0)
    with pytest.raises(DownloadUnknown):
        await downloads.find("another", made.name)
    with pytest.raises(InvalidTarget):
        await downloads.find(tenant, "../a.png")
    await downloads.expire(now())
    assert await downloads.find(tenant, made.name) == made
    await downloads.expire(made.expires_at + 1)
    with pytest.raises(DownloadUnknown):
        await downloads.find(tenant, made.name)
    assert await catalogue.account(tenant) == Account(tenant, QUOTA, 0, 0)
    assert made.place in await catalogue.claim(made.expires_at + 2)
    with pytest.raises(QuotaExceeded):
        await downloads.keep(tenant, "png", content, QUOTA + 1)
    assert len([path for path in (tmp_path / "originals").rglob("*") if path.is_file()]) == 1
    over = await Downloads(catalogue, LocalObjects(tmp_path / "originals"), 0).keep(tenant, "png", content, 10)
    with pytest.raises(DownloadUnknown):
        await downloads.find(tenant, over.name)  # before it is swept away


async def test_an_account_keeps_its_quota_unless_it_is_given_another(catalogue: Catalogue, tenant: str) -> None:
    assert (await catalogue.open_account(tenant, None, 5)).max_bytes == QUOTA
    assert (await catalogue.open_account(tenant, 7, 5)).max_bytes == 7
    assert (await catalogue.account("nobody")) == Account("nobody", 0, 0, 0)


async def test_a_key_is_kept_as_a_hash_and_good_until_it_is_revoked(catalogue: Catalogue, tenant: str) -> None:
    key = await Callers(catalogue, [], 5).create(tenant, ["read", "write"], None)
    caller = await Callers(catalogue, [], 5).identify(key)
    assert (caller.tenant, caller.scopes) == (tenant, {"read", "write"})
    rows = [row for row in await Callers(catalogue, [], 5).listed() if row.tenant == tenant]
    assert [row.id for row in rows] == [caller.id]
    assert key.split("_", 2)[2] not in repr(rows)
    for wrong in ("", "nonsense", key[:-1], f"{key[:-1]}{'a' if key[-1] != 'a' else 'b'}", key.replace(caller.id, "0" * 12)):
        with pytest.raises(KeyInvalid):
            await Callers(catalogue, [], 5).identify(wrong)
    assert await Callers(catalogue, [], 5).revoke(caller.id)
    assert not await Callers(catalogue, [], 5).revoke(caller.id)
    with pytest.raises(KeyInvalid):
        await Callers(catalogue, [], 5).identify(key)


async def test_a_file_that_is_no_catalogue_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "catalogue.db").write_bytes(b"garbage " * 1000)
    database = Database(address("", tmp_path))
    with pytest.raises(CatalogueUnavailable):
        await Catalogue(database).find("a" * 16)
    await close(database)


async def test_a_disk_that_takes_no_more_rows_is_said_so(tmp_path: Path) -> None:
    database = Database(address("", tmp_path))
    await migrate(database)

    async def fill() -> None:
        async with database.writing() as connection:
            await connection.exec_driver_sql("PRAGMA max_page_count=1")
            rows = [{"place": secrets.token_hex(80), "since": 1} for _ in range(2000)]
            await connection.execute(strays.insert(), rows)

    with pytest.raises(StorageFull):
        await fill()
    assert await Catalogue(database).claim(2) == []
    await close(database)


async def test_statements_without_end_leave_the_catalogue_to_others(
    catalogue: Catalogue, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    endless = text("WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n")

    async def count() -> None:
        async with catalogue.database.reading() as connection:
            await connection.execute(endless)

    with monkeypatch.context() as patch:
        patch.setattr(database_module, "SECONDS", 0.2)
        told = await asyncio.gather(*(count() for _ in range(12)), return_exceptions=True)  # more than there are connections
    assert {type(one) for one in told} == {CatalogueUnavailable}
    await host(catalogue, picture(tenant))
    assert (await catalogue.account(tenant)).pictures == 1


async def test_a_catalogue_of_a_newer_version_is_said_to_be(tmp_path: Path) -> None:
    """As when a release is taken back."""
    database = Database(address("", tmp_path))
    await migrate(database)
    async with database.writing() as connection:
        await connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(SettingsError, match=r"is of a newer version of this server: .*'9999'"):
        await migrate(database)
    await close(database)


async def test_servers_that_start_at_once_wait_for_each_other(postgres_url: str, tmp_path: Path) -> None:
    """For longer than any other statement may take."""
    first, second = (Database(address(postgres_url, tmp_path)) for _ in range(2))
    await migrate(first)
    async with first.engine.begin() as connection:
        await connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({migrations._LOCK})")
        waiting = asyncio.ensure_future(migrate(second))
        done, _ = await asyncio.wait([waiting], timeout=1.5 * database_module.SECONDS)
        assert not done
    await waiting
    for each in (first, second):
        await close(each)


async def test_a_postgresql_may_be_named_as_its_own_tools_do(postgres_url: str, tmp_path: Path) -> None:
    for parameters, refused in (("sslmode=disable", ""), ("sslmode=require", "SSL"), ("ssl=require", "SSL")):
        database = Database(address(f"{postgres_url}?{parameters}", tmp_path))
        with pytest.raises(SettingsError, match=refused) if refused else nullcontext():
            await migrate(database)
        await close(database)


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ("application_name=x", 'takes no parameter "application_name"; there are sslmode, ssl, '),
        ("sslmode=disable&statement_cache_size=0", 'takes no parameter "statement_cache_size"'),
        ("port=x", "a parameter is wrong: Received non-integer port"),
        ("prepared_statement_cache_size=x", "a parameter is wrong: invalid literal"),
    ],
)
def test_a_parameter_that_there_is_none_of_is_named(tmp_path: Path, parameters: str, said: str) -> None:
    with pytest.raises(SettingsError, match=f"library.database: {re.escape(said)}") as refused:
        Database(address(f"postgresql://a:canary@127.0.0.1:9/c?{parameters}", tmp_path))
    assert "canary" not in str(refused.value)


@pytest.mark.parametrize("url", ["postgresql://a:b@127.0.0.1:9/c", ""])
async def test_a_database_that_is_gone_is_said_so_in_time(url: str, tmp_path: Path) -> None:
    database = Database(address(url, tmp_path / "nowhere"))
    with pytest.raises(CatalogueUnavailable):
        await Catalogue(database).find("a" * 16)
    with pytest.raises(SettingsError, match="the catalogue cannot be opened"):
        await migrate(database)
    await close(database)
