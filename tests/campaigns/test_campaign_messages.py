"""The messages that come with us: every one says what it must in every language (B10, E5, E16, E31)."""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, date, datetime
from typing import Any

import pytest

from retention.campaigns import definitions, templates
from retention.campaigns.sms import segments
from retention.core import channels, sandbox
from retention.core.settings import from_environment

LANGUAGES = ("en", "nl", "pl", "el")
INCLUDE = from_environment({}).include
CAMPAIGNS = definitions.read_all(INCLUDE)
MESSAGES = [
    (campaign, step, language)
    for campaign in CAMPAIGNS.values()
    for step in campaign.steps
    if channels.get(step.channel).parts
    for language in LANGUAGES
]
IDS = [f"{campaign.name}-{step.step}-{language}" for campaign, step, language in MESSAGES]
# As long as a date gets in each language.
MOMENTS = {
    "en": "Wednesday 30 September 2026, 09:13",
    "nl": "donderdag 24 september 2026, 09:13",
    "pl": "poniedziałek 26 października 2026, 09:13",
    "el": "Παρασκευή 25 Σεπτεμβρίου 2026, 09:13",
}


def rendered(campaign: Any, step: Any, language: str, **changes: Any) -> dict[str, str]:
    """The blocks of one message, as delivery renders them."""
    values: dict[str, Any] = {
        "first_name": "Aleksandra",
        "language": language,
        "shop_name": "Demo Shop & Co",
        "shop_address": "Main St 1",
        "shop_url": "https://events.shop.example/c/" + "T" * 44,
        "offer_percent": "20",
        "unsubscribe_url": "https://shop.example/u/token",
        "last_order_on": date(2025, 3, 1),
        "coupon_code": "ABCD234567",
        "coupon_expires_at": datetime(2026, 9, 30, 7, 13, tzinfo=UTC),
        "campaign": campaign.name,
        "step": step.step,
        "can_reply": True,
        **changes,
    }
    filters = {"day": lambda _: "<the day>", "moment": lambda _: MOMENTS[language]}
    name = f"{step.step}.{language}.j2"
    plain = templates.environment(campaign.templates, html=False, filters=filters).get_template(name)
    with sandbox.bounded():
        blocks = {
            block: "".join(plain.blocks[block](plain.new_context(values)))
            for block in channels.get(step.channel).parts
            if block != "html"
        }
    if step.channel == "email":
        page = templates.environment(campaign.templates, html=True, filters=filters).get_template(name)
        blocks["html"] = page.render(values)
    return blocks


@pytest.mark.parametrize(("campaign", "step", "language"), MESSAGES, ids=IDS)
def test_every_message_says_what_it_must(campaign: Any, step: Any, language: str) -> None:
    blocks = rendered(campaign, step, language)
    for name in {"text", "html"} & blocks.keys():
        if step.offer:
            assert "ABCD234567" in blocks[name]
            assert MOMENTS[language] in blocks[name]
            assert "20%" in blocks[name]
        if step.channel == "email":
            assert "https://shop.example/u/token" in blocks[name]
            assert "Main St 1" in blocks[name]
            assert "Aleksandra" in blocks[name]
            assert "30" in blocks[name].split("Main St 1")[0]  # how long returns are free
    assert "\n" not in blocks.get("subject", "").strip()
    if step.channel == "email":
        assert f'<html lang="{language}">' in blocks["html"]
        assert "width=device-width" in blocks["html"]
        assert "Demo Shop &amp; Co" in blocks["html"]
        assert "&amp;" not in blocks["text"] + blocks["subject"]
    else:
        assert "STOP" in blocks["text"]


@pytest.mark.parametrize(("campaign", "step", "language"), MESSAGES, ids=IDS)
def test_no_message_is_broken_for_who_has_no_name_and_no_order(campaign: Any, step: Any, language: str) -> None:
    for nothing in (None, ""):
        for text in rendered(campaign, step, language, first_name=nothing, last_order_on=None).values():
            words = re.sub(r"<[^>]*>", "", text)
            assert "None" not in words
            assert not re.search(r" ,| !|^,|, !|  \S.*,$", words.strip(), flags=re.MULTILINE), words


@pytest.mark.parametrize(("campaign", "step", "language"), MESSAGES, ids=IDS)
def test_no_sms_is_longer_than_two_segments_or_three_where_a_link_is_the_way_out(
    campaign: Any, step: Any, language: str
) -> None:
    if step.channel == "sms":
        assert segments(rendered(campaign, step, language)["text"].strip()) <= 2
        link = "https://events.shop.example/u/" + "T" * 34
        longer = rendered(campaign, step, language, can_reply=False, unsubscribe_url=link)["text"].strip()
        assert link in longer
        assert "STOP" not in longer
        assert segments(longer) <= 3


@pytest.mark.parametrize(("campaign", "step", "language"), MESSAGES, ids=IDS)
def test_no_word_mixes_scripts(campaign: Any, step: Any, language: str) -> None:
    for block in rendered(campaign, step, language).values():
        for word in re.findall(r"[^\W\d_]+", block):
            scripts = {unicodedata.name(letter).split()[0] for letter in word}
            assert len(scripts) == 1, word


def test_a_name_cannot_bring_markup_into_a_mail() -> None:
    winback = CAMPAIGNS["winback"]
    blocks = rendered(winback, winback.steps[0], "en", first_name="<b>{{ 1 }}</b>")
    assert "<b>" not in blocks["html"]
    assert "&lt;b&gt;{{ 1 }}&lt;/b&gt;" in blocks["html"]
    assert "<b>{{ 1 }}</b>" in blocks["text"]
