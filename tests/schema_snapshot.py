"""What is made from something else and kept beside it; `make schema` writes it anew.

include/sql/schema.sql: the schema as PostgreSQL tells it. include/campaigns/schema.json and
include/offers/schema.json: the languages of campaigns and of offers.
"""

from __future__ import annotations

import json
import re
import subprocess
from typing import Any

import psycopg

import throw_away
from retention.campaigns import language
from retention.core import database
from retention.core.settings import from_environment
from retention.local import postgres
from retention.offers import language as offers
from sql_text import SQL

FILE = SQL / "schema.sql"
LANGUAGES = {
    SQL.parent / "campaigns" / "schema.json": language.schema,
    SQL.parent / "offers" / "schema.json": offers.schema,
}
HEAD = """\
-- The schema that the migrations of schema/ make, as pg_dump tells it. Written by `make schema`; nothing reads it but a
-- test, which finds every change of the schema here.

"""
# Its version, a random word, the settings of its session, and what it says above each statement.
_LEFT_OUT = re.compile(r"^(?:--.*|\\(?:un)?restrict .*|SET .*|SELECT pg_catalog\.set_config.*)\n", re.MULTILINE)


def dump(url: str) -> str:
    """What pg_dump says of the schema of a database, without what differs from one server to the next."""
    told = subprocess.run(
        [postgres._bin() / "pg_dump", "--schema-only", "--no-owner", "--no-privileges", "--dbname", url],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return HEAD + re.sub(r"\n{3,}", "\n\n", _LEFT_OUT.sub("", told)).strip() + "\n"


def major_versions(url: str) -> set[str]:
    """Of the server and of pg_dump: another one may say the same in other words."""
    said = subprocess.run([postgres._bin() / "pg_dump", "--version"], check=True, capture_output=True, text=True).stdout
    with psycopg.connect(url) as connection:
        return {str(connection.info.server_version // 10000), re.findall(r"\d+", said)[0]}


def write() -> None:
    """Write the snapshot of a fresh database, and the languages."""
    with throw_away.server() as server:
        url = postgres.ensure_database(server, "snapshot")
        database.migrate(from_environment({"RETENTION_DATABASE_URL": url}))
        FILE.write_text(dump(url))
    for file, schema in LANGUAGES.items():
        file.write_text(in_json(schema()))


def in_json(schema: dict[str, Any]) -> str:
    """A JSON schema as its file holds it, for editors."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    write()
