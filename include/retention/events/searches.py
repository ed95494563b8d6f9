"""Where providers are asked about a message: SendGrid's email activity, Twilio's list of texts."""

from __future__ import annotations

import http.client
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import requests
from python_http_client.exceptions import HTTPError
from sqlalchemy import Connection
from twilio.base.exceptions import TwilioException, TwilioRestException
from twilio.rest.api.v2010.account.message import MessageInstance

from retention.core.database import run
from retention.core.errors import DeliveryError
from retention.core.settings import Settings
from retention.delivery.channels import sendgrid_client, twilio_sms
from retention.events.reports import Event, drop_detail

EVERY = 10.0  # seconds between two questions about e-mail: SendGrid takes six a minute
SLACK = timedelta(minutes=2)  # by which our clock and Twilio's may differ
PAGE = 200  # texts to one number that are looked through

Row = Mapping[str, Any]


class SendgridActivity:
    """Its Email Activity, an add-on that costs extra: messages are found by our key."""

    provider = "sendgrid"

    def __init__(self, settings: Settings, connection: Connection, pause: Callable[[float], None]) -> None:
        if not settings.sendgrid_api_key:
            raise DeliveryError("SENDGRID_API_KEY is not set.")
        self._client = sendgrid_client.make(settings).client
        self._pause = pause
        self._has_asked = False

    def find(self, row: Row, now: datetime) -> Event | None:
        """Evidence of the message `row`. Raises DeliveryError where there is no use in asking on."""
        query = f"(unique_args['message_key']=\"{row['message_key']}\")"
        found = self._ask(self._client.messages, {"query": query, "limit": 1}).get("messages") or []
        if not found:
            return None
        kind, detail = {"delivered": ("delivered", None)}.get(found[0]["status"], ("processed", None))
        if found[0]["status"] == "not_delivered":
            kind, detail = _why_not(self._ask(self._client.messages._(found[0]["msg_id"])).get("events") or [])
        return Event(
            customer_id=row["customer_id"],
            event_key=f"look-up {row['message_key']} {kind}",
            message_key=row["message_key"],
            kind=kind,
            detail=detail,
            provider_id=str(found[0]["msg_id"])[:200].split(".")[0],
            occurred_at=now,
        )

    def _ask(self, what: Any, query: dict[str, Any] | None = None) -> dict[str, Any]:
        if self._has_asked:
            self._pause(EVERY)
        self._has_asked = True
        try:
            answer = what.get(query_params=query).to_dict
            if not isinstance(answer, dict):
                raise TypeError
            return answer
        except HTTPError as problem:
            status = int(problem.status_code)
            if status == 429:
                raise DeliveryError("SendGrid takes six look-ups a minute, and others are asking too.") from None
            if status in (401, 403, 404):
                raise DeliveryError(
                    f"SendGrid answered {status}: look-ups need its add-on for email activity history, and an API key "
                    "that may read email activity."
                ) from None
            raise DeliveryError(f"SendGrid answered {status}.") from None
        except (OSError, http.client.HTTPException, ValueError, TypeError):
            raise DeliveryError("SendGrid did not answer, or nothing that can be read.") from None


def _why_not(events: Sequence[Mapping[str, Any]]) -> tuple[str, str | None]:
    """What became of a mail that was not delivered, in the words of the event webhook."""
    for event in reversed(events):
        name = str(event.get("event_name", ""))
        if name == "dropped":
            return "dropped", drop_detail(event.get("reason"))
        if name in ("bounced", "bounce", "blocked"):
            return "bounce", "bounce" if name != "blocked" and event.get("bounce_type") == "hard" else "blocked"
    return "processed", None


class TwilioTexts:
    """Its list of messages to a number. Our key is not in it, so only a text that can be no other is evidence."""

    provider = "twilio"

    def __init__(self, settings: Settings, connection: Connection, pause: Callable[[float], None]) -> None:
        twilio_sms.check(settings)
        self._settings = settings
        self._connection = connection
        self._client = twilio_sms.client(settings)

    def find(self, row: Row, now: datetime) -> Event | None:
        """Evidence: one text from our sender, made while we tried, that no message of ours has, with our code in it.

        And no other message of ours to that number is in doubt for that time.
        """
        if not row["phone"]:
            return None
        start, end = row["begun_at"] - SLACK, row["settled_at"] + SLACK
        with self._connection.begin():
            others = run(self._connection, "events/texts_to", phone=row["phone"], message_key=row["message_key"]).all()
        if any(each.provider_id is None and each.begun_at < end and each.ended_at > start for each in others):
            return None
        known = {each.provider_id for each in others}
        texts = self._list(row["phone"])
        fitting = [each for each in texts if self._fits(each, row, start, end) and each.sid not in known]
        if len(fitting) != 1 or len(texts) == PAGE:
            return None
        text = fitting[0]
        return Event(
            customer_id=row["customer_id"],
            event_key=f"{text.sid} {text.status}",  # as the callback would have it
            message_key=row["message_key"],
            kind=str(text.status),
            detail=str(text.error_code) if text.error_code else None,
            provider_id=text.sid,
            occurred_at=min(text.date_updated or now, now),
        )

    def _fits(self, text: MessageInstance, row: Row, start: datetime, end: datetime) -> bool:
        return (
            str(text.direction) == "outbound-api"
            and self._settings.twilio_from in (text.from_, text.messaging_service_sid)
            and text.date_created is not None
            and start <= text.date_created <= end
            and (not row["code"] or not text.body or row["code"] in text.body)
        )

    def _list(self, phone: str) -> list[MessageInstance]:
        """The newest texts to `phone`. Not by the day they were sent on: one that still waits has none."""
        try:
            return list(self._client.messages.list(to=phone, limit=PAGE, page_size=PAGE))
        except TwilioRestException as problem:
            raise DeliveryError(f"Twilio answered {problem.status} ({problem.code}).") from None
        except (TwilioException, requests.RequestException, ValueError, KeyError, TypeError):
            raise DeliveryError("Twilio did not answer, or nothing that can be read.") from None
