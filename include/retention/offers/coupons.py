"""The life of a coupon: reserved with the plan, issued at the claim, redeemed by an order or the shop, or void."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, RowMapping

from retention.core import storage
from retention.core.database import count, lock, run
from retention.core.days import Counts
from retention.core.settings import Settings, hmac_pads
from retention.core.spreadsheets import as_csv
from retention.offers.definitions import Offer

LATE = timedelta(days=30)  # how long after a coupon's end an order with it is still looked for
USES_PER_REQUEST = 1_000  # uses in one request
_AHEAD = timedelta(minutes=10)  # how far the shop's clock may be ahead
_CODE = re.compile(r"[0-9A-Za-z_-]{1,64}")


@dataclass(frozen=True)
class Use:
    """One order that carried a coupon's code."""

    code: str
    order_ref: str
    redeemed_at: datetime


def reserve(
    settings: Settings,
    connection: Connection,
    campaign: str,
    version: str,
    step: str,
    day: date,
    offers: Iterable[Offer],
) -> int:
    """Reserve a coupon for each message of the step planned on `day`, one a customer, entry and offer; how many.

    `offers`: those of the step. What they say is what a code is good for from then on.
    """
    inner_pad, outer_pad = hmac_pads(settings.secret)
    return count(
        connection,
        "offers/reserve_coupons",
        campaign=campaign,
        version=version,
        step=step,
        day=day,
        terms=json.dumps({offer.name: offer.terms for offer in offers}),
        inner_pad=inner_pad,
        outer_pad=outer_pad,
    )


def void_undelivered(connection: Connection, campaign: str, version: str, step: str) -> None:
    """Void the coupons reserved for messages of the step that are not planned after all, unless another brings them."""
    run(connection, "offers/void_undelivered", campaign=campaign, version=version, step=step)


def issue(connection: Connection, claim: str, now: datetime, shop_zone: str) -> Sequence[RowMapping]:
    """Issue the coupons of the messages of `claim`, their ends fixed by `now`; whose they are and when they end."""
    return run(connection, "offers/issue_coupons", claim=claim, now=now, shop_zone=shop_zone).mappings().all()


def issue_restored(connection: Connection, shop_zone: str) -> None:
    """Issue the coupons of messages that may have gone out before a restore: the customer's code has to work."""
    run(connection, "offers/issue_restored_coupons", shop_zone=shop_zone)


def release(connection: Connection, rows: Sequence[Mapping[Any, Any]]) -> None:
    """What becomes of the coupons of messages, given by customer, campaign, entry and offer, that are not sent."""
    if rows := [row for row in rows if row["offer"]]:
        run(
            connection,
            "offers/release_coupons",
            customer_ids=[row["customer_id"] for row in rows],
            campaigns=[row["campaign"] for row in rows],
            entry_nos=[row["entry_no"] for row in rows],
            offers=[row["offer"] for row in rows],
        )


def void(connection: Connection, campaign: str, day: date) -> int:
    """Void the reserved coupons of enrolments of a campaign that ended on `day`; how many."""
    return count(connection, "offers/void_coupons", campaign=campaign, day=day)


def void_all(connection: Connection, campaign: str) -> int:
    """Void the reserved coupons of a campaign that is over; how many."""
    return count(connection, "offers/void_all_coupons", campaign=campaign)


def redeem_ordered(settings: Settings, connection: Connection, now: datetime) -> Counter[str]:
    """Coupons of which an order known at `now` carries the code; how many orders, by outcome (docs/states.md)."""
    lock(connection, "events", "redeem")  # one coupon is redeemed once, whoever tells of it first
    return _redeem(
        connection, run(connection, "offers/redeem_ordered", now=now, since=now - LATE, **_zone(settings)).all()
    )


