"""The one typed Settings, and the only place that reads the environment. Unknown keys are errors.

Durations are seconds, sizes are bytes; in files and the environment both may carry a unit ("10m", "64MiB"). How defaults,
file, environment and flags become one tree is in `configuration/`; config/default.toml says what every key means.
"""

from __future__ import annotations

import os
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from imgproxy.errors import SourceUnknown
from imgproxy.spec import Recipe

_DECADE = 315_360_000  # TOML has inf; nothing here may wait that long
_MOST_WAIT = 2_000_000  # seconds, some 23 days: the kernel is told milliseconds, and they are an int of C
_MOST = 2**53  # of anything: limits are told to the kernel in 63 bits, and what is derived from them is a few times more

Seconds = Annotated[float, Meta(ge=0, le=_DECADE, extra={"unit": "seconds"})]
Timeout = Annotated[float, Meta(gt=0, le=_DECADE, extra={"unit": "seconds"})]
Wait = Annotated[float, Meta(gt=0, le=_MOST_WAIT, extra={"unit": "seconds"})]
"""A Timeout that the kernel sees to."""
Bytes = Annotated[int, Meta(ge=0, le=_MOST, extra={"unit": "bytes"})]
Count = Annotated[int, Meta(ge=0, le=_MOST)]
Positive = Annotated[int, Meta(ge=1, le=_MOST)]
Queue = Annotated[int, Meta(ge=1, le=2**31 - 1)]  # the backlog of a socket
Port = Annotated[int, Meta(ge=0, le=65535)]
Secret = Annotated[str, Meta(extra={"secret": True})]
"""Never shown. In files and the environment it may be "file:/run/secrets/x", which is read when the settings are loaded."""


