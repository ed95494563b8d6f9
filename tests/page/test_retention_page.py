"""The Retention page, asked over HTTP as Airflow's users ask it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from fastapi import FastAPI, HTTPException
from fastapi.testclient import TestClient
from sqlalchemy import Engine, text

from retention.core import days
from retention.core.settings import Settings
from retention.page import words
from retention.page.app import create_app
from retention.page.masking import masked_text, shown, shown_row
from shop import ShopData

DAY = date(2026, 11, 20)
MORNING = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
HOSTILE = "<script>alert('x')</script>"


def page(
    settings: Settings, user: Callable[..., Any] = lambda: "boss", at: datetime = MORNING, **more: Any
) -> TestClient:
    """A client of the page, mounted where Airflow mounts it."""
    airflow = FastAPI()
    airflow.mount("/retention", create_app(lambda: settings, user, clock=lambda: at, **more))
    return TestClient(airflow, raise_server_exceptions=False)


@pytest.fixture
def record(engine: Engine) -> Callable[..., None]:
    """Write what became of a part of a stage."""

    def write(stage: str, part: str, day: date = DAY, state: str = "done", message: str = "", **counts: Any) -> None:
        with engine.begin() as connection:
            days.Part(stage, part).record(connection, day, state, counts, message)

    return write


@pytest.fixture
def message(engine: Engine) -> Callable[..., None]:
    """Write a message into the ledger."""

    def write(key: str, state: str = "planned", reason: str | None = None, channel: str = "email", **more: Any) -> None:
        is_attempted = state not in ("planned", "skipped")
        row = {
            "customer_id": 1,
            "message_key": key,
            "campaign": "winback",
            "version": "v",
            "entry_no": 1,
            "step": key,
            "channel": channel,
            "day": DAY,
            "state": state,
            "reason": reason,
            "due_at": MORNING - timedelta(hours=1),
            "expires_at": MORNING + timedelta(days=2),
            "window_start": "09:00",
            "window_end": "20:00",
            "attempts": int(is_attempted),
            "claim": "00000000-0000-0000-0000-000000000001" if is_attempted else None,
            "attempted_at": MORNING if is_attempted else None,
            "settled_at": None if state in ("planned", "attempting") else MORNING,
            **more,
        }
        version = "insert into campaigns.versions values ('winback', 'v', '{}', '{}', '', :day) on conflict do nothing"
        values = ", ".join("cast(:claim as uuid)" if name == "claim" else f":{name}" for name in row)
        with engine.begin() as connection:
            connection.execute(text(version), {"day": DAY})
            connection.execute(text(f"insert into delivery.messages ({', '.join(row)}) values ({values})"), row)

    return write


@pytest.fixture
def load(engine: Engine) -> Callable[..., int]:
    """Write a load with its validation and rejected rows; its number."""

    def write(
        results: list[dict[str, Any]],
        rejected: list[tuple[int, str, Any, Any]] = (),
        *,
        source: str = "shop",  # type: ignore[assignment]
        key: str = "2026-11-20",
        day: date | None = DAY,
        success: bool = True,
        document: Any = None,
        files: Any = ({"name": "orders.csv", "bytes": 2048},),
    ) -> int:
        with engine.begin() as connection:
            number = connection.execute(
                text("""insert into landing.loads (source, feed, load_key, day, files, landed, accepted, rejected)
                        values (:source, 'orders', :key, :day, :files, 1234, 1230, 4)
                        returning load_id"""),
                {"source": source, "key": key, "day": day, "files": json.dumps(files)},
            ).scalar_one()
            document = document or {"success": success, "results": results}
            connection.execute(
                text(
                    "insert into landing.validations (load_id, suite, success, results) "
                    "values (:load, 'orders', :success, cast(:results as jsonb))"
                ),
                {"load": number, "success": success, "results": json.dumps(document)},
            )
            for row_no, rule, value, row in rejected:
                connection.execute(
                    text(
                        "insert into landing.rejections (load_id, file, row_no, rule, value, row_text) "
                        "values (:load, 'orders.csv', :row_no, :rule, :value, "
                        "cast(:row as jsonb))"
                    ),
                    {"load": number, "row_no": row_no, "rule": rule, "value": value, "row": json.dumps(row)},
                )
        return int(number)

    return write


def expectation(kind: str, success: bool, result: dict[str, Any] | None = None, **config: Any) -> dict[str, Any]:
    """One entry of Great Expectations' result."""
    return {
        "success": success,
        "expectation_config": {"type": f"expect_{kind}", "kwargs": {}, "severity": "critical", "meta": {}, **config},
        "result": result or {},
        "exception_info": {"raised_exception": False, "exception_message": None, "exception_traceback": None},
    }


