"""Random campaigns, written with all the words of the language, and random days of a small shop that plays them."""

from __future__ import annotations

import itertools
import shutil
from datetime import date, datetime, time, timedelta
from pathlib import Path
from random import Random
from typing import Any

import yaml

from retention.campaigns import approvals, definitions, steps
from retention.core import days
from retention.core.shop import Shop
from retention.delivery.worker import deliver
from shop import INCLUDE

FIRST = date(2026, 3, 2)  # the clocks of Europe and New York change within the weeks that follow
SELECTIONS = ("lapsed_30_days", "loyal", "one_time_buyers")
ALL = (*SELECTIONS, "send_base")
LISTS = ("newsletter", "club")
HOMES: tuple[dict[str, Any], ...] = (
    {"country": "NL", "time_zone": "Europe/Amsterdam", "language": "nl"},
    {"country": "GR", "time_zone": "Europe/Athens", "language": "el"},
    {"country": "US", "time_zone": "America/New_York", "language": "en"},
    {"country": "US", "time_zone": None, "language": None},
)
EXITS = (["order", {"joined": "loyal"}], ["order", "unsubscribe"], ["unsubscribe"], ["order", "left_selection"])
LARGE: tuple[dict[str, Any], ...] = (
    {"type": "percent", "percent": 15},
    {"type": "amount", "amount": 5, "applies_to": {"minimum_order": 20}},
    {"type": "gift", "says": {"en": "a cup"}},
)
WORDS = {
    "email": '{% extends "layout.html.j2" %}{% block subject %}Hello{% endblock %}{% block text %}Hello{% endblock %}'
    "{% block html %}Hello{% endblock %}",
    "sms": '{% block text %}Hello. {% include "opt_out.txt.j2" %}{% endblock %}',
}


