"""The day of a campaign: enrol customers, end the enrolments of those who bought, plan the steps that are due, close.

Campaigns of one group do a day in order of priority: who may enter two of them enters the first. Before one enrols, all
have done the earlier days, and those before it have enrolled. One that cannot is told in the log, and stops no other.

An enrolment that needs somebody's approval is kept to wait, see `gate`, and the day goes on without it.

Each part of a day is one short transaction, done in order and recorded in ``shop.days``: part ``<name>:enrol``,
``<name>:exit``, ``<name>:<step>``, ``<name>:finish``, and ``<name>`` once the whole day is done. Nothing begins while
an earlier published day of the campaign is not finished. People inside go on with the version they entered under.
"""

from __future__ import annotations

import itertools
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Engine

from retention.campaigns import definitions, folder, gate
from retention.campaigns.definitions import Campaign
from retention.campaigns.language import Step
from retention.contact import holidays, law
from retention.core import clock, database, days
from retention.core.database import Fragment, count, lock, one, run, sql
from retention.core.days import Counts, Part, Run
from retention.core.errors import DayRefused, InputError
from retention.core.settings import Settings
from retention.core.shop import Shop
from retention.offers import coupons, floors
from retention.selections import refresh, worlds

log = logging.getLogger(__name__)
STAGE = "campaigns"
SEND_BASE = "send_base"
# What an entry limit lets in by: in the present, and as known on a day in the past.
DAYS_LAPSED = ("campaigns/_days_lapsed_present", "campaigns/_days_lapsed_as_of")
REVENUE = ("campaigns/_revenue_present", "campaigns/_revenue_as_of")
RANKS = {"longest_lapsed": (DAYS_LAPSED, -1), "last_lapsed": (DAYS_LAPSED, 1), "highest_revenue": (REVENUE, -1)}
# Keys in the counts of a day: how many customers wait for approval; of one on which nothing happened, why.
WAITING, NOTHING = "waiting", "nothing_to_do"


def run_day(shop: Shop, name: str, day: date, test: bool = False, now: datetime | None = None) -> Counts:
    """Do `day` of the campaign, after all that comes before it: earlier days, and the enrolments of its group.

    What it counted: {enrolled, control, exited, planned, skipped}; `enrolled` counts both arms, `control` those of them
    who will get nothing. `waiting` are those whose enrolment waits for approval; where nothing happened,
    `nothing_to_do` says why. A day already done returns its recorded counts. Of the newest published day they stand
    only while campaign and selections are the same and no fact has come; else entrants are added, exits end the rest
    and planned messages are decided again, and `again` says why. `test`: the same on the same data, whatever is
    recorded, and undone; not a row is left. Raises DayRefused when the campaign's selection or send_base has not done
    the day, InputError for a day that is not published, or not over at `now` (the real instant).
    """
    if test:
        counts = rehearse(shop, name, day, now)
        return {key: counts[key] for key in (*_counts(), NOTHING) if key in counts}
    _require(shop, day, now)
    shop = _at(shop, now)
    campaign = _read(shop, name)
    group = _group(shop, campaign, day)
    _catch_up(shop, campaign, group, day)
    return _told(campaign, day, _whole_day(shop, campaign, day, _ahead(campaign, group)))


def rehearse(shop: Shop, name: str, day: date, now: datetime | None = None) -> Counts:
    """What `run_day` would do on `day`, whatever is recorded: computed, looked at, undone.

    Beside the counts of the day: who `entered` and `left` with it, with ten references each, how many stay the `same`,
    and how many are `excluded` from entering, by reason. A selection that never did the day is computed for it.
    """
    _require(shop, day, now)
    with database.rehearsal(shop.engine) as engine:
        trial = replace(shop, engine=engine)
        campaign = replace(_read(trial, name), status="live")  # a draft is tried as what it is to be
        group = _group(trial, campaign, day)
        _catch_up(trial, campaign, group, day, is_trial=True)
        with engine.begin() as connection:
            run(connection, "campaigns/keep_before", campaign=name)
        counts = _whole_day(trial, campaign, day, _ahead(campaign, group), is_trial=True, is_afresh=True)
        with engine.connect() as connection:
            rows = run(connection, "campaigns/rehearsal_difference", campaign=name).all()
            excluded = run(connection, "campaigns/excluded", campaign=name, selection=campaign.selection, day=day).all()
    return {
        **{key: value for key, value in _told(campaign, day, counts).items() if key != days.AGAIN},
        **days.difference(rows),
        "excluded": {row.reason: row.customers for row in excluded},
    }


