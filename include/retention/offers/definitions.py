"""Offers as they are written: ``offers/<name>.yaml``, checked when read; and as a campaign's version keeps them.

Every mistake is an InputError that names file and line and says what to write instead.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from babel.numbers import format_currency, format_percent

from retention.core import documents
from retention.core.documents import Document, shown
from retention.core.errors import InputError
from retention.offers import language

FALLBACK_LANGUAGE = "en"
THIRD = Decimal(1) / 3  # of three the cheapest is free: at most a third of what they cost


@dataclass(frozen=True, kw_only=True)
class Offer:
    """One offer."""

    name: str
    type: str
    valid_for: str | None  # like 24 hours; PostgreSQL reads it as an interval. None: it has no code
    percent: Decimal | None = None
    amount: Decimal | None = None  # in the shop's reporting currency
    categories: tuple[str, ...] = ()  # with `products` what it applies to; none of either: everything
    products: tuple[str, ...] = ()
    minimum_order: Decimal | None = None
    margin_floor: Decimal | None = None  # percent
    says: Mapping[str, str] = field(default_factory=dict)  # by language
    content: Mapping[str, Any] = field(repr=False, default_factory=dict)  # the YAML as written

    @property
    def has_code(self) -> bool:
        """Whether customers take it with a code of their own."""
        return self.valid_for is not None

    @property
    def facts(self) -> frozenset[str]:
        """The variables that templates of a step with this offer may print."""
        known = {
            "offer": bool(self.says) or self.percent is not None or self.amount is not None,
            "offer_percent": self.percent is not None,
            "offer_amount": self.amount is not None,
            "offer_minimum": self.minimum_order is not None,
            "coupon_code": self.has_code,
            "coupon_expires_at": self.has_code,
        }
        return frozenset(name for name, is_known in known.items() if is_known)

    @property
    def discount(self) -> Decimal:
        """Which share of the price it takes off, at most."""
        if self.type == "third_free":
            return THIRD
        if self.amount is not None:
            return self.amount / (self.minimum_order or self.amount)
        return (self.percent or Decimal(0)) / 100

    def words(self, language: str, currency: str) -> str:
        """What it is, in a few words of the language."""
        if said := self.says.get(language) or self.says.get(FALLBACK_LANGUAGE):
            return said
        if self.amount is not None:
            return in_money(self.amount, currency, language)
        text: str = format_percent((self.percent or Decimal(0)) / 100, locale=language, decimal_quantization=False)
        return text

    @property
    def terms(self) -> dict[str, Any]:
        """What the shop's checkout must know to honour a code."""
        ours = ("offer", "about", "owner", "valid_for", "margin_floor")
        return {"type": self.type} | {key: value for key, value in self.content.items() if key not in ours}


def in_money(amount: Decimal, currency: str, language: str) -> str:
    """An amount as the language writes it."""
    text: str = format_currency(amount, currency, locale=language)
    return text


def names(include: Path) -> list[str]:
    """The names of all offers, sorted."""
    return sorted(file.stem for file in (include / "offers").glob("*.yaml"))


def is_there(include: Path, name: str) -> bool:
    """Whether the offer has a file, one that cannot be read too."""
    return os.path.lexists(include / "offers" / f"{name}.yaml")


def read(include: Path, name: str) -> Offer:
    """The offer `name`, which has a file. Raises InputError for the first mistake in it."""
    document = documents.read(include / "offers" / f"{name}.yaml")
    _check(document, name)
    offer = parse(name, document.content)
    _check_sense(document, offer)
    return offer


def read_each(include: Path) -> tuple[dict[str, Offer], dict[str, InputError]]:
    """The offers that can be read, and of each other one what is wrong with it."""
    found: dict[str, Offer] = {}
    broken: dict[str, InputError] = {}
    for name in names(include):
        try:
            found[name] = read(include, name)
        except InputError as problem:
            broken[name] = problem
    return found, broken


def parse(name: str, content: Mapping[str, Any]) -> Offer:
    """The offer of a file's checked content, like the one that a campaign's version keeps.

    A version from before offers had files says `percent` and `valid_for` alone.
    """
    scope = content.get("applies_to") or {}
    floor = content.get("margin_floor")
    return Offer(
        name=name,
        type=content.get("type", "percent"),
        valid_for=content.get("valid_for"),
        percent=_number(content.get("percent")),
        amount=_number(content.get("amount")),
        categories=tuple(scope.get("categories", ())),
        products=tuple(scope.get("products", ())) or tuple(content.get("together", ())),
        minimum_order=_number(scope.get("minimum_order")),
        margin_floor=_number(floor.removesuffix("%")) if floor else None,
        says=content.get("says") or {},
        content=content,
    )


def _number(written: Any) -> Decimal | None:
    return None if written is None else Decimal(str(written))


def _check(document: Document, name: str) -> None:
    if not isinstance(document.content, dict):
        raise document.error((), "an offer is a mapping; write `offer: <name>`, then its other keys.")
    if "type" not in document.content:
        raise document.error((), f"the key 'type' is missing: what sort of offer it is, {_listed()}.")
    word = document.content["type"]
    if word not in language.TYPES:
        raise document.error(("type",), f"type is {shown(word)}; write {_listed()}.")
    document.check(language.schema_of(word))
    if document.content["offer"] != name:
        raise document.error(
            ("offer",), f"offer is {shown(document.content['offer'])}; write {name!r}, as the file is named."
        )


def _listed() -> str:
    return f"{', '.join(language.TYPES[:-1])} or {language.TYPES[-1]}"


def _check_sense(document: Document, offer: Offer) -> None:
    """What a schema cannot say."""
    if offer.type == "points":
        raise document.error(
            ("type",), "points cannot be given yet: there is no feed of them. Write another type, like gift."
        )
    for where in (("amount",), ("applies_to", "minimum_order")):
        value = offer.amount if where == ("amount",) else offer.minimum_order
        if value is not None and -int(value.normalize().as_tuple().exponent) > 2:
            raise document.error(where, f"{where[-1]} is {value}; write at most two decimals, like 7.50.")
    if offer.amount is not None and (offer.minimum_order is None or offer.minimum_order <= offer.amount):
        raise document.error(
            ("applies_to", "minimum_order") if offer.minimum_order is not None else ("amount",),
            f"who orders for {offer.amount} would pay nothing; write a minimum_order above it, like "
            f"`applies_to: {{minimum_order: {offer.amount * 4:f}}}`.",
        )
    if offer.type == "bundle" and (document.content.get("applies_to") or {}).keys() - {"minimum_order"}:
        raise document.error(("applies_to",), "a bundle applies to what is `together`; leave the products out here.")
    if offer.says and FALLBACK_LANGUAGE not in offer.says:
        raise document.error(("says",), "says has no English; write what `en` says too, for whoever reads no other.")
