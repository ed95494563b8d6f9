"""What would go out, for whoever decides on it: samples written to made-up people, and the cost. No person is in it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from retention.campaigns.definitions import Campaign
from retention.campaigns.language import Step
from retention.core import channels
from retention.core.settings import Settings
from retention.delivery.rendering.render import FALLBACK_LANGUAGE, Templates, variables
from retention.ledger.claims import DueMessage
from retention.offers import costs
from retention.offers.definitions import Offer

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


def cost(settings: Settings, campaign: Campaign, customers: int) -> Decimal:
    """In the reporting currency, if everybody treated gets every message by its dearer channel, a text in one segment.

    Raises InputError as `costs.read`.
    """
    prices = costs.read(settings.include).message
    each = sum((max(prices[channel] for channel in step.channels) for step in campaign.steps), Decimal(0))
    return (customers * (100 - campaign.control) / 100 * each).quantize(Decimal("0.01"))


def table(languages: Mapping[str, int], excluded: Mapping[str, int]) -> list[str]:
    """In Markdown: how many customers, by language, and who is left out, by reason."""
    return [
        "| customers | |",
        "|---|---:|",
        *(f"| {language} | {number} |" for language, number in languages.items()),
        *(f"| left out: {reason} | {number} |" for reason, number in excluded.items()),
    ]


def quoted(samples: Iterable[Sample]) -> list[str]:
    """The samples in Markdown."""
    lines: list[str] = []
    for sample in samples:
        named = f"{sample.step}, {sample.variant}" if sample.variant else sample.step
        lines += ["", f"**{named}, {sample.channel}, {sample.language}** {sample.subject or ''}", ""]
        # As it is, line by line: Airflow shows a block of code as one line.
        lines += [f"`{line.replace('`', chr(39))}`  " for line in sample.text.splitlines()]
    return lines


def written(
    settings: Settings, campaign: Campaign, languages: Iterable[str], day: date, send_on: date
) -> tuple[Sample, ...]:
    """Every step with words, in each of the languages that it has, as sent on `send_on` by what `day` knew."""
    templates = Templates(campaign.templates)
    noon = datetime.combine(send_on, time(12), settings.shop_time_zone)
    found = []
    for step in campaign.steps:
        of_first = next(iter(step.offers.values()), "")
        ways = [(step.channel, variant) for variant in _words(campaign, step) or (None,)]
        ways += [(step.fallback, None)] if step.fallback else []
        for channel, variant in ways:
            offer = campaign.offers.get(step.offers.get(variant or "", of_first))
            for language in _languages(campaign, step.step, languages):
                if not channels.get(channel).is_message:
                    continue
                due = DueMessage(
                    customer_id=0,
                    message_key="sample",
                    campaign=campaign.name,
                    step=step.step,
                    channel=channel,
                    send_before=noon,
                    language=language,
                    first_name=MADE_UP.get(language, "Anna"),
                    last_order_on=day - timedelta(days=200),
                    offer_percent=offer.percent if offer else None,
                    coupon_code="SAMPLE2345" if offer and offer.has_code else None,
                    coupon_expires_at=_end(offer, noon + timedelta(days=step.date_no)) if offer else None,
                )
                zone = ZoneInfo(settings.shop_time_zone.key)
                text = templates.render(step.step, channel, language, variables(settings, due, offer), zone, (variant,))
                found.append(
                    Sample(
                        step=step.step,
                        variant=variant,
                        channel=channel,
                        language=language,
                        subject=text.subject,
                        text=re.sub(r"\n{2,}", "\n", text.text),
                    )
                )
    return tuple(found)


def _end(offer: Offer, sent_at: datetime) -> datetime | None:
    """When a code of the offer ends that is first sent then."""
    if offer.valid_for is None:
        return None
    number, unit = offer.valid_for.split()
    return sent_at + timedelta(**{f"{unit.removesuffix('s')}s": int(number)})


def _words(campaign: Campaign, step: Step) -> list[str]:
    """The variants and levels that may have words of their own in the step."""
    return [
        *(step.variants or ()),
        *(step.only_variants or campaign.variants),
        *(step.only_levels or campaign.levels),
    ]


def _languages(campaign: Campaign, step: str, languages: Iterable[str]) -> list[str]:
    there = {name.rpartition(".j2")[0].rpartition(".")[2] for name in campaign.templates if name.startswith(f"{step}.")}
    return sorted({FALLBACK_LANGUAGE, *languages} & there)
