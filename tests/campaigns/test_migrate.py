"""A live campaign is edited: people inside finish on their version, or move to the new one where it says so."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest

from retention.campaigns import definitions
from retention.core.shop import Shop
from retention.delivery.worker import deliver

D = date(2026, 3, 2)
MIGRATE = "control: 0%\nmigrate: yes"


def after(number: int) -> date:
    return D + timedelta(days=number)


def send(room: Any, on: date) -> None:
    deliver(Shop(room.settings, room.engine), at=datetime.combine(on, time(12), room.settings.shop_time_zone))


def on_version(room: Any) -> dict[str, str]:
    """The version that each customer is on."""
    rows = room.rows(
        "select c.customer_ref, e.version from campaigns.enrolments as e join shop.customers as c using (customer_id)"
    )
    return dict(map(tuple, rows))


def new_words(include: Path) -> None:
    """Another version, which differs in its last mail alone."""
    for file in (include / "messages" / "winback").glob("final_offer.??.j2"):
        file.write_text(file.read_text(encoding="utf-8").replace("{% block text %}", "{% block text %}NEW WORDS "))


def version(room: Any) -> str:
    return definitions.read(room.settings.include, "winback").version


@pytest.mark.parametrize("moves", [False, True])
def test_people_inside_finish_on_their_version_or_move_where_the_campaign_says_so(
    room: Any, write: Any, include: Path, moves: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    if moves:
        write("control: 0%", MIGRATE)
    room.members([room.shop.customer("ada")])
    room.run(D)
    send(room, after(1))
    old = version(room)
    new_words(include)
    room.members([room.shop.customer("bob")], since=after(1))
    for number in range(1, 8):
        room.run(after(number))
        send(room, after(number + 1))
    assert on_version(room) == {"ada": version(room) if moves else old, "bob": version(room)}
    words = room.rows(
        "select c.customer_ref, o.text_body like '%NEW WORDS%' from delivery.outbox as o"
        " join delivery.messages as m using (customer_id, message_key) join shop.customers as c using (customer_id)"
        " where m.step = 'final_offer'"
    )
    assert [tuple(row) for row in words] == [("ada", moves)]
    told = room.rows(
        "select decision, reason from campaigns.decisions where decided_on = :day and decision = 'moved'", day=after(1)
    )
    assert [tuple(row) for row in told] == ([("moved", f"version {old} to {version(room)}")] if moves else [])
    assert (f"1 customers moved from version {old} to {version(room)}, 0 stay" in caplog.text) is moves
    got = room.rows(
        "select step, count(*) from delivery.messages group by 1 having count(distinct (customer_id, step)) <> count(*)"
    )
    assert got == []


NUDGE = "{step: nudge, day: 2, channel: sms, offer: comeback, unless: clicked}"
EDITS = {
    "a step to come is later": (NUDGE, NUDGE.replace("day: 2", "day: 3"), True),
    "a step to come is new": (
        "  - {step: final_offer,",
        "  - {step: final_offer2, day: 5, channel: email}\n  - {step: final_offer,",
        True,
    ),
    "a step to come is gone": (f"  - {NUDGE}\n", "", True),
    "a step that was had is gone": ("{step: we_miss_you, day: 0", "{step: anything_you_need, day: 0", False),
    "a step that was had is yet to come": ("{step: we_miss_you, day: 0", "{step: we_miss_you, day: 1", False),
    "a step to come would be behind": (NUDGE, "{step: final_offer2, day: 0, channel: audience, until_day: 2}", False),
}


@pytest.mark.parametrize("edit", EDITS)
def test_they_move_only_where_both_versions_have_the_same_steps_behind_them(
    room: Any, write: Any, include: Path, edit: str
) -> None:
    old, new, moves = EDITS[edit]
    write("control: 0%", MIGRATE.replace("0%", "50%"))
    folder = include / "messages" / "winback"
    for file in list(folder.glob("we_miss_you.*")):
        (folder / file.name.replace("we_miss_you", "anything_you_need")).write_text(file.read_text(encoding="utf-8"))
    for file in list(folder.glob("final_offer.*")):
        words = file.read_text(encoding="utf-8")
        (folder / file.name.replace("final_offer", "final_offer2")).write_text(
            (folder / file.name.replace("final_offer", "we_miss_you")).read_text(encoding="utf-8") if words else ""
        )
    room.customers(10)
    room.run(D)
    send(room, after(1))
    first = version(room)
    write(old, new)
    room.run(after(1))
    assert first != version(room)
    assert set(on_version(room).values()) == {version(room) if moves else first}, "either arm alike"


@pytest.mark.parametrize("state", ["planned", "attempting", "unknown"])
def test_nobody_moves_while_a_message_is_on_its_way(room: Any, write: Any, include: Path, state: str) -> None:
    write("control: 0%", MIGRATE)
    room.members([room.shop.customer("ada")])
    room.run(D)
    first = version(room)
    if state != "planned":
        room.execute(
            "update delivery.messages set state = :state, attempts = 1, attempted_at = due_at, provider = 'sendgrid',"
            " claim = gen_random_uuid(), settled_at = case when :state = 'unknown' then due_at end,"
            " reason = case when :state = 'unknown' then 'timeout' end",
            state=state,
        )
    new_words(include)
    room.run(after(1))
    assert on_version(room) == {"ada": first}
    room.execute(
        "update delivery.messages set state = 'accepted', attempts = 1, settled_at = due_at, attempted_at = due_at,"
        " claim = gen_random_uuid()"
    )
    room.run(after(2))
    assert on_version(room) == {"ada": version(room)}


def test_a_version_without_the_variant_of_some_takes_nobody_of_their_day(room: Any, write: Any) -> None:
    write("control: 0%", MIGRATE + "\nvariants: {a: 50%, b: 50%}")
    room.customers(6)
    room.run(D)
    send(room, after(1))
    first = version(room)
    write("variants: {a: 50%, b: 50%}", "variants: {a: 50%, c: 50%}")
    room.run(after(1))
    rows = room.rows("select variant, version from campaigns.enrolments group by 1, 2 order by 1")
    assert [tuple(row) for row in rows] == [("a", first), ("b", first)]


@pytest.mark.parametrize(
    ("control", "is_sent"), [("50%\nmigrate: yes\nvariants: {a: 50%, b: 50%}", True), ("50%\nmigrate: yes", False)]
)
def test_both_arms_of_a_day_move_or_none(room: Any, write: Any, include: Path, control: str, is_sent: bool) -> None:
    """Not where the new version draws variants, which the treated have not; nor while a first message waits."""
    write("control: 0%", "control: 50%")
    room.customers(20)
    room.run(D)
    if is_sent:
        send(room, after(1))
    write("control: 50%", f"control: {control}")
    for number in range(1, 4):
        room.run(after(number))
        if not is_sent and number == 1:
            assert len(set(on_version(room).values())) == 1
        send(room, after(number + 1))
    assert len(set(on_version(room).values())) == 1
