"""Real Airflow in this process, on a database of the test server. Its settings must stand before it is imported."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from retention.core.settings import Settings
from retention.local import postgres

PROJECT = Path(__file__).resolve().parents[2]

HOME = tempfile.mkdtemp(prefix="retention-airflow-")
atexit.register(shutil.rmtree, HOME, ignore_errors=True)

os.environ |= {
    "AIRFLOW_HOME": HOME,
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__DAGS_FOLDER": str(PROJECT / "dags"),
    "AIRFLOW__CORE__PLUGINS_FOLDER": str(PROJECT / "plugins"),
    "AIRFLOW__API__BASE_URL": "http://airflow.test",
    "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
}


@pytest.fixture(scope="session")
def airflow(server: str) -> Iterator[None]:
    """Airflow with a migrated database of its own."""
    name = f"airflow_{os.getpid()}"
    url = postgres.ensure_database(server, name).replace("postgresql://", "postgresql+psycopg2://")
    os.environ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] = url

    from airflow import settings
    from airflow.utils.db import initdb

    settings.configure_vars()
    settings.reconfigure_orm()
    initdb()
    yield
    settings.dispose_orm()
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(f"drop database {name} with (force)")


@pytest.fixture(scope="session")
def dags(read_dags: Callable[..., Any]) -> dict[str, Any]:
    """Every DAG by its id, as the DAG processor reads them."""
    bag = read_dags()
    assert bag.import_errors == {}
    return dict(bag.dags)


@pytest.fixture(scope="session")
def read_dags(airflow: None) -> Callable[..., Any]:
    """Read DAG files afresh, all or the one named: a bag with `dags` and `import_errors`."""
    from airflow.dag_processing.dagbag import DagBag

    return lambda file="": DagBag(PROJECT / "dags" / file, bundle_path=PROJECT / "dags", bundle_name="dags-folder")


@pytest.fixture
def shop_of_tasks(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """What tasks find in their environment: this test's own database."""
    monkeypatch.setenv("RETENTION_DATABASE_URL", str(settings.database_url))
    monkeypatch.setenv("RETENTION_LOCAL", str(settings.local))
    return settings
