"""The supervisor: binds the sockets, starts everybody, replaces whoever dies, and stops them in order. Nothing in it can crash.

It loads neither aiohttp nor libvips, and no request passes through it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import signal
import socket
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from imgproxy import logs
from imgproxy.processes import sockets
from imgproxy.processes.child import RELOAD, Death, Exit, JanitorHandoff, RenderHandoff, WebHandoff, log
from imgproxy.processes.crew import Child, Crew
from imgproxy.settings import Settings, child_environment
from imgproxy.typefaces import BUNDLED

_FRUGAL = {"MALLOC_ARENA_MAX": "2", "MALLOC_TRIM_THRESHOLD_": "1048576", "MALLOC_MMAP_THRESHOLD_": "1048576"}
"""What is freed goes back to the kernel, but for what the next picture needs at once: with an eighth of these, a small JPEG
costs two hundred page faults, a twelfth of its time; with eight times as much for blocks of their own, what is drawn from a
rendition takes 2 % (WebP) to 8 % (JPEG) less, and all processes together some 10 MB more."""
_IN_MEMORY = {"VIPS_DISC_THRESHOLD": "1024g"}
"""From 100 MB on libvips would put what it cannot decode row by row, a WebP say, into a temporary file: a render process opens
none, and its memory has a limit of its own."""
_KNOWN = ("PATH", "HOME", "TMPDIR", "TZ", "LANG", "LC_", "LD_LIBRARY_PATH", "PYTHON", "FONTCONFIG_", "XDG_", "VIPS_")
"""What a render process may know of the environment: the rest may be somebody's secret."""


def run(
    settings: Settings,
    *,
    web_module: str = "imgproxy.processes.web",
    render_module: str = "imgproxy.processes.render",
    janitor_module: str = "imgproxy.processes.janitor",
    upgrade_module: str = "imgproxy.processes.upgrade",
) -> int:
    """Serve until SIGTERM or SIGINT; the exit code. 0: everything asked for before that was answered. `settings` are complete:
    see `configuration.load`.

    Raises SettingsError when an address or the runtime directory cannot be had.
    """
    logs.configure(settings.log.level)
    with contextlib.ExitStack() as stack:
        runtime = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="imgproxy-")))
        (runtime / "prometheus").mkdir()
        server = settings.server
        public = stack.enter_context(sockets.listen(server.host, server.port, server.write_timeout))
        admin = stack.enter_context(sockets.listen(server.admin_host, server.admin_port, server.write_timeout))
        jobs = stack.enter_context(sockets.listen_for_jobs(runtime / "render.sock", settings.render.queue))
        upgrades = stack.enter_context(sockets.listen_for_jobs(runtime / "upgrade.sock", settings.upgrade.queue))
        where = {"public": sockets.address(public), "admin": sockets.address(admin), "runtime": str(runtime)}
        (runtime / "listening.json").write_bytes(msgspec.json.encode(where))
        log(logging.INFO, "listening", pid=os.getpid(), **where)
        web = _web(settings, runtime, public, admin, web_module)
        render = _render(settings, jobs, render_module)
        janitor = _janitor(settings, runtime, janitor_module)
        upgrade = _upgrade(settings, upgrades, upgrade_module)
        for crew in (web, render, janitor, upgrade):
            stack.callback(crew.close)
        signals = stack.enter_context(_signals())
        wanted = upgrades if settings.upgrade.enabled else None
        return Supervisor(web, render, janitor, upgrade, (public, admin), wanted, signals, server.drain).run()


def _web(settings: Settings, runtime: Path, public: socket.socket, admin: socket.socket, module: str) -> Crew:
    want = settings.server.web_processes
    return Crew(
        kind="web",
        module=module,
        want=want,
        handoff=WebHandoff(
            settings=settings, runtime=str(runtime), public=public.fileno(), admin=admin.fileno(), processes=want
        ),
        inherits=(public.fileno(), admin.fileno()),
        environment=child_environment(PROMETHEUS_MULTIPROC_DIR=str(runtime / "prometheus")),
    )


