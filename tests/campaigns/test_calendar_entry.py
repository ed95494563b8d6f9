"""Entering by calendar and by anniversary: which days those are, and that each occurrence enrols once (B4)."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from retention.campaigns import definitions, steps
from retention.campaigns.calendars import Calendar
from retention.core import days
from retention.core.errors import InputError
from retention.core.shop import Shop

MONDAY = date(2026, 4, 6)  # the first of the second quarter


def of_quarters(write: Any, catch_up: str = "7 days", re_entry: str = "") -> None:
    """winback enters on the first Monday of each quarter."""
    write("re_entry: 3 months", f"entry: {{every: quarter, on: first monday, catch_up: {catch_up}}}\n{re_entry}#")


def entries(room: Any) -> list[tuple[str, date]]:
    """Who entered when, in order."""
    return [
        tuple(row)
        for row in room.rows(
            "select c.customer_ref, e.entered_on from campaigns.enrolments as e join shop.customers as c"
            " using (customer_id) order by e.entered_on, 1"
        )
    ]


# --- arithmetic ------------------------------------------------------------------------------------------------------

OCCURRENCES = [
    ("week", "monday", "2026-12-28", "2026-12-27", "2026-12-21"),  # over the end of a year: ISO week 53
    ("week", "sunday", "2027-01-03", "2027-01-02", "2026-12-27"),
    ("week", "wednesday", "2028-03-01", "2028-02-29", "2028-02-23"),
    ("month", "first monday", "2026-06-01", "2026-05-31", "2026-05-04"),  # the first is a Monday
    ("month", "first sunday", "2026-02-01", "2026-01-31", "2026-01-04"),
    ("month", "fourth friday", "2026-02-27", "2026-02-26", "2026-01-23"),
    ("month", "last friday", "2026-07-31", "2026-07-30", "2026-06-26"),  # the last day is a Friday
    ("month", "last sunday", "2026-02-22", "2026-02-21", "2026-01-25"),
    ("month", "1", "2027-01-01", "2026-12-31", "2026-12-01"),
    ("month", "15", "2026-03-15", "2026-03-14", "2026-02-15"),
    ("month", "29", "2027-02-28", "2027-02-27", "2027-01-29"),
    ("month", "30", "2028-02-29", "2028-02-28", "2028-01-30"),
    ("month", "31", "2026-04-30", "2026-04-29", "2026-03-31"),
    ("quarter", "first monday", "2026-04-06", "2026-04-05", "2026-01-05"),
    ("quarter", "first monday", "2027-01-04", "2027-01-03", "2026-10-05"),
    ("quarter", "last friday", "2026-06-26", "2026-06-25", "2026-03-27"),
    ("quarter", "last thursday", "2026-12-31", "2026-12-30", "2026-09-24"),
    ("year", "12-01", "2026-12-01", "2026-11-30", "2025-12-01"),
    ("year", "01-01", "2027-01-01", "2026-12-31", "2026-01-01"),
    ("year", "12-31", "2026-12-31", "2026-12-30", "2025-12-31"),
    ("year", "02-29", "2028-02-29", "2028-02-28", "2027-02-28"),
    ("year", "02-29", "2027-02-28", "2027-02-27", "2026-02-28"),
    ("year", "02-29", "2029-02-28", "2029-02-27", "2028-02-29"),
]


@pytest.mark.parametrize(("every", "on", "first", "eve", "before"), OCCURRENCES)
def test_an_occurrence_begins_on_its_day_and_holds_until_the_eve_of_the_next(
    every: str, on: str, first: str, eve: str, before: str
) -> None:
    calendar = Calendar(every=every, on=on)
    assert calendar.newest(date.fromisoformat(first)) == date.fromisoformat(first)
    assert calendar.newest(date.fromisoformat(eve)) == date.fromisoformat(before)


@pytest.mark.parametrize(
    ("every", "on", "years"),
    [("week", "friday", 52), ("month", "31", 12), ("month", "last monday", 12), ("quarter", "third tuesday", 4)],
)
def test_each_week_month_and_quarter_has_one_occurrence(every: str, on: str, years: int) -> None:
    calendar, first = Calendar(every=every, on=on), date(2024, 1, 1)
    found = {calendar.newest(first + timedelta(days=number)) for number in range(4 * 365 + 1)}
    in_full_years = [day for day in found if day >= first]
    assert len(in_full_years) in (4 * years, 4 * years + 1)  # four years have 208 weeks and five days
    if every != "week":
        months = {(day.year, (day.month - 1) // (12 // years)) for day in in_full_years}
        assert len(months) == len(in_full_years) == 4 * years


# --- a shop's days ---------------------------------------------------------------------------------------------------


def test_a_calendar_enrols_on_its_day_alone_and_leaves_decisions_alone_on_others(room: Any, write: Any) -> None:
    of_quarters(write)
    room.members([room.shop.customer("ada")])
    assert [each["enrolled"] for each in room.run_each(MONDAY - timedelta(days=2), MONDAY - timedelta(days=1))] == [
        0,
        0,
    ]
    assert room.values("select count(*) from campaigns.decisions") == [0]
    assert room.run(MONDAY)["enrolled"] == 1
    room.members([room.shop.customer("late")], since=MONDAY + timedelta(days=1))
    assert [each["enrolled"] for each in room.run_each(MONDAY + timedelta(days=1), MONDAY + timedelta(days=9))] == [
        0
    ] * 9
    assert room.values("select decided_on from campaigns.decisions") == [MONDAY]
    assert entries(room) == [("ada", MONDAY)]


@pytest.mark.parametrize(("late", "enrolled"), [(1, 1), (7, 1), (8, 0)])
def test_a_missed_occurrence_is_caught_up_inside_its_days_once(room: Any, write: Any, late: int, enrolled: int) -> None:
    of_quarters(write)
    room.members([room.shop.customer("ada")])
    first = MONDAY + timedelta(days=late)
    room.run(MONDAY - timedelta(days=1))  # the first Monday itself is never published
    assert room.run(first)["enrolled"] == enrolled
    assert entries(room) == [("ada", first)] * enrolled, "as of its own day"
    room.execute("update campaigns.enrolments set exited_on = entered_on, exit_reason = 'order'")
    room.members([room.shop.customer("bob")])
    assert room.run(first + timedelta(days=1))["enrolled"] == 0, "neither again nor anybody else"


def test_without_catch_up_a_missed_occurrence_is_over(room: Any, write: Any) -> None:
    of_quarters(write, catch_up="0 days")
    room.members([room.shop.customer("ada")])
    assert room.run(MONDAY + timedelta(days=1))["enrolled"] == 0


@pytest.mark.parametrize(("re_entry", "again"), [("", 1), ("re_entry: never\n", 0)])
def test_the_next_occurrence_takes_in_again_unless_never(room: Any, write: Any, re_entry: str, again: int) -> None:
    """First Mondays of quarters lie under three months apart: 2026-07-06 and 2026-10-05."""
    of_quarters(write, re_entry=re_entry)
    room.members([room.shop.customer("ada")])
    assert room.run(date(2026, 7, 6))["enrolled"] == 1
    room.execute("update campaigns.enrolments set exited_on = entered_on, exit_reason = 'order'")
    assert room.run(date(2026, 7, 6))["enrolled"] == 1, "once per occurrence, however often it is run"
    assert entries(room) == [("ada", date(2026, 7, 6))]
    assert room.run(date(2026, 10, 5))["enrolled"] == again


def test_an_occurrence_computed_again_adds_who_came_and_a_late_day_takes_in_nobody_twice(room: Any, write: Any) -> None:
    of_quarters(write)
    room.members([room.shop.customer("ada")])
    room.run(MONDAY)
    room.execute("update campaigns.enrolments set exited_on = entered_on, exit_reason = 'order'")
    room.members([room.shop.customer("bob")])
    write("about: Customers", "about: All customers")  # the newest day is computed again
    assert room.run(MONDAY)["enrolled"] == 2
    assert entries(room) == [("ada", MONDAY), ("bob", MONDAY)]


@pytest.mark.parametrize(
    ("entered_on", "send_id", "enrolled"),
    [
        (date(2026, 3, 30), "by hand", 0),  # a week before the occurrence
        (date(2026, 1, 5), "by hand", 0),  # on the one before
        (date(2026, 1, 4), "by hand", 1),
        (date(2026, 3, 30), None, 1),
    ],
)
def test_a_send_by_hand_takes_the_place_of_the_next_occurrence(
    room: Any, write: Any, entered_on: date, send_id: str | None, enrolled: int
) -> None:
    of_quarters(write)
    room.members([room.shop.customer("ada")])
    room.execute(
        "insert into campaigns.enrolments (customer_id, campaign, entry_no, version, arm, entered_on, exited_on,"
        " exit_reason, send_id) select customer_id, 'winback', 1, 'v', 'treated', :day, :day, 'finished', :send_id"
        " from shop.customers",
        day=entered_on,
        send_id=send_id,
    )
    assert room.run(MONDAY)["enrolled"] == enrolled


# --- anniversaries ---------------------------------------------------------------------------------------------------


def by_anniversary(write: Any) -> None:
    """winback enters on the anniversary of the registration."""
    write("re_entry: 3 months", "entry: {anniversary_of: registered_at}")


def registered(room: Any, **instants: datetime) -> None:
    room.members([room.shop.customer(ref, registered_at=at) for ref, at in instants.items()])


def test_an_anniversary_enrols_members_of_the_selection_on_their_day_each_year(room: Any, write: Any) -> None:
    by_anniversary(write)
    noon = datetime(2025, 4, 6, 12, tzinfo=UTC)
    registered(room, ada=noon, eve=noon - timedelta(days=1), next=noon + timedelta(days=1))
    room.shop.customer("outside", registered_at=noon)
    room.shop.customer("nobody", registered_at=None)
    room.members(["nobody"])
    room.run(date(2025, 4, 6))
    assert entries(room) == [], "the day itself is no anniversary"
    room.run(MONDAY)
    assert entries(room) == [("ada", MONDAY)]
    room.run(MONDAY + timedelta(days=1))
    assert entries(room)[1:] == [("next", MONDAY + timedelta(days=1))]
    assert room.values("select count(*) from campaigns.decisions") == [2], "nobody else was asked about"
    room.execute("update campaigns.enrolments set exited_on = entered_on, exit_reason = 'order'")
    assert room.run(date(2027, 4, 6))["enrolled"] == 1
    assert entries(room)[2:] == [("ada", date(2027, 4, 6))]


def test_an_anniversary_is_once_a_year_also_where_the_date_is_corrected(room: Any, write: Any) -> None:
    by_anniversary(write)
    registered(room, ada=datetime(2025, 4, 6, 12, tzinfo=UTC))
    room.run(MONDAY)
    room.execute(
        "update campaigns.enrolments set exited_on = entered_on, exit_reason = 'order';"
        "update shop.customers set registered_at = registered_at + interval '30 days'"
    )
    assert room.run(MONDAY + timedelta(days=30))["enrolled"] == 0
    assert room.values("select reason from campaigns.decisions order by decided_on") == ["selected", "re_entry"]


@pytest.mark.parametrize(
    ("day", "who"),
    [
        (date(2027, 2, 27), []),
        (date(2027, 2, 28), ["eve", "leap"]),
        (date(2027, 3, 1), ["march"]),
        (date(2028, 2, 28), ["eve"]),
        (date(2028, 2, 29), ["leap"]),
        (date(2028, 3, 1), ["march"]),
    ],
)
def test_the_29th_of_february_is_the_28th_in_other_years(room: Any, write: Any, day: date, who: list[str]) -> None:
    by_anniversary(write)
    leap = datetime(2024, 2, 29, 12, tzinfo=UTC)
    registered(room, leap=leap, eve=leap - timedelta(days=1), march=leap + timedelta(days=1))
    room.run(day)
    assert [ref for ref, _ in entries(room)] == who


@pytest.mark.parametrize("day", [date(2026, 3, 29), date(2026, 10, 25)])
def test_daylight_saving_moves_no_anniversary(room: Any, write: Any, day: date) -> None:
    """The shop's zone has 23 and 25 hours on these days; what counts is the date there, not in UTC."""
    by_anniversary(write)
    zone = room.settings.shop_time_zone
    assert days.known_at(day, zone).utcoffset() != days.starts_at(day, zone).utcoffset()
    midnight = days.starts_at(day.replace(year=day.year - 1), zone)
    registered(
        room,
        first=midnight,
        before=midnight - timedelta(seconds=1),
        last=midnight + timedelta(days=1) - timedelta(seconds=1),
        after=midnight + timedelta(days=1),
    )
    room.run(day)
    assert [ref for ref, _ in entries(room)] == ["first", "last"]