def catch_up(shop: Shop, name: str, day: date) -> Counts:
    """Do every earlier published day that the campaign has not finished, oldest first; their counts, added up.

    Its whole group does each of them before the next. Another campaign that cannot is left out, and told in the log.
    """
    campaign = _read(shop, name)
    return _catch_up(shop, campaign, _group(shop, campaign, day), day)


def enrol(shop: Shop, name: str, day: date, now: datetime | None = None) -> Counts:
    """Enrol the customers who may enter on `day`, after the campaigns of the group that come before it.

    Raises DayRefused while an earlier day is unfinished or a selection is missing, InputError for a day that is not
    published, or not over at `now` (the real instant).
    """
    _require(shop, day, now)
    shop = _at(shop, now)
    campaign = _read(shop, name)
    _enrol_each(shop, _ahead(campaign, _group(shop, campaign, day)), day)
    return _Day(shop, campaign, day).enrol()


def end_enrolments(shop: Shop, name: str, day: date) -> Counts:
    """End the enrolments of customers who ordered, unsubscribed or left, as known when `day` ended.

    Needs `enrol` of that day.
    """
    return _Day(shop, _read(shop, name), day).end()


def plan(shop: Shop, name: str, step: str, day: date) -> Counts:
    """Plan the messages of `step` due on `day`, in every version with somebody inside. Needs its `end_enrolments`."""
    return _Day(shop, _read(shop, name), day).plan(step)


def finish(shop: Shop, name: str, day: date) -> Counts:
    """Close the enrolments that are over and the day itself; the whole day's counts. Needs every step of that day."""
    campaign = _read(shop, name)
    return _told(campaign, day, _Day(shop, campaign, day).finish())


def _require(shop: Shop, day: date, now: datetime | None) -> None:
    """Raises InputError for a day that is not over, or not published."""
    with shop.engine.connect() as connection:
        days.require_over(shop.settings, day, now, days.newest_published(connection))
        days.require_published(connection, day)


def _at(shop: Shop, now: datetime | None) -> Shop:
    """The shop at the instant `now`, where one is given."""
    return replace(shop, clock=clock.Stopped(now)) if now else shop


def _pending(engine: Engine, campaign: Campaign, day: date) -> date | None:
    with engine.connect() as connection:
        return _whole(campaign).pending(connection, day)


def _group(shop: Shop, campaign: Campaign, day: date) -> list[Campaign]:
    """The campaigns of its group that can be read and enrol, in order; `campaign` as it is given."""
    if campaign.group is None or campaign.status == "draft":
        return [campaign]
    found = []
    groups = definitions.groups(shop.settings.include, with_drafts=True)
    for name in next(each for each in groups if campaign.name in each):
        with days.apart(name, day, {}):
            each = campaign if name == campaign.name else _read(shop, name)
            if each.status != "draft":
                found.append(each)
    return found


def _ahead(campaign: Campaign, group: list[Campaign]) -> list[Campaign]:
    """The campaigns of the group that come before it."""
    return group[: group.index(campaign)]


def _catch_up(shop: Shop, campaign: Campaign, group: list[Campaign], day: date, *, is_trial: bool = False) -> Counts:
    """Bring the group to the eve of `day`; what `campaign` counted."""
    total, failed = _counts(), dict[str, Exception]()
    while behind := [
        (earlier, each)
        for each in group
        if each.name not in failed and (earlier := _pending(shop.engine, each, day)) is not None
    ]:
        oldest = min(earlier for earlier, _ in behind)
        for each in [each for earlier, each in behind if earlier == oldest]:
            if each is campaign:
                _add(total, _whole_day(shop, campaign, oldest, is_trial=is_trial))
            else:
                with days.apart(each.name, oldest, failed):
                    _whole_day(shop, each, oldest, is_trial=is_trial)
    return total


