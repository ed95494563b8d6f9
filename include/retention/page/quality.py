"""View "data quality": each expectation of a day's loads with its numbers, and the rows that were rejected."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any

from sqlalchemy import Connection

from retention.core import days
from retention.core.database import run
from retention.orders.landing import HISTORY
from retention.orders.reading import READING_RULES
from retention.orders.sources import OURS
from retention.page.masking import masked_text, names, shortened, shown, shown_row

Row = dict[str, Any]

ROWS = 20  # rejected rows shown per rule
EXAMPLES = 5  # unexpected values shown per expectation
AROUND = 30  # days listed to choose from
ORDER = {"error": 0, "failed": 1, "warning": 2, "passed": 3}
# Arguments of an expectation that are shown elsewhere, or mean nothing to a reader.
HIDDEN = {
    "column",
    "column_list",
    "batch_id",
    "result_format",
    "catch_exceptions",
    "include_config",
    "severity",
    "description",
}
OWN_COLUMNS = ("file_no", "row_no")  # beside those that begin with OURS
NUMBERS = {
    "checked": "element_count",
    "unexpected": "unexpected_count",
    "percent": "unexpected_percent",
    "missing": "missing_count",
}


def read(connection: Connection, key: str | None, source: str | None) -> Row:
    """All the view shows for the loads of `key` (a day or a history; none: the newest), of all sources or one.

    `histories` are those that brought a day for which nothing was landed by itself.
    """
    chosen = key or _newest(connection, source)
    loads = _rows(connection, "page/quality_loads", load_key=chosen, source=source) if chosen else []
    identifiers = [load["load_id"] for load in loads]
    suites = _rows(connection, "page/quality_suites", load_ids=identifiers)
    rules = _rows(connection, "page/quality_rules", load_ids=identifiers)
    for load in loads:
        load["files"] = _files(load["files"])
        load["suites"] = [_suite(suite) for suite in suites if suite["load_id"] == load["load_id"]]
        load["rules"] = [
            {
                "rule": rule["rule"],
                "rejected": rule["rejected"],
                "is_unreadable": rule["rule"] in READING_RULES,
                "rows": _rejected(connection, load, rule["rule"]),
            }
            for rule in rules
            if rule["load_id"] == load["load_id"]
        ]
    day = None if chosen in (None, HISTORY) else days.parse(chosen)
    histories = [] if loads or not day else _rows(connection, "page/quality_histories", day=day, source=source)
    return {
        "key": chosen,
        "day": day,
        "source": source,
        "loads": loads,
        "histories": histories,
        "choices": _choices(connection, day),
    }


def _newest(connection: Connection, source: str | None) -> str | None:
    found: str | None = run(connection, "page/quality_newest", source=source).scalar()
    return found


def _files(stored: Any) -> Row:
    """The files of a load, and what they span: days where their paths tell them, else names."""
    listed = [_mapping(each) or {"name": str(each)} for each in stored] if isinstance(stored, list) else []
    found = [{"name": str(each.get("name", "")), "bytes": each.get("bytes")} for each in listed]
    told = sorted(date.fromisoformat(each["day"]) for each in listed if each.get("day"))
    return {
        "listed": found,
        "days": (told[0], told[-1]) if told else None,
        "names": (found[0]["name"], found[-1]["name"]) if found else None,
    }


def _choices(connection: Connection, chosen: date | None) -> dict[str, list[Row]]:
    """By source: the days around the chosen one, and histories, with whether their suites held."""
    last = _moved(chosen, AROUND // 2) if chosen else date.max
    newest = run(connection, "page/quality_newest_day", last=last).scalar()
    last = newest or date.min
    first = _moved(last, -AROUND)
    choices: defaultdict[str, list[Row]] = defaultdict(list)
    for row in _rows(connection, "page/quality_by_day", first=first, last=last):
        choices[row["source"]].append(row)
    return dict(sorted(choices.items()))


def _moved(day: date, by: int) -> date:
    """`day` and so many days, within what a date can be."""
    return date.fromordinal(min(max(day.toordinal() + by, days.FIRST.toordinal()), days.LAST.toordinal()))


def _rejected(connection: Connection, load: Row, rule: str) -> list[Row]:
    """Of each row its place and what the rule says of it; of a row that could not be read its length, no field."""
    looked_at = {
        expectation["rule"]: expectation["column"] for suite in load["suites"] for expectation in suite["expectations"]
    }
    found = []
    for row in _rows(connection, "page/quality_rows", load_id=load["load_id"], rule=rule, number=ROWS):
        place = {"file": row["file"], "row_no": row["row_no"]}
        if rule in READING_RULES:
            found.append({**place, "value": row["value"], "length": row["length"]})
        else:
            fields, hidden = shown_row(row["row_text"])
            found.append(
                {**place, "value": shown(row["value"], looked_at.get(rule, "")), "fields": fields, "hidden": hidden}
            )
    return found


def _suite(row: Row) -> Row:
    found = sorted((_expectation(each) for each in _results(row["results"])), key=lambda e: ORDER[e["state"]])
    return {
        "suite": row["suite"],
        "notes": _notes(row["results"]),
        "success": row["success"],
        "validated_at": row["validated_at"],
        "expectations": found,
        "states": {state: sum(e["state"] == state for e in found) for state in ORDER},
    }


def _notes(document: Any) -> list[str]:
    """What the validation left out and why, in its own words."""
    notes = _mapping(document).get("notes")
    return [str(note) for note in notes] if isinstance(notes, list) else []


def _results(document: Any) -> Iterator[Mapping[str, Any]]:
    """The results of the single expectations, whether a validation's or a checkpoint's result was stored."""
    if isinstance(document, list):
        for each in document:
            yield from _results(each)
    elif isinstance(document, Mapping):
        if "expectation_config" in document:
            yield document
        elif isinstance(document.get("run_results"), Mapping):
            yield from _results(list(document["run_results"].values()))
        else:
            yield from _results(document.get("results") or document.get("validation_result"))


def _expectation(result: Mapping[str, Any]) -> Row:
    """One expectation in words and numbers. What a key is missing for is left empty: the document's shape is theirs."""
    config = _mapping(result.get("expectation_config"))
    kwargs = _mapping(config.get("kwargs"))
    meta = _mapping(config.get("meta"))
    found = _mapping(result.get("result"))
    kind = str(config.get("type") or config.get("expectation_type") or "expectation")
    severity = str(config.get("severity") or meta.get("severity") or kwargs.get("severity") or "critical").lower()
    error = _error(result.get("exception_info"))
    # A row rule of ours is asked as: the rule's own boolean column holds nothing but true.
    is_row_rule = kwargs.get("value_set") == [True]
    column = str(meta.get("column") or "") if is_row_rule else _column(kwargs)
    is_share = is_row_rule and meta.get("rule") == "rejected_share"
    told = next((meta[key] for key in ("rule", "name", "about", "notes") if isinstance(meta.get(key), str)), "")
    examples = found.get("partial_unexpected_list") or []
    return {
        "kind": "of all rows"
        if is_share
        else "holds for each row"
        if is_row_rule
        else kind.removeprefix("expect_").replace("_", " "),
        "rule": told,
        "about": config.get("description") or kwargs.get("description") or meta.get("about") or "",
        "severity": severity,
        "state": _state(bool(result.get("success")), severity, error),
        "column": "" if column.startswith(OURS) else column,
        "expected": _share(kwargs, _mapping(meta.get("asked"))) if is_share else _expected(kwargs, is_row_rule),
        "observed": _observed(found, column, _of_the_file(kwargs.get("column_set"))),
        "examples": [shown(value, column) for value in examples[:EXAMPLES]],
        "error": error,
        **{name: found.get(key) for name, key in NUMBERS.items()},
    }


