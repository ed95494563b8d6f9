"""Exports: lists that leave as files, one folder a time, with a manifest that is written last.

What an export holds is fixed in the database, in one transaction; its files are made from there afterwards. A crash in
between leaves it unwritten: the next one begins by writing it, byte for byte. So nothing is lost and nothing is in two.
"""

from __future__ import annotations

import glob
import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine

from retention.core import channels, days, storage
from retention.core.database import lock, one, run
from retention.core.days import Counts
from retention.core.errors import DeliveryError, StateError
from retention.core.settings import Settings
from retention.core.shop import Shop

log = logging.getLogger(__name__)
MANIFEST = "manifest.json"
PLACE = "RETENTION_AUDIENCES:"  # how errors name where exports are written
KEPT = timedelta(days=30)  # how long a folder stays: it holds personal data, and was applied or printed long ago


@dataclass(frozen=True, kw_only=True)
class Export:
    """One export of a campaign's step, as the database keeps it."""

    campaign: str
    known_as: str  # the first name of the campaign: its list keeps that, whatever the campaign is called later
    step: str
    number: int
    channel: str
    day: date
    exported_at: datetime
    added: int
    removed: int
    written_at: datetime | None

    @property
    def folder(self) -> str:
        """Where its files are, below the place of all exports: winback_retarget/2026-11-25-0003."""
        return f"{self.known_as}_{self.step}/{self.day.isoformat()}-{self.number:04d}"


@dataclass(frozen=True, kw_only=True)
class File:
    """One file of an export, and what its manifest says of it."""

    name: str
    content: bytes
    rows: int
    about: Mapping[str, str]


Fix = Callable[[Settings, Connection, datetime, datetime], None]  # at, and known by
Files = Callable[[Settings, Export, Sequence[Mapping[str, Any]]], list[File]]


def export(shop: Shop, channel: str, day: date | None, at: datetime | None, fix: Fix, files: Files) -> Counts:
    """Let `fix` decide what is exported at `at`, and write what `files` makes of it, and what is not written yet.

    Returns how many `exports` were written, how many rows were `added` and `removed`.
    """
    now = _instant(shop, day, at)
    is_time = shop.settings.clock == "wall" or day is not None or at is not None
    with shop.engine.begin() as connection:
        lock(connection, "delivery", "export", channel)
        if is_time and _is_latest(connection, channel, now):
            # What is sent for real goes by what is known by now, whatever instant was asked for.
            fix(shop.settings, connection, now, max(now, shop.clock()) if shop.settings.delivery == "live" else now)
    counts = {"exports": 0, "added": 0, "removed": 0}
    for each in _to_write(shop.engine, channel, now.astimezone(shop.settings.shop_time_zone).date()):
        with shop.engine.begin() as connection:
            key = {"campaign": each.campaign, "step": each.step, "number": each.number}
            lines = [dict(line) for line in run(connection, channels.get(channel).export_lines, **key).mappings()]
        if write(shop, each, files(shop.settings, each, lines), now):
            counts["exports"] += 1
            counts["added"] += each.added
            counts["removed"] += each.removed
    _delete_old(shop, channel, now)
    return counts


def _instant(shop: Shop, day: date | None, at: datetime | None) -> datetime:
    """The instant of an export: `at`, else now; for a `day` its last second. Raises InputError if it is not over."""
    now = at or shop.clock()
    if day is None:
        return now
    days.require_over(shop.settings.evolve(clock="wall"), day, now)  # nothing is exported ahead of what is known
    return days.known_at(day, shop.settings.shop_time_zone) - timedelta(seconds=1)


def _is_latest(connection: Connection, channel: str, at: datetime) -> bool:
    """Whether nothing was exported after `at`: time does not run back."""
    newest: datetime | None = one(connection, "delivery/newest_export", channel=channel)["exported_at"]
    return newest is None or newest <= at


def record(connection: Connection, settings: Settings, channel: str, at: datetime, **what: Any) -> None:
    """Fix an export of `channel` at `at`; `what`: campaign, step, number, added, removed."""
    day = at.astimezone(settings.shop_time_zone).date()
    run(connection, "delivery/record_export", channel=channel, day=day, at=at, **what)


