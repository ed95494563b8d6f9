"""A provider on the loopback: it answers as it is told, and keeps what it got."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

Answer = tuple[int, dict[str, str], dict[str, Any] | None]


class Provider:
    """What arrived, and what to answer: (status, headers, body) of a request."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.answer: Callable[[dict[str, Any]], Answer] = self.accept
        self.url = ""

    @staticmethod
    def accept(request: dict[str, Any]) -> Answer:
        if "/v3/mail/send" in request["path"]:
            return 202, {"X-Message-Id": "abc123"}, None
        return 201, {}, {"sid": "SM" + "0" * 32, "status": "queued"}

    def always(self, status: int, headers: dict[str, str] | None = None, body: dict[str, Any] | None = None) -> None:
        self.answer = lambda request: (status, headers or {}, body or {"errors": [{"message": "x@mail.example bad"}]})


@contextlib.contextmanager
def serve() -> Iterator[Provider]:
    """Start one, stop it afterwards."""
    state = Provider()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            request: dict[str, Any] = {
                "method": self.command,
                "path": self.path,
                "headers": dict(self.headers),
                "body": body,
            }
            if body.startswith("{"):
                request["json"] = json.loads(body)
            else:
                request["form"] = {key: values[0] for key, values in parse_qs(body).items()}
            state.requests.append(request)
            status, headers, answer = state.answer(request)
            content = json.dumps(answer).encode() if answer is not None else b""
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:  # a client that gave up is what some tests want
            pass

    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    state.url = f"http://127.0.0.1:{server.server_port}"
    yield state
    server.shutdown()
    server.server_close()
