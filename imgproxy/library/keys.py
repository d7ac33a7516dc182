"""Who may use the API: keys of our own, of which only a hash is kept, and JWTs (RFC 7519) of an identity provider."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from hashlib import sha256
from hmac import compare_digest
from typing import Literal, get_args

import jwt
import msgspec
from cachetools import TTLCache
from sqlalchemy import select, update

from imgproxy.errors import KeyInvalid, ScopeMissing
from imgproxy.library.catalogue import Catalogue, now
from imgproxy.library.known import KNOWN_SECONDS
from imgproxy.library.tables import api_keys
from imgproxy.settings import TokenKey

Scope = Literal["read", "write", "delete", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)

TENANT = re.compile("[a-z0-9][a-z0-9._-]{0,63}")
_KEY = re.compile("ik_([a-z0-9]{12})_([A-Za-z0-9_-]{43})")
_NOT_OURS = "there is no such key"


class Caller(msgspec.Struct, frozen=True):
    """Whoever a key or a token speaks for. `id` names it in what is counted; it is no secret."""

    id: str
    tenant: str
    scopes: frozenset[Scope]

    def needs(self, scope: Scope) -> None:
        """Raises ScopeMissing. `admin` may everything."""
        if scope not in self.scopes and "admin" not in self.scopes:
            raise ScopeMissing(f"this needs a key with the scope {scope}")


class KeyRow(msgspec.Struct, frozen=True):
    """What is told of a key afterwards; times in microseconds since the epoch."""

    id: str
    tenant: str
    scopes: str
    created_at: int
    revoked_at: int | None


class Callers:
    """`quota` in bytes is that of a tenant that has no account yet."""

    def __init__(self, catalogue: Catalogue, tokens: Sequence[TokenKey], quota: int) -> None:
        self._catalogue = catalogue
        self._tokens = {token.id: token for token in tokens}
        self._quota = quota
        self._known: TTLCache[bytes, Caller] = TTLCache(1024, KNOWN_SECONDS)
        self._accounts: set[str] = set()

    async def identify(self, credential: str) -> Caller:
        """Raises KeyInvalid and CatalogueUnavailable. A revoked key is good for a second more at most."""
        name = sha256(credential.encode("utf-8", "surrogateescape")).digest()
        caller = self._known.get(name)
        if caller is None:
            match = _KEY.fullmatch(credential)
            caller = await self._by_key(match[1], match[2]) if match else await self._by_token(credential)
            if match:  # a token has a moment of its own at which it ends
                self._known[name] = caller
        return caller

    async def create(self, tenant: str, scopes: Sequence[Scope], quota: int | None) -> str:
        """A new key, told once. `quota` None leaves the account what it has."""
        await self._catalogue.open_account(tenant, quota, self._quota)
        id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
        row = {"id": id, "tenant": tenant, "hash": _hash(secret), "scopes": " ".join(scopes), "created_at": now()}
        async with self._catalogue.database.writing() as connection:
            await connection.execute(api_keys.insert().values(row))
        return f"ik_{id}_{secret}"

    async def listed(self) -> list[KeyRow]:
        async with self._catalogue.database.reading() as connection:
            rows = (await connection.execute(select(api_keys).order_by(api_keys.c.created_at))).all()
        return [KeyRow(row.id, row.tenant, row.scopes, row.created_at, row.revoked_at) for row in rows]

    async def revoke(self, id: str) -> bool:
        """Whether there was such a key."""
        statement = update(api_keys).where(api_keys.c.id == id, api_keys.c.revoked_at.is_(None)).values(revoked_at=now())
        async with self._catalogue.database.writing() as connection:
            return bool((await connection.execute(statement)).rowcount)

    async def _by_key(self, id: str, secret: str) -> Caller:
        async with self._catalogue.database.reading() as connection:
            row = (await connection.execute(select(api_keys).where(api_keys.c.id == id))).first()
        if row is None or not compare_digest(row.hash, _hash(secret)) or row.revoked_at is not None:
            raise KeyInvalid(_NOT_OURS)
        return Caller(id, row.tenant, scopes_in(row.scopes))

    async def _by_token(self, credential: str) -> Caller:
        try:
            key = self._tokens[jwt.get_unverified_header(credential).get("kid", "")]
            claims = jwt.decode(
                credential,
                key.key,
                algorithms=[key.algorithm],
                audience=key.audience,
                issuer=key.issuer,
                options={"require": ["exp", "aud", "iss"]},
            )
        except jwt.ExpiredSignatureError:
            raise KeyInvalid("the token is no longer good") from None
        except (jwt.PyJWTError, KeyError, TypeError, ValueError):
            raise KeyInvalid(_NOT_OURS) from None
        tenant, scope = claims.get("tenant"), claims.get("scope", "")
        if not isinstance(tenant, str) or not TENANT.fullmatch(tenant) or (key.tenants and tenant not in key.tenants):
            raise KeyInvalid("the token names no tenant that it may speak for")
        if tenant not in self._accounts:
            await self._catalogue.open_account(tenant, None, self._quota)
            self._accounts.add(tenant)
        return Caller(f"{key.id}/{tenant}", tenant, scopes_in(scope if isinstance(scope, str) else ""))


def scopes_in(text: str) -> frozenset[Scope]:
    """Those among the words of `text`; others are passed over, as RFC 6749 §3.3 lets tokens have scopes of other services."""
    words = set(text.split())
    return frozenset(scope for scope in SCOPES if scope in words)


def _hash(secret: str) -> str:
    # 256 random bits: nothing slow is needed, as it would be for what people think up.
    return sha256(secret.encode()).hexdigest()
