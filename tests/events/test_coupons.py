"""A coupon is redeemed once: by an order that carries its code, or because the shop's own system says so."""

from __future__ import annotations

import csv
import json
import random
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from desk import DAY, NOW, SENT, Desk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from retention.core.shop import Shop
from retention.delivery.worker import deliver
from retention.offers import coupons

END = SENT + timedelta(days=14)


def coupon(desk: Desk, ref: str = "A", state: str = "issued", *, is_sent: bool = True, channel: str = "email") -> str:
    """A coupon of `ref`, with the message that carried it; its code."""
    code = f"CODE{ref}23456"
    desk.message(ref, "accepted" if is_sent else "planned", channel)
    desk.run("update delivery.messages set offer = 'comeback' where customer_id = :id", id=desk.id(ref))
    desk.run(
        "insert into offers.coupons (customer_id, campaign, entry_no, offer, code, percent, state, reserved_on,"
        " expires_at) values (:id, 'winback', 1, 'comeback', :code, 10, :state, :day, :end)",
        id=desk.id(ref),
        code=code,
        state=state,
        day=DAY,
        end=END if state in ("issued", "redeemed") else None,
    )
    return code


def order(desk: Desk, ref: str, code: str, order_ref: str = "o1", **changes: Any) -> None:
    """An order with a code, an hour after the message, known two hours after it."""
    fields: dict[str, Any] = {
        "order_ref": order_ref,
        "ordered_at": SENT + timedelta(hours=1),
        "known_at": SENT + timedelta(hours=2),
        **changes,
    }
    fields["ordered_on"] = fields["ordered_at"].date()
    desk.shop.order(ref, fields["ordered_on"], coupon_code=code, **fields)


def outcomes(desk: Desk) -> dict[str, str]:
    rows = desk.run("select order_ref, outcome from offers.redemptions")
    return {row["order_ref"]: row["outcome"] for row in rows}


def states(desk: Desk) -> list[str]:
    return [row["state"] for row in desk.run("select state from offers.coupons order by code")]


def later(desk: Desk, **after: float) -> dict[str, Any]:
    desk.now = max(desk.now, SENT + timedelta(**after) + timedelta(minutes=1))
    return desk.apply()


# --- orders ---


@pytest.mark.parametrize("said", ["CODEA23456", " codea23456 "])
def test_an_order_with_the_customers_code_redeems_the_coupon_once(desk: Desk, said: str) -> None:
    coupon(desk)
    order(desk, "A", said)
    counts = later(desk, hours=3)
    assert (counts["redeemed"], counts["not_redeemed"]) == (1, 0)
    assert states(desk) == ["redeemed"]
    rows = desk.run("select source, campaign, entry_no, offer, redeemed_at, known_at from offers.redemptions")
    assert rows == [
        {
            "source": "test",
            "campaign": "winback",
            "entry_no": 1,
            "offer": "comeback",
            "redeemed_at": SENT + timedelta(hours=1),
            "known_at": SENT + timedelta(hours=2),
        }
    ]
    assert later(desk, hours=4)["redeemed"] == 0


def test_of_two_orders_the_one_known_first_redeems_it(desk: Desk) -> None:
    code = coupon(desk)
    order(desk, "A", code, "late", ordered_at=SENT + timedelta(minutes=5), known_at=SENT + timedelta(hours=9))
    order(desk, "A", code, "first", known_at=SENT + timedelta(hours=8))
    later(desk, hours=10)
    order(desk, "A", code, "third", known_at=SENT + timedelta(hours=12))
    later(desk, hours=13)
    assert outcomes(desk) == {"first": "redeemed", "late": "redeemed_before", "third": "redeemed_before"}


def test_what_becomes_known_later_is_not_looked_at(desk: Desk) -> None:
    order(desk, "A", coupon(desk), known_at=SENT + timedelta(days=3))
    assert later(desk, days=2)["redeemed"] == 0
    assert later(desk, days=3)["redeemed"] == 1


@pytest.mark.parametrize(
    ("changes", "state", "outcome"),
    [
        ({"ordered_at": END}, "issued", "redeemed"),
        ({"ordered_at": END + timedelta(seconds=1)}, "issued", "expired"),
        ({"ordered_at": SENT - timedelta(days=1)}, "issued", "not_issued"),
        ({"ordered_at": datetime.fromisoformat("2026-11-21T00:00:00+01:00")}, "issued", "redeemed"),
        ({}, "void", "not_issued"),
        ({}, "reserved", "not_issued"),
    ],
)
def test_a_code_that_does_not_count_is_recorded_with_the_reason(
    desk: Desk, changes: dict[str, Any], state: str, outcome: str
) -> None:
    order(desk, "A", coupon(desk, state=state), **{"known_at": END + timedelta(days=1)} | changes)
    later(desk, days=16)
    assert outcomes(desk) == {"o1": outcome}
    assert states(desk) == ["redeemed" if outcome == "redeemed" else state]


