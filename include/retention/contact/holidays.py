"""Days on which a campaign spares customers its messages: dates, and the public holidays of a country.

Holidays are those that the library `holidays` lists for a whole country; those of a single state or province are not
among them.
"""

from __future__ import annotations

from datetime import date
from functools import lru_cache
from importlib import metadata

import holidays as library
from sqlalchemy import Connection

from retention.contact import law
from retention.core.database import lock, run

OF_OWN_COUNTRY = "public holidays"
OF_COUNTRY = f"{OF_OWN_COUNTRY} in "


def problem(spared: str) -> str | None:
    """What is wrong with a word of `no_send_on`, and what to write instead; None: nothing."""
    if spared.startswith(OF_COUNTRY):
        country = spared.removeprefix(OF_COUNTRY)
        return (
            None if country in _countries() else f"nobody lists the holidays of {country!r}; write a country like NL."
        )
    if spared == OF_OWN_COUNTRY:
        return None
    try:
        date.fromisoformat(spared)
    except ValueError:
        return f"{spared} is no day of the calendar; write one like 2026-12-24."
    return None


def sync(connection: Connection, no_send_on: tuple[str, ...], day: date) -> None:
    """Write the holidays of the year of `day` and the two after it, if `no_send_on` asks for any.

    A year is written once for each release of the library. Call it in a transaction.
    """
    if not any(spared.startswith(OF_OWN_COUNTRY) for spared in no_send_on):
        return
    years = [day.year, day.year + 1, day.year + 2]
    if set(run(connection, "contact/holiday_years", edition=_edition()).scalars()).issuperset(years):
        return
    lock(connection, "holidays")
    rows = [
        (country, holiday) for country in _countries() for holiday in library.country_holidays(country, years=years)
    ]
    run(connection, "contact/forget_holidays", years=years)
    run(
        connection,
        "contact/write_holidays",
        countries=[country for country, _ in rows],
        holidays=[holiday for _, holiday in rows],
        years=years,
        edition=_edition(),
    )


@lru_cache(maxsize=1)
def _edition() -> str:
    return metadata.version("holidays")


@lru_cache(maxsize=1)
def _countries() -> frozenset[str]:
    return frozenset(library.list_supported_countries()) & law.countries()
