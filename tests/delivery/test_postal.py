"""Postal cards: from a small campaign's file to pages for the printer, each card in exactly one of them."""

from __future__ import annotations

import csv
import html
import io
import json
import re
import shutil
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine

from planner import DAY, MORNING, TEMPLATES, Planner
from retention.campaigns import definitions, steps
from retention.core import days
from retention.core.errors import DeliveryError, InputError
from retention.core.settings import Settings, from_environment
from retention.core.shop import Shop
from retention.core.spreadsheets import as_csv
from retention.delivery.exports import writing as exports
from retention.delivery.exports.postal import LONGEST_TEXT, export
from retention.delivery.operations import halting
from retention.delivery.worker import deliver, replay
from retention.ledger import halts
from shop import LONG_AGO, NAMESPACE, ShopData

NEXT = DAY + timedelta(days=1)
EVENING = MORNING + timedelta(hours=11)
POST = ("email", "sms", "postal")
HOME = {"street": "Voorbeeldstraat 1", "postal_code": "0100 AA", "city": "Utrecht", "last_name": "de Vries"}
CARD = {
    "card.en.j2": "{% block text %}Dear {{ first_name or 'friend' }},\nwe miss you.{% endblock %}",
    "card.el.j2": "{% block text %}Αγαπητή {{ first_name }}, μας λείπετε.{% endblock %}",
}


class Cards:
    """A campaign `cards`, and what was exported of it."""

    def __init__(self, settings: Settings, engine: Engine, shop: ShopData, planner: Planner) -> None:
        self.settings, self.engine, self.shop, self.planner = settings, engine, shop, planner
        planner.version("cards", "v1", TEMPLATES | CARD)

    def planned(self, ref: str, offer: str | None = None, **fields: Any) -> str:
        """A customer with a home, and the key of the card planned for them."""
        self.shop.customer(ref, **{"consents": POST, **HOME, **fields})
        return self.planner.message(ref, step="card", channel="postal", campaign="cards", offer=offer)

    def export(self, at: datetime = EVENING) -> int:
        return int(export(Shop(self.settings, self.engine), at=at)["added"])

    @property
    def folders(self) -> list[Path]:
        return sorted((self.settings.local / "audiences").glob("cards_card/*"))

    def printed(self) -> list[list[str]]:
        """The message keys in each export."""
        return [
            [row["message_key"] for row in csv.DictReader((each / "cards.csv").open())]
            for each in self.folders
            if (each / exports.MANIFEST).exists()
        ]


@pytest.fixture
def cards(settings: Settings, engine: Engine, shop: ShopData, planner: Planner) -> Cards:
    """The campaign `cards`, nobody in it."""
    shop.publish_each(DAY, DAY + timedelta(days=3))
    return Cards(settings, engine, shop, planner)


@pytest.mark.parametrize("why", ["suppressed", "no_consent", "order", "erased"])
def test_a_card_is_not_printed_once_its_customer_must_not_get_it(cards: Cards, why: str) -> None:
    key, other = cards.planned("ada"), cards.planned("eva")
    assert deliver(Shop(cards.settings, cards.engine), at=MORNING).counts()["accepted"] == 2
    at = MORNING + timedelta(hours=1)
    match why:
        case "suppressed":
            cards.planner.suppress("ada", at)
        case "no_consent":
            cards.planner.withdraw("ada", "postal", at)
        case "order":
            cards.shop.order("ada", at, known_at=at)
        case "erased":
            cards.planner.run(
                "update campaigns.enrolments set exited_on = :day, exit_reason = 'erased'"
                " where customer_id = shop.customer_id(:namespace, 'ada')",
                namespace=NAMESPACE,
                day=MORNING.date(),
            )
    assert cards.export() == 1
    assert cards.printed() == [[other]]
    assert cards.planner.one(key)["state"] == "planned"
    assert deliver(Shop(cards.settings, cards.engine), at=EVENING - timedelta(hours=1)).counts()["skipped"] == 1
    assert (cards.planner.one(key)["state"], cards.planner.one(key)["reason"]) == ("skipped", why)
    assert cards.export(EVENING + timedelta(days=1)) == 0


