"""The selections: one SQL file each in ``sql/selections``, its comment saying who is in it and what it builds on.

-- Customers without a complete order in the past year. (the first sentence is its description)
-- parent: customers
-- refresh: full
select c.customer_id from customers as c where ...
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from zoneinfo import ZoneInfo

from retention.core.errors import InputError
from retention.selections import rendering, scanning
from retention.selections.rendering import DAY_WORDS, Occasion, Rule, render, shown
from retention.selections.windows import Edge

RESERVED = re.compile(r"membership|work(_.*)?")  # tables of ours in the same schema
LONGEST_NAME = 40

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_KEY = re.compile(r"([A-Za-z_]+)\s*:\s*(\S+)")


@dataclass(frozen=True, kw_only=True)
class Definition:
    """One selection as its file describes it."""

    name: str
    about: str  # who is in it, one sentence
    parent: str | None  # it only ever holds members of this selection
    references: tuple[str, ...]  # the selections it reads, its parent first: the edges between tasks
    refresh: str  # candidates: could be refreshed for those only who can have changed; full: must be recomputed
    edges: tuple[Edge, ...]  # where its windows begin and end
    order_selections: tuple[str, ...]
    file: Path
    source: str  # the file's text
    content: str  # its SQL on a day that stands for all, with what the macros bring in, and its parent


def read_all(include: Path) -> dict[str, Definition]:
    """Every selection, what is referenced before what refers to it. Raises InputError naming the file in error."""
    found, broken = read_each(include)
    for problem in broken.values():
        raise problem
    return found


def read_each(include: Path) -> tuple[dict[str, Definition], dict[str, InputError]]:
    """The selections that can be read, in order, and of each other one what is wrong with its file.

    One that refers to one of those is wrong too. Raises InputError where they refer to each other in a circle.
    """
    files = sorted(file for file in (include / "sql" / "selections").glob("*.sql") if not file.name.startswith("."))
    found: dict[str, Definition] = {}
    broken: dict[str, InputError] = {}
    for file in files:
        try:
            found[file.stem] = _read(include, file)
        except InputError as problem:
            broken[file.stem] = problem
    is_moving = True
    while is_moving:
        is_moving = False
        for name, definition in list(found.items()):
            try:
                _check_references(include, definition, found, broken)
            except InputError as problem:
                broken[name] = problem
                del found[name]
                is_moving = True
    return {name: found[name] for name in _in_order(include, found)}, broken


def closure(definitions: Mapping[str, Definition], names: Iterable[str]) -> list[str]:
    """`names` and all they refer to, in the order of `definitions`. Raises InputError for a name that is unknown."""
    wanted: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in wanted:
            wanted.add(name)
            waiting += get(definitions, name).references
    return [name for name in definitions if name in wanted]


def get(definitions: Mapping[str, Definition], name: str) -> Definition:
    """The selection `name`. Raises InputError listing those there are."""
    if name not in definitions:
        raise InputError(f"There is no selection {name[:80]!r}; there are: {', '.join(sorted(definitions)) or 'none'}.")
    return definitions[name]


def _read(include: Path, file: Path) -> Definition:
    where = shown(include, file)
    if not _NAME.fullmatch(file.stem) or len(file.stem) > LONGEST_NAME or RESERVED.fullmatch(file.stem):
        raise InputError(
            f"{where}: a selection's name is lower-case letters, digits and _, begins with a letter, has at most "
            f"{LONGEST_NAME} characters and is not membership, work or work_...: rename the file."
        )
    source = rendering.read(include, file)
    about, keys = _header(where, source)
    rule = render(include, file, _stand_in())
    _check_text(include, file, rule, keys.get("refresh", "candidates"))
    parent = keys.get("parent")
    inline = render(include, file, _stand_in(orders_inline=True))
    return Definition(
        name=file.stem,
        about=about,
        parent=parent,
        references=tuple(dict.fromkeys([*([parent] if parent else []), *rule.references])),
        refresh=keys.get("refresh", "candidates"),
        edges=inline.edges,
        order_selections=rule.order_selections,
        file=file,
        source=source,
        content=f"{inline.sql}\nparent: {parent}",
    )


def _stand_in(*, orders_inline: bool = False) -> Occasion:
    """An occasion to look at a rule before there is a day."""
    return Occasion(
        day=date(2001, 1, 1),
        zone=ZoneInfo("UTC"),
        inactive_days=180,
        table=lambda name: f'"{name}"',
        orders_inline=orders_inline,
    )


def _header(where: str, source: str) -> tuple[str, dict[str, str]]:
    """The description and the keys in the comment that the file begins with."""
    prose: list[str] = []
    keys: dict[str, str] = {}
    for number, line in enumerate(source.splitlines(), 1):
        if not line.strip().startswith("--"):
            if line.strip():
                break
            continue
        text = line.strip().lstrip("-").strip()
        if match := _KEY.fullmatch(text):
            _check_key(f"{where}, line {number}", match[1], match[2], keys)
            keys[match[1]] = match[2]
        elif not keys:
            prose.append(text)
    about = re.split(r"(?<=[.!?])\s", " ".join(prose).strip(), maxsplit=1)[0]
    if not about:
        raise InputError(f"{where}: begin the file with a comment that says in one sentence who is in it.")
    return about, keys


def _check_key(where: str, key: str, value: str, keys: Mapping[str, str]) -> None:
    if key not in ("parent", "refresh"):
        raise InputError(f"{where}: {key!r} is not known; write `-- parent: <selection>` or `-- refresh: full`.")
    if key in keys:
        raise InputError(f"{where}: {key!r} is there twice.")
    if key == "refresh" and value != "full":
        raise InputError(f"{where}: refresh is {value!r}; write `-- refresh: full` or leave the line out.")


def _check_text(include: Path, file: Path, rule: Rule, refresh: str) -> None:
    """Refuse what the text shows to be wrong in the rule itself and in the order selections it brings in."""
    _refuse(shown(include, file), rule, scanning.problems(rule.sql))
    parts = [(file, rule)]
    for name in rule.order_selections:
        part = rendering.order_selection_file(include, name)
        alone = rendering.order_selection(include, part, _stand_in())
        _refuse(shown(include, part), alone, scanning.problems(alone.sql))
        parts.append((part, alone))
    if refresh == "full":
        return
    needs_full = f"so {shown(include, file)} needs the line `-- refresh: full`"
    for part, text in parts:
        if used := sorted(text.words & DAY_WORDS):
            raise InputError(f"{shown(include, part)} uses {', '.join(used)} outside the window macros, {needs_full}.")
        _refuse(shown(include, part), text, scanning.comparisons(text.sql), f" compares customers, {needs_full}")


def _refuse(where: str, rule: Rule, findings: Iterable[scanning.Finding], consequence: str = "") -> None:
    for index, problem in findings:
        raise InputError(f"{where}, line {rule.line(index)}: {problem}{consequence}.")


def _check_references(
    include: Path, definition: Definition, found: Mapping[str, Definition], broken: Mapping[str, InputError]
) -> None:
    for name in definition.references:
        if name in broken:
            raise InputError(f"{definition.name} waits for {name}, which cannot be read: {broken[name]}")
        if name not in found:
            what = "has the parent" if name == definition.parent else "refers to"
            raise InputError(
                f"{shown(include, definition.file)} {what} {name!r}, but there is no file "
                f"{shown(include, definition.file.with_name(f'{name}.sql'))}."
            )


def _in_order(include: Path, found: Mapping[str, Definition]) -> list[str]:
    sorter: TopologicalSorter[str] = TopologicalSorter()
    for name, definition in found.items():
        sorter.add(name, *definition.references)
    try:
        sorter.prepare()
    except CycleError as problem:
        circle = " -> ".join(shown(include, found[name].file) for name in reversed(problem.args[1]))
        raise InputError(f"The selections refer to each other in a circle: {circle}. Take one reference out.") from None
    order: list[str] = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready())
        order += ready
        sorter.done(*ready)
    return order
