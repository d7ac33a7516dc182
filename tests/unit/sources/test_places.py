from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from yarl import URL

from imgproxy.errors import InvalidTarget, OriginFailed, SourceForbidden
from imgproxy.sources.places import Places, parse_pattern, parse_url, same_host

ALLOW = ["example.com", "*.example.org", "cdn.example.net:8443", "bücher.example", "[2606:4700::1111]", "93.184.216.34"]
ANYWHERE = Places("", ALLOW)
BASE = Places("https://img.example.com/photos/", ["*.example.org"])


@pytest.mark.parametrize(
    ("locator", "url"),
    [
        ("https://example.com/a.jpg", "https://example.com/a.jpg"),
        ("http://example.com/a//b.jpg", "http://example.com/a//b.jpg"),
        ("HTTPS://EXAMPLE.com/A.jpg", "https://example.com/A.jpg"),
        ("https://example.com:/a:b@c", "https://example.com/a:b@c"),
        ("https://example.com./a", "https://example.com./a"),
        ("http://example.com:443/a", "http://example.com:443/a"),
        ("https://example.com:80/a", "https://example.com:80/a"),
        ("https://a.example.org/", "https://a.example.org/"),
        ("https://a.b.example.org/", "https://a.b.example.org/"),
        ("https://cdn.example.net:8443/x", "https://cdn.example.net:8443/x"),
        ("https://bücher.example/x", "https://xn--bcher-kva.example/x"),
        ("https://xn--bcher-kva.example/x", "https://xn--bcher-kva.example/x"),
        ("https://ＥＸＡＭＰＬＥ.com/x", "https://example.com/x"),
        ("https://[2606:4700:0::1111]/x", "https://[2606:4700::1111]/x"),
        ("http://93.184.216.34/x", "http://93.184.216.34/x"),
        ("https://example.com/a b.jpg", "https://example.com/a%20b.jpg"),
        ("https://example.com/a%20b%2Fc.jpg", "https://example.com/a%20b%2Fc.jpg"),
        ("https://example.com/100%.jpg", "https://example.com/100%25.jpg"),
        ("https://example.com/é.jpg?x=ü&y=a%26b", "https://example.com/%C3%A9.jpg?x=%C3%BC&y=a%26b"),
        ("https://example.com/@user/a.jpg", "https://example.com/@user/a.jpg"),
        ("https://example.com?@evil.com/", "https://example.com/?@evil.com/"),
        ("https://example.com/https://evil.com/x", "https://example.com/https://evil.com/x"),
        ("https://example.com/https:/evil.com/x", "https://example.com/https:/evil.com/x"),
    ],
)
def test_a_url_is_fetched_as_it_was_understood(locator: str, url: str) -> None:
    assert str(ANYWHERE.locate(locator)) == url


@pytest.mark.parametrize(
    "locator",
    [
        "https://evilexample.com/",
        "https://example.com.evil.com/",
        "https://evilexample.org/",
        "https://example.org/",
        "https://sub.example.com/",
        "https://example.org.evil.com/",
        "https://evil.com/example.com",
        "https://evil.com?example.com/",
        "https://evil.com/?https://example.com/",
        "https://example.com:8080/",
        "https://example.com:22/",
        "https://cdn.example.net/",
        "https://cdn.example.net:443/",
        "https://exаmple.com/",  # Cyrillic а
        "https://example.com。evil.com/",
        "https://127.0.0.1/",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://[::1]/",
        "https://[::ffff:93.184.216.34]/",
        "https://localhost/",
        "https://com/",
        "https://a.example.org:8443/",
    ],
)
def test_a_host_that_is_not_allowed_is_forbidden(locator: str) -> None:
    with pytest.raises(SourceForbidden):
        ANYWHERE.locate(locator)


@pytest.mark.parametrize(
    "locator",
    [
        "",
        "a.jpg",
        "//example.com/",
        "///example.com/",
        "https:example.com/",
        "https:///example.com/",
        "https:////example.com/",
        "https://",
        "https:/",
        "https:/example.com/",
        "ftp://example.com/",
        "file:///etc/passwd",
        "gopher://example.com/",
        "data:image/png;base64,AA==",
        "javascript:alert(1)",
        " https://example.com/",
        "https ://example.com/",
        "https://user@example.com/",
        "https://user:password@example.com/",
        "https://@example.com/",
        "https://evil.com@example.com/",
        "https://example.com@evil.com/",
        "https://example.com\\@evil.com/",
        "https://evil.com\\.example.com/",
        "https://example.com\\evil",
        "https:\\\\example.com/",
        "https:/\\example.com/",
        "https://evil.com#@example.com/",
        "https://example.com#@evil.com/",
        "https://example.com/#fragment",
        "https://example.com\x00.evil.com/",
        "https://example.com%00.evil.com/",
        "https://example.com%2eevil.com/",
        "https://example%2ecom/",
        "https://evil.com%23.example.org/",
        "https://evil.com%2f.example.org/",
        "https://exa\tmple.com/",
        "https://exa\nmple.com/",
        "https://example.com/a\r\nX: y",
        "https://example.com/\x7f",
        "https://exa mple.com/",
        "https://example.com /",
        "https://exa\u200bmple.com/",
        "https://example.com\udc80/",
        "https://example.com/\udc80",
        "https://example..com/",
        "https://.example.com/",
        "https://example.com../",
        f"https://{'a' * 64}.example.org/",
        f"https://{'a.' * 130}example.org/",
        "https://example.com:0/",
        "https://example.com:65536/",
        "https://example.com:-1/",
        "https://example.com:80:80/",
        "https://example.com:8o/",
        "https://[::1%25lo]/",
        "https://[::1]evil.com/",
        "https://[v1.example.com]/",
        "https://[example.com]/",
        "https://::1/",
        "https://exa,mple.com/",
        "https://exa;mple.com/",
        "https://exa|mple.com/",
        "https://exa<mple.com/",
    ],
)
def test_a_url_that_parsers_disagree_about_is_refused(locator: str) -> None:
    with pytest.raises((InvalidTarget, SourceForbidden)):
        ANYWHERE.locate(locator)


