"""The law as data: read from rules.csv, asked when planning and claiming; hours, grounds and zones nobody knows."""

from __future__ import annotations

import shutil
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Engine

from planner import DAY, MORNING, Planner
from retention.contact import law
from retention.core import channels
from retention.core.errors import InputError
from retention.core.settings import Settings
from retention.core.shop import Shop
from retention.delivery.operations import proof
from retention.delivery.worker import deliver, replay
from retention.privacy import forgetting
from shop import NAMESPACE, ShopData

NEW_YORK = ZoneInfo("America/New_York")
HONOLULU = ZoneInfo("Pacific/Honolulu")
HEAD = ",".join(law.COLUMNS)
UNKNOWN = "\n".join(f"unknown,{channel},consent,,,1900-01-01,strictest" for channel in channels.NAMES)


def at(day: date, clock: str, zone: ZoneInfo) -> datetime:
    """An instant by the clock on the wall somewhere."""
    return datetime.combine(day, time.fromisoformat(clock), zone)


# --- rules.csv -------------------------------------------------------------------------------------------------------


def test_the_rules_name_an_article_and_know_no_exception_for_customers_in_poland(settings: Settings) -> None:
    rules = law.read(settings.include)
    assert {rule.country for rule in rules} >= {"DE", "NL", "GR", "PL", "BE", "FR", "AT", "GB", "US", law.UNKNOWN}
    assert {rule.basis for rule in rules if rule.country == "PL" and rule.channel == "email"} == {"consent"}
    assert {rule.basis for rule in rules if rule.channel == "sms"} == {"consent"}
    (texts,) = [rule for rule in rules if rule.country == "US" and rule.channel == "sms"]
    assert (texts.earliest, texts.latest) == (time(8), time(21))


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("XX,email,consent,,,2020-01-01,art. 1", "line 6: country is 'XX'; write two letters"),
        ("UK,email,consent,,,2020-01-01,art. 1", "line 6: country is 'UK'"),
        ("NL,fax,consent,,,2020-01-01,art. 1", "line 6: channel is 'fax'; write email, sms, audience, postal."),
        ("NL,email,opt_out,,,2020-01-01,art. 1", "line 6: basis is 'opt_out'; write consent"),
        ("NL,sms,consent,8,21:00,2020-01-01,art. 1", "line 6: earliest is '8'; write a time like 08:00"),
        ("NL,sms,consent,21:00,08:00,2020-01-01,art. 1", "line 6: no time is between 21:00 and 08:00"),
        ("NL,sms,consent,,,01.01.2020,art. 1", "line 6: valid_from is '01.01.2020'; write a day like"),
        ("NL,sms,consent,,,2020-01-01,", "line 6: source is empty"),
        ("NL,sms,consent,,,2020-01-01", "line 6: it has 6 fields; write 7"),
        ("NL,sms,consent,,,2020-01-01,a\nNL,sms,consent,,,2020-01-01,b", "line 7: NL sms 2020-01-01 stands in line 6"),
    ],
)
def test_a_mistake_in_the_rules_is_told_with_its_line(tmp_path: Path, lines: str, said: str) -> None:
    (tmp_path / "rules.csv").write_text(f"{HEAD}\n{UNKNOWN}\n{lines}\n")
    with pytest.raises(InputError) as problem:
        law.read(tmp_path)
    assert said in str(problem.value)
    assert str(tmp_path / "rules.csv") in str(problem.value)


def test_rules_without_the_strictest_or_without_a_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no "):
        law.read(tmp_path)
    (tmp_path / "rules.csv").write_text(f"{HEAD}\nNL,email,consent,,,2020-01-01,art. 1\n")
    with pytest.raises(InputError, match="has no line unknown,email"):
        law.read(tmp_path)
    (tmp_path / "rules.csv").write_text(f"{HEAD.replace(',', ';')}\n")
    with pytest.raises(InputError, match="line 1: write the columns country,channel"):
        law.read(tmp_path)


def test_an_edit_holds_for_the_next_claim(settings: Settings, engine: Engine, shop: ShopData, planner: Planner) -> None:
    shop.customer("A", consents=())
    soft(planner, "A")
    shop.order("A", date(2026, 6, 1))
    first = planner.message("A")
    assert deliver(Shop(settings, engine), at=MORNING - timedelta(hours=1)).counts()["accepted"] == 0
    mine = with_rules(settings, "NL,email,consent,,,2020-01-01,art. 1")
    deliver(Shop(mine, engine), at=MORNING)
    assert planner.state(first) == ("skipped", "no_consent")


