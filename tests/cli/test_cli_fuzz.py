"""Every command with hostile arguments and settings: done, failed or refused in one sentence, never a traceback.

The commands, their options and their types are read from the parser, and the settings from their class, so a new one is
tried without being listed here. RETENTION_TEST_FUZZ is the number of cases for each command.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from datetime import date, timedelta
from pathlib import Path
from random import Random

import psycopg
import pytest

from retention import pipeline
from retention.cli import console as cli
from retention.core.settings import Settings, from_environment, variable
from retention.core.shop import opened
from retention.demo import generator as demo
from retention.local import postgres

CASES = int(os.environ.get("RETENTION_TEST_FUZZ", "20"))
LAST = date(2026, 11, 20)
# These start servers that outlive the test: only their arguments are tried, beside one that is wrong.
SERVERS = ("up", "events serve")

WORDS = [
    "",
    " ",
    "x",
    "../x",
    "/etc/passwd",
    "a b",
    "a\0b",
    "\udcff",
    "x" * 10_000,
    "%s",
    "{}",
    "{{ 1 }}",
    "'; --",
    "💌",
    "-1",
    "--",
    "NaN",
    "\n",
    "[",
    "*",
    "\\",
    "C000001",
    "default",
    "demo_shop",
    "corner",
    "winback",
    "customers",
    "lapsed",
    "email",
    "me",
]
DAYS = [
    "",
    "0001-01-01",
    "1970-01-01",
    "2026-02-30",
    "2026-11-19",
    "2026-11-20",
    "2026-11-21",
    "2199-12-31",
    "9999-12-31",
    "2026-W47-5",
    "20261120",
    "today",
    "٢٠٢٦-١١-٢٠",
    "-1",
    "x" * 5000,
]
INSTANTS = [
    "",
    "0001-01-01T00:00+23:59",
    "1970-01-01T00:00Z",
    "2026-11-20T10:00",
    "2026-11-20T10:00+01:00",
    "2026-11-20T10:00:00.123456-23:59",
    "2199-12-31T23:59Z",
    "9999-12-31T23:59-23:59",
    "now",
    "2026-W47-5T10:00+01:00",
]
NUMBERS = ["", "0", "1", "2", "-1", "NaN", "1e400", "inf", "1_0", "²", "١", "999999999", "9" * 30, "9" * 5000, "0x1"]
HOURS = ["", "0h", "1", "24h", "999999h", "99999999999h", "-1h", "1.5h", "²h", "h", "9" * 5000]
PATHS = [
    "",
    ".",
    "{folder}",
    "{folder}/2026-11-20",
    "{folder}/2026-11-20/orders.csv",
    "{file}",
    "{file}/x",
    "/dev/full",
    "/dev/null",
    "/proc/nowhere",
    "x" * 300,
    "a/" * 3000,
    "a\0b",
    "\udcff",
    "~",
    "[",
    "*",
    "\n",
]
SETTINGS = [
    "{folder}",
    "{file}",
    "/nowhere",
    " ",
    "x",
    "x" * 10_000,
    "a\nb",
    "\t",
    "../x",
    "Europe",
    "0",
    "-1",
    "1",
    "NaN",
    "1e400",
    "²",
    "9" * 5000,
    "http://127.0.0.1:1",
    "https://x:99999",
    "postgresql://h:port/d",
    "live",
    "days",
    "eur",
    "a@b",
    "memory://x",
    "file:///dev/full",
]
SECRETS = {
    "RETENTION_SECRET": "the-fuzz-secret-of-coupons",
    "RETENTION_COUPONS_SECRET": "the-fuzz-secret-of-the-shop",
    "SENDGRID_API_KEY": "SG.the-fuzz-key",
    "TWILIO_ACCOUNT_SID": "the-fuzz-account",
    "TWILIO_AUTH_TOKEN": "the-fuzz-token",
}
PASSWORD = "the-fuzz-password"
# Nothing of a test reaches a provider.
NOWHERE = {
    "SENDGRID_HOST": "http://127.0.0.1:1",
    "TWILIO_BASE_URL": "http://127.0.0.1:1",
    "TWILIO_FROM": "+31600000000",
}


@dataclass(frozen=True)
class Command:
    """One command of the parser."""

    words: tuple[str, ...]
    parser: argparse.ArgumentParser

    @property
    def name(self) -> str:
        return " ".join(self.words)


def commands(parser: argparse.ArgumentParser, words: tuple[str, ...] = ()) -> Iterator[Command]:
    groups = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    for group in groups:
        for name, sub in group.choices.items():
            yield from commands(sub, (*words, name))
    if not groups:
        yield Command(words, parser)


COMMANDS = {command.name: command for command in commands(cli._parser())}
VARIABLES = [
    "RETENTION_LOCAL",
    "RETENTION_INCLUDE",
    *(variable(each.name) for each in fields(Settings) if each.name not in ("include", "local")),
]


@dataclass(frozen=True)
class World:
    """What the commands meet: databases by name, a folder of daily files, a file, a place for this machine's files."""

    databases: dict[str, str]
    folder: Path
    file: Path
    local: Path

    def filled(self, text: str) -> str:
        return text.replace("{folder}", str(self.folder)).replace("{file}", str(self.file))


def with_password(url: str) -> str:
    return url if PASSWORD in url else url.replace("postgres@", f"postgres:{PASSWORD}@")


