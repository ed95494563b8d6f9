"""Steps at hours after the entry: when they are due, over every change of the clocks and every edge of a window."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from retention.campaigns import definitions
from retention.core import days
from retention.core.errors import InputError
from retention.core.shop import Shop
from retention.delivery.worker import deliver

STEPS = """\
  - {step: we_miss_you, day: 0, channel: email}
  - {step: nudge, day: 2, channel: sms, offer: comeback, unless: clicked}
  - {step: retarget, day: 3, until_day: 7, channel: audience}
  - {step: final_offer, day: 7, channel: email, offer: final}
"""
ONE = "  - {{step: we_miss_you, hours: {hours}, channel: email}}\n"
D = date(2026, 3, 27)  # Saturday begins at the midnight that ends it; Europe's clocks go forward on Sunday at one UTC
AUTUMN = date(2026, 10, 23)  # and back on Sunday


def planned(room: Any) -> tuple[datetime, datetime]:
    [(due_at, expires_at)] = room.rows("select due_at, expires_at from delivery.messages where step = 'we_miss_you'")
    return due_at, expires_at


@pytest.mark.parametrize(
    ("entry", "hours", "planned_on", "due", "expires"),
    [
        # Inside the window at once; before it, when it opens; at its last minute still; at its end and after, tomorrow.
        (D, 10, 0, "2026-03-28 10:00", "2026-03-30 20:00"),
        (D, 8, 0, "2026-03-28 09:00", "2026-03-30 20:00"),
        (D, 19, 0, "2026-03-28 19:00", "2026-03-30 20:00"),
        (D, 20, 0, "2026-03-29 09:00", "2026-03-31 20:00"),
        (D, 23, 0, "2026-03-29 09:00", "2026-03-31 20:00"),
        # By every clock: Sunday has 23 hours in spring, and 25 in autumn.
        (D, 24, 0, "2026-03-29 09:00", "2026-03-31 20:00"),
        (D, 36, 1, "2026-03-29 13:00", "2026-03-31 20:00"),
        (D, 48, 1, "2026-03-30 09:00", "2026-04-01 20:00"),
        (D, 60, 2, "2026-03-30 13:00", "2026-04-01 20:00"),
        (AUTUMN, 36, 1, "2026-10-25 11:00", "2026-10-27 20:00"),
        (AUTUMN, 43, 1, "2026-10-25 18:00", "2026-10-27 20:00"),
        (AUTUMN, 48, 1, "2026-10-26 09:00", "2026-10-28 20:00"),  # 23:00 on Sunday, after the window
        (AUTUMN, 60, 2, "2026-10-26 11:00", "2026-10-28 20:00"),
    ],
)
def test_hours_count_from_the_midnight_after_the_entry_by_every_clock(
    room: Any, write: Any, entry: date, hours: int, planned_on: int, due: str, expires: str
) -> None:
    write(STEPS, ONE.format(hours=hours))
    room.customers(1)
    room.run_each(entry, entry + timedelta(days=planned_on))
    zone = room.settings.shop_time_zone
    assert planned(room) == tuple(datetime.fromisoformat(each).replace(tzinfo=zone) for each in (due, expires))


def test_hours_are_those_where_the_customer_is(room: Any, write: Any) -> None:
    write(STEPS, ONE.format(hours=12))
    room.members([room.shop.customer("new york", email="n@shop.example", time_zone="America/New_York", country="US")])
    room.run(D)
    assert planned(room)[0] == datetime(2026, 3, 28, 12, tzinfo=ZoneInfo("America/New_York"))


def test_what_arrives_after_the_hours_of_the_law_goes_out_the_next_day(room: Any, write: Any) -> None:
    """The campaign's window is open until 23:00, but to the United States texts end at 21:00."""
    write(STEPS, ONE.format(hours=22).replace("channel: email", "channel: sms"))
    write('["09:00", "20:00"]', '["09:00", "23:00"]')
    for file in (room.settings.include / "messages" / "winback").glob("we_miss_you.*"):
        file.write_text('{% block text %}Hello. {% include "opt_out.txt.j2" %}{% endblock %}')
    room.members([room.shop.customer("ny", time_zone="America/New_York", country="US")])
    room.run(D)
    assert planned(room)[0] == datetime(2026, 3, 29, 9, tzinfo=ZoneInfo("America/New_York"))


