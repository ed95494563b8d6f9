"""The drafts that come with us, made live: each does what it is there to show."""

from __future__ import annotations

import re
from collections import Counter
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest

from retention.campaigns import definitions, steps
from retention.campaigns.definitions import Campaign
from retention.core.shop import Shop
from retention.delivery.worker import deliver

D = date(2026, 3, 2)
DRAFTS = ("four_phase_reactivation", "pressure_test", "quarterly_winback", "we_miss_you")


@pytest.fixture
def live(till: Any, include: Path) -> Any:
    """Make a draft live, with nobody in its control group: its definition. The shop's margins allow its offers."""
    till.product("A", 0.5)
    till.sell(("A", 100))

    def begin(name: str) -> Campaign:
        file = include / "campaigns" / f"{name}.yaml"
        written = file.read_text()
        file.write_text(re.sub("^control: .*", "control: 0%", written.replace("draft", "live"), flags=re.M))
        return definitions.read(include, name)

    return begin


def play(room: Any, campaign: Campaign, number: int, click: str | None = None) -> None:
    """Do the day so many days after D, and send at noon of the next; `click` then follows the link of what it got."""
    day = D + timedelta(days=number)
    room.ready(day, *campaign.selections, "send_base")
    steps.run_day(Shop(room.settings, room.engine), campaign.name, day)
    noon = datetime.combine(day + timedelta(days=1), time(12), room.settings.shop_time_zone)
    deliver(Shop(room.settings, room.engine), at=noon)
    if click:
        room.execute(
            "update delivery.messages set human_clicked_at = :at"
            " where customer_id = shop.customer_id('test', :ref) and state = 'accepted'",
            at=noon,
            ref=click,
        )


def got(room: Any) -> dict[str, list[str]]:
    """The steps that each customer got, in order; those of an audience too."""
    found: dict[str, list[str]] = {}
    for ref, step in room.rows(
        "select c.customer_ref, m.step from delivery.messages as m join shop.customers as c using (customer_id)"
        " where m.state in ('accepted', 'exported', 'planned') order by m.day"
    ):
        found.setdefault(ref, []).append(step)
    return found


def test_the_drafts_enrol_nobody(include: Path) -> None:
    found = definitions.read_all(include)
    assert {name for name, campaign in found.items() if campaign.status == "draft"} == set(DRAFTS)
    assert {found[name].group for name in DRAFTS} == {"reactivation"}


def test_we_miss_you_goes_on_only_with_customers_who_did_not_click(room: Any, live: Any) -> None:
    campaign = live("we_miss_you")
    offers = campaign.offers
    assert offers["small"].percent < offers["vip"].percent
    assert (offers["small"].valid_for, offers["vip"].valid_for) == ("14 days", "45 days")
    refs = [room.shop.customer(ref, consents=("email", "sms", "audience")) for ref in ("first", "second", "silent")]
    room.members(refs, ["lapsed_6_months", "send_base"])
    play(room, campaign, 0, click="first")
    play(room, campaign, 7, click="second")
    play(room, campaign, 21)
    play(room, campaign, 24)
    assert got(room) == {
        "first": ["hello"],
        "second": ["hello", "small_discount"],
        "silent": ["hello", "small_discount", "vip_code", "social"],
    }
    kept_back = room.values("select distinct reason from delivery.messages where state = 'skipped'")
    assert kept_back == ["condition: unless clicked"]


def test_the_four_phases_begin_within_48_hours_and_end_within_three_weeks(include: Path) -> None:
    campaign = definitions.read(include, "four_phase_reactivation")
    assert [step.step for step in campaign.steps] == ["personal", "deal", "social_proof", "final"]
    until = [step.day + 1 + campaign.grace_days for step in campaign.steps]  # the last local date of each
    assert (until[0], until[-1]) == (2, 20)
    for file in (include / "messages" / "four_phase_reactivation").glob("final.*.j2"):
        text = file.read_text()
        assert text.count("unsubscribe_url") == 2, "the way out stands in the mail itself"
        assert "coupon_code" in text


def test_the_quarterly_mail_goes_out_once_a_quarter(room: Any, live: Any) -> None:
    campaign = live("quarterly_winback")
    room.members([room.shop.customer("ada")])
    for number in (0, 35, 36, 40, 133):  # 2026-04-06 is 35 days on; 2026-07-06 is never published
        play(room, campaign, number)
    days = room.values("select entered_on from campaigns.enrolments order by 1")
    assert days == [date(2026, 4, 6), date(2026, 7, 13)]
    assert got(room) == {"ada": ["this_quarter", "this_quarter"]}


def test_the_pressure_test_sends_one_mail_or_three(room: Any, live: Any) -> None:
    campaign = live("pressure_test")
    refs = [room.shop.customer(f"C{number}") for number in range(12)]
    room.members(refs, ["lapsed_6_months", "send_base"])
    for number in (0, 7, 14):
        play(room, campaign, number)
    drawn = dict(
        room.rows(
            "select c.customer_ref, e.variant from campaigns.enrolments as e join shop.customers as c"
            " using (customer_id)"
        )
    )
    assert Counter(drawn.values()).keys() == {"one_mail", "three_mails"}
    mails = {"one_mail": ["first"], "three_mails": ["first", "second", "third"]}
    assert got(room) == {ref: mails[variant] for ref, variant in drawn.items()}
