"""The day of a campaign: enrol who enters, exit who bought, plan the steps that are due, close what is over.

Each part of a day is one short transaction, done in order and recorded in ``shop.days``: part ``<name>:enrol``,
``<name>:exit``, ``<name>:<step>``, and ``<name>`` once the whole day is done. Nothing begins while an earlier published
day of the campaign is not finished. People inside go on with the version they entered under.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, Engine

from retention.campaigns import definitions, folder
from retention.campaigns.definitions import Campaign, Step
from retention.contact import law
from retention.core import channels, days, faults
from retention.core.database import Fragment, count, one, run, sql
from retention.core.days import Counts
from retention.core.errors import InputError, StateError
from retention.core.settings import Settings
from retention.offers import coupons

log = logging.getLogger(__name__)
STAGE = "campaigns"
SEND_BASE = "send_base"


def run_day(
    settings: Settings, engine: Engine, name: str, day: date, test: bool = False, now: datetime | None = None
) -> Counts:
    """Do `day` of the campaign, earlier days first; what it counted: {enrolled, control, exited, planned, skipped}.

    `enrolled` counts both arms, `control` those of them who will get nothing. A day already done returns its recorded
    counts. `test`: the same statements on the same data, rolled back; not a row is left. Raises StateError when the
    campaign's selection or send_base has not done the day, InputError for a day that is not over at `now` (the real
    instant).
    """
    days.require_over(settings, day, now)
    if test:
        return _rehearse(settings, engine, definitions.read(settings.include, name), day)
    campaign = _read(settings, engine, name)
    catch_up(settings, engine, name, day)
    return _whole_day(settings, engine, campaign, day)


def catch_up(settings: Settings, engine: Engine, name: str, day: date) -> Counts:
    """Do every earlier published day that the campaign has not finished, oldest first; their counts, added up."""
    campaign = _read(settings, engine, name)
    total = _counts()
    while True:
        with engine.connect() as connection:
            earlier = _first_unfinished(connection, name, day)
        if earlier is None:
            return total
        _add(total, _whole_day(settings, engine, campaign, earlier))


def enrol(settings: Settings, engine: Engine, name: str, day: date, now: datetime | None = None) -> Counts:
    """Enrol who may enter on `day`. Raises StateError while an earlier day is unfinished or a selection is missing.

    Raises InputError for a day that is not over at `now` (the real instant).
    """
    days.require_over(settings, day, now)
    return _enrol_in_order(settings, engine, _read(settings, engine, name), day)


def exit(settings: Settings, engine: Engine, name: str, day: date) -> Counts:
    """End the enrolments of who ordered, unsubscribed or left, as known when `day` ended. Needs `enrol` of that day."""
    return _exit_in_order(settings, engine, _read(settings, engine, name), day)


def plan(settings: Settings, engine: Engine, name: str, step: str, day: date) -> Counts:
    """Plan the messages of `step` due on `day`, in every version with somebody inside. Needs `exit` of that day."""
    return _plan_in_order(settings, engine, _read(settings, engine, name), step, day)


def finish(settings: Settings, engine: Engine, name: str, day: date) -> Counts:
    """Close the enrolments that are over and the day itself; the whole day's counts. Needs every step of that day."""
    return _finish_in_order(settings, engine, _read(settings, engine, name), day)


def _read(settings: Settings, engine: Engine, name: str) -> Campaign:
    """The campaign, with the people of the name it had before: whoever does a part of its day finds them in it."""
    campaign = definitions.read(settings.include, name)
    if campaign.renamed_from:
        with engine.begin() as connection:
            folder.carry_over(connection, settings, campaign.renamed_from, name)
    return campaign


def _whole_day(settings: Settings, engine: Engine, campaign: Campaign, day: date) -> Counts:
    with engine.connect() as connection:
        done = days.recorded(connection, STAGE, campaign.name, day)
    if done is not None:
        return done
    try:
        _enrol_in_order(settings, engine, campaign, day)
        _exit_in_order(settings, engine, campaign, day)
        for step in campaign.steps:
            _plan_in_order(settings, engine, campaign, step.step, day)
        return _finish_in_order(settings, engine, campaign, day)
    except Exception as problem:
        with engine.begin() as connection:
            if days.recorded(connection, STAGE, f"{campaign.name}:enrol", day) is not None:
                days.record(connection, STAGE, campaign.name, day, "failed", message=faults.summary(problem))
        raise


def _enrol_in_order(settings: Settings, engine: Engine, campaign: Campaign, day: date) -> Counts:
    part = f"{campaign.name}:enrol"
    with engine.begin() as connection:
        if (done := days.recorded(connection, STAGE, part, day)) is not None:
            return done
        _refuse_past(connection, part, day)
        _refuse_unfinished(connection, campaign.name, day)
        _refuse_unselected(connection, campaign, day)
        # The day counts as begun from here, so that one that stops half-way is caught up.
        days.record(connection, STAGE, campaign.name, day, "running")
    return _in_order(engine, part, day, lambda connection, on: _enrol(connection, settings, campaign, on))


