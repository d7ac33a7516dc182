"""Pictures and words laid over pictures; chains, fallbacks, hash sums and client hints, as clients meet them."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from imgproxy.request import SAVING_QUALITY
from tests import pictures
from tests.e2e.conftest import Serve, Server, configuration, end, start, write_pictures
from tests.e2e.test_origin import Origin, origin, source
from tests.e2e.test_pictures import CHROME, get
from tests.fonts import NAME, write_font
from tests.pictures import opened
from tests.unit.render.drawing import BLUE, RED, close, plain

__all__ = ["origin"]

RED_LOGO, BLUE_LOGO = (bytes(plain(40, 30, color).pngsave_buffer()) for color in (RED, BLUE))
DOOR = """
[imgproxy]
enabled = true
local = "local"
web = "web"
watermark = "local/logo.png"
"""


def b64(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    """Pictures of its own, with a red logo."""
    return with_logo(tmp_path / "shelf")


def with_logo(place: Path) -> Path:
    root = write_pictures(place)
    (root / "logo.png").write_bytes(RED_LOGO)
    return root


MARKED = "/images/local/scene.jpg?w=160&mark=local/logo.png&mark-align=top,left&mark-pad=0&fm=png"


async def corner(server: Server, target: str = MARKED) -> tuple[float, ...]:
    answer, body = await get(server, target)
    assert answer.status == 200, body
    return tuple(opened(body)(5, 5)[:3])


async def test_a_mark_that_changes_changes_every_picture_that_has_it(serve: Serve, shelf: Path) -> None:
    server = serve(pictures=shelf)
    assert close(list(await corner(server)), RED)
    answer, _ = await get(server, MARKED)
    assert "hit" in answer.headers["Cache-Status"]
    assert (await get(server, MARKED, **{"If-None-Match": answer.headers["ETag"]}))[0].status == 304
    (shelf / "new.png").write_bytes(BLUE_LOGO)
    (shelf / "new.png").replace(shelf / "logo.png")
    # A version is believed for a moment; what is asked about is the file.
    changed, _ = await get(server, MARKED, **{"Cache-Control": "no-cache"})
    while changed.headers["ETag"] == answer.headers["ETag"]:
        changed, _ = await get(server, MARKED)
    assert close(list(await corner(server)), BLUE)


async def test_a_mark_from_an_origin_is_fetched_once_and_its_freshness_counts(serve: Serve, origin: Origin) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=RED_LOGO, headers={"ETag": '"r"', "Cache-Control": "max-age=77", "Content-Type": "image/png"})

    origin.answer = answer
    server = serve(source(origin))
    for width in (100, 120, 140):
        target = f"/images/local/scene.jpg?w={width}&mark=web/logo.png&mark-align=top,left&mark-pad=0&fm=png"
        assert close(list(await corner(server, target)), RED)
    assert origin.asked == {"/logo.png": 1}
    response, _ = await get(server, target)
    assert "max-age=77" in response.headers["Cache-Control"]


async def test_freshness_and_age_are_those_of_what_is_to_be_asked_for_first(serve: Serve, origin: Origin) -> None:
    """One whose origin was asked before does not make all of it old, and one that is a file does not make all of it new."""

    async def answer(request: web.Request) -> web.Response:
        lifetime = 1000 if request.path == "/logo.png" else 3000
        return web.Response(body=RED_LOGO, headers={"Cache-Control": f"max-age={lifetime}", "Content-Type": "image/png"})

    async def age(target: str, lifetime: int) -> int:
        response, _ = await get(server, target)
        assert f"max-age={lifetime}," in response.headers["Cache-Control"]
        return int(response.headers["Age"])

    origin.answer = answer
    server = serve(source(origin))
    plain, mark = "/images/web/a.png?w=20&fm=png", "&mark=web/logo.png"
    async with asyncio.timeout(30):
        while not await age(plain, 3000):
            pass
    assert await age(plain + mark, 1000) < await age(plain, 3000)
    async with asyncio.timeout(30):
        while not await age("/images/local/scene.jpg?w=50&fm=png" + mark, 1000):
            pass


async def test_a_mark_that_must_be_revalidated_is_not_shown_stale_for_its_picture(serve: Serve, origin: Origin) -> None:
    async def answer(request: web.Request) -> web.Response:
        control = "max-age=2000, must-revalidate" if request.path == "/logo.png" else "max-age=1000, stale-if-error=5000"
        return web.Response(body=RED_LOGO, headers={"Cache-Control": control, "Content-Type": "image/png"})

    origin.answer = answer
    response, _ = await get(serve(source(origin)), "/images/web/a.png?w=20&fm=png&mark=web/logo.png")
    ends = [int(seconds) for seconds in re.findall(r"=(\d+)", response.headers["Cache-Control"])]
    assert ends[0] == 1000
    assert ends[0] + max(ends[1:]) <= 2000


async def test_what_its_origin_lets_nobody_keep_makes_a_picture_that_nobody_keeps(serve: Serve, origin: Origin) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=RED_LOGO, headers={"Cache-Control": "no-store", "Content-Type": "image/png"})

    origin.answer = answer
    server = serve(source(origin))
    for _ in range(2):
        response, _ = await get(server, "/images/local/scene.jpg?w=90&mark=web/logo.png&fm=png")
        assert (response.status, response.headers["Cache-Control"]) == (200, "no-store")
        assert "hit" not in response.headers["Cache-Status"]


async def test_what_its_origin_lets_nobody_keep_any_more_is_on_no_picture_that_others_keep(
    serve: Serve, origin: Origin
) -> None:
    """The same mark as before, and so the same picture, which is here."""
    control = "max-age=0, stale-while-revalidate=0, stale-if-error=0"

    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=RED_LOGO, headers={"Cache-Control": control, "Content-Type": "image/png"})

    origin.answer = answer
    server = serve(source(origin))
    target = "/images/local/scene.jpg?w=90&mark=web/logo.png&fm=png"
    first, body = await get(server, target)
    assert first.headers["Cache-Control"].startswith("public")
    control = "no-store"
    second, same = await get(server, target)
    assert (second.headers["Cache-Control"], "hit" in second.headers["Cache-Status"], same) == ("no-store", True, body)


async def test_a_purged_mark_is_fetched_again_at_once(serve: Serve, origin: Origin) -> None:
    logo = RED_LOGO

    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=logo, headers={"Cache-Control": "max-age=9999", "Content-Type": "image/png"})

    origin.answer = answer
    server = serve(source(origin))
    target = "/images/local/scene.jpg?w=90&mark=web/logo.png&mark-align=top,left&mark-pad=0&fm=png"
    for _ in range(3):
        assert close(list(await corner(server, target)), RED)
    logo = BLUE_LOGO
    purge = {"source": "web", "path": "logo.png"}
    async with aiohttp.ClientSession() as session, session.post(server.admin + "/purge", json=purge) as purged:
        assert purged.status == 200
    assert close(list(await corner(server, target)), BLUE)


@pytest.mark.parametrize(
    ("target", "status", "detail"),
    [
        ("/images/local/scene.jpg?w=9&mark=local/nothere.png", 404, "the mark that is laid over it: there is no such file"),
        ("/images/local/scene.jpg?w=9&mark=local/page.html", 422, "the mark that is laid over it: the original does not begin"),
        ("/images/local/scene.jpg?w=9&mark=local/cut.jpg", 422, "the mark that is laid over it"),
        ("/images/local/scene.jpg?w=9&mark=nobody/a.png", 404, "the mark is of a source 'nobody'"),
        ("/images/local/scene.jpg?w=9&mark=local/../../etc/passwd", 400, ""),
        ("/images/local/scene.jpg?w=9&mark=local", 400, "mark must be NAME/PATH"),
        (
            "/images/local/scene.jpg?w=9&txt=Hi&txt-font=Boxes+Tost",
            400,
            "there is no font 'Boxes Tost'; did you mean Boxes Test?",
        ),
        ("/images/local/scene.jpg?w=9&txt=a%07b", 400, "txt must be"),
        ("/unsafe/wm:1/wmt:PGI-eA/plain/local:///scene.jpg", 400, "not markup that Pango reads"),
        ("/unsafe/ra:magic/plain/local:///scene.jpg", 404, "ra must be nearest"),
        ("/unsafe/wm:1/wmu:czM6Ly9hL2I/plain/local:///scene.jpg", 404, "no pictures from s3"),
        ("/unsafe/msr:1/plain/local:///scene.jpg", 403, "lets no URL say msr"),
        (f"/unsafe/hs:md5:{'0' * 32}/plain/local:///scene.jpg", 422, "md5 is not the one"),
    ],
)
async def test_what_is_wrong_is_said(texts: Server, target: str, status: int, detail: str) -> None:
    answer, body = await get(texts, target)
    assert answer.status == status, body
    assert detail in body.decode()


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server for the tests that only ask, with a red logo and a font."""
    directory = tmp_path_factory.mktemp("texts")
    root = with_logo(directory / "root")
    write_font(directory / "boxes.ttf")
    fonts = f'[text]\nfonts = ["{directory / "boxes.ttf"}"]\nfont = "{NAME}"'
    text = f'{DOOR}\n{fonts}\n[sources.web]\ntype = "http"\nallow = ["*.test"]'
    server = start(directory / "server", configuration(root, directory / "cache", text))
    yield server
    end(server)


