"""Whose pictures a template may show, and by whose word."""

from __future__ import annotations

from contextlib import nullcontext

import pytest

from imgproxy.errors import OptionForbidden
from imgproxy.library.permits import Permits
from imgproxy.templates.document import Canvas, Template, Variable
from tests.contract.test_catalogue import host, picture
from tests.unit.library.test_source import Machine, machine

__all__ = ["machine"]


@pytest.mark.parametrize(
    ("said", "value", "by_tenant", "by_file"),
    [
        ("library/OWN", "", True, True),
        ("library/OPEN", "", True, True),
        ("library/THEIRS", "", False, True),  # a file's own word is the operator's
        ("library/{{ v }}", "OWN", True, True),
        ("library/{{ v }}", "OPEN", True, True),
        ("library/{{ v }}", "THEIRS", False, False),
        ("{{ v }}", "library/THEIRS", False, False),
        ("library/nobodys", "", True, True),  # who draws it says so
        ("{{ v }}", "library/0000000000000000", True, True),
        ("shop/a.jpg", "", True, True),
        ("{{ v }}", "shop/a.jpg", True, True),
        ("local/a.jpg", "", False, True),
        ("local/{{ v }}", "a.jpg", False, True),
        ("{{ v }}", "local/a.jpg", False, False),
        ("{{ v }}/a.jpg", "local", False, False),
        ("https://127.0.0.1/a.jpg", "", True, True),  # what that may be is for its source to say
        ("{{ v }}", "http://127.0.0.1/a.jpg", True, True),
        ("{{ v }}", "", True, True),
    ],
)
async def test_what_a_template_may_show(machine: Machine, said: str, value: str, by_tenant: bool, by_file: bool) -> None:
    await machine.catalogue.open_account("other", None, 1000)
    hosted = {
        "OWN": picture("shop", private=True),
        "THEIRS": picture("other", private=True),
        "OPEN": picture("other"),
    }
    for name, each in hosted.items():
        kept = await host(machine.catalogue, each)
        said, value = said.replace(name, kept.id), value.replace(name, kept.id)
    canvas = Canvas(width=8, height=8, picture=said)
    template = Template(canvas=canvas, layers=(), variables={"v": Variable()})
    permits = Permits(machine.source, ["shop"])
    for everybodys, may in ((False, by_tenant), (True, by_file)):
        with nullcontext() if may else pytest.raises(OptionForbidden):
            await permits.check(template, {"v": value}, "shop", everybodys=everybodys)
