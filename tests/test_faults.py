"""What goes wrong ends in one sentence; what is our fault ends in a log file besides, and neither holds values."""

from __future__ import annotations

import json
import os
import signal
import socketserver
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine, text

from retention.cli import console as cli
from retention.core import days, faults
from retention.core.errors import InputError, StateError
from retention.core.settings import Settings
from shop import Shop

DAY = "2026-11-20"
Told = tuple[int, str, str]
Call = Callable[..., Told]


@pytest.fixture
def call(settings: Settings, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Call:
    """Run `retention ARGUMENTS` in this process on this test's database: its exit code, stdout, stderr."""

    def run(*arguments: str, **variables: str) -> Told:
        given = {"RETENTION_DATABASE_URL": str(settings.database_url), "RETENTION_LOCAL": str(settings.local)}
        with monkeypatch.context() as environment:
            for name, value in {**given, **variables}.items():
                environment.setenv(name, value)
            try:
                code = cli.main(arguments)
            except SystemExit as end:
                code = int(str(end.code))
        out, err = capfd.readouterr()
        assert "Traceback" not in err
        return code, out, err

    return run


@pytest.fixture
def processes(settings: Settings) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start `retention ARGUMENTS` as a process on this test's database."""
    started: list[subprocess.Popen[str]] = []
    environment = {
        **{name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"},
        "RETENTION_DATABASE_URL": str(settings.database_url),
        "RETENTION_LOCAL": str(settings.local),
    }

    def start(
        *arguments: str, stdout: Any = subprocess.PIPE, unbuffered: bool = False, patient: bool = False
    ) -> subprocess.Popen[str]:
        if patient:  # a busy server is waited for, however long it takes to let anybody in
            environment["RETENTION_DATABASE_URL"] = f"{settings.database_url}?connect_timeout=600"
        command = [sys.executable, *(["-u"] if unbuffered else []), "-m", "retention.cli", *arguments]
        process = subprocess.Popen(
            command, env=environment, stdout=stdout, stderr=subprocess.PIPE, text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # ignored below a shell's background job
        )  # fmt: skip
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


class NotPostgres(socketserver.BaseRequestHandler):
    """What a web server answers to whom it does not understand."""

    def handle(self) -> None:
        self.request.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


WAITING = """
select count(*) from pg_stat_activity
where datname = current_database() and wait_event_type = 'Lock' and application_name = 'retention'
    and query like '%delivery.halts%'
"""


def own_database(server: str, name: str) -> str:
    """The URL of a new, empty database."""
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(f"drop database if exists {name} with (force)")
        connection.execute(f"create database {name}")
    return f"{server}/{name}"


def run(engine: Engine, statement: str, **values: Any) -> None:
    with engine.begin() as connection:
        connection.execute(text(statement), values)


def sentence(err: str) -> str:
    """What is said at the end: one line that begins with the program's name."""
    last = err.strip().splitlines()[-1]
    assert last.startswith("retention: "), err
    return last


# --- the database ----------------------------------------------------------------------------------------------------

READERS = [
    ["sync", "--source", "demo_shop", "--day", DAY],
    ["load", "--source", "demo_shop", "--path", "nowhere"],
    ["select", "--day", DAY],
    ["members", "customers"],
    ["campaign", "winback", "--day", DAY],
    ["campaign", "winback", "--day", DAY, "--test"],
    ["deliver"],
    ["audiences", "export"],
    ["postal", "export"],
    ["run", "--from", DAY, "--to", DAY],
    ["events", "apply"],
    ["coupons", "export", "--to", "coupons"],
    ["halt"],
    ["resume"],
    ["unknown", "list"],
    ["unknown", "look-up"],
    ["unknown", "settle", "--key", "k", "--as", "sent", "--by", "me"],
    ["prove"],
    ["forget", "c1"],
    ["db", "restored", "--backup-at", "2026-11-20T09:00+01:00"],
]


@pytest.mark.parametrize("arguments", [each for each in READERS if each[0] != "load"], ids=" ".join)
def test_without_a_schema_every_command_says_how_to_make_one(
    call: Call, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = call(*arguments, RETENTION_DATABASE_URL=own_database(server, f"no_schema_{os.getpid()}"))
    assert (code, out) == (1, ""), err
    assert "There is no schema yet: run `retention db init`" in sentence(err)


def test_a_schema_older_than_the_program_is_to_be_brought_up_to_date(call: Call, engine: Engine) -> None:
    with engine.begin() as connection:
        newest = connection.execute(text("select max(name) from migrations")).scalar_one()
    run(engine, "delete from migrations where name = :newest", newest=newest)
    run(engine, "alter table delivery.halts rename column kind to sort")
    code, _, err = call("halt")
    assert code == 1
    assert f"older than this program (it lacks {newest}): run `retention db init`" in sentence(err)


@pytest.mark.parametrize(
    ("url", "code", "reason"),
    [
        ("postgresql://postgres@127.0.0.1:1/none", 1, "the database does not answer"),
        ("postgresql://postgres@no-such-host.invalid/none", 1, "the database does not answer"),
        ("{server}/no_such_database", 1, 'database "no_such_database" does not exist'),
        ("nobody@{server}/postgres", 1, "no password supplied"),
        ("nobody:wrong@{server}/postgres", 1, 'password authentication failed for user "nobody"'),
        ("postgresql://127.0.0.1:{web}/shop", 1, "the database does not answer"),
        ("mysql://127.0.0.1/shop", 2, "RETENTION_DATABASE_URL cannot be used"),
        ("garbage", 2, "RETENTION_DATABASE_URL cannot be used"),
    ],
)
def test_a_database_that_cannot_be_had_is_said_in_one_sentence(
    call: Call, server: str, url: str, code: int, reason: str
) -> None:
    web = socketserver.TCPServer(("127.0.0.1", 0), NotPostgres)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    if url.startswith("nobody"):
        url = f"postgresql://{url.partition('@')[0]}@{server.rpartition('@')[2]}/postgres"
    url = url.format(server=server, web=web.server_address[1])
    for arguments in (["select", "--day", DAY], ["db", "init"], ["deliver"]):
        told, out, err = call(*arguments, RETENTION_DATABASE_URL=url)
        assert (told, out) == (code, ""), err
        assert reason in sentence(err)
    web.shutdown()
    web.server_close()


# --- our faults ------------------------------------------------------------------------------------------------------


def test_a_fault_of_ours_is_one_sentence_and_a_log_file_without_anybodys_data(
    call: Call, engine: Engine, settings: Settings, shop: Shop
) -> None:
    shop.customer("anna", email="anna@mail.example", phone="+31612345678")
    run(
        engine,
        """
create function refuse() returns trigger language plpgsql as $$ begin
    raise exception using errcode = '23505', message = 'no: anna@mail.example',
    detail = 'Key (email)=(anna@mail.example)';
end $$
""",
    )
    run(
        engine, "create trigger refuse before update or delete on shop.customers for each row execute function refuse()"
    )
    code, out, err = call("forget", "anna", RETENTION_SECRET="hunter2hunter2")
    assert (code, out) == (1, "")
    (log,) = (settings.local / "logs").iterdir()
    assert str(log) in sentence(err)
    assert "report" in sentence(err)
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    content = log.read_text()
    assert "forgetting.py" in content
    assert "23505" in content
    for personal in ("mail.example", "31612345678", "Anna", "hunter2", "Key (email)"):
        assert personal not in content
        assert personal not in err


def test_a_fault_is_told_although_no_log_file_can_be_written(call: Call, engine: Engine, tmp_path: Path) -> None:
    run(engine, "alter table delivery.halts rename to halted")
    full = tmp_path / "full"
    full.mkdir()
    (full / "logs").symlink_to("/dev/full")
    code, out, err = call("halt", RETENTION_LOCAL=str(full))
    assert (code, out) == (1, "")
    assert "no log file could be written" in sentence(err)


def test_a_python_message_is_kept_only_where_it_speaks_of_code() -> None:
    def raised(problem: Exception) -> str:
        try:
            raise problem
        except Exception as caught:
            return faults.in_full(caught)

    assert "anna" not in raised(KeyError("anna@mail.example"))
    assert "anna" not in raised(ValueError("invalid literal for int() with base 10: 'anna'"))
    assert "has no attribute 'group'" in raised(AttributeError("'NoneType' object has no attribute 'group'"))
    assert "write it like" in raised(InputError("'x' is not a day; write it like 2026-11-21."))
    person = "anna" + "@mail.example"
    try:
        try:
            raise KeyError(person)
        except KeyError as first:
            raise RuntimeError(f"of {person}") from first
    except RuntimeError as second:
        chained = faults.in_full(second)
    assert "KeyError" in chained
    assert "RuntimeError" in chained
    assert "anna@" not in chained


def test_no_secret_of_the_settings_is_in_a_log_file(settings: Settings) -> None:
    own = settings.evolve(secret="hunter2hunter2", sendgrid_api_key="SG.hunter2")
    try:
        raise KeyError from StateError(f"refused: {own.secret} and {own.sendgrid_api_key} for {own.database_url}")
    except KeyError as problem:
        told = str(faults.explained(problem, own))
    (log,) = (settings.local / "logs").iterdir()
    assert str(log) in told
    assert "refused: *** and *** for ***" in log.read_text()


def test_a_day_that_failed_is_recorded_without_anybodys_data(engine: Engine) -> None:
    run(engine, "insert into shop.days (stage, part, day, state) values ('orders', 's', '2026-11-01', 'done')")

    def do(connection: Any, its: days.Run) -> days.Counts:
        connection.execute(text("select 'anna@mail.example'::int"))
        return {}

    with pytest.raises(Exception, match="invalid input syntax"):
        days.Part("selections", "a").run(engine, date(2026, 11, 1), do)
    with engine.connect() as connection:
        message = connection.execute(text("select message from shop.days where part = 'a'")).scalar_one()
    assert "22P02" in message
    assert "anna" not in message


# --- the machine -----------------------------------------------------------------------------------------------------


def test_a_reader_that_has_had_enough_ends_the_command_quietly(
    processes: Callable[..., subprocess.Popen[str]], shop: Shop, engine: Engine
) -> None:
    for number in range(3):
        shop.customer(f"c{number}")
        shop.order(f"c{number}", date(2026, 11, 1))
    shop.publish(date(2026, 11, 20))
    assert cli_select(processes)
    for unbuffered in (False, True):
        process = processes("members", "customers", unbuffered=unbuffered)
        assert process.stdout
        process.stdout.close()
        assert process.wait() == 0
        assert process.stderr
        assert process.stderr.read() == ""


def cli_select(processes: Callable[..., subprocess.Popen[str]]) -> bool:
    return processes("select", "--day", DAY, "customers", stdout=subprocess.DEVNULL).wait() == 0


def test_a_broken_promise_still_ends_with_1_although_nobody_reads(
    processes: Callable[..., subprocess.Popen[str]], engine: Engine, shop: Shop
) -> None:
    shop.customer("anna")
    run(
        engine,
        """
insert into delivery.messages
    (customer_id, message_key, campaign, version, entry_no, step, channel,
    day, due_at, expires_at, state, attempted_at, attempts, claim, provider, window_start, window_end)
select customer_id, 'k', 'c', 'v', 1, 's', 'email', '2026-11-20', '2026-11-20', '2026-11-22',
    'attempting', '2026-11-20', 1, gen_random_uuid(), 'outbox', '09:00', '20:00'
from shop.customers
""",
    )
    for unbuffered in (False, True):
        process = processes("prove", "--json", unbuffered=unbuffered)
        assert process.stdout
        process.stdout.close()
        assert process.wait() == 1
        assert process.stderr
        assert "stuck_attempting" in sentence(process.stderr.read())


def test_a_result_that_cannot_be_written_is_a_failure_in_one_sentence(
    processes: Callable[..., subprocess.Popen[str]],
) -> None:
    with open("/dev/full", "w") as full:
        process = processes("halt", "--json", stdout=full)
        assert process.wait() == 1
    assert process.stderr
    said = process.stderr.read()
    assert "No space left on device" in sentence(said)
    assert "Exception ignored" not in said


def test_an_interrupted_command_ends_with_130_and_without_a_traceback(
    processes: Callable[..., subprocess.Popen[str]], engine: Engine
) -> None:
    with engine.connect() as connection, engine.connect() as other:
        connection.execute(text("lock table delivery.halts in access exclusive mode"))
        process = processes("halt", patient=True)
        while other.execute(text(WAITING)).scalar_one() == 0:
            other.rollback()
            if process.poll() is not None:
                pytest.fail(f"it ended by itself: {process.communicate()[1]}")
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        assert process.wait() == 130
    assert process.stderr
    assert "Traceback" not in (said := process.stderr.read())
    assert "stopped" in sentence(said)


@pytest.mark.parametrize(
    "arguments",
    [
        ["demo", "--days", "2", "--customers", "5", "--until", "2026-11-20", "--to"],
        ["coupons", "export", "--to"],
    ],
    ids=["demo", "coupons"],
)
def test_a_folder_that_cannot_be_written_is_named(
    call: Call, engine: Engine, shop: Shop, tmp_path: Path, arguments: list[str]
) -> None:
    shop.customer("anna")
    run(
        engine,
        """
insert into campaigns.enrolments
    (customer_id, campaign, entry_no, version, arm, entered_on)
select customer_id, 'c', 1, 'v', 'treated', '2026-11-01'
from shop.customers
""",
    )
    run(
        engine,
        """
insert into campaigns.coupons
    (customer_id, campaign, entry_no, offer, code, percent, state, reserved_on)
select customer_id, 'c', 1, 'o', 'CODE', 10, 'reserved', '2026-11-01'
from shop.customers
""",
    )
    file = tmp_path / "file"
    file.write_text("")
    for place in (file, file / "below", Path("/proc/nowhere"), tmp_path / ("x" * 300)):
        code, out, err = call(*arguments, str(place))
        assert (code, out) == (2, ""), err
        assert str(place)[:40] in sentence(err)
    assert not (tmp_path / "logs").exists()


def test_a_folder_of_settings_that_is_incomplete_is_named(call: Call, settings: Settings, tmp_path: Path) -> None:
    import shutil

    own = tmp_path / "own"
    shutil.copytree(settings.include, own, ignore=shutil.ignore_patterns("retention", "*.egg-info"))
    parts = [path for path in own.iterdir() if path.name != "sql"]
    assert {"rules.csv", "campaigns", "messages", "sources"} <= {path.name for path in parts}
    for part in parts:
        part.rename(tmp_path / "away")
        for arguments in (*READERS, ["db", "init"]):
            code, _, err = call(*arguments, RETENTION_INCLUDE=str(own))
            assert code in (0, 1, 2)
            assert "fault" not in err, f"{arguments} without {part.name}: {err}"
        (tmp_path / "away").rename(part)


@pytest.mark.parametrize(
    "arguments",
    [
        ["members", "a\0b"],
        ["forget", "a\udcff"],
        ["load", "--source", "x", "--path", "\0"],
        ["demo", "--to", "a\0b"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_what_no_database_can_hold_is_refused_as_an_argument(call: Call, arguments: list[str]) -> None:
    code, out, err = call(*arguments)
    assert (code, out) == (2, "")
    assert "cannot be used" in sentence(err)


@pytest.mark.parametrize(
    "arguments",
    [
        ["unknown", "list", "--older-than", "99999999999h"],
        ["unknown", "list", "--older-than", "²h"],
        ["demo", "--to", "x", "--customers", "9" * 5000],
        ["demo", "--to", "x", "--customers", "99999999999"],
        ["demo", "--to", "/nowhere/x", "--days", "999999999"],
        ["demo", "--to", "x", "--days", "90000", "--until", "2026-11-20"],
        ["demo", "--to", "x", "--seed", "-1"],
        ["demo", "--to", "x", "--seed", "9" * 5000],
        *(["select", "--day", day] for day in ("0001-01-01", "9999-12-31")),
        *(["sync", "--source", "demo_shop", "--day", day] for day in ("0001-01-01", "9999-12-31")),
        *(["members", "customers", "--day", day] for day in ("0001-01-01", "9999-12-31")),
        *(["campaign", "winback", "--day", day] for day in ("0001-01-01", "9999-12-31")),
        *(["audiences", "export", "--day", day] for day in ("0001-01-01", "9999-12-31")),
        *(["postal", "export", "--day", day] for day in ("0001-01-01", "9999-12-31")),
        *(["run", "--from", day, "--to", day] for day in ("0001-01-01", "9999-12-31")),
        *(["demo", "--to", "x", "--days", "2", "--until", day] for day in ("0001-01-01", "9999-12-31")),
        *(["deliver", "--at", at] for at in ("0001-01-01T00:00+23:59", "9999-12-31T23:59-23:59")),
        *(["db", "restored", "--backup-at", at] for at in ("0001-01-01T00:00+23:59", "9999-12-31T23:59-23:59")),
    ],
    ids=lambda arguments: " ".join(word[:30] for word in arguments),
)
def test_a_number_a_day_or_an_instant_beyond_all_sense_is_wrong_input(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = call(*arguments)
    assert (code, out) == (2, "")
    assert err.strip().splitlines()[-1].startswith("retention")


@pytest.mark.parametrize(
    "arguments",
    [
        ["sync", "--source", "demo_shop", "--day", "2199-12-30"],
        ["select", "--day", "2199-12-30"],
        ["campaign", "winback", "--day", "2199-12-30"],
        ["campaign", "winback", "--day", "2199-12-30", "--test"],
        ["run", "--from", "2026-11-20", "--to", "2199-12-30"],
        ["audiences", "export", "--day", "2199-12-30"],
        ["postal", "export", "--day", "2199-12-30"],
    ],
    ids=" ".join,
)
def test_a_day_that_is_not_over_is_wrong_input(call: Call, arguments: list[str]) -> None:
    code, out, err = call(*arguments)
    assert (code, out) == (2, "")
    assert "2199-12-30 is not over: it ends at 2199-12-31 00:00 (Europe/Amsterdam)" in sentence(err)


def test_a_failure_leaves_stdout_empty_or_with_one_json_object(call: Call) -> None:
    code, out, _ = call("select", "--day", DAY, "nonsense", "--json")
    assert (code, out) == (2, "")
    code, out, _ = call("halt", "--json")
    assert code == 0
    assert json.loads(out.splitlines()[-1])


def test_an_error_of_ours_is_left_as_it_is() -> None:
    problem = StateError("as it is")
    assert faults.explained(problem) is problem
