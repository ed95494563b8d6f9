"""The days on which a campaign enrols by calendar: every Monday, the first Monday of each quarter, every 1 December.

Arithmetic of dates alone, so that no clock and no daylight saving can matter. Weeks are those of ISO 8601 and begin on
Monday. What a month does not have falls on its last day: the 31st on 30 April, 29 February on 28 February.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date

from dateutil.relativedelta import FR, MO, SA, SU, TH, TU, WE, relativedelta

_WEEKDAYS = dict(
    zip("monday tuesday wednesday thursday friday saturday sunday".split(), (MO, TU, WE, TH, FR, SA, SU), strict=True)
)
_PLACES = {"first": 1, "second": 2, "third": 3, "fourth": 4, "last": -1}
_LENGTHS = {
    "week": relativedelta(weeks=1),
    "month": relativedelta(months=1),
    "quarter": relativedelta(months=3),
    "year": relativedelta(years=1),
}
# What `on` may be beside each `every`.
FORMS = {
    "week": "a weekday like monday",
    "month": "a weekday like first monday or last friday, or a day from 1 to 31",
    "quarter": "a weekday like first monday or last friday",
    "year": "a month and a day like 12-01",
}


@dataclass(frozen=True, kw_only=True)
class Calendar:
    """One occurrence in every week, month, quarter or year. Raises ValueError where `on` is no day of that."""

    every: str  # week, month, quarter, year
    on: str  # monday; first monday, last friday; 15; 12-01
    catch_up: int = 0  # days after an occurrence whose own day was never published

    def __post_init__(self) -> None:
        _into(self.every, self.on)

    def newest(self, day: date) -> date:
        """The newest occurrence on `day` or before it."""
        start, into = _start(self.every, day), _into(self.every, self.on)
        this: date = start + into
        before: date = start - _LENGTHS[self.every] + into
        return this if this <= day else before


def _start(every: str, day: date) -> date:
    """The first day of the week, month, quarter or year that `day` is in."""
    start: date = {
        "week": lambda: day + relativedelta(weekday=MO(-1)),
        "month": lambda: day + relativedelta(day=1),
        "quarter": lambda: day + relativedelta(months=-((day.month - 1) % 3), day=1),
        "year": lambda: day + relativedelta(month=1, day=1),
    }[every]()
    return start


def _into(every: str, on: str) -> relativedelta:
    """How far the occurrence is into a week, month, quarter or year. Raises ValueError for a day that it never has."""
    place, _, weekday = on.rpartition(" ")
    if every == "week" and on in _WEEKDAYS:
        return relativedelta(weekday=_WEEKDAYS[on])
    if every in ("month", "quarter") and place in _PLACES and weekday in _WEEKDAYS:
        is_last = {"months": 2 if every == "quarter" else 0, "day": 31} if place == "last" else {}
        return relativedelta(**is_last, weekday=_WEEKDAYS[weekday](_PLACES[place]))
    if every == "month" and re.fullmatch("[1-9][0-9]?", on) and int(on) <= 31:
        return relativedelta(day=int(on))
    if every == "year" and re.fullmatch("[0-9]{2}-[0-9]{2}", on):
        in_leap_year = date.fromisoformat(f"2000-{on}")
        return relativedelta(month=in_leap_year.month, day=in_leap_year.day)
    raise ValueError(on)
