"""Caps: at most so many messages to one customer, over all campaigns, whatever was planned and whenever it is sent."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from planner import AMSTERDAM, DAY, MORNING, TEMPLATES, Planner
from retention.core.errors import InputError
from retention.core.settings import Settings
from retention.core.shop import Shop
from retention.delivery.channels.base import Settled
from retention.delivery.channels.outbox import Outbox
from retention.delivery.operations import proof
from retention.delivery.worker import deliver, replay
from retention.ledger.caps import Cap, read
from retention.ledger.outcomes import refused
from shop import ShopData

NEXT = DAY + timedelta(days=1)
CAMPAIGNS = ("sale", "thanks", "birthday", "news")
TEXTS = TEMPLATES | {"ping.en.j2": "{% block text %}{{ first_name }}, hello{% endblock %}"}


@dataclass
class Capped:
    """A shop with campaigns that compete, and the caps of one file."""

    settings: Settings
    engine: Engine
    shop: ShopData
    planner: Planner

    def caps(self, text: str) -> None:
        (self.settings.include / "caps.yaml").write_text(text)

    def send(self, at: datetime = MORNING, **options: Any) -> dict[str, Any]:
        return deliver(Shop(self.settings, self.engine), at=at, **options).counts()

    def accepted(self) -> list[str]:
        return [row["campaign"] for row in self.planner.ledger("*") if row["state"] == "accepted"]


@pytest.fixture
def capped(settings: Settings, engine: Engine, shop: ShopData, planner: Planner, tmp_path: Path) -> Capped:
    include = tmp_path / "include"
    include.mkdir()
    (include / "sql").symlink_to(settings.include / "sql")
    (include / "rules.csv").symlink_to(settings.include / "rules.csv")
    (include / "caps.yaml").write_text("- {channel: all, at_most: 1, in: 7 days}\n")
    mine = settings.evolve(include=include)
    for campaign in CAMPAIGNS:
        planner.version(campaign, "v1", TEXTS, priority=10 if campaign == "birthday" else 50)
    shop.publish_each(DAY, DAY + timedelta(days=15))
    return Capped(mine, engine, shop, planner)


def test_two_messages_due_at_once_do_not_both_pass_a_cap_of_one(capped: Capped) -> None:
    ada = capped.shop.customer("ada")
    keys = [capped.planner.message(ada, campaign=each) for each in ("sale", "thanks")]
    assert capped.send() == {"accepted": 1, "refused": 0, "unknown": 0, "deferred": 1, "skipped": 0, "capped": 1}
    held = next(row for row in map(capped.planner.one, keys) if row["state"] == "planned")
    assert (held["reason"], held["retry_at"]) == ("capped", MORNING + timedelta(days=7))
    assert capped.send(MORNING + timedelta(days=1))["deferred"] == 1
    evening = datetime.combine(NEXT + timedelta(days=2), time(20), AMSTERDAM)
    assert capped.send(evening)["skipped"] == 1
    assert capped.planner.state(held["message_key"]) == ("skipped", "capped")


def test_the_window_slides_a_message_leaves_it_to_the_second(capped: Capped) -> None:
    capped.caps("- {channel: all, at_most: 1, in: 24 hours}\n")
    ada = capped.shop.customer("ada")
    for campaign in ("sale", "thanks"):
        capped.planner.message(ada, campaign=campaign)
    capped.send()
    assert capped.send(MORNING + timedelta(hours=24, seconds=-1))["accepted"] == 0
    assert capped.send(MORNING + timedelta(hours=24))["accepted"] == 1


def test_a_cap_of_one_channel_leaves_the_other_alone(capped: Capped) -> None:
    capped.caps("- {channel: email, at_most: 1, in: 7 days}\n- {channel: all, at_most: 2, in: 7 days}\n")
    ada = capped.shop.customer("ada")
    for campaign in ("sale", "thanks"):
        capped.planner.message(ada, campaign=campaign)
        capped.planner.message(ada, campaign=campaign, step="ping", channel="sms")
    assert capped.send()["accepted"] == 2
    sent = Counter(row["channel"] for row in capped.planner.ledger() if row["state"] == "accepted")
    assert sent["email"] <= 1


def test_the_campaign_that_comes_first_gets_the_room_whatever_the_batch(capped: Capped) -> None:
    refs = [capped.shop.customer(f"c{number}") for number in range(5)]
    for campaign in CAMPAIGNS:
        for ref in refs:
            capped.planner.message(ref, campaign=campaign)
    small = capped.settings.evolve(batch_size=2)
    assert deliver(Shop(small, capped.engine), at=MORNING).counts()["accepted"] == 5
    assert capped.accepted() == ["birthday"] * 5


def test_a_message_that_was_not_sent_after_all_takes_no_room(capped: Capped, monkeypatch: pytest.MonkeyPatch) -> None:
    ada = capped.shop.customer("ada")
    for campaign in ("birthday", "thanks"):
        capped.planner.message(ada, campaign=campaign)

    def refuse_birthdays(self: Outbox, messages: list[Any]) -> list[Settled]:
        done = original(self, [each for each in messages if each.campaign != "birthday"])
        return [*done, *((each, refused("provider_refused: 400")) for each in messages if each.campaign == "birthday")]

    original = Outbox.send
    monkeypatch.setattr(Outbox, "send", refuse_birthdays)
    counts = capped.send()
    assert (counts["accepted"], counts["refused"], counts["deferred"]) == (1, 1, 0)
    assert capped.accepted() == ["thanks"]


def test_a_cap_that_is_lifted_lets_go_at_once_and_its_time_is_kept(capped: Capped) -> None:
    ada = capped.shop.customer("ada")
    for campaign in ("sale", "thanks"):
        capped.planner.message(ada, campaign=campaign)
    capped.send()
    capped.caps("# none\n")
    later = MORNING + timedelta(hours=1)
    assert capped.send(later)["accepted"] == 1
    rows = capped.planner.run("select in_force_from, in_force_until from delivery.caps")
    assert [tuple(row.values()) for row in rows] == [(MORNING, later)]
    assert proof.prove(Shop(capped.settings, capped.engine), later)["cap_exceeded"] == 0


def test_played_days_end_and_give_the_same_in_one_go_or_after_a_crash(
    capped: Capped, monkeypatch: pytest.MonkeyPatch
) -> None:
    capped.caps("- {channel: all, at_most: 1, in: 25 hours}\n- {channel: sms, at_most: 1, in: 3 days}\n")
    for number in range(4):
        ref = capped.shop.customer(f"c{number}")
        for index, campaign in enumerate(CAMPAIGNS):
            capped.planner.message(ref, campaign=campaign, on=NEXT + timedelta(days=index % 2))
            capped.planner.message(ref, campaign=campaign, step="ping", channel="sms")
    planned = capped.planner.ledger()
    decided = "customer_id, message_key, state, reason, attempts, attempted_at, settled_at, retry_at"
    for number in range(7):
        replay(Shop(capped.settings, capped.engine), DAY + timedelta(days=number))
    whole = capped.planner.ledger(decided)
    assert {row["reason"] for row in whole} == {None, "capped"}
    assert "planned" not in {row["state"] for row in whole}
    capped.planner.restore(planned)
    calls = 0
    original = Outbox.send

    def die_now_and_then(self: Outbox, messages: list[Any]) -> Any:
        nonlocal calls
        calls += 1
        if calls % 3 == 0:
            raise KeyboardInterrupt
        return original(self, messages)

    monkeypatch.setattr(Outbox, "send", die_now_and_then)
    small = capped.settings.evolve(batch_size=3)
    day = DAY
    for _ in range(100):
        try:
            replay(Shop(small, capped.engine), day)
        except KeyboardInterrupt:
            continue
        day += timedelta(days=1)
        if day == DAY + timedelta(days=7):
            break
    assert calls > 3
    assert capped.planner.ledger(decided) == whole


PLANS = st.lists(
    st.tuples(st.sampled_from(CAMPAIGNS), st.sampled_from(("hello", "ping")), st.integers(0, 4), st.integers(0, 2)),
    min_size=1,
    max_size=10,
    unique_by=lambda each: each[:2],
)
CAPS = st.lists(
    st.builds(Cap, st.sampled_from(("email", "sms", "all")), st.integers(1, 3), st.integers(1, 100)),
    min_size=1,
    max_size=3,
)


@given(plan=PLANS, caps=CAPS, hours=st.lists(st.integers(0, 150), min_size=1, max_size=8), batch=st.integers(1, 5))
@hypothesis_settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_no_plan_and_no_times_exceed_a_cap(
    capped: Capped, plan: list[tuple[str, str, int, int]], caps: list[Cap], hours: list[int], batch: int
) -> None:
    planner = capped.planner
    for table in ("delivery.messages", "delivery.outbox", "delivery.caps", "campaigns.enrolments", "shop.customers"):
        planner.run(f"delete from {table}")
    planner.run("delete from shop.consents")
    ada = capped.shop.customer("ada")
    capped.caps("".join(f"- {{channel: {c.channel}, at_most: {c.at_most}, in: {c.hours} hours}}\n" for c in caps))
    for campaign, step, day, grace in plan:
        channel = "sms" if step == "ping" else "email"
        planner.message(
            ada,
            campaign=campaign,
            step=step,
            channel=channel,
            on=NEXT + timedelta(days=day),
            grace=grace,
            window=(time(0), time(23, 59)),
        )
    small = capped.settings.evolve(batch_size=batch)
    for hour in hours:  # in any order
        deliver(Shop(small, capped.engine), at=MORNING + timedelta(hours=hour))
    went = [row for row in planner.ledger() if row["state"] == "accepted"]
    for cap in caps:
        mine = [row["attempted_at"] for row in went if cap.channel in (row["channel"], "all")]
        for end in mine:
            inside = [each for each in mine if end - timedelta(hours=cap.hours) < each <= end]
            assert len(inside) <= cap.at_most, (cap, sorted(mine))


def test_the_caps_that_come_with_us_let_the_winback_through(settings: Settings) -> None:
    assert read(settings.include) == [Cap("all", 3, 168), Cap("email", 2, 168)]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "- {channel: email, at_most: 2, in: 7 days}\n- {channel: fax, at_most: 2, in: 7 days}\n",
            "line 2: channel is",
        ),
        ("- {channel: email, at_most: 0, in: 7 days}\n", "line 1: at_most is 0; write a number of messages above 0"),
        ("- {channel: email, at_most: 2, in: a week}\n", "line 1: in is \"a week\"; write a time like '7 days'"),
        ("# caps\n\n- {channel: email, at_most: 2, per: 7 days}\n", "line 3: unknown key 'per'"),
        ("- {channel: email}\n", "line 1: the key 'at_most' is missing"),
        ("channel: email\n", "line 1: the file is"),
        ("- {channel: email\n", "line 2"),
    ],
)
def test_a_mistake_is_named_with_its_line(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "caps.yaml").write_text(text)
    with pytest.raises(InputError) as raised:
        read(tmp_path)
    assert "caps.yaml" in str(raised.value)
    assert sentence in str(raised.value)
