"""The shop that a call is about."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Engine

from retention.core import clock, database
from retention.core.clock import Clock
from retention.core.settings import Settings


@dataclass(frozen=True)
class Shop:
    """The settings of a shop, its database, and the clock that whoever calls goes by."""

    settings: Settings
    engine: Engine
    clock: Clock = clock.now
    sends_for_real: bool = False  # on the clock `days` too: then enrolments are approved as on any other

    def evolve(self, **changes: Any) -> Shop:
        """The same shop with some settings changed."""
        return replace(self, settings=self.settings.evolve(**changes))


def opened(settings: Settings) -> Shop:
    """The shop of these settings. Raises StateError when no database is configured."""
    return Shop(settings, database.connect(settings))
