"""Reading: what stands in a file, as text columns, in two ways.

`blocks` gives plain CSV bytes for PostgreSQL's COPY to parse: no work per row here, memory flat. `rows` reads the same
file row by row, slower, and says of each row that cannot be landed which rule it breaks. JSON lines have only `rows`.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, BinaryIO

from retention.core.errors import DataError
from retention.orders.files import File
from retention.orders.sources import BLANKS, Feed, is_column

BLOCK = 1 << 20
LONGEST_ROW = 16 << 20  # bytes of one row; a longer one is a rejection when read row by row
MOST_LINES = 1000  # lines within one quoted field; more means that a quote was never closed
MOST_COLUMNS = 500
OTHER_KEYS = "other keys"  # the column for keys of a JSON line that cannot be columns, as one JSON object
SHORT = 200  # characters of a value kept with a rejection
# How text begins in UTF-16 without a mark: every other byte is NUL. Anywhere else a NUL is only a bad row.
UTF_16 = re.compile(rb"(?:[^\0]\0){2}|(?:\0[^\0]){2}")
READING_RULES = (
    "too_many_fields",
    "too_few_fields",
    "nul_byte",
    "bad_encoding",
    "row_too_long",
    "unterminated_quote",
    "not_csv",
    "not_json",
    "too_many_keys",
)


@dataclass(frozen=True)
class Bad:
    """A row that cannot be landed."""

    rule: str  # one of READING_RULES
    value: str  # what is wrong, quoting nothing of the row
    fields: list[str]  # the row as far as it can be read, shortened
    length: int = 0  # of the row in bytes; of one that is too long, of what was read


Row = dict[str, str | None]


@dataclass
class Text:
    """A delimited file, its header read: the columns in their order, and the bytes after the header."""

    columns: list[str]
    rest: Iterator[bytes]
    lines: int = field(default=0)  # of the rest, once it has been read through `blocks`


def delimited(file: File, feed: Feed, stream: BinaryIO, *, transcode: bool) -> Text:
    """Read the header of a delimited file. Raises DataError for an empty file and for columns that are not there.

    With `transcode` the rest is UTF-8; without it the bytes stay as they are, for decoding row by row.
    """
    head, rest = _begun(file, feed, stream, transcode=transcode)
    if not head.strip():
        raise DataError(f"{file.name} is empty; expected columns: {', '.join(feed.columns)}.")
    columns = list(feed.columns)
    if feed.header:
        columns, head = _header(file, feed, head)
    return Text(columns, _prepended(head, rest))


def blocks(text: Text, feed: Feed) -> Iterator[bytes]:
    """The bytes after the header as CSV for COPY, counting lines."""
    last = b""
    stream = _blanks_to_tabs(text.rest) if feed.delimiter == BLANKS else text.rest
    for block in stream:
        if block:
            text.lines += block.count(b"\n") or block.count(b"\r")
            last = block
            yield block
    if last and not last.endswith((b"\n", b"\r")):
        text.lines += 1


def rows(text: Text, feed: Feed) -> Iterator[Row | Bad]:
    """The rows after the header, one by one."""
    csv.field_size_limit(LONGEST_ROW + 1)
    lines = _Lines(text.rest, _encoding(feed))
    while True:
        record = _blank_record(lines) if feed.delimiter == BLANKS else _record(lines, feed.delimiter)
        if record is None:
            return
        if record:
            row = record if isinstance(record, Bad) else _checked(record, text.columns, lines)
            yield replace(row, length=lines.length) if isinstance(row, Bad) else row


def json_rows(file: File, feed: Feed, stream: BinaryIO) -> Iterator[Row | Bad]:
    """The rows of a file with one JSON object a line; values as text, nested ones as JSON."""
    lines = _Lines(_prepended(*_begun(file, feed, stream, transcode=False)), _encoding(feed))
    for line in lines:
        if line.strip():
            row = lines.fault([line]) or _json_row(line)
            yield replace(row, length=lines.length) if isinstance(row, Bad) else row
        lines.taken.clear()


def parquet_columns(file: File, feed: Feed) -> list[str]:
    """The columns of a Parquet file. Raises DataError when it is not one, or lacks a column."""
    columns = [str(name) for name in _parquet(file).schema_arrow.names]
    return _usable(file, feed, columns)


def parquet_blocks(file: File) -> Iterator[bytes]:
    """The rows of a Parquet file as CSV for COPY."""
    import pyarrow
    import pyarrow.csv

    options = pyarrow.csv.WriteOptions(include_header=False)
    for batch in _batches(file, 1 << 14):
        columns = [_as_text(pyarrow, column) for column in batch.columns]
        out = io.BytesIO()
        pyarrow.csv.write_csv(pyarrow.RecordBatch.from_arrays(columns, batch.schema.names), out, options)
        yield out.getvalue()


def parquet_rows(file: File, names: list[str]) -> Iterator[Row | Bad]:
    """The rows of a Parquet file one by one, for a file with values that COPY refuses; `names` of its columns."""
    import pyarrow

    for batch in _batches(file, 1 << 12):
        columns = [_as_text(pyarrow, column).to_pylist() for column in batch.columns]
        for values in zip(*columns, strict=True):
            row = dict(zip(names, values, strict=True))
            yield _fault_of(row) or {name: value or None for name, value in row.items()}


def _parquet(file: File) -> Any:
    import pyarrow.parquet

    try:
        return pyarrow.parquet.ParquetFile(file.system.open(file.path, "rb"))
    except (pyarrow.ArrowException, OSError) as problem:
        raise DataError(f"{file.name} is not a whole Parquet file: {str(problem)[:200]}") from problem


def _batches(file: File, size: int) -> Iterator[Any]:
    """The rows of a Parquet file in batches. Raises DataError for a damaged page, which only reading it shows."""
    import pyarrow

    batches = _parquet(file).iter_batches(batch_size=size)
    while True:
        try:
            batch = next(batches, None)
        except (pyarrow.ArrowException, OSError) as problem:
            said = str(problem).partition("\n")[0][:200]
            raise DataError(
                f"{file.name} cannot be read to its end ({type(problem).__name__}: {said}): it is damaged; "
                "deliver it again."
            ) from problem
        if batch is None:
            return
        yield batch


def _as_text(pyarrow: Any, column: Any) -> Any:
    """A column as text: an instant in UTC, nested values as JSON."""
    if pyarrow.types.is_timestamp(column.type) and column.type.tz:
        column = column.cast(pyarrow.timestamp(column.type.unit, "UTC"))
    try:
        return column.cast(pyarrow.string())
    except pyarrow.ArrowException:
        return pyarrow.array([_scalar_text(value) for value in column], pyarrow.string())


def _scalar_text(scalar: Any) -> str | None:
    """One value of a type that Arrow has no text for: as JSON, or by its parts where Python has no such value."""
    if not scalar.is_valid:
        return None
    try:
        return json.dumps(scalar.as_py(), default=str)
    except (ValueError, OverflowError, ArithmeticError):  # a time before year 1 or after 9999, or in nanoseconds
        return str(getattr(scalar, "value", None) or scalar.type)


def _read(stream: BinaryIO) -> Iterator[bytes]:
    while block := stream.read(BLOCK):
        yield block


def _prepended(head: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    if head:
        yield head
    yield from rest


def _encoding(feed: Feed) -> str:
    """In what the bytes are that were not transcoded; UTF-16 always is, since its lines end in two bytes."""
    return "utf-8" if feed.encoding == "utf-16" else feed.encoding


def _begun(file: File, feed: Feed, stream: BinaryIO, *, transcode: bool) -> tuple[bytes, Iterator[bytes]]:
    """The beginning of a text file, its first line at least and no byte order mark, and what follows.

    With `transcode` both are UTF-8. Raises DataError for a file in UTF-16 whose feed does not say so.
    """
    source = _read(stream)
    first = next(source, b"")
    is_utf_16 = first.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or UTF_16.match(first)
    if is_utf_16 and feed.encoding != "utf-16":
        raise DataError(f"{file.name}, line 1: the file is UTF-16; write `encoding: utf-16` for feed {feed.name}.")
    if first.startswith(codecs.BOM_UTF8) and feed.encoding != "utf-16":
        first = first.removeprefix(codecs.BOM_UTF8)
        if feed.encoding != "utf-8":
            raise DataError(f"{file.name}, line 1: the file is UTF-8; write `encoding: utf-8` for feed {feed.name}.")
    rest = _prepended(first, source)
    if transcode or feed.encoding == "utf-16":
        rest = _transcoded(file, feed, rest)
    head = next(rest, b"")
    while head and b"\n" not in head and len(head) < BLOCK:
        more = next(rest, b"")
        head += more
        if not more:
            break
    return head, rest


def _transcoded(file: File, feed: Feed, source: Iterator[bytes]) -> Iterator[bytes]:
    if feed.encoding == "utf-8":
        yield from source
        return
    try:
        decoder = None
        for block in source:
            decoder = decoder or codecs.getincrementaldecoder(_decoder(feed, block))()
            yield decoder.decode(block).encode()
        if decoder:
            yield decoder.decode(b"", final=True).encode()
    except UnicodeError as problem:
        if feed.encoding == "utf-16":
            raise DataError(
                f"{file.name} is not in UTF-16, as `encoding` of feed {feed.name} says ({problem}): "
                "write the right encoding, or have the file delivered again."
            ) from problem
        raise


def _decoder(feed: Feed, first: bytes) -> str:
    """The encoding by its full name: UTF-16 says by its first bytes which end comes first."""
    if feed.encoding == "utf-16" and first[1:2] == b"\0":
        return "utf-16-le"
    return "utf-16-be" if feed.encoding == "utf-16" and first[:1] == b"\0" else feed.encoding


def _header(file: File, feed: Feed, head: bytes) -> tuple[list[str], bytes]:
    """The columns and what follows the first line."""
    line, newline, rest = head.partition(b"\n")
    encoding = _encoding(feed)
    text = line.decode(encoding, "replace").rstrip("\r")
    if not newline and "\r" in text:  # lines that end with a carriage return alone
        text, _, tail = text.partition("\r")
        rest = tail.encode(encoding)
    if feed.delimiter == BLANKS:
        columns = text.split()
    else:
        columns = [name.strip() for name in next(csv.reader([text], delimiter=feed.delimiter), [])]
    return _usable(file, feed, columns), rest


def _usable(file: File, feed: Feed, columns: list[str]) -> list[str]:
    """The names to land the columns of a header under, if all that are expected are among them, each once.

    An extra column that cannot have its own name is called by its place, like ``column 12``: it is only extra.
    """
    if missing := [name for name in feed.columns if name not in columns]:
        hint = ""
        if len(columns) == 1 and len(feed.columns) > 1:
            hint = f" Only one column was found: is the delimiter {feed.delimiter!r} right?"
        raise DataError(
            f"{file.name}, line 1: column {', '.join(missing)} is missing; expected columns: "
            f"{', '.join(feed.columns)}; found: {found(feed, columns)}{hint}"
        )
    if twice := [name for name in feed.columns if columns.count(name) > 1]:
        raise DataError(f"{file.name}, line 1: the column {twice[0]!r} stands there twice.")
    if len(columns) > MOST_COLUMNS:
        raise DataError(f"{file.name}, line 1: {len(columns)} columns; at most {MOST_COLUMNS} can be landed.")
    named: dict[str, None] = {}
    for place, name in enumerate(columns, start=1):
        usable = name if is_column(name) and name not in named else f"column {place}"
        while usable in named or (usable != name and usable in columns):
            usable += "'"
        named[usable] = None
    return list(named)


def found(feed: Feed, columns: Sequence[str]) -> str:
    """The names found where the columns of `feed` were expected, quoted only if most of those are among them.

    Else they may be somebody's name and street, in a file without a header.
    """
    text = " ".join(columns)
    known = [name for name in feed.columns if re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text)]
    if 2 * len(known) < len(feed.columns):
        return f"{len(columns)} other{'s' * (len(columns) != 1)}, perhaps a row: does the file begin with its columns?"
    return ", ".join(repr(name[:60]) for name in columns[:20]) + "."


def _blanks_to_tabs(source: Iterator[bytes]) -> Iterator[bytes]:
    """Whole lines, without blanks at their ends, columns parted by one tab."""
    kept = b""
    for block in source:
        kept, cut = kept + block, 0
        cut = kept.rfind(b"\n") + 1
        yield _tabbed(kept[:cut])
        kept = kept[cut:]
    yield _tabbed(kept)


def _tabbed(lines: bytes) -> bytes:
    lines = re.sub(rb"^[ \t]+|[ \t\r]+$", b"", lines, flags=re.MULTILINE)
    return re.sub(rb"[ \t]+", b"\t", lines)


class _Unclosed(Exception):
    """A quoted field that goes on for too long."""


class _Lines:
    """Lines as text, remembering those of the record at hand so that they can be put back."""

    def __init__(self, source: Iterator[bytes], encoding: str) -> None:
        self._source = source
        self._encoding = encoding
        self._buffer = bytearray()
        self._back: deque[bytes] = deque()
        self.taken: list[bytes] = []
        self.is_at_end = False

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._back.popleft() if self._back else self._line()
        if line is None:
            self.is_at_end = True
            raise StopIteration
        self.taken.append(line)
        if len(self.taken) > MOST_LINES or (len(self.taken) > 1 and sum(map(len, self.taken)) > LONGEST_ROW):
            raise _Unclosed
        return line.decode(self._encoding, "replace")

    @property
    def length(self) -> int:
        """Of the record at hand in bytes, without the end of its last line."""
        return len(b"".join(self.taken).rstrip(b"\r\n"))

    def put_back(self) -> None:
        """All lines of this record but the first are to be read again."""
        self._back.extendleft(reversed(self.taken[1:]))
        del self.taken[1:]
        self.is_at_end = False

    def fault(self, fields: list[str]) -> Bad | None:
        """What is wrong with the bytes of the lines at hand."""
        if any(len(line) > LONGEST_ROW for line in self.taken):
            return Bad("row_too_long", f"a row of more than {LONGEST_ROW >> 20} MB", shortened(fields))
        for line in self.taken:
            try:
                line.decode(self._encoding)
            except UnicodeDecodeError as problem:
                value = f"byte {line[problem.start]:#04x} is not {self._encoding}"
                return Bad("bad_encoding", value, shortened(fields))
        if any(b"\0" in line for line in self.taken):
            return Bad("nul_byte", "a NUL byte", shortened(fields))
        return None

    def _line(self) -> bytes | None:
        """The next line; of one that is too long only the beginning."""
        start = 0
        while (end := self._buffer.find(b"\n", start)) < 0:
            start = len(self._buffer)
            block = next(self._source, None)
            if block is None:
                end = len(self._buffer) - 1
                break
            if len(self._buffer) > LONGEST_ROW:  # already too long: keep the beginning, look for its end
                start = len(self._buffer)
                head, newline, tail = block.partition(b"\n")
                self._buffer += head[:1] + newline + tail if newline else b""
            else:
                self._buffer += block
        line = bytes(self._buffer[: end + 1])
        del self._buffer[: end + 1]
        return line or None


def _record(lines: _Lines, delimiter: str) -> list[str] | Bad | None:
    """The fields of the next record; an empty list for a blank line, None at the end."""
    lines.taken.clear()
    try:
        fields = next(csv.reader(lines, delimiter=delimiter), None)
    except _Unclosed:
        return _unclosed(lines)
    except csv.Error as problem:
        first = lines.taken[0].decode("utf-8", "replace") if lines.taken else ""
        return lines.fault([first]) or Bad("not_csv", str(problem), shortened([first]))
    if fields is None:
        return None
    if lines.is_at_end and sum(line.count(b'"') for line in lines.taken) % 2:
        return _unclosed(lines)
    return fields


def _unclosed(lines: _Lines) -> Bad:
    """Only the line with the open quote is lost; reading goes on with the next."""
    lines.put_back()
    first = lines.taken[0].decode("utf-8", "replace")
    return lines.fault([first]) or Bad("unterminated_quote", "a quote is opened and never closed", shortened([first]))


def _blank_record(lines: _Lines) -> list[str] | None:
    lines.taken.clear()
    line = next(lines, None)
    return None if line is None else line.split()


def _checked(fields: list[str], columns: list[str], lines: _Lines) -> Row | Bad:
    if fault := lines.fault(fields):
        return fault
    if len(fields) != len(columns):
        rule = "too_many_fields" if len(fields) > len(columns) else "too_few_fields"
        return Bad(rule, f"{len(fields)} fields instead of {len(columns)}", shortened(fields))
    return {name: value or None for name, value in zip(columns, fields, strict=True)}


def _json_row(line: str) -> Row | Bad:
    try:
        content = json.loads(line, parse_float=str, parse_int=str, parse_constant=str)
    except (ValueError, RecursionError) as problem:
        return Bad("not_json", _json_fault(problem), shortened([line]))
    if not isinstance(content, dict):
        return Bad("not_json", "the line is no JSON object", shortened([line]))
    if len(content) > MOST_COLUMNS:
        return Bad("too_many_keys", f"{len(content)} keys; at most {MOST_COLUMNS} can be landed", shortened([line]))
    row = {name: _json_text(value) for name, value in content.items() if is_column(name)}
    if others := {name: value for name, value in content.items() if not is_column(name)}:
        row[OTHER_KEYS] = json.dumps(others)
    return _fault_of(row) or row


def _json_fault(problem: Exception) -> str:
    if isinstance(problem, json.JSONDecodeError):
        return f"{problem.msg.partition(':')[0]}, at character {problem.colno}"
    return "it is nested too deeply" if isinstance(problem, RecursionError) else "a value that JSON does not have"


def _json_text(value: Any) -> str | None:
    if value is None or value == "":
        return None
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value, ensure_ascii=False)


def _fault_of(row: Row) -> Bad | None:
    """What makes PostgreSQL refuse these values."""
    fields = [value or "" for value in row.values()]
    length = len("".join(fields).encode("utf-8", "surrogatepass"))
    if any("\0" in value for value in fields):
        return Bad("nul_byte", "a NUL byte", shortened(fields), length)
    try:
        "".join(fields).encode()
    except UnicodeEncodeError:
        return Bad("bad_encoding", "half of a surrogate pair", shortened(fields), length)
    return None


def shortened(fields: list[str]) -> list[str]:
    """Fields as they are kept with a rejection: short, and such that PostgreSQL takes them."""
    return [
        value[:SHORT].replace("\0", "\N{SYMBOL FOR NULL}").encode("utf-8", "replace").decode() for value in fields[:50]
    ]
