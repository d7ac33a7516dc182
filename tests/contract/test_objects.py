"""What every store of originals promises: a directory, and a real S3."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from imgproxy.cache.entry import Handle
from imgproxy.errors import CapacityError, OriginFailed, SourceNotFound, StorageFull
from imgproxy.library.objects import LocalObjects, Objects, draft_in
from imgproxy.library.s3 import S3Objects
from imgproxy.settings import BucketSettings
from tests import servers

PLACE = "0f3c/ab/abcdef-x1"
BODY = bytes(range(256)) * 50_000  # more than one part of an upload


@pytest.fixture(params=["directory", "s3"])
async def objects(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Objects]:
    made: Objects
    if request.param == "directory":
        (tmp_path / "originals").mkdir()
        made = LocalObjects(tmp_path / "originals")
    else:
        endpoint, bucket = request.getfixturevalue("s3_endpoint")
        made = S3Objects(
            BucketSettings(
                name=bucket,
                prefix=tmp_path.name,
                endpoint=endpoint,
                access_key=servers.ACCESS_KEY,
                secret_key=servers.SECRET_KEY,
            )
        )
    yield made
    await made.close()


def draft(directory: Path, body: bytes) -> Handle:
    handle = draft_in(directory)
    os.pwrite(handle.fd, body, 0)
    return handle


async def content(objects: Objects, place: str) -> bytes:
    handle = await objects.open(place)
    if handle is not None:
        return os.pread(handle.fd, len(BODY) + 1, 0)
    return b"".join([chunk async for chunk in objects.read(place)])


@pytest.mark.parametrize("body", [b"x", BODY], ids=["small", "large"])
async def test_what_was_put_is_there(objects: Objects, tmp_path: Path, body: bytes) -> None:
    await objects.put(PLACE, draft(tmp_path, body), len(body))
    assert await content(objects, PLACE) == body


async def test_what_was_deleted_is_gone_and_may_be_deleted_again(objects: Objects, tmp_path: Path) -> None:
    await objects.put(PLACE, draft(tmp_path, b"x"), 1)
    await objects.delete(PLACE)
    await objects.delete(PLACE)
    with pytest.raises(SourceNotFound):
        await content(objects, PLACE)


async def test_what_never_was_is_not_found(objects: Objects) -> None:
    with pytest.raises(SourceNotFound):
        await content(objects, "0f3c/00/nothing-x2")


def test_a_draft_that_is_dropped_leaves_nothing(tmp_path: Path) -> None:
    handle = draft(tmp_path, b"x")
    del handle
    assert list(tmp_path.iterdir()) == []


async def test_a_directory_that_takes_nothing_is_said_so() -> None:
    with pytest.raises(CapacityError) as refused:
        draft_in(Path("/proc"))
    assert not isinstance(refused.value, StorageFull)


async def test_a_store_that_does_not_answer_is_said_so(tmp_path: Path) -> None:
    gone = S3Objects(BucketSettings(name="b", endpoint="http://127.0.0.1:9", access_key="a", secret_key="b" * 8))
    with pytest.raises(CapacityError):
        await gone.delete(PLACE)
    failures = []
    for _ in range(2):
        with pytest.raises(OriginFailed) as failed:
            await content(gone, PLACE)
        failures.append(failed.value)
    assert failures[0] is not failures[1], "one error for all would gather the frames, and descriptors, of every reading"


@pytest.mark.parametrize("body", [b"x", BODY], ids=["small", "large"])
async def test_a_bucket_that_is_not_there_takes_nothing(tmp_path: Path, body: bytes) -> None:
    async def refuse(_request: web.Request) -> web.Response:
        return web.Response(status=404, text="<Error><Code>NoSuchBucket</Code></Error>", content_type="application/xml")

    app = web.Application(client_max_size=2 * len(BODY))
    app.router.add_route("*", "/{path:.*}", refuse)
    async with TestServer(app) as server:
        endpoint = str(server.make_url("")).rstrip("/")
        objects = S3Objects(BucketSettings(name="b", endpoint=endpoint, access_key="a", secret_key="b" * 8))
        with pytest.raises(CapacityError):
            await objects.put(PLACE, draft(tmp_path, body), len(body))
        await objects.delete(PLACE)
