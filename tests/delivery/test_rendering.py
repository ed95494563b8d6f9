"""What people read: blocks, languages, escaping, dates, and templates that fail."""

from __future__ import annotations

import logging
from datetime import UTC, date, datetime
from decimal import Decimal
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Engine

from planner import MORNING, TEMPLATES, Planner
from retention.campaigns import definitions
from retention.core.settings import Settings
from retention.core.shop import Shop
from retention.delivery.channels.base import Outgoing
from retention.delivery.channels.outbox import as_email
from retention.delivery.rendering import links, placeholders
from retention.delivery.rendering.placeholders import Content
from retention.delivery.rendering.render import _PERSONAL, Rendered, TemplateError, Templates, variables
from retention.delivery.worker import deliver
from retention.ledger.claims import DueMessage
from shop import ShopData

ATHENS = ZoneInfo("Europe/Athens")
ROW: dict[str, Any] = {
    "customer_id": -5,
    "message_key": "5f" * 16,
    "channel": "email",
    "campaign": "winback",
    "step": "hello",
    "first_name": "Ada",
    "last_order_on": date(2025, 3, 9),
    "offer_percent": None,
    "coupon_code": None,
    "coupon_expires_at": None,
    "send_before": MORNING,
}


def email_of(settings: Settings, key: str) -> EmailMessage:
    """The .eml file of a message, read by the standard library."""
    content = (settings.local / "outbox" / "2026-11-21" / f"{key}.eml").read_bytes()
    parsed = message_from_bytes(content, policy=policy.default)
    assert isinstance(parsed, EmailMessage)
    assert not parsed.defects
    return parsed


def body(email: EmailMessage, kind: str) -> str:
    part = email.get_body((kind,))
    assert part is not None
    return str(part.get_content())


def render(template: str, language: str = "en", **changes: Any) -> str:
    """The text of a one-block template, for a person in Athens."""
    files = {f"hello.{language}.j2": f"{{% block text %}}{template}{{% endblock %}}"}
    values = variables(Settings(include=Path(), local=Path()), DueMessage(**(ROW | changes)))
    return Templates(files).render("hello", "sms", language, values, ATHENS).text