# Who may see it


def test_nobody_sees_anything_without_a_user(settings: Settings, shop: ShopData) -> None:
    def nobody() -> None:
        raise HTTPException(401)

    client = page(settings, nobody)
    for path in ("/", "/quality", "/api/morning", "/run?dag_id=sync_orders&run_id=x"):
        answer = client.get(f"/retention{path}", follow_redirects=False)
        assert answer.status_code == 401
        assert "log in" in answer.text.lower()


def test_who_has_no_session_is_led_to_the_login_and_back(settings: Settings) -> None:
    def nobody() -> None:
        raise HTTPException(401)

    html = page(settings, nobody).get("/retention/quality?day=2026-11-20&source=demo_shop").text
    back = "%2Fretention%2Fquality%3Fday%3D2026-11-20%26source%3Ddemo_shop"
    assert f'<a href="/auth/login?next={back}" data-airflow>Log in</a>' in html
    assert "Error" not in html


def test_column_names_of_the_feed_are_shown_and_ours_are_not(settings: Settings, load: Callable[..., int]) -> None:
    expected = ["file_no", "row_no", "Customer ID", "InvoiceDate", "r:row_is_readable", "r:accepted"]
    load(
        [
            expectation(
                "table_columns_to_match_set",
                True,
                kwargs={"column_set": expected, "exact_match": True},
                meta={"rule": "columns_as_expected"},
                result={"observed_value": expected},
            )
        ]
    )
    html = page(settings).get("/retention/quality").text
    assert html.count("Customer ID, InvoiceDate") == 2
    for hidden in ("file_no", "row_no", "r:", "row_is_readable", "accepted</", "a:aaa"):
        assert hidden not in html.partition("<tbody>")[2].partition("</tbody>")[0], hidden


def test_nothing_of_the_documentation_is_served(settings: Settings) -> None:
    for path in ("/docs", "/redoc", "/openapi.json"):
        assert page(settings).get(f"/retention{path}").status_code == 404


def test_the_page_cannot_be_written_to(settings: Settings) -> None:
    assert page(settings).post("/retention/").status_code == 405


# Without data, without a database


def test_an_empty_shop_is_told_what_to_run(settings: Settings) -> None:
    client = page(settings)
    assert "No day has been published yet." in client.get("/retention/").text
    assert "No file has been landed yet." in client.get("/retention/quality").text
    assert client.get("/retention/api/morning").json()["days"] == []


def test_a_database_that_is_down_is_a_sentence_with_503(settings: Settings) -> None:
    client = page(settings.evolve(database_url="postgresql://postgres:open-sesame@127.0.0.1:1/none"))
    for path in ("/", "/quality", "/api/morning"):
        answer = client.get(f"/retention{path}")
        assert answer.status_code == 503
        assert "does not answer" in answer.text
        assert "Traceback" not in answer.text
        assert "open-sesame" not in answer.text


def test_a_database_without_our_tables_is_a_sentence_with_503(settings: Settings, server: str) -> None:
    answer = page(settings.evolve(database_url=f"{server}/postgres")).get("/retention/")
    assert answer.status_code == 503
    assert "retention db init" in answer.text


def test_no_database_configured_is_a_sentence_with_503(settings: Settings) -> None:
    answer = page(settings.evolve(database_url=None)).get("/retention/")
    assert answer.status_code == 503
    assert "RETENTION_DATABASE_URL" in answer.text


@pytest.mark.parametrize("query", ["until=yesterday", "days=0", "days=61", "days=many", f"until={HOSTILE}"])
def test_a_wrong_question_is_answered_with_what_to_write(settings: Settings, query: str) -> None:
    answer = page(settings).get(f"/retention/?{query}")
    assert answer.status_code == 400
    assert "write" in answer.text
    assert "<script>alert" not in answer.text


HOSTILE_VALUES = [
    "%00",
    "a%00b",
    "9" * 5_000,
    "0" * 5_000 + "1",
    "-1",
    "%ff%fe",
    "%F0%9F%98%80",
    "2026-W47-5",
    "2026-11-31",
    "0000-00-00",
    "%D9%A1",
    "1e3",
    "history%20",
    "..%2f..%2fetc%2fpasswd",
    "%27%3B--",
    "%0d%0aSet-Cookie:x",
    "%3Cscript%3Ealert(1)%3C/script%3E",
    "a" * 20_000,
    "%E2%80%AE",
    "%",
]


