"""E-mail by SendGrid, through its official client.

One request carries many people, one personalization each, with the key in its ``custom_args``. Lines that differ
between them travel as substitutions, so each person gets exactly the text that was rendered for them.
"""

from __future__ import annotations

import hashlib
import http.client
import socket
import ssl
import traceback
import urllib.error
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

from python_http_client.exceptions import HTTPError
from sqlalchemy import Connection

from retention.core import clock
from retention.core.clock import Clock
from retention.core.errors import DeliveryError
from retention.core.settings import Settings
from retention.delivery.channels import sendgrid_client
from retention.delivery.channels.base import ChannelRefused, Outgoing, Settled, backoff
from retention.delivery.operations.recall import Batches
from retention.delivery.rendering.placeholders import Content
from retention.ledger.outcomes import Outcome, accepted, refused, retry, unknown

BACK = timedelta(minutes=1)
MOST_PER_REQUEST = 1_000  # people in one request, SendGrid's limit
SUBSTITUTION_BYTES = 10_000  # SendGrid's limit for one personalization
RARE = 10  # a text that less than this part of a request reads gets no request of its own
WE_ARE_REFUSED = (401, 403, 404, 405)
TOO_MUCH_OR_BAD = (400, 406, 411, 413, 414, 415, 422)


class SendgridEmail:
    """E-mail for real."""

    provider = "sendgrid"

    def __init__(self, settings: Settings, clock: Clock) -> None:
        if not settings.sendgrid_api_key:
            raise DeliveryError("Live e-mail needs SENDGRID_API_KEY; set it, or keep RETENTION_DELIVERY at 'outbox'.")
        self._client = sendgrid_client.make(settings)
        self._settings = settings
        self._clock = clock
        self._per_request = min(settings.emails_per_request, MOST_PER_REQUEST)
        delay = timedelta(seconds=settings.email_delay)
        self._batches = Batches(self._client, delay) if delay else None

    def send(self, messages: Sequence[Outgoing]) -> list[Settled]:
        """Hand the messages over, some requests at once.

        A request that is refused as a whole is halved until single messages are refused.
        """
        settled: list[Settled] = []
        if self._batches:  # what SendGrid holds goes out in the customer's window too
            until = self._clock() + self._batches.delay
            settled = [(each, retry("window_closed", BACK)) for each in messages if each.send_before <= until]
            messages = [each for each in messages if each.send_before > until]
        waiting = list(_groups(messages, self._per_request))[::-1]
        # One after the other while batches are asked for: those under way would each ask for one of their own.
        at_once = 1 if self._batches else min(self._settings.email_requests_at_once, len(waiting))
        refusals: list[ChannelRefused] = []
        with ThreadPoolExecutor(max(at_once, 1), thread_name_prefix="sendgrid") as pool:
            while waiting and not refusals:
                groups = [waiting.pop() for _ in range(min(at_once, len(waiting)))]
                end: Outcome | None = None
                for group, outcome in zip(groups, pool.map(self._try, groups), strict=True):
                    if isinstance(outcome, ChannelRefused):
                        refusals.append(outcome)
                    elif outcome.state == "refused" and len(group) > 1:
                        half = len(group) // 2
                        waiting += [group[half:], group[:half]]
                    else:
                        settled += [(message, outcome) for message in group]
                        end = outcome if outcome.state == "planned" else end
                if end:  # it will not be better for the next request
                    settled += [(message, end) for group in waiting for message in group]
                    waiting = []
        if refusals:
            raise ChannelRefused(str(refusals[0]), settled)
        return settled

    def _try(self, group: Sequence[Outgoing]) -> Outcome | ChannelRefused:
        try:
            return self._post(group)
        except ChannelRefused as problem:
            return problem

    def keep(self, connection: Connection, claim: str, messages: Sequence[Outgoing], now: datetime) -> None:
        """SendGrid has it; where it holds it for a while, remember in which batch."""
        if self._batches:
            self._batches.keep(connection, claim, messages, now)

    def _post(self, group: Sequence[Outgoing]) -> Outcome:
        batch = {}
        if self._batches:
            try:
                batch = self._batches.fields(group[0].campaign, self._clock())
            except HTTPError as problem:
                if (outcome := _refusal(problem, group)).state == "planned":
                    return outcome
                return retry("no_batch", backoff(group[0].attempts))
            except (OSError, http.client.HTTPException, ValueError, TypeError, KeyError):
                return retry("no_batch", backoff(group[0].attempts))
        try:
            response = self._client.send(request(self._settings, group) | batch)
        except HTTPError as problem:
            return _refusal(problem, group)
        except urllib.error.URLError as problem:
            return _no_connection(problem, group)
        except TimeoutError:
            return unknown("timeout")
        except (OSError, http.client.HTTPException):
            return unknown("connection_lost")
        if response.status_code != 202:  # anything else is no promise to send, not even a 200
            return unknown(f"provider_error: {response.status_code}")
        return accepted(response.headers.get("X-Message-Id"))


