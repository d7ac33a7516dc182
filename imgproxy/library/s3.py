"""The bytes of hosted pictures in an S3-compatible store, through obstore. The only room that knows it."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import cast

from imgproxy.cache.entry import Handle
from imgproxy.errors import CapacityError, OriginFailed, SettingsError, SourceNotFound
from imgproxy.settings import BucketSettings

try:
    import obstore
    from obstore.exceptions import BaseError
    from obstore.store import S3Store
except ModuleNotFoundError as error:
    raise SettingsError("library.bucket: needs the package imgproxy-server[s3]") from error

PART = 5 * 1024**2
"""Bytes of one part of an upload: what S3 takes at least, and what is in memory at a time."""


class S3Objects:
    """Objects below `prefix` of one bucket. Raises SettingsError."""

    def __init__(self, settings: BucketSettings) -> None:
        given = {
            "endpoint": settings.endpoint,
            "region": settings.region,
            "access_key_id": settings.access_key,
            "secret_access_key": settings.secret_key,
        }
        try:
            self._store = S3Store(
                settings.name,
                prefix=settings.prefix or None,
                virtual_hosted_style_request=False,
                client_options={"allow_http": settings.endpoint.startswith("http://"), "timeout": timedelta(seconds=30)},
                retry_config={"max_retries": 2, "retry_timeout": timedelta(seconds=10)},
                **{name: value for name, value in given.items() if value},  # type: ignore[arg-type]
            )
        except (BaseError, ValueError) as error:
            raise SettingsError(f"library.bucket: {error}") from error

    async def put(self, place: str, draft: Handle, length: int) -> None:
        with _translated(), os.fdopen(os.dup(draft.fd), "rb") as file:
            file.seek(0)
            await obstore.put_async(self._store, place, file, chunk_size=PART, max_concurrency=1)

    async def open(self, place: str) -> Handle | None:
        return None

    async def read(self, place: str) -> AsyncGenerator[bytes]:
        try:
            answer = await obstore.get_async(self._store, place)
            async for chunk in answer.stream(min_chunk_size=256 * 1024):
                yield bytes(cast("memoryview", chunk))
        except (FileNotFoundError, BaseError) as error:
            if _is_absence(error):
                raise SourceNotFound("the picture is gone") from error
            raise OriginFailed("the store of the hosted pictures did not give one") from error

    async def delete(self, place: str) -> None:
        with _translated(), suppress(FileNotFoundError):
            await obstore.delete_async(self._store, place)

    async def close(self) -> None: ...


def _is_absence(error: Exception) -> bool:
    return isinstance(error, FileNotFoundError) or type(error).__name__ == "NotFoundError"


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, BaseError) as error:  # the first one where there is no such bucket
        raise CapacityError("the store of the hosted pictures does not answer") from error
