"""Rendering: a template's blocks, one person's values, a subject and bodies.

Templates are Jinja, in a sandbox, and strict: a value that is not there is an error, never an empty space in a mail.
Only the block ``html`` is escaped. Dates are written in the language of the template and the customer's own time.

Customers who read the same but for a name, a date, a code or a link read one text with placeholders for these, rendered
once: see ``placeholders.py``. A text with placeholders and the words in them are what is handed over.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import jinja2
from babel.dates import format_date, format_datetime
from jinja2 import nodes
from jinja2.runtime import Context
from markupsafe import escape

from retention.campaigns.templates import environment
from retention.core import channels, sandbox
from retention.core.settings import Settings
from retention.delivery.rendering.links import shop_url, unsubscribe_url
from retention.delivery.rendering.placeholders import Content, Placeholder, fill, fit, is_markup, only_printed
from retention.ledger.claims import DueMessage
from retention.offers.definitions import Offer, in_money

FALLBACK_LANGUAGE = "en"
_ZONE = "_time_zone"  # a name that templates do not use
# What is one person's own: where templates only print it, it is left open.
_PERSONAL = ("first_name", "shop_url", "unsubscribe_url", "last_order_on", "coupon_code", "coupon_expires_at")
TAKES_REPLIES = r"\+?[0-9]+|MG[0-9a-fA-F]{32}"  # a number, or a messaging service; a name does not
_OPEN = object()  # in the key of a text: a value that is left open
_KEPT = 2_000  # texts with placeholders, of about 10 kB


class TemplateError(Exception):
    """A template cannot be rendered for a message; names the template and what is wrong, never a person's data."""


class Absent(jinja2.StrictUndefined):
    """A known variable without a value for this person: false when asked, an error when printed."""

    def __bool__(self) -> bool:  # type: ignore[override]
        return False


_ABSENT = {name: Absent(name=name) for name in ("last_order_on", "offer_percent", "coupon_code", "coupon_expires_at")}
_NO_OFFER = {name: Absent(name=name) for name in ("offer", "offer_amount", "offer_minimum")}


class Money(NamedTuple):
    """An amount in a currency."""

    amount: Decimal
    currency: str


class InWords(NamedTuple):
    """An offer, and the currency of its amounts: in words once it is known in which language."""

    offer: Offer
    currency: str


@dataclass(frozen=True)
class Rendered:
    """What one person reads: a text for many, and by tag the words in its placeholders that are this person's."""

    content: Content
    words: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def subject(self) -> str | None:
        return self.content.subject and fill(self.content.subject, self.words)

    @property
    def text(self) -> str:
        return fill(self.content.text, self.words)

    @property
    def html(self) -> str | None:
        return self.content.html and fill(self.content.html, self.words)


