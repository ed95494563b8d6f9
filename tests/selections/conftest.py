"""A place to write selections of one's own, and questions to ask the database."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

import sessions
from retention.core import database, days
from retention.core.settings import Settings
from retention.core.shop import Shop
from retention.selections import refresh


@dataclass
class Workshop:
    """Settings whose selections can be changed, and short ways to refresh and look."""

    settings: Settings
    engine: Engine

    def write(self, name: str, rule: str, *keys: str, about: str = "A selection of a test.") -> Path:
        """A selection of its own: a header, then `rule`."""
        file = self.settings.include / "sql" / "selections" / f"{name}.sql"
        file.write_text("\n".join([f"-- {about}", *(f"-- {key}" for key in keys), rule]) + "\n")
        return file

    def write_orders(self, name: str, rule: str) -> None:
        """An order selection of its own."""
        (self.settings.include / "sql" / "order_selections" / f"{name}.sql").write_text(f"-- Orders.\n{rule}\n")

    def members(self, name: str, day: date | None = None) -> list[str]:
        return list(refresh.members(Shop(self.settings, self.engine), name, day))

    def refresh(self, name: str, day: date) -> days.Counts:
        over = days.known_at(day, self.settings.shop_time_zone)
        counts = refresh.refresh(Shop(self.settings, self.engine), name, day, now=over)
        return {key: value for key, value in counts.items() if key != "seconds"}

    def select(self, day: date, *names: str) -> dict[str, days.Counts]:
        over = days.known_at(day, self.settings.shop_time_zone)
        return refresh.select(Shop(self.settings, self.engine), day, list(names) or None, now=over)

    def rows(self, statement: str) -> list[tuple[object, ...]]:
        with self.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(statement))]


@pytest.fixture
def workshop(settings: Settings, tmp_path: Path) -> Workshop:
    """The selections that come with the package, in a folder that may be changed."""
    shutil.copytree(settings.include / "sql", tmp_path / "include" / "sql")
    shutil.copy(settings.include / "rules.csv", tmp_path / "include")
    own = settings.evolve(include=tmp_path / "include")
    return Workshop(own, sessions.connect(own))


@pytest.fixture
def restarted(workshop: Workshop) -> Callable[[], Workshop]:
    """The same selections over a shop in which none was ever refreshed."""

    def restart() -> Workshop:
        with workshop.engine.begin() as connection:
            connection.execute(text("truncate selections.membership"))
            connection.execute(text("delete from shop.days where stage = 'selections'"))
            names = connection.execute(
                text("select tablename from pg_tables where schemaname = 'selections' and tablename <> 'membership'")
            ).scalars()
            for name in list(names):
                connection.execute(text(f"drop table selections.{database.identifier(name)}"))
        return replace(workshop)

    return restart
