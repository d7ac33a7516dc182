"""Templates through the real server: variables in the URL, pictures and what stands for them, versions, and hostile values."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import numpy
import pytest
import zxingcpp
from aiohttp import web

from tests.e2e.conftest import Serve, Server, configuration, end, small_disk, start, write_pictures
from tests.e2e.test_origin import PICTURE, Origin, origin, source, sum_of
from tests.e2e.test_pictures import get
from tests.pictures import opened
from tests.unit.render.drawing import RED, close, plain

__all__ = ["origin"]

EXAMPLES = Path(__file__).parents[2] / "config" / "templates"
CARD = {
    "variables": {"name": {"default": "friend"}, "photo": {}, "accent": {"default": "#ff0000"}, "w": {}, "tier": {}},
    "fallback": "local/clear.png",
    "canvas": {"width": 400, "height": 200, "background": "#ffffff"},
    "layers": [
        {"type": "shape", "name": "ground", "x": 0, "y": 150, "w": 400, "h": 50, "fill": "#0000ff"},
        {"type": "text", "name": "hello", "x": 20, "y": 20, "w": 200, "h": 60, "fit": True, "text": "Hi {{ name }} {{ w }}"},
        {
            "type": "image",
            "name": "photo",
            "x": 300,
            "y": 20,
            "w": 80,
            "h": 80,
            "picture": "{{ photo }}",
            "when": {"variable": "photo"},
        },
        {"type": "shape", "name": "dot", "x": 240, "y": 20, "w": 40, "h": 40, "fill": "{{ accent }}"},
        {
            "type": "shape",
            "name": "gold",
            "x": 240,
            "y": 80,
            "w": 40,
            "h": 40,
            "fill": "#00ff00",
            "when": {"variable": "tier", "equals": "gold"},
        },
    ],
}
BARE = {key: value for key, value in CARD.items() if key != "fallback"}


def template(color: str) -> dict[str, Any]:
    squares = [{"type": "shape", "name": f"s{n}", "x": 10 * n, "w": 10, "h": 10, "fill": color} for n in range(8)]
    return {"canvas": {"width": 80, "height": 10}, "layers": squares}


def write(directory: Path, **templates: Any) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    for name, document in templates.items():
        draft = directory / f"{name}.draft"
        draft.write_text(document if isinstance(document, str) else json.dumps(document))
        draft.rename(directory / f"{name}.json")
    return directory


def section(directory: Path) -> str:
    return f'[templates]\ndirectory = "{directory}"\n'


@pytest.fixture(scope="module")
def press(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with the examples of the package, and the templates above."""
    directory = tmp_path_factory.mktemp("press")
    root = write_pictures(directory / "root")
    (root / "red.png").write_bytes(plain(100, 50, RED).pngsave_buffer())
    endless = {"canvas": {"width": 10, "height": 10, "picture": "template/endless"}, "layers": []}
    shelf = write(directory / "templates", card=CARD, bare=BARE, endless=endless)
    for path in EXAMPLES.glob("*.json"):
        write(shelf, **{path.stem: path.read_text()})
    server = start(directory / "server", configuration(root, directory / "cache", section(shelf)))
    yield server
    end(server)


async def metrics(server: Server) -> str:
    async with aiohttp.ClientSession() as client, client.get(f"{server.admin}/metrics") as answer:
        return await answer.text()


async def drawn(server: Server, target: str) -> Any:
    """The pixels, height × width × 3."""
    answer, body = await get(server, f"{target}{'&' if '?' in target else '?'}fm=png")
    assert answer.status == 200, body
    return opened(body).extract_band(0, n=3).numpy().astype(int)


@pytest.mark.parametrize(
    ("path", "size"),
    [
        ("welcome-banner?name=Alexandra&photo=local/scene.jpg", (1200, 400)),
        ("product-offer?v.title=Shoe&product=local/scene.jpg&discount=20", (1080, 1080)),
        ("event-ticket?guest=Zo%C3%AB&seat=a12&tier=gold", (1200, 480)),
        ("social-card?v.title=On+pictures&author=Sam&picture=local/large.jpg", (1200, 630)),
        ("certificate?name=Ada&verify=https://example.com/1", (1400, 990)),
    ],
)
async def test_the_examples_are_drawn(press: Server, path: str, size: tuple[int, int]) -> None:
    plainly, _, _ = path.partition("?")
    with_values, without = [await drawn(press, f"/images/template/{each}") for each in (path, plainly)]
    assert with_values.shape == without.shape == (size[1], size[0], 3)
    assert (with_values != without).any()


