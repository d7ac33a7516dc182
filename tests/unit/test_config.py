"""The files in config/, and the Dockerfile, say what the code does: nothing is missing, nothing is made up."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from imgproxy.configuration import load, read, shape
from imgproxy.metrics import TABLE
from imgproxy.settings import FilesSource, HttpSource, Key, Settings, SourceLimits

ROOT = Path(__file__).parent.parent.parent
CONFIG = ROOT / "config"
HOME = {"HOME": "/home/somebody"}

ACTIVE = re.compile(r"(\w+) = (.+?) +# \S.*")
"""Of default.toml: a key, its value, and one comment."""


def uncommented() -> dict[str, Any]:
    """default.toml with its examples (`#key = value`, `#[table]`: no space after the hash) switched on."""
    lines = (CONFIG / "default.toml").read_text().splitlines()
    # The list of keys is empty where there is no example of one.
    return tomllib.loads(
        "\n".join(
            line.removeprefix("#") if re.match(r"#[\w\[]", line) else line
            for line in lines
            if line[:6] not in ("keys =", "tokens")
        )
    )


def test_default_toml_is_the_defaults() -> None:
    assert read(CONFIG / "default.toml", {}, {}).settings == Settings()


def test_default_toml_says_every_setting() -> None:
    said = read(CONFIG / "default.toml", {}, {}).provenance
    assert [key for key, origin in said.items() if origin == "default" and key != "sources"] == []


def test_default_toml_has_one_comment_for_every_key() -> None:
    keys = [
        line.removeprefix("#") for line in (CONFIG / "default.toml").read_text().splitlines() if re.match(r"#?\w+ = ", line)
    ]
    assert [line for line in keys if not ACTIVE.fullmatch(line)] == []


@pytest.mark.parametrize("table", [FilesSource, HttpSource, Key])
def test_the_examples_have_every_key(table: type[msgspec.Struct]) -> None:
    tree = uncommented()
    example = {FilesSource: tree["sources"]["photos"], HttpSource: tree["sources"]["shop"], Key: tree["signing"]["keys"][0]}[
        table
    ]
    assert set(example) - {"type"} == set(shape.keys(table))


def test_the_examples_say_the_servers_own_limits() -> None:
    tree = uncommented()
    assert tree["sources"]["photos"]["limits"] == tree["limits"]
    assert set(tree["sources"]["photos"]["limits"]) == set(shape.keys(SourceLimits))


def test_the_examples_load(tmp_path: Path) -> None:
    text = (CONFIG / "default.toml").read_text()
    secret = tmp_path / "secret"
    secret.write_text("s" * 40)
    login = generate_private_key(65537, 2048).public_key()
    (tmp_path / "login.pem").write_bytes(login.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    text = (
        re.sub(r"(?m)^#(?=[\w\[])", "", text)
        .replace("/run/secrets/imgproxy", str(secret))
        .replace("/run/secrets/login.pem", str(tmp_path / "login.pem"))
        .replace("/srv/photos", str(tmp_path))
    )
    (tmp_path / "all.toml").write_text(re.sub(r"(?m)^(keys|tokens) = .*", "", text))
    settings = load(tmp_path / "all.toml", HOME, {}).settings
    assert isinstance(settings.sources["photos"], FilesSource)
    assert settings.sources["photos"].freshness == FilesSource(root="/").freshness
    shop = settings.sources["shop"]
    assert isinstance(shop, HttpSource)
    assert msgspec.structs.replace(shop, base_url="") == HttpSource()


def test_development_toml_loads() -> None:
    settings = load(CONFIG / "development.toml", HOME, {}).settings
    assert (settings.signing.unsigned, settings.server.host) == ("loopback", "127.0.0.1")


def test_production_toml_loads_where_its_secret_and_directories_are(tmp_path: Path) -> None:
    there = {
        "IMGPROXY_SIGNING__KEYS": '[{id = "2025-01", secret = "0123456789abcdef0123456789abcdef"}]',
        "IMGPROXY_SOURCES__PHOTOS__ROOT": str(tmp_path),
    }
    settings = load(CONFIG / "production.toml", HOME | there, {}).settings
    assert settings.signing.unsigned == "never"
    assert settings.cache.results.max_entries == Settings().cache.results.max_entries


def series() -> dict[str, dict[str, tuple[str, ...]]]:
    """Every name a query may use, with its labels' values."""
    found = {}
    for metric in TABLE:
        suffixes = ("_bucket", "_sum", "_count") if metric.kind == "histogram" else ("",)
        found |= {metric.exposed + suffix: metric.labels | ({"le": ()} if suffix == "_bucket" else {}) for suffix in suffixes}
    return found