def request(settings: Settings, group: Sequence[Outgoing]) -> dict[str, Any]:
    """The request for messages of one step, version and language: what they share once, the rest per person."""
    first = group[0]
    subject, text, html, words = _shared(group)
    content = [{"type": "text/plain", "value": text}]
    if html is not None:
        content.append({"type": "text/html", "value": html})
    people = [
        {
            "to": [{"email": each.recipient}],
            "headers": each.headers,
            "custom_args": {"message_key": each.message_key, "customer_id": str(each.customer_id)},
            **({"substitutions": own} if own else {}),
        }
        for each, own in zip(group, words, strict=True)
    ]
    return {
        "from": {"email": settings.email_from, "name": settings.shop_name},
        "subject": subject,
        "personalizations": people,
        "content": content,
        "categories": [first.campaign, f"{first.campaign}/{first.step}"],
        # Off, or SendGrid would put its own List-Unsubscribe beside ours, and opt-outs would not reach us first.
        # Links lead through our own address, which counts who follows them.
        "tracking_settings": {"subscription_tracking": {"enable": False}, "click_tracking": {"enable": False}},
    }


def _shared(group: Sequence[Outgoing]) -> tuple[str, str, str | None, Sequence[Mapping[str, str]]]:
    """Subject and bodies with tags in them, and for each person what their tags stand for."""
    first = group[0].rendered.content
    if all(each.rendered.content is first for each in group):
        return first.subject or "", first.text, first.html, [each.rendered.words for each in group]
    subject, subjects = _fold([each.subject or "" for each in group], "s")
    text, texts = _fold([each.text for each in group], "t")
    html, htmls = _fold([each.html or "" for each in group], "h")
    words = [one | two | three for one, two, three in zip(subjects, texts, htmls, strict=True)]
    return subject, text, None if first.html is None else html, words


def _groups(messages: Sequence[Outgoing], size: int) -> Iterator[list[Outgoing]]:
    """Messages that share a request: one text with placeholders, or texts of one step whose lines can be told apart.

    The latter are those that few read: where a template looks into a name, each name has a text of its own. No address
    stands twice in a request: SendGrid does not look for that, but whoever reads its log or reports by address could
    not tell the two apart.
    """
    by_content: dict[Content, list[Outgoing]] = {}
    for each in messages:
        by_content.setdefault(each.rendered.content, []).append(each)
    rare: dict[tuple[Any, ...], list[Outgoing]] = {}
    for content, readers in by_content.items():
        if len(readers) * RARE >= size:
            yield from _requests(readers, size)
            continue
        for each in readers:
            rare.setdefault(_shape(each, content), []).append(each)
    for (*_, is_long), together in rare.items():
        yield from _requests(together, min(size, _shareable(together)) if is_long else size)


