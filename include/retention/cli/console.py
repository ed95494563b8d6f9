"""The command line: the same functions that Airflow runs, without a scheduler.

With ``--json`` the last line of stdout is one JSON object; logs go to stderr. A failure is one sentence on stderr, and
leaves stdout empty, or with that object where a result is why it failed.
"""

from __future__ import annotations

import argparse
import json
import logging
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from retention.cli import output
from retention.core import channels, database, days, faults
from retention.core.errors import InputError, StateError
from retention.core.settings import MOST_WORKERS, Settings, from_environment, shown
from retention.core.shop import Shop, opened

DRY_RUN = "compute it afresh, show what would differ, write nothing"
LOG_LINE = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0 done, 1 failed, 2 wrong input, 130 interrupted."""
    settings: Settings | None = None
    named: list[str] = []
    try:
        options = _parser().parse_args(arguments)
        logging.basicConfig(stream=sys.stderr, level=logging.INFO, format=LOG_LINE)
        named = _named(options)
        settings = from_environment()
        try:
            result = options.command(settings, options)
            if result is not None:
                output.say(json.dumps(result, default=str) if options.json else _readable(result))
        finally:
            output.finish()
    except KeyboardInterrupt:
        print("retention: stopped.", file=sys.stderr)
        return 130
    except Exception as problem:
        error = faults.explained(problem, settings, named)
        print(f"retention: {error}", file=sys.stderr)
        return 2 if isinstance(error, InputError) else 1
    return 0


def _named(options: argparse.Namespace) -> list[str]:
    """The paths among the arguments. Raises InputError for an argument that no path and no database can hold."""
    given = {name: value for name, value in vars(options).items() if isinstance(value, str | Path | list)}
    for name, value in given.items():
        for each in value if isinstance(value, list) else [value]:
            if "\0" in str(each) or re.search("[\ud800-\udfff]", str(each)):
                raise InputError(
                    f"{name} {shown(str(each))} cannot be used: it holds a NUL, or bytes that are no UTF-8."
                )
    return [str(value) for name, value in given.items() if isinstance(value, Path) or name == "path"]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="retention", description="Retention campaigns for web shops.")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", help="print one JSON object on the last line")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Any, help: str, to: Any = commands) -> argparse.ArgumentParser:
        added: argparse.ArgumentParser = to.add_parser(name, help=help, description=help, parents=[common])
        added.set_defaults(command=run)
        return added

    up = command("up", _up, "start the embedded PostgreSQL and Airflow on this machine")
    up.add_argument("--demo", action="store_true", help="with the demo shop: load its history, run its last days")
    command("down", _down, "stop what `up` started")
    command("status", _status, "what of it runs")

    db = parser_group(commands, "db", "the database")
    command("init", _db_init, "create the schema or bring it up to date", db)
    restored = command("restored", _db_restored, "after a restore from a backup, before any worker starts", db)
    restored.add_argument(
        "--backup-at", required=True, type=_instant, metavar="TIME", help="when the copy was made, with its offset"
    )

    demo = command("demo", _demo, "write the demo shop's daily files")
    demo.add_argument("--to", required=True, type=Path, metavar="DIR")
    demo.add_argument("--customers", type=_positive, default=2000)
    demo.add_argument("--days", type=_positive, default=420)
    demo.add_argument("--seed", type=int, default=7)
    demo.add_argument("--until", type=_day, help="the last day (default: yesterday in the shop's zone)")

    sync = command("sync", _sync, "land, validate and publish one day of a source")
    sync.add_argument("--source", required=True)
    sync.add_argument("--day", required=True, type=_day)
    sync.add_argument("--path", help="another folder or file than the source's own")
    sync.add_argument("--dry-run", action="store_true", help=DRY_RUN)

    load = command("load", _load, "load a whole history of a source")
    load.add_argument("--source", required=True)
    load.add_argument("--path", required=True, help="a file, a folder or a URL")
    load.add_argument(
        "--until",
        type=_day,
        help="the last day it tells of, where no path says it (default: today); more than a day later is rejected",
    )

    select = command("select", _select, "refresh the selections for a day")
    select.add_argument("--day", required=True, type=_day)
    select.add_argument("names", nargs="*", metavar="NAME", help="only these, and what they refer to")
    select.add_argument("--dry-run", action="store_true", help=DRY_RUN)

    members = command("members", _members, "the customers in a selection: their references, one a line")
    members.add_argument("name")
    members.add_argument("--day", type=_day, help="as it was on that day (default: the newest)")

    campaign = command("campaign", _campaign, "enrol, exit and plan one campaign for a day")
    campaign.add_argument("name")
    which = campaign.add_mutually_exclusive_group(required=True)
    which.add_argument("--day", type=_day)
    which.add_argument("--remove", action="store_true", help="end a campaign whose file is deleted, now")
    campaign.add_argument("--test", action="store_true", help="a full run on real data that leaves no trace")
    campaign.add_argument("--dry-run", action="store_true", help=DRY_RUN)

    send = command("send", _send, "send a campaign once, by hand: shows what would be sent, and asks")
    send.add_argument("name", metavar="CAMPAIGN")
    send.add_argument("--at-least-days", required=True, type=int, metavar="N", help="since the last order, at least")
    send.add_argument("--at-most-days", required=True, type=int, metavar="N", help="and at most")
    send.add_argument(
        "--by",
        default="last_order",
        choices=("last_order", "registration"),
        help="count from this (default: last_order)",
    )
    send.add_argument("--country", action="append", default=[], metavar="NL", help="only these; may be repeated")
    send.add_argument("--language", action="append", default=[], metavar="nl", help="only these; may be repeated")
    send.add_argument("--limit", type=_positive, metavar="N", help="to so many at most, the longest lapsed first")
    send.add_argument("--send-on", type=_day, metavar="DAY", help="when a step on day 0 goes out (default: at once)")
    send.add_argument("--test", action="store_true", help="everything on real data, and nothing of it stays")
    send.add_argument("--yes", action="store_true", help="approve it; without it nothing is sent")

    approve = command("approve", _approve, "enrolments that wait for somebody's approval: shows them, and answers")
    approve.add_argument("name", metavar="CAMPAIGN", nargs="?", help="only of this one")
    approve.add_argument("--day", type=_day, help="only of that day")
    which = approve.add_mutually_exclusive_group()
    which.add_argument("--yes", action="store_true", help="enrol those who wait, and plan what is due")
    which.add_argument("--no", action="store_true", help="enrol none of them; the next day asks afresh")

    deliver = command("deliver", _deliver, "send what is due")
    deliver.add_argument("--campaign")
    deliver.add_argument("--workers", type=_workers, metavar="N", help="processes (default: RETENTION_WORKERS, or 1)")
    deliver.add_argument("--at", type=_instant, metavar="TIME", help="an instant with its offset (default: now)")

    forget = command("forget", _forget, "remove a person everywhere; orders and messages are kept as nobody's")
    forget.add_argument("customer_ref", metavar="CUSTOMER_REF", help="as the shop's files name the customer")
    forget.add_argument("--namespace", help="needed where two shops' customers have the same reference")

    audiences = parser_group(commands, "audiences", "people who are shown ads by a platform")
    export = command(
        "export", _audiences_export, "write files of the people who came in and who left since the last time", audiences
    )
    export.add_argument("--day", type=_day, help="as of the end of that day, which is over (default: now)")

    cards = parser_group(commands, "postal", "cards that are sent by post")
    export = command("export", _postal_export, "write the cards that are in no file yet, for the printer", cards)
    export.add_argument("--day", type=_day, help="as of the end of that day, which is over (default: now)")

    run = command("run", _run, "the whole chain, day by day, on the clock of the days")
    run.add_argument("--from", dest="first", required=True, type=_day)
    run.add_argument("--to", dest="last", required=True, type=_day)
    run.add_argument("--source")
    run.add_argument("--path")
    run.add_argument("--send-for-real", action="store_true", help="allow live delivery on this clock")

    events = parser_group(commands, "events", "what providers and customers tell us")
    serve = command(
        "serve",
        _events_serve,
        "the web service: reports of providers, STOP, unsubscribing, links into the shop",
        events,
    )
    serve.add_argument("--port", required=True, type=_port)
    serve.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: this machine only)")
    coupons = parser_group(commands, "coupons", "codes, for the shop")
    export = command("export", _coupons_export, "write a file of the codes that the shop does not know yet", coupons)
    export.add_argument("--to", type=Path, required=True, metavar="DIR")
    command("apply", _events_apply, "apply what was reported: states of messages, customers who show interest", events)

    for name, function, help in (("halt", _halt, "stop every later claim"), ("resume", _resume, "lift a halt")):
        halt = command(name, function, help)
        which = halt.add_mutually_exclusive_group()
        which.add_argument("--campaign", metavar="NAME")
        which.add_argument("--channel", choices=channels.NAMES)

    unknown = parser_group(commands, "unknown", "messages nobody knows of whether they were sent")
    listed = command("list", _unknown_list, "the messages, oldest first", unknown)
    listed.add_argument("--older-than", type=_hours, default=timedelta(0), metavar="HOURS", help="like 24h")
    look_up = command("look-up", _unknown_look_up, "ask the providers about them", unknown)
    look_up.add_argument("--older-than", type=_hours, default=timedelta(hours=1), metavar="HOURS", help="default: 1h")
    settle = command("settle", _unknown_settle, "decide about one", unknown)
    settle.add_argument("--key", required=True, help="its message key")
    settle.add_argument("--as", dest="decision", required=True, choices=["sent", "again"], help="it was sent; or: send")
    settle.add_argument("--by", required=True, metavar="NAME", help="the person who decides")

    prove = command("prove", _prove, "select whatever breaks a promise about sending; 1 if there is any")
    prove.add_argument("--rows", metavar="NAME", help="show what one check finds instead: keys, no addresses")

    check = command("check", _check, "whether campaigns, offers and costs can be used; 2 if one cannot")
    check.add_argument("names", nargs="*", metavar="NAME", help="only these campaigns and offers")

    sql = command("sql", _sql, "one statement as PostgreSQL gets it, its values written out, to be run in psql")
    sql.add_argument("name", metavar="NAME", help="a selection, or a statement like delivery/claim")
    sql.add_argument("--day", type=_day, help="as on that day (default: the newest published one)")
    sql.add_argument("--explain", action="store_true", help="PostgreSQL's plan instead; nothing is executed")
    return parser


def parser_group(commands: Any, name: str, help: str) -> Any:
    """A command that has commands of its own, like ``retention db init``."""
    return commands.add_parser(name, help=help, description=help).add_subparsers(required=True, metavar="COMMAND")


# --- the commands: each one call into a room ---------------------------------------------------------------------


def _up(settings: Settings, options: argparse.Namespace) -> Any:
    from retention.local import first_run, stack

    return first_run.run(settings) if options.demo else stack.up(settings)


def _down(settings: Settings, options: argparse.Namespace) -> Any:
    from retention.local import stack

    return stack.down(settings)


def _status(settings: Settings, options: argparse.Namespace) -> Any:
    from retention.local import stack

    found = stack.status(settings)
    return found if options.json else _status_in_words(found)


def _status_in_words(found: dict[str, Any]) -> dict[str, Any]:
    said: dict[str, Any] = {"embedded PostgreSQL": "running" if found["postgres"] else "not running"}
    if not any(found["airflow"].values()):
        return {**said, "Airflow": "not running"}
    pids = {name: f"running, process {pid}" if pid else "not running" for name, pid in found["airflow"].items()}
    return {**said, "Airflow": pids, "healthy": "yes" if found["healthy"] else "no", "address": found["url"]}


def _db_init(settings: Settings, options: argparse.Namespace) -> Any:
    return {"applied": database.migrate(_with_database(settings))}


def _db_restored(settings: Settings, options: argparse.Namespace) -> Any:
    from retention.delivery.operations import unknown

    shop = _shop(settings)
    return unknown.restored(shop, options.backup_at)


def _demo(settings: Settings, options: argparse.Namespace) -> Any:
    from retention.demo import generator as demo
    from retention.local.first_run import yesterday

    return demo.generate(
        options.to,
        customers=options.customers,
        days=options.days,
        seed=options.seed,
        until=options.until or yesterday(settings),
        zone=settings.shop_time_zone,
    )


def _sync(settings: Settings, options: argparse.Namespace) -> Any:
    from retention.orders import sync

    shop = _shop(settings)
    with _progress() as progress:
        arguments = (shop, options.source, options.day, options.path, progress)
        return sync.rehearse(*arguments) if options.dry_run else sync.sync(*arguments).counts()


def _load(settings: Settings, options: argparse.Namespace) -> Any:
    from retention.orders import sync

    shop = _shop(settings)
    with _progress() as progress:
        return sync.load(shop, options.source, options.path, progress, until=options.until).counts()


def _select(settings: Settings, options: argparse.Namespace) -> Any:
    from retention.selections import refresh

    shop = _shop(settings)
    do = refresh.rehearse if options.dry_run else refresh.select
    return do(shop, options.day, options.names or None)


def _members(settings: Settings, options: argparse.Namespace) -> Any:
    from retention.selections import refresh

    shop = _shop(settings)
    refs = refresh.members(shop, options.name, options.day)
    if options.json:
        return {"members": list(refs)}
    for ref in refs:
        if not output.say(ref):
            break
    return None


def _campaign(settings: Settings, options: argparse.Namespace) -> Any:
    from retention import pipeline
    from retention.campaigns import folder, steps

    if options.remove and (options.test or options.dry_run):
        raise InputError("--test and --dry-run belong to --day: a removal is not rehearsed.")
    shop = _shop(settings)
    if options.remove:
        return folder.remove(shop, options.name)
    if options.dry_run:
        return steps.rehearse(shop, options.name, options.day)
    if not options.test:
        pipeline.catch_up(shop, options.name, options.day)
    return steps.run_day(shop, options.name, options.day, test=options.test)


def _send(settings: Settings, options: argparse.Namespace) -> Any:
    from retention import by_hand

    shop = _shop(settings)
    form = {
        "campaign": options.name,
        "at_least_days": options.at_least_days,
        "at_most_days": options.at_most_days,
        "bounded_by": options.by,
        "countries": options.country,
        "languages": options.language,
        "limit": options.limit,
        "send_on": options.send_on,
    }
    if options.test:
        return by_hand.rehearse(shop, form)
    question = by_hand.ask(shop, form)
    if not options.yes:
        return question.counts()
    return {**question.counts(), **by_hand.answer(shop, question.send.send_id, by_hand.SEND, "the command line")}


def _approve(settings: Settings, options: argparse.Namespace) -> Any:
    from retention import approving

    if (options.yes or options.no) and options.name is None:
        raise InputError("Name the campaign whose enrolment is answered; without --yes and --no all are shown.")
    shop = _shop(settings)
    found = approving.waiting(shop, options.name, options.day)["waiting"]
    if not (options.yes or options.no):
        return {"waiting": found} if options.json else {each["approval_id"]: each for each in found} or "Nothing waits."
    if not found:
        raise InputError(f"No enrolment of {options.name} waits for approval.")
    choice = approving.ENROL if options.yes else approving.DO_NOT
    return {
        each["approval_id"]: approving.answer(shop, each["approval_id"], choice, "the command line") for each in found
    }


def _deliver(settings: Settings, options: argparse.Namespace) -> Any:
    from retention import pipeline

    shop = _shop(settings)
    if options.workers is not None:
        shop = shop.evolve(workers=options.workers)
    return pipeline.deliver(shop, campaign=options.campaign, at=options.at)


def _forget(settings: Settings, options: argparse.Namespace) -> Any:
    from retention.privacy import forgetting

    shop = _shop(settings)
    return forgetting.forget(shop, options.customer_ref, options.namespace)


def _audiences_export(settings: Settings, options: argparse.Namespace) -> Any:
    from retention.delivery.exports import audiences

    shop = _shop(settings)
    return audiences.export(shop, options.day)


def _postal_export(settings: Settings, options: argparse.Namespace) -> Any:
    from retention.delivery.exports import postal

    shop = _shop(settings)
    return postal.export(shop, options.day)


def _run(settings: Settings, options: argparse.Namespace) -> Any:
    from retention import pipeline

    shop = _shop(settings)
    with _progress(unit="days") as progress:
        done = pipeline.run_days(
            shop,
            options.first,
            options.last,
            source=options.source,
            path=options.path,
            send_for_real=options.send_for_real,
            progress=progress,
        )
    if failed := pipeline.failures(done):
        print(json.dumps(done, default=str) if options.json else _readable(done))
        raise StateError(failed)
    return done


def _events_serve(settings: Settings, options: argparse.Namespace) -> Any:
    from retention.events.http import service, serving

    sockets = serving.listen(options.host, options.port)
    serving.serve(service.create_app(service.opened(_with_database(settings))), sockets, settings.trusted_proxies)


def _events_apply(settings: Settings, options: argparse.Namespace) -> Any:
    from retention.events import applying

    shop = _shop(settings)
    return applying.apply(shop)


def _coupons_export(settings: Settings, options: argparse.Namespace) -> Any:
    from retention.offers import coupons

    shop = _shop(settings)
    return coupons.export(shop.settings, shop.engine, options.to, shop.clock())


def _halt(settings: Settings, options: argparse.Namespace) -> Any:
    from retention.delivery.operations import halting

    shop = _shop(settings)
    return halting.halt(shop, campaign=options.campaign, channel=options.channel)


def _resume(settings: Settings, options: argparse.Namespace) -> Any:
    from retention.ledger import halts

    shop = _shop(settings)
    return halts.resume(shop, campaign=options.campaign, channel=options.channel)


def _unknown_list(settings: Settings, options: argparse.Namespace) -> Any:
    from retention.delivery.operations import unknown

    shop = _shop(settings)
    return _listed("unknown", unknown.unknown(shop, options.older_than), options)


def _unknown_look_up(settings: Settings, options: argparse.Namespace) -> Any:
    from retention.events import lookups

    shop = _shop(settings)
    return lookups.look_up(shop, options.older_than)


def _unknown_settle(settings: Settings, options: argparse.Namespace) -> Any:
    from retention.delivery.operations import unknown

    shop = _shop(settings)
    return unknown.settle(shop, options.key, options.decision, options.by)


def _prove(settings: Settings, options: argparse.Namespace) -> Any:
    from retention.delivery.operations import proof

    shop = _shop(settings)
    if options.rows:
        return _listed("rows", proof.violations(shop, options.rows), options)
    counts = proof.prove(shop)
    if found := proof.broken(counts):
        output.say(json.dumps(counts) if options.json else _readable(counts))
        raise StateError(found)
    return counts


def _check(settings: Settings, options: argparse.Namespace) -> Any:
    from retention import checking

    found = checking.check(_shop(settings), options.names)
    if number := len(found["problems"]):
        output.say(json.dumps(found) if options.json else "\n".join([*found["problems"], *found["remarks"]]))
        raise InputError(f"{number} {'problem' if number == 1 else 'problems'}.")
    return found


def _sql(settings: Settings, options: argparse.Namespace) -> Any:
    from retention import statements

    shop = _shop(settings)
    make = statements.explain if options.explain else statements.show
    said = make(shop, options.name, options.day)
    return {"plan" if options.explain else "sql": said} if options.json else said


# --- arguments, database, output ---------------------------------------------------------------------------------


def _with_database(settings: Settings) -> Settings:
    """The settings with a database: the one configured, else the embedded one, started if it does not run."""
    from retention.local import stack

    return settings if settings.database_url else stack.start_database(settings)


def _shop(settings: Settings) -> Shop:
    return opened(_with_database(settings))


def _day(text: str) -> date:
    try:
        return days.parse(text)
    except InputError as problem:
        raise argparse.ArgumentTypeError(str(problem)) from problem


def _instant(text: str) -> datetime:
    try:
        return days.parse_instant(text)
    except InputError as problem:
        raise argparse.ArgumentTypeError(str(problem)) from problem


def _hours(text: str) -> timedelta:
    if not re.fullmatch("[0-9]{1,6}h?", text):
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is no number of hours, at most 999999; write it like 24h.")
    return timedelta(hours=int(text.removesuffix("h")))


def _positive(text: str) -> int:
    if not re.fullmatch("[0-9]{1,9}", text) or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is not a whole number above 0 of at most nine digits.")
    return int(text)


def _workers(text: str) -> int:
    if not re.fullmatch("[0-9]{1,9}", text) or not 1 <= int(text) <= MOST_WORKERS:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is no number of processes; write 1 to {MOST_WORKERS}.")
    return int(text)


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text[:6]) < 65_536:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is no port; write a number from 1 to 65535.")
    return int(text)


def _listed(name: str, rows: list[dict[str, Any]], options: argparse.Namespace) -> Any:
    """Rows as JSON below `name`, or one a line."""
    if options.json:
        return {name: rows}
    for row in rows:
        output.say("  ".join(str(value) for value in row.values()))
    return None


@contextmanager
def _progress(unit: str = "bytes") -> Iterator[Any]:
    """A function (done, total, label) that draws a progress bar on a terminal; None elsewhere."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    amount = DownloadColumn() if unit == "bytes" else MofNCompleteColumn()
    with Progress(TextColumn("{task.description}"), BarColumn(), amount, TimeElapsedColumn(), console=console) as bars:
        tasks: dict[str, Any] = {}

        def show(done: int, total: int, label: str) -> None:
            name = label if unit == "bytes" else unit
            if name not in tasks:
                tasks[name] = bars.add_task(name, total=total)
            bars.update(tasks[name], completed=done, total=total, description=label)

        yield show


def _readable(result: Any, indent: str = "") -> str:
    """Nested counts as indented lines: what a person reads when ``--json`` is not given."""
    if not isinstance(result, dict):
        return f"{indent}{result}"
    lines = []
    for key, value in result.items():
        if isinstance(value, dict) and value:
            lines += [f"{indent}{key}", _readable(value, indent + "  ")]
        else:
            lines.append(f"{indent}{key}: {'none' if value is None or value == {} else value}")
    return "\n".join(lines)
