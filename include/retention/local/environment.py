"""The environment in which Airflow runs on this machine, and the secrets it needs, made once and kept.

Everything is said through variables: there is no airflow.cfg to drift away from what stands here.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import shlex
from collections.abc import Mapping
from datetime import date
from pathlib import Path

from retention.core import clock
from retention.core.errors import InputError, StateError
from retention.core.settings import Settings, check_database_url, shown

PORT = 8080
POOL = "retention_db"
USERS = {"admin": "admin", "marketer": "user", "viewer": "viewer"}  # name -> role, where a login is asked for


def home(settings: Settings) -> Path:
    """Airflow's folder on this machine."""
    return settings.local / "airflow"


def environment(settings: Settings, *, port: int = PORT, start_day: date | None = None) -> dict[str, str]:
    """Every variable that Airflow and our tasks need beyond the usual ones, to be laid over the caller's own.

    Needs `settings.database_url`. Airflow asks for a name and a password, made at the first call and kept in
    ``passwords.json``; not so with RETENTION_AIRFLOW_LOGIN=no. Raises InputError where that is not allowed.
    """
    project = settings.include.resolve().parent
    folder = home(settings).resolve()
    kept = _secrets(folder)
    url = f"http://127.0.0.1:{port}"
    login = asks_for_login(settings)
    return _ours(settings, start_day) | {
        "AIRFLOW_HOME": str(folder),
        "PYTHONPATH": str(settings.include.resolve()),
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": "4",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(project / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(project / "plugins"),
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__CORE__FERNET_KEY": kept["fernet_key"],
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": str(not login),
        "RETENTION_AIRFLOW_LOGIN": "yes" if login else "no",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{name}:{role}" for name, role in USERS.items()),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(folder / "passwords.json"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": metadata_url(settings).replace(
            "postgresql://", "postgresql+psycopg2://"
        ),
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__API__SECRET_KEY": kept["secret_key"],
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__API_AUTH__JWT_SECRET": kept["jwt_secret"],
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.3",  # a third of the default: tasks start sooner, cheaply
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "10",
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "10",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(folder / "logs"),
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    }


def asks_for_login(settings: Settings) -> bool:
    """Whether Airflow asks for a name and a password: RETENTION_AIRFLOW_LOGIN, `yes` by default.

    Raises InputError for `no` where messages are sent: whoever reaches the port may then start any DAG.
    """
    word = os.environ.get("RETENTION_AIRFLOW_LOGIN") or "yes"
    if word not in ("yes", "no"):
        raise InputError(f"RETENTION_AIRFLOW_LOGIN is {shown(word)}; write yes or no.")
    if word == "no" and settings.delivery != "outbox":
        raise InputError(
            f"RETENTION_AIRFLOW_LOGIN is 'no', but RETENTION_DELIVERY is {settings.delivery!r}: whoever reaches the "
            "port could send messages. Unset one of the two."
        )
    return word == "yes"


def login(settings: Settings) -> dict[str, str]:
    """The administrator's name and password, as a person types them; empty where Airflow asks for none."""
    if not asks_for_login(settings):
        return {}
    name = next(iter(USERS))
    return {"user": name, "password": json.loads((home(settings) / "passwords.json").read_text())[name]}


def metadata_url(settings: Settings) -> str:
    """Airflow's own database: RETENTION_AIRFLOW_DATABASE_URL, else `airflow` beside the shop's on the same server."""
    if url := os.environ.get("RETENTION_AIRFLOW_DATABASE_URL"):
        check_database_url("RETENTION_AIRFLOW_DATABASE_URL", url)
        return url
    if not settings.database_url:
        raise StateError("No database for Airflow: run `retention up`, or set RETENTION_DATABASE_URL.")
    address, mark, options = settings.database_url.partition("?")
    return f"{address.rpartition('/')[0]}/airflow{mark}{options}"


def for_children(variables: Mapping[str, str]) -> dict[str, str]:
    """The caller's environment with `variables` laid over it, and without what would make Airflow slow.

    Without compiled byte code every start of Airflow takes more than twice as long.
    """
    return {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"} | dict(variables)


def script(variables: Mapping[str, str]) -> str:
    """The variables as a shell script to source, so that ``airflow ...`` can be used by hand."""
    lines = [f"export {key}={shlex.quote(value)}" for key, value in sorted(variables.items())]
    return "\n".join([*lines, "unset PYTHONDONTWRITEBYTECODE", ""])


def write_script(settings: Settings, variables: Mapping[str, str]) -> Path:
    """Write `script` to ``environment.sh`` in Airflow's folder; only its owner may read it."""
    return _private(home(settings) / "environment.sh", script(variables))


def _ours(settings: Settings, start_day: date | None) -> dict[str, str]:
    """Our settings as variables. The secrets among them are handed on only if they were set."""
    values = {
        "RETENTION_DATABASE_URL": settings.database_url,
        "AIRFLOW_CONN_RETENTION_DB": settings.database_url,
        "RETENTION_INCLUDE": str(settings.include.resolve()),
        "RETENTION_LOCAL": str(settings.local.resolve()),
        "RETENTION_SHOP_TIME_ZONE": str(settings.shop_time_zone),
        "RETENTION_CLOCK": settings.clock,
        "RETENTION_DELIVERY": settings.delivery,
        "RETENTION_AUDIENCES": settings.audiences,
        "RETENTION_PUBLIC_URL": settings.public_url,
        "RETENTION_SHOP_URL": settings.shop_url,
        "RETENTION_SECRET": settings.secret,
        "RETENTION_POOL": POOL,
        "RETENTION_START_DAY": start_day.isoformat() if start_day else os.environ.get("RETENTION_START_DAY"),
        "RETENTION_INSTALLED_ON": _installed_on(settings),
        "SENDGRID_API_KEY": settings.sendgrid_api_key,
        "SENDGRID_HOST": settings.sendgrid_host,
        "TWILIO_ACCOUNT_SID": settings.twilio_account_sid,
        "TWILIO_AUTH_TOKEN": settings.twilio_auth_token,
        "TWILIO_BASE_URL": settings.twilio_base_url,
        "TWILIO_FROM": settings.twilio_from,
        "GX_ANALYTICS_ENABLED": "false",
    }
    return {key: value for key, value in values.items() if value}


def _installed_on(settings: Settings) -> str:
    """The day of the first `up`, in the shop's zone: the schedule begins there unless a start day is given."""
    file = home(settings) / "installed_on"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(clock.today(settings.shop_time_zone).isoformat())
    return file.read_text()


def _secrets(folder: Path) -> dict[str, str]:
    """Airflow's keys and its users' passwords, made at the first call and the same ever after."""
    folder.mkdir(parents=True, exist_ok=True)
    passwords = folder / "passwords.json"
    if not passwords.exists():
        _private(passwords, json.dumps({name: secrets.token_urlsafe(12) for name in USERS}))
    keys = folder / "secrets.json"
    if not keys.exists():
        made = {
            "jwt_secret": secrets.token_hex(32),
            "secret_key": secrets.token_hex(32),
            "fernet_key": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        }
        _private(keys, json.dumps(made))
    kept: dict[str, str] = json.loads(keys.read_text())
    return kept


def _private(file: Path, text: str) -> Path:
    """Write a file that only its owner can read, from its first byte on."""
    draft = file.with_name(f"{file.name}.new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        stream.write(text)
    return draft.replace(file)
