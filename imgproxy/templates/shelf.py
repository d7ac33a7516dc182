"""Where templates are: files of a directory, read at the start and when told to, and those that a catalogue keeps."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Protocol

import msgspec

from imgproxy.errors import InvalidTarget, SettingsError, SourceNotFound, TemplateInvalid
from imgproxy.fonts import Fonts
from imgproxy.templates.checked import check_fonts, read
from imgproxy.templates.document import NAME, Template

_ID = re.compile(NAME)


@dataclass(frozen=True, slots=True)
class Kept:
    """`version` tells one state of the document from all others; `tenant` None: it is everybody's, a file."""

    id: str
    version: str
    template: Template
    tenant: str | None = None


class Stored(Protocol):
    """Templates that are not files."""

    async def find(self, id: str) -> Kept | None:
        """Raises CatalogueUnavailable."""


class Shelf:
    """One per web process. `stored` is put beside the files where there is a catalogue. `last` is a file of the server's
    processes, which has the documents that any of them last found right."""

    def __init__(self, directory: str, fonts: Fonts, last: Path | None = None) -> None:
        self._directory = directory
        self._fonts = fonts
        self._last = last
        self._files: dict[str, Kept] = {}
        self.stored: Stored | None = None

    def load(self) -> None:
        """Every file anew, or, where one of them is wrong, none. Raises SettingsError, which says which and what."""
        found, documents = {}, {}
        if self._directory and not Path(self._directory).is_dir():
            raise SettingsError(f'there is no directory "{self._directory}"')
        for path in sorted(Path(self._directory).glob("*.json")) if self._directory else ():
            id = path.stem
            if not _ID.fullmatch(id):
                raise SettingsError(f"{path}: a template's file is called by small letters, digits, - and _, and .json")
            try:
                documents[id] = path.read_bytes()
                found[id] = self.checked(id, documents[id])
            except (TemplateInvalid, OSError) as error:
                raise SettingsError(f"{path}: {error}") from None
        self._files = found
        self._keep(documents)

    def recall(self) -> bool:
        """The documents of `last` instead; whether there are any."""
        if self._last is None or not self._last.exists():
            return False
        documents = msgspec.msgpack.decode(self._last.read_bytes(), type=dict[str, bytes])
        self._files = {id: kept(id, document) for id, document in documents.items()}
        return True

    def _keep(self, documents: Mapping[str, bytes]) -> None:
        if self._last is not None:
            draft = self._last.with_name(f"{self._last.name}.{os.getpid()}")
            with suppress(OSError):  # there is no room: whoever recalls them gets older ones
                draft.write_bytes(msgspec.msgpack.encode(documents))
                draft.replace(self._last)

    @property
    def files(self) -> tuple[Kept, ...]:
        return tuple(self._files.values())

    def file(self, id: str) -> Kept | None:
        return self._files.get(id)

    def checked(self, id: str, document: bytes) -> Kept:
        """One that can be drawn here, fonts included. Raises TemplateInvalid."""
        found = kept(id, document)
        check_fonts(found.template, self._fonts)
        return found

    def check(self, id: str) -> None:
        """Raises InvalidTarget for what cannot be an id."""
        if not _ID.fullmatch(id):
            raise InvalidTarget("a template's id is of small letters, digits, - and _")

    async def find(self, id: str) -> Kept:
        """Raises SourceNotFound and CatalogueUnavailable."""
        found = self._files.get(id)
        if found is None and self.stored is not None:
            found = await self.stored.find(id)
        if found is None:
            raise SourceNotFound("there is no such template")
        return found


def kept(id: str, document: bytes, tenant: str | None = None) -> Kept:
    """Raises TemplateInvalid."""
    return Kept(id, blake2b(document, digest_size=16).hexdigest(), read(document), tenant)
