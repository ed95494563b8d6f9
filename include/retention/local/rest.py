"""Airflow's REST interface, as much of it as `up` and the first run need: quicker than its command line by seconds."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from retention.errors import StateError


def call(url: str, method: str = "GET", body: dict[str, Any] | None = None, passwords: Path | None = None) -> Any:
    """One request, its JSON answer. Raises StateError with Airflow's own words when it refuses or is not there."""
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    if passwords is not None:
        headers["Authorization"] = f"Bearer {_token(url, passwords)}"
    return _send(urllib.request.Request(url, json.dumps(body).encode() if body else None, headers, method=method))


def _token(url: str, passwords: Path) -> str:
    """A token for the administrator: free where nobody has to log in, else for the password."""
    root = "/".join(url.split("/")[:3])
    try:
        answer = call(f"{root}/auth/token")
    except StateError:
        body = {"username": "admin", "password": json.loads(passwords.read_text())["admin"]}
        answer = call(f"{root}/auth/token", "POST", body)
    return str(answer["access_token"])


def _send(request: urllib.request.Request) -> Any:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a loopback address never goes by a proxy
    try:
        with direct.open(request, timeout=30) as answer:
            text = answer.read()
    except urllib.error.HTTPError as problem:
        detail = problem.read().decode(errors="replace")[:500]
        raise StateError(f"Airflow refuses {request.method} {request.full_url}: {problem.code} {detail}") from problem
    except OSError as problem:
        raise StateError(f"Airflow does not answer at {request.full_url}: {problem}") from problem
    return json.loads(text) if text else None
