"""Files of a small shop for tests: the demo shop's feeds, written by hand."""

from __future__ import annotations

import csv
import gzip
import json
from datetime import date
from pathlib import Path
from typing import Any

ORDERS = "order_id customer_id created_at status total refunded currency coupon store updated_at".split()
LINES = "order_id line sku category name quantity unit_price".split()
CUSTOMERS = (
    "customer_id email phone first_name last_name street postal_code city language country time_zone household "
    "registered_at updated_at"
).split()
CONSENTS = "customer_id purpose channel granted basis origin text_version changed_at".split()
LIST_MEMBERS = "customer_id list since until".split()
PRODUCTS = "sku category name margin price picture url updated_at".split()
DAY = date(2026, 11, 2)


def order(ref: str, customer: str = "C1", day: date = DAY, **changes: str) -> dict[str, str]:
    """An order of `day`, complete, 10 EUR."""
    at = f"{day}T12:00:00+01:00"
    row = dict(zip(ORDERS, [ref, customer, at, "complete", "10.00", "0.00", "EUR", "", "web", at], strict=True))
    return {**row, **changes}


def line(ref: str, number: int = 1, **changes: str) -> dict[str, str]:
    """A line of order `ref`: one pound of tea."""
    return {**dict(zip(LINES, [ref, str(number), "TEA-1", "tea", "Tea", "1", "10.00"], strict=True)), **changes}


def customer(ref: str, day: date = DAY, **changes: Any) -> dict[str, Any]:
    """A customer registered on `day`."""
    at = f"{day}T11:00:00+01:00"
    values = [
        ref,
        f"{ref.lower()}@mail.example",
        None,
        ref,
        "Jansen",
        "Voorbeeldstraat 1",
        "0100 AA",
        "Utrecht",
        "nl",
        "NL",
        "Europe/Amsterdam",
        None,
        at,
        at,
    ]
    return {**dict(zip(CUSTOMERS, values, strict=True)), **changes}


def consent(ref: str, day: date = DAY, **changes: str) -> dict[str, str]:
    """Consent of customer `ref` to e-mail."""
    values = [ref, "marketing", "email", "yes", "consent", "checkout", "2025-01", f"{day}T11:00:00+01:00"]
    return {**dict(zip(CONSENTS, values, strict=True)), **changes}


def member(ref: str, day: date = DAY, **changes: str) -> dict[str, str]:
    """Customer `ref` comes to the newsletter on `day`."""
    return {**dict(zip(LIST_MEMBERS, [ref, "newsletter", f"{day}T11:00:00+01:00", ""], strict=True)), **changes}


def product(ref: str = "TEA-1", day: date = DAY, **changes: str) -> dict[str, str]:
    """A product as it is since `day`."""
    address = f"https://shop.example/{ref}"
    values = [ref, "tea", "Tea", "0.40", "10.00", f"{address}.jpg", address, f"{day}T09:00:00+01:00"]
    return {**dict(zip(PRODUCTS, values, strict=True)), **changes}


def write_day(
    folder: Path,
    day: date = DAY,
    *,
    orders: list[dict[str, str]] | None = None,
    lines: list[dict[str, str]] | None = None,
    customers: list[dict[str, Any]] | None = None,
    consents: list[dict[str, str]] | None = None,
    list_members: list[dict[str, str]] | None = None,
    products: list[dict[str, str]] | None = None,
    text: str | None = None,
) -> Path:
    """Write the files of `day`, complete; `text` stands in place of the orders' rows."""
    here = folder / day.isoformat()
    here.mkdir(parents=True, exist_ok=True)
    _csv(here / "orders.csv", ORDERS, orders or [])
    if text is not None:
        (here / "orders.csv").write_text(",".join(ORDERS) + "\n" + text)
    _csv(here / "order_lines.csv", LINES, lines or [])
    if customers:
        (here / "customers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in customers))
    if consents:
        _csv(here / "consents.csv", CONSENTS, consents)
        (here / "consents.csv.gz").write_bytes(gzip.compress((here / "consents.csv").read_bytes(), mtime=0))
        (here / "consents.csv").unlink()
    if list_members:
        _csv(here / "list_members.csv", LIST_MEMBERS, list_members)
    if products:
        _csv(here / "products.csv", PRODUCTS, products)
    (here / "_COMPLETE").touch()
    return here


def _csv(path: Path, columns: list[str], rows: list[dict[str, str]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
