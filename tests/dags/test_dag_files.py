"""What every DAG must have, and what a DAG file must not do."""

from __future__ import annotations

import ast
import itertools
import re
import shutil
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from retention.campaigns import definitions as campaigns
from retention.core.errors import Fault, InputError
from retention.core.settings import Settings, from_environment
from retention.core.shop import Shop
from retention.selections import definitions as selections

PROJECT = Path(__file__).resolve().parents[2]
INCLUDE = PROJECT / "include"
FILES = sorted((PROJECT / "dags").glob("*.py"))

pytestmark = pytest.mark.airflow


def upstream(dag: Any, task: str) -> set[str]:
    return set(dag.get_task(task).upstream_task_ids)


def test_there_is_a_dag_for_each_stage_and_each_campaign(dags: dict[str, Any]) -> None:
    assert set(dags) == {
        "sync_orders",
        "refresh_selections",
        "enrol_campaigns",
        "approve_enrolments",
        "deliver_messages",
        "collect_events",
        "export_audiences",
        "export_cards",
        "prove_promises",
        "settle_unknown",
        "send_campaign",
    } | {f"campaign_{name}" for name in campaigns.names(INCLUDE)}


def test_every_dag_has_a_manual_tags_and_one_active_run(dags: dict[str, Any]) -> None:
    for name, dag in dags.items():
        for heading in ("**Purpose.**", "**Inputs.**", "**When it fails**"):
            assert heading in dag.doc_md, f"{name}: the docstring of its file lacks {heading}"
        assert "retention" in dag.tags, f"{name}: give it the tag retention and its room's"
        assert dag.max_active_runs == 1 or name in ("send_campaign", "approve_enrolments"), (
            f"{name}: days go one after the other; set max_active_runs=1"
        )
        assert dag.description, f"{name}: say in one line what it does"


def test_the_manual_of_a_campaign_names_it(dags: dict[str, Any]) -> None:
    manual = dags["campaign_winback"].doc_md
    assert manual.startswith("# campaign_winback: one campaign's day\n")
    assert "`retention halt --campaign winback`" in manual


def test_no_word_of_a_manual_is_lost_as_a_tag(dags: dict[str, Any]) -> None:
    for name, dag in dags.items():
        assert not re.findall("<[a-z]+>", re.sub("`[^`]*`", "", dag.doc_md)), f"{name}: put it between backticks"