@pytest.mark.parametrize("value", HOSTILE_VALUES, ids=lambda value: value[:20])
@pytest.mark.parametrize(
    "path", ["/?days=", "/?until=", "/api/morning?days=", "/api/morning?until=", "/quality?day=", "/quality?source="]
)
def test_a_value_that_cannot_be_is_refused_with_one_sentence(settings: Settings, path: str, value: str) -> None:
    if path.endswith("source=") and value.isalnum() and value.islower() and len(value) < 60:
        return
    answer = page(settings).get(f"/retention{path}{value}")
    assert answer.status_code == 400
    assert "write" in answer.text
    assert "alert(1)</script>" not in answer.text or answer.headers["content-type"] == "application/json"
    assert len(answer.text) < 20_000


@pytest.mark.parametrize("value", HOSTILE_VALUES, ids=lambda value: value[:20])
def test_no_address_of_the_page_is_an_error_of_ours(settings: Settings, value: str) -> None:
    def day_of_run(dag: str, run: str) -> None:
        assert "\0" not in dag + run

    client = page(settings, day_of_run=day_of_run)
    for path in (
        f"/run?dag_id={value}&run_id=x",
        f"/run?dag_id=x&run_id={value}",
        f"/run?dag_id={value}",
        "/run",
        f"/{value}",
        f"/quality/{value}",
        f"/api/{value}",
        f"/?{value}={value}",
        f"/quality?{value}",
        f"/quality?day={value}&day={value}",
        f"/?days[]={value}",
    ):
        answer = client.get(f"/retention{path}", follow_redirects=False)
        assert answer.status_code in (200, 303, 400, 404), path[:60]
        assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("path", ["/run", "/run?dag_id=x", "/run?run_id=x"])
def test_an_address_that_lacks_something_says_what(settings: Settings, path: str) -> None:
    answer = page(settings).get(f"/retention{path}", headers={"accept": "text/html"})
    assert answer.status_code == 400
    assert "give it" in answer.text
    assert "<html" in answer.text


@pytest.mark.parametrize("day", [days.FIRST, days.LAST])
def test_the_first_and_the_last_day_of_all_are_days_like_others(
    settings: Settings, record: Callable[..., None], load: Callable[..., int], day: date
) -> None:
    client = page(settings.evolve(clock="days"))
    record("orders", "demo_shop", date(2026, 11, 20))
    for path in (f"/quality?day={day}", f"/?until={day}", f"/api/morning?until={day}"):
        assert client.get(f"/retention{path}").status_code == 200
    load([], key=day.isoformat(), day=day)
    assert client.get(f"/retention/quality?day={day}").status_code == 200
    assert client.get("/retention/quality").status_code == 200


# This morning


def test_a_day_shows_each_stage_with_its_counts(settings: Settings, record: Callable[..., None]) -> None:
    record("orders", "demo_shop", landed=20_311, accepted=20_301, rejected=10, orders_inserted=19_000, orders_updated=7)
    record("selections", "winback", size=4_242, entered=31, left=29, seconds=0.4)
    record(
        "campaigns",
        "winback",
        enrolled=28,
        control=3,
        exited=1,
        planned={"nudge": 25, "final": 5},
        skipped={"no_consent": 2},
    )
    html = page(settings).get("/retention/").text
    for told in (
        "20,311",
        "20,301",
        "19,000",
        "19,007 inserted or updated",
        "4,242",
        "31 entered, 29 left",
        "28 enrolled, 30 planned",
        "nudge 25",
        "no consent 2",
    ):
        assert told in html


def test_what_became_of_the_messages_is_counted_by_step_and_channel(
    settings: Settings, record: Callable[..., None], message: Callable[..., None]
) -> None:
    record("orders", "demo_shop")
    message("a", "accepted")
    message("b", "delivered")
    message("c", "unknown", "timeout")
    message("d", "skipped", "too_late", channel="sms")
    message("e", "refused", "invalid_address")
    delivery = page(settings).get("/retention/api/morning").json()["days"][0]["stages"]["delivery"]
    assert delivery["state"] == "unknown"
    email, sms = delivery["channels"]
    assert (email["sent"], email["unknown"], email["refused"]) == (2, 1, 1)
    assert (sms["skipped"], sms["reasons"]) == (1, {"too_late": 1})
    assert [step["step"] for step in delivery["steps"]] == ["a", "b", "c", "d", "e"]


