"""Days on which a campaign sends nothing: dates, and the public holidays of a customer's country."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import Any

import pytest

from retention.contact import holidays
from retention.core.shop import Shop
from retention.delivery.worker import deliver

D = date(2026, 3, 2)  # entry; the first step's own date is the 3rd
WINDOW = 'send_between: ["09:00", "20:00"]'


def march(day: int, hour: int, room: Any) -> datetime:
    return datetime.combine(date(2026, 3, day), time(hour), room.settings.shop_time_zone)


def times(room: Any) -> dict[str, tuple[datetime, datetime]]:
    """When each customer's first message is due and expires."""
    return {
        ref: (due_at, expires_at)
        for ref, due_at, expires_at in room.rows(
            "select c.customer_ref, m.due_at, m.expires_at from delivery.messages as m"
            " join shop.customers as c using (customer_id) where m.step = 'we_miss_you'"
        )
    }


def state(room: Any, step: str = "we_miss_you") -> list[tuple[Any, ...]]:
    return [
        tuple(row)
        for row in room.rows("select state, reason, retry_at from delivery.messages where step = :step", step=step)
    ]


def spare(write: Any, *days: str) -> None:
    write(WINDOW, f"{WINDOW}\nno_send_on: [{', '.join(days)}]")


def test_due_and_expiry_shift_past_days_on_which_nothing_is_sent(room: Any, write: Any) -> None:
    spare(write, "2026-03-03", "2026-03-06")
    room.customers(1)
    room.run(D)
    [(due_at, expires_at)] = times(room).values()
    assert due_at == march(4, 9, room), "the 3rd is spared"
    assert expires_at == march(7, 20, room), "two days of grace are the 5th and the 7th"


def test_the_claim_sends_nothing_on_such_a_day(room: Any, write: Any) -> None:
    spare(write, "2026-03-04", "2026-03-05")
    room.customers(1)
    room.run(D)
    for day, expected in (
        (4, ("planned", "no_send_day", march(6, 9, room))),
        (5, ("planned", "no_send_day", march(6, 9, room))),
        (6, ("accepted", None, None)),
    ):
        room.ready(date(2026, 3, day - 1))
        deliver(Shop(room.settings, room.engine), at=march(day, 12, room))
        assert state(room) == [expected], day


def test_public_holidays_are_those_of_the_customers_own_country_or_of_the_one_that_is_named(
    room: Any, write: Any
) -> None:
    """24 December is a holiday in Poland and the 25th and 26th in all three; a country unknown has none."""
    spare(write, "public holidays")
    refs = [room.shop.customer(str(country), country=country) for country in ("PL", "NL", "GR", None)]
    room.members(refs)
    room.run(date(2026, 12, 23))
    assert {ref: due_at.day for ref, (due_at, _) in times(room).items()} == {"PL": 27, "NL": 24, "GR": 24, "None": 24}
    assert {ref: expires_at.day for ref, (_, expires_at) in times(room).items()} == {
        "PL": 29,
        "NL": 28,
        "GR": 28,
        "None": 26,
    }
    write("[public holidays]", "[public holidays in PL]")
    room.members([room.shop.customer("later", country="NL")], since=date(2026, 12, 24))
    room.run(date(2026, 12, 24))
    assert times(room)["later"][0].day == 27


def test_holidays_of_next_year_are_there_before_it_begins(room: Any, write: Any) -> None:
    spare(write, "public holidays")
    room.customers(1)
    room.run(date(2026, 12, 31))
    assert [due_at.date() for due_at, _ in times(room).values()] == [date(2027, 1, 2)]


def test_both_arms_stay_until_the_last_message_can_be_sent_no_more(room: Any, write: Any) -> None:
    """The last step is on day 7: 10 March, with two days of grace, and 9 to 11 March are spared: until the 14th."""
    write("control: 0%", "control: 50%")
    spare(write, *(f"2026-03-{day:02}" for day in (9, 10, 11)))
    room.customers(20)
    for number in range(12):
        room.run(D + timedelta(days=number))
    assert room.values("select count(*) from campaigns.enrolments where exited_on is not null") == [0]
    room.run(date(2026, 3, 14))
    assert dict(
        room.rows("select arm, count(*) > 0 from campaigns.enrolments where exited_on = '2026-03-14' group by 1")
    ) == {
        "control": True,
        "treated": True,
    }
    assert room.values("select max(expires_at) from delivery.messages where step = 'final_offer'") == [
        march(14, 20, room)
    ]


def test_an_audience_is_no_message(room: Any, write: Any) -> None:
    spare(write, *(f"2026-03-{day:02}" for day in range(3, 14)))
    room.customers(1)
    for number in range(4):
        room.run(D + timedelta(days=number))
    [due_at] = room.values("select due_at from delivery.messages where channel = 'audience'")
    assert due_at == march(6, 9, room)


@pytest.mark.parametrize(
    ("word", "wrong"),
    [("2026-02-30", "no day of the calendar"), ("public holidays in XX", "nobody lists the holidays of 'XX'")],
)
def test_what_no_calendar_knows_is_refused(word: str, wrong: str) -> None:
    assert wrong in str(holidays.problem(word))
