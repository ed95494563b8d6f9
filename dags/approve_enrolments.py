"""# approve_enrolments: enrolments that wait for somebody

**Purpose.** An enrolment far above the usual size, or a campaign's first, waits until somebody approves it. This DAG
asks, and enrols and plans when the answer is yes. Nothing else waits: `enrol_campaigns` has ended, other campaigns and
people inside go on.

**Tasks**

| task | what it does |
|---|---|
| `waiting` | what waits: how many, why, who could not enter, samples to made-up people, the cost |
| `each.ask` | one required action per campaign. Waits 24 hours, and holds no slot meanwhile |
| `each.carry_out` | after its answer: enrols those who waited and plans what is due, or notes that nobody enters |

Above the usual: at least 100 customers, and more than three times the median of its entry days in the 28 days before,
where there are at least 14. A campaign by calendar is compared with its occurrences before. On the clock `days` nobody
is asked; `campaigns.approvals` says so (`automatic`).

**Inputs.** The asset `enrolments`. By hand, without any configuration, it asks about whatever waits; so does
`retention approve`. A question that was answered already changes nothing.

**When it fails**

- `carry_out`, *was refused* or *waited for an answer until*: the answer came too late, or the next day has asked
  afresh. Answer that question.
- `carry_out`, *has changed since*: what was approved is not what would be sent. It says what to run.
- A campaign is missing in `waiting`: its file or a template has a mistake, which the log names.

**Running it again** is harmless: an enrolment that was approved enrols nobody a second time.
"""

from datetime import timedelta

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import DAG, Asset, PartitionedAssetTimetable, task, task_group

from retention import approving
from retention.airflow.dags import DEFAULTS, answered, do

with DAG(
    "approve_enrolments",
    description="Ask somebody about enrolments far above the usual size, and about a campaign's first",
    doc_md=__doc__,
    schedule=PartitionedAssetTimetable(assets=Asset("enrolments")),
    catchup=False,
    max_active_runs=16,  # one that waits for its answer holds up no other
    default_args=DEFAULTS,
    tags=["retention", "campaigns"],
):

    @task
    def waiting():
        return do(approving.waiting)["waiting"]

    @task(map_index_template="{{ task.op_kwargs['question']['subject'] }}")
    def carry_out(question: dict, answer: dict):
        return do(approving.settle, *answered((question, answer)))

    @task_group
    def each(question: dict, subject: str, body: str):
        ask = HITLOperator(
            task_id="ask",
            subject=subject,
            body=body,
            options=[approving.ENROL, approving.DO_NOT],
            defaults=approving.DO_NOT,
            response_timeout=timedelta(hours=24),
            map_index_template="{{ task.subject }}",
        )
        carry_out(question=question, answer=ask.output)

    each.expand_kwargs(waiting().map(lambda one: {"question": one, "subject": one["subject"], "body": one["body"]}))
