"""Links in messages: an opaque token says who wants out of which channel, so no address stands in a URL."""

from __future__ import annotations

import base64
import hashlib
import hmac

from retention.settings import Settings

_CHANNELS = {"email": b"e", "sms": b"s", "all": b"a"}
_NAMES = {mark: channel for channel, mark in _CHANNELS.items()}
_SIGNATURE_BYTES = 16


def unsubscribe_token(settings: Settings, customer_id: int, channel: str) -> str:
    """The token that lets this customer out of `channel` (email, sms or all): signed, and the same each time."""
    wish = customer_id.to_bytes(8, "big", signed=True) + _CHANNELS[channel]
    return base64.urlsafe_b64encode(wish + _signature(settings, wish)).decode().rstrip("=")


def read_unsubscribe_token(settings: Settings, token: str) -> tuple[int, str] | None:
    """Customer and channel of a token that we signed; None for any other text."""
    try:
        content = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except ValueError:
        return None
    wish, signature = content[:9], content[9:]
    if len(wish) < 9 or not hmac.compare_digest(signature, _signature(settings, wish)):
        return None
    return int.from_bytes(wish[:8], "big", signed=True), _NAMES[wish[8:]]


def unsubscribe_url(settings: Settings, customer_id: int, channel: str) -> str:
    """The page that shows the way out; a POST to it is the one-click unsubscription of RFC 8058."""
    return f"{settings.public_url.rstrip('/')}/u/{unsubscribe_token(settings, customer_id, channel)}"


def _signature(settings: Settings, wish: bytes) -> bytes:
    return hmac.digest(settings.secret.encode(), b"unsubscribe\x1f" + wish, hashlib.sha256)[:_SIGNATURE_BYTES]
