"""Settings that are allowed, but deserve a second look."""

from __future__ import annotations

from collections.abc import Iterator

from imgproxy.configuration.checks import Problem, is_loopback
from imgproxy.settings import HttpSource, ImgproxySettings, Settings
from imgproxy.sources.addresses import parse_network


def warnings(settings: Settings) -> Iterator[Problem]:
    """For `imgproxy check`."""
    if settings.signing.unsigned == "anyone":
        yield from _for_anyone(settings.imgproxy)
    if not is_loopback(settings.server.admin_host):
        yield "server.admin_host", "metrics and purging can be reached from other machines; keep them behind a firewall"
    if not (settings.sources or settings.draws_templates):
        yield "sources", "there are none, so every request ends in 404"
    if settings.render.allow_old_libvips:
        yield "render.allow_old_libvips", "a libvips with known holes is accepted"
    if not settings.render.landlock:
        yield "render.landlock", "render processes may open any file this user may"
    if not settings.render.seccomp:
        yield "render.seccomp", "render processes may open connections and act on other processes of this user"
    if settings.fallback.image and settings.fallback.status < 300:
        yield "fallback.status", "failures are answered as successes, so monitoring by status does not see them"
    for name, source in settings.sources.items():
        if isinstance(source, HttpSource):
            yield from _loose(f"sources.{name}", source)


def _for_anyone(door: ImgproxySettings) -> Iterator[Problem]:
    yield "signing.unsigned", "anyone may ask for any size of any picture; put a rate limit in front, or sign"
    if door.encryption_key and door.base_url:
        yield "imgproxy.encryption_key", "whoever asks often enough without a signature learns what is encrypted in a URL; sign"


def _loose(path: str, source: HttpSource) -> Iterator[Problem]:
    if any(pattern.split(":")[0] == "*" for pattern in source.allow):
        yield f"{path}.allow", '"*" fetches from every public host'
    if source.allow_downgrade:
        yield f"{path}.allow_downgrade", "redirects from https to http are followed"
    if any(parse_network(network).network.prefixlen == 0 for network in source.allow_networks):
        yield f"{path}.allow_networks", "the whole internet, private networks included, may be reached"
    if source.request_headers and source.base_url.startswith("http://"):
        yield f"{path}.request_headers", "are sent over plain http"
