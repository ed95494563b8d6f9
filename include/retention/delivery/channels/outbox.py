"""The outbox: keeps the rendered message in the database and as a file instead of handing it to a provider.

The row in ``delivery.outbox`` is written in the transaction that settles the message, so there is no doubt about what
a worker that died had done. The file is a copy for people: written before, and again if that worker died in between.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from email.header import Header
from email.utils import format_datetime, formataddr
from pathlib import Path

from sqlalchemy import Connection

from retention.core import channels, storage
from retention.core.clock import Clock
from retention.core.database import run
from retention.core.settings import Settings
from retention.delivery.channels.base import Outgoing, Settled
from retention.ledger.outcomes import accepted

LONGEST_LINE = 990  # bytes, without its end: RFC 5322 allows 998


class Outbox:
    """Every channel that has a provider, where nothing is sent for real."""

    provider = "outbox"

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock

    def send(self, messages: Sequence[Outgoing]) -> list[Settled]:
        """Write each message as a file below outbox/<day>/, named by its key."""
        now = self._clock().astimezone(self._settings.shop_time_zone)
        folder = self._settings.local / "outbox" / now.date().isoformat()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for message in messages:
            if channels.get(message.channel).is_mail:
                _write(folder, message, ".eml", as_email(self._settings, message, now))
            else:
                _write(folder, message, ".txt", f"To: {message.recipient}\n\n{message.text}\n".encode())
        return [(message, accepted()) for message in messages]

    def keep(self, connection: Connection, claim: str, messages: Sequence[Outgoing], now: datetime) -> None:
        """Write the rows of ``delivery.outbox``."""
        run(
            connection,
            "delivery/store",
            claim=claim,
            now=now,
            customer_ids=[each.customer_id for each in messages],
            message_keys=[each.message_key for each in messages],
            recipients=[each.recipient for each in messages],
            subjects=[each.subject for each in messages],
            text_bodies=[each.text for each in messages],
            html_bodies=[each.html for each in messages],
            headers=[json.dumps(each.headers) for each in messages],
        )


def remove(settings: Settings, keys: Iterable[str]) -> int:
    """Remove the files of these messages, on whatever day they were written; how many."""
    wanted = {_file_name(key) for key in keys}
    files = [
        file
        for folder in (settings.local / "outbox").glob("*")
        for file in folder.iterdir()
        if file.name.split(".")[0] in wanted
    ]
    for file in files:
        file.unlink(missing_ok=True)
    return len(files)


def as_email(settings: Settings, message: Outgoing, at: datetime) -> bytes:
    """The message as a mail program reads it: plain text, HTML beside it, and the headers it would be sent with.

    Written by hand: a campaign's day can be many thousands, and the library's own messages take ten times as long.
    """
    headers = {
        "From": formataddr((settings.shop_name, settings.email_from)),
        "To": message.recipient,
        "Subject": _encoded(message.subject or ""),
        "Date": format_datetime(at),
        "Message-ID": f"<{_file_name(message.message_key)}@outbox.invalid>",
        "X-Message-Key": message.message_key,
        **message.headers,
        "MIME-Version": "1.0",
    }
    head = "".join(f"{name}: {value}\n" for name, value in headers.items())
    if message.html is None:
        return _crlf(head + _part("plain", message.text))
    boundary = f"=_{hashlib.sha256((message.text + message.html).encode()).hexdigest()[:32]}"
    parts = (_part("plain", message.text), _part("html", message.html))
    content = "".join(f"--{boundary}\n{part}\n" for part in parts)
    return _crlf(f'{head}Content-Type: multipart/alternative; boundary="{boundary}"\n\n{content}--{boundary}--\n')


def _encoded(value: str) -> str:
    if value.isascii() and len(value) < LONGEST_LINE // 2:
        return value
    return Header(value, "utf-8", header_name="Subject").encode(linesep="\n")


def _part(kind: str, text: str) -> str:
    """A body as it reads; only lines longer than mail allows are wrapped up in base64."""
    encoding = "8bit"
    if any(len(line) > LONGEST_LINE // 4 and len(line.encode()) > LONGEST_LINE for line in text.splitlines()):
        encoding, text = "base64", base64.encodebytes(text.encode()).decode()
    return f'Content-Type: text/{kind}; charset="utf-8"\nContent-Transfer-Encoding: {encoding}\n\n{text}\n'


def _crlf(text: str) -> bytes:
    return "\r\n".join(text.replace("\r\n", "\n").replace("\r", "\n").split("\n")).encode()


def _write(folder: Path, message: Outgoing, suffix: str, content: bytes) -> None:
    target = folder / f"{_file_name(message.message_key)}{suffix}"
    draft = target.with_suffix(f"{suffix}.{os.getpid()}")
    storage.write_private(draft, content)
    draft.replace(target)  # a reader never sees half a message


def _file_name(key: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "_", key).lstrip(".") or "message"
