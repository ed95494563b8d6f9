"""# export_cards: postal cards for the printer

**Purpose.** Every evening, write the postal cards that are in no file yet: one folder per campaign and step, below
`RETENTION_AUDIENCES`, with a table and with pages to print. Each card is in exactly one folder. What is in it:
docs/exports.md.

**Inputs.** None. With RETENTION_CLOCK=days, exports belong to the sends that are played; this DAG then only completes
folders that a crash left without their manifest.

**What it counts.** `exports` written, cards `added`; `removed` is always 0.

**When it fails**

- Just leave it: what an export holds is fixed in the database first; the next run writes the files that are missing.
- *The place of the files does not answer*: correct `RETENTION_AUDIENCES` or its permissions, clear the task.
- *Another export stands there*: this database is an older copy of the one that wrote it; see docs/runbook.md, restore.

What is halted (`retention halt`, also `--channel postal`) waits for a later export.
"""

from datetime import timedelta

from airflow.sdk import DAG, task
from pendulum import datetime

from retention.airflow.dags import DEFAULTS, do
from retention.delivery.exports import postal

with DAG(
    "export_cards",
    description="Write the postal cards that are in no file yet",
    doc_md=__doc__,
    schedule="45 19 * * *",
    start_date=datetime(2020, 1, 1),
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULTS | {"execution_timeout": timedelta(minutes=30)},
    tags=["retention", "delivery"],
):

    @task
    def export():
        return do(postal.export)

    export()
