import csv
import gzip
import io
import json
from collections import Counter, defaultdict
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Engine

from retention.core.errors import InputError
from retention.core.settings import Settings
from retention.core.shop import Shop
from retention.demo import generator as demo
from retention.orders import sync

ZONE = ZoneInfo("Europe/Amsterdam")
FIRST = date(2025, 9, 28)
FILES = {"orders.csv", "order_lines.csv", "customers.jsonl", "consents.csv.gz", "list_members.csv", "_COMPLETE"}
WITH_PRODUCTS = FILES | {"products.csv"}  # on the first day, and on Mondays


def generate(to: Path, *, days: int, **options: Any) -> dict[str, Any]:
    """The shop that opens on FIRST, for so many days."""
    return demo.generate(to, days=days, until=FIRST + timedelta(days=days - 1), zone=ZONE, **options)


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def files_of(day: date) -> set[str]:
    return WITH_PRODUCTS if day == FIRST or day.weekday() == 0 else FILES


def table(folder: Path, name: str) -> list[tuple[date, dict[str, str]]]:
    """Each row of a CSV file of all days, with the day of its folder."""
    found = []
    for day in sorted(path for path in folder.iterdir() if (path / name).exists()):
        data = (day / name).read_bytes()
        text = (gzip.decompress(data) if name.endswith(".gz") else data).decode()
        found += [(date.fromisoformat(day.name), row) for row in csv.DictReader(io.StringIO(text))]
    return found


def people(folder: Path) -> list[tuple[date, dict[str, Any]]]:
    return [
        (date.fromisoformat(day.name), json.loads(line))
        for day in sorted(folder.iterdir())
        for line in (day / "customers.jsonl").read_text().splitlines()
    ]


