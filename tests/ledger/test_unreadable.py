"""A row that no program can read is quarantined, with its key in the log; everybody else gets their message."""

from __future__ import annotations

import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import DataError

from local_provider import Provider
from planner import DAY, MORNING, TEMPLATES, Planner
from retention.core.clock import Stopped
from retention.core.settings import Settings
from retention.core.shop import Shop
from retention.delivery import worker as delivery
from retention.delivery.rendering.render import TemplateError, Templates
from retention.delivery.worker import deliver, replay
from retention.ledger.claims import Ledger
from shop import ShopData

CODE = (
    "{% block subject %}Hello{% endblock %}{% block text %}{{ coupon_code }} {{ offer_percent }}"
    " {{ coupon_expires_at | moment }}{% if last_order_on %}{{ last_order_on | day }}{% endif %}{% endblock %}"
    "{% block html %}{{ coupon_code }}{% endblock %}"
)
ORDER, COUPON, MESSAGE = "update shop.orders set ", "update offers.coupons set ", "update delivery.messages set "

# What stands in the database of one customer. Each is a value that its table takes.
HOSTILE = {
    "an order of the year 1": ORDER + "ordered_on = '0001-01-01'",
    "an order before Christ": ORDER + "ordered_on = '0044-03-15 BC'",
    "an order that is for ever": ORDER + "ordered_on = 'infinity'",
    "an order that never was": ORDER + "ordered_on = '-infinity'",
    "an order of the year 9999": ORDER + "ordered_on = '9999-12-31'",
    "an order of the year 5874897": ORDER + "ordered_on = '5874897-12-31'",
    "a coupon for ever": COUPON + "state = 'issued', expires_at = 'infinity'",
    "a coupon of the year 9999": COUPON + "state = 'issued', expires_at = '9999-12-31 23:59:59+00'",
    "a coupon of the year 294276": COUPON + "state = 'issued', expires_at = '294276-12-31 23:59:59+00'",
    "a reserved coupon before Christ": COUPON + "expires_at = '0044-03-15 BC'",
    "a coupon of no percentage": COUPON + "percent = 'NaN'",
    "due since the year 1": MESSAGE + "due_at = '0001-01-01'",
    "due before Christ": MESSAGE + "due_at = '0044-03-15 BC'",
    "due since ever": MESSAGE + "due_at = '-infinity'",
    "never to expire": MESSAGE + "expires_at = 'infinity'",
    "to expire in the year 9999": MESSAGE + "expires_at = '9999-12-31'",
    "to expire in the year 294276": MESSAGE + "expires_at = '294276-12-31 23:59:59+00'",
    "attempted as often as can be counted": MESSAGE + "attempts = 2147483647",
    "of a version that is not there": MESSAGE + "version = 'v9'",
    "of an offer that the campaign does not have": MESSAGE + "offer = 'x'",
}
# Two columns at once.
ALSO = {"of an offer that the campaign does not have": COUPON + "offer = 'x'"}
# What is odd and stops nobody, not even its own message.
ODD = {
    "a customer of no language": "update shop.customers set language = '../../x'",
    "a customer of no country": "update shop.customers set country = 'Atlantis'",
    "a customer with a long name": "update shop.customers set first_name = repeat('Ada ', 100000)",
    "a customer since ever": "update shop.customers set registered_at = '-infinity', updated_at = '-infinity'",
    "a customer to be": "update shop.customers set registered_at = 'infinity', updated_at = '294276-01-01'",
    "an order changed before Christ": ORDER + "updated_at = '0044-03-15 BC', ordered_at = '0044-03-15 BC'",
    "to be tried again since ever": MESSAGE + "retry_at = '-infinity'",
    "called in the year 294276": MESSAGE + "called_at = '294276-12-31 23:59:59+00'",
}


@pytest.fixture
def town(shop: ShopData, planner: Planner) -> dict[str, str]:
    """Keys of mails with a coupon that tell of the last order: one per hostile and odd row, and five more."""
    planner.version("coupons", "v1", TEMPLATES | {"hello.en.j2": CODE}, exit_on=["unsubscribe"])
    keys = {}
    for number, what in enumerate(["fine 1", *HOSTILE, "fine 2", "fine 3", *ODD, "fine 4", "fine 5"]):
        ref = f"c{number:02d}"
        shop.customer(ref)
        shop.order(ref, DAY - timedelta(days=400))
        keys[what] = planner.message(ref, campaign="coupons", offer="comeback")
        for statement in filter(None, ((HOSTILE | ODD).get(what), ALSO.get(what))):
            planner.run(f"{statement} where customer_id = shop.customer_id('test', :ref)", ref=ref)
    return keys


