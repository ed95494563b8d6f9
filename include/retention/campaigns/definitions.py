"""Campaigns as they are written: ``campaigns/<name>.yaml``, its templates and its selection's SQL, checked when read.

Every mistake is an InputError that names file and line and says what to write instead.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import date, time, timedelta
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any

from retention.campaigns import calendars, language, templates
from retention.campaigns.calendars import Calendar
from retention.campaigns.language import Level, Step
from retention.campaigns.templates import KNOWN_VARIABLES
from retention.contact import holidays
from retention.core import channels, documents
from retention.core.documents import Document, Where, nearest, shown
from retention.core.errors import InputError
from retention.offers import definitions as offers
from retention.offers.definitions import Offer

known_variables = KNOWN_VARIABLES
NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
PARTS = ("enrol", "exit", "finish")  # of a campaign's day, beside its steps


class StepOffers:
    """The offers of a version's steps, for whoever reads nothing else of it: `steps` and `offers` as it keeps them."""

    def __init__(self, steps: Sequence[Mapping[str, Any]], offers_of: Mapping[str, Mapping[str, Any]]) -> None:
        self._offers = {name: offers.parse(name, offer) for name, offer in offers_of.items()}
        self._steps = {step["step"]: step.get("offer") for step in steps}

    def of(self, step: str, variant: str | None, level: str | None) -> Offer | None:
        """What a message of the step offers to customers of this variant and level of the campaign."""
        said = self._steps.get(step)
        name = said if said is None or isinstance(said, str) else said.get(variant) or said.get(level)
        return None if name is None else self._offers[name]


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
    lists: tuple[str, ...]  # of subscribers; none: everybody
    renamed_from: str | None  # the name it had before
    calendar: Calendar | None  # the days on which customers enter; None: every day
    by_anniversary: bool  # of their registration
    re_entry: ReEntry
    entry_limit: int | None  # customers a day; None: no limit
    enter_first: str  # longest_lapsed, last_lapsed, highest_revenue
    exit_on: Sequence[str | Mapping[str, str]]  # as written: order, unsubscribe, left_selection, {joined: loyal}
    control: Decimal  # percent
    order_within: int  # days after entry
    detect_lift: Decimal | None  # percent
    window_start: time  # of the customer's local day
    window_end: time
    grace_days: int
    no_send_on: tuple[str, ...]  # local dates, public holidays
    offers: Mapping[str, Offer]  # those that its steps name
    group: str | None
    follows: str | None  # the campaign of the group that comes before it
    priority: int
    migrate: bool  # whether people inside move to this version
    variants: Mapping[str, Decimal]  # of the campaign, in percent
    levels: Mapping[str, Level]  # in the order in which they are asked
    steps: tuple[Step, ...]  # in order of days
    content: Mapping[str, Any] = field(repr=False)  # the YAML as written, with its offers
    templates: Mapping[str, str] = field(repr=False, default_factory=dict)  # file name -> text
    selection_sql: str = field(repr=False, default="")

    def occurrence(self, day: date) -> date | None:
        """Who has entered on that day or later may not enter on `day`; None: `re_entry` alone decides."""
        if self.calendar:
            return self.calendar.newest(day)
        return date(day.year, 1, 1) if self.by_anniversary else None

    def occurrence_before(self, day: date) -> date | None:
        """As `occurrence`, for who has entered by hand: that takes the place of the next occurrence of a calendar."""
        newest = self.occurrence(day)
        return self.calendar.newest(newest - timedelta(days=1)) if self.calendar and newest else newest

    @property
    def first_channels(self) -> list[str]:
        """The channels that decide who may enter: of the first step of each variant, so that all compare alike.

        The first steps of all levels have one channel.
        """
        firsts = (
            next(step for step in self.steps if step.is_for(variant, next(iter(self.levels), "")))
            for variant in (self.variants or [""])
        )
        return list(dict.fromkeys(step.channel for step in firsts))

    @property
    def last_day(self) -> int:
        """The days after entry of the local date on which the last step is due at the latest."""
        return max(step.date_no + (1 if step.hours else 0) for step in self.steps)

    @property
    def selections(self) -> list[str]:
        """The selections that it asks: who may enter, those of its conditions, its exits and its levels."""
        asked = (rule.name for step in self.steps for rule in step.rules if rule.what in ("in", "not_in") and rule.name)
        joined = (each["joined"] for each in self.exit_on if isinstance(each, Mapping) and "joined" in each)
        of_levels = (level.in_ for level in self.levels.values() if level.in_)
        return list(dict.fromkeys([self.selection, *asked, *joined, *of_levels]))

    @property
    def rules(self) -> dict[str, dict[str, Any]]:
        """By step: its conditions and its fallback, where it has any."""
        return {
            step.step: {
                **({"conditions": [asdict(rule) for rule in step.rules]} if step.rules else {}),
                **({"fallback": step.fallback} if step.fallback else {}),
            }
            for step in self.steps
            if step.rules or step.fallback
        }

    def task_id(self, step: Step) -> str:
        """The name of a step's Airflow task: day_0_email, day_3_audience; day_7_final_offer for the step final_offer.

        Where variants have several on one day and channel, the step's name makes the difference.
        """
        alike = [each for each in self.steps if (each.date_no, each.channel) == (step.date_no, step.channel)]
        return f"day_{step.date_no}_{step.channel if len(alike) == 1 and step.step != 'final_offer' else step.step}"

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


