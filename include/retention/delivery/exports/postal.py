"""Postal cards: rendered like a message, kept, and exported for the printer.

The channel `postal` keeps each card as a row of ``delivery.cards``, in the transaction that settles the message, and
`export` writes those that are in no file yet: as a table for printers with a design of their own, and as pages of A6
that every browser prints, or makes a PDF of.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

from babel import Locale
from jinja2 import StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from sqlalchemy import Connection

from retention.core import channels
from retention.core.database import count, run
from retention.core.days import Counts
from retention.core.settings import Settings
from retention.core.shop import Shop
from retention.core.spreadsheets import as_csv
from retention.delivery.channels.base import Outgoing, Settled
from retention.delivery.exports import writing as exports
from retention.delivery.rendering.render import one_line
from retention.ledger.claims import release_reservations
from retention.ledger.outcomes import accepted, refused

log = logging.getLogger(__name__)
CHANNEL = "postal"
LONGEST_TEXT = channels.get(CHANNEL).longest_text or 0
COLUMNS = ("recipient", "street", "postal_code", "city", "country", "language", "card", "message_key")
PAGE = ImmutableSandboxedEnvironment(autoescape=True, undefined=StrictUndefined).from_string("""\
<!doctype html>
<html>
<head>
<meta charset="utf-8">
<title>{{ export.known_as }} {{ export.step }}, {{ export.day }}</title>
<style>
@page { size: 148mm 105mm; margin: 0 }
body { margin: 0; font: 9.5pt/1.4 "Noto Sans", "DejaVu Sans", sans-serif }
.card { width: 148mm; height: 105mm; box-sizing: border-box; display: grid; grid-template-columns: 1fr 1fr;
  overflow: hidden; break-after: page }
.card > div { padding: 8mm; white-space: pre-line }
.sender { font-size: 7pt; margin-bottom: 40mm }
</style>
</head>
<body>
{% for card in cards %}
<div class="card" lang="{{ card.language }}">
<div>{{ card.card }}</div>
<div><div class="sender">{{ sender }}</div><div class="to">{{ card.recipient }}
{{ card.street }}
{{ card.postal_code }} {{ card.city }}
{{ card.country_name }}</div></div>
</div>
{% endfor %}
</body>
</html>
""")


class Postal:
    """The channel `postal`: into the database only, from where cards are exported."""

    provider = "files"

    def send(self, messages: Sequence[Outgoing]) -> list[Settled]:
        """Nothing is handed over yet: all are accepted, but for cards on which there is no room for so much."""
        return [
            (
                message,
                accepted()
                if (number := len(message.text)) <= LONGEST_TEXT
                else refused(f"too_long: {number} characters"),
            )
            for message in messages
        ]

    def keep(self, connection: Connection, claim: str, messages: Sequence[Outgoing], now: datetime) -> None:
        """Write the rows of ``delivery.cards``."""
        people = [{name: one_line(value or "") for name, value in each.person.items()} for each in messages]
        run(
            connection,
            "delivery/keep_cards",
            claim=claim,
            now=now,
            customer_ids=[each.customer_id for each in messages],
            message_keys=[each.message_key for each in messages],
            languages=[each.rendered.content.language for each in messages],
            cards=[each.text for each in messages],
            recipients=[one_line(f"{each['first_name']} {each['last_name']}") for each in people],
            **{name: [each[name] for each in people] for name in ("street", "postal_code", "city", "country")},
        )


def export(shop: Shop, day: date | None = None, at: datetime | None = None) -> Counts:
    """Export the cards that are in no file yet, those kept before `at` (now); what is halted waits.

    A card whose customer must not get it any more is withdrawn: deleted, and its message planned once more, so that the
    next claim skips it with the reason. Per step there is a folder with ``cards.csv`` and ``cards.html``, see
    docs/exports.md; each card is in exactly one of them. Everything else as in `audiences.export`; `removed` is 0.
    """
    return exports.export(shop, CHANNEL, day, at, _fix, _files)


def _fix(settings: Settings, connection: Connection, now: datetime, known_by: datetime) -> None:
    """Withdraw cards by what is known by then, and note for each step what its export at `now` prints."""
    shop_zone = settings.shop_time_zone.key
    withdrawn = run(connection, "delivery/withdraw_cards", known_by=known_by, shop_zone=shop_zone).all()
    if withdrawn:
        again = run(
            connection,
            "ledger/plan_withdrawn",
            customer_ids=[card.customer_id for card in withdrawn],
            message_keys=[card.message_key for card in withdrawn],
        )
        release_reservations(connection, again.mappings().all())
        log.info("%s cards are withdrawn: the next claim says why", len(withdrawn))
    for step in run(connection, "delivery/waiting_cards", now=now).mappings().all():
        if added := count(connection, "delivery/take_cards", now=now, **step):
            exports.record(connection, settings, CHANNEL, now, added=added, removed=0, **step)


def _files(settings: Settings, export: exports.Export, lines: Sequence[Mapping[str, Any]]) -> list[exports.File]:
    names = Locale("en").territories
    cards = [{**line, "country_name": names.get(line["country"], line["country"]).upper()} for line in lines]
    page = PAGE.render(export=export, cards=cards, sender=f"{settings.shop_name}\n{settings.shop_address}")
    table = as_csv(COLUMNS, [[line[name] for name in COLUMNS] for line in lines])
    return [
        exports.File(name="cards.csv", content=table, rows=len(lines), about={"format": "CSV, UTF-8"}),
        exports.File(
            name="cards.html", content=page.encode(), rows=len(lines), about={"format": "HTML, one page of A6 per card"}
        ),
    ]
