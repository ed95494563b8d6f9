"""One-off sends as a person meets them: what would go out, to how many, at what cost; then the answer.

What is shown has no person in it: samples are written to made-up people.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from retention.campaigns import definitions, sends
from retention.campaigns.definitions import Campaign
from retention.campaigns.language import Step
from retention.campaigns.sends import Asked, Send
from retention.core import channels, database, days, documents
from retention.core.days import Counts
from retention.core.settings import Settings
from retention.core.shop import Shop
from retention.delivery.rendering.render import FALLBACK_LANGUAGE, Templates, variables
from retention.ledger.claims import DueMessage

SEND, DO_NOT = "send", "do not send"
MADE_UP = {"en": "Anna", "nl": "Sanne", "de": "Lena", "pl": "Zofia", "el": "Ελένη", "fr": "Camille"}


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A message as a made-up person reads it."""

    step: str
    variant: str | None
    channel: str
    language: str
    subject: str | None
    text: str


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
            f"As known at the end of {send.day}; a step on day 0 goes out on {send.send_on}. At most {self.cost} "
            f"{self.currency}. Without an answer by {send.expires_at:%Y-%m-%d %H:%M %Z} nothing is sent.",
            "",
            "| customers | |",
            "|---|---:|",
            *(f"| {language} | {number} |" for language, number in send.languages.items()),
            *(f"| left out: {reason} | {number} |" for reason, number in send.excluded.items()),
        ]
        for sample in self.samples:
            named = f"{sample.step}, {sample.variant}" if sample.variant else sample.step
            lines += ["", f"**{named}, {sample.channel}, {sample.language}** {sample.subject or ''}", ""]
            lines += ["~~~", *sample.text.replace("~~~", "~ ~ ~").splitlines(), "~~~"]  # as it is, line by line
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
    prices = _prices(shop.settings.include)
    each = sum((prices[step.channel] for step in campaign.steps), Decimal(0))
    treated = send.customers * (100 - campaign.control) / 100
    return Question(
        send=send,
        cost=(treated * each).quantize(Decimal("0.01")),
        currency=shop.settings.reporting_currency,
        samples=tuple(_samples(shop.settings, campaign, send)),
    )


def _prices(include: Path) -> dict[str, Decimal]:
    """What a message costs on each channel. Raises InputError for a mistake in costs.yaml."""
    document = documents.read(include / "costs.yaml")
    number = {"type": "number", "minimum": 0, "write": "what a message costs, like 0.075"}
    document.check(
        {
            "type": "object",
            "additionalProperties": False,
            "required": ["message"],
            "properties": {
                "message": {
                    "description": "what a message costs, by channel",
                    "type": "object",
                    "additionalProperties": False,
                    "required": list(channels.NAMES),
                    "properties": dict.fromkeys(channels.NAMES, number),
                }
            },
        }
    )
    return {name: Decimal(str(price)) for name, price in document.content["message"].items()}


def _samples(settings: Settings, campaign: Campaign, send: Send) -> list[Sample]:
    """The first step, and every other with words, in each language that somebody in it reads, as it would be sent."""
    templates = Templates(campaign.templates)
    noon = datetime.combine(send.send_on, time(12), settings.shop_time_zone)
    found = []
    for step in campaign.steps:
        offer = campaign.offers.get(next(iter(step.offers.values()), ""))
        for variant in _words(campaign, step) or (None,):
            for language in _languages(campaign, step.step, send):
                if not channels.get(step.channel).is_message:
                    continue
                due = DueMessage(
                    customer_id=0,
                    message_key="sample",
                    campaign=campaign.name,
                    step=step.step,
                    channel=step.channel,
                    send_before=noon,
                    language=language,
                    first_name=MADE_UP.get(language, "Anna"),
                    last_order_on=send.day - timedelta(days=200),
                    offer_percent=offer.percent if offer else None,
                    coupon_code="SAMPLE2345" if offer else None,
                    coupon_expires_at=noon + timedelta(days=7) if offer else None,
                )
                zone = ZoneInfo(settings.shop_time_zone.key)
                text = templates.render(step.step, step.channel, language, variables(settings, due), zone, (variant,))
                found.append(
                    Sample(
                        step=step.step,
                        variant=variant,
                        channel=step.channel,
                        language=language,
                        subject=text.subject,
                        text=re.sub(r"\n{2,}", "\n", text.text),
                    )
                )
    return found


def _words(campaign: Campaign, step: Step) -> list[str]:
    """The variants and levels that may have words of their own in the step."""
    return [
        *(step.variants or ()),
        *(step.only_variants or campaign.variants),
        *(step.only_levels or campaign.levels),
    ]


def _languages(campaign: Campaign, step: str, send: Send) -> list[str]:
    there = {name.rpartition(".j2")[0].rpartition(".")[2] for name in campaign.templates if name.startswith(f"{step}.")}
    return sorted({FALLBACK_LANGUAGE, *send.languages} & there)


def _asked(form: Mapping[str, Any]) -> Asked:
    """The request of a form. What is empty is as if it was not given."""
    known = {name: value for name, value in form.items() if value not in (None, "", [])}
    if isinstance(known.get("send_on"), str):
        known["send_on"] = days.parse(known["send_on"])
    known |= {name: tuple(value) for name, value in known.items() if isinstance(value, list)}
    return Asked(**known)
