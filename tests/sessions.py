"""Engines that keep their sessions: each new one hashes the password and reads the whole catalog again."""

from __future__ import annotations

import os
from typing import Any

import psycopg
from sqlalchemy import Engine, event
from sqlalchemy.exc import DisconnectionError

from retention.core import database
from retention.core.settings import Settings

SESSIONS = 20  # at once, of one engine


def connect(settings: Settings) -> Engine:
    """An engine like that of `database.connect`, but for a session given back being handed out again, as new."""
    engine = database.connect(settings, pool=SESSIONS)
    event.listen(engine, "reset", _as_new)
    event.listen(engine, "connect", _note_process)
    event.listen(engine, "checkout", _refuse_another_process)
    return engine


def _as_new(session: psycopg.Connection[Any], *_: object) -> None:
    """What ends with a session ends when it is given back: locks, settings, temporary tables."""
    session.rollback()
    session.autocommit = True
    session.execute("discard all")
    session.autocommit = False


def _note_process(_: object, record: Any) -> None:
    record.info["process"] = os.getpid()


def _refuse_another_process(_: object, record: Any, fairy: Any) -> None:
    """A forked process makes sessions of its own."""
    if record.info["process"] != os.getpid():
        record.dbapi_connection = fairy.dbapi_connection = None
        raise DisconnectionError("the session belongs to another process")