def _render(settings: Settings, jobs: socket.socket, module: str) -> Crew:
    return Crew(
        kind="render",
        module=module,
        want=settings.render.processes,
        spares=1,
        handoff=_render_handoff(settings, jobs),
        inherits=(jobs.fileno(),),
        environment=_render_environment(settings),
    )


def _upgrade(settings: Settings, jobs: socket.socket, module: str) -> Crew:
    """Started when there is a job for one, and gone when there was none for a while: nobody waits, and the memory is free."""
    return Crew(
        kind="upgrade",
        module=module,
        want=0,
        handoff=msgspec.structs.replace(_render_handoff(settings, jobs), idle=True),
        inherits=(jobs.fileno(),),
        environment=_render_environment(settings),
    )


def _render_environment(settings: Settings) -> dict[str, str]:
    preload = settings.server.jemalloc
    tuned = {"LD_PRELOAD": preload} if preload else _FRUGAL
    known = {name: value for name, value in child_environment().items() if name.startswith(_KNOWN)}
    return known | _IN_MEMORY | tuned


def _render_handoff(settings: Settings, jobs: socket.socket) -> RenderHandoff:
    pixels = max(settings.limits.result_pixels, *(each.limits.result_pixels or 0 for each in settings.sources.values()), 0)
    return RenderHandoff(
        render=settings.render,
        encode=settings.encode,
        log=settings.log,
        listener=jobs.fileno(),
        fonts=(*settings.text.fonts, str(BUNDLED)),
        # Four channels of sixteen bits, uncompressed, is more than any encoder here makes of a pixel; and more than a rendition
        # has of its first level's, all levels together.
        result_bytes=8 * max(pixels, settings.cache.renditions.largest**2) + 2**20,
    )


def _janitor(settings: Settings, runtime: Path, module: str) -> Crew:
    return Crew(
        kind="janitor",
        module=module,
        want=1,
        handoff=JanitorHandoff(cache=settings.cache, log=settings.log, runtime=str(runtime)),
        inherits=(),
        environment=child_environment(PROMETHEUS_MULTIPROC_DIR=str(runtime / "prometheus")),
    )


