"""Enrolments far above the usual size, and first ones, wait for somebody's approval; people inside go on."""

from __future__ import annotations

import threading
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from house import House, change

from retention import approving, pipeline
from retention.campaigns import approvals, steps
from retention.core import days
from retention.core.database import lock
from retention.core.errors import DayRefused, InputError
from retention.core.shop import Shop
from retention.delivery.worker import deliver

D = date(2026, 3, 2)  # a Monday


def after(number: int) -> date:
    return D + timedelta(days=number)


class Gate:
    """winback, whose enrolments are asked about at the end of their day."""

    def __init__(self, room: Any) -> None:
        self.room = room
        self.shop = Shop(room.settings, room.engine)
        room.is_launched = False

    def at(self, day: date, hours: float = 0) -> datetime:
        """So many hours after the end of `day`."""
        return days.known_at(day, self.room.settings.shop_time_zone) + timedelta(hours=hours)

    def entered_before(self, sizes: dict[int, int]) -> None:
        """So many entered, and are out again: by how many days before D."""
        for number, (ago, size) in enumerate(sizes.items()):
            self.room.execute(
                "insert into campaigns.enrolments (customer_id, campaign, entry_no, version, arm, entered_on,"
                " exited_on, exit_reason) select -:first - n, 'winback', 1, 'v', 'treated', :day, :day, 'order'"
                " from generate_series(1, :size) as n",
                first=1000 * number,
                day=after(-ago),
                size=size,
            )

    def waiting(self, day: date = D, hours: float = 1, campaign: str = "winback") -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = approving.waiting(self.shop, campaign, None, self.at(day, hours))["waiting"]
        return found

    def answer(
        self, choice: str = approving.ENROL, day: date = D, hours: float = 1, campaign: str = "winback"
    ) -> dict[str, Any]:
        """Answer the question of the day."""
        asked = self.room.values(
            "select approval_id from campaigns.approvals where campaign = :campaign and day = :day"
            " order by asked_at desc, approval_id desc limit 1",
            campaign=campaign,
            day=day,
        )
        return approving.answer(self.shop, asked[0], choice, "mira", self.at(day, hours))

    def enrolled(self) -> list[tuple[str, str, date]]:
        rows = self.room.rows(
            "select c.customer_ref, e.campaign, e.entered_on from campaigns.enrolments as e"
            " join shop.customers as c using (customer_id) order by 1, 2"
        )
        return [tuple(row) for row in rows]

    def states(self) -> list[tuple[date, str, str]]:
        rows = self.room.rows("select day, why, state from campaigns.approvals order by day, asked_at, approval_id")
        return [tuple(row) for row in rows]

    def reasons(self) -> set[tuple[str, str]]:
        return {tuple(row) for row in self.room.rows("select decision, reason from campaigns.decisions")}


@pytest.fixture
def gate(room: Any) -> Gate:
    return Gate(room)


def test_a_first_launch_enrols_nobody_before_it_is_approved_and_then_on_its_day(gate: Gate) -> None:
    gate.room.customers(3)
    counts = gate.room.run(D)
    assert (counts["enrolled"], counts["waiting"], counts["planned"]["we_miss_you"]) == (0, 3, 0)
    assert gate.enrolled() == []
    assert gate.reasons() == {("waits", "approval")}
    assert gate.states() == [(D, "first_launch", "waiting")]
    done = gate.answer()
    assert (done["state"], done["enrolled"], done["planned"]["we_miss_you"]) == ("approved", 3, 3)
    assert {day for _, _, day in gate.enrolled()} == {D}
    assert gate.reasons() == {("enrolled", "selected")}
    assert gate.room.values("select count(*) from campaigns.candidates") == [0]
    assert gate.room.rows("select state, decided_by from campaigns.approvals") == [("approved", "mira")]
    deliver(gate.shop, at=gate.at(D, 12))
    assert gate.room.values("select count(*) from delivery.messages where state = 'accepted'") == [3]


def test_a_launch_that_was_approved_is_a_first_one_no_more(gate: Gate) -> None:
    gate.room.customers(2)
    gate.room.run(D)
    gate.answer()
    gate.room.members([gate.room.shop.customer("late")], since=after(1))
    assert gate.room.run(after(1))["enrolled"] == 1
    assert len(gate.states()) == 1


