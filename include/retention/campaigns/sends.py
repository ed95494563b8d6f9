"""One-off sends, by hand: who gets it is frozen, somebody approves it, and they are enrolled. Nobody is added later.

A send is made with what was known when the newest published day ended, and `entered_on` of everybody in it is that day,
also where it is approved the day after. Whoever is in it is checked again when their messages are claimed.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from retention.campaigns import definitions, steps
from retention.campaigns.definitions import Campaign
from retention.contact import law
from retention.core import clock, days
from retention.core.database import count, lock, one, run
from retention.core.days import Counts
from retention.core.errors import InputError, StateError
from retention.core.shop import Shop
from retention.offers import floors
from retention.selections import refresh

log = logging.getLogger(__name__)

WAITS_FOR = timedelta(hours=24)
BOUNDS = ("last_order", "registration")
MOST_DAYS = 36_500


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is asked for.

    Members of the campaign's selection whose last complete order, or registration, is at least and at most so many days
    before the day; of these countries and languages (none: all); at most `limit` of them.
    """

    campaign: str
    at_least_days: int
    at_most_days: int
    bounded_by: str = "last_order"
    countries: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    limit: int | None = None
    send_on: date | None = None  # the local date of a step on day 0; None: the day after

    def check(self) -> None:
        """Raises InputError for what nobody can mean."""
        if self.bounded_by not in BOUNDS:
            raise InputError(f"bounded_by is {self.bounded_by!r}; write {' or '.join(BOUNDS)}.")
        if not 0 <= self.at_least_days < self.at_most_days <= MOST_DAYS:
            raise InputError(
                f"From {self.at_least_days} to {self.at_most_days} days ago is no audience bounded on both sides; "
                f"write two numbers of days from 0 to {MOST_DAYS}, the smaller one first."
            )
        if self.limit is not None and self.limit < 1:
            raise InputError(f"The limit is {self.limit}; write a number of customers, or leave it out.")
        for words, pattern, what in (
            (self.countries, "[A-Z]{2}", "a country like NL"),
            (self.languages, "[a-z]{2}", "a language like nl"),
        ):
            for word in words:
                if not re.fullmatch(pattern, word):
                    raise InputError(f"{word[:20]!r} is not {what}.")


@dataclass(frozen=True, kw_only=True)
class Send:
    """A send as it was frozen: whom it reaches, and whom not and why."""

    send_id: str
    campaign: str
    version: str
    day: date
    send_on: date
    state: str  # waiting, approved, rejected or expired
    expires_at: datetime
    customers: int
    languages: Mapping[str, int]  # of whom it reaches; unknown: no language
    excluded: Mapping[str, int]  # by reason


def freeze(shop: Shop, asked: Asked, now: datetime, *, is_trial: bool = False) -> Send:
    """Freeze who gets it, on the newest published day, its selection refreshed; asked again, the same.

    In a trial a draft is taken for live. Raises InputError for a request that is wrong, a campaign that is not live or
    an offer under its margin floor; StateError while no day is published.
    """
    asked.check()
    campaign = definitions.read(shop.settings.include, asked.campaign)
    if campaign.status != "live" and not is_trial:
        raise InputError(f"Campaign {campaign.name} is {campaign.status}: only a live one is sent. --test tries it.")
    with shop.engine.connect() as connection:
        day = days.newest_published(connection)
    if day is None:
        raise StateError("No day is published yet: there is nobody to send to.")
    send_on = asked.send_on or day + timedelta(days=1)
    if send_on <= day:
        raise InputError(f"{send_on} is not after {day}, the newest published day; write a later day to send on.")
    refresh.select(shop, day, [*campaign.selections, steps.SEND_BASE], now)
    with shop.engine.begin() as connection:
        lock(connection, "campaigns", "send")
        send_id = _send_id(asked, day, campaign.version)
        if expired := count(connection, "campaigns/expired_sends", send_id=send_id, now=now):
            send_id += f"-{expired + 1}"
        law.sync_rules(connection, shop.settings.include)
        if too_dear := floors.problems(connection, shop.settings, campaign.offers.values(), day):
            raise InputError(f"Campaign {campaign.name} is not sent. {' '.join(too_dear.values())}")
        new = run(
            connection,
            "campaigns/keep_send",
            send_id=send_id,
            campaign=campaign.name,
            version=campaign.version,
            day=day,
            send_on=send_on,
            asked=json.dumps(asdict(asked), default=str),
            now=now,
            expires_at=now + WAITS_FOR,
        ).all()
        if new:
            run(
                connection,
                "campaigns/freeze",
                send_id=send_id,
                at_most=asked.limit,
                bounded_by=asked.bounded_by,
                at_least_days=asked.at_least_days,
                at_most_days=asked.at_most_days,
                countries=list(asked.countries),
                languages=list(asked.languages),
                **steps.campaign_rules(shop.settings, campaign, day),
            )
        send = _read(connection, send_id)
    log.info("%s: %s for %s customers", send.send_id, send.state, send.customers)
    return send


