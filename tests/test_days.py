from datetime import UTC, date, datetime

import pytest
from sqlalchemy import Engine

from retention.core import days
from retention.core.errors import InputError, StateError

A = days.Part("selections", "a")


def publish(engine: Engine, *published: str) -> None:
    with engine.begin() as connection:
        for day in published:
            days.Part("orders", "shop").record(connection, days.parse(day), "done")


def test_a_skipped_day_is_caught_up_first_and_a_done_day_returns_what_it_counted(engine: Engine) -> None:
    publish(engine, "2026-11-01", "2026-11-02", "2026-11-03")
    did: list[date] = []

    def do(connection: object, its: days.Run) -> days.Counts:
        did.append(its.day)
        return {"number": len(did)}

    assert A.run(engine, date(2026, 11, 1), do) == {"number": 1}
    assert A.run(engine, date(2026, 11, 3), do) == {"number": 3}
    assert did == [date(2026, 11, 1), date(2026, 11, 2), date(2026, 11, 3)]
    assert A.run(engine, date(2026, 11, 2), do) == {"number": 2}
    assert len(did) == 3


def test_a_failed_day_is_recorded_and_done_by_the_next_run(engine: Engine) -> None:
    publish(engine, "2026-11-01", "2026-11-02")
    broken = True

    def do(connection: object, its: days.Run) -> days.Counts:
        if broken:
            raise StateError("broken on purpose")
        return {"day": its.day.isoformat()}

    with pytest.raises(StateError, match="on purpose"):
        A.run(engine, date(2026, 11, 1), do)
    broken = False
    A.run(engine, date(2026, 11, 2), do)
    with engine.connect() as connection:
        done = A.done(connection, date(2026, 11, 1))
        assert done is not None
        assert done.counts == {"day": "2026-11-01"}


def test_a_day_before_the_newest_done_day_is_refused(engine: Engine) -> None:
    publish(engine, "2026-11-02")
    A.run(engine, date(2026, 11, 2), lambda c, d: {})
    publish(engine, "2026-11-01")
    with pytest.raises(StateError, match="2026-11-02 is already done"):
        A.run(engine, date(2026, 11, 1), lambda c, d: {})


@pytest.mark.parametrize("text", ["2026-2-1", "yesterday", "2026-02-30", "", "20261121", "2026-11-21x"])
def test_what_is_not_an_iso_day_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="is not a day"):
        days.parse(text)


@pytest.mark.parametrize(
    "written",
    ["2026-W47-5", "20261121", "2026-11-2", "2026-11-21 ", "2026-11-21\n", "２０２６-11-21", "2026-02-30", "0000-01-01",
     "+026-11-21", "", "\0", "9" * 5_000],
)  # fmt: skip
def test_a_day_is_written_in_one_way_only(written: str) -> None:
    with pytest.raises(InputError, match=r"is not a day; write it like 2026-11-21\.$") as problem:
        days.parse(written)
    assert len(str(problem.value)) < 250


def test_every_day_that_there_is_can_be_written() -> None:
    for day in (days.FIRST, date(2026, 11, 21), days.LAST):
        assert days.parse(day.isoformat()) == day


@pytest.mark.parametrize("text", ["0001-01-01", "1969-12-31", "2200-01-01", "9999-12-31"])
def test_a_day_that_nobody_can_mean_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="1970-01-01 to 2199-12-31"):
        days.parse(text)


@pytest.mark.parametrize(
    "written",
    [
        "2026-W47-5T09:00+01:00",
        "20261121T0900+0100",
        "2026-11-21 09:00+01:00",
        "2026-11-21t09:00+01:00",
        "2026-11-21T09+01:00",
        "2026-11-21T0900+01:00",
        "2026-11-21T09:00+0100",
        "2026-11-21T09:00+01",
        "2026-11-21T09:00,5Z",
        "2026-11-21T09:00:00,5Z",
        "2026-11-21T09:00.5Z",
        "2026-11-21T09:00:00.Z",
        "2026-11-21T09:00+01:00:30",
        "2026-11-21T09:00 Z",
        "2026-11-21T09:00Z\n",
        "2026-11-21T25:00Z",
        "2026-11-21",
        "２０２６-11-21T09:00Z",
    ],
)
def test_an_instant_is_written_in_one_way_only(written: str) -> None:
    with pytest.raises(InputError, match=r"is not an instant; write it with its offset, like 2026-11-21T09:00\+01:00"):
        days.parse_instant(written)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2026-11-21T09:00+01:00", datetime(2026, 11, 21, 8, tzinfo=UTC)),
        ("2026-11-21T08:00Z", datetime(2026, 11, 21, 8, tzinfo=UTC)),
        ("2026-11-21T03:00:05-05:00", datetime(2026, 11, 21, 8, 0, 5, tzinfo=UTC)),
        ("2026-11-21T08:00:05.5Z", datetime(2026, 11, 21, 8, 0, 5, 500_000, tzinfo=UTC)),
        ("2026-11-21T08:00:05.123456+00:00", datetime(2026, 11, 21, 8, 0, 5, 123_456, tzinfo=UTC)),
    ],
)
def test_an_instant_may_say_seconds_and_parts_of_them(written: str, meant: datetime) -> None:
    assert days.parse_instant(written) == meant


@pytest.mark.parametrize(
    "text",
    [
        "0001-01-01T00:00+23:59",
        "9999-12-31T23:59:59-23:59",
        "1969-12-31T23:59Z",
        "2200-01-01T00:00Z",
        "2026-11-21T09:00",
        "2026-11-21T09:00+99:00",
        "now",
        "",
        "x" * 10_000,
    ],
)
def test_an_instant_that_nobody_can_mean_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="instant"):
        days.parse_instant(text)
