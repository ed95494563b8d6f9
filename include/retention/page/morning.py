"""View "this morning": what became of each stage of the last days, what it counted, and what waits."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from retention.core import days
from retention.core.database import run
from retention.core.settings import Settings
from retention.page.masking import masked_text

Row = dict[str, Any]

STAGES = ("orders", "selections", "campaigns", "delivery")
FRESH = timedelta(hours=24)  # older, nothing is sent (A1)
EXPECTED = timedelta(days=7)  # a part that ran within so many days is expected on every published day
STALE = timedelta(hours=6)  # a part that began so long ago and never ended has most likely died
SENT = ("accepted", "delivered")
WAITING = ("planned", "attempting")


def read(connection: Connection, settings: Settings, now: datetime, number: int, until: date | None) -> Row:
    """Everything the view shows, for the newest `number` days not after `until`; JSON-able but for days and instants.

    Without `until` they are the newest of all. `now` is only shown and compared with for people (fresh, due); no
    decision is made here.
    """
    known = [row["day"] for row in _rows(connection, "page/shown_days", until=until, number=number + 1)]
    shown, older = known[:number], known[number:]
    published = _published(days.newest_published(connection), settings, now)
    halts = _rows(connection, "page/halts")
    paused = [row | {"message": masked_text(row["message"])} for row in _rows(connection, "page/paused")]
    waiting = _rows(connection, "page/waiting", now=now)
    found = _days(connection, shown, now) if shown else []
    return {
        "shop": settings.shop_name,
        "at": now,
        "clock": settings.clock,
        "delivery": settings.delivery,
        "published": published,
        "halts": halts,
        "paused": paused,
        "waiting": [row | {"held_by": _held_by(row, halts, paused, published)} for row in waiting],
        "days": found,
        "trends": _trends(found),
        "until": until,
        "older": older[0] if older else None,
        "newer": run(connection, "page/newer_day", until=until, number=number).scalar(),
    }


def _published(newest: date | None, settings: Settings, now: datetime) -> Row:
    """The newest published day: when it ended, and whether messages may still be sent on it (null: clock `days`)."""
    if newest is None:
        return {"day": None, "ended_at": None, "fresh": None}
    ended_at = days.known_at(newest, settings.shop_time_zone)
    fresh = None if settings.clock == "days" else now - ended_at <= FRESH
    return {"day": newest, "ended_at": ended_at, "fresh": fresh}


def _held_by(row: Row, halts: list[Row], paused: list[Row], published: Row) -> list[str]:
    """Why messages that wait are not sent when they are due."""
    if row["state"] not in ("due", "later"):
        return []
    concerned = {"all": "", "campaign": row["campaign"], "channel": row["channel"]}
    held = [halt for halt in halts if concerned.get(halt["kind"]) == halt["name"]]
    reasons = [f"halt of {halt['kind']} {halt['name']}" if halt["name"] else "halt of everything" for halt in held]
    reasons += ["no readable file" for each in paused if each["campaign"] == row["campaign"]]
    return reasons if published["fresh"] is not False else [*reasons, "newest day too old"]


def _days(connection: Connection, shown: list[date], now: datetime) -> list[Row]:
    within = {"first": shown[-1], "last": shown[0]}
    steps = {row["campaign"]: row["steps"] for row in _rows(connection, "page/campaigns")}
    records = _by_day(_rows(connection, "page/records", **within))
    messages = _by_day(_rows(connection, "page/messages", campaigns=list(steps), **within))
    quality = _by_day(_rows(connection, "page/quality_by_day", **within))
    known = _rows(connection, "page/parts")
    return [_day(day, records[day], messages[day], quality[day], quality[None], known, steps, now) for day in shown]


def _day(
    day: date,
    records: list[Row],
    messages: list[Row],
    quality: list[Row],
    histories: list[Row],
    known: list[Row],
    steps: dict[str, list[str]],
    now: datetime,
) -> Row:
    published = {row["part"] for row in records if row["stage"] == "orders" and row["state"] == "done"}
    is_published = bool(published)
    own = {row["source"] for row in quality}
    loaded = [row for row in histories if row["source"] in published - own]
    is_loaded = is_published and len(loaded) == len(published)
    # A part that has gone on to a later day does no older one any more.
    expected = [row for row in known if is_published and row["first_day"] < day and _is_due(day - row["last_day"])]
    parts: dict[str, list[Row]] = {
        stage: _parts([r for r in records if r["stage"] == stage], [r for r in expected if r["stage"] == stage], now)
        for stage in STAGES
    }
    parts["orders"] = [part for part in parts["orders"] if part["state"] != "waiting"]  # not every source is daily
    parts["campaigns"] = [_in_order(part, steps.get(part["part"], [])) for part in _campaigns(parts["campaigns"])]
    gone_on = STAGES if is_loaded else {row["stage"] for row in known if row["last_day"] > day}
    untouched = "waiting" if is_published else "not begun"
    stages: dict[str, Row] = {
        stage: {
            "state": _worst(parts[stage], "not run" if stage in gone_on else untouched),
            "parts": parts[stage],
        }
        for stage in STAGES
    }
    stages["orders"]["quality"] = quality + loaded
    stages["delivery"] |= _delivery(messages, parts["delivery"], stages["campaigns"]["state"], steps)
    return {"day": day, "published": is_published, "loaded": is_loaded, **_headline(stages), "stages": stages}


def _is_due(since: timedelta) -> bool:
    return timedelta(0) < since < EXPECTED


def _headline(stages: Row) -> Row:
    """The few numbers that stand for a day; null where no part counted."""

    def total(stage: str, *keys: str) -> int | None:
        counted = [part["counts"][key] for part in stages[stage]["parts"] for key in keys if key in part["counts"]]
        plain = [sum(value.values()) if isinstance(value, dict) else value for value in counted]
        return sum(plain) if plain else None

    return {
        "orders": total("orders", "orders_inserted", "orders_updated"),
        "entered": total("selections", "entered"),
        "left": total("selections", "left"),
        "enrolled": total("campaigns", "enrolled"),
        "planned": total("campaigns", "planned"),
    }


def _trends(found: list[Row]) -> Row:
    """What the small plots draw, oldest first."""
    oldest_first = found[::-1]
    sizes: dict[str, list[tuple[date, int]]] = defaultdict(list)
    for entry in oldest_first:
        for part in entry["stages"]["selections"]["parts"]:
            if isinstance(part["counts"].get("size"), int):
                sizes[part["part"]].append((entry["day"], part["counts"]["size"]))
    return {
        # A history would leave nothing to be seen of the days beside it.
        "orders": [(entry["day"], None if entry["loaded"] else entry["orders"]) for entry in oldest_first],
        "sent": [(entry["day"], entry["stages"]["delivery"]["total"]["sent"]) for entry in oldest_first],
        "sizes": dict(sizes),
    }


def _parts(records: list[Row], expected: list[Row], now: datetime) -> list[Row]:
    """One entry per source, selection or campaign: those recorded, and those that the day still waits for."""
    found = [
        {
            "part": row["part"],
            "state": row["state"],
            "counts": row["counts"] or {},
            "message": masked_text(row["message"]),
            "recorded_at": row["recorded_at"],
            "stale": row["state"] == "running" and now - row["recorded_at"] > STALE,
        }
        for row in records
    ]
    names = {row["part"] for row in records}
    missing = [
        {"part": row["part"], "state": "waiting", "counts": {}, "message": "", "recorded_at": None, "stale": False}
        for row in expected
        if row["part"] not in names
    ]
    return sorted(found + missing, key=lambda part: str(part["part"]))


def _campaigns(parts: list[Row]) -> list[Row]:
    """A campaign's day as one entry: its own record once the day is finished, before that what its steps recorded."""
    whole = {part["part"]: part for part in parts if ":" not in part["part"]}
    steps: dict[str, list[Row]] = defaultdict(list)
    for part in parts:
        if ":" in part["part"]:
            steps[part["part"].split(":", 1)[0]].append(part)
    return [_campaign(name, whole.get(name), steps[name]) for name in sorted(whole.keys() | steps.keys())]


