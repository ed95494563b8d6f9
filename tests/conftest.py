"""Real PostgreSQL for every test: one throw-away server per run, one migrated template, a clone of it per test."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Engine

import sessions
import throw_away
from local_provider import Provider, serve
from planner import DAY, Planner
from retention.core import database
from retention.core.settings import Settings, from_environment
from retention.local import postgres
from shop import ShopData

PROJECT = Path(__file__).resolve().parents[1]
REAL_DATA = PROJECT.parent / "shared" / "data"
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The URL of a PostgreSQL server without a database name; RETENTION_TEST_SERVER names one of your own."""
    if url := os.environ.get("RETENTION_TEST_SERVER"):
        yield url
        return
    with throw_away.server() as url:
        yield url


@pytest.fixture(scope="session")
def template(server: str) -> str:
    """The name of a migrated, empty database that tests clone."""
    name = f"template_{os.getpid()}"
    url = postgres.ensure_database(server, name)
    database.migrate(from_environment({"RETENTION_DATABASE_URL": url}))
    psycopg.connect(url).close()  # writes the file of the catalog's cache, which every clone then brings along
    return name


@pytest.fixture
def settings(server: str, template: str, tmp_path: Path) -> Iterator[Settings]:
    """Settings of a shop in Amsterdam with an empty database of its own; files go to tmp_path."""
    name = f"test_{os.getpid()}_{next(_numbers)}"
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(f"create database {name} template {template} strategy file_copy")
    yield from_environment({"RETENTION_DATABASE_URL": f"{server}/{name}", "RETENTION_LOCAL": str(tmp_path)})
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(f"drop database {name} with (force)")


@pytest.fixture
def engine(settings: Settings) -> Iterator[Engine]:
    """The engine of this test's own database."""
    engine = sessions.connect(settings)
    yield engine
    engine.dispose()


@pytest.fixture
def real_data() -> Path:
    """The folder of real order data; the test is skipped, saying so, where it is absent."""
    if not REAL_DATA.is_dir():
        pytest.skip(f"real order data is absent: {REAL_DATA.relative_to(PROJECT.parent)} beside the checkout")
    return REAL_DATA


@pytest.fixture
def shop(engine: Engine, settings: Settings) -> ShopData:
    """An empty shop to fill."""
    return ShopData(engine, settings)


@pytest.fixture
def planner(shop: ShopData) -> Planner:
    """A campaign `winback` in an otherwise empty shop whose day DAY is published."""
    shop.publish(DAY)
    return Planner(shop)


@pytest.fixture
def provider() -> Iterator[Provider]:
    """A provider that accepts everything until told otherwise."""
    with serve() as each:
        yield each


@pytest.fixture
def live(settings: Settings, provider: Provider) -> Settings:
    """Settings for live delivery, to the local provider."""
    return settings.evolve(
        delivery="live",
        secret="a secret of our own",
        public_url="https://shop.example",
        sendgrid_api_key="SG.key",
        shop_url="https://shop.example",
        sendgrid_host=provider.url,
        twilio_account_sid="AC" + "1" * 32,
        twilio_auth_token="token",
        twilio_base_url=provider.url,
        twilio_from="+31600000000",
        provider_timeout=2.0,
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long files first, so that two workers end together."""
    long = (
        "test_pipeline",
        "test_airflow_runs",
        "test_days_in_airflow",
        "test_drill",
        "test_missing_campaigns",
        "test_slow_requests",
    )
    items.sort(key=lambda item: item.path.stem not in long)
