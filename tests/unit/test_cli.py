"""The command line as an operator meets it: what it prints, how it fails, and the demo, which needs nothing."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from imgproxy import cli
from imgproxy.cache.bans import Bans
from imgproxy.formats import sniff
from imgproxy.keysalt import KeySalt
from imgproxy.request import Identity
from imgproxy.settings import child_environment
from imgproxy.signing import Signer
from imgproxy.urls.native import Native
from tests import pictures
from tests.fonts import NAME, write_font

SECRET = "0123456789abcdef0123456789abcdef"
Said = tuple[int, str, str]
Run = Callable[..., Said]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "cache").mkdir()
    (tmp_path / "pictures" / "scene.jpg").write_bytes(pictures.jpeg())
    file = tmp_path / "imgproxy.toml"
    file.write_text(
        f'[[signing.keys]]\nid = "old"\nsecret = "{SECRET[::-1]}"\n[[signing.keys]]\nid = "new"\nsecret = "{SECRET}"\n'
        f'[cache]\ndirectory = "{tmp_path}/cache"\n[sources.shop]\ntype = "files"\nroot = "{tmp_path}/pictures"\n'
    )
    return file


@pytest.fixture
def run(config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command in this process, with the configuration named by the environment."""
    monkeypatch.setenv("IMGPROXY_CONFIG", str(config))

    def runs(*arguments: object) -> Said:
        try:
            code = cli.main([str(argument) for argument in arguments])
        except SystemExit as end:
            code = int(end.code or 0)
        out, err = capsys.readouterr()
        return code, out, err

    return runs


@pytest.mark.parametrize("command", ["serve", "sign", "grant", "render", "explain", "purge"])
def test_help_teaches_by_examples(run: Run, command: str) -> None:
    code, out, _ = run(command, "--help")
    assert code == 0
    assert f"examples:\n  imgproxy {command} " in out


def test_help_lists_every_command(run: Run) -> None:
    from imgproxy.commands import COMMANDS

    code, out, _ = run("--help")
    assert code == 0
    for name in COMMANDS:
        assert re.search(rf"^    {name} +\w", out, re.MULTILINE)


def test_the_version_is_told(run: Run) -> None:
    assert run("--version") == (0, f"imgproxy {version('imgproxy-server')}\n", "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "the following arguments are required: COMMAND; see `imgproxy --help`"),
        (("sign",), "the following arguments are required: TARGET; see `imgproxy sign --help`"),
        (("serve", "--port", "x"), "argument --port: invalid int value: 'x'; see `imgproxy serve --help`"),
        (("purge",), "one of the arguments --url --source is required; see `imgproxy purge --help`"),
        (("key", "--nonsense"), "unrecognized arguments: --nonsense; see `imgproxy --help`"),
    ],
)
def test_what_is_not_understood_is_2_and_one_line(run: Run, arguments: tuple[str, ...], message: str) -> None:
    assert run(*arguments) == (2, "", f"imgproxy: {message}\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("check", "--config", "/nowhere.toml"), "/nowhere.toml: No such file or directory"),
        (("sign", "/images/shop/a.jpg?zz=1"), "there is no option zz"),
        (("sign", "/images/shop/a.jpg?w=x"), "w must be a number from 1 to 16384, or a fraction below 1; got x"),
        (("sign", "/elsewhere"), "the path does not begin with /images/"),
        (("sign", "/images/shop/a.jpg", "--key-id", "none"), "there is no signing key called none"),
        (
            ("sign", "/images/shop/a.jpg", "--expires", "soon"),
            '--expires: expected a duration such as "90s", "10m", "1h" or "7d"',
        ),
        (("sign", "/images/shop/a.jpg", "--expires", "0"), "--expires: from a second to a hundred years"),
        (("sign", "/images/shop/a.jpg?expires=5", "--expires", "1h"), "expires is given twice"),
        (("grant", "--source", "shop"), "a grant needs --widths or --max-pixels"),
        (("grant", "--source", "shop", "--widths", "a"), "--widths are whole numbers with commas between"),
        (("grant", "--source", "shp", "--widths", "1"), 'there is no source called "shp"; there are: shop'),
        (("render", "/nowhere.jpg", "out.png"), "/nowhere.jpg: No such file or directory"),
        (
            ("render", "/nowhere.jpg", "out"),
            "the format is not known: say fm, or end DST in .jpg, .jpeg, .png, .webp, .avif, .gif, "
            ".tiff, .tif, .jxl, .bmp, .ico, .css, .blurhash, .json",
        ),
        (("render", "/dev/null", "out.png"), "the original is empty"),
        (("purge", "--source", "shp"), 'there is no source called "shp"; there are: shop'),
        (
            ("purge", "--source", "shop", "--path", ""),
            'a source wants either path or prefix beside it; the prefix "" is the whole source',
        ),
        (
            ("purge", "--url", "/images/shop/a.jpg", "--path", "a"),
            "--path and --prefix go with --source, not with --url",
        ),
        (("serve", "--port", "8081"), "server.admin_port: is server.port as well (8081); the two need different ports"),
        (("serve", "--port", "70000"), "flag --port: server.port: expected a whole number <= 65535, got 70000"),
        (("serve", "--demo", "/nowhere"), '--demo: there is no folder "/nowhere"'),
    ],
)  # fmt: skip
def test_what_fails_is_1_and_one_line(run: Run, arguments: tuple[str, ...], message: str) -> None:
    assert run(*arguments) == (1, "", f"imgproxy: {message}\n")


