"""The gate of an enrolment: one far above the usual size, or a campaign's first, waits for somebody's approval.

Only who enters waits; people inside go on. What waits is kept in ``campaigns.approvals`` and ``campaigns.candidates``,
and a day has one open question at most. See `approvals` for the answers.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from retention.campaigns.definitions import Campaign
from retention.core import clock
from retention.core.database import Fragment, count, one, run

log = logging.getLogger(__name__)

WAITS_FOR = timedelta(hours=24)
TIMES = 3  # the median
LEAST_ENTRY_DAYS = 14
LEAST_CUSTOMERS = 100


@dataclass(frozen=True, kw_only=True)
class Gate:
    """What an enrolment of one day has to pass."""

    approval_id: str  # of the question that is asked, if one is
    is_automatic: bool  # nobody is asked: everybody enters, and that is recorded
    is_held: bool  # the day was asked about already, and nobody else enters on it
    waiting: int  # customers of the day who wait
    at_most: int | None  # more customers than this wait; None: any number enters
    why: str  # they would wait: first_launch, above_median
    median: float | None  # of the entry days it is compared with

    def asks_for(self, customers: int) -> bool:
        """Whether so many need somebody's approval."""
        return self.at_most is not None and customers > self.at_most


def of(connection: Connection, campaign: Campaign, day: date, now: datetime, *, is_automatic: bool) -> Gate:
    """The gate of `day`, after what nobody answered has been given up; `is_automatic`: nobody is asked."""
    give_up(connection, now, campaign, day + timedelta(days=1) if is_automatic else day)
    rules = {"campaign": campaign.name, "day": day}
    asked = one(connection, "campaigns/asked_before", version=campaign.version, **rules)
    usual = one(connection, "campaigns/usual_entry", by_occurrence=campaign.calendar is not None, **rules)
    at_most, median = None, None
    if not usual["has_launched"]:
        at_most = 0
    elif usual["entry_days"] >= (1 if campaign.calendar else LEAST_ENTRY_DAYS):
        median = usual["median"]
        unasked = max(0, usual["entered"] - usual["approved"])
        at_most = max(0, max(int(TIMES * median), LEAST_CUSTOMERS - 1) - unasked)
    return Gate(
        approval_id=f"{campaign.name}-{day}-{asked['questions'] + 1}",
        is_automatic=is_automatic,
        is_held=asked["is_held"] and not is_automatic,
        waiting=asked["waiting"],
        at_most=at_most,
        why="above_median" if usual["has_launched"] else "first_launch",
        median=median,
    )


def give_up(connection: Connection, now: datetime, campaign: Campaign | None = None, day: date | None = None) -> None:
    """Refuse what nobody answered in time, and what an enrolment of the campaign on `day` asks afresh."""
    of_campaign = {"campaign": campaign.name, "version": campaign.version} if campaign else {}
    named = {"campaign": None, "version": None, "day": day, **of_campaign}
    for row in run(connection, "campaigns/give_up", now=now, nobody=clock.NOBODY, **named).all():
        log.warning("%s: nobody answered, so nobody enters", row.approval_id)
    run(connection, "campaigns/drop_candidates")


def keep(
    connection: Connection,
    campaign: Campaign,
    gate: Gate,
    now: datetime,
    entered_change: int,
    fragments: Mapping[str, Fragment],
    rules: Mapping[str, Any],
) -> int:
    """Keep those who would enter, to wait; how many."""
    waiting = count(connection, "campaigns/keep_candidates", fragments, approval_id=gate.approval_id, **rules)
    record(connection, campaign, gate, now, entered_change, rules["day"], waiting)
    log.warning("%s: %s customers wait for approval, %s", gate.approval_id, waiting, gate.why)
    return waiting


def record(
    connection: Connection,
    campaign: Campaign,
    gate: Gate,
    now: datetime,
    entered_change: int,
    day: date,
    customers: int,
) -> None:
    """Write down the question, or that nobody was asked."""
    run(
        connection,
        "campaigns/keep_approval",
        approval_id=gate.approval_id,
        campaign=campaign.name,
        day=day,
        version=campaign.version,
        why=gate.why,
        customers=customers,
        median=gate.median,
        entered_change=entered_change,
        state="automatic" if gate.is_automatic else "waiting",
        now=now,
        expires_at=now + WAITS_FOR,
        nobody=clock.NOBODY,
    )
