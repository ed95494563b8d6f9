"""Reading a campaign's YAML and templates: what is right, and what the errors say (A10, A13, B12)."""

from __future__ import annotations

from datetime import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import schema_snapshot
from retention.campaigns import definitions
from retention.core.errors import InputError


def test_winback_reads_as_it_is_written(include: Path) -> None:
    campaign = definitions.read(include, "winback")
    assert (campaign.re_entry.months, campaign.entry_limit, campaign.control) == (3, 5000, Decimal(0))
    assert (campaign.window_start, campaign.window_end, campaign.grace_days) == (time(9), time(20), 2)
    assert (campaign.order_within, campaign.detect_lift) == (30, Decimal(15))
    assert [campaign.task_id(step) for step in campaign.steps] == [
        "day_0_email",
        "day_2_sms",
        "day_3_audience",
        "day_7_final_offer",
    ]
    assert (campaign.offers["final"].percent, campaign.offers["final"].valid_for) == (20, "24 hours")


def test_all_campaigns_that_come_with_us_can_be_read(include: Path) -> None:
    assert list(definitions.read_all(include)) == definitions.names(include)
    assert "winback" in definitions.names(include)


def test_the_schemas_for_editors_are_the_languages() -> None:
    for file, schema in schema_snapshot.LANGUAGES.items():
        assert file.read_text() == schema_snapshot.in_json(schema()), "run `make schema`"


def test_a_file_without_a_status_is_a_draft(include: Path, write: Any) -> None:
    write("status: live", "review: 2027-03-01")
    assert definitions.read(include, "winback").status == "draft"


def test_times_need_no_quotes_and_numbers_are_not_of_base_sixty(include: Path, write: Any) -> None:
    write('["09:00", "20:00"]', "[09:30, 20:00]")
    campaign = definitions.read(include, "winback")
    assert (campaign.window_start, campaign.window_end) == (time(9, 30), time(20))


def test_the_version_changes_with_yaml_template_layout_and_selection_only(write: Any, include: Path) -> None:
    seen = [definitions.read(include, "winback").version]
    assert definitions.read(include, "winback").version == seen[0]
    for file in (
        "messages/winback/nudge.pl.j2",
        "messages/layout.html.j2",
        "sql/selections/winback.sql",
        "campaigns/winback.yaml",
    ):
        path = include / file
        path.write_text(path.read_text(encoding="utf-8") + "\n", encoding="utf-8")
        seen.append(definitions.read(include, "winback").version)
    assert len(set(seen)) == 5
    assert all(len(version) == 12 for version in seen)