def test_an_outbox_message_is_in_the_database_and_a_mail_program_reads_its_file(
    settings: Settings, engine: Engine, shop: ShopData, planner: Planner
) -> None:
    key = planner.message(shop.customer("ada", first_name="Ada"))
    deliver(Shop(settings, engine), at=MORNING)
    row = planner.run("select * from delivery.outbox")[0]
    email = email_of(settings, key)
    assert (email["To"], email["Subject"], email["X-Message-Key"]) == ("ada@mail.example", "Hello Ada", key)
    assert email["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert email["List-Unsubscribe"] == row["headers"]["List-Unsubscribe"]
    assert body(email, "plain").split() == row["text_body"].split()
    assert body(email, "html").split() == row["html_body"].split()
    assert "<title>Hello Ada</title><p>Dear Ada</p>" in row["html_body"]
    assert row["stored_at"] == MORNING
    assert [path.suffix for path in (settings.local / "outbox" / "2026-11-21").iterdir()] == [".eml"]


def test_nobodys_first_name_runs_a_script_or_starts_a_header(
    settings: Settings, engine: Engine, shop: ShopData, planner: Planner
) -> None:
    key = planner.message(
        shop.customer("eve", first_name="<script>alert(1)</script>\r\nBcc: all@shop.example {{ 7*7 }}")
    )
    deliver(Shop(settings, engine), at=MORNING)
    email = email_of(settings, key)
    assert email["Bcc"] is None
    assert email["Subject"] == "Hello <script>alert(1)</script> Bcc: all@shop.example {{ 7*7 }}"
    assert "<script>" not in body(email, "html")
    assert "&lt;script&gt;" in body(email, "html")
    assert "<script>alert(1)</script> Bcc" in body(email, "plain")


@pytest.mark.parametrize(
    ("name", "language"), [("Γιώργος", "el"), ("Łukasz Żółć", "pl"), ("Ada 👩‍🚀", "en"), ("", None), (None, "xx")]
)
def test_names_and_texts_of_every_script_arrive_as_they_are(
    settings: Settings, engine: Engine, shop: ShopData, planner: Planner, name: str | None, language: str | None
) -> None:
    key = planner.message(shop.customer("ada", first_name=name, language=language))
    deliver(Shop(settings, engine), at=MORNING)
    email = email_of(settings, key)
    assert (name or "friend" if language != "pl" else "Zażółć gęślą jaźń, Łukasz Żółć") in body(email, "plain")
    assert email["Subject"] == f"{'Cześć' if language == 'pl' else 'Hello'} {name or ''}".strip()


def test_a_line_longer_than_mail_allows_arrives_whole(settings: Settings, planner: Planner) -> None:
    text = "ż" * 5_000 + "\nend"
    message = Outgoing(
        customer_id=1,
        message_key="k",
        campaign="c",
        version="v",
        step="s",
        channel="email",
        send_before=MORNING,
        recipient="a@mail.example",
        rendered=Rendered(Content(language="en", subject="Zażółć " * 40, text=text, html=f"<p>{text}</p>")),
    )
    content = as_email(settings.evolve(shop_name='Żółw "& Co"'), message, MORNING)
    assert max(len(line) for line in content.split(b"\r\n")) < 998
    email = message_from_bytes(content, policy=policy.default)
    assert isinstance(email, EmailMessage)
    assert body(email, "plain").split() == text.split()
    assert email["Subject"].split() == ["Zażółć"] * 40
    assert email["From"].addresses[0].display_name == 'Żółw "& Co"'


def test_an_address_in_greek_letters_gets_a_file_too(
    settings: Settings, engine: Engine, shop: ShopData, planner: Planner
) -> None:
    key = planner.message(shop.customer("ada", email="γιώργος@παράδειγμα.example"))
    assert deliver(Shop(settings, engine), at=MORNING).counts()["accepted"] == 1
    assert email_of(settings, key)["To"] == "γιώργος@παράδειγμα.example"


def test_one_template_that_fails_refuses_its_messages_and_no_others(
    settings: Settings, engine: Engine, shop: ShopData, planner: Planner, caplog: pytest.LogCaptureFixture
) -> None:
    planner.version(
        "winback", "v2", TEMPLATES | {"hello.en.j2": TEMPLATES["hello.en.j2"].replace("first_name", "fist_name")}
    )
    bad = [planner.message(shop.customer(f"bad{number}"), version="v2") for number in range(2)]
    good = planner.message(shop.customer("good"))
    with caplog.at_level(logging.ERROR):
        counts = deliver(Shop(settings, engine), at=MORNING).counts()
    assert (counts["refused"], counts["accepted"]) == (2, 1)
    assert {planner.state(key) for key in bad} == {
        ("refused", "template_error: hello.en.j2, line 1: 'fist_name' is undefined")
    }
    assert planner.state(good)[0] == "accepted"
    assert "2 messages refused: hello.en.j2, line 1: 'fist_name' is undefined" in caplog.text


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("{{ coupon_code }}", "'coupon_code' is undefined"),
        ("{{ coupon_expires_at | moment }}", "'coupon_expires_at' is not a moment"),
        ("{{ first_name | day }}", "a value is not a day"),
        ("{{ ().__class__.__bases__ }}", "access to attribute '__class__' of 'tuple' object is unsafe."),
        ("{{ first_name + 1 }}", "TypeError"),
    ],
)
def test_a_failing_template_says_what_is_wrong_and_quotes_nobody(template: str, problem: str) -> None:
    with pytest.raises(TemplateError) as error:
        render(template)
    assert str(error.value) == f"hello.en.j2, line 1: {problem}"


def test_a_step_without_a_template_and_a_template_without_a_block_say_so() -> None:
    with pytest.raises(TemplateError, match=r"bye\.en\.j2: there is no such template"):
        Templates(TEMPLATES).render("bye", "sms", "nl", {}, ATHENS)
    with pytest.raises(TemplateError, match="there is no block subject"):
        Templates(TEMPLATES).render("nudge", "email", "en", variables_with_offer(), ATHENS)


