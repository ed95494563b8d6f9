"""Who wants out is out at once: by the button, by their mail program, by a text, by a complaint."""

from __future__ import annotations

from datetime import timedelta

import pytest
from desk import NOW, Desk

from retention.delivery.worker import deliver


def test_looking_at_the_page_changes_nothing(desk: Desk) -> None:
    before = desk.everything()
    page = desk.client.get(desk.link("A"))
    assert page.status_code == 200
    assert "Afmelden" in page.text
    assert "Unsubscribe</button>" in desk.client.get(desk.link("B")).text
    assert desk.client.head(desk.link("A")).status_code == 200
    assert desk.everything() == before


@pytest.mark.parametrize("channel", ["email", "sms", "all"])
def test_one_click_unsubscribes_from_every_channel(desk: Desk, channel: str) -> None:
    link = desk.link("A", channel)
    answer = desk.client.post(link, data={"List-Unsubscribe": "One-Click"}, follow_redirects=False)
    assert answer.status_code == 200
    assert "set-cookie" not in answer.headers
    assert desk.suppressions() == {("A", "all", "unsubscribed")}
    assert desk.run("select known_at from shop.suppressions") == [{"known_at": NOW}]


def test_one_click_may_come_as_multipart_and_repeatedly(desk: Desk) -> None:
    for _ in range(3):
        desk.now += timedelta(minutes=1)
        answer = desk.client.post(desk.link("A"), files={"List-Unsubscribe": (None, "One-Click")})
        assert answer.status_code == 200
    assert len(desk.run("select * from shop.suppressions")) == 1


@pytest.mark.parametrize("body", ["", "List-Unsubscribe=Two-Clicks", "a=b", "List-Unsubscribe: One-Click"])
def test_a_post_that_is_not_the_one_click_changes_nothing(desk: Desk, body: str) -> None:
    before = desk.everything()
    assert desk.client.post(desk.link("A"), content=body).status_code == 400
    assert desk.everything() == before


def test_a_token_that_we_did_not_sign_changes_nothing(desk: Desk) -> None:
    before = desk.everything()
    good = desk.link("A")
    for link in (good[:-1], good[:-4] + "AAAA", "/u/" + "A" * 34, "/u/ü", good + "/x", "/u/"):
        answer = desk.client.post(link, data={"List-Unsubscribe": "One-Click"})
        assert 400 <= answer.status_code < 500, link
        assert 400 <= desk.client.get(link).status_code < 500, link
    assert desk.everything() == before


@pytest.mark.parametrize(
    "said", ["STOP", " stop. ", "Stop!", "OPT OUT", "opt-out", "Unsubscribe", "quit", "ΣΤΟΠ", "please stop this"]
)
def test_a_text_that_says_stop_stops_everything_for_that_person(desk: Desk, said: str) -> None:
    assert desk.says("A", said).status_code == 200
    assert desk.suppressions() == {("A", "all", "stopped")}


@pytest.mark.parametrize("said", ["thanks", "at the end of the month", "", "can I cancel my order?"])
def test_any_other_text_changes_nothing(desk: Desk, said: str) -> None:
    before = desk.everything()
    assert desk.says("A", said).status_code == 200
    assert desk.everything() == before


def test_what_twilio_says_a_text_means_counts(desk: Desk) -> None:
    desk.says("A", "basta", OptOutType="STOP")
    assert desk.suppressions() == {("A", "all", "stopped")}


def test_start_lifts_a_stop_and_nothing_else_and_an_old_stop_that_comes_again_is_old(desk: Desk) -> None:
    desk.client.post(desk.link("A"), data={"List-Unsubscribe": "One-Click"})
    desk.says("A", "STOP", "SM1")
    desk.now += timedelta(minutes=1)
    desk.says("A", "START", "SM2")
    desk.says("A", "STOP", "SM1")
    assert desk.suppressions() == {("A", "all", "unsubscribed")}


def test_a_stop_holds_for_everybody_with_that_number_and_for_nobody_else(desk: Desk) -> None:
    phone = desk.run("select phone from shop.customers where customer_ref = 'A'")[0]["phone"]
    desk.shop.customer("C", phone=phone)
    desk.says("A", "STOP")
    assert desk.suppressions() == {("A", "all", "stopped"), ("C", "all", "stopped")}
    assert desk.twilio("/events/twilio/inbound", {"From": "+1", "Body": "STOP", "MessageSid": "SM9"}).status_code == 200


@pytest.mark.parametrize(
    ("kind", "more", "channel", "reason"),
    [
        ("unsubscribe", {}, "all", "unsubscribed"),
        ("group_unsubscribe", {}, "all", "unsubscribed"),
        ("spamreport", {}, "all", "complaint"),
        ("bounce", {"type": "bounce", "status": "5.1.1"}, "email", "hard_bounce"),
        ("dropped", {"reason": "Bounced Address"}, "email", "hard_bounce"),
        ("dropped", {"reason": "Unsubscribed Address"}, "all", "unsubscribed"),
    ],
)
def test_a_report_suppresses_at_once(desk: Desk, kind: str, more: dict[str, str], channel: str, reason: str) -> None:
    desk.sendgrid([desk.event("A", kind, **more), desk.event("B", "delivered")])
    assert desk.suppressions() == {("A", channel, reason)}
    assert desk.run("select customer_id, day from shop.changes") == [{"customer_id": desk.id("A"), "day": NOW.date()}]


def test_a_full_mailbox_suppresses_nobody(desk: Desk) -> None:
    desk.sendgrid([desk.event("A", "bounce", type="blocked"), desk.event("B", "bounce", type="bounce", status="4.2.2")])
    assert desk.suppressions() == set()


@pytest.mark.parametrize(("code", "channel", "reason"), [
    ("30005", "sms", "invalid_number"), ("21610", "all", "stopped"), ("30003", "", ""),
])  # fmt: skip
def test_the_code_of_a_text_that_failed_says_whether_to_write_again(
    desk: Desk, code: str, channel: str, reason: str
) -> None:
    desk.callback("A", "undelivered", ErrorCode=code)
    assert desk.suppressions() == ({("A", channel, reason)} if channel else set())


@pytest.mark.parametrize("way", ["link", "text", "report"])
def test_between_plan_and_claim_it_stops_the_message_and_the_reason_is_recorded(desk: Desk, way: str) -> None:
    key = desk.due()
    if way == "link":
        desk.client.post(desk.link("A"), data={"List-Unsubscribe": "One-Click"})
    elif way == "text":
        desk.says("A", "STOP")
    else:
        desk.sendgrid([desk.event("A", "spamreport", message_key="another")])
    deliver(desk.settings, desk.engine, at=NOW + timedelta(minutes=1))
    assert desk.state(key) == ("skipped", "suppressed")
    assert desk.run("select * from delivery.outbox") == []


def test_without_it_the_message_goes_out(desk: Desk) -> None:
    key = desk.due()
    deliver(desk.settings, desk.engine, at=NOW + timedelta(minutes=1))
    assert desk.state(key) == ("accepted", None)