def test_a_card_that_is_withdrawn_gives_back_its_coupon_and_its_room_under_the_caps(cards: Cards) -> None:
    cards.planned("ada", offer="comeback")
    assert deliver(Shop(cards.settings, cards.engine), at=MORNING).counts()["accepted"] == 1
    other = cards.planner.message("ada")
    cards.planner.run(
        "update delivery.messages set reason = 'capped', retry_at = :later where message_key = :key",
        later=EVENING + timedelta(days=1),
        key=other,
    )
    assert cards.planner.coupon("ada")["state"] == "issued"
    cards.planner.withdraw("ada", "postal", MORNING + timedelta(hours=1))
    assert cards.export() == 0
    assert (cards.planner.coupon("ada")["state"], cards.planner.coupon("ada")["expires_at"]) == ("reserved", None)
    assert cards.planner.one(other)["retry_at"] is None
    deliver(Shop(cards.settings, cards.engine), at=EVENING - timedelta(hours=1))
    assert cards.planner.coupon("ada")["state"] == "void"
    assert cards.planner.state(other) == ("accepted", None)


def test_live_nobody_is_printed_for_a_past_day_who_is_suppressed_by_now(cards: Cards, live: Settings) -> None:
    key, other = cards.planned("ada"), cards.planned("eva")
    assert deliver(Shop(cards.settings, cards.engine), at=MORNING).counts()["accepted"] == 2
    cards.planner.suppress("ada", EVENING + timedelta(days=1))
    assert export(Shop(live, cards.engine), day=MORNING.date(), at=EVENING + timedelta(days=2))["added"] == 1
    assert cards.printed() == [[other]]
    assert cards.planner.one(key)["reason"] == "withdrawn"


def test_a_card_is_printed_as_it_is_rendered_with_the_address_beside_it(cards: Cards) -> None:
    key = cards.planned("ada")
    eleni = cards.planned(
        "eleni",
        first_name="Ελένη",
        last_name="<Βλάχου>",
        language="el",
        country="GR",
        street="Οδός Παραδείγματος 7",
        postal_code="000 00",
        city="Αθήνα",
    )
    assert deliver(Shop(cards.settings, cards.engine), at=MORNING).counts()["accepted"] == 2
    assert cards.planner.one(key)["provider"] == "files"
    assert cards.planner.run("select * from delivery.outbox") == []
    assert cards.export() == 2
    [folder] = cards.folders
    assert folder.name == "2026-11-21-0001"
    rows = {row["message_key"]: row for row in csv.DictReader((folder / "cards.csv").open())}
    assert rows[key] == {
        "recipient": "Ada de Vries",
        "street": "Voorbeeldstraat 1",
        "postal_code": "0100 AA",
        "city": "Utrecht",
        "country": "NL",
        "language": "en",
        "card": "Dear Ada,\nwe miss you.",
        "message_key": key,
    }
    assert rows[eleni]["card"] == "Αγαπητή Ελένη, μας λείπετε."
    page = (folder / "cards.html").read_text()
    assert "<Βλάχου>" not in page
    assert page.count('class="card"') == 2
    assert "Ελένη <Βλάχου>\nΟδός Παραδείγματος 7\n000 00 Αθήνα\nGREECE" in html.unescape(page)
    assert re.search(r'<div class="card" lang="el">\n<div>Αγαπητή', page)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert (manifest["channel"], manifest["rows"]) == ("postal", {"added": 2, "removed": 0})
    assert [(file["name"], file["rows"]) for file in manifest["files"]] == [("cards.csv", 2), ("cards.html", 2)]


