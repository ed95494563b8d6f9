"""The language of campaigns: what a file of ``campaigns`` may say, as types.

``campaigns/schema.json``, which editors and `definitions` read, is made from them by `make schema`; docs/campaigns.md
shows every key. `write` says, in our error messages, what to write instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from retention.core import channels
from retention.core import language as written
from retention.core.language import Address, Name, Part, Share

Time = Annotated[
    str,
    Field(pattern="^([01][0-9]|2[0-3]):[0-5][0-9]$", json_schema_extra={"write": 'a time like "09:00"'}),
]
Day = Annotated[
    str,
    Field(pattern="^[0-9]{4}-[0-9]{2}-[0-9]{2}$", json_schema_extra={"write": "a day like 2027-03-01"}),
]
Spared = Annotated[
    str,
    Field(
        pattern="^([0-9]{4}-[0-9]{2}-[0-9]{2}|public holidays( in [A-Z]{2})?)$",
        json_schema_extra={"write": "a day like 2026-12-24, public holidays, or public holidays in NL"},
    ),
]
DaysAfter = Annotated[
    int, Field(ge=0, le=365, json_schema_extra={"write": "a number of days after entry, from 0 to 365"})
]
Channel = Annotated[str, Field(json_schema_extra={"write": channels.listed(), "enum": list(channels.NAMES)})]
Kpi = Annotated[
    Literal["return_rate", "revenue", "order_value", "repeat_rate", "opens", "clicks", "redemptions", "unsubscribes"],
    Field(
        json_schema_extra={
            "write": "return_rate, revenue, order_value, repeat_rate, opens, clicks, redemptions or unsubscribes"
        }
    ),
]


class ExitWhere(Part):
    """An exit that names something: one key, like {joined: loyal}."""

    order_of: (
        Annotated[
            str,
            Field(
                description="An order with a product of this category, as its line or the feed of products has it.",
                min_length=1,
                json_schema_extra={"write": "a category as the shop writes it"},
            ),
        ]
        | None
    ) = None
    joined: Annotated[Name, Field(description="The customer has come into this selection.")] | None = None


Exit = Annotated[
    Literal["order", "unsubscribe", "left_selection"] | ExitWhere,
    Field(
        json_schema_extra={
            "write": "order, unsubscribe or left_selection; or one of {order_of: category}, {joined: selection}"
        }
    ),
]


class Roles(Part):
    """Who does what for a campaign, beside its owner (E36)."""

    content: Annotated[Address, Field(description="Who writes what it says.")] | None = None
    incentive: Annotated[Address, Field(description="Who decides on its offers.")] | None = None
    follow_up: Annotated[Address, Field(description="Who reads its results and acts on them.")] | None = None


class Entry(Part):
    """On which days customers enter: those of a calendar, or each customer's own. Absent: on every day."""

    every: (
        Annotated[
            Literal["week", "month", "quarter", "year"],
            Field(
                description="Once in each of these; `on` says on which day.",
                json_schema_extra={"write": "week, month, quarter or year"},
            ),
        ]
        | None
    ) = None
    on: (
        Annotated[
            Annotated[int, Field(ge=1, le=31)]
            | Annotated[
                str,
                Field(
                    pattern="^(((first|second|third|fourth|last) )?"
                    "(monday|tuesday|wednesday|thursday|friday|saturday|sunday)|[0-9]{2}-[0-9]{2})$"
                ),
            ],
            Field(
                description="The day: of a week monday; of a month or quarter first monday, last friday; of a month "
                "15 as well; of a year 12-01. 31 and 02-29 are the last day of a month that has no such day.",
                json_schema_extra={"write": "a day like monday, first monday, last friday, 15 or 12-01"},
            ),
        ]
        | None
    ) = None
    catch_up: (
        Annotated[
            str,
            Field(
                description="Where that day was never published: how many days later the next day that is may still "
                "enrol, as of itself. Absent: 0 days.",
                pattern="^(0|[1-9][0-9]?) (day|days)$",
                json_schema_extra={"write": "a number of days, like '7 days'"},
            ),
        ]
        | None
    ) = None
    anniversary_of: (
        Annotated[
            Literal["registered_at"],
            Field(
                description="On each customer's own day, every year from the first on, in the shop's time zone. Of a "
                "29 February it is 28 February in other years.",
                json_schema_extra={"write": "registered_at"},
            ),
        ]
        | None
    ) = None


class Goal(Part):
    """What counts as success, the same for both arms."""

    order_within: Annotated[
        str,
        Field(
            description="A complete order within so many days after entry.",
            pattern="^[1-9][0-9]{0,2} (day|days)$",
            json_schema_extra={"write": "a number of days, like '30 days'"},
        ),
    ]
    detect_lift: Annotated[Share, Field(description="The relative lift that the campaign is meant to show.")] | None = (
        None
    )
    kpis: Annotated[
        list[Kpi],
        Field(
            description="The key figures it is judged by, fixed before it begins (C6).",
            min_length=1,
            json_schema_extra={"uniqueItems": True, "write": "a list like [return_rate, revenue], each word once"},
        ),
    ] = Field(default=[])


