"""Whatever a shop's files hold, and wherever: nothing of a person is on the page, in a log, or in a day's record."""

from __future__ import annotations

import json
import logging
import random
from datetime import UTC, date, datetime
from pathlib import Path

import psycopg
import pytest
import sqlalchemy.exc
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from retention.core.errors import DataError, RetentionError
from retention.core.settings import Settings
from retention.core.shop import Shop
from retention.orders import sync
from retention.page import quality
from retention.page.app import create_app
from retention.page.masking import shown_row
from shop import ShopData

DAY = date(2026, 11, 2)
AT = f"{DAY}T12:00:00+01:00"
ORDERS = "order_id customer_id created_at status total refunded currency coupon store updated_at".split()
CUSTOMERS = (
    "customer_id email phone first_name last_name street postal_code city language country time_zone household "
    "registered_at updated_at"
).split()
PEOPLE = [
    "Jannetje",
    "Wojciechowski",
    "Γιώργος",
    "Kerkstraat 123b",
    "ul. Marszałkowska 84/92",
    "1012 AB",
    "10115",
    "00-950",
    "NL91ABNA0417164300",
    "DE89 3704 0044 0532 0130 00",
    "jannetje@mail.example",
    "+31 6 1234 5678",
    "0612345678",
    "1985-03-12",
    "12.03.1985",
    "Amsterdam-Zuidoost",
    "D'Angelo & Zoon",
    "o'brien",
]


def client(settings: Settings) -> TestClient:
    airflow = FastAPI()
    airflow.mount("/retention", create_app(lambda: settings, lambda: "boss", clock=lambda: datetime.now(UTC)))
    return TestClient(airflow, raise_server_exceptions=False)


def order(number: int) -> list[str]:
    return [str(number), "C1", AT, "complete", "10.00", "0.00", "EUR", "", "web", AT]


def hostile_orders(dice: random.Random, number: int) -> str:
    """One line of orders.csv with somebody in it: in place of values, between them, too many, quoted, broken."""
    fields = order(number)
    somebody = dice.sample(PEOPLE, 3)
    way = dice.randrange(7)
    if way == 0:  # in place of values
        for value in somebody:
            fields[dice.randrange(len(fields))] = value
    elif way == 1:  # shifted, but as many as there should be
        place = dice.randrange(len(fields))
        fields = [*fields[:place], *somebody, *fields[place:]][: len(fields)]
    elif way == 2:
        fields += somebody
    elif way == 3:
        fields = somebody
    elif way == 4:
        fields[dice.randrange(len(fields))] = '"' + " ".join(somebody)  # a quote that is never closed
    elif way == 5:
        fields[7] = somebody[0] + "\0"
    else:
        fields[8] = somebody[0] + "\udce9"
    return ",".join(fields)