def groups(include: Path, *, with_drafts: bool = False) -> list[list[str]]:
    """The names of all campaigns but drafts, those of one group together and in order of priority.

    A campaign without a group is one of its own, as is one whose file cannot be read.
    """
    found, broken = read_files(include)
    together: dict[str, list[str]] = {}
    for campaign in sorted((parse(each, "") for each in found.values()), key=lambda each: (each.priority, each.name)):
        if campaign.status == "draft" and not with_drafts:
            continue
        together.setdefault(campaign.group or f"only {campaign.name}", []).append(campaign.name)
    return [*together.values(), *([name] for name in broken)]


def read(include: Path, name: str) -> Campaign:
    """The campaign `name`. Raises InputError when there is none, or for the first mistake in its files."""
    document = _read_file(include, name)
    _check_selection(include, document)
    _check_followed(include, document)
    its_offers = _read_offers(include, document)
    content = document.content | ({"offers": {each.name: each.content for each in its_offers}} if its_offers else {})
    selection_sql = _text(include / "sql" / "selections" / f"{content['selection']}.sql")
    campaign = parse(content, "")
    texts = templates.read(
        include,
        name,
        [
            templates.Wanted(
                step=step.step,
                channel=step.channel,
                fallback=step.fallback,
                variants=[
                    *(step.only_variants or campaign.variants),
                    *(step.only_levels or campaign.levels),
                    *(step.variants or ()),
                ],
                facts={word: campaign.offers[name].facts for word, name in step.offers.items()},
            )
            for step in campaign.steps
            if channels.get(step.channel).is_message
        ],
    )
    _check_languages(include, campaign, texts)
    version = _fingerprint(
        _text(document.file), texts, selection_sql, [json.dumps(each.content) for each in its_offers]
    )
    return replace(campaign, version=version, templates=texts, selection_sql=selection_sql)


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


