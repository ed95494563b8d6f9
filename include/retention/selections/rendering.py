"""From a selection's file to the SQL of one day: Jinja, in a sandbox, with the macros below and nothing else.

    {{ selection('customers') }}        the table of another selection; makes the edge
    {{ orders_in('orders_past_year') }} how many of the customer's orders are in an order selection
    {{ orders_in('orders_past_year', at_least=0, at_most=0) }}      whether that number lies between the two, both
                                        included; at most 99999 or more means: no upper limit
    {{ orders('all_orders') }}          an order selection to build another one on
    {{ between_days('o.ordered_on', after=365, before_ahead=1) }}   a window of whole days, both ends included;
                                        `after`, `before`: days ago, `before_ahead`: days ahead
    {{ between_months('s.last_order_on', after=12, before=6) }}     the same in calendar months
    {{ since('s.last_order_on', months=6, within=7) }}  six months have passed, on one of the last seven days
    {{ day }}, {{ known_by }}, {{ inactive_days }}, {{ shop_zone }}     literals; the first two need `-- refresh: full`
    {% from "contact/macros.sql" import contactable %}  whether a customer may be contacted: the macros of a room, which
                                        `facts=""` makes read this selection's world

A column that ends in ``_at`` is an instant and meets the midnights of the shop's zone; any other is a date.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from pathlib import Path
from zoneinfo import ZoneInfo

import jinja2
from jinja2 import meta, nodes

from retention.core import days, sandbox
from retention.core.database import GLOBALS, identifier
from retention.core.errors import InputError
from retention.selections.windows import Edge, Span, Window, between, since

UNBOUNDED = 99_999  # "at most 99999 orders" has always meant: however many
DAY_WORDS = frozenset({"day", "known_by"})

_COLUMN = re.compile(r"(?:[a-z_][a-z0-9_]*\.)?[a-z_][a-z0-9_]*")
_TAG = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", re.DOTALL)
_BROUGHT_IN = "\x1e"  # stands for a line end that a macro brought in: it is not one of the file's lines
_MACROS = re.compile(r"[a-z_]+/macros\.sql")


@dataclass(frozen=True, kw_only=True)
class Occasion:
    """What a rule is rendered for."""

    day: date
    zone: ZoneInfo  # the shop's
    inactive_days: int
    table: Callable[[str], str]  # a selection's table in the world at hand, qualified and quoted
    orders_inline: bool = True  # False: a stand-in for each order selection, to look at the rule alone


@dataclass(frozen=True, kw_only=True)
class Rule:
    """The SQL of a selection on one occasion."""

    sql: str
    edges: tuple[Edge, ...]  # where facts cross a window as days go by
    references: tuple[str, ...]  # selections, in the order of their appearance
    order_selections: tuple[str, ...]
    words: frozenset[str]  # what the file uses besides SQL: macros, day ...
    _marked: str

    def line(self, index: int) -> int:
        """The line of the selection's file that the character at `index` of the SQL comes from."""
        return self._marked.count("\n", 0, index) + 1


def render(include: Path, file: Path, occasion: Occasion) -> Rule:
    """The rule in `file` for `occasion`. Raises InputError naming file and line."""
    return _rule(include, file, occasion, selections=True)


def order_selection(include: Path, file: Path, occasion: Occasion) -> Rule:
    """An order selection by itself. Raises InputError naming file and line."""
    return _rule(include, file, occasion, selections=False)


def _rule(include: Path, file: Path, occasion: Occasion, *, selections: bool) -> Rule:
    macros = _Macros(include, occasion)
    with sandbox.bounded():
        marked = macros.file(file, selections=selections)
    return Rule(
        sql=marked.replace(_BROUGHT_IN, "\n"),
        edges=tuple(dict.fromkeys(macros.edges)),
        references=tuple(dict.fromkeys(macros.references)),
        order_selections=tuple(dict.fromkeys(macros.order_selections)),
        words=frozenset(macros.words),
        _marked=marked,
    )


def order_selection_file(include: Path, name: str) -> Path:
    """Where the order selection `name` stands."""
    return include / "sql" / "order_selections" / f"{name}.sql"