def test_nobody_who_could_enter_is_no_launch(gate: Gate) -> None:
    gate.room.run(D)
    assert gate.states() == []


@pytest.mark.parametrize(
    ("entry_days", "usual", "size", "waits"),
    [
        (14, 34, 102, False),  # exactly three times
        (14, 34, 103, True),
        (13, 34, 103, False),  # nobody knows what is usual
        (14, 1, 99, False),  # too few to matter
        (14, 1, 100, True),
    ],
)
def test_far_above_the_usual_is_more_than_three_times_the_median_and_at_least_a_hundred(
    gate: Gate, entry_days: int, usual: int, size: int, waits: bool
) -> None:
    gate.entered_before(dict.fromkeys(range(1, entry_days + 1), usual))
    gate.room.customers(size)
    counts = gate.room.run(D)
    assert (counts["enrolled"], counts.get("waiting", 0)) == ((0, size) if waits else (size, 0))
    assert gate.states() == ([(D, "above_median", "waiting")] if waits else [])
    assert gate.room.values("select median from campaigns.approvals") == ([usual] if waits else [])


def test_the_median_is_of_the_28_days_before_and_of_days_on_which_somebody_entered(gate: Gate) -> None:
    gate.entered_before({**dict.fromkeys(range(15, 29), 1), **dict.fromkeys(range(29, 60), 900)})
    gate.room.customers(100)
    assert gate.room.run(D)["waiting"] == 100, "the day 28 days before is the fourteenth; what is older does not count"


def test_the_thirteenth_entry_day_and_one_29_days_ago_are_too_few(gate: Gate) -> None:
    gate.entered_before(dict.fromkeys([*range(15, 28), 29], 1))
    gate.room.customers(100)
    assert gate.room.run(D)["enrolled"] == 100


def test_sends_by_hand_neither_launch_a_campaign_nor_count_as_usual(gate: Gate) -> None:
    gate.entered_before(dict.fromkeys(range(1, 15), 1))
    gate.room.execute("update campaigns.enrolments set send_id = 'by-hand'")
    gate.room.customers(2)
    gate.room.run(D)
    assert gate.states() == [(D, "first_launch", "waiting")]


@pytest.mark.parametrize(("size", "waits"), [(150, False), (151, True)])
def test_a_campaign_by_calendar_is_compared_with_its_occurrences(
    gate: Gate, write: Any, size: int, waits: bool
) -> None:
    write("re_entry: 3 months", "entry: {every: quarter, on: first monday}")
    gate.entered_before({91: 50})
    gate.room.customers(size)
    day = date(2026, 4, 6)
    counts = gate.room.run(day)
    assert counts.get("waiting", 0) == (size if waits else 0)


def test_what_is_approved_is_what_was_asked_and_nobody_is_added_later(gate: Gate) -> None:
    gate.room.customers(2)
    gate.room.run(D)
    gate.room.members([gate.room.shop.customer("late")])
    gate.room.run(D)  # facts have come since: the day is computed again
    assert gate.room.values("select customers from campaigns.approvals") == [2]
    assert gate.answer()["enrolled"] == 2
    counts = gate.room.run(D)
    assert (counts["enrolled"], "waiting" in counts) == (1, False)
    assert "late" in {ref for ref, _, _ in gate.enrolled()}, "once it is approved, the day goes on as any other"


def test_more_than_was_approved_and_usual_waits_for_another_answer(gate: Gate) -> None:
    gate.entered_before(dict.fromkeys(range(1, 15), 1))
    refs = gate.room.customers(220)

    def come(refs: list[str], on: date) -> None:
        gate.room.execute(
            "update selections.membership set entered_on = :day where customer_id = any(:who)",
            day=on,
            who=ids(gate, refs),
        )

    come(refs[110:], after(1000))
    assert gate.room.run(D)["waiting"] == 110
    assert gate.answer()["enrolled"] == 110
    come(refs[110:160], after(-100))
    assert gate.room.run(D)["enrolled"] == 50, "who was approved does not count a second time"
    come(refs[160:], after(-100))
    assert gate.room.run(D)["waiting"] == 60, "with the 50 before, 110 that nobody approved"
    assert gate.states() == [(D, "above_median", "approved"), (D, "above_median", "waiting")]


