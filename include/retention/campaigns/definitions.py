"""Campaigns as they are written: ``campaigns/<name>.yaml``, its templates and its selection's SQL, checked when read.

Every mistake is an InputError that names file and line and says what to write instead.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import time
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

from retention.campaigns import language, templates
from retention.campaigns.language import Step
from retention.campaigns.templates import KNOWN_VARIABLES
from retention.core import channels, documents
from retention.core.documents import Document, nearest, shown
from retention.core.errors import InputError

known_variables = KNOWN_VARIABLES
NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
NOT_YET = {"unless": "a step is sent to everybody who is still in the campaign"}


@dataclass(frozen=True, kw_only=True)
class Offer:
    """A discount, defined once; every customer gets a code of their own for it."""

    name: str
    percent: Decimal
    valid_for: str  # like 24 hours; PostgreSQL reads it as an interval


@dataclass(frozen=True, kw_only=True)
class ReEntry:
    """How long after an entry the same customer may enter again."""

    never: bool = False
    months: int = 0
    days: int = 0


@dataclass(frozen=True, kw_only=True)
class Campaign:
    """One version of a campaign."""

    name: str
    version: str  # the first 12 hex digits of the SHA-256 of all that it consists of
    about: str
    status: str  # draft, live or ended
    owner: str
    selection: str
    renamed_from: str | None  # the name it had before
    re_entry: ReEntry
    entry_limit: int | None  # customers a day; None: no limit
    exit_on: tuple[str, ...]  # order, unsubscribe, left_selection
    control: Decimal  # percent
    order_within: int  # days after entry
    detect_lift: Decimal | None  # percent
    window_start: time  # of the customer's local day
    window_end: time
    grace_days: int
    offers: Mapping[str, Offer]
    steps: tuple[Step, ...]  # in order of days
    content: Mapping[str, Any] = field(repr=False)  # the YAML as written
    templates: Mapping[str, str] = field(repr=False, default_factory=dict)  # file name -> text
    selection_sql: str = field(repr=False, default="")

    @property
    def first_step(self) -> Step:
        """The step whose channel decides who may enter: a customer who cannot get it is not enrolled."""
        return self.steps[0]

    @property
    def last_step(self) -> Step:
        """The step after which an enrolment is over."""
        return self.steps[-1]

    def find(self, step: str) -> Step | None:
        """The step of this name, if this version has it."""
        return next((each for each in self.steps if each.step == step), None)


def names(include: Path) -> list[str]:
    """The names of all campaigns, sorted."""
    return sorted(file.stem for file in (include / "campaigns").glob("*.yaml"))


def is_there(include: Path, name: str) -> bool:
    """Whether the campaign has a file, one that cannot be read too, like a link that leads nowhere yet."""
    return os.path.lexists(include / "campaigns" / f"{name}.yaml")


def read_all(include: Path) -> dict[str, Campaign]:
    """All campaigns by name. Raises InputError for the first mistake in any of them."""
    return {name: read(include, name) for name in names(include)}


def read_each(include: Path) -> tuple[dict[str, Campaign], dict[str, InputError]]:
    """The campaigns that can be read, and of each other one what is wrong with it: a mistake in one stops no other."""
    found: dict[str, Campaign] = {}
    broken: dict[str, InputError] = {}
    for name in names(include):
        try:
            found[name] = read(include, name)
        except InputError as problem:
            broken[name] = problem
    return found, broken


def read_files(include: Path) -> tuple[dict[str, Mapping[str, Any]], dict[str, InputError]]:
    """What the campaigns' own files say, without selection and templates; of each other one what is wrong with it."""
    found: dict[str, Mapping[str, Any]] = {}
    broken: dict[str, InputError] = {}
    for name in names(include):
        try:
            found[name] = _read_file(include, name).content
        except InputError as problem:
            broken[name] = problem
    return found, broken


def read(include: Path, name: str) -> Campaign:
    """The campaign `name`. Raises InputError when there is none, or for the first mistake in its files."""
    document = _read_file(include, name)
    _check_selection(include, document)
    content = document.content
    selection_sql = _text(include / "sql" / "selections" / f"{content['selection']}.sql")
    texts = templates.read(
        include,
        name,
        [
            (each["step"], each["channel"], "offer" in each)
            for each in content["steps"]
            if channels.get(each["channel"]).is_message
        ],
    )
    version = _fingerprint(_text(document.file), texts, selection_sql)
    return parse(content, version, texts, selection_sql)


def _read_file(include: Path, name: str) -> Document:
    if not NAME.fullmatch(name):
        raise InputError(f"{name[:80]!r} is not a campaign's name: small letters, digits and _, like 'winback'.")
    file = include / "campaigns" / f"{name}.yaml"
    if not is_there(include, name):
        raise InputError(f"There is no campaign {name!r}: no file {file}.{nearest(name, names(include))}")
    document = documents.read(file)
    _check_schema(document)
    _check_sense(include, document, name)
    return document


