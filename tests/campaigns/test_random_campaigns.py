"""Whatever a campaign says and whatever happens: what must hold of entries and messages after sixty days."""

from __future__ import annotations

import os
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from holidays import country_holidays
from random_campaigns import Town

from retention.campaigns import definitions

DAYS = 60
SENT = ("accepted", "delivered", "bounced", "unknown")
# What no query may find: a promise, and the rows that would break it.
NEVER = {
    "nobody is in two campaigns of one group": """
        select 1 from campaigns.enrolments as a join campaigns.enrolments as b
        on a.customer_id = b.customer_id and a.group_name = b.group_name
        and (a.campaign, a.entry_no) < (b.campaign, b.entry_no)
        and daterange(a.entered_on, a.exited_on, '[]') && daterange(b.entered_on, b.exited_on, '[]')""",
    "an arm is for ever, and one for a household": """
        select campaign, coalesce(unit, customer_id) from campaigns.enrolments
        group by 1, 2 having count(distinct arm) > 1""",
    "a variant is for ever, and of the treated alone": """
        select campaign, coalesce(unit, customer_id) from campaigns.enrolments
        group by 1, 2 having count(distinct variant) > 1
        union all
        select campaign, customer_id from campaigns.enrolments where arm = 'control' and variant is not null""",
    "nothing is planned for the control arm": """
        select 1 from delivery.messages as m join campaigns.enrolments as e using (customer_id, campaign, entry_no)
        where e.arm = 'control'""",
    "a code is of one customer, and each has one for an offer": """
        select code from offers.coupons group by 1 having count(*) > 1
        union all
        select min(code) from offers.coupons group by customer_id, campaign, entry_no, offer having count(*) > 1""",
    "a code that went out worked": """
        select 1 from delivery.messages as m join offers.coupons as p using (customer_id, campaign, entry_no, offer)
        where m.state = 'accepted' and p.state not in ('issued', 'redeemed')
        union all select 1 from delivery.messages as m
        where m.state = 'accepted' and m.offer is not null and not exists (
            select from offers.coupons as p where p.customer_id = m.customer_id and p.campaign = m.campaign
            and p.entry_no = m.entry_no and p.offer = m.offer)""",
    "what was not sent has a reason": """
        select 1 from delivery.messages where state = 'skipped' and reason is null""",
    "an enrolment has a decision": """
        select 1 from campaigns.enrolments as e where not exists (
            select from campaigns.decisions as d where d.customer_id = e.customer_id and d.campaign = e.campaign
            and d.decided_on = e.entered_on and d.decision = 'enrolled')""",
    "nobody re-enters while inside": """
        select 1 from campaigns.enrolments as a join campaigns.enrolments as b using (customer_id, campaign)
        where a.entry_no < b.entry_no and (a.exited_on is null or a.exited_on > b.entered_on)""",
    "no two messages of an entry on one local date": """
        select m.customer_id from delivery.messages as m join shop.customers as c using (customer_id)
        where m.state = 'accepted' and c.time_zone is not null
        group by m.customer_id, m.campaign, m.entry_no, cast(m.attempted_at at time zone c.time_zone as date)
        having count(*) > 1""",
    "at most two mails and three messages in seven days": """
        select 1 from delivery.messages as m where m.state = 'accepted' and (
            select count(*) from delivery.messages as o where o.customer_id = m.customer_id and o.state = 'accepted'
            and o.attempted_at <= m.attempted_at and o.attempted_at > m.attempted_at - interval '7 days') > 3
        or (m.state = 'accepted' and m.channel = 'email' and (
            select count(*) from delivery.messages as o where o.customer_id = m.customer_id and o.state = 'accepted'
            and o.channel = 'email' and o.attempted_at <= m.attempted_at
            and o.attempted_at > m.attempted_at - interval '7 days') > 2)""",
}


@pytest.mark.parametrize("seed", [int(each) for each in os.environ.get("RETENTION_SEEDS", "1 2").split()])
def test_the_promises_hold_for_random_campaigns_over_sixty_random_days(room: Any, seed: int) -> None:
    town = Town(room, seed)
    for number in range(DAYS):
        town.play(number)
    broken = {promise: len(rows) for promise, query in NEVER.items() if (rows := room.rows(query))}
    assert not broken, f"seed {seed}"
    sent = room.rows(MESSAGES, states=list(SENT))
    assert len(sent) > 20, "something was sent"
    wrong = [problem for message in sent for problem in Oracle(room, message).problems()]
    assert not wrong, f"seed {seed}: {wrong[:5]}"
    assert not lost(room), f"seed {seed}: a step that was due has no message"


MESSAGES = """
    select m.*, c.country, c.time_zone, c.customer_ref, e.entered_on, e.exited_on, e.exit_reason, e.days_later,
        e.variant as campaign_variant, e.level, v.definition
    from delivery.messages as m join shop.customers as c using (customer_id)
    join campaigns.enrolments as e using (customer_id, campaign, entry_no)
    join campaigns.versions as v on v.campaign = m.campaign and v.version = m.version
    where m.state = any(:states)
"""


