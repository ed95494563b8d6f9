"""A campaign whose file is missing waits, then ends; one that was renamed goes on under its new name."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest
from house import D, Fresh, House, after, break_yaml
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from sqlalchemy import text

from retention import pipeline
from retention.campaigns import definitions, folder
from retention.core.errors import InputError, StateError
from retention.core.shop import Shop
from retention.delivery.exports import audiences
from retention.delivery.operations import halting, proof

FILE = "campaigns/winback.yaml"


def take_away(house: House, name: str = "winback") -> str:
    """Delete the campaign's file; what was in it."""
    file = house.campaigns / f"{name}.yaml"
    written = file.read_text()
    file.unlink()
    return written


def put_back(house: House, written: str, name: str = "winback") -> None:
    (house.campaigns / f"{name}.yaml").write_text(written)


def rename(house: House, old: str = "winback", new: str = "comeback", says_so: bool = True) -> None:
    """Rename file and templates, as a person would."""
    written = take_away(house, old).replace(f"campaign: {old}", f"campaign: {new}")
    if says_so:
        written = written.replace(f"campaign: {new}\n", f"campaign: {new}\nrenamed_from: {old}\n")
    put_back(house, written, new)
    shutil.copytree(house.settings.include / "messages" / old, house.settings.include / "messages" / new)


def noon(house: House, day: date) -> datetime:
    return datetime.combine(day, time(12), tzinfo=house.settings.shop_time_zone)


def deliver(house: House, day: date) -> dict[str, Any]:
    """What a delivery on the wall clock does at noon of `day`."""
    return pipeline.deliver(Shop(house.settings.evolve(clock="wall"), house.engine), at=noon(house, day))


def states(house: House, campaign: str = "winback") -> list[Any]:
    return house.rows(
        f"select step, state, reason from delivery.messages where campaign = '{campaign}' order by due_at, step"
    )


def enrolled(house: House) -> list[Any]:
    return house.rows(
        "select customer_ref, campaign, entry_no, entered_on, exited_on, exit_reason from campaigns.enrolments"
        " join shop.customers using (customer_id) where campaign not like 'lapsed%' order by 1, 2, 3"
    )


def alter(house: House, statement: str) -> None:
    """Change a table itself."""
    with house.engine.begin() as connection:
        connection.execute(text(statement))


def plan_only(house: House, *days: date) -> None:
    """Publish and do the campaigns' days, without sending."""
    for day in days:
        house.shop.publish(day)
        pipeline.refresh.select(Shop(house.settings, house.engine), day)
        for name in definitions.names(house.settings.include):
            pipeline.steps.run_day(Shop(house.settings, house.engine), name, day)


# --- missing ---------------------------------------------------------------------------------------------------------


def test_no_message_of_a_campaign_whose_file_is_missing_is_sent_and_it_says_so(house: House) -> None:
    plan_only(house, D)
    take_away(house)
    report = deliver(house, after(1))
    assert (report["accepted"], report["deferred"]) == (1, 1)
    assert "winback.yaml, but the campaign is not over" in report["paused"]["winback"]
    assert states(house) == [("we_miss_you", "planned", None)]
    assert enrolled(house) == [("ada", "winback", 1, D, None, None)]


def test_a_campaign_ends_once_its_file_is_missing_on_two_published_days(house: House) -> None:
    plan_only(house, D, after(1))
    house.run(after(2))  # the nudge is planned, with its coupon
    house.shop.publish(after(3))
    with house.engine.begin() as connection:
        connection.execute(text("update delivery.messages set state = 'planned', claim = null where step = 'nudge'"))
        connection.execute(text("update offers.coupons set state = 'reserved', expires_at = null"))
    take_away(house)
    for _ in range(3):  # however often it is looked at on one day
        assert "winback" in folder.reconcile(Shop(house.settings, house.engine))
    assert enrolled(house) == [("ada", "winback", 1, D, None, None)]
    house.shop.publish(after(4))
    assert folder.reconcile(Shop(house.settings, house.engine)) == {}
    assert enrolled(house) == [("ada", "winback", 1, D, after(4), "campaign_removed")]
    assert ("nudge", "skipped", "campaign_removed") in states(house)
    assert house.rows("select distinct state from offers.coupons") == [("void",)]
    assert folder.reconcile(Shop(house.settings, house.engine)) == {}


