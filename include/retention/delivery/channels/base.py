"""What delivery wants of a channel: hand these messages over and say what became of each.

Four outcomes, and one exception. What cannot be told for sure is `unknown`: it is never sent again by itself.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from sqlalchemy import Connection

from retention.campaigns import sms
from retention.core.channels import CHANNELS
from retention.delivery.rendering.render import Rendered
from retention.ledger.outcomes import Outcome

LONGEST_WAIT = timedelta(hours=6)


@dataclass(kw_only=True, slots=True, eq=False)  # not frozen: that takes four times as long to make
class Outgoing:
    """One rendered message on its way to one person. Addresses and contents never show in ``repr``."""

    customer_id: int
    message_key: str
    campaign: str
    version: str
    step: str
    channel: str
    recipient: str = field(repr=False)  # an e-mail address or an E.164 number; empty where it is no message
    person: Mapping[str, str | None] = field(default_factory=dict, repr=False)  # of an audience or a card
    rendered: Rendered = field(repr=False)
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    send_before: datetime  # the end of today's window
    attempts: int = 1  # this one included

    @property
    def subject(self) -> str | None:
        return self.rendered.subject

    @property
    def text(self) -> str:
        return self.rendered.text

    @property
    def html(self) -> str | None:
        return self.rendered.html

    @property
    def segments(self) -> int | None:
        """What operators charge, of an SMS."""
        return sms.segments(self.text) if CHANNELS[self.channel].has_segments else None


Settled = tuple[Outgoing, Outcome]


class ChannelRefused(Exception):
    """The provider refuses us, not a message: wrong key, wrong sender, wrong address of the API. Halts the channel.

    `settled` is what was settled before; every other message of the batch was not sent.
    """

    def __init__(self, sentence: str, settled: Sequence[Settled] = ()) -> None:
        super().__init__(sentence)
        self.settled = list(settled)


class Channel(Protocol):
    """One way to reach people. Told apart by `provider`, which the ledger remembers with each attempt."""

    provider: str

    def send(self, messages: Sequence[Outgoing]) -> list[Settled]:
        """Hand the messages over, outside any transaction. Raises ChannelRefused where the provider refuses us."""
        ...

    def keep(self, connection: Connection, claim: str, messages: Sequence[Outgoing], now: datetime) -> None:
        """Write what must be written in the very transaction that settles `messages` as accepted."""
        ...


def backoff(attempts: int) -> timedelta:
    """How long to wait after this many attempts: a minute, doubled each time, up to six hours, a little apart."""
    minutes = min(2 ** min(attempts - 1, 10), LONGEST_WAIT / timedelta(minutes=1))
    return timedelta(minutes=minutes * random.uniform(1, 1.25))