class Where(Part):
    """A condition that names something: one key, like {clicked: we_miss_you}."""

    clicked: Annotated[Name, Field(description="A person followed a link of this step.")] | None = None
    has_coupon: Annotated[Name, Field(description="The code of this offer is out, and still works.")] | None = None
    in_: Annotated[Name, Field(description="The customer is in this selection.")] | None = Field(
        default=None, alias="in"
    )
    not_in: Annotated[Name, Field(description="The customer is not in this selection.")] | None = None
    reachable: Annotated[Channel, Field(description="The customer may be contacted on this channel.")] | None = None

    def said(self) -> dict[str, str]:
        """What stands in the file."""
        return self.model_dump(exclude_none=True, by_alias=True)


Condition = Annotated[
    Literal["clicked", "ordered", "has_coupon"] | Where,
    Field(
        json_schema_extra={
            "write": "clicked, ordered or has_coupon; or one of {clicked: step}, {has_coupon: offer}, "
            "{in: selection}, {not_in: selection}, {reachable: channel}"
        }
    ),
]
Conditions = Annotated[
    Condition | list[Condition],
    Field(json_schema_extra={"write": "a condition like clicked, or a list of them like [{in: loyal}, clicked]"}),
]
Variants = Annotated[
    dict[Name, Share],
    Field(min_length=2, json_schema_extra={"write": "at least two variants and their shares, like {a: 50%, b: 50%}"}),
]


class Level(Part):
    """Which customers are on a level: those of whom all of this holds, and who are on no level before it."""

    owner: Annotated[Address, Field(description="Who answers for what the level gets (E7).")]
    in_: Annotated[Name, Field(description="The customer is in this selection.")] | None = Field(
        default=None, alias="in"
    )
    languages: (
        Annotated[
            list[Annotated[str, Field(pattern="^[a-z]{2}$", json_schema_extra={"write": "two letters like nl"})]],
            Field(
                description="The customer reads one of these.",
                min_length=1,
                json_schema_extra={"write": "a list of languages like [nl, de]"},
            ),
        ]
        | None
    ) = None
    countries: (
        Annotated[
            list[Annotated[str, Field(pattern="^[A-Z]{2}$", json_schema_extra={"write": "two letters like NL"})]],
            Field(
                description="The customer is in one of these.",
                min_length=1,
                json_schema_extra={"write": "a list of countries like [NL, DE]"},
            ),
        ]
        | None
    ) = None

    @property
    def asks(self) -> dict[str, Any]:
        """What must hold, by the words of the file."""
        return self.model_dump(exclude_none=True, by_alias=True, exclude={"owner"})


@dataclass(frozen=True)
class Rule:
    """One condition of a step: `clause` is only_if or unless, `what` one of the words, `name` what it names."""

    clause: str
    what: str
    name: str | None = None

    def __str__(self) -> str:
        return " ".join(filter(None, (self.clause, self.what, self.name)))


