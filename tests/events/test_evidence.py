"""What reports make of messages: forward only, in any order, once."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

import pytest
from desk import NOW, SENT, Desk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from retention.ledger.claims import Ledger

REPORTS: list[tuple[str, dict[str, Any], tuple[str, str | None]]] = [
    ("processed", {}, ("accepted", None)),
    ("deferred", {}, ("accepted", None)),
    ("delivered", {}, ("delivered", None)),
    ("open", {}, ("delivered", None)),
    ("bounce", {"type": "bounce"}, ("bounced", "hard_bounce")),
    ("bounce", {"type": "blocked"}, ("bounced", "blocked")),
    ("dropped", {"reason": "Invalid"}, ("refused", "dropped: invalid")),
    ("dropped", {"reason": "Recipient List over Package Quota"}, ("refused", "dropped: other")),
]
CALLBACKS = [
    ("sent", "", ("accepted", None)),
    ("delivered", "", ("delivered", None)),
    ("undelivered", "30003", ("bounced", "undelivered: 30003")),
    ("failed", "30036", ("refused", "provider_refused: 30036")),
    ("failed", "21610", ("refused", "opted_out")),
    ("failed", "21614", ("refused", "invalid_number")),
    ("canceled", "", ("refused", "cancelled")),
]


@pytest.mark.parametrize(("kind", "more", "becomes"), REPORTS)
def test_evidence_settles_what_was_unknown(
    desk: Desk, kind: str, more: dict[str, str], becomes: tuple[str, str | None]
) -> None:
    key = desk.message("A", "unknown")
    desk.sendgrid([desk.event("A", kind, **more)])
    assert desk.apply()["applied"] == 1
    assert desk.state(key) == becomes
    assert desk.run("select provider_id from delivery.messages") == [{"provider_id": "abc"}]
    assert desk.apply()["applied"] == 0


@pytest.mark.parametrize(("status", "code", "becomes"), CALLBACKS)
def test_callbacks_settle_texts(desk: Desk, status: str, code: str, becomes: tuple[str, str | None]) -> None:
    key = desk.message("A", "unknown", channel="sms")
    assert desk.callback("A", status, **({"ErrorCode": code} if code else {})).status_code == 200
    desk.apply()
    assert desk.state(key) == becomes


def test_a_message_never_goes_back(desk: Desk) -> None:
    key = desk.message("A", "delivered")
    desk.sendgrid([desk.event("A", "processed"), desk.event("A", "deferred")])
    desk.apply()
    assert desk.state(key) == ("delivered", None)
    desk.sendgrid([desk.event("A", "bounce", type="bounce")])
    desk.apply()
    desk.sendgrid([desk.event("A", "delivered", 5)])
    desk.apply()
    assert desk.state(key) == ("bounced", "hard_bounce")


def test_an_event_before_the_call_returned_waits_until_the_worker_has_settled(desk: Desk) -> None:
    key = desk.message("A", "attempting")
    with desk.engine.connect() as connection:
        ledger = Ledger(desk.settings, connection)
        with ledger.claim_lock() as claim:
            desk.run("update delivery.messages set claim = :claim", claim=claim)
            desk.sendgrid([desk.event("A", "delivered")])
            counts = desk.apply()
            assert (counts["applied"], counts["waiting"]) == (0, 1)
            assert desk.state(key) == ("attempting", None)
            desk.run("update delivery.messages set state = 'accepted', settled_at = :now", now=NOW)
    assert desk.apply()["applied"] == 1
    assert desk.state(key) == ("delivered", None)


def test_evidence_of_a_message_whose_worker_died_settles_it(desk: Desk) -> None:
    key = desk.message("A", "attempting")
    desk.sendgrid([desk.event("A", "processed")])
    desk.apply()
    assert desk.state(key) == ("accepted", None)


def test_a_message_planned_again_that_was_sent_after_all_is_not_sent_twice(desk: Desk) -> None:
    key = desk.message("A", "planned")
    desk.sendgrid([desk.event("A", "delivered")])
    desk.apply()
    assert desk.state(key) == ("delivered", None)


def test_reports_make_no_message_and_revive_none(desk: Desk) -> None:
    skipped = desk.message("A", "skipped", reason="control")
    desk.run(
        "insert into campaigns.enrolments (customer_id, campaign, entry_no, version, arm, entered_on)"
        " values (:id, 'winback', 1, 'v1', 'control', '2026-11-20')",
        id=desk.id("B"),
    )
    desk.sendgrid([desk.event("A", "delivered"), desk.event("B", "delivered"), desk.event("B", "click", 60)])
    counts = desk.apply()
    assert desk.state(skipped) == ("skipped", "control")
    assert len(desk.run("select * from delivery.messages")) == 1, "B, in the control arm, has no message, and gets none"
    assert (counts["waiting"], counts["given_up"]) == (2, 0)
    desk.now += timedelta(days=8)
    assert desk.apply()["given_up"] == 2
    assert set(desk.apply().values()) == {0}


def test_a_coupon_that_was_never_sent_is_void(desk: Desk) -> None:
    desk.message("A", "accepted")
    desk.run("update delivery.messages set offer = 'comeback'")
    desk.run(
        "insert into offers.coupons (customer_id, campaign, entry_no, offer, code, percent, state, reserved_on,"
        " expires_at) values (:id, 'winback', 1, 'comeback', 'C', 10, 'issued', '2026-11-20', :now)",
        id=desk.id("A"),
        now=NOW,
    )
    desk.sendgrid([desk.event("A", "dropped", reason="Invalid")])
    desk.apply()
    assert desk.run("select state from offers.coupons") == [{"state": "void"}]


def test_a_message_that_was_not_sent_after_all_gives_its_room_under_the_caps_back(desk: Desk) -> None:
    desk.message("A", "accepted")
    capped = desk.message("A", "planned", channel="sms", reason="capped")
    desk.run("update delivery.messages set retry_at = 'infinity' where message_key = :key", key=capped)
    desk.sendgrid([desk.event("A", "dropped", reason="Invalid")])
    desk.apply()
    (row,) = desk.run("select retry_at from delivery.messages where message_key = :key", key=capped)
    assert row["retry_at"] is None


# --- interest ---


def engagement(desk: Desk) -> dict[str, tuple[str, str | None]]:
    rows = desk.run(
        "select customer_ref, tracked_since, last_engaged_on from shop.engagement join shop.customers"
        " using (customer_id)"
    )
    return {
        row["customer_ref"]: (str(row["tracked_since"]), row["last_engaged_on"] and str(row["last_engaged_on"]))
        for row in rows
    }


def click(desk: Desk, after: float, path: str = "", **more: Any) -> dict[str, Any]:
    return desk.event("A", "click", after, url=f"https://shop.example/{path}?who=A", useragent="Mozilla/5.0", **more)


def test_a_click_is_interest_and_an_open_is_none(desk: Desk) -> None:
    desk.message("A")
    desk.sendgrid([desk.event("A", "processed"), desk.event("A", "delivered", 2), desk.event("A", "open", 3)])
    desk.apply()
    assert engagement(desk) == {"A": ("2026-11-21", None)}
    desk.now = NOW + timedelta(days=2)
    desk.sendgrid([click(desk, 86_400)])
    assert desk.apply()["engaged"] == 1
    assert desk.run("select what from shop.changes order by change_no desc limit 1") == [{"what": ["engagement"]}]
    assert engagement(desk) == {"A": ("2026-11-21", "2026-11-22")}
    assert "who=A" not in str(desk.run("select * from events.received"))


def test_a_click_by_a_program_is_none(desk: Desk) -> None:
    desk.message("A")
    desk.sendgrid([click(desk, 100) | {"useragent": "Barracuda Sentinel"}])
    desk.apply()
    assert engagement(desk) == {"A": ("2026-11-21", None)}


def test_clicks_on_several_links_within_seconds_of_the_delivery_are_none_even_if_that_shows_later(desk: Desk) -> None:
    desk.message("A")
    desk.sendgrid([desk.event("A", "delivered", 2), click(desk, 4, "a")])
    desk.apply()
    assert engagement(desk) == {"A": ("2026-11-21", "2026-11-21")}
    desk.sendgrid([click(desk, 5, "b")])
    desk.apply()
    assert engagement(desk) == {"A": ("2026-11-21", None)}
    desk.sendgrid([click(desk, 600, "a")])
    desk.apply()
    assert engagement(desk) == {"A": ("2026-11-21", "2026-11-21")}


def test_nobody_is_watched_before_a_report_came(desk: Desk) -> None:
    desk.message("A")
    desk.apply()
    assert engagement(desk) == {}


# --- any order ---


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(range(10)), min_size=1, max_size=10), st.integers(0, 2**32), st.booleans())
def test_in_any_order_and_however_often_the_same_comes_out(
    desk: Desk, chosen: list[int], seed: int, is_unknown: bool
) -> None:
    dice = random.Random(seed)
    all_events = [
        desk.event("A", "processed"),
        desk.event("A", "deferred", 1),
        desk.event("A", "delivered", 2),
        desk.event("A", "open", 9),
        click(desk, 4, "a"),
        click(desk, 5, "b"),
        click(desk, 90_000, "a"),
        desk.event("A", "bounce", 50, type="bounce"),
        desk.event("A", "unsubscribe", 60),
        desk.event("A", "spamreport", 70),
    ]
    events = [all_events[number] for number in chosen]
    outcomes = []
    for order in (events, dice.sample(events * 2, len(events) * 2)):
        desk.now = SENT + timedelta(days=2)
        for table in ("events.received", "shop.suppressions", "shop.engagement", "delivery.messages"):
            desk.run(f"delete from {table}")
        desk.message("A", "unknown" if is_unknown else "accepted")
        while order:
            size = dice.randint(1, len(order))
            assert desk.sendgrid(order[:size]).status_code == 200
            order = order[size:]
            if dice.random() < 0.5:
                desk.apply()
        desk.apply()
        outcomes.append((desk.state("A-email"), desk.suppressions(), engagement(desk)))
    assert outcomes[0] == outcomes[1]
