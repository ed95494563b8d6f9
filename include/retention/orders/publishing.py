"""Publishing: accepted rows become customers, orders, consents ..., all of one load in one transaction.

Rows are first cast into typed stages by the source's mapping SQL; those that contradict other rows are refused there.
Then each stage is merged into its table by precedence: an older version never overwrites a newer one, the same content
changes nothing, a superseded version goes to the history with the instant from which the next one was known.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

from sqlalchemy import Connection, CursorResult
from sqlalchemy.exc import DBAPIError, StatementError

from retention.contact import erasures, law, suppressions
from retention.core import changes, database, days
from retention.core.database import Fragment, Table
from retention.core.days import Counts
from retention.core.errors import DataError, ExpectationFailed, InputError, StateError
from retention.core.settings import Settings
from retention.core.shop import Shop
from retention.orders import erased, landing, rates, sources, validation
from retention.orders.landing import Batch
from retention.orders.sources import Feed, Source
from retention.orders.validation import PUBLISHING_RULES

AHEAD = timedelta(days=1)  # by which a clock may run fast: what it says is believed
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Kind:
    """What a feed's rows become."""

    table: str
    keys: tuple[str, ...]
    content: tuple[str, ...]  # what makes two versions differ
    required: tuple[str, ...]  # columns a mapping must give
    optional: tuple[str, ...]  # columns it may give
    is_of_customer: bool = True  # whether a change of it touches somebody
    wins: str = ""  # of two versions of one instant, the one that comes first by this


CREATE_STAGES = (
    "orders/create_stage_files",
    "orders/create_stage_orders",
    "orders/create_stage_order_lines",
    "orders/create_stage_refused",
    "orders/create_stage_repeated",
    "orders/create_stage_touched",
    "orders/create_stage_customers",
    "orders/create_stage_consents",
    "orders/create_stage_list_members",
    "orders/create_stage_products",
)
STAGE = {  # by feed
    "orders": "orders/stage_orders",
    "order_lines": "orders/stage_order_lines",
    "customers": "orders/stage_customers",
    "consents": "orders/stage_consents",
    "list_members": "orders/stage_list_members",
    "products": "orders/stage_products",
}
PROFILE = (  # what a shop may tell of a customer
    "email",
    "phone",
    "first_name",
    "last_name",
    "language",
    "country",
    "time_zone",
    "household_ref",
    "registered_at",
    "street",
    "postal_code",
    "city",
)
KINDS = {
    "customers": Kind(
        "shop.customers",
        ("customer_id",),
        ("namespace", "customer_ref", *PROFILE),
        ("customer_ref",),
        (*PROFILE, "updated_at"),
    ),
    "orders": Kind(
        "shop.orders",
        ("customer_id", "source", "order_ref"),
        (
            "ordered_at",
            "ordered_on",
            "status",
            "total",
            "refunded",
            "currency",
            "total_reporting",
            "refunded_reporting",
            "coupon_code",
            "store",
        ),
        ("customer_ref", "order_ref", "ordered_at", "status", "total", "currency"),
        ("refunded", "coupon_code", "store", "updated_at"),
    ),
    "order_lines": Kind(
        "shop.order_lines",
        ("customer_id", "source", "order_ref", "line_no"),
        ("product_ref", "category", "description", "quantity", "unit_price"),
        ("order_ref", "product_ref", "quantity", "unit_price"),
        ("customer_ref", "line_no", "category", "description"),
    ),
    "consents": Kind(
        "shop.consents",
        ("customer_id", "purpose", "channel"),
        ("is_granted", "basis", "origin", "text_version"),
        ("customer_ref", "purpose", "channel", "is_granted", "updated_at"),
        ("basis", "origin", "text_version"),
        wins="is_granted, ",  # false comes first: no wins over yes
    ),
    "list_members": Kind(
        "shop.list_members",
        ("customer_id", "list"),
        ("since", "until"),
        ("customer_ref", "list", "since"),
        ("until", "updated_at"),
    ),
    "products": Kind(
        "shop.products",
        ("source", "product_ref"),
        ("category", "name", "margin", "price", "currency", "picture_url", "url"),
        ("product_ref", "name"),
        ("category", "margin", "price", "currency", "picture_url", "url", "updated_at"),
        is_of_customer=False,
    ),
}


