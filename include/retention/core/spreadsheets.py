"""Tables for spreadsheets and other programs."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from decimal import Decimal

# Where a spreadsheet would begin to compute: at the beginning of a field, and after what parts fields elsewhere.
# Blanks, invisible signs and full-width forms do not keep it from doing so.
_FORMULA = re.compile(
    r"^(?=[\t\n])|(?:^|(?<=[;\t]))(?=[\s\x00-\x1f\xad\u200b-\u200f\u2060\ufeff]*[=+\-@\uff1d\uff0b\uff0d\uff20])"
)


def as_csv(header: Sequence[str], rows: Iterable[Sequence[str | Decimal | None]]) -> bytes:
    """Rows as UTF-8, comma, line feed; None is an empty field. Text that a spreadsheet would compute is made text."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([_no_formula(field) if isinstance(field, str) else field for field in row] for row in rows)
    return text.getvalue().encode()


def _no_formula(field: str) -> str:
    # The writer leaves a carriage return without quotes, and readers take it for the end of the row.
    return _FORMULA.sub("'", field.replace("\r\n", "\n").replace("\r", "\n"))
