"""Sources: where a shop's orders come from, one YAML file each in ``include/sources``. Adding one needs no Python."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from retention.core import days, documents
from retention.core.errors import InputError
from retention.core.settings import shown, zone

# In the order they are published.
FEEDS = ("customers", "orders", "order_lines", "consents", "list_members", "products")
FORMATS = ("csv", "jsonl", "parquet")
ENCODINGS = ("utf-8", "utf-16", "latin-1", "iso-8859-15", "windows-1250", "windows-1252")
BLANKS = "blanks"  # a delimiter: columns parted by any number of blanks
OWN_COLUMNS = ("load_key", "file_no", "row_no")  # ours in every landing table
OURS = "r:"  # before the names of our columns of the view that validates: no column of a file begins so
_SYSTEM_COLUMNS = ("tableoid", "xmin", "cmin", "xmax", "cmax", "ctid")  # PostgreSQL's in every table
_LONGEST_NAME = 60  # bytes; PostgreSQL takes 63

_NAME = {
    "type": "string",
    "pattern": "^[a-z][a-z0-9_]*$",
    "maxLength": 30,
    "write": "lower-case letters, digits and _, at most 30, beginning with a letter",
}
_PATH = {
    "type": "string",
    "minLength": 1,
    "not": {"pattern": r"(^|[/\\])\.\.([/\\]|$)"},
    "write": "a path without '..', or name the folder with --path",
}
_INNER_PATH = {**_PATH, "pattern": "^[^/]", "write": "a path below `root`, without '..' or a leading '/'"}
_FEED = {
    "type": "object",
    "additionalProperties": False,
    "oneOf": [{"required": ["path", "format", "columns"]}, {"required": ["from"]}],
    "write": "path, format and columns, or `from` with another feed",
    "properties": {
        "path": _INNER_PATH,
        "format": {"enum": list(FORMATS)},
        "delimiter": {
            "type": "string",
            "pattern": rf"^([\t !#-\-/:-@\[\]^_`{{-~]|{BLANKS})$",
            "write": "one sign like ',' or ';' (no letter, digit, dot, quote or backslash), or blanks",
        },
        "encoding": {"enum": list(ENCODINGS)},
        "header": {"type": "boolean"},
        "columns": {
            "type": "array",
            "items": {"type": "string", "minLength": 1, "maxLength": 60},
            "minItems": 1,
            "uniqueItems": True,
        },
        "required": {"type": "boolean"},
        "may_be_empty": {"type": "boolean"},
        "suite": _NAME,
        "mapping": _NAME,
        "from": {"enum": list(FEEDS)},
    },
}
_SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["name", "about", "namespace", "daily", "feeds"],
    "properties": {
        "name": _NAME,
        "about": {"type": "string"},
        "namespace": _NAME,
        "daily": {"type": "boolean"},
        "zone": {"type": "string"},
        "root": _PATH,
        "marker": _INNER_PATH,
        "feeds": {
            "type": "object",
            "additionalProperties": False,
            "required": ["orders"],
            "properties": dict.fromkeys(FEEDS, _FEED),
        },
    },
}


@dataclass(frozen=True, kw_only=True)
class Feed:
    """One kind of rows of a source, and the files they stand in."""

    name: str  # one of FEEDS
    shares: str | None  # the feed whose landed rows this one reads too; then it has no files of its own
    path: str  # below the root; {day} stands for the day, * for anything
    format: str  # one of FORMATS
    delimiter: str  # one character, or BLANKS
    encoding: str  # one of ENCODINGS
    header: bool  # whether the first line names the columns
    columns: tuple[str, ...]  # expected; more may come
    required: bool  # whether a day without this file waits
    may_be_empty: bool  # whether a day may pass without a row; asked of orders only: without them all look lapsed
    suite: str  # expectations/<suite>.yaml
    mapping: str  # sql/orders/mappings/<mapping>.sql

    @property
    def landing(self) -> str:
        """The feed whose landing table holds this feed's rows."""
        return self.shares or self.name


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where one shop's files are, and how their rows become ours."""

    name: str
    about: str
    namespace: str  # sources with one namespace share customers
    daily: bool  # files come per day; otherwise only whole histories are loaded
    zone: ZoneInfo | None  # of times without an offset; None: the shop's
    root: str | None  # default folder or URL; {local} stands for this machine's folder
    marker: str | None  # a file written last: before it is there, the day is not complete
    feeds: dict[str, Feed] = field(default_factory=dict)  # in the order they are published

    @property
    def landed(self) -> list[Feed]:
        """The feeds with files of their own."""
        return [feed for feed in self.feeds.values() if not feed.shares]