def test_steps_stand_in_the_order_of_the_campaign_by_their_names_and_reasons_by_their_number(
    settings: Settings, engine: Engine, record: Callable[..., None], message: Callable[..., None]
) -> None:
    versions = {"old": ("nudge", "given_up", "hello"), "new": ("we_miss_you", "nudge", "hello")}
    with engine.begin() as connection:
        for number, (version, steps) in enumerate(versions.items()):
            connection.execute(
                text("insert into campaigns.versions values ('winback', :version, :definition, '{}', '', :day)"),
                {
                    "version": version,
                    "definition": json.dumps({"steps": [{"step": step} for step in steps]}),
                    "day": DAY + timedelta(days=number),
                },
            )
    order = ["we_miss_you", "nudge", "hello", "given_up", "of_nobody"]
    record("orders", "demo_shop")
    record(
        "campaigns",
        "winback",
        planned={step: number for number, step in enumerate(reversed(order))},
        skipped={"no_consent": 2, "no_address": 11, "capped": 3},
    )
    for step in sorted(order):
        message(step, version="new")
    stages = page(settings).get("/retention/api/morning").json()["days"][0]["stages"]
    assert list(stages["campaigns"]["parts"][0]["counts"]["planned"]) == order
    assert [row["step"] for row in stages["delivery"]["steps"]] == order
    html = page(settings).get("/retention/").text
    assert "we_miss_you 4 · nudge 3 · hello 2 · given_up 1 · of_nobody 0" in html
    assert "no address 11 · capped 3 · no consent 2" in html


def test_rows_and_orders_are_told_apart(settings: Settings, record: Callable[..., None]) -> None:
    record("orders", "demo_shop")
    html = page(settings).get("/retention/").text
    for name in ("Rows landed", "Orders inserted"):
        assert f">{name}</th>" in html


def test_the_header_says_in_words_which_clock_it_is_and_what_is_sent(settings: Settings) -> None:
    assert "nothing is sent" in page(settings).get("/retention/").text
    assert "demo clock" not in page(settings).get("/retention/").text
    assert "demo clock: each day is played at once" in page(settings.evolve(clock="days")).get("/retention/").text


def test_a_page_that_is_not_there_is_an_error(settings: Settings) -> None:
    assert "Error 404" in page(settings).get("/retention/nowhere").text


def test_what_waits_is_told_with_the_oldest_and_what_holds_it(
    settings: Settings, engine: Engine, record: Callable[..., None], message: Callable[..., None]
) -> None:
    record("orders", "demo_shop")
    message("a")
    message("b", due_at=MORNING - timedelta(hours=3), channel="sms")
    message("c", due_at=MORNING + timedelta(hours=3))
    message("d", retry_at=MORNING + timedelta(minutes=5))
    message("e", "attempting")
    message("f", "unknown", "timeout", day=DAY - timedelta(days=90))
    with engine.begin() as connection:
        connection.execute(text("insert into delivery.halts (kind, name) values ('channel', 'sms')"))
    waiting = page(settings).get("/retention/api/morning").json()["waiting"]
    assert {(row["channel"], row["state"]): row["messages"] for row in waiting} == {
        ("email", "due"): 1,
        ("email", "later"): 2,
        ("email", "attempting"): 1,
        ("email", "unknown"): 1,
        ("sms", "due"): 1,
    }
    assert [row["held_by"] for row in waiting if row["held_by"]] == [["halt of channel sms"]]
    html = page(settings).get("/retention/").text
    assert "channel sms" in html
    assert "oldest due 3 h ago" in html


def test_a_campaign_without_a_readable_file_is_shown_with_what_to_do(
    settings: Settings, engine: Engine, record: Callable[..., None], message: Callable[..., None]
) -> None:
    record("orders", "demo_shop")
    message("a")
    assert "Campaigns without a readable file" not in page(settings).get("/retention/").text
    with engine.begin() as connection:
        connection.execute(
            text(
                "insert into campaigns.paused values ('winback', 'file_missing', :message, :day),"
                " ('old', 'file_missing', 'over', :day)"
            ),
            {"message": f"Put winback.yaml back {HOSTILE}, says jan@shop.example.", "day": DAY},
        )
        connection.execute(text("update campaigns.paused set removed_on = since_day where campaign = 'old'"))
    told = page(settings).get("/retention/api/morning").json()
    assert [row["campaign"] for row in told["paused"]] == ["winback"]
    assert told["waiting"][0]["held_by"] == ["no readable file"]
    html = page(settings).get("/retention/").text
    assert "Put winback.yaml back &lt;script&gt;" in html
    assert "jan@shop.example" not in html


