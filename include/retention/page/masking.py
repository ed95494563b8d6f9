"""What the page shows of a shop's rows: what is wrong with them, never whose they are.

A rejected row may hold anything anywhere: one comma too many puts a street under `total`. So a value is shown only
where its column is known and it has the form that the column is for. Of any other value of a known column the shape is
shown, ``Aaaa 99`` for a street with its number; of any other column nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from functools import lru_cache
from typing import Any

from babel.numbers import list_currencies

from retention.core import channels

DOTS = "•••"
SHORT = 60  # characters of a shape
LONG = 200  # characters of what an expectation asks for or found

_EMAIL = re.compile(r"([^\s@<>\"'(),;:=])[^\s@<>\"'(),;:=]*@[^\s<>\"'(),;:=]*")
_PHONE = re.compile(r"(?<![\w.,-])(?:\+|00|0)\d[\d ()./-]{6,}\d(?![\w-])")
_DATE = re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}(?!\d)")
# Whole numbers of four digits and more are postal codes and telephone numbers too.
_NUMBER = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,2}|(?:0|[1-9][0-9]{0,6})[.,][0-9]{1,2})")
# With a time: a date alone is somebody's birthday too.
_INSTANT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,9})?)?(?:Z|[+-][0-9]{2}:?[0-9]{2})?"
)
_COLUMN = re.compile(r"[a-z_][a-z0-9_]{0,39}")

Form = Callable[[str], object]


def _one_of(words: str) -> Form:
    return frozenset(words.split()).__contains__


def _is_currency(text: str) -> bool:
    return text in list_currencies()


def _never(text: str) -> bool:
    return False


def _columns() -> dict[str, Form]:
    """By the name of a column, in small letters and digits only: whether a value has the form that it is for."""
    forms: dict[Form, str] = {
        _NUMBER.fullmatch: "total refunded amount price unitprice quantity line lineno dollars cds margin",
        _INSTANT.fullmatch: "createdat updatedat changedat orderedat registeredat invoicedate date since until",
        _is_currency: "currency",
        _one_of("pending complete cancelled refunded"): "status",
        channels.CHANNELS.__contains__: "channel",
        _one_of("yes no"): "granted",
        _one_of("consent soft_opt_in"): "basis",
        _never: "orderid invoice sku stockcode store purpose category list",
    }
    return {name: form for form, names in forms.items() for name in names.split()}


_COLUMNS = _columns()


def shown(value: Any, column: str = "") -> str:
    """`value` of `column` as it is, if that is known to be harmless; else its shape. Empty for none."""
    text = "" if value is None else str(value)
    form = _COLUMNS.get(_key(column), _never)
    return text if form(text) else shape(text)


def shown_row(row: Any) -> tuple[list[tuple[str, str]], int]:
    """The known columns of a rejected row as (column, what is shown of it), and how many columns are left out.

    A row that could not be read has no columns: nothing of it is shown.
    """
    if not isinstance(row, Mapping):
        return [], 0
    known = [(str(column), shown(value, str(column))) for column, value in row.items() if _key(str(column)) in _COLUMNS]
    return known, len(row) - len(known)


@lru_cache(maxsize=4096)
def shape(text: str) -> str:
    """`text` with ``A`` and ``a`` for letters, ``9`` for digits, ``?`` for signs that are not on every keyboard."""
    signs = "".join(map(_sign, text[:SHORT]))
    return signs if len(text) <= SHORT else f"{signs}… ({len(text)} characters)"


def names(columns: Any, known: Collection[str] = ()) -> str:
    """Names of columns, as far as they are `known` or look like some: a file with keys of its own may hold others."""
    listed = columns if isinstance(columns, (list, tuple)) else [columns]
    return ", ".join(each if each in known or _COLUMN.fullmatch(each) else shape(each) for each in map(str, listed))


def masked_text(text: str) -> str:
    """A sentence, such as an error's message, without addresses."""
    return _PHONE.sub(_masked_phone, _EMAIL.sub(rf"\1{DOTS}@{DOTS}", text))


def shortened(text: str) -> str:
    """`text`, cut where it gets too long for a field on the page."""
    return text if len(text) <= LONG else text[:LONG] + "…"


def _key(column: str) -> str:
    return re.sub(r"[^a-z0-9]", "", column.lower()) if column.isascii() else ""


def _sign(sign: str) -> str:
    if sign.isalpha():
        return "A" if sign.isupper() else "a"
    if sign.isnumeric():
        return "9"
    if sign.isspace():
        return " "
    return sign if sign.isascii() and sign.isprintable() else "?"


def _masked_phone(match: re.Match[str]) -> str:
    found = match.group()
    digits = [character for character in found if character.isdigit()]
    return found if len(digits) < 9 or _DATE.match(found) else DOTS + "".join(digits[-2:])