@dataclass(frozen=True, kw_only=True)
class SyncCounts:
    """What publishing a load did: rows over all feeds, orders (an order is a key), and customers."""

    landed: int  # rows; each was accepted or rejected
    accepted: int
    rejected: int
    corrected: int  # of the accepted: what they said of time was put right
    orders_inserted: int
    orders_updated: int
    orders_unchanged: int
    customers_touched: int
    again: str | None = None  # why a day was done once more; None at the first time

    @classmethod
    def recorded(cls, counts: Counts) -> SyncCounts:
        """The counts as they stand in ``shop.days``."""
        return cls(**counts)

    def counts(self) -> Counts:
        """As ``shop.days``, tasks and commands show it."""
        return {key: value for key, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class _Publication:
    """One publication under way."""

    connection: Connection
    settings: Settings
    batch: Batch
    at: datetime  # the instant of the landing
    loads: dict[str, dict[str, Any]]  # by feed

    @property
    def source(self) -> Source:
        return self.batch.source

    def run(self, statement: str, /, *names: Mapping[str, str], **values: Any) -> CursorResult[Any]:
        return database.run(self.connection, statement, *names, **values)

    def count(self, statement: str, /, *names: Mapping[str, str], **values: Any) -> int:
        return database.count(self.connection, statement, *names, **values)


def publish(shop: Shop, batch: Batch, at: datetime, again: str | None = None) -> SyncCounts:
    """Publish what was landed and validated of `batch`, and record the day; its counts.

    `at` is the instant of the landing: nothing that its files tell of happened later, and what is dated more than a day
    after it is refused. A file whose path names a day has that day's end for it. `again` is why a day that was done is
    published once more.

    Raises StateError when the load is not validated or the totals do not balance, ExpectationFailed when too many rows
    are refused, DataError when a row cannot be published. Then nothing of the load is in the shop.
    """
    with shop.engine.connect() as connection:
        with connection.begin():
            its = _Publication(connection, shop.settings, batch, at, landing.loads(connection, batch))
            _require_validated(its)
            totals = _stage(its)
            rules = {name: validation.rejected_by(connection, load, "mostly by ") for name, load in its.loads.items()}
        _tell(batch, totals, rules)
        _check_shares(its, totals, rules)
        try:
            with connection.begin():
                return _write(its, totals, again)
        except DBAPIError as problem:
            if not str(getattr(problem.orig, "sqlstate", "")).startswith(("22", "23", "54")):
                raise
            raise _unfit(problem, its.source.name, [feed.suite for feed in its.source.landed]) from None


def _require_validated(its: _Publication) -> None:
    if "orders" not in its.loads:
        raise StateError(f"{its.batch}: its orders have not been landed yet.")
    for feed in its.source.landed:
        if feed.name in its.loads:
            load_id = its.loads[feed.name]["load_id"]
            if not its.run("orders/is_validated", load_id=load_id).scalar_one():
                raise StateError(f"{its.batch.label(feed)} has not passed validation yet.")


WITH_NEW_CONTENT = "select t.customer_id from stage_touched as t where t.what = 'customers'"
LoadTotals = dict[str, dict[str, int]]  # landed feed -> {landed, accepted, rejected, of these erased; corrected}


def _stage(its: _Publication) -> LoadTotals:
    """Fill the stages, refuse what other rows contradict, and close the totals: every landed row is in them once."""
    its.run("orders/more_memory")
    rates.seed(its.connection, its.settings)
    law.sync_rules(its.connection, its.settings.include)
    for create in CREATE_STAGES:
        its.run(create)
    staged = {name: _stage_feed(its, feed) for name, feed in its.source.feeds.items() if feed.landing in its.loads}
    before = {name: _rejected(its.connection, load) for name, load in its.loads.items()}
    for name, rows in staged.items():
        feed = its.source.feeds[name]
        _balance(its.source, feed, its.loads[feed.landing]["landed"], rows, before[feed.landing])
    _refuse(its, staged)
    totals = {feed.name: _closed(its, feed) for feed in its.source.landed if feed.name in its.loads}
    _refuse_collisions(its.connection, its.source)
    log.debug("%s staged: %s", its.batch, staged)
    return totals


def _closed(its: _Publication, feed: Feed) -> dict[str, int]:
    """The totals of a landed feed, once nothing of it will be refused any more."""
    load, stage = its.loads[feed.name], {"table": f"stage_{feed.name}"}
    _keep_refused(its.connection, feed, its.batch.partition(feed), load)
    accepted, rejected = its.count("orders/count_staged_rows", stage), _rejected(its.connection, load)
    _balance(its.source, feed, load["landed"], accepted, rejected)
    its.run("orders/forget_corrections", load_id=load["load_id"])
    return {
        "landed": load["landed"],
        "accepted": accepted,
        "rejected": rejected,
        "erased": erased.rows_of(its.connection, load["load_id"]),
        "corrected": its.count("orders/keep_corrected", stage, load_id=load["load_id"]),
    }


def _stage_feed(its: _Publication, feed: Feed) -> int:
    """Cast the accepted rows of one feed by its mapping; the landed rows they were."""
    zone, load = its.settings.shop_time_zone, its.loads[feed.landing]
    its.run("orders/forget_refused", load_id=load["load_id"], rules=list(PUBLISHING_RULES))
    its.run("orders/clear_stage_files")
    newest = days.newest_published(its.connection)
    files = [_file(file, its.batch.day, its.at, newest, zone) for file in load["files"]]
    its.run("orders/add_stage_files", files=json.dumps(files))
    name = f"orders/mappings/{feed.mapping}"
    mapping = Fragment(database.sql(its.settings.include, name, {"landed": _accepted_rows(its, feed)}))
    values = {
        "namespace": its.source.namespace,
        "source": its.source.name,
        "shop_zone": str(zone),
        "zone": str(its.source.zone or zone),
        "day": its.batch.day,
        "reporting": its.settings.reporting_currency,
        "orders_since": datetime.combine(its.settings.orders_since, time.min, tzinfo=zone),
    }
    try:
        given = list(its.run("orders/mapping_columns", {"mapping": mapping}, **values).keys())
        names = _columns(feed, given, f"{name}.sql")
        its.run(STAGE[feed.name], {**names, "mapping": mapping}, **values)
    except DBAPIError as problem:
        raise _refusal(problem, f"sql/{name}.sql", feed) from None  # it quotes the row
    except StatementError as problem:
        raise InputError(f"sql/{name}.sql: {problem.orig}; write \\: for a colon that asks for no value.") from problem
    its.run("orders/analyze_stage", {"table": f"stage_{feed.name}"})
    return its.count("orders/count_staged_rows", {"table": f"stage_{feed.name}"})


def _accepted_rows(its: _Publication, feed: Feed) -> Fragment:
    """The landed rows of `feed` that no rule rejected, as SQL: the partition itself where it is all of them."""
    part, load = its.batch.partition(feed), its.loads[feed.landing]
    if not _rejected(its.connection, load):
        return Fragment(database.qualified(part))
    names = {"part": part, "load_id": Fragment(load["load_id"])}
    return Fragment(database.sql(its.settings.include, "orders/accepted_rows", names))


def _file(file: dict[str, Any], day: date | None, at: datetime, published: date | None, zone: Any) -> dict[str, Any]:
    """A file with the instants between which its rows happened, and the one they are known from if its day is known.

    Nobody knew what comes after a later day was `published` before the end of that day.
    """
    of_day = day or (date.fromisoformat(file["day"]) if file["day"] else None)
    landed_at = days.known_at(of_day, zone) if of_day else at
    newest = days.known_at(of_day + AHEAD, zone) if of_day else at + AHEAD
    return {
        "file_no": file["number"],
        "name": file["name"],
        "day": of_day.isoformat() if of_day else None,
        "starts_at": days.starts_at(of_day, zone).isoformat() if of_day else None,
        "known_at": landed_at.isoformat() if of_day else None,
        "not_before": days.known_at(published, zone).isoformat() if published else None,
        "landed_at": landed_at.isoformat(),
        "newest_at": (newest - timedelta(microseconds=1)).isoformat(),
    }


def _columns(feed: Feed, given: list[str], file: str) -> dict[str, str]:
    """SQL for the columns that a mapping may leave out. Raises InputError when it gives other ones than it may."""
    kind = KINDS[feed.name]
    known = ("file_no", "row_no", "row_count", *kind.required, *kind.optional)
    missing = [column for column in ("file_no", "row_no", *kind.required) if column not in given]
    unknown = [column for column in given if column not in known]
    if missing or unknown:
        what = f"gives no {missing[0]}" if missing else f"gives {unknown[0]!r}, which a {feed.name} mapping may not"
        raise InputError(f"{file} {what}; it may give: {', '.join(known)}.")
    return {
        "row_count": Fragment("p.row_count" if "row_count" in given else "1"),
        **{column: Fragment(f"p.{column}" if column in given else "null") for column in kind.optional},
    }


def _refusal(problem: DBAPIError, file: str, feed: Feed) -> Exception:
    """What PostgreSQL said to a mapping."""
    if str(getattr(problem.orig, "sqlstate", "") or "").startswith("42"):
        return InputError(f"{file}: {_message(problem)}.")
    return _unfit(problem, file, [feed.suite])


def _unfit(problem: DBAPIError, where: str, suites: list[str]) -> DataError:
    """A row that PostgreSQL refuses although no rule does."""
    files = ", ".join(f"expectations/{suite}.yaml" for suite in suites)
    return DataError(
        f"{where}: {_message(problem)}. A row that passes every rule of {files} cannot be published: "
        "add a rule that rejects it. Nothing was published."
    )


def _message(problem: DBAPIError) -> str:
    """What PostgreSQL said, without the value: it may be somebody's address."""
    diagnosis = getattr(problem.orig, "diag", None)
    return (getattr(diagnosis, "message_primary", None) or type(problem.orig).__name__).partition(': "')[0]


def _refuse(its: _Publication, staged: Collection[str]) -> None:
    """Quarantine rows that cannot be, and those that others contradict: another customer's order, lines of no order."""
    lines = its.source.feeds.get("order_lines")
    is_shared = lines is not None and lines.shares == "orders"
    its.run("orders/take_known_order", reporting=its.settings.reporting_currency)
    for name in staged:
        if name == "order_lines" and is_shared:
            continue  # its rows are those of the orders
        names = {"table": f"stage_{name}"}
        refused = its.count("orders/refuse_broken", names, feed=name)
        if name == "orders" and is_shared:
            refused += its.count("orders/refuse_orders_of_broken_lines")
            if refused:
                its.run("orders/refuse_shared")
                its.run("orders/drop_refused", {"table": "stage_order_lines"}, feed="orders")
        if refused:
            its.run("orders/drop_refused", names, feed=name)
    its.run("orders/find_repeated_orders")
    its.run("orders/refuse_changed_within", source=its.source.name)
    if _has_orders(its):
        its.run("orders/refuse_changed_since")
    if is_shared:
        its.run("orders/refuse_shared")
        its.run("orders/drop_refused", {"table": "stage_order_lines"}, feed="orders")
    its.run("orders/drop_refused", {"table": "stage_orders"}, feed="orders")
    if lines is not None and not is_shared:
        its.run("orders/refuse_unknown_orders", source=its.source.name, feed="order_lines")
        its.run("orders/drop_refused", {"table": "stage_order_lines"}, feed="order_lines")


def _keep_refused(connection: Connection, feed: Feed, part: Table, load: dict[str, Any]) -> None:
    """Write the refused rows of a feed to landing.rejections."""
    names = {
        "part": part,
        "load_id": Fragment(load["load_id"]),
        "feed": Fragment(f"'{feed.name}'"),
        **validation.shown(landing.file_columns(load, feed), "l"),
    }
    database.execute(connection, "orders/keep_refused", names)


def _has_orders(its: _Publication) -> bool:
    return bool(its.run("orders/has_orders", source=its.source.name).scalar_one())


def _rejected(connection: Connection, load: dict[str, Any]) -> int:
    return database.count(connection, "orders/count_rejected", load_id=load["load_id"])


def _balance(source: Source, feed: Feed, landed: int, accepted: int, rejected: int) -> None:
    if landed != accepted + rejected:
        raise StateError(
            f"{source.name} {feed.name}: {landed} rows were landed, but {accepted} accepted and {rejected} rejected; "
            f"does sql/orders/mappings/{feed.mapping}.sql drop or repeat rows? Nothing was published."
        )


def _refuse_collisions(connection: Connection, source: Source) -> None:
    parts = [
        f"select customer_id, customer_ref, known_at from stage_{name}"
        for name in ("orders", "customers", "consents", "list_members")
    ]
    database.run(connection, "orders/create_stage_seen", {"seen": Fragment(" union all ".join(parts))})
    database.run(connection, "orders/analyze_stage", {"table": "stage_seen"})
    found = database.run(connection, "orders/collisions", namespace=source.namespace).mappings().first()
    if found:
        raise StateError(
            f"{source.name}: customer_id {found['customer_id']} would stand for two customers: their hashes "
            "collide. Nothing was published; rename one of the two in the shop."
        )


def _tell(batch: Batch, totals: LoadTotals, rules: dict[str, str]) -> None:
    for name, total in totals.items():
        log.info(
            "%s: %d rows landed, %d accepted, %d rejected%s",
            batch.label(batch.source.feeds[name]),
            total["landed"],
            total["accepted"],
            total["rejected"],
            rules[name] and f", {rules[name]}",
        )


def _check_shares(its: _Publication, totals: LoadTotals, rules: dict[str, str]) -> None:
    """The share of rejected rows once more, now with those refused here; and whether a day is left with any order."""
    batch, orders = its.batch, its.source.feeds["orders"]
    total = totals[orders.landing]
    if batch.day and not orders.may_be_empty and not total["accepted"] and total["landed"] > total["erased"]:
        raise ExpectationFailed(
            f"{batch.label(orders)}: not_empty: all {total['landed']} rows are rejected, {rules[orders.landing]}. "
            "The day would have no order, and everybody would look lapsed. Nothing was published; the rejected rows "
            "stand in landing.rejections."
        )
    for feed in its.source.landed:
        if feed.name in totals:
            suite = validation.read(its.settings.include, feed.suite, feed)
            limit = suite.limit(totals[feed.name]["landed"], daily=batch.day is not None)
            total = totals[feed.name]
            if limit is not None and total["rejected"] - total["erased"] > limit * total["landed"]:
                raise ExpectationFailed(
                    f"{batch.label(feed)}: rejected_share: {total['rejected']} of "
                    f"{total['landed']} rows are rejected, at most {100 * limit:.3g} % may be; {rules[feed.name]}. "
                    "Nothing was published; the rejected rows stand in landing.rejections."
                )


def _write(its: _Publication, totals: LoadTotals, again: str | None) -> SyncCounts:
    """Merge the stages, and record the day with what it learnt."""
    connection, source = its.connection, its.source
    changes.begin_publishing(connection)
    its.run("orders/more_memory")
    had_orders = _has_orders(its)
    _merge(connection, "customers")
    suppressed = erasures.suppress(connection, its.settings)
    its.run("orders/add_minimal_customers", namespace=source.namespace)
    its.run("orders/earlier_minimal_customers")
    repeated = its.count("orders/count_stage", {"table": "stage_repeated"}) > 0
    orders = _merge(connection, "orders", compare=had_orders, repeated=repeated)
    distinct = its.count("orders/count_staged_orders")
    if distinct != sum(orders.values()):
        raise StateError(
            f"{source.name}: {distinct} orders were accepted, but {orders} came of them. Nothing was published."
        )
    _replace_lines(connection, source, had_orders)
    for name in ("consents", "list_members", "products"):
        _merge(connection, name)
    last = its.batch.day or _last_day(connection, its.settings, its.loads[source.feeds["orders"].landing])
    touched = _refresh_statistics(connection)
    for name, total in totals.items():
        its.run(
            "orders/finish_publish",
            load_id=its.loads[name]["load_id"],
            accepted=total["accepted"],
            rejected=total["rejected"],
        )
    rows = {
        key: sum(total[key] for total in totals.values()) for key in ("landed", "accepted", "rejected", "corrected")
    }
    verdicts = {f"orders_{verdict}": number for verdict, number in orders.items()}
    counts = SyncCounts(**rows, **verdicts, customers_touched=touched, again=again)
    suppressed += [row.customer_id for row in suppressions.share(connection, WITH_NEW_CONTENT)]
    _record(its, counts, last, suppressed)
    return counts


def _record(its: _Publication, counts: SyncCounts, last: date | None, suppressed: Collection[int]) -> None:
    """Record what changed, and `last`, the newest day that was published, unless a later one was before."""
    learnt_on = last or its.at.astimezone(its.settings.shop_time_zone).date()
    changes.begin_recording(its.connection)
    its.run("orders/record_changes", day=learnt_on)
    changes.record(its.connection, suppressed, learnt_on, "suppressions")
    part = days.Part("orders", its.source.name)
    newest = part.newest_done(its.connection)
    if last is not None and (its.batch.day or newest is None or newest <= last):
        part.record(
            its.connection,
            last,
            "done",
            counts.counts(),
            definition=sources.definition(its.settings.include, its.source),
            watermark=database.one(its.connection, "core/newest_change")["change_no"],
        )


def _last_day(connection: Connection, settings: Settings, load: dict[str, Any]) -> date | None:
    """The last day of which a history holds an order: of its file's path, or of the order's own last change."""
    told = {file["number"]: file["day"] for file in load["files"]}
    found = database.run(connection, "orders/last_days", shop_zone=str(settings.shop_time_zone))
    return max((date.fromisoformat(told[row.file_no]) if told[row.file_no] else row.day for row in found), default=None)


def _merge(connection: Connection, name: str, *, compare: bool = True, repeated: bool = True) -> dict[str, int]:
    """Merge a stage into its table: {inserted, updated, unchanged} keys.

    `compare` and `repeated` say whether the table and the stage can hold a key more than once between them.
    """
    kind, run = KINDS[name], database.run
    names = _merge_names(name, kind)
    run(connection, "orders/drop_candidates")
    run(connection, "orders/create_candidates", names)
    run(connection, "orders/key_candidates", names)
    if repeated:
        run(connection, "orders/find_repeated_keys", names)
    if compare:
        run(connection, "orders/find_changed_keys", names)
    run(connection, "orders/analyze_stage", {"table": "merge_candidates"})
    same = database.count(connection, "orders/count_same", names) if compare else 0
    counts = {"inserted": database.count(connection, "orders/insert_new_keys", names), "updated": 0, "unchanged": same}
    if database.count(connection, "orders/count_stage", {"table": "merge_candidates"}):
        for verdict, number in _merge_versions(connection, names).items():
            counts[verdict] += number
    return counts


def _merge_versions(connection: Connection, names: dict[str, str]) -> dict[str, int]:
    """The keys that need a look at all their versions."""
    run = database.run
    run(connection, "orders/create_versions", names)
    run(connection, "orders/add_versions", names)
    run(connection, "orders/analyze_stage", {"table": "merge_versions"})
    run(connection, "orders/create_chain", names)
    run(connection, "orders/create_changes", names)
    run(connection, "orders/key_changes", names)
    for table in ("merge_chain", "merge_changes"):
        run(connection, "orders/analyze_stage", {"table": table})
    run(connection, "orders/forget_history", names)
    run(connection, "orders/write_history", names)
    run(connection, "orders/write_present", names)
    run(connection, "orders/renew_unchanged", names)
    rows = run(connection, "orders/count_changes").mappings()
    return {row["verdict"]: row["keys"] for row in rows}


def _merge_names(name: str, kind: Kind) -> dict[str, str]:
    def listed(columns: tuple[str, ...], alias: str = "") -> Fragment:
        return Fragment(", ".join(f"{alias}{column}" for column in columns))

    def joined(left: str, right: str) -> Fragment:
        return Fragment(" and ".join(f"{left}.{key} = {right}.{key}" for key in kind.keys))

    return {
        "table": Fragment(kind.table),
        "stage": Fragment(f"stage_{name}"),
        "keys": listed(kind.keys),
        "stage_keys": listed(kind.keys, "s."),
        "table_keys": listed(kind.keys, "t."),
        "content": listed(kind.content),
        "stage_content": listed(kind.content, "s."),
        "table_content": listed(kind.content, "t."),
        "precedence": Fragment(
            f"updated_at desc, {kind.wins}own_known_at desc, known_at desc, from_load desc, file_no desc, row_no desc"
        ),
        "join": joined("t", "s"),
        "candidates_join": joined("m", "s"),
        "assignments": Fragment(", ".join(f"{column} = excluded.{column}" for column in kind.content)),
        "what": Fragment(f"'{name}'"),
        "customer": Fragment("customer_id" if kind.is_of_customer else "cast(null as bigint)"),
    }


def _replace_lines(connection: Connection, source: Source, had_orders: bool) -> None:
    """The newest landing of an order brings all its lines; the ones it had before go."""
    if not database.count(connection, "orders/count_stage", {"table": "stage_order_lines"}):
        return
    run = database.run
    run(connection, "orders/create_new_lines", source=source.name)
    run(connection, "orders/analyze_stage", {"table": "lines_new"})
    only = Fragment("")
    if had_orders:
        run(connection, "orders/create_changed_lines")
        run(connection, "orders/find_changed_lines")
        run(connection, "orders/find_shortened_orders")
        run(connection, "orders/keep_newer_lines")
        run(connection, "orders/delete_old_lines")
        run(connection, "orders/touch_customers_of_lines")
        run(connection, "orders/analyze_stage", {"table": "lines_changed"})
        only = Fragment("inner join lines_changed as c using (customer_id, source, order_ref)")
    run(connection, "orders/insert_new_lines", {"only_changed": only})


def _refresh_statistics(connection: Connection) -> int:
    """Statistics of the customers whose orders changed; how many were touched by anything."""
    run = database.run
    run(connection, "orders/create_touched_customers")
    run(connection, "orders/analyze_stage", {"table": "stage_touched_customers"})
    counts = database.one(connection, "orders/count_touched")
    if counts["with_orders"]:
        run(connection, "orders/forget_statistics")
        only = "where customer_id in (select customer_id from stage_touched_customers where with_orders)"
        names = {
            "orders": Fragment(f"(select * from shop.orders {only})"),
            "order_lines": Fragment("shop.order_lines"),
        }
        run(connection, "orders/refresh_statistics", names)
    return int(counts["customers"])
