"""Enrolments that wait for approval, and the answers: who waits is enrolled on their day, or nobody is.

What was asked is what is enrolled: nobody is added later, and those who have entered the campaign or its group since
are left out. The gate that makes them wait is `gate`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, Row

from retention.campaigns import definitions, gate, steps
from retention.campaigns.definitions import Campaign
from retention.contact import law
from retention.core.database import one, run
from retention.core.days import Counts
from retention.core.errors import DayRefused, InputError
from retention.core.shop import Shop
from retention.offers import floors

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Approval:
    """An enrolment that waits, or waited: how many customers, and why it is asked about."""

    approval_id: str
    campaign: str
    version: str
    day: date
    why: str  # first_launch, above_median
    customers: int
    median: float | None  # of how many entered on an entry day; None: there are too few
    state: str  # waiting, approved, refused, automatic
    expires_at: datetime
    languages: Mapping[str, int]  # of who waits; unknown: no language


def waiting(shop: Shop, now: datetime, campaign: str | None = None, day: date | None = None) -> list[Approval]:
    """What waits at `now`, of one campaign or day or of all, the oldest day first."""
    with shop.engine.begin() as connection:
        gate.give_up(connection, now)
        rows = run(connection, "campaigns/approvals", campaign=campaign, day=day).all()
        return [_filled(connection, row) for row in rows]


def excluded(shop: Shop, approval: Approval, selection: str) -> dict[str, int]:
    """By reason, how many members of the selection could not enter on the day."""
    with shop.engine.connect() as connection:
        rows = run(
            connection, "campaigns/excluded", campaign=approval.campaign, selection=selection, day=approval.day
        ).all()
    return {row.reason: row.customers for row in rows if row.reason != "approval"}


def approve(shop: Shop, approval_id: str, by: str, now: datetime) -> Counts:
    """Enrol those who wait and plan what is due; doing it again changes nothing.

    Returns the counts of a campaign's day. Raises DayRefused where it was refused, has expired, or the campaign has
    changed since, enrols no more or has an offer under its margin floor: what was approved must be what is enrolled.
    InputError where there is none.
    """
    campaign, day = _asked(shop, approval_id)
    with shop.engine.begin() as connection:
        steps.take_turn(connection, campaign)
        row = _find(connection, approval_id)
        if row.state in ("approved", "automatic"):
            log.info("%s was approved before", approval_id)
            return steps.counts_of_nothing()
        if row.state != "waiting":
            raise DayRefused(f"{approval_id} was refused, so nobody enters; the next day's enrolment asks afresh.")
        if now >= row.expires_at:
            raise DayRefused(
                f"{approval_id} waited for an answer until {row.expires_at:%Y-%m-%d %H:%M %Z}; the next day's "
                "enrolment asks afresh."
            )
        if campaign.status != "live":
            raise DayRefused(f"Campaign {campaign.name} is {campaign.status}: nobody enters it.")
        if campaign.version != row.version:
            raise DayRefused(
                f"Campaign {campaign.name} has changed since {approval_id} was asked; run "
                f"`retention campaign {campaign.name} --day {day}`, which asks afresh."
            )
        if too_dear := floors.problems(connection, shop.settings, campaign.offers.values(), day):
            raise DayRefused(f"Nobody enters {campaign.name} by {approval_id}. {' '.join(too_dear.values())}")
        law.sync_rules(connection, shop.settings.include)
        given = {"approval_id": approval_id, "state": "approved", "now": now, "decided_by": by}
        if not run(connection, "campaigns/decide_approval", **given).all():
            raise DayRefused(f"{approval_id} was just answered otherwise; see `retention approve`.")
        rules = steps.campaign_rules(shop.settings, campaign, day)
        entered = one(
            connection,
            "campaigns/enrol_candidates",
            approval_id=approval_id,
            version=campaign.version,
            entered_change=row.entered_change,
            **steps.shares_of(campaign),
            **rules,
        )
        run(connection, "campaigns/drop_candidates")
        steps.decide(connection, rules, is_held=True)
        steps.keep_version(connection, campaign, day)
        counts = steps.counts_of_nothing(**entered)
        steps.plan_approved(connection, shop.settings, campaign, day, counts)
    log.info("%s was approved: %s entered", approval_id, counts["enrolled"])
    return counts


def refuse(shop: Shop, approval_id: str, by: str, now: datetime) -> str:
    """Nobody of those who wait enters; what it is from now on: refused, or what it was decided to be before."""
    with shop.engine.begin() as connection:
        given = {"approval_id": approval_id, "state": "refused", "now": now, "decided_by": by}
        run(connection, "campaigns/decide_approval", **given)
        run(connection, "campaigns/drop_candidates")
        return str(_find(connection, approval_id).state)


def _asked(shop: Shop, approval_id: str) -> tuple[Campaign, date]:
    """The campaign as its file is now, and the day that was asked about."""
    with shop.engine.connect() as connection:
        row = _find(connection, approval_id)
    return definitions.read(shop.settings.include, row.campaign), row.day


def _find(connection: Connection, approval_id: str) -> Row[Any]:
    row = run(connection, "campaigns/approval", approval_id=approval_id).one_or_none()
    if row is None:
        raise InputError(f"There is no approval {approval_id[:80]!r}.")
    return row


def _filled(connection: Connection, row: Row[Any]) -> Approval:
    languages = run(connection, "campaigns/candidate_languages", approval_id=row.approval_id)
    return Approval(
        approval_id=row.approval_id,
        campaign=row.campaign,
        version=row.version,
        day=row.day,
        why=row.why,
        customers=row.customers,
        median=None if row.median is None else float(row.median),
        state=row.state,
        expires_at=row.expires_at,
        languages={each.language or "unknown": each.customers for each in languages},
    )
