"""docs/feeds.md says what a mapping must and may give, feed by feed, and names rules that there are."""

from __future__ import annotations

import re
from pathlib import Path

from retention.orders import publishing, sources, validation

PROJECT = Path(__file__).resolve().parents[2]
PAGE = (PROJECT / "docs" / "feeds.md").read_text()


def names(text: str) -> tuple[str, ...]:
    return tuple(re.findall(r"`(\w+)`", text))


def test_the_page_says_what_a_mapping_of_each_feed_gives() -> None:
    table = re.findall(r"^\| `(\w+)` \| (.*) \| (.*) \|$", PAGE, re.MULTILINE)
    assert {feed: (names(must), names(may)) for feed, must, may in table} == {
        feed: (kind.required, kind.optional) for feed, kind in publishing.KINDS.items()
    }
    assert set(publishing.KINDS) == set(publishing.STAGE) == set(sources.FEEDS)


def test_the_page_names_rules_that_there_are() -> None:
    suites = [validation.read(PROJECT / "include", f"demo_shop_{feed}") for feed in ("list_members", "products")]
    known = {*validation.PUBLISHING_RULES, *(rule.name for suite in suites for rule in suite.rules)}
    told = {name for name in names("".join(re.findall(r"\([^)]*`\w+`[^)]*\)", PAGE))) if name.count("_") > 1}
    assert told
    assert told <= known