def parse(content: Mapping[str, Any], version: str) -> Campaign:
    """The campaign of a YAML's checked content, like the one that campaigns.versions keeps."""
    file = language.Campaign.model_validate({key: value for key, value in content.items() if key != "offers"})
    start, end = file.send_between
    return Campaign(
        name=file.campaign,
        version=version,
        about=file.about,
        status=file.status,
        owner=file.owner,
        selection=file.selection,
        lists=tuple(file.lists),
        renamed_from=file.renamed_from,
        calendar=_calendar(file.entry) if file.entry and file.entry.every else None,
        by_anniversary=file.entry is not None and file.entry.anniversary_of is not None,
        re_entry=_re_entry(file.re_entry),
        entry_limit=int(file.entry_limit.split()[0]) if file.entry_limit else None,
        enter_first=file.enter_first,
        exit_on=content["exit_on"],
        control=_percent(file.control),
        order_within=int(file.goal.order_within.split()[0]),
        detect_lift=_percent(file.goal.detect_lift) if file.goal.detect_lift else None,
        window_start=time.fromisoformat(start),
        window_end=time.fromisoformat(end),
        grace_days=file.grace_days,
        no_send_on=tuple(file.no_send_on),
        offers={name: offers.parse(name, offer) for name, offer in content.get("offers", {}).items()},
        group=file.group,
        follows=file.follows,
        priority=file.priority,
        variants={name: _percent(share) for name, share in (file.variants or {}).items()},
        levels=file.levels or {},
        migrate=file.migrate == "yes",
        steps=tuple(_dated(file.steps)),
        content=content,
    )


def _dated(steps: Sequence[Step]) -> Iterator[Step]:
    """The steps, each with its days and hours after entry, of those too that are told from another step."""
    dated: dict[str, Step] = {}
    for step in steps:
        dated[step.step] = _after(step, dated[step.after]) if step.after else step
        yield dated[step.step]


def _after(step: Step, other: Step) -> Step:
    """The step as it is told from the entry, where the file tells it from another one."""
    hours = (step.hours or 0) + (other.hours or 0)
    return step.model_copy(update={"day": step.day + other.day, "hours": hours or None})


def _calendar(entry: language.Entry) -> Calendar:
    return Calendar(every=str(entry.every), on=str(entry.on), catch_up=int((entry.catch_up or "0").split()[0]))


def _re_entry(text: str | None) -> ReEntry:
    if text is None or text == "never":
        return ReEntry(never=text is not None)
    number, unit = text.split()
    return ReEntry(months=int(number)) if unit.startswith("month") else ReEntry(days=int(number))


def _percent(text: str) -> Decimal:
    return Decimal(text.removesuffix("%"))


def _fingerprint(text: str, texts: Mapping[str, str], selection_sql: str, offers: Sequence[str]) -> str:
    parts = [text, selection_sql, *(part for name in sorted(texts) for part in (name, texts[name])), *offers]
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
    if "offers" in document.content:
        raise document.error(
            ("offers",),
            "offers stand in files of their own, like offers/comeback.yaml; leave this key out: steps name them.",
        )
    if isinstance(entry := document.content.get("entry"), dict) and "event" in entry:
        raise document.error(
            ("entry", "event"),
            "nobody can enter by an event yet: there is no feed of them. Write a calendar or anniversary_of.",
        )
    document.check(_schema())


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
    for number, spared in enumerate(content.get("no_send_on", ())):
        if (problem := holidays.problem(spared)) is not None:
            raise document.error(("no_send_on", number), problem)
    _check_entry(document)
    _check_exits(include, document)
    _check_steps(include, document)


def _check_entry(document: Document) -> None:
    """Customers enter every day, by a calendar or by an anniversary, each with what belongs to it."""
    entry, re_entry = document.content.get("entry"), document.content.get("re_entry")
    if entry is None:
        if re_entry is None:
            raise document.error((), "the key 're_entry' is missing: how long after an entry one may enter again.")
        return
    if re_entry not in (None, "never"):
        raise document.error(
            ("re_entry",), f"re_entry is {shown(re_entry)}, but `entry` is once per occurrence; leave re_entry out."
        )
    if "anniversary_of" in entry:
        for key in ("every", "on", "catch_up"):
            if key in entry:
                raise document.error(
                    ("entry", key), f"{key} belongs to a calendar, not to an anniversary; leave it out."
                )
        return
    for key in ("every", "on"):
        if entry.get(key) is None:
            raise document.error(
                ("entry",), f"the key {key!r} is missing; write a day like {{every: week, on: monday}}."
            )
    try:
        _calendar(language.Entry.model_validate(entry))
    except ValueError as problem:
        raise document.error(
            ("entry", "on"),
            f"on is {shown(entry['on'])}; beside `every: {entry['every']}` write {calendars.FORMS[entry['every']]}.",
        ) from problem


