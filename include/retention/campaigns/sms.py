"""What a text message costs: the segments that operators count, and charge, each on its own."""

from __future__ import annotations

# The alphabet of GSM 03.38, and the signs of its extension, which take an escape before them.
GSM7 = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿"
    "abcdefghijklmnopqrstuvwxyzäöñüà"
)
GSM7_EXTENSION = frozenset("\f^{}\\[~]|€")
LONGEST_SEGMENTS = 10  # segments of one text: in GSM-7 1,530 signs, and Twilio takes at most 1,600


def segments(text: str) -> int:
    """In how many segments `text` travels: 160 signs of GSM-7 in one, or 153 in each of several; 70 or 67 of UCS-2.

    One sign that GSM-7 lacks (a Greek small letter, a Polish ł, an emoji) makes the whole text UCS-2. What takes two
    units, like the euro sign in GSM-7 or an emoji in UCS-2, is never cut in two.
    """
    if set(text) <= GSM7 | GSM7_EXTENSION:
        units, alone, together = [2 if sign in GSM7_EXTENSION else 1 for sign in text], 160, 153
    else:
        units, alone, together = [1 + (sign > "\uffff") for sign in text], 70, 67
    if sum(units) <= alone:
        return 1
    number, used = 1, 0
    for unit in units:
        number, used = (number, used + unit) if used + unit <= together else (number + 1, unit)
    return number
