"""Enrolling, exiting, planning and finishing, day by day (A9, A10, A11, A13, B11, E5)."""

from __future__ import annotations

import hashlib
import hmac
import itertools
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from dateutil.relativedelta import relativedelta
from house import change
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from sqlalchemy import text

from retention.campaigns import definitions, steps
from retention.core import days
from retention.core.errors import InputError, StateError
from retention.core.settings import hmac_pads
from retention.core.shop import Shop
from retention.delivery.worker import deliver
from shop import NAMESPACE

D = date(2026, 3, 2)
NOTHING = {"enrolled": 0, "control": 0, "exited": 0, "planned": {}, "skipped": {}}
TABLES = ("campaigns.versions", "campaigns.enrolments", "campaigns.decisions", "offers.coupons", "delivery.messages")


ALL = ("email", "sms", "audience")


def after(number: int) -> date:
    return D + timedelta(days=number)


def test_a_day_run_twice_enrols_once_and_returns_its_counts(room: Any) -> None:
    room.customers(3)
    first = room.run(D)
    before = [room.table(name) for name in TABLES]
    assert steps.run_day(Shop(room.settings, room.engine), "winback", D) == first
    assert first == {
        "enrolled": 3,
        "control": 0,
        "exited": 0,
        "skipped": {},
        "planned": {"we_miss_you": 3, "nudge": 0, "retarget": 0, "final_offer": 0},
    }
    assert [room.table(name) for name in TABLES] == before


def test_nobody_enters_twice_while_inside(room: Any) -> None:
    room.customers(2)
    assert [each["enrolled"] for each in room.run_each(D, after(5))] == [2, 0, 0, 0, 0, 0]


def test_a_day_left_out_is_caught_up_in_order_and_gives_the_same_rows(room: Any, shop: Any) -> None:
    refs = room.customers(2)
    room.run(D)
    shop.order(refs[0], after(1))
    for number in (1, 2):
        room.ready(after(number))
    steps.run_day(Shop(room.settings, room.engine), "winback", after(2))
    assert room.rows("select day, state from shop.days where stage || part = 'campaignswinback' order by 1") == [
        (D, "done"),
        (after(1), "done"),
        (after(2), "done"),
    ]
    assert room.rows("select exited_on, exit_reason from campaigns.enrolments where exited_on is not null") == [
        (after(1), "order")
    ]
    assert room.values("select day from delivery.messages where step = 'nudge'") == [after(2)]


def test_a_day_before_one_that_is_done_is_refused(room: Any) -> None:
    room.run(D)
    room.ready(after(-1))
    with pytest.raises(StateError, match="can no longer be done"):
        steps.run_day(Shop(room.settings, room.engine), "winback", after(-1))
    assert room.values("select day from shop.days where stage = 'campaigns' and day < :day", day=D) == []


@pytest.mark.parametrize("missing", ["winback", "send_base"])
def test_a_campaign_waits_for_its_selection_and_send_base(room: Any, missing: str) -> None:
    room.ready(D, *({"winback", "send_base"} - {missing}))
    with pytest.raises(StateError, match=f"{missing} has not done 2026-03-02"):
        steps.run_day(Shop(room.settings, room.engine), "winback", D)
    assert room.values("select part from shop.days where stage = 'campaigns'") == []


def test_no_step_of_a_day_begins_before_the_day_before_is_finished(room: Any) -> None:
    room.customers(1)
    room.ready(D)
    steps.enrol(Shop(room.settings, room.engine), "winback", D)
    room.ready(after(1))
    with pytest.raises(StateError, match="2026-03-02 is not finished"):
        steps.enrol(Shop(room.settings, room.engine), "winback", after(1))
    with pytest.raises(StateError, match="nudge comes after exit"):
        steps.plan(Shop(room.settings, room.engine), "winback", "nudge", D)
    assert steps.catch_up(Shop(room.settings, room.engine), "winback", after(1))["enrolled"] == 1
    assert steps.enrol(Shop(room.settings, room.engine), "winback", after(1)) == NOTHING