def _exit_in_order(settings: Settings, engine: Engine, campaign: Campaign, day: date) -> Counts:
    _refuse_before(engine, campaign, day, "exit", ["enrol"])
    part = f"{campaign.name}:exit"
    return _in_order(engine, part, day, lambda connection, on: _exit(connection, settings, campaign, on))


def _plan_in_order(settings: Settings, engine: Engine, campaign: Campaign, step: str, day: date) -> Counts:
    if campaign.find(step) is None:
        known = ", ".join(each.step for each in campaign.steps)
        raise InputError(f"Campaign {campaign.name} has no step {step!r}; its steps are {known}.")
    _refuse_before(engine, campaign, day, step, ["enrol", "exit"])
    part = f"{campaign.name}:{step}"
    return _in_order(engine, part, day, lambda connection, on: _plan(connection, settings, campaign, step, on))


def _finish_in_order(settings: Settings, engine: Engine, campaign: Campaign, day: date) -> Counts:
    parts = ["enrol", "exit", *(step.step for step in campaign.steps)]
    _refuse_before(engine, campaign, day, "finish", parts)

    def do(connection: Connection, on: date) -> Counts:
        total = _counts()
        for part in parts:
            _add(total, days.recorded(connection, STAGE, f"{campaign.name}:{part}", on) or _counts())
        return _add(total, _finish(connection, settings, campaign, on))

    return _in_order(engine, campaign.name, day, do)


def _in_order(engine: Engine, part: str, day: date, do: Callable[[Connection, date], Counts]) -> Counts:
    counts = days.in_order(engine, STAGE, part, day, do)
    log.info("%s %s: %s", part, day, json.dumps(counts))
    return counts


def _rehearse(settings: Settings, engine: Engine, campaign: Campaign, day: date) -> Counts:
    """The day, and what is before it, in one transaction that is rolled back."""
    with engine.connect() as connection, connection.begin() as transaction:
        if campaign.renamed_from:
            folder.carry_over(connection, settings, campaign.renamed_from, campaign.name)
        if (done := days.recorded(connection, STAGE, campaign.name, day)) is not None:
            return done
        _refuse_past(connection, f"{campaign.name}:enrol", day)
        while (earlier := _first_unfinished(connection, campaign.name, day)) is not None:
            _rehearse_day(connection, settings, campaign, earlier)
        counts = _rehearse_day(connection, settings, campaign, day)
        transaction.rollback()
    return counts


def _rehearse_day(connection: Connection, settings: Settings, campaign: Campaign, day: date) -> Counts:
    _refuse_unselected(connection, campaign, day)
    work: dict[str, Callable[[], Counts]] = {
        "enrol": lambda: _enrol(connection, settings, campaign, day),
        "exit": lambda: _exit(connection, settings, campaign, day),
    }
    for each in campaign.steps:
        work[each.step] = lambda name=each.step: _plan(connection, settings, campaign, name, day)  # type: ignore[misc]
    total = _counts()
    for part, do in work.items():
        done = days.recorded(connection, STAGE, f"{campaign.name}:{part}", day)
        _add(total, do() if done is None else done)
    _add(total, _finish(connection, settings, campaign, day))
    days.record(connection, STAGE, campaign.name, day, "done", total)
    return total


def _enrol(connection: Connection, settings: Settings, campaign: Campaign, day: date) -> Counts:
    _refuse_unselected(connection, campaign, day)
    is_present = day == days.newest_published(connection)
    last_order = "campaigns/_last_order_present" if is_present else "campaigns/_last_order_as_of"
    entered = one(
        connection, "campaigns/enrol", {"last_order": Fragment(sql(_include(connection), last_order))},
        campaign=campaign.name, version=campaign.version, entry_limit=campaign.entry_limit,
        control_bound=int(campaign.control * 2**32 / 100), day=day, known_by=_known_by(settings, day),
        **_entry_rules(campaign),
    )  # fmt: skip
    run(connection, "campaigns/decide", campaign=campaign.name, day=day, **_entry_rules(campaign))
    if entered["enrolled"]:
        run(
            connection, "campaigns/keep_version", campaign=campaign.name, version=campaign.version, day=day,
            definition=json.dumps(campaign.content), templates=json.dumps(dict(campaign.templates)),
            selection_sql=campaign.selection_sql,
        )  # fmt: skip
    return _counts(**entered)


def _entry_rules(campaign: Campaign) -> dict[str, Any]:
    rule = campaign.re_entry
    return {
        "selection": campaign.selection, "re_entry_never": rule.never, "re_entry_months": rule.months,
        "re_entry_days": rule.days,
    }  # fmt: skip


