"""Landing: every row of a feed's files as it came, as text, in ``landing.<source>_<feed>``, one partition per load.

A load is a day, or a history. It is landed into a fresh table that takes the old partition's place at the end of the
transaction: a landing that fails leaves the earlier one as it was.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from itertools import islice
from typing import Any

import psycopg
from sqlalchemy import Connection, Engine

from retention.core import database
from retention.core.database import Fragment, Table, identifier, qualified
from retention.core.errors import DataError
from retention.orders import reading
from retention.orders.files import File, Progress, fingerprint, opened
from retention.orders.reading import Bad, Row
from retention.orders.sources import BLANKS, Feed, Source

HISTORY = "history"  # the load_key of a history
BATCH = 10_000  # rows handed over at once when reading row by row
ENCODING_FAULTS = ("22021", "22P05")
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Batch:
    """What is landed, validated and published together: a source's files of one day, or its history."""

    source: Source
    day: date | None  # None: a history

    def __str__(self) -> str:
        return f"{self.source.name} {self.key}"

    @property
    def key(self) -> str:
        """What names its loads in ``landing.loads``."""
        return self.day.isoformat() if self.day else HISTORY

    def partition(self, feed: Feed) -> Table:
        """The table that holds its rows of `feed`."""
        return Table(f"{table(self.source, feed)}__{self.key.replace('-', '')}")

    def label(self, feed: Feed) -> str:
        """What messages call its rows of `feed`."""
        return f"{self.source.name} {feed.name} {self.key}"


def table(source: Source, feed: Feed) -> Table:
    """The landing table of `feed`; its rows may be another feed's too."""
    return Table(f"landing.{source.name}_{feed.landing}")


class _Unfit(Exception):
    """A file that COPY cannot take whole: it has to be read row by row."""

    def __init__(self, file: File, why: str) -> None:
        super().__init__(why)
        self.file = file


@dataclass
class _Landing:
    """One landing under way."""

    connection: Connection
    feed: Feed
    table: Table
    load_id: int
    columns: list[str]  # of the fresh table so far, ours left out

    @property
    def cursor(self) -> psycopg.Cursor[Any]:
        driver: psycopg.Connection[Any] = self.connection.connection.driver_connection  # type: ignore[assignment]
        return driver.cursor()

    def execute(self, statement: str, /, **names: str) -> None:
        database.execute(self.connection, statement, names)

    def ensure(self, columns: Iterable[str]) -> None:
        for column in columns:
            if column not in self.columns:
                self.execute("orders/add_column", table=self.table, column=column)
                self.columns.append(column)


def land(
    engine: Engine, batch: Batch, feed: Feed, files: list[File], progress: Progress | None = None
) -> dict[str, Any]:
    """Land `files` as the rows that `batch` has of `feed`: {load_id, landed, unreadable}.

    A file that PostgreSQL's COPY refuses is read again row by row; rows that cannot be landed go to
    landing.rejections. Raises DataError when a file cannot be used, NotReady while one is still being written.
    """
    row_by_row: set[int] = set()
    while True:
        try:
            with engine.begin() as connection:
                return _land(connection, batch, feed, files, row_by_row, _Reporter(batch, feed, files, progress))
        except _Unfit as unfit:
            log.info("%s is read row by row: %s", unfit.file.name, unfit)
            # After a second such file all are read so: trying each fast first would read the others over and over.
            row_by_row = {file.number for file in files} if row_by_row else {unfit.file.number}


def _land(
    connection: Connection, batch: Batch, feed: Feed, files: list[File], row_by_row: set[int], report: _Reporter
) -> dict[str, Any]:
    source = batch.source.name
    database.lock(connection, "landing", source, feed.name)
    _forget_load(connection, batch, feed)
    load_id = database.count(
        connection, "orders/begin_load", source=source, feed=feed.name, load_key=batch.key, day=batch.day
    )
    fresh = Table(f"{batch.partition(feed)}_new")
    columns = list(dict.fromkeys([*_columns(connection, table(batch.source, feed)), *feed.columns]))
    landing = _Landing(connection, feed, fresh, load_id, columns)
    sequence = Table(f"{fresh}_rows")
    names = {
        "table": fresh,
        "sequence": sequence,
        "sequence_name": _literal(qualified(sequence)),
        "load_key": _literal(batch.key),
    }
    landing.execute("orders/create_landing", columns=_definitions(columns), **names)
    landing.execute("orders/create_sequence", **names)
    landing.execute("orders/number_rows", **names)
    landed = unreadable = 0
    described = []
    for file in files:
        landing.execute("orders/begin_file", file_no=Fragment(file.number), **names)
        landing.execute("orders/restart_numbering", **names)
        outcome = _land_file(landing, file, file.number in row_by_row, report)
        landed += outcome["rows"]
        unreadable += outcome["unreadable"]
        described.append(
            {
                **outcome,
                "number": file.number,
                "name": file.name,
                "bytes": file.size,
                "day": file.day.isoformat() if file.day else None,
            }
        )
    landing.execute("orders/stop_numbering", **names)
    _take_its_place(landing, batch)
    database.run(
        connection, "orders/finish_load", load_id=load_id, files=json.dumps(described), landed=landed + unreadable
    )
    log.info("%s: %d rows landed, %d unreadable", batch.label(feed), landed + unreadable, unreadable)
    return {"load_id": load_id, "landed": landed + unreadable, "unreadable": unreadable}