@pytest.mark.parametrize("is_finished", [False, True])
def test_who_is_in_the_audience_of_a_campaign_that_ended_is_taken_out(fresh: Fresh, is_finished: bool) -> None:
    house = fresh(5)
    assert house.rows("select added_in, left_at from delivery.audience_members") == [(1, None)]
    if is_finished:  # as where the audience outlasts the last message
        with house.engine.begin() as connection:
            connection.execute(
                text("update campaigns.enrolments set exited_on = :day, exit_reason = 'finished'"), {"day": after(5)}
            )
            connection.execute(text("update delivery.audience_members set until_on = :day"), {"day": after(60)})
    take_away(house)
    house.run(after(6), after(8))
    assert house.rows("select added_in, left_reason, removed_in from delivery.audience_members") == [
        (1, "campaign_removed", 2)
    ]
    assert proof.prove(Shop(house.settings, house.engine))["audience_overstayed"] == 0


def test_who_is_in_the_audience_of_a_paused_campaign_is_not_put_into_a_file(fresh: Fresh) -> None:
    house = fresh(2)
    plan_only(house, after(3))
    assert deliver(house, after(4))["accepted"] >= 1
    take_away(house)
    folder.reconcile(Shop(house.settings, house.engine))
    at = noon(house, after(4)) + timedelta(hours=1)
    assert audiences.export(Shop(house.settings, house.engine), at=at)["added"] == 0
    assert house.rows("select added_in, left_at from delivery.audience_members") == [(None, None)]


def test_a_file_that_comes_back_lets_its_campaign_go_on_and_the_count_begins_again(fresh: Fresh) -> None:
    house = fresh(0)
    for number in (1, 3, 5):
        written = take_away(house)
        house.run(after(number))
        assert house.rows("select exited_on from campaigns.enrolments where campaign = 'winback'") == [(None,)]
        put_back(house, written)
        assert "paused" not in house.run(after(number + 1))[after(number + 1).isoformat()]
    assert house.rows("select campaign from campaigns.paused") == []
    steps = [step for ref, campaign, step in house.accepted() if campaign == "winback"]
    assert steps == ["we_miss_you", "nudge", "retarget"]


def empty_the_folder(house: House) -> None:
    for file in house.campaigns.glob("*.yaml"):
        file.unlink()


def unmount_the_folder(house: House) -> None:
    shutil.rmtree(house.campaigns)


def write_no_utf_8(house: House) -> None:
    (house.campaigns / "winback.yaml").write_bytes(b"\xff\xfe")


def delete_it_beside_a_broken_one(house: House) -> None:
    take_away(house)
    house.change("campaigns/lapsed_30_days.yaml", "re_entry:", "re_entri:")


@pytest.mark.parametrize(
    "hide", [break_yaml, write_no_utf_8, empty_the_folder, unmount_the_folder, delete_it_beside_a_broken_one]
)
def test_a_file_that_cannot_be_read_and_a_folder_without_campaigns_pause_but_end_nothing(
    house: House, hide: Callable[[House], None], tmp_path: Path
) -> None:
    plan_only(house, D)
    kept = shutil.copytree(house.campaigns, tmp_path / "kept")
    hide(house)
    for number in range(1, 6):
        house.shop.publish(after(number))
        assert "winback" in folder.reconcile(Shop(house.settings, house.engine))
    assert deliver(house, after(1))["paused"]["winback"]
    assert enrolled(house) == [("ada", "winback", 1, D, None, None)]
    assert states(house) == [("we_miss_you", "planned", None)]
    shutil.rmtree(house.campaigns, ignore_errors=True)
    shutil.copytree(kept, house.campaigns)
    assert folder.reconcile(Shop(house.settings, house.engine)) == {}
    assert deliver(house, after(1))["accepted"] >= 1


