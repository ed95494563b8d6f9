"""# send_campaign: send a campaign once, by hand

**Purpose.** Once to everybody now in a campaign's selection, inside bounds on both sides: an announcement, or the start
of a campaign that then goes on by itself. Nobody gets it twice: who has entered the campaign is left out here, and who
enters here is left out there.

**Tasks**

| task | what it does |
|---|---|
| `prepare` | refreshes the selection, freezes who gets it, renders samples to made-up people |
| `ask` | a required action: how many, who is left out and why, the samples, the cost. Waits 24 hours |
| `carry_out` | sends it, or notes that it was rejected, or that nobody answered |
| `try_out` | only with `test`: everything on the real data, and nothing of it stays |

`entered_on` of everybody is the newest published day, also where it is approved tomorrow. `deliver_messages` sends what
is planned, and checks each person again. Later steps are planned by the campaign's own DAG.

**Inputs.** The form. A second run with the same form on the same day is the same send, as it was frozen.

**When it fails**

- *no audience bounded on both sides*, and whatever else is wrong in the form: it says what to write. Trigger it anew.
- *Campaign ... has changed since*: what was approved is not what would be sent. Trigger it anew.
- `ask` was not answered in time: nothing is sent. Trigger it anew.

**Running it again** is harmless: a send that was approved enrols nobody a second time.
"""

from datetime import timedelta

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import DAG, Param, get_current_context, task

from retention import by_hand
from retention.airflow.dags import DEFAULTS, answered, do, is_test
from retention.campaigns import definitions, sends
from retention.core.settings import from_environment

names = definitions.names(from_environment().include)
OPTIONAL = {"type": ["null", "array"], "items": {"type": "string"}}

with DAG(
    "send_campaign",
    description="Send a campaign once, by hand, to an audience that somebody approves",
    doc_md=__doc__,
    schedule=None,
    catchup=False,
    max_active_runs=16,  # one that waits for its answer holds up no other
    default_args=DEFAULTS,
    tags=["retention", "campaigns"],
    params={
        "campaign": Param(names[0] if names else None, type="string", enum=names, title="Campaign"),
        "bounded_by": Param("last_order", type="string", enum=list(sends.BOUNDS), title="Days are counted from"),
        "at_least_days": Param(365, type="integer", minimum=0, title="At least so many days ago"),
        "at_most_days": Param(730, type="integer", minimum=1, title="At most so many days ago"),
        "countries": Param(None, **OPTIONAL, title="Countries", description="Like NL, one a line. Empty: all."),
        "languages": Param(None, **OPTIONAL, title="Languages", description="Like nl, one a line. Empty: all."),
        "limit": Param(None, type=["null", "integer"], minimum=1, title="At most so many customers"),
        "send_on": Param(None, type=["null", "string"], format="date", title="When a step on day 0 goes out"),
        "test": Param(False, type="boolean", title="Test run", description="Compute everything, leave nothing behind."),
    },
):

    def form() -> dict:
        return {name: value for name, value in get_current_context()["params"].items() if name != "test"}

    @task.skip_if(is_test)
    @task
    def prepare():
        return do(by_hand.ask, form())

    @task
    def carry_out(question: dict, answer: dict):
        return do(by_hand.answer, *answered((question["send_id"], answer)))

    @task.run_if(is_test)
    @task
    def try_out():
        return do(by_hand.rehearse, form())

    question = prepare()
    ask = HITLOperator(
        task_id="ask",
        subject="{{ ti.xcom_pull(task_ids='prepare')['subject'] }}",
        body="{{ ti.xcom_pull(task_ids='prepare')['body'] }}",
        options=[by_hand.SEND, by_hand.DO_NOT],
        defaults=by_hand.DO_NOT,
        response_timeout=timedelta(hours=24),
    )
    question >> ask
    carry_out(question, ask.output)
    try_out()
