"""The first run: the demo shop with its history loaded, and its last two days done by Airflow as scheduled runs."""

from __future__ import annotations

import logging
import time
from datetime import date, timedelta

from retention.campaigns import definitions
from retention.core import clock, database, days
from retention.core.errors import StateError
from retention.core.settings import Settings
from retention.demo import generator as demo
from retention.local import stack
from retention.orders import sync

log = logging.getLogger(__name__)

DAYS_BY_AIRFLOW = 2
HISTORY_DAYS = 420
WAIT_SECONDS = 600.0


def yesterday(settings: Settings) -> date:
    """The newest day that is over in the shop's zone. The one look at the clock: after it, the day is a parameter."""
    return clock.today(settings.shop_time_zone) - timedelta(days=1)


def run(settings: Settings) -> dict[str, object]:
    """Start everything with the demo shop and wait until Airflow has done its last two days; what runs, and where.

    A second call reuses what is there: it adds the days that have passed since. Raises StateError, naming the day and
    the stage, when a day fails or is not done in time.
    """
    settings = stack.start_database(settings).evolve(clock="days")
    database.migrate(settings)
    engine = database.connect(settings)
    newest = yesterday(settings)
    folder = settings.local / "demo_shop"
    with engine.connect() as connection:
        published = days.newest_published(connection)
    if published is None:
        history_until = newest - timedelta(days=DAYS_BY_AIRFLOW)
        log.info("Writing the demo shop's files up to %s", history_until)
        _generate(settings, history_until, HISTORY_DAYS)
        log.info("Loading its history")
        sync.load(settings, engine, "demo_shop", str(folder))
        published = history_until
        (settings.local / "demo_shop.start").write_text((published + timedelta(days=1)).isoformat())
    start_day = date.fromisoformat((settings.local / "demo_shop.start").read_text())
    _generate(settings, newest, HISTORY_DAYS + (newest - start_day).days + 1)
    running = stack.up(settings, start_day=start_day)
    log.info("Airflow runs the days up to %s: %s", newest, running["url"])
    _wait(settings, newest)
    return running


def _generate(settings: Settings, until: date, number: int) -> None:
    demo.generate(
        settings.local / "demo_shop", customers=2000, days=number, seed=7, until=until, zone=settings.shop_time_zone
    )


def _wait(settings: Settings, day: date) -> None:
    """Until every campaign has done `day` and its messages were sent; fails as soon as a stage of a day failed."""
    engine = database.connect(settings)
    parts = [("campaigns", name) for name in definitions.read_each(settings.include)[0]]
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        with engine.connect() as connection:
            if all(days.Part(stage, part).done(connection, day) is not None for stage, part in parts):
                break
        time.sleep(1)
    else:
        raise StateError(f"Airflow has not finished {day} within {WAIT_SECONDS:.0f} seconds; see the Retention page.")
    stack.trigger(settings, "deliver_messages")
    while time.monotonic() < deadline:
        with engine.connect() as connection:
            if days.Part("delivery", "").done(connection, day) is not None:
                return
        time.sleep(1)
    raise StateError(f"The messages of {day} were not sent within {WAIT_SECONDS:.0f} seconds; see deliver_messages.")