def _requests(messages: Sequence[Outgoing], size: int) -> Iterator[list[Outgoing]]:
    """In lists of at most `size`, no address twice in one."""
    rounds: list[list[Outgoing]] = []
    times: Counter[str] = Counter()  # an address came
    for each in messages:
        address = each.recipient.lower()
        if times[address] == len(rounds):
            rounds.append([])
        rounds[times[address]].append(each)
        times[address] += 1
    for together in rounds:
        for start in range(0, len(together), size):
            yield together[start : start + size]


def _shape(message: Outgoing, content: Content) -> tuple[Any, ...]:
    """What texts have in common that can be folded into one, and whether their lines may exceed the limit."""
    text, html = message.text, message.html or ""
    is_long = len((message.subject or "").encode()) + len(text.encode()) + len(html.encode()) > SUBSTITUTION_BYTES
    return (
        message.campaign,
        message.version,
        message.step,
        content.language,
        content.html is None,
        text.count("\n"),
        html.count("\n"),
        is_long,
    )


def _shareable(messages: Sequence[Outgoing]) -> int:
    """1 if the lines that differ can exceed the limit for one person, else no limit."""
    *_, words = _shared(messages)
    if any(sum(len(tag) + len(line.encode()) for tag, line in each.items()) > SUBSTITUTION_BYTES for each in words):
        return 1
    return len(messages)


def _fold(texts: Sequence[str], kind: str) -> tuple[str, list[dict[str, str]]]:
    """The lines all `texts` share, with a tag for each other line, and per text what its tags stand for."""
    rows = [text.split("\n") for text in texts]
    mark = hashlib.sha256("\x1f".join(texts).encode()).hexdigest()[:12]  # no text can contain it by accident
    shared: list[str] = []
    parts: list[dict[str, str]] = [{} for _ in texts]
    for number, lines in enumerate(zip(*rows, strict=True)):
        if len(set(lines)) == 1:
            shared.append(lines[0])
            continue
        tag = f"-{kind}{mark}.{number}-"
        shared.append(tag)
        for part, line in zip(parts, lines, strict=True):
            part[tag] = line
    return "\n".join(shared), parts


def _refusal(problem: HTTPError, group: Sequence[Outgoing]) -> Outcome:
    """What an answer of 4xx or 5xx means. Its text is not kept: it may quote an address."""
    status = int(problem.status_code)
    if status == 429:
        return retry("rate_limited", _until_reset(problem) or backoff(group[0].attempts))
    if status in WE_ARE_REFUSED:
        raise ChannelRefused(
            f"SendGrid answered {status}: look at SENDGRID_API_KEY, its permissions and SENDGRID_HOST, "
            "then `retention resume --channel email`."
        )
    if status in TOO_MUCH_OR_BAD:
        return refused(f"provider_refused: {status}")
    return unknown(f"provider_error: {status}")


def _until_reset(problem: HTTPError) -> timedelta | None:
    """How long SendGrid asks us to wait: the header is an instant of the real clock, in seconds."""
    try:
        seconds = float(problem.headers["X-RateLimit-Reset"]) - clock.now().timestamp()
    except (KeyError, TypeError, ValueError):
        return None
    return timedelta(seconds=min(max(seconds, 1), 3600))


def _no_connection(problem: urllib.error.URLError, group: Sequence[Outgoing]) -> Outcome:
    """urllib wraps what happens while connecting and while writing alike: only the former is safe to try again."""
    cause = problem.reason
    is_connecting = isinstance(cause, OSError) and any(
        frame.f_code is socket.create_connection.__code__ for frame, _ in traceback.walk_tb(cause.__traceback__)
    )
    if is_connecting or isinstance(cause, ssl.SSLCertVerificationError):
        return retry("not_connected", backoff(group[0].attempts))
    return unknown("timeout" if isinstance(cause, TimeoutError) else "connection_lost")
