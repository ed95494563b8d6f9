"""Personal data of customers, made unreadable before it is shown: the page explains rows, it gives no addresses."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

DOTS = "•••"
SHORT = 200  # characters of one field; the database already holds long fields shortened

_EMAIL = re.compile(r"([^\s@<>\"'(),;:=])[^\s@<>\"'(),;:=]*@[^\s<>\"'(),;:=]*")
_PHONE = re.compile(r"(?<![\w.,-])(?:\+|00|0)\d[\d ()./-]{6,}\d(?![\w-])")
_DATE = re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}(?!\d)")
_PHONE_FIELD = re.compile(r"phone|mobile|telefoon|tel(?![a-z])|msisdn|whatsapp", re.I)
_EMAIL_FIELD = re.compile(r"e[-_ ]?mail", re.I)
_PERSON_FIELD = re.compile(
    r"(first|last|full|given|family|middle|customer|user|contact)[-_ ]?name|^name$|surname|street|address|postal"
    r"|post_?code|zip|birth|\biban\b",
    re.I,
)


def masked(value: Any, field: str = "") -> str:
    """`value` as text without addresses; `field` names its column or rule, where that is known."""
    text = "" if value is None else str(value)
    if not text.strip():
        return text
    if _PHONE_FIELD.search(field):
        return _end(text)
    if _EMAIL_FIELD.search(field):
        return shortened(_EMAIL.sub(rf"\1{DOTS}@{DOTS}", text)) if "@" in text else text[:1] + DOTS
    if _PERSON_FIELD.search(field):
        return DOTS
    return shortened(masked_text(text))


def masked_text(text: str) -> str:
    """A sentence, such as an error's message, without addresses."""
    return _PHONE.sub(_masked_phone, _EMAIL.sub(rf"\1{DOTS}@{DOTS}", text))


def masked_row(row: Any) -> list[tuple[str, str]]:
    """The fields of a landed row as (column, masked value); a row that is no mapping is one field."""
    if isinstance(row, Mapping):
        return [(str(column), masked(value, str(column))) for column, value in row.items()]
    if isinstance(row, (list, tuple)):
        return [(str(number), masked(value)) for number, value in enumerate(row, 1)]
    return [("row", masked(row))] if row is not None else []


def _masked_phone(match: re.Match[str]) -> str:
    found = match.group()
    digits = sum(character.isdigit() for character in found)
    return found if digits < 9 or _DATE.match(found) else _end(found)


def _end(text: str) -> str:
    digits = [character for character in text if character.isdigit()]
    return DOTS + "".join(digits[-2:]) if len(digits) > 5 else DOTS


def shortened(text: str) -> str:
    """`text`, cut where it gets too long for a field on the page."""
    return text if len(text) <= SHORT else text[:SHORT] + "…"
