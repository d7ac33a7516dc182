"""Settings are loaded from layers, and every wrong one is refused with its key, its place and a hint."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from imgproxy.configuration import Effective, Flag, available_cores, load, read, units
from imgproxy.configuration.warnings import warnings
from imgproxy.errors import SettingsError
from imgproxy.settings import FilesSource, HttpSource, Key, Settings, child_environment, environment

KEY = '[[signing.keys]]\nid = "a"\nsecret = "0123456789abcdef0123456789abcdef"\n'
HOME = {"HOME": "/home/somebody"}
OPEN = '[signing]\nunsigned = "anyone"\n'
TOKENS = f'[[library.tokens]]\nid = "a"\nissuer = "i"\naudience = "a"\nalgorithm = "HS256"\nkey = "{"ab" * 16}"\n'


def loaded(tmp_path: Path, text: str, environ: dict[str, str] | None = None, flags: dict[str, Flag] | None = None) -> Effective:
    file = tmp_path / "x.toml"
    file.write_text(text)
    return load(file, HOME | (environ or {}), flags or {})


def refused(tmp_path: Path, text: str, environ: dict[str, str] | None = None) -> str:
    with pytest.raises(SettingsError) as caught:
        loaded(tmp_path, text, environ)
    return str(caught.value).replace(f"{tmp_path}/", "")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[server]\nprt = 1", "x.toml:2: server.prt is not a setting; did you mean server.port?"),
        ("[servr]\nport = 1", "x.toml:2: servr is not a setting; did you mean server?"),
        ("server.prt = 1", "x.toml:1: server.prt is not a setting; did you mean server.port?"),
        ("[log]\nzzz = 1", "x.toml:2: log.zzz is not a setting; there are access, level"),
        ("server = 1", "x.toml:1: server: expected a table, got 1"),
        ("[server]\nport = 70000", "x.toml:2: server.port: expected a whole number <= 65535, got 70000"),
        ("[server]\nport = '80'", 'x.toml:2: server.port: expected a whole number, got "80"'),
        ("[server]\nport = true", "x.toml:2: server.port: expected a whole number, got true"),
        (
            "[server]\ndrain = 'soon'",
            'x.toml:2: server.drain: expected a duration such as "90s", "10m", "1h" or "7d", got "soon"',
        ),
        ("[server]\ndrain = -1", "x.toml:2: server.drain: expected a number >= 0, got -1"),
        ("[server]\nkeepalive = inf", "x.toml:2: server.keepalive: expected a number <= 315360000, got inf"),
        # From here on they are too much for the kernel.
        ("[server]\ndrain = inf", "x.toml:2: server.drain: expected a number <= 2000000, got inf"),
        ("[server]\nwrite_timeout = '30d'", 'x.toml:2: server.write_timeout: expected a number <= 2000000, got "30d"'),
        ("[render]\ndeadline = '30d'", 'x.toml:2: render.deadline: expected a number <= 2000000, got "30d"'),
        ("[render]\nqueue = 2147483648", "x.toml:2: render.queue: expected a whole number <= 2147483647, got 2147483648"),
        (
            "[render]\nmemory = '9000TiB'",
            'x.toml:2: render.memory: expected a whole number <= 9007199254740992, got "9000TiB"',
        ),
        (
            "[limits]\nresult_pixels = 9007199254740993",
            "x.toml:2: limits.result_pixels: expected a whole number <= 9007199254740992, got 9007199254740993",
        ),
        ("[server]\ndrain = nan", "x.toml:2: server.drain: expected a number >= 0, got nan"),
        ("[render]\ndeadline = 0", "x.toml:2: render.deadline: expected a number > 0, got 0"),
        (
            "[render]\nmemory = '1 XB'",
            'x.toml:2: render.memory: expected a size such as "512KiB", "64MiB" or "2GiB", got "1 XB"',
        ),
        ("[cache]\nlow_water = 1.5", "x.toml:2: cache.low_water: expected a number <= 1, got 1.5"),
        ("[log]\nlevel = 'loud'", 'x.toml:2: log.level: expected "debug", "info", "warning" or "error", got "loud"'),
        ("[log]\naccess = 'yes'", 'x.toml:2: log.access: expected true or false, got "yes"'),
        ("[server]\ncors_origins = '*'", 'x.toml:2: server.cors_origins: expected a list, got "*"'),
        ("[server]\ncors_origins = [1]", "x.toml:2: server.cors_origins[0]: expected a string, got 1"),
        (
            "[encode]\nkeep = ['exf']",
            'x.toml:2: encode.keep[0]: expected "exif", "xmp", "iptc", "icc" or "copyright", got "exf"',
        ),
        ("[sources]\nshop = {}", 'x.toml:2: sources.shop: type is missing, it is "files" or "http"'),
        ("[sources.shop]\ntype = 'ftp'", 'x.toml:2: sources.shop.type: expected "files" or "http", got "ftp"'),
        ("[sources.shop]\ntype = 'files'", "x.toml:2: sources.shop: root is missing"),
        (
            "[sources.shop]\ntype = 'files'\nroot = '/'\nlimits = { source_byts = 1 }",
            "x.toml:4: sources.shop.limits.source_byts is not a setting; did you mean sources.shop.limits.source_bytes?",
        ),
        ("[[signing.keys]]\nid = 'a'", "x.toml:1: signing.keys[0]: secret is missing"),
        ("[[signing.keys]]\nid = 'a'\nsecret = 'short'", "x.toml:1: signing.keys[0].secret: expected at least 32 characters"),
        (
            "[[signing.keys]]\nid = 'a b'\nsecret = 'x'",
            'x.toml:1: signing.keys[0].id: expected 1 to 32 letters, digits, dashes or underscores, got "a b"',
        ),
        (
            "[[signing.keys]]\nid = 'a'\nsecret = 'file:secret'",
            "x.toml:1: signing.keys[0].secret: a secret's file needs an absolute path: file:/run/secrets/name",
        ),
        (
            "[[signing.keys]]\nid = 'a'\nsecret = 'file:/nowhere/secret'",
            "x.toml:1: signing.keys[0].secret: cannot read /nowhere/secret: No such file or directory",
        ),
    ],
)  # fmt: skip
def test_what_no_type_admits(tmp_path: Path, text: str, message: str) -> None:
    assert refused(tmp_path, text) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", 'signing.keys: at least one key is needed when signing.unsigned is "never"; make one with `imgproxy key`'),
        (
            '[signing]\nunsigned = "loopback"\n[server]\nhost = "0.0.0.0"',
            'x.toml:2: signing.unsigned: "loopback" needs a loopback server.host such as "127.0.0.1", not "0.0.0.0"',
        ),
        (KEY + KEY, 'x.toml:1: signing.keys[1].id: "a" is the id of another key as well'),
        (OPEN + TOKENS + TOKENS, 'x.toml:3: library.tokens[1].id: "a" is the id of another key as well'),
        (
            OPEN + "[sources.My_Shop]\ntype = 'http'\nallow = ['*']",
            "x.toml:4: sources.My_Shop: a source's name is lower-case letters, digits and dashes, and begins with no dash",
        ),
        (
            OPEN + "[sources.a]\ntype = 'files'\nroot = '/nowhere'",
            'x.toml:5: sources.a.root: there is no directory "/nowhere"',
        ),
        (
            OPEN + "[sources.a]\ntype = 'files'\nroot = '/etc/passwd'",
            'x.toml:5: sources.a.root: "/etc/passwd" is not a directory',
        ),
        (OPEN + "[sources.a]\ntype = 'http'", "x.toml:4: sources.a: an http source needs a base_url, or hosts in allow"),
        (
            OPEN + "[sources.a]\ntype = 'http'\nallow = ['http://x']",
            'x.toml:5: sources.a.allow[0]: expected "img.example.com", "*.example.com" or "*", each with an optional ":port", '
            'got "http://x"',
        ),
        (
            OPEN + "[sources.a]\ntype = 'http'\nallow = ['x', 'y.example:99999']",
            'x.toml:5: sources.a.allow[1]: expected "img.example.com", "*.example.com" or "*", each with an optional ":port", '
            'got "y.example:99999"',
        ),
        (
            OPEN + "[sources.a]\ntype = 'http'\nbase_url = 'https://x:70000/'",
            'x.toml:5: sources.a.base_url: expected a URL such as "https://img.example.com/photos/"',
        ),
        (
            OPEN + "[sources.a]\ntype = 'http'\nbase_url = 'ftp://x/'",
            'x.toml:5: sources.a.base_url: expected a URL such as "https://img.example.com/photos/"',
        ),
        (
            OPEN + "[sources.a]\ntype = 'http'\nbase_url = 'https://me:secret@x/'",
            "x.toml:5: sources.a.base_url: a password does not belong in the URL; send it with request_headers, from a file",
        ),
        (
            OPEN + "[sources.a]\ntype = 'http'\nbase_url = 'https://x/?a=1'",
            "x.toml:5: sources.a.base_url: takes no ?query and no #fragment",
        ),
        (
            OPEN + "[sources.a]\ntype = 'http'\nallow = ['*']\nconnect_timeout = '1m'",
            "x.toml:6: sources.a.connect_timeout: 60 s is more than total_timeout, 10 s",
        ),
        (
            OPEN + "[sources.a]\ntype = 'http'\nallow = ['*']\nrequest_headers = { 'a b' = 'c' }",
            'x.toml:6: sources.a.request_headers: "a b" is not the name of a header',
        ),
        (
            OPEN + '[sources.a]\ntype = "http"\nallow = ["*"]\nheaders = { X = "a\\r\\nSet-Cookie: b" }',
            "x.toml:6: sources.a.headers.X: a header's value has no line breaks and no control characters",
        ),
        (
            OPEN + '[sources.a]\ntype = "http"\nallow = ["*"]\nheaders = { content-LENGTH = "5" }',
            "x.toml:6: sources.a.headers.content-LENGTH: the server sends that itself; expected another header",
        ),
        (
            OPEN + "[server]\nadmin_port = 8080",
            "x.toml:4: server.admin_port: is server.port as well (8080); the two need different ports",
        ),
        (
            OPEN + "[server]\nhost = ''",
            'x.toml:4: server.host: expected an address such as "127.0.0.1", "0.0.0.0" or "::1", got ""',
        ),
        (
            OPEN + "[server]\ncors_origins = ['example.com']",
            'x.toml:4: server.cors_origins: expected "*" or origins such as "https://example.com", got "example.com"',
        ),
        (OPEN + "[server]\njemalloc = '/nowhere.so'", "x.toml:4: server.jemalloc: /nowhere.so is not a file"),
        (
            OPEN + "[cache]\nmemory_bytes = 100",
            "cache.memory_entry_bytes: 65536 is more than cache.memory_bytes, 100",
        ),
        (
            OPEN + "[render]\nmemory = '64MiB'\nmax_rss = '1MiB'",
            "x.toml:4: render.memory: 67108864 is less than a process needs to start; expected 96MiB or more",
        ),
        (OPEN + '[cache]\ndirectory = "a\\u0000b"', 'x.toml:4: cache.directory: "a\0b" is not a directory'),
        (
            OPEN + "[imgproxy]\npresets_file = '/nowhere'",
            "x.toml:4: imgproxy.presets_file: cannot read /nowhere: No such file or directory",
        ),
        (
            OPEN + f"[imgproxy]\npresets_file = '{sys.executable}'",
            f"x.toml:4: imgproxy.presets_file: {sys.executable} is not UTF-8",
        ),
        (OPEN + "[render]\nmax_rss = '2GiB'", "x.toml:4: render.max_rss: 2147483648 is more than render.memory, 1073741824"),
        (OPEN + "[render]\nsvg_deadline = '1m'", "x.toml:4: render.svg_deadline: 60 s is more than render.deadline, 10 s"),
        (OPEN + "[cache]\ndirectory = '/etc/passwd'", 'x.toml:4: cache.directory: "/etc/passwd" is not a directory'),
        *(
            (
                OPEN + f"[fallback]\nimage = '{path}'",
                f'x.toml:4: fallback.image: "{path}" is not a file of a picture that this server knows',
            )
            for path in ("/nowhere.png", "/dev", "/etc/passwd", sys.executable)
        ),
    ],
)  # fmt: skip
def test_what_contradicts_itself_or_the_machine(tmp_path: Path, text: str, message: str) -> None:
    assert refused(tmp_path, text) == message


def test_a_cache_directory_that_cannot_be_looked_at_is_left_to_the_server(tmp_path: Path) -> None:
    """For root, under which tests may run, that is a name too long."""
    name = f"/{'x' * 300}"
    assert loaded(tmp_path, f"{OPEN}[cache]\ndirectory = '{name}'").settings.cache.directory == name


@pytest.mark.parametrize(
    ("module", "text", "message"),
    [
        ("obstore", "bucket.name = 'b'", "x.toml:5: library.bucket: needs the package imgproxy-server[s3]"),
        ("asyncpg", "database = 'postgresql://h/n'", "x.toml:5: library.database: needs the package imgproxy-server[postgres]"),
    ],
)
def test_an_extra_that_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, text: str, message: str
) -> None:
    loaded(tmp_path, f"{OPEN}[library]\nenabled = true\n{text}")
    monkeypatch.setitem(sys.modules, module, None)
    assert refused(tmp_path, f"{OPEN}[library]\nenabled = true\n{text}") == message
    loaded(tmp_path, f"{OPEN}[library]\nenabled = false\n{text}")


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("SERVER__PRT", "1", "environment IMGPROXY_SERVER__PRT is not a setting; did you mean IMGPROXY_SERVER__PORT?"),
        ("SRVER__PORT", "1", "environment IMGPROXY_SRVER__PORT is not a setting; did you mean IMGPROXY_SERVER?"),
        ("SERVER_PORT", "1", "environment IMGPROXY_SERVER_PORT is not a setting; did you mean IMGPROXY_SERVER?"),
        (
            "SERVER__PORT__X",
            "1",
            "environment IMGPROXY_SERVER__PORT__X is not a setting; did you mean IMGPROXY_SERVER__PORT?",
        ),
        ("SERVER__PORT", "x", 'environment IMGPROXY_SERVER__PORT: server.port: expected a whole number, got "x"'),
        ("LOG__ACCESS", "maybe", 'environment IMGPROXY_LOG__ACCESS: log.access: expected true or false, got "maybe"'),
        ("SIGNING__KEYS", "abc", "environment IMGPROXY_SIGNING__KEYS: expected a TOML list of tables"),
        (
            "SERVER__CORS_ORIGINS",
            "https://x",
            'environment IMGPROXY_SERVER__CORS_ORIGINS: expected a TOML list such as ["a", "b"]',
        ),
        (
            "SERVER__CORS_ORIGINS",
            "[]\nx = 1",
            'environment IMGPROXY_SERVER__CORS_ORIGINS: expected a TOML list such as ["a", "b"]',
        ),
        (
            "SOURCES__A__HEADERS",
            "x",
            'environment IMGPROXY_SOURCES__A__HEADERS: expected a TOML table such as {name = "value"}',
        ),
    ],
)  # fmt: skip
def test_variables_that_are_no_settings(tmp_path: Path, variable: str, value: str, message: str) -> None:
    assert refused(tmp_path, OPEN, {f"IMGPROXY_{variable}": value}) == message


def test_a_file_that_cannot_be_used(tmp_path: Path) -> None:
    assert refused(tmp_path, "x =").startswith("x.toml: not TOML: ")
    with pytest.raises(SettingsError, match=r"missing\.toml: No such file or directory"):
        load(tmp_path / "missing.toml", HOME, {})
    (tmp_path / "latin.toml").write_bytes(b"# caf\xe9")
    with pytest.raises(SettingsError, match="not UTF-8"):
        load(tmp_path / "latin.toml", HOME, {})


def test_later_layers_win_and_provenance_says_which(tmp_path: Path) -> None:
    effective = loaded(
        tmp_path,
        KEY + '[server]\nhost = "::1"\nport = 1\nadmin_port = 2\n[sources.my-photos]\ntype = "files"\nroot = "/nowhere"\n',
        {
            "IMGPROXY_SERVER__PORT": "3",
            "IMGPROXY_SERVER__ADMIN_PORT": "4",
            "IMGPROXY_SOURCES__MY_PHOTOS__ROOT": str(tmp_path),
            "IMGPROXY_SOURCES__WEB": '{type = "http", allow = ["*.example.com"]}',
            "IMGPROXY_SOURCES__WEB__TOTAL_TIMEOUT": "1m",
            "IMGPROXY_LOG__ACCESS": "false",
            "UNRELATED": "x",
        },
        {"server.port": Flag("--port", 5)},
    )
    server = effective.settings.server
    assert (server.host, server.port, server.admin_port) == ("::1", 5, 4)
    web = effective.settings.sources["web"]
    assert isinstance(web, HttpSource)
    assert (web.allow, web.total_timeout) == (["*.example.com"], 60)
    assert effective.settings.log.access is False
    assert {key: effective.provenance[key] for key in ("server.host", "server.port", "server.admin_port", "server.drain")} == {
        "server.host": f"{tmp_path}/x.toml:5",
        "server.port": "flag --port",
        "server.admin_port": "environment IMGPROXY_SERVER__ADMIN_PORT",
        "server.drain": "default",
    }
    assert effective.provenance["sources.my-photos.root"] == "environment IMGPROXY_SOURCES__MY_PHOTOS__ROOT"
    assert effective.provenance["sources.my-photos.type"] == f"{tmp_path}/x.toml:9"
    assert effective.provenance["signing.keys[0].secret"] == f"{tmp_path}/x.toml:1"


def test_half_a_table_keeps_the_other_halfs_default(tmp_path: Path) -> None:
    cache = loaded(tmp_path, OPEN + "[cache.results]\nmax_bytes = '1MiB'").settings.cache
    assert (cache.results.max_bytes, cache.results.max_entries) == (1024**2, Settings().cache.results.max_entries)


def test_variables_that_kubernetes_injects_are_not_ours(tmp_path: Path) -> None:
    linked = {
        "IMGPROXY_PORT": "tcp://10.0.0.1:80",
        "IMGPROXY_PORT_80_TCP_ADDR": "10.0.0.1",
        "IMGPROXY_SERVICE_HOST": "10.0.0.1",
    }
    assert loaded(tmp_path, OPEN, linked).settings == loaded(tmp_path, OPEN).settings


def test_secrets_are_read_from_files_and_shown_nowhere(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("k" * 40 + "\n")
    (tmp_path / "token").write_text("Bearer canary")
    effective = loaded(
        tmp_path,
        f'[[signing.keys]]\nid = "a"\nsecret = "file:{tmp_path}/key"\n[sources.a]\ntype = "http"\nallow = ["*"]\n'
        f'request_headers = {{ Authorization = "file:{tmp_path}/token" }}',
    )
    source = effective.settings.sources["a"]
    assert isinstance(source, HttpSource)
    assert source.request_headers == {"Authorization": "Bearer canary"}
    assert effective.settings.signing.keys[0].secret == "k" * 40
    assert "canary" not in repr(effective)
    assert "kkk" not in repr(effective)
    assert "Authorization" in repr(effective)


@pytest.mark.parametrize(
    ("content", "message"), [(b"\n", "is empty"), (b"x" * 70_000, "is larger than 64 KiB"), (b"\xff" * 40, "is not UTF-8")]
)
def test_secret_files_that_hold_no_secret(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "key").write_bytes(content)
    said = refused(tmp_path, f'[[signing.keys]]\nid = "a"\nsecret = "file:{tmp_path}/key"')
    assert said == f"x.toml:1: signing.keys[0].secret: key {message}"


def test_a_wrong_secret_is_not_quoted(tmp_path: Path) -> None:
    assert "canary" not in refused(tmp_path, '[[signing.keys]]\nid = "a"\nsecret = "canary"')
    assert "7777" not in refused(tmp_path, '[[signing.keys]]\nid = "a"\nsecret = 7777')


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("10m", 600), ("1h", 3600), ("7d", 604800), ("250ms", 0.25), ("1.5h", 5400), ("5", 5), ("2 m", 120)],
)
def test_durations(text: str, seconds: float) -> None:
    assert units.seconds(text) == seconds


@pytest.mark.parametrize(
    ("text", "size"), [("64MiB", 67108864), ("2GiB", 2147483648), ("1kB", 1000), ("5", 5), ("0.5KiB", 512), ("1 TB", 10**12)]
)
def test_sizes(text: str, size: int) -> None:
    assert units.size(text) == size


@given(st.integers(0, 10**15 - 1), st.sampled_from(sorted(units.BYTES)))
def test_whole_sizes_are_exact(number: int, unit: str) -> None:
    assert units.size(f"{number}{unit}") == number * units.BYTES[unit]


@pytest.mark.parametrize("text", ["", "m", "-1m", "1e3", "1y", "٣m", "1m1", "9" * 16, "1.m", "0x10"])
def test_what_is_no_quantity(text: str) -> None:
    for parse in (units.seconds, units.size):
        with pytest.raises(ValueError, match="expected a"):
            parse(text)


def test_what_is_left_to_the_server_is_resolved(tmp_path: Path) -> None:
    effective = loaded(tmp_path, OPEN)
    settings, cores = effective.settings, available_cores()
    assert (settings.render.processes, settings.server.web_processes) == (cores, max(1, cores // 2))
    assert settings.cache.directory == "/home/somebody/.cache/imgproxy"
    assert effective.provenance["cache.directory"] == "default, below HOME"
    assert effective.provenance["render.processes"] == f"default, {cores} cores"
    assert (
        load(None, {"XDG_CACHE_HOME": "/c", "IMGPROXY_SIGNING__UNSIGNED": "anyone"}, {}).settings.cache.directory
        == "/c/imgproxy"
    )
    with pytest.raises(SettingsError, match="there is no HOME to put the cache below; set it"):
        load(None, {"IMGPROXY_SIGNING__UNSIGNED": "anyone"}, {})


@pytest.mark.parametrize(
    ("algorithm", "key", "expected"),
    [
        ("HS256", "-----BEGIN PUBLIC KEY-----\nMCowBQ==\n-----END PUBLIC KEY-----", "a secret, and this is a public key"),
        ("RS256", "0123456789abcdef0123456789abcdef", "a public key in PEM"),
        ("EdDSA", "0123456789abcdef0123456789abcdef", "a public key in PEM"),
        ("ES256", "-----BEGIN PUBLIC KEY-----\nMCowBQ==\n-----END PUBLIC KEY-----", "a public key in PEM"),
    ],
)
def test_a_key_that_verifies_no_token_is_refused(tmp_path: Path, algorithm: str, key: str, expected: str) -> None:
    """Its algorithm's tokens were all invalid, and nobody was told why."""
    token = f'id = "a"\nissuer = "i"\naudience = "a"\nalgorithm = "{algorithm}"\nkey = \'\'\'{key}\'\'\'\n'
    said = refused(tmp_path, f"{OPEN}[[library.tokens]]\n{token}")
    assert said.endswith(f"library.tokens[0].key: expected {expected}, which {algorithm} takes")
    assert key not in said


