"""# export_audiences: who sees ads, as files for the platforms

**Purpose.** Every hour, write the people who came into an audience and those who left since the last export, for Meta
and for Google: a folder each time, below `RETENTION_AUDIENCES` (by default `audiences` in the local folder). Customers
who bought, unsubscribed or were erased, or whose last day is over, come out the same day. It does not wait for
`deliver_messages`, and pausing that one stops no removal. What is in a folder: docs/exports.md.

**Inputs.** None. With RETENTION_CLOCK=days, exports belong to the sends that are played; this DAG then only completes
folders that a crash left without their manifest.

**What it counts.** `exports` written, people `added` and `removed`.

**When it fails**

- Just leave it: what an export holds is fixed in the database first; the next run writes the files that are missing.
- *The place of the files does not answer*: correct `RETENTION_AUDIENCES` or its permissions, clear the task.
- *Another export stands there*: this database is an older copy of the one that wrote it; see docs/runbook.md, restore.

A halt (`retention halt`, also `--channel audience`) keeps people from being put in. It never keeps anybody in.
"""

from datetime import timedelta

from airflow.sdk import DAG, task
from pendulum import datetime

from retention.airflow.dags import DEFAULTS, do
from retention.delivery.exports import audiences

with DAG(
    "export_audiences",
    description="Write who came into an audience and who left",
    doc_md=__doc__,
    schedule="5 * * * *",
    start_date=datetime(2020, 1, 1),
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULTS | {"execution_timeout": timedelta(minutes=30)},
    tags=["retention", "delivery"],
):

    @task
    def export():
        return do(audiences.export)

    export()
