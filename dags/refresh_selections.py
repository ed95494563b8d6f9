"""# refresh_selections: who is where

**Purpose.** Recompute every selection for the day that `sync_orders` has just published: one task per SQL file in
`include/sql/selections`, in the order in which they refer to each other. Only the difference is written: who entered,
who left.

**Inputs.** The asset `orders`; the day is the run's partition key. By hand, with a partition key or this configuration
(without it: the newest day that is published):

    {"day": "2026-11-21"}

**What it leaves.** An asset event `selection_<name>` per selection with its size, how many entered and left; and in the
end one event `selections` for the day, which starts the campaigns.

**When it fails**

- *One selection's task*: the message names the SQL file. Those that do not refer to it are refreshed all the same, and
  the event `selections` comes too, so campaigns that do not use it go on. The run itself ends red (`all_refreshed`).
  Correct the SQL, then clear the task with its downstream tasks; or leave it: the next day's run does this day first.
- *Every task*: the database. See the Retention page and the log of `sync_orders`.

**Running it again** is harmless: a day that is done returns what it counted. The newest published day is computed again
when its SQL has changed or facts have come since; the difference is written, and `again` in the counts says why. Days
go in order, and only published ones; a day older than the newest one done is looked at, not written, since a membership
has one history.
"""

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, Asset, PartitionedAssetTimetable, task

from retention.airflow.dags import DAY_PARAM, DEFAULTS, announce, do, run_day
from retention.core.settings import from_environment
from retention.selections import definitions, refresh

everything = Asset("selections", group="retention")

with DAG(
    "refresh_selections",
    description="Refresh every selection for the day just published",
    doc_md=__doc__,
    schedule=PartitionedAssetTimetable(assets=Asset("orders")),
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULTS,
    params={"day": DAY_PARAM},
    tags=["retention", "selections"],
):

    def refresh_task(name: str, about: str):
        """The task of one selection, described by its file's first comment, or by why that cannot be read."""
        asset = Asset(f"selection_{name}", group="retention")

        @task(task_id=name, doc_md=about, outlets=[asset])
        def refresh_one():
            return announce(asset, do(refresh.refresh, name, run_day()), run_day())

        return refresh_one()

    @task(outlets=[everything], trigger_rule="all_done")
    def selections(counts: dict):
        return announce(everything, {name: each or "failed" for name, each in counts.items()}, run_day())

    found, broken = definitions.read_each(from_environment().include)
    refreshed = {name: refresh_task(name, str(problem)) for name, problem in broken.items()}  # fails, saying why
    for name, definition in found.items():
        refreshed[name] = refresh_task(name, definition.about)
        [refreshed[other] for other in definition.references] >> refreshed[name]

    selections(refreshed)
    list(refreshed.values()) >> EmptyOperator(task_id="all_refreshed", doc_md="Red when a selection failed.")