MISTAKES = [
    ("control: 0%", "contorl: 0%", "line 10: unknown key 'contorl'. Did you mean 'control'?"),
    ("about:", "zzz: 1\nabout:", "line 3: unknown key 'zzz'. Known are about, campaign, control,"),
    ("owner: crm@shop.example\n", "", "line 2: the key 'owner' is missing: Who answers for the campaign."),
    ("owner: crm@shop.example", "owner: nobody", 'line 5: owner is "nobody"; write the address'),
    ("control: 0%", "control: 10", "line 10: control is 10; write a share like '10%'."),
    ("control: 0%", "control: 101%", "line 10: control is"),
    ("re_entry: 3 months", "re_entry: quarterly", "line 7: re_entry is \"quarterly\"; write 'never', or a time like"),
    ("re_entry: 3 months", "entry: {event: cart_updated}", "line 7: nobody can enter by an event yet"),
    ("5000 per day", "5000", "line 8: entry_limit is 5000; write a number of customers a day, like '5000 per day'."),
    ("[order, unsubscribe]", "[orders]", 'line 9: exit_on is "orders"; write order, unsubscribe or left_selection; or'),
    ("[order, unsubscribe]", "[{joined: loyl}]", "line 9: there is no selection 'loyl'. Did you mean 'loyal'?"),
    ("[order, unsubscribe]", "[{joined: winback}]", "line 9: everybody inside has joined 'winback'; write another"),
    (
        "[order, unsubscribe]",
        "[{joined: loyal, order_of: Tea}]",
        "line 9: an exit says one thing, like {joined: loyal}",
    ),
    ("order_within: 30 days", "order_within: soon", 'line 11: order_within is "soon"; write a number of days'),
    ('["09:00", "20:00"]', '["9", "20:00"]', 'line 12: send_between is "9"; write a time like "09:00".'),
    ('["09:00", "20:00"]', '["20:00", "09:00"]', "line 12: the window 20:00 to 09:00 is empty"),
    ("steps:", "offers: {}\nsteps:", "line 14: offers stand in files of their own, like offers/comeback.yaml"),
    ("day: 2, channel: sms", "day: 2, channel: fax", 'line 16: channel is "fax"; write email, sms, audience or postal'),
    ("2, channel: sms, offer: comeback", "2, channel: audience", "line 16: an audience ends: write until_day"),
    ("day: 2, channel: sms", "day: 2, until_day: 4, channel: sms", "line 16: until_day belongs to an audience"),
    ("day: 2, channel: sms", "day: 2, until_day: 1, channel: audience", "line 16: until_day 1 is before day 2"),
    ("day: 2, channel: sms", "day: 2, until_day: 4, channel: audience", "line 16: an audience carries no code"),
    (
        "step: nudge, day: 2, channel: sms, offer: comeback",
        "step: a, day: 2, until_day: 4, channel: audience}\n  - {step: b, day: 2, until_day: 5, channel: audience",
        "line 17: two audiences on day 2",
    ),
    ("unless: clicked}", "unless: answered}", 'line 16: unless is "answered"; write a condition like'),
    (
        "unless: clicked}",
        "unless: {clickd: x}}",
        "line 16: unknown key 'clickd'. Did you mean 'clicked'",
    ),
    ("unless: clicked}", "unless: [{in: loya}]}", "line 16: there is no selection 'loya'. Did you mean"),
    (
        "unless: clicked}",
        "unless: {clicked: nudge}}",
        "line 16: there is no step before this one 'nudge'",
    ),
    (
        "offer: comeback",
        "offer: comeback, only_if: {in: loyal, not_in: winback}",
        "line 16: a condition says one thing",
    ),
    ("offer: comeback", "offer: comeback, only_if: {has_coupon: x}", "line 16: there is no offer of its steps 'x'"),
    ("offer: comeback", "offer: comeback, only_if: {reachable: fax}", 'line 16: reachable is "fax"; write email, sms,'),
    ("day: 0, channel: email", "day: 0, channel: email, unless: clicked", "line 15: nothing was sent before this step"),
    ("offer: comeback", "offer: comeback, fallback: sms", "line 16: the fallback is sms too; write another channel."),
    ("offer: comeback", "offer: comeback, fallback: audience", "line 16: an audience is no message"),
    ("offer: comeback", "offer: comeback, after: we_mis_you", "line 16: there is no earlier step 'we_mis_you'"),
    ("offer: comeback", "offer: comeback, variant: a", "line 16: there is no variant 'a' of the campaign."),
    ("offer: comeback", "offer: {a: comeback}", "line 16: there is no variant 'a' of the campaign."),
    ("offer: comeback", "offer: comeback, variants: {a: 50%}", "line 16: variants is"),
    ("offer: comeback", "offer: comeback, variants: {a: 50%, b: 40%}", "line 16: the shares of a, b are 90% together"),
    (
        "offer: comeback",
        "offer: comeback, variants: {a: 50%, sms: 50%}",
        "line 16: 'sms' is a channel; call the variant",
    ),
    ("control: 0%", "control: 0%\nvariants: {a: 30%, b: 30%}", "line 11: the shares of a, b are 60% together"),
    ("status: live", "status: on", 'line 4: status is "on"; write draft, live or ended.'),
    ("status: live", "review: soon", 'line 4: review is "soon"; write a day like 2027-03-01.'),
    ("status: live", "roles: {contents: a@b.example}", "line 4: unknown key 'contents'. Did you mean 'content'?"),
    ("detect_lift: 15%", "kpis: [sales]", 'line 11: kpis is "sales"; write return_rate, revenue, order_value,'),
    ("offer: comeback", "offer: comebak", "line 16: there is no offer 'comebak' in "),
    ("day: 2", "day: 0", "line 16: two steps on day 0: nobody gets two messages on one day; move one."),
    ("day: 2", "day: 9", "line 17: day 3 after day 9; write steps in order of days."),
    ("day: 2", "day: -2", "line 16: day is -2; write a number of days after entry"),
    ("step: nudge", "step: we_miss_you", "line 16: the step 'we_miss_you' is there twice"),
    ("step: nudge", "step: exit", "line 16: 'exit' is a part of every day of a campaign; call the step otherwise."),
    ("owner: crm@shop.example", r'owner: "crm@shop.example\0"', "line 5: it has a sign that no database keeps"),
    ("owner: crm@shop.example", r'owner: "\ud83d\ude00@shop.example"', "line 5: it has a sign that no database keeps"),
    ("step: nudge", "step: ../nudge", 'line 16: step is "../nudge"; write a name of small letters'),
    ("selection: winback", "selection: winbak", "line 6: there is no selection 'winbak'"),
    ("selection: winback", "selection: ../winback", 'line 6: selection is "../winback"; write a name'),
    ("campaign: winback", "campaign: comeback", "line 2: campaign is \"comeback\"; write 'winback'"),
    ("owner:", "about: twice\nowner:", "line 5: the key 'about' is written twice; keep one of them."),
    ("goal: {", "goal: &a {more: *a, ", "line 11: aliases (*name) are not allowed"),
    ("steps:", "steps: [", "line 15: expected the node content"),
]