@given(
    st.text(st.sampled_from("htps:/.@#?%\\[]0123456789 \t\x00examplcorgvi-_*。ａ\u200b\udc80"), max_size=40).map(
        lambda tail: f"https://{tail}"
    )
    | st.builds(
        "https://{}{}{}{}".format,
        st.sampled_from(["example.com", "a.example.org", "evil.com", "EXAMPLE.COM", ""]),
        st.sampled_from(["", ".", "@", "#", "\\", "%00", ":80", ":81", "?", "/", "。"]),
        st.sampled_from(["", "example.com", "evil.com", ".example.org", "@evil.com"]),
        st.sampled_from(["", "/", "/a", "?b"]),
    )
)
@example("https://example.com。evil.com/")
def test_whatever_is_allowed_is_dialled_at_an_allowed_host(locator: str) -> None:
    try:
        url = ANYWHERE.locate(locator)
    except (InvalidTarget, SourceForbidden):
        return
    host = url.raw_host
    assert host is not None
    host = host.removesuffix(".")
    assert host in {"example.com", "cdn.example.net", "xn--bcher-kva.example"} or host.endswith(".example.org")
    assert url.user is None
    assert url.scheme in ("http", "https")
    assert URL(str(url), encoded=True).raw_host == url.raw_host


@pytest.mark.parametrize(
    ("locator", "url"),
    [
        ("a.jpg", "https://img.example.com/photos/a.jpg"),
        ("a/b c.jpg", "https://img.example.com/photos/a/b%20c.jpg"),
        ("a.jpg?v=1&w=a%26b", "https://img.example.com/photos/a.jpg?v=1&w=a%26b"),
        ("a.jpg?back=../..", "https://img.example.com/photos/a.jpg?back=../.."),
        ("o/dir%2Fa.jpg", "https://img.example.com/photos/o/dir%2Fa.jpg"),
        ("50%25off.jpg", "https://img.example.com/photos/50%25off.jpg"),
        ("100%.jpg", "https://img.example.com/photos/100%25.jpg"),
        ("a%23b.jpg", "https://img.example.com/photos/a%23b.jpg"),
        ("é.jpg", "https://img.example.com/photos/%C3%A9.jpg"),
        ("/a.jpg", "https://img.example.com/photos//a.jpg"),
        ("//evil.com/a.jpg", "https://img.example.com/photos///evil.com/a.jpg"),
        ("https://evil.com/a.jpg", "https://img.example.com/photos/https://evil.com/a.jpg"),
        ("@evil.com", "https://img.example.com/photos/@evil.com"),
        (":80@evil.com/", "https://img.example.com/photos/:80@evil.com/"),
        ("...", "https://img.example.com/photos/..."),
        ("a/..b/c..", "https://img.example.com/photos/a/..b/c.."),
    ],
)
def test_a_locator_is_joined_below_the_base(locator: str, url: str) -> None:
    assert BASE.locate(locator) == URL(url, encoded=True)


@pytest.mark.parametrize(
    "locator",
    [
        "",
        "..",
        ".",
        "../secret",
        "a/../../secret",
        "a/./b",
        "%2e%2e/secret",
        "%2E%2e%2fsecret",
        "a%2f..%2f..%2fsecret",
        "%252e%252e/secret",
        "%25252e%25252e/secret",
        "%2525252525252e/secret",
        "..\\secret",
        "..%5csecret",
        "..%255csecret",
        "a\x00",
        "a%00",
        "a%2500",
        "a\nb",
        "a%0d%0aX:y",
        "a#b",
        "a\udc80",
        "a.jpg?x\r\ny",
        "a.jpg?x#y",
    ],
)
def test_a_locator_that_leads_out_of_the_base_is_refused(locator: str) -> None:
    with pytest.raises(InvalidTarget):
        BASE.locate(locator)


@given(st.text(st.sampled_from("./%25eE2fFcC\\a?:@"), min_size=1, max_size=24))
def test_every_locator_stays_below_the_base_or_is_refused(locator: str) -> None:
    try:
        url = BASE.locate(locator)
    except InvalidTarget:
        return
    assert url.origin() == URL("https://img.example.com")
    assert url.raw_path.startswith("/photos/")
    assert not {".", ".."} & set(url.path.split("/"))


