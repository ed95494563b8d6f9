"""One-off sends by hand: frozen, approved, sent once (B6, B7, F1)."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from retention import by_hand
from retention.core.errors import InputError, StateError
from retention.core.shop import Shop
from retention.delivery.worker import deliver

D = date(2026, 3, 2)
FORM = {"campaign": "winback", "at_least_days": 365, "at_most_days": 700}


def after(number: int) -> date:
    return D + timedelta(days=number)


def noon(room: Any, day: date) -> datetime:
    return datetime.combine(day, time(12), room.settings.shop_time_zone)


class Office:
    """A shop whose newest published day is D; whoever asks does it at noon of the day after."""

    def __init__(self, room: Any) -> None:
        self.room = room
        self.shop = Shop(room.settings, room.engine)
        self.now = noon(room, after(1))

    def customer(self, ref: str, days_ago: int | None = 500, **fields: Any) -> None:
        self.room.shop.customer(ref, **fields)
        if days_ago is not None:
            self.room.shop.order(ref, D - timedelta(days=days_ago))

    def ask(self, **changes: Any) -> by_hand.Question:
        self.room.shop.publish(D)  # with the orders that were added since
        return by_hand.ask(self.shop, FORM | changes, self.now)

    def answer(self, send_id: str, choice: str = by_hand.SEND, later: timedelta = timedelta()) -> dict[str, Any]:
        return by_hand.answer(self.shop, send_id, choice, "mira", self.now + later)

    def got(self) -> list[tuple[str, str]]:
        return [
            tuple(row)
            for row in self.room.rows(
                "select c.customer_ref, m.step from delivery.messages as m join shop.customers as c using (customer_id)"
                " where m.state = 'accepted' order by 2, 1"
            )
        ]


@pytest.fixture
def office(room: Any) -> Office:
    office = Office(room)
    room.shop.publish(D)
    return office


def test_who_gets_it_is_bounded_on_both_sides_and_everybody_else_is_told_why(office: Office) -> None:
    office.customer("at-the-near-end", 370)
    office.customer("too-near", 369)
    office.customer("at-the-far-end", 700)
    office.customer("too-far", 701)
    office.customer("no-mail", consents=("sms",))
    office.customer("greek", country="GR", language="el")
    office.customer("polish", country="PL", language="pl")
    question = office.ask(at_least_days=370, countries=["NL", "GR"])
    assert dict(question.send.excluded) == {"too_recent": 1, "too_long_ago": 1, "other_country": 1, "no_consent": 1}
    assert dict(question.send.languages) == {"en": 2, "el": 1}
    assert {sample.language for sample in question.samples} == {"en", "el"}
    assert office.ask(limit=1).send.customers == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"at_most_days": 365}, "is no audience bounded on both sides"),
        ({"at_least_days": -1}, "is no audience bounded on both sides"),
        ({"at_most_days": 99_999}, "is no audience bounded on both sides"),
        ({"bounded_by": "birthday"}, "write last_order or registration"),
        ({"limit": -3}, "write a number of customers"),
        ({"countries": ["nl"]}, "'nl' is not a country like NL"),
        ({"languages": ["NL"]}, "'NL' is not a language like nl"),
        ({"send_on": "tomorrow"}, "tomorrow"),
        ({"send_on": "2026-03-02"}, "is not after 2026-03-02, the newest published day"),
        ({"campaign": "winbak"}, "Did you mean 'winback'"),
    ],
)
def test_a_form_that_nobody_can_mean_is_refused(office: Office, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        office.ask(**changes)
    assert office.room.values("select count(*) from campaigns.sends") == [0]


def test_nothing_is_sent_before_it_is_approved_and_then_once(office: Office) -> None:
    for ref in ("ada", "bob"):
        office.customer(ref)
    question = office.ask()
    assert office.room.values("select count(*) from campaigns.enrolments") == [0]
    office.customer("late")  # nobody is added later
    again = office.ask()
    assert (again.send.send_id, again.send.customers) == (question.send.send_id, 2)
    first = office.answer(question.send.send_id)
    assert (first["enrolled"], first["planned"]["we_miss_you"]) == (2, 2)
    assert office.answer(question.send.send_id)["enrolled"] == 0
    deliver(office.shop, at=noon(office.room, after(1)))
    assert office.got() == [("ada", "we_miss_you"), ("bob", "we_miss_you")]
    assert office.room.values("select distinct entered_on from campaigns.enrolments") == [D]


def test_once_to_everybody_now_and_then_ongoing_reaches_each_person_once(office: Office) -> None:
    office.customer("ada")
    office.answer(office.ask().send.send_id)
    office.customer("bob")
    office.room.members(["bob"], since=after(1))
    for number in range(4):
        office.room.run(after(number))
        deliver(office.shop, at=noon(office.room, after(number + 1)))
    assert [row for row in office.got() if row[1] == "we_miss_you"] == [("ada", "we_miss_you"), ("bob", "we_miss_you")]
    assert ("ada", "nudge") in office.got(), "its later steps are planned by the campaign's own days"


def test_who_has_entered_is_left_out_and_who_ordered_meanwhile_gets_nothing(office: Office) -> None:
    office.customer("ada")
    office.customer("bob")
    office.room.members(["ada"])
    office.room.run(D)
    question = office.ask()
    assert dict(question.send.excluded) == {"inside": 1}
    office.answer(question.send.send_id)
    office.room.shop.order("bob", after(1), known_at=noon(office.room, after(1)) - timedelta(hours=1))
    deliver(office.shop, at=noon(office.room, after(1)))
    assert office.got() == [("ada", "we_miss_you")]


def test_a_rejected_and_an_expired_send_send_nothing(office: Office) -> None:
    office.customer("ada")
    rejected, expired = office.ask().send.send_id, office.ask(limit=5).send.send_id
    assert office.answer(rejected, by_hand.DO_NOT) == {"state": "rejected"}
    with pytest.raises(StateError, match="was rejected; nothing is sent"):
        office.answer(rejected)
    with pytest.raises(StateError, match="waited for an answer until"):
        office.answer(expired, later=timedelta(hours=24))
    assert office.answer(expired, by_hand.DO_NOT, later=timedelta(hours=25)) == {"state": "expired"}
    assert office.room.values("select count(*) from delivery.messages") == [0]
    assert sorted(office.room.values("select state from campaigns.sends")) == ["expired", "rejected"]


def test_a_later_day_shifts_every_step(office: Office) -> None:
    office.customer("ada")
    office.answer(office.ask(send_on="2026-03-06").send.send_id)
    assert office.room.values("select count(*) from delivery.messages") == [0], "it is not due"
    for number in range(14):
        office.room.run(after(number))
    found = office.room.rows("select step, day from delivery.messages where channel <> 'audience' order by day")
    assert [tuple(row) for row in found] == [("we_miss_you", after(3)), ("nudge", after(5)), ("final_offer", after(10))]
    assert office.room.values("select exited_on from campaigns.enrolments") == [after(13)]


def test_the_control_group_of_a_send_is_kept(office: Office, write: Any) -> None:
    write("control: 0%", "control: 50%")
    for number in range(40):
        office.customer(f"C{number}")
    counts = office.answer(office.ask().send.send_id)
    assert 5 < counts["control"] < 35
    assert counts["planned"]["we_miss_you"] == counts["enrolled"] - counts["control"]


def test_a_trial_does_everything_and_leaves_nothing_also_of_a_draft(office: Office, write: Any) -> None:
    write("status: live", "status: draft")
    office.customer("ada")
    office.room.shop.publish(D)
    counts = by_hand.rehearse(office.shop, FORM, office.now)
    assert (counts["state"], counts["enrolled"], counts["planned"]["we_miss_you"]) == ("test", 1, 1)
    for table in ("campaigns.sends", "campaigns.send_members", "campaigns.enrolments", "delivery.messages"):
        assert office.room.values(f"select count(*) from {table}") == [0]
    with pytest.raises(InputError, match="Campaign winback is draft: only a live one is sent"):
        office.ask()


def test_what_was_approved_is_what_is_sent(office: Office, include: Path) -> None:
    office.customer("ada")
    question = office.ask()
    file = include / "messages" / "winback" / "we_miss_you.en.j2"
    file.write_text(file.read_text() + "\n")
    with pytest.raises(StateError, match="Campaign winback has changed since"):
        office.answer(question.send.send_id)


def test_the_question_names_nobody_and_what_it_costs(office: Office) -> None:
    office.customer("secret-ref", first_name="Petronella", email="petronella@private.example")
    question = office.ask()
    assert "Petronella" not in question.body
    assert "private.example" not in question.body
    assert "secret-ref" not in question.body
    assert question.subject == "Send winback to 1 customers?"
    assert question.cost > 0
    assert "Anna, it has been a while" in question.body, "a made-up person"
    assert "SAMPLE2345" in question.body
    assert "11 March 2026" in question.body, "an offer of day 7 for 24 hours"


def test_of_two_sends_that_were_asked_for_one_reaches_a_person(office: Office, include: Path) -> None:
    """The first is over when the second is approved; the campaign's re_entry keeps its people out all the same."""
    file = include / "campaigns" / "winback.yaml"
    words = file.read_text().replace('"20:00"]', '"20:00"]\ngrace_days: 0')
    file.write_text(words[: words.index("steps:")] + "steps:\n  - {step: we_miss_you, day: 0, channel: email}\n")
    office.customer("ada")
    first = office.ask(send_on="2026-03-04").send.send_id
    office.room.shop.publish(after(1))
    nine = noon(office.room, after(2)) - timedelta(hours=3)
    second = by_hand.ask(office.shop, FORM | {"send_on": "2026-03-05"}, nine).send.send_id
    by_hand.answer(office.shop, first, by_hand.SEND, "mira", nine + timedelta(hours=1))
    deliver(office.shop, at=noon(office.room, after(2)))
    for number in (1, 2):
        office.room.run(after(number))
    by_hand.answer(office.shop, second, by_hand.SEND, "mira", nine + timedelta(hours=23))
    deliver(office.shop, at=noon(office.room, after(3)))
    assert len(office.got()) == 1


