"""The chain: the rooms one after the other, day by day. What a scheduler does in tasks, done in one call.

Under the clock ``days`` the sends of run D play at their instants of D+1. They must have played before any campaign
does D+1, since an exit of D+1 would otherwise skip what had gone out: `catch_up` keeps that order, here and in Airflow.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from itertools import chain

from sqlalchemy import Engine

from retention.campaigns import definitions, folder, steps
from retention.core import days, faults
from retention.core.database import run
from retention.core.days import Counts, newest_published
from retention.core.errors import FINAL, InputError, RetentionError, StateError
from retention.core.shop import Shop
from retention.delivery import worker as delivery
from retention.orders import sources, sync
from retention.selections import refresh

log = logging.getLogger(__name__)
Progress = Callable[[int, int, str], None]


def run_days(
    shop: Shop,
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

    Without `source` every daily source is synced. A day already done changes nothing and reports what it counted. What
    is wrong with one selection or campaign stops that one: the others go on, and a day's `failed` holds what did not
    do it and why. Once it is mended it does the days it has missed.
    Raises InputError for days that are not over at `now` (the real instant) where the settings' own clock is `wall`, or
    where messages are sent for real.
    """
    if last < first:
        raise InputError(f"--to {last} is before --from {first}; write the older day first.")
    days.require_over(shop.settings.evolve(clock="wall") if send_for_real else shop.settings, last, now)
    shop = replace(shop.evolve(clock="days"), sends_for_real=send_for_real)
    names = (
        [source] if source else [name for name, each in sources.read_all(shop.settings.include).items() if each.daily]
    )
    done: dict[str, Counts] = {}
    total = (last - first).days + 1
    for number in range(total):
        day = first + timedelta(days=number)
        counts: Counts = {"sync": {name: sync.sync(shop, name, day, path).counts() for name in names}}
        failed: dict[str, Exception] = {}
        if paused := folder.reconcile(shop):
            counts["paused"] = paused
        counts |= {"select": {}, "campaigns": {}}
        with days.apart("selections", day, failed):
            counts["select"] = refresh.select(shop, day)
        for campaign in chain.from_iterable(definitions.groups(shop.settings.include, with_drafts=True)):
            with days.apart(campaign, day, failed):
                catch_up(shop, campaign, day, send_for_real=send_for_real)
                counts["campaigns"] |= {campaign: steps.run_day(shop, campaign, day)}
        if failed:
            counts["failed"] = _told(failed)
        counts["deliver"] = delivery.replay(shop, day, send_for_real=send_for_real)
        done[day.isoformat()] = counts
        log.info("%s: done", day)
        if progress:
            progress(number + 1, total, day.isoformat())
    return done


def failures(done: dict[str, Counts]) -> str | None:
    """One sentence for each selection or campaign that failed on a day of `run_days`, with its newest reason."""
    newest = {part: (day, why) for day, counts in done.items() for part, why in counts.get("failed", {}).items()}
    return (
        "All others are done. " + " ".join(f"[{part}, {day}] {why}" for part, (day, why) in newest.items())
        if newest
        else None
    )


def catch_up(shop: Shop, campaign: str, day: date, *, send_for_real: bool = False) -> None:
    """Bring `campaign` to the eve of `day`: every earlier published day it has not done, oldest first.

    Under the clock ``days`` every campaign does each of those days, and their sends play, before the next day begins.
    Another campaign that cannot do one is left out of it, and told in the log.
    """
    folder.reconcile(shop)
    definitions.read(shop.settings.include, campaign)
    if shop.settings.clock == "days":
        for earlier in _pending_replay(shop.engine, day - timedelta(days=1)):
            for name in definitions.names(shop.settings.include):
                with days.apart(name, earlier, {}):
                    steps.run_day(shop, name, earlier)
            delivery.replay(shop, earlier, send_for_real=send_for_real)
    steps.catch_up(shop, campaign, day)


def enrol(shop: Shop, campaigns: Sequence[str], day: date) -> Counts:
    """Enrol `day` in campaigns of one group, in the order given, after all that comes before it; by campaign, who came.

    One that fails stops no other. Raises, at the end, what names those that failed: InputError where trying again does
    not help, else StateError.
    """
    done, failed = Counts(), dict[str, Exception]()
    for name in campaigns:
        with days.apart(name, day, failed):
            catch_up(shop, name, day)
            counts = steps.enrol(shop, name, day)
            done[name] = {key: counts[key] for key in ("enrolled", "control", steps.WAITING) if key in counts}
    if failed:
        kind = InputError if all(isinstance(each, FINAL) for each in failed.values()) else StateError
        raise kind("; ".join(f"{name} {day}: {why}" for name, why in _told(failed).items()))
    return done


def deliver(shop: Shop, *, campaign: str | None = None, at: datetime | None = None) -> Counts:
    """Send what is due: on the wall clock now, or at the instant `at`.

    Under the clock ``days``: play each day that all campaigns have done and whose sends have not played yet. A campaign
    that cannot be read, or failed on the day, is not waited for. `paused` holds, by campaign, why no message of it is
    sent: its file is missing, or cannot be read. Raises InputError, before anything is written, for an instant without
    an offset, or for one that is pretended while delivery is live.
    """
    if campaign is not None and shop.settings.clock == "days" and at is None:
        raise InputError("On the clock `days` all campaigns send together: leave --campaign out.")
    delivery.check_instant(shop.settings, at)
    paused = folder.reconcile(shop)
    if shop.settings.clock == "wall" or at is not None:
        report = delivery.deliver(shop, at=at, campaign=campaign).counts()
    else:
        report = _replay_all(shop)
    return report | {"paused": paused} if paused else report


def _replay_all(shop: Shop) -> Counts:
    """Play, oldest first, each day that waits for no campaign; what they counted together."""
    total: Counts = {}
    with shop.engine.connect() as connection:
        newest = newest_published(connection)
    for day in _pending_replay(shop.engine, newest) if newest else []:
        if waited_for := _waited_for(shop, day):
            log.info("The sends of %s wait for %s", day, ", ".join(waited_for))
            break
        for key, value in delivery.replay(shop, day).items():
            total[key] = total.get(key, 0) + value
    return total or dict.fromkeys(("accepted", "refused", "unknown", "deferred", "skipped"), 0)


def _pending_replay(engine: Engine, until: date) -> list[date]:
    with engine.connect() as connection:
        return list(run(connection, "pipeline/pending_replay", until=until).scalars())


def _waited_for(shop: Shop, day: date) -> list[str]:
    """The campaigns that may still do `day` by themselves: one that is broken stops the sends of no other."""
    found, broken = definitions.read_each(shop.settings.include)
    for name, problem in broken.items():
        log.error("%s: not waited for, since campaign %s cannot be read: %s", day, name, problem)
    with shop.engine.connect() as connection:
        return list(
            run(
                connection,
                "pipeline/waited_for",
                day=day,
                campaigns=list(found),
                selections=[each.selection for each in found.values()],
            ).scalars()
        )


def _told(failed: dict[str, Exception]) -> dict[str, str]:
    """Why each part failed, in words without values."""
    return {
        part: str(problem) if isinstance(problem, RetentionError) else faults.summary(problem)
        for part, problem in failed.items()
    }