def _check_exits(include: Path, document: Document) -> None:
    known = _selections(include)
    for number, each in enumerate(document.content["exit_on"]):
        if isinstance(each, Mapping):
            where = ("exit_on", number)
            if len(each) != 1:
                raise document.error(where, "an exit says one thing, like {joined: loyal}; write a list of them.")
            if (joined := each.get("joined")) is not None and joined not in known:
                raise document.error(where, f"there is no selection {joined!r}.{nearest(joined, known)}")
            if joined == document.content["selection"]:
                raise document.error(where, f"everybody inside has joined {joined!r}; write another selection.")


def _selections(include: Path) -> list[str]:
    return sorted(file.stem for file in (include / "sql" / "selections").glob("*.sql"))


def _check_old_name(include: Path, document: Document, name: str) -> None:
    """One file takes over the people of one name that has no file any more."""
    where, old = ("renamed_from",), document.content.get("renamed_from")
    if old is None:
        return
    if old == name:
        raise document.error(where, f"renamed_from is {old!r}, its own name; write the name it had before.")
    if is_there(include, old):
        raise document.error(where, f"{old}.yaml is still there; delete it, or call that campaign otherwise.")
    for other in names(include):
        if other != name and _says(include, other, "renamed_from") == old:
            raise document.error(where, f"{other}.yaml was renamed from {old!r} too; leave it out of one of them.")


def _says(include: Path, name: str, key: str) -> Any:
    """What another campaign's file says under `key`."""
    try:
        content = documents.read(include / "campaigns" / f"{name}.yaml").content
    except InputError:  # told where that file is read
        return None
    return content.get(key) if isinstance(content, dict) else None


def _offers_of(document: Document) -> list[str]:
    """The offers that its steps name, each once."""
    steps = language.Campaign.model_validate(document.content).steps
    return list(dict.fromkeys(name for step in steps for name in step.offers.values()))


def _read_offers(include: Path, document: Document) -> list[Offer]:
    """The offers of its steps, in order of their names. A mistake in one is told in that one's file."""
    steps = language.Campaign.model_validate(document.content).steps
    for number, step in enumerate(steps):
        for name in step.offers.values():
            if not offers.is_there(include, name):
                raise document.error(
                    ("steps", number, "offer"),
                    f"there is no offer {name!r} in {include / 'offers'}.{nearest(name, offers.names(include))}",
                )
    found = {name: offers.read(include, name) for name in _offers_of(document)}
    for number, step in enumerate(steps):
        for rule in step.rules:
            if rule.what == "has_coupon" and rule.name and not found[rule.name].has_code:
                raise document.error(
                    ("steps", number, rule.clause),
                    f"the offer {rule.name!r} has no code ({found[rule.name].type}); name one that has, or clicked.",
                )
    return [found[name] for name in sorted(found)]


def _check_languages(include: Path, campaign: Campaign, texts: Mapping[str, str]) -> None:
    """An offer says what it is in every language in which a step with it is written."""
    for step in campaign.steps:
        written = {name.split(".")[-2] for name in texts if re.fullmatch(rf"{step.step}(\.\w+)?\.[a-z]{{2}}\.j2", name)}
        for name in step.offers.values():
            says = campaign.offers[name].says
            if says and (missing := sorted(written - says.keys())):
                raise InputError(
                    f"{include / 'offers' / f'{name}.yaml'}: says has no {missing[0]!r}, in which the step {step.step} "
                    f"of {campaign.name} is written; write its words too."
                )


def _check_selection(include: Path, document: Document) -> None:
    content = document.content
    selections = include / "sql" / "selections"
    if not (selections / f"{content['selection']}.sql").is_file():
        raise document.error(
            ("selection",),
            f"there is no selection {content['selection']!r} in {selections}."
            f"{nearest(content['selection'], _selections(include))}",
        )


