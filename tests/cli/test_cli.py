"""The command line as a person or a script meets it: a real process, its exit code, its last line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import date
from typing import Any

import pytest
from sqlalchemy import text

from retention.core.settings import Settings
from shop import ShopData


@pytest.fixture
def retention(settings: Settings) -> Any:
    """Run `retention ARGUMENTS` as its own process against this test's database."""
    environment = {
        **os.environ,
        "RETENTION_DATABASE_URL": str(settings.database_url),
        "RETENTION_LOCAL": str(settings.local),
    }

    def call(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "retention.cli", *arguments]
        return subprocess.run(command, env={**environment, **variables}, capture_output=True, text=True, check=False)

    return call


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["select", "--day", "31-12-2026"], "is not a day; write it like 2026-11-21"),
        (["select", "--day", "2026-11-21", "no_such_selection"], "no_such_selection"),
        (["select", "--day", "2026-11-21", "../winback"], "../winback"),
        (["sync", "--source", "no_such_source", "--day", "2026-11-21"], "no_such_source"),
        (["sync", "--source", "../../etc/passwd", "--day", "2026-11-21"], "passwd"),
        (["campaign", "no_such_campaign", "--day", "2026-11-21"], "no_such_campaign"),
        (["campaign", "../winback", "--day", "2026-11-21"], "../winback"),
        (["deliver", "--at", "2026-11-21T09:00"], "write it with its offset"),
        (["deliver", "--campaign", "no_such_campaign"], "There is no campaign 'no_such_campaign'"),
        (["deliver", "--workers", "0"], "argument --workers: '0' is no number of processes; write 1 to 64"),
        (["deliver", "--workers", "-3"], "argument --workers: '-3' is no number of processes; write 1 to 64"),
        (["demo", "--to", "x", "--customers", "0"], "is not a whole number above 0"),
        (["run", "--from", "2026-11-21", "--to", "2026-11-20"], "write the older day first"),
        (["halt", "--channel", "pigeon"], "invalid choice"),
        (["nonsense"], "invalid choice"),
    ],
)
def test_wrong_input_ends_with_2_and_one_clear_sentence(retention: Any, arguments: list[str], sentence: str) -> None:
    done = retention(*arguments)
    assert done.returncode == 2, done.stderr
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def test_live_delivery_at_another_time_ends_with_2_and_one_sentence(retention: Any) -> None:
    live = {"RETENTION_DELIVERY": "live", "RETENTION_SECRET": "a secret of our own"}
    done = retention("deliver", "--at", "2026-11-21T09:00+01:00", **live)
    assert done.returncode == 2, done.stderr
    assert "nothing can be delivered as if it were 2026-11-21T09:00:00+01:00" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_wrong_setting_is_named(retention: Any) -> None:
    done = retention("select", "--day", "2026-11-21", RETENTION_CLOCK="sundial")
    assert done.returncode == 2
    assert "RETENTION_CLOCK is 'sundial'" in done.stderr


def test_a_database_that_is_down_is_said_without_a_traceback(retention: Any) -> None:
    done = retention("select", "--day", "2026-11-21", RETENTION_DATABASE_URL="postgresql://postgres@127.0.0.1:1/none")
    assert done.returncode == 1
    assert "the database does not answer" in done.stderr
    assert "Traceback" not in done.stderr


def test_json_is_one_object_on_the_last_line(retention: Any, shop: ShopData) -> None:
    shop.customer("a")
    shop.order("a", date(2026, 11, 1))
    shop.publish(date(2026, 11, 20))
    done = retention("select", "--day", "2026-11-20", "--json")
    assert done.returncode == 0, done.stderr
    counts = json.loads(done.stdout.splitlines()[-1])
    assert counts["customers"]["size"] == 1
    assert set(counts["customers"]) == {"size", "entered", "left", "seconds"}
    members = retention("members", "customers")
    assert members.stdout.splitlines() == ["a"]


def test_a_person_reads_what_runs_in_words_and_a_script_in_values(retention: Any) -> None:
    done = retention("status")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["embedded PostgreSQL: not running", "Airflow: not running"]
    assert json.loads(retention("status", "--json").stdout)["url"] is None


def test_halt_and_resume_say_what_is_halted(retention: Any) -> None:
    assert json.loads(retention("halt", "--campaign", "winback", "--json").stdout)
    assert json.loads(retention("resume", "--campaign", "winback", "--json").stdout) is not None


def test_an_enrolment_that_waits_is_shown_and_answered(retention: Any, shop: ShopData) -> None:
    assert retention("approve").stdout.splitlines() == ["Nothing waits."]
    for arguments, sentence in (
        (["--yes"], "Name the campaign"),
        (["winback", "--yes"], "No enrolment of winback waits"),
        (["winback", "--yes", "--no"], "not allowed with"),
    ):
        done = retention("approve", *arguments)
        assert (done.returncode, sentence in done.stderr) == (2, True)
    shop.customer("ada")
    shop.order("ada", date(2025, 7, 1))
    shop.publish(date(2026, 11, 20))
    for command in (["select"], ["campaign", "winback"]):
        done = retention(*command, "--day", "2026-11-20", "--json")
        assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["waiting"] == 1
    (question,) = json.loads(retention("approve", "winback", "--day", "2026-11-20", "--json").stdout)["waiting"]
    assert (question["campaign"], question["customers"], question["why"]) == ("winback", 1, "first_launch")
    answered = json.loads(retention("approve", "winback", "--yes", "--json").stdout)[question["approval_id"]]
    assert (answered["state"], answered["enrolled"]) == ("approved", 1)


def test_a_campaign_is_removed_only_once_its_file_is_deleted(retention: Any, shop: ShopData) -> None:
    shop.publish(date(2026, 11, 20))
    for arguments, sentence in (
        (["winback", "--remove"], "winback.yaml is there"),
        (["nobody_knows", "--remove"], "There is no campaign 'nobody_knows'"),
        (["../winback", "--remove"], "is not a campaign's name"),
        (["winback"], "one of the arguments --day --remove is required"),
        (["winback", "--remove", "--day", "2026-11-20"], "not allowed with"),
        (["winback", "--remove", "--test"], "--test and --dry-run belong to --day"),
    ):
        done = retention("campaign", *arguments)
        assert done.returncode == 2
        assert sentence in done.stderr
        assert "Traceback" not in done.stderr
    with shop.engine.begin() as connection:
        connection.execute(text("insert into campaigns.versions values ('gone', 'v', '{}', '{}', '', '2026-11-20')"))
        connection.execute(text("insert into campaigns.enrolments values (1, 'gone', 1, 'v', 'treated', '2026-11-20')"))
    done = retention("campaign", "gone", "--remove", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout.splitlines()[-1]) == {"exited": 1, "skipped": 0, "coupons": 0, "audience_members": 0}


def test_db_init_brings_an_empty_database_up_to_date_once(retention: Any, server: str) -> None:
    import psycopg

    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute("drop database if exists cli_empty with (force)")
        connection.execute("create database cli_empty")
    first = retention("db", "init", "--json", RETENTION_DATABASE_URL=f"{server}/cli_empty")
    assert "0001.baseline" in json.loads(first.stdout.splitlines()[-1])["applied"]
    second = retention("db", "init", "--json", RETENTION_DATABASE_URL=f"{server}/cli_empty")
    assert json.loads(second.stdout.splitlines()[-1]) == {"applied": []}
