"""The edge of this room: when something was received is read here, everywhere behind it the instant is a parameter."""

from __future__ import annotations

from datetime import UTC, datetime


def now() -> datetime:
    """This instant."""
    return datetime.now(UTC)
