"""Calls to webhooks: where they go, and how they are signed."""

from __future__ import annotations

import base64
import hmac

import pytest

from imgproxy.errors import InvalidTarget, SourceForbidden
from imgproxy.settings import WebhookSettings
from imgproxy.web.api.webhooks import Webhooks, signed, told_secret


@pytest.mark.parametrize(
    ("url", "refused"),
    [
        ("http://127.0.0.1/", SourceForbidden),
        ("http://2130706433/", SourceForbidden),
        ("http://0x7f.1/", SourceForbidden),
        ("http://[::1]/", SourceForbidden),
        ("http://[::ffff:10.0.0.1]/", SourceForbidden),
        ("http://169.254.169.254/latest", SourceForbidden),
        ("http://localhost/", SourceForbidden),
        ("http://8.8.8.8:22/", SourceForbidden),
        ("ftp://8.8.8.8/", InvalidTarget),
        ("http://a:b@8.8.8.8/", InvalidTarget),
        ("file:///etc/passwd", InvalidTarget),
        ("http://8.8.8.8/hook?a=b", None),
    ],
)
async def test_where_it_may_be(url: str, refused: type[Exception] | None) -> None:
    webhooks = Webhooks(WebhookSettings())
    if refused is None:
        await webhooks.check(url)
    else:
        with pytest.raises(refused):
            await webhooks.check(url)
        assert await webhooks.call(url, "msg_1", b"{}", b"secret") is False
    await webhooks.close()


def test_a_call_is_signed_as_standard_webhooks_has_it() -> None:
    """The example of its reference libraries."""
    secret = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    headers = signed("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}', secret)
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert told_secret(secret) == "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    again = hmac.digest(secret, b'msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330.{"test": 2432232314}', "sha256")
    assert headers["webhook-signature"].removeprefix("v1,") == base64.b64encode(again).decode()


def test_it_is_waited_longer_and_longer_and_not_for_ever() -> None:
    webhooks = Webhooks(WebhookSettings(attempts=4, retry=2))
    assert [webhooks.again_in(calls) for calls in (1, 2, 3, 4, 5)] == [2, 8, 32, None, None]