@pytest.mark.parametrize(
    ("location", "url"),
    [
        ("/b.jpg", "https://example.com/b.jpg"),
        ("b.jpg", "https://example.com/dir/b.jpg"),
        ("../b.jpg", "https://example.com/b.jpg"),
        ("?q=1", "https://example.com/dir/a.jpg?q=1"),
        ("//a.example.org/b", "https://a.example.org/b"),
        ("https://a.example.org/b c?d=e%26f", "https://a.example.org/b%20c?d=e%26f"),
        ("https://a.example.org/b#fragment", "https://a.example.org/b"),
        (" /b.jpg ", "https://example.com/b.jpg"),
    ],
)
def test_a_redirect_is_followed_where_it_leads(location: str, url: str) -> None:
    assert ANYWHERE.follow(URL("https://example.com/dir/a.jpg"), location, allow_downgrade=False) == URL(url, encoded=True)


@pytest.mark.parametrize(
    ("location", "error"),
    [
        ("http://example.com/", SourceForbidden),
        ("https://evil.com/", SourceForbidden),
        ("//evil.com/", SourceForbidden),
        ("https://example.com:8080/", SourceForbidden),
        ("file:///etc/passwd", SourceForbidden),
        ("ftp://example.com/", SourceForbidden),
        ("gopher://example.com/", SourceForbidden),
        ("javascript:alert(1)", SourceForbidden),
        ("data:,x", SourceForbidden),
        ("https:example.com", SourceForbidden),
        ("///evil.com/", OriginFailed),
        ("https://a@example.com/", OriginFailed),
        ("//a@example.com/", OriginFailed),
        ("https://example.com\\@evil.com/", OriginFailed),
        ("/\\evil.com/", OriginFailed),
        ("\\\\evil.com/", OriginFailed),
        ("/\t/evil.com/", OriginFailed),
        ("/a\udce9", OriginFailed),
        ("https://example.com:99999/", OriginFailed),
        ("https://[::1/", OriginFailed),
    ],
)
def test_a_redirect_out_of_bounds_is_refused(location: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        ANYWHERE.follow(URL("https://example.com/dir/a.jpg"), location, allow_downgrade=False)


@pytest.mark.parametrize(
    ("start", "allowed", "followed"), [("https", True, True), ("https", False, False), ("http", False, True)]
)
def test_only_a_permitted_redirect_gives_up_encryption(start: str, allowed: bool, followed: bool) -> None:
    try:
        ANYWHERE.follow(URL(f"{start}://example.com/"), "http://example.com/b", allowed)
    except SourceForbidden:
        assert not followed
    else:
        assert followed


@pytest.mark.parametrize(
    ("location", "followed"),
    [
        ("https://img.example.com/elsewhere", True),
        ("https://a.example.org/", True),
        ("https://example.com/", False),
        ("https://evil.img.example.com/", False),
        ("https://img.example.com:8443/", False),
    ],
)
def test_the_base_may_redirect_to_itself_and_to_allowed_hosts(location: str, followed: bool) -> None:
    try:
        BASE.follow(BASE.locate("a"), location, allow_downgrade=False)
    except SourceForbidden:
        assert not followed
    else:
        assert followed


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ("https://example.com/b", True),
        ("https://example.com:443/b", True),
        ("http://example.com/a", False),
        ("https://example.com:8443/a", False),
        ("https://www.example.com/a", False),
    ],
)
def test_secrets_are_for_the_same_scheme_host_and_port(other: str, same: bool) -> None:
    assert same_host(URL("https://example.com/a"), URL(other)) is same


@pytest.mark.parametrize(
    "text", ["", "*.", "**", "*.*", "a*.com", "a b", "http://a", "a/b", "a@b", "a:0", "a:99999", "a:x", "[::1", "a..b", "a%41"]
)
def test_a_pattern_that_is_none_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_pattern(text)


@pytest.mark.parametrize(
    "base_url", ["img.example.com", "ftp://a/", "https://u:p@a/", "https://a/#x", "https://a/?x", "https:///x", "https://a b/"]
)
def test_a_base_that_is_no_plain_url_is_an_error(base_url: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Places(base_url, [])


@pytest.mark.parametrize(
    ("pattern", "url", "holds"),
    [
        ("*", "https://anything.example", True),
        ("*", "https://anything.example:8443", False),
        ("*:8443", "https://anything.example:8443", True),
        ("*:8443", "https://anything.example", False),
        ("Example.COM.", "https://example.com", True),
        ("example.com", "https://EXAMPLE.com.", True),
        ("[::1]:8080", "http://[0:0::1]:8080", True),
        ("*.com", "https://com", False),
    ],
)
def test_patterns_hold_hosts_label_by_label_and_port(pattern: str, url: str, holds: bool) -> None:
    parsed = parse_url(url)
    assert parsed.raw_host is not None
    assert parsed.port is not None
    assert parse_pattern(pattern).holds(parsed.raw_host, parsed.port) is holds