@pytest.fixture(scope="module")
def world(server: str, template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A shop with two days done, an empty database, an older schema, and one that is not there."""
    folder = tmp_path_factory.mktemp("fuzz")
    names = {name: f"fuzz_{name}_{os.getpid()}" for name in ("shop", "empty", "older")}
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(f"create database {names['shop']} template {template}")
    databases = {name: with_password(postgres.ensure_database(server, each)) for name, each in names.items()}
    settings = from_environment(
        {
            "RETENTION_DATABASE_URL": databases["shop"],
            "RETENTION_LOCAL": str(folder),
            "RETENTION_CLOCK": "days",
        }
    )
    with psycopg.connect(databases["older"], autocommit=True) as connection:
        connection.execute("create schema shop")
    demo.generate(folder / "demo_shop", customers=40, days=3, until=LAST, zone=settings.shop_time_zone)
    pipeline.run_days(opened(settings), LAST - timedelta(days=2), LAST - timedelta(days=1))
    (folder / "file").write_text("a file\n")
    down = {"down": with_password("postgresql://postgres@127.0.0.1:1/none")}
    yield World(databases | down, folder / "demo_shop", folder / "file", folder)
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        for each in names.values():
            connection.execute(f"drop database {each} with (force)")


def values(action: argparse.Action) -> list[str]:
    """What is tried for an argument: by its choices, else by its type, else any words."""
    if action.choices:
        return [*map(str, action.choices), "nonsense", ""]
    by_type: dict[object, list[str]] = {
        cli._day: DAYS,
        cli._instant: INSTANTS,
        cli._hours: HOURS,
        cli._positive: NUMBERS,
        int: NUMBERS,
        Path: PATHS,
    }
    return by_type.get(action.type, PATHS if action.dest == "path" else WORDS)


def arguments(command: Command, dice: Random) -> list[str]:
    """Mostly what the command needs, with hostile values; sometimes not even that."""
    drawn: list[str] = []
    positional: list[str] = []
    for action in command.parser._actions:
        if isinstance(action, argparse._HelpAction):
            continue
        if not action.option_strings:
            count = {"*": dice.choice([0, 1, 2]), "?": dice.choice([0, 1]), None: 1}[action.nargs]  # type: ignore[index]
            positional += [dice.choice(values(action)) for _ in range(count)]
        elif dice.random() < (0.97 if action.required else 0.5):
            drawn.append(action.option_strings[0])
            drawn += [] if action.nargs == 0 else [dice.choice(values(action))]
    if command.name in SERVERS:
        drawn.append("--nonsense")
    return [*command.words, *drawn, *positional]


def variables(world: World, dice: Random) -> tuple[dict[str, str], str]:
    """The environment of a case: half of the time with hostile settings; and the name of its database."""
    name = dice.choice(["shop", "shop", "shop", *world.databases])
    found = {"RETENTION_DATABASE_URL": world.databases[name], "RETENTION_LOCAL": str(world.local), **SECRETS, **NOWHERE}
    if dice.random() < 0.5:
        for each in dice.sample(VARIABLES, dice.choice([1, 1, 2])):
            found[each] = world.filled(dice.choice(SETTINGS))
    return found, name


def judge(words: list[str], code: int, out: str, err: str) -> None:
    """What must hold whatever was asked for."""
    case = f"{[word[:80] for word in words]} -> {code}\n{err[-3000:]}"
    assert code in (0, 1, 2), case
    assert "Traceback" not in out + err, case
    assert "fault of the program" not in err, case
    for secret in (*SECRETS.values(), PASSWORD):
        assert secret not in out + err, case
    if code == 0 and "--json" in words:
        json.loads(out.splitlines()[-1])
    if code != 0:
        assert err.strip().splitlines()[-1].startswith("retention"), case
        assert len(out.splitlines()) <= 1 or "--json" not in words, case


@pytest.mark.parametrize("name", COMMANDS)
def test_no_arguments_and_no_settings_lead_to_a_traceback(
    world: World,
    server: str,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    dice = Random(f"{name}/{os.environ.get('RETENTION_TEST_FUZZ_SEED', '1')}")
    for _ in range(CASES):
        words = [world.filled(word) for word in arguments(COMMANDS[name], dice)]
        found, where = variables(world, dice)
        with monkeypatch.context() as environment:
            for each in VARIABLES:
                environment.delenv(each, raising=False)
            for each, value in found.items():
                environment.setenv(each, value)
            code = ended(lambda words=words: cli.main(words))  # type: ignore[misc]
        judge(
            [*words, *(f"{key}={value}" for key, value in found.items() if key in VARIABLES)], code, *capfd.readouterr()
        )
        if name == "db init" and where == "empty":
            make_empty(server, world)


def ended(call: Callable[[], int]) -> int:
    try:
        return call()
    except SystemExit as end:
        return int(str(end.code or 0))


def make_empty(server: str, world: World) -> None:
    name = world.databases["empty"].rpartition("/")[2]
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(f"drop database {name} with (force)")
        connection.execute(f"create database {name}")


def test_processes_end_as_calls_do(world: World, tmp_path: Path) -> None:
    dice = Random(7)
    for name in dice.sample(sorted(COMMANDS), 6):
        # What no process can be given: NUL.
        words = [world.filled(word).replace("\0", "") for word in arguments(COMMANDS[name], dice)]
        found, _ = variables(world, dice)
        done = subprocess.run(
            [sys.executable, "-m", "retention.cli", *(os.fsencode(word) for word in words)],
            env={**os.environ, **found},
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
        )
        judge(words, done.returncode, done.stdout, done.stderr)
