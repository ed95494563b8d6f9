"""Airflow's REST interface, as much of it as `up` and the first run need: quicker than its command line by seconds."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from retention.core.errors import StateError


class Refused(StateError):
    """Airflow answered, and the answer is no."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


def call(url: str, method: str = "GET", body: dict[str, Any] | None = None, passwords: Path | None = None) -> Any:
    """One request, its JSON answer. Raises StateError with Airflow's own words when it refuses or is not there.

    Where a login is asked for, the administrator's of the file `passwords` is used.
    """
    try:
        return _send(url, method, body)
    except Refused as problem:
        if problem.status != 401 or passwords is None:
            raise
    login = {"username": "admin", "password": json.loads(passwords.read_text())["admin"]}
    root = "/".join(url.split("/")[:3])
    token = _send(f"{root}/auth/token", "POST", login)["access_token"]
    return _send(url, method, body, {"Authorization": f"Bearer {token}"})


def _send(url: str, method: str, body: dict[str, Any] | None, headers: dict[str, str] | None = None) -> Any:
    request = urllib.request.Request(
        url,
        data=json.dumps(body).encode() if body is not None else None,
        headers={"Content-Type": "application/json", "Accept": "application/json", **(headers or {})},
        method=method,
    )
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a loopback address never goes by a proxy
    try:
        with direct.open(request, timeout=30) as answer:
            text = answer.read()
    except urllib.error.HTTPError as problem:
        detail = problem.read().decode(errors="replace")[:500]
        raise Refused(f"Airflow refuses {method} {url}: {problem.code} {detail}", problem.code) from problem
    except OSError as problem:
        raise StateError(f"Airflow does not answer at {url}: {problem}") from problem
    return json.loads(text) if text else None
