"""# sync_orders: the day's orders come in

**Purpose.** For every daily source: land the files of one day as they are, validate them, publish what is good.
Nothing downstream starts before that. It runs each midnight of the shop's time zone for the day that has just ended.

**Tasks**, per source:

| task | what it does |
|---|---|
| `catch_up` | does every earlier day that this source has not done yet, oldest first |
| `land` | waits until the day's files are complete, then keeps every row as it came |
| `validate` | Great Expectations: bad rows are quarantined by rule; a critical expectation that fails stops the day |
| `publish` | orders, customers, consents, members of lists, products, and the statistics of the customers touched |

`orders` then tells the rest: the asset `orders` gets an event with the day and the counts, and `refresh_selections`
starts for that day.

**Inputs.** Nothing by hand: the day is the run's partition key. To sync one day yourself, trigger the DAG with a
partition key, or with this configuration:

    {"day": "2026-11-21"}

Several days: `airflow backfill create --dag-id sync_orders --from-date 2026-11-10 --to-date 2026-11-12
--max-active-runs 1` does the 10th, the 11th and the 12th, in this order. Always with `--max-active-runs 1` when nothing
older is done yet: the first day that is done is where the shop begins. A day older than the newest one done cannot be
added, since what was known then has passed.

**Its schedule** begins with RETENTION_START_DAY, if set, with a run for each day from there on. Otherwise it begins
with the day of the installation; what was before is loaded with `retention load` or backfilled.

**When it fails**

- `land` or `catch_up`: *a file is missing*. It was waited for until the deadline (RETENTION_FILES_DEADLINE hours after
  the day's end, 6 if not set). Ask the shop for the file. When it is there, clear the task. If you do nothing, the next
  day's run does this day first, as soon as the file is there.
- `land`: *a file cannot be read*. The message names file and line. Have it corrected, clear the task.
- `validate`: *an expectation failed*. The message names the rule and the numbers, the link *Data quality* on the task's
  *Details* tab shows the rows. Nothing of that day was published, so nobody is taken for lapsed because half a file
  came. Have the files corrected and clear `land` with its downstream tasks. If the data is right and the rule is wrong,
  change the suite in `include/expectations` and clear `validate`.
- `publish`: clear it. It is one transaction: all of it or nothing.

**Running it again** is harmless. A day that is done returns its counts. If its files have changed, or it is the newest
day and the source's file, a mapping or a suite has, it is validated and published again: only what differs changes, and
`again` in the counts says why. What comes late counts as known from the end of the newest published day.
"""

from airflow.sdk import DAG, Asset, CronPartitionTimetable, chain, task, task_group

from retention.airflow.dags import DAY_PARAM, DEFAULTS, announce, day_to_sync, do, first_run, waiting, when_ready
from retention.core.settings import from_environment
from retention.orders import sources, sync

settings = from_environment()
daily = [source.name for source in sources.read_all(settings.include).values() if source.daily]
orders_asset = Asset("orders", group="retention")

with DAG(
    "sync_orders",
    description="Land, validate and publish the shop's orders of one day",
    doc_md=__doc__,
    schedule=CronPartitionTimetable(
        "0 0 * * *", timezone=str(settings.shop_time_zone), run_offset=-1, key_format="%Y-%m-%d"
    ),
    **first_run(settings),
    max_active_runs=1,
    default_args=DEFAULTS,
    params={"day": DAY_PARAM},
    tags=["retention", "orders"],
):

    @task_group
    def source(name: str):
        """Everything that one source goes through."""

        @task.sensor(**waiting())
        def catch_up():
            return when_ready(sync.catch_up, name, day_to_sync())

        @task.sensor(**waiting())
        def land():
            return when_ready(sync.land, name, day_to_sync())

        @task
        def validate():
            return do(sync.validate, name, day_to_sync())

        @task
        def publish():
            return do(sync.publish, name, day_to_sync())

        published = publish()
        chain(catch_up(), land(), validate(), published)
        return published

    @task(outlets=[orders_asset])
    def orders(counts: dict):
        return announce(orders_asset, counts, day_to_sync())

    orders({name: source.override(group_id=name)(name) for name in daily})
