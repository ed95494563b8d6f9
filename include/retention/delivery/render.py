"""Rendering: a template's blocks, one person's values, a subject and bodies.

Templates are Jinja, in a sandbox, and strict: a value that is not there is an error, never an empty space in a mail.
Only the block ``html`` is escaped. Dates are written in the language of the template and the customer's own time.

Whoever has the same name, days and offer reads the same but for the links. Where templates do nothing with those but
print them, such a text is rendered once and kept with a gap for each link.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

import jinja2
from babel.dates import format_date, format_datetime
from jinja2 import nodes
from jinja2.runtime import Context
from markupsafe import escape

from retention.campaigns.templates import environment
from retention.delivery.links import shop_url, unsubscribe_url
from retention.settings import Settings

FALLBACK_LANGUAGE = "en"
_ZONE = "_time_zone"  # a name that templates do not use
# The links, each with what fills its gap: no sign in it is one that HTML escapes.
_GAPS = {"unsubscribe_url": "gap-for-the-way-out-2f6a1d0c9b7e", "shop_url": "gap-for-the-shop-8c1d5e3a7f20"}
_CAPTURING = (nodes.Macro, nodes.CallBlock, nodes.FilterBlock, nodes.AssignBlock)
TAKES_REPLIES = r"\+?[0-9]+|MG[0-9a-fA-F]{32}"  # a number, or a messaging service; a name does not
_KEPT = 2_000  # texts with a gap, of about 10 kB


class TemplateError(Exception):
    """A template cannot be rendered for a message; names the template and what is wrong, never a person's data."""


class Absent(jinja2.StrictUndefined):
    """A known variable without a value for this person: false when asked, an error when printed."""

    def __bool__(self) -> bool:  # type: ignore[override]
        return False


@dataclass(frozen=True, kw_only=True)
class Rendered:
    """What one person reads. `language` is the template's: the person's own, or the fallback."""

    subject: str | None = field(repr=False)
    text: str = field(repr=False)
    html: str | None = field(repr=False)
    language: str

    def with_links(self, links: Mapping[str, str]) -> Rendered:
        """The same with `links`, by name, in place of their gaps."""
        subject, text, html = self.subject, self.text, self.html
        for name, link in links.items():
            gap = _GAPS[name]
            subject, text, html = (
                subject and subject.replace(gap, link),
                text.replace(gap, link),
                html and html.replace(gap, link),
            )
        return Rendered(subject=subject, text=text, html=html, language=self.language)


class Templates:
    """The templates of one version of a campaign: file name -> text."""

    def __init__(self, files: Mapping[str, str]) -> None:
        self._files = files
        filters = {"day": _day, "moment": _moment}
        self._plain = environment(files, html=False, filters=filters)
        self._html = environment(files, html=True, filters=filters)
        for each in (self._plain, self._html):
            each.auto_reload = False  # the templates of a version never change
        self._pages: dict[str, bool] = {}  # whether a template extends a layout
        self._has_gaps = _only_print_links(self._plain, files.values())
        self._kept: dict[tuple[Any, ...], Rendered] = {}

    def render(
        self, step: str, channel: str, language: str | None, variables: Mapping[str, Any], zone: ZoneInfo
    ) -> Rendered:
        """Render the step for one person. Raises TemplateError."""
        name, language = self._pick(step, language)
        links = {which: variables[which] for which in _GAPS if which in variables}
        if not self._has_gaps or any(not isinstance(link, str) or escape(link) != link for link in links.values()):
            return self._render(name, channel, language, variables, zone)
        key = (name, channel, zone.key, *(_key(value) for which, value in variables.items() if which not in links))
        if (kept := self._kept.get(key)) is None:
            gaps = {which: _GAPS[which] for which in links}
            kept = self._render(name, channel, language, {**variables, **gaps}, zone)
            if len(self._kept) == _KEPT:
                self._kept.pop(next(iter(self._kept)))
            self._kept[key] = kept
        return kept.with_links(links)

    def _render(self, name: str, channel: str, language: str, variables: Mapping[str, Any], zone: ZoneInfo) -> Rendered:
        values = {**variables, "language": language, _ZONE: zone}
        try:
            template = self._plain.get_template(name)
            context = template.new_context(values)
            text = _block(template, "text", context).strip()
            if channel == "sms":
                return Rendered(subject=None, text=text, html=None, language=language)
            subject = one_line(_block(template, "subject", context))
            return Rendered(subject=subject, text=text, html=self._page(name, values), language=language)
        except jinja2.TemplateError as problem:
            raise TemplateError(f"{name}: {problem.message}") from None
        except (TemplateError, MemoryError):
            raise
        except Exception as problem:  # whatever an expression in a template can raise; its text may quote a value
            raise TemplateError(f"{name}: {type(problem).__name__}") from None

    def _pick(self, step: str, language: str | None) -> tuple[str, str]:
        for each in (language or FALLBACK_LANGUAGE, FALLBACK_LANGUAGE):
            if (name := f"{step}.{each}.j2") in self._files:
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