# --- on what ground --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("country", "ordered", "withdrawn", "state"),
    [
        ("DE", True, False, ("accepted", None)),
        ("NL", True, False, ("accepted", None)),
        ("NL", False, False, ("skipped", "no_consent")),
        ("NL", True, True, ("skipped", "no_consent")),
        ("PL", True, False, ("skipped", "no_consent")),
        ("JP", True, False, ("skipped", "no_consent")),
        (None, True, False, ("skipped", "no_consent")),
    ],
)
def test_an_address_from_a_sale_is_enough_where_the_law_knows_it_and_there_is_a_sale(
    settings: Settings,
    engine: Engine,
    shop: ShopData,
    planner: Planner,
    country: str | None,
    ordered: bool,
    withdrawn: bool,
    state: tuple[str, str | None],
) -> None:
    shop.customer("A", consents=(), country=country)
    soft(planner, "A")
    if ordered:
        shop.order("A", date(2026, 6, 1))
    if withdrawn:
        planner.withdraw("A", "email", MORNING - timedelta(hours=1))
    key = planner.message("A")
    deliver(Shop(settings, engine), at=MORNING)
    assert planner.state(key) == state


def test_an_order_that_was_cancelled_or_is_not_known_yet_is_no_sale(
    settings: Settings, engine: Engine, shop: ShopData, planner: Planner
) -> None:
    for ref in ("A", "B"):
        shop.customer(ref, consents=())
        soft(planner, ref)
    shop.order("A", date(2026, 6, 1), status="cancelled")
    shop.order("B", date(2026, 6, 1), known_at=MORNING + timedelta(minutes=1))
    keys = [planner.message(ref) for ref in ("A", "B")]
    deliver(Shop(settings, engine), at=MORNING)
    assert [planner.state(key) for key in keys] == [("skipped", "no_consent")] * 2


def test_where_the_law_asks_for_no_consent_only_an_objection_stops_it(
    settings: Settings, engine: Engine, shop: ShopData, planner: Planner
) -> None:
    for ref in ("A", "B"):
        shop.customer(ref, consents=("email",) if ref == "B" else ())
    planner.withdraw("B", "email", MORNING - timedelta(days=1))
    keys = [planner.message(ref) for ref in ("A", "B")]
    mine = with_rules(settings, "NL,email,legitimate_interest,,,2020-01-01,art. 1")
    deliver(Shop(mine, engine), at=MORNING)
    assert [planner.state(key) for key in keys] == [("accepted", None), ("skipped", "no_consent")]


def test_a_rule_holds_from_its_day_on_where_the_customer_is(
    settings: Settings, engine: Engine, shop: ShopData, planner: Planner
) -> None:
    shop.customer("A", consents=("sms",))
    shop.customer("B", consents=("sms",))
    early = planner.message("A", step="nudge", channel="sms")
    late = planner.message("B", step="nudge", channel="sms", on=DAY + timedelta(days=2))
    mine = with_rules(
        settings, "NL,sms,consent,,,2020-01-01,art. 1", f"NL,sms,consent,10:00,,{DAY + timedelta(days=2)},art. 2"
    )
    deliver(Shop(mine, engine), at=MORNING)
    deliver(Shop(mine, engine), at=MORNING + timedelta(days=1))
    assert planner.state(early)[0] != "planned"
    assert planner.state(late)[0] == "planned"
    shop.publish(DAY + timedelta(days=1))
    deliver(Shop(mine, engine), at=MORNING + timedelta(days=1, hours=1))
    assert planner.state(late)[0] != "planned"


# --- at what hours ---------------------------------------------------------------------------------------------------