def _enrol_each(shop: Shop, campaigns: Sequence[Campaign], day: date, *, is_trial: bool = False) -> None:
    """Enrol `day` in each campaign, in order; one that cannot is told in the log."""
    for campaign in campaigns:
        with days.apart(campaign.name, day, {}):
            _Day(shop, campaign, day, is_trial).enrol()


def _read(shop: Shop, name: str) -> Campaign:
    """The campaign, with the people of the name it had before: whoever does a part of its day finds them in it."""
    campaign = definitions.read(shop.settings.include, name)
    if campaign.renamed_from:
        with shop.engine.begin() as connection:
            folder.carry_over(connection, shop.settings, campaign.renamed_from, name)
    return campaign


def _whole(campaign: Campaign) -> Part:
    """The campaign in ``shop.days``: it has done a day when each of its parts has."""
    return Part(STAGE, campaign.name)


def _whole_day(
    shop: Shop,
    campaign: Campaign,
    day: date,
    ahead: Sequence[Campaign] = (),
    *,
    is_trial: bool = False,
    is_afresh: bool = False,
) -> Counts:
    """Do `day` of the campaign, after those `ahead` have enrolled it; its counts."""
    its = _Day(shop, campaign, day, is_trial, is_afresh)
    if (done := its.standing()) is not None:
        return done
    _enrol_each(shop, ahead, day, is_trial=is_trial)
    its.enrol()
    with _whole(campaign).failure_recorded(shop.engine, day):
        its.end()
        for step in campaign.steps:
            its.plan(step.step)
        return its.finish()


@dataclass(frozen=True)
class _Day:
    """One day of one campaign: its parts, each after those before it."""

    shop: Shop
    campaign: Campaign
    day: date
    is_trial: bool = False  # a rehearsal: selections that never did the day are assumed
    is_afresh: bool = False

    def standing(self) -> Counts | None:
        """What is recorded of the whole day, where that stands."""
        whole = _whole(self.campaign)
        return whole.ask(
            self.shop.engine, self.day, self.campaign.version, self._all_parts(), is_afresh=self.is_afresh
        ).counts

    def enrol(self) -> Counts:
        whole = _whole(self.campaign)
        if self.is_trial:
            for selection in self._selections():
                refresh.assume(self.shop, selection.name, self.day)
        with self.shop.engine.begin() as connection:
            if not self.is_afresh:
                whole.refuse_past(connection, self.day)
                self._refuse_unfinished(connection)
            done = days.done_by(connection, self._selections(), self.day)
            for selection in self._selections():
                if selection not in done:
                    selection.refuse_undone(
                        connection,
                        self.day,
                        f"Campaign {self.campaign.name}: the selection {selection.name}",
                        f"run `retention select --day {self.day}` first",
                    )
            # The day counts as begun from here, so that one that stops half-way is caught up.
            whole.record(connection, self.day, "running")
        return self._run("enrol", self._enrol)

    def _enrol(self, connection: Connection, settings: Settings, campaign: Campaign, part: str, its: Run) -> Counts:
        is_automatic = self.is_trial or (settings.clock == "days" and not self.shop.sends_for_real)
        now = _known_by(settings, its.day) if is_automatic else self.shop.clock()
        return _enrol(connection, settings, campaign, its, now, is_automatic=is_automatic)

    def end(self) -> Counts:
        self._refuse_before("exit", ["enrol"])
        return self._run("exit", _end_enrolments)

    def plan(self, step: str) -> Counts:
        if self.campaign.find(step) is None:
            known = ", ".join(each.step for each in self.campaign.steps)
            raise InputError(f"Campaign {self.campaign.name} has no step {step!r}; its steps are {known}.")
        self._refuse_before(step, ["enrol", "exit"])
        return self._run(step, _plan)

    def finish(self) -> Counts:
        before = ["enrol", "exit", *(step.step for step in self.campaign.steps)]
        self._refuse_before("finish", before)
        self._run("finish", _finish)

        def add_up(connection: Connection, its: Run) -> Counts:
            total = _counts()
            parts = [self._part(name) for name in (*before, "finish")]
            done = days.done_by(connection, parts, its.day)
            for part in parts:
                if part in done:
                    _add(total, done[part].counts)
            return total

        return _whole(self.campaign).run(
            self.shop.engine,
            self.day,
            add_up,
            content=self.campaign.version,
            builds_on=self._all_parts(),
            is_afresh=self.is_afresh,
        )

    def _run(self, name: str, do: Callable[[Connection, Settings, Campaign, str, Run], Counts]) -> Counts:
        def one_day(connection: Connection, its: Run) -> Counts:
            before = {key: value for key, value in its.before.items() if key != WAITING}
            return _add(_counts(**before), do(connection, self.shop.settings, self.campaign, name, its))

        counts = self._part(name).run(
            self.shop.engine,
            self.day,
            one_day,
            content=self.campaign.version,
            builds_on=self._selections(),
            is_afresh=self.is_afresh,
        )
        log.info("%s:%s %s: %s", self.campaign.name, name, self.day, json.dumps(counts))
        return counts

    def _part(self, name: str) -> Part:
        return Part(STAGE, f"{self.campaign.name}:{name}")

    def _selections(self) -> list[Part]:
        return [worlds.part(name) for name in (*self.campaign.selections, SEND_BASE)]

    def _all_parts(self) -> list[Part]:
        names = ["enrol", "exit", *(step.step for step in self.campaign.steps), "finish"]
        return [*self._selections(), *map(self._part, names)]

    def _refuse_before(self, what: str, needed: list[str]) -> None:
        with self.shop.engine.connect() as connection:
            done = days.done_by(connection, [self._part(name) for name in needed], self.day)
            for name in needed:
                if self._part(name) not in done:
                    self._part(name).refuse_undone(
                        connection,
                        self.day,
                        f"Campaign {self.campaign.name}: {what} comes after {name}, which",
                        f"run `retention campaign {self.campaign.name} --day {self.day}`, which does",
                    )
            if not self.is_afresh:
                self._refuse_unfinished(connection)

    def _refuse_unfinished(self, connection: Connection) -> None:
        earlier = _whole(self.campaign).pending(connection, self.day)
        if earlier is not None:
            raise DayRefused(
                f"Campaign {self.campaign.name}: {earlier} is not finished, so {self.day} cannot begin; "
                f"catch up first, or run `retention campaign {self.campaign.name} --day {self.day}`, which does."
            )


