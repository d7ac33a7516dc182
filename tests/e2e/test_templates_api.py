"""Templates by way of the API: kept, tried, drawn into hosted pictures at once or later, with webhooks that are told of it."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests import pictures
from tests.e2e.conftest import Server, configuration, start
from tests.e2e.test_hosting import Hosting, jpeg

JSON = "application/json"
SECONDS = 60
SHARED = {
    "title": "A file",
    "canvas": {"width": 8, "height": 8, "picture": "local/a.jpg"},
    "variables": {"photo": {}, "name": {"default": "a"}},
    "layers": [
        {"type": "image", "name": "open", "w": 4, "h": 4, "picture": "{{ photo }}", "when": {"variable": "photo"}},
        {"type": "image", "name": "placed", "x": 4, "w": 4, "h": 4, "picture": "local/{{ name }}.jpg"},
    ],
}
CARD = {
    "title": "Card",
    "canvas": {"width": 120, "height": 60, "background": "#ffffff"},
    "variables": {"name": {"default": "friend"}, "photo": {}},
    "layers": [
        {"type": "shape", "name": "box", "x": 100, "y": 40, "w": 20, "h": 20, "fill": "#0000ff"},
        {"type": "image", "name": "photo", "w": 20, "h": 20, "picture": "{{ photo }}", "when": {"variable": "photo"}},
        {"type": "text", "name": "words", "x": 10, "y": 10, "size": 20, "text": "Hello {{ name }}"},
    ],
}

SETTINGS = """
[library]
enabled = true
directory = "{directory}"
rate = 100000
template_sources = ["shop"]
[library.webhooks]
allow = ["127.0.0.1:{port}", "127.0.0.1:9"]
allow_networks = ["127.0.0.1/32:{port}"]
retry = 0.02
attempts = 4
[sources.shop]
type = "files"
root = "{root}"
[templates]
directory = "{templates}"
"""


class Receiver(BaseHTTPRequestHandler):
    """Of webhooks. /flaky takes the third call, /elsewhere redirects, anything else takes the first."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        server = self.server
        assert isinstance(server, Receiving)
        with server.news:
            server.calls.append((self.path, dict(self.headers.items()), body))
            count = sum(path == self.path for path, _, _ in server.calls)
            server.news.notify_all()
        status = {"/flaky": 500 if count < 3 else 200, "/elsewhere": 307, "/gone": 410}.get(self.path, 204)
        self.send_response(status)
        if status == 307:  # after which a call would be repeated as it is
            self.send_header("Location", "/taken")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None: ...


class Receiving(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Receiver)
        self.calls: list[tuple[str, dict[str, str], bytes]] = []
        self.news = threading.Condition()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def wait(self, path: str, count: int = 1) -> list[tuple[dict[str, str], bytes]]:
        deadline = time.monotonic() + SECONDS
        with self.news:
            while len(found := [(headers, body) for each, headers, body in self.calls if each == path]) < count:
                assert self.news.wait(deadline - time.monotonic()), self.calls
        return found


@dataclass
class Site:
    """`hosting` asks as the tenant "shop"."""

    hosting: Hosting
    receiver: Receiving
    text: str
    directory: Path
    keys: dict[str, str] = field(default_factory=dict)

    async def ask(self, method: str, path: str, body: Any = None, *, key: str = "", **headers: str) -> tuple[int, Any, Any]:
        data = json.dumps(body) if body is not None else None
        sent = {"Content_Type": JSON} if body is not None else {}
        return await self.hosting.ask(method, path, key=key, data=data, **sent, **headers)

    async def make(self, document: dict[str, Any] = CARD) -> str:
        status, said, response = await self.ask("POST", "/v1/templates", document)
        assert status == 201, said
        id = said["response"]["id"]
        assert response.headers["Location"] == f"/v1/templates/{id}"
        return str(id)

    async def until(self, job: str, done: int) -> dict[str, Any]:
        """The job when so many of its rows have come out."""
        deadline = time.monotonic() + SECONDS
        while True:
            status, said, _ = await self.ask("GET", f"/v1/jobs/{job}")
            assert status == 200, said
            told: dict[str, Any] = said["response"]
            if told["progress"]["done"] + told["progress"]["failed"] >= done:
                return told
            assert time.monotonic() < deadline, told
            await asyncio.sleep(0.01)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("templates")
    for each in ("root", "templates"):
        (directory / each).mkdir()
    (directory / "root" / "a.jpg").write_bytes(jpeg(61))
    (directory / "templates" / "shared.json").write_text(json.dumps(SHARED))
    with ExitStack() as stack:
        receiver = Receiving()
        threading.Thread(target=receiver.serve_forever, daemon=True).start()
        stack.callback(receiver.server_close)
        stack.callback(receiver.shutdown)
        text = SETTINGS.format(
            directory=directory / "library",
            port=receiver.server_address[1],
            templates=directory / "templates",
            root=directory / "root",
        )
        text = configuration(directory / "root", directory / "cache", text, web=2, unsigned="never")
        server = start(directory / "server", text)
        hosting = Hosting(server, directory / "server" / "imgproxy.toml", directory / "library", "", "")
        made = Site(hosting, receiver, text, directory)
        stack.callback(lambda: end(made.hosting.server))
        hosting.key = hosting.apikey("create", "--tenant", "shop", "--scopes", "read,write,delete")
        made.keys["other"] = hosting.apikey("create", "--tenant", "other", "--scopes", "read,write,delete")
        made.keys["reader"] = hosting.apikey("create", "--tenant", "shop", "--scopes", "read")
        yield made