def test_a_file_that_could_not_be_read_and_is_then_deleted_counts_as_missing_from_its_deletion_on(house: House) -> None:
    plan_only(house, D)
    break_yaml(house)
    house.shop.publish(after(1))
    assert "winback" in folder.reconcile(Shop(house.settings, house.engine))
    take_away(house)
    house.shop.publish(after(2))
    for _ in range(2):
        assert (
            "winback.yaml, but the campaign is not over"
            in folder.reconcile(Shop(house.settings, house.engine))["winback"]
        )
    assert enrolled(house) == [("ada", "winback", 1, D, None, None)]
    house.shop.publish(after(3))
    assert folder.reconcile(Shop(house.settings, house.engine)) == {}
    assert enrolled(house) == [("ada", "winback", 1, D, after(3), "campaign_removed")]


def test_a_campaign_is_removed_by_command_once_its_file_is_deleted(house: House) -> None:
    plan_only(house, D)
    with pytest.raises(InputError, match=r"winback\.yaml is there"):
        folder.remove(Shop(house.settings, house.engine), "winback")
    written = take_away(house)
    counts = folder.remove(Shop(house.settings, house.engine), "winback")
    assert counts == {"exited": 1, "skipped": 1, "coupons": 0, "audience_members": 0}
    assert states(house) == [("we_miss_you", "skipped", "campaign_removed")]
    assert folder.remove(Shop(house.settings, house.engine), "winback") == dict.fromkeys(counts, 0)
    with pytest.raises(InputError, match="There is no campaign 'winbak'"):
        folder.remove(Shop(house.settings, house.engine), "winbak")
    put_back(house, written)
    folder.reconcile(Shop(house.settings, house.engine))
    assert house.rows("select * from campaigns.paused") == []


def test_a_message_that_is_planned_again_after_its_campaign_ended_is_taken_back(fresh: Fresh) -> None:
    house = fresh(0)
    take_away(house)
    folder.remove(Shop(house.settings, house.engine), "winback")
    with house.engine.begin() as connection:  # as a person does who settles an unknown one
        connection.execute(
            text("update delivery.messages set state = 'planned', claim = null where campaign = 'winback'")
        )
    assert deliver(house, after(1))["accepted"] == 0
    assert states(house) == [("we_miss_you", "skipped", "campaign_removed")]


# --- renamed ---------------------------------------------------------------------------------------------------------


def test_a_renamed_campaign_sends_nobody_a_step_twice_and_goes_on(fresh: Fresh) -> None:
    house = fresh(2)
    rename(house)
    house.run(after(3), after(9))
    steps = [step for ref, _, step in house.accepted() if ref == "ada"]
    assert sorted(steps) == ["final_offer", "nudge", "retarget", "we_miss_you"]
    assert "paused" not in house.run(after(10))[after(10).isoformat()]
    [entry] = enrolled(house)
    assert entry[:4] == ("ada", "comeback", 1, D)
    assert entry[5] == "finished"
    assert sum(proof.prove(Shop(house.settings, house.engine)).values()) == 0


def test_a_rename_that_fails_stops_both_names_and_no_other_campaign(fresh: Fresh) -> None:
    house = fresh(2)
    house.shop.customer("bea")
    house.shop.order("bea", after(-27))  # lapsed for 30 days on day 3 or 4
    alter(house, "alter table campaigns.decisions add constraint no check (campaign <> 'comeback') not valid")
    rename(house)
    before = house.accepted()
    done = house.run(after(3), after(5))
    assert {row[1] for row in house.accepted() if row not in before} == {"lapsed_30_days"}
    assert all(set(done[f"{after(day)}"]["paused"]) == {"winback", "comeback"} for day in (3, 4, 5))
    assert "a fault of the program" in done[f"{after(5)}"]["paused"]["comeback"]
    alter(house, "alter table campaigns.decisions drop constraint no")
    house.run(after(6), after(9))
    steps = [step for ref, _, step in house.accepted() if ref == "ada"]
    assert len(steps) == len(set(steps))
    assert "final_offer" in steps
    assert sum(proof.prove(Shop(house.settings, house.engine)).values()) == 0