@given(st.text(max_size=30))
@budget(max_examples=60)
def test_no_target_brings_a_traceback(target: str) -> None:
    options = ["sign", f"--config={Path(__file__).parent.parent.parent / 'config' / 'development.toml'}", "--", target]
    assert cli.main(options) == 1


@pytest.mark.parametrize(
    ("arguments", "config"),
    [(["list", "--config", "a.toml"], Path("a.toml")), (["--config", "a.toml", "list"], Path("a.toml")), (["list"], None)],
)
def test_the_settings_of_apikey_are_named_before_or_after_what_it_does(arguments: list[str], config: Path | None) -> None:
    assert cli.parser().parse_args(["apikey", *arguments]).config == config


def test_keys_are_long_enough_and_different(run: Run) -> None:
    first, second = run("key")[1].strip(), run("key")[1].strip()
    assert len(first) >= 32
    assert first != second


def test_sign_signs_with_the_newest_key(run: Run) -> None:
    _, out, _ = run("sign", "/images/shop/scene.jpg?w=40")
    assert out.strip() == Signer([("new", SECRET)]).sign("/images/shop/scene.jpg?w=40")


def test_sign_keeps_the_host_of_a_url_and_adds_the_expiry(run: Run) -> None:
    _, out, _ = run("sign", "https://img.example.com/images/shop/scene.jpg", "--expires", "1h", "--key-id", "old")
    found = re.fullmatch(r"https://img\.example\.com(/images/shop/scene\.jpg\?expires=(\d+)&s=old\.\S+)\n", out)
    assert found is not None
    assert abs(int(found[2]) - time.time() - 3600) < 60
    Signer([("old", SECRET[::-1])]).verify(Native().split(found[1]))


def test_grant_says_what_was_asked(run: Run) -> None:
    _, out, _ = run(
        "grant", "--source", "shop", "--prefix", "a/", "--widths", "320, 640", "--formats", "auto,jpg", "--max-pixels", 10**6
    )
    policy = Signer([("new", SECRET)]).redeem(out.strip())
    assert (policy.source, policy.prefix, policy.widths, policy.formats) == ("shop", "a/", (320, 640), ("auto", "jpeg"))
    assert abs(policy.expires - time.time() - 86_400) < 60
    _, out, _ = run("grant", "--source", "shop", "--widths", "320", "--expires", "never")
    assert Signer([("new", SECRET)]).redeem(out.strip()).expires == 0


@pytest.mark.parametrize(
    ("name", "options", "format"),
    [
        ("a.webp", "w=40", "webp"),
        ("a.PNG", "", "png"),
        ("a.jpeg", "w=40", "jpeg"),
        ("a.tif", "", "tiff"),
        ("a.bin", "w=40&fm=avif", "avif"),
    ],
)
def test_render_draws_what_the_name_or_fm_says(run: Run, tmp_path: Path, name: str, options: str, format: str) -> None:
    code, out, err = run("render", tmp_path / "pictures" / "scene.jpg", tmp_path / name, "-o", options)
    assert (code, err) == (0, "")
    assert f": {format}, " in out
    found = sniff((tmp_path / name).read_bytes()[:64])
    assert found is not None
    assert found.name == format