async def test_a_template_is_a_picture_like_any_other(press: Server) -> None:
    answer, body = await get(press, "/images/template/card?name=Alex&w=200", Accept="image/webp")
    assert (answer.status, answer.headers["Content-Type"], answer.headers["Vary"]) == (200, "image/webp", "Accept")
    assert opened(body).width == 200
    again, _ = await get(press, "/images/template/card?w=200&v.name=Alex", Accept="image/webp")
    assert "hit" in again.headers["Cache-Status"]
    tag = {"If-None-Match": answer.headers["ETag"]}
    assert (await get(press, "/images/template/card?name=Alex&w=200", Accept="image/webp", **tag))[0].status == 304
    other, _ = await get(press, "/images/template/card?name=Sam&w=200", Accept="image/webp")
    assert other.headers["ETag"] != answer.headers["ETag"]


async def test_a_variable_that_is_called_like_an_option_has_its_prefix(press: Server) -> None:
    narrow, wide = [await drawn(press, f"/images/template/card?{each}") for each in ("w=100", "v.w=100")]
    assert (narrow.shape[1], wide.shape[1]) == (100, 400)


async def test_words_are_in_their_box_and_nowhere_else(press: Server) -> None:
    one, other = [
        await drawn(press, f"/images/template/card?name={each}") for each in ("Alex", "Wilhelmina+the+Great+of+Nowhere")
    ]
    rows, columns = numpy.nonzero((one != other).any(axis=2))
    assert len(rows) > 100
    assert (rows.min() >= 20, rows.max() < 80, columns.min() >= 20, columns.max() < 220) == (True, True, True, True)


async def test_layers_are_there_when_they_are_to_be(press: Server) -> None:
    for tier, color in (("gold", [0, 255, 0]), ("silver", [255, 255, 255]), ("", [255, 255, 255])):
        assert list((await drawn(press, f"/images/template/card?tier={tier}"))[100, 260]) == color


async def test_pictures_and_colours_come_from_variables(press: Server) -> None:
    pixels = await drawn(press, "/images/template/card?photo=local/red.png&accent=%2300ff00")
    assert close(list(pixels[60, 340]), RED)
    assert list(pixels[40, 260]) == [0, 255, 0]
    assert list(pixels[180, 200]) == [0, 0, 255]


@pytest.mark.parametrize(
    "data", ["https://example.com/ticket/42?a=b&c=d", "Zoë — 席 😀", "0123456789", "{{ code }}", "x" * 300]
)
async def test_codes_are_read_back(press: Server, data: str) -> None:
    pixels = await drawn(press, f"/images/template/event-ticket?code={quote(data)}")
    (found,) = zxingcpp.read_barcodes(pixels.astype("uint8"), formats=zxingcpp.BarcodeFormat.QRCode)
    assert found.text == data


@pytest.mark.parametrize(
    "value",
    [
        "<b>bold</b>",
        "{{ name }}",
        "a\r\nb",
        "&amp;",
        "مرحبا بالعالم",
        "नमस्ते",
        "日本語",
        "😀👩‍👧",
        "\u200b\u200d",
        "\x01\x1b[2J",
        "%",
        "a" * 1990,
    ],
)
async def test_values_are_data(press: Server, value: str) -> None:
    pixels = await drawn(press, f"/images/template/card?name={quote(value)}")
    rest = await drawn(press, "/images/template/card?name=x")
    rows, columns = numpy.nonzero((pixels != rest).any(axis=2))
    assert len(rows) == 0 or (rows.min() >= 20 and rows.max() < 80 and columns.min() >= 20 and columns.max() < 220)