def end(server: Server, number: int = signal.SIGTERM) -> None:
    server.stop(number)
    server.wait_for("eof")
    assert server.process.stderr is not None
    server.process.stderr.close()


async def test_the_life_of_a_template(site: Site) -> None:
    id = await site.make()
    one = f"/v1/templates/{id}"
    status, said, response = await site.ask("GET", one)
    told = said["response"]
    assert (status, told["title"], told["variables"], told["read_only"]) == (200, "Card", ["name", "photo"], False)
    assert told["document"]["layers"][2]["text"] == "Hello {{ name }}"
    etag = response.headers["ETag"]
    assert etag == f'"{told["version"]}"'
    changed = {**CARD, "canvas": {"width": 60, "height": 30}}
    status, said, response = await site.ask("PUT", one, changed, If_Match=etag)
    assert (status, said["response"]["width"]) == (200, 60)
    assert response.headers["ETag"] != etag
    for tag in (etag, f"W/{response.headers['ETag']}", "nonsense"):
        for method in ("PUT", "DELETE"):
            status, said, _ = await site.ask(method, one, changed if method == "PUT" else None, If_Match=tag)
            assert (status, said["code"]) == (412, "precondition-failed"), tag
    for _ in range(4):  # whichever process answers
        _, drawn, response = await site.ask("GET", f"{one}/preview")
        assert (pictures.opened(drawn).width, response.headers["Cache-Control"]) == (60, "no-store")
    assert (await site.ask("DELETE", one))[0] == 200
    for _ in range(4):
        for path in (one, f"{one}/preview", site.hosting.server.sign(f"/images/template/{id}?w=20")):
            assert (await site.ask("GET", path))[0] == 404


async def test_a_signed_url_never_shows_an_old_version(site: Site) -> None:
    id = await site.make({**CARD, "layers": [], "canvas": {"width": 8, "height": 8, "background": "#ff0000"}})
    target = site.hosting.server.sign(f"/images/template/{id}?w=8&fm=png&v.name=Ann")
    for colour in ("#00ff00", "#0000ff", "#ff0000"):
        plain = {**CARD, "layers": [], "canvas": {"width": 8, "height": 8, "background": colour}}
        await site.ask("PUT", f"/v1/templates/{id}", plain)
        for _ in range(4):
            _, drawn, _ = await site.hosting.ask("GET", target, key=None)
            image = pictures.opened(drawn)
            assert "#{:02x}{:02x}{:02x}".format(*(int(each) for each in image(1, 1)[:3])) == colour


async def test_templates_in_pages_with_the_files_before_them(site: Site) -> None:
    key = site.hosting.apikey("create", "--tenant", "pages")
    made = []
    for number in range(3):
        _, said, _ = await site.ask("POST", "/v1/templates", {**CARD, "title": str(number)}, key=key)
        made.append(said["response"]["id"])
    _, said, _ = await site.ask("GET", "/v1/templates?limit=2", key=key)
    first = said["response"]
    assert [(each["id"], each["read_only"]) for each in first["templates"]] == [
        ("shared", True), (made[2], False), (made[1], False)
    ]  # fmt: skip
    _, said, _ = await site.ask("GET", f"/v1/templates?limit=2&cursor={first['next']}", key=key)
    assert ([each["id"] for each in said["response"]["templates"]], said["response"]["next"]) == ([made[0]], None)


