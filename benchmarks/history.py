"""Load a history of N orders, then one day of 20,000 orders on top of it; beside PostgreSQL's own COPY.

    .venv/bin/python benchmarks/history.py --orders 1000000

Prints one JSON object: seconds of each stage, the ratio to `COPY` plus primary key of the same file in the same run,
and the peak memory of this process. Files and the throw-away server live in a temporary folder.
"""

from __future__ import annotations

import argparse
import csv
import json
import resource
import shutil
import tempfile
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import psycopg

from retention.campaigns import definitions, steps
from retention.core import database
from retention.core.settings import from_environment
from retention.core.shop import opened
from retention.local import postgres
from retention.orders import sync
from retention.selections import refresh

HEADER = "order_id customer_id created_at status total refunded currency coupon store updated_at".split()
LAST_DAY = date(2026, 6, 30)  # of the history
SPAN = 900  # days that the history covers


def write_orders(path: Path, first_id: int, number: int, customers: int, first: date, span: int, seed: int) -> None:
    """`number` complete orders of `customers` customers, spread evenly over `span` days from `first` on."""
    random = np.random.default_rng(seed)
    midnight = datetime(first.year, first.month, first.day, tzinfo=UTC)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(HEADER)
        for start in range(0, number, 100_000):
            size = min(100_000, number - start)
            customer = random.integers(customers, size=size)
            second = random.integers(span * 86400, size=size)
            total = random.integers(500, 20000, size=size) / 100
            for n in range(size):
                at = (midnight + timedelta(seconds=int(second[n]))).isoformat()
                writer.writerow(
                    (
                        first_id + start + n,
                        f"c{customer[n]}",
                        at,
                        "complete",
                        f"{total[n]:.2f}",
                        "0",
                        "EUR",
                        "",
                        "web",
                        at,
                    )
                )


def write_folder(folder: Path, customers_from: int, customers_to: int, day: date) -> None:
    """The other feeds of the demo shop, for the customers numbered from..to: an address and consent for each."""
    registered = "2023-01-01T00:00:00+00:00"
    with (folder / "customers.jsonl").open("w") as file:
        for n in range(customers_from, customers_to):
            file.write(
                f'{{"customer_id": "c{n}", "email": "c{n}@mail.example", "phone": "", "first_name": "C{n}", '
                f'"last_name": "X", "street": "", "postal_code": "", "city": "", "language": "en", "country": "NL", '
                f'"time_zone": "Europe/Amsterdam", '
                f'"household": "", "registered_at": "{registered}", "updated_at": "{registered}"}}\n'
            )
    (folder / "order_lines.csv").write_text("order_id,line,sku,category,name,quantity,unit_price\n")
    import gzip

    with gzip.open(folder / "consents.csv.gz", "wt", compresslevel=1) as zipped:
        zipped.write("customer_id,purpose,channel,granted,basis,origin,text_version,changed_at\n")
        for n in range(customers_from, customers_to):
            zipped.write(f"c{n},marketing,email,yes,consent,checkout,v1,{registered}\n")
    (folder / "_COMPLETE").touch()


def copy_with_key(url: str, file: Path) -> float:
    """Seconds of PostgreSQL's own COPY of `file` into a typed table, then its primary key: the peer."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "create table peer (order_id bigint, customer_id text, created_at timestamptz, status text, total numeric, "
            "refunded numeric, currency text, coupon text, store text, updated_at timestamptz)"
        )
        begun = time.perf_counter()
        with (
            connection.cursor().copy("copy peer from stdin (format csv, header)") as copy,
            file.open("rb") as data,
        ):
            while block := data.read(1 << 20):
                copy.write(block)
        connection.execute("alter table peer add primary key (customer_id, order_id)")
        seconds = time.perf_counter() - begun
        connection.execute("drop table peer")
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--orders", type=int, default=1_000_000)
    parser.add_argument("--customers", type=int, help="default: a tenth of the orders")
    options = parser.parse_args()
    customers = options.customers or options.orders // 10

    folder = Path(tempfile.mkdtemp(prefix="retention-benchmark-"))
    folder.chmod(0o755)
    seconds: dict[str, float] = {}

    def timed(name: str, function, *arguments, **keywords):  # type: ignore[no-untyped-def]
        begun = time.perf_counter()
        result = function(*arguments, **keywords)
        seconds[name] = round(time.perf_counter() - begun, 2)
        return result

    try:
        url = postgres.ensure_database(postgres.start(folder / "postgres"), "retention")
        settings = from_environment({"RETENTION_DATABASE_URL": url, "RETENTION_LOCAL": str(folder / "local")})
        database.migrate(settings)
        shop = opened(settings)

        history = folder / "history" / LAST_DAY.isoformat()
        history.mkdir(parents=True)
        write_orders(
            history / "orders.csv", 1, options.orders, customers, LAST_DAY - timedelta(days=SPAN - 1), SPAN, seed=1
        )
        write_folder(history, 0, customers, LAST_DAY)
        day = LAST_DAY + timedelta(days=1)
        today = folder / "today" / day.isoformat()
        today.mkdir(parents=True)
        write_orders(today / "orders.csv", options.orders + 1, 20_000, customers, day, 1, seed=2)
        write_folder(today, 0, 100, day)

        peer = copy_with_key(url, history / "orders.csv")
        loaded = timed("load", sync.load, shop, "demo_shop", str(folder / "history"))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        timed("select_first", refresh.select, shop, LAST_DAY)
        synced = timed("day_sync", sync.sync, shop, "demo_shop", day, str(folder / "today"))
        selected = timed("day_select", refresh.select, shop, day)
        name = "winback" if "winback" in definitions.read_all(settings.include) else None
        planned = timed("day_winback", steps.run_day, shop, name, day)
        print(
            json.dumps(
                {
                    "orders": options.orders,
                    "customers": customers,
                    "file_mb": (history / "orders.csv").stat().st_size >> 20,
                    "seconds": seconds,
                    "copy_with_key_seconds": round(peer, 2),
                    "load_to_copy_ratio": round(seconds["load"] / peer, 2),
                    "peak_memory_mb_of_our_process": peak,
                    "loaded": loaded.counts(),
                    "synced": synced.counts(),
                    "winback": planned,
                    "selections": {key: value["seconds"] for key, value in selected.items()},
                }
            )
        )
    finally:
        postgres.remove(folder / "postgres")
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