@pytest.mark.parametrize(
    ("target", "status", "message"),
    [
        ("/images/template/absent", 404, "there is no such template"),
        ("/images/template/Card", 400, "small letters"),
        ("/images/template/../card", 400, ""),
        ("/images/template/card?nmae=x", 400, "did you mean name?"),
        ("/images/template/card?name=x&name=y", 400, "given twice"),
        ("/images/template/card?name=x&v.name=y", 400, "given twice"),
        ("/images/template/card?accent=reddish", 400, "a colour is written"),
        (f"/images/template/card?name={'a' * 2001}", 400, "at most 2000 are taken"),
        ("/images/template/card?name=%zz", 400, ""),
        ("/images/template/card%3Fname=x", 400, "stand in the query"),
        (f"/images/template/event-ticket?code={'%C3%A9' * 600}", 400, "at most 1000 are drawn as a QR code"),
        ("/images/template/bare?photo=local/absent.jpg", 404, "the picture of photo"),
        ("/images/template/bare?photo=absent/x.jpg", 404, "there is no source"),
        ("/images/template/bare?photo=local/page.html", 422, "no picture in any format"),
        ("/images/template/bare?photo=http://127.0.0.1/x.jpg", 403, ""),
        ("/images/template/bare?photo=file:///etc/passwd", 404, ""),
        ("/images/template/bare?photo=~fallback/x", 404, ""),
        ("/images/template/bare?photo=template/bare", 400, "and no templates"),
        ("/images/template/endless", 400, "and no templates"),
    ],
)
async def test_what_is_wrong_is_said(press: Server, target: str, status: int, message: str) -> None:
    answer, body = await get(press, target)
    assert answer.status == status, body
    assert message in json.loads(body)["detail"]


@pytest.mark.parametrize(
    "photo",
    [
        "local/absent.jpg",
        "local/page.html",
        "local/empty.jpg",
        "http://127.0.0.1:1/x.jpg",
        "http://169.254.169.254/x",
        "nonsense",
    ],
)
async def test_another_picture_stands_for_one_that_cannot_be_had(press: Server, photo: str) -> None:
    target = f"/images/template/card?photo={quote(photo)}&accent=%23{abs(hash(photo)) % 0xFFFFFF:06x}"
    for _ in range(2):
        answer, body = await get(press, target)
        assert answer.status == 200, body
        assert answer.headers["Imgproxy-Fallback"] == "photo"
        assert "max-age=10" in answer.headers["Cache-Control"]
    (counted,) = re.findall(r"^imgproxy_template_fallbacks_total (\d+)", await metrics(press), re.MULTILINE)
    assert int(counted) >= 1


async def test_laid_over_another_picture_it_is_good_for_no_longer(press: Server) -> None:
    mark = quote("template/card?photo=local/absent.jpg&tier=gold")
    for _ in range(2):
        answer, body = await get(press, f"/images/local/scene.jpg?w=120&mark={mark}")
        assert answer.status == 200, body
        assert "max-age=10" in answer.headers["Cache-Control"].split(", ")


async def test_what_a_template_takes_is_counted(serve: Serve, origin: Origin, tmp_path: Path) -> None:
    server = serve(section(write(tmp_path / "templates", card=CARD)) + source(origin))
    answer, body = await get(server, "/images/template/card?photo=web/a.jpg")
    assert (answer.status, "Imgproxy-Fallback" in answer.headers) == (200, False), body
    text = await metrics(server)
    assert sum_of(text, "imgproxy_origin_bytes_total") == len(PICTURE)
    assert sum_of(text, "imgproxy_render_seconds_count") == 2  # the canvas, and what was made of it


async def test_a_picture_on_it_is_as_old_as_it_is(serve: Serve, origin: Origin, tmp_path: Path) -> None:
    """What was drawn once says at each answer for how long the pictures on it are still good, and not what it was then."""
    server = serve(section(write(tmp_path / "templates", card=CARD)) + source(origin))
    told = {"Cache-Control": "max-age=0, stale-while-revalidate=0", "ETag": '"v1"'}

    async def answer(request: web.Request) -> web.Response:
        if request.headers.get("If-None-Match") == '"v1"':
            return web.Response(status=304, headers=told)
        return web.Response(body=PICTURE, headers=told)

    origin.answer = answer
    target = "/images/template/card?photo=web/a.jpg"
    first, _ = await get(server, target)
    assert first.headers["Cache-Control"].startswith("public, max-age=0")
    told |= {"Cache-Control": "max-age=5000", "Age": "1000"}
    left = 0
    async with asyncio.timeout(20):
        while not left:
            again, _ = await get(server, target)
            left = seconds_left(again)
            assert again.headers["ETag"] == first.headers["ETag"]
    part, _ = await get(server, target, Range="bytes=0-9")
    for each, status in (again, 200), (part, 206):
        assert (each.status, each.headers["Age"]) == (status, "0")
        assert 3900 < seconds_left(each) <= 4000
    assert sum_of(await metrics(server), "imgproxy_render_seconds_count") == 2  # the canvas, and what was made of it


