"""The language of offers: what a file of ``offers`` may say, as types, one for each sort of offer.

``offers/schema.json``, which editors and `definitions` read, is made from them by `make schema`; docs/offers.md shows
every key.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from retention.core import language as written
from retention.core.language import Address, Name, Part, Share

Amount = Annotated[
    float,
    Field(gt=0, json_schema_extra={"write": "an amount in the shop's currency, like 5 or 7.50"}),
]
Percent = Annotated[
    float,
    Field(
        description="The discount.",
        gt=0,
        lt=100,
        json_schema_extra={"write": "a number above 0 and below 100; what costs nothing is a gift or a trial"},
    ),
]
Word = Annotated[str, Field(min_length=1, max_length=200, json_schema_extra={"write": "a few words"})]
Said = Annotated[
    dict[Annotated[str, Field(pattern="^[a-z]{2}$", json_schema_extra={"write": "a language like nl"})], Word],
    Field(
        description="What it is in a few words of each language; templates print them as {{ offer }}.",
        min_length=1,
        json_schema_extra={"write": "words by language, like {en: a bag of coffee, nl: een zak koffie}"},
    ),
]
Listed = Annotated[list[Word], Field(min_length=1, json_schema_extra={"uniqueItems": True, "write": "a list of names"})]


class Scope(Part):
    """What an offer applies to. Absent: everything."""

    categories: (
        Annotated[Listed, Field(description="Products of these categories, as the shop writes them.")] | None
    ) = None
    products: Annotated[Listed, Field(description="These products, by the product_ref of the feed.")] | None = None
    minimum_order: (
        Annotated[Amount, Field(description="What an order comes to at least, in the shop's currency.")] | None
    ) = None


class Offer(Part):
    """What every offer says."""

    offer: Annotated[Name, Field(description="The offer's name, the same as the file's.")]
    about: Annotated[
        str,
        Field(
            description="One sentence: what it is, and for whom.",
            min_length=1,
            json_schema_extra={"write": "one sentence that says what it is"},
        ),
    ]
    owner: Annotated[Address, Field(description="Who answers for the offer.")]


class Coded(Offer):
    """An offer that a customer takes with a code of their own."""

    valid_for: Annotated[
        str,
        Field(
            description="How long the code works, from the moment its first message is sent.",
            pattern="^[1-9][0-9]{0,3} (hour|hours|day|days)$",
            json_schema_extra={"write": "a time like '24 hours' or '14 days'"},
        ),
    ]
    applies_to: Scope | None = None
    margin_floor: (
        Annotated[Share, Field(description="What it must leave of the price, of what was sold in the past year.")]
        | None
    ) = None


class PercentOff(Coded):
    """A share of the price less."""

    type: Literal["percent"]
    percent: Percent
    says: Said | None = None


class AmountOff(Coded):
    """An amount less, of orders from a minimum on."""

    type: Literal["amount"]
    amount: Annotated[Amount, Field(description="How much less, in the shop's currency.")]
    says: Said | None = None


class Bundle(Coded):
    """Products that cost less together."""

    type: Literal["bundle"]
    together: Annotated[
        list[Word],
        Field(
            description="The products, by the product_ref of the feed.",
            min_length=2,
            json_schema_extra={"uniqueItems": True, "write": "a list of at least two products, like [COF-01, KIT-02]"},
        ),
    ]
    percent: Percent
    says: Said


class InWords(Coded):
    """What has no number of its own: of three the cheapest is free, shipping is, a trial, access, a gift."""

    type: Literal["third_free", "free_shipping", "trial", "exclusive_access", "gift"]
    says: Said


class Points(Offer):
    """Points of the shop's own scheme."""

    type: Literal["points"]
    points: Annotated[int, Field(description="How many.", ge=1, json_schema_extra={"write": "a number of points"})]
    says: Said


class WithoutPrice(Offer):
    """A reason to come back that is no price: there is no code, and nothing to be paid for."""

    type: Literal["thank_you", "help_choosing", "information"]
    says: Said | None = None


SORTS = (PercentOff, AmountOff, Bundle, InWords, Points, WithoutPrice)
_WRITE = {"Scope": "what it applies to, like {categories: [coffee], minimum_order: 30}"}


def types(sort: type[Offer]) -> list[str]:
    """The words by which `type` says that an offer is of this sort."""
    said = written.schema(sort)["properties"]["type"]
    return list(said["enum"]) if "enum" in said else [said["const"]]


TYPES = tuple(word for sort in SORTS for word in types(sort))


def schema_of(word: str) -> dict[str, Any]:
    """The JSON schema of a file whose `type` is this word."""
    return written.schema(next(sort for sort in SORTS if word in types(sort)), _WRITE)


def schema() -> dict[str, Any]:
    """The JSON schema of any offer's file, for editors."""
    sorts = [written.schema(sort, _WRITE) for sort in SORTS]
    return {
        "$schema": written.DIALECT,
        "oneOf": [{key: value for key, value in each.items() if key != "$schema"} for each in sorts],
    }