def test_a_fallback_has_the_words_of_its_channel_whatever_a_variant_has() -> None:
    files = {
        "hello.en.j2": "{% block text %}A mail{% endblock %}",
        "hello.loud.en.j2": "{% block text %}A LOUD MAIL{% endblock %}",
        "hello.sms.en.j2": "{% block text %}A text. {{ unsubscribe_url }}{% endblock %}",
    }
    said = {"unsubscribe_url": "https://shop.example/u"}
    text = Templates(files).render("hello", "sms", "en", said, ATHENS, ("loud",)).text
    assert text == "A text. https://shop.example/u"


def variables_with_offer() -> dict[str, Any]:
    offer = {
        "offer_percent": Decimal(10),
        "coupon_code": "C",
        "coupon_expires_at": datetime(2026, 11, 21, 7, 30, tzinfo=UTC),
    }
    return variables(Settings(include=Path(), local=Path()), DueMessage(**(ROW | offer)))


@pytest.mark.parametrize(("percent", "said"), [("10", "10"), ("10.00", "10"), ("7.50", "7.5"), ("100", "100")])
def test_a_percentage_is_said_without_needless_decimals(percent: str, said: str) -> None:
    message = DueMessage(**(ROW | {"offer_percent": Decimal(percent)}))
    assert variables(Settings(include=Path(), local=Path()), message)["offer_percent"] == said


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "a cup & a spoon; €5.00 from €20.00; yes"),
        ("nl", "een kop; €\xa05,00 from €\xa020,00; yes"),
        ("pl", "a cup & a spoon; 5,00\xa0€ from 20,00\xa0€; yes"),
    ],
)
def test_what_is_offered_is_told_in_the_language_of_the_template(language: str, text: str) -> None:
    offer = definitions.offers.parse(
        "cup",
        {
            "type": "amount",
            "amount": 5,
            "says": {"en": "a cup & a spoon", "nl": "een kop"},
            "applies_to": {"minimum_order": 20},
        },
    )
    files = {
        f"hello.{language}.j2": "{% block text %}{{ offer }}; {{ offer_amount | money }}"
        " from {{ offer_minimum | money }}; {{ 'no' if offer_percent else 'yes' }}{% endblock %}"
        "{% block subject %}S{% endblock %}"
        "{% block html %}{{ offer }}{% endblock %}"
    }
    values = variables(Settings(include=Path(), local=Path()), DueMessage(**ROW), offer)
    rendered = Templates(files).render("hello", "email", language, values, ATHENS)
    assert rendered.text == text
    assert rendered.html == text.split(";")[0].replace("&", "&amp;")


def test_only_an_amount_is_told_as_one() -> None:
    with pytest.raises(TemplateError, match="'offer_amount' is not an amount"):
        render("{{ offer_amount | money }}")
    with pytest.raises(TemplateError, match="a value is not an amount"):
        render("{{ coupon_code | money }}", coupon_code="ABC")


def test_a_message_says_what_its_step_offers(
    settings: Settings, engine: Engine, shop: ShopData, planner: Planner
) -> None:
    """Of the customer's variant or level, also where there is no code."""
    planner.version(
        "guides",
        "v1",
        {"hello.en.j2": "{% block text %}For you: {{ offer }}{% endblock %}"},
        steps=[{"step": "hello", "offer": {"a": "guide", "low": "thanks"}}],
        offers={name: {"type": "information", "says": {"en": f"our {name}"}} for name in ("guide", "thanks")},
    )
    for ref, where in (("ada", "variant = 'a'"), ("bob", "level = 'low'")):
        planner.message(shop.customer(ref), campaign="guides", channel="sms")
        planner.run(f"update campaigns.enrolments set {where} where customer_id = shop.customer_id('test', '{ref}')")
    deliver(Shop(settings, engine), at=MORNING)
    texts = planner.run("select text_body from delivery.outbox order by text_body")
    assert [row["text_body"] for row in texts] == ["For you: our guide", "For you: our thanks"]


