"""Currency rates: ``include/rates.csv`` says what one unit of a currency is worth in EUR from a date on."""

from __future__ import annotations

import csv
import json
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path

from sqlalchemy import Connection

from retention.core import database
from retention.core.errors import InputError
from retention.core.settings import Settings

BASE = "EUR"


def seed(connection: Connection, settings: Settings) -> None:
    """Bring shop.rates in line with the file, worth in the shop's reporting currency."""
    rows = read(settings.include / "rates.csv", settings.reporting_currency)
    payload = [{"currency": currency, "valid_from": day.isoformat(), "rate": str(rate)} for currency, day, rate in rows]
    database.run(connection, "orders/set_rates", rates=json.dumps(payload))


def read(path: Path, reporting: str) -> list[tuple[str, date, Decimal]]:
    """(currency, valid from, worth in `reporting`). Raises InputError, naming file and line, for a bad row."""
    if not path.exists():
        return []
    worth: dict[str, list[tuple[date, Decimal]]] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for line, row in enumerate(csv.DictReader(file), start=2):
            try:
                rate = Decimal(row["rate"])
                day = date.fromisoformat(row["valid_from"])
                if not 0 < rate < 10**9 or len(row["currency"]) != 3:
                    raise ValueError(rate)
            except (KeyError, TypeError, ValueError, InvalidOperation) as problem:
                raise InputError(
                    f"{path}, line {line}: write currency,valid_from,rate like GBP,2011-01-01,1.152."
                ) from problem
            worth.setdefault(row["currency"], []).append((day, rate))
    if reporting == BASE:
        return [(currency, day, rate) for currency, rates in worth.items() for day, rate in rates]
    base = sorted(worth.get(reporting, []))
    crossed = [
        (currency, day, round(rate / of_base, 8))
        for currency, rates in {**worth, BASE: [(day, Decimal(1)) for day, _ in base]}.items()
        for day, rate in rates
        if currency != reporting and (of_base := _on(base, day)) is not None
    ]
    return sorted(crossed)


def _on(rates: list[tuple[date, Decimal]], day: date) -> Decimal | None:
    return next((rate for start, rate in reversed(rates) if start <= day), None)