def test_a_day_that_ended_more_than_24_hours_ago_is_too_old(settings: Settings, record: Callable[..., None]) -> None:
    record("orders", "demo_shop")
    midnight = days.known_at(DAY, settings.shop_time_zone)
    for later, fresh in ((timedelta(hours=24), True), (timedelta(hours=24, seconds=1), False)):
        client = page(settings, at=midnight + later)
        assert client.get("/retention/api/morning").json()["published"]["fresh"] is fresh
        assert ("nothing is sent until" in client.get("/retention/").text) is not fresh
    played = page(settings.evolve(clock="days"), at=midnight + timedelta(days=900))
    assert played.get("/retention/api/morning").json()["published"]["fresh"] is None


def test_a_failed_stage_shows_its_message_without_addresses(settings: Settings, record: Callable[..., None]) -> None:
    record("orders", "demo_shop", state="failed", message=f"ExpectationFailed: 3 rows {HOSTILE} of jan@shop.example")
    html = page(settings).get("/retention/").text
    assert "ExpectationFailed: 3 rows &lt;script&gt;" in html
    assert "jan@shop.example" not in html


def test_a_part_that_ran_before_waits_on_a_published_day(settings: Settings, record: Callable[..., None]) -> None:
    for day in (DAY - timedelta(days=1), DAY):
        record("orders", "demo_shop", day)
    record("selections", "winback", DAY - timedelta(days=1), size=1)
    newest, before = page(settings).get("/retention/api/morning").json()["days"]
    assert newest["stages"]["selections"]["state"] == "waiting"
    assert newest["stages"]["selections"]["parts"][0]["part"] == "winback"
    assert before["stages"]["selections"]["state"] == "done"


def test_the_last_day_of_a_loaded_history_waits_for_nothing(
    settings: Settings, record: Callable[..., None], load: Callable[..., int]
) -> None:
    before = DAY - timedelta(days=1)
    load([expectation("column_values_to_be_unique", False, severity="warning")], key="history", day=None)
    record("orders", "shop", before, orders_inserted=13_034)
    client = page(settings)
    assert client.get("/retention/api/morning").json()["days"][0]["stages"]["selections"]["state"] == "not run"
    load([])
    record("orders", "shop", orders_inserted=66)
    record("selections", "winback", size=1)
    told = client.get("/retention/api/morning").json()
    newest, history = told["days"]
    assert (newest["loaded"], history["loaded"]) == (False, True)
    assert [history["stages"][stage]["state"] for stage in ("orders", "selections", "campaigns", "delivery")] == [
        "done",
        "not run",
        "not run",
        "not run",
    ]
    assert newest["stages"]["campaigns"]["state"] == "waiting"
    assert told["trends"]["orders"] == [["2026-11-19", None], ["2026-11-20", 66]]
    html = client.get("/retention/").text
    assert "nothing is run for it by itself" in html
    assert "13,034 inserted or updated, a loaded history" in html
    assert "highest 66" in html
    assert '?day=history&amp;source=shop"><span class="pill warn">1 not met</span></a>' in html


def test_a_day_that_a_stage_has_gone_past_does_not_wait_for_it(settings: Settings, record: Callable[..., None]) -> None:
    for number in range(3):
        record("orders", "demo_shop", DAY - timedelta(days=number))
    for number in (0, 2):
        record("selections", "winback", DAY - timedelta(days=number), size=1)
    newest, between, first = page(settings).get("/retention/api/morning").json()["days"]
    states = [day["stages"]["selections"]["state"] for day in (newest, between, first)]
    assert states == ["done", "not run", "done"]


def test_a_campaign_in_the_middle_of_its_day_shows_the_step_that_failed(
    settings: Settings, record: Callable[..., None]
) -> None:
    record("orders", "demo_shop")
    record("campaigns", "winback:enrol", enrolled=9, control=1)
    record("campaigns", "winback:nudge", state="failed", message="TemplateError: nudge.nl.j2 line 3")
    (campaign,) = page(settings).get("/retention/api/morning").json()["days"][0]["stages"]["campaigns"]["parts"]
    assert campaign["state"] == "failed"
    assert campaign["counts"] == {"enrolled": 9, "control": 1}
    assert campaign["message"] == "winback:nudge: TemplateError: nudge.nl.j2 line 3"


def test_a_part_that_never_ended_is_pointed_out(settings: Settings, record: Callable[..., None]) -> None:
    record("orders", "demo_shop", state="running")
    later = datetime.now(UTC) + timedelta(hours=7)
    assert "never ended" in page(settings, at=later).get("/retention/").text
    assert "never ended" not in page(settings, at=datetime.now(UTC)).get("/retention/").text


