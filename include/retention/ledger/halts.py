"""Halt and resume: no claim after a halt takes what is halted. What is already being attempted is not called back."""

from __future__ import annotations

from sqlalchemy import Connection

from retention.core import channels
from retention.core.database import one, run
from retention.core.days import Counts
from retention.core.errors import InputError
from retention.core.settings import Settings
from retention.core.shop import Shop


def halt(shop: Shop, campaign: str | None = None, channel: str | None = None) -> Counts:
    """Halt a campaign, a channel, or, with neither, everything. Returns all halts now in force."""
    with shop.engine.begin() as connection:
        kind, name = _which(shop.settings, connection, campaign, channel)
        write(connection, kind, name)
        return {"halted": in_force(connection)}


def resume(shop: Shop, campaign: str | None = None, channel: str | None = None) -> Counts:
    """Lift that halt, and no other. Returns the halts still in force."""
    with shop.engine.begin() as connection:
        kind, name = _which(shop.settings, connection, campaign, channel)
        run(connection, "ledger/resume", kind=kind, name=name)
        return {"halted": in_force(connection)}


def in_force(connection: Connection) -> list[str]:
    """What is halted: ``all``, ``campaign:<name>``, ``channel:<name>``."""
    return [":".join(filter(None, (row.kind, row.name))) for row in run(connection, "ledger/halts")]


def write(connection: Connection, kind: str, name: str) -> None:
    """Write a halt; one that is there stays."""
    run(connection, "ledger/halt", kind=kind, name=name)


def check_known(settings: Settings, connection: Connection, campaign: str) -> None:
    """Raises InputError for a campaign that has no file and that nobody was ever enrolled in."""
    files = {path.stem for path in (settings.include / "campaigns").glob("*.y*ml")}
    if campaign not in files and not one(connection, "ledger/is_campaign", campaign=campaign)["is_known"]:
        raise InputError(f"There is no campaign {campaign!r} in {settings.include / 'campaigns'} nor in the database.")


def _which(settings: Settings, connection: Connection, campaign: str | None, channel: str | None) -> tuple[str, str]:
    if campaign and channel:
        raise InputError("Name a campaign or a channel, not both.")
    if campaign:
        check_known(settings, connection, campaign)
        return "campaign", campaign
    return ("channel", channels.get(channel).name) if channel else ("all", "")