def ends(planner: Planner, town: dict[str, str]) -> dict[str, tuple[str, str | None]]:
    return {what: planner.state(key) for what, key in town.items()}


def as_meant(town: dict[str, str]) -> dict[str, tuple[str, str | None]]:
    return {what: ("skipped", "unreadable") if what in HOSTILE else ("accepted", None) for what in town}


def sent(provider: Provider) -> list[str]:
    """The keys that the provider was asked to send, sorted."""
    return sorted(
        each["custom_args"]["message_key"] for one in provider.requests for each in one["json"]["personalizations"]
    )


@pytest.mark.parametrize("size", [1, 7, 500])
def test_unreadable_rows_are_set_aside_and_everybody_else_gets_their_message_once(
    live: Settings,
    engine: Engine,
    provider: Provider,
    planner: Planner,
    town: dict[str, str],
    size: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings = live.evolve(batch_size=size)
    counts = deliver(Shop(settings, engine, Stopped(MORNING))).counts()
    assert ends(planner, town) == as_meant(town)
    assert (counts["accepted"], counts["skipped"]) == (len(ODD) + 5, len(HOSTILE))
    assert {town[what] in caplog.text for what in HOSTILE} == {True}
    assert "mail.example" not in caplog.text
    void = planner.run("select count(*) as n from offers.coupons where state = 'void'")[0]["n"]
    assert void == len(HOSTILE)
    deliver(Shop(settings, engine, Stopped(MORNING + timedelta(hours=1))))
    assert sent(provider) == sorted(key for what, key in town.items() if what not in HOSTILE)


def test_workers_side_by_side_meet_unreadable_rows_and_send_nothing_twice(
    live: Settings, engine: Engine, provider: Provider, planner: Planner, town: dict[str, str]
) -> None:
    settings = live.evolve(batch_size=3)
    workers = [threading.Thread(target=deliver, args=[Shop(settings, engine, Stopped(MORNING))]) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert ends(planner, town) == as_meant(town)
    assert sent(provider) == sorted(key for what, key in town.items() if what not in HOSTILE)


def test_a_day_with_unreadable_rows_plays_to_its_end(
    settings: Settings, engine: Engine, planner: Planner, town: dict[str, str]
) -> None:
    assert replay(Shop(settings, engine), DAY)["accepted"] == len(ODD) + 5
    assert ends(planner, town) == as_meant(town)


def test_a_message_that_waits_for_an_instant_nobody_can_reckon_with_stops_no_day(
    settings: Settings, engine: Engine, planner: Planner, shop: ShopData
) -> None:
    waits, fine = (planner.message(shop.customer(name)) for name in ("ada", "bob"))
    planner.run(
        "update delivery.messages set retry_at = '294276-12-31 23:59:59+00' where message_key = :key", key=waits
    )
    assert replay(Shop(settings, engine), DAY)["accepted"] == 1
    assert (planner.state(waits)[0], planner.state(fine)[0]) == ("planned", "accepted")


def test_what_went_out_at_an_instant_nobody_can_reckon_with_stops_nobody_else(
    settings: Settings, engine: Engine, planner: Planner, shop: ShopData
) -> None:
    gone = planner.message(shop.customer("ada"), step="other")
    after, fine = planner.message("ada"), planner.message(shop.customer("bob"))
    planner.run(
        "update delivery.messages set state = 'accepted', attempts = 1, claim = gen_random_uuid(), provider = 'x',"
        " attempted_at = '294276-12-31 23:59:59+00', settled_at = due_at where message_key = :key",
        key=gone,
    )
    assert deliver(Shop(settings, engine), at=MORNING).counts()["accepted"] == 2
    assert {planner.state(key)[0] for key in (after, fine)} == {"accepted"}


def test_where_no_claim_can_be_read_at_all_the_fault_is_ours_and_the_queue_is_left_alone(
    settings: Settings, engine: Engine, planner: Planner, shop: ShopData
) -> None:
    planner.version("broken", "v1", TEMPLATES, priority="no number")
    for number in range(30):
        planner.message(shop.customer(f"c{number}"), campaign="broken")
    with pytest.raises(DataError):
        deliver(Shop(settings.evolve(batch_size=4), engine), at=MORNING)
    states = planner.run("select state, count(*) as n from delivery.messages group by state order by state")
    assert states == [{"state": "planned", "n": 10}, {"state": "skipped", "n": 20}]


def test_a_row_that_cannot_be_made_a_message_is_refused_and_the_others_are_made(
    settings: Settings, engine: Engine, planner: Planner, shop: ShopData, caplog: pytest.LogCaptureFixture
) -> None:
    odd, fine = (planner.message(shop.customer(name)) for name in ("ada", "bob"))
    with engine.connect() as connection:
        ledger = Ledger(settings, connection)
        worker = delivery._Worker(settings, ledger, delivery._Time(wall=Stopped(MORNING)))
        with ledger.claim_lock() as claim:
            claimed = ledger.claim(claim, MORNING, None, {"email": "outbox"}, called_at=MORNING)
            assert claimed is not None
            # A zone that PostgreSQL knows and this Python does not: the two have tables of their own.
            for each in claimed.messages:
                each.time_zone = "Mars/Olympus" if each.message_key == odd else each.time_zone
            assert [each.message_key for each in worker._render(claim, claimed.messages, Counter())] == [fine]
    assert planner.state(odd) == ("refused", "unreadable")
    assert odd in caplog.text


def test_a_moment_that_no_calendar_holds_fails_the_template_of_one_message_only() -> None:
    templates = Templates({"hello.en.j2": "{% block text %}{{ coupon_expires_at | moment }}{% endblock %}"})
    zone = ZoneInfo("Asia/Tokyo")
    for moment in (datetime(2026, 11, 21, tzinfo=UTC), datetime.max.replace(tzinfo=UTC)):
        given = {"coupon_expires_at": moment}
        if moment.year == 9999:
            with pytest.raises(TemplateError, match="OverflowError"):
                templates.render("hello", "sms", "en", given, zone)
        else:
            assert "21 November 2026" in templates.render("hello", "sms", "en", given, zone).text


def test_a_message_of_a_version_that_is_not_there_is_set_aside_without_an_offer_too(
    settings: Settings, engine: Engine, planner: Planner, shop: ShopData
) -> None:
    odd, fine = (planner.message(shop.customer(name)) for name in ("ada", "bob"))
    planner.run("update delivery.messages set version = 'v9' where message_key = :key", key=odd)
    assert deliver(Shop(settings, engine), at=MORNING).counts()["accepted"] == 1
    assert (planner.state(odd), planner.state(fine)) == (("skipped", "unreadable"), ("accepted", None))


@pytest.mark.parametrize("size", [1, 500])
def test_while_sending_is_blocked_no_message_that_is_fine_is_set_aside_in_place_of_one_that_has_expired(
    settings: Settings, engine: Engine, planner: Planner, shop: ShopData, size: int
) -> None:
    planner.version("broken", "v1", TEMPLATES, priority="no number")
    fine = planner.message(shop.customer("ada"), grace=9)
    odd = planner.message(shop.customer("bob"), campaign="broken", grace=0, on=DAY + timedelta(days=2))
    counts = deliver(Shop(settings.evolve(batch_size=size), engine), at=MORNING + timedelta(days=3)).counts()
    assert "more than 24 hours" in counts["blocked"]
    assert planner.state(odd) == ("skipped", "unreadable")
    assert planner.state(fine) == ("planned", None)


@pytest.mark.parametrize("size", [1, 500])
def test_another_message_of_the_same_customer_is_sent(
    settings: Settings, engine: Engine, planner: Planner, shop: ShopData, size: int
) -> None:
    planner.version("broken", "v1", TEMPLATES, priority="no number")
    fine = planner.message(shop.customer("ada"), on=DAY)
    odd = planner.message("ada", campaign="broken")
    deliver(Shop(settings.evolve(batch_size=size), engine), at=MORNING)
    assert planner.state(odd) == ("skipped", "unreadable")
    assert planner.state(fine) == ("accepted", None)