def _check_followed(include: Path, document: Document) -> None:
    """What it follows is another campaign of its group."""
    where, name, other = ("follows",), document.content["campaign"], document.content.get("follows")
    if other is None:
        return
    if other == name:
        raise document.error(where, f"{name} follows itself; write the campaign that comes before it.")
    if not is_there(include, other):
        known = [each for each in names(include) if each != name]
        raise document.error(where, f"there is no campaign {other!r}.{nearest(other, known)}")
    group = document.content.get("group")
    if group is None or _says(include, other, "group") != group:
        raise document.error(
            where, f"{other} is not in one group with {name}; write the same in both files, like `group: reactivation`."
        )


def _check_steps(include: Path, document: Document) -> None:
    steps: list[Step] = []  # those before, with their days after entry
    for number, step in enumerate(language.Campaign.model_validate(document.content).steps):
        where = ("steps", number)
        earlier = {each.step: each for each in steps}
        if step.step in PARTS:
            raise document.error(
                (*where, "step"), f"{step.step!r} is a part of every day of a campaign; call the step otherwise."
            )
        if step.step in earlier:
            raise document.error((*where, "step"), f"the step {step.step!r} is there twice; rename one.")
        if step.after and step.after not in earlier:
            raise document.error(
                (*where, "after"), f"there is no earlier step {step.after!r}.{nearest(step.after, sorted(earlier))}"
            )
        _check_time(document, where, document.content["steps"][number])
        if step.after:
            step = _after(step, earlier[step.after])
        if steps and step.date_no < steps[-1].date_no:
            raise document.error(
                (*where, "day"), f"day {step.date_no} after day {steps[-1].date_no}; write steps in order of days."
            )
        for other in steps:
            _check_pair(document, (*where, "day"), other, step)
        _check_variants_of(document, where, step)
        _check_audience(document, number, document.content["steps"][number])
        _check_fallback(document, where, step)
        _check_conditions(include, document, where, step, earlier)
        steps.append(step)
    _check_variants(document, ("variants",), document.content.get("variants"))
    _check_levels(include, document)
    for variant in document.content.get("variants", [""]):
        firsts = set()
        for level in document.content.get("levels", [""]):
            first = next((step for step in steps if step.is_for(variant, level)), None)
            if first is None:
                where, what = (("variants", variant), "variant") if variant else (("levels", level), "level")
                raise document.error(where, f"the {what} {where[1]!r} gets no step; give it one.")
            firsts.add(first.channel)
        if len(firsts) > 1:
            raise document.error(
                ("levels",), f"the first steps of the levels are {' and '.join(sorted(firsts))}; write one channel."
            )


def _check_time(document: Document, where: Where, step: Mapping[str, Any]) -> None:
    if "hours" not in step:
        if "day" not in step:
            raise document.error(where, "the key 'day' is missing: days after entry, like `day: 0`.")
        return
    if "day" in step:
        raise document.error((*where, "hours"), "a step is told by day or by hours; leave one of them out.")
    if not channels.get(step["channel"]).is_message:
        raise document.error((*where, "hours"), "an audience is for whole days; write day.")


def _check_pair(document: Document, where: Where, one: Step, other: Step) -> None:
    """Nobody gets two messages on one day."""
    are_audiences = [not channels.get(each.channel).is_message for each in (one, other)]
    meet = all(
        first is None or second is None or set(first) & set(second)
        for first, second in ((one.only_variants, other.only_variants), (one.only_levels, other.only_levels))
    )
    if one.date_no == other.date_no and are_audiences[0] == are_audiences[1] and meet:
        what = "audiences" if are_audiences[0] else "steps"
        raise document.error(where, f"two {what} on day {one.date_no}: nobody gets two messages on one day; move one.")


