"""What the commands of the command line do. Each loads what it needs when it is called; few see libvips."""

from __future__ import annotations

import json
import os
import secrets
import sys
import time
from argparse import Namespace
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from imgproxy import configuration
from imgproxy.configuration import CONFIG_VARIABLE, Effective, Flag, shape, units
from imgproxy.configuration.warnings import warnings
from imgproxy.errors import InvalidOption, InvalidTarget, NotAnImage, SettingsError, SourceTooLarge
from imgproxy.formats import FORMATS
from imgproxy.settings import LibrarySettings, Settings, environment
from imgproxy.spec import Transform

FlagValues = dict[str, Flag]


def serve(arguments: Namespace) -> int:
    given = {"host": arguments.host, "port": arguments.port, "admin_port": arguments.admin_port}
    flags = {f"server.{key}": Flag(f"--{key.replace('_', '-')}", value) for key, value in given.items() if value is not None}
    if arguments.demo is not None:
        return _serve_demo(arguments, flags)
    return _run(_load(arguments, flags).settings)


def _run(settings: Settings) -> int:
    from imgproxy.processes import supervisor

    if settings.library.enabled:
        _catalogue(settings.library)
    return supervisor.run(settings)


def _catalogue(settings: LibrarySettings) -> None:
    """There, and of this version: once, before anybody uses it."""
    import asyncio

    from imgproxy.library import migrations, opening

    async def migrated() -> None:
        opening.prepare(settings)
        catalogue = opening.open_catalogue(settings)
        try:
            await migrations.migrate(catalogue.database)
        finally:
            await catalogue.database.close()

    asyncio.run(migrated())


def apikey(arguments: Namespace) -> int:
    import asyncio

    from imgproxy.library import opening
    from imgproxy.library.keys import SCOPES, TENANT, Callers

    settings, _ = configuration.resolve(_read(arguments).settings, environment())
    if not settings.library.enabled:
        raise SettingsError("library.enabled: is false; hosted pictures are switched off")
    _catalogue(settings.library)

    async def within(work: Callable[[Callers], Awaitable[int]]) -> int:
        catalogue = opening.open_catalogue(settings.library)
        try:
            return await work(Callers(catalogue, settings.library.tokens, settings.library.quota))
        finally:
            await catalogue.database.close()

    async def create(callers: Callers) -> int:
        scopes = [scope for scope in SCOPES if scope in _listed(arguments.scopes)]
        if not scopes or len(scopes) != len(_listed(arguments.scopes)):
            raise SettingsError(f"--scopes: expected some of {', '.join(SCOPES)}, with commas between")
        if not TENANT.fullmatch(arguments.tenant):
            raise SettingsError("--tenant: expected small letters, digits, dots, dashes and underscores, at most 64")
        print(await callers.create(arguments.tenant, scopes, _quota(arguments.quota)))
        return 0

    async def listed(callers: Callers) -> int:
        for row in await callers.listed():
            state = "revoked" if row.revoked_at else "active"
            made = time.strftime("%Y-%m-%d", time.gmtime(row.created_at / 1e6))
            print(f"{row.id}  {row.tenant}  {row.scopes}  {made}  {state}")
        return 0

    async def revoke(callers: Callers) -> int:
        if not await callers.revoke(arguments.id):
            raise SettingsError(f"there is no active key {arguments.id}; `imgproxy apikey list` has them")
        print(f"revoked: {arguments.id}")
        return 0

    return asyncio.run(within({"create": create, "list": listed, "revoke": revoke}[arguments.action]))


def _quota(text: str | None) -> int | None:
    try:
        return None if text is None else units.size(text)
    except ValueError as error:
        raise SettingsError(f"--quota: {error}") from None


def _serve_demo(arguments: Namespace, flags: FlagValues) -> int:
    from imgproxy import demo

    if not arguments.demo:
        print("imgproxy demo: drawing sample pictures …", flush=True)
    with demo.prepared(Path(arguments.demo).expanduser() if arguments.demo else None) as (extra, links):
        settings = _load(arguments, {"server.host": Flag("--demo", "127.0.0.1")} | extra | flags).settings
        port = demo.free_port(settings.server.host, settings.server.port)
        settings = msgspec.structs.replace(settings, server=msgspec.structs.replace(settings.server, port=port))
        print(demo.welcome(settings, links), flush=True)
        return _run(settings)