def test_every_task_has_an_owner_a_pool_and_a_time_limit(dags: dict[str, Any]) -> None:
    for name, dag in dags.items():
        for task in dag.tasks:
            assert task.owner != "airflow", f"{name}.{task.task_id}: use the shared default_args"
            assert task.pool == "default_pool", f"{name}.{task.task_id}: a pool nobody made keeps the task waiting"
            assert task.execution_timeout, f"{name}.{task.task_id}: set execution_timeout"
            assert task.retries >= 1, f"{name}.{task.task_id}: set retries"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_dag_file_only_wires(file: Path) -> None:
    tree = ast.parse(file.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            module = getattr(node, "module", None) or node.names[0].name
            assert module.split(".")[0] not in {each.stem for each in FILES}, f"{file.name} imports another DAG file"
        if isinstance(node, ast.FunctionDef) and any("task" in ast.unparse(each) for each in node.decorator_list):
            is_group = any("task_group" in ast.unparse(each) for each in node.decorator_list)
            assert is_group or len(node.body) == 1, f"{file.name}: the task {node.name} does more than one call"


def test_each_selection_waits_for_those_it_refers_to(dags: dict[str, Any]) -> None:
    dag = dags["refresh_selections"]
    for name, definition in selections.read_all(INCLUDE).items():
        assert upstream(dag, name) == set(definition.references)
        assert [asset.name for asset in dag.get_task(name).outlets] == [f"selection_{name}"]


def test_the_event_selections_comes_even_when_a_selection_failed_but_the_run_is_red(dags: dict[str, Any]) -> None:
    dag = dags["refresh_selections"]
    assert dag.get_task("selections").trigger_rule == "all_done"
    assert dag.get_task("all_refreshed").trigger_rule == "all_success"
    assert upstream(dag, "all_refreshed") == upstream(dag, "selections") == set(selections.read_all(INCLUDE))


def test_a_campaign_has_a_task_per_step_in_order(dags: dict[str, Any]) -> None:
    steps = ["catch_up", "exit", "day_0_email", "day_2_sms", "day_3_audience", "day_7_final_offer", "finish"]
    assert [task.task_id for task in dags["campaign_winback"].topological_sort() if task.task_id != "test_run"] == steps
    for before, after in itertools.pairwise(steps):
        assert upstream(dags["campaign_winback"], after) == {before}


def test_a_draft_does_its_day_in_one_task(dags: dict[str, Any]) -> None:
    drafts = {name for name, each in campaigns.read_all(INCLUDE).items() if each.status == "draft"}
    assert drafts
    for name in drafts:
        assert set(dags[f"campaign_{name}"].task_ids) == {"catch_up", "whole_day", "test_run"}


def test_campaigns_enrol_by_group_before_their_own_dags_begin(dags: dict[str, Any]) -> None:
    dag = dags["enrol_campaigns"]
    assert upstream(dag, "enrol") == {"groups"}
    assert dag.get_task("enrol").is_mapped
    assert [asset.name for asset in dag.get_task("enrolments").outlets] == ["enrolments"]
    assert dag.get_task("enrolments").trigger_rule == "all_done", "a group that fails stops no other"
    assert dag.get_task("all_enrolled").trigger_rule == "all_success"
    assert upstream(dag, "all_enrolled") == upstream(dag, "enrolments") == {"enrol"}
    starts = {
        name: each.timetable.asset_condition.name
        for name, each in dags.items()
        if name == "enrol_campaigns" or name.startswith("campaign_")
    }
    assert starts.pop("enrol_campaigns") == "selections"
    assert set(starts.values()) == {"enrolments"}


def test_a_campaign_that_cannot_be_read_says_why_and_leaves_the_others(
    read_dags: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(INCLUDE, tmp_path / "include", ignore=shutil.ignore_patterns("retention*", "__pycache__"))
    file = tmp_path / "include" / "campaigns" / "winback.yaml"
    file.write_text(file.read_text().replace("control:", "controll:"))
    monkeypatch.setenv("RETENTION_INCLUDE", str(tmp_path / "include"))
    bag = read_dags("campaigns.py")
    assert bag.import_errors == {}
    assert bag.dags["campaign_winback"].task_ids == ["cannot_be_read"]
    assert "winback.yaml" in str(bag.dags["campaign_winback"].tasks[0].op_args)
    assert "finish" in bag.dags["campaign_lapsed_30_days"].task_ids


def test_a_selection_that_cannot_be_read_says_why_and_leaves_the_others(
    read_dags: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(INCLUDE, tmp_path / "include", ignore=shutil.ignore_patterns("retention*", "__pycache__"))
    (tmp_path / "include" / "sql" / "selections" / "loyal.sql").write_text("select 1")
    monkeypatch.setenv("RETENTION_INCLUDE", str(tmp_path / "include"))
    bag = read_dags("refresh_selections.py")
    assert bag.import_errors == {}
    dag = bag.dags["refresh_selections"]
    assert "loyal.sql: begin the file with a comment" in dag.get_task("loyal").doc_md
    assert {"loyal", "winback", "send_base"} <= upstream(dag, "all_refreshed")


def test_a_campaign_file_that_cannot_be_opened_leaves_the_others(
    read_dags: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(INCLUDE, tmp_path / "include", ignore=shutil.ignore_patterns("retention*", "__pycache__"))
    (tmp_path / "include" / "campaigns" / "winback.yaml").unlink()
    (tmp_path / "include" / "campaigns" / "winback.yaml").mkdir()
    monkeypatch.setenv("RETENTION_INCLUDE", str(tmp_path / "include"))
    bag = read_dags("campaigns.py")
    assert bag.import_errors == {}
    assert bag.dags["campaign_winback"].task_ids == ["cannot_be_read"]
    assert "finish" in bag.dags["campaign_lapsed_30_days"].task_ids


def test_in_a_task_only_its_own_campaign_is_built(
    read_dags: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_AIRFLOW_PARSING_CONTEXT_DAG_ID", "campaign_winback")
    assert list(read_dags("campaigns.py").dags) == ["campaign_winback"]


def keys_of_runs(dag: Any, count: int) -> list[str]:
    """The days for which the scheduler would make the first runs."""
    from airflow.serialization.encoders import coerce_to_core_timetable
    from airflow.timetables.base import TimeRestriction

    timetable = coerce_to_core_timetable(dag.timetable)
    restriction = TimeRestriction(earliest=dag.start_date, latest=None, catchup=dag.catchup)
    found: list[str] = []
    info = None
    for _ in range(count):
        info = timetable.next_dagrun_info_v2(last_dagrun_info=info, restriction=restriction)
        found.append(info.partition_key)
    return found


def test_a_start_day_is_the_first_day_synced_and_every_day_after_it_once(
    read_dags: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RETENTION_START_DAY", "2026-10-23")
    dag = read_dags("sync_orders.py").dags["sync_orders"]
    days = [(date(2026, 10, 23) + timedelta(days=number)).isoformat() for number in range(5)]
    assert keys_of_runs(dag, 5) == days  # the clocks change on the 25th


def test_a_backfill_does_each_day_of_its_range_once_in_order(dags: dict[str, Any]) -> None:
    from airflow.serialization.encoders import coerce_to_core_timetable

    timetable = coerce_to_core_timetable(dags["sync_orders"].timetable)
    runs = timetable.iter_partition_dagrun_infos(
        earliest=datetime(2026, 10, 24, tzinfo=UTC), latest=datetime(2026, 10, 26, tzinfo=UTC)
    )
    assert [run.partition_key for run in runs] == ["2026-10-24", "2026-10-25", "2026-10-26"]


def test_files_are_waited_for_until_the_deadline_of_their_day(airflow: None) -> None:
    from retention.airflow.dags import files_deadline

    settings: Settings = from_environment({})
    assert files_deadline(settings, date(2026, 7, 1)) == datetime(2026, 7, 2, 4, tzinfo=UTC)
    settings = from_environment({"RETENTION_FILES_DEADLINE": "0.5"})
    assert files_deadline(settings, date(2026, 7, 1)) == datetime(2026, 7, 1, 22, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        *(("RETENTION_START_DAY", day) for day in ("tomorrow", "0001-01-01", "9999-12-31", " ")),
        *(("RETENTION_FILES_DEADLINE", hours) for hours in ("soon", "NaN", "inf", "1e400", "-1", "99999999", " ")),
        *(("RETENTION_FILES_EVERY", seconds) for seconds in ("often", "NaN", "0", "-5", "1e9", "99999999", " ")),
        *(("RETENTION_POOL", pool) for pool in (" ", "a\nb", "x" * 300)),
    ],
)
def test_a_setting_of_the_schedule_that_cannot_be_used_is_refused_by_its_name(
    monkeypatch: pytest.MonkeyPatch, airflow: None, variable: str, value: str
) -> None:
    from retention.airflow import dags as wiring

    settings = from_environment({})
    readers: dict[str, Callable[[], Any]] = {
        "RETENTION_START_DAY": lambda: wiring.first_run(settings),
        "RETENTION_FILES_DEADLINE": lambda: wiring.files_deadline(from_environment(), date(2026, 7, 1)),
        "RETENTION_FILES_EVERY": wiring.waiting,
        "RETENTION_POOL": wiring.pool,
    }
    readers[variable]()
    monkeypatch.setenv(variable, value)
    with pytest.raises(InputError, match=f"^{variable} is "):
        readers[variable]()


def test_what_nobody_foresaw_fails_a_task_without_the_values_that_its_message_quotes(
    monkeypatch: pytest.MonkeyPatch, airflow: None, settings: Settings
) -> None:
    from retention.airflow.dags import do

    monkeypatch.setenv("RETENTION_DATABASE_URL", str(settings.database_url))
    monkeypatch.setenv("RETENTION_LOCAL", str(settings.local))

    def task(shop: Shop) -> None:
        with shop.engine.connect() as connection:
            connection.execute(text("select 'anna@mail.example'::int"))

    with pytest.raises(Fault, match="report it") as told:
        do(task)
    (log,) = (settings.local / "logs").iterdir()
    assert str(log) in str(told.value)
    assert told.value.__suppress_context__
    assert "22P02" in log.read_text()
    assert "anna" not in str(told.value)


def test_counts_read_as_one_line(airflow: None) -> None:
    from retention.airflow.dags import in_words

    assert in_words({"enrolled": 12, "planned": {"day_0_email": 11}}) == "enrolled 12, planned (day_0_email 11)"
    assert in_words({}) == "nothing"