def hostile_customer(dice: random.Random, number: int) -> str:
    """One line of customers.jsonl: unknown keys, nested values, and what is no JSON."""
    row: dict[str, object] = dict.fromkeys(CUSTOMERS)
    row |= {"customer_id": f"C{number}", "registered_at": AT, "updated_at": AT}
    somebody = dice.sample(PEOPLE, 4)
    row[dice.choice(CUSTOMERS)] = somebody[0]
    row[dice.choice(("updated_at", "registered_at"))] = somebody[1]
    row["iban"] = {"of": somebody[2]}
    if dice.random() < 0.3:
        row[somebody[3].replace(".", "")] = somebody[2]
    line = json.dumps(row, ensure_ascii=False)
    return dice.choice((line, line, line[: len(line) // 2], f"[{line}]", line.replace("{", "{\\x", 1), f"{somebody}"))


@pytest.mark.parametrize("seed", range(4))
def test_nobody_of_a_hostile_day_is_shown_logged_or_recorded(
    settings: Settings, engine: Engine, tmp_path: Path, seed: int, caplog: pytest.LogCaptureFixture
) -> None:
    dice = random.Random(seed)
    here = tmp_path / "demo_shop" / DAY.isoformat()
    here.mkdir(parents=True)
    lines = [hostile_orders(dice, number) for number in range(100)]
    lines += [",".join(order(number)) for number in range(1000, 1004 if seed == 3 else 4000)]
    orders = "\n".join([",".join(ORDERS), *lines]) + "\n"
    (here / "orders.csv").write_bytes(orders.encode("utf-8", "surrogateescape"))
    (here / "order_lines.csv").write_text("order_id,line,sku,category,name,quantity,unit_price\n")
    good = {**dict.fromkeys(CUSTOMERS), "registered_at": AT, "updated_at": AT}
    customers = [hostile_customer(dice, number) for number in range(60)]
    customers += [json.dumps(good | {"customer_id": f"G{number}"}) for number in range(1500)]
    (here / "customers.jsonl").write_text("\n".join(customers) + "\n")
    (here / "_COMPLETE").touch()
    caplog.set_level(logging.INFO)
    told = ""
    try:
        counts = sync.sync(Shop(settings, engine), "demo_shop", DAY)
        told = json.dumps(counts.counts(), default=str)
    except RetentionError as problem:  # too many bad rows: then the page shows why
        assert seed == 3
        told = str(problem)
    with engine.connect() as connection:
        rejected = connection.execute(text("select count(*) from landing.rejections")).scalar_one()
        told += str(connection.execute(text("select message, counts from shop.days")).all())
    assert rejected > 80
    pages = client(settings)
    html = pages.get(f"/retention/quality?day={DAY}").text + pages.get("/retention/").text
    for somebody in PEOPLE:
        for written in {somebody, somebody.replace("&", "&amp;").replace("'", "&#39;")}:
            assert written not in html
            assert written not in told
            assert written not in caplog.text
    assert "these rows have no columns" in html.lower()


@given(
    st.dictionaries(
        st.sampled_from([*ORDERS, *CUSTOMERS, "Total", "iban", "Quantity"]),
        st.sampled_from(PEOPLE) | st.sampled_from([f" {one}" for one in PEOPLE] + [f"{one} x" for one in PEOPLE]),
    )
)
def test_no_value_of_a_person_is_shown_in_any_column(row: dict[str, str]) -> None:
    fields, hidden = shown_row(row)
    assert len(fields) + hidden == len(row)
    assert not [value for _, value in fields if any(one in value for one in PEOPLE)]


def test_a_file_without_a_header_does_not_bring_its_first_row_into_the_message(
    settings: Settings, engine: Engine, tmp_path: Path
) -> None:
    here = tmp_path / "demo_shop" / DAY.isoformat()
    here.mkdir(parents=True)
    (here / "orders.csv").write_text("1,Jannetje,Kerkstraat 123b,1012 AB,,,,,,\n")
    (here / "order_lines.csv").write_text("order_id,line,sku,category,name,quantity,unit_price\n")
    (here / "customers.jsonl").write_text('{"Jannetje": "Kerkstraat 123b"}\n')
    (here / "_COMPLETE").touch()
    for name in ("customers.jsonl", "orders.csv"):
        with pytest.raises(DataError, match="does the file begin with its columns") as problem:
            sync.sync(Shop(settings, engine), "demo_shop", DAY)
        assert name in str(problem.value)
        assert "Jannetje" not in str(problem.value)
        assert "Kerkstraat" not in client(settings).get("/retention/").text
        (here / "customers.jsonl").unlink(missing_ok=True)


def test_the_length_of_an_unreadable_row_is_kept(settings: Settings, engine: Engine, tmp_path: Path) -> None:
    here = tmp_path / "demo_shop" / DAY.isoformat()
    here.mkdir(parents=True)
    rows = [",".join(order(number)) for number in range(3000)]
    rows[4] = "Jan,é,three"
    rows[6] = ",".join(order(6)).replace("web", '"web')
    (here / "orders.csv").write_text("\n".join([",".join(ORDERS), *rows]) + "\n")
    (here / "order_lines.csv").write_text("order_id,line,sku,category,name,quantity,unit_price\n")
    (here / "customers.jsonl").write_text(
        "no JSON at all\r\n"
        + json.dumps(dict.fromkeys(CUSTOMERS) | {"customer_id": "C1", "registered_at": AT, "updated_at": AT})
        + "\n"
    )
    (here / "_COMPLETE").touch()
    sync.sync(Shop(settings, engine), "demo_shop", DAY)
    with engine.connect() as connection:
        found = connection.execute(text("select rule, length from landing.rejections order by rule")).all()
    assert [tuple(row) for row in found] == [
        ("not_json", 14),
        ("too_few_fields", 12),
        ("unterminated_quote", len(rows[6])),
    ]


def test_of_a_real_day_the_columns_of_the_file_and_its_newest_instant_are_shown(
    settings: Settings, engine: Engine, tmp_path: Path
) -> None:
    here = tmp_path / "demo_shop" / DAY.isoformat()
    here.mkdir(parents=True)
    rows = [",".join([*order(number), "Jannetje"]) for number in range(50)]
    (here / "orders.csv").write_text("\n".join([",".join([*ORDERS, "Kerkstraat 123b"]), *rows]) + "\n")
    (here / "order_lines.csv").write_text("order_id,line,sku,category,name,quantity,unit_price\n")
    somebody = dict.fromkeys(CUSTOMERS) | {"customer_id": "C1", "registered_at": AT, "updated_at": AT}
    (here / "customers.jsonl").write_text(json.dumps(somebody) + "\n")
    (here / "_COMPLETE").touch()
    sync.sync(Shop(settings, engine), "demo_shop", DAY)
    with engine.connect() as connection:
        load = connection.execute(text("select load_id from landing.loads where feed = 'orders'")).scalar_one()
        told = quality.read(connection, DAY.isoformat(), "demo_shop")["loads"]
    found = {each["rule"]: each for one in told if one["load_id"] == load for each in one["suites"][0]["expectations"]}
    columns, newest = found["columns_as_expected"], found["newest_row_is_recent"]
    assert columns["observed"] == "unexpected: Aaaaaaaaaa 999a"
    assert columns["expected"][0] == ("column_set", ", ".join(ORDERS))
    assert datetime.fromisoformat(newest["observed"]) == datetime.fromisoformat(AT)
    assert newest["column"] == ""
    html = client(settings).get(f"/retention/quality?day={DAY}").text
    assert "r:" + "newest" not in html
    assert "row_is_readable" not in html.replace("row_is_readable</", "")


@pytest.mark.parametrize(
    "statement",
    [
        "select cast('Jannetje' as integer)",
        "select cast('Jannetje' as timestamptz)",
        "insert into shop.days (day, stage, part, state) values (now(), 'orders', 'Jannetje', 'Kerkstraat')",
        "insert into shop.days (day, stage, part, state, recorded_at) values (now(), 'Jannetje', 'x', 'done', null)",
    ],
)
def test_an_error_of_the_database_quotes_no_row(engine: Engine, shop: ShopData, statement: str) -> None:
    with pytest.raises(sqlalchemy.exc.DBAPIError) as problem, engine.connect() as connection:
        connection.execute(text(statement))
    assert isinstance(problem.value.orig, psycopg.Error)
    for told in (str(problem.value.orig), str(problem.value).partition("[SQL")[0]):
        assert told.strip()
        assert "Jannetje" not in told
        assert "Kerkstraat" not in told
