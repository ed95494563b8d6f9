"""Caps: at most so many messages to one customer, over all campaigns, whatever was planned and whenever it is sent."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from planner import AMSTERDAM, DAY, MORNING, TEMPLATES, Planner
from retention.core.database import lock
from retention.core.days import Part
from retention.core.errors import InputError
from retention.core.settings import Settings
from retention.core.shop import Shop
from retention.delivery.channels.base import Settled
from retention.delivery.channels.outbox import Outbox
from retention.delivery.operations import proof
from retention.delivery.worker import deliver, replay
from retention.ledger.caps import Cap, read, sync_rules
from retention.ledger.outcomes import refused
from retention.selections import definitions, refresh
from shop import NAMESPACE, ShopData

NEXT = DAY + timedelta(days=1)
CAMPAIGNS = ("sale", "thanks", "birthday", "news")
TEXTS = TEMPLATES | {"ping.en.j2": "{% block text %}{{ first_name }}, hello{% endblock %}"}


@dataclass
class Capped:
    """A shop with campaigns that compete, and the caps of one file."""

    settings: Settings
    engine: Engine
    shop: ShopData
    planner: Planner

    def caps(self, text: str) -> None:
        (self.settings.include / "caps.yaml").write_text(text)

    def send(self, at: datetime = MORNING, **options: Any) -> dict[str, Any]:
        return deliver(Shop(self.settings, self.engine), at=at, **options).counts()

    def plan(self, ref: str, number: int, **options: Any) -> str:
        """So many messages of campaigns of their own, due at once; who gets them."""
        self.shop.customer(ref)
        for campaign in CAMPAIGNS[:number]:
            self.planner.message(ref, campaign=campaign, **options)
        return ref

    def got(self) -> Counter[str]:
        """How many messages went out to each customer."""
        rows = self.planner.run(
            "select c.customer_ref from delivery.messages join shop.customers as c using (customer_id)"
            " where state = 'accepted'"
        )
        return Counter(row["customer_ref"] for row in rows)

    def member(self, ref: str, selection: str, first: date = DAY, left: date | None = None) -> None:
        """`ref` is in the selection from the day `first` on, until they have `left`."""
        self.planner.run(
            "insert into selections.membership values (:selection, shop.customer_id(:namespace, :ref), :first, :left)",
            selection=selection,
            namespace=NAMESPACE,
            ref=ref,
            first=first,
            left=left,
        )

    def refreshed(self, selection: str, *days: date) -> None:
        """The selection has done these days."""
        with self.engine.begin() as connection:
            for day in days:
                Part("selections", selection).record(connection, day, "done")

    def broken(self, at: datetime = MORNING) -> int:
        """How many the proof finds."""
        return len(proof.violations(Shop(self.settings, self.engine), "cap_exceeded", at))

    def accepted(self) -> list[str]:
        return [row["campaign"] for row in self.planner.ledger("*") if row["state"] == "accepted"]


@pytest.fixture
def capped(settings: Settings, engine: Engine, shop: ShopData, planner: Planner, tmp_path: Path) -> Capped:
    include = tmp_path / "include"
    include.mkdir()
    (include / "sql").symlink_to(settings.include / "sql")
    (include / "rules.csv").symlink_to(settings.include / "rules.csv")
    (include / "caps.yaml").write_text("- {channel: all, at_most: 1, in: 7 days}\n")
    mine = settings.evolve(include=include)
    for campaign in CAMPAIGNS:
        planner.version(campaign, "v1", TEXTS, priority=10 if campaign == "birthday" else 50)
    shop.publish_each(DAY, DAY + timedelta(days=15))
    return Capped(mine, engine, shop, planner)


def test_two_messages_due_at_once_do_not_both_pass_a_cap_of_one(capped: Capped) -> None:
    ada = capped.shop.customer("ada")
    keys = [capped.planner.message(ada, campaign=each) for each in ("sale", "thanks")]
    assert capped.send() == {"accepted": 1, "refused": 0, "unknown": 0, "deferred": 1, "skipped": 0, "capped": 1}
    held = next(row for row in map(capped.planner.one, keys) if row["state"] == "planned")
    assert (held["reason"], held["retry_at"]) == ("capped", MORNING + timedelta(days=7))
    assert capped.send(MORNING + timedelta(days=1))["deferred"] == 1
    evening = datetime.combine(NEXT + timedelta(days=2), time(20), AMSTERDAM)
    assert capped.send(evening)["skipped"] == 1
    assert capped.planner.state(held["message_key"]) == ("skipped", "capped")


def test_the_window_slides_a_message_leaves_it_to_the_second(capped: Capped) -> None:
    capped.caps("- {channel: all, at_most: 1, in: 24 hours}\n")
    ada = capped.shop.customer("ada")
    for campaign in ("sale", "thanks"):
        capped.planner.message(ada, campaign=campaign)
    capped.send()
    assert capped.send(MORNING + timedelta(hours=24, seconds=-1))["accepted"] == 0
    assert capped.send(MORNING + timedelta(hours=24))["accepted"] == 1


def test_a_cap_of_one_channel_leaves_the_other_alone(capped: Capped) -> None:
    capped.caps("- {channel: email, at_most: 1, in: 7 days}\n- {channel: all, at_most: 2, in: 7 days}\n")
    ada = capped.shop.customer("ada")
    for campaign in ("sale", "thanks"):
        capped.planner.message(ada, campaign=campaign)
        capped.planner.message(ada, campaign=campaign, step="ping", channel="sms")
    assert capped.send()["accepted"] == 2
    sent = Counter(row["channel"] for row in capped.planner.ledger() if row["state"] == "accepted")
    assert sent["email"] <= 1


def test_the_campaign_that_comes_first_gets_the_room_whatever_the_batch(capped: Capped) -> None:
    refs = [capped.shop.customer(f"c{number}") for number in range(5)]
    for campaign in CAMPAIGNS:
        for ref in refs:
            capped.planner.message(ref, campaign=campaign)
    small = capped.settings.evolve(batch_size=2)
    assert deliver(Shop(small, capped.engine), at=MORNING).counts()["accepted"] == 5
    assert capped.accepted() == ["birthday"] * 5


def test_a_message_that_was_not_sent_after_all_takes_no_room(capped: Capped, monkeypatch: pytest.MonkeyPatch) -> None:
    ada = capped.shop.customer("ada")
    for campaign in ("birthday", "thanks"):
        capped.planner.message(ada, campaign=campaign)

    def refuse_birthdays(self: Outbox, messages: list[Any]) -> list[Settled]:
        done = original(self, [each for each in messages if each.campaign != "birthday"])
        return [*done, *((each, refused("provider_refused: 400")) for each in messages if each.campaign == "birthday")]

    original = Outbox.send
    monkeypatch.setattr(Outbox, "send", refuse_birthdays)
    counts = capped.send()
    assert (counts["accepted"], counts["refused"], counts["deferred"]) == (1, 1, 0)
    assert capped.accepted() == ["thanks"]


def test_a_cap_that_is_lifted_lets_go_at_once_and_its_time_is_kept(capped: Capped) -> None:
    ada = capped.shop.customer("ada")
    for campaign in ("sale", "thanks"):
        capped.planner.message(ada, campaign=campaign)
    capped.send()
    capped.caps("# none\n")
    later = MORNING + timedelta(hours=1)
    assert capped.send(later)["accepted"] == 1
    rows = capped.planner.run("select in_force_from, in_force_until from delivery.caps")
    assert [tuple(row.values()) for row in rows] == [(MORNING, later)]
    assert proof.prove(Shop(capped.settings, capped.engine), later)["cap_exceeded"] == 0


def test_played_days_end_and_give_the_same_in_one_go_or_after_a_crash(
    capped: Capped, monkeypatch: pytest.MonkeyPatch
) -> None:
    capped.caps("- {channel: all, at_most: 1, in: 25 hours}\n- {channel: sms, at_most: 1, in: 3 days}\n")
    for number in range(4):
        ref = capped.shop.customer(f"c{number}")
        for index, campaign in enumerate(CAMPAIGNS):
            capped.planner.message(ref, campaign=campaign, on=NEXT + timedelta(days=index % 2))
            capped.planner.message(ref, campaign=campaign, step="ping", channel="sms")
    planned = capped.planner.ledger()
    decided = "customer_id, message_key, state, reason, attempts, attempted_at, settled_at, retry_at"
    for number in range(7):
        replay(Shop(capped.settings, capped.engine), DAY + timedelta(days=number))
    whole = capped.planner.ledger(decided)
    assert {row["reason"] for row in whole} == {None, "capped"}
    assert "planned" not in {row["state"] for row in whole}
    capped.planner.restore(planned)
    calls = 0
    original = Outbox.send

    def die_now_and_then(self: Outbox, messages: list[Any]) -> Any:
        nonlocal calls
        calls += 1
        if calls % 3 == 0:
            raise KeyboardInterrupt
        return original(self, messages)

    monkeypatch.setattr(Outbox, "send", die_now_and_then)
    small = capped.settings.evolve(batch_size=3)
    day = DAY
    for _ in range(100):
        try:
            replay(Shop(small, capped.engine), day)
        except KeyboardInterrupt:
            continue
        day += timedelta(days=1)
        if day == DAY + timedelta(days=7):
            break
    assert calls > 3
    assert capped.planner.ledger(decided) == whole


LOYAL = "- {channel: all, at_most: 1, in: 7 days}\n- {channel: all, at_most: 3, in: 7 days, selection: loyal}\n"


def test_members_of_a_selection_have_a_cap_of_their_own_and_everybody_else_the_general_one(capped: Capped) -> None:
    capped.caps(LOYAL)
    for ref in ("ada", "bob"):
        capped.plan(ref, 4)
    for number in range(5):
        capped.shop.order("ada", DAY - timedelta(days=number))
    capped.shop.publish(DAY)
    refresh.select(Shop(capped.settings, capped.engine), DAY, ["loyal"], now=MORNING)
    assert capped.send()["capped"] == 4
    assert capped.got() == {"ada": 3, "bob": 1}
    assert capped.broken() == 0


def test_a_cap_of_a_selection_takes_the_place_of_no_other_channel_and_no_other_time(capped: Capped) -> None:
    capped.caps(LOYAL.replace("{channel: all, at_most: 3, in: 7 days,", "{channel: all, at_most: 3, in: 8 days,"))
    capped.refreshed("loyal", DAY)
    capped.member(capped.plan("ada", 4), "loyal")
    capped.send()
    assert capped.got() == {"ada": 1}
    capped.caps(LOYAL + "- {channel: email, at_most: 2, in: 7 days}\n")
    capped.send()
    assert capped.got() == {"ada": 2}


def test_of_two_selections_the_stricter_cap_holds_and_either_may_be_below_the_general_one(capped: Capped) -> None:
    capped.caps(
        "- {channel: all, at_most: 2, in: 7 days}\n- {channel: all, at_most: 4, in: 7 days, selection: loyal}\n"
        "- {channel: all, at_most: 1, in: 7 days, selection: tired}\n"
    )
    for selection, refs in (("loyal", ("both", "loyal")), ("tired", ("both", "tired"))):
        capped.refreshed(selection, DAY)
        for ref in refs:
            capped.member(ref, selection)
    for ref in ("both", "loyal", "tired", "neither"):
        capped.plan(ref, 4)
    capped.send()
    assert capped.got() == {"both": 1, "loyal": 4, "tired": 1, "neither": 2}
    assert capped.broken() == 0


def test_members_are_those_of_the_last_day_that_had_ended(capped: Capped) -> None:
    capped.caps(LOYAL)
    capped.refreshed("loyal", DAY, NEXT)
    capped.member(capped.plan("left", 2), "loyal", DAY - timedelta(days=9), left=DAY)
    capped.member(capped.plan("leaves", 2), "loyal", DAY - timedelta(days=9), left=NEXT)
    capped.member(capped.plan("joins", 2), "loyal", NEXT)
    capped.send()
    assert capped.got() == {"left": 1, "leaves": 2, "joins": 1}


@pytest.mark.parametrize("done", [[], [DAY - timedelta(days=1)]], ids=["missing", "behind"])
def test_a_selection_that_was_not_refreshed_lets_nothing_more_through_and_stops_nothing(
    capped: Capped, done: list[date], caplog: pytest.LogCaptureFixture
) -> None:
    capped.caps(
        "- {channel: all, at_most: 2, in: 7 days}\n- {channel: all, at_most: 3, in: 7 days, selection: loyal}\n"
        "- {channel: all, at_most: 1, in: 7 days, selection: tired}\n"
    )
    for selection in ("loyal", "tired"):
        capped.refreshed(selection, *done)
        if done:
            capped.member(capped.plan(selection, 4), selection, done[0])
        else:
            capped.plan(selection, 4)
    capped.send()
    assert capped.got() == {"loyal": 2, "tired": 1 if done else 2}
    assert "caps.yaml: the selection loyal has not done the newest published day" in caplog.text
    later = MORNING + timedelta(hours=1)
    for selection in ("loyal", "tired"):
        capped.refreshed(selection, DAY)
        if not done:
            capped.member(selection, selection)
    capped.send(later)
    assert capped.got() == {"loyal": 3, "tired": 1 if done else 2}
    assert capped.broken(later) == 0, "nobody knew of those who are tired when the second message went out"


def test_who_joins_a_selection_is_freed_on_the_next_day(capped: Capped) -> None:
    capped.caps(LOYAL)
    capped.plan("ada", 2, on=NEXT)
    capped.member("ada", "loyal", NEXT)
    planned = capped.planner.ledger()
    capped.refreshed("loyal", DAY, NEXT)
    capped.send()
    assert capped.send(MORNING + timedelta(days=1)) == {
        **dict.fromkeys(("refused", "unknown", "deferred", "skipped"), 0),
        "accepted": 1,
    }
    capped.planner.restore(planned)
    capped.planner.run("delete from delivery.caps")
    for day, number in ((DAY, 1), (NEXT, 2)):  # a day without any other message too
        replay(Shop(capped.settings, capped.engine), day)
        assert capped.got() == {"ada": number}
    assert capped.broken(MORNING + timedelta(days=1)) == 0


def test_what_a_cap_held_back_to_its_end_is_skipped_as_capped_though_the_day_has_changed(capped: Capped) -> None:
    capped.caps(LOYAL)
    capped.refreshed("loyal", DAY, NEXT)
    capped.plan("ada", 2, grace=0)
    capped.send()
    capped.send(MORNING + timedelta(days=1))
    states = {(row["state"], row["reason"]) for row in capped.planner.ledger()}
    assert states == {("accepted", None), ("skipped", "capped")}


def test_the_proof_knows_whose_cap_held_when_a_message_went_out(capped: Capped) -> None:
    capped.caps(LOYAL)
    capped.refreshed("loyal", DAY)
    capped.member(capped.plan("ada", 3), "loyal")
    capped.send()
    assert (capped.got(), capped.broken()) == ({"ada": 3}, 0)
    capped.planner.run("update delivery.caps set at_most = 2 where selection = 'loyal'")
    assert capped.broken() == 3, "all three went out at one instant"
    capped.planner.run("update delivery.caps set at_most = 3 where selection = 'loyal'")
    for wrong, right in (("is_current = false", "is_current = true"), ("selection = 'other'", "selection = 'loyal'")):
        capped.planner.run(f"update delivery.caps set {wrong} where at_most = 3")
        assert capped.broken() == 3
        capped.planner.run(f"update delivery.caps set {right} where at_most = 3")
    capped.planner.run("update selections.membership set entered_on = :day", day=NEXT)
    assert capped.broken() == 3
    capped.planner.run("delete from selections.membership")
    capped.planner.run("delete from shop.customers")  # as somebody is forgotten
    assert capped.broken() == 0


def test_caps_change_after_the_last_claim_by_those_before(capped: Capped) -> None:
    later = MORNING + timedelta(minutes=1)
    is_later = Event()
    with ThreadPoolExecutor(1) as pool, capped.engine.connect() as own:
        with capped.engine.begin() as claiming:
            lock(claiming, "delivery", "claim")
            done = pool.submit(sync_rules, own, capped.settings, lambda: later if is_later.is_set() else MORNING)
            with pytest.raises(TimeoutError):
                done.result(0.5)
            is_later.set()
        done.result(30)
    assert capped.planner.run("select in_force_from from delivery.caps") == [{"in_force_from": later}]


def test_caps_may_change_there_and_back_at_one_instant(capped: Capped) -> None:
    for text in (LOYAL, "# none\n", LOYAL, "# none\n", LOYAL):
        capped.caps(text)
        capped.send()
    rows = capped.planner.run("select in_force_from, in_force_until from delivery.caps")
    assert [tuple(row.values()) for row in rows] == [(MORNING, None)] * 2


PLANS = st.lists(
    st.tuples(st.sampled_from(CAMPAIGNS), st.sampled_from(("hello", "ping")), st.integers(0, 4), st.integers(0, 2)),
    min_size=1,
    max_size=10,
    unique_by=lambda each: each[:2],
)
CAPS = st.lists(
    st.builds(Cap, st.sampled_from(("email", "sms", "all")), st.integers(1, 3), st.integers(1, 100)),
    min_size=1,
    max_size=3,
)


EXAMPLES = hypothesis_settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def _begin(capped: Capped, caps: list[Cap]) -> None:
    """Nothing but these caps."""
    for table in ("delivery.messages", "delivery.outbox", "delivery.caps", "campaigns.enrolments", "shop.customers"):
        capped.planner.run(f"delete from {table}")
    for table in ("shop.consents", "selections.membership", "shop.days where stage = 'selections'"):
        capped.planner.run(f"delete from {table}")
    capped.caps(
        "".join(
            f"- {{channel: {c.channel}, at_most: {c.at_most}, in: {c.hours} hours"
            + (f", selection: {c.selection}" if c.selection else "")
            + "}\n"
            for c in caps
        )
    )


def _plan(capped: Capped, ref: str, plan: list[tuple[str, str, int, int]]) -> None:
    capped.shop.customer(ref)
    for campaign, step, day, grace in plan:
        capped.planner.message(
            ref,
            campaign=campaign,
            step=step,
            channel="sms" if step == "ping" else "email",
            on=NEXT + timedelta(days=day),
            grace=grace,
            window=(time(0), time(23, 59)),
        )


def _within(rows: list[dict[str, Any]], cap: Cap) -> list[tuple[datetime, int]]:
    """When each message of the cap's channel went out, and how many with it in the hours that ended then."""
    went = [row for row in rows if row["state"] == "accepted"]
    mine = [row["attempted_at"] for row in went if cap.channel in (row["channel"], "all")]
    return [
        (end, len([each for each in mine if end - timedelta(hours=cap.hours) < each <= end])) for end in sorted(mine)
    ]


