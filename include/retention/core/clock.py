"""The clock: the one place where the time is read. Everywhere behind it an instant is a parameter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

Clock = Callable[[], datetime]

NOBODY = "nobody"  # who answered a question whose time is over


def now() -> datetime:
    """This instant, by the machine's clock: the clock that counts unless whoever calls hands in another one."""
    return datetime.now(UTC)


def today(zone: ZoneInfo) -> date:
    """The calendar day that it is in `zone`."""
    return now().astimezone(zone).date()


@dataclass(frozen=True)
class Stopped:
    """A clock that always shows `at`. Other processes can be given it too, which a function of its own could not."""

    at: datetime

    def __call__(self) -> datetime:
        return self.at