def _campaign(name: str, whole: Row | None, steps: list[Row]) -> Row:
    if whole is not None and (whole["state"] == "done" or all(step["state"] == "waiting" for step in steps)):
        return whole
    counts: Row = {}
    for step in steps:
        _sum(counts, step["counts"])
    parts = [whole, *steps] if whole else steps
    states = {part["state"] for part in parts}
    state = next((state for state in ("failed", "running") if state in states), "partly done")
    if states == {"waiting"}:
        state = "waiting"
    told = [part for part in steps if part["message"]] or [part for part in parts if part["message"]]
    times = [step["recorded_at"] for step in steps if step["recorded_at"]]
    return {
        "part": name,
        "state": state,
        "counts": counts,
        "message": "\n".join(f"{part['part']}: {part['message']}" for part in told),
        "recorded_at": max(times) if times else None,
        "stale": state == "running" and any(part["stale"] for part in parts),
    }


def _in_order(part: Row, steps: list[str]) -> Row:
    """A campaign's day with what it planned in the order of its steps: the record has lost it."""
    planned = part["counts"].get("planned")
    if not isinstance(planned, dict):
        return part
    ordered = sorted(planned.items(), key=lambda step: _place(step[0], steps))
    return part | {"counts": part["counts"] | {"planned": dict(ordered)}}