def test_the_newest_days_come_first_and_older_ones_on_request(settings: Settings, record: Callable[..., None]) -> None:
    for number in range(10):
        record("orders", "demo_shop", DAY - timedelta(days=number))
    client = page(settings)
    shown = [day["day"] for day in client.get("/retention/api/morning").json()["days"]]
    assert (shown[0], len(shown)) == ("2026-11-20", 7)
    older = client.get("/retention/api/morning?until=2026-11-13&days=60").json()["days"]
    assert [day["day"] for day in older] == ["2026-11-13", "2026-11-12", "2026-11-11"]


def test_a_link_to_older_or_newer_days_is_there_where_there_are_some(
    settings: Settings, record: Callable[..., None]
) -> None:
    for number in range(10):
        record("orders", "demo_shop", DAY - timedelta(days=number))
    client = page(settings)

    def links(query: str) -> tuple[str | None, str | None]:
        told = client.get(f"/retention/api/morning?{query}").json()
        html = client.get(f"/retention/?{query}").text
        for name in ("older", "newer"):
            assert (f'?until={told[name]}">{name.title()} days</a>' in html) is (told[name] is not None)
        return told["older"], told["newer"]

    assert links("") == ("2026-11-13", None)
    assert links("until=2026-11-13") == (None, "2026-11-20")
    assert links("until=2026-11-15&days=2") == ("2026-11-13", "2026-11-17")


def test_before_the_first_day_the_page_says_so_and_leads_back(settings: Settings, record: Callable[..., None]) -> None:
    record("orders", "demo_shop")
    html = page(settings).get("/retention/?until=2026-11-19").text
    assert "No day on or before Thu 19 Nov 2026." in html
    assert '<a href="/retention/?until=2026-11-20">Newer days</a>' in html
    assert "No day has been published yet" not in html


# Data quality


def test_each_expectation_is_shown_with_severity_state_and_numbers(
    settings: Settings, load: Callable[..., int]
) -> None:
    numbers = {"element_count": 1234, "unexpected_count": 37, "unexpected_percent": 2.998, "missing_count": 0}
    load(
        [
            expectation("table_row_count_to_be_between", True, {"observed_value": 1234}, kwargs={"min_value": 900}),
            expectation(
                "column_values_to_be_between",
                False,
                numbers,
                kwargs={"column": "total", "min_value": 0},
                severity="warning",
                meta={"rule": "total_not_negative"},
            ),
        ]
    )
    html = page(settings).get("/retention/quality?day=2026-11-20&source=shop").text
    for told in (
        "total not negative",
        "column values to be between",
        "warning",
        "37",
        "3.00 %",
        "1,234",
        "900",
        "2.0 kB",
    ):
        assert told in html
    assert html.index("total not negative") < html.index("table row count")


def test_a_row_rule_is_shown_by_its_name_with_the_share_of_rows_that_must_hold(
    settings: Settings, load: Callable[..., int]
) -> None:
    numbers = {"element_count": 200, "unexpected_count": 3, "unexpected_percent": 1.5}
    kwargs = {"column": "total_is_a_number", "value_set": [True], "mostly": 0.95, "batch_id": "x"}
    meta = {"rule": "total_is_a_number", "column": "total"}
    rule = expectation("column_values_to_be_in_set", True, numbers, kwargs=kwargs, meta=meta, severity="warning")
    load([], document={"success": True, "results": [rule], "notes": ["row_count_like_weekday: skipped"]})
    html = page(settings).get("/retention/quality").text
    for told in ("total is a number", "holds for each row", "<td>total</td>", "95 %", "1.50 %", "weekday: skipped"):
        assert told in html
    assert "value set" not in html


def test_the_share_of_rejected_rows_is_asked_for_as_the_suite_says_it(
    settings: Settings, load: Callable[..., int]
) -> None:
    def share(**more: Any) -> dict[str, Any]:
        kwargs = {"column": "r:accepted", "value_set": [True], "mostly": 0.8113}
        return expectation("column_values_to_be_in_set", True, kwargs=kwargs, meta={"rule": "rejected_share", **more})

    load([share(asked={"at_most": "5%", "tolerate": 10}), share(asked={"at_most": "2 %", "tolerate": 0}), share()])
    html = page(settings).get("/retention/quality").text
    for told in (
        "at most 5 % of rows rejected, 10 tolerated<",
        "at most 2 % of rows rejected<",
        "at most 18.87 % of rows rejected<",  # stored before the suite's words were
    ):
        assert told in html
    assert "holds for each row" not in html


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ("field_too_long", "no field too long"),
        ("customer_missing", "no customer missing"),
        ("price_below_zero", "no price below zero"),
        ("total_is_not_negative", "total is not negative"),
        ("status_is_known", "status is known"),
        ("not_empty", "not empty"),
        ("row_count", "row count"),
    ],
)
def test_an_expectation_reads_as_what_must_hold(rule: str, told: str) -> None:
    assert words.expected(rule) == told