def variables(settings: Settings, message: Mapping[str, Any]) -> dict[str, Any]:
    """What a template may say to the person of `message` (a row of sql/delivery/claimed)."""
    values = {
        "first_name": " ".join((message["first_name"] or "").split()),
        "shop_name": settings.shop_name,
        "shop_address": settings.shop_address,
        "shop_url": shop_url(settings, message["customer_id"], message["message_key"]),
        "unsubscribe_url": unsubscribe_url(settings, message["customer_id"], message["channel"]),
        "can_reply": not settings.twilio_from or bool(re.fullmatch(TAKES_REPLIES, settings.twilio_from)),
        "campaign": message["campaign"],
        "step": message["step"],
    }
    for name in ("last_order_on", "offer_percent", "coupon_code", "coupon_expires_at"):
        values[name] = Absent(name=name) if message[name] is None else message[name]
    if message["offer_percent"] is not None:
        values["offer_percent"] = f"{message['offer_percent']:f}".rstrip("0").rstrip(".")
    return values


def _only_print_links(environment: jinja2.Environment, texts: Iterable[str]) -> bool:
    """Whether links go from these templates into the text as they are: no filter, no test, no capture.

    A macro may be given a link to print, under one name everywhere: like the button in ``parts.html.j2``.
    """
    try:
        trees = [environment.parse(text) for text in texts]
    except jinja2.TemplateSyntaxError:  # whoever renders it is told
        return False
    macros: dict[str, nodes.Macro] = {}
    for tree in trees:
        for macro in tree.find_all(nodes.Macro):
            if macros.setdefault(macro.name, macro) is not macro:
                return False
    return all(_prints_links(tree, macros) for tree in trees)


def _prints_links(tree: nodes.Node, macros: Mapping[str, nodes.Macro]) -> bool:
    names = list(tree.find_all(nodes.Name))
    if any(name.name in ("self", "super") or (name.ctx == "store" and name.name in macros) for name in names):
        return False  # a block as a value, or something else by a macro's name
    if any(isinstance(name, tuple) for each in tree.find_all(nodes.FromImport) for name in each.names):
        return False
    printed = {id(node) for output in tree.find_all(nodes.Output) for node in output.nodes}
    captured = {id(node) for outer in tree.find_all(_CAPTURING) for node in outer.find_all((nodes.Name, nodes.Call))}
    handed_on = {
        id(value)
        for call in tree.find_all(nodes.Call)
        if id(call) in printed - captured and isinstance(call.node, nodes.Name) and call.node.name in macros
        for value, argument in zip(call.args, macros[call.node.name].args, strict=False)
        if _only_prints(macros[call.node.name], argument.name)
    }
    return all(id(name) in (printed - captured) | handed_on for name in names if name.name in _GAPS)


def _only_prints(macro: nodes.Macro, argument: str) -> bool:
    printed = {id(node) for output in macro.find_all(nodes.Output) for node in output.nodes}
    uses = [name for name in macro.find_all(nodes.Name) if name.name == argument and name.ctx != "param"]
    return all(id(name) in printed for name in uses) and not any(macro.find_all(_CAPTURING))


def _key(value: Any) -> Any:
    """`value` as a part of a key: an absent one cannot be compared."""
    return (type(value), None if isinstance(value, jinja2.Undefined) else value)


def one_line(text: str) -> str:
    """`text` without line ends and control characters: nobody's first name starts a header of its own."""
    if text.isprintable():
        return " ".join(text.split())
    return " ".join("".join(" " if unicodedata.category(sign) in ("Cc", "Zl", "Zp") else sign for sign in text).split())


@jinja2.pass_context
def _day(context: Context, value: Any) -> str:
    """A day in words: 24 November 2026, in the reader's language."""
    if isinstance(value, datetime):
        value = value.astimezone(context[_ZONE])
    if not isinstance(value, date):
        raise jinja2.UndefinedError(f"{_name_of(value)} is not a day")
    return _long_date(value, context["language"])


@lru_cache(maxsize=1024)
def _long_date(day: date, language: str) -> str:
    """Many customers ordered on the same day."""
    return format_date(day, "long", locale=language)


@jinja2.pass_context
def _moment(context: Context, value: Any) -> str:
    """A day and a time of day in words, in the reader's language and own time."""
    if not isinstance(value, datetime):
        raise jinja2.UndefinedError(f"{_name_of(value)} is not a moment")
    return _long_moment(value.astimezone(context[_ZONE]).replace(tzinfo=None), context["language"])


@lru_cache(maxsize=1024)
def _long_moment(local: datetime, language: str) -> str:
    """What is claimed together ends together."""
    return format_datetime(local, "EEEE d MMMM y, HH:mm", locale=language)


def _name_of(value: Any) -> str:
    return repr(value._undefined_name) if isinstance(value, jinja2.Undefined) else "a value"


def _block(template: jinja2.Template, block: str, context: Context) -> str:
    if block not in template.blocks:
        raise TemplateError(f"{template.name}: there is no block {block}")
    return "".join(template.blocks[block](context))
