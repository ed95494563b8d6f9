"""Statements are found by name, wherever in their room they stand."""

from __future__ import annotations

from pathlib import Path

import pytest

from retention.core import database
from retention.core.errors import InputError

TWO = """{% from "shop/macros.sql" import times %}

-- name: first
-- The first.
select 1;

-- name: second
-- The second.
select {{ times("x", 2) }} as {{ name }};
"""


@pytest.fixture
def include(tmp_path: Path) -> Path:
    room = tmp_path / "sql" / "shop"
    room.mkdir(parents=True)
    (room / "numbers.sql").write_text(TWO)
    (room / "macros.sql").write_text("{% macro times(value, by) %}{{ value }} * {{ by }}{% endmacro %}\n")
    (room / "alone.sql").write_text("-- A file of its own.\nselect 3\n")
    return tmp_path


def test_a_statement_is_found_in_any_file_of_its_room_without_its_semicolon(include: Path) -> None:
    assert database.sql(include, "shop/first").split() == "-- The first. select 1".split()


def test_a_statement_uses_the_macros_imported_at_the_top_of_its_file(include: Path) -> None:
    assert 'select x * 2 as "n"' in database.sql(include, "shop/second", {"name": "n"})


def test_a_file_without_names_is_one_statement(include: Path) -> None:
    assert database.sql(include, "shop/alone") == "-- A file of its own.\nselect 3"


@pytest.mark.parametrize(
    "name", ["shop/third", "shop/numbers", "shop/first/second", "elsewhere/first", "../shop/alone"]
)
def test_a_name_that_is_not_there_is_refused(include: Path, name: str) -> None:
    with pytest.raises(InputError, match=f"There is no SQL statement {name} in "):
        database.sql(include, name)


def test_an_error_names_the_line_of_the_file(include: Path) -> None:
    with pytest.raises(InputError, match=r"numbers\.sql, line 9: 'name' is undefined"):
        database.sql(include, "shop/second")


def test_an_error_of_syntax_names_the_line_of_the_file(include: Path) -> None:
    (include / "sql" / "shop" / "numbers.sql").write_text(TWO.replace("{{ name }}", "{{ name"))
    with pytest.raises(InputError, match=r"numbers\.sql, line 9: "):
        database.sql(include, "shop/second")


def test_a_changed_file_is_seen(include: Path) -> None:
    assert "select 1" in database.sql(include, "shop/first")
    (include / "sql" / "shop" / "numbers.sql").write_text(TWO.replace("select 1", "select 17"))
    assert "select 17" in database.sql(include, "shop/first")


def test_a_changed_macro_is_seen(include: Path) -> None:
    assert "x * 2" in database.sql(include, "shop/second", {"name": "n"})
    macros = include / "sql" / "shop" / "macros.sql"
    macros.write_text(macros.read_text().replace("{{ value }} *", "{{ value }} +"))
    assert "x + 2" in database.sql(include, "shop/second", {"name": "n"})


def test_a_statement_is_rendered_with_the_names_that_it_is_given(include: Path) -> None:
    for name in ("n", "m", "n"):
        assert f'as "{name}"' in database.sql(include, "shop/second", {"name": name})


def test_a_name_that_is_there_twice_in_a_room_is_refused_with_both_places(include: Path) -> None:
    (include / "sql" / "shop" / "others.sql").write_text("-- name: more\nselect 4;\n\n-- name: first\nselect 5;\n")
    with pytest.raises(InputError, match=r"others\.sql, line 4: the statement first is in .*numbers\.sql already"):
        database.sql(include, "shop/second", {"name": "n"})


def test_a_statement_without_a_semicolon_or_a_proper_name_is_refused(include: Path) -> None:
    file = include / "sql" / "shop" / "others.sql"
    file.write_text("-- Others.\n\n-- name: open\nselect 4\n")
    with pytest.raises(InputError, match=r"others\.sql, line 3: the statement open does not end with a semicolon"):
        database.sql(include, "shop/first")
    file.write_text("-- name: two words\nselect 4;\n")
    with pytest.raises(InputError, match=r"others\.sql, line 1: 'two words' is not a name"):
        database.sql(include, "shop/first")