def test_nothing_is_left_under_the_old_name_of_a_renamed_campaign(fresh: Fresh) -> None:
    house = fresh(5)
    halting.halt(Shop(house.settings, house.engine), campaign="winback")
    rename(house)
    folder.reconcile(Shop(house.settings, house.engine))
    with house.engine.connect() as connection:
        tables = connection.execute(
            text(
                "select table_schema || '.' || table_name as name from information_schema.columns"
                " where column_name = 'campaign' and table_schema not in ('pg_catalog', 'information_schema')"
            )
        ).scalars()
        found = {
            name: connection.execute(text(f"select count(*) from {name} where campaign = 'winback'")).scalar_one()
            for name in tables
        }
    assert set(found.values()) == {0}
    assert {"campaigns.enrolments", "delivery.messages", "delivery.exports", "offers.coupons"} <= set(found)
    days = "select distinct split_part(part, ':', 1) from shop.days where stage = 'campaigns' order by 1"
    assert house.rows(days) == [("comeback",), ("lapsed_30_days",)]
    assert house.rows("select name from delivery.halts") == [("comeback",)]
    assert house.rows("select distinct definition ->> 'campaign' from campaigns.versions order by 1") == [
        ("comeback",),
        ("lapsed_30_days",),
    ]
    before = [house.rows(f"select * from {name} as t order by t::text") for name in sorted(found)]
    folder.reconcile(Shop(house.settings, house.engine))
    assert [house.rows(f"select * from {name} as t order by t::text") for name in sorted(found)] == before


def test_a_renamed_campaign_counts_re_entry_on_and_control_stays_control(house: House) -> None:
    house.change(FILE, "control: 0%", "control: 50%")
    for number in range(30):
        house.shop.customer(f"c{number:02d}", household_ref=f"h{number // 2}")
        house.shop.order(f"c{number:02d}", D - timedelta(days=500))
    house.run(D)
    arms = "select customer_id, arm from campaigns.enrolments where campaign in ('winback', 'comeback') order by 1"
    before = house.rows(arms)
    with house.engine.begin() as connection:  # ended long ago: they may enter again; one of each household enters first
        connection.execute(text("update campaigns.enrolments set exited_on = entered_on, exit_reason = 'finished'"))
        connection.execute(text("delete from campaigns.enrolments where customer_id % 2 = 0"))
    rename(house)
    house.run(after(1))
    assert house.rows("select count(*) from campaigns.enrolments where campaign = 'comeback' and entry_no > 1") == [
        (0,)
    ]
    drawn = dict(house.rows(arms))
    assert {customer: arm for customer, arm in before if customer in drawn} == drawn
    assert len(drawn) == len(before), "who had no entry left entered again, in the arm that the old name had drawn"


def test_the_lists_of_a_renamed_campaign_keep_their_folder(fresh: Fresh) -> None:
    house = fresh(5)
    rename(house)
    house.run(after(6), after(9))
    root = house.settings.local / "audiences"
    assert [folder.name for folder in root.iterdir()] == ["winback_retarget"]
    assert [folder.name[-4:] for folder in sorted((root / "winback_retarget").iterdir())] == ["0001", "0002"]


def test_a_campaign_renamed_twice_goes_on_too(fresh: Fresh) -> None:
    house = fresh(2)
    rename(house)
    house.run(after(3), after(4))
    rename(house, "comeback", "return_to_us")
    house.change("campaigns/return_to_us.yaml", "renamed_from: winback\n", "")
    house.run(after(5), after(9))
    steps = [step for ref, _, step in house.accepted() if ref == "ada"]
    assert sorted(steps) == ["final_offer", "nudge", "retarget", "we_miss_you"]
    assert house.rows("select * from campaigns.first_names") == [("return_to_us", "winback")]


