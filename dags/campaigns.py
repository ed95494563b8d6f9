"""# campaign_<name>: one campaign's day

**Purpose.** For one day: end the enrolments of customers who bought or left, plan the messages that are due. Customers
enter before that, in `enrol_campaigns`. Nothing is sent here: `deliver_messages` is the only sender.

**Tasks**

| task | what it does |
|---|---|
| `catch_up` | does every earlier day that is not finished, oldest first; enrols the day where that is missing |
| `exit` | ends enrolments by order, unsubscribing or end; takes back what was planned for them |
| `day_0_email` ... | one per step: plans its messages, or records why somebody gets none |
| `finish` | closes the day and reports its counts |
| `whole_day` | of a draft, which enrols nobody, in the place of `exit` to `finish`: they are one task |
| `test_run` | only with `test`: the whole day in one transaction that is taken back |

**Inputs.** The asset `enrolments`; the day is the run's partition key. A one-off run by hand, with a partition key or
this configuration (without a day: the newest day that is published):

    {"day": "2026-11-21", "test": false}

It waits for no other DAG: where `enrol_campaigns` has not done the day, `catch_up` enrols it, in this campaign and
before it in those of its group that come first. A day that cannot be done fails at once and says why. What the day did
is the return value of `finish`; where there was nothing to do, its `nothing_to_do` says why.

With `"test": true` everything is computed on the real data and the counts are shown, and nothing is left behind: nobody
is enrolled, no message, no coupon, no call to a provider. Try a new campaign so first.

**When it fails**

- `catch_up`, *its selection is not refreshed for that day*: see `refresh_selections`; then clear it with its downstream
  tasks.
- *A template or the YAML is wrong*: the message names file and line. Correct it, clear the task. While a YAML cannot
  be read at all, its DAG has the single task `cannot_be_read` with the reason; all other campaigns go on.
- Anything else: clear the task. If you do nothing, the next day's run does this day first. What is late by more than
  its grace is recorded as `too_late` and not sent.

- *This DAG is gone*: the campaign's file is. Its people wait, and nothing is sent to them; the return value `paused` of
  `deliver_messages` says what happens next, as the Retention page does. Put the file back, or write
  `renamed_from: <name>` in the file that takes its place; otherwise the campaign ends with the next published day.

To stop a campaign's messages at once: `retention halt --campaign <name>`. To stop new enrolments only, write
`status: ended` in its file.

**Running it again** is harmless: a part of a day that is done returns what it counted, and nobody is enrolled, planned
or written to twice. The newest published day is computed again when the campaign or its selections have changed, or
facts have come since: entrants come in, exits end the rest, planned messages are decided again. Nobody is withdrawn.
"""

from airflow.sdk import DAG, Asset, Param, PartitionedAssetTimetable, chain, get_parsing_context, task

from retention import pipeline
from retention.airflow.dags import DAY_PARAM, DEFAULTS, announce, do, fail, is_test, run_day
from retention.campaigns import definitions, steps
from retention.core.errors import InputError
from retention.core.settings import from_environment

include = from_environment().include
TEST_PARAM = Param(False, type="boolean", title="Test run", description="Compute everything, leave nothing behind.")


def campaign_dag(name: str, about: str, owner: str) -> DAG:
    """What the DAGs of all campaigns have in common."""
    return DAG(
        f"campaign_{name}",
        description=about,
        doc_md=__doc__.replace("<name>", name),  # Markdown takes the bare word for a tag
        schedule=PartitionedAssetTimetable(assets=Asset("enrolments")),
        catchup=False,
        max_active_runs=1,
        default_args=DEFAULTS | {"owner": owner},
        params={"day": DAY_PARAM, "test": TEST_PARAM},
        tags=["retention", "campaigns"],
    )


def build(name: str) -> DAG:
    """The DAG of the campaign `name`."""
    campaign = definitions.read(include, name)
    done = Asset(f"campaign_{name}", group="retention")

    with campaign_dag(name, campaign.about, campaign.owner) as dag:

        @task.skip_if(is_test)
        @task
        def catch_up():
            return do(pipeline.enrol, [name], run_day())

        @task(task_id="exit")
        def end_enrolments():
            return do(steps.end_enrolments, name, run_day())

        @task
        def plan(step: str):
            return do(steps.plan, name, step, run_day())

        @task(outlets=[done])
        def finish():
            return announce(done, do(steps.finish, name, run_day()), run_day())

        @task.run_if(is_test)
        @task
        def test_run():
            return do(steps.run_day, name, run_day(), test=True)

        @task(outlets=[done])
        def whole_day():
            return announce(done, do(steps.run_day, name, run_day()), run_day())

        if campaign.status == "draft":
            chain(catch_up(), whole_day())
        else:
            plans = [plan.override(task_id=campaign.task_id(step))(step.step) for step in campaign.steps]
            chain(catch_up(), end_enrolments(), *plans, finish())
        test_run()
    return dag


def explain(name: str, problem: InputError) -> DAG:
    """A DAG that says why the campaign cannot run: a mistake in one file must not take the other campaigns away."""
    reason = str(problem)
    with campaign_dag(name, "Cannot be read", DEFAULTS["owner"]) as dag:
        task(task_id="cannot_be_read", retries=0)(fail)(reason)
    return dag


asked = get_parsing_context().dag_id  # in a task's process: only the DAG that the task belongs to
for name in definitions.names(include):
    if asked in (None, f"campaign_{name}"):
        try:
            globals()[f"campaign_{name}"] = build(name)
        except InputError as problem:
            globals()[f"campaign_{name}"] = explain(name, problem)
