"""Suppressions: whom nobody may write to any more."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection

from retention.core import changes
from retention.core.database import run
from retention.core.settings import Settings


def suppress(
    settings: Settings, connection: Connection, refused: Sequence[tuple[int, tuple[str, str]]], now: datetime
) -> None:
    """Write what a provider's refusal at `now` says of customers: of each the channel, or `all`, and the reason."""
    if refused:
        new = run(
            connection,
            "contact/suppress",
            customer_ids=[customer_id for customer_id, _ in refused],
            channels=[channel for _, (channel, _) in refused],
            reasons=[reason for _, (_, reason) in refused],
            known_ats=[now] * len(refused),
        )
        ids = sorted({row.customer_id for row in new})
        changes.record(connection, ids, now.astimezone(settings.shop_time_zone).date(), "suppressions")