@pytest.fixture(scope="module")
def year(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """420 days of the shop that `make run` uses."""
    folder = tmp_path_factory.mktemp("year")
    return folder, generate(folder, days=420)


def test_the_same_arguments_give_the_same_bytes_and_another_seed_gives_others(tmp_path: Path) -> None:
    generate(tmp_path / "a", days=20, customers=200)
    generate(tmp_path / "b", days=20, customers=200)
    generate(tmp_path / "c", days=20, customers=200, seed=8)
    assert content(tmp_path / "a") == content(tmp_path / "b") != content(tmp_path / "c")


def test_a_longer_run_extends_a_shorter_one_and_touches_no_file_of_it(tmp_path: Path) -> None:
    generate(tmp_path, days=20, customers=200)
    before = content(tmp_path)
    stamps = {name: (tmp_path / name).stat().st_mtime_ns for name in before}
    generate(tmp_path, days=30, customers=200)
    after = content(tmp_path)
    assert {name: after[name] for name in before} == before
    assert {name: (tmp_path / name).stat().st_mtime_ns for name in before} == stamps
    assert len(after) == sum(len(files_of(FIRST + timedelta(days=number))) for number in range(30))


def test_every_day_has_its_files_and_the_mark_that_they_are_complete(year: tuple[Path, dict[str, Any]]) -> None:
    folder, counts = year
    assert len(list(folder.iterdir())) == counts["days"] == 420
    for day in folder.iterdir():
        assert {path.name for path in day.iterdir()} == files_of(date.fromisoformat(day.name))
    assert all((day / "customers.jsonl").stat().st_size > 0 for day in folder.iterdir())


def test_the_counts_are_those_of_the_files(year: tuple[Path, dict[str, Any]]) -> None:
    folder, counts = year
    orders = [row for _, row in table(folder, "orders.csv")]
    good = {row["order_id"] for row in orders if not row["order_id"].startswith("X")}
    assert len(good) == counts["orders"]
    assert len(orders) == counts["rows"]["orders"]
    assert len(table(folder, "order_lines.csv")) == counts["rows"]["order_lines"]
    assert len(table(folder, "consents.csv.gz")) == counts["rows"]["consents"]
    assert len(table(folder, "list_members.csv")) == counts["rows"]["list_members"]
    assert len(table(folder, "products.csv")) == counts["rows"]["products"]
    assert len(people(folder)) == counts["rows"]["customers"]
    assert counts["customers"] == 2000


def test_half_a_percent_of_the_rows_is_bad_of_every_kind_and_the_rest_holds_together(
    year: tuple[Path, dict[str, Any]],
) -> None:
    folder, counts = year
    bad = {feed: sum(kinds.values()) for feed, kinds in counts["bad_rows"].items()}
    assert 0.003 < bad["orders"] / counts["rows"]["orders"] < 0.007
    assert {feed: set(kinds) for feed, kinds in counts["bad_rows"].items()} == {
        feed: set(kinds) for feed, kinds in demo.BAD.items()
    }
    orders = [row for _, row in table(folder, "orders.csv")]
    assert sum(row["order_id"].startswith("X") for row in orders) == bad["orders"]
    customers = {row["customer_id"] for _, row in people(folder)}
    assert {row["customer_id"] for row in orders if not row["order_id"].startswith("X")} <= customers
    assert {row["order_id"] for _, row in table(folder, "order_lines.csv")} <= {row["order_id"] for row in orders}


def test_no_row_is_bad_when_none_is_asked_for(tmp_path: Path) -> None:
    assert generate(tmp_path, days=30, customers=200, bad_share=0)["bad_rows"] == {}


def test_an_order_comes_again_on_the_day_its_status_changes(year: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = year
    versions = defaultdict(list)
    for day, row in table(folder, "orders.csv"):
        if not row["order_id"].startswith("X"):
            assert datetime.fromisoformat(row["updated_at"]).astimezone(ZONE).date() in (day, day - timedelta(days=1))
            versions[row["order_id"]].append(row)
    paths = Counter(tuple(row["status"] for row in rows) for rows in versions.values())
    assert paths[("pending", "complete")] > paths[("pending", "cancelled")] > 100
    assert paths[("pending", "complete", "refunded")] > 100
    assert paths[("pending", "complete", "complete")] > 50  # a part of it was refunded
    assert set(paths) <= {
        ("pending",),
        ("complete",),
        ("pending", "complete"),
        ("pending", "cancelled"),
        ("complete", "refunded"),
        ("complete", "complete"),
        ("pending", "complete", "refunded"),
        ("pending", "complete", "complete"),
    }
    for rows in versions.values():
        stamps = [datetime.fromisoformat(row["updated_at"]) for row in rows]
        assert stamps == sorted(stamps)
        assert len({row["customer_id"] for row in rows}) == 1


def test_on_each_of_the_last_days_several_customers_have_been_away_for_a_year(
    year: tuple[Path, dict[str, Any]],
) -> None:
    folder, counts = year
    last: dict[str, date] = {}
    newest = {row["order_id"]: row for _, row in table(folder, "orders.csv") if not row["order_id"].startswith("X")}
    for row in newest.values():
        day = datetime.fromisoformat(row["created_at"]).astimezone(ZONE).date()
        if row["status"] == "complete":
            last[row["customer_id"]] = max(day, last.get(row["customer_id"], day))
    until = date.fromisoformat(counts["last_day"])
    away = Counter((until - day).days for day in last.values())
    assert all(away[days] >= 2 for days in range(366, 386))
    assert 0.05 < sum(number for days, number in away.items() if days > 365) / len(last) < 0.3


def test_customers_have_names_of_their_language_and_addresses_nobody_can_have(
    year: tuple[Path, dict[str, Any]],
) -> None:
    rows = [row for _, row in people(year[0]) if row["customer_id"] and not row["customer_id"].startswith("X")]
    by_language = Counter(row["language"] for row in rows)
    assert set(by_language) == {"nl", "pl", "el", "en"}
    assert all("ά" <= row["last_name"][-1] <= "ώ" for row in rows if row["language"] == "el")
    assert any("Ł" in row["first_name"] for row in rows if row["language"] == "pl")
    addresses = [row["email"] for row in rows if row["email"]]
    assert all(address.endswith(".example") and address.isascii() for address in addresses)
    assert 0.9 < sum("@" in address for address in addresses) / len(rows) < 1
    assert 0.7 < sum(bool(row["phone"]) for row in rows) / len(rows) < 0.9
    assert any(row["household"] for row in rows)
    assert 0.85 < sum(bool(row["street"] and row["postal_code"] and row["city"]) for row in rows) / len(rows) < 0.95
    homes = {row["household"]: row["street"] for row in rows}
    assert all(row["street"] == homes[row["household"]] for row in rows if row["household"])
    assert any(not row["time_zone"].startswith("Europe/") for row in rows if row["time_zone"])
    for zone in {row["time_zone"] for row in rows if row["time_zone"]}:
        ZoneInfo(zone)


def test_consents_are_given_at_registration_and_withdrawn_over_time(year: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = year
    given: dict[tuple[str, str], str] = {}
    withdrawn = 0
    others = Counter[str]()
    for _, row in table(folder, "consents.csv.gz"):
        if row["granted"] in ("yes", "no") and row["channel"] in ("email", "sms"):
            key = (row["customer_id"], row["channel"])
            withdrawn += given.get(key) == "yes" and row["granted"] == "no"
            given[key] = row["granted"]
        others[f"{row['channel']} {row['basis']}"] += 1
    agreed = Counter(channel for (_, channel), granted in given.items() if granted == "yes")
    assert 0.75 < agreed["email"] / 2000 < 0.9
    assert 0.4 < agreed["sms"] / 2000 < 0.6
    assert withdrawn > 50
    assert others["email soft_opt_in"] > 50
    assert others["audience consent"] > 200


def test_people_come_to_the_newsletter_leave_it_and_return_and_some_come_into_the_club(
    year: tuple[Path, dict[str, Any]],
) -> None:
    folder, counts = year
    stints: dict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)
    for day, row in table(folder, "list_members.csv"):
        if row["list"] and not row["since"].startswith("31/") and not row["until"].startswith("2001"):
            assert not row["until"] or datetime.fromisoformat(row["until"]).astimezone(ZONE).date() == day
            stints[row["list"], row["customer_id"]].append((row["since"], row["until"]))
    members = Counter(name for name, _ in stints)
    assert 0.5 < members["newsletter"] / counts["customers"] < 0.7
    assert 50 < members["vip_club"] < 800
    left = {key for key, each in stints.items() if each[-1][1]}
    assert 100 < len(left) < members["newsletter"] / 2
    assert all(name == "newsletter" for name, _ in left)
    assert any(len({since for since, _ in each}) > 1 for each in stints.values()), "somebody returned"


def test_every_product_that_is_bought_is_in_the_catalogue_and_most_have_a_margin(
    year: tuple[Path, dict[str, Any]],
) -> None:
    catalogue = {row["sku"]: row for day, row in table(year[0], "products.csv") if row["margin"] != "35"}
    bought = {row["sku"]: row for _, row in table(year[0], "order_lines.csv") if "," not in row["unit_price"]}
    assert set(bought) <= set(catalogue)
    for sku, row in bought.items():
        assert (row["name"], row["category"], row["unit_price"]) == (
            catalogue[sku]["name"],
            catalogue[sku]["category"],
            catalogue[sku]["price"],
        )
    assert [row["name"] for row in catalogue.values() if not row["margin"]] == [
        "Gift wrap",
        "Card, blank",
        "Voucher 25",
    ]
    assert all(0.2 < float(row["margin"]) < 0.6 for row in catalogue.values() if row["margin"])
    assert all(row["url"].startswith("https://shop.example/") for row in catalogue.values())


def test_a_day_whose_clock_changes_has_its_orders_between_its_midnights(tmp_path: Path) -> None:
    until = date(2026, 3, 30)
    demo.generate(tmp_path, customers=3000, days=3, until=until, zone=ZONE, bad_share=0)
    for day, row in table(tmp_path, "orders.csv"):
        updated = datetime.fromisoformat(row["updated_at"]).astimezone(ZONE).date()
        assert updated in (day, day - timedelta(days=1))  # a shop's till may be a day late


def test_a_day_that_changes_loses_its_mark_before_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generate(tmp_path, days=1, customers=200)
    monkeypatch.setattr(Path, "replace", lambda path, target: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        generate(tmp_path, days=1, customers=200, seed=8)
    assert not (tmp_path / FIRST.isoformat() / "_COMPLETE").exists()


def test_a_shop_without_customers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="1 to 100000000 customers"):
        generate(tmp_path, days=1, customers=0)


def test_a_load_rejects_exactly_the_bad_rows_and_takes_every_order(
    settings: Settings, engine: Engine, tmp_path: Path
) -> None:
    counts = generate(tmp_path / "files", days=60, customers=300, bad_share=0.01)
    loaded = sync.load(Shop(settings, engine), "demo_shop", str(tmp_path / "files"))
    assert loaded.landed == sum(counts["rows"].values())
    assert loaded.rejected == sum(number for kinds in counts["bad_rows"].values() for number in kinds.values()) > 0
    assert loaded.orders_inserted == counts["orders"]