def test_a_name_that_is_a_formula_is_text_in_the_table_and_itself_on_the_card(cards: Cards) -> None:
    formula = '=HYPERLINK("http://evil.example";"you won")'
    cards.planned("ada", first_name=formula, last_name="x", street="+1+1", postal_code="-1 AA", city="\uff20SUM(1)")
    cards.planned("bob", first_name="Bob", last_name="x;=1+1", street=" =1+1", postal_code="0100 AA", city="'t Harde")
    assert deliver(Shop(cards.settings, cards.engine), at=MORNING).counts()["accepted"] == 2
    assert cards.export() == 2
    [folder] = cards.folders
    rows = sorted(csv.DictReader((folder / "cards.csv").open()), key=lambda row: row["recipient"])
    told = [[row[name] for name in ("recipient", "street", "postal_code", "city")] for row in rows]
    # What follows a semicolon begins a field where the semicolon parts fields.
    assert told == [
        ['\'=HYPERLINK("http://evil.example";"you won") x', "'+1+1", "'-1 AA", "'\uff20SUM(1)"],
        ["Bob x;'=1+1", "'=1+1", "0100 AA", "'t Harde"],
    ]
    assert f"{formula} x\n+1+1\n-1 AA" in html.unescape((folder / "cards.html").read_text())


@given(st.text(st.sampled_from("=+-@;,\"'\t\r\n \xa0\u200b\ufeff\uff1d\uff0b\uff0d\uff20a1"), max_size=12))
def test_no_spreadsheet_computes_a_field_whatever_parts_its_fields(field: str) -> None:
    table = as_csv(["a", "b"], [["x", field]]).decode()
    [_, (_, read)] = csv.reader(io.StringIO(table, newline=""))
    for part in re.split("[;\t]", read):
        begins = re.sub(r"[\s\x00-\x1f\u200b\ufeff]", "", part)[:1]
        assert begins not in tuple("=+-@\uff1d\uff0b\uff0d\uff20")
    assert read[:1] not in ("\t", "\r", "\n")
    assert read.replace("'", "") == field.replace("'", "").replace("\r\n", "\n").replace("\r", "\n")


def test_what_machines_read_in_an_export_stays_as_it_is() -> None:
    fields = ["5f" * 32, "ABCD2345", "10", "2026-11-20T10:00:00+00:00", "winback", "NL", "", "1.5"]
    assert as_csv(["h"] * 8, [fields]).decode().splitlines()[1] == ",".join(fields)


def test_csv_is_written_in_one_place() -> None:
    package = from_environment({}).include / "retention"
    writers = {str(file.relative_to(package)) for file in package.rglob("*.py") if "csv.writer" in file.read_text()}
    assert writers == {"core/spreadsheets.py", "demo/generator.py"}  # the demo shop plays somebody else's shop


def test_without_a_whole_address_or_against_their_wish_nobody_gets_a_card(cards: Cards) -> None:
    keys = {
        "fine": cards.planned("fine"),
        "asked for nothing": cards.planned("plain", consents=("email",)),
        "no street": cards.planned("street", street=None),
        "no code": cards.planned("code", postal_code=None),
        "no city": cards.planned("city", city=None),
        "no country": cards.planned("country", country=None),
        "objected": cards.planned("objected"),
        "suppressed": cards.planned("out"),
    }
    cards.planner.run(
        "insert into shop.rules (country, channel, basis, valid_from, source) values"
        " ('NL', 'postal', 'legitimate_interest', '2000-01-01', 'x') on conflict do nothing"
    )
    cards.planner.withdraw("objected", "postal", MORNING)
    cards.planner.suppress("out", MORNING)
    deliver(Shop(cards.settings, cards.engine), at=MORNING)
    assert {name: cards.planner.state(key)[1] for name, key in keys.items()} == {
        "fine": None,
        "asked for nothing": None,
        "no street": "no_address",
        "no code": "no_address",
        "no city": "no_address",
        "no country": "no_address",
        "objected": "no_consent",
        "suppressed": "suppressed",
    }


