"""# prove_promises: what we promised, held against the ledger

**Purpose.** Every night, one question per promise about sending: is there a row that breaks it? No message twice, no
step twice, nobody in the control group, nobody who was known to have ordered or unsubscribed, nothing without a legal
ground, nothing expired or outside the customer's hours, no cap exceeded, nothing forgotten half done. Each question is
a statement of `include/sql/delivery/proof.sql`, with the promise in its first line; it selects the rows that break it.

**Inputs.** None. By hand at any time: trigger it, or `retention prove`.

**What it leaves.** The number of violations per promise, in the log and as the task's result. All are 0, or the run is
red.

**When it fails**

- *Promises are broken*: first `retention halt`, so that it does not go on. Then show the rows of each check that the
  message names, like `retention prove --rows sent_after_order`: keys, no addresses.
  `retention sql delivery/sent_after_order | psql "$RETENTION_DATABASE_URL"` asks the same question, and can be changed
  to ask more. `stuck_attempting` means that no delivery has run for a day: see `deliver_messages`. Anything else should
  be impossible, and is worth a report with the rows' message keys.
- Anything else is the database; clear the task.

**Running it again** is harmless: it only reads.
"""

from airflow.sdk import DAG, task
from pendulum import datetime

from retention.airflow.dags import DEFAULTS, do
from retention.delivery.operations import proof

with DAG(
    "prove_promises",
    description="Select whatever breaks a promise about sending; red if there is any",
    doc_md=__doc__,
    schedule="30 4 * * *",
    start_date=datetime(2020, 1, 1),
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULTS,
    tags=["retention", "delivery"],
):

    @task
    def prove():
        return do(proof.must_hold)

    prove()