def take_turn(connection: Connection, campaign: Campaign) -> None:
    """Enrol in turn with the campaign's group: two that enrol the same customers at once would wait for each other.

    Who was inside one of its campaigns before that joined the group is in the group from now on.
    """
    lock(connection, "campaigns", "group", campaign.group or f"only {campaign.name}")
    if campaign.group:
        groups = definitions.groups(_include(connection), with_drafts=True)
        names = next((each for each in groups if campaign.name in each), [])
        run(connection, "campaigns/join_group", campaigns=names, group_name=campaign.group)


def _enrol(
    connection: Connection, settings: Settings, campaign: Campaign, its: Run, now: datetime, *, is_automatic: bool
) -> Counts:
    day = its.day
    if campaign.migrate and campaign.status != "draft":
        _move(connection, campaign, day)
    if campaign.status != "live" or not _is_open(connection, campaign, day):
        return _counts()
    take_turn(connection, campaign)
    law.sync_rules(connection, settings.include)
    is_present = day == days.newest_published(connection)
    too_dear = floors.problems(connection, settings, campaign.offers.values(), day)
    for problem in too_dear.values():
        log.warning("Campaign %s enrols nobody on %s. %s", campaign.name, day, problem)
    (present, as_of), direction = RANKS[campaign.enter_first]
    fragments = {"rank": Fragment(sql(_include(connection), present if is_present else as_of))}
    rules = campaign_rules(settings, campaign, day)
    limit = {"direction": direction, "entry_limit": 0 if too_dear else _room(connection, campaign, day)}
    who = {**limit, **shares_of(campaign), **rules}
    its_gate = gate.of(connection, campaign, day, now, is_automatic=is_automatic)
    its_question = (connection, campaign, its_gate, now, its.watermark)
    counts = _counts()
    if its_gate.is_held:
        counts |= {WAITING: its_gate.waiting} if its_gate.waiting else {}
    else:
        made_by = {"version": campaign.version, "entered_change": its.watermark}
        with connection.begin_nested() as attempt:
            entered = one(connection, "campaigns/enrol", fragments, **made_by, **who)
            is_asked = its_gate.asks_for(entered["enrolled"])
            if is_asked and not is_automatic:
                attempt.rollback()
        if is_asked and not is_automatic:
            counts[WAITING] = gate.keep(*its_question, fragments, who)
        else:
            counts |= entered
            if is_asked:
                gate.record(*its_question, day, entered["enrolled"])
    decide(connection, rules, is_held=its_gate.is_held, is_too_dear=bool(too_dear))
    if counts["enrolled"]:
        keep_version(connection, campaign, day)
    return counts