def approve(shop: Shop, send_id: str, by: str, now: datetime) -> Counts:
    """Enrol everybody it was frozen for and plan what is due; doing it again changes nothing.

    Returns the counts of a campaign's day. Raises StateError where it was rejected, has expired, or the campaign has
    changed since: what was approved must be what is sent.
    """
    with shop.engine.begin() as connection:
        lock(connection, "campaigns", "send")
        send = _read(connection, send_id)
        if send.state == "waiting" and now >= send.expires_at:
            raise StateError(f"{send_id} waited for an answer until {send.expires_at:%Y-%m-%d %H:%M %Z}; ask anew.")
        if send.state not in ("waiting", "approved"):
            raise StateError(
                f"{send_id} was {send.state}; nothing is sent. Ask for it anew on another day, or otherwise."
            )
        campaign = definitions.read(shop.settings.include, send.campaign)
        if send.state == "waiting" and campaign.version != send.version:
            raise StateError(f"Campaign {send.campaign} has changed since {send_id} was asked for; ask anew.")
        if send.state == "approved":
            log.info("%s was approved before", send_id)
            return steps.counts_of_nothing()
        steps.take_turn(connection, campaign)
        run(connection, "campaigns/decide_send", send_id=send_id, state="approved", now=now, decided_by=by)
        return _enrol(shop, connection, campaign, send)


def refuse(shop: Shop, send_id: str, by: str, now: datetime) -> str:
    """Nothing is sent; what it is from now on: rejected, or expired where nobody answered in time."""
    with shop.engine.begin() as connection:
        lock(connection, "campaigns", "send")
        send = _read(connection, send_id)
        state = "expired" if by == clock.NOBODY or now >= send.expires_at else "rejected"
        done = run(connection, "campaigns/decide_send", send_id=send_id, state=state, now=now, decided_by=by).all()
        return state if done else send.state


def _enrol(shop: Shop, connection: Connection, campaign: Campaign, send: Send) -> Counts:
    rules = steps.campaign_rules(shop.settings, campaign, send.day)
    newest = days.newest_published(connection) or send.day
    entered = one(
        connection,
        "campaigns/enrol_send",
        send_id=send.send_id,
        days_later=(send.send_on - send.day).days - 1,
        version=campaign.version,
        entered_change=one(connection, "core/newest_change")["change_no"],
        **steps.shares_of(campaign),
        **rules,
    )
    steps.keep_version(connection, campaign, send.day)
    counts = steps.counts_of_nothing(**entered)
    for step in campaign.steps:
        steps.plan_send(connection, shop.settings, campaign, step, newest, send.send_id, counts)
    return counts


def _read(connection: Connection, send_id: str) -> Send:
    row = run(connection, "campaigns/send", send_id=send_id).one_or_none()
    if row is None:
        raise InputError(f"There is no send {send_id[:80]!r}.")
    languages, excluded = Counter[str](), Counter[str]()
    for each in run(connection, "campaigns/send_counts", send_id=send_id):
        if each.reason is None:
            languages[each.language or "unknown"] += each.customers
        else:
            excluded[each.reason] += each.customers
    return Send(
        send_id=row.send_id,
        campaign=row.campaign,
        version=row.version,
        day=row.day,
        send_on=row.send_on,
        state=row.state,
        expires_at=row.expires_at,
        customers=languages.total(),
        languages=dict(languages),
        excluded=dict(excluded),
    )


def _send_id(asked: Asked, day: date, version: str) -> str:
    words: dict[str, Any] = {**asdict(asked), "version": version}
    digest = hashlib.sha256(json.dumps(words, sort_keys=True, default=str).encode()).hexdigest()
    return f"{asked.campaign}-{day}-{digest[:8]}"
