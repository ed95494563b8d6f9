"""The server of the web service: uvicorn, which waits for nobody for long.

uvicorn has no limit to the time in which a request must arrive, and its `limit_concurrency` counts whoever holds a
connection open: a few hundred half-sent requests would have everybody else refused. Here nobody is refused for how many
come. A request that does not arrive in time is cut off. Where room gets short, whoever has kept us waiting longest is
cut off as well; providers and mail programs send their requests whole, so it is none of them.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import logging
import os
import resource
import socket
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, ClassVar

import uvicorn
from starlette.types import ASGIApp
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from retention.core.errors import InputError, RetentionError

log = logging.getLogger(__name__)

# Seconds in which a request's head must be there, and then its body.
WITHIN = {"head": 10.0, "body": 20.0}
AT_ONCE = 100  # requests of one address that have begun to arrive; further ones must be there sooner:
HURRIED_WITHIN = 2.0
LAST_WITHIN = 2.0  # what is still to arrive when the service ends
TAKEN_WITHIN = 10.0  # seconds in which an answer must be taken
IDLE = 5  # seconds between two requests of a connection
HEAD_BYTES = 64_000
REQUEST_BYTES = 2_000_000  # as it comes over the wire: twice what the largest body may have
CONNECTIONS = 4_000
BYTES = 200_000_000  # of all requests that have not arrived yet
BACKLOG = 512  # connections that the system accepts for us in one go
FILES = 100  # that the process has open besides connections
LOG_EVERY = 60.0  # seconds

_CUT = {
    "head": b"408 Request Timeout",
    "body": b"408 Request Timeout",
    "large head": b"431 Request Header Fields Too Large",
    "large body": b"413 Content Too Large",
}


def listen(host: str, port: int) -> list[socket.socket]:
    """Sockets that listen on `port` of every address of `host`.

    Raises InputError for a host that is no address of this machine, RetentionError if the port cannot be had.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as problem:
        raise InputError(f"--host is {host[:100]!r}, which is no address: {problem}.") from problem
    sockets: list[socket.socket] = []
    not_here: OSError | None = None
    for family, address in dict.fromkeys((each[0], each[4]) for each in found):
        try:
            sockets.append(socket.create_server(address[:2], family=family, backlog=BACKLOG))
        except OSError as problem:
            if problem.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                not_here = problem  # like ::1 of localhost, where there is no IPv6
                continue
            why = os.strerror(problem.errno or 0)
            raise RetentionError(f"Cannot listen on {host}, port {port}: {why}. Choose another --port.") from problem
    if not sockets:
        raise InputError(f"--host is {host[:100]!r}, which is no address of this machine.") from not_here
    for each in sockets:
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux; each connection inherits it
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(TAKEN_WITHIN * 1000))
    return sockets


def serve(app: ASGIApp, sockets: list[socket.socket], trusted_proxies: Sequence[str] = ()) -> None:
    """Answer on `sockets` until SIGTERM or SIGINT comes; what has arrived by then is answered.

    `trusted_proxies`: addresses and networks whose X-Forwarded-For says on whose behalf they ask.
    """
    files = _most_files()

    class Connection(_Connection):
        held = Held(max(min(CONNECTIONS, files - BACKLOG - FILES), 50))
        proxies = ProxyHeadersMiddleware(app, list(trusted_proxies)).trusted_hosts  # type: ignore[arg-type]

    config = uvicorn.Config(
        app,
        http=Connection,
        ws="none",
        proxy_headers=False,
        access_log=False,  # the paths hold links that unsubscribe
        log_config=None,
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=IDLE,
    )
    for each in sockets:
        log.info("Listening on %s, port %s", *each.getsockname()[:2])
    with suppress(KeyboardInterrupt):  # it has ended in order by then
        uvicorn.Server(config).run(sockets)


def _most_files() -> int:
    """How many files this process may have open, after raising that as far as it may."""
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CONNECTIONS + BACKLOG + FILES
    if most != resource.RLIM_INFINITY:
        wanted = min(wanted, most)
    if now != resource.RLIM_INFINITY and now < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
    return wanted


