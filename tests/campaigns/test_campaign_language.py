"""What the language of campaigns says, done: status, conditions, fallbacks, variants and groups."""

from __future__ import annotations

from collections import Counter
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest
from house import change

from retention.campaigns import steps
from retention.core.shop import Shop
from retention.delivery.worker import deliver

D = date(2026, 3, 2)
NUDGE = "{step: nudge, day: 2, channel: sms, offer: comeback}"
WRITTEN = NUDGE.replace("}", ", unless: clicked}")


def after(number: int) -> date:
    return D + timedelta(days=number)


def send(room: Any, on: date, hour: int = 12) -> None:
    """Deliver what is due at that hour of `on`."""
    deliver(Shop(room.settings, room.engine), at=datetime.combine(on, time(hour), room.settings.shop_time_zone))


def clicks(room: Any, ref: str, on: date, step: str = "we_miss_you") -> None:
    """A person follows a link of the step at ten."""
    room.execute(
        "update delivery.messages set human_clicked_at = :at where step = :step"
        " and customer_id = shop.customer_id('test', :ref)",
        at=datetime.combine(on, time(10), room.settings.shop_time_zone),
        step=step,
        ref=ref,
    )


def messages(room: Any, step: str) -> dict[str, tuple[str, str, str | None]]:
    """Channel, state and reason of each customer's message of a step."""
    return {
        ref: (channel, state, reason)
        for ref, channel, state, reason in room.rows(
            "select c.customer_ref, m.channel, m.state, m.reason from delivery.messages as m"
            " join shop.customers as c using (customer_id) where m.step = :step",
            step=step,
        )
    }


def test_a_draft_enrols_nobody_and_can_be_tried(room: Any, write: Any) -> None:
    write("status: live", "status: draft")
    room.customers(2)
    assert room.run(D)["enrolled"] == 0
    assert steps.run_day(Shop(room.settings, room.engine), "winback", D, test=True)["enrolled"] == 2
    assert room.values("select count(*) from campaigns.enrolments") == [0]
    write("status: draft", "status: live")
    assert room.run(D)["enrolled"] == 2, "the newest day is computed again"


def test_an_ended_campaign_enrols_nobody_and_people_inside_go_on(room: Any, write: Any) -> None:
    room.customers(1)
    room.run(D)
    write("status: live", "status: ended")
    room.members([room.shop.customer("late")], since=after(1))
    counts = room.run_each(after(1), after(2))
    assert [each["enrolled"] for each in counts] == [0, 0]
    assert counts[1]["planned"]["nudge"] == 1


CONDITIONS = [
    ("unless: clicked", {"clicked"}, "condition: unless clicked"),
    ("only_if: clicked", {"idle", "coupon", "loyal"}, "condition: only_if clicked"),
    ("unless: {clicked: we_miss_you}", {"clicked"}, "condition: unless clicked we_miss_you"),
    ("unless: {has_coupon: final}", {"coupon"}, "condition: unless has_coupon final"),
    ("only_if: {in: loyal}", {"idle", "coupon", "clicked"}, "condition: only_if in loyal"),
    ("unless: {not_in: loyal}", {"idle", "coupon", "clicked"}, "condition: unless not_in loyal"),
    ("unless: [{in: loyal}, {reachable: postal}]", {"loyal"}, "condition: unless in loyal"),
    ("only_if: [{reachable: email}, {not_in: loyal}]", {"loyal"}, "condition: only_if not_in loyal"),
    ("unless: ordered", set(), ""),
]


@pytest.mark.parametrize(("condition", "kept_back", "reason"), CONDITIONS, ids=[each[0] for each in CONDITIONS])
def test_a_condition_is_forecast_by_planning_and_decided_by_the_claim(
    room: Any, write: Any, condition: str, kept_back: set[str], reason: str
) -> None:
    write(WRITTEN, NUDGE.replace("}", f", {condition}}}"))
    everybody = ["clicked", "coupon", "idle", "loyal"]
    room.members([room.shop.customer(ref) for ref in everybody])
    room.members(["loyal"], ["loyal"])
    for number in range(2):
        room.ready(after(number), "winback", "send_base", "loyal")
        steps.run_day(Shop(room.settings, room.engine), "winback", after(number))
    send(room, after(1))
    clicks(room, "clicked", after(1))
    room.execute(
        "insert into offers.coupons (customer_id, campaign, entry_no, offer, code, percent, state, reserved_on,"
        " expires_at) values (shop.customer_id('test', 'coupon'), 'winback', 1, 'final', 'X', 20, 'issued', :day, :at)",
        day=D,
        at=datetime.combine(after(9), time(), room.settings.shop_time_zone),
    )
    room.ready(after(2), "winback", "send_base", "loyal")
    counts = steps.run_day(Shop(room.settings, room.engine), "winback", after(2))
    assert (counts["planned"]["nudge"], counts["skipped"]) == (4, {})
    forecast = dict(room.rows("select forecast, count(*) from delivery.messages where step = 'nudge' group by 1"))
    assert forecast == ({reason: len(kept_back)} if kept_back else {}) | {None: 4 - len(kept_back)}
    send(room, after(3))
    found = messages(room, "nudge")
    assert {ref for ref, (_, state, _) in found.items() if state == "skipped"} == kept_back
    assert {why for _, state, why in found.values() if state == "skipped"} == ({reason} if kept_back else set())