def decide(
    connection: Connection, rules: Mapping[str, Any], *, is_held: bool = False, is_too_dear: bool = False
) -> None:
    """Write why each member of the selection entered or not.

    `is_held`: who else could enter waits for approval; `is_too_dear`: an offer is under its margin floor.
    """
    run(connection, "campaigns/decide", is_held=is_held, is_too_dear=is_too_dear, **rules)


def _move(connection: Connection, campaign: Campaign, day: date) -> None:
    """Move people inside on to this version; who moved stands in ``campaigns.decisions``, how many in the log too."""
    for version in list(_open_versions(connection, campaign.name)):
        if version.version == campaign.version:
            continue
        moved = one(
            connection,
            "campaigns/move",
            campaign=campaign.name,
            old=version.version,
            new=campaign.version,
            day=day,
            old_steps=_behind(version),
            new_steps=_behind(campaign),
            variants=list(campaign.variants),
            levels=list(campaign.levels),
        )
        if moved["moved"]:
            keep_version(connection, campaign, day)
        log.info(
            "%s %s: %s customers moved from version %s to %s, %s stay; campaigns.decisions says who",
            *(campaign.name, day, moved["moved"], version.version, campaign.version, moved["stay"]),
        )


def _behind(version: Campaign) -> str:
    """Its steps, and the days after entry from which each is behind a customer."""
    return json.dumps(
        [
            {"step": step.step, "day": _plan_day(step), "variants": step.only_variants, "levels": step.only_levels}
            for step in version.steps
        ]
    )


def keep_version(connection: Connection, campaign: Campaign, day: date) -> None:
    """Keep what somebody was enrolled with on `day`, so that people inside go on with it."""
    run(
        connection,
        "campaigns/keep_version",
        campaign=campaign.name,
        version=campaign.version,
        day=day,
        definition=json.dumps(campaign.content),
        rules=json.dumps(campaign.rules),
        templates=json.dumps(dict(campaign.templates)),
        selection_sql=campaign.selection_sql,
    )


def _is_open(connection: Connection, campaign: Campaign, day: date) -> bool:
    """Whether `day` is one on which the campaign enrols: by calendar the first published day of an occurrence.

    That is its own day, or where that was never published the next one that is, inside the days of `catch_up`.
    """
    if campaign.calendar is None:
        return True
    occurrence = campaign.calendar.newest(day)
    is_in_time = (day - occurrence).days <= campaign.calendar.catch_up
    return is_in_time and days.first_published(connection, occurrence) == day


def _room(connection: Connection, campaign: Campaign, day: date) -> int | None:
    """How many may still enter on `day`; None where there is no limit."""
    if campaign.entry_limit is None:
        return None
    return max(0, campaign.entry_limit - count(connection, "campaigns/entered", campaign=campaign.name, day=day))


def campaign_rules(settings: Settings, campaign: Campaign, day: date) -> dict[str, Any]:
    """What the statements that decide who enters ask of the campaign."""
    rule = campaign.re_entry
    return {
        "campaign": campaign.name,
        "day": day,
        "selection": campaign.selection,
        "re_entry_never": rule.never,
        "re_entry_months": rule.months,
        "re_entry_days": rule.days,
        "occurrence": campaign.occurrence(day),
        "occurrence_before": campaign.occurrence_before(day),
        "by_anniversary": campaign.by_anniversary,
        "channels": campaign.first_channels,
        "lists": json.dumps(campaign.lists) if campaign.lists else None,
        "group_name": campaign.group,
        "follows": campaign.follows,
        "known_by": _known_by(settings, day),
        "shop_zone": settings.shop_time_zone.key,
    }