def queries() -> list[str]:
    dashboard = json.loads((CONFIG / "grafana" / "imgproxy.json").read_text())
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    asked += [variable["query"]["query"] for variable in dashboard["templating"]["list"] if variable["type"] == "query"]
    alerts = (CONFIG / "prometheus" / "alerts.yml").read_text()
    asked += ["".join(each) for each in re.findall(r"expr: (?:\|\n((?: {10,}.*\n)+)|(.+))", alerts)]
    return asked


def test_dashboard_and_alerts_ask_for_metrics_that_exist() -> None:
    known, asked = series(), queries()
    names = {name for query in asked for name in re.findall(r"imgproxy_\w+", query)}
    assert len(asked) > 20
    assert names - set(known) == set()
    assert {re.sub("_(bucket|sum|count)$", "", name) for name in names} == {metric.exposed for metric in TABLE}, (
        "and show them all"
    )


def test_dashboard_and_alerts_ask_for_labels_that_exist() -> None:
    known = series()
    for query in queries():
        for name, selector in re.findall(r"(imgproxy_\w+)\{([^}]*)\}", query):
            for label, values in re.findall(r'(\w+)[!=~]+"([^"]*)"', selector):
                if label == "instance":
                    continue
                assert set(values.split("|")) <= set(known[name][label]), query
        for labels in re.findall(r"by \(([^)]*)\)", query):
            possible = {"instance"}.union(*(known[name] for name in re.findall(r"imgproxy_\w+", query)))
            assert set(re.split(r", *", labels)) <= possible, query


def test_the_scraped_port_is_the_admin_port() -> None:
    text = (CONFIG / "prometheus" / "prometheus.yml").read_text()
    server = Settings().server
    assert f'"{server.admin_host}:{server.admin_port}"' in text


def tool(name: str) -> str:
    found = shutil.which(name) or shutil.which(name, path=str(Path(sys.executable).parent))
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def output(*command: str) -> tuple[int, str]:
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
    return done.returncode, done.stdout + done.stderr


def test_promtool_takes_the_rules() -> None:
    assert output(tool("promtool"), "check", "config", str(CONFIG / "prometheus" / "prometheus.yml"))[0] == 0


def test_nginx_takes_its_configuration(tmp_path: Path) -> None:
    nginx = tool("nginx")
    text = (CONFIG / "nginx" / "imgproxy.conf").read_text()
    text = text.replace("/var/cache/nginx/imgproxy", str(tmp_path / "cache")).replace("listen 80;", "listen 127.0.0.1:18099;")
    (tmp_path / "nginx.conf").write_text(f"pid {tmp_path}/pid;\nerror_log stderr;\nevents {{}}\nhttp {{\n{text}\n}}\n")
    code, said = output(nginx, "-t", "-c", str(tmp_path / "nginx.conf"), "-p", str(tmp_path))
    assert code == 0, said


def test_nginx_keys_its_cache_by_the_exact_target() -> None:
    """A signature covers the bytes of the target: a cache that normalised it would answer for another one."""
    text = (CONFIG / "nginx" / "imgproxy.conf").read_text()
    assert "proxy_cache_key $request_uri;" in text
    assert "proxy_pass http://imgproxy;" in text, "with a path after it nginx would decode the target"
    assert text.count("{") == text.count("}")


def test_hadolint_has_nothing_to_say_about_the_dockerfile() -> None:
    assert output(tool("hadolint"), str(ROOT / "Dockerfile")) == (0, "")


def test_the_dockerfile_sets_settings_that_exist() -> None:
    text = (ROOT / "Dockerfile").read_text()
    names = dict(re.findall(r"(IMGPROXY_\w+__\w+)=(\S+)", text))
    settings = read(None, {"IMGPROXY_SIGNING__UNSIGNED": "anyone"} | names, {}).settings
    assert settings.server.host == "0.0.0.0"
    assert settings.cache.directory == "/var/cache/imgproxy"
    assert f"EXPOSE {settings.server.port}" in text
    assert "USER 10001" in text
    assert '-c requirements.lock -b requirements.lock ".[formats]"' in text