def _to_write(engine: Engine, channel: str, day: date) -> list[Export]:
    """The exports whose files may not be there: those never written to their end, and those of `day`."""
    with engine.begin() as connection:
        rows = run(connection, "delivery/exports_to_write", channel=channel, day=day).mappings()
        return [Export(**row) for row in rows]


def write(shop: Shop, export: Export, files: Sequence[File], at: datetime) -> bool:
    """Write the files, and the manifest last; whether they had to be. Files that were complete once are left alone.

    Raises StateError where another export stands in its folder: the database is an older copy; and as `place` does.
    """
    system, root = place(shop.settings)
    with storage.reaching(_url(shop.settings), PLACE, DeliveryError):
        is_written = _put(system, root, export, files)
    if is_written:
        _is_written(shop.engine, export, at)
        log.info("exported %s: %s added, %s removed", export.folder, export.added, export.removed)
    return is_written


def _put(system: Any, root: str, export: Export, files: Sequence[File]) -> bool:
    folder = f"{root.rstrip('/')}/{export.folder}"
    manifest = _manifest(export, files)
    is_there = system.exists(f"{folder}/{MANIFEST}")
    if is_there and export.written_at is not None:
        return False
    same_number = f"{glob.escape(folder.rpartition('/')[0])}/*-{export.number:04d}"
    taken = [each for each in system.glob(same_number) if not each.endswith(export.folder)]
    if taken or (is_there and system.cat_file(f"{folder}/{MANIFEST}") != manifest):
        raise StateError(
            f"In {(taken or [folder])[0]} is another export of that number: this database is an older copy of the one "
            "that wrote it. See docs/runbook.md, backup and restore."
        )
    storage.make_folder(system, folder)
    for file in files:
        storage.write(system, f"{folder}/{file.name}", file.content)
    storage.write(system, f"{folder}/{MANIFEST}", manifest)
    return True


def _delete_old(shop: Shop, channel: str, now: datetime) -> None:
    """Delete the folders that are too old, and what the database keeps only to be able to write them again."""
    with shop.engine.begin() as connection:
        before = now.astimezone(shop.settings.shop_time_zone).date() - KEPT
        rows = run(connection, "delivery/old_exports", channel=channel, before=before).mappings()
        old = [Export(**row) for row in rows]
    system, root = place(shop.settings)
    for each in old:
        folder = f"{root.rstrip('/')}/{each.folder}"
        with storage.reaching(_url(shop.settings), PLACE, DeliveryError):
            if system.exists(folder):
                system.rm(folder, recursive=True)
        with shop.engine.begin() as connection:
            key = {"campaign": each.campaign, "step": each.step, "number": each.number}
            run(connection, channels.get(channel).export_emptied, **key)
            run(connection, "delivery/export_deleted", at=now, **key)


def place(settings: Settings) -> tuple[Any, str]:
    """The file system and the folder of all exports.

    Raises InputError for a place that nothing here can write, DeliveryError for one that does not answer.
    """
    return storage.place(_url(settings), PLACE, DeliveryError)


def _url(settings: Settings) -> str:
    return settings.audiences or str(settings.local / "audiences")


def _is_written(engine: Engine, export: Export, at: datetime) -> None:
    with engine.begin() as connection:
        run(
            connection,
            "delivery/export_written",
            campaign=export.campaign,
            step=export.step,
            number=export.number,
            at=at,
        )


def _manifest(export: Export, files: Sequence[File]) -> bytes:
    content = {
        "list": f"{export.known_as}_{export.step}",
        "campaign": export.known_as,
        "step": export.step,
        "channel": export.channel,
        "purpose": "marketing",
        "day": export.day.isoformat(),
        "number": export.number,
        "known_at": export.exported_at.astimezone(UTC).isoformat(),
        "rows": {"added": export.added, "removed": export.removed},
        "files": [
            {
                "name": file.name,
                **file.about,
                "rows": file.rows,
                "bytes": len(file.content),
                "sha256": hashlib.sha256(file.content).hexdigest(),
            }
            for file in files
        ],
    }
    return (json.dumps(content, indent=2) + "\n").encode()
