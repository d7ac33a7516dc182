from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import stat
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, unquote

import pytest

from imgproxy.errors import (
    InvalidTarget,
    OriginFailed,
    SettingsError,
    SourceError,
    SourceForbidden,
    SourceNotFound,
    SourceTooLarge,
)
from imgproxy.settings import FilesSource, LimitSettings, SourceLimits
from imgproxy.sources.beneath import Opener, choose_opener, open_by_component, open_in_kernel
from imgproxy.sources.files import Files
from imgproxy.sources.source import Fetched

PICTURE = b"\x89PNG picture"
CANARY = b"canary: this lies outside the root"

ESCAPES = [
    "../canary",
    "../../canary",
    "..",
    "../",
    "a/../../canary",
    "sub/../../canary",
    "./../canary",
    "..//canary",
    "../root-evil/canary",
    "/etc/passwd",
    "//etc/passwd",
    "....//canary",
    "..././canary",
    "..;/canary",
    "..\\canary",
    "\\..\\canary",
    "sub\\..\\..\\canary",
    "..\x00/canary",
    "picture.png\x00.jpg",
    "\x00",
    "../canary\x00.png",
    "file:///etc/passwd",
    "~/canary",
    "~root/canary",
    "/proc/self/environ",
    "proc/self/root/etc/passwd",
    "dev/zero",
    "..%00/canary",
    "..%c0%af../canary",
    "%c0%ae%c0%ae/canary",
    "..%u2216canary",
    "\uff0e\uff0e/canary",
    "..\u2215canary",
    "..\u2044canary",
    "sub/",
    "sub//picture.png",
    "/picture.png",
    "picture.png/",
    "picture.png/.",
    "picture.png/..",
    "picture.png/../canary",
    "C:\\canary",
    "..." + "/.." * 8 + "/etc/passwd",
    "../" * 64 + "etc/passwd",
]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "canary").write_bytes(CANARY)
    (tmp_path / "root-evil").mkdir()
    (tmp_path / "root-evil" / "canary").write_bytes(CANARY)
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (root / "picture.png").write_bytes(PICTURE)
    (root / "sub" / "picture.png").write_bytes(PICTURE)
    return root


def openers() -> Iterator[Opener]:
    if choose_opener("/") is open_in_kernel:
        yield open_in_kernel
    yield open_by_component


@pytest.fixture(params=list(openers()), ids=lambda opener: opener.__name__)
def opener(request: pytest.FixtureRequest) -> Opener:
    return request.param


@pytest.fixture
def files(root: Path, opener: Opener) -> Files:
    return Files("photos", FilesSource(root=str(root)), LimitSettings(), opener=opener)


async def read(files: Files, locator: str) -> bytes:
    async with files.open(locator, None) as fetched:
        assert isinstance(fetched, Fetched)
        assert fetched.handle is not None
        assert fetched.length is not None
        assert fetched.body is None
        return os.pread(fetched.handle.fd, fetched.length + 1, 0)


@pytest.mark.parametrize("locator", ["picture.png", "sub/picture.png"])
async def test_a_file_beneath_the_root_is_handed_on_open(files: Files, locator: str) -> None:
    async with files.open(locator, None) as fetched:
        assert isinstance(fetched, Fetched)
        assert fetched.handle is not None
        assert fetched.length == len(PICTURE)
        assert os.lseek(fetched.handle.fd, 0, os.SEEK_CUR) == 0
        assert not os.get_inheritable(fetched.handle.fd)
        assert fetched.storable
    assert await read(files, locator) == PICTURE


@pytest.mark.parametrize("times_encoded", range(3))
@pytest.mark.parametrize("escape", ESCAPES)
async def test_no_spelling_of_a_path_leads_out(files: Files, escape: str, times_encoded: int) -> None:
    """As written, and encoded once or twice with one layer taken off, as the caller does it."""
    locator = escape
    for _ in range(times_encoded):
        locator = quote(locator, safe="", errors="surrogatepass")
    with pytest.raises((InvalidTarget, SourceError)):
        await read(files, unquote(locator) if times_encoded else locator)