def _levels(campaign: Campaign) -> str | None:
    if not campaign.levels:
        return None
    return json.dumps(
        [{"place": place, "name": name, **level.asks} for place, (name, level) in enumerate(campaign.levels.items())]
    )


def _bound(percent: Decimal) -> int:
    """Below which of the 2^32 numbers a share is."""
    return int(percent * 2**32 / 100)


def shares_of(campaign: Campaign) -> dict[str, Any]:
    """What arms, variants and levels are decided by."""
    return {"control_bound": _bound(campaign.control), "levels": _levels(campaign), **_shares(campaign.variants)}


def _shares(shares: Mapping[str, Decimal]) -> dict[str, Any]:
    """The variants, and below which number each is that none before it is."""
    return {
        "variants": list(shares),
        "variant_bounds": [_bound(each) for each in itertools.accumulate(shares.values())],
    }


def _end_enrolments(connection: Connection, settings: Settings, campaign: Campaign, part: str, its: Run) -> Counts:
    ended, day = 0, its.day
    for version in _open_versions(connection, campaign.name):
        ended += count(
            connection,
            "campaigns/end_enrolments",
            campaign=campaign.name,
            version=version.version,
            day=day,
            known_by=_known_by(settings, day),
            shop_zone=settings.shop_time_zone.key,
            selection=version.selection,
            exit_on=json.dumps(version.exit_on),
        )
    return _counts(exited=ended, skipped=folder.leave(connection, settings, campaign.name, day))


def _plan(connection: Connection, settings: Settings, campaign: Campaign, part: str, its: Run) -> Counts:
    total = _counts(planned={part: 0})
    for version in _open_versions(connection, campaign.name):
        step = version.find(part)
        if step is not None:
            _add(total, _plan_version(connection, settings, version, step, its.day))
    return total


def plan_send(
    connection: Connection, settings: Settings, campaign: Campaign, step: Step, day: date, send_id: str, counts: Counts
) -> None:
    """Plan the step for whom entered by a send by hand, as far as it is due by `day`; adds to `counts`."""
    _add(counts, _plan_version(connection, settings, campaign, step, day, send_id))


def plan_approved(
    connection: Connection, settings: Settings, campaign: Campaign, entered_on: date, counts: Counts
) -> None:
    """Plan for whom entered on a day, approved late, what is due by the newest published day; adds to `counts`."""
    day = max(entered_on, days.newest_published(connection) or entered_on)
    for step in campaign.steps:
        _add(counts, _plan_version(connection, settings, campaign, step, day, entered_on=entered_on))


def _plan_version(
    connection: Connection,
    settings: Settings,
    version: Campaign,
    step: Step,
    day: date,
    send_id: str | None = None,
    entered_on: date | None = None,
) -> Counts:
    """Plan what is due of a step; where it was approved, a send or a day, also what was due before that."""
    done_until = None if send_id or entered_on else _whole(version).newest_done(connection, before=day)
    law.sync_rules(connection, settings.include)
    holidays.sync(connection, version.no_send_on, day)
    offers = {word: version.offers[name] for word, name in step.offers.items()}
    too_dear = floors.problems(connection, settings, offers.values(), day)
    for problem in too_dear.values():
        log.warning("Campaign %s, step %s, %s: not sent. %s", version.name, step.step, day, problem)
    codes = {word: offer for word, offer in offers.items() if offer.has_code}
    rows = run(
        connection,
        "campaigns/plan",
        campaign=version.name,
        version=version.version,
        step=step.step,
        step_day=step.day,
        step_hours=step.hours or 0,
        plan_day=_plan_day(step),
        channels=step.channels,
        only_variants=step.only_variants,
        only_levels=step.only_levels,
        offers=json.dumps({word: offer.name for word, offer in codes.items()}),
        too_dear=list(too_dear),
        conditions=json.dumps([asdict(rule) for rule in step.rules]) if step.rules else None,
        **_shares({name: Decimal(share.removesuffix("%")) for name, share in (step.variants or {}).items()}),
        day=day,
        send_id=send_id,
        approved_on=entered_on,
        done_until=done_until,
        known_by=_known_by(settings, day),
        window_start=version.window_start,
        window_end=version.window_end,
        grace_days=version.grace_days,
        no_send_on=_no_send_on(version),
        lists=json.dumps(version.lists) if version.lists else None,
        shop_zone=settings.shop_time_zone.key,
    )
    planned, skipped, taken_back = 0, dict[str, int](), 0
    for row in rows:
        if row.reason is None:
            planned += row.messages if row.is_new else 0
        else:
            skipped[row.reason] = skipped.get(row.reason, 0) + row.messages
            taken_back += 0 if row.is_new else row.messages
    if codes and planned:
        coupons.reserve(settings, connection, version.name, version.version, step.step, day, codes.values())
    if codes and taken_back:
        coupons.void_undelivered(connection, version.name, version.version, step.step)
    return _counts(planned={step.step: planned - taken_back}, skipped=skipped)


