"""Templates in the native dialect: variables beside options, in one spelling whatever the order and the prefix."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgproxy.errors import InvalidOption, InvalidTarget, RequestError
from imgproxy.request import ImageRequest
from imgproxy.spec import Transform
from imgproxy.templates.source import read_locator
from imgproxy.urls.native import OPTIONS, Native

NATIVE = Native(templates=True)
NAMES = st.from_regex("[a-z0-9][a-z0-9_-]{0,8}", fullmatch=True)


@pytest.mark.parametrize(
    ("query", "locator"),
    [
        ("", "card"),
        ("?w=100", "card"),
        ("?name=Alex", "card?name=Alex"),
        ("?v.name=Alex", "card?name=Alex"),
        ("?name=Alex+M%C3%BCller&w=5", "card?name=Alex%20M%C3%BCller"),
        ("?b=2&w=5&a=1", "card?a=1&b=2"),
        ("?v.w=5", "card?w=5"),
        ("?name=", "card?name="),
        ("?name=a%26b%3Dc%23", "card?name=a%26b%3Dc%23"),
    ],
)
def test_variables(query: str, locator: str) -> None:
    request = NATIVE.parse(f"/images/template/card{query}")
    assert (request.source, request.locator) == ("template", locator)
    assert request.transform is not None
    assert NATIVE.parse(NATIVE.build(request)) == request


@pytest.mark.parametrize(
    ("target", "error", "message"),
    [
        ("/images/template/card?name=a&name=b", InvalidOption, "name is given twice"),
        ("/images/template/card?name=a&v.name=b", InvalidOption, "name is given twice"),
        ("/images/template/card?v.=b", InvalidOption, "no option v."),
        ("/images/template/card?Name=b", InvalidOption, "no option Name"),
        ("/images/template/card?", InvalidTarget, "empty option"),
        ("/images/template/card?name=a&", InvalidTarget, "empty option"),
        ("/images/template/card?&name=a", InvalidTarget, "empty option"),
        ("/images/template/card?name=%f", InvalidTarget, "%"),
        ("/images/template/card%3Fname=b", InvalidTarget, "stand in the query"),
        ("/images/template/card?" + "&".join(f"v{n}=1" for n in range(70)), RequestError, "more than 64 variables"),
    ],
)
def test_refused(target: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        NATIVE.parse(target)


def test_other_sources_have_no_variables() -> None:
    with pytest.raises(InvalidOption, match="no option name"):
        NATIVE.parse("/images/shop/card?name=a")
    with pytest.raises(InvalidOption, match="no option name"):
        Native().parse("/images/template/card?name=a")


@given(st.dictionaries(NAMES, st.text(max_size=20).filter(lambda text: "\0" not in text and text.isprintable()), max_size=5))
def test_whatever_a_value_is_it_arrives(values: dict[str, str]) -> None:
    request = NATIVE.parse(
        NATIVE.build(ImageRequest(source="template", locator=_locator(values), transform=Transform(width=9)))
    )
    assert read_locator(request.locator) == ("card", values)


def _locator(values: dict[str, str]) -> str:
    from urllib.parse import quote

    return (
        "card" + ("?" if values else "") + "&".join(f"{name}={quote(value, safe='')}" for name, value in sorted(values.items()))
    )


def test_no_option_is_called_as_a_prefix_is() -> None:
    assert not any(option.name.startswith("v.") for option in OPTIONS)
