"""What the DAG files share. The only module of the package that imports Airflow; no room knows of it.

A task is one call into a room: ``do(steps.finish, campaign, run_day())``. What it counted goes to the task's log as one
line, to XCom as its return value, and with `announce` to the asset's event: numbers only, never a person.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from datetime import date, datetime, time, timedelta
from typing import Any

from airflow.configuration import conf
from airflow.sdk import Asset, Connection, Param, get_current_context
from airflow.sdk.bases.sensor import PokeReturnValue
from airflow.sdk.exceptions import AirflowFailException, AirflowNotFoundException

from retention.core import clock, database, days, faults
from retention.core.days import Counts, Report
from retention.core.errors import FINAL, ExpectationFailed, InputError, NotReady
from retention.core.settings import Settings, decimal, from_environment, shown, words
from retention.core.shop import opened

log = logging.getLogger(__name__)


def pool() -> str:
    """The Airflow pool that tasks run in: RETENTION_POOL, else Airflow's own."""
    return words("RETENTION_POOL", os.environ.get("RETENTION_POOL") or "default_pool", most=250)


# What every task has unless it says otherwise. A pool that does not exist would keep a task waiting for ever, so the
# name comes from whoever made it (`retention up`, or the compose file); Airflow's own pool is always there.
DEFAULTS: dict[str, Any] = {
    "owner": "retention",
    "retries": 2,
    "retry_delay": timedelta(minutes=1),
    "execution_timeout": timedelta(hours=2),
    "pool": pool(),
}
DAY_PARAM = Param(
    None,
    type=["null", "string"],
    format="date",
    title="Day",
    description="The day to run, like 2026-11-21. A run with a partition key has its day and ignores this one.",
)


# --- what a task calls -------------------------------------------------------------------------------------------


def do(function: Callable[..., Report | Counts | None], *arguments: Any, **named: Any) -> Counts:
    """Call a room's `function` with the shop and `arguments`; its counts, also in the log as one line.

    What trying again cannot mend fails the task at once: a wrong input, a bad file, a day that cannot be done, an
    expectation that does not hold.
    Raises Fault, naming the log file, for what nobody foresaw: Airflow's own log of it would hold what messages quote.
    """
    settings = None
    try:
        settings = task_settings()
        done = function(opened(settings), *arguments, **named)
    except NotReady:
        raise
    except ExpectationFailed as problem:
        raise AirflowFailException(f"{problem} See {quality_page(str(arguments[-1]))}") from None
    except Exception as problem:
        error = faults.explained(problem, settings)
        if isinstance(error, FINAL):
            raise AirflowFailException(str(error)) from None
        raise error from None
    counts = done if done is None or isinstance(done, dict) else done.counts()
    plain: Counts = json.loads(json.dumps(counts or {}, default=str))
    log.info("%s: %s", getattr(function, "__qualname__", "counts"), in_words(plain))
    return plain


def when_ready(function: Callable[..., Report | Counts | None], *arguments: Any) -> PokeReturnValue:
    """`do`, but a file that is not there yet is waited for: until the deadline of its day, then the task fails."""
    try:
        return PokeReturnValue(is_done=True, xcom_value=do(function, *arguments))
    except NotReady as problem:
        deadline = files_deadline(task_settings(), day_to_sync())
        if clock.now() >= deadline:
            raise AirflowFailException(
                f"{problem} It was waited for until {deadline:%Y-%m-%d %H:%M %Z}. When the file is there, clear this "
                "task; or leave it: the next day's run does this day first."
            ) from None
        log.info("%s Waiting until %s.", problem, f"{deadline:%Y-%m-%d %H:%M %Z}")
        return PokeReturnValue(is_done=False)


def fail(reason: str) -> None:
    """Fail the task with `reason`: nothing here mends itself."""
    raise AirflowFailException(reason)


def announce(asset: Asset, counts: Counts, day: date) -> Counts:
    """Let the asset's event carry `counts` and the day: runs downstream are for that day. Returns `counts`."""
    event = get_current_context()["outlet_events"][asset]
    event.extra = {"day": day.isoformat(), **counts}
    event.add_partitions(day.isoformat())  # a run started by hand with a parameter has no key of its own
    return counts


def run_day() -> date:
    """The day of this run: its partition key, else the parameter `day`, else the newest day published."""
    if day := _day_asked():
        return day
    with database.connect(task_settings()).connect() as connection:
        newest = days.newest_published(connection)
    if newest is None:
        raise AirflowFailException("No day is published yet, and this run names none: give it a day.")
    return newest