def test_a_message_says_what_its_code_is_good_for_whatever_its_version_offers_now(
    settings: Settings, engine: Engine, shop: ShopData, planner: Planner
) -> None:
    planner.version(
        "later",
        "v2",
        {"nudge.en.j2": "{% block text %}{{ offer }}, {{ offer_percent }}{% endblock %}"},
        steps=[{"step": "nudge", "offer": "comeback"}],
        offers={"comeback": {"percent": 12, "valid_for": "14 days"}},
    )
    for ref, terms in (("ada", '{"type": "percent", "percent": 10}'), ("bob", None)):
        planner.message(
            shop.customer(ref), campaign="later", version="v2", step="nudge", channel="sms", offer="comeback"
        )
        planner.run(
            "update offers.coupons set terms = cast(:terms as jsonb) where code = :code",
            terms=terms,
            code=f"CODE{ref}".upper(),
        )
    deliver(Shop(settings, engine), at=MORNING)
    texts = planner.run("select text_body from delivery.outbox order by text_body")
    assert [row["text_body"] for row in texts] == ["10%, 10"] * 2


def test_a_value_that_is_not_there_is_false_when_asked() -> None:
    assert render(
        "{% if coupon_code %}yes{% else %}no{% endif %} {{ last_order_on or 'never' }}", last_order_on=None
    ) == ("no never")


@pytest.mark.parametrize(
    ("language", "day", "moment"),
    [
        ("en", "March 9, 2025", "Saturday 21 November 2026, 09:30"),
        ("nl", "9 maart 2025", "zaterdag 21 november 2026, 09:30"),
        ("pl", "9 marca 2025", "sobota 21 listopada 2026, 09:30"),
        ("el", "9 Μαρτίου 2025", "Σάββατο 21 Νοεμβρίου 2026, 09:30"),
    ],
)
def test_days_and_moments_are_written_in_the_readers_language_and_zone(language: str, day: str, moment: str) -> None:
    at = datetime(2026, 11, 21, 7, 30, tzinfo=UTC)
    assert render("{{ last_order_on | day }}; {{ coupon_expires_at | moment }}", language, coupon_expires_at=at) == (
        f"{day}; {moment}"
    )


def test_the_renderer_knows_exactly_the_variables_that_campaigns_allow() -> None:
    values = variables(Settings(include=Path(), local=Path()), DueMessage(**ROW))
    assert {*values, "language"} == definitions.known_variables


def test_every_template_of_the_project_can_be_rendered(settings: Settings) -> None:
    row = ROW | {"offer_percent": Decimal(10), "coupon_code": "ABC", "coupon_expires_at": MORNING}
    for name, campaign in definitions.read_all(settings.include).items():
        templates = Templates(campaign.templates)
        for step in campaign.steps:
            if step.channel == "audience":  # says nothing
                continue
            offer = {} if step.offer else {"offer_percent": None, "coupon_code": None, "coupon_expires_at": None}
            for language in ("en", "nl", "pl", "el", "de"):
                for changes in ({}, {"first_name": None, "last_order_on": None}):
                    values = variables(
                        settings, DueMessage(**(row | offer | changes | {"campaign": name, "step": step.step}))
                    )
                    rendered = templates.render(step.step, step.channel, language, values, ATHENS)
                    assert rendered.text
                    assert "None" not in rendered.text
                    if step.channel == "email":
                        assert values["unsubscribe_url"] in rendered.text
                        assert values["unsubscribe_url"] in (rendered.html or "")
                        assert settings.shop_address in (rendered.html or "")
                        assert rendered.subject


def test_a_token_to_unsubscribe_names_customer_and_channel_and_cannot_be_forged(settings: Settings) -> None:
    token = links.unsubscribe_token(settings, -(2**63), "sms")
    assert links.read_unsubscribe_token(settings, token) == (-(2**63), "sms")
    assert links.read_unsubscribe_token(settings.evolve(secret="another"), token) is None
    for wrong in ("", "x", token[:-2], token[1:], token + "AAAA", "A" * len(token), "ü"):
        assert links.read_unsubscribe_token(settings, wrong) is None