class Step(Part):
    """One message, or the days in an audience."""

    step: Annotated[
        Name,
        Field(
            description="The step's name; its templates are messages/<campaign>/<step>.<language>.j2, and for a "
            "variant or a fallback <step>.<variant>.<language>.j2, <step>.<channel>.<language>.j2."
        ),
    ]
    day: Annotated[DaysAfter, Field(description="Days after entry; sent on the next local date of the customer.")] = 0
    hours: (
        Annotated[
            int,
            Field(
                description="In the place of `day`: hours after the local midnight that ends the day of entry, by "
                "every clock; sent at once, or where that is outside the window, in the next one.",
                ge=1,
                le=8760,
                json_schema_extra={"write": "a number of hours after entry, from 1 to 8760"},
            ),
        ]
        | None
    ) = None
    after: Annotated[Name, Field(description="`day` or `hours` count from this step instead of the entry.")] | None = (
        None
    )
    until_day: (
        Annotated[
            DaysAfter, Field(description="Of an audience: the last day after entry on which the customer is in it.")
        ]
        | None
    ) = None
    channel: Annotated[Channel, Field(description="How it is sent.")]
    fallback: (
        Annotated[
            Channel,
            Field(
                description="How it is sent to a customer who may not be contacted on its channel, or has no address "
                "for it. Before anything was tried, never after."
            ),
        ]
        | None
    ) = None
    offer: (
        Annotated[
            Name | dict[Name, Name],
            Field(
                description="What the message offers, a file of offers without .yaml; or one for each variant or level "
                "of the campaign.",
                json_schema_extra={"write": "an offer's name, or one for each variant like {a: small, b: large}"},
            ),
        ]
        | None
    ) = None
    variant: (
        Annotated[
            Name | list[Name],
            Field(
                description="Which variants of the campaign get the step. Absent: all.",
                json_schema_extra={"write": "a variant's name, or a list of them"},
            ),
        ]
        | None
    ) = None
    level: (
        Annotated[
            Name | list[Name],
            Field(
                description="Which levels of the campaign get the step. Absent: all.",
                json_schema_extra={"write": "a level's name, or a list of them"},
            ),
        ]
        | None
    ) = None
    variants: Annotated[Variants, Field(description="Variants of this step alone, and their shares.")] | None = None
    only_if: Annotated[Conditions, Field(description="Sent only if all of these hold when it is sent.")] | None = None
    unless: Annotated[Conditions, Field(description="Not sent if one of these holds when it is sent.")] | None = None

    @property
    def rules(self) -> list[Rule]:
        """Its conditions, in the order of the file."""
        return [rule for clause in ("only_if", "unless") for rule in _rules(clause, getattr(self, clause)) if rule]

    @property
    def date_no(self) -> int:
        """The days after entry of the local date on which it is due, as far as no clock is put forward or back."""
        return self.day + (self.hours or 0) // 24

    @property
    def only_variants(self) -> list[str] | None:
        """The variants of the campaign that get it; None: all."""
        return [self.variant] if isinstance(self.variant, str) else self.variant

    @property
    def only_levels(self) -> list[str] | None:
        """The levels of the campaign that get it; None: all."""
        return [self.level] if isinstance(self.level, str) else self.level

    def is_for(self, variant: str, level: str) -> bool:
        """Whether customers of this variant and this level of the campaign get it."""
        return (self.only_variants is None or variant in self.only_variants) and (
            self.only_levels is None or level in self.only_levels
        )

    @property
    def offers(self) -> dict[str, str]:
        """Its offer by variant or level of the campaign; under the empty name that of all others."""
        return {"": self.offer} if isinstance(self.offer, str) else self.offer or {}

    @property
    def channels(self) -> list[str]:
        """How it may be sent, what is tried first first."""
        return [self.channel, *([self.fallback] if self.fallback else [])]


def _rules(clause: str, written: Any) -> list[Rule]:
    rules = []
    for each in written if isinstance(written, list) else [] if written is None else [written]:
        named = {each: None} if isinstance(each, str) else each.said()
        rules += [Rule(clause, what, name) for what, name in named.items()]
    return rules


