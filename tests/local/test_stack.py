"""The environment that Airflow gets, and its processes on this machine."""

from __future__ import annotations

import os
import subprocess
from datetime import date
from pathlib import Path

import pytest

from retention.core.errors import InputError, StateError
from retention.core.settings import Settings, from_environment
from retention.local import environment, postgres, stack


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of ours or of Airflow's from outside, nor from other tests."""
    for key in list(os.environ):
        if key.startswith(("AIRFLOW", "RETENTION_")) and key != "RETENTION_TEST_SERVER":
            monkeypatch.delenv(key)


def test_a_port_goes_into_every_address(settings: Settings) -> None:
    variables = environment.environment(settings, port=8099)
    assert variables["AIRFLOW__API__PORT"] == "8099"
    assert variables["AIRFLOW__API__BASE_URL"] == "http://127.0.0.1:8099"
    assert variables["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == "http://127.0.0.1:8099/execution/"


def test_the_settings_reach_the_tasks(settings: Settings) -> None:
    variables = environment.environment(settings.evolve(clock="days"), start_day=date(2026, 11, 20))
    read_back = from_environment(variables)
    assert (read_back.clock, read_back.database_url) == ("days", settings.database_url)
    assert read_back.shop_time_zone == settings.shop_time_zone
    assert variables["RETENTION_START_DAY"] == "2026-11-20"
    assert variables["AIRFLOW_CONN_RETENTION_DB"] == settings.database_url


def test_secrets_are_made_once_and_only_their_owner_reads_them(settings: Settings) -> None:
    first = environment.environment(settings)
    assert environment.environment(settings) == first
    environment.write_script(settings, first)
    for name in ("secrets.json", "passwords.json", "environment.sh"):
        assert (environment.home(settings) / name).stat().st_mode & 0o777 == 0o600


def test_passwords_and_keys_are_kept_over_restarts(settings: Settings) -> None:
    kept = [environment.home(settings) / name for name in ("passwords.json", "secrets.json")]
    environment.environment(settings)
    first = [file.read_text() for file in kept]
    shown = environment.login(settings)
    environment.environment(settings, port=8099)
    assert [file.read_text() for file in kept] == first
    assert environment.login(settings) == shown


def test_the_server_is_reached_from_this_machine_only(settings: Settings) -> None:
    assert environment.environment(settings)["AIRFLOW__API__HOST"] == "127.0.0.1"


@pytest.mark.parametrize("login", ["yes", "no"])
def test_the_server_is_told_whether_a_login_is_asked_for(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, login: str
) -> None:
    """Which names the server answers to hangs on it, and the caller may have it unset."""
    if login == "no":
        monkeypatch.setenv("RETENTION_AIRFLOW_LOGIN", login)
    assert environment.environment(settings)["RETENTION_AIRFLOW_LOGIN"] == login


def test_two_installations_have_different_secrets(settings: Settings, tmp_path: Path) -> None:
    other = settings.evolve(local=tmp_path / "other")
    keys = "AIRFLOW__API_AUTH__JWT_SECRET", "AIRFLOW__API__SECRET_KEY", "AIRFLOW__CORE__FERNET_KEY"
    for key in keys:
        assert environment.environment(settings)[key] != environment.environment(other)[key]


def test_airflow_compiles_its_code_whatever_the_caller_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    assert "PYTHONDONTWRITEBYTECODE" not in environment.for_children({})


def test_the_script_can_be_sourced(settings: Settings, tmp_path: Path) -> None:
    script = tmp_path / "environment.sh"
    script.write_text(environment.script({"ODD": 'it\'s $HOME "here"'}))
    shown = subprocess.run(["sh", "-c", f'. {script}; printf %s "$ODD"'], capture_output=True, text=True, check=True)
    assert shown.stdout == 'it\'s $HOME "here"'


def test_airflow_keeps_its_tables_beside_the_shop_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = from_environment({"RETENTION_DATABASE_URL": "postgresql://me@db/shop?sslmode=require"})
    assert environment.metadata_url(settings) == "postgresql://me@db/airflow?sslmode=require"
    monkeypatch.setenv("RETENTION_AIRFLOW_DATABASE_URL", "postgresql://me@other/meta")
    assert environment.metadata_url(settings) == "postgresql://me@other/meta"


def test_a_database_that_does_not_answer_is_not_replaced_by_another(tmp_path: Path) -> None:
    url = f"postgresql://me:secret-word@127.0.0.1:{postgres.free_port()}/shop"
    settings = from_environment({"RETENTION_DATABASE_URL": url, "RETENTION_LOCAL": str(tmp_path)})
    with pytest.raises(StateError, match="RETENTION_DATABASE_URL does not answer") as caught:
        stack.start_database(settings)
    assert "secret-word" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_configured_port_that_is_taken_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: str
) -> None:
    taken = server.rpartition(":")[2]
    monkeypatch.setenv("RETENTION_AIRFLOW_PORT", taken)
    with pytest.raises(StateError, match=f"Port {taken} is in use"):
        stack._port(tmp_path, runs=False)
    for garbage in ("http", "²", "0", "99999", " ", "9" * 5000):
        monkeypatch.setenv("RETENTION_AIRFLOW_PORT", garbage)
        with pytest.raises(InputError, match=r"^RETENTION_AIRFLOW_PORT is "):
            stack._port(tmp_path, runs=False)


def test_a_database_of_airflow_that_cannot_be_used_is_refused_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for garbage in ("nonsense", "mysql://h/d", "postgresql://h:port/d", " "):
        monkeypatch.setenv("RETENTION_AIRFLOW_DATABASE_URL", garbage)
        with pytest.raises(InputError, match=r"^RETENTION_AIRFLOW_DATABASE_URL "):
            environment.metadata_url(from_environment({}))


def test_down_and_status_say_so_when_nothing_runs(settings: Settings) -> None:
    assert stack.down(settings) == {"stopped": []}
    assert stack.status(settings)["healthy"] is False
    with pytest.raises(StateError, match="retention up"):
        stack.call(settings, "GET", "/api/v2/dags")


def test_airflow_asks_for_a_login_by_default(settings: Settings) -> None:
    variables = environment.environment(settings)
    assert variables["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS"] == "False"
    shown = environment.login(settings)
    assert shown["user"] == "admin"
    assert len(shown["password"]) >= 16
    assert environment.login(settings) == shown


def test_no_login_is_for_the_outbox_only(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETENTION_AIRFLOW_LOGIN", "no")
    assert environment.environment(settings)["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS"] == "True"
    assert environment.login(settings) == {}
    live = settings.evolve(delivery="live", secret="a secret of our own")
    for start in (environment.environment, environment.login, stack.up):
        with pytest.raises(InputError, match=r"RETENTION_AIRFLOW_LOGIN is 'no', but RETENTION_DELIVERY is 'live'"):
            start(live)
    monkeypatch.setenv("RETENTION_AIRFLOW_LOGIN", "off")
    with pytest.raises(InputError, match="write yes or no"):
        environment.environment(settings)
