"""Segments of texts, as operators count and charge them (E31)."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given

from retention.campaigns.sms import GSM7, GSM7_EXTENSION, segments

POLISH = "Zażółć gęślą jaźń"  # 17 signs
GREEK = "Γεια σας"  # 8 signs


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("", 1),
        ("a" * 160, 1),
        ("a" * 161, 2),
        ("a" * 306, 2),
        ("a" * 307, 3),
        ("a" * 459, 3),
        ("a" * 460, 4),
        # The extension of GSM-7: two units each.
        ("€" * 80, 1),
        ("€" * 81, 2),
        ("a" * 158 + "€", 1),
        ("a" * 159 + "€", 2),
        ("^{}\\[~]|€\f" * 8, 1),
        ("a" * 152 + "€" + "a" * 152, 3),  # 306 units, but an escape and its sign stay together
        ("a" * 152 + "€" + "a" * 151, 2),
        # Greek capitals that look like no Latin letter are in GSM-7; small letters are not.
        ("ΔΦΓΛΩΠΨΣΘΞ" * 16, 1),
        (GREEK + "a" * 62, 1),
        (GREEK + "a" * 63, 2),
        ("γ" * 70, 1),
        ("γ" * 71, 2),
        ("γ" * 134, 2),
        ("γ" * 135, 3),
        # Polish, and what else brings a text to UCS-2.
        (POLISH + "a" * 53, 1),
        (POLISH + "a" * 54, 2),
        ("a" * 70 + "ł", 2),
        ("a" * 160 + "ç", 3),  # the capital is in GSM-7, this one is not
        ("’" + "a" * 70, 2),
        # Emoji are two units of UTF-16, never cut in two.
        ("🎁" * 35, 1),
        ("🎁" * 36, 2),
        ("🎁" * 66, 2),  # 33 in a segment of 67
        ("🎁" * 67, 3),
        ("a" * 66 + "🎁" + "a" * 65, 2),
        ("a" * 66 + "🎁" + "a" * 66, 3),
    ],
)
def test_a_text_has_as_many_segments_as_an_operator_charges(text: str, number: int) -> None:
    assert segments(text) == number


def test_the_alphabet_has_the_127_signs_of_the_table_without_its_escape() -> None:
    assert len(GSM7) == 127
    assert len(GSM7_EXTENSION) == 10
    assert not GSM7 & GSM7_EXTENSION


@given(st.text(max_size=400))
def test_no_text_has_fewer_segments_than_its_length_asks_for(text: str) -> None:
    units = len(text.encode("utf-16-be", "surrogatepass")) // 2
    most, least = (units // 66 + 1, units / 67) if set(text) - GSM7 - GSM7_EXTENSION else (units // 76 + 1, units / 160)
    assert least <= segments(text) <= most
