"""Everything on one machine: the embedded PostgreSQL with both databases, and Airflow's processes.

Not ``airflow standalone``: ended by a signal, it leaves its children behind. Here each process stands by itself and
survives the one that started it; `down` ends exactly what `up` started.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psycopg

from retention.core import database
from retention.core.errors import StateError
from retention.core.settings import Settings, whole_number
from retention.local import environment, postgres, processes, rest

log = logging.getLogger(__name__)

# In the order of their start: a task started before the server answers fails, with nothing in its log.
# Nothing here needs the triggerer, but Airflow's first page shows a red badge without it. The logs need no server of
# their own: the page reads the files.
AIRFLOW = {
    "api-server": ["api-server"],
    "dag-processor": ["dag-processor"],
    "triggerer": ["triggerer", "--skip-serve-logs"],
    "scheduler": ["scheduler", "--skip-serve-logs"],
}
DAGS = ("sync_orders", "refresh_selections", "enrol_campaigns", "deliver_messages")
POOL_SLOTS = 4
# Here and not by REST later: the scheduler complains three times a second about a pool that is missing. Changing its
# size in the UI lasts.
MAKE_POOL = """
insert into slot_pool (pool, slots, description, include_deferred)
values (%(pool)s, %(slots)s, 'Work in the shop''s database', false)
on conflict (pool) do nothing
"""
PATIENCE = 600.0  # seconds until a start counts as failed


def start_database(settings: Settings) -> Settings:
    """The settings with a database that answers: the one configured, else the embedded one, started if need be.

    Raises StateError when RETENTION_DATABASE_URL names a database that cannot be reached.
    """
    if settings.database_url:
        try:
            psycopg.connect(settings.database_url, connect_timeout=10).close()
        except psycopg.OperationalError as problem:
            reason = str(problem).strip().splitlines()[0]
            raise StateError(
                f"The database of RETENTION_DATABASE_URL does not answer: {reason}. "
                "Correct the variable, or unset it to use the embedded PostgreSQL."
            ) from problem
        return settings
    server = postgres.start(settings.local / "postgres")
    return settings.evolve(database_url=postgres.ensure_database(server, "retention"))


def up(settings: Settings, *, start_day: date | None = None) -> dict[str, Any]:
    """Start what does not run yet and wait until it is healthy: {url, page_url, user, password, pids, logs, seconds}.

    The administrator's `user` and `password` are missing with RETENTION_AIRFLOW_LOGIN=no.
    `start_day`: the first day that Airflow syncs by itself, with every day after it (RETENTION_START_DAY); without it
    the schedule begins with the day of the first `up`. Raises StateError, naming the log, when a process ends or is
    not healthy in time.
    """
    began = time.monotonic()
    environment.asks_for_login(settings)
    settings = start_database(settings)
    home = environment.home(settings)
    home.mkdir(parents=True, exist_ok=True)
    with _turn(home):
        database.migrate(settings)
        noted = processes.read(home / "processes.json")
        running = {name: each for name, each in noted.items() if each.runs}
        processes.stop({name: each for name, each in noted.items() if name not in running})
        port = _port(home, bool(running))
        variables = environment.environment(settings, port=port, start_day=start_day)
        if not running:
            (home / "port").write_text(str(port))
            environment.write_script(settings, variables)
            _migrate_airflow(settings, variables)
        elif environment.script(variables) != (home / "environment.sh").read_text():
            log.warning("Airflow runs with other settings than now asked for; `retention down` first to change them.")
        url = f"http://127.0.0.1:{port}"
        for name, words in AIRFLOW.items():
            if name == "scheduler":
                _wait_until(home, running, lambda: _answers(url))
            if name not in running:
                command = [sys.executable, "-m", "airflow", *words]
                running[name] = processes.start(command, environment.for_children(variables), _log(home, name), home)
                processes.note(home / "processes.json", running)
        _wait_until(home, running, lambda: not _ailing(url))
        _wait_until(home, running, lambda: _knows_dags(url, home / "passwords.json"))
    return {
        "url": url,
        "page_url": f"{url}/retention/",
        **environment.login(settings),
        "pids": {name: each.pid for name, each in running.items()},
        "logs": str(home),
        "seconds": round(time.monotonic() - began, 1),
    }


def down(settings: Settings) -> dict[str, Any]:
    """Stop what `up` started, and nothing else: {stopped: names}."""
    home = environment.home(settings)
    stopped: list[str] = []
    if home.is_dir():
        with _turn(home):
            stopped = processes.stop(processes.read(home / "processes.json"))
            (home / "processes.json").unlink(missing_ok=True)
    if postgres.stop(settings.local / "postgres"):
        stopped.append("postgres")
    return {"stopped": stopped}


def status(settings: Settings) -> dict[str, Any]:
    """What runs: {postgres, airflow: {name: pid or None}, healthy, url}. `postgres` is the embedded one only."""
    home = environment.home(settings)
    noted = processes.read(home / "processes.json")
    pids = {name: noted[name].pid if name in noted and noted[name].runs else None for name in AIRFLOW}
    url = f"http://127.0.0.1:{(home / 'port').read_text()}" if any(pids.values()) else None
    return {
        "postgres": postgres.is_ready(settings.local / "postgres"),
        "airflow": pids,
        "healthy": bool(url) and all(pids.values()) and not _ailing(str(url)),
        "url": url,
    }


def trigger(settings: Settings, dag: str, *, day: date | None = None, **conf: Any) -> str:
    """Start a run of `dag` by hand, for `day` if it has one, with `conf` as its parameters; the id of the run."""
    body: dict[str, Any] = {"logical_date": None, "conf": conf}
    if day:
        body["partition_key"] = day.isoformat()
    return str(call(settings, "POST", f"/api/v2/dags/{dag}/dagRuns", body)["dag_run_id"])


def backfill(settings: Settings, first: date, last: date, *, again: bool = False) -> int:
    """Have Airflow sync each day from `first` to `last`, one after the other; the id of the backfill.

    Days that have a run are left alone unless it failed; `again` repeats those that succeeded too.
    """
    body = {
        "dag_id": "sync_orders",
        "from_date": f"{first}T00:00:00Z",
        "to_date": f"{last}T00:00:00Z",
        "max_active_runs": 1,
        "reprocess_behavior": "completed" if again else "failed",
    }
    return int(call(settings, "POST", "/api/v2/backfills", body)["id"])


def call(settings: Settings, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    """One request to the REST interface of the Airflow that `up` started."""
    home = environment.home(settings)
    if not (home / "port").exists():
        raise StateError("Airflow was not started here: run `retention up` first.")
    url = f"http://127.0.0.1:{(home / 'port').read_text()}{path}"
    return rest.call(url, method, body, passwords=home / "passwords.json")


@contextmanager
def _turn(home: Path) -> Iterator[None]:
    """One `up` or `down` at a time."""
    with (home / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _port(home: Path, runs: bool) -> int:
    """The port in use; else the one configured, which must be free; else the last one, 8080, or any that is free."""
    last = int((home / "port").read_text()) if (home / "port").exists() else environment.PORT
    if runs:
        return last
    if wanted := os.environ.get("RETENTION_AIRFLOW_PORT"):
        port = whole_number("RETENTION_AIRFLOW_PORT", wanted, 1, 65535)
        if not _is_free(port):
            raise StateError(f"Port {port} is in use; set RETENTION_AIRFLOW_PORT to another, or unset it.")
        return port
    return next((port for port in (last, environment.PORT) if _is_free(port)), None) or postgres.free_port()


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _migrate_airflow(settings: Settings, variables: dict[str, str]) -> None:
    """Create or upgrade Airflow's tables. Skipped when this version already did so here: finding out costs 4 s."""
    url = environment.metadata_url(settings)
    server, _, name = url.partition("?")[0].rpartition("/")
    if not os.environ.get("RETENTION_AIRFLOW_DATABASE_URL"):
        postgres.ensure_database(server, name)
    note = environment.home(settings) / "migrated.json"
    wanted = {"version": version("apache-airflow-core"), "revision": _revision(url)}
    if wanted["revision"] and note.exists() and json.loads(note.read_text()) == wanted:
        return
    log.info("Preparing Airflow's database")
    command = [sys.executable, "-m", "airflow", "db", "migrate"]
    done = subprocess.run(
        command, env=environment.for_children(variables), capture_output=True, text=True, check=False, cwd=note.parent
    )
    if done.returncode != 0:
        raise StateError(f"`airflow db migrate` failed:\n{(done.stdout + done.stderr)[-2000:]}")
    with psycopg.connect(url) as connection:
        connection.execute(MAKE_POOL, {"pool": environment.POOL, "slots": POOL_SLOTS})
    note.write_text(json.dumps(wanted | {"revision": _revision(url)}))


