"""The outbox: keeps the rendered message in the database and as a file instead of handing it to a provider.

The row in ``delivery.outbox`` is written in the transaction that settles the message, so there is no doubt about what
a worker that died had done. The file is a copy for people: written before, and again if that worker died in between.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from email.utils import format_datetime
from pathlib import Path

from sqlalchemy import Connection

from retention.database import run
from retention.delivery.channels import Clock, Outgoing, Settled, accepted
from retention.settings import Settings


class Outbox:
    """Both channels, where nothing is sent for real."""

    provider = "outbox"

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock

    def send(self, messages: Sequence[Outgoing]) -> list[Settled]:
        """Write each message as a file below outbox/<day>/, named by its key."""
        now = self._clock().astimezone(self._settings.shop_time_zone)
        folder = self._settings.local / "outbox" / now.date().isoformat()
        folder.mkdir(parents=True, exist_ok=True)
        for message in messages:
            if message.channel == "email":
                _write(folder, message, ".eml", as_email(self._settings, message, now))
            else:
                _write(folder, message, ".txt", f"To: {message.recipient}\n\n{message.text}\n".encode())
        return [(message, accepted()) for message in messages]

    def keep(self, connection: Connection, claim: str, messages: Sequence[Outgoing], now: datetime) -> None:
        """Write the rows of ``delivery.outbox``."""
        run(
            connection, "delivery/store", claim=claim, now=now,
            customer_ids=[each.customer_id for each in messages],
            message_keys=[each.message_key for each in messages],
            recipients=[each.recipient for each in messages],
            subjects=[each.subject for each in messages],
            text_bodies=[each.text for each in messages],
            html_bodies=[each.html for each in messages],
            headers=[json.dumps(each.headers) for each in messages],
        )  # fmt: skip


def as_email(settings: Settings, message: Outgoing, at: datetime) -> bytes:
    """The message as a mail program reads it: plain text, HTML beside it, and the headers it would be sent with."""
    email = EmailMessage(policy=SMTP if message.recipient.isascii() else SMTPUTF8)
    email["From"] = Address(settings.shop_name, addr_spec=settings.email_from)
    email["To"] = message.recipient
    email["Subject"] = message.subject or ""
    email["Date"] = format_datetime(at)
    email["Message-ID"] = f"<{_file_name(message)}@outbox.invalid>"
    email["X-Message-Key"] = message.message_key
    for name, value in message.headers.items():
        email[name] = value
    email.set_content(message.text)
    if message.html is not None:
        email.add_alternative(message.html, subtype="html")
    return email.as_bytes()


def _write(folder: Path, message: Outgoing, suffix: str, content: bytes) -> None:
    target = folder / f"{_file_name(message)}{suffix}"
    draft = target.with_suffix(f"{suffix}.{os.getpid()}")
    draft.write_bytes(content)
    draft.replace(target)  # a reader never sees half a message


def _file_name(message: Outgoing) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "_", message.message_key).lstrip(".") or "message"