def test_a_click_after_planning_counts_and_a_forecast_alone_does_not(room: Any, write: Any) -> None:
    write(WRITTEN, NUDGE.replace("}", ", unless: clicked}"))
    room.members([room.shop.customer(ref) for ref in ("early", "late")])
    room.run_each(D, after(1))
    send(room, after(1))
    clicks(room, "early", after(1))
    room.run(after(2))
    clicks(room, "late", after(3))
    room.execute(
        "update delivery.messages set human_clicked_at = null where customer_id = shop.customer_id('test', 'early')"
    )
    send(room, after(3))
    found = messages(room, "nudge")
    assert found == {
        "early": ("sms", "accepted", None),  # its click was a machine's after all
        "late": ("sms", "skipped", "condition: unless clicked"),
    }


def with_fallback(include: Path, write: Any) -> None:
    write(WRITTEN, NUDGE.replace("}", ", fallback: email}"))
    for file in list((include / "messages" / "winback").glob("we_miss_you.*.j2")):
        (file.parent / file.name.replace("we_miss_you", "nudge.email")).write_text(file.read_text())


def test_who_cannot_get_a_text_gets_the_fallback(room: Any, include: Path, write: Any) -> None:
    with_fallback(include, write)
    room.shop.customer("texts")
    room.shop.customer("mails", phone=None)
    room.shop.customer("later")
    room.shop.customer("nothing", consents=("email",))
    room.members(["texts", "mails", "later", "nothing"])
    room.run_each(D, after(1))
    send(room, after(1))
    room.suppress("nothing", "email", after(1), reason="hard_bounce")
    room.run(after(2))
    assert messages(room, "nudge") == {
        "texts": ("sms", "planned", None),
        "mails": ("email", "planned", None),
        "later": ("sms", "planned", None),
        "nothing": ("sms", "skipped", "no_consent"),
    }
    room.suppress("later", "sms", after(2), reason="invalid_number")  # after it was planned
    send(room, after(3))
    assert messages(room, "nudge") == {
        "texts": ("sms", "accepted", None),
        "mails": ("email", "accepted", None),
        "later": ("email", "accepted", None),
        "nothing": ("sms", "skipped", "no_consent"),
    }
    subjects = room.values(
        "select subject from delivery.outbox join delivery.messages using (message_key)"
        " where step = 'nudge' and messages.channel = 'email'"
    )
    assert len(subjects) == 2
    assert all(subjects)


def test_no_fallback_after_an_attempt(room: Any, include: Path, write: Any) -> None:
    """Nobody knows whether a text that was attempted went out."""
    with_fallback(include, write)
    room.members([room.shop.customer("ada")])
    room.run_each(D, after(2))
    room.execute("update delivery.messages set attempts = 1 where step = 'nudge'")  # and planned again
    room.suppress("ada", "sms", after(2), reason="invalid_number")
    send(room, after(3))
    assert messages(room, "nudge")["ada"] == ("sms", "skipped", "suppressed")