async def test_preview_has_the_values_that_are_given(site: Site) -> None:
    id = await site.make()
    shown = []
    for query in ("", "?v.name=Ann", "?v.name=Ann&w=60", "?format=webp&v.name=%7B%7B%20photo%20%7D%7D"):
        status, drawn, response = await site.ask("GET", f"/v1/templates/{id}/preview{query}")
        assert status == 200, drawn
        shown.append((drawn, pictures.opened(drawn).width, response.content_type))
    assert len({drawn for drawn, _, _ in shown}) == 4
    assert [(width, kind) for _, width, kind in shown] == [
        (120, "image/png"), (120, "image/png"), (60, "image/png"), (120, "image/webp")
    ]  # fmt: skip


async def test_a_template_is_drawn_into_a_hosted_picture(site: Site) -> None:
    id = await site.make()
    photo = await site.hosting.host(jpeg(40), "?private=true")
    asked = {
        "template_id": id,
        "variables": {"photo": f"library/{photo['id']}"},
        "modifications": [{"name": "name", "text": "<b>Ann</b>"}, {"name": "box", "color": "#ff0000"}],
        "format": "png",
        "tags": ["card"],
    }
    status, said, response = await site.ask("POST", "/v1/images", asked)
    assert status == 201, said
    assert (said["success"], len(said["id"]), response.headers["Location"]) == (True, 16, f"/v1/images/{said['id']}")
    assert (said["response"]["width"], said["response"]["tags"], said["response"]["format"]) == (120, ["card"], "png")
    assert said["created_at"] == said["response"]["created_at"]
    _, drawn, _ = await site.hosting.ask("GET", said["url"].removeprefix(site.hosting.server.public), key=None)
    image = pictures.opened(drawn)
    assert [int(each) for each in image(110, 50)[:3]] == [255, 0, 0]
    before = await site.hosting.account()
    _, again, _ = await site.ask("POST", "/v1/images", asked)
    assert again["id"] != said["id"]
    assert await site.hosting.account() == (before[0] + 1, before[1])  # equal bytes are kept once


ASKED: list[tuple[dict[str, Any], int, str]] = [
    ({"template_id": "nothing"}, 404, "template-unknown"),
    ({"template_id": "../x"}, 400, "invalid-option"),
    ({"modifications": [{"name": "wrods", "text": "x"}]}, 400, "invalid-option"),
    ({"variables": {"nmae": "x"}}, 400, "invalid-option"),
    ({"variables": {"photo": "local/a.jpg"}}, 403, "option-forbidden"),
    ({"modifications": [{"name": "photo", "image_url": "local/a.jpg"}]}, 403, "option-forbidden"),
    ({"variables": {"photo": "http://127.0.0.1/a.jpg"}}, 403, "source-forbidden"),
    ({"variables": {"photo": "library/0000000000000000"}}, 404, "source-not-found"),
    ({"modifications": [{"name": "words", "text": "x" * 2001}]}, 400, "invalid-option"),
    ({"format": "gif"}, 400, "invalid-option"),
    ({"url": "http://example.com/"}, 400, "invalid-option"),
    ({"webhook": "http://example.com/"}, 400, "invalid-option"),
]


@pytest.mark.parametrize(("asked", "status", "code"), ASKED)
async def test_what_cannot_be_drawn_is_refused(site: Site, asked: dict[str, Any], status: int, code: str) -> None:
    body = {"template_id": await site.make(), **asked}
    before = await site.hosting.account()
    got, said, _ = await site.ask("POST", "/v1/images", body)
    assert (got, said["code"]) == (status, code), said
    assert await site.hosting.account() == before