def test_a_rename_that_was_forgotten_and_said_later_joins_both(fresh: Fresh) -> None:
    house = fresh(1)
    rename(house, says_so=False)
    house.change("campaigns/comeback.yaml", "group: reactivation", "#")  # in a group ada would not enter again
    house.run(after(2))  # ada enters again: the mistake that renamed_from is for
    assert [row[1:3] for row in enrolled(house)] == [("comeback", 1), ("winback", 1)]
    house.change("campaigns/comeback.yaml", "campaign: comeback\n", "campaign: comeback\nrenamed_from: winback\n")
    house.run(after(3), after(10))
    first, second = enrolled(house)
    assert first[1:4] == ("comeback", 1, D)
    assert first[5] == "finished"
    assert second[1:] == ("comeback", 2, after(2), after(3), "campaign_removed")
    steps = house.rows("select entry_no, step from delivery.messages where state = 'accepted' order by due_at")
    # The nudge's day was over before the two were one: a step is left out rather than sent twice.
    assert [step for step in steps if step[1] != "anything_you_need"] == [
        (1, "we_miss_you"),
        (2, "we_miss_you"),
        (1, "retarget"),
        (1, "final_offer"),
    ]


def test_a_rename_waits_for_a_message_that_is_being_handed_over(house: House) -> None:
    plan_only(house, D)
    with house.engine.begin() as connection:
        connection.execute(
            text(
                "update delivery.messages set state = 'attempting', attempts = 1, attempted_at = due_at,"
                " claim = gen_random_uuid() where campaign = 'winback'"
            )
        )
    rename(house)
    assert "is being handed over" in folder.reconcile(Shop(house.settings, house.engine))["winback"]
    with pytest.raises(StateError, match="is being handed over"):
        pipeline.steps.run_day(Shop(house.settings, house.engine), "comeback", D)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("renamed_from: winback", r"winback\.yaml, line 3: renamed_from is 'winback', its own name"),
        ("renamed_from: lapsed_30_days", r"winback\.yaml, line 3: lapsed_30_days\.yaml is still there"),
        ("renamed_from: Old Name", r"winback\.yaml, line 3: renamed_from is \"Old Name\"; write a name"),
    ],
)
def test_an_old_name_that_cannot_be_meant_is_refused_with_file_and_line(house: House, line: str, says: str) -> None:
    house.change(FILE, "campaign: winback\n", f"campaign: winback\n{line}\n")
    with pytest.raises(InputError, match=says):
        definitions.read(house.settings.include, "winback")


def test_two_files_with_one_old_name_are_refused_and_nothing_ends(house: House) -> None:
    plan_only(house, D)
    rename(house)
    written = (house.campaigns / "comeback.yaml").read_text()
    put_back(house, written.replace("campaign: comeback", "campaign: other"), "other")
    for name, other in (("comeback", "other"), ("other", "comeback")):
        with pytest.raises(InputError, match=rf"{name}\.yaml, line 3: {other}\.yaml was renamed from 'winback' too"):
            definitions.read(house.settings.include, name)
    for number in (1, 2, 3):
        house.shop.publish(after(number))
        assert set(folder.reconcile(Shop(house.settings, house.engine))) == {"winback", "comeback", "other"}
    assert enrolled(house) == [("ada", "winback", 1, D, None, None)]


def test_who_is_carried_over_is_not_removed_by_command(house: House) -> None:
    plan_only(house, D)
    rename(house)
    with pytest.raises(InputError, match=r"comeback\.yaml says renamed_from: winback"):
        folder.remove(Shop(house.settings, house.engine), "winback")


