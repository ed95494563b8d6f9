"""# enrol_campaigns: who enters which campaign

**Purpose.** For the day whose selections were just refreshed: enrol the customers who may enter each campaign, and draw
their arm. Campaigns of one group do so one after the other, in order of priority (then of name), since nobody is in two
of them: who may enter two enters the first. Nothing is planned or sent here.

**Tasks**

| task | what it does |
|---|---|
| `groups` | which campaigns belong together, in order; one without a group is a group of its own |
| `enrol` | one mapped task per group: does the earlier days that are not finished, then enrols each campaign |
| `enrolments` | the event `enrolments` for the day, which starts the DAG of each campaign |
| `all_enrolled` | red when a group failed |

**Inputs.** The asset `selections`; the day is the run's partition key. By hand, with a partition key or this
configuration (without it: the newest day that is published):

    {"day": "2026-11-21"}

**What it leaves.** Rows of `campaigns.enrolments`, and in `campaigns.decisions` why each other member of the selection
did not enter. The event carries, by campaign, how many `enrolled`, and how many of them in the `control` arm.

**When it fails**

- *`enrol` of one group*: the message names the campaign and what is wrong with it: its file, or its selection. The
  others of the group, and all other groups, have enrolled all the same; the event comes too, so their DAGs go on.
  Correct it, then clear the task, or trigger the DAG of that campaign: it enrols the day itself where that is missing.
  If you do nothing, the next day's run does this day first.
- *Every group*: the database, or the day is not published. See `sync_orders`.

**Running it again** is harmless: a day that is done returns what it counted. The newest published day is computed again
when a campaign or its selections have changed, or facts have come since: entrants come in, nobody is withdrawn.
"""

from itertools import chain

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, Asset, PartitionedAssetTimetable, task

from retention import pipeline
from retention.airflow.dags import DAY_PARAM, DEFAULTS, announce, do, run_day
from retention.campaigns import definitions
from retention.core.settings import from_environment

everybody = Asset("enrolments", group="retention")

with DAG(
    "enrol_campaigns",
    description="Enrol who enters a campaign, group by group in order of priority",
    doc_md=__doc__,
    schedule=PartitionedAssetTimetable(assets=Asset("selections")),
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULTS,
    params={"day": DAY_PARAM},
    tags=["retention", "campaigns"],
):

    @task
    def groups():
        return definitions.groups(from_environment().include)

    @task(map_index_template="{{ task.op_kwargs['campaigns'] | join(', ') }}")
    def enrol(campaigns: list):
        return do(pipeline.enrol, campaigns, run_day())

    @task(outlets=[everybody], trigger_rule="all_done")
    def enrolments(counts: list):
        return announce(everybody, dict(chain.from_iterable(each.items() for each in counts)), run_day())

    enrolled = enrol.expand(campaigns=groups())
    enrolments(enrolled)
    enrolled >> EmptyOperator(task_id="all_enrolled", doc_md="Red when a group failed.")