@pytest.mark.parametrize(
    "locator",
    ["", ".", "..", "a/../b", "a//b", "/a", "a/", "a\\b", "a\x00b", "a" * 256, "é" * 128, "a/" * 2048 + "a", "\ud800"],
)
def test_what_is_no_plain_path_is_refused_without_looking(files: Files, locator: str) -> None:
    with pytest.raises(InvalidTarget):
        files.check(locator)


@pytest.mark.parametrize("locator", ["a" * 255, "é" * 127, ".hidden", "..a", "a..", "%2e%2e", "a b", "caf\udce9.png"])
async def test_what_is_a_plain_path_is_looked_for(files: Files, root: Path, locator: str) -> None:
    files.check(locator)
    with pytest.raises(SourceNotFound):
        await read(files, locator)
    (root / locator).write_bytes(PICTURE)
    assert await read(files, locator) == PICTURE


@pytest.mark.parametrize("locator", ["absent.png", "absent/picture.png", "picture.png/below"])
async def test_what_is_not_there_is_not_found(files: Files, locator: str) -> None:
    with pytest.raises(SourceNotFound):
        await read(files, locator)
    with pytest.raises(SourceNotFound):
        await files.version(locator)


@pytest.mark.parametrize(
    "target", ["../canary", "/etc/passwd", "/proc/self/environ", "/dev/zero", "..", "sub/../../canary", "loop"]
)
async def test_a_link_that_leaves_the_root_is_refused(files: Files, root: Path, target: str) -> None:
    (root / "loop").symlink_to("loop")
    (root / "out").symlink_to(target)
    with pytest.raises(SourceForbidden):
        await read(files, "out")


@pytest.mark.parametrize("target", ["..", "../root-evil", "/", "/proc/self/root"])
async def test_a_directory_link_that_leaves_the_root_is_refused(files: Files, root: Path, target: str) -> None:
    (root / "out").symlink_to(target)
    for locator in ("out/canary", "out/etc/passwd", "out/absent"):
        with pytest.raises((SourceForbidden, SourceNotFound)):
            await read(files, locator)


async def test_the_answer_does_not_tell_what_exists_outside(files: Files, root: Path) -> None:
    (root / "there").symlink_to("../canary")
    (root / "absent").symlink_to("../no-such-file")
    answers = []
    for locator in ("there", "absent"):
        with pytest.raises(SourceError) as caught:
            await read(files, locator)
        answers.append((type(caught.value), str(caught.value)))
    assert answers[0] == answers[1]
    assert "canary" not in answers[0][1]


@pytest.mark.parametrize(("link", "target"), [("link.png", "picture.png"), ("sub/link.png", "../picture.png"), ("dir", "sub")])
async def test_links_that_stay_inside_are_followed_by_openat2_alone(root: Path, link: str, target: str) -> None:
    (root / link).symlink_to(target)
    locator = f"{link}/picture.png" if link == "dir" else link
    for opener in openers():
        files = Files("photos", FilesSource(root=str(root)), LimitSettings(), opener=opener)
        if opener is open_in_kernel:
            assert await read(files, locator) == PICTURE
        else:
            with pytest.raises((SourceForbidden, SourceNotFound)):
                await read(files, locator)


async def test_a_link_that_is_swapped_while_it_is_opened_never_leads_out(files: Files, root: Path) -> None:
    """Another thread turns a directory and a file into links to the outside and back, as fast as it can."""
    (root / "swap-out").symlink_to("../root-evil")
    (root / "swap-in").mkdir()
    (root / "swap-in" / "canary").write_bytes(PICTURE)
    over = threading.Event()

    def swap() -> None:
        while not over.is_set():
            for name in ("swap-out", "swap-in"):
                (root / name).rename(root / "dir")
                (root / "dir").rename(root / name)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        for _ in range(1000):
            try:
                handle, _facts = await files._opened("dir/canary")  # by the shortest way, so that the race is close
            except SourceError:
                continue
            assert os.pread(handle.fd, 100, 0) == PICTURE
    finally:
        over.set()
        thread.join()


def fifo(path: Path) -> None:
    os.mkfifo(path)


def directory(path: Path) -> None:
    path.mkdir()


def unix_socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # a socket's path is short
    try:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(path.name)
    finally:
        os.chdir(here)


