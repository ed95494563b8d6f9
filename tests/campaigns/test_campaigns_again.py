"""A campaign's day that is asked again: what was acted on stays, entrants come in, exits end the rest (DESIGN 3)."""

from __future__ import annotations

import re
from datetime import date, timedelta
from typing import Any

import pytest
from house import D as TODAY
from house import House

from retention.campaigns import steps
from retention.core import days
from retention.core.errors import InputError
from retention.core.shop import Shop
from retention.delivery import worker
from retention.selections import refresh
from shop import dump

D = date(2026, 3, 2)
ARMS = (
    "select c.customer_ref, e.arm, e.entered_on from campaigns.enrolments as e"
    " join shop.customers as c using (customer_id) order by 1"
)


def after(number: int) -> date:
    return D + timedelta(days=number)


def test_a_day_asked_again_adds_entrants_and_redraws_nobody(room: Any, shop: Any, write: Any) -> None:
    refs = room.customers(3)
    first = room.run(D)
    write("control: 0%", "control: 100%")
    for ref in refs:
        room.leaves(ref, "winback", D)
    room.members([shop.customer("newer")])
    again = room.run(D)
    assert (first["enrolled"], again["enrolled"], again["control"]) == (3, 4, 1)
    assert again["again"] == "what it is made by has changed"
    assert room.rows(ARMS) == [*((ref, "treated", D) for ref in refs), ("newer", "control", D)]
    assert room.rows(
        "select customer_ref, reason from campaigns.decisions join shop.customers using (customer_id)"
        " where customer_ref = 'newer'"
    ) == [("newer", "control")]


def test_the_limit_of_a_day_holds_however_often_it_is_asked(room: Any, shop: Any, write: Any) -> None:
    write("5000 per day", "2 per day")
    room.customers(2)
    room.run(D)
    room.members([shop.customer("newer")])
    assert room.run(D)["enrolled"] == 2
    assert room.values("select reason from campaigns.decisions where decision = 'waits'") == ["entry_limit"]
    write("2 per day", "3 per day")
    assert room.run(D)["enrolled"] == 3
    assert room.values("select reason from campaigns.decisions where decision = 'waits'") == []


def test_planned_messages_are_decided_again_and_what_was_sent_stays(room: Any) -> None:
    first, second, third = room.customers(3)
    assert room.run(D)["planned"]["we_miss_you"] == 3
    room.execute(
        "update delivery.messages set state = 'accepted', attempts = 1, claim = gen_random_uuid(), "
        "attempted_at = due_at, settled_at = due_at where customer_id = shop.customer_id('test', :ref)",
        ref=first,
    )
    for ref in (first, second):
        room.suppress(ref, "email", D - timedelta(days=1), "hard_bounce")
    again = room.run(D)
    assert (again["planned"]["we_miss_you"], again["skipped"]) == (2, {"suppressed": 1})
    assert room.rows(
        "select customer_ref, state, reason from delivery.messages join shop.customers using (customer_id) order by 1"
    ) == [
        (first, "accepted", None),
        (second, "skipped", "suppressed"),
        (third, "planned", None),
    ]


def test_the_code_of_a_message_that_is_not_planned_after_all_is_void(room: Any) -> None:
    [ref] = room.customers(1)
    room.run_each(D, after(2))
    assert room.values("select state from offers.coupons") == ["reserved"]
    room.suppress(ref, "sms", after(1), "hard_bounce")
    again = room.run(after(2))
    assert (again["planned"]["nudge"], again["skipped"]) == (0, {"suppressed": 1})
    assert room.values("select state from offers.coupons") == ["void"]


def test_a_late_order_that_came_after_the_entry_ends_it_though_both_are_of_one_midnight(room: Any, shop: Any) -> None:
    """A11: it is known from the midnight after the newest published day, which is the one at which they entered."""
    early, late = room.customers(2)
    shop.order(early, date(2024, 5, 5), known_at=days.known_at(D, shop.zone))
    assert room.run(D)["enrolled"] == 2
    shop.order(late, date(2024, 5, 5), known_at=days.known_at(D, shop.zone))
    again = room.run(D)
    assert (again["exited"], again["skipped"]) == (1, {"order": 1})
    assert room.rows(
        "select customer_ref, exit_reason from campaigns.enrolments join shop.customers using (customer_id) order by 1"
    ) == [(early, None), (late, "order")]


