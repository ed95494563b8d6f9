"""Subscriber lists narrow who enters and who is written to (B1); an entry limit has an order of preference."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from retention.core.shop import Shop
from retention.delivery.worker import deliver

D = date(2026, 3, 2)


def after(number: int) -> date:
    return D + timedelta(days=number)


def noon(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, 12, tzinfo=UTC)


def listed(room: Any, ref: str, name: str, since: datetime, until: datetime | None = None) -> None:
    room.execute(
        "insert into shop.list_members (customer_id, list, since, until, updated_at, known_at)"
        " values (shop.customer_id('test', :ref), :name, :since, :until, :since, :since)",
        ref=ref,
        name=name,
        since=since,
        until=until,
    )


def reasons(room: Any) -> dict[str, str]:
    rows = room.rows(
        "select c.customer_ref, d.reason from campaigns.decisions as d join shop.customers as c using (customer_id)"
    )
    return {ref: str(reason) for ref, reason in rows}


def test_only_members_of_one_of_the_lists_enter(room: Any, write: Any) -> None:
    write("control: 0%", "control: 0%\nlists: [newsletter, club]")
    room.members([room.shop.customer(ref) for ref in ("news", "club", "other", "none", "gone", "soon", "both")])
    for ref, name in (("news", "newsletter"), ("club", "club"), ("other", "wholesale"), ("both", "club")):
        listed(room, ref, name, noon(date(2026, 1, 1)))
    listed(room, "both", "newsletter", noon(date(2026, 1, 1)))
    listed(room, "gone", "club", noon(date(2026, 1, 1)), until=noon(D))
    listed(room, "soon", "club", noon(after(1)))
    assert room.run(D)["enrolled"] == 3
    assert reasons(room) == dict.fromkeys(("news", "club", "both"), "selected") | dict.fromkeys(
        ("other", "none", "gone", "soon"), "not_on_list"
    )
    assert room.run(after(1))["enrolled"] == 1, "soon is on the list now"


def test_the_claim_writes_to_nobody_who_has_left_the_lists(room: Any, write: Any) -> None:
    write("control: 0%", "control: 0%\nlists: [club]")
    room.members([room.shop.customer(ref) for ref in ("stays", "leaves")])
    listed(room, "stays", "club", noon(date(2026, 1, 1)))
    listed(room, "leaves", "club", noon(date(2026, 1, 1)), until=noon(after(1)) - timedelta(hours=2))
    assert room.run(D)["planned"]["we_miss_you"] == 2
    deliver(Shop(room.settings, room.engine), at=noon(after(1)))
    rows = room.rows(
        "select c.customer_ref, m.state, m.reason from delivery.messages as m join shop.customers as c"
        " using (customer_id) order by 1 desc"
    )
    assert [tuple(row) for row in rows] == [("stays", "accepted", None), ("leaves", "skipped", "not_on_list")]
    counts = room.run_each(after(1), after(2))[1]
    assert (counts["planned"]["nudge"], counts["skipped"]) == (1, {"not_on_list": 1})


@pytest.mark.parametrize(
    ("preference", "first"),
    [
        ("", "old"),
        ("enter_first: longest_lapsed", "old"),
        ("enter_first: last_lapsed", "new"),
        ("enter_first: highest_revenue", "rich"),
    ],
)
@pytest.mark.parametrize("is_past", [False, True])
def test_an_entry_limit_lets_in_first_whom_the_campaign_prefers(
    room: Any, write: Any, preference: str, first: str, is_past: bool
) -> None:
    """A day in the past asks what was known then: the large order of `late` came after it."""
    write("entry_limit: 5000 per day", f"entry_limit: 1 per day\n{preference}")
    for ref, days_ago, total in (("old", 900, 10), ("new", 400, 10), ("rich", 600, 500), ("late", 500, 20)):
        room.members([room.shop.customer(ref)])
        room.shop.order(ref, D - timedelta(days=days_ago), total=total)
    room.ready(D)
    if is_past:
        room.shop.order("late", after(1), total=9000)
        room.ready(after(1))
    assert room.run(D)["enrolled"] == 1
    assert [ref for ref, reason in reasons(room).items() if reason == "selected"] == [first]
    assert sorted(reasons(room).values()) == ["entry_limit"] * 3 + ["selected"]