@pytest.mark.parametrize(("directory", "why"), [("nowhere", "No such file or directory"), ("imgproxy.toml", "Not a directory")])
def test_render_names_the_directory_that_is_none(run: Run, tmp_path: Path, directory: str, why: str) -> None:
    code, _, err = run("render", tmp_path / "pictures" / "scene.jpg", tmp_path / directory / "a.png", "-o", "w=40")
    assert (code, err) == (1, f"imgproxy: {tmp_path}/{directory}: {why}\n")


def test_render_leaves_the_target_alone_when_it_fails(run: Run, tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    (tmp_path / "out.png").write_bytes(b"before")
    code, _, err = run("render", tmp_path / "bad.jpg", tmp_path / "out.png")
    assert code == 1
    assert err.startswith("imgproxy: the original ")
    assert (tmp_path / "out.png").read_bytes() == b"before"
    assert not list(tmp_path.glob(".out*"))


def test_render_writes_to_a_pipe_and_does_not_replace_it(run: Run, tmp_path: Path) -> None:
    """As root it would else put a file in the place of /dev/null."""
    os.mkfifo(tmp_path / "pipe.png")
    reader = os.open(tmp_path / "pipe.png", os.O_RDONLY | os.O_NONBLOCK)
    try:
        code, _, err = run("render", tmp_path / "pictures" / "scene.jpg", tmp_path / "pipe.png", "-o", "w=40")
        assert (code, err) == (0, "")
        assert (tmp_path / "pipe.png").is_fifo()
        assert os.read(reader, 8) == b"\x89PNG\r\n\x1a\n"
    finally:
        os.close(reader)


def test_render_holds_the_configured_limits(run: Run, tmp_path: Path, config: Path) -> None:
    config.write_text(config.read_text() + "[limits]\nsource_bytes = 100\n")
    code, _, err = run("render", tmp_path / "pictures" / "scene.jpg", tmp_path / "out.png")
    assert (code, err) == (1, f"imgproxy: {tmp_path}/pictures/scene.jpg has more than limits.source_bytes, 100\n")


def test_render_sets_text_in_configured_fonts_and_lays_no_marks(run: Run, tmp_path: Path, config: Path) -> None:
    font = write_font(tmp_path / "boxes.ttf")
    config.write_text(config.read_text() + f'[text]\nfonts = ["{font}"]\n')
    scene, plainly, worded = tmp_path / "pictures" / "scene.jpg", tmp_path / "plain.png", tmp_path / "worded.png"
    assert run("render", scene, plainly, "-o", "w=40")[0] == 0
    assert run("render", scene, worded, "-o", f"w=40&txt=H&txt-size=20&txt-font={NAME.replace(' ', '+')}")[0] == 0
    assert plainly.read_bytes() != worded.read_bytes()
    code, _, err = run("render", scene, worded, "-o", "w=40&txt=H&txt-font=Nothing")
    assert (code, err) == (1, "imgproxy: there is no font 'Nothing'; did you mean Noto Sans?\n")
    code, _, err = run("render", scene, worded, "-o", "w=40&mark=shop/logo.png")
    assert (code, "only the server" in err) == (1, True)


def test_explain_names_marks_and_does_not_look_them_up(run: Run) -> None:
    target = Signer([("new", SECRET)]).sign("/images/shop/scene.jpg?w=40&mark=shop/logo.png")
    said = json.loads(run("explain", target)[1])
    assert said["marks"] == ["shop/logo.png"]
    assert "depends on the versions" in said["cache"]["state"]


def test_explain_says_what_would_be_answered(run: Run) -> None:
    target = Signer([("new", SECRET)]).sign("/images/shop/scene.jpg?w=40")
    code, out, _ = run("explain", target, "--accept", "image/webp")
    said = json.loads(out)
    assert (code, said["refused"], said["format"]["name"]) == (0, [], "webp")
    _, out, _ = run("explain", "/images/shop/scene.jpg?w=40")
    assert [refusal["code"] for refusal in json.loads(out)["refused"]] == ["signature-missing"]


def test_explain_draws_nothing_that_is_not_drawn(run: Run, tmp_path: Path) -> None:
    """A URL without options is answered with the original's own bytes, but for a program."""
    (tmp_path / "pictures" / "drawing.svg").write_bytes(pictures.SVG)
    signer = Signer([("new", SECRET)])
    said = json.loads(run("explain", signer.sign("/images/shop/scene.jpg"))[1])
    assert (said["answer"], said["format"]["name"], "drawn" in said) == ("the original's own bytes", "jpeg", False)
    said = json.loads(run("explain", signer.sign("/images/shop/drawing.svg"), "--accept", "image/webp")[1])
    assert (said["format"]["name"], "drawn" in said) == ("webp", True)


def test_urls_of_imgproxys_are_explained_and_purged(run: Run, config: Path) -> None:
    config.write_text(f'{config.read_text()}[imgproxy]\nenabled = true\nkeys = ["00"]\nsalts = ["ff"]\nlocal = "shop"\n')
    path = "/pn:1/plain/local:///scene.jpg"
    said = json.loads(run("explain", f"/info/{KeySalt([('00', 'ff')]).sign(path)}{path}")[1])
    assert (said["refused"], said["format"]["name"]) == ([], "json")
    for target in ("/unsafe/w:10/plain/local:///scene.jpg@webp", f"/info/unsafe{path}"):
        assert run("purge", "--url", f"https://img.example.com{target}") == (0, "purged: scene.jpg of shop\n", "")


@pytest.mark.parametrize(
    ("arguments", "covers", "spares"),
    [
        (("--source", "shop", "--path", "a/b.jpg"), "a/b.jpg", "a/c.jpg"),
        (("--source", "shop", "--prefix", "a/"), "a/b.jpg", "c.jpg"),
        (("--url", "https://img.example.com/images/shop/a/b.jpg"), "a/b.jpg", "a/c.jpg"),
    ],
)
def test_purge_is_seen_by_whoever_has_the_cache_open(
    run: Run, tmp_path: Path, arguments: tuple[str, ...], covers: str, spares: str
) -> None:
    server = Bans(tmp_path / "cache")
    before = time.time() - 1
    assert not server.covers(Identity("shop:x", covers), before)
    code, out, _ = run("purge", *arguments)
    assert code == 0
    assert out.startswith("purged: ")
    assert server.covers(Identity("shop:x", covers), before)
    assert not server.covers(Identity("shop:x", spares), before)


def test_purge_of_a_whole_source_is_that_source_only(run: Run, tmp_path: Path) -> None:
    assert run("purge", "--source", "shop")[1] == "purged: everything of shop\n"
    server = Bans(tmp_path / "cache")
    assert server.covers(Identity("shop:x", "any"), time.time() - 1)
    assert not server.covers(Identity("web:x", "any"), time.time() - 1)


def test_purge_does_not_pretend_where_there_is_no_cache(run: Run, tmp_path: Path) -> None:
    (tmp_path / "cache").rmdir()
    code, _, err = run("purge", "--source", "shop")
    assert (code, err) == (1, f"imgproxy: cache.directory: {tmp_path}/cache is not there; nothing was purged\n")


def test_check_shows_every_setting_with_its_place_and_no_secret(run: Run, config: Path) -> None:
    config.write_text(
        config.read_text()
        + '[sources.web]\ntype = "http"\nallow = ["*"]\nrequest_headers = { Authorization = "Bearer canary" }\n'
        + "[server]\nport = 9\n"
    )
    code, out, err = run("check")
    assert code == 0
    assert SECRET not in out
    assert "canary" not in out + err
    assert re.search(rf"^server\.port = 9 +# {re.escape(str(config))}:\d+$", out, re.MULTILINE)
    assert re.search(r'^signing\.keys\[1\]\.secret = "\*\*\*" ', out, re.MULTILINE)
    assert re.search(r'^sources\.web\.request_headers\.Authorization = "\*\*\*" ', out, re.MULTILINE)
    assert err == 'imgproxy: warning: sources.web.allow: "*" fetches from every public host\n'


def test_check_tells_whether_a_secret_is_set(run: Run, config: Path) -> None:
    config.write_text(f'{config.read_text()}[imgproxy]\nkeys = ["aa55", "bb66"]\nsalts = ["cc77", "dd88"]\n')
    out = run("check")[1]
    assert [digits for digits in ("aa55", "bb66", "cc77", "dd88") if digits in out] == []
    for key, value in (
        ("imgproxy.keys", '["***", "***"]'),
        ("imgproxy.trusted_signatures", "[]"),
        ("imgproxy.encryption_key", '""'),
        ("library.database", '""'),
    ):
        assert re.search(rf"^{re.escape(f'{key} = {value}')} +# ", out, re.MULTILINE)


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "imgproxy", *arguments]


