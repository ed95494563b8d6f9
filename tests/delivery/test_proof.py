"""The nightly proof finds what is planted, and nothing in a ledger that delivery made."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from planner import DAY, MORNING, TEMPLATES, Planner
from retention.core.errors import StateError
from retention.core.settings import Settings
from retention.core.shop import Shop
from retention.delivery.operations import proof, unknown
from retention.delivery.worker import deliver, replay
from shop import ShopData

PROJECT = Path(__file__).resolve().parents[2]

CLEAN = dict.fromkeys(proof.CHECKS, 0)
LATER = MORNING + timedelta(hours=2)
ADA = "customer_id = shop.customer_id('test', 'ada')"


@pytest.fixture
def sent(settings: Settings, engine: Engine, shop: ShopData, planner: Planner) -> str:
    """The key of a message that went out to ada; others went out, waited and were skipped."""
    key = planner.message(shop.customer("ada"))
    planner.message("ada", step="other", on=DAY + timedelta(days=2))
    planner.message(shop.customer("bob"))
    planner.message(shop.customer("tokyo", time_zone="Asia/Tokyo"), zone="Asia/Tokyo")
    shop.order("bob", DAY + timedelta(days=1), known_at=MORNING)
    planner.version("thanks", "v1", TEMPLATES)
    for campaign in ("winback", "thanks"):
        planner.message(shop.customer("carol") if campaign == "winback" else "carol", campaign=campaign)
    replay(Shop(settings, engine), DAY)
    return key


def test_a_ledger_that_delivery_made_is_clean(
    settings: Settings, engine: Engine, shop: ShopData, planner: Planner, sent: str
) -> None:
    shop.order("ada", DAY + timedelta(days=1))  # known only after the message went out
    assert proof.must_hold(Shop(settings, engine), LATER) == CLEAN
    unknown.restored(Shop(settings, engine), MORNING, at=MORNING + timedelta(days=2))
    assert proof.prove(Shop(settings, engine), LATER) == CLEAN


IN_CONTROL = (
    "insert into campaigns.enrolments (customer_id, campaign, entry_no, version, arm, entered_on)"
    " values (shop.customer_id('test', 'ada'), 'ads', 1, 'v1', 'control', '2026-11-17')"
)
PLANTED: dict[str, tuple[str, ...]] = {
    "message_key_twice": (
        "insert into delivery.messages select (m).* from (select jsonb_populate_record(m, jsonb_build_object("
        "'customer_id', shop.customer_id('test', 'bob'), 'step', 'x', 'state', 'skipped', 'reason', 'x')) as m"
        " from delivery.messages as m"
        " where message_key = :key) as copied",
    ),
    "step_twice": (
        "alter table delivery.messages drop constraint messages_customer_id_campaign_entry_no_step_key",
        "insert into delivery.messages select (m).* from (select jsonb_populate_record(m, jsonb_build_object("
        "'channel', 'sms', 'message_key', 'other')) as m from delivery.messages as m"
        " where message_key = :key) as copied",
    ),
    "two_steps_one_day": (
        "update delivery.messages set state = 'accepted', attempts = 1, claim = gen_random_uuid(), provider = 'outbox',"
        " due_at = :morning, attempted_at = :morning + interval '10 minutes', settled_at = :morning"
        f" where step = 'other' and {ADA}",
    ),
    "control_in_audience": (
        IN_CONTROL,
        "insert into delivery.audience_members (customer_id, message_key, campaign, step, entry_no, until_on,"
        " email_meta, kept_at, added_in, left_at, left_reason, removed_in) values (shop.customer_id('test', 'ada'),"
        " 'x', 'ads', 'ads', 1, '2026-11-29', 'hash', '2026-11-18 12:00+01', 1, '2026-11-19 12:00+01', 'control', 2)",
    ),
    "control_in_postal": (
        IN_CONTROL,
        "insert into delivery.cards values (shop.customer_id('test', 'ada'), 'x', 'ads', 'card', 'en', 'Ada',"
        " 'Street 1', '1000', 'Town', 'NL', 'Hello', '2026-11-18 12:00+01', 1)",
    ),
    "without_enrolment": ("delete from campaigns.enrolments where customer_id = shop.customer_id('test', 'tokyo')",),
    "sent_after_unsubscribing": (
        "insert into shop.suppressions values (shop.customer_id('test', 'ada'), 'all', 'unsubscribed',"
        " :morning - interval '2 minutes')",
    ),
    "sent_without_ground": (f"update shop.consents set is_granted = false where channel = 'email' and {ADA}",),
    "sent_expired": (
        "update delivery.messages set provider = 'sendgrid', called_at = :morning + interval '1 hour',"
        " expires_at = :morning + interval '30 minutes' where message_key = :key",
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
        "update delivery.messages set state = 'attempting', settled_at = null, called_at = attempted_at"
        " where message_key = :key",
    ),
}


def test_every_check_has_a_violation_to_find_and_a_line_in_the_docs() -> None:
    assert set(PLANTED) == set(proof.CHECKS)
    page = (PROJECT / "docs" / "states.md").read_text()
    assert not [name for name in proof.CHECKS if f"`{name}`" not in page]


@pytest.mark.parametrize("name", proof.CHECKS)
def test_a_planted_violation_is_found(
    settings: Settings, engine: Engine, shop: ShopData, planner: Planner, sent: str, name: str
) -> None:
    if name == "sent_after_order":
        shop.order("ada", DAY + timedelta(days=1))
    if name == "cap_exceeded":  # carol got two
        planner.run("delete from delivery.messages where customer_id = shop.customer_id('test', 'carol')")
    for statement in PLANTED[name]:
        values: dict[str, Any] = {"key": sent, "morning": MORNING}
        planner.run(statement, **{each: value for each, value in values.items() if f":{each}" in statement})
    at = MORNING + timedelta(hours=25) if name == "stuck_attempting" else LATER
    counts = proof.prove(Shop(settings, engine), at)
    number = 2 if name == "control_messaged" else 1  # one that went out, one that is planned
    assert counts == CLEAN | {name: number}
    with pytest.raises(StateError, match=f"{name} {number}"):
        proof.must_hold(Shop(settings, engine), at)


def test_attempting_for_less_than_a_day_is_no_violation(
    settings: Settings, engine: Engine, planner: Planner, sent: str
) -> None:
    planner.run(PLANTED["stuck_attempting"][0], key=sent)
    assert proof.prove(Shop(settings, engine), MORNING + timedelta(hours=24)) == CLEAN


def test_a_day_of_long_ago_that_is_being_played_now_is_not_stuck(
    settings: Settings, engine: Engine, planner: Planner, sent: str
) -> None:
    planner.run(PLANTED["stuck_attempting"][0], key=sent)
    now = MORNING + timedelta(days=90)
    planner.run("update delivery.messages set called_at = :now where message_key = :key", now=now, key=sent)
    assert proof.prove(Shop(settings, engine), now)["stuck_attempting"] == 0
    assert proof.prove(Shop(settings, engine), now + timedelta(hours=25))["stuck_attempting"] == 1


def test_a_cap_that_came_later_says_nothing_of_what_went_out_before(
    settings: Settings, engine: Engine, planner: Planner, sent: str
) -> None:
    planner.run("insert into delivery.caps values ('all', 1, 24, :later, null)", later=LATER)
    assert proof.prove(Shop(settings, engine), LATER) == CLEAN
    assert deliver(Shop(settings, engine), at=LATER).counts()["accepted"] == 0


# What the real clock showed when ada's message was handed over, and what a provider must not have done then.
REALLY = {
    "outside_window": (MORNING + timedelta(hours=14), None),
    "sent_expired": (MORNING + timedelta(days=4), None),
    "sent_after_order": (LATER, "order"),
    "sent_after_unsubscribing": (LATER, "suppression"),
    "sent_without_ground": (LATER, "withdrawal"),
}


@pytest.mark.parametrize(("provider", "found"), [("sendgrid", 1), ("outbox", 0), ("files", 0)])
@pytest.mark.parametrize("name", REALLY)
def test_what_a_provider_was_called_for_is_judged_by_the_real_clock(
    settings: Settings,
    engine: Engine,
    shop: ShopData,
    planner: Planner,
    sent: str,
    name: str,
    provider: str,
    found: int,
) -> None:
    called_at, happened = REALLY[name]
    known = MORNING + timedelta(hours=1)  # after the instant that was pretended
    if happened == "order":
        shop.order("ada", DAY + timedelta(days=1), known_at=known)
    elif happened == "suppression":
        ada = "shop.customer_id('test', 'ada')"
        planner.run(f"insert into shop.suppressions values ({ada}, 'email', 'hard_bounce', :at)", at=known)
    elif happened == "withdrawal":
        planner.withdraw("ada", "email", known)
    planner.run(
        "update delivery.messages set called_at = :at, provider = :provider where message_key = :key",
        at=called_at,
        provider=provider,
        key=sent,
    )
    counts = proof.prove(Shop(settings, engine), MORNING + timedelta(days=5))
    assert counts[name] == found
    assert sum(counts.values()) in (found, found + (name == "sent_expired"))  # at that hour the window is open again


def test_the_caps_are_held_against_the_real_clock(
    settings: Settings, engine: Engine, planner: Planner, sent: str
) -> None:
    """Three days played for real in one go are three messages at once."""
    planner.run(
        "insert into delivery.caps values ('email', 1, 2, :from, null)", **{"from": MORNING - timedelta(days=9)}
    )
    planner.run(
        "update delivery.messages set state = 'accepted', attempts = 1, claim = gen_random_uuid(),"
        f" attempted_at = due_at, settled_at = due_at, provider = 'outbox' where {ADA}"
    )
    at = MORNING + timedelta(days=2)
    assert proof.prove(Shop(settings, engine), at)["cap_exceeded"] == 2  # carol's, at one time
    planner.run(f"update delivery.messages set called_at = :at, provider = 'sendgrid' where {ADA}", at=at)
    assert proof.prove(Shop(settings, engine), at)["cap_exceeded"] == 4


FROM_A_SALE = "update shop.consents set basis = 'soft_opt_in'"
GROUNDS = {
    "nobody agreed": ("NL", "email", "update shop.consents set is_granted = false", 1),
    "there is no consent": ("NL", "email", "delete from shop.consents", 1),
    "the consent is for another channel": ("NL", "email", "update shop.consents set channel = 'sms'", 1),
    "the consent is for another purpose": ("NL", "email", "update shop.consents set purpose = 'service'", 1),
    "a sale, and nothing was bought": (
        "NL",
        "email",
        f"with sale as ({FROM_A_SALE}) update shop.orders set status = 'cancelled'",
        1,
    ),
    "a sale where the law knows it": ("NL", "email", FROM_A_SALE, 0),
    "a sale where the law does not know it": ("PL", "email", FROM_A_SALE, 1),
    "a sale in no country": (None, "email", FROM_A_SALE, 1),
    "a card where nobody has to agree": ("NL", "postal", "delete from shop.consents", 0),
    "a card, and an objection": ("NL", "postal", "update shop.consents set is_granted = false", 1),
    "a card to no country": (None, "postal", "delete from shop.consents", 1),
    "a card to no country where nobody has to agree": (
        None,
        "postal",
        "with gone as (delete from shop.consents) update shop.rules set basis = 'legitimate_interest'"
        " where country = 'unknown'",
        0,
    ),
    "a text that was agreed to": ("US", "sms", "update shop.consents set basis = 'consent'", 0),
    "a text after a sale": ("NL", "sms", FROM_A_SALE, 1),
}


@pytest.mark.parametrize("what", GROUNDS)
def test_each_ground_in_law_is_known_to_the_proof(
    settings: Settings, engine: Engine, shop: ShopData, planner: Planner, what: str
) -> None:
    country, channel, change, found = GROUNDS[what]
    shop.customer("ada", country=country, consents=(channel,))
    shop.order("ada", DAY - timedelta(days=400))
    key = planner.message("ada", channel=channel)
    deliver(Shop(settings, engine), at=MORNING)  # puts the law in force
    planner.run(
        "update delivery.messages set state = 'accepted', reason = null, attempts = 1, claim = gen_random_uuid(),"
        " provider = 'outbox', attempted_at = :at, settled_at = :at where message_key = :key",
        at=MORNING,
        key=key,
    )
    planner.run(change)
    assert proof.prove(Shop(settings, engine), LATER)["sent_without_ground"] == found


@pytest.mark.parametrize(("answers", "found"), [((False, True), 0), ((True, False), 1), ((False, False), 1)])
def test_of_several_answers_the_one_that_held_when_the_message_went_out_counts(
    settings: Settings, engine: Engine, planner: Planner, sent: str, answers: tuple[bool, bool], found: int
) -> None:
    which = f"where channel = 'email' and {ADA}"
    answered = f"update shop.consents set is_granted = :granted, known_at = :known {which}"
    first, second = MORNING - timedelta(days=9), MORNING - timedelta(days=2)
    planner.run(answered, granted=answers[0], known=first)
    planner.run(f"insert into shop.consents_history select *, :until from shop.consents {which}", until=second)
    planner.run(answered, granted=answers[1], known=second)
    assert proof.prove(Shop(settings, engine), LATER) == CLEAN | {"sent_without_ground": found}


def test_what_became_known_within_the_minute_of_a_claim_is_no_violation(
    settings: Settings, engine: Engine, planner: Planner, sent: str
) -> None:
    planner.run(
        "insert into shop.suppressions values (shop.customer_id('test', 'ada'), 'all', 'stopped', :at)",
        at=MORNING - timedelta(seconds=50),
    )
    assert proof.prove(Shop(settings, engine), LATER) == CLEAN
