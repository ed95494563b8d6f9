"""SMS by Twilio, through its official client: one request a message, some at once.

The key travels in the query of the status callback, since messages take no other data. The validity ends inside the
customer's window, so that a text queued at Twilio does not arrive at night.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import re
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from urllib.parse import urlencode

import requests
from sqlalchemy import Connection
from twilio.base.exceptions import TwilioException, TwilioRestException, TwilioServiceException
from twilio.http.http_client import TwilioHttpClient
from twilio.rest import Client
from urllib3.exceptions import ConnectTimeoutError, MaxRetryError, NewConnectionError

from retention.core.clock import Clock
from retention.core.errors import DeliveryError
from retention.core.settings import Settings
from retention.delivery.channels.base import ChannelRefused, Outgoing, Settled, backoff
from retention.ledger.outcomes import Outcome, accepted, refused, retry, unknown

# The client logs answers, numbers and texts included, as information: it gets a logger that keeps quiet.
_quiet = logging.getLogger("retention.delivery.twilio_client")
_quiet.setLevel(logging.WARNING)

LONGEST_VALIDITY = 36_000  # seconds, Twilio's own limit
SHORTEST_VALIDITY = 10  # with less of the window left, another day is better
WE_ARE_REFUSED = {20003, 20404, 21212, 21603, 21606, 21609, 21659, 21660}  # key, account, sender, callback address
REASONS = {21610: "opted_out", 21211: "invalid_number", 21614: "invalid_number", 21635: "invalid_number"}


class TwilioSms:
    """SMS for real."""

    provider = "twilio"

    def __init__(self, settings: Settings, clock: Clock) -> None:
        check(settings)
        self._clients: queue.SimpleQueue[Client] = queue.SimpleQueue()  # a session is not made to be shared by threads
        self._settings = settings
        self._clock = clock

    def send(self, messages: Sequence[Outgoing]) -> list[Settled]:
        """Hand the messages over, a call each, RETENTION_SMS_AT_ONCE of them side by side.

        After an answer that lets the next call expect no better none is begun; those under way settle by their own.
        """
        waiting: queue.SimpleQueue[Outgoing] = queue.SimpleQueue()
        for message in messages:
            waiting.put(message)
        outcomes: dict[str, Outcome] = {}
        ends: list[Outcome] = []  # what whoever was not called about gets
        refusals: list[str] = []
        is_over = threading.Event()

        def work() -> None:
            own = self._client()
            with contextlib.suppress(queue.Empty):
                while not is_over.is_set():
                    message = waiting.get_nowait()
                    try:
                        outcome = self._create(own, message)
                    except ChannelRefused as problem:
                        refusals.append(str(problem))
                        is_over.set()
                        break
                    outcomes[message.message_key] = outcome
                    if outcome.state == "planned" and outcome.reason != "window_closed":
                        ends.append(outcome)
                        is_over.set()
            self._clients.put(own)

        threads = min(self._settings.sms_at_once, len(messages))
        with ThreadPoolExecutor(threads, thread_name_prefix="twilio") as pool:
            try:
                for each in [pool.submit(work) for _ in range(threads)]:
                    each.result()
            finally:  # an error, or this process is asked to end: what is under way is waited for, nothing is begun
                is_over.set()
        settled = [(each, outcomes[each.message_key]) for each in messages if each.message_key in outcomes]
        if refusals:
            raise ChannelRefused(refusals[0], settled)
        return settled + [(each, ends[0]) for each in messages if each.message_key not in outcomes]

    def keep(self, connection: Connection, claim: str, messages: Sequence[Outgoing], now: datetime) -> None:
        """Nothing to keep: Twilio has it."""

    def _client(self) -> Client:
        """A client that no other thread uses; its connection stays for the next batch."""
        try:
            return self._clients.get_nowait()
        except queue.Empty:
            return client(self._settings)

    def _create(self, client: Client, message: Outgoing) -> Outcome:
        validity = int((message.send_before - self._clock()).total_seconds())
        if validity < SHORTEST_VALIDITY:
            return retry("window_closed", timedelta(minutes=1))
        try:
            created = client.messages.create(
                to=message.recipient,
                body=message.text,
                status_callback=status_callback(self._settings, message),
                validity_period=min(validity, LONGEST_VALIDITY),
                **_sender(self._settings.twilio_from or ""),
            )
        except (TwilioRestException, TwilioServiceException) as problem:
            return _refusal(problem.status, problem.code, message)
        except requests.RequestException as problem:
            return _no_answer(problem, message)
        except (TwilioException, ValueError, KeyError, TypeError):  # an answer that no one can read
            return unknown("unreadable_answer")
        return accepted(created.sid)


def check(settings: Settings) -> None:
    """Raises DeliveryError, naming what is missing, unless Twilio can be called."""
    values = {
        "TWILIO_ACCOUNT_SID": settings.twilio_account_sid,
        "TWILIO_AUTH_TOKEN": settings.twilio_auth_token,
        "TWILIO_FROM": settings.twilio_from,
    }
    if missing := [name for name, value in values.items() if not value]:
        raise DeliveryError(f"Live SMS needs {' and '.join(missing)}; set it, or keep RETENTION_DELIVERY at 'outbox'.")


def client(settings: Settings) -> Client:
    """Twilio's client, as the settings want it. Not to be shared by threads."""
    made = Client(
        settings.twilio_account_sid,
        settings.twilio_auth_token,
        http_client=TwilioHttpClient(timeout=settings.provider_timeout, logger=_quiet),
    )
    made.api.base_url = settings.twilio_base_url.rstrip("/")
    return made


def status_callback(settings: Settings, message: Outgoing) -> str:
    """Where Twilio reports; the fragment asks it to repeat a report that did not get through."""
    query = urlencode({"message_key": message.message_key, "customer_id": message.customer_id})
    return f"{settings.public_url.rstrip('/')}/events/twilio?{query}#rc=5&rp=all"


def _sender(name: str) -> dict[str, str]:
    """TWILIO_FROM is a number, a name, or the id of a messaging service."""
    return {"messaging_service_sid": name} if re.fullmatch(r"MG[0-9a-fA-F]{32}", name) else {"from_": name}


def _refusal(status: int, code: int | None, message: Outgoing) -> Outcome:
    """What an answer of 4xx or 5xx means. Its text is not kept: it quotes the number."""
    if status == 429 or code == 20429:
        return retry("rate_limited", backoff(message.attempts))
    if status >= 500 or status < 400:
        return unknown(f"provider_error: {code or status}")
    if code == 21611:
        return retry("queue_full", backoff(message.attempts + 4))
    if status in (401, 403, 404) or code in WE_ARE_REFUSED:
        raise ChannelRefused(
            f"Twilio answered {status} ({code}): look at TWILIO_ACCOUNT_SID, TWILIO_AUTH_TOKEN, TWILIO_FROM and "
            "RETENTION_PUBLIC_URL, then `retention resume --channel sms`."
        )
    return refused(REASONS.get(code or 0, f"provider_refused: {code or status}"))


def _no_answer(problem: requests.RequestException, message: Outgoing) -> Outcome:
    """Only a connection that never came about is safe to try again."""
    cause = problem.args[0] if problem.args else None
    if isinstance(cause, MaxRetryError):
        cause = cause.reason
    if isinstance(problem, requests.ConnectTimeout) or isinstance(cause, (NewConnectionError, ConnectTimeoutError)):
        return retry("not_connected", backoff(message.attempts))
    return unknown("timeout" if isinstance(problem, requests.Timeout) else "connection_lost")
