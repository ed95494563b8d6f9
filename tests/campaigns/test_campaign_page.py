"""docs/campaigns.md: every key and every word of the language is on it, and each of its blocks is a campaign."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from retention.campaigns import definitions, language
from retention.core import channels, documents

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "campaigns.md").read_text()
BLOCKS = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.M | re.S)
TEXT = "{% block subject %}S{% endblock %}{% block text %}T {{ unsubscribe_url }}{% endblock %}"


def parts(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The schema and every schema in it."""
    yield schema
    for value in schema.values():
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, dict):
                yield from parts(each)


def keys(content: Any) -> Iterator[str]:
    if isinstance(content, dict):
        yield from content
    for each in content.values() if isinstance(content, dict) else content if isinstance(content, list) else ():
        yield from keys(each)


def parsed(file: Path, text: str) -> dict[str, Any]:
    file.write_text(text)
    content: dict[str, Any] = documents.read(file).content
    return content


def test_the_page_shows_every_key_in_a_block(tmp_path: Path) -> None:
    known = {name for part in parts(language.schema()) for name in part.get("properties", ()) if "type" in part}
    shown = {key for block in BLOCKS for key in keys(parsed(tmp_path / "block.yaml", block))}
    assert known - shown == set()


def test_the_page_names_every_word_that_a_key_may_have() -> None:
    words = {word for part in parts(language.schema()) for word in part.get("enum", ())}
    assert {word for word in words if not re.search(rf"(?<!\w){word}(?!\w)", PAGE)} == set()


@pytest.mark.parametrize("block", BLOCKS, ids=[f"{number}-{each.split(':')[0]}" for number, each in enumerate(BLOCKS)])
def test_every_block_of_the_page_is_a_campaign(include: Path, tmp_path: Path, block: str) -> None:
    """In the place of the same keys of the first one, as the page says."""
    frame, its = parsed(tmp_path / "frame.yaml", BLOCKS[0]), parsed(tmp_path / "block.yaml", block)
    if "entry" in its:
        del frame["re_entry"]
    content = frame | its
    (include / "campaigns" / "thank_you.yaml").write_text(yaml.safe_dump(content))
    folder = include / "messages" / "thank_you"
    folder.mkdir()
    for step in content["steps"]:
        for stem in (step["step"], f"{step['step']}.{step['fallback']}" if "fallback" in step else step["step"]):
            if channels.get(step["channel"]).is_message:
                (folder / f"{stem}.en.j2").write_text(TEXT + "{% block html %}H{% endblock %}")
    assert len(definitions.read(include, "thank_you").steps) == len(content["steps"])