class Town:
    """A shop with random campaigns: `play` does a day, and what happens in it."""

    def __init__(self, room: Any, seed: int) -> None:
        self.room, self.random = room, Random(seed)
        self.zone = room.settings.shop_time_zone
        self.shop = Shop(room.settings, room.engine)
        include: Path = room.settings.include
        for file in [*(include / "campaigns").glob("*.yaml")]:
            file.unlink()
        shutil.copy(INCLUDE / "caps.yaml", include)
        self.offer(include, "small", {"type": "percent", "percent": 5, "valid_for": "14 days"})
        self.offer(include, "large", self.random.choice(LARGE) | {"valid_for": "48 hours"})
        for number in range(3):
            self.write(include, f"c{number}")
        room.is_launched = False
        self.people = [f"p{number}" for number in range(14)]
        for ref in self.people:
            self.settle(ref)

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def offer(self, include: Path, name: str, content: dict[str, Any]) -> None:
        (include / "offers").mkdir(exist_ok=True)
        about = {"offer": name, "about": "Random.", "owner": "crm@shop.example"}
        (include / "offers" / f"{name}.yaml").write_text(yaml.safe_dump(about | content))

    def write(self, include: Path, name: str) -> None:
        """A campaign with its templates."""
        pick, r = self.random.choice, self.random
        variants = {"a": "50%", "b": "50%"} if self.chance(0.5) else {}
        levels: dict[str, Any] = {}
        if self.chance(0.5):
            first = pick([{"in": "loyal"}, {"languages": ["nl", "el"]}, {"countries": ["US"]}])
            levels = {"high": first | {"owner": "vip@shop.example"}, "low": {"owner": "crm@shop.example"}}
        written: list[dict[str, Any]] = [{"step": "s0", "channel": "email", "day": 0}]
        for number, day in enumerate(sorted(r.sample(range(1, 9), k=r.randint(1, 3))), start=1):
            channel = pick(["email", "sms"])
            step: dict[str, Any] = {"step": f"s{number}", "channel": channel}
            step |= {"hours": day * 24 + r.randint(0, 20)} if self.chance(0.4) else {"day": day}
            if self.chance(0.3):
                step["fallback"] = "sms" if channel == "email" else "email"
            if self.chance(0.6):
                step[pick(["only_if", "unless"])] = pick(
                    ["clicked", {"clicked": "s0"}, "ordered", {"in": "loyal"}, {"not_in": "loyal"}, "has_coupon"]
                )
            if self.chance(0.4):
                step["offer"] = {"a": "small", "b": "large"} if variants and self.chance(0.5) else "small"
            if variants and self.chance(0.3):
                step["variant"] = "a"
                step["offer"] = "small"
            if levels and self.chance(0.3):
                step["level"] = pick(["high", "low"])
            if self.chance(0.3):
                step["variants"] = {"calm": "50%", "loud": "50%"}
            written.append(step)
        selection = pick(SELECTIONS)
        campaign: dict[str, Any] = {
            "campaign": name,
            "about": "Random.",
            "status": "live",
            "owner": "crm@shop.example",
            "selection": selection,
            "exit_on": pick(EXITS[selection == "loyal" :]),
            "control": pick(["0%", "30%", "50%"]),
            "goal": {"order_within": "30 days"},
            "send_between": pick([["09:00", "20:00"], ["11:00", "15:00"]]),
            "grace_days": pick([0, 1, 2]),
            "steps": written,
            "priority": pick([1, 50]),
        }
        if self.chance(0.8):
            campaign["group"] = "together"
        if self.chance(0.2):
            campaign["entry"] = {"every": "week", "on": pick(["monday", "thursday"]), "catch_up": "2 days"}
        else:
            campaign["re_entry"] = pick(["never", "5 days", "14 days"])
        if self.chance(0.4):
            campaign |= {"entry_limit": "3 per day", "enter_first": pick(["last_lapsed", "highest_revenue"])}
        if self.chance(0.3):
            campaign["lists"] = [pick(LISTS)]
        if self.chance(0.5):
            campaign["no_send_on"] = ["public holidays", "2026-03-10", "2026-03-11"]
        if self.chance(0.5):
            campaign["migrate"] = "yes"
        campaign |= {key: value for key, value in (("variants", variants), ("levels", levels)) if value}
        (include / "campaigns" / f"{name}.yaml").write_text(yaml.safe_dump(campaign, sort_keys=False))
        folder = include / "messages" / name
        folder.mkdir()
        for step in written:
            (folder / f"{step['step']}.en.j2").write_text(WORDS[step["channel"]])
            if "fallback" in step:
                (folder / f"{step['step']}.{step['fallback']}.en.j2").write_text(WORDS[step["fallback"]])

    def settle(self, ref: str) -> None:
        """A customer with a home, consents, an order or two, lists and selections."""
        consents = tuple(each for each in ("email", "sms") if self.chance(0.9))
        household = {"household_ref": f"h{self.random.randint(0, 3)}"} if self.chance(0.4) else {}
        self.room.shop.customer(ref, consents=consents, **self.random.choice(HOMES), **household)
        self.room.shop.order(
            ref, FIRST - timedelta(days=self.random.randint(30, 500)), total=self.random.randint(5, 500)
        )
        for selection in ALL:
            if selection == "send_base" or self.chance(0.6):
                self.room.members([ref], [selection])
        for name in LISTS:
            if self.chance(0.6):
                self.execute(
                    "insert into shop.list_members (customer_id, list, since, until, updated_at, known_at) values"
                    " (shop.customer_id('test', :ref), :name, '2026-01-01+00', :until, '2026-01-01+00',"
                    " '2026-01-01+00')",
                    ref=ref,
                    name=name,
                    until=self.at(FIRST + timedelta(days=self.random.randint(5, 40)), 3) if self.chance(0.3) else None,
                )

    def at(self, day: date, hour: int) -> datetime:
        return datetime.combine(day, time(hour), self.zone)

    def execute(self, statement: str, **values: Any) -> None:
        self.room.execute(statement, **values)

    def play(self, number: int) -> None:
        """What happens on a day, its run, and the sends of the day after it."""
        day = FIRST + timedelta(days=number)
        for ref in self.people:
            if self.chance(0.03):
                self.room.shop.order(ref, day, status=self.random.choice(["complete", "pending", "cancelled"]))
            if self.chance(0.005):
                self.room.suppress(ref, self.random.choice(["email", "sms", "all"]), day)
            if self.chance(0.05):
                self.move(ref, self.random.choice(SELECTIONS), day)
        if self.chance(0.1):  # a campaign is edited
            file = self.random.choice(sorted((self.room.settings.include / "campaigns").glob("*.yaml")))
            file.write_text(file.read_text() + f"# {number}\n")
        if self.chance(0.05):  # nobody publishes the day
            return
        self.room.ready(day, *ALL)
        over = days.known_at(day, self.zone)
        for name in itertools.chain.from_iterable(definitions.groups(self.room.settings.include)):
            steps.run_day(self.shop, name, day, now=over)
        for asked in approvals.waiting(self.shop, over):  # the first launches
            if self.chance(0.6):
                approvals.approve(self.shop, asked.approval_id, "jo", over)
            elif self.chance(0.5):
                approvals.refuse(self.shop, asked.approval_id, "jo", over)
        for hour in (10, 13, 19, 23):
            at = self.at(day + timedelta(days=1), hour)
            deliver(self.shop, at=at)
            self.execute(
                "update delivery.messages set human_clicked_at = :at where human_clicked_at is null"
                " and state = 'accepted' and hashtext(message_key || :salt) % 5 = 0",
                at=at + timedelta(minutes=5),
                salt=str(number),
            )

    def move(self, ref: str, selection: str, day: date) -> None:
        """The customer leaves the selection, or comes into it."""
        left = self.room.values(
            "update selections.membership set left_on = :day where selection = :selection and left_on is null"
            " and entered_on < :day and customer_id = shop.customer_id('test', :ref) returning customer_id",
            day=day,
            selection=selection,
            ref=ref,
        )
        inside = self.room.values(
            "select 1 from selections.membership where selection = :selection and left_on is null"
            " and customer_id = shop.customer_id('test', :ref)",
            selection=selection,
            ref=ref,
        )
        if not left and not inside:
            self.room.members([ref], [selection], since=day)
