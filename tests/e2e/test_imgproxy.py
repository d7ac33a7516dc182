"""imgproxy's URLs at the root of a server, signed with key and salt, and its environment."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from imgproxy.configuration import load
from imgproxy.configuration.aliases import ALIASES, Alias
from imgproxy.errors import SettingsError
from imgproxy.keysalt import KeySalt
from imgproxy.settings import FilesSource, HttpSource
from tests.e2e.conftest import Serve, Server, configuration, end, start
from tests.e2e.test_pictures import CHROME, get
from tests.pictures import opened

PAIR = ("736563726574", "68656C6C6F")
DOOR = f"""
[imgproxy]
enabled = true
keys = ["{PAIR[0]}"]
salts = ["{PAIR[1]}"]
local = "local"
presets = ["default=q:60", "thumb=rs:fill:40:30/f:webp"]
"""


def signed(path: str) -> str:
    return f"/{KeySalt([PAIR]).sign(path)}{path}"


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("door")
    server = start(directory / "server", configuration(root, directory / "cache", DOOR, unsigned="never"))
    yield server
    end(server)


async def test_signed_pictures(door: Server) -> None:
    """scene.jpg has 320×240 pixels, turned.jpg as many that lie on their side."""
    for path, media_type, size in (
        ("/rs:fit:100:100/plain/local:///scene.jpg@png", "image/png", (100, 75)),
        ("/rs:fill:100:100/g:nowe/plain/local:///scene.jpg@jpg", "image/jpeg", (100, 100)),
        ("/rs:force:50:100/plain/local:///scene.jpg@jpg", "image/jpeg", (50, 100)),
        ("/rs:fit:640/plain/local:///scene.jpg@jpg", "image/jpeg", (320, 240)),
        ("/rs:fit:640::1/plain/local:///scene.jpg@jpg", "image/jpeg", (640, 480)),
        ("/w:200/dpr:2/plain/local:///scene.jpg@jpg", "image/jpeg", (320, 240)),
        ("/c:100:50:so/rot:90/plain/local:///scene.jpg@jpg", "image/jpeg", (100, 50)),
        ("/rot:90/w:60/plain/local:///scene.jpg@jpg", "image/jpeg", (60, 80)),
        ("/w:60/plain/local:///turned.jpg@jpg", "image/jpeg", (60, 80)),
        ("/w:60/ar:0/plain/local:///turned.jpg@jpg", "image/jpeg", (60, 45)),
        ("/rs:fit:100:100:0:1/bg:ff0000/plain/local:///scene.jpg@png", "image/png", (100, 100)),
        ("/pd:5:10/w:100/plain/local:///scene.jpg@png", "image/png", (120, 85)),
        ("/pr:thumb/bG9jYWw6Ly8vc2NlbmUuanBn", "image/webp", (40, 30)),
        ("/w:10/plain/local:///scene.jpg", "image/avif", (10, 8)),
    ):
        answer, body = await get(door, signed(path), Accept=CHROME)
        assert (answer.status, answer.content_type) == (200, media_type), (path, body)
        picture = opened(body)
        assert (picture.width, picture.height) == size, path


async def test_what_is_kept_is_shared_with_the_native_door(serve: Serve) -> None:
    door = serve(DOOR)
    _, first = await get(door, "/images/local/scene.jpg?w=64&h=64&fit=crop&fm=png&q=60")
    answer, second = await get(door, "/unsafe/rs:fill:64:64:1/plain/local:///scene.jpg@png")
    assert first == second
    assert "hit" in answer.headers["Cache-Status"]


@pytest.mark.parametrize(
    ("target", "status", "code"),
    [
        ("/unsafe/w:10/plain/local:///scene.jpg", 403, "signature-missing"),
        ("/AAAA/w:10/plain/local:///scene.jpg", 403, "signature-invalid"),
        ("/favicon.ico", 403, "signature-invalid"),
        ("//w:10/plain/local:///scene.jpg", 404, "invalid-target"),
        ("/", 404, "invalid-target"),
        (signed("/wm:1/plain/local:///scene.jpg"), 404, "invalid-option"),
        (signed("/w:x/plain/local:///scene.jpg"), 404, "invalid-option"),
        (signed("/exp:1/plain/local:///scene.jpg"), 404, "expired"),
        (signed("/plain/local:///absent.jpg"), 404, "source-not-found"),
        (signed("/plain/local:///../secret.jpg"), 404, "invalid-target"),
        (signed("/plain/https://a.test/x.jpg"), 404, "source-unknown"),
        (signed("/enc/AAAA"), 404, "invalid-target"),
    ],
)
async def test_what_is_refused(door: Server, target: str, status: int, code: str) -> None:
    answer, body = await get(door, target)
    assert (answer.status, json.loads(body)["code"]) == (status, code)


async def test_downloads_names_and_originals(door: Server, root: Path) -> None:
    for path, header in (
        ("/fn:cat/w:10/plain/local:///scene.jpg@png", 'inline; filename="cat.png"'),
        ("/fn:cat/att:1/w:10/plain/local:///scene.jpg@png", 'attachment; filename="cat.png"'),
        ("/att:1/w:10/plain/local:///scene.jpg@png", 'attachment; filename="scene.png"'),
    ):
        answer, _ = await get(door, signed(path))
        assert answer.headers["Content-Disposition"] == header
    _, body = await get(door, signed("/raw:1/plain/local:///scene.jpg"))
    assert body == (root / "scene.jpg").read_bytes()


async def test_info(door: Server) -> None:
    path = "/plain/local:///scene.jpg"
    answer, body = await get(door, f"/info{signed(path)}")
    said = json.loads(body)
    assert answer.status == 200
    assert (said["format"], said["width"], said["height"]) == ("jpeg", 320, 240)
    assert (await get(door, f"/info/unsafe{path}"))[0].status == 403


async def test_other_routes_are_still_there(door: Server) -> None:
    assert (await get(door, "/health"))[0].status == 200
    assert (await get(door, "/images/local/scene.jpg?w=10"))[0].status == 403


def test_the_environment_of_an_imgproxy_server(tmp_path: Path) -> None:
    (tmp_path / "presets").write_text("small=w:10\n")
    settings = load(
        None,
        {
            "HOME": str(tmp_path),
            "IMGPROXY_KEY": f"{PAIR[0]}, 00ff",
            "IMGPROXY_SALT": f"{PAIR[1]},ff00",
            "IMGPROXY_SIGNATURE_SIZE": "8",
            "IMGPROXY_PATH_PREFIX": "/img",
            "IMGPROXY_PRESETS": "default=q:50,big=w:2000",
            "IMGPROXY_PRESETS_PATH": str(tmp_path / "presets"),
            "IMGPROXY_LOCAL_FILESYSTEM_ROOT": str(tmp_path),
            "IMGPROXY_ALLOWED_SOURCES": "https://img.example.com/,local://,http://*.example.org",
            "IMGPROXY_FORMAT_QUALITY": "jpg=70,avif=50",
            "IMGPROXY_TTL": "3600",
        },
        {},
    ).settings
    door = settings.imgproxy
    assert (door.enabled, door.keys, door.salts) == (True, [PAIR[0], "00ff"], [PAIR[1], "ff00"])
    assert (door.signature_size, door.prefix, door.presets) == (8, "/img/", ["default=q:50", "big=w:2000"])
    local, web = settings.sources[door.local], settings.sources[door.web]
    assert isinstance(local, FilesSource)
    assert isinstance(web, HttpSource)
    assert (local.root, local.freshness.max_age, web.freshness.max_age) == (str(tmp_path), 3600, 3600)
    assert web.allow == ["img.example.com", "*.example.org"]
    assert (settings.encode.jpeg_quality, settings.encode.webp_quality, settings.encode.avif_quality) == (70, 79, 50)


def test_an_imgproxy_server_of_local_files_alone(tmp_path: Path) -> None:
    given = {"KEY": PAIR[0], "SALT": PAIR[1], "LOCAL_FILESYSTEM_ROOT": str(tmp_path), "ALLOWED_SOURCES": "local://"}
    environment = {"HOME": str(tmp_path)} | {f"IMGPROXY_{name}": value for name, value in given.items()}
    settings = load(None, environment, {}).settings
    assert (list(settings.sources), settings.imgproxy.web) == ([settings.imgproxy.local], "")


@pytest.mark.parametrize("alias", ALIASES, ids=lambda alias: alias.variable)
def test_an_empty_variable_is_none(tmp_path: Path, alias: Alias) -> None:
    given = {"HOME": str(tmp_path), "IMGPROXY_SIGNING__UNSIGNED": "loopback"}
    assert load(None, given | {f"IMGPROXY_{alias.variable}": ""}, {}).settings == load(None, given, {}).settings


@pytest.mark.parametrize(
    ("environment", "match"),
    [
        ({"KEY": "00"}, "imgproxy.salts: every key needs a salt"),
        ({"KEY": "0x", "SALT": "00"}, "imgproxy.keys: expected hexadecimal"),
        ({"ALLOWED_SOURCES": "https://a.test/path/"}, "IMGPROXY_ALLOWED_SOURCES: expected hosts"),
        ({"ALLOWED_SOURCES": "https://a.test/,local:///public/"}, 'IMGPROXY_ALLOWED_SOURCES: .* got "local:///public/"'),
        ({"FORMAT_QUALITY": "jpg=70,png=3"}, 'IMGPROXY_FORMAT_QUALITY: expected qualities .* got "png=3"'),
        ({"SIGNATURE_SIZE": "33"}, "imgproxy.signature_size"),
        ({"PRESETS": "a=pr:a"}, "imgproxy.presets: presets in a loop"),
        ({"PRESETS": "a=w:x"}, "imgproxy.presets: w must be"),
        ({"PRESETS_PATH": "/nowhere"}, "imgproxy.presets_file: cannot read /nowhere"),
        ({"SOURCE_URL_ENCRYPTION_KEY": "00"}, "imgproxy.encryption_key: expected 16"),
        ({"PATH_PREFIX": "/a b?/"}, "imgproxy.prefix"),
        ({"PATH_PREFIX": "/images"}, "imgproxy.prefix: /images/ is for the URLs of this server's own kind"),
    ],
)
def test_settings_that_keep_the_server_from_starting(tmp_path: Path, environment: dict[str, str], match: str) -> None:
    given = {"HOME": str(tmp_path), "IMGPROXY_SIGNING__UNSIGNED": "loopback"}
    with pytest.raises(SettingsError, match=match):
        load(None, given | {f"IMGPROXY_{name}": value for name, value in environment.items()}, {})


def test_secrets_are_not_shown(tmp_path: Path) -> None:
    given = {"HOME": str(tmp_path), "IMGPROXY_KEY": PAIR[0], "IMGPROXY_SALT": PAIR[1]}
    assert PAIR[0] not in repr(load(None, given, {}).settings)
