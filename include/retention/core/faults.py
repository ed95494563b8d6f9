"""Faults: any exception as one of ours, which the command line, Airflow and the records of days can tell.

A database or a folder that cannot be used is said by its cause. All else is a mistake in this program: its traceback
goes to a log file. Neither holds values, since databases and Python quote in their messages what they could not take.
"""

from __future__ import annotations

import errno
import os
import re
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path

import psycopg
import sqlalchemy.exc

from retention.core.errors import Fault, InputError, RetentionError, StateError
from retention.core.settings import Settings

# PostgreSQL's classes of errors that say how the server is, not what was asked of it.
SERVER = ("08", "25", "28", "3D", "53", "55", "57", "58")
NO_RIGHT = "42501"
# What is wrong with a path that somebody named; anything else of an operating system is how the machine is.
PATH = (
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EEXIST,
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.EINVAL,
)
MACHINE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN)
# Their messages speak of names in the code. A KeyError or a ValueError quotes what a customer wrote.
OF_CODE = (AttributeError, TypeError, NameError, ImportError, IndexError, RecursionError, NotImplementedError)


def explained(problem: BaseException, settings: Settings | None = None, named: Sequence[str] = ()) -> RetentionError:
    """`problem` as an error of ours, to be told in one sentence; one of ours is left as it is.

    `named`: paths that a person named. What is wrong with them, or with a folder of the settings, is InputError; a
    database or machine that does not do its part is StateError; all else is a Fault, and its traceback in a log file.
    """
    if isinstance(problem, RetentionError):
        return problem
    found = _of_database(problem)
    if found is None and isinstance(problem, OSError):
        found = _of_machine(problem, settings, named)
    return found or _fault(problem, settings)


def summary(problem: BaseException) -> str:
    """The kind of an exception, and its message without values: what may be recorded and shown."""
    message = _message(problem)
    return f"{type(problem).__name__}: {message}" if message else type(problem).__name__


def in_full(problem: BaseException) -> str:
    """The traceback of `problem` and of those that it came from, each told as in `summary`."""
    parts = []
    for each in _chain(problem):
        parts += [*traceback.format_tb(each.__traceback__), summary(each) + "\n"]
        parts.append("\nwhich led to:\n\n")
    return "".join(["Traceback (most recent call last):\n", *parts[:-1]])


def _of_database(problem: BaseException) -> RetentionError | None:
    error = _psycopg_error(problem)
    if isinstance(problem, sqlalchemy.exc.TimeoutError):
        return StateError("All connections to the database are in use; try again.")
    if error is None:
        return None
    state = error.sqlstate or ""
    if state == NO_RIGHT:
        return StateError(f"The database's user lacks a right: {_first_line(error)}. Grant it, or name another user.")
    if isinstance(error, psycopg.OperationalError) or state[:2] in SERVER:
        return StateError(f"the database does not answer: {_first_line(error)}. See RETENTION_DATABASE_URL.")
    return None


def _of_machine(problem: OSError, settings: Settings | None, named: Sequence[str]) -> RetentionError | None:
    reason = problem.strerror or type(problem).__name__
    if problem.errno in MACHINE:
        where = f"{problem.filename}: " if problem.filename else ""
        return StateError(f"{where}{reason}. Make room on this machine, then do it again.")
    if problem.errno not in PATH or not isinstance(problem.filename, str | os.PathLike):
        return None
    path = os.path.abspath(os.fspath(problem.filename))
    places = {name: os.path.abspath(name) for name in named}
    if settings:
        places |= {"RETENTION_INCLUDE": os.path.abspath(settings.include)}
        places |= {"RETENTION_LOCAL": os.path.abspath(settings.local)}
        places |= {"RETENTION_AUDIENCES": os.path.abspath(settings.audiences)} if settings.audiences else {}
    for name, place in places.items():
        if os.path.commonpath([place, path]) == place or path == os.path.dirname(place):
            of = f" (of {name})" if name.startswith("RETENTION_") else ""
            return InputError(f"{path}{of} cannot be used: {reason}. Correct it, or name another.")
    return None


def _fault(problem: BaseException, settings: Settings | None) -> Fault:
    last = traceback.extract_tb(problem.__traceback__)[-1:]
    where = f" in {Path(last[0].filename).name}, line {last[0].lineno}" if last else ""
    what = f"This is a fault of the program, not of yours: {type(problem).__name__}{where}. Please report it"
    try:
        log = _write(in_full(problem), settings)
    except OSError as other:
        return Fault(f"{what}; no log file could be written: {other.strerror}.")
    return Fault(f"{what} together with {log}, which holds no customer's data.")


def _write(content: str, settings: Settings | None) -> Path:
    """A new file that only its owner may read, below RETENTION_LOCAL, or without settings where temporary files are."""
    folder = settings.local / "logs" if settings else Path(tempfile.gettempdir())
    folder.mkdir(parents=True, exist_ok=True)
    for secret in _secrets(settings):
        content = content.replace(secret, "***")
    handle, name = tempfile.mkstemp(prefix="fault-", suffix=".log", dir=folder)
    with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
        file.write(content)
    return Path(name)


def _secrets(settings: Settings | None) -> list[str]:
    if settings is None:
        return []
    values = [getattr(settings, each.name) for each in fields(settings) if not each.repr]
    return [value for value in values if value and len(value) > 3]


def _message(problem: BaseException) -> str:
    """Its message if that speaks of code; of a database's error the parts that name no value."""
    if isinstance(problem, (RetentionError, *OF_CODE)):
        return str(problem)
    if (error := _psycopg_error(problem)) is None:
        return ""
    state = error.sqlstate or ""
    about = error.diag
    names = [about.schema_name, about.table_name, about.column_name, about.constraint_name]
    # Class 42 is about the statement: relations, columns, functions. Elsewhere a message may quote a row.
    said = about.message_primary if state.startswith("42") else None
    return " ".join(filter(None, [state, type(error).__name__, *names, said]))


def _psycopg_error(problem: BaseException) -> psycopg.Error | None:
    if isinstance(problem, sqlalchemy.exc.DBAPIError):
        return problem.orig if isinstance(problem.orig, psycopg.Error) else None
    return problem if isinstance(problem, psycopg.Error) else None


def _first_line(error: psycopg.Error) -> str:
    """What the server or the driver says, in one line; it quotes names of hosts, users and databases only."""
    said = error.diag.message_primary or re.sub(r"\s*\n\s*", "; ", str(error).strip())
    return said[:300].rstrip(". ")


def _chain(problem: BaseException) -> Iterator[BaseException]:
    """The exceptions that `problem` came from, the first one first."""
    before = problem.__cause__ or (None if problem.__suppress_context__ else problem.__context__)
    if before is not None:
        yield from _chain(before)
    yield problem