def _take_its_place(landing: _Landing, batch: Batch) -> None:
    """The fresh table becomes the partition of its batch; the earlier one goes."""
    parent, part = table(batch.source, landing.feed), batch.partition(landing.feed)
    landing.execute("orders/create_parent", columns=_definitions(landing.columns), parent=parent)
    known = _columns(landing.connection, parent)
    for column in landing.columns:
        if column not in known:
            landing.execute("orders/add_column", table=parent, column=column)
    landing.execute("orders/drop_table", table=part)
    landing.execute("orders/rename_table", table=landing.table, name=part.partition(".")[2])
    landing.execute("orders/attach_partition", parent=parent, part=part, load_key=_literal(batch.key))
    landing.execute("orders/analyze_landing", table=part)


def _land_file(landing: _Landing, file: File, row_by_row: bool, report: _Reporter) -> dict[str, Any]:
    """Land one file: {rows, unreadable, columns, fingerprint}."""
    if landing.feed.format == "parquet":
        return _land_parquet(landing, file, row_by_row, report)
    if landing.feed.format == "jsonl":
        return _land_json(landing, file, report)
    return _land_delimited(landing, file, row_by_row, report)


def _land_delimited(landing: _Landing, file: File, row_by_row: bool, report: _Reporter) -> dict[str, Any]:
    feed = landing.feed
    with opened(file, report.of(file)) as (stream, stored):
        try:
            text = reading.delimited(file, feed, stream, transcode=not row_by_row)
            landing.ensure(text.columns)
            if row_by_row:
                counts = _write_rows(landing, file, reading.rows(text, feed))
            else:
                rows = _copy(landing, file, text.columns, reading.blocks(text, feed))
                if rows != text.lines:  # a quoted line break, or a stray quote that glued rows together
                    raise _Unfit(file, f"{text.lines} lines gave {rows} rows")
                counts = {"rows": rows, "unreadable": 0}
        except UnicodeDecodeError as problem:
            raise _Unfit(file, str(problem)[:200]) from problem
        return {**counts, "columns": text.columns, "fingerprint": stored.finish()}


def _land_json(landing: _Landing, file: File, report: _Reporter) -> dict[str, Any]:
    seen: dict[str, None] = {}
    with opened(file, report.of(file)) as (stream, stored):
        counts = _write_rows(landing, file, reading.json_rows(file, landing.feed, stream), seen)
        digest = stored.finish()
    if not sum(counts.values()) and not landing.feed.may_be_empty:
        raise DataError(f"{file.name} is empty; expected columns: {', '.join(landing.feed.columns)}.")
    missing = [column for column in landing.feed.columns if column not in seen]
    if missing and counts["rows"]:
        raise DataError(
            f"{file.name}: no row has {', '.join(missing)}; expected: {', '.join(landing.feed.columns)}; "
            f"found: {reading.found(landing.feed, list(seen))}"
        )
    return {**counts, "columns": list(seen) or list(landing.feed.columns), "fingerprint": digest}


def _land_parquet(landing: _Landing, file: File, row_by_row: bool, report: _Reporter) -> dict[str, Any]:
    if not file.size:
        raise DataError(f"{file.name} is empty; expected columns: {', '.join(landing.feed.columns)}.")
    columns = reading.parquet_columns(file, landing.feed)
    landing.ensure(columns)
    if row_by_row:
        counts = _write_rows(landing, file, reading.parquet_rows(file, columns))
    else:
        counts = {"rows": _copy(landing, file, columns, reading.parquet_blocks(file)), "unreadable": 0}
    if tell := report.of(file):
        tell(file.size)
    return {**counts, "columns": columns, "fingerprint": fingerprint(file)}


def _copy(landing: _Landing, file: File, columns: list[str], blocks: Iterator[bytes]) -> int:
    """Stream CSV bytes into the fresh table; the rows landed. Raises _Unfit when PostgreSQL refuses them."""
    delimiter = "\t" if landing.feed.delimiter == BLANKS else landing.feed.delimiter
    if landing.feed.format == "parquet":
        delimiter = ","
    include = landing.connection.get_execution_options()["include"]
    listed = Fragment(", ".join(map(identifier, columns)))
    quote = "\b" if landing.feed.delimiter == BLANKS else '"'
    names = {"table": landing.table, "listed": listed, "delimiter": _literal(delimiter), "quote": _literal(quote)}
    try:
        with landing.cursor as cursor:
            with cursor.copy(database.sql(include, "orders/copy", names).encode()) as copy:
                for block in blocks:
                    copy.write(block)
            return cursor.rowcount
    except psycopg.Error as problem:
        if isinstance(problem, psycopg.DataError) or problem.sqlstate == "54000":
            raise _Unfit(file, database.without_values(problem)) from problem
        raise