def test_a_text_to_the_united_states_waits_for_eight_and_ends_at_nine_in_the_evening(
    settings: Settings, engine: Engine, shop: ShopData, planner: Planner
) -> None:
    shop.customer("A", country="US", time_zone="America/New_York")
    on = DAY + timedelta(days=1)
    shop.publish(on)
    key = planner.message("A", step="nudge", channel="sms", zone="America/New_York", window=(time(6), time(23)), on=on)
    mail = planner.message("A", zone="America/New_York", window=(time(6), time(23)), campaign="other", on=on)
    planner.version(
        "other",
        "v1",
        {
            "hello.en.j2": "{% block subject %}x{% endblock %}{% block text %}x{% endblock %}"
            "{% block html %}x{% endblock %}"
        },
    )
    deliver(Shop(settings, engine), at=at(on, "07:59", NEW_YORK))
    assert planner.state(key)[0] == "planned"
    assert planner.state(mail)[0] == "accepted"  # no hours for mail
    deliver(Shop(settings, engine), at=at(on, "21:00", NEW_YORK))
    assert planner.state(key)[0] == "planned"
    deliver(Shop(settings, engine), at=at(on, "20:59", NEW_YORK))
    assert planner.state(key)[0] in ("accepted", "refused")
    assert proof.prove(Shop(settings, engine))["outside_window"] == 0


def test_a_window_that_the_law_leaves_nothing_of_is_skipped_at_once(
    settings: Settings, engine: Engine, shop: ShopData, planner: Planner
) -> None:
    shop.publish(DAY + timedelta(days=1))
    shop.customer("A", country="US", time_zone="America/New_York")
    key = planner.message("A", step="nudge", channel="sms", zone="America/New_York", window=(time(21), time(23)))
    deliver(Shop(settings, engine), at=at(DAY + timedelta(days=1), "21:30", NEW_YORK))
    assert planner.state(key) == ("skipped", "no_window")


def test_where_somebody_was_who_is_forgotten_breaks_no_promise(
    settings: Settings, engine: Engine, shop: ShopData, planner: Planner
) -> None:
    on = DAY + timedelta(days=1)
    shop.publish(on)
    shop.customer("A", country="US", time_zone="America/New_York")
    key = planner.message("A", zone="America/New_York", on=on)
    evening = at(on, "19:30", NEW_YORK)  # half past one at night in Amsterdam
    deliver(Shop(settings, engine), at=evening)
    assert planner.state(key) == ("accepted", None)
    forgetting.forget(Shop(settings, engine), "A", at=evening + timedelta(hours=1))
    assert planner.run("select state from delivery.messages") == [{"state": "accepted"}]
    assert not any(proof.prove(Shop(settings, engine)).values())


# --- where they may be -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("on", [date(2026, 11, 21), date(2026, 11, 1), date(2026, 3, 8), date(2027, 1, 1)])
def test_an_american_without_a_zone_is_written_to_while_it_is_day_from_new_york_to_honolulu(
    settings: Settings, engine: Engine, shop: ShopData, planner: Planner, on: date
) -> None:
    shop.publish_each(on - timedelta(days=2), on)
    shop.customer("A", country="US", time_zone=None)
    key = planner.message("A", zone="Pacific/Honolulu", on=on)
    planner.run("update delivery.messages set expires_at = :then", then=at(on + timedelta(days=3), "20:00", NEW_YORK))
    for clock in ("00:00", "09:00", "13:59"):
        deliver(Shop(settings, engine), at=at(on, clock, NEW_YORK))
        assert planner.state(key)[0] == "planned", clock
    opens = at(on, "09:00", HONOLULU)
    for instant in (opens - timedelta(minutes=1), at(on, "20:00", NEW_YORK)):
        deliver(Shop(settings, engine), at=instant)
        assert planner.state(key)[0] == "planned"
    assert planner.one(key)["due_at"] == opens.astimezone(UTC)
    deliver(Shop(settings, engine), at=at(on, "19:59", NEW_YORK))
    assert planner.state(key) == ("accepted", None)
    assert proof.prove(Shop(settings, engine))["outside_window"] == 0


def test_no_zone_and_no_country_is_the_shops_zone(
    settings: Settings, engine: Engine, shop: ShopData, planner: Planner
) -> None:
    shop.customer("A", country=None, time_zone=None)
    shop.customer("B", country="GR", time_zone=None)
    keys = [planner.message("A"), planner.message("B", zone="Europe/Athens")]
    deliver(Shop(settings, engine), at=MORNING - timedelta(minutes=1))
    assert [planner.state(key)[0] for key in keys] == ["planned", "accepted"]
    deliver(Shop(settings, engine), at=MORNING)
    assert [planner.state(key)[0] for key in keys] == ["accepted", "accepted"]