def seconds_left(answer: aiohttp.ClientResponse) -> int:
    return int(answer.headers["Cache-Control"].split("max-age=")[1].split(",")[0])


async def test_a_picture_that_one_template_cannot_draw_is_shown_by_others(serve: Serve, tmp_path: Path) -> None:
    photo = {"type": "image", "name": "photo", "w": 80, "h": 80, "picture": "local/scene.jpg"}
    beside = photo | {"transform": "rect=9000,9000,10,10"}
    canvas = {"width": 80, "height": 80}
    shelf = write(
        tmp_path / "templates",
        fine={"canvas": canvas, "layers": [photo]},
        beside={"canvas": canvas, "layers": [beside]},
    )
    server = serve(section(shelf))
    answers = [(await get(server, f"/images/template/{id}?fm=png"))[0] for id in ("beside", "fine", "beside")]
    assert [each.status for each in answers] == [422, 200, 422]


async def test_a_picture_that_turns_out_to_be_broken_is_replaced(serve: Serve, tmp_path: Path) -> None:
    root = write_pictures(tmp_path / "pictures")
    (root / "torn.png").write_bytes(plain(300, 300, RED).pngsave_buffer()[:200])
    server = serve(section(write(tmp_path / "templates", card=CARD)), pictures=root)
    first, body = await get(server, "/images/template/card?photo=local/torn.png")
    assert first.status == 200, body
    second, _ = await get(server, "/images/template/card?photo=local/torn.png")
    assert first.headers["Imgproxy-Fallback"] == second.headers["Imgproxy-Fallback"] == "photo"


async def test_a_broken_picture_is_let_go_of(serve: Serve, tmp_path: Path) -> None:
    """For a while it is known that it is broken; whoever hears that keeps no file of it open."""
    root = write_pictures(tmp_path / "pictures")
    (root / "torn.png").write_bytes(plain(300, 300, RED).pngsave_buffer()[:200])
    server = serve(section(write(tmp_path / "templates", card=CARD)), pictures=root)
    (pid,) = server.children("web")

    def held() -> int:
        count = 0
        for each in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(FileNotFoundError):  # it was closed meanwhile
                count += each.readlink().name == "torn.png"
        return count

    for number in range(20):
        answer, _ = await get(server, f"/images/template/card?photo=local/torn.png&name={number}")
        assert answer.headers["Imgproxy-Fallback"] == "photo"
    assert held() == 0


async def test_where_nothing_stands_for_a_picture_the_default_one_does(serve: Serve, tmp_path: Path, root: Path) -> None:
    server = serve(section(write(tmp_path / "templates", bare=BARE)) + f'[fallback]\nimage = "{root / "clear.png"}"\n')
    answer, body = await get(server, "/images/template/bare?photo=local/absent.jpg&w=50")
    assert (answer.status, answer.headers["Imgproxy-Error"], opened(body).width) == (200, "source-not-found", 50)


async def test_one_readers_url_is_not_anothers(serve: Serve, tmp_path: Path) -> None:
    server = serve(section(write(tmp_path / "templates", card=CARD)), unsigned="never")
    signed = server.sign("/images/template/card?name=Alex&w=100")
    assert (await get(server, signed))[0].status == 200
    for forged in (signed.replace("Alex", "Sam"), signed.replace("name=Alex", "v.name=Alex"), signed.replace("w=100", "w=101")):
        assert (await get(server, forged))[0].status == 403


async def test_what_does_not_depend_on_variables_is_drawn_once(serve: Serve, tmp_path: Path) -> None:
    server = serve(section(write(tmp_path / "templates", card=CARD)))
    answers = await asyncio.gather(*(get(server, f"/images/template/card?name=Reader+{n}&w=100") for n in range(12)))
    assert {answer.status for answer, _ in answers} == {200}
    assert len({answer.headers["ETag"] for answer, _ in answers}) == 12
    kept = [path for path in (tmp_path / "cache" / "renditions").rglob("*") if path.is_file() and path.stat().st_size > 1000]
    assert len(kept) == 1


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """One of 1 MB, which has no room for the base of the certificate."""
    with small_disk(tmp_path / "cache", 1) as made:
        yield made


