"""Levels: sorts of customers with offers, words and steps of their own (E7)."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest

from retention.campaigns import definitions
from retention.core import days
from retention.core.errors import InputError
from retention.core.shop import Shop
from retention.delivery.worker import deliver

D = date(2026, 3, 2)
LEVELS = """\
levels:
  high: {in: loyal, owner: vip@shop.example}
  dutch: {languages: [nl], countries: [NL, BE], owner: benelux@shop.example}
  low: {owner: crm@shop.example}
steps:
"""
NUDGE = "{step: nudge, day: 2, channel: sms, offer: comeback, unless: clicked}"


@pytest.fixture
def levels(room: Any, write: Any) -> Any:
    """winback with three levels."""
    write("steps:\n", LEVELS)
    return room


def day(room: Any, number: int) -> days.Counts:
    room.ready(D + timedelta(days=number), "loyal")
    return room.run(D + timedelta(days=number))


def of(room: Any, column: str, where: str = "true") -> dict[str, Any]:
    """A column of each customer's enrolment or message."""
    return dict(
        room.rows(
            f"select c.customer_ref, {column} from campaigns.enrolments as e join shop.customers as c"
            " using (customer_id) left join delivery.messages as m using (customer_id, campaign, entry_no)"
            f" where {where}"
        )
    )


PEOPLE: dict[str, dict[str, Any]] = {
    "vip": {"language": "nl", "country": "NL"},
    "nl": {"language": "nl", "country": "NL"},
    "flemish": {"language": "nl", "country": "BE"},
    "expat": {"language": "en", "country": "NL"},
    "emigrant": {"language": "nl", "country": "DE"},
    "unknown": {"language": None, "country": None},
}


def everybody(room: Any) -> None:
    room.members([room.shop.customer(ref, **fields) for ref, fields in PEOPLE.items()])
    room.members(["vip"], ["loyal"])


def test_a_customer_is_on_the_first_level_that_holds_in_either_arm_for_the_whole_enrolment(
    levels: Any, write: Any
) -> None:
    write("control: 0%", "control: 50%")
    everybody(levels)
    day(levels, 0)
    expected = {
        "vip": "high",
        "nl": "dutch",
        "flemish": "dutch",
        "expat": "low",
        "emigrant": "low",
        "unknown": "low",
    }
    assert of(levels, "e.level") == expected
    assert set(levels.values("select arm from campaigns.enrolments")) == {"treated", "control"}
    levels.leaves("vip", "loyal", D + timedelta(days=1))
    levels.members(["nl"], ["loyal"], since=D + timedelta(days=1))
    day(levels, 1)
    assert of(levels, "e.level") == expected


def test_a_level_has_steps_offers_and_words_of_its_own(levels: Any, write: Any, include: Path) -> None:
    """Nobody on `high` gets the text, `dutch` gets the larger offer, and `high` other words from the first mail on."""
    write(NUDGE, "{step: nudge, day: 2, channel: sms, offer: {dutch: final, low: comeback}, level: [dutch, low]}")
    folder = include / "messages" / "winback"
    for file in folder.glob("we_miss_you.??.j2"):
        words = file.read_text(encoding="utf-8").replace("{% block text %}", "{% block text %}DEAR FRIEND ")
        file.with_name(file.name.replace("we_miss_you.", "we_miss_you.high.")).write_text(words, encoding="utf-8")
    everybody(levels)
    for number in range(3):
        day(levels, number)
    nudged = of(levels, "m.offer", "m.step = 'nudge'")
    assert nudged == {"nl": "final", "flemish": "final", **dict.fromkeys(("expat", "emigrant", "unknown"), "comeback")}
    shop = Shop(levels.settings, levels.engine)
    deliver(shop, at=datetime.combine(D + timedelta(days=3), time(12), levels.settings.shop_time_zone))
    rows = levels.rows(
        "select c.customer_ref, o.text_body like '%DEAR FRIEND%' from delivery.outbox as o join shop.customers as c"
        " using (customer_id) where o.channel = 'email'"
    )
    assert dict(rows) == dict.fromkeys(PEOPLE, False) | {"vip": True}


@pytest.mark.parametrize(
    ("old", "new", "wrong"),
    [
        ("{in: loyal,", "{in: loyl,", "line 15: there is no selection 'loyl'. Did you mean 'loyal'"),
        ("high: {in: loyal, owner", "high: {owner", "line 15: everybody is on this level"),
        ("low: {owner", "low: {in: winback, owner", "line 17: the last level is for everybody else"),
        ("low: {owner: crm@shop.example}", "low: {}", "line 17: the key 'owner' is missing"),
        ("  dutch:", "  sms:", "line 16: 'sms' is a channel or a variant"),
        (
            "day: 2, channel: sms",
            "day: 2, level: hgh, channel: sms",
            "line 20: there is no level 'hgh' of the campaign",
        ),
        ("offer: comeback", "offer: {high: comeback}", "line 20: which offer does 'dutch' get?"),
        ("day: 0, channel: email", "day: 0, channel: email, level: high", "line 14: the first steps of the levels are"),
        ("{languages: [nl]", "{languages: [NL]", 'line 16: languages is "NL"; write two letters like nl'),
    ],
)
def test_mistakes_in_levels_are_told(levels: Any, write: Any, include: Path, old: str, new: str, wrong: str) -> None:
    write(old, new)
    with pytest.raises(InputError, match=wrong.replace("?", r"\?").replace("[", r"\[")):
        definitions.read(include, "winback")
