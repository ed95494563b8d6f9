"""The plugin as Airflow loads it: in a process of its own, since Airflow reads its configuration at import."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).resolve().parents[2]
PROGRAM = """
import json, sys
from types import SimpleNamespace
from airflow import plugins_manager
plugins, errors = plugins_manager._get_plugins()
(plugin,) = [each for each in plugins if each.name == "retention"]
heavy = [name for name in ("fastapi", "jinja2", "retention.page.app", "retention.core.database") if name in sys.modules]

def link(number, dag):
    key = SimpleNamespace(dag_id=dag, run_id="scheduled__2026-11-21T00:00:00+00:00", task_id="validate")
    return plugin.global_operator_extra_links[number].get_link(None, ti_key=key)

links = {dag: [link(0, dag), link(1, dag)] for dag in ("sync_orders", "campaign_winback", "of_somebody_else")}

from fastapi import FastAPI
from fastapi.testclient import TestClient
airflow = FastAPI()
for each in plugin.fastapi_apps:
    airflow.mount(each["url_prefix"], each["app"])
client = TestClient(airflow)
answers = {path: client.get(path).status_code for path in ("/retention/", "/retention/api/morning")}
print(json.dumps({
    "errors": errors, "heavy": heavy, "links": links, "views": plugin.external_views, "answers": answers,
    "names": [each.name for each in plugin.global_operator_extra_links],
}))
"""


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a process sees that has loaded the plugin."""
    environment = {
        "PATH": os.environ["PATH"],
        "AIRFLOW_HOME": str(tmp_path_factory.mktemp("airflow")),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(PROJECT / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__API__BASE_URL": "http://127.0.0.1:8080/flow",
    }
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


@pytest.mark.airflow
def test_the_plugin_loads_without_importing_anything_heavy(loaded: dict[str, Any]) -> None:
    assert loaded["errors"] == {}
    assert "retention.page.app" not in loaded["heavy"]
    assert "retention.core.database" not in loaded["heavy"]


@pytest.mark.airflow
def test_an_anonymous_request_is_refused_by_airflows_login(loaded: dict[str, Any]) -> None:
    assert loaded["answers"] == {"/retention/": 401, "/retention/api/morning": 401}


@pytest.mark.airflow
def test_links_are_on_our_tasks_only_and_lead_to_the_day_of_the_run(loaded: dict[str, Any]) -> None:
    run = "/flow/plugin/retention/flow/retention/run?dag_id={}&run_id=scheduled__2026-11-21T00%3A00%3A00%2B00%3A00"
    assert loaded["names"] == ["Data quality", "Retention page"]
    assert loaded["links"] == {
        "sync_orders": [run.format("sync_orders"), ""],
        "campaign_winback": ["", run.format("campaign_winback")],
        "of_somebody_else": ["", ""],
    }


@pytest.mark.airflow
def test_the_page_is_in_the_side_bar_and_on_each_run(loaded: dict[str, Any]) -> None:
    assert [(view["destination"], view["href"]) for view in loaded["views"]] == [
        ("nav", "/flow/retention/"),
        ("dag_run", "/flow/retention/run?dag_id={DAG_ID}&run_id={RUN_ID}"),
    ]


HOSTS = """
import json
from airflow import plugins_manager
from fastapi import FastAPI
from fastapi.testclient import TestClient
plugins, errors = plugins_manager._get_plugins()
(plugin,) = [each for each in plugins if each.name == "retention"]
airflow = FastAPI()
airflow.get("/auth/token")(lambda: "a token")
for each in plugin.fastapi_root_middlewares:
    airflow.add_middleware(each["middleware"], *each["args"], **each["kwargs"])
hosts = ("127.0.0.1:8080", "localhost:8080", "evil.example", "127.0.0.1.evil.example", "evil.example:8080", "")
print(json.dumps({host: TestClient(airflow).get("/auth/token", headers={"host": host}).status_code for host in hosts}))
"""


def answers_to(login: str, home: Path) -> dict[str, int]:
    environment = {
        "PATH": os.environ["PATH"],
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(PROJECT / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "RETENTION_AIRFLOW_LOGIN": login,
    }
    done = subprocess.run([sys.executable, "-c", HOSTS], env=environment, capture_output=True, text=True, check=True)
    result: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return result


@pytest.mark.airflow
def test_without_a_login_the_server_answers_to_its_own_names_only(tmp_path: Path) -> None:
    refused = dict.fromkeys(("evil.example", "127.0.0.1.evil.example", "evil.example:8080", ""), 400)
    assert answers_to("no", tmp_path) == {"127.0.0.1:8080": 200, "localhost:8080": 200, **refused}
    assert set(answers_to("yes", tmp_path).values()) == {200}