async def test_who_may(site: Site) -> None:
    id = await site.make()
    one, other, reader = f"/v1/templates/{id}", site.keys["other"], site.keys["reader"]
    drawing, batch = {"template_id": id}, {"template_id": id, "rows": [{}]}
    job = (await site.ask("POST", "/v1/images/batch", batch))[1]["response"]["id"]
    theirs = await site.hosting.host(jpeg(45), "?private=true", key=other)
    refused: list[tuple[str, str, str, Any, int, str]] = [
        (other, "GET", one, None, 404, "template-unknown"),
        (other, "PUT", one, CARD, 404, "template-unknown"),
        (other, "DELETE", one, None, 404, "template-unknown"),
        (other, "GET", f"{one}/preview", None, 404, "template-unknown"),
        (other, "POST", "/v1/images", drawing, 404, "template-unknown"),
        (other, "POST", "/v1/images/batch", batch, 404, "template-unknown"),
        (other, "GET", f"/v1/jobs/{job}", None, 404, "job-unknown"),
        (reader, "POST", "/v1/templates", CARD, 403, "scope-missing"),
        (reader, "PUT", one, CARD, 403, "scope-missing"),
        (reader, "DELETE", one, None, 403, "scope-missing"),
        (reader, "POST", "/v1/images/batch", batch, 403, "scope-missing"),
        (reader, "GET", "/v1/webhooks/secret", None, 403, "scope-missing"),
        ("", "PUT", "/v1/templates/shared", CARD, 403, "template-read-only"),
        ("", "DELETE", "/v1/templates/shared", None, 403, "template-read-only"),
        ("", "GET", f"{one}/preview?v.photo=library/{theirs['id']}", None, 403, "option-forbidden"),
        ("", "GET", "/v1/templates/shared/preview?v.photo=local/a.jpg", None, 403, "option-forbidden"),
        ("", "GET", "/v1/templates/shared/preview?v.photo=shop/a.jpg&v.name=a", None, 200, ""),
        ("", "GET", f"/v1/templates/shared/preview?v.photo=library/{theirs['id']}", None, 403, "option-forbidden"),
        ("", "GET", f"{one}/preview?nothing=1", None, 400, "invalid-option"),
        (reader, "GET", "/v1/templates/shared/preview", None, 200, ""),
    ]
    for key, method, path, body, status, code in refused:
        got, said, _ = await site.ask(method, path, body, key=key)
        assert (got, said["code"] if status != 200 else "") == (status, code), (method, path, said)
    # Its author cannot show what is somebody else's, whoever signs.
    showing = {**CARD, "canvas": {"width": 9, "height": 9, "picture": f"library/{theirs['id']}"}}
    got, said, _ = await site.ask("POST", "/v1/templates", showing)
    assert (got, said["code"]) == (403, "option-forbidden")
    private = f"/v1/images/{theirs['id']}"
    await site.ask("PATCH", private, {"private": False}, key=other)
    spying = await site.make(showing)
    await site.ask("PATCH", private, {"private": True}, key=other)
    got, said, _ = await site.hosting.ask("GET", site.hosting.server.sign(f"/images/template/{spying}"), key=None)
    assert (got, said["code"]) == (403, "option-forbidden")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"canvas": {"width": 0, "height": 1}}, "canvas.width: Expected `int` >= 1"),
        ({"layers": [{"type": "text", "name": "a", "text": "{{ nmae }}"}]}, "layers[0].text: there is no variable nmae"),
        ({"layers": [{"type": "text", "name": "a", "text": "", "font": "No Such Font"}]}, "layers[0].font: there is no font"),
        ({"layer": []}, "the template: Object contains unknown field `layer`"),
    ],
)
async def test_what_is_no_template_is_refused_with_the_place(site: Site, change: dict[str, Any], said: str) -> None:
    status, told, _ = await site.ask("POST", "/v1/templates", {**CARD, **change})
    assert (status, told["code"]) == (400, "template-invalid")
    assert told["detail"].startswith(said), told


def verified(secret: str, headers: dict[str, str], body: bytes) -> bool:
    key = base64.b64decode(secret.removeprefix("whsec_"))
    content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    wanted = base64.b64encode(hmac.digest(key, content, "sha256")).decode()
    return headers["webhook-signature"] == f"v1,{wanted}" and abs(time.time() - int(headers["webhook-timestamp"])) < SECONDS


async def test_a_picture_later_with_a_webhook_that_takes_the_third_call(site: Site) -> None:
    id = await site.make()
    asked = {"template_id": id, "variables": {"name": "Later"}, "webhook": f"{site.receiver.url}/flaky"}
    status, said, response = await site.ask("POST", "/v1/images", asked, Prefer="respond-async, wait=10")
    assert (status, response.headers["Preference-Applied"]) == (202, "respond-async"), said
    job = said["response"]["id"]
    assert response.headers["Location"] == f"/v1/jobs/{job}"
    secret = (await site.ask("GET", "/v1/webhooks/secret"))[1]["response"]["secret"]
    calls = await asyncio.to_thread(site.receiver.wait, "/flaky", 3)
    assert all(verified(secret, headers, body) for headers, body in calls)
    assert {headers["webhook-id"] for headers, _ in calls} == {f"msg_{job}"}
    told = json.loads(calls[2][1])
    assert (told["type"], told["data"]["progress"]) == ("job.done", {"done": 1, "failed": 0, "total": 1})
    result = told["data"]["results"][0]
    assert result["url"] == f"{site.hosting.server.public}/images/{result['id']}"
    assert (await site.ask("GET", f"/v1/images/{result['id']}"))[0] == 200
    await delivered(site, job, "delivered", 3)


