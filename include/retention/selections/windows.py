"""Windows over whole days: half-open, with edges that can be asked for on any day.

One rule serves days and months: a span has passed on day D when ``x + span <= D``. Month arithmetic goes forward from
the fact and keeps to the month's last day: 31 January + 1 month is 28 (29) February, 29 February + 12 months is
28 February. Going forward, every fact reaches every span on exactly one day; going back from D, 31 August would never
be "6 months ago".
"""

from __future__ import annotations

from calendar import monthrange
from dataclasses import dataclass
from datetime import date, timedelta

LONGEST = 36_525  # days: a century; what is longer is a slip of the keyboard


@dataclass(frozen=True, kw_only=True)
class Span:
    """A length of time in calendar months, then days. Negative days look ahead."""

    months: int = 0
    days: int = 0

    def __post_init__(self) -> None:
        for value in (self.months, self.days):
            if isinstance(value, bool) or not isinstance(value, int):
                raise ValueError(f"{value!r} is not a whole number of days or months")
        if self.months < 0 or abs(self.days) > LONGEST or self.months > LONGEST // 30:
            raise ValueError(f"{self.months} months and {self.days} days is outside a century")

    def after(self, day: date) -> date:
        """The day on which this span, counted from `day`, has passed."""
        return add_months(day, self.months) + timedelta(days=self.days)


@dataclass(frozen=True, kw_only=True)
class Edge:
    """Where a window begins or ends: it moves with the day, and facts cross it as days go by.

    Facts dated before ``on(day)`` lie behind the edge. From day P to day D exactly those dated in [on(P), on(D)) cross
    it: what an incremental refresh has to look at again.
    """

    column: str  # without its alias: ordered_on, last_order_on ...
    span: Span
    shift: int = 0  # days by which the edge runs ahead of the day (below 0: behind)

    def on(self, day: date) -> date:
        """The first date for which `span` has not yet passed on `day` + `shift`."""
        target = day + timedelta(days=self.shift)
        first = add_months(target - timedelta(days=self.span.days), -self.span.months)
        while self.span.after(first) <= target:
            first += timedelta(days=1)
        while self.span.after(first - timedelta(days=1)) > target:
            first -= timedelta(days=1)
        return first


@dataclass(frozen=True, kw_only=True)
class Window:
    """Half-open [start, end); an edge that is None leaves that side open."""

    start: Edge | None
    end: Edge | None

    @property
    def edges(self) -> tuple[Edge, ...]:
        return tuple(edge for edge in (self.start, self.end) if edge)


def between(column: str, after: Span | None, before: Span | None) -> Window:
    """Not longer than `after` ago and at least `before` ago; both ends belong to it, as whole days."""
    window = Window(
        start=Edge(column=column, span=after, shift=-1) if after else None,
        end=Edge(column=column, span=before) if before else None,
    )
    if not window.edges:
        raise ValueError(f"the window over {column} has no end: give `after`, `before` or `before_ahead`")
    if after and before and not _longer(after, before):
        raise ValueError(f"the window over {column} is empty: it begins after it ends")
    return window


def since(column: str, span: Span, within: int | None) -> Window:
    """`span` has passed; with `within` on one of the last `within` days, today included."""
    if within is not None and (isinstance(within, bool) or not isinstance(within, int) or within < 1):
        raise ValueError(f"within={within!r}: write a number of days of at least 1")
    start = None if within is None else Edge(column=column, span=span, shift=-within)
    return Window(start=start, end=Edge(column=column, span=span))


def add_months(day: date, months: int) -> date:
    """`day` some calendar months later, kept to the last day of a shorter month."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


def _longer(one: Span, other: Span) -> bool:
    """Whether `one` is at least as long as `other`, whatever the months in between."""
    start = date(2001, 1, 31)
    return one.after(start) >= other.after(start)