async def test_words_in_a_font_that_only_the_settings_name(texts: Server) -> None:
    """The render process, which may read next to nothing, may read it. A letter is a box of 0.8 of its size."""
    _, plainly = await get(texts, "/images/local/scene.jpg?w=160&fm=png")
    for font in ("", f"&txt-font={NAME.replace(' ', '+').lower()}"):
        target = f"/images/local/scene.jpg?w=160&fm=png&txt=H&txt-size=50&txt-align=top,left&txt-pad=0&txt-color=0000ff{font}"
        answer, body = await get(texts, target)
        assert answer.status == 200, body
        image, before = opened(body), opened(plainly)
        assert all(close(image(*point)[:3], (0, 0, 255), 2) for point in ((2, 2), (37, 37)))
        assert image(45, 45) == before(45, 45)


async def test_imgproxys_watermarks(texts: Server) -> None:
    for options, color in (
        ("wm:1:nowe", RED),
        (f"wm:1:nowe/wmu:{b64('local:///logo.png')}/wms:20", RED),
        ("wm:1:re", RED),
        (f"wm:1:nowe/wmt:{b64('<span foreground=' + chr(34) + 'blue' + chr(34) + '>H</span>')}", (0, 0, 255)),
    ):
        answer, body = await get(texts, f"/unsafe/w:160/{options}/f:png/plain/local:///scene.jpg")
        assert answer.status == 200, body
        assert close(opened(body)(5, 5)[:3], color), options