class Campaign(Part):
    """A campaign: one file."""

    campaign: Annotated[Name, Field(description="The campaign's name, the same as the file's.")]
    about: Annotated[
        str,
        Field(
            description="One sentence: who is written to, and why.",
            min_length=1,
            json_schema_extra={"write": "one sentence that says who is written to"},
        ),
    ]
    status: Annotated[
        Literal["draft", "live", "ended"],
        Field(
            description="draft, which a new file is, enrols nobody: it can be tested and previewed. live enrols. ended "
            "enrols nobody any more; people inside go on.",
            json_schema_extra={"write": "draft, live or ended"},
        ),
    ] = "draft"
    owner: Annotated[Address, Field(description="Who answers for the campaign.")]
    roles: (
        Annotated[
            Roles,
            Field(
                description="Who writes it, who decides on its offers, who follows up.",
                json_schema_extra={"write": "roles like {content: words@shop.example, incentive: offers@shop.example}"},
            ),
        ]
        | None
    ) = None
    review: Annotated[Day, Field(description="When somebody looks at it again: claims, prices and texts.")] | None = (
        None
    )
    selection: Annotated[Name, Field(description="Who may enter: a file of sql/selections, without .sql.")]
    lists: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=100)]],
        Field(
            description="Only members of one of these lists of subscribers, as the feed list_members knows them, enter "
            "and are written to. Absent: everybody.",
            json_schema_extra={"uniqueItems": True, "write": "a list of names like [newsletter, club]"},
        ),
    ] = Field(default=[])
    renamed_from: (
        Annotated[
            Name,
            Field(
                description="The name it had before, whose file is gone: its people go on here. The key may stay for "
                "ever."
            ),
        ]
        | None
    ) = None
    entry: Entry | None = None
    re_entry: (
        Annotated[
            str,
            Field(
                description="How long after an entry the same customer may enter again; calendar arithmetic. Beside "
                "`entry`, which is once per occurrence, only never.",
                pattern="^(never|[1-9][0-9]{0,3} (day|days|month|months))$",
                json_schema_extra={"write": "'never', or a time like '3 months' or '90 days'"},
            ),
        ]
        | None
    ) = None
    entry_limit: (
        Annotated[
            str,
            Field(
                description="How many enter on one day at most, as `enter_first` says. Absent: no limit.",
                pattern="^[1-9][0-9]{0,8} per day$",
                json_schema_extra={"write": "a number of customers a day, like '5000 per day'"},
            ),
        ]
        | None
    ) = None
    enter_first: Annotated[
        Literal["longest_lapsed", "last_lapsed", "highest_revenue"],
        Field(
            description="Whom the limit lets in first: by the last complete order, the oldest or the newest, or by the "
            "revenue of all of them.",
            json_schema_extra={"write": "longest_lapsed, last_lapsed or highest_revenue"},
        ),
    ] = "longest_lapsed"
    exit_on: Annotated[
        list[Exit],
        Field(
            description="What ends an enrolment before its last step.",
            json_schema_extra={"uniqueItems": True, "write": "a list, like [order, unsubscribe], each word once"},
        ),
    ]
    control: Annotated[Share, Field(description="The share that enters but is never written to.")]
    goal: Annotated[
        Goal,
        Field(
            description="What counts as success, the same for both arms.",
            json_schema_extra={"write": "a goal like {order_within: 30 days, detect_lift: 15%}"},
        ),
    ]
    send_between: Annotated[
        tuple[Time, Time],
        Field(
            description="The window of the customer's own local day.",
            json_schema_extra={"write": 'two times, like ["09:00", "20:00"]'},
        ),
    ]
    grace_days: Annotated[
        int,
        Field(
            description="How many local days a message may still go out after its own; 2 if absent.",
            ge=0,
            le=14,
            json_schema_extra={"write": "a number of days from 0 to 14"},
        ),
    ] = 2
    no_send_on: Annotated[
        list[Spared],
        Field(
            description="Local dates on which no message goes out, nor counts as one of its days: `public holidays` "
            "are those of the customer's own country.",
            max_length=100,
            json_schema_extra={"uniqueItems": True, "write": "a list like [2026-12-24, public holidays]"},
        ),
    ] = Field(default=[])
    group: (
        Annotated[
            Name,
            Field(
                description="Nobody is in two campaigns of one group at once, the control arm included. They enrol in "
                "order of priority."
            ),
        ]
        | None
    ) = None
    follows: (
        Annotated[
            Name,
            Field(
                description="A campaign of the group: only customers may enter who came to its end, in either arm, "
                "without an order or an objection, since they last entered this one."
            ),
        ]
        | None
    ) = None
    variants: (
        Annotated[
            Variants,
            Field(
                description="Which treatments there are, and how many of the treated get each: drawn once per "
                "household or customer, and kept."
            ),
        ]
        | None
    ) = None
    levels: (
        Annotated[
            dict[Name, Level],
            Field(
                description="Which sorts of customers get another offer, other words or other steps: each the first "
                "of which all that it says holds at entry; the last one is everybody else.",
                min_length=2,
                json_schema_extra={
                    "write": "levels like {high: {in: loyal, owner: vip@shop.example}, low: {owner: ...}}"
                },
            ),
        ]
        | None
    ) = None
    priority: Annotated[
        int,
        Field(
            description="Which campaign goes first where messages to one customer compete for a cap, and where "
            "campaigns of a group compete for a customer: 1 before 50, which it is if absent.",
            ge=1,
            le=99,
            json_schema_extra={"write": "a number from 1 (first) to 99"},
        ),
    ] = 50
    migrate: Annotated[
        Literal["yes", "no"],
        Field(
            description="Whether people inside move on to this version, where it has the same steps behind them and "
            "none of their messages is on its way. Absent: they go on with the version they entered with.",
            json_schema_extra={"write": "yes or no"},
        ),
    ] = "no"
    policy: Annotated[
        Literal["at_most_once", "resend"],
        Field(
            description="What is done with a message of which nobody knows whether it was sent: at_most_once (the "
            "default) asks a person, resend sends it once more after 24 hours without evidence.",
            json_schema_extra={"write": "at_most_once or resend"},
        ),
    ] = "at_most_once"
    steps: Annotated[
        list[Step],
        Field(
            description="The messages, in order of days.",
            min_length=1,
            json_schema_extra={"write": "a list of steps like - {step: we_miss_you, day: 0, channel: email}"},
        ),
    ]


# What to write in the place of an item: schemas of types without a description of their own.
_WRITE = {
    "Entry": "{every: quarter, on: first monday} or {anniversary_of: registered_at}, or leave it out",
    "Level": "a level like {in: loyal, owner: vip@shop.example}",
    "Roles": "roles like {content: words@shop.example, incentive: offers@shop.example}",
    "Step": "a step like {step: we_miss_you, day: 0, channel: email}",
}


def schema() -> dict[str, Any]:
    """The JSON schema of a campaign's file."""
    return written.schema(Campaign, _WRITE)