def test_hours_after_another_step_count_from_it(room: Any, write: Any) -> None:
    """Day 2 is the 30th; 36 hours after its midnight is noon of the 31st."""
    write("day: 7, channel: email, offer: final", "hours: 36, after: nudge, channel: email, offer: final")
    write("  - {step: retarget, day: 3, until_day: 7, channel: audience}\n", "")
    room.customers(1)
    room.run_each(D, D + timedelta(days=3))
    [due_at] = room.values("select due_at from delivery.messages where step = 'final_offer'")
    assert due_at == datetime(2026, 3, 31, 12, tzinfo=room.settings.shop_time_zone)


def test_an_enrolment_lasts_until_the_last_hours_and_their_grace_are_over(room: Any, write: Any) -> None:
    write(STEPS, ONE.format(hours=23))
    room.customers(1)
    room.run_each(D, D + timedelta(days=3))
    assert planned(room)[1].date() == date(2026, 3, 31)
    assert room.values("select exited_on from campaigns.enrolments") == [None]
    room.run(D + timedelta(days=4))
    assert room.values("select exited_on from campaigns.enrolments") == [date(2026, 3, 31)]


@pytest.mark.parametrize(
    ("old", "new", "wrong"),
    [
        ("day: 0, channel: email", "channel: email", "line 15: the key 'day' is missing"),
        ("day: 0, channel: email", "day: 0, hours: 3, channel: email", "line 15: a step is told by day or by hours"),
        ("day: 0, channel: email", "hours: 0, channel: email", "line 15: hours is 0; write a number of hours"),
        ("day: 3, until_day", "hours: 80, until_day", "line 17: an audience is for whole days; write day."),
        ("day: 0, channel: email", "hours: 50, channel: email", "line 16: two steps on day 2"),
    ],
)
def test_mistakes_in_hours_are_told(include: Path, write: Any, old: str, new: str, wrong: str) -> None:
    write(old, new)
    with pytest.raises(InputError, match=wrong):
        definitions.read(include, "winback")


@pytest.mark.parametrize(
    ("steps_of_it", "spared"),
    [
        ("{step: we_miss_you, hours: 22, channel: email}", ""),
        ("{step: we_miss_you, day: 0, channel: email}", "\nno_send_on: [2026-03-28]"),
    ],
)
def test_of_two_steps_due_at_one_instant_the_earlier_goes_first(
    room: Any, include: Path, steps_of_it: str, spared: str
) -> None:
    file = include / "campaigns" / "winback.yaml"
    words = file.read_text()
    last = "  - {step: final_offer, day: 1, channel: email, offer: final}"
    file.write_text(words[: words.index("steps:")] + f"steps:\n  - {steps_of_it}\n{last}{spared}\n")
    room.customers(12)
    for number in range(5):
        room.run(D + timedelta(days=number))
        noon = datetime.combine(D + timedelta(days=number + 1), time(12), room.settings.shop_time_zone)
        deliver(Shop(room.settings, room.engine), at=noon)
    found = room.rows(
        "select array_agg(step order by attempted_at) as steps from delivery.messages where state = 'accepted'"
        " group by customer_id"
    )
    assert [row.steps for row in found] == [["we_miss_you", "final_offer"]] * 12


@pytest.mark.parametrize("zone", ["America/Los_Angeles", "America/New_York", "Europe/Amsterdam"])
def test_the_last_evening_is_not_lost_west_of_the_shop(room: Any, include: Path, zone: str) -> None:
    file = include / "campaigns" / "winback.yaml"
    words = file.read_text().replace('["09:00", "20:00"]', '["18:30", "20:00"]\ngrace_days: 0')
    file.write_text(words[: words.index("steps:")] + "steps:\n  - {step: we_miss_you, day: 0, channel: email}\n")
    room.members([room.shop.customer("ada", time_zone=zone, country="US")])
    for number in range(3):
        room.run(D + timedelta(days=number))
        midnight = days.known_at(D + timedelta(days=number), room.settings.shop_time_zone)
        for half in range(48):
            deliver(Shop(room.settings, room.engine), at=midnight + timedelta(minutes=30 * half + 1))
    assert room.values("select state from delivery.messages") == ["accepted"]
    assert room.values("select exit_reason from campaigns.enrolments") == ["finished"]