class Templates:
    """The templates of one version of a campaign: file name -> text."""

    def __init__(self, files: Mapping[str, str]) -> None:
        self._files = files
        filters = {"day": _day, "moment": _moment, "money": _money}
        self._plain = environment(files, html=False, filters=filters)
        self._html = environment(files, html=True, filters=filters)
        for each in (self._plain, self._html):
            each.auto_reload = False  # the templates of a version never change
        self._picked: dict[tuple[str | None, ...], tuple[str, str]] = {}  # template and language, by what asks for it
        self._pages: dict[str, bool] = {}  # whether a template extends a layout
        self._open = _open_names(tuple(sorted(files.items())))
        self._kept: dict[tuple[Any, ...], tuple[Content, list[tuple[str, str, str, bool]]]] = {}

    def render(
        self,
        step: str,
        channel: str,
        language: str | None,
        variables: Mapping[str, Any],
        zone: ZoneInfo,
        variants: Sequence[str | None] = (),
    ) -> Rendered:
        """Render the step for one person, in the first of the `variants` that has a template. Raises TemplateError."""
        asked = (step, *variants, channel, language)
        if asked not in self._picked:
            self._picked[asked] = self._pick(step, [each for each in (channel, *variants) if each], language)
        name, language = self._picked[asked]
        if isinstance(said := variables.get("offer"), InWords):
            variables = {**variables, "offer": said.offer.words(language, said.currency)}
        for is_escaped in (False, True):
            content, words = self._with_gaps(name, channel, language, variables, zone, is_escaped)
            if is_escaped or not is_markup(words.values()):
                break
        if fit(words.values()):
            return Rendered(content, words)
        return Rendered(self._render(name, channel, language, variables, variables, zone))

    def _with_gaps(
        self, name: str, channel: str, language: str, variables: Mapping[str, Any], zone: ZoneInfo, is_escaped: bool
    ) -> tuple[Content, dict[str, str]]:
        """What customers with the same values read, but for those left open; and what stands in the placeholders."""
        open_ = self._open
        values = [
            _OPEN if value and which in open_ else value if type(value) is str else _key(value, zone)
            for which, value in variables.items()
        ]
        key = (name, channel, is_escaped, *values)
        if (kept := self._kept.get(key)) is None:
            opened = [which for which, value in zip(variables, values, strict=True) if value is _OPEN]
            placeholders = {which: Placeholder(name=which, value=variables[which]) for which in opened}
            in_html = {
                which: replace(placeholder, is_escaped=is_escaped) for which, placeholder in placeholders.items()
            }
            content = self._render(
                name, channel, language, {**variables, **placeholders}, {**variables, **in_html}, zone
            )
            if len(self._kept) == _KEPT:
                self._kept.pop(next(iter(self._kept)))
            kept = self._kept[key] = (content, content.placeholders() if opened else [])
        words = {}
        for tag, which, form, is_escaped in kept[1]:
            value = variables[which]
            try:
                word = value if type(value) is str else _FORMS[form](value, language, zone) if form else str(value)
            except (ArithmeticError, ValueError) as problem:  # its text may quote the value
                raise TemplateError(f"{name}: {type(problem).__name__}") from None
            words[tag] = str(escape(word)) if is_escaped else word
        return kept[0], words

    def _render(
        self,
        name: str,
        channel: str,
        language: str,
        plain: Mapping[str, Any],
        html: Mapping[str, Any],
        zone: ZoneInfo,
    ) -> Content:
        own = {"language": language, _ZONE: zone}
        try:
            with sandbox.bounded():
                template = self._plain.get_template(name)
                context = template.new_context({**plain, **own})
                text = _block(template, "text", context).strip()
                if not channels.get(channel).is_mail:
                    return Content(text=text, language=language)
                subject = one_line(_block(template, "subject", context))
                page = self._page(name, {**html, **own})
                return Content(subject=subject, text=text, html=page, language=language)
        except jinja2.TemplateError as problem:
            raise TemplateError(f"{_place(problem, name)}: {problem.message}") from None
        except (TemplateError, MemoryError):
            raise
        except Exception as problem:  # whatever an expression in a template can raise; its text may quote a value
            raise TemplateError(f"{_place(problem, name)}: {type(problem).__name__}") from None

    def _pick(self, step: str, variants: Sequence[str], language: str | None) -> tuple[str, str]:
        for stem in (*(f"{step}.{each}" for each in variants), step):
            for each in (language or FALLBACK_LANGUAGE, FALLBACK_LANGUAGE):
                if (name := f"{stem}.{each}.j2") in self._files:
                    return name, each
        raise TemplateError(f"{step}.{FALLBACK_LANGUAGE}.j2: there is no such template")

    def _page(self, name: str, values: dict[str, Any]) -> str:
        """A template that extends a layout is rendered as a whole page, another one gives its block ``html``."""
        if name not in self._pages:
            self._pages[name] = self._html.parse(self._files[name]).find(nodes.Extends) is not None
        if self._pages[name]:
            return self._html.get_template(name).render(values).strip()
        template = self._html.get_template(name)
        return _block(template, "html", template.new_context(values)).strip()


@lru_cache(maxsize=64)
def _open_names(files: tuple[tuple[str, str], ...]) -> frozenset[str]:
    """The values that these templates leave open. Each delivery of a version asks again."""
    parser = environment(dict(files), html=False, filters={})
    try:
        return only_printed([parser.parse(text) for _, text in files], _PERSONAL)
    except jinja2.TemplateSyntaxError:  # whoever renders it is told
        return frozenset()


