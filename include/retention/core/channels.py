"""The channels, each described once. Whoever needs to know something of a channel asks here, and nobody lists them.

To add one: describe it here. With `sender` left out it goes to the outbox, and live delivery refuses it.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from retention.core.errors import InputError

ALL = "all"  # of a cap, a suppression or a way out: every channel there is


@dataclass(frozen=True, kw_only=True)
class ChannelSpec:
    """One channel: whom it reaches, what a message on it is made of, its limits, and who hands it over."""

    name: str
    address: str  # the kind of address it needs: email, phone, email_or_phone or street
    parts: tuple[str, ...] = ()  # the blocks of its templates; none: nothing is written to anybody
    person: tuple[str, ...] = ()  # what else of the customer is handed over
    link_mark: str | None = None  # in links to unsubscribe from it, for ever; none: it has no such link
    may_be_capped: bool = False  # by a cap of its own; one for all channels counts every message
    has_segments: bool = False  # operators charge parts of a text
    must_say_way_out: bool = False  # in its text
    longest_text: int | None = None  # characters
    sender: str | None = None  # module:class that hands it over
    export: str | None = None  # module:function that writes what was kept as files, where it leaves as files
    export_lines: str = ""  # the statement that selects what an export holds
    export_emptied: str = ""  # and the one that deletes what its files held
    look_up: str | None = None  # module:class that asks its provider about messages whose fate is unknown
    look_ups_at_once: int = 0  # in one run

    @property
    def is_message(self) -> bool:
        """Whether somebody gets something. To be in an audience is no message."""
        return bool(self.parts)

    @property
    def is_mail(self) -> bool:
        """Whether it has headers: a subject, and the way out that mail programs show."""
        return "subject" in self.parts


_SPECS = (
    ChannelSpec(
        name="email",
        address="email",
        parts=("subject", "text", "html"),
        link_mark="e",
        may_be_capped=True,
        sender="retention.delivery.channels.sendgrid_email:SendgridEmail",
        look_up="retention.events.searches:SendgridActivity",
        look_ups_at_once=60,  # they take ten minutes
    ),
    ChannelSpec(
        name="sms",
        address="phone",
        parts=("text",),
        link_mark="s",
        may_be_capped=True,
        has_segments=True,
        must_say_way_out=True,
        sender="retention.delivery.channels.twilio_sms:TwilioSms",
        look_up="retention.events.searches:TwilioTexts",
        look_ups_at_once=1_000,
    ),
    ChannelSpec(
        name="audience",
        address="email_or_phone",
        person=("email", "phone"),
        sender="retention.delivery.exports.audiences:Audience",
        export="retention.delivery.exports.audiences:export",
        export_lines="delivery/audience_lines",
        export_emptied="delivery/empty_audience",
    ),
    ChannelSpec(
        name="postal",
        address="street",
        parts=("text",),
        person=("first_name", "last_name", "street", "postal_code", "city", "country"),
        link_mark="p",
        longest_text=600,  # what has room on one half of a card of A6
        sender="retention.delivery.exports.postal:Postal",
        export="retention.delivery.exports.postal:export",
        export_lines="delivery/postal_lines",
        export_emptied="delivery/empty_postal",
    ),
)
CHANNELS = {each.name: each for each in _SPECS}
NAMES = tuple(CHANNELS)
ADDRESSES = {each.name: each.address for each in _SPECS}


def get(name: str) -> ChannelSpec:
    """The channel `name`. Raises InputError, naming those there are."""
    if name not in CHANNELS:
        raise InputError(f"There is no channel {name[:80]!r}; write {listed()}.")
    return CHANNELS[name]


def listed(names: Sequence[str] = NAMES) -> str:
    """Names as a sentence lists them: email, sms, audience or postal."""
    return f"{', '.join(names[:-1])} or {names[-1]}"


def exported() -> list[ChannelSpec]:
    """The channels that leave as files."""
    return [each for each in _SPECS if each.export]


def load(path: str | None) -> Any:
    """What a field like `sender` names. Imported when it is needed: the official clients take a second."""
    if path is None:
        raise ValueError("the channel has nothing of that kind")
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)
