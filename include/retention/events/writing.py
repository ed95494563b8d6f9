"""Group commit: reports that arrive together are written by one statement and one commit, each answered after it."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from sqlalchemy import Engine
from sqlalchemy.exc import InterfaceError, OperationalError, TimeoutError

from retention.events.receiving import Report, receive_all
from retention.settings import Settings

log = logging.getLogger(__name__)

BATCH = 5_000  # events in one transaction, if there are several reports
MOST = 50_000  # events that wait: what is held in memory stays small

Answer = int | Exception


class Busy(Exception):
    """More events wait than may; whoever sent these comes again."""


@dataclass
class Writer:
    """Writes reports one batch after another: what arrives during a commit is the next batch."""

    settings: Settings
    engine: Engine
    _waiting: list[tuple[Report, asyncio.Future[int]]] = field(default_factory=list)
    _size: int = 0  # events in _waiting
    _task: asyncio.Task[None] | None = None
    # Its own thread, so that requests which wait for the database do not keep it from writing.
    _thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "events"))

    async def write(self, report: Report) -> int:
        """Return, once it is committed, how many of the report's events are new.

        Raises Busy, or what the database says of this report.
        """
        if not report.events:
            return 0
        if self._size > MOST:
            raise Busy
        loop = asyncio.get_running_loop()
        future: asyncio.Future[int] = loop.create_future()
        self._waiting.append((report, future))
        self._size += len(report.events)
        if self._task is None:
            self._task = loop.create_task(self._write_all())
        return await future

    async def _write_all(self) -> None:
        """Until nothing waits. Between the last answer and the end nothing else runs: no report is left lying."""
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                batch = self._take()
                answers = await loop.run_in_executor(self._thread, self._store, [report for report, _ in batch])
                for (_, future), answer in zip(batch, answers, strict=True):
                    if future.done():  # whoever asked is gone
                        continue
                    if isinstance(answer, Exception):
                        future.set_exception(answer)
                    else:
                        future.set_result(answer)
        finally:
            self._task = None

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
        try:
            with self.engine.begin() as connection:
                return list(receive_all(self.settings, connection, reports))
        except (OperationalError, InterfaceError, TimeoutError) as problem:  # the database, not a report
            return [problem] * len(reports)
        except Exception as problem:
            if len(reports) == 1:
                return [problem]
            log.error("%s reports cannot be written together: %s", len(reports), type(problem).__name__)
            return [self._store([report])[0] for report in reports]