class Oracle:
    """What must hold of a message that was sent, told in Python from the facts."""

    def __init__(self, room: Any, message: Any) -> None:
        self.room, self.m = room, message
        self.campaign = definitions.parse(message.definition, message.version)
        self.at: datetime = message.attempted_at
        found = self.campaign.find(message.step)
        assert found
        self.step = found

    def problems(self) -> list[str]:
        checks = {
            "outside its window": not self.is_in_window(),
            "on a day that is spared": self.is_spared(),
            "after its time": not self.m.due_at <= self.at < self.m.expires_at,
            "after its enrolment ended": self.m.exited_on is not None
            and self.m.exit_reason != "finished"
            and self.local_day() > self.m.exited_on + timedelta(days=1),
            "after an order": "order" in self.campaign.exit_on and self.has_ordered(),
            "against a condition": not all(self.holds(rule) for rule in self.step.rules),
            "on another channel": self.m.channel not in self.step.channels,
            "to another variant": not self.step.is_for(self.m.campaign_variant or "", self.m.level or ""),
            "off its lists": bool(self.campaign.lists) and not self.is_listed(),
            "with another offer": self.m.offer
            != (
                self.step.offers.get(self.m.campaign_variant)
                or self.step.offers.get(self.m.level)
                or self.step.offers.get("")
            ),
        }
        return [
            f"{self.m.campaign} {self.m.step} {self.m.customer_ref} {self.at}: {what}"
            for what, is_so in checks.items()
            if is_so
        ]

    def zones(self) -> list[ZoneInfo]:
        if self.m.time_zone:
            return [ZoneInfo(self.m.time_zone)]
        return [ZoneInfo(each) for each in ("America/New_York", "Pacific/Honolulu")]

    def local_day(self) -> date:
        return self.at.astimezone(self.zones()[0]).date()

    def is_in_window(self) -> bool:
        return all(
            self.campaign.window_start <= self.at.astimezone(zone).time() < self.campaign.window_end
            for zone in self.zones()
        )

    def is_spared(self) -> bool:
        if not self.campaign.no_send_on:
            return False
        day = self.local_day()
        return day.isoformat() in self.campaign.no_send_on or day in country_holidays(self.m.country, years=day.year)

    def has_ordered(self) -> bool:
        return bool(
            self.room.values(
                "select 1 from shop.orders where customer_id = :customer and status <> 'cancelled'"
                " and ordered_on > :entered and known_at <= :at",
                customer=self.m.customer_id,
                entered=self.m.entered_on,
                at=self.at,
            )
        )

    def is_listed(self) -> bool:
        return bool(
            self.room.values(
                "select 1 from shop.list_members where customer_id = :customer and list = any(:lists)"
                " and since <= :at and (until is null or until > :at)",
                customer=self.m.customer_id,
                lists=list(self.campaign.lists),
                at=self.at,
            )
        )

    def holds(self, rule: Any) -> bool:
        return bool(self.is_so(rule)) is (rule.clause == "only_if")

    def is_so(self, rule: Any) -> bool:
        if rule.what == "ordered":
            return self.has_ordered()
        if rule.what == "clicked":
            statement = (
                "select 1 from delivery.messages where customer_id = :customer and campaign = :campaign"
                " and entry_no = :entry and human_clicked_at <= :at and (cast(:name as text) is null or step = :name)"
            )
        elif rule.what == "has_coupon":
            statement = (
                "select 1 from offers.coupons as p where p.customer_id = :customer and p.campaign = :campaign"
                " and p.entry_no = :entry and p.expires_at > :at and exists (select from delivery.messages as m"
                " where m.customer_id = p.customer_id and m.campaign = p.campaign and m.entry_no = p.entry_no"
                " and m.offer = p.offer and m.attempted_at < :at and m.state = 'accepted'"
                " and cast(:name as text) is null)"
            )
        else:
            statement = (
                "select 1 from selections.membership where customer_id = :customer and selection = :name"
                " and entered_on <= :day and (left_on is null or left_on > :day) and :campaign <> '' and :entry > 0"
                " and cast(:at as timestamptz) is not null"
            )
        found = self.room.values(
            statement,
            customer=self.m.customer_id,
            campaign=self.m.campaign,
            entry=self.m.entry_no,
            name=rule.name,
            at=self.at,
            **(
                {"day": self.at.astimezone(self.room.settings.shop_time_zone).date() - timedelta(days=1)}
                if rule.what.endswith("in")
                else {}
            ),
        )
        return bool(found) is not (rule.what == "not_in")


def lost(room: Any) -> list[tuple[Any, ...]]:
    """Steps whose day came while a treated customer was inside, and of which there is no message."""
    there = set(map(tuple, room.rows("select customer_id, campaign, entry_no, step from delivery.messages")))
    played = room.values("select distinct day from shop.days where stage = 'orders' and state = 'done'")
    missing = []
    for e in room.rows(
        "select e.*, v.definition from campaigns.enrolments as e join campaigns.versions as v using (campaign, version)"
        " where e.arm = 'treated'"
    ):
        for step in definitions.parse(e.definition, e.version).steps:
            due = e.entered_on + timedelta(days=step.day + max(0, (step.hours or 0) - 1) // 24)
            # On the day of an exit nothing is planned any more.
            is_due = any(due <= day and (e.exited_on is None or day < e.exited_on) for day in played)
            if step.is_for(e.variant or "", e.level or "") and is_due:
                key = (e.customer_id, e.campaign, e.entry_no, step.step)
                missing += [key] if key not in there else []
    return missing


def test_a_promise_that_is_broken_is_seen(room: Any) -> None:
    """The queries find what they look for, like a message to the control arm."""
    town = Town(room, 1)
    for number in range(8):
        town.play(number)
    room.execute("update campaigns.enrolments set arm = 'control', variant = 'a'")
    found = {promise for promise, query in NEVER.items() if room.rows(query)}
    assert {"nothing is planned for the control arm", "a variant is for ever, and of the treated alone"} <= found