def _plan_day(step: Step) -> int:
    """The days after entry on which it is planned.

    Of 24 hours that is the day before: where clocks are put back they are over before midnight.
    """
    return step.day + max(0, (step.hours or 0) - 1) // 24


def _finish(connection: Connection, settings: Settings, campaign: Campaign, part: str, its: Run) -> Counts:
    total, day = _counts(), its.day
    versions = list(_open_versions(connection, campaign.name))
    for version in versions:
        for step in version.steps:
            if campaign.find(step.step) is None:  # no task plans it any more, but people inside still get it
                _add(total, _plan_version(connection, settings, version, step, day))
    for version in versions:
        ended = count(
            connection,
            "campaigns/finish",
            campaign=campaign.name,
            version=version.version,
            day=day,
            last_day=version.last_day,
            grace_days=version.grace_days,
            no_send_on=_no_send_on(version),
            window_end=version.window_end,
            known_by=_known_by(settings, day),
            shop_zone=settings.shop_time_zone.key,
        )
        log.info("%s %s, version %s: %s enrolments closed", campaign.name, day, version.version, ended)
    return _add(total, _counts(skipped=folder.leave(connection, settings, campaign.name, day)))


def _no_send_on(version: Campaign) -> str | None:
    return json.dumps(version.no_send_on) if version.no_send_on else None


def _open_versions(connection: Connection, name: str) -> Iterator[Campaign]:
    for row in run(connection, "campaigns/open_versions", campaign=name).all():
        yield definitions.parse(row.definition, row.version)


def _known_by(settings: Settings, day: date) -> Any:
    return days.known_at(day, settings.shop_time_zone)


def _include(connection: Connection) -> Any:
    return connection.get_execution_options()["include"]


def _counts(**given: Any) -> Counts:
    return {"enrolled": 0, "control": 0, "exited": 0, "planned": {}, "skipped": {}, **given}


def _told(campaign: Campaign, day: date, counts: Counts) -> Counts:
    """`counts` of the day, and where there was nothing to do, why."""
    planned, skipped = sum(counts["planned"].values()), sum(counts["skipped"].values())
    if counts["enrolled"] or counts["exited"] or counts.get(WAITING) or planned or skipped:
        return counts
    if campaign.status == "draft":
        why = "the campaign is a draft, which enrols nobody; `test` shows what it would do"
    elif campaign.status == "ended":
        why = "the campaign is ended, so nobody enters; nobody inside was due for a step"
    elif campaign.calendar and (occurrence := campaign.calendar.newest(day)) != day:
        why = f"{day} is no day of its calendar, the last was {occurrence}; no step was due"
    else:
        why = f"nobody in {campaign.selection} could enter; no step was due. campaigns.decisions says why, by customer"
    return {**counts, NOTHING: why}


def counts_of_nothing(**given: Any) -> Counts:
    """The counts of a campaign's day on which nothing happened, but for what is given."""
    return _counts(**given)


def _add(total: Counts, more: Counts) -> Counts:
    """Add `more` to `total`, in place; the total."""
    for key, value in more.items():
        if key == days.AGAIN:
            continue
        if isinstance(value, dict):
            for name, number in value.items():
                total[key][name] = total[key].get(name, 0) + number
        else:
            total[key] = total.get(key, 0) + value
    return total
