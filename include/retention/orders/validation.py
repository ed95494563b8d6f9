"""Validation: Great Expectations on the landed rows, inside PostgreSQL; what breaks a row rule is quarantined.

A row rule stands once, in ``expectations/<suite>.yaml``, as a predicate that is true for a good row. It becomes a
column of a view over the landed rows; the expectation counts where it is false, and those rows go to
landing.rejections by the same view. Great Expectations counts every rule in one scan (it takes seconds to import: so
only here, inside the function).
"""

from __future__ import annotations

import json
import logging
import os
import re
import warnings
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

import psycopg
from sqlalchemy import Connection

from retention.core import database, days, documents
from retention.core.database import Fragment, Table, identifier
from retention.core.errors import ExpectationFailed, InputError, StateError
from retention.core.shop import Shop
from retention.orders import landing
from retention.orders.erased import ERASED
from retention.orders.landing import Batch
from retention.orders.reading import READING_RULES, SHORT
from retention.orders.sources import OURS, Feed

ROW_COUNT = "ExpectTableRowCountToBeBetween"
READABLE = "row_is_readable"  # the rule that rows refused at landing break
LOADS_FOR_A_BAND = 3  # earlier loads of the weekday needed to judge a row count
SLACK = 30  # rows by which a count may leave its band: small shops vary
PUBLISHING_RULES = (
    "in_the_future",
    "changed_in_the_future",
    "registered_in_the_future",
    "too_long_ago",
    "without_a_time",
    "number_out_of_range",
    "key_too_long",
    "until_before_since",
    "not_a_web_address",
    "no_rate",
    "customer_changed",
    "order_unknown",
)  # rules that hold for every source: publishing finds them broken
log = logging.getLogger(__name__)

_SHARE = {"type": "string", "pattern": r"^\d+(\.\d+)?\s*%$", "write": "a percentage like 5%"}
_RULE_NAME = {
    "type": "string",
    "pattern": "^[a-z][a-z0-9_]*$",
    "maxLength": 60,
    "write": "small letters, digits and _, at most 60",
}
_COUNT = {"type": "integer", "minimum": 0, "write": "a whole number"}
_SEVERITY = {"enum": ["critical", "warning"]}
_SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["suite", "about", "rules", "batch"],
    "properties": {
        "suite": _RULE_NAME,
        "about": {"type": "string"},
        "rules": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["rule", "good"],
                "properties": {
                    "rule": _RULE_NAME,
                    "column": {"type": "string"},
                    "good": {"type": "string", "minLength": 1},
                    "mostly": _SHARE,
                },
            },
        },
        "batch": {
            "type": "array",
            "items": {
                "oneOf": [
                    {
                        "type": "object",
                        "additionalProperties": False,
                        "required": ["rule", "severity", *needed],
                        "properties": {
                            "rule": {"const": rule},
                            "severity": _SEVERITY,
                            "daily_only": {"type": "boolean"},
                            **options,
                        },
                    }
                    for rule, needed, options in (
                        ("rejected_share", ["at_most"], {"at_most": _SHARE, "tolerate": _COUNT}),
                        ("row_count", ["at_least"], {"at_least": _COUNT}),
                        ("row_count_like_weekday", ["from", "to"], {"from": _SHARE, "to": _SHARE}),
                        (
                            "newest_row_is_recent",
                            ["value", "within_days"],
                            {"value": {"type": "string"}, "within_days": {"type": "integer", "minimum": 1}},
                        ),
                        ("columns_as_expected", [], {}),
                    )
                ],
                "write": "one of rejected_share (at_most, tolerate), row_count (at_least), "
                "row_count_like_weekday (from, to), newest_row_is_recent (value, within_days), "
                "columns_as_expected; each with severity",
            },
        },
    },
}


@dataclass(frozen=True)
class Rule:
    """A condition on one row."""

    name: str
    column: str | None  # whose value is shown with a rejection
    good: str  # SQL over the raw text columns, true for a good row
    mostly: float  # share of good rows below which the expectation fails


