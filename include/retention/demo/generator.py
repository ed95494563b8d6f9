"""The demo shop: daily files of a web shop that never was, made from a seed.

The same arguments give the same bytes. A day's files depend on the seed, on the size of the shop and on the days
before, never on later ones: a longer run from the same first day extends a shorter one. The shop is simulated day by
day and only customers and open orders are kept in memory, so its size is bounded by the disk.

People have rhythms of their own; most of those who stop stay away for more than a year, some come back after it. On
every day some customers order for the last time in more than a year, so that every day somebody crosses that edge.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import unicodedata
from bisect import bisect
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from itertools import accumulate
from pathlib import Path
from random import Random
from typing import Any

from retention.core.errors import InputError
from retention.demo.words import (
    ADDRESSES,
    COUNTRIES,
    COUPONS,
    DOMAINS,
    MARGINS,
    NAMES,
    PHONES,
    PRODUCTS,
    WITHOUT_MARGIN,
)

ORDERS = "order_id customer_id created_at status total refunded currency coupon store updated_at".split()
LINES = "order_id line sku category name quantity unit_price".split()
CONSENTS = "customer_id purpose channel granted basis origin text_version changed_at".split()
LISTS = "customer_id list since until".split()
CATALOGUE = "sku category name margin price picture url updated_at".split()
SOFT_OPT_IN = ("NL", "DE")  # where an address taken in a sale may be written to without asking
COMPLETE = "_COMPLETE"  # an empty file, written last: the day's files are whole

MOST_CUSTOMERS, MOST_DAYS = 100_000_000, 3_660  # all customers are kept in memory; ten years
GROWTH_DAYS = 420  # the shop has `customers` customers after so many days, and goes on at that pace
AT_THE_START = 0.4  # share of them who are there on the first day
QUIET_DAYS = 367  # who stops stays away at least so long
EARLY_DAYS = 60  # in these more people stop: the winter crowd
STOPPING = (0.0025, 0.0012)  # share of `customers` who stop on a day: early, later
COMING_BACK = 0.55  # share of those who stop
VIP_ORDERS = 8  # the order of this number brings a customer into the club
HOURS = list(accumulate([1, 1, 0, 0, 0, 1, 2, 4, 6, 8, 9, 9, 8, 8, 7, 7, 8, 9, 11, 13, 14, 12, 7, 3]))
CATEGORIES = list(PRODUCTS)


@dataclass(slots=True)
class Customer:
    """What the simulation keeps of a customer; everything else follows from the seed and the number."""

    number: int
    registered_at: float
    gap: float  # days between orders, on average
    favourite: int  # category
    orders: int = 0
    revision: int = 0  # how often the profile has changed
    consents: tuple[str, ...] = ()  # channels
    newsletter_since: float | None = None  # None: not on it

    @property
    def ref(self) -> str:
        return f"C{self.number:06d}"


@dataclass(slots=True)
class Order:
    """One order, as its newest row says."""

    ref: str
    customer: str
    created_at: float
    status: str
    total: int  # cents
    coupon: str
    store: str
    updated_at: float
    refunded: int = 0


def generate(
    to: Path,
    *,
    customers: int = 2000,
    days: int = 420,
    seed: int = 7,
    until: date,
    zone: tzinfo,
    bad_share: float = 0.005,
) -> dict[str, Any]:
    """Write the `days` days that end with `until` below `to`, a folder each; what they hold.

    `customers` is how many the shop has after 420 days (two fifths on the first day). `bad_share` of the rows are bad;
    each is a row of its own, so all others hold together without it. Returns {first_day, last_day, days, customers,
    orders, rows: {feed: n}, bad_rows: {feed: {kind: n}}}. A file that is there with the same bytes is not touched.
    """
    if not (1 <= customers <= MOST_CUSTOMERS and 1 <= days <= MOST_DAYS and 0 <= seed < 2**63 and 0 <= bad_share < 1):
        raise InputError(
            f"The demo shop needs 1 to {MOST_CUSTOMERS} customers, 1 to {MOST_DAYS} days, a seed from 0 on of at most "
            "18 digits, and a bad share from 0 to below 1."
        )
    shop = _Shop(customers, seed, until - timedelta(days=days - 1), zone, bad_share)
    for index in range(days):
        _write_day(to / shop.day(index).isoformat(), shop.files(index))
    return {
        "first_day": shop.first.isoformat(),
        "last_day": until.isoformat(),
        "days": days,
        "customers": len(shop.customers),
        "orders": shop.orders,
        "rows": dict(shop.rows),
        "bad_rows": {feed: dict(kinds) for feed, kinds in shop.bad_rows.items()},
    }


class _Shop:
    """The simulation: `files` must be called for day 0, 1, 2 ... in order."""

    def __init__(self, size: int, seed: int, first: date, zone: tzinfo, bad_share: float) -> None:
        self.size, self.seed, self.first, self.zone, self.bad_share = size, seed, first, zone, bad_share
        self.customers: list[Customer] = []
        self.orders = 0  # that have reached a file
        self.numbers = 0
        self.visits: dict[int, list[int]] = defaultdict(list)  # day -> numbers of the customers who order
        self.changes: dict[int, list[tuple[Order, str, int]]] = defaultdict(list)  # day -> order, status, refunded
        self.late: list[Order] = []  # orders of today that reach the files tomorrow
        self.vips: list[tuple[Customer, float]] = []  # who came into the club today, and when
        self._lines_of_late: dict[str, list[list[str]]] = {}
        self.rows: Counter[str] = Counter()
        self.bad_rows: dict[str, Counter[str]] = defaultdict(Counter)

    def day(self, index: int) -> date:
        return self.first + timedelta(days=index)

    def files(self, index: int) -> dict[str, bytes]:
        """The files of a day by name."""
        self.random = Random(f"{self.seed}/{index}")
        self.own = Random(f"{self.seed}/lists/{index}")  # of lists and products: the other feeds are as without them
        self.index = index
        self.midnight = self._midnight(index)
        self.length = self._midnight(index + 1) - self.midnight  # 23 or 25 hours when the clock changes
        newcomers = self._register()
        profiles = [*newcomers, *self._change_profiles(bool(newcomers))]
        consents = [*(row for each in newcomers for row in self._first_consents(each)), *self._change_consents()]
        orders, lines = self._place_orders()
        feeds: dict[str, list[Any]] = {
            "orders": [self._order_row(order) for order in self._change_orders() + orders],
            "order_lines": lines,
            "customers": [self._profile(each) for each in profiles],
            "consents": consents,
        }
        for feed, rows in feeds.items():
            self._add_bad_rows(feed, rows, self.random)
        feeds["list_members"] = list(self._change_lists(newcomers))
        feeds["products"] = self._catalogue() if index == 0 or self.day(index).weekday() == 0 else []
        for feed in ("list_members", "products"):
            self._add_bad_rows(feed, feeds[feed], self.own)
        files = {
            "orders.csv": _csv(ORDERS, feeds["orders"]),
            "order_lines.csv": _csv(LINES, feeds["order_lines"]),
            "customers.jsonl": "".join(
                json.dumps(row, ensure_ascii=False) + "\n" for row in feeds["customers"]
            ).encode(),
            "consents.csv.gz": gzip.compress(_csv(CONSENTS, consents), mtime=0),
            "list_members.csv": _csv(LISTS, feeds["list_members"]),
        }
        if feeds["products"]:
            files["products.csv"] = _csv(CATALOGUE, feeds["products"])
        return files

    # --- customers -----------------------------------------------------------------------------------------------

    def _register(self) -> list[Customer]:
        """Those who register today; on the first day also those who did in the two years before."""
        at_start = max(1, round(self.size * AT_THE_START))
        target = at_start + (self.size - at_start) * (self.index + 1) // GROWTH_DAYS
        newcomers = []
        for number in range(len(self.customers), target):
            registered_at = self._moment()
            if number < at_start:
                registered_at -= self.random.randrange(1, 730) * 86400
            newcomer = Customer(
                number=number,
                registered_at=registered_at,
                gap=min(max(self.random.lognormvariate(3.3, 0.6), 5), 150),
                favourite=self.random.randrange(len(CATEGORIES)),
            )
            self.visits[self._first_visit(newcomer, number < at_start)].append(number)
            newcomers.append(newcomer)
        self.customers += newcomers
        return newcomers

    def _first_visit(self, customer: Customer, known_before: bool) -> int:
        if known_before:  # somewhere inside a gap
            return self.index + int(self.random.random() * customer.gap * 1.3)
        return self.index + (0 if self.random.random() < 0.75 else int(self.random.expovariate(1 / 20)))

    def _change_profiles(self, is_any: bool) -> list[Customer]:
        """Customers with a new e-mail address. At least one row a day goes out."""
        changed = _some(self.random, len(self.customers) * 0.0006)
        numbers = {self.random.randrange(len(self.customers)) for _ in range(changed or (0 if is_any else 1))}
        people = [self.customers[number] for number in sorted(numbers)]
        people = [each for each in people if each.registered_at < self.midnight]
        for each in people:
            each.revision += 1
        return people

    def _profile(self, customer: Customer) -> dict[str, Any]:
        """The customer's row. The two members of a household share name and country, and sometimes an address."""
        head, household = self._household(customer.number)
        country, language, time_zone, surname = _family(Random(f"{self.seed}/family/{head}"))
        own = Random(f"{self.seed}/customer/{customer.number}")
        is_man = own.random() < 0.5
        women, men, _ = NAMES[language]
        first = own.choice(men if is_man else women)
        last = surname[is_man]
        return {
            "customer_id": customer.ref,
            "email": _email(own, customer, first, last, head if household else None),
            "phone": _phone(own, country),
            "first_name": first,
            "last_name": last,
            **_address(Random(f"{self.seed}/address/{head}"), country),
            "language": language,
            "country": country,
            "time_zone": time_zone if own.random() < 0.98 else None,
            "household": household,
            "registered_at": self._text(customer.registered_at),
            "updated_at": self._text(self._moment() if customer.revision else customer.registered_at),
        }

    def _household(self, number: int) -> tuple[int, str | None]:
        """The number that its members have in common, and its reference; no reference for those who live alone."""
        is_pair = Random(f"{self.seed}/pair/{number // 2}").random() < 0.2
        return (number - number % 2, f"H{number // 2:06d}") if is_pair else (number, None)

    # --- consents ------------------------------------------------------------------------------------------------

    def _first_consents(self, customer: Customer) -> Iterable[list[str]]:
        origin = self.random.choice(["checkout", "checkout", "account", "store"])
        at = customer.registered_at
        own = Random(f"{self.seed}/consents/{customer.number}")
        country, *_ = _family(Random(f"{self.seed}/family/{self._household(customer.number)[0]}"))
        is_soft = country in SOFT_OPT_IN and origin == "checkout" and own.random() < 0.3
        for channel, share in (("email", 0.86), ("sms", 0.5)):
            luck = self.random.random()
            if luck < share:
                customer.consents += (channel,)
                basis = "soft_opt_in" if is_soft and channel == "email" else "consent"
                yield self._consent_row(customer, channel, "yes", origin, at, basis)
            elif luck < share + 0.05:
                yield self._consent_row(customer, channel, "no", origin, at)
        if "email" in customer.consents and own.random() < 0.2:
            yield self._consent_row(customer, "audience", "yes", origin, at)

    def _change_consents(self) -> Iterable[list[str]]:
        """Withdrawals, and now and then somebody who agrees after all."""
        for _ in range(_some(self.random, len(self.customers) * 0.0005)):
            customer = self.customers[self.random.randrange(len(self.customers))]
            channel = self.random.choice(["email", "sms"])
            if customer.registered_at >= self.midnight:
                continue
            if channel in customer.consents:
                customer.consents = tuple(each for each in customer.consents if each != channel)
                yield self._consent_row(customer, channel, "no", "preferences", self._moment())
            elif self.random.random() < 0.2:
                customer.consents += (channel,)
                yield self._consent_row(customer, channel, "yes", "preferences", self._moment())

    def _consent_row(
        self, customer: Customer, channel: str, granted: str, origin: str, at: float, basis: str = "consent"
    ) -> list[str]:
        return [customer.ref, "marketing", channel, granted, basis, origin, "2025-01", self._text(at)]

    # --- lists and products ---------------------------------------------------------------------------------------

    def _change_lists(self, newcomers: list[Customer]) -> Iterable[list[str]]:
        """Who comes to the newsletter, leaves it or returns, and who comes into the club."""
        for customer in newcomers:
            if self.own.random() < 0.6:
                yield self._join_newsletter(customer, customer.registered_at)
        changed = range(_some(self.own, len(self.customers) * 0.0008))
        for number in sorted({self.own.randrange(len(self.customers)) for _ in changed}):
            customer, since = self.customers[number], self.customers[number].newsletter_since
            if customer.registered_at >= self.midnight:
                continue
            if since is not None:
                customer.newsletter_since = None
                yield self._list_row(customer, "newsletter", since, self._moment(self.own))
            elif self.own.random() < 0.2:
                yield self._join_newsletter(customer, self._moment(self.own))
        for customer, moment in self.vips:
            yield self._list_row(customer, "vip_club", moment)
        self.vips = []

    def _join_newsletter(self, customer: Customer, since: float) -> list[str]:
        customer.newsletter_since = since
        return self._list_row(customer, "newsletter", since)

    def _list_row(self, customer: Customer, name: str, since: float, until: float | None = None) -> list[str]:
        return [customer.ref, name, self._text(since), "" if until is None else self._text(until)]

    def _catalogue(self) -> list[list[str]]:
        """What there is to buy: the same every week."""
        since = self._text(self._midnight(0))
        return [
            [
                sku := _sku(category, number),
                category,
                name,
                "" if name in WITHOUT_MARGIN else f"{MARGINS[category] + number / 100:.2f}",
                _money(price),
                f"https://shop.example/pictures/{sku.lower()}.jpg",
                f"https://shop.example/products/{sku.lower()}",
                since,
            ]
            for category, products in PRODUCTS.items()
            for number, (name, price) in enumerate(products, start=1)
        ]

    # --- orders --------------------------------------------------------------------------------------------------

    def _place_orders(self) -> tuple[list[Order], list[list[str]]]:
        """Today's orders in the order of their time, and their lines. No day's file is empty: somebody always comes."""
        visitors = [self.customers[number] for number in self.visits.pop(self.index, [])]
        others = bool(self.changes.get(self.index) or self.late)
        if not visitors and not others:
            visitors = [self._somebody()]
        stopping = self._who_stops(visitors)
        arrived, self.late = self.late, []  # what the tills of the shops did not send in time
        lines: list[list[str]] = [row for order in arrived for row in self._lines_of_late.pop(order.ref)]
        moments = [(max(self._moment(), each.registered_at), each) for each in visitors]
        for moment, customer in sorted(moments, key=lambda pair: pair[0]):
            order, its_lines = self._order(customer, moment)
            stops = customer.number in stopping
            is_late = order.store == "shop" and not stops and self.random.random() < 0.05 and (others or bool(arrived))
            self._plan_changes(order, stays_complete=stops, shown_on=self.index + is_late)
            self._plan_next_visit(customer, stops)
            if is_late:
                self.late.append(order)
                self._lines_of_late[order.ref] = its_lines
            else:
                arrived.append(order)
                lines += its_lines
        self.orders += len(arrived)
        return arrived, lines

    def _somebody(self) -> Customer:
        """Who would have ordered next comes today; if all stay away, anybody."""
        for day in sorted(day for day, numbers in self.visits.items() if numbers):
            return self.customers[self.visits[day].pop()]
        return self.random.choice(self.customers)

    def _who_stops(self, visitors: list[Customer]) -> set[int]:
        """Of today's visitors those who now stay away for more than a year; who came once stops more easily."""
        rate = STOPPING[self.index >= EARLY_DAYS] * self.size
        number = int(rate * (self.index + 1)) - int(rate * self.index)
        ranked = sorted(visitors, key=lambda each: self.random.random() * (0.5 if each.orders == 0 else 1))
        return {each.number for each in ranked[:number]}

    def _plan_next_visit(self, customer: Customer, stops: bool) -> None:
        if stops:
            if self.random.random() < COMING_BACK:
                self._visit(customer, QUIET_DAYS + int(self.random.expovariate(1 / 45)))
            return
        gap = max(1, round(self.random.gammavariate(2.5, customer.gap / 2.5)))
        if self.day(self.index + gap).weekday() in (1, 2) and self.random.random() < 0.2:
            gap += 6 - self.day(self.index + gap).weekday()  # put off to Sunday
        self._visit(customer, min(gap, 300))

    def _visit(self, customer: Customer, in_days: int) -> None:
        self.visits[self.index + in_days].append(customer.number)

    def _order(self, customer: Customer, moment: float) -> tuple[Order, list[list[str]]]:
        self.numbers += 1
        ref = f"{100000 + self.numbers}"
        lines, total = self._basket(ref, customer)
        coupon = ""
        if self.random.random() < (0.2 if customer.orders == 0 else 0.05):
            coupon = "WELCOME10" if customer.orders == 0 else self.random.choice(list(COUPONS)[1:])
            total -= total * COUPONS[coupon] // 100
        customer.orders += 1
        if customer.orders == VIP_ORDERS:
            self.vips.append((customer, moment))
        store = "web" if self.random.random() < 0.85 else "shop"
        status = "pending" if store == "web" else "complete"
        return Order(ref, customer.ref, moment, status, total, coupon, store, moment), lines

    def _basket(self, ref: str, customer: Customer) -> tuple[list[list[str]], int]:
        """Lines and their sum in cents."""
        lines, total = [], 0
        for line in range(1, 1 + min(6, 1 + int(self.random.expovariate(1 / 1.1)))):
            own = self.random.random() < 0.6
            number = customer.favourite if own else self.random.randrange(len(CATEGORIES))
            products = PRODUCTS[CATEGORIES[number]]
            item = self.random.randrange(len(products))
            name, price = products[item]
            quantity = 1 if self.random.random() < 0.75 else self.random.randrange(2, 5)
            total += quantity * price
            sku = _sku(CATEGORIES[number], item + 1)
            lines.append([ref, str(line), sku, CATEGORIES[number], name, str(quantity), _money(price)])
        return lines, total

    def _plan_changes(self, order: Order, *, stays_complete: bool, shown_on: int) -> None:
        """What becomes of the order on later days: completed or cancelled, refunded in part or whole."""
        day, luck = shown_on, self.random.random()
        if order.status == "pending":
            day += self.random.randrange(1, 5)
            if luck < 0.07 and not stays_complete:
                self.changes[day + (10 if luck < 0.01 else 0)].append((order, "cancelled", 0))
                return
            self.changes[day].append((order, "complete", 0))
        if luck > 0.95 and not stays_complete:
            day += self.random.randrange(3, 25)
            whole = luck > 0.97
            self.changes[day].append(
                (order, "refunded" if whole else "complete", order.total if whole else order.total // 3)
            )

    def _change_orders(self) -> list[Order]:
        """Orders of earlier days whose status changes today."""
        changed = []
        for order, status, refunded in self.changes.pop(self.index, []):
            order.status, order.refunded, order.updated_at = status, refunded, self._moment()
            changed.append(order)
        return changed

    def _order_row(self, order: Order) -> list[str]:
        zone = UTC if order.store == "web" else self.zone
        return [
            order.ref,
            order.customer,
            _iso(order.created_at, zone),
            order.status,
            _money(order.total),
            _money(order.refunded),
            "EUR",
            order.coupon,
            order.store,
            _iso(order.updated_at, zone),
        ]

    # --- bad rows ------------------------------------------------------------------------------------------------

    def _add_bad_rows(self, feed: str, rows: list[Any], random: Random) -> None:
        """Put bad rows between the good ones, each made from a good one and with a reference of its own."""
        number = _some(random, len(rows) * self.bad_share / (1 - self.bad_share))
        for good in random.choices(rows, k=number) if rows else []:
            kind = random.choice(list(BAD[feed]))
            self.bad_rows[feed][kind] += 1
            row = good.copy()
            serial = sum(self.bad_rows[feed].values())
            if feed in ("orders", "customers"):
                row[0 if feed == "orders" else "customer_id"] = f"X{serial:06d}"
            elif feed == "order_lines":
                row[1] = str(100 + serial)
            BAD[feed][kind](row)
            rows.insert(random.randrange(len(rows) + 1), row)
        self.rows[feed] += len(rows)

    # --- time ----------------------------------------------------------------------------------------------------

    def _midnight(self, index: int) -> int:
        return int(datetime.combine(self.day(index), time.min, tzinfo=self.zone).timestamp())

    def _moment(self, random: Random | None = None) -> float:
        """A moment of today, more often in the evening than at night."""
        random = random or self.random
        hour = bisect(HOURS, random.random() * HOURS[-1])
        return self.midnight + int((hour + random.random()) / 24 * self.length)

    def _text(self, moment: float) -> str:
        return _iso(moment, self.zone)


def _set(field: Any, value: str) -> Callable[[Any], None]:
    def change(row: Any) -> None:
        row[field] = value

    return change


def _negative_total(row: list[str]) -> None:
    row[4] = "-" + row[4]


# Feed -> kind -> what makes a good row bad.
BAD: dict[str, dict[str, Callable[[Any], None]]] = {
    "orders": {
        "total_with_comma": _set(4, "1.234,56"),
        "impossible_date": _set(2, "31/02/2026"),
        "unknown_status": _set(3, "on its way"),
        "no_customer": _set(1, ""),
        "negative_total": _negative_total,
        "too_many_fields": lambda row: row.append("gift"),
        "unknown_currency": _set(6, "EURO"),
    },
    "order_lines": {"quantity_in_words": _set(5, "two"), "price_with_comma": _set(6, "3,50")},
    "customers": {"no_customer": _set("customer_id", ""), "impossible_date": _set("registered_at", "31/02/2026")},
    "consents": {"unknown_answer": _set(3, "maybe"), "unknown_channel": _set(2, "pigeon")},
    "list_members": {
        "no_list": _set(1, ""),
        "impossible_date": _set(2, "31/02/2026"),
        "left_before_it_came": _set(3, "2001-01-01T00:00:00+01:00"),
    },
    "products": {"margin_in_percent": _set(3, "35"), "picture_without_address": _set(5, "javascript:void(0)")},
}


def _sku(category: str, number: int) -> str:
    return f"{category[:3].upper()}-{number:02d}"


def _family(random: Random) -> tuple[str, str, str, tuple[str, str]]:
    """Country, language, time zone and family name (of a woman, of a man)."""
    _, country, languages, zones = random.choices(COUNTRIES, weights=[share for share, *_ in COUNTRIES])[0]
    language = random.choices([name for name, _ in languages], weights=[share for _, share in languages])[0]
    return country, language, random.choice(zones), random.choice(NAMES[language][2])


def _email(random: Random, customer: Customer, first: str, last: str, pair: int | None) -> str | None:
    """Most have an address of their own; some share one, some gave none, some made a typing error."""
    luck, domain = random.random(), random.choice(DOMAINS)
    mailbox = f"{_ascii(first)}.{_ascii(last)}.{customer.number}"
    if pair is not None and luck < 0.2:
        return f"family.{pair}@home.example"
    if luck > 0.98:
        return None
    if luck > 0.973:
        return f"{mailbox}.{domain}"
    return f"{mailbox}{f'.{customer.revision}' if customer.revision else ''}@{domain}"


def _address(random: Random, country: str) -> dict[str, str | None]:
    """Where a household lives; of every tenth the shop never asked."""
    streets, cities = ADDRESSES[country]
    code, city = random.choice(cities)
    street = random.choice(streets).format(random.randrange(1, 200))
    known = random.random() < 0.9
    return {
        name: value if known else None for name, value in (("street", street), ("postal_code", code), ("city", city))
    }


def _phone(random: Random, country: str) -> str | None:
    beginnings, digits = PHONES[country]
    number = f"{random.choice(beginnings)}{random.randrange(10**digits):0{digits}d}"
    return number if random.random() < 0.8 else None


GREEK = dict(zip("αβγδεζηικλμνξοπρςστυφω", "avgdeziiklmnxoprsstyfo", strict=True)) | {
    "θ": "th",
    "χ": "ch",
    "ψ": "ps",
    "ł": "l",
}


def _ascii(name: str) -> str:
    """A name as people write it in an e-mail address."""
    plain = (each for each in unicodedata.normalize("NFD", name.lower()) if not unicodedata.combining(each))
    letters = (GREEK.get(each, each) for each in plain)
    return "".join(each for each in letters if each.isascii() and each.isalpha())


def _some(random: Random, expected: float) -> int:
    """A whole number that is `expected` on average."""
    return int(expected + random.random())


def _money(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02d}"


def _iso(moment: float, zone: tzinfo) -> str:
    return datetime.fromtimestamp(moment, zone).isoformat()


def _csv(header: list[str], rows: Iterable[list[str]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue().encode()


def _write_day(folder: Path, files: dict[str, bytes]) -> None:
    """Write what differs; a reader sees `_COMPLETE` only while all files of the day are whole."""
    folder.mkdir(parents=True, exist_ok=True)
    complete = folder / COMPLETE
    changed = [name for name, content in files.items() if not _holds(folder / name, content)]
    if changed:
        complete.unlink(missing_ok=True)
    for name in changed:
        part = folder / f".{name}.part"
        part.write_bytes(files[name])
        part.replace(folder / name)
    if not complete.exists():
        complete.touch()


def _holds(path: Path, content: bytes) -> bool:
    return path.exists() and path.stat().st_size == len(content) and path.read_bytes() == content