def test_a_late_order_stops_the_message_that_was_planned(house: Any) -> None:
    house.shop.publish(D)
    refresh.select(Shop(house.settings, house.engine), D)
    steps.run_day(Shop(house.settings, house.engine), "winback", D)
    house.shop.order("ada", date(2024, 5, 5), known_at=days.known_at(D, house.shop.zone))
    worker.replay(Shop(house.settings, house.engine), D)
    assert house.rows("select state, reason from delivery.messages") == [("skipped", "order")]


def test_an_older_day_stands_whatever_has_changed(room: Any, write: Any, shop: Any) -> None:
    room.customers(1)
    first = room.run(D)
    room.run(after(1))
    write("control: 0%", "control: 100%")
    room.members([shop.customer("newer")])
    assert steps.run_day(Shop(room.settings, room.engine), "winback", D) == first
    assert len(room.rows(ARMS)) == 1


def test_the_same_day_asked_again_changes_nothing(room: Any) -> None:
    room.customers(2)
    first = room.run(D)
    before = dump(room.engine)
    assert steps.run_day(Shop(room.settings, room.engine), "winback", D) == first
    assert dump(room.engine) == before


def test_a_day_that_is_not_published_is_refused(room: Any) -> None:
    room.customers(1)
    room.run(D)
    for test in (False, True):
        with pytest.raises(InputError, match=f"the newest published day is {D}"):
            steps.run_day(Shop(room.settings, room.engine), "winback", after(3), test=test)
    assert room.values("select day from shop.days where day > :day", day=D) == []


def test_a_dry_run_shows_who_would_enter_leave_and_stay_and_writes_nothing(room: Any, shop: Any, write: Any) -> None:
    write("5000 per day", "14 per day")
    inside = room.customers(2)
    room.run(D)
    shop.order(inside[0], after(1))
    room.members([shop.customer(f"N{number:02}") for number in range(15)])
    room.members([shop.customer("unreachable")], ["winback"])
    room.ready(after(1))
    before = dump(room.engine)
    for _ in range(2):
        found = steps.rehearse(Shop(room.settings, room.engine), "winback", after(1))
        assert (found["enrolled"], found["exited"], found["planned"]["we_miss_you"]) == (14, 1, 14)
        assert found["entered"] == {"customers": 14, "sample": found["entered"]["sample"]}
        assert len(found["entered"]["sample"]) == 10
        assert found["left"] == {"customers": 1, "sample": [inside[0]]}
        assert found["same"] == 1
        assert found["excluded"] == {"entry_limit": 1, "not_in_send_base": 1}
        assert dump(room.engine) == before
    done = steps.run_day(Shop(room.settings, room.engine), "winback", after(1))
    assert {key: found[key] for key in done} == done
    shown = steps.rehearse(Shop(room.settings, room.engine), "winback", after(1))
    assert (shown["entered"]["customers"], shown["left"]["customers"], shown["same"]) == (0, 0, 15)


def test_a_test_run_works_on_any_published_day(house: Any) -> None:
    """One older than the newest day done, and days that its selection never did, or has not done yet."""
    house.shop.publish(D - timedelta(days=1))
    house.run(D, after(1))
    house.shop.publish(after(2))
    house.shop.publish(after(3))
    before = dump(house.engine)
    for day, enrolled in ((after(-1), 0), (D, 1), (after(3), 0)):
        counts = steps.run_day(Shop(house.settings, house.engine), "winback", day, test=True)
        assert counts.keys() - {"nothing_to_do"} == {"enrolled", "control", "exited", "planned", "skipped"}
        assert counts["enrolled"] == enrolled
    assert dump(house.engine) == before


def test_changed_law_is_asked_again_by_the_selection_and_by_entry_alike(house: House) -> None:
    house.shop.customer("eva", consents=())  # neither yes nor no
    house.shop.order("eva", TODAY - timedelta(days=500))
    house.shop.publish(TODAY)
    shop = Shop(house.settings, house.engine)
    refresh.select(shop, TODAY)
    rules = house.settings.include / "rules.csv"
    written = rules.read_text()
    rules.write_text(re.sub(r"^NL,email,\w+,", "NL,email,legitimate_interest,", written, flags=re.MULTILINE))
    assert rules.read_text() != written
    assert refresh.rehearse(shop, TODAY, ["send_base"])["send_base"]["entered"]["sample"] == ["eva"]
    assert refresh.select(shop, TODAY)["send_base"]["again"] == days.MADE_OTHERWISE
    assert "eva" in set(refresh.members(shop, "send_base", TODAY))
    assert steps.run_day(shop, "winback", TODAY)["enrolled"] == 2
