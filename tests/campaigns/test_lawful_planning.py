"""Planning asks the law: on what ground somebody is written to, at which hours, wherever they may be."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from shop import NAMESPACE

D = date(2026, 3, 6)  # a Friday; the clocks of New York go forward on the night to Sunday, Honolulu's never change
NEW_YORK, HONOLULU = ZoneInfo("America/New_York"), ZoneInfo("Pacific/Honolulu")


def planned(room: Any) -> list[tuple[Any, ...]]:
    """Who got which message and why not, and when it is due and expires."""
    return [tuple(row) for row in room.rows(
        "select customer_ref, state, reason, due_at, expires_at from delivery.messages"
        " join shop.customers using (customer_id) order by customer_ref, day"
    )]  # fmt: skip


def test_who_has_a_country_but_no_zone_is_written_to_while_it_is_day_in_all_of_it(room: Any, shop: Any) -> None:
    shop.customer("US", country="US", time_zone=None)
    shop.customer("GR", country="GR", time_zone=None)
    room.members(["US", "GR"])
    room.run(D)
    athens = ZoneInfo("Europe/Athens")
    assert planned(room) == [
        ("GR", "planned", None, datetime(2026, 3, 7, 9, tzinfo=athens), datetime(2026, 3, 9, 20, tzinfo=athens)),
        ("US", "planned", None, datetime(2026, 3, 7, 9, tzinfo=HONOLULU), datetime(2026, 3, 9, 20, tzinfo=NEW_YORK)),
    ]


def test_a_window_that_is_open_nowhere_at_once_plans_nothing(room: Any, shop: Any, write: Any) -> None:
    write('["09:00", "20:00"]', '["09:00", "12:00"]')
    shop.customer("lost", country="US", time_zone=None)
    shop.customer("found", country="US", time_zone="America/New_York")
    room.members(["lost", "found"])
    counts = room.run(D)
    assert counts["skipped"] == {"no_window": 1}
    assert [row[:3] for row in planned(room)] == [("found", "planned", None), ("lost", "skipped", "no_window")]


def test_a_text_is_due_and_expires_within_the_hours_of_the_law(room: Any, shop: Any, write: Any) -> None:
    write('["09:00", "20:00"]', '["06:00", "23:00"]')
    shop.customer("US", country="US", time_zone="America/New_York")
    room.members(["US"])
    for day in (D, date(2026, 3, 7), date(2026, 3, 8)):
        room.run(day)
    mail, sms = planned(room)
    assert mail[3:] == (datetime(2026, 3, 7, 6, tzinfo=NEW_YORK), datetime(2026, 3, 9, 23, tzinfo=NEW_YORK))
    assert sms[3:] == (datetime(2026, 3, 9, 8, tzinfo=NEW_YORK), datetime(2026, 3, 11, 21, tzinfo=NEW_YORK))


def test_an_address_from_a_sale_is_planned_for_where_the_law_knows_it(room: Any, shop: Any) -> None:
    for country in ("DE", "PL", None):
        shop.customer(str(country), country=country, consents=())
        shop.order(str(country), date(2024, 5, 1))
    shop.customer("never bought", country="DE", consents=())
    refs = ["DE", "PL", "None", "never bought"]
    room.execute(
        "insert into shop.consents (customer_id, purpose, channel, is_granted, basis, updated_at, known_at)"
        " select shop.customer_id(:namespace, r), 'marketing', 'email', true, 'soft_opt_in', '2024-01-01+00',"
        " '2024-01-02+00' from unnest(cast(:refs as text[])) as r",
        namespace=NAMESPACE, refs=refs,
    )  # fmt: skip
    room.members(refs)
    assert room.run(D)["skipped"] == {"no_consent": 3}
    assert [row[0] for row in planned(room) if row[1] == "planned"] == ["DE"]
