"""docs/states.md names every state and every reason there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sql_text import SQL, text_of

PROJECT = Path(__file__).resolve().parents[2]
PAGE = (PROJECT / "docs" / "states.md").read_text()
PYTHON = "\n".join(
    path.read_text() for room in ("delivery", "ledger") for path in (PROJECT / "include/retention" / room).rglob("*.py")
)
SCHEMA = "\n".join(
    (SQL / f"schema/{name}.sql").read_text()
    for name in ("0001.ground", "0004.campaigns", "0005.delivery", "0014.paused")
)
MOVERS = [
    "delivery/claim",
    "ledger/declare_dead",
    "ledger/settle_unknown",
    "ledger/set_aside",
    "ledger/macros",
    "delivery/_left_audience",
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
    "campaigns/exit",
    "campaigns/finish",
    "campaigns/decide",
]
SQL_REASONS = {word for name in MOVERS for word in re.findall(r"(?:then|else|reason =) '(\w+)'", text_of(name))}
PYTHON_REASONS = set(re.findall(r'\b(?:refused|retry|unknown|returned)\(\s*f?"(\w+)', PYTHON)) | set(
    re.findall(r'\d{5}: "(\w+)"', PYTHON)
)
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
    ends = {"order", "unsubscribe", "left_selection"}
    assert TABLE - ends <= SQL_REASONS | PYTHON_REASONS


def test_the_files_the_page_links_to_are_there() -> None:
    links = re.findall(r"\]\((\.\./[^)]+)\)", PAGE)
    assert links
    assert not [link for link in links if not (PROJECT / "docs" / link).exists()]