def _place(step: str, steps: list[str]) -> tuple[int, str]:
    """Sorts the steps of a campaign; last comes what none of its versions has."""
    return (steps.index(step) if step in steps else len(steps), step)


def _sum(into: Row, counts: Row) -> None:
    """Add numbers, and numbers within a mapping such as {step: n}."""
    for key, value in counts.items():
        if isinstance(value, dict):
            _sum(into.setdefault(key, {}), value)
        elif isinstance(value, (int, float)):
            into[key] = into.get(key, 0) + value


def _worst(parts: list[Row], untouched: str) -> str:
    """The state of a whole stage: the one that wants most attention; `untouched` where no part has one."""
    states = {part["state"] for part in parts}
    for state in ("failed", "running", "partly done"):
        if state in states:
            return state
    if "done" in states:
        return "partly done" if "waiting" in states else "done"
    return "waiting" if "waiting" in states else untouched


def _delivery(messages: list[Row], parts: list[Row], campaigns: str, order: dict[str, list[str]]) -> Row:
    """What became of the messages that this day's run planned; its state comes from the ledger under clock `wall`."""
    steps: dict[tuple[str, str, str], Row] = {}
    for row in sorted(messages, key=lambda row: (row["campaign"], _place(row["step"], order.get(row["campaign"], [])))):
        key = (row["campaign"], row["step"], row["channel"])
        into = steps.setdefault(key, {"campaign": key[0], "step": key[1], "channel": key[2], **_no_messages()})
        _add(into, row)
    channels: dict[str, Row] = {}
    for row in messages:
        _add(channels.setdefault(row["channel"], {"channel": row["channel"], **_no_messages()}), row)
    total = _no_messages()
    for row in messages:
        _add(total, row)
    delivery: Row = {"steps": list(steps.values()), "channels": list(channels.values()), "total": total}
    failed_or_running = any(part["state"] in ("failed", "running") for part in parts)
    if messages and not failed_or_running:
        delivery["state"] = "unknown" if total["unknown"] else "waiting" if total["waiting"] else "done"
    elif not messages and not parts:
        delivery["state"] = "nothing to send" if campaigns == "done" else campaigns.replace("failed", "waiting")
    return delivery


def _no_messages() -> Row:
    return {
        "messages": 0,
        "waiting": 0,
        "sent": 0,
        "bounced": 0,
        "refused": 0,
        "unknown": 0,
        "skipped": 0,
        "reasons": {},
    }


def _add(into: Row, row: Row) -> None:
    state = row["state"]
    column = "sent" if state in SENT else "waiting" if state in WAITING else state
    into["messages"] += row["messages"]
    into[column] += row["messages"]
    if column in ("skipped", "refused") and row["reason"]:
        into["reasons"][row["reason"]] = into["reasons"].get(row["reason"], 0) + row["messages"]


def _rows(connection: Connection, name: str, **parameters: Any) -> list[Row]:
    return [dict(row) for row in run(connection, name, **parameters).mappings()]


def _by_day(rows: Iterable[Row]) -> defaultdict[date | None, list[Row]]:
    """The rows of each day; under None those without one, as a history's."""
    found: defaultdict[date | None, list[Row]] = defaultdict(list)
    for row in rows:
        found[row["day"]].append(row)
    return found