def redeem_reported(
    settings: Settings, connection: Connection, uses: Sequence[Use], known_at: datetime
) -> list[dict[str, str]]:
    """Coupons that the shop reports as redeemed; for each use its outcome, the same each time it is reported."""
    lock(connection, "events", "redeem")
    found = run(connection, "offers/coupons_of", codes=sorted({use.code for use in uses})).all()
    owners = Counter(row.code for row in found)
    customers = {row.code: row.customer_id for row in found if owners[row.code] == 1}
    by_key = {(use.code, use.order_ref): use for use in uses if use.code in customers}
    known = {
        "customer_ids": [customers[code] for code, _ in by_key],
        "codes": [code for code, _ in by_key],
        "order_refs": [order_ref for _, order_ref in by_key],
    }
    times = [use.redeemed_at for use in by_key.values()]
    _redeem(
        connection,
        run(
            connection, "offers/redeem_reported", known_at=known_at, redeemed_ats=times, **known, **_zone(settings)
        ).all(),
    )
    outcomes = {
        (row.code, row.order_ref): row.outcome for row in run(connection, "offers/redemption_outcomes", **known)
    }
    return [
        {
            "code": use.code,
            "order_ref": use.order_ref,
            "outcome": outcomes.get((use.code, use.order_ref), "unknown_code"),
        }
        for use in uses
    ]


def export(settings: Settings, engine: Engine, folder: Path, now: datetime) -> Counts:
    """Write what the shop does not know yet of coupons to a new file in `folder`; its name, and how many by state.

    Nothing new: no file. A file that was written although noting it failed comes again, in the next one.
    """
    with engine.begin() as connection:
        lock(connection, "events", "coupons")
        rows = run(connection, "offers/coupons_to_export", **_zone(settings)).all()
        if not rows:
            return {"file": None, "coupons": {}}
        run(
            connection,
            "offers/record_coupon_exports",
            exported_at=now,
            customer_ids=[row.customer_id for row in rows],
            campaigns=[row.campaign for row in rows],
            entry_nos=[row.entry_no for row in rows],
            offers=[row.offer for row in rows],
            states=[row.state for row in rows],
            expires_ats=[row.expires_at for row in rows],
        ).all()
        folder.mkdir(parents=True, exist_ok=True)
        target = folder / f"coupons-{now.astimezone(UTC):%Y%m%dT%H%M%S.%fZ}.csv"
        draft = target.with_suffix(".writing")
        lines = []
        for row in rows:
            ends = row.ends.astimezone(UTC).isoformat() if row.ends else ""
            terms = json.dumps(row.terms or {"type": "percent", "percent": float(row.percent)}, ensure_ascii=False)
            lines.append([row.code, row.state, row.percent, ends, row.campaign, row.offer, terms])
        storage.write_private(
            draft, as_csv(["code", "state", "percent", "expires_at", "campaign", "offer", "terms"], lines)
        )
        draft.replace(target)  # a reader never sees half a file
    return {"file": str(target), "coupons": dict(Counter(row.state for row in rows))}


def read(content: str, received_at: datetime) -> list[Use]:
    """The uses that the shop reports. Raises ValueError, saying what is wrong."""
    try:
        items = json.loads(content)
    except (ValueError, RecursionError):
        raise ValueError("not JSON") from None
    if not isinstance(items, list) or len(items) > USES_PER_REQUEST:
        raise ValueError(f"not a list of at most {USES_PER_REQUEST}")
    return [_use(item, received_at) for item in items]


def _use(item: Any, received_at: datetime) -> Use:
    if not isinstance(item, dict):
        raise ValueError("not a list of objects")
    code, order_ref, when = item.get("code"), item.get("order_ref"), item.get("redeemed_at")
    if not isinstance(code, str) or not _CODE.fullmatch(code.strip()):
        raise ValueError("code: write the coupon's code")
    if not isinstance(order_ref, str) or not 0 < len(order_ref) <= 100 or not order_ref.isprintable():
        raise ValueError("order_ref: write the order's number as text, at most 100 signs")
    return Use(code.strip().upper(), order_ref, _instant(when, received_at))


def _instant(when: Any, received_at: datetime) -> datetime:
    """When the order was placed; when we hear of it, if that is not said."""
    if when is None:
        return received_at
    try:
        instant = datetime.fromisoformat(when)
        if instant.utcoffset() is not None and instant <= received_at + _AHEAD:
            return min(instant, received_at)
    except (TypeError, ValueError, OverflowError):
        pass
    raise ValueError("redeemed_at: write a past instant with an offset, like 2026-11-21T12:00:00+01:00")


def _redeem(connection: Connection, rows: Sequence[Any]) -> Counter[str]:
    redeemed = [row.customer_id for row in rows if row.outcome == "redeemed"]
    if redeemed:
        run(connection, "offers/redeem", customer_ids=redeemed).all()
    return Counter(row.outcome for row in rows)


def _zone(settings: Settings) -> dict[str, str]:
    return {"shop_zone": settings.shop_time_zone.key}