def test_what_expired_or_has_changed_can_be_asked_for_anew(office: Office, include: Path) -> None:
    office.customer("ada")
    expired = office.ask()
    office.now += timedelta(hours=25)
    changed = office.ask()
    file = include / "messages" / "winback" / "we_miss_you.en.j2"
    file.write_text(file.read_text() + "\n")
    asked = office.ask()
    assert len({each.send.send_id for each in (expired, changed, asked)}) == 3
    assert office.ask().send.send_id == asked.send.send_id
    assert office.answer(asked.send.send_id)["enrolled"] == 1


def test_a_question_shows_a_fallback_and_counts_its_price(office: Office, include: Path) -> None:
    file = include / "campaigns" / "winback.yaml"
    words = file.read_text()
    step = "{step: we_miss_you, day: 0, channel: email, fallback: sms}"
    file.write_text(words[: words.index("steps:")] + f"steps:\n  - {step}\n")
    folder = include / "messages" / "winback"
    for each in list(folder.glob("we_miss_you.??.j2")):
        sms = '{% block text %}IN A TEXT {% include "opt_out.txt.j2" %}{% endblock %}'
        (folder / each.name.replace("we_miss_you", "we_miss_you.sms")).write_text(sms)
    office.customer("ada")
    question = office.ask()
    assert "**we_miss_you, sms, en**" in question.body
    assert "IN A TEXT" in question.body
    assert question.cost == Decimal("0.08"), "a text, the dearer of the two"