def _column(kwargs: Mapping[str, Any]) -> str:
    several = kwargs.get("column_list")
    return str(kwargs.get("column") or (", ".join(map(str, several)) if isinstance(several, list) else ""))


def _expected(kwargs: Mapping[str, Any], is_row_rule: bool) -> list[tuple[str, str]]:
    """The arguments worth showing, as (name, value); of a row rule a sentence without a name."""
    if is_row_rule:
        return [("", f"at least {100 * _number(kwargs.get('mostly'), 1.0):.4g} % of rows")]
    return [
        (key, shortened(", ".join(_of_the_file(value)) if key == "column_set" else _plain(value)))
        for key, value in kwargs.items()
        if key not in HIDDEN and value is not None
    ]


def _share(kwargs: Mapping[str, Any], asked: Mapping[str, Any]) -> list[tuple[str, str]]:
    """How many rows may be rejected, as the suite says it; what was stored without that tells what it came to."""
    if not asked:
        return [("", f"at most {100 * (1 - _number(kwargs.get('mostly'), 1.0)):.4g} % of rows rejected")]
    tolerated = f", {asked['tolerate']} tolerated" if asked.get("tolerate") else ""
    return [("", f"at most {str(asked.get('at_most')).rstrip('% ')} % of rows rejected{tolerated}")]


def _of_the_file(columns: Any) -> list[str]:
    """The columns without those that validation adds."""
    listed = map(str, columns) if isinstance(columns, list) else ()
    return [each for each in listed if not each.startswith(OURS) and each not in OWN_COLUMNS]


def _observed(found: Mapping[str, Any], column: str, known: list[str]) -> str:
    """What was seen instead, or at all: the mismatch where Great Expectations names one."""
    mismatched = _mapping(_mapping(found.get("details")).get("mismatched"))
    if mismatched:
        return "; ".join(f"{kind}: {names(columns, known)}" for kind, columns in mismatched.items())
    observed = found.get("observed_value")
    if observed is None:
        return ""
    if isinstance(observed, (int, float)):
        return _plain(observed)
    return (
        names(_of_the_file(observed), known)
        if isinstance(observed, list)
        else shown(observed, "updated_at" if column == OURS + "newest" else column)  # an instant of all rows: nobody's
    )


def _number(value: Any, otherwise: float) -> float:
    return float(value) if isinstance(value, (int, float)) else otherwise


def _state(success: bool, severity: str, error: str) -> str:
    if success:
        return "passed"
    if error:
        return "error"
    return "failed" if severity == "critical" else "warning"


def _error(info: Any) -> str:
    """The message of an expectation that could not be computed; some versions tell one per metric."""
    if not isinstance(info, Mapping):
        return ""
    if "raised_exception" in info:
        return _told(str(info.get("exception_message") or "failed")) if info["raised_exception"] else ""
    return "; ".join(filter(None, (_error(each) for each in info.values())))


def _told(message: str) -> str:
    """The first line of a message without what stands in quotes: the database quotes values, and rows below."""
    return masked_text(re.sub(r'"[^"]*"', "…", message.partition("\n")[0]))


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.6g}" if abs(value) < 1e6 else f"{value:,.0f}"
    return value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)


def _rows(connection: Connection, name: str, **parameters: Any) -> list[Row]:
    return [dict(row) for row in run(connection, name, **parameters).mappings()]