def parse(
    content: Mapping[str, Any], version: str, texts: Mapping[str, str] | None = None, selection_sql: str = ""
) -> Campaign:
    """The campaign of a YAML's checked content, like the one that campaigns.versions keeps."""
    file = msgspec.convert(content, language.Campaign)
    start, end = file.send_between
    return Campaign(
        name=file.campaign,
        version=version,
        about=file.about,
        status=file.status,
        owner=file.owner,
        selection=file.selection,
        renamed_from=file.renamed_from,
        re_entry=_re_entry(file.re_entry),
        entry_limit=int(file.entry_limit.split()[0]) if file.entry_limit else None,
        exit_on=tuple(file.exit_on),
        control=_percent(file.control),
        order_within=int(file.goal.order_within.split()[0]),
        detect_lift=_percent(file.goal.detect_lift) if file.goal.detect_lift else None,
        window_start=time.fromisoformat(start),
        window_end=time.fromisoformat(end),
        grace_days=file.grace_days,
        offers={
            name: Offer(name=name, percent=Decimal(str(offer.percent)), valid_for=offer.valid_for)
            for name, offer in file.offers.items()
        },
        steps=tuple(file.steps),
        content=content,
        templates=texts or {},
        selection_sql=selection_sql,
    )


def _re_entry(text: str) -> ReEntry:
    if text == "never":
        return ReEntry(never=True)
    number, unit = text.split()
    return ReEntry(months=int(number)) if unit.startswith("month") else ReEntry(days=int(number))


def _percent(text: str) -> Decimal:
    return Decimal(text.removesuffix("%"))


def _fingerprint(text: str, texts: Mapping[str, str], selection_sql: str) -> str:
    parts = [text, selection_sql, *(part for name in sorted(texts) for part in (name, texts[name]))]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as problem:
        raise InputError(f"{file} is not UTF-8 (byte {problem.start}); save it as UTF-8.") from problem
    except OSError as problem:
        raise InputError(f"{file} cannot be read: {problem.strerror}.") from problem


@lru_cache(maxsize=1)
def _schema() -> dict[str, Any]:
    return language.schema()


def _check_schema(document: Document) -> None:
    if not isinstance(document.content, dict):
        raise document.error((), "a campaign is a list of `key: value` lines, beginning with `campaign: <name>`.")
    document.check(_schema(), NOT_YET)


def _check_sense(include: Path, document: Document, name: str) -> None:
    """What a schema cannot say."""
    content = document.content
    if content["campaign"] != name:
        raise document.error(
            ("campaign",), f"campaign is {shown(content['campaign'])}; write {name!r}, as the file is named."
        )
    _check_old_name(include, document, name)
    start, end = content["send_between"]
    if start >= end:
        raise document.error(("send_between",), f"the window {start} to {end} is empty; write the earlier time first.")
    _check_steps(document)


def _check_old_name(include: Path, document: Document, name: str) -> None:
    """One file takes over the people of one name that has no file any more."""
    where, old = ("renamed_from",), document.content.get("renamed_from")
    if old is None:
        return
    if old == name:
        raise document.error(where, f"renamed_from is {old!r}, its own name; write the name it had before.")
    if is_there(include, old):
        raise document.error(where, f"{old}.yaml is still there; delete it, or leave renamed_from out.")
    for other in names(include):
        if other != name and _says_renamed_from(include, other) == old:
            raise document.error(where, f"{other}.yaml was renamed from {old!r} too; leave it out of one of them.")


def _says_renamed_from(include: Path, name: str) -> Any:
    try:
        content = documents.read(include / "campaigns" / f"{name}.yaml").content
    except InputError:  # told where that file is read
        return None
    return content.get("renamed_from") if isinstance(content, dict) else None


def _check_selection(include: Path, document: Document) -> None:
    content = document.content
    selections = include / "sql" / "selections"
    if not (selections / f"{content['selection']}.sql").is_file():
        known = sorted(file.stem for file in selections.glob("*.sql"))
        raise document.error(
            ("selection",),
            f"there is no selection {content['selection']!r} in {selections}.{nearest(content['selection'], known)}",
        )


def _check_steps(document: Document) -> None:
    offers = sorted(document.content.get("offers", {}))
    seen: set[str] = set()
    taken: set[tuple[int, bool]] = set()
    day = 0
    for number, step in enumerate(document.content["steps"]):
        if step["step"] in seen:
            raise document.error(("steps", number, "step"), f"the step {step['step']!r} is there twice; rename one.")
        is_audience = not channels.get(step["channel"]).is_message
        if (step["day"], is_audience) in taken:
            what = "audiences" if is_audience else "steps"
            raise document.error(
                ("steps", number, "day"),
                f"two {what} on day {step['day']}: nobody gets two messages on one day; move one.",
            )
        if step["day"] < day:
            raise document.error(
                ("steps", number, "day"), f"day {step['day']} after day {day}; write steps in order of days."
            )
        _check_audience(document, number, step)
        if "offer" in step and step["offer"] not in offers:
            raise document.error(
                ("steps", number, "offer"), f"there is no offer {step['offer']!r}.{nearest(step['offer'], offers)}"
            )
        seen.add(step["step"])
        day = step["day"]
        taken.add((day, is_audience))


def _check_audience(document: Document, number: int, step: Mapping[str, Any]) -> None:
    """What an audience must say, and nothing else may."""
    where = ("steps", number)
    if channels.get(step["channel"]).is_message:
        if "until_day" in step:
            raise document.error((*where, "until_day"), "until_day belongs to an audience; a message has one day.")
        return
    if "until_day" not in step:
        raise document.error(where, "an audience ends: write until_day, the last day in it.")
    if step["until_day"] < step["day"]:
        raise document.error(
            (*where, "until_day"), f"until_day {step['until_day']} is before day {step['day']}; write a later one."
        )
    if "offer" in step:
        raise document.error((*where, "offer"), "an audience carries no code; leave the offer out.")
    if "order" not in document.content["exit_on"]:
        raise document.error(where, "who has bought leaves an audience; write order in exit_on.")