@pytest.mark.parametrize("make", [fifo, directory, unix_socket])
async def test_only_regular_files_are_opened(files: Files, root: Path, make: object) -> None:
    make(root / "special")
    with pytest.raises(SourceForbidden):
        await asyncio.wait_for(read(files, "special"), 5)
    with pytest.raises(SourceForbidden):
        await asyncio.wait_for(files.version("special"), 5)


async def test_size_is_what_the_open_file_says(files: Files, root: Path) -> None:
    with (root / "sparse").open("wb") as sparse:
        os.truncate(sparse.fileno(), 1024**4)
    assert stat.S_ISREG((root / "sparse").stat().st_mode)
    with pytest.raises(SourceTooLarge):
        await read(files, "sparse")


@pytest.mark.parametrize(("size", "limit", "fits"), [(10, 10, True), (11, 10, False), (0, 0, True), (0, 10, True)])
async def test_the_sources_own_limit_holds_before_the_servers(root: Path, size: int, limit: int, fits: bool) -> None:
    (root / "sized").write_bytes(bytes(size))
    section = FilesSource(root=str(root), limits=SourceLimits(source_bytes=limit))
    files = Files("photos", section, LimitSettings(source_bytes=5))
    if fits:
        assert await read(files, "sized") == bytes(size)
    else:
        with pytest.raises(SourceTooLarge):
            await read(files, "sized")


@pytest.mark.parametrize(
    ("number", "error"),
    [
        (errno.EACCES, SourceForbidden),
        (errno.ENXIO, SourceForbidden),
        (errno.EMFILE, OriginFailed),
        (errno.EIO, OriginFailed),
        (errno.ENOMEM, OriginFailed),
        (errno.ENAMETOOLONG, SourceNotFound),
    ],
)
async def test_what_the_system_answers_is_told_by_cause(root: Path, number: int, error: type[SourceError]) -> None:
    def refuse(_root: str, _path: bytes) -> int:
        raise OSError(number, os.strerror(number), str(root / "picture.png"))

    files = Files("photos", FilesSource(root=str(root)), LimitSettings(), opener=refuse)
    with pytest.raises(error) as caught:
        await read(files, "picture.png")
    assert str(root) not in str(caught.value)


async def test_a_version_is_not_believed_across_a_purge(root: Path) -> None:
    purges = 0
    files = Files("local", FilesSource(root=str(root)), LimitSettings(), clock=lambda: 0.0, generation=lambda: purges)
    first = await files.version("picture.png")
    (root / "new").write_bytes(PICTURE + b"!")
    (root / "new").rename(root / "picture.png")
    assert await files.version("picture.png") == first
    purges += 1
    assert await files.version("picture.png") != first
    assert files.version_at_once("picture.png") != first


async def test_the_version_follows_the_file_within_a_second(root: Path) -> None:
    time = 100.0
    files = Files("photos", FilesSource(root=str(root)), LimitSettings(), clock=lambda: time)
    facts = (root / "picture.png").stat()
    first = await files.version("picture.png")
    assert first == f"{facts.st_mtime_ns:x}-{facts.st_size:x}-{facts.st_ino:x}"
    replacement = root / "new"
    replacement.write_bytes(PICTURE + b"2")
    replacement.rename(root / "picture.png")
    assert files.known_until("picture.png") == 101.0
    time += 0.6
    assert await files.version("picture.png") == first
    time += 0.2  # a while before it ends: whoever has it from memory may have it until then
    assert await files.version("picture.png") != first
    assert files.known_until("picture.png") == pytest.approx(101.8)


async def test_a_file_that_the_kernel_knows_is_looked_at_without_waiting(root: Path) -> None:
    time = 100.0
    files = Files("photos", FilesSource(root=str(root)), LimitSettings(), clock=lambda: time)
    (root / "picture.png").read_bytes()
    first = files.version_at_once("picture.png")
    assert files.known_until("picture.png") == 101.0
    assert first == await files.version("picture.png")
    (root / "picture.png").write_bytes(PICTURE + b"2")
    assert files.version_at_once("picture.png") == first
    time += 0.8
    assert files.version_at_once("picture.png") not in (None, first)
    assert files.known_until("picture.png") == pytest.approx(101.8)