def test_a_rehearsal_of_a_renamed_campaign_shows_nobody_entering_again_and_leaves_nothing(fresh: Fresh) -> None:
    house = fresh(0)
    rename(house)
    house.shop.publish(after(1))
    pipeline.refresh.select(Shop(house.settings, house.engine), after(1))
    counts = pipeline.steps.run_day(Shop(house.settings, house.engine), "comeback", after(1), test=True)
    assert counts["enrolled"] == 0
    assert [row[1] for row in enrolled(house)] == ["winback"]


def test_two_lists_are_not_joined_and_nobody_is_written_to_under_the_new_name(fresh: Fresh) -> None:
    house = fresh(5)
    rename(house, says_so=False)
    house.run(after(6), after(12))
    assert house.rows("select distinct campaign from delivery.exports order by 1") == [("comeback",), ("winback",)]
    house.change("campaigns/comeback.yaml", "campaign: comeback\n", "campaign: comeback\nrenamed_from: winback\n")
    house.shop.publish(after(13))
    pipeline.refresh.select(Shop(house.settings, house.engine), after(13))
    with pytest.raises(StateError, match="both have exported"):
        pipeline.steps.run_day(Shop(house.settings, house.engine), "comeback", after(13))


# --- whatever happens to the file ------------------------------------------------------------------------------------

FATES = ("there", "missing", "broken", "renamed")
DAYS = 8


@examples(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(fates=st.lists(st.sampled_from(FATES), min_size=DAYS, max_size=DAYS))
def test_whatever_becomes_of_a_file_no_step_comes_twice_and_nobody_else_notices(
    fates: list[str], undisturbed: list[Any], fresh: Fresh
) -> None:
    house = fresh(0)
    written = (house.campaigns / "winback.yaml").read_text()
    shutil.copytree(house.settings.include / "messages/winback", house.settings.include / "messages/comeback")
    name, ended, others = "winback", {}, {"winback": "comeback", "comeback": "winback"}
    renamed_from = ""
    for number, fate in enumerate(fates, start=1):
        before = messages(house)
        (house.campaigns / f"{name}.yaml").unlink(missing_ok=True)
        if fate == "renamed":
            name, renamed_from = others[name], f"renamed_from: {name}\n"
        if fate != "missing":
            what = written.replace("campaign: winback\n", f"campaign: {name}\n{renamed_from}")
            put_back(house, what.replace("control:", "controll:") if fate == "broken" else what, name)
        house.run(after(number))
        sent = messages(house)
        assert fate in ("there", "renamed") or sent == before, "a paused campaign sends nothing"
        steps = [step for step, _ in sent]
        assert len(steps) == len(set(steps)), "a step comes once"
        for key, *end in house.rows(
            "select entry_no, exited_on, exit_reason from campaigns.enrolments where campaign not like 'lapsed%'"
        ):
            assert ended.setdefault(key, end) == end or ended[key] == [None, None], "an entry ends once"
            ended[key] = end
        assert len(ended) == 1, "re_entry counts on"
    assert bystanders(house) == undisturbed
    assert sum(proof.prove(Shop(house.settings, house.engine)).values()) == 0


def messages(house: House) -> list[Any]:
    """What went out of winback, by whatever name."""
    return house.rows(
        "select step, attempted_at from delivery.messages where state = 'accepted' and campaign not like 'lapsed%'"
        " order by 2"
    )


def bystanders(house: House) -> list[Any]:
    """The ledger of the campaign whose file is always there."""
    return house.rows(
        "select m.customer_id, m.message_key, m.step, m.day, m.state, m.reason, m.due_at, m.attempts, m.attempted_at,"
        " e.entered_on, e.exited_on, e.exit_reason from delivery.messages as m join campaigns.enrolments as e"
        " using (customer_id, campaign, entry_no) where m.campaign = 'lapsed_30_days' order by 2"
    )


@pytest.fixture
def undisturbed(fresh: Fresh) -> list[Any]:
    """What the other campaign does where nothing happens to any file."""
    house = fresh(0)
    house.run(after(1), after(DAYS))
    return bystanders(house)
