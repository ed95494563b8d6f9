"""A small shop on the clock of the days, run day by day with a folder of campaigns of its own."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Callable
from copy import copy
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import Engine, text

import sessions
from retention import pipeline
from retention.core.settings import Settings, from_environment
from retention.core.shop import Shop
from shop import ShopData, small_include

D = date(2026, 3, 2)
LAPSED = D - timedelta(days=31)  # of lapsed_30_days on every day of these tests
LONG_SINCE = D - timedelta(days=500)  # of winback


def after(number: int) -> date:
    return D + timedelta(days=number)


class House:
    """A small shop on the clock of the days, run day by day with the campaigns of a folder of its own."""

    def __init__(self, settings: Settings, engine: Engine, shop: ShopData) -> None:
        self.settings = settings
        self.engine = engine
        self.shop = shop
        self.campaigns = settings.include / "campaigns"

    def run(self, first: date, last: date | None = None) -> dict[str, Any]:
        """Publish each day and run the chain for it, as syncs and a run would."""
        done: dict[str, Any] = {}
        for number in range(((last or first) - first).days + 1):
            day = first + timedelta(days=number)
            self.shop.publish(day)
            done |= pipeline.run_days(Shop(self.settings, self.engine), day, day)
        return done

    def rows(self, statement: str) -> list[Any]:
        with self.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(statement))]

    def accepted(self) -> list[Any]:
        """Who got which step of which campaign, in order."""
        return self.rows(
            "select c.customer_ref, m.campaign, m.step from delivery.messages as m join shop.customers as c"
            " using (customer_id) where m.state = 'accepted' order by 2, 1, m.attempted_at"
        )

    def change(self, name: str, old: str, new: str) -> None:
        """Replace words of a file of the folder that must be there."""
        file = self.settings.include / name
        written = file.read_text(encoding="utf-8")
        assert old in written
        file.write_text(written.replace(old, new), encoding="utf-8")


Fresh = Callable[[int], House]  # by how many days after D it has run


class Houses:
    """The shop of `made` after each of its first days: every day is played once, and what it left is copied."""

    def __init__(self, server: str, template: str, folder: Path) -> None:
        self.server = server
        self.template = template
        self.folder = folder
        self.played: list[House] = []
        self.numbers = itertools.count(1)

    def after(self, number: int) -> House:
        """A shop with a database and folders of its own, which has run the days from D to after(number)."""
        while len(self.played) <= number:
            house = self._copy(self.played[-1]) if self.played else self._new()
            house.run(after(len(self.played)))
            self.played.append(house)
        return self._copy(self.played[number])

    def _new(self) -> House:
        settings = self._settings(self.template)
        return made(settings, sessions.connect(settings), settings.local / "house")

    def _copy(self, house: House) -> House:
        house.engine.dispose()  # nobody may be connected to what is copied
        settings = self._settings(str(house.settings.database_url).rpartition("/")[2])
        shutil.copytree(house.settings.local, settings.local)
        engine = sessions.connect(settings)
        shop = ShopData(engine, settings)
        shop.numbers = copy(house.shop.numbers)
        return House(settings.evolve(include=settings.local / "house", clock="days"), engine, shop)

    def _settings(self, template: str) -> Settings:
        """Settings of a copy of the database `template`."""
        name = f"house_{os.getpid()}_{next(self.numbers)}"
        with psycopg.connect(f"{self.server}/postgres", autocommit=True) as connection:
            connection.execute(f"create database {name} template {template} strategy file_copy")
        return from_environment(
            {"RETENTION_DATABASE_URL": f"{self.server}/{name}", "RETENTION_LOCAL": str(self.folder / name)}
        )


def made(settings: Settings, engine: Engine, include: Path) -> House:
    """ada is in winback, bob in lapsed_30_days; nobody is in a control group. `include` is where the folder goes."""
    shop = ShopData(engine, settings)
    small_include(include)
    for file in (include / "sources").iterdir():
        file.unlink()
    house = House(settings.evolve(include=include, clock="days"), engine, shop)
    for name in ("winback", "lapsed_30_days"):
        house.change(f"campaigns/{name}.yaml", "control: 10%", "control: 0%")
    for ref, ordered_on in (("ada", LONG_SINCE), ("bob", LAPSED)):
        shop.customer(ref, consents=("email", "sms", "audience"))
        shop.order(ref, ordered_on)
    return house


def break_yaml(house: House) -> None:
    """A misspelt key in winback."""
    house.change("campaigns/winback.yaml", "control:", "controll:")


def change(file: Path, old: str, new: str) -> None:
    """Replace words of a file that must be there."""
    written = file.read_text(encoding="utf-8")
    assert old in written
    file.write_text(written.replace(old, new), encoding="utf-8")