def test_a_test_run_of_a_calendar_campaign_enrols_as_its_day_would(room: Any, write: Any) -> None:
    of_quarters(write)
    write("status: live", "status: draft")
    room.members([room.shop.customer("ada")])
    for day, enrolled in ((MONDAY, 1), (MONDAY + timedelta(days=1), 0)):
        room.run(day)
        assert steps.run_day(Shop(room.settings, room.engine), "winback", day, test=True)["enrolled"] == enrolled


# --- mistakes --------------------------------------------------------------------------------------------------------

MISTAKES = [
    (
        "{every: quarter, on: first monday}\nre_entry: 3 months",
        'line 8: re_entry is "3 months", but `entry` is once per',
    ),
    ("{every: quarter, on: first monday}\nre_entry: 90 days", 'line 8: re_entry is "90 days", but `entry` is once per'),
    ("{anniversary_of: registered_at}\nre_entry: 12 months", 'line 8: re_entry is "12 months", but `entry` is'),
    ("{every: quarter, on: monday}", 'line 7: on is "monday"; beside `every: quarter` write a weekday like first mon'),
    ("{every: quarter, on: 15}", "line 7: on is 15; beside `every: quarter` write a weekday like first monday"),
    ("{every: week, on: first monday}", 'line 7: on is "first monday"; beside `every: week` write a weekday like mon'),
    ("{every: month, on: 12-01}", 'line 7: on is "12-01"; beside `every: month` write a weekday like first monday or'),
    ("{every: month, on: 32}", "line 7: on is 32; write a day like monday, first monday, last friday, 15 or 12-01."),
    ("{every: month, on: fifth monday}", 'line 7: on is "fifth monday"; write a day like monday, first monday, last'),
    ("{every: year, on: 02-30}", 'line 7: on is "02-30"; beside `every: year` write a month and a day like 12-01.'),
    ("{every: year, on: 1}", "line 7: on is 1; beside `every: year` write a month and a day like 12-01."),
    ("{every: decade, on: monday}", 'line 7: every is "decade"; write week, month, quarter or year.'),
    ("{every: week}", "line 7: the key 'on' is missing; write a day like {every: week, on: monday}."),
    ("{on: monday}", "line 7: the key 'every' is missing; write a day like {every: week, on: monday}."),
    ("{every: week, on: monday, catch_up: a week}", 'line 7: catch_up is "a week"; write a number of days, like \'7'),
    ("{anniversary_of: registered_at, on: monday}", "line 7: on belongs to a calendar, not to an anniversary"),
    ("{anniversary_of: registered_at, catch_up: 7 days}", "line 7: catch_up belongs to a calendar, not to an anniver"),
    ("{anniversary_of: birthday}", 'line 7: anniversary_of is "birthday"; write registered_at.'),
    (
        "every monday",
        'line 7: entry is "every monday"; write {every: quarter, on: first monday} or {anniversary_of: re',
    ),
]


@pytest.mark.parametrize(("entry", "message"), MISTAKES, ids=[each[0] for each in MISTAKES])
def test_a_mistake_in_an_entry_is_named_with_its_line(include: Any, write: Any, entry: str, message: str) -> None:
    write("re_entry: 3 months", f"entry: {entry}\n#")
    with pytest.raises(InputError) as caught:
        definitions.read(include, "winback")
    assert message in str(caught.value)


def test_without_an_entry_there_is_a_re_entry(include: Any, write: Any) -> None:
    write("re_entry: 3 months", "#")
    with pytest.raises(InputError, match="line 2: the key 're_entry' is missing: how long after an entry"):
        definitions.read(include, "winback")
