"""# settle_unknown: messages nobody knows of whether they were sent

**Purpose.** Every morning, clear up what is `unknown`: ask the providers, and after 24 hours a person. SendGrid and
Twilio have no key that makes sending twice harmless, so such a message is never sent again by itself.

**Tasks**

| task | what it does |
|---|---|
| `look_up` | asks SendGrid's email activity and Twilio's list of messages; what they show settles a message |
| `resend` | plans messages once more, in campaigns that say `policy: resend`; no other campaign is touched |
| `lost` | what is left after 24 hours, in groups that were lost together: a claim, a step, a reason |
| `ask` | one required action per group: how many, of which campaign, since when. No address |
| `settle` | does what was chosen, and notes who chose it in `delivery.decisions` |

The choices: **sent** (they count as accepted), **send again** (planned once more, if their time is not over; every rule
is checked again; whoever had got it after all gets it twice), **leave unknown**. Without an answer in 23 hours nothing
changes, and the next run asks again. The same by hand: `retention unknown look-up`, `list`, `settle`.

**Inputs.** None.

**When it fails**

- `look_up`: it stops by itself where a provider refuses or does not answer, says why in its log, and the rest goes on.
  Red is only the database; clear the task.
- `ask` waits: *Required Actions* on Airflow's home page has the questions. It holds no slot while it waits.
- *Many at once*: the network, or the provider, failed in the middle of sending. Look at their log before you choose.

**Running it again** is harmless: what is settled is asked about no more.
"""

from datetime import timedelta

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import DAG, task
from pendulum import datetime

from retention.airflow.dags import DEFAULTS, answered, do
from retention.delivery.operations import unknown
from retention.events import lookups

with DAG(
    "settle_unknown",
    description="Ask providers, then people, about messages whose fate is unknown",
    doc_md=__doc__,
    schedule="0 7 * * *",
    start_date=datetime(2020, 1, 1),
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULTS,
    tags=["retention", "delivery"],
):

    @task
    def look_up():
        return do(lookups.look_up)

    @task
    def resend():
        return do(unknown.resend)

    @task
    def lost():
        return do(unknown.lost)["lost"]

    @task(map_index_template="{{ task.op_kwargs['pair'][0]['subject'] }}")
    def settle(pair: tuple):
        return do(unknown.settle_lost, *answered(pair))

    groups = lost()
    ask = HITLOperator.partial(
        task_id="ask",
        options=list(unknown.OPTIONS),
        defaults="leave unknown",
        response_timeout=timedelta(hours=23),
        map_index_template="{{ task.subject }}",
    ).expand_kwargs(groups.map(lambda group: {"subject": group["subject"], "body": group["body"]}))
    look_up() >> resend() >> groups
    settle.expand(pair=groups.zip(ask.output))
