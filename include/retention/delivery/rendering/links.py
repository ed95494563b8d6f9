"""Links in messages: an opaque, signed token says who follows which one, so no address stands in a URL."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re

from retention.core.channels import ALL, CHANNELS
from retention.core.settings import Settings, hmac_pads

_CHANNELS = {each.name: each.link_mark.encode() for each in CHANNELS.values() if each.link_mark} | {ALL: b"a"}
_NAMES = {mark: channel for channel, mark in _CHANNELS.items()}
_SIGNATURE_BYTES = 16
# A link into the shop is as short as it can be, for texts: what can be forged with it is a click and no more.
_CLICK_SIGNATURE_BYTES = 8
_HEX, _TEXT = b"h", b"t"
_IS_HEX = re.compile(r"(?:[0-9a-f]{2})+")


def unsubscribe_token(settings: Settings, customer_id: int, channel: str) -> str:
    """The token that lets this customer out of `channel` (or all): signed, and the same each time."""
    subject = customer_id.to_bytes(8, "big", signed=True) + _CHANNELS[channel]
    return _encoded(subject + _signature(settings, b"unsubscribe", subject))


def read_unsubscribe_token(settings: Settings, token: str) -> tuple[int, str] | None:
    """Customer and channel of a token that we signed; None for any other text."""
    content = _decoded(token)
    subject, signature = content[:9], content[9:]
    if len(subject) < 9 or not hmac.compare_digest(signature, _signature(settings, b"unsubscribe", subject)):
        return None
    return int.from_bytes(subject[:8], "big", signed=True), _NAMES[subject[8:]]


def unsubscribe_url(settings: Settings, customer_id: int, channel: str) -> str:
    """The page that shows the way out; a POST to it is the one-click unsubscription of RFC 8058."""
    return f"{settings.public_url.rstrip('/')}/u/{unsubscribe_token(settings, customer_id, channel)}"


def shop_url(settings: Settings, customer_id: int, message_key: str) -> str:
    """The way into the shop that counts the click; a path of the shop may follow it."""
    return f"{settings.public_url.rstrip('/')}/c/{click_token(settings, customer_id, message_key)}"


def click_token(settings: Settings, customer_id: int, message_key: str) -> str:
    """The token that says who came by which message: 44 signs for a key as planning makes it."""
    key = _HEX + bytes.fromhex(message_key) if _IS_HEX.fullmatch(message_key) else _TEXT + message_key.encode()
    said = customer_id.to_bytes(8, "big", signed=True) + key
    return _encoded(said + _signature(settings, b"click", said)[:_CLICK_SIGNATURE_BYTES])


def read_click_token(settings: Settings, token: str) -> tuple[int, str] | None:
    """Customer and message key of a token that we signed; None for any other text."""
    content = _decoded(token)
    said, signature = content[:-_CLICK_SIGNATURE_BYTES], content[-_CLICK_SIGNATURE_BYTES:]
    if len(said) < 9 or not hmac.compare_digest(
        signature, _signature(settings, b"click", said)[:_CLICK_SIGNATURE_BYTES]
    ):
        return None
    key = said[9:].hex() if said[8:9] == _HEX else said[9:].decode()
    return int.from_bytes(said[:8], "big", signed=True), key


def _signature(settings: Settings, purpose: bytes, said: bytes) -> bytes:
    inner, outer = hmac_pads(settings.secret)  # HMAC-SHA256, in half the time that hmac takes for it
    digest = hashlib.sha256(inner + purpose + b"\x1f" + said).digest()
    return hashlib.sha256(outer + digest).digest()[:_SIGNATURE_BYTES]


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def _decoded(token: str) -> bytes:
    """What stands in a token; nothing for what is none, or could be written in another way too."""
    try:
        content = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except ValueError:
        return b""
    return content if _encoded(content) == token else b""