def ids(gate: Gate, refs: list[str]) -> list[int]:
    return gate.room.values(
        "select customer_id from shop.customers where customer_ref = any(cast(:refs as text[]))", refs=refs
    )


def test_people_inside_go_on_while_an_enrolment_waits(gate: Gate) -> None:
    gate.room.is_launched = True
    gate.room.shop.customer("ada")
    gate.room.members(["ada"])
    gate.room.run(D)
    gate.room.execute("delete from campaigns.approvals")
    gate.entered_before(dict.fromkeys(range(1, 15), 1))
    gate.room.is_launched = False
    gate.room.customers(100)
    counts = gate.room.run(after(1))
    assert (counts["waiting"], counts["enrolled"]) == (100, 0)
    counts = gate.room.run(after(2))
    assert counts["planned"]["nudge"] == 1


def test_without_an_answer_in_24_hours_nobody_enters_and_the_next_day_asks_afresh(gate: Gate) -> None:
    gate.room.customers(2)
    gate.room.run(D)
    assert len(gate.waiting(hours=23.99)) == 1
    with pytest.raises(DayRefused, match="waited for an answer until"):
        gate.answer(hours=24)
    assert gate.waiting(hours=24) == []
    assert gate.states() == [(D, "first_launch", "refused")]
    assert gate.room.rows("select decided_by from campaigns.approvals") == [("nobody",)]
    gate.room.run(D)
    assert len(gate.states()) == 1, "the day itself is over"
    assert gate.room.run(after(1))["waiting"] == 2
    assert gate.answer(day=after(1))["enrolled"] == 2
    assert {day for _, _, day in gate.enrolled()} == {after(1)}


def test_a_day_that_asks_takes_the_place_of_the_question_before(gate: Gate) -> None:
    gate.room.customers(2)
    gate.room.ready(D)
    steps.run_day(gate.shop, "winback", D, now=gate.at(D, 2))
    gate.room.run(after(1))  # two hours before the first expires
    assert gate.states() == [(D, "first_launch", "refused"), (after(1), "first_launch", "waiting")]
    with pytest.raises(DayRefused, match="was refused"):
        gate.answer(day=D)


def test_a_refused_enrolment_enrols_nobody_that_day(gate: Gate) -> None:
    gate.room.customers(2)
    gate.room.run(D)
    assert gate.answer(approving.DO_NOT) == {"state": "refused"}
    gate.room.members([gate.room.shop.customer("late")])
    assert gate.room.run(D)["enrolled"] == 0
    with pytest.raises(DayRefused, match="was refused"):
        gate.answer()
    assert gate.enrolled() == []
    assert gate.room.run(after(1))["waiting"] == 3


def test_an_approval_given_twice_enrols_once(gate: Gate) -> None:
    gate.room.customers(2)
    gate.room.run(D)
    assert gate.answer()["enrolled"] == 2
    assert gate.answer()["enrolled"] == 0
    assert gate.answer(approving.DO_NOT) == {"state": "approved"}
    assert len(gate.enrolled()) == 2


def test_two_approvals_at_once_enrol_once(gate: Gate) -> None:
    gate.room.customers(2)
    gate.room.run(D)
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(gate.answer())) for _ in range(2)]
    with gate.room.engine.begin() as connection:
        lock(connection, "campaigns", "group", "reactivation")
        for thread in threads:
            thread.start()
        threads[0].join(0.5)
        assert found == []
    for thread in threads:
        thread.join()
    assert sorted(each["enrolled"] for each in found) == [0, 2]
    assert gate.room.values("select count(*) from delivery.messages") == [2]