@contextlib.contextmanager
def _signals() -> Iterator[socket.socket]:
    """A socket from which the numbers of SIGTERM, SIGINT, SIGCHLD and SIGHUP can be read."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGHUP)}
    for number in before:
        signal.signal(number, lambda *_: None)
    signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
    try:
        with ours, theirs:
            yield ours
    finally:
        signal.set_wakeup_fd(-1)
        for number, handler in before.items():
            signal.signal(number, handler)


@dataclass(slots=True)
class Supervisor:
    """The loop. `listening` are its own copies of the TCP sockets, `upgrades` is the socket with the jobs of upgrade processes,
    None where there are to be none."""

    web: Crew
    render: Crew
    janitor: Crew
    upgrade: Crew
    listening: tuple[socket.socket, ...]
    upgrades: socket.socket | None
    signals: socket.socket
    drain: float
    ready: bool = False
    stopping: bool = False
    clean: bool = True
    killing_at: float = 0.0
    result: int | None = None
    _untold: deque[Death] = field(default_factory=lambda: deque(maxlen=1024))
    _selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)

    @property
    def crews(self) -> tuple[Crew, ...]:
        # In the order in which they are needed.
        return self.render, self.web, self.janitor, self.upgrade

    def run(self) -> int:
        with self._selector:
            self._selector.register(self.signals, selectors.EVENT_READ)
            self._await_upgrades()
            while self.result is None:
                self._reap()
                if self.result is not None:
                    break
                if self.stopping:
                    self._stop_next()
                else:
                    self._fill()
                if self.result is None:
                    self._wait()
        return self.result

    def _wait(self) -> None:
        for key, _ in self._selector.select(self._timeout()):
            if key.data is None:
                for number in self.signals.recv(64):
                    self._obey(number)
            elif key.data is self.upgrade:
                self._selector.unregister(key.fileobj)
                self.upgrade.want = 1
            else:
                crew, child = key.data
                # A render process closes its end when it begins; one that is dead is mourned at its SIGCHLD.
                if not crew.heard(child):
                    self._selector.unregister(child.control)

    def _await_upgrades(self) -> None:
        """No upgrade process runs: the first job starts one."""
        self.upgrade.want = 0
        if self.upgrades is not None:
            self._selector.register(self.upgrades, selectors.EVENT_READ, self.upgrade)

    def _obey(self, number: int) -> None:
        if number == signal.SIGCHLD:
            return
        if number == signal.SIGHUP:
            # One that is starting may have read what is old by now; it hears this when it has.
            self.web.tell(RELOAD, starting=True)
        elif self.stopping:
            log(logging.WARNING, "stopped", reason="asked twice")
            self.result = Exit.FAILED
        else:
            self._stop(signal.Signals(number).name)

    def _timeout(self) -> float | None:
        now = time.monotonic()
        if self.stopping:
            return max(0.0, self.killing_at - now)
        pauses = [crew.not_before - now for crew in self.crews if crew.missing()]
        return max(0.0, min(pauses)) if pauses else None

    def _fill(self) -> None:
        now = time.monotonic()
        for crew in self.crews:
            crew.promote()
            while now >= crew.not_before and crew.missing():
                try:
                    child = crew.start()
                except OSError as error:
                    log(logging.WARNING, "not-started", kind=crew.kind, error=error.strerror)
                    self._despair(crew)
                    break
                self._selector.register(child.control, selectors.EVENT_READ, (crew, child))
        self._tell_janitor()
        if not self.ready and all(crew.complete for crew in self.crews):
            self.ready = True
            log(logging.INFO, "ready", web=self.web.want, render=self.render.want)

    def _reap(self) -> None:
        for crew in self.crews:
            for child, cause in crew.reap():
                self._mourn(crew, child, cause)

    def _mourn(self, crew: Crew, child: Child, cause: str) -> None:
        with contextlib.suppress(KeyError):
            self._selector.unregister(child.control)
        child.control.close()
        code = child.process.returncode
        if self.stopping:
            # One that was never let in had nothing to finish; of the others, a web process says whether it could.
            self.clean = self.clean and (crew is not self.web or child.state != "active" or code == 0)
            return
        if crew is self.upgrade and code == Exit.CLEAN:
            self._await_upgrades()
            return
        level = logging.INFO if cause == "retired" else logging.WARNING
        log(level, "replaced", kind=crew.kind, cause=cause, code=code, child=child.process.pid, state=child.state)
        self._untold.append(Death(crew.kind, cause, child.process.pid))
        if code == Exit.MISCONFIGURED and not crew.complete:
            self.result = int(Exit.MISCONFIGURED)
        else:
            self._despair(crew)

    def _despair(self, crew: Crew) -> None:
        if crew.hopeless:
            log(logging.ERROR, "stopped", reason=f"{crew.kind} processes do not start")
            self.result = int(Exit.FAILED)

    def _tell_janitor(self) -> None:
        while self._untold and self.janitor.tell(msgspec.msgpack.encode(self._untold[0])):
            self._untold.popleft()

    def _stop(self, reason: str) -> None:
        log(logging.INFO, "draining", reason=reason)
        self.stopping = True
        self.killing_at = time.monotonic() + self.drain
        sockets.turn_away(self.listening[0])
        for sock in self.listening:
            sock.close()
        self.web.signal(signal.SIGTERM)

    def _stop_next(self) -> None:
        """The web processes need the others until they are done."""
        if time.monotonic() >= self.killing_at:
            log(logging.WARNING, "stopped", reason="draining took too long")
            self.result = int(Exit.FAILED)
        elif not self.web.children:
            others = (self.render, self.janitor, self.upgrade)
            for crew in others:
                crew.signal(signal.SIGTERM)
            if not any(crew.children for crew in others):
                log(logging.INFO, "stopped", clean=self.clean)
                self.result = int(Exit.CLEAN if self.clean else Exit.FAILED)
