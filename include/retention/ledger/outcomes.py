"""What may become of a message that was handed over."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one message; `state` is the one its row gets, `planned` where another try is safe."""

    state: str
    reason: str | None = None
    provider_id: str | None = None
    after: timedelta | None = None  # for planned: not before this much later
    counts_as_attempt: bool = True  # False: the attempt does not count


def accepted(provider_id: str | None = None) -> Outcome:
    """The provider has taken it."""
    return Outcome(state="accepted", provider_id=provider_id)


def refused(reason: str) -> Outcome:
    """The provider will not take this message, or it cannot be made: nothing was sent, and trying again is useless."""
    return Outcome(state="refused", reason=reason)


def retry(reason: str, after: timedelta) -> Outcome:
    """Provably not sent, and worth another try."""
    return Outcome(state="planned", reason=reason, after=max(after, timedelta(seconds=1)))


def unknown(reason: str) -> Outcome:
    """It may have been sent. Only evidence settles it."""
    return Outcome(state="unknown", reason=reason)


def not_attempted(reason: str) -> Outcome:
    """Provably not sent, for a cause that has nothing to do with it: as if it had never been claimed."""
    return Outcome(state="planned", reason=reason, counts_as_attempt=False)