def test_an_approval_that_is_killed_leaves_the_question(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    gate.room.customers(2)
    gate.room.run(D)
    with monkeypatch.context() as patched:
        patched.setattr(steps, "plan_approved", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            gate.answer()
    assert gate.enrolled() == []
    assert gate.states() == [(D, "first_launch", "waiting")]
    assert gate.answer()["enrolled"] == 2


def test_who_has_entered_the_campaign_since_or_ordered_gets_nothing(gate: Gate) -> None:
    for ref in ("ada", "bob"):
        gate.room.shop.customer(ref)
    gate.room.members(["ada", "bob"])
    gate.room.run(D)
    gate.room.execute(
        "insert into campaigns.enrolments (customer_id, campaign, entry_no, version, arm, group_name, entered_on)"
        " values (shop.customer_id('test', 'ada'), 'other', 1, 'v', 'control', 'reactivation', :day)",
        day=D,
    )
    gate.room.shop.order("bob", after(1), known_at=gate.at(D, 0.5))
    assert gate.answer()["enrolled"] == 1
    deliver(gate.shop, at=gate.at(D, 12))
    assert gate.room.values("select count(*) from delivery.messages where state = 'accepted'") == [0]


def test_an_approval_after_the_campaigns_day_plans_what_is_due(gate: Gate) -> None:
    gate.entered_before(dict.fromkeys(range(1, 15), 1))
    gate.room.customers(100)
    gate.room.run(D)
    gate.room.shop.publish(after(1))
    done = gate.answer(hours=23)
    assert done["planned"]["we_miss_you"] == 100


def test_a_changed_campaign_is_not_what_was_approved_and_its_day_asks_afresh(gate: Gate, include: Path) -> None:
    gate.room.customers(2)
    gate.room.run(D)
    file = include / "messages" / "winback" / "we_miss_you.en.j2"
    file.write_text(file.read_text() + "\n")
    with pytest.raises(DayRefused, match=r"has changed since .* run `retention campaign winback --day 2026-03-02`"):
        gate.answer()
    assert gate.room.run(D)["waiting"] == 2
    assert [state for _, _, state in gate.states()] == ["refused", "waiting"]
    assert gate.answer()["enrolled"] == 2


def test_an_approval_while_a_later_day_is_half_done_plans_that_day_too(gate: Gate, include: Path) -> None:
    change(include / "campaigns" / "winback.yaml", "re_entry: 3 months", "entry: {every: week, on: monday}")
    file = include / "campaigns" / "winback.yaml"
    words = file.read_text()
    first, last = (
        "{step: we_miss_you, day: 0, channel: email}",
        "{step: final_offer, day: 1, channel: email, offer: final}",
    )
    file.write_text(words[: words.index("steps:")] + f"steps:\n  - {first}\n  - {last}\n")
    gate.room.customers(2)
    gate.room.run(D)
    gate.room.ready(after(1))
    steps.enrol(gate.shop, "winback", after(1), gate.at(after(1)))
    steps.end_enrolments(gate.shop, "winback", after(1))
    for step in ("we_miss_you", "final_offer"):
        steps.plan(gate.shop, "winback", step, after(1))
    assert gate.answer(hours=23)["planned"] == {"we_miss_you": 2, "final_offer": 2}


def test_who_came_after_the_question_waits_for_approval_and_not_for_a_limit(gate: Gate) -> None:
    gate.room.customers(2)
    gate.room.run(D)
    gate.room.members([gate.room.shop.customer("late")])
    gate.answer()
    assert gate.reasons() == {("enrolled", "selected"), ("waits", "approval")}


def test_what_stands_in_the_place_of_a_language_is_not_shown(gate: Gate) -> None:
    gate.room.members([gate.room.shop.customer("ada", language="petronella@private.example")])
    gate.room.run(D)
    (question,) = gate.waiting()
    assert question["languages"] == {"unknown": 1}
    assert "petronella" not in str(question)


def test_a_campaign_that_is_ended_meanwhile_enrols_nobody(gate: Gate, write: Any) -> None:
    gate.room.customers(2)
    gate.room.run(D)
    write("status: live", "status: ended")
    with pytest.raises(DayRefused, match="Campaign winback is ended"):
        gate.answer()


def test_who_waits_is_reserved_for_the_group_until_the_question_expires(gate: Gate, include: Path) -> None:
    change(include / "campaigns" / "winback.yaml", "group: reactivation", "priority: 1\ngroup: reactivation")
    change(include / "campaigns" / "lapsed_30_days.yaml", "control: 0%", "control: 0%\ngroup: reactivation")
    gate.room.shop.customer("ada")
    gate.room.members(["ada"], ["winback", "lapsed_30_days", "send_base"])
    gate.room.shop.launch("lapsed_30_days")
    gate.room.ready(D, "winback", "lapsed_30_days", "send_base")
    steps.run_day(gate.shop, "winback", D, now=gate.at(D))
    steps.run_day(gate.shop, "lapsed_30_days", D, now=gate.at(D))
    assert gate.enrolled() == []
    reasons = gate.room.rows("select campaign, reason from campaigns.decisions order by 1")
    assert [tuple(row) for row in reasons] == [("lapsed_30_days", "in_group"), ("winback", "approval")]
    gate.answer(approving.DO_NOT)
    gate.room.shop.publish(D)
    steps.run_day(gate.shop, "lapsed_30_days", D, now=gate.at(D, 2))
    assert gate.enrolled() == [("ada", "lapsed_30_days", D)]


def test_an_entry_limit_bounds_what_is_asked(gate: Gate, write: Any) -> None:
    write("5000 per day", "2 per day")
    gate.room.customers(5)
    assert gate.room.run(D)["waiting"] == 2
    assert gate.reasons() == {("waits", "approval"), ("waits", "entry_limit")}


def test_a_test_run_shows_who_would_enter_and_leaves_nothing(gate: Gate) -> None:
    gate.room.customers(3)
    gate.room.ready(D)
    for _ in range(2):  # also while they wait
        counts = steps.rehearse(gate.shop, "winback", D, gate.at(D))
        assert (counts["enrolled"], counts["entered"]["customers"]) == (3, 3)
        gate.room.run(D)
    assert gate.states() == [(D, "first_launch", "waiting")]
    assert gate.enrolled() == []


def test_on_the_clock_of_the_days_it_is_recorded_as_automatic(house: House) -> None:
    done = house.run(D)[D.isoformat()]["campaigns"]
    assert {name: counts["enrolled"] for name, counts in done.items()} == {"lapsed_30_days": 1, "winback": 1}
    assert house.rows("select campaign, why, customers, state from campaigns.approvals order by 1") == [
        ("lapsed_30_days", "first_launch", 1, "automatic"),
        ("winback", "first_launch", 1, "automatic"),
    ]


def test_on_that_clock_what_is_sent_for_real_waits_all_the_same(house: House) -> None:
    house.shop.publish(D)
    done = pipeline.run_days(Shop(house.settings, house.engine), D, D, send_for_real=True)
    assert {each["waiting"] for each in done[D.isoformat()]["campaigns"].values()} == {1}
    assert house.rows("select distinct state from campaigns.approvals") == [("waiting",)]


def test_the_question_has_sizes_exclusions_samples_and_cost_and_names_nobody(gate: Gate) -> None:
    gate.room.shop.customer("secret-ref", first_name="Petronella", email="petronella@private.example")
    gate.room.shop.customer("no-mail", consents=("sms",))
    gate.room.members(["secret-ref", "no-mail"])
    gate.room.run(D)
    (question,) = gate.waiting()
    assert question["subject"] == "Enrol 1 customers in winback, day 2026-03-02?"
    assert (question["languages"], question["excluded"]) == ({"en": 1}, {"no_consent": 1})
    assert question["cost"].endswith(" EUR")
    assert "Anna, it has been a while" in question["body"], "a made-up person"
    assert not any(word in str(question) for word in ("Petronella", "private.example", "secret-ref"))


def test_a_broken_campaign_is_told_and_hides_no_other_question(
    gate: Gate, include: Path, caplog: pytest.LogCaptureFixture
) -> None:
    gate.room.shop.customer("ada")
    gate.room.members(["ada"], ["winback", "lapsed_30_days", "send_base"])
    change(include / "campaigns" / "winback.yaml", "group: reactivation", "#")
    for name in ("winback", "lapsed_30_days"):
        gate.room.run(D, name)
    change(include / "campaigns" / "winback.yaml", "control:", "controll:")
    found = approving.waiting(gate.shop, now=gate.at(D, 1))["waiting"]
    assert [each["campaign"] for each in found] == ["lapsed_30_days"]
    assert "winback, 2026-03-02: " in caplog.text


def test_an_approval_that_nobody_knows_is_wrong_input(gate: Gate) -> None:
    with pytest.raises(InputError, match="There is no approval 'winback-2026-03-02-7'"):
        approvals.approve(gate.shop, "winback-2026-03-02-7", "mira", gate.at(D))