def test_a_reserved_code_whose_message_is_only_planned_is_not_out(desk: Desk) -> None:
    order(desk, "A", coupon(desk, is_sent=False))
    later(desk, hours=3)
    assert outcomes(desk) == {"o1": "not_issued"}


def test_codes_of_others_and_of_nobody_and_cancelled_orders_redeem_nothing(desk: Desk) -> None:
    code = coupon(desk, "A")
    coupon(desk, "B")
    order(desk, "B", code, "of another")
    order(desk, "A", "WELCOME10", "of nobody")
    order(desk, "A", code, "cancelled", status="cancelled")
    later(desk, hours=3)
    assert outcomes(desk) == {}
    assert states(desk) == ["issued", "issued"]


# --- the shop's own system ---


def test_the_shop_tells_and_gets_the_same_answer_however_often_it_tells(desk: Desk) -> None:
    code = coupon(desk)
    uses = [
        {"code": code.lower(), "order_ref": "1001", "redeemed_at": "2026-11-21T12:30:00+01:00"},
        {"code": code, "order_ref": "1002"},
        {"code": "NOBODYS", "order_ref": "1003"},
    ]
    for _ in range(3):
        answer = desk.coupons(uses)
        assert answer.status_code == 200
        assert [each["outcome"] for each in answer.json()] == ["redeemed", "redeemed_before", "unknown_code"]
        desk.now += timedelta(minutes=1)
    assert states(desk) == ["redeemed"]
    rows = desk.run("select source, known_at, redeemed_at from offers.redemptions where outcome = 'redeemed'")
    assert rows == [
        {"source": "shop", "known_at": NOW, "redeemed_at": datetime.fromisoformat("2026-11-21T11:30:00+00:00")}
    ]


def test_the_order_that_comes_after_the_shop_has_told_is_the_same_use(desk: Desk) -> None:
    code = coupon(desk)
    desk.coupons([{"code": code, "order_ref": "1001"}])
    order(desk, "A", code, "1001", known_at=NOW + timedelta(hours=1))
    desk.now += timedelta(hours=2)
    assert desk.apply()["not_redeemed"] == 0
    assert outcomes(desk) == {"1001": "redeemed"}


def test_who_did_not_sign_or_signed_too_long_ago_changes_nothing(desk: Desk) -> None:
    uses = [{"code": coupon(desk), "order_ref": "1001"}]
    before = desk.everything()
    assert desk.coupons(uses, secret="another").status_code == 403
    assert desk.coupons(uses, at=NOW - timedelta(minutes=6)).status_code == 403
    assert desk.coupons(uses, at=NOW + timedelta(minutes=6)).status_code == 403
    assert desk.client.post("/events/coupons", json=uses).status_code == 403
    headers = {"X-Retention-Timestamp": str(int(NOW.timestamp())), "X-Retention-Signature": b"sha256=\xe9"}
    assert desk.client.post("/events/coupons", json=uses, headers=headers).status_code == 403
    headers = {"X-Retention-Timestamp": "9" * 400, "X-Retention-Signature": "sha256="}
    assert desk.client.post("/events/coupons", json=uses, headers=headers).status_code == 403
    assert desk.everything() == before


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[1]",
        b"\xff",
        b"[" * 100_000,
        b'[{"code": "A", "order_ref": 1}]',
        b'[{"order_ref": "1"}]',
        b'[{"code": "A", "order_ref": ""}]',
        b'[{"code": "A", "order_ref": "a\\u0000"}]',
        b'[{"code": "A", "order_ref": "1", "redeemed_at": "2026-11-21T12:00:00"}]',
        b'[{"code": "A", "order_ref": "1", "redeemed_at": "2027-11-21T12:00:00Z"}]',
        b'[{"code": "A", "order_ref": "1", "redeemed_at": 5}]',
        b'[{"code": "A\\ud800", "order_ref": "1"}]',
        b"[" + b'{"code": "A", "order_ref": "1"},' * 1000 + b'{"code": "A", "order_ref": "1"}]',
    ],
)
def test_what_is_no_list_of_uses_changes_nothing(desk: Desk, body: bytes) -> None:
    before = desk.everything()
    assert desk.coupons(body).status_code == 400
    assert desk.everything() == before


