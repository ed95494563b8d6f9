"""How the page writes numbers, days and instants."""

from __future__ import annotations

from datetime import date, datetime, timedelta, tzinfo
from typing import Any

NOTHING = "–"
BAD = frozenset({"missing", "too", "below", "above", "unknown", "invalid", "negative"})
GOOD = frozenset({"is", "are", "has", "no", "not"})


def number(value: Any) -> str:
    """12,345; what is not counted is a dash, what is no number stays as it is."""
    if value is None or value == "":
        return NOTHING
    if isinstance(value, float) and not value.is_integer():
        return f"{value:,.1f}"
    try:
        return f"{int(value):,}"
    except (TypeError, ValueError):
        return str(value)


def share(part: Any, whole: Any) -> str:
    """`part` of `whole` in percent."""
    if not whole or part is None:
        return NOTHING
    percent = 100 * float(part) / float(whole)
    if 0 < percent < 0.1:
        return "< 0.1 %"
    return f"{percent:.1f} %"


def day(value: date | None) -> str:
    """Sat 21 Nov 2026."""
    return f"{value:%a} {value.day} {value:%b %Y}" if value else NOTHING


def date_of_year(value: date) -> str:
    """21 Nov."""
    return f"{value.day} {value:%b}"


def moment(value: datetime | None, zone: tzinfo) -> str:
    """22 Nov 09:05, in the shop's zone."""
    if value is None:
        return NOTHING
    local = value.astimezone(zone)
    return f"{local.day} {local:%b %H:%M}"


def ago(value: datetime | None, now: datetime) -> str:
    """How long before or after `now`, in the largest unit that tells something."""
    if value is None:
        return NOTHING
    gap = abs(now - value)
    if gap < timedelta(minutes=1):
        return "just now"
    if gap < timedelta(hours=1):
        length = f"{gap // timedelta(minutes=1)} min"
    elif gap < timedelta(hours=48):
        length = f"{gap // timedelta(hours=1)} h"
    else:
        length = f"{gap // timedelta(days=1)} days"
    return f"{length} ago" if value < now else f"in {length}"


def size(value: Any) -> str:
    """Bytes in words; empty if it is no number."""
    if not isinstance(value, (int, float)):
        return ""
    amount = float(value)
    for unit in ("bytes", "kB", "MB", "GB"):
        if amount < 1000 or unit == "GB":
            return f"{amount:,.0f} {unit}" if unit == "bytes" else f"{amount:,.1f} {unit}"
        amount /= 1000
    return ""


def expected(rule: Any) -> str:
    """A rule as what must hold. A name that says what is bad, like `field_too_long`, is denied."""
    parts = str(rule).split("_")
    is_bad = not BAD.isdisjoint(parts) and GOOD.isdisjoint(parts)
    return word(f"no_{rule}" if is_bad else rule)


def word(value: Any) -> str:
    """A name of ours, like `too_late`, for people."""
    return str(value).replace("_", " ")