class Section(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    pass


class ServerSettings(Section, frozen=True):
    host: str = "127.0.0.1"
    port: Port = 8080
    admin_host: str = "127.0.0.1"
    admin_port: Port = 8081
    web_processes: Count = 0  # 0: half of the cores, at least one
    drain: Annotated[float, Meta(ge=0, le=_MOST_WAIT, extra={"unit": "seconds"})] = 20
    keepalive: Seconds = 15
    header_timeout: Timeout = 15
    write_timeout: Wait = 30
    max_connections: Positive = 4096
    max_target: Positive = 8192
    cors_origins: tuple[str, ...] = ("*",)
    server_timing: bool = True
    jemalloc: str = ""


class Key(Section, frozen=True):
    id: Annotated[str, Meta(pattern="^[A-Za-z0-9_-]{1,32}$")]
    secret: Annotated[str, Meta(min_length=32, extra={"secret": True})]

    def __repr__(self) -> str:  # ends up in logs and tracebacks
        return f"Key(id={self.id!r})"


class SigningSettings(Section, frozen=True):
    unsigned: Literal["never", "loopback", "anyone"] = "never"
    keys: list[Key] = []

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """(id, secret), from the oldest to the newest."""
        return [(key.id, key.secret) for key in self.keys]


class ImgproxySettings(Section, frozen=True):
    """The front door for imgproxy's URLs. `keys` and `salts` are pairs, in hexadecimal digits."""

    enabled: bool = False
    prefix: Annotated[str, Meta(pattern="^/([^/?#]+/)*$")] = "/"
    keys: list[Secret] = []
    salts: list[Secret] = []
    signature_size: Annotated[int, Meta(ge=1, le=32)] = 32
    trusted_signatures: list[Secret] = []
    web: str = ""  # the http source that http:// and https:// URLs are of
    local: str = ""  # the files source that local:/// URLs are of
    base_url: str = ""
    separator: Annotated[str, Meta(min_length=1, max_length=8)] = ":"
    presets: list[str] = []
    presets_file: str = ""
    only_presets: bool = False
    allowed_options: list[str] = []
    encryption_key: Secret = ""
    watermark: str = ""  # NAME/PATH of the picture that wm: lays over others where wmu: names none
    watermark_opacity: Annotated[float, Meta(ge=0, le=1)] = 1
    security_options: bool = False  # whether URLs may set limits of their own
    base64_filename: bool = False  # whether the last segment after base64 is a name for people
    url_replacements: list[str] = []  # "prefix=replacement" for the beginning of pictures' URLs

    def __repr__(self) -> str:  # ends up in logs and tracebacks
        return f"ImgproxySettings(enabled={self.enabled!r}, prefix={self.prefix!r}, web={self.web!r}, local={self.local!r})"


class TextSettings(Section, frozen=True):
    fonts: tuple[str, ...] = ("/usr/share/fonts", "/usr/local/share/fonts")  # files, and directories of them
    font: str = "DejaVu Sans"  # where a URL names none; if it is not there, Noto Sans


class LimitSettings(Section, frozen=True):
    source_bytes: Bytes = 32 * 1024**2
    source_pixels: Positive = 50_000_000
    source_side: Positive = 16_384
    source_frames: Positive = 256
    result_pixels: Positive = 16_000_000
    result_side: Positive = 8_192


class FreshnessSettings(Section, frozen=True):
    max_age: Seconds = 86_400
    stale_while_revalidate: Seconds = 3_600
    stale_if_error: Seconds = 86_400


class SourceLimits(Section, frozen=True):
    """Each None is the server's own limit."""

    source_bytes: Bytes | None = None
    source_pixels: Positive | None = None
    source_side: Positive | None = None
    source_frames: Positive | None = None
    result_pixels: Positive | None = None
    result_side: Positive | None = None


class FilesSource(Section, frozen=True, tag_field="type", tag="files"):
    root: str
    limits: SourceLimits = SourceLimits()
    freshness: FreshnessSettings = FreshnessSettings()
    headers: dict[str, str] = {}  # added to answers from this source


class HttpSource(Section, frozen=True, tag_field="type", tag="http"):
    base_url: str = ""  # "": the URL in the path, limited by `allow`
    allow: list[str] = []  # hosts: "img.example.com", "*.example.com", "*", each with an optional ":port"
    allow_networks: list[str] = []  # CIDRs that may be reached although they are not public
    request_headers: dict[str, Secret] = {}  # sent to the origin; values may be "file:/run/secrets/x"
    headers: dict[str, str] = {}  # added to answers from this source
    limits: SourceLimits = SourceLimits()
    freshness: FreshnessSettings = FreshnessSettings()
    respect_origin: bool = True  # the origin's Cache-Control and Expires, where it sends them, replace `freshness.max_age`
    connect_timeout: Timeout = 3
    first_byte_timeout: Timeout = 5
    total_timeout: Timeout = 10
    min_rate: Bytes = 1024  # bytes a second over five seconds
    max_redirects: Count = 3
    allow_downgrade: bool = False  # follow a redirect from https to http
    connections: Positive = 32  # at once to one origin host

    def __repr__(self) -> str:  # ends up in logs and tracebacks
        shown = msgspec.structs.asdict(self) | {"request_headers": sorted(self.request_headers)}
        return f"HttpSource({', '.join(f'{name}={value!r}' for name, value in shown.items())})"


class BucketSettings(Section, frozen=True):
    """An S3-compatible store for the originals of hosted pictures."""

    name: str = ""  # "": they are in `library.directory`
    prefix: str = ""
    endpoint: str = ""  # "": Amazon's
    region: str = "us-east-1"
    access_key: Secret = ""
    secret_key: Secret = ""

    def __repr__(self) -> str:  # ends up in logs and tracebacks
        return f"BucketSettings(name={self.name!r}, prefix={self.prefix!r}, endpoint={self.endpoint!r})"


class TokenKey(Section, frozen=True):
    """What verifies the JWTs of one issuer. The algorithm is the key's, never the token's."""

    id: Annotated[str, Meta(pattern="^[A-Za-z0-9._-]{1,64}$")]  # `kid` in the head of its tokens
    algorithm: Literal["HS256", "HS384", "HS512", "RS256", "ES256", "EdDSA"]
    key: Annotated[str, Meta(min_length=32, extra={"secret": True})]  # the secret, or the public key in PEM
    issuer: Annotated[str, Meta(min_length=1)]
    audience: Annotated[str, Meta(min_length=1)]
    tenants: list[str] = []  # whom it may speak for; []: anybody

    def __repr__(self) -> str:  # ends up in logs and tracebacks
        return f"TokenKey(id={self.id!r}, algorithm={self.algorithm!r}, issuer={self.issuer!r})"


class WebhookSettings(Section, frozen=True):
    """Calls to other people's servers when pictures are drawn that were asked for."""

    allow: list[str] = []  # hosts, each with an optional port; []: any, on 80 and 443
    allow_networks: list[str] = []
    timeout: Timeout = 10
    attempts: Annotated[int, Meta(ge=1, le=20)] = 8
    retry: Timeout = 5  # before the second attempt; four times as long before each one more


class LibrarySettings(Section, frozen=True):
    """Hosted pictures and their API."""

    enabled: bool = False
    directory: str = ""  # "": imgproxy below the user's data directory
    database: Secret = ""  # "": SQLite in `directory`
    bucket: BucketSettings = BucketSettings()
    tokens: list[TokenKey] = []
    unsigned: bool = True  # public pictures are served without a signature
    public_url: str = ""  # scheme and host in the URLs that the API answers; "": those it was asked by
    web: str = ""  # the http source that pictures are imported through; "": any public host
    quota: Bytes = 10 * 1024**3  # of an account that was made without one
    data_bytes: Bytes = 8 * 1024**2  # of a JSON body
    rate: Positive = 600  # requests a minute with one key
    link: Timeout = 3600  # how long the URL of a private picture is good that the API answers
    downloads: Timeout = 3600  # how long a stored result is there
    jobs: Timeout = 86_400  # how long after it was accepted one that is done can be asked after
    template_sources: list[str] = []  # beside hosted pictures and URLs, what templates of the API may show
    webhooks: WebhookSettings = WebhookSettings()
    freshness: FreshnessSettings = FreshnessSettings()

    def __repr__(self) -> str:  # ends up in logs and tracebacks
        return f"LibrarySettings(enabled={self.enabled!r}, directory={self.directory!r}, bucket={self.bucket!r})"


class TemplateSettings(Section, frozen=True):
    """Pictures that are drawn for each reader."""

    directory: str = ""  # of *.json files; "": there are none
    web: str = ""  # the http source of pictures that are named by a whole URL; "": any public host
    freshness: FreshnessSettings = FreshnessSettings()
    fallback_max_age: Seconds = 10  # of an answer on which a fallback stands for a picture


class StoreSettings(Section, frozen=True):
    max_bytes: Bytes
    max_entries: Positive


class RenditionSettings(StoreSettings, frozen=True):
    enabled: bool = True
    least_pixels: Positive = 4_000_000
    largest: Annotated[int, Meta(ge=256, le=8192)] = 2048  # pixels of the longer side


class CacheSettings(Section, frozen=True):
    directory: str = ""  # "": imgproxy below the user's cache directory
    results: StoreSettings = StoreSettings(max_bytes=2 * 1024**3, max_entries=1_000_000)
    originals: StoreSettings = StoreSettings(max_bytes=2 * 1024**3, max_entries=100_000)
    renditions: RenditionSettings = RenditionSettings(max_bytes=1024**3, max_entries=10_000)
    low_water: Annotated[float, Meta(gt=0, le=1)] = 0.9
    memory_bytes: Bytes = 64 * 1024**2
    memory_entry_bytes: Bytes = 64 * 1024
    negative: Seconds = 5


class RenderSettings(Section, frozen=True):
    processes: Count = 0  # 0: as many as cores
    queue: Queue = 64
    queue_timeout: Timeout = 10
    deadline: Wait = 10
    svg_deadline: Wait = 2
    memory: Bytes = 1024**3
    max_jobs: Positive = 10_000
    max_rss: Bytes = 512 * 1024**2
    nice: Annotated[int, Meta(ge=0, le=19)] = 19
    landlock: bool = True
    seccomp: bool = True
    quarantine: Seconds = 600
    allow_old_libvips: bool = False


class UpgradeSettings(Section, frozen=True):
    enabled: bool = True
    effort: Annotated[int, Meta(ge=0, le=9)] = 4
    budget: Annotated[float, Meta(ge=0, le=1000)] = 1.2  # of the time that WebP would take
    max_age: Seconds = 60
    queue: Queue = 16
    deadline: Wait = 60


class FallbackSettings(Section, frozen=True):
    image: str = ""  # a local file; "": errors are problem+json
    status: Annotated[int, Meta(ge=200, le=599)] = 200
    max_age: Seconds = 10


class LogSettings(Section, frozen=True):
    level: Literal["debug", "info", "warning", "error"] = "info"
    access: bool = True


class Settings(Section, frozen=True):
    server: ServerSettings = ServerSettings()
    signing: SigningSettings = SigningSettings()
    imgproxy: ImgproxySettings = ImgproxySettings()
    sources: dict[str, FilesSource | HttpSource] = {}
    library: LibrarySettings = LibrarySettings()
    templates: TemplateSettings = TemplateSettings()
    text: TextSettings = TextSettings()
    limits: LimitSettings = LimitSettings()
    cache: CacheSettings = CacheSettings()
    render: RenderSettings = RenderSettings()
    encode: Recipe = Recipe()
    upgrade: UpgradeSettings = UpgradeSettings()
    fallback: FallbackSettings = FallbackSettings()
    log: LogSettings = LogSettings()

    @property
    def draws_templates(self) -> bool:
        """Whether there can be any: in files, or in the catalogue of hosted pictures."""
        return bool(self.templates.directory) or self.library.enabled

    def expect_source(self, name: str) -> None:
        """Raises SourceUnknown, with the names that there are: for the operator, not for whoever asks for a picture."""
        own = {"library": self.library.enabled, "template": self.draws_templates}
        known = sorted([*self.sources, *(source for source, there in own.items() if there)])
        if name not in known:
            raise SourceUnknown(f'there is no source called "{name}"; there are: {", ".join(known) or "none"}')


def environment() -> dict[str, str]:
    """A copy of this process's environment."""
    return dict(os.environ)


def child_environment(**extra: str) -> dict[str, str]:
    """What a child process gets: this environment without IMGPROXY_* (they may hold secrets, and the child gets its settings
    through a descriptor), and with `extra`."""
    return {name: value for name, value in os.environ.items() if not name.startswith("IMGPROXY_")} | extra