def test_a_body_that_is_too_large_is_refused(desk: Desk) -> None:
    assert desk.coupons(b" " * 1_000_001).status_code == 413


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)
NAMES = ["code", "order_ref", "redeemed_at"]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "code": st.sampled_from(["CODEA23456", "x"]) | JUNK,
                "order_ref": st.text(max_size=5) | JUNK,
                "redeemed_at": st.datetimes().map(lambda at: at.isoformat() + "Z") | JUNK,
            },
        ),
        max_size=4,
    )
    | JUNK
)
def test_nothing_that_the_shop_signs_makes_the_service_fail(desk: Desk, uses: Any) -> None:
    for table in ("delivery.messages", "offers.coupons", "offers.redemptions"):
        desk.run(f"delete from {table}")
    coupon(desk)
    assert desk.coupons(uses).status_code in (200, 400)
    assert len(desk.run("select * from offers.redemptions where outcome = 'redeemed'")) <= 1


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**32))
def test_however_orders_and_telling_meet_a_coupon_is_redeemed_once(desk: Desk, seed: int) -> None:
    for table in ("delivery.messages", "offers.coupons", "offers.redemptions", "shop.orders"):
        desk.run(f"delete from {table}")
    desk.now, dice = NOW, random.Random(seed)
    code = coupon(desk)
    for number in range(8):
        ref = str(dice.randint(1, 4))
        if dice.random() < 0.5:
            assert desk.coupons([{"code": code, "order_ref": ref}]).status_code == 200
        elif not desk.run("select from shop.orders where order_ref = :ref", ref=ref):
            order(desk, "A", code, ref, known_at=NOW + timedelta(hours=number))
        desk.now = NOW + timedelta(hours=number)
        if dice.random() < 0.5:
            desk.apply()
    assert list(outcomes(desk).values()).count("redeemed") == int(bool(outcomes(desk)))


# --- sending ---


@pytest.mark.parametrize(("after", "becomes"), [(60, "coupon_redeemed"), (-60, None)])
def test_a_coupon_that_is_redeemed_is_no_longer_sent_as_known_at_that_instant(
    desk: Desk, after: int, becomes: str | None
) -> None:
    code, planned = coupon(desk), desk.due()
    assert desk.coupons([{"code": code, "order_ref": "1001"}]).json()[0]["outcome"] == "redeemed"
    desk.run("update delivery.messages set attempted_at = attempted_at - interval '1 day' where state = 'accepted'")
    desk.run("update delivery.messages set offer = 'comeback' where message_key = :key", key=planned)
    deliver(Shop(desk.settings, desk.engine), at=desk.now + timedelta(seconds=after))
    assert desk.state(planned) == (("skipped", becomes) if becomes else ("accepted", None))
    assert states(desk) == ["redeemed"]


# --- the file for the shop ---


def exported(desk: Desk, folder: Path) -> list[dict[str, str]]:
    """The lines of the file that is written now."""
    desk.now += timedelta(minutes=1)
    done = coupons.export(desk.settings, desk.engine, folder, desk.now)
    if not done["file"]:
        return []
    with Path(done["file"]).open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_shop_gets_what_has_changed_and_nothing_twice(desk: Desk, tmp_path: Path) -> None:
    assert exported(desk, tmp_path) == []
    first, second = coupon(desk, "A"), coupon(desk, "B", "reserved")
    assert exported(desk, tmp_path) == [
        {
            "code": code,
            "state": state,
            "percent": "10.00",
            "expires_at": ends,
            "campaign": "winback",
            "offer": "comeback",
            "terms": '{"type": "percent", "percent": 10.0}',
        }
        for code, state, ends in sorted(
            [(first, "issued", END.isoformat()), (second, "reserved", "")],
            key=lambda each: desk.id(each[0].removeprefix("CODE")[0]),
        )
    ]
    assert exported(desk, tmp_path) == []
    desk.run("update offers.coupons set state = 'void' where state = 'reserved'")
    desk.run("update offers.coupons set state = 'redeemed' where state = 'issued'")
    assert [(line["code"], line["state"]) for line in exported(desk, tmp_path)] == [(second, "void")]
    assert exported(desk, tmp_path) == []
    assert len(list(tmp_path.glob("coupons-*.csv"))) == 2
    assert not list(tmp_path.glob("*.writing"))


def test_the_shop_gets_what_an_offer_says_and_when_a_planned_code_ends_at_the_latest(
    desk: Desk, tmp_path: Path
) -> None:
    """Should no later file reach the shop, the code ends all the same."""
    desk.due()
    coupon(desk, "A", "reserved", is_sent=False)
    desk.run(
        "update campaigns.versions set definition = cast(:kept as jsonb)",
        kept='{"offers": {"comeback": {"valid_for": "2 days"}}}',
    )
    terms = {"type": "amount", "amount": 5, "applies_to": {"minimum_order": 20}}
    desk.run("update offers.coupons set percent = null, terms = cast(:terms as jsonb)", terms=json.dumps(terms))
    [line] = exported(desk, tmp_path)
    assert (line["state"], line["percent"]) == ("reserved", "")
    assert json.loads(line["terms"]) == terms
    assert line["expires_at"] == (SENT + timedelta(days=2 + 2)).isoformat()  # the message's last moment, and two days
    desk.run("update offers.coupons set state = 'issued', expires_at = :end", end=END)
    assert [each["expires_at"] for each in exported(desk, tmp_path)] == [END.isoformat()]
    assert exported(desk, tmp_path) == []


def test_a_file_that_cannot_be_written_is_not_counted_as_told(desk: Desk, tmp_path: Path) -> None:
    coupon(desk)
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        exported(desk, tmp_path / "file")
    assert len(exported(desk, tmp_path)) == 1