def read(include: Path, name: str) -> Source:
    """The source of ``sources/<name>.yaml``. Raises InputError, naming file and line, when something in it is wrong."""
    folder = include / "sources"
    known = sorted(path.stem for path in folder.glob("*.yaml"))
    if name not in known:
        raise InputError(f"There is no source {name[:60]!r}; known: {', '.join(known) or 'none'} (in {folder}).")
    path = folder / f"{name}.yaml"
    document = documents.read(path)
    document.check(_SCHEMA)
    content: dict[str, Any] = document.content
    if content["name"] != name:
        raise document.error(("name",), f"the name is {content['name']!r}, but the file is called {name}.yaml.")
    feeds = {feed: _feed(path, content, feed) for feed in FEEDS if feed in content["feeds"]}
    return Source(
        name=name,
        about=content["about"],
        namespace=content["namespace"],
        daily=content["daily"],
        zone=_zone(path, content.get("zone")),
        root=content.get("root"),
        marker=content.get("marker"),
        feeds=feeds,
    )


def read_all(include: Path) -> dict[str, Source]:
    """Every source by name."""
    return {path.stem: read(include, path.stem) for path in sorted((include / "sources").glob("*.yaml"))}


def definition(include: Path, source: Source) -> str:
    """The definition of a day of `source`: the hash of its YAML, its mappings and its suites."""
    files = [include / "sources" / f"{source.name}.yaml"]
    files += [include / "sql" / "orders" / "mappings" / f"{feed.mapping}.sql" for feed in source.feeds.values()]
    files += [include / "expectations" / f"{feed.suite}.yaml" for feed in source.landed]
    return days.fingerprint(*(file.read_text(encoding="utf-8") for file in dict.fromkeys(files)))


def is_column(name: str) -> bool:
    """Whether a column of a file can be landed under its own name."""
    try:
        size = len(name.encode())
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
    taken = name in OWN_COLUMNS or name in _SYSTEM_COLUMNS or name.startswith(OURS)
    return 0 < size <= _LONGEST_NAME and name == name.strip() and "\0" not in name and not taken


def _feed(path: Path, content: dict[str, dict[str, dict[str, str]]], name: str) -> Feed:
    raw: dict[str, object] = dict(content["feeds"][name])
    shares = raw.get("from")
    if shares:
        base = content["feeds"].get(str(shares))
        if base is None or "from" in base:
            raise InputError(f"{path}: feeds.{name}.from: {shares} must be a feed with files of its own.")
        raw = {**base, "mapping": raw.get("mapping")}
    columns = tuple(str(column) for column in raw["columns"])  # type: ignore[attr-defined]
    if taken := [column for column in columns if column in OWN_COLUMNS]:
        raise InputError(f"{path}: feeds.{name}.columns: {taken[0]} is a name of ours; name this column otherwise.")
    if unfit := [column for column in columns if not is_column(column)]:
        raise InputError(
            f"{path}: feeds.{name}.columns: {unfit[0]!r} cannot be a column: 1 to {_LONGEST_NAME} bytes, no blanks "
            f"around it, no name of PostgreSQL's own like ctid, not beginning with {OURS}; name this column otherwise."
        )
    if content["daily"] and "{day}" not in str(raw["path"]):
        raise InputError(f"{path}: feeds.{name}.path: a daily source needs {{day}} in the path.")
    own = f"{content['name']}_{name}"
    return Feed(
        name=name,
        shares=str(shares) if shares else None,
        path=str(raw["path"]),
        format=str(raw["format"]),
        delimiter=str(raw.get("delimiter") or ","),
        encoding=str(raw.get("encoding") or "utf-8"),
        header=bool(raw.get("header", True)),
        columns=columns,
        required=bool(raw.get("required", True)),
        may_be_empty=bool(raw.get("may_be_empty", False)),
        suite=str(raw.get("suite") or own),
        mapping=str(raw.get("mapping") or own),
    )


def _zone(path: Path, name: str | None) -> ZoneInfo | None:
    try:
        return None if name is None else zone(name)
    except ValueError as problem:
        raise InputError(
            f"{path}: zone: {shown(name or '')} is not known; write one like 'Europe/London'."
        ) from problem