async def delivered(site: Site, job: str, status: str, calls: int) -> None:
    deadline = time.monotonic() + SECONDS
    while (told := (await site.ask("GET", f"/v1/jobs/{job}"))[1]["response"]["webhook"])["status"] == "waiting":
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
    assert (told["status"], told["calls"]) == (status, calls)


async def test_a_webhook_that_never_takes_it_is_given_up(site: Site) -> None:
    id = await site.make()
    for path, calls in (("/elsewhere", 4), ("/gone", 1)):
        asked = {"template_id": id, "webhook": f"{site.receiver.url}{path}"}
        _, said, _ = await site.ask("POST", "/v1/images", asked, Prefer="respond-async")
        await delivered(site, said["response"]["id"], "failed", calls)
    assert [path for path, _, _ in site.receiver.calls if path == "/taken"] == []


async def test_a_webhook_within_is_refused(site: Site) -> None:
    asked = {"template_id": await site.make(), "webhook": "http://127.0.0.1:9/"}
    status, said, _ = await site.ask("POST", "/v1/images", asked, Prefer="respond-async")
    assert (status, said["code"]) == (403, "source-forbidden")


async def test_a_batch_says_how_far_it_is_and_what_was_wrong(site: Site) -> None:
    id = await site.make()
    rows: list[dict[str, Any]] = [{"variables": {"name": f"reader {number}"}} for number in range(20)]
    rows[7]["variables"]["photo"] = "library/0000000000000000"
    asked = {"template_id": id, "rows": rows, "format": "webp", "tags": ["mail"], "webhook": f"{site.receiver.url}/batch"}
    status, said, _ = await site.ask("POST", "/v1/images/batch", asked)
    assert (status, said["response"]["progress"]) == (202, {"done": 0, "failed": 0, "total": 20})
    job = said["response"]["id"]
    # The job is of the template as it was.
    await site.ask("DELETE", f"/v1/templates/{id}")
    seen = [await site.until(job, count) for count in (1, 10, 20)]
    assert seen[2]["progress"] == {"done": 19, "failed": 1, "total": 20}
    assert [each["row"] for each in seen[2]["results"]] == list(range(20))
    assert [each["code"] for each in seen[2]["results"] if not each["success"]] == ["source-not-found"]
    await asyncio.to_thread(site.receiver.wait, "/batch")
    _, said, _ = await site.ask("GET", "/v1/images?tags=mail&limit=100")
    assert {each["id"] for each in said["response"]["images"]} == {each["id"] for each in seen[2]["results"] if each["success"]}


@pytest.mark.parametrize(
    ("row", "status", "said"),
    [
        ({"variables": {"nmae": "x"}}, 400, "rows[1].variables: there is no variable 'nmae'"),
        ({"variables": {"name": 1}}, 400, "rows[1].variables: Expected `str`, got `int`"),
        ({"modifications": [{"name": "words"}, {}]}, 400, "rows[1].modifications[1]: Object missing required field `name`"),
        ({"nothing": 1}, 400, "rows[1]: Object contains unknown field `nothing`"),
        ({"variables": {"photo": "local/a.jpg"}}, 403, "rows[1].photo: "),
    ],
)
async def test_a_batch_with_a_wrong_row_is_refused_with_its_number(
    site: Site, row: dict[str, Any], status: int, said: str
) -> None:
    body = {"template_id": await site.make(), "rows": [{}, row]}
    got, told, _ = await site.ask("POST", "/v1/images/batch", body)
    assert (got, told["detail"][: len(said)]) == (status, said)


async def test_a_batch_has_a_thousand_rows_at_most(site: Site) -> None:
    status, said, _ = await site.ask("POST", "/v1/images/batch", {"template_id": "shared", "rows": [{}] * 1001})
    assert (status, said["code"]) == (400, "invalid-option")


