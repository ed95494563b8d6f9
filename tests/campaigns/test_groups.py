"""Campaigns of one group: who enters which, in what order, and who moves on to the next."""

from __future__ import annotations

import threading
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from house import House, change

from retention import pipeline
from retention.campaigns import definitions, steps
from retention.core.database import lock
from retention.core.errors import InputError, StateError
from retention.core.shop import Shop
from shop import INCLUDE

D = date(2026, 3, 2)
SELECTIONS = ["winback", "lapsed_30_days", "send_base"]
ALL = [file.stem for file in (INCLUDE / "sql" / "selections").glob("*.sql")]


def after(number: int) -> date:
    return D + timedelta(days=number)


@pytest.fixture
def group(room: Any, include: Path) -> Any:
    """winback and lapsed_30_days in one group, winback first."""
    change(include / "campaigns" / "winback.yaml", "group: reactivation", "group: reactivation\npriority: 1")
    change(include / "campaigns" / "lapsed_30_days.yaml", "control: 0%", "control: 0%\ngroup: reactivation")
    return room


def entered(room: Any) -> dict[str, tuple[str, date]]:
    """Who is inside which campaign, and since when."""
    rows = room.rows(
        "select c.customer_ref, e.campaign, e.entered_on from campaigns.enrolments as e"
        " join shop.customers as c using (customer_id) where e.exited_on is null"
    )
    return {ref: (campaign, entered_on) for ref, campaign, entered_on in rows}


def reasons(room: Any, campaign: str) -> dict[str, tuple[str, str]]:
    """By customer: the newest decision of the campaign."""
    rows = room.rows(
        "select c.customer_ref, d.decision, d.reason from campaigns.decisions as d"
        " join shop.customers as c using (customer_id) where d.campaign = :campaign order by d.decided_on",
        campaign=campaign,
    )
    return {ref: (decision, reason) for ref, decision, reason in rows}


@pytest.mark.parametrize("by_hand", [["winback", "lapsed_30_days"], ["lapsed_30_days", "winback"]])
@pytest.mark.parametrize(("priority", "first"), [("priority: 1", "winback"), ("priority: 50", "lapsed_30_days")])
def test_who_may_enter_two_enters_the_one_with_priority_whichever_is_run_first(
    group: Any, write: Any, by_hand: list[str], priority: str, first: str
) -> None:
    write("priority: 1", priority)  # of two with one priority the name decides
    group.members([group.shop.customer("ada")], SELECTIONS)
    group.ready(D, *ALL)
    for name in by_hand:
        steps.run_day(Shop(group.settings, group.engine), name, D)
    assert entered(group) == {"ada": (first, D)}


def test_the_chain_of_all_rooms_keeps_the_order(house: House) -> None:
    house.change("campaigns/winback.yaml", "group: reactivation", "group: reactivation\npriority: 1")
    house.change("campaigns/lapsed_30_days.yaml", "control: 0%", "control: 0%\ngroup: reactivation")
    house.change("campaigns/lapsed_30_days.yaml", "selection: lapsed_30_days", "selection: winback")
    done = house.run(D)[D.isoformat()]["campaigns"]
    assert {name: counts["enrolled"] for name, counts in done.items()} == {"winback": 1, "lapsed_30_days": 0}
    assert list(done) == ["winback", "lapsed_30_days"]


def test_a_group_does_each_missed_day_before_the_next(group: Any) -> None:
    ada = group.shop.customer("ada")
    group.members([ada], ["send_base"])
    group.members([ada], ["lapsed_30_days"], since=after(1))
    group.members([ada], ["winback"], since=after(2))
    group.ready(D, *ALL)
    for name in ("winback", "lapsed_30_days"):
        steps.run_day(Shop(group.settings, group.engine), name, D)
    for number in (1, 2, 3):
        group.ready(after(number), *ALL)
    steps.run_day(Shop(group.settings, group.engine), "winback", after(3))
    assert entered(group) == {"ada": ("lapsed_30_days", after(1))}, "on that day nobody else could have her"


def test_a_test_run_leaves_out_whom_a_campaign_before_it_would_take(group: Any) -> None:
    group.members([group.shop.customer("ada")], SELECTIONS)
    group.members([group.shop.customer("bob")], ["lapsed_30_days", "send_base"])
    group.ready(D, *ALL)
    call = (Shop(group.settings, group.engine), "lapsed_30_days", D)
    tried = steps.run_day(*call, test=True)
    assert tried["enrolled"] == 1
    assert group.table("campaigns.enrolments") == []
    assert steps.run_day(*call) == tried


def break_file(include: Path) -> None:
    change(include / "campaigns" / "winback.yaml", "control:", "controll:")


def break_template(include: Path) -> None:
    change(
        include / "messages" / "winback" / "we_miss_you.en.j2", "{% block text %}", "{% block text %}{{ firstname }}"
    )


@pytest.mark.parametrize("break_it", [break_file, break_template])
def test_a_broken_campaign_is_told_and_stops_none_that_come_after_it(
    group: Any, include: Path, break_it: Any, caplog: pytest.LogCaptureFixture
) -> None:
    break_it(include)
    group.members([group.shop.customer("ada")], SELECTIONS)
    group.ready(D, *ALL)
    shop = Shop(group.settings, group.engine)
    for names in definitions.groups(include):
        if "winback" in names:
            with pytest.raises(InputError, match=r"^winback 2026-03-02: .*(controll|firstname)"):
                pipeline.enrol(shop, names, D)
        else:
            pipeline.enrol(shop, names, D)
    assert entered(group) == {"ada": ("lapsed_30_days", D)}
    assert "winback, 2026-03-02: " in caplog.text


