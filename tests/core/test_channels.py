"""Channels are described once: nothing else lists them, and a name that nobody described is an error everywhere."""

from __future__ import annotations

import ast
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from planner import MORNING, Planner
from retention.campaigns import definitions, templates
from retention.cli import console as cli
from retention.contact import law
from retention.core import channels
from retention.core.clock import Stopped
from retention.core.errors import DeliveryError, InputError
from retention.core.settings import Settings
from retention.core.shop import Shop
from retention.delivery.worker import deliver, open_channel
from retention.ledger import caps, halts
from shop import ShopData

PROJECT = Path(__file__).resolve().parents[2]
INCLUDE = PROJECT / "include"
# A feed that holds consents of two of the channels, and the words in which a shop's customers read of them.
MAY_NAME_SOME = {"generator.py", "pages.py"}


def named(text: str) -> set[str]:
    return {name for name in channels.NAMES if re.search(rf"(?<![\w-]){name}(?![\w-])", text)}


def constants(nodes: list[ast.expr | None]) -> set[str]:
    return {each.value for each in nodes if isinstance(each, ast.Constant) and each.value in channels.CHANNELS}


def lists_in_python(source: str) -> Iterator[tuple[int, set[str]]]:
    """Where a literal, or one text that is no docstring, holds more than one channel."""
    tree = ast.parse(source)
    documents = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        found: set[str] = set()
        if isinstance(node, ast.List | ast.Tuple | ast.Set):
            found = constants(
                [*node.elts, *(part for each in node.elts if isinstance(each, ast.Tuple) for part in each.elts)]
            )
        elif isinstance(node, ast.Dict):
            found = constants([*node.keys])
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documents:
            found = named(node.value)
        if len(found) > 1:
            yield node.lineno, found


def quoted(text: str) -> set[str]:
    """The channels that stand between quotes in SQL or JSON, comments left out."""
    code = re.sub(r"--[^\n]*", "", text)
    return {name for name in channels.NAMES if re.search(rf"""['"]{name}['"]""", code)}


def test_a_list_of_channels_is_found_wherever_it_could_stand() -> None:
    for source in (
        'A = ("email", "sms")',
        'A = {"email": 1, "postal": 2}',
        'A = "email sms"',
        'f([("sms", X), ("email", Y)])',
    ):
        assert list(lists_in_python(source)), source
    for source in ('A = "email"', 'A = ("email", "phone")', '"""Either email or sms."""'):
        assert not list(lists_in_python(source)), source
    assert len(quoted("m.channel in ('email', 'sms') -- 'postal'")) == 2


def test_no_other_module_lists_channels() -> None:
    found = {
        str(file.relative_to(PROJECT)): lists
        for folder in ("include", "dags", "plugins")
        for file in (PROJECT / folder).rglob("*.py")
        if file.name not in {"channels.py", *MAY_NAME_SOME}
        if (lists := list(lists_in_python(file.read_text())))
    }
    assert not found


def test_no_statement_lists_channels() -> None:
    """Migrations that are past may: what they left is looked at in the database."""
    files = [file for file in (INCLUDE / "sql").rglob("*.sql") if file.parent.name != "schema"]
    found = {str(file.relative_to(INCLUDE)): quoted(file.read_text()) for file in files}
    # The kind of an address is called like one channel, and a statement may name the one that is no message.
    assert not {name: names for name, names in found.items() if len(names) > 1 and names != {"email", "audience"}}


def test_no_table_lists_channels(engine: Engine) -> None:
    with engine.connect() as connection:
        checks = connection.execute(
            text("select conname || ' ' || pg_get_constraintdef(oid) from pg_constraint where contype = 'c'")
        ).scalars()
        assert not [check for check in checks if len(quoted(check)) > 1]


def test_every_channel_is_described_in_full() -> None:
    marks = [each.link_mark for each in channels.CHANNELS.values() if each.link_mark]
    assert len(set(marks)) == len(marks)
    for spec in channels.CHANNELS.values():
        assert bool(spec.link_mark) == spec.is_message, "who gets a message can be let out of it"
        for path in filter(None, (spec.sender, spec.export, spec.look_up)):
            assert callable(channels.load(path)), path
    assert channels.listed() == "email, sms, audience or postal"


def test_an_unknown_channel_is_an_error_everywhere(
    settings: Settings, engine: Engine, shop: ShopData, planner: Planner, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="no channel 'push'; write email, sms, audience or postal"):
        channels.get("push")
    with pytest.raises(InputError, match="no channel 'push'"):
        open_channel(settings, "push", Stopped(MORNING))
    with pytest.raises(InputError, match="no channel 'push'"):
        open_channel(settings.evolve(delivery="live", secret="x" * 20), "push", Stopped(MORNING))
    for change in (halts.halt, halts.resume):
        with pytest.raises(InputError, match="no channel 'push'"):
            change(Shop(settings, engine), channel="push")
    with pytest.raises(SystemExit):
        cli.main(["halt", "--channel", "push"])
    (tmp_path / "caps.yaml").write_text("- {channel: push, at_most: 1, in: 1 day}\n")
    with pytest.raises(InputError, match="write email, sms or all"):
        caps.read(tmp_path)
    (tmp_path / "rules.csv").write_text(",".join(law.COLUMNS) + "\nunknown,push,consent,,,1900-01-01,x\n")
    with pytest.raises(InputError, match="channel is 'push'; write email, sms, audience, postal"):
        law.read(tmp_path)
    with pytest.raises(InputError, match="no channel 'push'"):
        templates._check_blocks(tmp_path, templates._inspect(""), "push")
    planner.message(shop.customer("ada"), channel="push")
    with pytest.raises(InputError, match="no channel 'push'"):
        deliver(Shop(settings, engine), at=MORNING)
    assert planner.run("select state from delivery.messages") == [{"state": "planned"}]


def test_a_campaign_with_an_unknown_channel_is_refused_with_the_names_there_are(tmp_path: Path) -> None:
    shutil.copytree(INCLUDE, tmp_path / "include", ignore=shutil.ignore_patterns("retention", "*.egg-info"))
    file = tmp_path / "include" / "campaigns" / "winback.yaml"
    file.write_text(file.read_text().replace("channel: sms", "channel: push"))
    with pytest.raises(InputError, match=r'channel is "push"; write email, sms, audience or postal'):
        definitions.read(tmp_path / "include", "winback")


def test_a_channel_without_a_sender_goes_to_the_outbox_and_is_refused_for_real(
    settings: Settings, monkeypatch: Any
) -> None:
    push = channels.ChannelSpec(name="push", address="email", parts=("text",))
    monkeypatch.setitem(channels.CHANNELS, "push", push)
    assert open_channel(settings, "push", Stopped(MORNING)).provider == "outbox"
    live = settings.evolve(
        delivery="live", secret="x" * 20, public_url="https://shop.example", shop_url="https://shop.example"
    )
    with pytest.raises(DeliveryError, match="Nothing sends the channel push for real"):
        open_channel(live, "push", Stopped(MORNING))
