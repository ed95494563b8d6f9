"""The chain: the rooms one after the other, day by day. What a scheduler does in tasks, done in one call.

Under the clock ``days`` the sends of run D play at their instants of D+1. They must have played before any campaign
does D+1, since an exit of D+1 would otherwise skip what had gone out: `catch_up` keeps that order, here and in Airflow.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import date, datetime, timedelta

from sqlalchemy import Engine

from retention import days
from retention.campaigns import definitions, steps
from retention.database import run
from retention.days import Counts, newest_published, recorded
from retention.delivery import deliver as delivery
from retention.errors import InputError
from retention.orders import sources, sync
from retention.selections import refresh
from retention.settings import Settings

log = logging.getLogger(__name__)
Progress = Callable[[int, int, str], None]


def run_days(
    settings: Settings,
    engine: Engine,
    first: date,
    last: date,
    *,
    source: str | None = None,
    path: str | None = None,
    send_for_real: bool = False,
    progress: Progress | None = None,
    now: datetime | None = None,
) -> dict[str, Counts]:
    """The whole chain for each day from `first` to `last`: sync, select, every campaign, its sends; what each counted.

    Without `source` every daily source is synced. A day already done changes nothing and reports what it counted.
    Raises InputError for days that are not over at `now` (the real instant) where the settings' own clock is `wall`, or
    where messages are sent for real.
    """
    if last < first:
        raise InputError(f"--to {last} is before --from {first}; write the older day first.")
    days.require_over(settings.evolve(clock="wall") if send_for_real else settings, last, now)
    settings = settings.evolve(clock="days")
    names = [source] if source else [name for name, each in sources.read_all(settings.include).items() if each.daily]
    done: dict[str, Counts] = {}
    total = (last - first).days + 1
    for number in range(total):
        day = first + timedelta(days=number)
        counts: Counts = {"sync": {name: sync.sync(settings, engine, name, day, path) for name in names}}
        counts["select"] = refresh.select(settings, engine, day)
        counts["campaigns"] = {}
        for campaign in definitions.read_all(settings.include):
            catch_up(settings, engine, campaign, day, send_for_real=send_for_real)
            counts["campaigns"][campaign] = steps.run_day(settings, engine, campaign, day)
        counts["deliver"] = delivery.play(settings, engine, day, send_for_real=send_for_real)
        done[day.isoformat()] = counts
        log.info("%s: done", day)
        if progress:
            progress(number + 1, total, day.isoformat())
    return done


def catch_up(settings: Settings, engine: Engine, campaign: str, day: date, *, send_for_real: bool = False) -> None:
    """Bring `campaign` to the eve of `day`: every earlier published day it has not done, oldest first.

    Under the clock ``days`` every campaign does each of those days, and their sends play, before the next day begins.
    """
    if settings.clock == "days":
        for earlier in _unplayed(engine, day - timedelta(days=1)):
            for name in definitions.read_all(settings.include):
                steps.run_day(settings, engine, name, earlier)
            delivery.play(settings, engine, earlier, send_for_real=send_for_real)
    steps.catch_up(settings, engine, campaign, day)


def deliver(settings: Settings, engine: Engine, *, campaign: str | None = None, at: datetime | None = None) -> Counts:
    """Send what is due: on the wall clock now, or at the instant `at`.

    Under the clock ``days``: play each day that all campaigns have done and whose sends have not played yet.
    """
    if settings.clock == "wall" or at is not None:
        return delivery.deliver(settings, engine, at=at, campaign=campaign)
    total: Counts = {}
    with engine.connect() as connection:
        newest = newest_published(connection)
    for day in _unplayed(engine, newest) if newest else []:
        if not _all_campaigns_did(settings, engine, day):
            break
        for key, value in delivery.play(settings, engine, day).items():
            total[key] = total.get(key, 0) + value
    return total or dict.fromkeys(("accepted", "refused", "unknown", "deferred", "skipped"), 0)


def _unplayed(engine: Engine, until: date) -> list[date]:
    with engine.connect() as connection:
        return list(run(connection, "chain/unplayed", until=until).scalars())


def _all_campaigns_did(settings: Settings, engine: Engine, day: date) -> bool:
    with engine.connect() as connection:
        return all(
            recorded(connection, "campaigns", name, day) is not None for name in definitions.read_all(settings.include)
        )