def sign(arguments: Namespace) -> int:
    from imgproxy.signing import Signer
    from imgproxy.urls.native import TEMPLATE
    from imgproxy.web.doors import make_native

    settings = _read(arguments).settings
    host, target = _split(arguments.target)
    if arguments.expires is not None:
        target += f"{'&' if '?' in target else '?'}expires={_deadline(arguments.expires)}"
    dialect = make_native(settings)
    request = dialect.parse(dialect.split(target).payload)
    if request.source == TEMPLATE and settings.draws_templates:
        from imgproxy.templates.opening import open_shelf
        from imgproxy.templates.source import filled

        filled(open_shelf(settings), request.locator)
    print(host + Signer(settings.signing.pairs).sign(target, arguments.key_id))
    return 0


def grant(arguments: Namespace) -> int:
    from imgproxy.signing import Policy, Signer

    settings = _read(arguments).settings
    settings.expect_source(arguments.source)
    if not arguments.widths and not arguments.max_pixels:
        raise SettingsError("a grant needs --widths or --max-pixels")
    try:
        policy = Policy(
            source=arguments.source,
            prefix=arguments.prefix,
            widths=tuple(int(width) for width in _listed(arguments.widths)),
            max_pixels=arguments.max_pixels,
            formats=tuple("jpeg" if name == "jpg" else name for name in _listed(arguments.formats)),
            expires=0 if arguments.expires == "never" else _deadline(arguments.expires),
        )
    except ValueError as error:
        what = "--widths are whole numbers with commas between" if "invalid literal" in str(error) else str(error)
        raise SettingsError(what) from None
    print(Signer(settings.signing.pairs).grant(policy, arguments.key_id))
    return 0


def key(_arguments: Namespace) -> int:
    print(secrets.token_urlsafe(32))
    return 0


def render(arguments: Namespace) -> int:
    from imgproxy import offline

    settings = _read(arguments).settings
    transform = _transform(arguments.options, arguments.target)
    source = _original(arguments.source, settings.limits.source_bytes)
    finished, data = offline.draw(settings, settings.limits, source, transform)
    if arguments.target == "-":
        sys.stdout.buffer.write(data)
        return 0
    _replace(Path(arguments.target), data)
    moving = f", {finished.frames} frames" if finished.frames > 1 else ""
    print(f"{arguments.target}: {finished.format}, {finished.width} × {finished.height}{moving}, {finished.length:,} bytes")
    return 0


def explain(arguments: Namespace) -> int:
    import asyncio

    from imgproxy.explain import explain as explained

    _, target = _split(arguments.target)
    said = asyncio.run(explained(_load(arguments).settings, target, arguments.accept))
    print(json.dumps(said, indent=2, ensure_ascii=False, default=_plain))
    return 0


def purge(arguments: Namespace) -> int:
    from imgproxy.cache.bans import Bans
    from imgproxy.web.admin import Purge, ban_of
    from imgproxy.web.doors import make_doors

    written = _read(arguments).settings
    settings, _ = configuration.resolve(written, environment())
    directory = Path(settings.cache.directory)
    # Bans that cannot be shared would hold in this process alone, which is about to end.
    if not directory.is_dir() or not os.access(directory, os.W_OK | os.X_OK):
        why = "cannot be written" if directory.is_dir() else "is not there"
        raise SettingsError(f"cache.directory: {directory} {why}; nothing was purged")
    if arguments.url is not None:
        if arguments.path is not None or arguments.prefix is not None:
            raise InvalidTarget("--path and --prefix go with --source, not with --url")
        asked = Purge(url=_split(arguments.url)[1])
    elif arguments.path is not None:
        asked = Purge(source=arguments.source, path=arguments.path)
    else:
        asked = Purge(source=arguments.source, prefix=arguments.prefix or "")
    dialects = [door.dialect for door in make_doors(settings)] if asked.url else []
    ban = ban_of(asked, time.time(), dialects, settings.expect_source)
    Bans(directory).add(ban)
    what = "everything" if ban.prefix and not ban.locator else ban.locator + ("…" if ban.prefix else "")
    print(f"purged: {what} of {ban.source}")
    return 0