def _check_variants(document: Document, where: Where, shares: Mapping[str, str] | None) -> None:
    if shares is None:
        return
    if (total := sum(map(_percent, shares.values()))) != 100:
        raise document.error(where, f"the shares of {', '.join(shares)} are {total}% together; write 100%.")
    for name in shares:
        if name in channels.NAMES:
            raise document.error((*where, name), f"{name!r} is a channel; call the variant otherwise.")


def _check_levels(include: Path, document: Document) -> None:
    """Everybody is on exactly one level: the last one is for whoever is on none before it."""
    levels = language.Campaign.model_validate(document.content).levels or {}
    known = _selections(include)
    for number, (name, level) in enumerate(levels.items()):
        where = ("levels", name)
        if name in channels.NAMES or name in document.content.get("variants", {}):
            raise document.error(where, f"{name!r} is a channel or a variant; call the level otherwise.")
        if level.in_ is not None and level.in_ not in known:
            raise document.error((*where, "in"), f"there is no selection {level.in_!r}.{nearest(level.in_, known)}")
        if bool(level.asks) is (number == len(levels) - 1):
            raise document.error(
                where,
                "the last level is for everybody else; write its owner alone."
                if level.asks
                else "everybody is on this level, so nobody on those after it; say who is, or write it last.",
            )


def _check_variants_of(document: Document, where: Where, step: Step) -> None:
    variants, levels = (sorted(document.content.get(key, {})) for key in ("variants", "levels"))
    for name in step.variants or ():
        if name in variants or name in levels:
            raise document.error(
                (*where, "variants"),
                f"{name!r} is a variant or level of the campaign; call that of the step otherwise.",
            )
    of_offer = [name for name in step.offers if name]
    are_levels = bool(of_offer) and of_offer[0] in levels
    what, known, only = ("level", levels, step.only_levels) if are_levels else ("variant", variants, step.only_variants)
    for key, kind, names, there in (
        ("variant", "variant", step.only_variants or [], variants),
        ("level", "level", step.only_levels or [], levels),
        ("offer", what, of_offer, known),
    ):
        for name in names:
            if name not in there:
                raise document.error(
                    (*where, key), f"there is no {kind} {name!r} of the campaign.{nearest(name, there)}"
                )
    if of_offer and (missing := set(only or known) - set(of_offer)):
        raise document.error((*where, "offer"), f"which offer does {sorted(missing)[0]!r} get? Write one for it too.")
    _check_variants(document, (*where, "variants"), step.variants)


def _check_fallback(document: Document, where: Where, step: Step) -> None:
    if step.fallback is None:
        return
    if step.fallback == step.channel:
        raise document.error((*where, "fallback"), f"the fallback is {step.channel} too; write another channel.")
    if not (channels.get(step.channel).is_message and channels.get(step.fallback).is_message):
        raise document.error((*where, "fallback"), "an audience is no message: it has no fallback and is none.")


def _check_conditions(include: Path, document: Document, where: Where, step: Step, earlier: Mapping[str, Step]) -> None:
    """What a condition names must be there; a click must have been possible."""
    selections = _selections(include)
    known: Mapping[str, tuple[str, Collection[str]]] = {
        "clicked": ("step before this one", [name for name in earlier if channels.get(earlier[name].channel).parts]),
        "has_coupon": ("offer of its steps", _offers_of(document)),
        "in": ("selection", selections),
        "not_in": ("selection", selections),
    }
    for clause in ("only_if", "unless"):
        written = getattr(step, clause)
        for each in written if isinstance(written, list) else [written]:
            if isinstance(each, language.Where) and len(each.said()) != 1:
                raise document.error(
                    (*where, clause), "a condition says one thing, like {clicked: we_miss_you}; write a list of them."
                )
    for rule in step.rules:
        if rule.name is not None and rule.what in known:
            what, names = known[rule.what]
            if rule.name not in names:
                raise document.error(
                    (*where, rule.clause), f"there is no {what} {rule.name!r}.{nearest(rule.name, sorted(names))}"
                )
        if rule.what == "clicked" and not known["clicked"][1]:
            raise document.error((*where, rule.clause), "nothing was sent before this step that could be clicked.")


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
