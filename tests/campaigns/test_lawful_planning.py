"""Planning asks the law: on what ground somebody is written to, at which hours, wherever they may be."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from retention.contact import law
from retention.selections import refresh
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


def test_an_address_from_a_sale_is_enough_to_enter_where_the_law_knows_it(room: Any, shop: Any) -> None:
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
    assert room.run(D)["enrolled"] == 1
    assert [row[:2] for row in planned(room)] == [("DE", "planned")]
    assert answers(room) == {"DE": "selected", "PL": "no_consent", "None": "no_consent", "never bought": "no_consent"}


def test_nobody_needs_to_agree_where_the_law_asks_for_nothing(room: Any, shop: Any) -> None:
    with (room.settings.include / "rules.csv").open("a") as rules:
        rules.write("AT,email,legitimate_interest,,,2026-03-01,art. 1\n")
    shop.customer("silent", consents=(), country="AT")
    shop.customer("objects", consents=(), country="AT")
    shop._insert("shop.consents", customer_id="objects", purpose="marketing", channel="email", is_granted=False,
                 updated_at=datetime(2026, 1, 1, tzinfo=UTC), known_at=datetime(2026, 1, 2, tzinfo=UTC))  # fmt: skip
    shop.publish(D)
    with room.engine.begin() as connection:
        law.put_in_force(connection, room.settings.include)
    refresh.refresh(room.settings, room.engine, "send_base", D, now=datetime(2026, 3, 8, tzinfo=NEW_YORK))
    room.members(["silent", "objects"], ["winback"])
    assert room.run(D)["enrolled"] == 1
    assert answers(room) == {"silent": "selected", "objects": "no_consent"}


@pytest.mark.parametrize("channel", ["sms", "postal"])
def test_a_campaign_that_begins_on_another_channel_does_not_ask_for_consent_by_mail(
    room: Any, shop: Any, write: Any, channel: str
) -> None:
    """A customer without an address for its first step does not enter. Dutch law asks for no consent to post."""
    write("{step: we_miss_you, day: 0, channel: email}", f"{{step: we_miss_you, day: 0, channel: {channel}}}")
    folder = room.settings.include / "messages" / "winback"
    for file in folder.glob("we_miss_you.*"):
        way_out = '{% include "opt_out.txt.j2" %}' if channel == "sms" else ""
        file.write_text(f"{{% block text %}}Hello. {way_out}{{% endblock %}}")
    home = {"street": "Kerkstraat 1", "postal_code": "1012 AB", "city": "Amsterdam"}
    shop.customer("yes", consents=(channel,), email=None, **home)
    shop.customer("mail only", consents=("email",), **home)
    shop.customer("nowhere", consents=(channel, "email"), phone=None)
    room.members(["yes", "mail only", "nowhere"], ["winback"])
    room.run(D)
    others = {"sms": "no_consent", "postal": "selected"}[channel]
    assert answers(room) == {"yes": "selected", "mail only": others, "nowhere": "no_address"}


def answers(room: Any) -> dict[str, str]:
    """Why each member of the selection was enrolled or not."""
    return dict(map(tuple, room.rows(
        "select customer_ref, reason from campaigns.decisions join shop.customers using (customer_id)"
    )))  # fmt: skip
