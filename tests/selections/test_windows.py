"""Whole days and calendar months (A4, B3)."""

from __future__ import annotations

from datetime import date, timedelta

import hypothesis.strategies as st
import pytest
from hypothesis import given

from retention.selections.windows import Edge, Span, Window, add_months, between, since

DATES = st.dates(date(1990, 1, 1), date(2060, 12, 31))
SPANS = st.builds(Span, months=st.integers(0, 40), days=st.integers(-3, 400))


def holds(window: Window, fact: date, day: date) -> bool:
    start, end = window.start, window.end
    return (start is None or start.on(day) <= fact) and (end is None or fact < end.on(day))


@pytest.mark.parametrize(
    ("day", "months", "expected"),
    [
        (date(2026, 1, 31), 1, date(2026, 2, 28)),
        (date(2024, 1, 31), 1, date(2024, 2, 29)),
        (date(2024, 2, 29), 12, date(2025, 2, 28)),
        (date(2024, 2, 29), 48, date(2028, 2, 29)),
        (date(2026, 12, 31), 2, date(2027, 2, 28)),
        (date(2026, 3, 31), -1, date(2026, 2, 28)),
    ],
)
def test_b3_a_month_later_keeps_to_the_last_day_of_a_shorter_month(day, months, expected) -> None:
    assert add_months(day, months) == expected


def test_a4_after_365_days_ago_and_before_1_day_ahead_is_367_days() -> None:
    window = between("ordered_on", Span(days=365), Span(days=-1))
    day = date(2026, 11, 20)
    assert [n for n in range(-400, 10) if holds(window, day + timedelta(days=n), day)] == list(range(-365, 2))


@given(fact=DATES, day=DATES, span=SPANS)
def test_b3_a_fact_lies_behind_an_edge_from_the_day_its_span_has_passed(fact, day, span) -> None:
    assert (fact < Edge(column="x_on", span=span).on(day)) == (span.after(fact) <= day)


@given(fact=DATES, span=SPANS, within=st.integers(1, 10))
def test_b3_every_fact_is_in_the_window_for_exactly_the_days_it_is_open(fact, span, within) -> None:
    reached = span.after(fact)
    window = since("x_on", span, within)
    seen = [n for n in range(-12, 15) if holds(window, fact, reached + timedelta(days=n))]
    assert seen == list(range(within))


@given(fact=DATES, first=DATES, step=st.integers(1, 40), span=SPANS)
def test_what_crosses_an_edge_between_two_days_is_what_lies_between_its_places(fact, first, step, span) -> None:
    """What an incremental refresh will look at: nobody whose answer changed is left out."""
    edge = Edge(column="x_on", span=span)
    later = first + timedelta(days=step)
    changed = (fact < edge.on(first)) != (fact < edge.on(later))
    assert changed == (edge.on(first) <= fact < edge.on(later))