def shown(include: Path, file: Path) -> str:
    """A file's path as messages name it: from the include folder on."""
    return str(Path(include.name) / file.relative_to(include))


def read(include: Path, file: Path) -> str:
    """The text of a SQL file. Raises InputError when it is not UTF-8."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as problem:
        raise InputError(f"{shown(include, file)} is not UTF-8 (byte {problem.start}): save it as UTF-8.") from None
    if "\0" in text:
        raise InputError(f"{shown(include, file)} holds a NUL byte: save it as UTF-8 text.")
    return text


class _Macros:
    """What one rendering may call, and what it has called."""

    def __init__(self, include: Path, occasion: Occasion) -> None:
        self.include = include
        self.occasion = occasion
        self.edges: list[Edge] = []
        self.references: list[str] = []
        self.order_selections: list[str] = []
        self.words: set[str] = set()
        self.open: list[str] = []  # order selections being rendered, to see a cycle

    def file(self, file: Path, *, selections: bool) -> str:
        """A file rendered; selections can be referred to from selections only, their words are those of the rule."""
        source = read(self.include, file)
        context = self._context()
        if not selections:
            del context["selection"]
        try:
            parsed = _parsed(self.include, source, str(file))
            if not self.open:
                self.words |= parsed.words
            self.references += parsed.selections
            return parsed.template.render(context)
        except sandbox.PROBLEMS as problem:
            line = sandbox.line_of(problem, str(file))
            where = f"{shown(self.include, file)}, line {line}"
            raise InputError(f"{where}: {sandbox.sentence(problem).replace('_Macros.', '')}.") from None

    def _context(self) -> dict[str, object]:
        known_by = days.known_at(self.occasion.day, self.occasion.zone)
        return {
            "selection": self.selection,
            "orders": self.orders,
            "orders_in": self.orders_in,
            "between_days": self.between_days,
            "between_months": self.between_months,
            "since": self.since,
            "day": f"date '{self.occasion.day}'",
            "known_by": f"timestamptz '{known_by.isoformat(sep=' ')}'",
            "inactive_days": self.occasion.inactive_days,
            "shop_zone": f"'{self.occasion.zone.key}'",
        }

    def selection(self, name: str) -> str:
        return self.occasion.table(name)

    def orders(self, name: str) -> str:
        file = order_selection_file(self.include, name)
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or not file.is_file():
            raise ValueError(
                f"there is no order selection {name!r}: {shown(self.include, file.parent)} has no such file"
            )
        if name in self.open:
            raise ValueError(f"the order selections {' -> '.join([*self.open, name])} refer to each other in a circle")
        self.order_selections.append(name)
        self.open.append(name)
        text = self.file(file, selections=False)
        self.open.pop()
        if not self.occasion.orders_inline:
            return "orders"
        return f"(\n{text.strip()}\n)".replace("\n", _BROUGHT_IN)

    def orders_in(self, name: str, at_least: int | None = None, at_most: int | None = None, of: str = "c") -> str:
        if not _COLUMN.fullmatch(of) or "." in of:
            raise ValueError(f"of={of!r}: write the alias of the table that has the customer_id")
        theirs = (
            f"from {self.orders(name)} as {identifier(name)} where {identifier(name)}.customer_id = {of}.customer_id"
        )
        number = f"(select count(*) {theirs})"
        if at_least is None and at_most is None:
            return number
        lowest, highest = _limits(at_least, at_most)
        if highest == 0:
            return f"not exists (select {theirs})"
        if highest is None:
            return "true" if lowest == 0 else f"exists (select {theirs})" if lowest == 1 else f"{number} >= {lowest}"
        return f"{number} between {lowest} and {highest}"

    def between_days(
        self, column: str, after: int | None = None, before: int | None = None, before_ahead: int | None = None
    ) -> str:
        if before is not None and before_ahead is not None:
            raise ValueError("`before` and `before_ahead` are both given: a window has one end")
        for number in (after, before, before_ahead):
            if number is not None and (not isinstance(number, int) or number < 0):
                raise ValueError(f"{number!r} is not a number of days from 0")
        end = before if before_ahead is None else -before_ahead
        return self._within(
            column,
            lambda name: between(
                name,
                None if after is None else Span(days=after),
                None if end is None else Span(days=end),
            ),
        )

    def between_months(self, column: str, after: int | None = None, before: int | None = None) -> str:
        return self._within(
            column,
            lambda name: between(
                name,
                None if after is None else Span(months=after),
                None if before is None else Span(months=before),
            ),
        )

    def since(self, column: str, days: int = 0, months: int = 0, within: int | None = None) -> str:
        if days < 0:
            raise ValueError(f"days={days}: write how many days have passed, from 0")
        return self._within(column, lambda name: since(name, Span(days=days, months=months), within))

    def _within(self, column: str, make: Callable[[str], Window]) -> str:
        if not _COLUMN.fullmatch(column):
            raise ValueError(f"{column!r} is not a column: write it like 'ordered_on' or 'o.ordered_on'")
        window = make(column.rpartition(".")[2])
        self.edges += window.edges
        conditions = [
            f"{column} {sign} {self._literal(column, edge.on(self.occasion.day))}"
            for sign, edge in ((">=", window.start), ("<", window.end))
            if edge
        ]
        return f"({' and '.join(conditions)})"

    def _literal(self, column: str, day: date) -> str:
        if column.endswith("_at"):
            return f"timestamptz '{days.starts_at(day, self.occasion.zone).isoformat(sep=' ')}'"
        return f"date '{day}'"


@dataclass(frozen=True, kw_only=True)
class _Parsed:
    template: jinja2.Template
    words: frozenset[str]  # what it uses besides SQL
    selections: tuple[str, ...]  # the names in selection(...), also where an occasion does not come by


class _Sandbox(sandbox.Sandbox):
    """What a macro gives, too, brings no lines of the file."""

    def weighed(self, value: object) -> object:
        value = super().weighed(value)
        return value.replace("\n", _BROUGHT_IN) if isinstance(value, str) else value


@lru_cache(maxsize=8)
def _environment(include: Path) -> _Sandbox:
    """Selections may bring in the macros of rooms, and nothing else."""

    def load(name: str) -> str | None:
        file = include / "sql" / name
        return read(include, file) if _MACROS.fullmatch(name) and file.is_file() else None

    environment = _Sandbox(loader=jinja2.FunctionLoader(load), autoescape=False, keep_trailing_newline=True)
    environment.globals.update(GLOBALS)
    return environment


@lru_cache(maxsize=256)  # a day renders the same few files over and over
def _parsed(include: Path, source: str, filename: str) -> _Parsed:
    environment = _environment(include)
    environment.parse(source)  # a tag that is never closed is found here: looking for its end takes long
    source = _TAG.sub(_on_one_line, source)
    tree = environment.parse(source)
    return _Parsed(
        template=environment.template_class.from_code(
            environment, environment.compile(source, filename=filename), environment.make_globals(None)
        ),
        words=frozenset(meta.find_undeclared_variables(tree)),
        selections=tuple(_named_selections(tree)),
    )


def _limits(at_least: int | None, at_most: int | None) -> tuple[int, int | None]:
    """The lowest and the highest number of orders, None for no limit."""
    lowest = 0 if at_least is None else at_least
    highest = UNBOUNDED if at_most is None else at_most
    for number in (lowest, highest):
        if isinstance(number, bool) or not isinstance(number, int) or number < 0:
            raise ValueError(f"{number!r} is not a number of orders")
    if lowest > highest:
        raise ValueError(f"at_least={lowest} is more than at_most={highest}: nobody could be in it")
    return lowest, None if highest >= UNBOUNDED else highest


def _named_selections(tree: nodes.Template) -> list[str]:
    names = []
    for call in tree.find_all(nodes.Call):
        if isinstance(call.node, nodes.Name) and call.node.name == "selection":
            name = call.args[0] if len(call.args) == 1 and not call.kwargs else None
            if not isinstance(name, nodes.Const) or not isinstance(name.value, str):
                raise jinja2.TemplateSyntaxError("write selection('name') with the name itself", call.lineno)
            names.append(name.value)
    return names


def _on_one_line(tag: re.Match[str]) -> str:
    """A tag without line ends, followed by them: so the lines of the result are the lines of the file."""
    return tag[0].replace("\n", " ") + "\n" * tag[0].count("\n")