@pytest.mark.parametrize(("old", "new", "message"), MISTAKES, ids=[each[1][:30] for each in MISTAKES])
def test_a_mistake_is_named_with_its_line_and_what_to_write(
    include: Path, write: Any, old: str, new: str, message: str
) -> None:
    write(old, new)
    with pytest.raises(InputError) as caught:
        definitions.read(include, "winback")
    assert f"{include / 'campaigns' / 'winback.yaml'}, {message}" in str(caught.value)


def test_an_audience_ends_with_an_order_and_shares_its_days_with_messages(include: Path, write: Any) -> None:
    write("day: 3, until_day: 7", "day: 2, until_day: 7")
    campaign = definitions.read(include, "winback")
    assert [campaign.task_id(step) for step in campaign.steps][1:3] == ["day_2_sms", "day_2_audience"]
    assert (campaign.steps[1].until_day, campaign.steps[2].until_day) == (None, 7)
    assert not any(name.startswith("retarget") for name in campaign.templates)
    write("[order, unsubscribe]", "[unsubscribe]")
    with pytest.raises(InputError, match="line 17: who has bought leaves an audience; write order in exit_on"):
        definitions.read(include, "winback")


def test_variants_of_a_step_are_called_otherwise_than_those_of_the_campaign(include: Path, write: Any) -> None:
    write("control: 0%", "control: 0%\nvariants: {a: 50%, b: 50%}")
    write("day: 0, channel: email", "day: 0, channel: email, variants: {a: 50%, c: 50%}")
    with pytest.raises(InputError, match=r"line 16: 'a' is a variant or level of the campaign; call that of the step"):
        definitions.read(include, "winback")


@pytest.mark.parametrize("content", [b"", b"just words", b"- a list", b"\xff\xfe", b"a: \0", b"a: {", b"&a [*a]"])
def test_a_file_that_is_no_campaign_is_refused(include: Path, content: bytes) -> None:
    (include / "campaigns" / "winback.yaml").write_bytes(content)
    with pytest.raises(InputError, match=r"winback\.yaml"):
        definitions.read(include, "winback")


@pytest.mark.parametrize("name", ["../winback", "Winback", "win back", "", "a" * 41, "winback\n"])
def test_a_name_that_is_no_name_is_refused(include: Path, name: str) -> None:
    with pytest.raises(InputError, match="is not a campaign's name"):
        definitions.read(include, name)


def test_an_unknown_campaign_suggests_the_nearest(include: Path) -> None:
    with pytest.raises(InputError, match=r"no campaign 'winbak'.*Did you mean 'winback'"):
        definitions.read(include, "winbak")


TEMPLATE_MISTAKES = [
    ("{{ first_nam }}", "line 5: unknown variable 'first_nam'; known are campaign, can_reply,"),
    ("{{ coupon_code }}", "line 5: the variable 'coupon_code' is known only in a step with an offer"),
    ("{{ first_name", "line "),
    ("{{ last_order_on | dya }}", "line 5: No filter named 'dya'."),
    ('{% include "nothing.j2" %}', "line 5: there is no template 'nothing.j2' in"),
    ('{% include "../campaigns/winback.yaml" %}', "line 5: there is no template '../campaigns/winback.yaml'"),
    ("{% set unsubscribe_url = 'bye' %}", "line 5: 'unsubscribe_url' is given; call a variable of your own otherwise."),
    ("{% include first_name %}", "line 5: there is no template 'with a name made at run time'"),
    ("{% endblock %}", "line"),
]