@dataclass(frozen=True)
class Suite:
    """What is expected of a feed's rows, each and together."""

    name: str
    path: Path
    rules: list[Rule]
    batch: list[dict[str, Any]]

    def limit(self, landed: int, *, daily: bool) -> float | None:
        """The greatest share of rejected rows with which a load of `landed` rows is published; None without one."""
        for one in self.expected(daily=daily):
            if one["rule"] == "rejected_share" and one["severity"] == "critical":
                return _allowed(one, landed)
        return None

    def expected(self, *, daily: bool) -> list[dict[str, Any]]:
        """The expectations of the whole batch that apply to a day, or to a history."""
        return [one for one in self.batch if daily or not one.get("daily_only")]


def read(include: Path, name: str, feed: Feed | None = None) -> Suite:
    """The suite of ``expectations/<name>.yaml``. Raises InputError, naming file and line, when it is wrong."""
    path = include / "expectations" / f"{name}.yaml"
    document = documents.read(path)
    document.check(_SCHEMA)
    content = document.content
    rules = [
        Rule(rule["rule"], rule.get("column"), rule["good"], _share(rule.get("mostly", "100%")))
        for rule in content["rules"]
    ]
    names = [rule.name for rule in rules]
    ours = (READABLE, ERASED, "accepted", "newest", "not_empty", *READING_RULES, *PUBLISHING_RULES)
    for rule in rules:
        if names.count(rule.name) > 1 or rule.name in ours:
            raise InputError(f"{path}: the rule {rule.name!r} is there twice, or is a name of ours.")
        if feed and rule.column and rule.column not in feed.columns:
            raise InputError(f"{path}: rule {rule.name}: columns of the feed are: {', '.join(feed.columns)}.")
    return Suite(content["suite"], path, rules, content["batch"])


@dataclass(frozen=True)
class _Check:
    """One feed of a batch, as it is checked."""

    shop: Shop
    batch: Batch
    feed: Feed
    suite: Suite
    load: dict[str, Any]

    @property
    def view(self) -> Table:
        """The view with a column for each rule."""
        return Table(f"landing.check_{self.batch.source.name}_{self.feed.name}")

    @property
    def columns(self) -> list[str]:
        """The columns of the landed files."""
        return landing.file_columns(self.load, self.feed)


def validate(shop: Shop, batch: Batch, feed: Feed) -> dict[str, Any]:
    """Check the landed rows of one feed and quarantine those that break a rule: {rejected, failed: [rule]}.

    Raises ExpectationFailed, with the rule and its numbers, when a critical expectation does not hold; results and
    rejections are kept all the same.
    """
    suite = read(shop.settings.include, feed.suite, feed)
    with shop.engine.connect() as connection:
        check = _Check(shop, batch, feed, suite, landing.loads(connection, batch)[feed.name])
    _create_view(check)
    try:
        expectations, notes = _expectations(check)
        result = {**_ask(check, expectations), "notes": notes}
        failed = [entry for entry in result["results"] if not entry["success"]]
        critical = [entry for entry in failed if entry["expectation_config"]["severity"] == "critical"]
        with shop.engine.begin() as connection:
            _quarantine(connection, check, result)
            rejected = database.count(connection, "orders/count_rejected", load_id=check.load["load_id"])
            by = rejected_by(connection, check.load, ": ")
            database.run(
                connection,
                "orders/store_validation",
                load_id=check.load["load_id"],
                suite=suite.name,
                success=not critical,
                results=json.dumps(result, default=str),
            )
    finally:
        with shop.engine.begin() as connection:
            database.execute(connection, "orders/drop_check", {"view": check.view})
    names = [entry["expectation_config"]["meta"]["rule"] for entry in failed]
    log.info(
        "%s: of %d rows, %d break a rule of %s%s; not met: %s",
        batch.label(feed),
        check.load["landed"],
        rejected,
        suite.name,
        by,
        ", ".join(names) or "none",
    )
    if critical:
        raise _failure(check, critical, result, rejected)
    return {"rejected": rejected, "failed": names}


def _failure(check: _Check, critical: list[dict[str, Any]], result: dict[str, Any], rejected: int) -> ExpectationFailed:
    reasons = "; ".join(_describe(entry, check.suite, result) for entry in critical)
    everything = landing.table(check.batch.source, check.feed)
    kept = f"; the rejected rows stand in landing.rejections, all in {everything}" if rejected else ""
    return ExpectationFailed(f"{check.batch.label(check.feed)}: {reasons}. Nothing was published{kept}.")


