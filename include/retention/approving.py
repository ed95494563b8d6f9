"""Enrolments that wait for approval as a person meets them: how many, of what, at what cost; then the answer.

What is shown has no person in it: samples are written to made-up people.
"""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal

from retention import samples
from retention.campaigns import approvals, definitions
from retention.campaigns.approvals import Approval
from retention.core import days
from retention.core.days import Counts
from retention.core.shop import Shop
from retention.samples import Sample

log = logging.getLogger(__name__)

ENROL, DO_NOT = "enrol", "do not enrol"
WHY = {"first_launch": "It is the first enrolment of this campaign.", "above_median": "That is far above the usual."}


@dataclass(frozen=True, kw_only=True)
class Question:
    """What somebody is asked before anybody enters."""

    approval: Approval
    excluded: dict[str, int]  # members of the selection who could not enter that day, by reason
    cost: Decimal  # in the shop's reporting currency, if everybody treated gets every message
    samples: tuple[Sample, ...]
    currency: str
    next: str  # what asks afresh without an answer

    def counts(self) -> Counts:
        """As a result of a command or a task: numbers, texts to made-up people, and the words of the question."""
        told = {key: value for key, value in asdict(self.approval).items() if key != "version"}
        cost = f"{self.cost} {self.currency}"
        return {**told, "excluded": self.excluded, "cost": cost, "subject": self.subject, "body": self.body}

    @property
    def subject(self) -> str:
        return f"Enrol {self.approval.customers} customers in {self.approval.campaign}, day {self.approval.day}?"

    @property
    def body(self) -> str:
        """The question in Markdown."""
        its = self.approval
        usual = f" The median of its entry days is {its.median:g}." if its.median is not None else ""
        lines = [
            f"{WHY[its.why]}{usual} They enter on {its.day}, the control group among them. It costs "
            f"{self.cost} {self.currency} if everybody treated gets every message, a text in one segment. "
            f"Without an answer by {its.expires_at:%Y-%m-%d %H:%M %Z} nobody enters, and {self.next} "
            "asks afresh.",
            "",
            *samples.table(its.languages, self.excluded),
            *samples.quoted(self.samples),
        ]
        return "\n".join(lines)


def waiting(shop: Shop, campaign: str | None = None, day: date | None = None, now: datetime | None = None) -> Counts:
    """The questions that wait, of one campaign or day or of all; one that cannot be shown is told in the log.

    A campaign whose file has a mistake has nothing to be approved until that is corrected.
    """
    found = []
    for approval in approvals.waiting(shop, now or shop.clock(), campaign, day):
        with days.apart(approval.campaign, approval.day, {}):
            found.append(_question(shop, approval).counts())
    return {"waiting": found}


def answer(shop: Shop, approval_id: str, choice: str, by: str, now: datetime | None = None) -> Counts:
    """Do what was chosen, `enrol` or `do not enrol`. Errors as `approvals.approve`."""
    at = now or shop.clock()
    if choice == ENROL:
        return {"state": "approved", **approvals.approve(shop, approval_id, by, at)}
    return {"state": approvals.refuse(shop, approval_id, by, at)}


def settle(shop: Shop, question: Counts, choice: str, by: str) -> Counts:
    """`answer` a question of `waiting`."""
    return answer(shop, question["approval_id"], choice, by)


def _question(shop: Shop, approval: Approval) -> Question:
    campaign = definitions.read(shop.settings.include, approval.campaign)
    return Question(
        approval=replace(approval, expires_at=approval.expires_at.astimezone(shop.settings.shop_time_zone)),
        excluded=approvals.excluded(shop, approval, campaign.selection),
        cost=samples.cost(shop.settings, campaign, approval.customers),
        currency=shop.settings.reporting_currency,
        next="the next occurrence" if campaign.calendar else "the next day's enrolment",
        samples=samples.written(
            shop.settings, campaign, approval.languages, approval.day, approval.day + timedelta(days=1)
        ),
    )