async def test_what_may_have_to_be_waited_for_is_not_told_at_once(root: Path) -> None:
    """A file that the kernel has not at hand, or has not; anything at all where it cannot be asked so. What was told is."""
    files = Files("photos", FilesSource(root=str(root)), LimitSettings())
    assert files.version_at_once("absent.png") is None
    slow = Files("photos", FilesSource(root=str(root)), LimitSettings(), opener=open_by_component)
    assert slow.version_at_once("picture.png") is None
    assert slow.version_at_once("picture.png") is None
    assert await slow.version("picture.png") == slow.version_at_once("picture.png")


async def test_what_is_no_picture_is_not_told_at_once_either(root: Path) -> None:
    (root / "directory").mkdir()
    (root / "large.png").write_bytes(bytes(101))
    files = Files("photos", FilesSource(root=str(root), limits=SourceLimits(source_bytes=100)), LimitSettings())
    with pytest.raises(SourceForbidden):
        files.version_at_once("directory")
    with pytest.raises(SourceTooLarge):
        files.version_at_once("large.png")


async def test_what_is_absent_is_looked_for_again(files: Files, root: Path) -> None:
    with pytest.raises(SourceNotFound):
        await files.version("late.png")
    (root / "late.png").write_bytes(PICTURE)
    assert await files.version("late.png")


async def test_a_root_that_is_replaced_is_seen(root: Path, tmp_path: Path) -> None:
    (tmp_path / "v2").mkdir()
    (tmp_path / "v2" / "picture.png").write_bytes(b"v2")
    current = tmp_path / "current"
    current.symlink_to("root")
    files = Files("photos", FilesSource(root=str(current)), LimitSettings())
    assert await read(files, "picture.png") == PICTURE
    (tmp_path / "next").symlink_to("v2")
    (tmp_path / "next").rename(current)
    assert await read(files, "picture.png") == b"v2"


async def test_a_root_that_is_gone_is_no_picture_that_is_deleted(root: Path, tmp_path: Path, opener: Opener) -> None:
    current = tmp_path / "current"
    current.symlink_to("root")
    files = Files("photos", FilesSource(root=str(current)), LimitSettings(), opener=opener)
    current.rename(tmp_path / "aside")
    for gone in (lambda: None, lambda: current.symlink_to("nowhere")):
        gone()
        for name in ("picture.png", "absent.png"):
            with pytest.raises(OriginFailed, match="directory of the source"):
                await files.version(name)
    (tmp_path / "aside").rename(current)
    assert await read(files, "picture.png") == PICTURE
    with pytest.raises(SourceNotFound):
        await files.version("absent.png")


@pytest.mark.parametrize("root", ["/no/such/directory", __file__])
def test_a_root_that_is_no_directory_is_the_operators_error(root: str) -> None:
    with pytest.raises(SettingsError):
        Files("photos", FilesSource(root=root), LimitSettings())


def test_the_origin_tells_roots_and_names_apart(root: Path) -> None:
    def origin(name: str, where: Path) -> str:
        return Files(name, FilesSource(root=str(where)), LimitSettings()).origin

    assert len({origin("a", root), origin("b", root), origin("a", root / "sub")}) == 3
    assert origin("a", root) == origin("a", root)
    assert str(root) not in origin("a", root)


def held(path: Path) -> bool:
    """Whether this process has `path` open."""
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            if link.readlink() == path:
                return True
    return False


@pytest.mark.skipif(sys.platform != "linux", reason="counts in /proc")
async def test_a_caller_cancelled_while_the_thread_opens_leaves_nothing_open(root: Path) -> None:
    entered, leave = threading.Event(), threading.Event()

    def slow(where: str, path: bytes) -> int:
        entered.set()
        leave.wait(10)
        return open_by_component(where, path)

    files = Files("photos", FilesSource(root=str(root)), LimitSettings(), opener=slow)
    task = asyncio.create_task(read(files, "picture.png"))
    await asyncio.to_thread(entered.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    leave.set()
    await asyncio.get_running_loop().shutdown_default_executor()
    assert not held(root / "picture.png")