def _write_rows(
    landing: _Landing, file: File, rows: Iterator[Row | Bad], seen: dict[str, None] | None = None
) -> dict[str, int]:
    """Write rows in batches, the bad ones to landing.rejections: {rows, unreadable}. `seen` collects the columns."""
    counts = {"rows": 0, "unreadable": 0}
    numbered = enumerate(rows, start=1)
    while batch := list(islice(numbered, BATCH)):
        good = [(number, row) for number, row in batch if not isinstance(row, Bad)]
        bad = [(number, row) for number, row in batch if isinstance(row, Bad)]
        columns = list(dict.fromkeys(name for _, row in good for name in row))
        if seen is not None:
            seen.update(dict.fromkeys(columns))
        landing.ensure(columns)
        if len(landing.columns) > reading.MOST_COLUMNS:
            raise DataError(f"{file.name}: more than {reading.MOST_COLUMNS} different columns; is it the right file?")
        _write_good(landing, file, columns, good)
        _reject(landing, file, bad)
        counts["rows"] += len(good)
        counts["unreadable"] += len(bad)
    return counts


def _write_good(landing: _Landing, file: File, columns: list[str], rows: list[tuple[int, Row]]) -> None:
    if not rows:
        return
    include = landing.connection.get_execution_options()["include"]
    listed = Fragment(", ".join(map(identifier, ["file_no", "row_no", *columns])))
    statement = database.sql(include, "orders/copy_rows", {"table": landing.table, "listed": listed})
    with landing.cursor as cursor, cursor.copy(statement.encode()) as copy:
        for number, row in rows:
            copy.write_row((file.number, number, *(row.get(name) for name in columns)))


def _reject(landing: _Landing, file: File, rows: list[tuple[int, Bad]]) -> None:
    if not rows:
        return
    include = landing.connection.get_execution_options()["include"]
    statement = database.sql(include, "orders/copy_rejections")
    with landing.cursor as cursor, cursor.copy(statement.encode()) as copy:
        for number, row in rows:
            value = reading.shortened([row.value])[0]
            place = (landing.load_id, file.name, file.number, number)
            copy.write_row((*place, row.rule, value, json.dumps(row.fields), row.length))


def _columns(connection: Connection, name: Table) -> list[str]:
    """The file columns of a landing table; none if it is not there."""
    return list(database.run(connection, "orders/landing_columns", table=qualified(name)).scalars())


def _definitions(columns: list[str]) -> Fragment:
    return Fragment("".join(f",\n    {identifier(column)} text" for column in columns))


def _literal(value: str) -> Fragment:
    return Fragment("'" + value.replace("'", "''") + "'")


class _Reporter:
    """Progress over all files of a landing."""

    def __init__(self, batch: Batch, feed: Feed, files: list[File], progress: Progress | None) -> None:
        self._before = {file.number: sum(other.size for other in files[:place]) for place, file in enumerate(files)}
        self._total = sum(file.size for file in files)
        self._label = f"{batch.source.name} {feed.name}"
        self._progress = progress

    def of(self, file: File) -> Callable[[int], None] | None:
        """What to call with the bytes read of `file`."""
        progress = self._progress
        if progress is None:
            return None
        before = self._before[file.number]
        return lambda done: progress(before + done, self._total, self._label)


def loads(connection: Connection, batch: Batch) -> dict[str, dict[str, Any]]:
    """The load of each feed that has been landed, by feed."""
    rows = database.run(connection, "orders/loads", source=batch.source.name, load_key=batch.key).mappings()
    return {row["feed"]: dict(row) for row in rows}


def file_columns(load: dict[str, Any], feed: Feed) -> list[str]:
    """The columns of the files of a load, those of its feed where there is no file with any."""
    found = dict.fromkeys(column for file in load["files"] for column in file["columns"])
    return list(found) or list(feed.columns)


def forget(connection: Connection, batch: Batch, feed: Feed) -> None:
    """A feed that brings no file this time has no load either."""
    _forget_load(connection, batch, feed)
    database.execute(connection, "orders/drop_table", {"table": batch.partition(feed)})


def _forget_load(connection: Connection, batch: Batch, feed: Feed) -> None:
    """The record of a load goes, with its rejections; its rows stay until others take their place."""
    database.run(connection, "orders/forget_load", source=batch.source.name, feed=feed.name, load_key=batch.key)