def variables(settings: Settings, message: DueMessage, offer: Offer | None = None) -> dict[str, Any]:
    """What a template may say to the person of `message`, which brings this offer."""
    values: dict[str, Any] = {
        "first_name": " ".join((message.first_name or "").split()),
        "shop_name": settings.shop_name,
        "shop_address": settings.shop_address,
        "shop_url": shop_url(settings, message.customer_id, message.message_key),
        "unsubscribe_url": unsubscribe_url(settings, message.customer_id, message.channel),
        "can_reply": not settings.twilio_from or bool(re.fullmatch(TAKES_REPLIES, settings.twilio_from)),
        "campaign": message.campaign,
        "step": message.step,
    }
    for name in _ABSENT:
        values[name] = _ABSENT[name] if getattr(message, name) is None else getattr(message, name)
    if message.offer_percent is not None:
        values["offer_percent"] = f"{message.offer_percent.normalize():f}"
    values |= _NO_OFFER
    if offer is not None:
        currency = settings.reporting_currency
        if "offer" in offer.facts:
            values["offer"] = InWords(offer, currency)
        for name, amount in (("offer_amount", offer.amount), ("offer_minimum", offer.minimum_order)):
            if amount is not None:
                values[name] = Money(amount, currency)
    return values


def _key(value: Any, zone: ZoneInfo) -> Any:
    """What is not text as a part of a key. An absent value cannot be compared; an instant is told in a zone."""
    return type(value), None if isinstance(value, jinja2.Undefined) else value, isinstance(value, date) and zone.key


def one_line(text: str) -> str:
    """`text` without line ends and control characters: nobody's first name starts a header of its own."""
    if text.isprintable():
        return " ".join(text.split())
    return " ".join("".join(" " if unicodedata.category(sign) in ("Cc", "Zl", "Zp") else sign for sign in text).split())


@jinja2.pass_context
def _day(context: Context, value: Any) -> str:
    """A day in words: 24 November 2026, in the reader's language."""
    if isinstance(value, Placeholder):
        _day(context, value.value)
        return value.tag("day")
    if not isinstance(value, date):
        raise jinja2.UndefinedError(f"{_name_of(value)} is not a day")
    return _day_in_words(value, context["language"], context[_ZONE])


@jinja2.pass_context
def _moment(context: Context, value: Any) -> str:
    """A day and a time of day in words, in the reader's language and own time."""
    if isinstance(value, Placeholder):
        _moment(context, value.value)
        return value.tag("moment")
    if not isinstance(value, datetime):
        raise jinja2.UndefinedError(f"{_name_of(value)} is not a moment")
    return _moment_in_words(value, context["language"], context[_ZONE])


@jinja2.pass_context
def _money(context: Context, value: Any) -> str:
    """An amount in its currency, as the reader's language writes it."""
    if not isinstance(value, Money):
        raise jinja2.UndefinedError(f"{_name_of(value)} is not an amount")
    return in_money(value.amount, value.currency, context["language"])


@lru_cache(maxsize=4096)
def _day_in_words(day: date, language: str, zone: ZoneInfo) -> str:
    """Many customers ordered on the same day."""
    return format_date(day.astimezone(zone) if isinstance(day, datetime) else day, "long", locale=language)


@lru_cache(maxsize=4096)
def _moment_in_words(moment: datetime, language: str, zone: ZoneInfo) -> str:
    """What is claimed together ends together."""
    return format_datetime(moment.astimezone(zone).replace(tzinfo=None), "EEEE d MMMM y, HH:mm", locale=language)


_FORMS: Mapping[str, Callable[[Any, str, ZoneInfo], str]] = {"day": _day_in_words, "moment": _moment_in_words}


def _name_of(value: Any) -> str:
    return repr(value._undefined_name) if isinstance(value, jinja2.Undefined) else "a value"


def _block(template: jinja2.Template, block: str, context: Context) -> str:
    if block not in template.blocks:
        raise TemplateError(f"{template.name}: there is no block {block}")
    return template.environment.concat(template.blocks[block](context))


def _place(problem: Exception, name: str) -> str:
    """The file, and the line where it is known: of what a template includes or imports that one's own."""
    return sandbox.place(problem) or name
