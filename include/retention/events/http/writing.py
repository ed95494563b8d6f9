"""Group commit: reports that arrive together are written by one statement and one commit, each answered after it."""

from __future__ import annotations

import asyncio
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from sqlalchemy.exc import InterfaceError, OperationalError, TimeoutError

from retention.core.shop import Shop
from retention.events.receiving import Report, receive_all

log = logging.getLogger(__name__)

BATCH = 5_000  # events in one transaction, if there are several reports
WRITERS = 2  # while one waits for the disk, the other works
WAITING_EVENTS = 50_000  # events that wait: what is held in memory stays small

Answer = int | Exception


class Busy(Exception):
    """More events wait than may; whoever sent these comes again."""


@dataclass
class Writer:
    """Writes reports one batch after another: what arrives during a commit is the next batch."""

    shop: Shop
    _waiting: list[tuple[Report, asyncio.Future[int]]] = field(default_factory=list)
    _size: int = 0  # events in _waiting
    _busy: int = 0  # how many of the writers write
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)  # held, or Python forgets them
    # Their own threads, so that requests which wait for the database do not keep them from writing. Each has a
    # connection of its own, kept open: asking first whether it still lives would take as long as a small batch.
    _threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(WRITERS, "events"))
    _own: threading.local = field(default_factory=threading.local)

    async def write(self, report: Report) -> int:
        """Return, once it is committed, how many of the report's events are new.

        Raises Busy, or what the database says of this report.
        """
        if not report.events:
            return 0
        if self._size > WAITING_EVENTS:
            raise Busy
        loop = asyncio.get_running_loop()
        future: asyncio.Future[int] = loop.create_future()
        self._waiting.append((report, future))
        self._size += len(report.events)
        if self._busy < WRITERS:
            self._busy += 1
            task = loop.create_task(self._write_all())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await future

    async def _write_all(self) -> None:
        """Until nothing waits. Between the last look and the end nothing else runs: no report is left lying."""
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                batch = self._take()
                answers = await loop.run_in_executor(self._threads, self._store, [report for report, _ in batch])
                for (_, future), answer in zip(batch, answers, strict=True):
                    if future.done():  # whoever asked is gone
                        continue
                    if isinstance(answer, Exception):
                        future.set_exception(answer)
                    else:
                        future.set_result(answer)
        finally:
            self._busy -= 1

    def _take(self) -> list[tuple[Report, asyncio.Future[int]]]:
        """The reports that have waited longest, at least one."""
        size = 0
        for number, (report, _) in enumerate(self._waiting):
            size += len(report.events)
            if number and size > BATCH:
                break
        else:
            number = len(self._waiting)
        batch, self._waiting = self._waiting[:number], self._waiting[number:]
        self._size -= sum(len(report.events) for report, _ in batch)
        return batch

    def _store(self, reports: list[Report]) -> list[Answer]:
        """For each report how many of its events are new, or what went wrong."""
        is_fresh = not hasattr(self._own, "connection")
        try:
            if is_fresh:
                self._own.connection = self.shop.engine.connect()
            with self._own.connection.begin():
                return list(receive_all(self.shop.settings, self._own.connection, reports))
        except (OperationalError, InterfaceError, TimeoutError) as problem:  # the database, not a report
            self._hang_up()
            # A connection that was open may have died long ago. What it did write is not written twice.
            return [problem] * len(reports) if is_fresh else self._store(reports)
        except Exception as problem:
            if len(reports) == 1:
                return [problem]
            log.error("%s reports cannot be written together: %s", len(reports), type(problem).__name__)
            return [self._store([report])[0] for report in reports]

    def _hang_up(self) -> None:
        if connection := self._own.__dict__.pop("connection", None):
            connection.invalidate()
            connection.close()
