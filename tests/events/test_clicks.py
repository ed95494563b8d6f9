"""The way into the shop: a signed link counts the click, and leads nowhere else."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from desk import NOW, PUBLIC, Desk
from fastapi.testclient import TestClient
from httpx import Response
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from retention.core import database
from retention.core.shop import Shop
from retention.delivery.rendering.links import click_token
from retention.events.http import service

PERSON = {"User-Agent": "Mozilla/5.0 (iPhone)"}
SHOP = "https://www.shop.example/nl"


@pytest.fixture
def desk(desk: Desk) -> Desk:
    """The service of a shop whose address has a path."""
    desk.settings = desk.settings.evolve(shop_url=SHOP)
    desk.client = client(desk)
    return desk


def client(desk: Desk, **changes: Any) -> TestClient:
    settings = desk.settings.evolve(**changes)
    app = service.create_app(Shop(settings, database.connect(settings, pool=2), lambda: desk.now))
    return TestClient(app, base_url=PUBLIC, follow_redirects=False)


def follow(desk: Desk, ref: str = "A", rest: str = "", method: str = "GET", agent: dict[str, str] = PERSON) -> Response:
    return desk.client.request(method, link(desk, ref) + rest, headers=agent)


def link(desk: Desk, ref: str = "A", channel: str = "email") -> str:
    return "/c/" + click_token(desk.settings, desk.id(ref), f"{ref}-{channel}")


def clicks(desk: Desk) -> list[dict[str, Any]]:
    return desk.run("select provider, kind, detail, link, agent, message_key from events.received order by link")


def last_engaged(desk: Desk) -> list[str]:
    desk.apply()
    return [str(row["last_engaged_on"]) for row in desk.run("select last_engaged_on from shop.engagement")]


def test_a_link_leads_to_the_shop_and_the_click_is_stored(desk: Desk) -> None:
    answer = follow(desk)
    assert (answer.status_code, answer.headers["location"]) == (302, SHOP)
    assert answer.headers["cache-control"] == "no-store"
    assert clicks(desk) == [
        {
            "provider": "retention",
            "kind": "click",
            "detail": None,
            "link": SHOP + "/",
            "agent": PERSON["User-Agent"],
            "message_key": "A-email",
        }
    ]


def test_a_path_and_a_query_lead_into_the_shop_and_the_query_is_not_stored(desk: Desk) -> None:
    answer = follow(desk, rest="/sale/schoenen%20&%C3%A9?utm_source=mail&who=A%26B")
    assert answer.headers["location"] == SHOP + "/sale/schoenen%20&%C3%A9?utm_source=mail&who=A%26B"
    assert [row["link"] for row in clicks(desk)] == [SHOP + "/sale/schoenen &é"]


@pytest.mark.parametrize(
    "rest",
    [
        "//evil.example",
        "/@evil.example",
        "/https://evil.example",
        "/%2f%2fevil.example",
        "/%5c%5cevil.example",
        "/\\evil.example",
        "?https://evil.example",
        "/%0d%0aLocation:https://evil.example",
        "/;@evil.example/",
    ],
)
def test_no_link_leads_anywhere_else(desk: Desk, rest: str) -> None:
    answer = follow(desk, rest=rest)
    if answer.status_code != 404:
        assert answer.headers["location"].startswith(SHOP)
        assert urlsplit(answer.headers["location"]).netloc == "www.shop.example"


@pytest.mark.parametrize("rest", ["/%2e%2e/admin", "/a/%2e%2e/%2e%2e/admin", "/..%5cadmin", "/" + "a" * 3000])
def test_no_link_leads_above_the_address_of_the_shop(desk: Desk, rest: str) -> None:
    assert follow(desk, rest=rest).status_code == 404


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=40), st.binary(max_size=40))
def test_whatever_follows_a_token_stays_in_the_shop(desk: Desk, path: str, query: bytes) -> None:
    way = service._way(path, query)
    if way is not None:
        whole = SHOP + way
        assert whole.isascii()
        assert whole.isprintable()
        assert urlsplit(whole).netloc == "www.shop.example"
        assert ".." not in urlsplit(whole).path.split("/")


def test_a_token_that_we_did_not_sign_leads_nowhere(desk: Desk) -> None:
    before = desk.everything()
    good = link(desk)
    unsubscribing = desk.link("A").removeprefix("/u/")
    for bad in (good[:-1], good[:-4] + "AAAA", "/c/" + "A" * 44, "/c/ü", f"/c/{unsubscribing}", "/c/", "/c/https://x"):
        answer = desk.client.get(bad, headers=PERSON)
        assert answer.status_code == 404, bad
        assert "location" not in answer.headers
    assert desk.everything() == before


def test_a_click_of_a_person_is_interest_and_evidence_that_the_message_arrived(desk: Desk) -> None:
    key = desk.message("A", "unknown")
    follow(desk)
    assert last_engaged(desk) == ["2026-11-21"]
    assert desk.state(key) == ("delivered", None)
    assert desk.run("select provider from delivery.messages") == [{"provider": "sendgrid"}]


def test_clicks_of_programs_are_told_apart(desk: Desk) -> None:
    desk.message("A")
    desk.message("B")
    follow(desk, method="HEAD")
    follow(desk, agent={"User-Agent": "Barracuda Sentinel"})
    for path in ("/a", "/b", "/c"):
        follow(desk, "B", rest=path)
    assert last_engaged(desk) == ["None", "None"]
    assert [row["detail"] for row in clicks(desk)].count("head") == 1
    desk.now += timedelta(minutes=5)
    follow(desk)
    assert "2026-11-21" in last_engaged(desk)


def test_clicking_on_and_on_stores_one_click_a_minute(desk: Desk) -> None:
    for _ in range(5):
        follow(desk)
    desk.now += timedelta(minutes=1)
    follow(desk)
    assert len(clicks(desk)) == 2


def test_who_follows_a_link_gets_to_the_shop_while_the_database_is_away_and_the_loss_is_said(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    good = link(desk)
    away = client(desk, database_url="postgresql://nobody@127.0.0.1:1/none")
    assert away.get(good).status_code == 302
    assert "A click is lost, 1 since the start" in caplog.text
    assert good not in caplog.text


def test_who_follows_a_link_does_not_wait_for_a_database_that_does_not_answer(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "PATIENCE", 0.2)
    with desk.engine.begin() as connection, client(desk) as waiting:
        connection.exec_driver_sql("lock table events.received")
        assert waiting.get(link(desk)).status_code == 302
        assert waiting.get("/health").json() == {"ok": True, "clicks_lost": 1}


def test_two_links_followed_at_once_are_both_stored(desk: Desk) -> None:
    with client(desk) as both:
        threads = [threading.Thread(target=both.get, args=(link(desk, ref),)) for ref in ("A", "B")]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
    assert {row["message_key"] for row in clicks(desk)} == {"A-email", "B-email"}
    assert desk.now == NOW