def _create_view(check: _Check) -> None:
    """One row per landed row: its columns, a boolean per rule, and whether all of them hold."""
    day, suite = check.batch.day, check.suite
    literal = f"date '{day.isoformat() if day else 'infinity'}'"
    end = days.known_at(day + timedelta(days=1), check.shop.settings.shop_time_zone) if day else None
    newest = next((one["value"] for one in suite.batch if one["rule"] == "newest_row_is_recent"), "null")
    rules = [
        f"coalesce(({rule.good.replace('{{ day }}', literal)}), false) as {identifier(OURS + rule.name)}"
        for rule in suite.rules
    ]
    names = {
        "view": check.view,
        "part": check.batch.partition(check.feed),
        "columns": _list(identifier(column) for column in check.columns),
        "no_columns": _list("cast(null as text)" for _ in check.columns),
        "rules": _list(rules),
        "all_true": _list("true" for _ in rules),
        "accepted": Fragment(" and ".join(f"v.{identifier(OURS + rule.name)}" for rule in suite.rules) or "true"),
        "newest": Fragment(newest),
        "latest": Fragment(f"timestamptz '{end.isoformat()}'" if end else "timestamptz 'infinity'"),
        "load_id": Fragment(check.load["load_id"]),
        "reading_rules": Fragment(", ".join(f"'{rule}'" for rule in READING_RULES)),
    }
    try:
        with check.shop.engine.begin() as connection:
            database.execute(connection, "orders/drop_check", {"view": check.view})
            database.execute(connection, "orders/create_check", names)
    except psycopg.Error as problem:
        raise InputError(f"{suite.path}: a rule is not valid SQL: {problem.diag.message_primary}.") from problem


def _list(parts: Any) -> Fragment:
    """Columns to go between two others."""
    return Fragment("".join(f",\n        {part}" for part in parts))


def _expectations(check: _Check) -> tuple[list[dict[str, Any]], list[str]]:
    """The expectations as types and arguments of Great Expectations, and notes on those left out."""
    suite, feed, day = check.suite, check.feed, check.batch.day
    found = [_of_column(READABLE, OURS + READABLE, 1.0, "warning")]
    found += [_of_column(rule.name, OURS + rule.name, rule.mostly, "warning", rule.column) for rule in suite.rules]
    notes = []
    if day and feed.name == "orders" and not feed.may_be_empty:
        found.append({"type": ROW_COUNT, "rule": "not_empty", "severity": "critical", "min_value": 1})
    for one in suite.expected(daily=day is not None):
        asked = _of_batch(check, one)
        if isinstance(asked, str):
            notes.append(f"{one['rule']}: skipped, {asked}")
        elif asked:
            found.append({"rule": one["rule"], "severity": one["severity"], **asked})
    return found, notes


def _of_batch(check: _Check, one: dict[str, Any]) -> dict[str, Any] | str | None:
    """Type and arguments of an expectation of the whole batch; or why it is skipped; None where it is of days only."""
    rule, day, landed = one["rule"], check.batch.day, check.load["landed"]
    if rule == "rejected_share":
        asked = {"at_most": one["at_most"], "tolerate": one.get("tolerate", 0)}
        return {**_of_column(rule, OURS + "accepted", 1 - _allowed(one, landed), one["severity"]), "asked": asked}
    if rule == "columns_as_expected":
        ours = [OURS + name for name in (READABLE, "accepted", "newest", *(r.name for r in check.suite.rules))]
        return {
            "type": "ExpectTableColumnsToMatchSet",
            "column_set": ["file_no", "row_no", *check.feed.columns, *ours],
        }
    if rule == "row_count":
        return {"type": ROW_COUNT, "min_value": one["at_least"]}
    if day is None:
        return None
    if rule == "row_count_like_weekday":
        return _band(check, day, one) or f"fewer than {LOADS_FOR_A_BAND} earlier loads of this weekday"
    if not landed:  # newest_row_is_recent
        return "no row was landed"
    least = days.starts_at(day - timedelta(days=one["within_days"] - 1), check.shop.settings.shop_time_zone)
    return {"type": "ExpectColumnMaxToBeBetween", "column": OURS + "newest", "min_value": least}