def test_a_root_that_is_a_link_stays_one(tmp_path: Path) -> None:
    """A release is changed by pointing it elsewhere."""
    (tmp_path / "releases" / "42").mkdir(parents=True)
    (tmp_path / "current").symlink_to("releases/42")
    source = loaded(tmp_path, OPEN + f'[sources.a]\ntype = "files"\nroot = "{tmp_path}/current"').settings.sources["a"]
    assert isinstance(source, FilesSource)
    assert source.root == f"{tmp_path}/current"


@pytest.mark.parametrize("place", ["", "system.slice", "system.slice/imgproxy.service"])
@pytest.mark.parametrize("own", ["0::/system.slice/imgproxy.service\n", "1:cpu:/\n0::/system.slice/imgproxy.service\n"])
@pytest.mark.parametrize(
    ("content", "most"), [("50000 100000", 1), ("100000 100000", 1), ("max 100000", 4096), ("nonsense", 4096)]
)
def test_cores_are_bounded_by_the_quota_of_any_group_around(
    tmp_path: Path, place: str, own: str, content: str, most: int
) -> None:
    """That of a container is the outermost that it sees; systemd's are further in."""
    (tmp_path / "system.slice" / "imgproxy.service").mkdir(parents=True)
    (tmp_path / "system.slice" / "imgproxy.service" / "cpu.max").write_text("max 100000")
    (tmp_path / place / "cpu.max").write_text(content)
    (tmp_path / "own").write_text(own)
    unbounded = len(os.sched_getaffinity(0))
    assert available_cores(tmp_path, tmp_path / "own") == min(most, unbounded)


