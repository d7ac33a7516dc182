"""/v1/account: what a tenant has, exactly."""

from __future__ import annotations

from imgproxy.library.catalogue import Account, Catalogue
from imgproxy.web.api.operation import Call, Operation, Reply
from imgproxy.web.api.shapes import AccountAnswer, Storage

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


class Accounts:
    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def operations(self) -> tuple[Operation, ...]:
        return (Operation("getAccount", "GET", "/v1/account", "read", "Get how full the account is", self.told, AccountAnswer),)

    async def told(self, call: Call) -> Reply:
        return Reply(account_answer(await self._catalogue.account(call.tenant)))


def account_answer(account: Account) -> AccountAnswer:
    left = max(0, account.max_bytes - account.used_bytes)
    storage = Storage(
        account.max_bytes, readable(account.max_bytes), account.used_bytes, readable(account.used_bytes), left, readable(left)
    )
    return AccountAnswer(account.pictures, storage)


def readable(size: int) -> str:
    """`size` in bytes for people, with binary prefixes (IEC 80000-13): "1.5 GiB"."""
    value, unit = float(size), 0
    while value >= 1024 and unit < len(_UNITS) - 1:
        value, unit = value / 1024, unit + 1
    return f"{value:.1f} {_UNITS[unit]}" if unit else f"{size} B"
