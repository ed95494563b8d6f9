"""Offers and costs as people write them: what is read, and what a mistake is answered with (B10, E15)."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from retention.core.errors import InputError
from retention.core.settings import from_environment
from retention.offers import costs, definitions, language

INCLUDE = from_environment({}).include
PAGE = (Path(__file__).resolve().parents[2] / "docs" / "offers.md").read_text()
BLOCKS = [yaml.safe_load(block) for block in re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.M | re.S)]
OFFERS = [block for block in BLOCKS if "offer" in block and "type" in block]
COSTS = next(block for block in BLOCKS if "shipping" in block)


def written(folder: Path, content: Any, name: str = "comeback") -> Path:
    (folder / "offers").mkdir(exist_ok=True)
    file = folder / "offers" / f"{name}.yaml"
    file.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return file


def test_the_offers_and_costs_that_come_with_us_can_be_read() -> None:
    found, broken = definitions.read_each(INCLUDE)
    assert (list(found), broken) == (definitions.names(INCLUDE), {})
    assert costs.read(INCLUDE).shipping > 0


@pytest.mark.parametrize("offer", OFFERS, ids=[each["offer"] for each in OFFERS])
def test_every_offer_of_the_page_can_be_read_but_points(tmp_path: Path, offer: dict[str, Any]) -> None:
    written(tmp_path, offer, offer["offer"])
    if offer["type"] == "points":
        with pytest.raises(InputError, match="there is no feed of them"):
            definitions.read(tmp_path, offer["offer"])
    else:
        assert definitions.read(tmp_path, offer["offer"]).type == offer["type"]


def test_the_page_shows_every_type_and_every_key() -> None:
    assert {offer["type"] for offer in OFFERS} | set(re.findall(r"`(\w+)`", PAGE)) >= set(language.TYPES)
    known = {key for sort in language.SORTS for key in sort.model_fields} | set(language.Scope.model_fields)
    assert known - {key for offer in OFFERS for key in (*offer, *offer.get("applies_to", ()))} == set()


def test_the_page_shows_every_cost(tmp_path: Path) -> None:
    (tmp_path / "costs.yaml").write_text(yaml.safe_dump(COSTS))
    read = costs.read(tmp_path)
    assert read.acquisition["search"]["2026-10"] == Decimal("24.5")
    assert {"message", "shipping", "offer", "acquisition"} == set(COSTS)


@pytest.mark.parametrize("word", [word for word in language.TYPES if word != "points"])
def test_only_an_offer_with_an_end_has_a_code(word: str) -> None:
    has_code = "valid_for" in language.schema_of(word)["properties"]
    offer = definitions.parse("x", {"type": word, "valid_for": "2 days"} if has_code else {"type": word})
    assert offer.has_code == has_code == (word not in ("thank_you", "help_choosing", "information"))
    assert ({"coupon_code", "coupon_expires_at"} <= offer.facts) == has_code


def test_an_offer_that_a_version_kept_before_offers_had_files_is_a_percentage_with_a_code() -> None:
    offer = definitions.parse("final", {"percent": 100, "valid_for": "24 hours"})
    assert (offer.type, offer.percent, offer.valid_for, offer.has_code) == ("percent", 100, "24 hours", True)
    assert (offer.margin_floor, offer.terms) == (None, {"type": "percent", "percent": 100})


@pytest.mark.parametrize(
    ("language", "percent", "amount"),
    [("en", "12.5%", "€7.50"), ("nl", "12,5%", "€\xa07,50"), ("pl", "12,5%", "7,50\xa0€")],
)
def test_a_number_is_told_as_the_language_writes_it(language: str, percent: str, amount: str) -> None:
    assert definitions.parse("x", {"percent": 12.5}).words(language, "EUR") == percent
    assert definitions.parse("x", {"type": "amount", "amount": 7.5}).words(language, "EUR") == amount
    said = definitions.parse("x", {"type": "gift", "says": {"en": "a cup", "nl": "een kop"}})
    assert said.words(language, "EUR") == {"nl": "een kop"}.get(language, "a cup")


FILE = """\
offer: comeback
about: Ten percent.
owner: crm@shop.example
type: percent
percent: 10
valid_for: 14 days
"""
MISTAKES = [
    (
        "percent: 10",
        "percent: ten",
        'line 5: percent is "ten"; write a number above 0 and below 100; what costs nothing',
    ),
    (
        "percent: 10",
        "percent: 100",
        "line 5: percent is 100; write a number above 0 and below 100; what costs nothing is",
    ),
    ("percent: 10", "percent: 0", "line 5: percent is 0; write a number above 0"),
    ("percent: 10\n", "", "line 1: the key 'percent' is missing: The discount."),
    ("valid_for: 14 days", "valid_for: 2 weeks", "line 6: valid_for is \"2 weeks\"; write a time like '24 hours'"),
    ("valid_for: 14 days\n", "", "line 1: the key 'valid_for' is missing: How long the code works"),
    ("offer: comeback", "offer: final", "line 1: offer is \"final\"; write 'comeback', as the file is named."),
    ("type: percent", "type: discount", 'line 4: type is "discount"; write percent, amount, bundle, third_free'),
    ("type: percent", "type: [percent]", 'line 4: type is ["percent"]; write percent, amount'),
    ("type: percent\n", "", "line 1: the key 'type' is missing: what sort of offer it is, percent, amount"),
    ("owner: crm@shop.example", "owner: nobody", 'line 3: owner is "nobody"; write the address'),
    ("percent: 10", "percents: 10", "line 5: unknown key 'percents'. Did you mean 'percent'?"),
    ("percent: 10", "percent: 10\namount: 5", "line 6: unknown key 'amount'."),
    ("valid_for", "margin_floor: 20\nvalid_for", "line 6: margin_floor is 20; write a share like '10%'."),
    (
        "valid_for",
        "applies_to: {category: tea}\nvalid_for",
        "line 6: unknown key 'category'. Did you mean 'categories'?",
    ),
    ("valid_for", "applies_to: {categories: []}\nvalid_for", "line 6: categories is []; write a list of names."),
    ("valid_for", "applies_to: {minimum_order: 9.999}\nvalid_for", "line 6: minimum_order is 9.999; write at most two"),
    ("valid_for", "says: {nl: iets}\nvalid_for", "line 6: says has no English"),
    ("type: percent\npercent: 10", "type: gift", "line 1: the key 'says' is missing: What it is in a few words"),
    (
        "type: percent\npercent: 10",
        "type: amount\namount: 5",
        "line 5: who orders for 5 would pay nothing; write a minimum",
    ),
    (
        "type: percent\npercent: 10",
        "type: amount\namount: 5\napplies_to: {minimum_order: 5}",
        "line 6: who orders for 5 would pay nothing",
    ),
    (
        "type: percent\npercent: 10\nvalid_for: 14 days",
        "type: thank_you\nvalid_for: 14 days",
        "line 5: unknown key 'valid_for'.",
    ),
    (
        "type: percent",
        "type: bundle\ntogether: [A]\nsays: {en: both}",
        'line 5: together is ["A"]; write a list of at least',
    ),
    (
        "type: percent",
        "type: bundle\ntogether: [A, B]\nsays: {en: both}\napplies_to: {products: [C]}",
        "line 7: a bundle applies to what is `together`",
    ),
    (FILE, "- comeback", "line 1: an offer is a mapping; write `offer: <name>`"),
]


@pytest.mark.parametrize(("old", "new", "message"), MISTAKES, ids=[each[1][:30] for each in MISTAKES])
def test_a_mistake_is_named_with_its_line_and_what_to_write(tmp_path: Path, old: str, new: str, message: str) -> None:
    file = written(tmp_path, FILE.replace(old, new))
    with pytest.raises(InputError) as caught:
        definitions.read(tmp_path, "comeback")
    assert f"{file}, {message}" in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("sms:", "text:", "unknown key 'text'."),
        ("gift: 6", "gift: -1", "gift is -1; write what one costs"),
        ("shipping: 1.50", "shipping: free", 'shipping is "free"; write what one costs'),
        ("shipping: 1.50", "", "the key 'shipping' is missing: what it costs to send an order"),
        (
            "acquisition: {}",
            "acquisition: {search: {2026-13: 3}}",
            'search is "2026-13"; write a month like 2026-10',
        ),
        ("acquisition: {}", "acquisition: {search: 3}", "search is 3; write costs by month"),
    ],
)
def test_a_mistake_in_the_costs_is_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = (INCLUDE / "costs.yaml").read_text()
    assert old in text
    (tmp_path / "costs.yaml").write_text(text.replace(old, new))
    with pytest.raises(InputError, match=re.escape(message)):
        costs.read(tmp_path)