def test_a_window_that_is_nowhere_open_at_once_is_skipped(
    settings: Settings, engine: Engine, shop: ShopData, planner: Planner
) -> None:
    shop.customer("A", country="US", time_zone=None)
    key = planner.message("A", zone="America/New_York", window=(time(9), time(12)))
    deliver(Shop(settings, engine), at=at(DAY + timedelta(days=1), "10:00", NEW_YORK))
    assert planner.state(key) == ("skipped", "no_window")


@pytest.mark.parametrize("on", [date(2026, 3, 8), date(2026, 7, 1), date(2026, 11, 1), date(2026, 12, 31)])
def test_played_days_find_the_first_moment_that_is_day_everywhere(
    settings: Settings, engine: Engine, shop: ShopData, planner: Planner, on: date
) -> None:
    shop.publish_each(on - timedelta(days=2), on)
    shop.customer("A", country="US", time_zone=None)
    key = planner.message("A", zone="America/New_York", on=on)
    replay(Shop(settings, engine), on - timedelta(days=1))
    assert planner.state(key) == ("accepted", None)
    assert planner.one(key)["attempted_at"] == at(on, "09:00", HONOLULU)


def test_a_late_retry_waits_for_the_morning(
    settings: Settings, engine: Engine, shop: ShopData, planner: Planner
) -> None:
    shop.customer("A")
    key = planner.message("A")
    shop.publish(DAY + timedelta(days=1))
    evening = at(DAY + timedelta(days=1), "19:59", MORNING.tzinfo)  # type: ignore[arg-type]
    planner.run(
        "update delivery.messages set attempts = 1, reason = 'busy', retry_at = :at", at=evening + timedelta(hours=7)
    )
    for later in (7, 8):
        deliver(Shop(settings, engine), at=evening + timedelta(hours=later))
        assert planner.state(key) == ("planned", "busy")
    deliver(Shop(settings, engine), at=MORNING + timedelta(days=1))
    assert planner.state(key) == ("accepted", None)


@pytest.mark.parametrize(
    ("zone", "channel", "clock", "broken"),
    [
        ("America/New_York", "sms", "21:30", 1),
        ("America/New_York", "sms", "20:30", 0),
        ("America/New_York", "email", "21:30", 0),
        (None, "email", "10:00", 1),
        (None, "email", "15:00", 0),
    ],
)
def test_the_proof_sees_what_went_out_against_the_law(
    settings: Settings,
    engine: Engine,
    shop: ShopData,
    planner: Planner,
    zone: str | None,
    channel: str,
    clock: str,
    broken: int,
) -> None:
    with engine.begin() as connection:
        law.sync_rules(connection, settings.include)
    shop.customer("A", country="US", time_zone=zone)
    planner.message("A", channel=channel, zone="America/New_York", window=(time(6 if zone else 9), time(23)))
    planner.run(
        "update delivery.messages set state = 'accepted', attempts = 1, claim = gen_random_uuid(), provider = 'x',"
        " attempted_at = :at, settled_at = :at",
        at=at(DAY + timedelta(days=1), clock, NEW_YORK),
    )
    assert proof.prove(Shop(settings, engine))["outside_window"] == broken


# --- helpers ---------------------------------------------------------------------------------------------------------


def soft(planner: Planner, ref: str) -> None:
    """The shop has the address from a sale, and nobody objected."""
    planner.run(
        "insert into shop.consents (customer_id, purpose, channel, is_granted, basis, origin, updated_at, known_at)"
        " values (shop.customer_id(:namespace, :ref), 'marketing', 'email', true, 'soft_opt_in', 'checkout',"
        " '2026-01-01+00', '2026-01-02+00')",
        namespace=NAMESPACE,
        ref=ref,
    )


def with_rules(settings: Settings, *lines: str) -> Settings:
    """Settings with rules of their own, and the strictest where they say nothing."""
    include = settings.local / "include"
    include.mkdir()
    (include / "sql").symlink_to(settings.include / "sql")
    shutil.copy(settings.include / "caps.yaml", include)
    (include / "rules.csv").write_text("\n".join([HEAD, UNKNOWN, *lines, ""]))
    return settings.evolve(include=include)
