"""Calling e-mails back: with RETENTION_EMAIL_DELAY SendGrid holds each for so long, in a batch that a halt cancels."""

from __future__ import annotations

import http.client
import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection

from retention.core.database import run
from retention.core.days import Counts
from retention.core.shop import Shop
from retention.delivery.channels.base import Outgoing

if TYPE_CHECKING:
    from sendgrid import SendGridAPIClient

log = logging.getLogger(__name__)


class Batches:
    """The batches of one worker: one per campaign, since a halt may be of one, and SendGrid cancels ten at a time."""

    def __init__(self, client: SendGridAPIClient, delay: timedelta) -> None:
        self.delay = delay
        self._client = client
        self._ids: dict[str, str] = {}

    def fields(self, campaign: str, now: datetime) -> dict[str, Any]:
        """What a request says of it. Raises the client's errors, before anything is sent."""
        if campaign not in self._ids:
            self._ids[campaign] = self._client.client.mail.batch.post().to_dict["batch_id"]
        return {"batch_id": self._ids[campaign], "send_at": int((now + self.delay).timestamp())}

    def keep(self, connection: Connection, claim: str, messages: Sequence[Outgoing], now: datetime) -> None:
        """Remember them, in the transaction that settles `messages` as accepted."""
        campaigns = sorted({each.campaign for each in messages})
        run(
            connection,
            "delivery/keep_batches",
            claim=claim,
            campaigns=campaigns,
            send_at=now + self.delay,
            batch_ids=[self._ids[each] for each in campaigns],
        )


def call_back(shop: Shop, campaign: str | None, at: datetime | None = None) -> Counts:
    """Cancel what SendGrid still holds at `at` (now), of one campaign or of all.

    Returns how many messages were `called_back` (they are unknown: SendGrid promises nothing for what is due within ten
    minutes), and the sentence `not_called_back` where a batch could not be cancelled; nothing where none is held.
    """
    now = at or shop.clock()
    with shop.engine.begin() as connection:
        held = run(connection, "delivery/held_batches", campaign=campaign, now=now).scalars().all()
    if not held:
        return {}
    # Imported when they are needed: the official client takes a second.
    from python_http_client.exceptions import HTTPError

    from retention.delivery.channels import sendgrid_client

    client = sendgrid_client.make(shop.settings).client
    counts: Counts = {"called_back": 0}
    for number, batch_id in enumerate(held):
        try:
            client.user.scheduled_sends.post(request_body={"batch_id": batch_id, "status": "cancel"})
        except (HTTPError, OSError, http.client.HTTPException) as problem:
            why = f"answered {problem.status_code}" if isinstance(problem, HTTPError) else "did not answer"
            counts["not_called_back"] = (
                f"{len(held) - number} of {len(held)} batches: SendGrid {why}. It cancels ten at a time, and none that "
                "is due; try again, or cancel them there."
            )
            log.error("Not called back: %s", counts["not_called_back"])
            break
        with shop.engine.begin() as connection:
            cancelled = run(connection, "delivery/cancel_batch", batch_id=batch_id, now=now).all()
            claims, campaigns = [row.claim for row in cancelled], [row.campaign for row in cancelled]
            counts["called_back"] += len(run(connection, "ledger/call_back", claims=claims, campaigns=campaigns).all())
    return counts