def _of_column(rule: str, column: str, mostly: float, severity: str, shown: str | None = None) -> dict[str, Any]:
    return {
        "type": "ExpectColumnValuesToBeInSet",
        "rule": rule,
        "severity": severity,
        "column": column,
        "value_set": [True],
        "mostly": mostly,
        "shown": shown,
    }


def _band(check: _Check, day: date, one: dict[str, Any]) -> dict[str, Any] | None:
    with check.shop.engine.connect() as connection:
        same = database.run(
            connection, "orders/same_weekdays", source=check.batch.source.name, feed=check.feed.name, day=day
        )
        counts = list(same.scalars())
    if len(counts) < LOADS_FOR_A_BAND:
        return None
    usual = median(counts)
    return {
        "type": ROW_COUNT,
        "min_value": max(0, int(usual * _share(one["from"])) - SLACK),
        "max_value": int(usual * _share(one["to"])) + SLACK,
    }


def _ask(check: _Check, expectations: list[dict[str, Any]]) -> dict[str, Any]:
    """Great Expectations' own answer as JSON. Raises StateError when an expectation could not be evaluated."""
    gx, context = _great_expectations()
    source = context.data_sources.add_or_update_postgres(
        "retention",
        connection_string=database.driver_url(check.shop.settings.database_url or ""),
        kwargs=database.engine_arguments(check.shop.engine),
    )
    schema, _, name = check.view.partition(".")
    with warnings.catch_warnings():  # the schema belongs in the URL by now; ours may bring options of its own
        warnings.simplefilter("ignore", DeprecationWarning)
        rows = source.add_table_asset("rows", table_name=name, schema_name=schema)
    batch = rows.add_batch_definition_whole_table("all")
    asked = gx.ExpectationSuite(check.suite.name, expectations=[_expectation(gx, one) for one in expectations])
    try:
        # No examples: they would cost a scan per rule; quarantine keeps every row anyway.
        answer = batch.get_batch().validate(
            asked, result_format={"result_format": "BASIC", "partial_unexpected_count": 0}
        )
    finally:
        source.get_execution_engine().close()
        source.get_engine().dispose()  # a second pool of its own, which would hold a connection open for each suite
    result: dict[str, Any] = json.loads(json.dumps(answer.to_json_dict(), default=str))
    for entry in result["results"]:
        _refuse_exception(entry, check.suite)
    return result