@pytest.mark.parametrize("key", ["5f" * 16, "A-email", "ü", "abc", "00"])
def test_a_link_into_the_shop_names_customer_and_message_and_cannot_be_forged(settings: Settings, key: str) -> None:
    token = links.click_token(settings, -(2**63), key)
    assert links.read_click_token(settings, token) == (-(2**63), key)
    assert links.read_click_token(settings.evolve(secret="another"), token) is None
    out = links.unsubscribe_token(settings, -(2**63), "sms")
    assert links.read_unsubscribe_token(settings, token) is None
    for wrong in ("", "x", token[:-2], token[1:], token + "AAAA", "A" * len(token), "ü", "\ud800", token + "=", out):
        assert links.read_click_token(settings, wrong) is None


def test_a_link_into_the_shop_is_short_enough_for_a_text(settings: Settings) -> None:
    assert len(links.click_token(settings, 1, "5f" * 16)) == 44


LOOKED_INTO = [
    ("{{ first_name }} {{ unsubscribe_url }} {{ unsubscribe_url }}", ""),
    ("{% if first_name %}<a href='{{ unsubscribe_url }}'>{% endif %}", ""),
    ("{{ 'Dear ' ~ first_name ~ ',' if first_name else 'Hello,' }}", ""),
    ("{{ last_order_on | day }}, {{ last_order_on }}, {{ (last_order_on or 'never') | string }}", "last_order_on"),
    ("{{ last_order_on | day }}, {{ last_order_on }}, {{ coupon_code or 'no code' }}", ""),
    ("{{ coupon_expires_at | moment }}; {{ coupon_expires_at | day }}", ""),
    ("{% set it %}{{ first_name }} {{ coupon_code }}{% endset %}<b>{{ it }}</b>{% if it %}!{% endif %}", ""),
    ("no placeholder", ""),
    ("{{ unsubscribe_url | upper }} {{ first_name }}", "unsubscribe_url"),
    ("{{ first_name | title }} {{ unsubscribe_url }}", "first_name"),
    ("{{ first_name[0] }}", "first_name"),
    ("{{ first_name | safe }}", "first_name"),
    ("{{ 'a' ~ unsubscribe_url }}", ""),
    ("{{ ('a' ~ unsubscribe_url) | length }}", "unsubscribe_url"),
    ("{% if unsubscribe_url == 'x' %}{% endif %}{{ unsubscribe_url }}", "unsubscribe_url"),
    ("{% if first_name is defined and first_name > 'B' %}{% endif %}", "first_name"),
    ("{% for sign in first_name %}{{ sign }}.{% endfor %}", "first_name"),
    ("{% set it = unsubscribe_url %}{{ it | length }}", "unsubscribe_url"),
    ("{% set it = unsubscribe_url %}{% set that = it ~ '.' %}{{ that | length }} {{ it }}", "unsubscribe_url"),
    ("{% set ns = namespace(a='') %}{% set ns.a = first_name %}{{ ns.a | upper }}", "first_name"),
    ("{% set a, b = first_name, 1 %}{{ a | upper }}", "first_name"),
    ("{% with it = first_name %}{{ it | upper }}{% endwith %}", "first_name"),
    ("{% set it %}{{ unsubscribe_url }}{% endset %}{{ it | upper }}", "unsubscribe_url"),
    ("{% set it | upper %}{{ unsubscribe_url }}{% endset %}{{ it }}", "unsubscribe_url"),
    ("{% filter upper %}{{ unsubscribe_url }}{% endfilter %}", "unsubscribe_url"),
    ("{% macro it() %}{{ unsubscribe_url }}{% endmacro %}{{ it() | upper }}", "unsubscribe_url"),
    ("{% macro it(a=first_name) %}{{ a | upper }}{% endmacro %}{{ it() }}", "first_name"),
    (
        "{% macro it(a) %}{{ a }}{% endmacro %}{{ it(a=first_name) }} {{ it(a=shop_url) | upper }}",
        "shop_url first_name",
    ),
    ("{% macro it(a) %}{% endmacro %}{% set it = 1 %}{{ first_name }}", "all"),
    ("{% macro it() %}{{ varargs[0] | upper }}{% endmacro %}{{ it(first_name) }}", "all"),
    ("{% macro it() %}{{ caller() | upper }}{% endmacro %}{% call it() %}{{ first_name }}{% endcall %}", "all"),
    ("{{ self.subject() | upper }} {{ unsubscribe_url }}", "all"),
    ("{{ shop_url }}/sale {{ unsubscribe_url }}", ""),
    ("{% from 'parts.j2' import show %}{{ show(shop_url, 'a') }}", ""),
    ("{% from 'parts.j2' import show %}{{ show('a', shop_url) }}", "shop_url"),
    ("{% from 'parts.j2' import show %}{{ show(shop_url, say=first_name) }}", "first_name"),
    ("{% from 'parts.j2' import show %}{{ show(shop_url, 'a') | upper }}", "shop_url"),
    ("{% from 'parts.j2' import show %}{{ show(*[shop_url, first_name]) }}", "shop_url first_name"),
    ("{% from 'parts.j2' import show %}{% set show = first_name.removesuffix %}{{ show(shop_url) }}", "all"),
    ("{% from 'parts.j2' import loud as show %}{{ show(shop_url) }}", "all"),
    ("{% import 'parts.j2' as parts %}{{ parts.loud(shop_url) }}", "all"),
    ("{% from 'parts.j2' import loud %}{{ loud(shop_url) }}", "shop_url"),
    ("{{ first_name.removesuffix(shop_url) }}", "shop_url first_name"),
    ("{{ dict(a=shop_url).a | upper }}", "shop_url"),
]
NAMES = ["Ada", "Ada", "<Bob>", "O'Hara", "Γιώργος"]
ODD_NAMES = [
    *NAMES,
    "",
    "Ada  Two",
    "-",
    "--",
    "a\u2028b",
    "\x07",
    "x" * 3_000,
    "|",
    "a|",
    "{{ 7*7 }}",
    "-first_name-",
    placeholders.Placeholder(name="shop_url", value="").tag(),
    placeholders.Placeholder(name="first_name", value="").tag(),
    "\u00a0",
    "&amp;",
    "ż" * 500,
]