def test_a_card_counts_in_the_cap_over_all_channels(cards: Cards, monkeypatch: pytest.MonkeyPatch) -> None:
    cards.planner.run("insert into delivery.caps values ('all', 1, 24, :morning, null)", morning=MORNING)
    monkeypatch.setattr("retention.ledger.caps.sync_rules", lambda *_: None)
    cards.planned("ada")
    deliver(Shop(cards.settings, cards.engine), at=MORNING)
    mail = cards.planner.message("ada")
    counts = deliver(Shop(cards.settings, cards.engine), at=MORNING + timedelta(hours=1)).counts()
    assert (counts["accepted"], counts["capped"]) == (0, 1)
    assert cards.planner.state(mail) == ("planned", "capped")


def test_a_text_without_room_is_refused(cards: Cards) -> None:
    long = cards.planned("long", first_name="A" * LONGEST_TEXT)
    assert deliver(Shop(cards.settings, cards.engine), at=MORNING).counts()["refused"] == 1
    assert (
        cards.planner.state(long)[1] == f"too_long: {LONGEST_TEXT + len('Dear ,') + 1 + len('we miss you.')} characters"
    )
    assert cards.export() == 0


def test_each_card_is_in_exactly_one_file_whatever_crashes(cards: Cards, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [cards.planned(f"c{number}") for number in range(3)]
    deliver(Shop(cards.settings, cards.engine), at=MORNING)
    system, _ = exports.place(cards.settings)
    original = type(system).pipe_file
    calls: list[str] = []

    def pipe_file(self: Any, path: str, value: bytes, **more: Any) -> None:
        calls.append(path)
        if len(calls) in (2, 5):
            raise OSError("the disk is gone")
        original(self, path, value, **more)

    monkeypatch.setattr(type(system), "pipe_file", pipe_file)
    for _ in range(2):
        with pytest.raises(DeliveryError, match="the disk is gone"):
            cards.export()
        assert cards.printed() == []
    keys.append(cards.planned("late"))
    deliver(Shop(cards.settings, cards.engine), at=EVENING - timedelta(hours=1))
    cards.export()
    first, second = cards.printed()
    assert (sorted(first), second) == (sorted(keys[:3]), [keys[3]])
    assert cards.export(EVENING + timedelta(days=1)) == 0


def test_the_same_day_again_gives_the_same_bytes(cards: Cards) -> None:
    cards.planned("ada")
    deliver(Shop(cards.settings, cards.engine), at=MORNING)
    cards.export()
    before = {each.name: each.read_bytes() for each in cards.folders[0].iterdir()}
    (cards.folders[0] / "manifest.json").unlink()
    (cards.folders[0] / "cards.html").unlink()
    assert export(Shop(cards.settings, cards.engine), day=NEXT, at=EVENING + timedelta(days=3))["exports"] == 1
    assert {each.name: each.read_bytes() for each in cards.folders[0].iterdir()} == before


def test_after_a_month_the_folder_and_the_addresses_are_deleted(cards: Cards) -> None:
    key = cards.planned("ada")
    deliver(Shop(cards.settings, cards.engine), at=MORNING)
    cards.export()
    cards.export(EVENING + timedelta(days=30))
    assert (len(cards.folders), len(cards.planner.run("select * from delivery.cards"))) == (1, 1)
    assert cards.export(EVENING + timedelta(days=31)) == cards.export(EVENING + timedelta(days=31)) == 0
    assert (cards.folders, cards.planner.run("select * from delivery.cards")) == ([], [])
    assert cards.planner.state(key) == ("accepted", None)


@pytest.mark.parametrize("which", [{}, {"campaign": "cards"}, {"channel": "postal"}])
def test_what_is_halted_waits_for_a_later_export(cards: Cards, which: dict[str, str]) -> None:
    cards.planned("ada")
    deliver(Shop(cards.settings, cards.engine), at=MORNING)
    halting.halt(Shop(cards.settings, cards.engine), **which)
    assert cards.export() == 0
    halts.resume(Shop(cards.settings, cards.engine), **which)
    assert cards.export() == 1


def test_a_day_that_is_played_ends_with_its_cards(cards: Cards) -> None:
    cards.planned("ada")
    replay(Shop(cards.settings, cards.engine), DAY)
    assert [folder.name for folder in cards.folders] == ["2026-11-21-0001"]


# --- a campaign's file -----------------------------------------------------------------------------------------------

YAML = """\
campaign: cards
status: live
about: Who has not bought for a year gets a card.
owner: crm@shop.example
selection: winback
re_entry: never
exit_on: [order]
control: 0%
goal: {order_within: 30 days}
send_between: ["09:00", "20:00"]
steps:
  - {step: card, day: 0, channel: postal}
"""


@pytest.fixture
def include(tmp_path: Path) -> Path:
    """The include folder with the campaign `cards`."""
    copy = tmp_path / "include"
    for folder in ("campaigns", "offers", "messages", "sql"):
        shutil.copytree(from_environment({}).include / folder, copy / folder)
    shutil.copy(from_environment({}).include / "rules.csv", copy)
    (copy / "messages" / "cards").mkdir()
    (copy / "messages" / "cards" / "card.en.j2").write_text(CARD["card.en.j2"])
    (copy / "campaigns" / "cards.yaml").write_text(YAML)
    return copy


def test_a_customer_of_a_small_campaign_gets_a_card(
    settings: Settings, engine: Engine, shop: ShopData, include: Path
) -> None:
    settings = settings.evolve(include=include)
    shop.customer("ada", consents=POST, **HOME)
    shop.customer("bob", consents=POST)
    shop.publish(DAY)
    with engine.begin() as connection:
        for selection in ("winback", "send_base"):
            days.Part("selections", selection).record(connection, DAY, "done")
            connection.exec_driver_sql(
                "insert into selections.membership (selection, customer_id, entered_on)"
                f" select '{selection}', customer_id, '{LONG_AGO}' from shop.customers"
            )
    shop.launch("cards")
    counts = steps.run_day(Shop(settings, engine), "cards", DAY)
    assert (counts["enrolled"], counts["planned"], counts["skipped"]) == (1, {"card": 1}, {})
    assert replay(Shop(settings, engine), DAY)["accepted"] == 1
    [table] = (settings.local / "audiences" / "cards_card").glob("*/cards.csv")
    assert [row["recipient"] for row in csv.DictReader(table.open())] == ["Ada de Vries"]


def test_a_card_that_has_no_room_is_told_when_the_campaign_is_read(include: Path) -> None:
    campaign = definitions.read(include, "cards")
    assert [campaign.task_id(step) for step in campaign.steps] == ["day_0_postal"]
    file = include / "messages" / "cards" / "card.en.j2"
    file.write_text("\n{% block text %}" + "x" * (LONGEST_TEXT + 1) + "{% endblock %}")
    with pytest.raises(InputError, match=rf"card\.en\.j2, line 2: {LONGEST_TEXT + 1} characters; a card has room for"):
        definitions.read(include, "cards")


def test_addresses_have_versions_like_everything_of_a_customer(shop: ShopData, engine: Engine) -> None:
    shop.customer("ada", **HOME)
    with engine.begin() as connection:
        columns = {
            name: list(connection.exec_driver_sql(f"select * from {name} limit 0").keys())
            for name in ("shop.customers", "shop.customers_history", "shop.customer_versions")
        }
        [street] = connection.exec_driver_sql("select street from shop.customer_versions").scalars()
    assert columns["shop.customers_history"] == columns["shop.customer_versions"]
    assert columns["shop.customers_history"] == [*columns["shop.customers"], "superseded_at"]
    assert street == HOME["street"]
