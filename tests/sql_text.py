"""The SQL of the project as text, for tests that read it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from retention.core import database

SQL = Path(__file__).resolve().parents[1] / "include" / "sql"


@dataclass(frozen=True)
class Text:
    """A statement, a mapping, a selection, a migration, or a file of macros."""

    room: str  # the folder, like orders or selections/refresh
    file: str  # in include/sql
    name: str  # as Python asks for it: room/name
    text: str

    @property
    def is_migration(self) -> bool:
        return self.room == "schema"

    @property
    def is_macros(self) -> bool:
        return self.name.endswith("/macros")

    @property
    def is_fragment(self) -> bool:
        return self.name.rpartition("/")[2].startswith("_")


def texts(folder: Path = SQL) -> Iterator[Text]:
    """Each named statement, and each file that holds none, but for the snapshot of the schema."""
    for file in sorted(folder.rglob("*/*.sql")):
        room, path = str(file.parent.relative_to(folder)), str(file.relative_to(folder))
        named = database.named_statements(file)
        for name, _, text in named:
            yield Text(room, path, f"{room}/{name}", text.lstrip("\n"))
        if not named:
            yield Text(room, path, path.removesuffix(".sql"), file.read_text())


def text_of(name: str) -> str:
    """The text of one statement or fragment."""
    return next(each.text for each in texts() if each.name == name)


def without_comments(sql: str) -> str:
    """Comments and what stands between quotes blanked out."""
    return re.sub(
        r"--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'", lambda found: "''" if found[0][0] == "'" else "", sql, flags=re.S
    )