def test_the_steps_of_a_day_one_by_one_are_the_day(room: Any) -> None:
    room.customers(2)
    room.ready(D)
    call = (Shop(room.settings, room.engine), "winback")
    assert steps.enrol(*call, D)["enrolled"] == 2
    assert steps.end_enrolments(*call, D)["exited"] == 0
    with pytest.raises(StateError, match="finish comes after we_miss_you"):
        steps.finish(*call, D)
    for step in ("we_miss_you", "nudge", "retarget", "final_offer"):
        steps.plan(*call, step, D)
    done = steps.finish(*call, D)
    assert done["planned"]["we_miss_you"] == 2
    assert steps.run_day(*call, D) == done


def test_an_unknown_step_is_named(room: Any) -> None:
    with pytest.raises(
        InputError, match="has no step 'nudgge'; its steps are we_miss_you, nudge, retarget, final_offer"
    ):
        steps.plan(Shop(room.settings, room.engine), "winback", "nudgge", D)


def test_a_day_that_failed_half_way_is_caught_up_by_the_next_run(room: Any, monkeypatch: Any) -> None:
    room.customers(1)
    room.ready(D)
    with monkeypatch.context() as patch:
        patch.setattr(steps, "_plan", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            steps.run_day(Shop(room.settings, room.engine), "winback", D)
    assert room.values("select state from shop.days where stage = 'campaigns' and part = 'winback'") == ["failed"]
    room.run(after(1))
    assert room.values("select day from delivery.messages") == [D]


# Who enters


def test_only_members_of_both_the_selection_and_send_base_on_that_day_enter(room: Any, shop: Any) -> None:
    for ref in ("both", "selection_only", "base_only", "left", "later"):
        shop.customer(ref)
    room.members(["both", "left"])
    room.members(["selection_only"], ["winback"])
    room.members(["base_only"], ["send_base"])
    room.members(["later"], since=after(1))
    room.leaves("left", "winback", D)
    assert room.run(D)["enrolled"] == 1
    assert room.values("select customer_ref from campaigns.enrolments join shop.customers using (customer_id)") == [
        "both"
    ]


def test_the_longest_lapsed_enter_first_and_the_rest_wait(room: Any, shop: Any, write: Any) -> None:
    write("5000 per day", "2 per day")
    refs = room.customers(5)
    for number, ref in enumerate(refs[:4]):
        shop.order(ref, date(2024, 1, 10 - number))
    order = [room.run(each) and room.values(ENTERED, day=each) for each in (D, after(1), after(2))]
    assert order == [["C0002", "C0003"], ["C0000", "C0001"], ["C0004"]]


ENTERED = """
select customer_ref from campaigns.enrolments join shop.customers using (customer_id) where entered_on = :day order by 1
"""


def test_a_day_in_the_past_orders_by_what_was_known_then(room: Any, shop: Any, write: Any) -> None:
    write("5000 per day", "1 per day")
    first, second = room.customers(2)
    shop.order(first, date(2024, 1, 1))
    shop.order(second, date(2024, 2, 1))
    late = days.known_at(after(10), shop.zone)
    shop.order(first, date(2024, 3, 1), known_at=late)
    room.ready(D)
    shop.publish(after(10))
    steps.run_day(Shop(room.settings, room.engine), "winback", D)
    assert room.values(ENTERED, day=D) == [first]


def test_why_somebody_did_not_enter_is_written_when_the_answer_changes(room: Any, shop: Any, write: Any) -> None:
    write("5000 per day", "1 per day")
    first, second = room.customers(2)
    shop.order(first, date(2024, 1, 1))
    shop.order(second, date(2024, 2, 1))
    room.members([shop.customer("unreachable")], ["winback"])
    room.run_each(D, after(4))
    rows = room.rows(
        "select customer_ref, decided_on, decision, reason from campaigns.decisions "
        "join shop.customers using (customer_id) order by 1, 2"
    )
    assert rows == [
        (first, D, "enrolled", "selected"),
        (second, D, "waits", "entry_limit"),
        (second, after(1), "enrolled", "selected"),
        ("unreachable", D, "refused", "not_in_send_base"),
    ]


def test_three_months_pass_between_two_entries(room: Any, shop: Any) -> None:
    """A9: a customer entered on 30 November may enter again on the last of February, not a day before."""
    [ref] = room.customers(1)
    entered = date(2025, 11, 30)
    room.run(entered)
    shop.order(ref, date(2025, 12, 1))
    room.run(date(2025, 12, 1))
    assert room.run(date(2026, 2, 27))["enrolled"] == 0
    assert room.values("select reason from campaigns.decisions order by decided_on desc limit 1") == ["re_entry"]
    assert room.run(date(2026, 2, 28))["enrolled"] == 1
    assert room.values("select entry_no from campaigns.enrolments order by 1") == [1, 2]


def test_never_means_never(room: Any, shop: Any, write: Any) -> None:
    write("re_entry: 3 months", "re_entry: never")
    [ref] = room.customers(1)
    room.run(D)
    shop.order(ref, after(1))
    room.run(after(1))
    assert room.run(after(4000))["enrolled"] == 0
    assert room.rows("select decision, reason from campaigns.decisions order by decided_on desc limit 1") == [
        ("refused", "re_entry")
    ]


@examples(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    first=st.dates(date(2024, 1, 1), date(2027, 12, 31)),
    gaps=st.lists(st.integers(1, 70), min_size=1, max_size=6),
)
def test_two_entries_are_never_closer_than_three_months(room: Any, first: date, gaps: list[int]) -> None:
    """Whatever days are run, and however soon each entry ended (A9)."""
    for name in (*TABLES, "shop.days", "selections.membership", "shop.customers", "shop.consents"):
        room.execute(f"delete from {name}")
    room.customers(1)
    day = first
    for gap in [0, *gaps]:
        day += timedelta(days=gap)
        room.run(day)
        room.execute(
            "update campaigns.enrolments set exited_on = :day, exit_reason = 'order' where exited_on is null", day=day
        )
    entries = room.values("select entered_on from campaigns.enrolments order by 1")
    assert entries[0] == first
    assert all(later >= earlier + relativedelta(months=3) for earlier, later in itertools.pairwise(entries))


# The control arm


def test_a_greater_share_only_adds_to_the_control_arm(room: Any, write: Any) -> None:
    room.customers(400)
    arms: dict[int, set[str]] = {}
    previous = 0
    for share in (0, 10, 25, 60, 100):
        write(f"control: {previous}%", f"control: {share}%")
        previous = share
        room.ready(D)
        with room.engine.connect() as connection, connection.begin() as transaction:
            its = days.Run(day=D, before={}, watermark=0)
            campaign = definitions.read(room.settings.include, "winback")
            steps._enrol(connection, room.settings, campaign, its, days.known_at(D, room.shop.zone), is_automatic=True)
            arms[share] = set(
                connection.execute(text("select customer_id from campaigns.enrolments where arm = 'control'")).scalars()
            )
            transaction.rollback()
    assert arms[0] < arms[10] < arms[25] < arms[60] < arms[100]
    assert len(arms[100]) == 400
    assert 20 <= len(arms[10]) <= 60


def test_a_household_is_in_one_arm(room: Any, shop: Any, write: Any) -> None:
    write("control: 0%", "control: 50%")
    room.members([shop.customer(f"P{number}", household_ref=f"H{number // 4}") for number in range(80)])
    room.run(D)
    arms = room.rows(
        "select household_ref, count(distinct arm) from campaigns.enrolments "
        "join shop.customers using (customer_id) group by 1"
    )
    assert len(arms) == 20
    assert all(row[1] == 1 for row in arms)
    assert len(room.values("select distinct arm from campaigns.enrolments")) == 2


def test_control_gets_no_message_no_coupon_and_closes_when_the_last_chance_of_the_others_has_passed(
    room: Any, write: Any
) -> None:
    write("control: 0%", "control: 100%")
    room.customers(2)
    counts = room.run_each(D, after(10))
    assert (counts[0]["enrolled"], counts[0]["control"]) == (2, 2)
    assert room.table("delivery.messages") == []
    assert room.table("offers.coupons") == []
    assert room.rows("select distinct exited_on, exit_reason from campaigns.enrolments") == [(after(10), "finished")]


def test_the_arm_is_kept_at_re_entry(room: Any, write: Any) -> None:
    room.customers(1)
    room.run(D)
    room.execute("update campaigns.enrolments set exited_on = entered_on, exit_reason = 'order'")
    write("control: 0%", "control: 100%")
    room.run(after(100))
    assert room.values("select arm from campaigns.enrolments order by entry_no") == ["treated", "treated"]


# Who leaves


@pytest.mark.parametrize("status", ["complete", "pending", "refunded"])
def test_an_order_after_entry_ends_the_enrolment_in_both_arms(room: Any, shop: Any, write: Any, status: str) -> None:
    """A11: no nudge and no final offer follow an order."""
    write("control: 0%", "control: 50%")
    refs = room.customers(8)
    room.run(D)
    for ref in refs:
        shop.order(ref, after(1), status=status)
    assert room.run(after(1))["exited"] == 8
    assert room.rows("select distinct exited_on, exit_reason from campaigns.enrolments") == [(after(1), "order")]
    assert room.run(after(2))["planned"]["nudge"] == 0
    assert room.values("select distinct step from delivery.messages") == ["we_miss_you"]


def test_an_exit_skips_what_was_planned_and_voids_its_coupon(room: Any, shop: Any) -> None:
    [ref] = room.customers(1)
    room.run_each(D, after(1))
    room.sent("we_miss_you", after(1))
    room.run(after(2))
    shop.order(ref, after(3))
    counts = room.run(after(3))
    assert (counts["exited"], counts["skipped"]) == (1, {"order": 1})
    assert room.rows("select step, state, reason, settled_at from delivery.messages order by day") == [
        ("we_miss_you", "accepted", None, room.values("select due_at from delivery.messages order by day")[0]),
        ("nudge", "skipped", "order", days.known_at(after(3), shop.zone)),
    ]
    assert room.values("select state from offers.coupons") == ["void"]


def test_an_old_order_that_becomes_known_after_entry_ends_the_enrolment(room: Any, shop: Any) -> None:
    [ref] = room.customers(1)
    room.run(D)
    shop.order(ref, date(2024, 5, 5), known_at=days.known_at(after(1), shop.zone))
    assert room.run(after(1))["exited"] == 1


@pytest.mark.parametrize(
    ("was", "becomes", "exited"),
    [("pending", "complete", 1), ("complete", "refunded", 0), ("complete", "complete", 0), ("cancelled", "pending", 0)],
)
def test_an_order_known_at_entry_ends_the_enrolment_only_by_becoming_complete(
    room: Any, shop: Any, was: str, becomes: str, exited: int
) -> None:
    [ref] = room.customers(1)
    order_ref = shop.order(ref, date(2024, 5, 5), status=was)
    room.run(D)
    room.execute(
        "insert into shop.orders_history select *, :at from shop.orders", at=days.known_at(after(1), shop.zone)
    )
    room.execute(
        "update shop.orders set status = :becomes, known_at = :at where order_ref = :ref",
        becomes=becomes,
        at=days.known_at(after(1), shop.zone),
        ref=order_ref,
    )
    assert room.run(after(1))["exited"] == exited


def test_a_cancelled_order_does_not_end_the_enrolment(room: Any, shop: Any) -> None:
    [ref] = room.customers(1)
    room.run(D)
    shop.order(ref, after(1), status="cancelled")
    assert room.run(after(1))["exited"] == 0


def test_an_order_that_was_not_yet_known_does_not_end_the_enrolment_of_a_day_in_the_past(room: Any, shop: Any) -> None:
    [ref] = room.customers(1)
    room.run(D)
    shop.order(ref, after(1), known_at=days.known_at(after(3), shop.zone))
    assert [each["exited"] for each in room.run_each(after(1), after(3))] == [0, 0, 1]


@pytest.mark.parametrize(
    ("channel", "reason", "exited"),
    [
        ("email", "unsubscribed", 1),
        ("all", "unsubscribed", 1),
        ("sms", "unsubscribed", 0),
        ("email", "soft_bounce", 0),
    ],
)
def test_who_unsubscribes_leaves(room: Any, channel: str, reason: str, exited: int) -> None:
    [ref] = room.customers(1)
    room.run(D)
    room.suppress(ref, channel, after(1), reason)
    assert room.run(after(1))["exited"] == exited


def test_leaving_the_selection_ends_the_enrolment_only_where_the_campaign_says_so(room: Any, write: Any) -> None:
    [ref] = room.customers(1)
    room.run(D)
    room.leaves(ref, "winback", after(1))
    assert room.run(after(1))["exited"] == 0
    room.execute("delete from campaigns.enrolments")
    room.execute("update selections.membership set left_on = null")
    write("exit_on: [order, unsubscribe]", "exit_on: [order, left_selection]")
    room.run(after(2))
    room.leaves(ref, "winback", after(3))
    assert room.run(after(3))["exited"] == 1
    assert room.values("select exit_reason from campaigns.enrolments") == ["left_selection"]


def test_joining_another_selection_after_the_entry_ends_the_enrolment(room: Any, write: Any) -> None:
    write("exit_on: [order, unsubscribe]", "exit_on: [order, {joined: loyal}]")
    room.members([room.shop.customer(ref) for ref in ("joins", "member", "stays")])
    room.members(["member"], ["loyal"])

    def day(number: int) -> days.Counts:
        room.ready(after(number), "winback", "send_base", "loyal")
        return steps.run_day(Shop(room.settings, room.engine), "winback", after(number))

    assert day(0)["enrolled"] == 3
    room.members(["joins"], ["loyal"], since=after(1))
    assert day(1)["exited"] == 1
    assert room.rows(
        "select c.customer_ref, e.exit_reason from campaigns.enrolments as e join shop.customers as c"
        " using (customer_id) where e.exited_on is not null"
    ) == [("joins", "joined_selection")]


def test_an_order_of_a_category_ends_the_enrolment_and_stops_what_is_planned(room: Any, write: Any) -> None:
    """Lines of coffee have it as their own category, beans by the feed of products; of tea nobody knows."""
    write("exit_on: [order, unsubscribe]", "exit_on: [{order_of: Coffee}]")
    write("  - {step: retarget, day: 3, until_day: 7, channel: audience}\n", "")
    refs = [room.shop.customer(ref) for ref in ("coffee", "beans", "tea", "nothing")]
    room.members(refs)
    room.execute(
        "insert into shop.products (source, product_ref, category, name, currency, updated_at, known_at)"
        " values ('test', 'beans', 'Coffee', 'Beans', 'EUR', '2026-01-01+00', '2026-01-02+00')"
    )
    room.run(D)
    for ref in ("coffee", "beans", "tea"):
        order = room.shop.order(ref, after(1))
        room.execute(
            "insert into shop.order_lines (customer_id, source, order_ref, line_no, product_ref, category, quantity,"
            " unit_price) select o.customer_id, o.source, o.order_ref, 1, :ref, :category, 1, 10"
            " from shop.orders as o where o.order_ref = :order",
            ref=ref,
            order=order,
            category="Coffee" if ref == "coffee" else None,
        )
    room.ready(after(1))
    deliver(
        Shop(room.settings, room.engine), at=days.known_at(after(1), room.settings.shop_time_zone) + timedelta(hours=12)
    )
    got = "select c.customer_ref from delivery.messages as m join shop.customers as c using (customer_id)"
    assert room.values(f"{got} where m.state = 'accepted' order by 1") == ["nothing", "tea"], "the claim knows it too"
    assert room.run(after(1))["exited"] == 2
    assert set(room.values("select exit_reason from campaigns.enrolments where exited_on is not null")) == {"order"}


# What is planned


def test_the_steps_are_planned_on_their_days(room: Any) -> None:
    """E5: e-mail on day 0, SMS on 2, an audience from 3, e-mail on 7; B11: each row has its version and time."""
    room.customers(1, consents=ALL)
    room.run_each(D, after(7))
    version = definitions.read(room.settings.include, "winback").version
    rows = room.rows(
        "select step, channel, day, due_at, expires_at, offer, version, state from delivery.messages order by day"
    )
    amsterdam = ZoneInfo("Europe/Amsterdam")
    assert rows == [
        (
            step,
            channel,
            after(day),
            datetime(2026, 3, 3 + day, 9, tzinfo=amsterdam),
            datetime(2026, 3, 5 + day, 20, tzinfo=amsterdam),
            offer,
            version,
            "planned",
        )
        for step, channel, day, offer in [
            ("we_miss_you", "email", 0, None),
            ("nudge", "sms", 2, "comeback"),
            ("retarget", "audience", 3, None),
            ("final_offer", "email", 7, "final"),
        ]
    ]


@pytest.mark.parametrize(
    ("zone", "due", "expires"),
    [
        ("Europe/Amsterdam", "2026-03-29T07:00", "2026-03-31T18:00"),  # the clock went forward that night
        ("America/New_York", "2026-03-29T13:00", "2026-04-01T00:00"),
        ("Asia/Kolkata", "2026-03-29T03:30", "2026-03-31T14:30"),
        ("Pacific/Auckland", "2026-03-28T20:00", "2026-03-31T07:00"),
        (None, "2026-03-29T07:00", "2026-03-31T18:00"),
    ],
)
def test_a_message_is_due_in_the_customers_own_morning(room: Any, zone: str | None, due: str, expires: str) -> None:
    room.customers(1, time_zone=zone)
    room.run(date(2026, 3, 28))
    [row] = room.rows("select due_at, expires_at from delivery.messages")
    assert row.due_at == datetime.fromisoformat(due).replace(tzinfo=UTC)
    assert row.expires_at == datetime.fromisoformat(expires).replace(tzinfo=UTC)


def test_a_night_without_that_hour_moves_the_message_by_an_hour(room: Any, write: Any) -> None:
    write('["09:00", "20:00"]', '["02:30", "20:00"]')
    room.customers(1)
    room.run(date(2026, 3, 28))
    assert room.values("select due_at from delivery.messages") == [datetime(2026, 3, 29, 1, 30, tzinfo=UTC)]


def test_who_cannot_be_written_to_has_a_row_that_says_why(room: Any, shop: Any) -> None:
    """Who may be written to by mail enters; each later step asks for its own channel."""
    shop.customer("silent", consents=("email",))
    shop.customer("nowhere", phone=None)
    shop.customer("blocked")
    room.suppress("blocked", "sms", D - timedelta(days=9), "invalid_number")
    room.members(["silent", "nowhere", "blocked"])
    entered, _, counts = room.run_each(D, after(2))
    assert entered["enrolled"] == 3
    assert counts["planned"]["nudge"] == 0
    assert counts["skipped"] == {"no_consent": 1, "no_address": 1, "suppressed": 1}
    assert room.rows(
        "select customer_ref, state, reason from delivery.messages join shop.customers using (customer_id)"
        " where step = 'nudge' order by 1"
    ) == [
        ("blocked", "skipped", "suppressed"),
        ("nowhere", "skipped", "no_address"),
        ("silent", "skipped", "no_consent"),
    ]


def test_a_skipped_sms_reserves_no_coupon_and_the_next_step_goes_on(room: Any) -> None:
    room.customers(1, phone=None)
    counts = room.run_each(D, after(7))
    assert counts[2]["skipped"] == {"no_address": 1}
    assert counts[7]["planned"]["final_offer"] == 1
    assert room.values("select offer from offers.coupons") == ["final"]


def test_a_step_whose_day_was_never_published_is_planned_on_the_next(room: Any) -> None:
    room.customers(1)
    room.run_each(D, after(1))
    room.run(after(3))
    room.run(after(4))
    rows = room.rows("select step, day, due_at from delivery.messages where channel <> 'audience' order by day")
    assert [(row.step, row.day) for row in rows] == [("we_miss_you", D), ("nudge", after(3))]
    assert rows[1].due_at == datetime(2026, 3, 5, 9, tzinfo=ZoneInfo("Europe/Amsterdam"))


def test_the_message_key_is_derived_from_what_the_message_is(room: Any) -> None:
    room.customers(1)
    room.run(D)
    [row] = room.rows("select customer_id, message_key from delivery.messages")
    words = "\x1f".join([str(row.customer_id), "winback", "1", "we_miss_you"])
    assert row.message_key == hashlib.sha256(words.encode()).hexdigest()[:32]


def test_codes_are_one_per_offer_stable_and_made_with_the_secret(room: Any) -> None:
    room.customers(60)
    room.run_each(D, after(2))
    rows = room.rows("select * from offers.coupons")
    assert len({row.code for row in rows}) == 60
    signs = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
    for row in rows:
        words = "\x1f".join([str(row.customer_id), "winback", "1", "comeback"])
        digest = hmac.new(room.settings.secret.encode(), words.encode(), hashlib.sha256).digest()
        assert row.code == "".join(signs[byte & 31] for byte in digest[:10])
        assert (row.percent, row.state, row.expires_at, row.reserved_on) == (10, "reserved", None, after(2))


def test_a_long_secret_makes_the_same_codes_as_hmac_does() -> None:
    for secret in ("short", "x" * 64, "long" * 40):
        inner, outer = hmac_pads(secret)
        digest = hashlib.sha256(outer + hashlib.sha256(inner + b"message").digest()).digest()
        assert digest == hmac.new(secret.encode(), b"message", hashlib.sha256).digest()


# When it is over


def test_both_arms_are_inside_until_the_last_message_can_be_sent_no_more(room: Any, write: Any) -> None:
    """Otherwise what was sent would decide who is free for the next campaign."""
    write("control: 0%", "control: 50%")
    room.customers(20)
    for number in range(11):
        room.run(after(number))
        for step in ("we_miss_you", "nudge", "final_offer"):
            room.sent(step, after(number))
    assert {tuple(row) for row in room.rows("select arm, exited_on, exit_reason from campaigns.enrolments")} == {
        ("treated", after(10), "finished"),
        ("control", after(10), "finished"),
    }


def test_what_was_never_sent_is_too_late_and_its_coupon_void(room: Any) -> None:
    """A backfill plans everything and leaves nothing stale behind."""
    room.customers(1, consents=ALL)
    room.run_each(D, after(10))
    assert room.rows("select exited_on, exit_reason from campaigns.enrolments") == [(after(10), "finished")]
    assert room.rows("select distinct state, reason from delivery.messages") == [("skipped", "too_late")]
    assert room.values("select distinct state from offers.coupons") == ["void"]


# Versions


def test_people_inside_keep_the_version_they_entered_under(room: Any, write: Any, shop: Any, include: Path) -> None:
    room.customers(1)
    room.run(D)
    write(
        "{step: nudge, day: 2, channel: sms, offer: comeback, unless: clicked}",
        "{step: nudge, day: 3, channel: sms, offer: comeback, unless: clicked}",
    )
    change(include / "offers" / "comeback.yaml", "percent: 10", "percent: 15")
    room.members([shop.customer("newer")], since=after(1))
    room.run_each(after(1), after(4))
    rows = room.rows(
        "select customer_ref, day, percent from delivery.messages join offers.coupons using (customer_id, campaign, "
        "entry_no, offer) join shop.customers using (customer_id) where step = 'nudge' order by day"
    )
    assert rows == [("C0000", after(2), 10), ("newer", after(4), 15)]
    assert len(room.table("campaigns.versions")) == 2


def test_a_step_taken_out_is_still_planned_for_people_inside(room: Any, write: Any, shop: Any) -> None:
    room.customers(1)
    room.run(D)
    write("  - {step: nudge, day: 2, channel: sms, offer: comeback, unless: clicked}\n", "")
    counts = room.run_each(after(1), after(2))
    assert counts[1]["planned"] == {"we_miss_you": 0, "retarget": 0, "final_offer": 0, "nudge": 1}


def test_a_version_is_kept_with_all_it_consists_of(room: Any) -> None:
    room.customers(1)
    room.run(D)
    campaign = definitions.read(room.settings.include, "winback")
    [row] = room.rows("select * from campaigns.versions")
    assert (row.version, row.first_used_on) == (campaign.version, D)
    assert row.definition["offers"]["final"].items() >= {"percent": 20, "valid_for": "24 hours"}.items()
    assert row.templates == campaign.templates
    assert "layout.html.j2" in row.templates
    assert "select" in row.selection_sql
    assert definitions.parse(row.definition, row.version).steps == campaign.steps


# The test mode, and several campaigns


def test_a_test_run_counts_the_same_and_leaves_nothing(room: Any) -> None:
    """B9: earlier days that are not done are done in the test too, and taken back with it."""
    room.customers(2)
    room.run(D)
    for number in (1, 2):
        room.ready(after(number))
    before = [room.table(name) for name in (*TABLES, "shop.days")]
    tried = steps.run_day(Shop(room.settings, room.engine), "winback", after(2), test=True)
    assert [room.table(name) for name in (*TABLES, "shop.days")] == before
    assert tried["planned"]["nudge"] == 2
    assert tried == steps.run_day(Shop(room.settings, room.engine), "winback", after(2))


def test_two_campaigns_run_side_by_side(room: Any) -> None:
    """A13, B12: a second campaign is one file; neither touches the other's rows."""
    refs = room.customers(2)
    room.members(refs, ["lapsed_30_days"])
    assert room.run(D)["enrolled"] == 2
    assert room.run(D, "lapsed_30_days")["planned"] == {"anything_you_need": 2}
    assert room.rows("select campaign, count(*) from delivery.messages group by 1 order by 1") == [
        ("lapsed_30_days", 2),
        ("winback", 2),
    ]


def test_customer_ids_stay_with_their_namespace(room: Any) -> None:
    """The rows carry the id made of namespace and reference (SCALE rule 1)."""
    [ref] = room.customers(1)
    room.run(D)
    [expected] = room.values("select shop.customer_id(:namespace, :ref)", namespace=NAMESPACE, ref=ref)
    assert room.values("select customer_id from delivery.messages") == [expected]


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("status: live", "status: draft", "the campaign is a draft"),
        ("status: live", "status: ended", "the campaign is ended"),
        ("re_entry: 3 months", "entry: {every: month, on: 15}", "2026-03-02 is no day of its calendar, the last was"),
        ("status: live", "status: live # and nobody is in its selection", "nobody in winback could enter"),
    ],
)
def test_a_day_on_which_nothing_happened_says_why(room: Any, write: Any, old: str, new: str, why: str) -> None:
    write(old, new)
    if not why.startswith("nobody"):
        room.customers(1)
    shop = Shop(room.settings, room.engine)
    assert why in room.run(D)["nothing_to_do"]
    assert why in steps.finish(shop, "winback", D)["nothing_to_do"], "the day's last task says it as well"


def test_a_day_on_which_something_happened_gives_no_reason_for_nothing(room: Any) -> None:
    room.customers(1)
    assert "nothing_to_do" not in room.run(D), "the entry"
    assert "nothing_to_do" in room.run(after(1))
    assert "nothing_to_do" not in room.run(after(2)), "a step"