async def test_a_template_that_this_version_refuses_hides_no_others(site: Site) -> None:
    old, fine = await site.make(), await site.make()
    with closing(sqlite3.connect(site.hosting.library / "catalogue.db", timeout=30)) as database:
        document = json.dumps(CARD | {"layers": [CARD["layers"][0] | {"name": "box\n"}]})
        database.execute("UPDATE templates SET document = ? WHERE id = ?", (document, old))
        database.commit()
    status, said, _ = await site.ask("GET", "/v1/templates?limit=100")
    assert status == 200, said
    told = {each["id"]: each for each in said["response"]["templates"]}
    assert told[old]["invalid"].startswith("layers[0].name: ")
    assert (told[fine]["title"], "invalid" in told[fine]) == ("Card", False)
    assert (await site.ask("GET", f"/v1/templates/{old}"))[1]["code"] == "template-invalid"
    assert (await site.ask("PUT", f"/v1/templates/{old}", CARD))[0] == 200
    assert (await site.ask("GET", f"/v1/templates/{old}"))[1]["response"]["title"] == "Card"


async def test_a_job_that_this_version_cannot_read_fails_and_is_in_nobody_s_way(site: Site) -> None:
    asked = {"template_id": await site.make(), "rows": [{}, {}], "webhook": f"{site.receiver.url}/unread"}
    _, said, _ = await site.ask("POST", "/v1/images/batch", asked)
    drawn = await site.until(said["response"]["id"], 2)
    await delivered(site, drawn["id"], "delivered", 1)
    with closing(sqlite3.connect(site.hosting.library / "catalogue.db", timeout=30)) as database:
        another = '{"template":"a","of":"another version"}'
        database.execute("UPDATE job_rows SET result = NULL WHERE job = ? AND number = 1", (drawn["id"],))
        database.execute('UPDATE jobs SET "order" = ?, done = 1, due_at = 1 WHERE id = ?', (another, drawn["id"]))
        database.commit()
    await asyncio.to_thread(site.receiver.wait, "/unread", 2)
    told = await site.until(drawn["id"], 2)
    assert (told["status"], told["progress"], told["template_id"]) == ("done", {"done": 1, "failed": 1, "total": 2}, "")
    assert [each.get("code") for each in told["results"]] == [None, "internal"]
    assert site.hosting.server.wait_for("a job cannot be read")["job"] == drawn["id"]
    _, said, _ = await site.ask("POST", "/v1/images/batch", asked)
    assert (await site.until(said["response"]["id"], 2))["status"] == "done"


def test_the_readme_s_way_from_a_template_to_a_job(site: Site, tmp_path: Path) -> None:
    readme = (Path(__file__).parent.parent.parent / "README.md").read_text()
    section = readme[readme.index("## Templates\n") : readme.index("## Answers")]
    (snippet,) = [text for text in re.findall(r"```bash\n(.*?)```", section, re.DOTALL) if "/v1/templates" in text]
    (document,) = [text for text in re.findall(r"```json\n(.*?)```", section, re.DOTALL) if "layers" in text]
    (tmp_path / "card.json").write_text(document)
    if shutil.which("curl") is None:
        pytest.skip("curl is not here")
    environ = {**os.environ, "KEY": site.hosting.key, "SERVER": site.hosting.server.public}
    command = ["bash", "-euo", "pipefail", "-c", snippet]
    ran = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=50)
    assert ran.returncode == 0, ran.stderr
    assert pictures.opened((tmp_path / "preview.png").read_bytes()).width == 600
    assert '"progress":{"done":' in ran.stdout


async def test_what_was_promised_survives_the_server(site: Site) -> None:
    """Last: the server is another one afterwards."""
    large = {**CARD, "canvas": {"width": 1200, "height": 600}}
    rows = [{"variables": {"name": f"reader {number}"}} for number in range(60)]
    asked = {"template_id": await site.make(large), "rows": rows, "tags": ["kept"]}
    _, said, _ = await site.ask("POST", "/v1/images/batch", asked)
    job = said["response"]["id"]
    before = await site.until(job, 2)
    end(site.hosting.server, signal.SIGKILL)
    assert before["progress"]["done"] < 60
    site.hosting.server = start(site.directory / "server", site.text)
    after = await site.until(job, 60)
    assert (after["status"], after["progress"]) == ("done", {"done": 60, "failed": 0, "total": 60})
    found: list[str] = []
    cursor = ""
    while cursor is not None:
        _, said, _ = await site.ask("GET", f"/v1/images?tags=kept&limit=100{cursor}")
        found += [each["id"] for each in said["response"]["images"]]
        cursor = f"&cursor={said['response']['next']}" if said["response"]["next"] else None  # type: ignore[assignment]
    results = Counter(each["id"] for each in after["results"])
    assert set(results) <= set(found)
    assert (len(results), set(results.values())) == (60, {1})
