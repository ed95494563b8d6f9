"""The same selections, by pandas, on the published CDNOW sample (A4, A6, A7)."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pandas as pd
import pytest
from sqlalchemy import Engine

from retention.core import days
from retention.core.settings import Settings
from retention.core.shop import Shop
from retention.orders import sync
from retention.selections import refresh

NEWEST = date(1998, 6, 30)
# The day after the newest, the newest, days in the past, one on which the clock went forward.
DAYS = [NEWEST + timedelta(days=1), NEWEST, date(1998, 1, 1), date(1997, 12, 31), date(1998, 3, 29), date(1998, 4, 1)]

pytestmark = pytest.mark.real_data


def orders(folder: Path) -> pd.DataFrame:
    """One row per order: reference and date."""
    table = pd.read_csv(folder / "CDNOW_sample.txt.gz", sep=r"\s+", header=None, dtype=str)
    return pd.DataFrame({"ref": table[0], "on": pd.to_datetime(table[2])})


def test_customers_and_winback_agree_with_pandas_on_every_boundary_day(
    settings: Settings, engine: Engine, real_data: Path
) -> None:
    folder = real_data / "cdnow_sample"
    sync.load(Shop(settings, engine), "cdnow", str(folder / "CDNOW_sample.txt.gz"))
    bought = orders(folder)
    with engine.begin() as connection:  # a day without an order follows the last one
        days.Part("orders", "cdnow").record(connection, date(1998, 7, 1), "done")
    counts = refresh.select(Shop(settings, engine), date(1998, 7, 1), ["customers", "winback"])
    assert counts["customers"]["size"] == 2357
    for day in DAYS:
        counts = refresh.select(Shop(settings, engine), day, ["winback"])
        today = pd.Timestamp(day)
        known = bought[bought.on <= today]
        past_year = known[(known.on >= today - pd.Timedelta(days=365)) & (known.on < today + pd.Timedelta(days=2))]
        customers = set(known.ref)
        winback = customers - set(past_year.ref)
        assert set(refresh.members(Shop(settings, engine), "customers", day)) == customers, day
        assert set(refresh.members(Shop(settings, engine), "winback", day)) == winback, day
        assert (counts["customers"]["size"], counts["winback"]["size"]) == (len(customers), len(winback))
