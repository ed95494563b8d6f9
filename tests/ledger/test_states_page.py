"""docs/states.md names every state and every reason there is, and only statements that there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sql_text import SQL, text_of, texts

PROJECT = Path(__file__).resolve().parents[2]
PAGE = (PROJECT / "docs" / "states.md").read_text()
PYTHON = "\n".join(
    path.read_text() for room in ("delivery", "ledger") for path in (PROJECT / "include/retention" / room).rglob("*.py")
)
SCHEMA = "\n".join(
    table
    for file in sorted((SQL / "schema").glob("*.sql"))
    for table in re.findall(
        r"create table (?:shop\.days|(?:offers|delivery|campaigns)\.\w+) \(.*?\n\);", file.read_text(), re.DOTALL
    )
)
MOVERS = [
    "delivery/claim",
    "ledger/settle_orphaned",
    "ledger/settle_unknown",
    "ledger/quarantine",
    "ledger/macros",
    "ledger/plan_withdrawn",
    "ledger/skip_erased",
    "campaigns/end_erased",
    "contact/macros",
    "delivery/macros",
    "campaigns/plan",
    "campaigns/end_all",
    "ledger/take_back",
    "delivery/leave_audiences_of_campaign",
    "ledger/skip_left_over",
    "campaigns/end_enrolments",
    "campaigns/finish",
    "campaigns/decide",
]
SQL_REASONS = {word for name in MOVERS for word in re.findall(r"(?:then|else|reason =) '(\w+)'", text_of(name))} | set(
    re.findall(r"concat_ws\(' ', '(\w+):'", text_of("campaigns/macros"))
)
PYTHON_REASONS = set(re.findall(r'\b(?:refused|retry|unknown|not_attempted)\(\s*f?"(\w+)', PYTHON)) | set(
    re.findall(r'\d{5}: "(\w+)"', PYTHON)
)
ENDINGS = {".sql", ".py", ".yaml", ".json"}
LINKED = re.findall(r"\[`?(\w+)`?\]\(\.\./include/sql/([^)]+\.sql)\)", PAGE)
TABLE = set(re.findall(r"^\| `(?:planned|refused|unknown|skipped)` \| `(\w+)", PAGE, re.MULTILINE))


def test_the_reasons_are_found_at_all() -> None:
    assert {"too_late", "worker_died", "no_consent", "entry_limit", "finished"} <= SQL_REASONS
    assert {"timeout", "template_error", "opted_out", "channel_refused", "window_closed"} <= PYTHON_REASONS


@pytest.mark.parametrize("reason", sorted(SQL_REASONS | PYTHON_REASONS))
def test_the_page_names_every_reason(reason: str) -> None:
    assert re.search(rf"`{reason}(?:: [^`]*)?`", PAGE), f"{reason} is missing in docs/states.md"


def test_the_page_names_every_state_of_the_schema() -> None:
    lists = re.findall(r"\b(?:state|arm|kind|reason) text not null check \(\s*\w+ in \(([^)]*)\)", SCHEMA)
    states = {word for each in lists for word in re.findall(r"'(\w+)'", each)}
    assert {"attempting", "redeemed", "running", "treated"} <= states
    assert not [state for state in states if f"`{state}`" not in PAGE]


def test_no_reason_of_a_message_on_the_page_is_made_up() -> None:
    ends = {"order", "unsubscribe", "left_selection", "joined_selection"}
    assert TABLE - ends <= SQL_REASONS | PYTHON_REASONS


def test_the_files_the_page_links_to_are_there() -> None:
    links = re.findall(r"\]\((\.\./[^)]+)\)", PAGE)
    assert links
    assert not [link for link in links if not (PROJECT / "docs" / link).exists()]


def _statements(file: str) -> set[str]:
    """What a file of include/sql is linked for: its statements (`-- name:`), else the file's own name; macros."""
    named = {text.name.rpartition("/")[2] for text in texts() if text.file == file and not text.is_macros}
    return named | set(re.findall(r"{% macro (\w+)", (SQL / file).read_text()))


def _movers() -> list[str]:
    """Each name in a column "moved by": the first word between commas; what follows it says when or by whom."""
    names: list[str] = []
    for table in re.findall(r"^\|.* moved by \|.*\n\|[-|]+\n((?:\|.*\n)+)", PAGE, re.MULTILINE):
        header = PAGE[: PAGE.index(table)].rstrip("\n").splitlines()[-2]
        column = [cell.strip() for cell in header.split("|")].index("moved by")
        for row in table.splitlines():
            cell = re.sub(r"\[([^]]+)\]\([^)]+\)", r"\1", row.split("|")[column]).replace("`", "")
            names += re.findall(r"(?:^|[,;] )(\w+)", cell.strip().partition(": ")[0])
    return names


def test_each_statement_that_the_page_links_is_in_that_file() -> None:
    assert ("settle", "ledger/claims.sql") in LINKED
    assert not [f"{name}: {file}" for name, file in LINKED if name not in _statements(file)]


def test_each_statement_that_moves_a_row_by_the_page_is_linked_on_it() -> None:
    movers = set(_movers())
    assert {"plan", "settle", "end_erased", "redeem"} <= movers
    assert not movers - {name for name, _ in LINKED}


def test_each_name_in_backticks_on_the_page_is_in_the_project() -> None:
    names = set(re.findall(r"`([a-z]+(?:_[a-z]+)+)`", PAGE))
    assert {"settle_unknown", "message_key_twice", "exited_on"} <= names
    files = [path for folder in ("include", "dags") for path in (PROJECT / folder).rglob("*") if path.suffix in ENDINGS]
    assert not names - {word for path in files for word in re.findall(r"\w+", path.read_text())}
