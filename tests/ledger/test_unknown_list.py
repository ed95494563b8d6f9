"""Unknown messages: what an operator sees and decides, and what a restore makes unknown."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from local_provider import Provider
from planner import DAY, MORNING, TEMPLATES, Planner
from retention.core.clock import Stopped
from retention.core.errors import InputError, StateError
from retention.core.settings import Settings
from retention.core.shop import Shop
from retention.delivery.operations import unknown
from retention.delivery.worker import deliver
from shop import ShopData

HOUR = timedelta(hours=1)


@pytest.fixture
def lost(planner: Planner, shop: ShopData) -> str:
    """The key of a message that is unknown since MORNING."""
    key = planner.message(shop.customer("ada"))
    planner.run(
        "update delivery.messages set state = 'unknown', reason = 'timeout', attempts = 1, attempted_at = :now,"
        " settled_at = :now, claim = gen_random_uuid(), provider = 'sendgrid'",
        now=MORNING,
    )
    return key


def keys(settings: Settings, engine: Engine, **options: Any) -> list[str]:
    return [row["message_key"] for row in unknown.unknown(Shop(settings, engine), **options)]


def test_the_list_holds_what_is_unknown_for_so_long_and_no_address(
    settings: Settings, engine: Engine, lost: str
) -> None:
    assert keys(settings, engine, at=MORNING) == [lost]
    day = timedelta(hours=24)
    assert keys(settings, engine, older_than=day, at=MORNING + day - HOUR) == []
    assert keys(settings, engine, older_than=day, at=MORNING + day) == [lost]
    row = unknown.unknown(Shop(settings, engine), at=MORNING)[0]
    assert (row["customer_ref"], row["reason"]) == ("ada", "timeout")
    assert "@" not in str(row)


def test_sent_makes_it_accepted_and_says_who_decided(
    settings: Settings, engine: Engine, planner: Planner, lost: str
) -> None:
    done = unknown.settle(Shop(settings, engine), lost, "sent", "Ines", at=MORNING + HOUR)
    assert done == {"message_key": lost, "state": "accepted"}
    assert planner.state(lost) == ("accepted", "settled_by")
    decided = planner.run("select message_key, decision, decided_by, decided_at from delivery.decisions")
    assert [tuple(row.values()) for row in decided] == [(lost, "sent", "Ines", MORNING + HOUR)]
    with pytest.raises(StateError, match="is accepted, not unknown"):
        unknown.settle(Shop(settings, engine), lost, "again", "Ines", at=MORNING + HOUR)


def test_again_plans_it_once_more_and_every_rule_is_checked_again(
    settings: Settings, engine: Engine, shop: ShopData, planner: Planner, lost: str
) -> None:
    unknown.settle(Shop(settings, engine), lost, "again", "Ines", at=MORNING + HOUR)
    assert planner.state(lost) == ("planned", "sent_again")
    assert deliver(Shop(settings, engine), at=MORNING + HOUR).counts()["accepted"] == 1
    row = planner.one(lost)
    assert (row["state"], row["reason"], row["attempts"]) == ("accepted", None, 2)


def test_who_has_ordered_meanwhile_gets_it_no_second_time(
    settings: Settings, engine: Engine, shop: ShopData, planner: Planner, lost: str
) -> None:
    shop.order("ada", DAY + timedelta(days=1), known_at=MORNING)
    unknown.settle(Shop(settings, engine), lost, "again", "Ines", at=MORNING + HOUR)
    assert deliver(Shop(settings, engine), at=MORNING + HOUR).counts()["skipped"] == 1


def test_an_expired_message_is_too_late_to_send_again(
    settings: Settings, engine: Engine, planner: Planner, lost: str
) -> None:
    late = planner.one(lost)["expires_at"]
    with pytest.raises(StateError, match="too_late"):
        unknown.settle(Shop(settings, engine), lost, "again", "Ines", at=late)
    assert planner.state(lost) == ("unknown", "timeout")
    assert planner.run("select from delivery.decisions") == []
    unknown.settle(Shop(settings, engine), lost, "sent", "Ines", at=late)


@pytest.mark.parametrize(
    ("key", "decision", "by", "sentence"),
    [
        ("nokey", "sent", "Ines", "no message with the key"),
        (None, "maybe", "Ines", "no decision 'maybe'"),
        (None, "sent", " ", "--by NAME"),
    ],
)
def test_a_decision_must_be_one(
    settings: Settings, engine: Engine, lost: str, key: str | None, decision: str, by: str, sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence):
        unknown.settle(Shop(settings, engine), key or lost, decision, by, at=MORNING)


def test_after_a_restore_what_may_have_been_sent_is_unknown_and_nothing_else(
    settings: Settings, engine: Engine, shop: ShopData, planner: Planner
) -> None:
    ada = planner.message(shop.customer("ada"))
    done = planner.message(shop.customer("bob"))
    deliver(Shop(settings.evolve(batch_size=1), engine), at=MORNING)  # both; then the backup forgets one
    planner.run(
        "update delivery.messages set state = 'planned', attempts = 0, attempted_at = null, settled_at = null,"
        " claim = null, provider = null where message_key = :key",
        key=ada,
    )
    later = planner.message(shop.customer("carol"), on=DAY + timedelta(days=2))
    expired = planner.message(shop.customer("dora"), on=DAY - timedelta(days=5))
    backup, now = MORNING - HOUR, MORNING + HOUR
    assert unknown.restored(Shop(settings, engine), backup, at=now) == {"unknown": 1}
    assert planner.state(ada) == ("unknown", "restored")
    assert [planner.state(key)[0] for key in (done, later, expired)] == ["accepted", "planned", "planned"]
    before = planner.ledger()
    assert unknown.restored(Shop(settings, engine), backup, at=now + 48 * HOUR) == {"unknown": 0}
    assert planner.ledger() == before
    unknown.settle(Shop(settings, engine), ada, "again", "Ines", at=now + HOUR)
    assert unknown.restored(Shop(settings, engine), backup, at=now + 48 * HOUR) == {"unknown": 0}
    assert deliver(Shop(settings, engine), at=now + HOUR).counts()["accepted"] == 1
    with pytest.raises(InputError, match="later than now"):
        unknown.restored(Shop(settings, engine), now, at=backup)


def test_what_a_campaign_plans_again_after_a_restore_is_not_sent_twice(
    live: Settings, engine: Engine, shop: ShopData, planner: Planner, provider: Provider
) -> None:
    now = MORNING + 2 * HOUR
    unknown.restored(Shop(live, engine), MORNING - HOUR, at=MORNING + HOUR)
    key = planner.message(shop.customer("ada"))  # its first life was in the database that is lost
    counts = deliver(Shop(live, engine, Stopped(now))).counts()
    assert (counts["accepted"], counts["unknown"]) == (0, 1)
    assert planner.state(key) == ("unknown", "restored")
    unknown.settle(Shop(live, engine), key, "again", "Ines", at=now)
    assert deliver(Shop(live, engine, Stopped(now))).counts()["accepted"] == 1


def test_a_code_that_may_be_out_since_a_restore_works_until_a_person_says_that_it_never_went_out(
    settings: Settings, engine: Engine, shop: ShopData, planner: Planner
) -> None:
    key = planner.message(shop.customer("ada"), step="nudge", channel="sms", offer="comeback")
    unknown.restored(Shop(settings, engine), MORNING - HOUR, at=MORNING + HOUR)
    code = planner.coupon("ada")
    assert (code["state"], code["expires_at"]) == ("issued", MORNING + HOUR + timedelta(days=14))
    unknown.settle(Shop(settings, engine), key, "again", "Ines", at=MORNING + 2 * HOUR)
    code = planner.coupon("ada")
    assert (code["state"], code["expires_at"]) == ("reserved", None)


def test_a_code_that_a_later_message_may_carry_out_after_a_restore_is_issued_by_the_claim(
    live: Settings, engine: Engine, shop: ShopData, planner: Planner
) -> None:
    unknown.restored(Shop(live, engine), MORNING - HOUR, at=MORNING + HOUR)
    planner.message(shop.customer("ada"), step="nudge", channel="sms", offer="comeback")
    assert deliver(Shop(live, engine, Stopped(MORNING + 2 * HOUR))).counts()["unknown"] == 1
    assert planner.coupon("ada")["state"] == "issued"


def lose(planner: Planner, keys: list[str], claim: str, reason: str = "timeout") -> None:
    planner.run(
        "update delivery.messages set state = 'unknown', reason = :reason, attempts = 1, attempted_at = :now,"
        " settled_at = :now, claim = cast(:claim as uuid), provider = 'sendgrid'"
        " where message_key = any(cast(:keys as text[]))",
        now=MORNING,
        keys=keys,
        claim=claim,
        reason=reason,
    )


ONE, OTHER = "11111111-1111-1111-1111-111111111111", "22222222-2222-2222-2222-222222222222"


def test_what_was_lost_together_is_one_question_that_holds_no_address(
    settings: Settings, engine: Engine, planner: Planner, shop: ShopData
) -> None:
    keys = [planner.message(shop.customer(f"c{number}")) for number in range(4)]
    lose(planner, keys[:2], ONE)
    lose(planner, keys[2:3], OTHER)
    lose(planner, keys[3:], OTHER, "worker_died")
    assert unknown.lost(Shop(settings, engine), at=MORNING + timedelta(hours=23)) == {"lost": []}
    groups = unknown.lost(Shop(settings, engine), at=MORNING + timedelta(hours=24))["lost"]
    assert [(each["claim"], each["reason"], each["messages"]) for each in groups] == [
        (ONE, "timeout", 2),
        (OTHER, "timeout", 1),
        (OTHER, "worker_died", 1),
    ]
    assert groups[0]["subject"] == "2 messages of winback, hello: were they sent?"
    assert "| attempted | 2026-11-21 09:00 CET |" in groups[0]["body"]
    assert "| could still be sent | 2 |" in groups[0]["body"]
    assert "mail.example" not in str(groups)


@pytest.mark.parametrize(
    ("option", "state", "decisions"),
    [
        ("sent", ("accepted", "settled_by"), 2),
        ("send again", ("planned", "sent_again"), 2),
        ("leave unknown", ("unknown", "timeout"), 0),
    ],
)
def test_one_answer_settles_a_group_and_no_other_and_says_who_gave_it(
    settings: Settings, engine: Engine, planner: Planner, shop: ShopData, option: str, state: Any, decisions: int
) -> None:
    keys = [planner.message(shop.customer(f"c{number}")) for number in range(4)]
    lose(planner, keys[:3], ONE)
    lose(planner, keys[3:], OTHER)
    at = MORNING + timedelta(hours=25)
    group = unknown.lost(Shop(settings, engine), at=at)["lost"][0]
    unknown.settle(Shop(settings, engine), keys[2], "sent", "Ines", at=at)  # evidence, or somebody, was faster
    counts = unknown.settle_lost(Shop(settings, engine), group, option, "Olga", at=at)
    number = 2 if decisions else 0
    assert counts == {"accepted": 0, "planned": 0, "left": 3 - number} | ({state[0]: number} if number else {})
    assert [planner.state(key) for key in keys[:2]] == [state] * 2
    assert planner.state(keys[3]) == ("unknown", "timeout")
    by = planner.run("select message_key from delivery.decisions where decided_by = 'Olga'")
    assert {row["message_key"] for row in by} == (set(keys[:2]) if decisions else set())
    with pytest.raises(InputError, match="no option 'maybe'"):
        unknown.settle_lost(Shop(settings, engine), group, "maybe", "Olga", at=at)


def test_what_has_expired_of_a_group_is_not_sent_again(
    settings: Settings, engine: Engine, planner: Planner, shop: ShopData
) -> None:
    keys = [planner.message(shop.customer("ada"), grace=0), planner.message(shop.customer("bob"))]
    lose(planner, keys, ONE)
    at = MORNING + timedelta(hours=25)
    group = unknown.lost(Shop(settings, engine), at=at)["lost"][0]
    assert group["in_time"] == 1
    counts = unknown.settle_lost(Shop(settings, engine), group, "send again", "Olga", at=at)
    assert counts == {"accepted": 0, "planned": 1, "left": 1}
    assert [planner.state(key)[0] for key in keys] == ["unknown", "planned"]


def test_a_campaign_that_says_so_sends_once_more_what_nobody_has_found_in_a_day(
    settings: Settings, engine: Engine, planner: Planner, shop: ShopData
) -> None:
    planner.version("winback", "bold", TEMPLATES, policy="resend")
    keys = [
        planner.message(shop.customer("ada")),
        planner.message(shop.customer("bob"), version="bold"),
        planner.message(shop.customer("carol"), version="bold", grace=0),
        planner.message(shop.customer("dora"), version="bold"),
    ]
    shop.publish(DAY + timedelta(days=1))
    lose(planner, keys, ONE)
    shop.order("dora", DAY + timedelta(days=1), known_at=MORNING)
    at = MORNING + timedelta(hours=24)
    assert unknown.resend(Shop(settings, engine), at=at - HOUR) == {"planned": 0}
    assert unknown.resend(Shop(settings, engine), at=at) == {"planned": 2}
    states = [planner.state(key) for key in keys]
    assert states == [
        ("unknown", "timeout"),
        ("planned", "sent_again"),
        ("unknown", "timeout"),
        ("planned", "sent_again"),
    ]
    decided = planner.run("select distinct decision, decided_by from delivery.decisions")
    assert [tuple(row.values()) for row in decided] == [("again", "policy: resend")]
    counts = deliver(Shop(settings, engine), at=at).counts()
    assert (counts["accepted"], counts["skipped"]) == (1, 1)  # dora has ordered
    lose(planner, keys[1:2], OTHER)
    assert unknown.resend(Shop(settings, engine), at=at + timedelta(hours=1)) == {"planned": 0}  # once