def day_to_sync() -> date:
    """The day of this run: its partition key, else the parameter `day`, else the last day over when it was made."""
    made_at: datetime = get_current_context()["dag_run"].run_after
    return _day_asked() or made_at.astimezone(task_settings().shop_time_zone).date() - timedelta(days=1)


def files_deadline(settings: Settings, day: date) -> datetime:
    """Until when the files of `day` are waited for: RETENTION_FILES_DEADLINE hours after the day ended."""
    return days.known_at(day, settings.shop_time_zone) + timedelta(hours=settings.files_deadline)


def answered(pair: Sequence[Any]) -> tuple[Any, str, str]:
    """What was asked about, the option that was chosen, and who chose it: of a question and a HITLOperator's result."""
    asked_about, answer = pair
    user = answer.get("responded_by_user") or {}
    return asked_about, answer["chosen_options"][0], user.get("name") or user.get("id") or clock.NOBODY


def is_test(context: Mapping[str, Any]) -> bool:
    """Whether this run was asked to be a test."""
    return bool(context["params"].get("test"))


def task_settings() -> Settings:
    """The settings inside a task: the environment's, with what Airflow's connections say laid over them.

    `retention_db`: the database. `sendgrid_default`: password = key, host = base URL. `twilio_default`: login =
    account, password = token, host = base URL, extra `from` = sender. A connection that is absent changes nothing.
    """
    found: dict[str, Any] = {}
    if shop := _connection("retention_db"):
        found["database_url"] = "postgresql://" + shop.get_uri().partition("://")[2]
    if mail := _connection("sendgrid_default"):
        found |= {"sendgrid_api_key": mail.password, "sendgrid_host": mail.host}
    if sms := _connection("twilio_default"):
        found |= {
            "twilio_account_sid": sms.login,
            "twilio_auth_token": sms.password,
            "twilio_base_url": sms.host,
            "twilio_from": sms.extra_dejson.get("from"),
        }
    known = {field.name for field in fields(Settings)}
    return from_environment().evolve(**{key: value for key, value in found.items() if value and key in known})


def quality_page(day: str) -> str:
    """The address of the Retention page's data-quality view of `day`."""
    base = (conf.get("api", "base_url", fallback="") or "").rstrip("/")
    return f"{base}/retention/quality?day={day}"


def in_words(counts: Mapping[str, Any]) -> str:
    """Counts as one readable line: ``enrolled 12, planned (day_0_email 11)``."""
    parts = [
        f"{key} ({in_words(value)})" if isinstance(value, Mapping) else f"{key} {value}"
        for key, value in counts.items()
    ]
    return ", ".join(parts) or "nothing"


# --- what a DAG file is made of ----------------------------------------------------------------------------------


def first_run(settings: Settings) -> dict[str, Any]:
    """From when `sync_orders` is scheduled, as arguments of a DAG.

    With RETENTION_START_DAY Airflow makes a run for each day from that one on. Without it the schedule begins with the
    day of the installation, RETENTION_INSTALLED_ON (set by `retention up`): what was before is loaded, or backfilled,
    and no run for yesterday gets ahead of that. Without either, the first run is yesterday's.
    """
    start, installed = os.environ.get("RETENTION_START_DAY"), os.environ.get("RETENTION_INSTALLED_ON")
    try:
        first = days.parse(start or installed or "2020-01-01")
    except InputError as problem:
        name, text = ("RETENTION_START_DAY", start) if start else ("RETENTION_INSTALLED_ON", installed)
        raise InputError(f"{name} is {shown(text or '')}: {problem}") from problem
    midnight = datetime.combine(first + timedelta(days=1), time.min, tzinfo=settings.shop_time_zone)
    return {"start_date": midnight, "catchup": bool(start)}


def waiting() -> dict[str, Any]:
    """How a task waits for files, as arguments of ``@task.sensor``: it looks, and holds no slot in between.

    RETENTION_FILES_EVERY is the number of seconds between two looks (300). How long, `when_ready` decides.
    """
    text = os.environ.get("RETENTION_FILES_EVERY") or "300"
    seconds = decimal("RETENTION_FILES_EVERY", text, least=1, most=86_400)
    return {"mode": "reschedule", "poke_interval": seconds, "timeout": timedelta(days=7).total_seconds()}


def _connection(name: str) -> Any:
    try:
        return Connection.get(name)
    except AirflowNotFoundException:
        return None


def _day_asked() -> date | None:
    text = _day_text()
    return days.parse(text) if text else None


def _day_text() -> str:
    context = get_current_context()
    return str(context.get("partition_key") or context["params"].get("day") or "")