class Held:
    """All connections, and among them those that we wait for, the one that we have waited for longest first."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._open: set[_Connection] = set()
        self._waiting: dict[_Connection, None] = {}
        self._unfinished: Counter[str] = Counter()  # by address
        self._bytes = 0
        self._cut = 0
        self._logged_at = float("-inf")

    def opened(self, connection: _Connection) -> None:
        """A connection came."""
        self._open.add(connection)

    def closed(self, connection: _Connection) -> None:
        """It is gone, or as good as gone."""
        self._open.discard(connection)

    def wait(self, connection: _Connection, address: str | None) -> bool:
        """We wait for `connection` from now on; whether its `address` has more unfinished requests than it should."""
        self._waiting[connection] = None
        if address is not None:
            self._unfinished[address] += 1
        is_hurried = address is not None and self._unfinished[address] > AT_ONCE
        while len(self._open) > self._most and self._waiting:
            next(iter(self._waiting)).cut()
        return is_hurried

    def grow(self, size: int) -> None:
        """So much more has come of requests that are not there yet."""
        self._bytes += size
        while self._bytes > BYTES and self._waiting:
            next(iter(self._waiting)).cut()

    def go(self, connection: _Connection, address: str | None, size: int) -> None:
        """We do not wait for it any more; `address` and `size` are those it has counted for."""
        self._waiting.pop(connection, None)
        self._bytes -= size
        if address is not None:
            self._unfinished[address] -= 1
            if not self._unfinished[address]:
                del self._unfinished[address]

    def note(self, now: float) -> None:
        """A request was cut off: counted, and from time to time logged."""
        self._cut += 1
        if now - self._logged_at >= LOG_EVERY:
            log.warning("Requests that did not arrive in time were cut off: %s since the start", self._cut)
            self._logged_at = now


class _Connection(HttpToolsProtocol):
    """A connection that must not keep us waiting. What we wait for: a request's head, its body, or the next request."""

    held: ClassVar[Held]
    proxies: ClassVar[Any]

    _awaited: str | None = None  # head, body or next; None: we are at work
    _arriving: str | None = "head"  # what the parser has come to; None: a request is there
    _is_another: bool = False  # a further request has begun
    _counts_for: str | None = None
    _size: int = 0  # bytes of what is arriving
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.held.opened(self)
        self._wait("head")

    def connection_lost(self, exc: Exception | None) -> None:
        self._go()
        self.held.closed(self)
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._arriving = "head"
        self._is_another = True

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self._arriving = "body"

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._arriving = None

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.transport.is_closing():
            return
        awaited = self._arriving
        if awaited is None and (self.cycle is None or self.cycle.response_complete):
            awaited = "head"  # line breaks between requests, or the end of one that was answered before it was there
        if awaited != self._awaited or self._is_another:
            self._is_another = False
            self._go()
            if awaited is not None:
                self._wait(awaited)
        if awaited is not None:
            # Whole requests may stand before a head in the same data, so the first part of a head is never too large.
            new = len(data) if self._size or awaited == "body" else min(len(data), HEAD_BYTES)
            self._size += new
            self.held.grow(new)
            if self._size > (HEAD_BYTES if awaited == "head" else REQUEST_BYTES):
                self.cut(f"large {awaited}")

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._awaited is None and self.timeout_keep_alive_task is not None:
            self._wait("next")  # uvicorn itself ends it after a while

    def shutdown(self) -> None:
        super().shutdown()
        if self._timer is not None and not self.transport.is_closing():
            self._timer.cancel()
            self._timer = self.loop.call_later(LAST_WITHIN, self.cut)

    def cut(self, why: str | None = None) -> None:
        """End a connection that we wait for, with a word on why if nothing else is being said on it."""
        why = why or self._awaited or "next"
        if self._awaited == "body":
            is_silent = not self.pipeline and not self.cycle.response_started
        else:
            is_silent = self.cycle is None or self.cycle.response_complete
        if is_silent and self._size and why in _CUT:
            self.transport.write(b"HTTP/1.1 " + _CUT[why] + b"\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
        if why != "next":
            self.held.note(self.loop.time())
        self._go()
        self.held.closed(self)
        self.transport.close()

    def _wait(self, awaited: str) -> None:
        self._awaited = awaited
        if awaited != "next":
            self._counts_for = self._address(awaited)
        is_hurried = self.held.wait(self, self._counts_for)
        if awaited != "next" and self._awaited:
            within = HURRIED_WITHIN if is_hurried else WITHIN[awaited]
            self._timer = self.loop.call_later(within, self.cut)

    def _go(self) -> None:
        if self._awaited is None:
            return
        self._awaited = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.held.go(self, self._counts_for, self._size)
        self._counts_for, self._size = None, 0

    def _address(self, awaited: str) -> str | None:
        """Whose request this is: behind a trusted proxy known with its head, before that None."""
        peer = self.client[0] if self.client else None
        if peer not in self.proxies:
            return peer and _place(peer)
        if awaited == "head":
            return None
        said = b", ".join(value for name, value in self.headers if name == b"x-forwarded-for").decode("latin-1")
        return _place(self.proxies.get_trusted_client_address(said)[0] or str(peer))


def _place(address: str) -> str:
    """An IPv4 address, or the network of an IPv6 one: whoever has one of these has 2^64 of them."""
    if ":" not in address:
        return address
    try:
        parsed = ipaddress.IPv6Address(address.split("%")[0])
    except ValueError:
        return address
    return str(parsed.ipv4_mapped or ipaddress.IPv6Network((parsed, 64), strict=False))