def test_variants_share_the_treated_and_stay(room: Any, include: Path, write: Any) -> None:
    write("control: 0%", "control: 20%\nvariants: {one_mail: 25%, three_mails: 75%}")
    write(WRITTEN, "{step: nudge, day: 2, channel: sms, variant: three_mails, offer: {three_mails: comeback}}")
    write("re_entry: 3 months", "re_entry: 30 days")
    refs = room.customers(400)
    room.run_each(D, after(2))
    first = dict(room.rows("select customer_id, coalesce(variant, arm) from campaigns.enrolments"))
    shares = Counter(first.values())
    assert {name: number for name, number in shares.items() if not 50 < number < 111}.keys() == {"three_mails"}, shares
    assert sum(shares.values()) == len(refs)
    assert shares["three_mails"] > 180
    planned = room.rows(
        "select distinct e.variant, m.offer from delivery.messages as m join campaigns.enrolments as e"
        " using (customer_id, campaign, entry_no) where m.step = 'nudge'"
    )
    assert [tuple(row) for row in planned] == [("three_mails", "comeback")]
    assert room.values("select count(*) from delivery.messages where step = 'nudge'") == [shares["three_mails"]]
    write("{one_mail: 25%, three_mails: 75%}", "{one_mail: 75%, three_mails: 25%}")
    room.run_each(after(3), after(32))
    again = dict(room.rows("select customer_id, coalesce(variant, arm) from campaigns.enrolments where entry_no = 2"))
    assert len(again) == len(refs)
    assert again == first, "a variant is kept at re-entry"


def test_a_household_gets_one_variant(room: Any, write: Any) -> None:
    write("control: 0%", "control: 0%\nvariants: {a: 50%, b: 50%}")
    for number in range(40):
        for member in "xy":
            ref = room.shop.customer(f"{member}{number}", household_ref=f"H{number}")
            room.members([ref])
    room.run(D)
    drawn = room.rows("select unit, count(distinct variant), count(*) from campaigns.enrolments group by unit")
    assert [tuple(row)[1:] for row in drawn] == [(1, 2)] * 40
    assert len(room.values("select distinct variant from campaigns.enrolments")) == 2


def test_each_variant_of_a_step_reads_its_own_words(room: Any, include: Path, write: Any) -> None:
    write(
        "{step: we_miss_you, day: 0, channel: email}",
        "{step: we_miss_you, day: 0, channel: email, variants: {calm: 50%, loud: 50%}}",
    )
    folder = include / "messages" / "winback"
    for file in list(folder.glob("we_miss_you.*.j2")):
        text = file.read_text()
        start, end = text.index("{% block subject %}"), text.index("{% endblock %}")
        (folder / file.name.replace("we_miss_you", "we_miss_you.loud")).write_text(
            text[:start] + "{% block subject %}LOUD" + text[end:]
        )
    room.customers(60)
    room.run(D)
    send(room, after(1))
    found = Counter(
        (row.variant, row.subject == "LOUD")
        for row in room.rows(
            "select m.variant, o.subject from delivery.messages as m join delivery.outbox as o using (message_key)"
        )
    )
    assert {each for each, number in found.items() if number > 15} == found.keys() == {("loud", True), ("calm", False)}


def test_a_template_of_a_variant_that_is_not_there_is_refused(room: Any, include: Path, write: Any) -> None:
    from retention.campaigns import definitions
    from retention.core.errors import InputError

    file = include / "messages" / "winback" / "nudge.loud.en.j2"
    file.write_text("{% block text %}{% include 'opt_out.txt.j2' %}{% endblock %}")
    with pytest.raises(
        InputError, match=r"nudge\.loud\.en\.j2: 'loud' is neither a variant or level that gets the step nudge nor"
    ):
        definitions.read(include, "winback")
    write(WRITTEN, NUDGE.replace("}", ", variants: {loud: 50%, calm: 50%}}"))
    with pytest.raises(InputError, match=r"nudge\.loud\.[a-z]{2}\.j2 is missing: it has to be there in every language"):
        definitions.read(include, "winback")


def test_nobody_is_in_two_campaigns_of_a_group_the_control_arm_included(room: Any, include: Path, write: Any) -> None:
    change(include / "campaigns" / "winback.yaml", "control: 0%", "control: 50%")
    change(include / "campaigns" / "lapsed_30_days.yaml", "control: 0%", "control: 50%\ngroup: reactivation")
    room.members([room.shop.customer(f"C{number}") for number in range(30)], ["winback", "lapsed_30_days", "send_base"])
    assert room.run(D)["enrolled"] == 30
    assert room.run(D, "lapsed_30_days")["enrolled"] == 0
    reasons = room.rows("select distinct decision, reason from campaigns.decisions where campaign = 'lapsed_30_days'")
    assert [tuple(row) for row in reasons] == [("waits", "in_group")]
    for number in range(1, 11):  # both arms stay as long
        room.run(after(number))
        assert room.run(after(number), "lapsed_30_days")["enrolled"] == 0
    assert room.run(after(11), "lapsed_30_days")["enrolled"] == 30
