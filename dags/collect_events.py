"""# collect_events: what became of the messages

**Purpose.** Every 5 minutes, apply what providers reported since: messages become `delivered`, `bounced` or `refused`,
messages whose fate was `unknown` are settled by the evidence, and clicks of people count as interest. Opt-outs do not
wait for this: the web service (`retention events serve`) writes them when they come.

**Inputs.** None. It reads `events.received`, which the web service fills, and the coupon codes of published orders.

**What it counts.** `applied` events; messages that are `accepted`, `delivered`, `bounced` or `refused` by them;
`engaged`, customers whose interest changed; `waiting`, events whose message is still being sent; `given_up`, events of
no message of ours, after a week; `redeemed`, coupons that an order carried, and `not_redeemed`, orders whose coupon did
not count (`offers.redemptions` says why).

**When it fails**

- Just leave it: the next run does what this one did not. Each batch is one transaction; applying twice changes nothing.
- *Nothing is ever applied*: no report reaches the web service. Ask its `/health`, then look at the provider's own list
  of failed webhooks: 403 means that the key or the public address (`RETENTION_PUBLIC_URL`) differs from ours.
- *`waiting` grows*: the messages are still being attempted. `deliver_messages` settles them, or declares them unknown.
"""

from datetime import timedelta

from airflow.sdk import DAG, task
from pendulum import datetime

from retention import events
from retention.airflow.dags import DEFAULTS, do

with DAG(
    "collect_events",
    description="Apply what providers reported: states of messages, interest",
    doc_md=__doc__,
    schedule="*/5 * * * *",
    start_date=datetime(2020, 1, 1),
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULTS | {"execution_timeout": timedelta(minutes=30)},
    tags=["retention", "events"],
):

    @task
    def collect():
        return do(events.apply)

    collect()