async def test_both_doors_share_a_picture_with_a_mark(texts: Server) -> None:
    _, first = await get(texts, "/images/local/scene.jpg?w=160&fit=max&mark=local/logo.png&mark-alpha=50&fm=png")
    answer, second = await get(texts, "/unsafe/w:160/wm:0.5:soea:10:10/f:png/plain/local:///scene.jpg")
    assert first == second
    assert "hit" in answer.headers["Cache-Status"]


async def test_a_chain(texts: Server) -> None:
    answer, body = await get(texts, "/unsafe/rs:fill:100:50/pd:10/bg:ff0000/-/rot:90/w:35/f:png/plain/local:///scene.jpg")
    image = opened(body)
    assert (answer.status, image.width, image.height) == (200, 35, 60)
    assert close(image(1, 1), (255, 0, 0), 12)


async def test_a_fallback_of_the_urls_own(texts: Server) -> None:
    options = f"w:20/fiu:{b64('local:///logo.png')}/f:png"
    another = f"hs:md5:{'0' * 32}/"  # of the picture, and not of what stands in for it
    for sum, broken in (("", "nothere.jpg"), ("", "cut.jpg"), ("", "page.html"), (another, "scene.jpg")):
        answer, body = await get(texts, f"/unsafe/{sum}{options}/plain/local:///{broken}")
        assert answer.status == 200, body
        assert close(opened(body)(5, 5)[:3], RED)
        assert answer.headers["Cache-Control"].startswith("public, max-age=10")
        assert answer.headers["Imgproxy-Error"]
    answer, body = await get(texts, f"/unsafe/{options}/plain/local:///scene.jpg")
    assert "Imgproxy-Error" not in answer.headers
    assert opened(body).height == 15
    answer, _ = await get(texts, f"/unsafe/fiu:{b64('local:///gone.png')}/plain/local:///nothere.jpg")
    assert answer.status == 404


