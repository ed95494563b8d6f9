"""Halting: no later claim takes what is halted, and e-mails that the provider still holds are called back."""

from __future__ import annotations

from datetime import datetime

from retention.core.days import Counts
from retention.core.shop import Shop
from retention.delivery.operations import recall
from retention.ledger import halts


def halt(
    shop: Shop,
    campaign: str | None = None,
    channel: str | None = None,
    at: datetime | None = None,
) -> Counts:
    """Halt a campaign, a channel, or, with neither, everything. Returns all halts now in force.

    E-mails that SendGrid still holds at `at` (now) are called back: see `recall.call_back` for what it adds.
    """
    report = halts.halt(shop, campaign, channel)
    if channel in (None, "email"):
        report |= recall.call_back(shop, campaign, at)
    return report