@given(plan=PLANS, caps=CAPS, hours=st.lists(st.integers(0, 150), min_size=1, max_size=8), batch=st.integers(1, 5))
@EXAMPLES
def test_no_plan_and_no_times_exceed_a_cap(
    capped: Capped, plan: list[tuple[str, str, int, int]], caps: list[Cap], hours: list[int], batch: int
) -> None:
    _begin(capped, caps)
    _plan(capped, "ada", plan)
    small = capped.settings.evolve(batch_size=batch)
    for hour in hours:  # in any order
        deliver(Shop(small, capped.engine), at=MORNING + timedelta(hours=hour))
    for cap in caps:
        within = _within(capped.planner.ledger(), cap)
        assert all(number <= cap.at_most for _, number in within), (cap, within)


DAYS = [DAY + timedelta(days=number) for number in range(-1, 4)]
SELECTIONS = ("loyal", "tired")
SOME_DAYS = st.fixed_dictionaries({name: st.sets(st.sampled_from(DAYS)) for name in SELECTIONS})
FOUR_AT_ONCE = [(campaign, "hello", 0, 4) for campaign in CAMPAIGNS]


@given(
    at_mosts=st.permutations((1, 2, 3, 4)),
    other=st.builds(Cap, st.sampled_from(("email", "all")), st.just(4), st.sampled_from((24, 72)), st.just("loyal")),
    channel=st.sampled_from(("email", "all")),
    members=st.lists(SOME_DAYS, min_size=3, max_size=3),
    not_done=SOME_DAYS,
    hours=st.sets(st.sampled_from((0, 14, 24, 48, 72, 96)), min_size=3, max_size=4).map(sorted),
)
@EXAMPLES
def test_no_membership_exceeds_the_cap_of_a_selection(
    capped: Capped,
    at_mosts: list[int],
    other: Cap,
    channel: str,
    members: list[dict[str, set[date]]],
    not_done: dict[str, set[date]],
    hours: list[int],
) -> None:
    caps = [*(Cap(channel, at_most, 48, of) for at_most, of in zip(at_mosts, ("", *SELECTIONS), strict=False)), other]
    _begin(capped, caps)
    for number, member_on in enumerate(members):
        _plan(capped, f"c{number}", FOUR_AT_ONCE)
        for name, days in member_on.items():
            for day in days:
                capped.member(f"c{number}", name, day, day + timedelta(days=1))
    done = {name: [day for day in DAYS if day not in not_done[name]] for name in SELECTIONS}
    for name, days in done.items():
        capped.refreshed(name, *days)
    for hour in hours:
        capped.send(MORNING + timedelta(hours=hour))

    def holds(cap: Cap, member_on: dict[str, set[date]], at: datetime) -> bool:
        ended = at.astimezone(AMSTERDAM).date() - timedelta(days=1)
        newest = {name: max((day for day in days if day <= ended), default=None) for name, days in done.items()}
        inside = {name for name, day in newest.items() if day in member_on[name]}
        if cap.selection:
            return cap.selection in inside
        alike = {each.selection for each in caps if (each.channel, each.hours) == (cap.channel, cap.hours)}
        return not any(newest[name] == ended for name in inside & alike)

    for number, member_on in enumerate(members):
        rows = capped.planner.run(
            "select m.* from delivery.messages as m join shop.customers as c using (customer_id)"
            " where c.customer_ref = :ref",
            ref=f"c{number}",
        )
        for cap in caps:
            within = [(at, many) for at, many in _within(rows, cap) if holds(cap, member_on, at)]
            assert all(many <= cap.at_most for _, many in within), (cap, within)
    assert capped.broken(MORNING + timedelta(days=9)) == 0


