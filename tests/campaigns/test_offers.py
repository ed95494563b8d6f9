"""Offers in campaigns: who gets a code, what keeps its margin floor, and what a change of an offer changes (E15)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from house import change
from till import Till

from retention import by_hand, checking
from retention.campaigns import approvals, definitions, steps
from retention.core import days
from retention.core.errors import DayRefused, InputError
from retention.core.shop import Shop

D = date(2026, 3, 2)  # a Monday
NUDGE = "offer: comeback"


def after(number: int) -> date:
    return D + timedelta(days=number)


@pytest.fixture
def offer(include: Path) -> Callable[[str], Any]:
    """Write the offer comeback anew: its keys but for offer, about and owner."""
    file = include / "offers" / "comeback.yaml"
    return lambda text: file.write_text(f"offer: comeback\nabout: A test.\nowner: crm@shop.example\n{text}\n")


def reasons(room: Any, campaign: str = "winback") -> list[Any]:
    return room.rows(
        "select decision, reason, count(*) from campaigns.decisions where campaign = :campaign group by 1, 2",
        campaign=campaign,
    )


# --- codes ---


def test_an_offer_without_a_price_gets_no_code_and_says_what_it_is(room: Any, offer: Any, include: Path) -> None:
    offer("type: help_choosing\nsays: {en: our guide, nl: onze gids, pl: nasz poradnik, el: ο οδηγός μας}")
    for file in (include / "messages" / "winback").glob("nudge.*.j2"):
        file.write_text('{% block text %}{{ offer }} {% include "opt_out.txt.j2" %}{% endblock %}')
    room.customers(2)
    room.run_each(D, after(2))
    assert room.rows("select distinct state, offer from delivery.messages where step = 'nudge'") == [("planned", None)]
    assert room.values("select offer from offers.coupons") == []
    [row] = room.rows("select definition from campaigns.versions")
    kept = definitions.StepOffers(row.definition["steps"], row.definition["offers"])
    assert kept.of("nudge", None, None).words("nl", "EUR") == "onze gids"
    assert kept.of("we_miss_you", None, None) is None


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        (
            "type: free_shipping\nvalid_for: 2 days\nsays: {en: a, nl: a, pl: a, el: a}",
            {"type": "free_shipping", "says": {"en": "a", "nl": "a", "pl": "a", "el": "a"}},
        ),
        (
            "type: amount\namount: 5\nvalid_for: 2 days\napplies_to: {minimum_order: 20}",
            {"type": "amount", "amount": 5, "applies_to": {"minimum_order": 20}},
        ),
    ],
)
def test_a_code_need_not_be_a_percentage_and_keeps_what_the_offer_said(
    room: Any, offer: Any, include: Path, text: str, terms: Any
) -> None:
    offer(text)
    for file in (include / "messages" / "winback").glob("nudge.*.j2"):
        change(file, "{{ offer_percent }}%", "{{ offer }}")
    room.customers(2)
    room.run_each(D, after(2))
    found = room.rows("select offer, percent, state, terms, count(*) from offers.coupons group by 1, 2, 3, 4")
    assert found == [("comeback", None, "reserved", terms, 2)]


@pytest.mark.parametrize(
    ("text", "printed", "message"),
    [
        (
            "type: gift\nvalid_for: 2 days\nsays: {en: a, nl: a, pl: a, el: a}",
            "offer_percent",
            "'offer_percent' is known only",
        ),
        ("type: information", "coupon_code", "'coupon_code' is known only in a step with an offer that has it"),
        ("type: information", "offer", "'offer' is known only in a step with an offer that has it"),
    ],
)
def test_a_template_that_says_what_its_offer_does_not_have_is_refused(
    include: Path, offer: Any, text: str, printed: str, message: str
) -> None:
    offer(text)
    for file in (include / "messages" / "winback").glob("nudge.*.j2"):
        file.write_text("{% block text %}{{ " + printed + ' }} {% include "opt_out.txt.j2" %}{% endblock %}')
    with pytest.raises(InputError, match=message):
        definitions.read(include, "winback")


def test_a_template_that_offers_share_says_what_all_have_and_one_of_its_own_what_its_own_has(
    include: Path, offer: Any, write: Any
) -> None:
    offer("type: information")
    write("control: 0%", "control: 0%\nvariants: {a: 50%, b: 50%}")
    write("offer: comeback", "offer: {a: final, b: comeback}")
    folder = include / "messages" / "winback"
    with pytest.raises(InputError, match="'coupon_code' is known only in a step with an offer that has it"):
        definitions.read(include, "winback")
    for file in list(folder.glob("nudge.*.j2")):
        _, language, _ = file.name.split(".")
        file.rename(folder / f"nudge.a.{language}.j2")
        file.write_text('{% block text %}Hello {% include "opt_out.txt.j2" %}{% endblock %}')
    assert set(definitions.read(include, "winback").offers) == {"comeback", "final"}


def test_an_offer_says_what_it_is_in_every_language_of_its_step(include: Path, offer: Any) -> None:
    offer("type: percent\npercent: 10\nvalid_for: 2 days\nsays: {en: ten, nl: tien, pl: x}")
    with pytest.raises(InputError, match=r"comeback.yaml: says has no 'el', in which the step nudge of winback"):
        definitions.read(include, "winback")


def test_a_condition_asks_for_the_code_of_an_offer_that_has_one(include: Path, offer: Any, write: Any) -> None:
    offer("type: information")
    for file in (include / "messages" / "winback").glob("nudge.*.j2"):
        file.write_text('{% block text %}Hello {% include "opt_out.txt.j2" %}{% endblock %}')
    write("offer: final}", "offer: final, only_if: {has_coupon: comeback}}")
    with pytest.raises(InputError, match=r"line 18: the offer 'comeback' has no code \(information\)"):
        definitions.read(include, "winback")


# --- versions ---


def test_people_inside_finish_on_the_offer_with_which_they_entered(room: Any, include: Path) -> None:
    first, second = room.customers(2)
    room.leaves(second, "winback", D)
    room.run(D)
    change(include / "offers" / "comeback.yaml", "percent: 10", "percent: 12")
    room.execute("update selections.membership set left_on = null")
    room.run_each(after(1), after(3))
    found = room.rows(
        "select c.customer_ref, p.percent, v.definition #>> '{offers,comeback,percent}' as kept"
        " from offers.coupons as p join shop.customers as c using (customer_id)"
        " join campaigns.enrolments as e using (customer_id, campaign)"
        " join campaigns.versions as v using (campaign, version) order by 1"
    )
    assert found == [(first, 10, "10"), (second, 12, "12")]


def test_a_version_from_before_offers_had_files_goes_on(room: Any) -> None:
    """It is kept with offers of a percentage and a time alone, here one that no file may say any more."""
    room.customers(1)
    room.run(D)
    room.execute(
        "update campaigns.versions set definition = jsonb_set(definition, '{offers}', cast(:old as jsonb))",
        old='{"comeback": {"percent": 100, "valid_for": "14 days"}, "final": {"percent": 20, "valid_for": "24 hours"}}',
    )
    room.run_each(after(1), after(7))
    assert room.rows("select offer, percent from offers.coupons order by 1") == [("comeback", 100), ("final", 20)]


def test_a_mistake_in_an_offer_stops_only_the_campaigns_that_use_it(include: Path, offer: Any) -> None:
    offer("type: percent\npercent: 100\nvalid_for: 2 days")
    found, broken = definitions.read_each(include)
    assert list(broken) == ["winback"]
    assert f"{include / 'offers' / 'comeback.yaml'}, line 5: percent is 100" in str(broken["winback"])
    assert "we_miss_you" in found


# --- the margin floor ---


def test_an_offer_may_leave_its_floor_and_not_a_tenth_of_a_percent_less(till: Till) -> None:
    till.product("A", 0.4)
    till.sell(("A", 100))
    assert till.problem(margin_floor="28.5%") == ""  # 40 less 10 % discount less 1.50 of 100 for shipping
    assert till.problem(margin_floor="28.6%") == (
        "Offer comeback would leave 28.5 % of the price, under its floor of 28.6 %: margin 40.0 %, less discount "
        "10.0 %, less shipping and costs 1.5 %."
    )


@pytest.mark.parametrize(
    ("changes", "left"),
    [
        ({"type": "gift", "percent": None}, 40 - (1.5 + 6)),
        ({"type": "free_shipping", "percent": None, "applies_to": {"minimum_order": 50}}, 40 - 12.9),
        ({"type": "third_free", "percent": None}, 40 - 33.3 - 1.5),
        ({"type": "amount", "percent": None, "amount": 5, "applies_to": {"minimum_order": 50}}, 40 - 10 - 3),
        ({"applies_to": {"minimum_order": 25}}, 40 - 10 - 6),
    ],
)
def test_what_an_offer_costs_depends_on_its_type_and_on_the_order(till: Till, changes: Any, left: float) -> None:
    till.product("A", 0.4)
    till.sell(("A", 100))
    assert f"would leave {left:.1f} %" in till.problem(margin_floor="99%", **changes)


def test_margins_are_weighted_by_revenue_less_refunds_of_complete_orders_of_a_year(till: Till) -> None:
    till.product("A", 0.5)
    till.product("B", 0.1)
    till.sell(("A", 100), ("B", 100), total=150, total_reporting=150)  # in reporting currency 75 each
    till.sell(("B", 100), refunded=75, refunded_reporting=75)  # 25
    till.sell(("A", 500), status="cancelled")
    till.sell(("A", 500), on=D - timedelta(days=366))
    till.sell(("A", 500), on=D)  # not yet known at the beginning of the week
    # 75 x 0.5 + 100 x 0.1 of 175: 27.1 %
    assert "margin 27.1 %" in till.problem(margin_floor="99%")


@pytest.mark.parametrize(
    ("scope", "margin"),
    [
        ({"categories": ["tea"]}, "50.0 %"),
        ({"products": ["B"]}, "10.0 %"),
        ({"categories": ["told by the line"]}, "30.0 %"),
    ],
)
def test_an_offer_is_held_against_what_it_applies_to(till: Till, scope: Any, margin: str) -> None:
    till.product("A", 0.5, "tea")
    till.product("B", 0.1, "coffee")
    till.sell(("A", 100), ("B", 100))
    assert f"margin {margin}" in till.problem(margin_floor="99%", applies_to=scope)


def test_a_bundle_is_held_against_its_own_products(till: Till) -> None:
    for ref, margin in (("A", 0.5), ("B", 0.1), ("C", 0.9)):
        till.product(ref, margin)
    till.sell(("A", 100), ("B", 100), ("C", 100))
    assert "margin 30.0 %" in till.problem(margin_floor="99%", type="bundle", together=["A", "B"])


@pytest.mark.parametrize(("without_margin", "is_refused"), [(20, False), (20.5, True)])
@pytest.mark.parametrize("by", ["product", "order"])
def test_a_fifth_of_the_revenue_may_be_of_unknown_margin_and_no_more(
    till: Till, without_margin: float, is_refused: bool, by: str
) -> None:
    till.product("A", 0.9)
    till.product("X", None)
    till.sell(("A", 80))
    if by == "product":
        till.sell(("X", without_margin))
    else:
        till.sell(total=without_margin, total_reporting=without_margin)
    problem = till.problem(margin_floor="10%")
    assert (
        ("of the revenue of the shop has no known margin, more than 20.0 %" in problem) == is_refused == bool(problem)
    )


def test_a_shop_that_sold_nothing_knows_no_margin(till: Till) -> None:
    assert "nothing of the shop was sold in the past year" in till.problem(margin_floor="0%")


def test_margins_are_those_known_that_day_and_sales_those_of_the_weeks_beginning(till: Till) -> None:
    till.product("A", 0.4)
    till.sell(("A", 100))
    assert till.problem(margin_floor="20%") == ""
    till.product("B", 0.1)
    till.sell(("B", 900), on=D)
    assert till.problem(after(6), margin_floor="20%") == ""
    assert "margin 13.0 %" in till.problem(after(7), margin_floor="20%")
    assert till.problem(after(6), margin_floor="20%") == "", "a campaign that is behind has the sales of its week"
    assert till.room.values("select count(distinct as_of) from offers.sales") == [2]
    till.product("B", 0.9)
    assert till.problem(after(8), margin_floor="20%") == ""
    till.problem(after(70), margin_floor="20%")
    assert till.room.values("select count(distinct as_of) from offers.sales") == [1]


def test_nobody_enters_a_campaign_with_an_offer_under_its_floor_and_others_go_on(
    room: Any, till: Till, caplog: pytest.LogCaptureFixture
) -> None:
    till.product("A", 0.3)
    till.sell(("A", 100))
    till.floor("20%")
    refs = room.customers(2)
    room.members(refs, ["lapsed_30_days"])
    assert room.run(D)["enrolled"] == 0
    assert reasons(room) == [("waits", "margin_floor", 2)]
    assert "Campaign winback enrols nobody on 2026-03-02. Offer comeback would leave 18.5 % of the price" in caplog.text
    assert room.run(D, "lapsed_30_days")["enrolled"] == 2
    till.product("A", 0.4)
    assert room.run(after(1))["enrolled"] == 2


def test_of_people_inside_the_step_with_an_offer_under_its_floor_is_not_sent(room: Any, till: Till) -> None:
    till.product("A", 0.4)
    till.sell(("A", 100))
    till.floor("20%")
    room.customers(2)
    room.run_each(D, after(1))
    till.product("A", 0.2)
    counts = room.run(after(2))
    assert (counts["planned"]["nudge"], counts["skipped"]) == (0, {"margin_floor": 2})
    assert room.values("select offer from offers.coupons") == []
    assert room.run_each(after(3), after(7))[-1]["planned"]["final_offer"] == 2


def test_a_send_by_hand_with_an_offer_under_its_floor_is_refused(room: Any, till: Till) -> None:
    till.floor("20%")
    room.shop.publish(D)
    form = {"campaign": "winback", "at_least_days": 1, "at_most_days": 700}
    with pytest.raises(
        InputError, match=r"Campaign winback is not sent\. Offer comeback: nothing of the shop was sold"
    ):
        by_hand.ask(Shop(room.settings, room.engine), form)


def test_a_test_run_says_that_the_floor_holds_everybody_back(room: Any, till: Till) -> None:
    till.floor("20%")
    room.customers(3)
    room.ready(D)
    assert steps.rehearse(Shop(room.settings, room.engine), "winback", D)["excluded"] == {"margin_floor": 3}
    assert room.table("offers.sales") == []


def test_a_mistake_in_costs_stops_the_day_and_loses_nothing(room: Any, till: Till, include: Path) -> None:
    till.product("A", 0.4)
    till.sell(("A", 100))
    change(include / "costs.yaml", "shipping:", "shiping:")
    room.customers(1)
    assert room.run(D)["enrolled"] == 1, "without a floor nobody reads them"
    till.floor("5%")
    with pytest.raises(InputError, match="unknown key 'shiping'"):
        room.run(after(2))
    change(include / "costs.yaml", "shiping:", "shipping:")
    assert room.run(after(2))["planned"]["nudge"] == 1


def test_an_approval_under_the_floor_enrols_nobody_and_can_be_given_once_it_is_above(
    room: Any, till: Till, include: Path
) -> None:
    till.product("A", 0.4)
    till.sell(("A", 100))
    till.floor("5%")
    room.is_launched = False
    room.customers(1)
    room.run(D)
    shop, at = Shop(room.settings, room.engine), days.known_at(D, room.settings.shop_time_zone)
    (asked,) = approvals.waiting(shop, at)
    till.product("A", 0.01)
    with pytest.raises(DayRefused, match="Offer comeback would leave"):
        approvals.approve(shop, asked.approval_id, "mira", at)
    till.product("A", 0.4)
    assert approvals.approve(shop, asked.approval_id, "mira", at)["enrolled"] == 1


# --- retention check ---


def test_check_tells_every_mistake_and_every_floor(room: Any, till: Till, include: Path) -> None:
    shop = Shop(room.settings, room.engine)
    sound = checking.check(shop)
    assert sound["problems"] == []
    assert "Offer comeback has no margin_floor, so nobody checks what it leaves of the price." in sound["remarks"]
    assert "No day is published yet, so no margin floor was checked." in sound["remarks"]
    till.product("A", 0.2)
    till.sell(("A", 100))
    till.floor("20%", "final")
    room.shop.publish(D)
    change(include / "offers" / "comeback.yaml", "percent: 10", "percent: 100")
    change(include / "campaigns" / "lapsed_30_days.yaml", "owner:", "owners:")
    change(include / "costs.yaml", "sms:", "smss:")
    found = checking.check(shop)["problems"]
    assert [each.split(":")[0].rpartition("/")[2] for each in found] == [
        "comeback.yaml, line 6",
        "lapsed_30_days.yaml, line 5",
        "costs.yaml, line 4",
    ]
    change(include / "costs.yaml", "smss:", "sms:")
    assert "Offer final would leave -1.5 % of the price" in checking.check(shop, ["final"])["problems"][0]
    assert room.table("offers.sales") == []
    with pytest.raises(InputError, match=r"no campaign and no offer 'finl'\. Did you mean 'final'"):
        checking.check(shop, ["finl"])
