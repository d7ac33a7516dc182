"""What templates may show when it is a tenant who says so: public pictures, the tenant's own, and what any URL has."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from imgproxy.errors import InvalidTarget, OptionForbidden, SourceNotFound
from imgproxy.library.source import LibrarySource
from imgproxy.templates.document import Template
from imgproxy.templates.references import Reference, references
from imgproxy.templates.shelf import Kept
from imgproxy.urls.native import LIBRARY


class Permits:
    """`sources` are those whose pictures every tenant may show. What a file of the server's says itself is the operator's
    word."""

    def __init__(self, library: LibrarySource, sources: Collection[str]) -> None:
        self._library = library
        self._sources = frozenset(sources)

    async def of_tenant(self, kept: Kept, values: Mapping[str, str]) -> None:
        """For a template that is no file: whoever's URL shows it, it shows what its author may. Raises as `check`."""
        if kept.tenant is not None:
            await self.check(kept.template, values, kept.tenant, everybodys=False)

    async def check(self, template: Template, values: Mapping[str, str], tenant: str, *, everybodys: bool) -> None:
        """`everybodys`: the template is a file. Raises OptionForbidden, InvalidOption and CatalogueUnavailable."""
        for reference in references(template, values):
            if not (everybodys and reference.fixed) and not reference.remote:
                await self._check(reference, tenant, everybodys=everybodys)

    async def _check(self, reference: Reference, tenant: str, *, everybodys: bool) -> None:
        source, _, locator = reference.text.partition("/")
        if source == LIBRARY:
            try:
                self._library.check(locator)
                picture = await self._library.find(locator)
            except (InvalidTarget, SourceNotFound):
                return  # whoever draws it says so, or shows what stands for it
            if picture.private and picture.tenant != tenant:
                raise OptionForbidden(reference.layer, f"{reference.layer}: there is no such picture to show")
        elif source not in self._sources and not (everybodys and reference.placed):
            raise OptionForbidden(reference.layer, f"{reference.layer}: a picture is a URL here, or a hosted one: {LIBRARY}/ID")