def test_the_caps_that_come_with_us_let_the_winback_through(settings: Settings) -> None:
    assert read(settings.include) == [Cap("all", 3, 168), Cap("email", 2, 168)]


def test_the_selections_of_the_caps_that_come_with_us_exist(settings: Settings) -> None:
    named = {cap.selection for cap in read(settings.include)} - {""}
    assert named <= set(definitions.read_all(settings.include))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "- {channel: email, at_most: 2, in: 7 days}\n- {channel: fax, at_most: 2, in: 7 days}\n",
            "line 2: channel is",
        ),
        ("- {channel: email, at_most: 0, in: 7 days}\n", "line 1: at_most is 0; write a number of messages above 0"),
        ("- {channel: email, at_most: 2, in: a week}\n", "line 1: in is \"a week\"; write a time like '7 days'"),
        ("# caps\n\n- {channel: email, at_most: 2, per: 7 days}\n", "line 3: unknown key 'per'"),
        ("- {channel: email, at_most: 2, in: 7 days, selection: Loyal}\n", "line 1: selection is"),
        ("- {channel: email, at_most: 2, in: 7 days, selection: ''}\n", "line 1: selection is"),
        ("- {channel: email}\n", "line 1: the key 'at_most' is missing"),
        ("channel: email\n", "line 1: the file is"),
        ("- {channel: email\n", "line 2"),
    ],
)
def test_a_mistake_is_named_with_its_line(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "caps.yaml").write_text(text)
    with pytest.raises(InputError) as raised:
        read(tmp_path)
    assert "caps.yaml" in str(raised.value)
    assert sentence in str(raised.value)