@pytest.mark.parametrize(("words", "message"), TEMPLATE_MISTAKES, ids=[each[0] for each in TEMPLATE_MISTAKES])
def test_a_mistake_in_a_template_is_named_with_its_line(include: Path, words: str, message: str) -> None:
    file = include / "messages" / "winback" / "we_miss_you.nl.j2"
    written = file.read_text(encoding="utf-8").splitlines()
    file.write_text("\n".join([*written[:4], words, *written[4:]]), encoding="utf-8")
    with pytest.raises(InputError) as caught:
        definitions.read(include, "winback")
    assert f"{file}, {message}" in str(caught.value)


def test_no_campaign_has_a_way_out_of_texts_of_its_own(include: Path) -> None:
    file = include / "messages" / "winback" / "opt_out.txt.j2"
    file.write_text("")
    with pytest.raises(InputError, match=r"opt_out\.txt\.j2: how to get no more texts is said alike in all campaigns"):
        definitions.read(include, "winback")


def test_a_step_without_an_english_template_is_refused(include: Path) -> None:
    file = include / "messages" / "winback" / "nudge.en.j2"
    file.unlink()
    with pytest.raises(InputError) as caught:
        definitions.read(include, "winback")
    assert f"{file} is missing" in str(caught.value)


def test_a_template_without_a_block_is_refused(include: Path) -> None:
    (include / "messages" / "winback" / "nudge.el.j2").write_text("{% block txt %}Γεια{% endblock %}")
    with pytest.raises(InputError, match=r"nudge\.el\.j2, line 1: the block 'text' is missing"):
        definitions.read(include, "winback")


@pytest.mark.parametrize(
    "text",
    ["Reply STOP", "{% if first_name %}{% include 'opt_out.txt.j2' %}{% endif %}", "{{ unsubscribe_url | lower }}"],
)
def test_an_sms_that_does_not_always_say_how_to_get_no_more_is_refused(include: Path, text: str) -> None:
    file = include / "messages" / "winback" / "nudge.pl.j2"
    file.write_text("{# words #}\n{% block text %}{{ coupon_code }} " + text + "{% endblock %}")
    with pytest.raises(InputError, match=r"nudge\.pl\.j2, line 2: an SMS must say how .*include \"opt_out.txt.j2\""):
        definitions.read(include, "winback")
    file.write_text("{% block text %}{{ coupon_code }} {{ unsubscribe_url }}{% endblock %}")
    definitions.read(include, "winback")


def test_a_campaigns_own_layout_goes_before_the_shared_one(include: Path) -> None:
    (include / "messages" / "winback" / "layout.html.j2").write_text("<p>{% block html %}{% endblock %}")
    assert definitions.read(include, "winback").templates["layout.html.j2"].startswith("<p>")
    assert definitions.read(include, "lapsed_30_days").templates["layout.html.j2"].startswith("{#")


def test_every_known_variable_is_described() -> None:
    from retention.campaigns.templates import VARIABLES

    assert definitions.known_variables == frozenset(VARIABLES)
    assert all(VARIABLES.values())


def test_a_new_campaign_is_one_yaml_and_its_templates(room: Any, include: Path, shop: Any) -> None:
    """B12: no Python is written for it."""
    (include / "campaigns" / "thanks.yaml").write_text(
        "campaign: thanks\nabout: Loyal customers get a thank-you.\nstatus: live\nowner: crm@shop.example\n"
        "selection: loyal\n"
        "re_entry: never\nexit_on: []\ncontrol: 0%\ngoal: {order_within: 7 days}\nsend_between: [10:00, 12:00]\n"
        "grace_days: 0\nsteps:\n  - {step: thank_you, day: 3, channel: sms}\n"
    )
    (include / "messages" / "thanks").mkdir()
    (include / "messages" / "thanks" / "thank_you.en.j2").write_text(
        "{% block text %}Thanks! {% include 'opt_out.txt.j2' %}{% endblock %}"
    )
    from datetime import date

    room.members([shop.customer("L1")], ["loyal", "send_base"])
    assert room.run(date(2026, 5, 4), "thanks")["enrolled"] == 1
    for day in (5, 6, 7):
        counts = room.run(date(2026, 5, day), "thanks")
    assert counts["planned"] == {"thank_you": 1}