async def test_hash_sums_are_of_the_original(texts: Server, root: Path) -> None:
    right = hashlib.sha256((root / "scene.jpg").read_bytes()).hexdigest()
    answer, _ = await get(texts, f"/unsafe/w:20/hs:sha256:{right}/plain/local:///scene.jpg")
    assert answer.status == 200


async def test_the_original_goes_out_as_it_is_where_it_is_skipped(texts: Server, root: Path) -> None:
    answer, body = await get(texts, "/unsafe/w:20/skp:gif/plain/local:///moving.gif")
    assert (answer.status, answer.content_type) == (200, "image/gif")
    assert body == (root / "moving.gif").read_bytes()


HINTS = {"width": "Sec-CH-Width, Width", "dpr": "Sec-CH-DPR, DPR", "save-data": "Save-Data"}


@pytest.mark.parametrize(
    ("query", "headers", "size", "vary", "accept_ch"),
    [
        ("ch=width", {"Sec-CH-Width": "120"}, (150, 113), HINTS["width"], HINTS["width"]),
        ("ch=width", {"Width": "150"}, (150, 113), HINTS["width"], HINTS["width"]),
        ("ch=width", {"Sec-CH-Width": "9000"}, (320, 240), HINTS["width"], HINTS["width"]),
        ("ch=width", {}, (320, 240), HINTS["width"], HINTS["width"]),
        ("ch=width", {"Sec-CH-Width": "1e9"}, (320, 240), HINTS["width"], HINTS["width"]),
        ("ch=width&h=50&fit=crop", {"Sec-CH-Width": "100"}, (100, 50), HINTS["width"], HINTS["width"]),
        ("ch=width&w=40", {"Sec-CH-Width": "100"}, (40, 30), "", ""),
        ("ch=dpr&w=40", {"Sec-CH-DPR": "1.9"}, (80, 60), HINTS["dpr"], HINTS["dpr"]),
        ("ch=dpr&w=40&dpr=3", {"Sec-CH-DPR": "2"}, (120, 90), "", ""),
        ("ch=dpr,width&w=40", {"DPR": "2", "Width": "9"}, (80, 60), HINTS["dpr"], HINTS["dpr"]),
        ("ch=save-data&w=40", {"Save-Data": "on"}, (40, 30), HINTS["save-data"], ""),
        ("w=40", {"Sec-CH-DPR": "2", "Sec-CH-Width": "99", "Save-Data": "on"}, (40, 30), "", ""),
    ],
)
async def test_client_hints(
    site: Server, query: str, headers: dict[str, str], size: tuple[int, int], vary: str, accept_ch: str
) -> None:
    for _ in range(3):
        answer, body = await get(site, f"/images/local/scene.jpg?{query}&fm=jpg", **headers)
        assert answer.status == 200, body
        image = opened(body)
        assert (image.width, image.height) == size
        assert answer.headers.get("Vary", "") == vary
        assert answer.headers.get("Accept-CH", "") == accept_ch


async def test_who_saves_data_gets_less_of_it(site: Server) -> None:
    target = "/images/local/scene.jpg?ch=save-data&w=200&fm=jpg"
    _, usual = await get(site, target)
    _, saved = await get(site, target, **{"Save-Data": "on"})
    _, asked = await get(site, f"/images/local/scene.jpg?w=200&fm=jpg&q={SAVING_QUALITY}")
    assert saved == asked
    assert len(saved) < len(usual)
    answer, _ = await get(site, "/images/local/scene.jpg?ch=save-data&w=200", Accept=CHROME)
    assert answer.headers["Vary"] == "Accept, Save-Data"


async def test_a_mark_over_what_moves(serve: Serve, shelf: Path) -> None:
    server = serve(pictures=shelf)
    _, body = await get(server, "/images/local/moving.gif?mark=local/logo.png&mark-scale=30&fm=gif")
    assert pictures.opened(body).get("n-pages") > 1