@pytest.mark.parametrize(("text", "looked_into"), LOOKED_INTO)
def test_a_text_with_gaps_reads_as_if_it_had_been_rendered_for_each(
    settings: Settings, text: str, looked_into: str
) -> None:
    blocks = {"subject": text, "text": text, "html": text}
    files = {"hello.en.j2": "".join(f"{{% block {name} %}}{it}{{% endblock %}}" for name, it in blocks.items())}
    files["parts.j2"] = "{% macro show(to, say) %}{{ to }} {{ say | upper }}{% endmacro %}"
    files["parts.j2"] += "{% macro loud(cry) %}{% filter upper %}{{ cry }}{% endfilter %}{% endmacro %}"
    if "self." in text:
        files["hello.en.j2"] = files["hello.en.j2"].replace(text, "S", 1)
    once, each = Templates(files), Templates(files)
    each._open = frozenset()
    names = set(_PERSONAL if looked_into == "all" else looked_into.split())
    for customer, name in enumerate(NAMES if names else ODD_NAMES):
        code = f"<{customer}>" if customer % 3 else "C"
        row = ROW | {"customer_id": customer, "message_key": f"{customer:032x}", "first_name": name}
        row |= {"coupon_code": code, "coupon_expires_at": MORNING, "last_order_on": date(2025, 3, 1 + customer)}
        values = variables(settings, DueMessage(**row))
        one, other = (kind.render("hello", "email", "en", values, ATHENS) for kind in (once, each))
        assert (one.subject, one.text, one.html) == (other.subject, other.text, other.html)
        assert not other.words
    assert set(_PERSONAL) - once._open == names
    if not names:
        assert len(once._kept) <= 4  # a name is there or not, is markup or not


def test_the_templates_that_come_with_us_only_print_what_is_a_persons_own(settings: Settings) -> None:
    for campaign in definitions.read_all(settings.include).values():
        assert Templates(campaign.templates)._open == set(_PERSONAL)