def check(arguments: Namespace) -> int:
    effective = _load(arguments)
    rows = [
        (key, _shown(shape.told(kind, value)), effective.provenance.get(key, "default"))
        for key, kind, value in shape.walk(effective.settings)
    ]
    left = [f"{key} = {value}" for key, value, _ in rows]
    width = min(60, max(map(len, left)))
    for said, (_, _, origin) in zip(left, rows, strict=True):
        print(f"{said:<{width}}  # {origin}")
    sys.stdout.flush()
    for dotted, warning in warnings(effective.settings):
        print(f"imgproxy: warning: {dotted}: {warning}", file=sys.stderr)
    return 0


COMMANDS: dict[str, Callable[[Namespace], int]] = {
    "serve": serve,
    "sign": sign,
    "grant": grant,
    "key": key,
    "apikey": apikey,
    "render": render,
    "explain": explain,
    "purge": purge,
    "check": check,
}


def _file(arguments: Namespace) -> Path | None:
    named = environment().get(CONFIG_VARIABLE)
    given: Path | None = arguments.config
    return given or (Path(named) if named else None)


def _load(arguments: Namespace, flags: FlagValues | None = None) -> Effective:
    return configuration.load(_file(arguments), environment(), flags or {})


def _read(arguments: Namespace) -> Effective:
    """For commands that run where the server does not: the machine need not have its directories."""
    return configuration.read(_file(arguments), environment(), {})


def _split(url: str) -> tuple[str, str]:
    """(scheme and host, target) of a URL; a bare target has no host."""
    if not url.startswith(("http://", "https://")):
        return "", url
    try:
        host = "://".join(urlsplit(url)[:2])
    except ValueError as error:
        raise InvalidTarget(f"that is not a URL: {error}") from None
    return host, url[len(host) :] or "/"


def _deadline(duration: str) -> int:
    try:
        seconds = units.seconds(duration)
    except ValueError as error:
        raise SettingsError(f"--expires: {error}") from None
    if not 1 <= seconds <= 100 * 365 * 86_400:
        raise SettingsError("--expires: from a second to a hundred years")
    return int(time.time() + seconds)


def _listed(text: str) -> list[str]:
    return [item.strip() for item in text.split(",") if item.strip()]


def _transform(options: str, target: str) -> Transform:
    from imgproxy.urls.native import Native

    named = {piece.partition("=")[0] for piece in options.split("&")}
    pieces = [options] if options else []
    if "fm" not in named:
        suffix = Path(target).suffix.lower().lstrip(".")
        savers = {each: row.extension for row in FORMATS.values() if row.saver for each in row.extensions}
        if suffix not in savers:
            raise InvalidOption(
                "fm", f"the format is not known: say fm, or end DST in {', '.join(f'.{each}' for each in savers)}"
            )
        pieces.append(f"fm={savers[suffix]}")
    request = Native().parse(f"/images/file/original?{'&'.join(pieces)}")
    return request.transform or Transform()


def _original(name: str, most: int) -> bytes:
    if name == "-":
        data = sys.stdin.buffer.read(most + 1)
    else:
        with Path(name).open("rb") as file:
            data = file.read(most + 1)
    if not data:
        raise NotAnImage("the original is empty")
    if len(data) > most:
        raise SourceTooLarge(f"{name} has more than limits.source_bytes, {most}")
    return data


def _replace(path: Path, data: bytes) -> None:
    """Whole or not at all: the picture may be its own original. A device or a pipe is written to; a file must not take its
    place."""
    if path.exists() and not path.is_file():
        path.write_bytes(data)
        return
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        draft.write_bytes(data)
        draft.replace(path)
    except OSError as error:  # the draft's name is nothing to whoever asked
        raise OSError(error.errno, error.strerror, str(path.parent)) from error
    finally:
        with suppress(OSError):
            draft.unlink()


def _shown(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _plain(value: object) -> object:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