@cache
def _great_expectations() -> tuple[Any, Any]:
    """The library and its context, once per process: imported here only, for that takes seconds."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    logging.getLogger("great_expectations").setLevel(logging.WARNING)
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    return gx, context


def _expectation(gx: Any, one: dict[str, Any]) -> Any:
    arguments = {key: value for key, value in one.items() if key not in ("type", "rule", "shown", "asked")}
    if one["type"] == "ExpectTableColumnsToMatchSet":
        arguments["exact_match"] = True
    meta = {"rule": one["rule"], "column": one.get("shown"), "asked": one.get("asked")}
    return getattr(gx.expectations, one["type"])(meta=meta, **arguments)


def _refuse_exception(entry: dict[str, Any], suite: Suite) -> None:
    """An expectation that raised says nothing about the data: it must not pass for a failed one."""
    info = entry.get("exception_info") or {}
    for one in [info] if "raised_exception" in info else info.values():
        if one.get("raised_exception"):
            rule = entry["expectation_config"]["meta"]["rule"]
            told = re.sub(
                r'"[^"]*"', "...", str(one.get("exception_message")).partition("\n")[0]
            )  # values stand in quotes
            raise StateError(f"{suite.path}: {rule} could not be evaluated: {told[:300]}")


def _unexpected(result: dict[str, Any], rule: str) -> int:
    for entry in result["results"]:
        if entry["expectation_config"]["meta"]["rule"] == rule:
            return int(entry["result"].get("unexpected_count") or 0)
    return 0


def shown(columns: list[str], alias: str) -> dict[str, Fragment]:
    """SQL for the row as it is kept with a rejection: the `names` of its columns, and their `values` shortened."""
    return {
        "names": Fragment(", ".join("'" + column.replace("'", "''") + "'" for column in columns)),
        "values": Fragment(", ".join(f"left({alias}.{identifier(column)}, {SHORT})" for column in columns)),
    }


def _quarantine(connection: Connection, check: _Check, result: dict[str, Any]) -> None:
    """Write a rejection per row and broken rule; their number must be the one Great Expectations counted."""
    load_id, kept = check.load["load_id"], [*READING_RULES, ERASED]
    database.run(connection, "orders/forget_rejections", load_id=load_id, kept=kept)
    broken = [rule for rule in check.suite.rules if _unexpected(result, rule.name)]
    if not broken:
        return
    rules = ", ".join(
        f"('{rule.name}', v.{identifier(OURS + rule.name)}, "
        f"{f'v.{identifier(rule.column)}' if rule.column else 'null'})"
        for rule in broken
    )
    names = {
        "view": check.view,
        "rules": Fragment(rules),
        "load_id": Fragment(load_id),
        "all_hold": Fragment(" and ".join(f"v.{identifier(OURS + rule.name)}" for rule in broken)),
        **shown(check.columns, "v"),
    }
    database.execute(connection, "orders/quarantine", names)
    counted = {
        row["rule"]: row["rows"]
        for row in database.run(connection, "orders/rejected_by_rule", load_id=load_id).mappings()
    }
    for rule in broken:
        if counted.get(rule.name, 0) != _unexpected(result, rule.name):
            raise StateError(
                f"Rule {rule.name}: {_unexpected(result, rule.name)} rows were counted, "
                f"{counted.get(rule.name, 0)} quarantined."
            )


def rejected_by(connection: Connection, load: dict[str, Any], before: str) -> str:
    """`before` and the three rules that rejected most rows of a load, with how many; empty if none did.

    Rows of a person who was forgotten are left out: nothing is wrong with them.
    """
    found = database.run(connection, "orders/rejected_by_rule", load_id=load["load_id"]).mappings()
    counts = {row["rule"]: row["rows"] for row in found if row["rule"] != ERASED}
    return before + _worst(counts) if counts else ""


def _worst(counts: dict[str, int]) -> str:
    ordered = sorted(counts, key=lambda rule: (-counts[rule], rule))
    return ", ".join(f"{rule} ({counts[rule]})" for rule in ordered[:3])


def _describe(entry: dict[str, Any], suite: Suite, result: dict[str, Any]) -> str:
    config, numbers = entry["expectation_config"], entry["result"]
    rule, kwargs = config["meta"]["rule"], config["kwargs"]
    if rule == "rejected_share":
        counts = {one.name: _unexpected(result, one.name) for one in suite.rules}
        counts[READABLE] = _unexpected(result, READABLE)
        return (
            f"{rule}: {numbers['unexpected_count']} of {numbers['element_count']} rows are rejected, at most "
            f"{100 * (1 - kwargs['mostly']):.3g} % may be; mostly by "
            + _worst({name: count for name, count in counts.items() if count})
        )
    if rule == "not_empty":
        return (
            "not_empty: its files hold no row, and then everybody would look lapsed; if the shop may have a day "
            "without orders, write `may_be_empty: true` for feed orders of the source"
        )
    if "unexpected_count" in numbers:
        return f"{rule}: {numbers['unexpected_count']} of {numbers['element_count']} rows break it"
    if rule == "columns_as_expected":
        return f"{rule}: {json.dumps(numbers.get('details', {}).get('mismatched'))}"
    bounds = " and ".join(
        f"{word} {kwargs[key]}"
        for key, word in (("min_value", "at least"), ("max_value", "at most"))
        if kwargs.get(key) is not None
    )
    return f"{rule}: {numbers.get('observed_value')} was found, expected {bounds}"


def _allowed(one: dict[str, Any], landed: int) -> float:
    """The share of rejected rows that is allowed; a few rows always are, so that a small file is not stopped by one."""
    tolerated = float(one.get("tolerate", 0)) / max(landed, 1)
    return min(1.0, max(_share(one["at_most"]), tolerated))


def _share(text: str) -> float:
    return float(text.rstrip("% ")) / 100
