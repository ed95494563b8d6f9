"""The nightly proof finds what is planted, and nothing in a ledger that delivery made."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from planner import DAY, MORNING, TEMPLATES, Planner
from sqlalchemy import Engine

from retention.delivery import proof, unknown
from retention.delivery.deliver import deliver, play
from retention.errors import StateError
from retention.settings import Settings
from shop import Shop

CLEAN = dict.fromkeys(proof.CHECKS, 0)
LATER = MORNING + timedelta(hours=2)
ADA = "customer_id = shop.customer_id('test', 'ada')"


@pytest.fixture
def sent(settings: Settings, engine: Engine, shop: Shop, planner: Planner) -> str:
    """The key of a message that went out to ada; others went out, waited and were skipped."""
    key = planner.message(shop.customer("ada"))
    planner.message("ada", step="other", on=DAY + timedelta(days=2))
    planner.message(shop.customer("bob"))
    planner.message(shop.customer("tokyo", time_zone="Asia/Tokyo"), zone="Asia/Tokyo")
    shop.order("bob", DAY + timedelta(days=1), known_at=MORNING)
    planner.version("thanks", "v1", TEMPLATES)
    for campaign in ("winback", "thanks"):
        planner.message(shop.customer("carol") if campaign == "winback" else "carol", campaign=campaign)
    play(settings, engine, DAY)
    return key


def test_a_ledger_that_delivery_made_is_clean(
    settings: Settings, engine: Engine, shop: Shop, planner: Planner, sent: str
) -> None:
    shop.order("ada", DAY + timedelta(days=1))  # known only after the message went out
    assert proof.must_hold(settings, engine, LATER) == CLEAN
    unknown.restored(settings, engine, MORNING, at=MORNING + timedelta(days=2))
    assert proof.prove(settings, engine, LATER) == CLEAN


PLANTED: dict[str, tuple[str, ...]] = {
    "message_key_twice": (
        "insert into delivery.messages select (m).* from (select jsonb_populate_record(m, jsonb_build_object("
        "'customer_id', 1, 'state', 'skipped', 'reason', 'x')) as m from delivery.messages as m"
        " where message_key = :key) as copied",
    ),
    "step_twice": (
        "insert into delivery.messages select (m).* from (select jsonb_populate_record(m, jsonb_build_object("
        "'channel', 'sms', 'message_key', 'other')) as m from delivery.messages as m"
        " where message_key = :key) as copied",
    ),
    "control_messaged": (f"update campaigns.enrolments set arm = 'control' where {ADA}",),
    "sent_after_order": ("update shop.orders set known_at = :morning - interval '1 minute'",),
    "outside_window": (
        "update delivery.messages set attempted_at = attempted_at - interval '1 minute' where message_key = :key",
    ),
    "cap_exceeded": (
        "insert into delivery.caps values ('email', 1, 999, :morning - interval '1 day', null)",
        "update delivery.messages set state = 'accepted', attempts = 1, claim = gen_random_uuid(),"
        f" attempted_at = due_at, settled_at = due_at where {ADA}",
    ),
    "audience_overstayed": (
        "insert into delivery.audience_members (customer_id, message_key, campaign, step, entry_no, until_on,"
        " email_meta, kept_at, added_in) values (shop.customer_id('test', 'ada'), 'x', 'winback', 'ads', 1,"
        " '2026-11-19', 'hash', '2026-11-18 12:00+01', 1)",
    ),
    "stuck_attempting": (
        "update delivery.messages set state = 'attempting', settled_at = null where message_key = :key",
    ),
}


def test_every_check_has_a_violation_to_find() -> None:
    assert set(PLANTED) == set(proof.CHECKS)


@pytest.mark.parametrize("name", proof.CHECKS)
def test_a_planted_violation_is_found(
    settings: Settings, engine: Engine, shop: Shop, planner: Planner, sent: str, name: str
) -> None:
    if name == "sent_after_order":
        shop.order("ada", DAY + timedelta(days=1))
    if name == "cap_exceeded":  # carol got two
        planner.run("delete from delivery.messages where customer_id = shop.customer_id('test', 'carol')")
    for statement in PLANTED[name]:
        values: dict[str, Any] = {"key": sent, "morning": MORNING}
        planner.run(statement, **{each: value for each, value in values.items() if f":{each}" in statement})
    at = MORNING + timedelta(hours=25) if name == "stuck_attempting" else LATER
    counts = proof.prove(settings, engine, at)
    number = 2 if name == "control_messaged" else 1  # one that went out, one that is planned
    assert counts == CLEAN | {name: number}
    with pytest.raises(StateError, match=f"{name} {number}"):
        proof.must_hold(settings, engine, at)


def test_attempting_for_less_than_a_day_is_no_violation(
    settings: Settings, engine: Engine, planner: Planner, sent: str
) -> None:
    planner.run(PLANTED["stuck_attempting"][0], key=sent)
    assert proof.prove(settings, engine, MORNING + timedelta(hours=24)) == CLEAN


def test_a_cap_that_came_later_says_nothing_of_what_went_out_before(
    settings: Settings, engine: Engine, planner: Planner, sent: str
) -> None:
    planner.run("insert into delivery.caps values ('all', 1, 24, :later, null)", later=LATER)
    assert proof.prove(settings, engine, LATER) == CLEAN
    assert deliver(settings, engine, at=LATER)["accepted"] == 0
