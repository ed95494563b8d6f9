"""Messages planned as a campaign would plan them."""

from __future__ import annotations

import json
from datetime import date, datetime, time, timedelta
from hashlib import sha256
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import text

from shop import NAMESPACE, ShopData

DAY = date(2026, 11, 20)  # the run's day; its messages go out on the 21st
AMSTERDAM = ZoneInfo("Europe/Amsterdam")
MORNING = datetime(2026, 11, 21, 9, 0, tzinfo=AMSTERDAM)

TEMPLATES = {
    "layout.html.j2": "<html><title>{% block subject %}{% endblock %}</title>{% block html %}{% endblock %}</html>",
    "hello.en.j2": (
        '{% extends "layout.html.j2" %}'
        "{% block subject %}Hello {{ first_name }}{% endblock %}"
        "{% block text %}Dear {{ first_name or 'friend' }},\nyour shop {{ shop_name }}\n"
        "{{ unsubscribe_url }}{% endblock %}"
        "{% block html %}<p>Dear {{ first_name or 'friend' }}</p>\n"
        "<a href='{{ unsubscribe_url }}'>out</a>{% endblock %}"
    ),
    "hello.pl.j2": (
        "{% block subject %}Cześć {{ first_name }}{% endblock %}"
        "{% block text %}Zażółć gęślą jaźń, {{ first_name }}{% endblock %}"
        "{% block html %}<p>Zażółć gęślą jaźń, {{ first_name }}</p>{% endblock %}"
    ),
    "nudge.en.j2": "{% block text %}{{ first_name }}, {{ offer_percent }}% with {{ coupon_code }} until "
    "{{ coupon_expires_at | moment }}{% endblock %}",
}
DEFINITION = {
    "campaign": "winback",
    "exit_on": ["order", "unsubscribe"],
    "offers": {"comeback": {"percent": 10, "valid_for": "14 days"}, "final": {"percent": 20, "valid_for": "24 hours"}},
}


Rows = list[dict[str, Any]]


class Planner:
    """Plans messages straight into the ledger, and reads it."""

    def __init__(self, shop: ShopData) -> None:
        self.shop = shop
        self.version("winback", "v1", TEMPLATES)

    def run(self, statement: str, **values: Any) -> Rows:
        with self.shop.engine.begin() as connection:
            done = connection.execute(text(statement), values)
            return [dict(row) for row in done.mappings()] if done.returns_rows else []

    def version(self, campaign: str, version: str, templates: dict[str, str], **changes: Any) -> None:
        self.run(
            "insert into campaigns.versions values (:campaign, :version, cast(:definition as jsonb),"
            " cast(:templates as jsonb), '', :day)",
            campaign=campaign,
            version=version,
            definition=json.dumps(DEFINITION | changes),
            templates=json.dumps(templates),
            day=DAY,
        )

    def message(
        self,
        ref: str,
        *,
        step: str = "hello",
        channel: str = "email",
        offer: str | None = None,
        on: date = DAY + timedelta(days=1),
        zone: str = "Europe/Amsterdam",
        window: tuple[time, time] = (time(9), time(20)),
        grace: int = 2,
        campaign: str = "winback",
        version: str = "v1",
        arm: str = "treated",
    ) -> str:
        """A message for `ref`, due at the window's start on the local date `on`; its key."""
        key = sha256(f"{ref} {campaign} 1 {step} {channel}".encode()).hexdigest()[:32]
        who = {"namespace": NAMESPACE, "ref": ref, "campaign": campaign}
        self.run(
            "insert into campaigns.enrolments (customer_id, campaign, entry_no, version, arm, entered_on) values"
            " (shop.customer_id(:namespace, :ref), :campaign, 1, :version, :arm, :day) on conflict do nothing",
            **who,
            version=version,
            arm=arm,
            day=DAY,
        )
        if offer:
            self.run(
                "insert into offers.coupons (customer_id, campaign, entry_no, offer, code, percent, state,"
                " reserved_on) values (shop.customer_id(:namespace, :ref), :campaign, 1, :offer, :code, 10,"
                " 'reserved', :day) on conflict do nothing",
                **who,
                offer=offer,
                code=f"CODE{ref}".upper(),
                day=DAY,
            )
        self.run(
            "insert into delivery.messages (customer_id, message_key, campaign, version, entry_no, step, channel, day,"
            " state, offer, due_at, expires_at, window_start, window_end) values (shop.customer_id(:namespace, :ref),"
            " :key, :campaign, :version, 1, :step, :channel, :day, 'planned', :offer, :due_at, :expires_at, :start,"
            " :end)",
            **who,
            key=key,
            version=version,
            step=step,
            channel=channel,
            offer=offer,
            day=DAY,
            due_at=datetime.combine(on, window[0], ZoneInfo(zone)),
            expires_at=datetime.combine(on + timedelta(days=grace), window[1], ZoneInfo(zone)),
            start=window[0],
            end=window[1],
        )
        return key

    def withdraw(self, ref: str, channel: str, known: datetime) -> None:
        """`ref` withdraws the consent for `channel`, known from then."""
        which = "where customer_id = shop.customer_id(:namespace, :ref) and channel = :channel"
        who = {"namespace": NAMESPACE, "ref": ref, "channel": channel, "known": known}
        self.run(f"insert into shop.consents_history select *, :known from shop.consents {which}", **who)
        self.run(f"update shop.consents set is_granted = false, known_at = :known {which}", **who)

    def suppress(self, ref: str, known: datetime, channel: str = "all") -> None:
        """Nobody may write to `ref` any more on `channel`, known from then."""
        self.run(
            "insert into shop.suppressions (customer_id, channel, reason, known_at) values"
            " (shop.customer_id(:namespace, :ref), :channel, 'unsubscribed', :known)",
            namespace=NAMESPACE,
            ref=ref,
            channel=channel,
            known=known,
        )

    def restore(self, messages: Rows) -> None:
        """The ledger as it was, as if nothing had been delivered or played."""
        self.run("delete from delivery.messages")
        self.run("delete from delivery.outbox")
        self.run("delete from shop.days where stage = 'delivery'")
        self.run("update offers.coupons set state = 'reserved', expires_at = null")
        for row in messages:
            self.run(
                f"insert into delivery.messages ({', '.join(row)}) values ({', '.join(':' + name for name in row)})",
                **row,
            )

    def ledger(self, columns: str = "*") -> Rows:
        """All messages, in order of their keys."""
        return self.run(f"select {columns} from delivery.messages order by message_key")

    def one(self, key: str) -> dict[str, Any]:
        """One message."""
        return self.run("select * from delivery.messages where message_key = :key", key=key)[0]

    def state(self, key: str) -> tuple[str, str | None]:
        """State and reason of one message."""
        row = self.run("select state, reason from delivery.messages where message_key = :key", key=key)[0]
        return row["state"], row["reason"]

    def coupon(self, ref: str) -> dict[str, Any]:
        """The coupon of `ref`."""
        return self.run("select * from offers.coupons where code = :code", code=f"CODE{ref}".upper())[0]