def test_a_suite_that_holds_with_warnings_is_not_shown_as_all_green(
    settings: Settings, load: Callable[..., int]
) -> None:
    load([expectation("column_values_to_be_unique", False, severity="warning")])
    html = page(settings).get("/retention/quality").text
    assert '<span class="pill warn">holds, with warnings</span>' in html
    assert '<span class="pill ok">holds</span>' not in html


def test_a_stopped_load_and_an_error_are_told_apart(settings: Settings, load: Callable[..., int]) -> None:
    failing = expectation("column_max_to_be_between", False)
    failing["exception_info"] = {"m1": {"raised_exception": True, "exception_message": "can't compare datetimes"}}
    load([expectation("table_row_count_to_be_between", False), failing], success=False)
    html = page(settings).get("/retention/quality").text
    assert "does not hold" in html
    assert "It could not be computed: can&#39;t compare datetimes" in html


@pytest.mark.parametrize(
    "document",
    [
        {"success": True},
        {"results": None},
        {"results": [{"expectation_config": None, "result": None}, {"expectation_config": {"kwargs": []}}]},
        {"run_results": {"id": {"results": [expectation("column_values_to_be_unique", True)]}}},
        [],
        "nothing",
    ],
)
def test_a_result_of_another_shape_is_shown_as_far_as_it_goes(
    settings: Settings, load: Callable[..., int], document: Any
) -> None:
    load([], document=document)
    assert page(settings).get("/retention/quality").status_code == 200


def test_of_a_rejected_row_known_columns_are_shown_by_value_or_shape(
    settings: Settings, load: Callable[..., int]
) -> None:
    row = {
        "order_id": "100001234",
        "email": "jan@shop.example",
        "phone": "+31 6 1234 5678",
        "first_name": "Jannetje",
        "status": "complete",
        "total": HOSTILE,
    }
    rule = expectation(
        "column_values_to_be_in_set",
        True,
        kwargs={"value_set": [True]},
        meta={"rule": "total_is_a_number", "column": "total"},
    )
    load(
        [rule],
        [
            (7, "total_is_a_number", HOSTILE, row),
            (8, "email_is_valid", "piet@@shop.nl", None),
            (9, "total_is_not_negative", "-5.00", row | {"total": "-5.00"}),
        ],
    )
    html = page(settings).get("/retention/quality").text
    for told in (
        "&lt;aaaaaa&gt;aaaaa(&#39;a&#39;)&lt;/aaaaaa&gt;",
        "999999999",
        "aaaa@@aaaa.aa",
        "-5.00",
        "complete",
        "3 more not shown",
    ):
        assert told in html
    for hidden in ("jan@shop", "@shop.example", "1234 5678", "100001234", "Jannetje", "alert(", "first_name"):
        assert hidden not in html


def test_of_an_unreadable_row_its_number_length_and_reason_are_shown(
    settings: Settings, load: Callable[..., int]
) -> None:
    load([], [(7, "too_many_fields", "12 fields instead of 10", ["Jannetje", "Kerkstraat 12", "NL91ABNA0417164300"])])
    html = page(settings).get("/retention/quality").text
    assert "12 fields instead of 10" in html
    assert "row is readable: too many fields" in html
    for hidden in ("Jannetje", "Kerkstraat", "ABNA"):
        assert hidden not in html


def test_only_the_first_rows_of_a_rule_are_shown_but_all_are_counted(
    settings: Settings, load: Callable[..., int]
) -> None:
    load([], [(number, "date_is_valid", "31/02/2011", {}) for number in range(1, 26)])
    html = page(settings).get("/retention/quality").text
    assert "The first 20 of 25" in html
    assert html.count("99/99/9999") == 20


def test_the_view_opens_with_the_newest_day_and_a_history_can_be_chosen(
    settings: Settings, load: Callable[..., int]
) -> None:
    load([], key="2026-11-20")
    load([], key="2026-11-19", day=DAY - timedelta(days=1))
    load([], key="history", day=None, source="cdnow")
    client = page(settings)
    assert "shop · orders" in client.get("/retention/quality").text
    assert "cdnow · orders" in client.get("/retention/quality?day=history").text
    assert (
        "Nothing was landed for Wed 18 Nov 2026 from shop"
        in client.get("/retention/quality?day=2026-11-18&source=shop").text
    )


