"""Whoever keeps the service waiting keeps nobody else from being answered, and is cut off: over real sockets."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from urllib.parse import urlencode

import httpx
import psutil
import pytest
from desk import FORM, PUBLIC, TOKEN, Desk, signed
from running import command, served
from twilio.request_validator import RequestValidator

from retention.local import postgres

HEAD = b"POST /events/sendgrid HTTP/1.1\r\nHost: events\r\n"
IDLE = b"GET /c/none HTTP/1.1\r\nHost: events\r\n\r\n"
# What a connection begins with, and what it goes on sending.
SLOW = {
    "half_bodies": (HEAD + b"Content-Length: 400\r\n\r\n[", b""),
    "dripping_bodies": (HEAD + b"Content-Length: 400\r\n\r\n[", b" "),
    "endless_chunks": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    "half_heads": (HEAD, b""),
    "dripping_heads": (HEAD, b"X-A: b\r\n"),
    "silence": (b"", b""),
    "line_breaks": (b"\r\n", b"\r\n"),
    "answered_before_the_body_was_there": (HEAD + b"Content-Length: 9999999\r\n\r\n[", b" "),
    "line_breaks_after_an_answer": (IDLE + b"\r\n", b"\r\n"),
    "idle_after_an_answer": (IDLE, b""),
}


@pytest.fixture
def port() -> int:
    return postgres.free_port()


def connect(port: int, source: str = "127.0.0.1") -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=30, source_address=(source, 0))


@contextmanager
def held(port: int, number: int, kind: str, *, by: int = 1, more: bytes = b"") -> Iterator[list[socket.socket]]:
    """`number` connections that keep the service waiting, from `by` addresses."""
    first, drip = SLOW[kind]
    opened = []
    for each in range(number):
        opened.append(connect(port, f"127.0.1.{each % by + 1}"))
        with suppress(OSError):  # cut off already
            opened[-1].sendall(first.replace(b"\r\n", b"\r\n" + more, 1))
    done = threading.Event()

    def drop() -> None:
        while drip and not done.wait(0.5):
            for each in opened:
                with suppress(OSError):  # cut off
                    each.send(drip)

    dripping = threading.Thread(target=drop)
    dripping.start()
    try:
        yield opened
    finally:
        done.set()
        dripping.join()
        for each in opened:
            each.close()


def everybody_is_served(desk: Desk, port: int, source: str, **headers: str) -> None:
    """A customer unsubscribes by one click, one by a text, and SendGrid reports, over new connections."""
    there = f"http://127.0.0.1:{port}"
    with httpx.Client(transport=httpx.HTTPTransport(local_address=source), timeout=5, headers=headers) as client:
        answer = client.post(there + desk.link("A"), data={"List-Unsubscribe": "One-Click"})
        assert answer.status_code == 200, answer.text
        phone = desk.run("select phone from shop.customers where customer_ref = 'B'")[0]["phone"]
        form = {"From": phone, "Body": "STOP", "MessageSid": "SM1"}
        signature = RequestValidator(TOKEN).compute_signature(f"{PUBLIC}/events/twilio/inbound", form)
        said = FORM | {"X-Twilio-Signature": signature}
        answer = client.post(f"{there}/events/twilio/inbound", content=urlencode(form), headers=said)
        assert answer.status_code == 200, answer.text
        for number in range(20):
            body = json.dumps([desk.event("A", "delivered", number)] * 1000).encode()
            answer = client.post(f"{there}/events/sendgrid", content=body, headers=signed(body, datetime.now(UTC)))
            assert answer.json() == {"ours": 1000, "new": 1}
    assert desk.suppressions() == {("A", "all", "unsubscribed"), ("B", "all", "stopped")}


def are_open(sockets: list[socket.socket]) -> int:
    """How many of these the service has not closed."""
    found = 0
    for each in sockets:
        each.setblocking(False)
        try:
            while each.recv(65_536):
                pass
        except BlockingIOError:
            found += 1
        except OSError:
            pass
    return found


@pytest.mark.parametrize("kind", SLOW)
@pytest.mark.parametrize("by", [1, 250])
def test_while_a_thousand_keep_it_waiting_everybody_else_is_answered(desk: Desk, port: int, kind: str, by: int) -> None:
    with served(str(desk.settings.database_url), port), held(port, 1_000, kind, by=by) as sockets:
        everybody_is_served(desk, port, "127.0.0.9")
        assert are_open(sockets), "they were still held"


def test_whoever_shares_the_address_of_a_thousand_slow_ones_is_answered(desk: Desk, port: int) -> None:
    with served(str(desk.settings.database_url), port), held(port, 1_000, "half_bodies"):
        everybody_is_served(desk, port, "127.0.1.1")


def test_behind_a_trusted_proxy_the_slow_ones_are_told_apart(desk: Desk, port: int) -> None:
    trusted = {"RETENTION_TRUSTED_PROXIES": "10.0.0.0/8,127.0.1.1"}
    slow = b"X-Forwarded-For: 127.0.0.1, 198.51.100.7\r\n"
    with (
        served(str(desk.settings.database_url), port, **trusted),
        held(port, 60, "half_bodies", more=b"X-Forwarded-For: 203.0.113.4\r\n") as honest,
        held(port, 1_000, "half_bodies", more=slow) as sockets,
    ):
        everybody_is_served(desk, port, "127.0.1.1", **{"X-Forwarded-For": "198.51.100.7"})
        until(lambda: are_open(sockets) <= 100)
        assert are_open(sockets) == 100, "of one address a hundred may take their time"
        assert are_open(honest) == 60, "theirs is another address"


def test_what_a_proxy_that_is_not_trusted_says_of_the_address_is_not_believed(desk: Desk, port: int) -> None:
    with (
        served(str(desk.settings.database_url), port),
        held(port, 150, "half_bodies", more=b"X-Forwarded-For: 198.51.100.7\r\n") as first,
        held(port, 150, "half_bodies", more=b"X-Forwarded-For: 203.0.113.4\r\n") as second,
    ):
        until(lambda: are_open([*first, *second]) <= 100)
        assert are_open([*first, *second]) == 100


def test_whoever_keeps_it_waiting_is_cut_off_and_told_so(desk: Desk, port: int) -> None:
    with served(str(desk.settings.database_url), port):
        slow = {kind: held(port, 3, kind) for kind in SLOW}
        opened = {kind: each.__enter__() for kind, each in slow.items()}
        said = {kind: [everything(each) for each in sockets] for kind, sockets in opened.items()}
        for each in slow.values():
            each.__exit__(None, None, None)
    late = {kind for kind, answers in said.items() if all(b" 408 " in each for each in answers)}
    assert set(SLOW) - late == {"silence", "idle_after_an_answer", "answered_before_the_body_was_there"}
    assert {answer[:12] for answer in said["answered_before_the_body_was_there"]} == {b"HTTP/1.1 413"}
    assert set(said["silence"]) == {b""}


@pytest.mark.parametrize(
    ("first", "more", "answer"),
    [
        (HEAD, b"X-A: " + b"a" * 1000 + b"\r\n", b"HTTP/1.1 431"),
        (HEAD + b"X-A: ", b"a" * 1000, b"HTTP/1.1 431"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1;" + b"a" * 1000 + b"\r\n \r\n", b"HTTP/1.1 413"),
    ],
)
def test_a_head_or_a_body_without_end_is_refused(
    desk: Desk, port: int, first: bytes, more: bytes, answer: bytes
) -> None:
    with served(str(desk.settings.database_url), port), connect(port) as peer:
        peer.sendall(first)
        for _ in range(5_000):
            try:
                peer.sendall(more)
            except OSError:
                break
        else:
            raise AssertionError("five megabytes were taken")
        assert everything(peer)[:12] in (answer, b"")  # the system may drop it where more had been on the way
        everybody_is_served(desk, port, "127.0.0.1")


def test_answers_that_nobody_takes_hold_no_connection(desk: Desk, port: int) -> None:
    with served(str(desk.settings.database_url), port) as process, connect(port) as peer:
        peer.settimeout(1)
        with pytest.raises(OSError, match="timed out"):  # nothing is read, so the system has no more room in the end
            peer.sendall(IDLE * 1_000_000)
        there = (peer.getsockname()[1], "ESTABLISHED")

        def is_gone() -> bool:
            of_service = psutil.Process(process.pid).net_connections("tcp")
            return there not in {(each.raddr.port, each.status) for each in of_service if each.raddr}

        assert not is_gone()
        until(is_gone)
        assert is_gone()


def test_where_few_files_may_be_open_the_ones_that_wait_longest_make_room(desk: Desk, port: int) -> None:
    with (
        served(str(desk.settings.database_url), port, files=900),
        held(port, 1_500, "half_bodies", by=250),
        held(port, 500, "idle_after_an_answer", by=250),
    ):
        everybody_is_served(desk, port, "127.0.0.9")


def test_where_much_is_held_in_memory_the_ones_that_wait_longest_make_room(desk: Desk, port: int) -> None:
    part = HEAD + b"Content-Length: 999999\r\n\r\n" + b" " * 990_000
    opened = []
    with served(str(desk.settings.database_url), port):
        for number in range(300):
            opened.append(connect(port, f"127.0.1.{number % 250 + 1}"))
            opened[-1].sendall(part)
        everybody_is_served(desk, port, "127.0.0.9")
        assert are_open(opened[:50]) == 0
        assert are_open(opened[-50:]) == 50
    for each in opened:
        each.close()


def test_a_request_that_comes_in_pieces_but_in_time_is_taken(desk: Desk, port: int) -> None:
    body = b"List-Unsubscribe=One-Click"
    head = f"POST {desk.link('A')} HTTP/1.1\r\nHost: events\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with served(str(desk.settings.database_url), port), connect(port) as peer:
        for _ in range(2):  # on one connection
            for each in head + body:
                peer.send(bytes([each]))
                time.sleep(0.005)
            answer = b""
            while b"</html>" not in answer:
                answer += peer.recv(65_536)
            assert answer.startswith(b"HTTP/1.1 200")
    assert desk.suppressions() == {("A", "all", "unsubscribed")}


def test_it_ends_in_order_also_while_half_a_body_is_held(desk: Desk, port: int) -> None:
    with served(str(desk.settings.database_url), port) as process, held(port, 50, "dripping_bodies"):
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == -signal.SIGTERM
        with pytest.raises(ConnectionRefusedError):
            connect(port)


@pytest.mark.parametrize(
    ("port", "host", "code", "sentence"),
    [
        ("99999", "127.0.0.1", 2, "'99999' is no port; write a number from 1 to 65535."),
        ("65536", "127.0.0.1", 2, "'65536' is no port"),
        ("0", "127.0.0.1", 2, "'0' is no port"),
        ("٣", "127.0.0.1", 2, "is no port"),
        ("8", "203.0.113.1", 2, "--host is '203.0.113.1', which is no address of this machine."),
        ("8", "nowhere.invalid", 2, "--host is 'nowhere.invalid', which is no address: "),
        ("8", "a" * 70 + ".example", 2, "which is no address: "),
    ],
)
def test_where_it_cannot_listen_it_says_so(port: str, host: str, code: int, sentence: str) -> None:
    ended = subprocess.run(command(port, "--host", host), capture_output=True, text=True, timeout=60)
    assert ended.returncode == code
    assert sentence in ended.stderr.splitlines()[-1]
    assert "Traceback" not in ended.stderr


def test_a_port_in_use_ends_it_with_a_sentence(desk: Desk, port: int) -> None:
    with served(str(desk.settings.database_url), port):
        ended = subprocess.run(command(port), capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1
    assert ended.stderr == (
        f"retention: Cannot listen on 127.0.0.1, port {port}: Address already in use. Choose another --port.\n"
    )


def everything(peer: socket.socket) -> bytes:
    """What the service sends until it closes the connection."""
    peer.settimeout(60)
    found = b""
    with suppress(ConnectionResetError):
        while part := peer.recv(65_536):
            found += part
    return found


def until(holds: object) -> None:
    """Wait for `holds`, for a minute at most; whoever asks looks once more."""
    assert callable(holds)
    for _ in range(600):
        if holds():
            return
        time.sleep(0.1)
