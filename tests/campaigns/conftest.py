"""A campaign in a small shop: memberships written straight into the database, as a refresh would leave them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from house import Fresh, House, Houses, change, made
from sqlalchemy import Engine, text
from till import Till

from retention.campaigns import definitions, steps
from retention.core import days
from retention.core.settings import Settings, from_environment
from retention.core.shop import Shop
from shop import LONG_AGO, NAMESPACE, ShopData

BASE = "send_base"
INCLUDE = from_environment({}).include


class Room:
    """Members in, days run, rows out."""

    def __init__(self, settings: Settings, engine: Engine, shop: ShopData) -> None:
        self.settings = settings
        self.engine = engine
        self.shop = shop
        self.is_launched = True  # each campaign, with somebody's approval

    def members(
        self, refs: Iterable[str], selections: Iterable[str] = ("winback", BASE), since: date = LONG_AGO
    ) -> None:
        """The customers are in the selections from `since` on."""
        self.execute(
            "insert into selections.membership (selection, customer_id, entered_on) "
            "select s, shop.customer_id(:namespace, r), :since from unnest(cast(:s as text[])) s, "
            "unnest(cast(:r as text[])) r",
            namespace=NAMESPACE,
            since=since,
            s=list(selections),
            r=list(refs),
        )

    def leaves(self, ref: str, selection: str, on: date) -> None:
        """The customer is no longer in the selection from `on` on."""
        self.execute(
            "update selections.membership set left_on = :on where selection = :selection "
            "and customer_id = shop.customer_id(:namespace, :ref)",
            on=on,
            selection=selection,
            namespace=NAMESPACE,
            ref=ref,
        )

    def customers(self, count: int, **fields: Any) -> list[str]:
        """So many customers who may be written to and are in winback: copies of one."""
        refs = [f"C{number:04d}" for number in range(count)]
        self.shop.customer(refs[0], **fields)
        for table in ("shop.customers", "shop.consents"):
            names = self.values(
                "select attname from pg_attribute where attrelid = cast(:table as regclass) and attnum > 0"
                " and attgenerated = '' and not attisdropped order by attnum",
                table=table,
            )
            copied = {"customer_id": "shop.customer_id(:namespace, r)", "customer_ref": "r"}
            self.execute(
                f"insert into {table} ({', '.join(names)}) select {', '.join(copied.get(n, 't.' + n) for n in names)}"
                f" from {table} as t, unnest(cast(:refs as text[])) as r"
                " where t.customer_id = shop.customer_id(:namespace, :first)",
                namespace=NAMESPACE,
                refs=refs[1:],
                first=refs[0],
            )
        self.members(refs)
        return refs

    def ready(self, day: date, *selections: str) -> None:
        """The day is published and its selections are refreshed."""
        self.shop.publish(day)
        if self.is_launched:
            self.shop.launch(*definitions.names(self.settings.include))
        with self.engine.begin() as connection:
            for selection in selections or ("winback", BASE):
                days.Part("selections", selection).record(connection, day, "done")

    def run(self, day: date, campaign: str = "winback") -> days.Counts:
        """Publish, refresh and run the day."""
        self.ready(day, definitions.read(self.settings.include, campaign).selection, BASE)
        over = days.known_at(day, self.settings.shop_time_zone)
        return steps.run_day(Shop(self.settings, self.engine), campaign, day, now=over)

    def run_each(self, first: date, last: date) -> list[days.Counts]:
        """`run` every day from `first` to `last`."""
        return [self.run(first + timedelta(days=number)) for number in range((last - first).days + 1)]

    def suppress(self, ref: str, channel: str, known_on: date, reason: str = "unsubscribed") -> None:
        """The customer must not be written to, as known from the end of `known_on`."""
        self.execute(
            "insert into shop.suppressions (customer_id, channel, reason, known_at) "
            "values (shop.customer_id(:namespace, :ref), :channel, :reason, :known_at)",
            namespace=NAMESPACE,
            ref=ref,
            channel=channel,
            reason=reason,
            known_at=days.known_at(known_on, self.settings.shop_time_zone),
        )

    def sent(self, step: str, on: date) -> None:
        """The step's planned messages were accepted during the day after `on`, as the sends of run `on` are."""
        self.execute(
            "update delivery.messages set state = 'accepted', attempts = 1, claim = gen_random_uuid(), "
            "attempted_at = due_at, settled_at = due_at where step = :step and state = 'planned' and day <= :on",
            step=step,
            on=on,
        )

    def execute(self, statement: str, **parameters: Any) -> None:
        """Run a statement."""
        with self.engine.begin() as connection:
            connection.execute(text(statement), parameters)

    def rows(self, statement: str, **parameters: Any) -> list[Any]:
        """The rows of a query."""
        with self.engine.connect() as connection:
            return list(connection.execute(text(statement), parameters))

    def values(self, statement: str, **parameters: Any) -> list[Any]:
        """The first column of a query."""
        return [row[0] for row in self.rows(statement, **parameters)]

    def table(self, name: str) -> list[Any]:
        """A whole table, in a fixed order."""
        return self.rows(f"select * from {name} as t order by t::text")


@pytest.fixture
def include(tmp_path: Path) -> Path:
    """A copy of the include folder to change: campaigns (everybody in the treated arm), messages and SQL."""
    copy = tmp_path / "include"
    for folder in ("campaigns", "offers", "messages", "sql"):
        shutil.copytree(INCLUDE / folder, copy / folder)
    for name in ("rules.csv", "costs.yaml"):
        shutil.copy(INCLUDE / name, copy)
    for name in ("winback", "lapsed_30_days"):
        change(copy / "campaigns" / f"{name}.yaml", "control: 10%", "control: 0%")
    return copy


@pytest.fixture
def room(settings: Settings, engine: Engine, shop: ShopData, include: Path) -> Room:
    """The campaigns of `include`."""
    return Room(settings.evolve(include=include), engine, shop)


@pytest.fixture
def till(room: Room) -> Till:
    """What the shop of `room` sold."""
    return Till(room)


@pytest.fixture
def write(include: Path) -> Callable[[str, str], None]:
    """Change winback's YAML: write(old, new)."""
    return lambda old, new: change(include / "campaigns" / "winback.yaml", old, new)


@pytest.fixture
def house(settings: Settings, engine: Engine, tmp_path: Path) -> House:
    """A small shop on the clock of the days, with a folder of campaigns to change."""
    return made(settings, engine, tmp_path / "house")


@pytest.fixture(scope="session")
def houses(server: str, template: str, tmp_path_factory: pytest.TempPathFactory) -> Houses:
    """What each of the first days has left in a house."""
    return Houses(server, template, tmp_path_factory.mktemp("houses"))


@pytest.fixture
def fresh(houses: Houses) -> Fresh:
    """Make houses that have run the days from D to after(number), as many as are wanted."""
    return houses.after
