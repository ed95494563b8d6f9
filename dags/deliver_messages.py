"""# deliver_messages: the only sender

**Purpose.** Every 15 minutes, hand over what is due: claim the due messages of all campaigns, give them to the provider
(or keep them in the outbox), settle the outcome. One run at a time. What is not due yet, or waits for the customer's
morning, stays for a later run.

**Inputs.** None; by hand, for one campaign only:

    {"campaign": "winback"}

With RETENTION_CLOCK=days the sends of each day are played as soon as every campaign has done that day.

**What it counts.** `accepted` by the provider, `refused` by it, `unknown` (the answer never came), `deferred` to
another try, `skipped` with a reason (bought, unsubscribed, too late ...), `paused`: campaigns of which nothing is sent
since their file is missing or cannot be read, each with what to do. Each message is a row of `delivery.messages`.

**When it fails**

- Just leave it: the next run goes on. A message is claimed before the call is made, so none is sent twice, whatever
  happens to the task: cleared, retried or killed.
- *Messages are `unknown`*: the provider may have sent them. They are never sent again by themselves. Evidence settles
  them; about what stays, `settle_unknown` asks the providers, and after a day a person.
- *Nothing is sent although messages are due*: the newest published day ended more than 24 hours and
  RETENTION_FILES_DEADLINE ago (see `sync_orders`), or sending is halted (`retention resume`).

To stop everything at once: `retention halt`; one channel: `retention halt --channel sms`.
"""

from datetime import timedelta

from airflow.sdk import DAG, Param, get_current_context, task
from pendulum import datetime

from retention import pipeline
from retention.airflow.dags import DEFAULTS, do

CAMPAIGN_PARAM = Param(None, type=["null", "string"], title="Campaign", description="Only this one; all if empty.")

with DAG(
    "deliver_messages",
    description="Send what is due: the only DAG that does",
    doc_md=__doc__,
    schedule="*/15 * * * *",
    start_date=datetime(2020, 1, 1),
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULTS | {"execution_timeout": timedelta(hours=6)},
    params={"campaign": CAMPAIGN_PARAM},
    tags=["retention", "delivery"],
):

    @task
    def deliver():
        return do(pipeline.deliver, campaign=get_current_context()["params"]["campaign"])

    deliver()