def test_what_may_pass_is_told_as_worth_another_try(group: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    group.members([group.shop.customer("ada")], SELECTIONS)
    group.ready(D, *ALL)
    real = steps.enrol

    def enrol(shop: Shop, name: str, day: date) -> Any:
        return real(shop, name, day) if name == "winback" else 1 / 0

    monkeypatch.setattr(steps, "enrol", enrol)
    with pytest.raises(StateError, match="lapsed_30_days 2026-03-02: ZeroDivisionError"):
        pipeline.enrol(Shop(group.settings, group.engine), ["lapsed_30_days", "winback"], D)
    assert entered(group) == {"ada": ("winback", D)}


def test_two_runs_of_one_group_take_turns(group: Any) -> None:
    group.members([group.shop.customer("ada")], SELECTIONS)
    group.ready(D, *ALL)
    shop = Shop(group.settings, group.engine)
    run = threading.Thread(target=steps.enrol, args=(shop, "winback", D))
    with group.engine.begin() as connection:
        lock(connection, "campaigns", "group", "reactivation")
        run.start()
        run.join(1)
        assert run.is_alive()
        assert entered(group) == {}
    run.join()
    assert entered(group) == {"ada": ("winback", D)}


def test_a_campaign_that_follows_takes_who_came_to_the_end_of_the_one_before_in_either_arm(
    group: Any, include: Path
) -> None:
    change(
        include / "campaigns" / "lapsed_30_days.yaml", "group: reactivation", "group: reactivation\nfollows: winback"
    )
    past = {  # by customer: campaign, days of entry and end before D, why it ended, arm
        "came_to_the_end": [("winback", 20, 10, "finished", "treated")],
        "without_a_message": [("winback", 20, 10, "finished", "control")],
        "ended_yesterday": [("winback", 11, 1, "finished", "treated")],
        "twice_around": [
            ("winback", 400, 390, "finished", "treated"),
            ("lapsed_30_days", 380, 375, "finished", "treated"),
            ("winback", 20, 10, "finished", "treated"),
        ],
        "ordered": [("winback", 20, 15, "order", "treated")],
        "objected": [("winback", 20, 15, "unsubscribe", "control")],
        "ordered_the_second_time": [
            ("winback", 400, 390, "finished", "treated"),
            ("winback", 20, 15, "order", "treated"),
        ],
        "was_here_since": [
            ("winback", 400, 390, "finished", "treated"),
            ("lapsed_30_days", 380, 375, "finished", "treated"),
        ],
        "never_in_winback": [],
        "inside": [("winback", 2, None, None, "treated")],
        "ends_today": [("winback", 10, None, None, "control")],
    }
    group.members([group.shop.customer(ref) for ref in past], ["lapsed_30_days", "send_base"])
    for ref, entries in past.items():
        for number, (campaign, entry, end, why, arm) in enumerate(entries, 1):
            group.execute(
                "insert into campaigns.enrolments (customer_id, campaign, entry_no, version, arm, group_name,"
                " entered_on, exited_on, exit_reason) values (shop.customer_id('test', :ref), :campaign, :number, 'v',"
                " :arm, 'reactivation', :entered_on, :exited_on, :why)",
                ref=ref,
                campaign=campaign,
                number=number,
                arm=arm,
                why=why,
                entered_on=after(-entry),
                exited_on=None if end is None else after(-end),
            )
    group.ready(D, *ALL)
    steps.run_day(Shop(group.settings, group.engine), "lapsed_30_days", D)
    takes = ["came_to_the_end", "without_a_message", "ended_yesterday", "twice_around"]
    answers = reasons(group, "lapsed_30_days")
    assert sorted(ref for ref, (decision, _) in answers.items() if decision == "enrolled") == sorted(takes)
    assert {ref: answer for ref, answer in answers.items() if ref not in takes} == {
        **dict.fromkeys(set(past) - set(takes), ("waits", "not_followed")),
        **dict.fromkeys(("inside", "ends_today"), ("waits", "in_group")),
    }


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("group: reactivation\nfollows: winbak", "there is no campaign 'winbak'.*winback"),
        ("group: reactivation\nfollows: lapsed_30_days", "lapsed_30_days follows itself"),
        ("group: others\nfollows: winback", "winback is not in one group with lapsed_30_days; write the same in both"),
        ("follows: winback", "winback is not in one group with lapsed_30_days; write the same in both"),
    ],
)
def test_a_campaign_follows_another_one_of_its_group(group: Any, include: Path, written: str, told: str) -> None:
    change(include / "campaigns" / "lapsed_30_days.yaml", "group: reactivation", written)
    with pytest.raises(InputError, match=rf"lapsed_30_days\.yaml, line \d+: {told}"):
        definitions.read(include, "lapsed_30_days")


@pytest.mark.parametrize("migrate", ["", "\nmigrate: yes"])
def test_who_is_inside_when_the_group_is_written_is_in_it(room: Any, include: Path, migrate: str) -> None:
    room.shop.customer("ada")
    room.members(["ada"], ["winback", "lapsed_30_days", "send_base"])
    change(include / "campaigns" / "winback.yaml", "status: live", "status: draft")

    def run(day: date) -> None:
        room.ready(day, "winback", "lapsed_30_days", "send_base")
        for name in ("lapsed_30_days", "winback"):
            steps.run_day(Shop(room.settings, room.engine), name, day)

    run(D)
    change(include / "campaigns" / "lapsed_30_days.yaml", "control: 0%", f"control: 0%\ngroup: reactivation{migrate}")
    change(include / "campaigns" / "winback.yaml", "status: draft", "status: live")
    run(D + timedelta(days=1))
    found = room.rows("select campaign, group_name from campaigns.enrolments where exited_on is null")
    assert [tuple(row) for row in found] == [("lapsed_30_days", "reactivation")]