async def test_a_full_disk_is_no_reason_not_to_draw(disk: Path, tmp_path: Path, root: Path) -> None:
    server = start(tmp_path / "server", configuration(root, disk, section(EXAMPLES)))
    for name in ("Ada", "Grace"):
        answer, body = await get(server, f"/images/template/certificate?name={name}&w=700&fm=jpg")
        assert answer.status == 200, body
        assert opened(body).width == 700
    end(server)


async def test_files_are_read_anew_when_told_to(serve: Serve, tmp_path: Path) -> None:
    shelf = write(tmp_path / "templates", squares=template("#ff0000"))
    server = serve(section(shelf))
    assert list((await drawn(server, "/images/template/squares"))[5, 5]) == [255, 0, 0]
    write(shelf, squares=template("#0000ff"), late=template("#00ff00"))
    server.process.send_signal(signal.SIGHUP)
    assert server.wait_for("reloaded")["what"] == "templates"
    assert list((await drawn(server, "/images/template/late"))[5, 5]) == [0, 255, 0]
    await eventually(server, "/images/template/squares", [0, 0, 255])
    write(shelf, squares='{"canvas": {"width": -1}}')
    server.process.send_signal(signal.SIGHUP)
    assert "squares.json: canvas.width" in server.wait_for("not-reloaded")["reason"]
    assert list((await drawn(server, "/images/template/squares"))[5, 5]) == [0, 0, 255]


async def test_files_that_were_refused_do_not_keep_a_process_from_being_replaced(serve: Serve, tmp_path: Path) -> None:
    shelf = write(tmp_path / "templates", squares=template("#ff0000"), late=template("#00ff00"))
    server = serve(section(shelf))
    write(shelf, squares='{"canvas": {"width": -1}}', late=template("#0000ff"))
    server.process.send_signal(signal.SIGHUP)
    refused = server.wait_for("not-reloaded")
    (process,) = server.children("web")
    os.kill(process, signal.SIGKILL)
    server.wait_for("replaced")
    again = server.wait_for("not-reloaded", lambda line: line is not refused)
    assert again["reason"] == refused["reason"]
    for name, color in (("squares", [255, 0, 0]), ("late", [0, 255, 0])):
        # Of a size that nothing in the cache has.
        assert list((await drawn(server, f"/images/template/{name}?w=79"))[5, 5]) == color


async def test_versions_are_never_mixed(serve: Serve, tmp_path: Path) -> None:
    colors = [f"#{n * 20:02x}80ff" for n in range(8)]
    shelf = write(tmp_path / "templates", squares=template(colors[0]))
    server = serve(section(shelf))
    done = asyncio.Event()
    seen: set[tuple[int, ...]] = set()

    async def look() -> None:
        n = 0
        while not done.is_set():
            n += 1
            pixels = await drawn(server, f"/images/template/squares?dpr=1&w={40 + n % 40}")
            (color,) = {tuple(each) for each in pixels[2, ::4]}
            seen.add(color)

    async def change() -> None:
        for color in colors[1:]:
            write(shelf, squares=template(color))
            before = sum(line["event"] == "reloaded" for line in server.lines)
            server.process.send_signal(signal.SIGHUP)
            await asyncio.to_thread(server.wait_for, "reloaded", lambda _, before=before: count(server) > before)
            await drawn(server, "/images/template/squares")
        done.set()

    await asyncio.gather(look(), look(), change())
    assert len(seen) >= 1


def count(server: Server) -> int:
    return sum(line["event"] == "reloaded" for line in server.lines)


async def eventually(
    server: Server, target: str, color: list[int], patience: Callable[[int], bool] = lambda n: n < 100
) -> None:
    """What a template is is believed for a second."""
    n = 0
    while list((await drawn(server, target))[5, 5]) != color:
        n += 1
        assert patience(n), "the new one was never shown"
        await asyncio.sleep(0.05)


def test_a_broken_template_keeps_the_server_from_starting(tmp_path: Path, root: Path) -> None:
    shelf = write(tmp_path / "templates", squares='{"canvas": {}}')
    config = tmp_path / "imgproxy.toml"
    config.write_text(configuration(root, tmp_path / "cache", section(shelf)))
    for command in ("serve", "check"):
        said = subprocess.run([sys.executable, "-m", "imgproxy", command, "--config", config], capture_output=True, check=False)
        assert said.returncode != 0
        assert b"templates.directory: " in said.stderr
        assert b"squares.json: canvas: Object missing required field `width`" in said.stderr
