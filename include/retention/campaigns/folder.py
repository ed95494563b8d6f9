"""The folder of campaigns, held against the database: who is inside a campaign whose file is missing waits for it.

`reconcile` is called before messages are sent and before a campaign does a day. A campaign whose file is missing or
cannot be read stands in ``campaigns.paused``: no claim takes its messages, and nobody leaves it. It ends only when its
file is missing on two published days while all others can be read, or when a person says so (`remove`). A folder
without any campaign (an empty mount, a half-finished sync) ends nothing. ``renamed_from`` in a file carries the people
of the old name over.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from retention.campaigns import definitions
from retention.core import channels, days, faults
from retention.core.database import Table, count, lock, one, run
from retention.core.days import Counts
from retention.core.errors import InputError, StateError
from retention.core.settings import Settings
from retention.core.shop import Shop
from retention.offers import coupons

log = logging.getLogger(__name__)


def reconcile(shop: Shop) -> dict[str, str]:
    """Carry over what was renamed, pause what has no readable file, end what is gone; why each one paused is paused."""
    sound, broken = definitions.read_files(shop.settings.include)
    with shop.engine.begin() as connection:
        lock(connection, "campaigns", "folder")
        day = days.newest_published(connection)
        held = _carry_over_all(connection, shop.settings, sound)
        names = [*sound, *broken]
        without_file = run(connection, "campaigns/without_file", names=names).scalars().all()
        behind = run(connection, "campaigns/left_behind", names=without_file).scalars().all() if without_file else []
        pauses = [(name, "file_unreadable", str(problem)) for name, problem in broken.items()]
        pauses += [(name, *_why_missing(shop.settings.include, name, names, broken, held)) for name in behind]
        # The new name waits as the old one does: its own entries must not send what the old one has sent.
        pauses += [(name, "perhaps_renamed", held[name]) for name in sound if name in held]
        paused = run(
            connection,
            "campaigns/pause",
            day=day,
            campaigns=[name for name, _, _ in pauses],
            reasons=[reason for _, reason, _ in pauses],
            messages=[message for _, _, message in pauses],
        ).all()
        run(connection, "campaigns/unpause", sound=list(sound), paused=[name for name, _, _ in pauses])
        for row in paused:
            if row.is_over and day is not None:
                log.warning(
                    "Campaign %s is removed: %s", row.campaign, _remove(connection, shop.settings, row.campaign, day)
                )
    waiting = {row.campaign: row.message for row in paused if not row.is_over}
    for name, message in waiting.items():
        log.warning("Campaign %s is paused: %s", name, message)
    return waiting


def remove(shop: Shop, name: str) -> Counts:
    """End a campaign that has no file, at once; how many enrolments, messages, coupons and audience members it ended.

    Raises InputError where the file is there, where another file carries its people over, or for an unknown name.
    """
    if not definitions.NAME.fullmatch(name):
        raise InputError(f"{name[:80]!r} is not a campaign's name: small letters, digits and _, like 'winback'.")
    file = shop.settings.include / "campaigns" / f"{name}.yaml"
    if definitions.is_there(shop.settings.include, name):
        raise InputError(f"{file} is there: a campaign is removed once its file is deleted.")
    sound, _ = definitions.read_files(shop.settings.include)
    for other, content in sound.items():
        if content.get("renamed_from") == name:
            raise InputError(f"{other}.yaml says renamed_from: {name}, so its people are carried over, not removed.")
    with shop.engine.begin() as connection:
        lock(connection, "campaigns", "folder")
        day = days.newest_published(connection)
        if day is None or not one(connection, "campaigns/is_known", campaign=name)["is_known"]:
            raise InputError(f"There is no campaign {name!r}, neither in {file.parent} nor in the database.")
        return _remove(connection, shop.settings, name, day)


def carry_over(connection: Connection, settings: Settings, old: str, new: str) -> None:
    """All that stands under the name `old` stands under `new` from now on: doing it again changes nothing.

    Where both names have enrolled a customer, the entries under the new name come after those under the old one, and of
    two that are open the older goes on. Raises StateError while a worker is handing over a message of `old`, and where
    both names have exported lists: then nothing is changed.
    """
    names = {"old": old, "new": new}
    if not one(connection, "campaigns/is_rename_needed", **names)["is_needed"]:
        return
    for turn in (
        *(("export", each.name) for each in channels.exported()),
        ("claim",),
    ):  # in turn with whoever exports or claims
        lock(connection, "delivery", *turn)
    found = one(connection, "campaigns/is_rename_needed", **names)
    if not found["is_needed"]:
        return
    if found["is_attempting"]:
        raise StateError(
            f"Campaign {old} is to become {new}, but a message of it is being handed over. Run it again after the next "
            "`retention deliver`."
        )
    if found["has_two_lists"]:
        raise StateError(
            f"Campaign {old} is to become {new}, but both have exported audiences or cards, which cannot become one. "
            f"Take renamed_from out of {new}.yaml, then end {old} with `retention campaign {old} --remove`."
        )
    aside = f"{new}:{old}"
    day = days.newest_published(connection)
    run(connection, "campaigns/keep_first_name", **names)
    run(connection, "campaigns/forget_first_name", old=old)
    ended = count(connection, "campaigns/end_second", day=day, **names) if day else 0
    run(connection, "campaigns/forget_same_versions", **names)
    run(connection, "campaigns/forget_same_decisions", **names)
    run(connection, "core/forget_same_days", **names)
    tables = run(connection, "campaigns/tables_to_rename").all()
    for table in tables:
        if table.has_entries:
            run(connection, "campaigns/number_on", {"table": Table(table.name)}, aside=aside, **names)
    for table in tables:
        run(connection, "campaigns/rename", {"table": Table(table.name)}, aside=aside, **names)
    run(connection, "campaigns/rename_versions", **names)
    run(connection, "core/rename_days", **names)
    run(connection, "ledger/rename_halt", **names)
    run(connection, "ledger/forget_halt", old=old)
    run(connection, "campaigns/forget_pause", old=old)
    if day and ended:
        leave(connection, settings, new, day)
    log.info("Campaign %s was renamed: it is %s from now on; %s second entries ended", old, new, ended)


def leave(connection: Connection, settings: Settings, name: str, day: date) -> dict[str, int]:
    """Skip the planned messages of enrolments that ended on `day`, void their reserved coupons; skipped, by reason."""
    known_by = days.known_at(day, settings.shop_time_zone)
    skipped = {
        row.reason: row.messages
        for row in run(connection, "ledger/skip_left_over", campaign=name, day=day, known_by=known_by)
    }
    coupons.void(connection, name, day)
    return skipped


def _carry_over_all(
    connection: Connection, settings: Settings, sound: Mapping[str, Mapping[str, Any]]
) -> dict[str, str]:
    """Carry over what was renamed; of each name that has to wait, the old and the new, why."""
    held: dict[str, str] = {}
    for name, content in sound.items():
        if old := content.get("renamed_from"):
            try:
                with connection.begin_nested():
                    carry_over(connection, settings, old, name)
            except Exception as problem:  # of whatever sort: a campaign that cannot be renamed stops no other
                held[old] = held[name] = str(faults.explained(problem, settings))
    return held


def _why_missing(
    include: Path, name: str, names: list[str], broken: Mapping[str, InputError], held: Mapping[str, str]
) -> tuple[str, str]:
    """The reason and the sentence for a campaign without a file."""
    folder = include / "campaigns"
    if name in held:
        return "perhaps_renamed", held[name]
    if not names:
        return "folder_empty", (
            f"There is no campaign in {folder}: is it mounted, and complete? Nothing ends by itself until then. "
            f"If {name} is meant to end, run `retention campaign {name} --remove`."
        )
    missing = f"There is no file {folder / name}.yaml, but the campaign is not over."
    if broken:
        return "perhaps_renamed", (
            f"{missing} It may have been renamed to {', '.join(broken)}, which cannot be read; nothing ends by itself "
            "until that is mended."
        )
    return "file_missing", (
        f"{missing} Put the file back, or write `renamed_from: {name}` in the file that takes its place. Otherwise it "
        f"ends with the next published day, or now with `retention campaign {name} --remove`."
    )


def _remove(connection: Connection, settings: Settings, name: str, day: date) -> Counts:
    """End it as of `day`, the newest published one. It stays closed until it has a file again."""
    for turn in (("export", "audience"), ("claim",)):  # in turn with whoever exports or claims
        lock(connection, "delivery", *turn)
    known_by = days.known_at(day, settings.shop_time_zone)
    counts = {
        "exited": count(connection, "campaigns/end_all", campaign=name, day=day),
        "skipped": count(connection, "ledger/take_back", campaign=name, known_by=known_by),
        "coupons": coupons.void_all(connection, name),
        "audience_members": count(connection, "delivery/leave_audiences_of_campaign", campaign=name, known_by=known_by),
    }
    run(connection, "campaigns/close", campaign=name, day=day, message="Its file was deleted, and it was removed.")
    return counts