def test_many_files_are_told_in_one_line_with_the_list_behind_it(settings: Settings, load: Callable[..., int]) -> None:
    days_told = [{"name": f"d{n}.csv", "bytes": 5, "day": f"2026-11-{n:02}"} for n in range(1, 6)]
    load([], key="history", day=None, source="dated", files=days_told)
    load([], key="history", day=None, source="named", files=[{"name": f"part{n}.csv", "bytes": 5} for n in range(1, 6)])
    load([], key="history", day=None, source="single")
    html = page(settings).get("/retention/quality?day=history").text
    assert "<summary>5 files, Sun 1 Nov 2026 to Thu 5 Nov 2026</summary>d1.csv" in html
    assert "<summary>5 files, part1.csv to part5.csv</summary>part1.csv" in html
    assert '<dd class="breaks">orders.csv ' in html


def test_a_day_that_came_with_a_history_leads_to_it(
    settings: Settings, load: Callable[..., int], record: Callable[..., None]
) -> None:
    load([], key="history", day=None, files=[{"name": "d.csv", "bytes": 5, "day": "2026-11-18"}])
    load([], key="history", day=None, source="cdnow")
    record("orders", "cdnow", DAY - timedelta(days=1))
    client = page(settings)
    for day, source in (("2026-11-18", "shop"), ("2026-11-19", "cdnow")):
        html = client.get(f"/retention/quality?day={day}").text
        assert f'?day=history&amp;source={source}">The history of {source}</a>' in html
        assert html.count("The history of") == 1
        assert "Nothing was landed" not in html
    assert "Nothing was landed for Tue 17 Nov 2026" in client.get("/retention/quality?day=2026-11-17").text


def test_the_day_of_a_run_leads_to_its_view(settings: Settings) -> None:
    client = page(settings, day_of_run=lambda dag, run: DAY if run == "known" else None)

    def target(dag: str, run: str) -> str:
        path = f"/retention/run?dag_id={dag}&run_id={run}"
        return str(client.get(path, follow_redirects=False).headers["location"])

    assert target("sync_orders", "known") == "/retention/quality?day=2026-11-20"
    assert target("campaign_winback", "known") == "/retention/?until=2026-11-20"
    assert target("sync_orders", "unknown") == "/retention/quality"


def test_nothing_comes_from_elsewhere_and_only_our_script_may_run(
    settings: Settings, record: Callable[..., None]
) -> None:
    record("orders", "demo_shop")
    answer = page(settings).get("/retention/")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert policy.split("script-src 'nonce-")[1].split("'")[0] in answer.text
    assert "http://" not in answer.text
    assert "https://" not in answer.text
    assert answer.headers["cache-control"] == "no-store"


# Masking


@pytest.mark.parametrize(
    ("value", "column", "told"),
    [
        ("jan@shop.example", "", "aaa@aaaa." + "a" * 7),
        ("NL91ABNA0417164300", "order_id", "AA99AAAA9999999999"),
        ("100001234", "Order ID", "999999999"),
        ("Γιώργος Ω.", "store", "Aaaaaaa A."),
        ("a\nb\x00\u202e", "store", "a a??"),
        ("x" * 5000, "store", "a" * 60 + "… (5000 characters)"),
        ("1012", "total", "9999"),
        ("0612345678", "total", "9999999999"),
        ("-5.00", "total", "-5.00"),
        ("12,5", "unit_price", "12,5"),
        ("1.234,56", "total", "9.999,99"),
        ("Jannetje", "total", "Aaaaaaaa"),
        ("Jannetje", "status", "Aaaaaaaa"),
        ("complete", "status", "complete"),
        ("EUR", "currency", "EUR"),
        ("JAN", "currency", "AAA"),
        ("2026-11-20T10:11:12+01:00", "created_at", "2026-11-20T10:11:12+01:00"),
        ("1985-03-12", "created_at", "9999-99-99"),
        ("31/02/2011", "created_at", "99/99/9999"),
        ("2026-11-20T10:11:12+01:00", "birthday", "9999-99-99A99:99:99+99:99"),
        (None, "total", ""),
    ],
)
def test_a_value_is_shown_where_its_form_is_that_of_its_column_else_its_shape(
    value: Any, column: str, told: str
) -> None:
    assert shown(value, column) == told


def test_only_known_columns_of_a_row_are_shown() -> None:
    assert shown_row({"email": "a@b.c", "Total": "1.00", "Jan": "x"}) == ([("Total", "1.00")], 2)
    assert shown_row(["Jan", "Kerkstraat"]) == ([], 0)
    assert shown_row(None) == ([], 0)


def test_a_message_is_masked_and_not_cut() -> None:
    assert masked_text("x" * 500 + " a@b.c") == "x" * 500 + " a•••@•••"
    assert masked_text("call +31 6 1234 5678") == "call •••78"