def _exit(connection: Connection, settings: Settings, campaign: Campaign, day: date) -> Counts:
    ended = 0
    for version in _open_versions(connection, campaign.name):
        ended += count(
            connection, "campaigns/exit", campaign=campaign.name, version=version.version, day=day,
            known_by=_known_by(settings, day), shop_zone=settings.shop_time_zone.key, selection=version.selection,
            **{f"on_{reason}": reason in version.exit_on for reason in ("order", "unsubscribe", "left_selection")},
        )  # fmt: skip
    return _counts(exited=ended, skipped=folder.leave(connection, settings, campaign.name, day))


def _plan(connection: Connection, settings: Settings, campaign: Campaign, name: str, day: date) -> Counts:
    total = _counts(planned={name: 0})
    for version in _open_versions(connection, campaign.name):
        step = version.find(name)
        if step is not None:
            _add(total, _plan_version(connection, settings, version, step, day))
    return total


def _plan_version(connection: Connection, settings: Settings, version: Campaign, step: Step, day: date) -> Counts:
    done_until = one(connection, "days/newest_done", stage=STAGE, part=version.name)["day"]
    law.put_in_force(connection, settings.include)
    rows = run(
        connection, "campaigns/plan", campaign=version.name, version=version.version, step=step.step,
        step_day=step.day, channel=step.channel, address=channels.get(step.channel).address,
        offer=step.offer, day=day, done_until=done_until,
        known_by=_known_by(settings, day), window_start=version.window_start, window_end=version.window_end,
        grace_days=version.grace_days, **law.zones(connection, settings),
    )  # fmt: skip
    written = {row.reason: row.messages for row in rows}
    planned = written.pop(None, 0)
    if step.offer and planned:
        percent = version.offers[step.offer].percent
        coupons.reserve(settings, connection, version.name, version.version, step.step, day, percent)
    return _counts(planned={step.step: planned}, skipped=written)


def _finish(connection: Connection, settings: Settings, campaign: Campaign, day: date) -> Counts:
    total = _counts()
    versions = list(_open_versions(connection, campaign.name))
    for version in versions:
        for step in version.steps:
            if campaign.find(step.step) is None:  # no task plans it any more, but people inside still get it
                _add(total, _plan_version(connection, settings, version, step, day))
    for version in versions:
        ended = count(
            connection, "campaigns/finish", campaign=campaign.name, version=version.version, day=day,
            known_by=_known_by(settings, day), last_step=version.last_step.step, last_day=version.last_step.day,
            grace_days=version.grace_days,
        )  # fmt: skip
        log.info("%s %s, version %s: %s enrolments closed", campaign.name, day, version.version, ended)
    return _add(total, _counts(skipped=folder.leave(connection, settings, campaign.name, day)))


def _open_versions(connection: Connection, name: str) -> Iterator[Campaign]:
    for row in run(connection, "campaigns/open_versions", campaign=name).all():
        yield definitions.parse(row.definition, row.version)


def _known_by(settings: Settings, day: date) -> Any:
    return days.known_at(day, settings.shop_time_zone)


def _include(connection: Connection) -> Any:
    return connection.get_execution_options()["include"]


def _first_unfinished(connection: Connection, name: str, day: date) -> date | None:
    pending: date | None = one(connection, "days/first_pending", stage=STAGE, part=name, day=day)["day"]
    return pending


def _refuse_past(connection: Connection, part: str, day: date) -> None:
    newest = one(connection, "days/newest_done", stage=STAGE, part=part)["day"]
    if newest is not None and newest > day:
        raise StateError(
            f"{part}: {newest} is already done, so {day} can no longer be done: "
            "a day that was left out is caught up before the next one, never after."
        )


def _refuse_unfinished(connection: Connection, name: str, day: date) -> None:
    earlier = _first_unfinished(connection, name, day)
    if earlier is not None:
        raise StateError(
            f"Campaign {name}: {earlier} is not finished, so {day} cannot begin; "
            f"catch up first, or run `retention campaign {name} --day {day}`, which does."
        )


def _refuse_unselected(connection: Connection, campaign: Campaign, day: date) -> None:
    for selection in (campaign.selection, SEND_BASE):
        if days.recorded(connection, "selections", selection, day) is None:
            raise StateError(
                f"Campaign {campaign.name}: the selection {selection} has not done {day}; "
                f"run `retention select --day {day}` first."
            )


def _refuse_before(engine: Engine, campaign: Campaign, day: date, what: str, needed: list[str]) -> None:
    with engine.connect() as connection:
        for part in needed:
            if days.recorded(connection, STAGE, f"{campaign.name}:{part}", day) is None:
                raise StateError(f"Campaign {campaign.name}, {day}: {what} comes after {part}, which is not done.")
        _refuse_unfinished(connection, campaign.name, day)


def _counts(**given: Any) -> Counts:
    return {"enrolled": 0, "control": 0, "exited": 0, "planned": {}, "skipped": {}, **given}


def _add(total: Counts, more: Counts) -> Counts:
    """Add `more` to `total`, in place; the total."""
    for key, value in more.items():
        if isinstance(value, dict):
            for name, number in value.items():
                total[key][name] = total[key].get(name, 0) + number
        else:
            total[key] += value
    return total
