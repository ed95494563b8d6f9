"""The law as data: ``include/rules.csv`` says on what ground, and at what hours, people of a country are written to.

People who know the law edit the file. A line that changes gets a later ``valid_from`` and the old one stays: what held
when a message went out must still be known. ``unknown`` is the strictest, for no country and countries without a line.
"""

from __future__ import annotations

import csv
import importlib.resources
import io
import json
import logging
import re
from dataclasses import asdict, dataclass
from datetime import date, time
from functools import lru_cache
from pathlib import Path

from sqlalchemy import Connection

from retention.core import channels
from retention.core.database import lock, one, run
from retention.core.errors import InputError

log = logging.getLogger(__name__)

BASES = ("consent", "soft_opt_in", "legitimate_interest")
COLUMNS = ["country", "channel", "basis", "earliest", "latest", "valid_from", "source"]
UNKNOWN = "unknown"
TIME = re.compile("([01][0-9]|2[0-3]):[0-5][0-9]")


@dataclass(frozen=True, kw_only=True)
class Rule:
    """On what ground one may write to people of a country on a channel, from a day on."""

    country: str  # ISO 3166-1 alpha-2, or unknown
    channel: str
    basis: str
    earliest: time | None  # of the recipient's local day; None: no limit by law
    latest: time | None
    valid_from: date
    source: str

    @property
    def key(self) -> tuple[str, str, date]:
        """There is one rule of a country and a channel from a day on."""
        return self.country, self.channel, self.valid_from


def read(include: Path) -> list[Rule]:
    """The rules of ``rules.csv``, in order. Raises InputError naming file and line for a mistake in it."""
    file = include / "rules.csv"
    if not file.is_file():
        raise InputError(f"There is no {file}: without it nobody knows to whom the law lets us write.")
    try:
        return list(_parsed(file, file.read_bytes().decode("utf-8-sig")))
    except UnicodeDecodeError as problem:
        raise InputError(f"{file} is not UTF-8 (byte {problem.start}); save it as UTF-8.") from problem


@lru_cache(maxsize=8)  # a day asks for them several times for each campaign
def _parsed(file: Path, text: str) -> tuple[Rule, ...]:
    rules: dict[tuple[str, str, date], tuple[int, Rule]] = {}
    rows = csv.reader(io.StringIO(text, newline=""))
    try:
        if next(rows, None) != COLUMNS:
            raise _mistake(file, 1, f"write the columns {','.join(COLUMNS)}.")
        for row in rows:
            if not row:
                continue
            rule = _rule(file, rows.line_num, row)
            if rule.key in rules:
                raise _mistake(
                    file,
                    rows.line_num,
                    f"{rule.country} {rule.channel} {rule.valid_from} stands in line {rules[rule.key][0]} already.",
                )
            rules[rule.key] = (rows.line_num, rule)
    except csv.Error as problem:
        raise _mistake(file, rows.line_num, f"{problem}.") from problem
    for channel in channels.NAMES:
        if not any(rule.country == UNKNOWN and rule.channel == channel for _, rule in rules.values()):
            raise InputError(f"{file} has no line {UNKNOWN},{channel},...: it holds wherever no other line does.")
    return tuple(rules[key][1] for key in sorted(rules))


def sync_rules(connection: Connection, include: Path) -> None:
    """From now on the rules of the file hold and no others. Call it in a transaction. Raises InputError as `read`."""
    rules = read(include)
    if [Rule(**row) for row in run(connection, "contact/rules").mappings()] != rules:
        lock(connection, "law")
        run(connection, "contact/forget_rules")
        run(connection, "contact/write_rules", rules=json.dumps([asdict(rule) for rule in rules], default=str))
        log.info("%s rules are in force", len(rules))
    there, wanted = _zones_there(connection), list(country_zones())
    if there != wanted:  # then look which of them PostgreSQL knows, which takes as long as all the rest
        known = set(run(connection, "contact/known_zones").scalars())
        zones = [each for each in wanted if each[1] in known]
        if there != zones:
            lock(connection, "law")
            run(connection, "contact/forget_zones")
            countries, names = zip(*zones, strict=True)
            run(connection, "contact/write_zones", countries=list(countries), zones=list(names))


def _zones_there(connection: Connection) -> list[tuple[str, str]]:
    found = one(connection, "contact/zones")
    return list(zip(found["countries"] or (), found["zones"] or (), strict=True))


@lru_cache(maxsize=1)
def country_zones() -> tuple[tuple[str, str], ...]:
    """(country, zone) of every inhabited country, by the time zone database's own table."""
    table = importlib.resources.files("tzdata") / "zoneinfo" / "zone.tab"
    rows = (line.split("\t") for line in table.read_text(encoding="utf-8").splitlines() if not line.startswith("#"))
    return tuple(sorted((row[0], row[2]) for row in rows))


@lru_cache(maxsize=1)
def countries() -> frozenset[str]:
    """All inhabited countries, as ISO 3166-1 alpha-2."""
    return frozenset(country for country, _ in country_zones())


def _rule(file: Path, line: int, row: list[str]) -> Rule:
    if len(row) != len(COLUMNS):
        raise _mistake(file, line, f"it has {len(row)} fields; write {len(COLUMNS)}: {','.join(COLUMNS)}.")
    given = dict(zip(COLUMNS, row, strict=True))
    if given["country"] != UNKNOWN and given["country"] not in countries():
        raise _mistake(
            file, line, f"country is {given['country']!r}; write two letters as in ISO 3166, like GB, or {UNKNOWN}."
        )
    _one_of(file, line, "channel", given["channel"], channels.NAMES)
    _one_of(file, line, "basis", given["basis"], BASES)
    earliest, latest = (_time(file, line, name, given[name]) for name in ("earliest", "latest"))
    if earliest and latest and earliest >= latest:
        raise _mistake(file, line, f"no time is between {earliest:%H:%M} and {latest:%H:%M}; write the earlier first.")
    try:
        valid_from = date.fromisoformat(given["valid_from"])
    except ValueError as problem:
        raise _mistake(file, line, f"valid_from is {given['valid_from']!r}; write a day like 2024-11-10.") from problem
    if not given["source"].strip():
        raise _mistake(file, line, "source is empty; write the article that says so.")
    return Rule(
        country=given["country"],
        channel=given["channel"],
        basis=given["basis"],
        earliest=earliest,
        latest=latest,
        valid_from=valid_from,
        source=given["source"],
    )


def _one_of(file: Path, line: int, name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise _mistake(file, line, f"{name} is {value!r}; write {', '.join(known)}.")


def _time(file: Path, line: int, name: str, value: str) -> time | None:
    if not value:
        return None
    if not TIME.fullmatch(value):
        raise _mistake(file, line, f"{name} is {value!r}; write a time like 08:00, or nothing.")
    return time.fromisoformat(value)


def _mistake(file: Path, line: int, what: str) -> InputError:
    return InputError(f"{file}, line {line}: {what}")