def test_cores_are_bounded_by_the_containers_quota(tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text("50000 100000")
    (tmp_path / "own").write_text("0::/\n")
    assert available_cores(tmp_path, tmp_path / "own") == available_cores(tmp_path, tmp_path / "missing") == 1
    assert available_cores(tmp_path / "absent", tmp_path / "missing") == len(os.sched_getaffinity(0))


def test_settings_survive_the_way_to_a_child(tmp_path: Path) -> None:
    settings = loaded(
        tmp_path, KEY + f'[sources.a]\ntype = "files"\nroot = "{tmp_path}"\n[sources.b]\ntype = "http"\nallow = ["*"]'
    ).settings
    assert msgspec.json.decode(msgspec.json.encode(settings), type=Settings) == settings


def test_children_get_no_settings_by_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMGPROXY_SIGNING__KEYS", "canary")
    monkeypatch.setenv("OTHER", "kept")
    given = child_environment(EXTRA="1")
    assert (given["OTHER"], given["EXTRA"]) == ("kept", "1")
    assert not any(name.startswith("IMGPROXY_") for name in given)
    assert environment()["IMGPROXY_SIGNING__KEYS"] == "canary"


def test_a_key_does_not_show_its_secret() -> None:
    assert repr(Key(id="a", secret="s" * 32)) == "Key(id='a')"


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 10**6) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
_NAMES = st.sampled_from(
    ["server", "signing", "sources", "port", "keys", "type", "root", "limits", "a", "http", "", "a.b", "[0]"]
)