def test_a_closed_pipe_and_ctrl_c_are_quiet(config: Path) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    done = subprocess.run(
        command("check", "--config", str(config)),
        stdout=write_end,
        stderr=subprocess.PIPE,
        env=child_environment(),
        check=False,
    )
    os.close(write_end)
    assert (done.returncode, done.stderr) == (1, b"")
    waiting = subprocess.Popen(
        command("render", "-", "-", "-o", "fm=png"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert waiting.stdin is not None
    # More than a pipe holds: when it is written, the command is past its start and reading.
    waiting.stdin.write(b"x" * 300_000)
    waiting.send_signal(signal.SIGINT)
    _, err = waiting.communicate(timeout=30)
    assert (waiting.returncode, err) == (130, b"")


def test_what_is_no_text_and_no_url_is_said_in_a_line(config: Path) -> None:
    for arguments, why in (
        (("sign", "https://[::1/images/shop/a.jpg?w=4"), "that is not a URL: Invalid IPv6 URL"),
        (("purge", "--url", "https://[::1/images/shop/a.jpg?w=4"), "that is not a URL: Invalid IPv6 URL"),
        (("purge", "--source", "shop", "--path", "\udcff"), "an argument is not UTF-8"),
        (("grant", "--source", "shop", "--widths", "4", "--prefix", "\udcff"), "an argument is not UTF-8"),
    ):
        environment = child_environment(IMGPROXY_CONFIG=str(config))
        done = subprocess.run(command(*arguments), capture_output=True, text=True, env=environment, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (1, "", f"imgproxy: {why}\n")


@pytest.mark.parametrize(
    ("name", "encoding", "said"), [("a.jpg", "ascii", r"4 \xd7 3"), ("\udcff.jpg", "utf-8:strict", r"\udcff.jpg")]
)
def test_no_encoding_of_the_terminal_makes_a_failure_of_a_picture(tmp_path: Path, name: str, encoding: str, said: str) -> None:
    done = subprocess.run(
        command("render", "-", str(tmp_path / name), "-o", "w=4"),
        input=pictures.jpeg(),
        capture_output=True,
        env=child_environment(PYTHONIOENCODING=encoding),
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert said in done.stdout.decode("ascii", "replace")
    assert sniff((tmp_path / name).read_bytes())


@pytest.mark.parametrize("closed", ["<&-", ">&-", "<&- >&-", "2>&-", "<&- >&- 2>&-"])
def test_a_command_does_without_standard_streams(config: Path, closed: str) -> None:
    script = f'exec "$@" {closed}'
    done = subprocess.run(
        ["sh", "-c", script, "sh", *command("check", "--config", str(config))],
        capture_output=True,
        env=child_environment(),
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert bool(done.stdout) is (">&-" not in closed.replace("2>&-", ""))


@pytest.mark.parametrize("closed", ["<&-", ">&-", "<&- >&-"])
def test_a_server_starts_without_standard_streams(tmp_path: Path, config: Path, closed: str) -> None:
    """A socket that got the number of one was lost on the way to a child."""
    starts(["sh", "-c", f'exec "$@" {closed}', "sh", *command("serve", "--config", str(config))], tmp_path)


def test_a_server_imports_nothing_from_where_it_is_started(tmp_path: Path, config: Path) -> None:
    """Whoever writes to that directory is not whoever runs the server."""
    for name in ("uvloop", "pyvips", "mmap"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(3)")
    starts([sys.executable, "-P", "-m", "imgproxy", "serve", "--config", str(config)], tmp_path)


def starts(server: list[str], directory: Path) -> None:
    """In that directory it becomes ready, and ends in order."""
    environment = child_environment(IMGPROXY_SERVER__PORT="0", IMGPROXY_SERVER__ADMIN_PORT="0")
    process = subprocess.Popen(server, stderr=subprocess.PIPE, cwd=directory, env=environment)
    try:
        assert process.stderr is not None
        said = [next(process.stderr) for _ in range(2)]
        process.terminate()
        process.communicate(timeout=30)
    finally:
        process.kill()
    assert [json.loads(line)["event"] for line in said] == ["listening", "ready"]
    assert process.returncode == 0


def test_asking_for_help_loads_no_libraries(config: Path) -> None:
    code = "import sys; from imgproxy import cli; cli.parser(); print({'aiohttp', 'pyvips', 'msgspec'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


@pytest.mark.timeout(120)
def test_the_demo_needs_nothing_and_leaves_nothing(tmp_path: Path) -> None:
    """Every URL that it prints is answered."""
    environment = child_environment(HOME=str(tmp_path), TMPDIR=str(tmp_path))
    process = subprocess.Popen(
        command("serve", "--demo", "--port", "0", "--admin-port", "0"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
    )
    try:
        assert process.stdout is not None
        assert process.stderr is not None
        said = b"".join(iter(process.stdout.readline, b"Ctrl-C stops it.\n")).decode()
        for line in process.stderr:
            if json.loads(line)["event"] == "ready":
                break
        assert "UNSIGNED" in said
        urls = re.findall(r"http://127\.0\.0\.1:\d+/images/\S+", said)
        assert len(urls) == 12
        types = []
        for url in urls:
            with urllib.request.urlopen(url, timeout=30) as answer:
                assert answer.read()
                types.append(answer.headers["Content-Type"])
        assert {"image/jpeg", "image/webp", "image/avif", "application/json"} <= set(types)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
        assert process.returncode == 0
        assert list(tmp_path.iterdir()) == []
    finally:
        process.kill()
        process.communicate()


def test_a_demo_of_a_folder_shows_its_pictures(tmp_path: Path) -> None:
    from imgproxy import demo

    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "a b?.JPG").write_bytes(b"")
    (tmp_path / "notes.txt").write_bytes(b"")
    with demo.prepared(tmp_path) as (flags, links):
        assert links[0] == ("below/a b?.JPG", "below/a%20b%3F.JPG?w=600")
        assert flags["signing.unsigned"].value == "loopback"
        scratch = Path(str(flags["cache.directory"].value)).parent
        assert scratch.is_dir()
    assert not scratch.exists()


def test_a_demo_is_not_put_on_a_network(run: Run, tmp_path: Path) -> None:
    code, _, err = run("serve", "--demo", tmp_path, "--host", "0.0.0.0")
    assert code == 1
    assert err.startswith('imgproxy: flag --demo: signing.unsigned: "loopback" needs a loopback server.host')


@pytest.fixture
def templates(config: Path, tmp_path: Path) -> None:
    (tmp_path / "templates").mkdir()
    document = {
        "canvas": {"width": 90, "height": 30},
        "variables": {"name": {}},
        "layers": [
            {"type": "shape", "name": "ground", "w": 90, "h": 30, "fill": "#fff"},
            {"type": "text", "name": "hello", "text": "{{ name }}"},
        ],
    }
    (tmp_path / "templates" / "card.json").write_text(json.dumps(document))
    config.write_text(f'{config.read_text()}[templates]\ndirectory = "{tmp_path}/templates"\n')


@pytest.mark.usefixtures("templates")
def test_urls_of_templates_are_signed_explained_and_purged(run: Run) -> None:
    target = "/images/template/card?name=Alex&w=30"
    assert run("sign", target)[1].strip() == Signer([("new", SECRET)]).sign(target)
    assert run("sign", "/images/template/card?nmae=Alex")[2] == (
        "imgproxy: 'nmae' is neither an option nor a variable of this template; did you mean name?\n"
    )
    explained = json.loads(run("explain", target)[1])
    assert explained["template"]["values"] == {"name": "Alex"}
    assert explained["template"]["drawn for everybody"] == "1 of 2 layers"
    assert "cache" in explained
    assert json.loads(run("explain", "/images/template/absent?name=x")[1])["template"].startswith("none of the files")
    assert run("purge", "--url", target) == (0, "purged: card?name=Alex of template\n", "")
    assert run("purge", "--source", "template", "--prefix", "card?")[0] == 0
