"""One-off sends as a person meets them: what would go out, to how many, at what cost; then the answer.

What is shown has no person in it: samples are written to made-up people.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from retention import samples
from retention.campaigns import definitions, sends
from retention.campaigns.sends import Asked, Send
from retention.core import database, days
from retention.core.days import Counts
from retention.core.shop import Shop
from retention.samples import Sample

SEND, DO_NOT = "send", "do not send"


@dataclass(frozen=True, kw_only=True)
class Question:
    """What somebody is asked before anything is sent."""

    send: Send
    cost: Decimal  # in the shop's reporting currency, if everybody treated gets every message
    samples: tuple[Sample, ...]
    currency: str

    def counts(self) -> Counts:
        """As a result of a command or a task: numbers, texts to made-up people, and the words of the question."""
        told = {key: value for key, value in asdict(self.send).items() if key != "version"}
        return {**told, "cost": f"{self.cost} {self.currency}", "subject": self.subject, "body": self.body}

    @property
    def subject(self) -> str:
        return f"Send {self.send.campaign} to {self.send.customers} customers?"

    @property
    def body(self) -> str:
        """The question in Markdown."""
        send = self.send
        lines = [
            f"As known at the end of {send.day}, the control group among them; a step on day 0 goes out on "
            f"{send.send_on}. It costs {self.cost} {self.currency} if everybody treated gets every message, "
            f"a text in one segment. Without an answer by {send.expires_at:%Y-%m-%d %H:%M %Z} nothing is sent.",
            "",
            *samples.table(send.languages, send.excluded),
            *samples.quoted(self.samples),
        ]
        return "\n".join(lines)


def ask(shop: Shop, form: Mapping[str, Any], now: datetime | None = None) -> Question:
    """Freeze who gets it, and say what would be sent. Asked again on the same day, the same.

    `form` has the fields of `sends.Asked`, as people and Airflow fill them in. Errors as `sends.freeze`.
    """
    return _question(shop, sends.freeze(shop, _asked(form), now or shop.clock()))


def answer(shop: Shop, send_id: str, choice: str, by: str, now: datetime | None = None) -> Counts:
    """Do what was chosen, `send` or `do not send`. Errors as `sends.approve`."""
    at = now or shop.clock()
    if choice == SEND:
        return {"state": "approved", **sends.approve(shop, send_id, by, at)}
    return {"state": sends.refuse(shop, send_id, by, at)}


def rehearse(shop: Shop, form: Mapping[str, Any], now: datetime | None = None) -> Counts:
    """Everything a send would do, on the real data; and nothing of it stays. A draft can be tried too."""
    at = now or shop.clock()
    with database.rehearsal(shop.engine) as engine:
        trial = replace(shop, engine=engine)
        question = _question(trial, sends.freeze(trial, _asked(form), at, is_trial=True))
        return {**question.counts(), **sends.approve(trial, question.send.send_id, "rehearsal", at), "state": "test"}


def _question(shop: Shop, send: Send) -> Question:
    campaign = definitions.read(shop.settings.include, send.campaign)
    return Question(
        send=replace(send, expires_at=send.expires_at.astimezone(shop.settings.shop_time_zone)),
        cost=samples.cost(shop.settings, campaign, send.customers),
        currency=shop.settings.reporting_currency,
        samples=samples.written(shop.settings, campaign, send.languages, send.day, send.send_on),
    )


def _asked(form: Mapping[str, Any]) -> Asked:
    """The request of a form. What is empty is as if it was not given."""
    known = {name: value for name, value in form.items() if value not in (None, "", [])}
    if isinstance(known.get("send_on"), str):
        known["send_on"] = days.parse(known["send_on"])
    known |= {name: tuple(value) for name, value in known.items() if isinstance(value, list)}
    return Asked(**known)