@given(st.dictionaries(_NAMES, st.dictionaries(_NAMES, _VALUES, max_size=3) | _VALUES, max_size=3))
@budget(max_examples=150)
def test_whatever_is_written_is_taken_or_refused_as_ours(tree: dict[str, object]) -> None:
    """Flags take raw values, so any tree can be handed in without a TOML writer."""
    with contextlib.suppress(SettingsError):
        assert isinstance(read(None, {}, {key: Flag("--x", value) for key, value in tree.items()}), Effective)


@given(
    st.lists(st.sampled_from(["SERVER", "SOURCES", "A", "", "PORT", "ROOT", "TYPE", "SIGNING", "KEYS"]), max_size=4),
    st.text(max_size=12),
)
@budget(max_examples=150)
def test_whatever_a_variable_says_is_taken_or_refused_as_ours(keys: list[str], value: str) -> None:
    with contextlib.suppress(SettingsError):
        assert isinstance(read(None, {f"IMGPROXY_{'__'.join(keys)}": value}, {}), Effective)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('# one\nserver . "prt" = 1', "x.toml:2: server.prt is not a setting"),
        ('[sources."a.b"] # why\n"ty pe" = 1', "x.toml:2: sources.a.b: type is missing"),
        ("[server]\ncors_origins = [\n  1,\n]", "x.toml:2: server.cors_origins[0]: expected a string"),
        ("server = { drain = 1,\tprt = 2 }", "x.toml:1: server.prt is not a setting"),
    ],
)
def test_the_line_is_that_of_the_key_or_of_what_it_stands_in(tmp_path: Path, text: str, message: str) -> None:
    assert refused(tmp_path, text).startswith(message)