def _revision(url: str) -> str | None:
    with psycopg.connect(url) as connection:
        try:
            row = connection.execute("select version_num from alembic_version").fetchone()
        except psycopg.errors.UndefinedTable:
            return None
    return str(row[0]) if row else None


def _wait_until(home: Path, running: dict[str, processes.Process], happens: Callable[[], bool]) -> None:
    """Raises StateError, naming the log, when one of the processes ends meanwhile or it takes too long."""
    deadline = time.monotonic() + PATIENCE
    while not happens():
        _check_alive(home, running)
        if time.monotonic() > deadline:
            raise StateError(f"Airflow is not healthy after {PATIENCE:.0f} s; see the logs in {home}.")
        time.sleep(0.3)


def _answers(url: str) -> bool:
    """Whether the server is there, and has built the routes for tasks: at the first call that takes 5 s."""
    if "metadatabase" in _ailing(url):
        return False
    try:
        rest.call(f"{url}/execution/health")
    except StateError:  # not yet
        return False
    return True


def _knows_dags(url: str, passwords: Path) -> bool:
    """Whether our DAGs were read. Raises StateError with the reason when a DAG file cannot be."""
    for problem in rest.call(f"{url}/api/v2/importErrors", passwords=passwords)["import_errors"]:
        raise StateError(f"Airflow runs, but cannot read {problem['filename']}:\n{problem['stack_trace'][-2000:]}")
    return set(DAGS) <= _names(rest.call(f"{url}/api/v2/dags", passwords=passwords)["dags"], "dag_id")


def _check_alive(home: Path, running: dict[str, processes.Process]) -> None:
    for name, each in running.items():
        if not each.runs:
            end = _log(home, name).read_text(errors="replace")[-2000:]
            raise StateError(f"Airflow's {name} ended. Its log {_log(home, name)} ends:\n{end}")


def _ailing(url: str) -> list[str]:
    """Which parts of Airflow are not healthy."""
    parts = ("metadatabase", "scheduler", "dag_processor")
    try:
        health = rest.call(f"{url}/api/v2/monitor/health")
    except StateError:
        return list(parts)
    return [part for part in parts if (health.get(part) or {}).get("status") != "healthy"]


def _names(rows: list[dict[str, Any]], key: str) -> set[str]:
    return {str(row[key]) for row in rows}


def _log(home: Path, name: str) -> Path:
    return home / f"{name}.log"