SECRET_URLS = f'[imgproxy]\nenabled = true\nencryption_key = "{"ab" * 16}"\nbase_url = "local:///"\nlocal = "files"\n'


@pytest.mark.parametrize(
    ("text", "warned"),
    [
        (KEY, set()),
        (OPEN, {"signing.unsigned"}),
        (KEY + SECRET_URLS, set()),
        (OPEN + SECRET_URLS, {"signing.unsigned", "imgproxy.encryption_key"}),
        (KEY + '[server]\nadmin_host = "0.0.0.0"\n', {"server.admin_host"}),
        (KEY + "[render]\nlandlock = false\nseccomp = false\nallow_old_libvips = true\n",
         {"render.landlock", "render.seccomp", "render.allow_old_libvips"}),
        (KEY + '[fallback]\nimage = "DIRECTORY/sorry.gif"\nstatus = 200\n', {"fallback.status"}),
    ],
)  # fmt: skip
def test_what_deserves_a_second_look(tmp_path: Path, text: str, warned: set[str]) -> None:
    (tmp_path / "sorry.gif").write_bytes(b"GIF89a")
    text = text.replace("DIRECTORY", str(tmp_path)) + f'[sources.files]\ntype = "files"\nroot = "{tmp_path}"\n'
    assert {key for key, _ in warnings(loaded(tmp_path, text).settings)} == warned
