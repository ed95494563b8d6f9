"""SendGrid and Twilio on the loopback, in a process of their own: a worker that is killed never takes them along.

    python checking_provider.py       prints its address, serves until its standard input is closed

Each request is held against the rules that both publish; what breaks one is refused with 400 and kept as a violation.
What would have been delivered is counted, per key and recipient. Faults come by schedule: which one a request meets
depends on the seed, on its first key and on how often that key came, so a seed reproduces it whatever the order is.

`POST /drill/begin` takes {seed, faults: {kind: weight}, resets: share, bad: [recipient], latency: seconds} and forgets
all before; with {keep: true} each mail is taken as it comes and read when the report is asked for, which costs the
machine that a benchmark measures least. `POST /drill/calm` ends the faults, `GET /drill/report` gives {deliveries:
[[key, recipient]], requests, violations, met: {kind: number}}.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import random
import re
import socket
import struct
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

# 429, 401: not taken. 500, 503: taken or not. half: one half taken, then 500. The others take the request and then
# answer late, never, in part, with the wrong status, or hang up.
FAULTS = ("429", "401", "500", "503", "half", "200", "slow", "accept_then_silence", "accept_then_reset", "cut_answer")
SLOW = 0.1  # seconds; below the time-out of the drill's clients
SILENCE = 3.0  # far above it

ADDRESS = re.compile(r"[^\s@<>(),;\"]+@[^\s@<>(),;\"]+\.[^\s@<>(),;\"]+")
FORBIDDEN_HEADERS = {
    "x-sg-id",
    "x-sg-eid",
    "received",
    "dkim-signature",
    "content-type",
    "content-transfer-encoding",
    "to",
    "from",
    "subject",
    "reply-to",
    "cc",
    "bcc",
}
TAG = re.compile(r"-[sth]?[0-9a-f]{12}\.[\w.]+-")
MAIL_KEYS = {"from", "subject", "personalizations", "content", "categories", "tracking_settings"}
PERSON_KEYS = {"to", "subject", "headers", "custom_args", "substitutions"}
SMS_KEYS = {"To", "From", "MessagingServiceSid", "Body", "StatusCallback", "ValidityPeriod"}

Headers = dict[str, str]
Deliveries = list[tuple[str, str]]  # (key, recipient)


class Broken(Exception):
    """A rule of the provider that a request breaks."""


def must(holds: object, rule: str) -> None:
    if not holds:
        raise Broken(rule)


def check_mail(headers: Headers, body: bytes) -> Deliveries:
    """Who would get this mail, by key. Raises Broken."""
    must(re.fullmatch(r"Bearer \S+", headers.get("authorization", "")), "authorization is no bearer")
    must(headers.get("content-type") == "application/json", "the content type is not JSON")
    must(len(body) < 30_000_000, "30 MB and more")
    mail = json.loads(body)
    must(isinstance(mail, dict) and set(mail) <= MAIL_KEYS, "unknown fields")
    must(ADDRESS.fullmatch(mail["from"]["email"]), "from is no address")
    people = mail["personalizations"]
    must(1 <= len(people) <= 1000, "1 to 1,000 personalizations")
    _check_content(mail["content"])
    categories = mail.get("categories", [])
    must(len(categories) <= 10 and len(set(categories)) == len(categories), "10 categories, each once")
    must(all(isinstance(each, str) and len(each) <= 255 and "@" not in each for each in categories), "a category")
    delivered = [_check_person(person, mail) for person in people]
    must(len({key for key, _ in delivered}) == len(delivered), "a key twice in one request")
    must(len({to.lower() for _, to in delivered}) == len(delivered), "a recipient twice in one request")
    return delivered


def _check_content(content: list[dict[str, str]]) -> None:
    must([each["type"] for each in content] in (["text/plain"], ["text/plain", "text/html"]), "text first, then HTML")
    must(all(isinstance(each["value"], str) and each["value"] for each in content), "content is a string, not empty")


def _check_person(person: dict[str, Any], mail: dict[str, Any]) -> tuple[str, str]:
    must(set(person) <= PERSON_KEYS, "unknown fields of a personalization")
    must(len(person["to"]) == 1, "one recipient for one key")
    to = person["to"][0]
    must(isinstance(to["email"], str) and ADDRESS.fullmatch(to["email"]), "to is no address")
    must(not set(to.get("name", "")) & set(";,"), "; or , in a name")
    subject = person.get("subject") or mail.get("subject")
    must(isinstance(subject, str) and subject and "\n" not in subject, "a subject, in one line")
    headers = person.get("headers", {})
    must(
        all(isinstance(value, str) and value.isascii() and "\n" not in value for value in headers.values()), "a header"
    )
    must(not {name.lower() for name in headers} & FORBIDDEN_HEADERS, "a forbidden header")
    must(re.fullmatch(r"<https://[^>\s]+>", headers.get("List-Unsubscribe", "")), "no List-Unsubscribe")
    must(headers.get("List-Unsubscribe-Post") == "List-Unsubscribe=One-Click", "no List-Unsubscribe-Post")
    arguments = person["custom_args"]
    must(all(isinstance(value, str) for value in arguments.values()), "custom_args are strings")
    must(
        len(json.dumps(arguments)) <= 10_000 and "@" not in json.dumps(arguments), "custom_args: too long, or personal"
    )
    words = person.get("substitutions", {})
    must(all(isinstance(value, str) for value in words.values()), "substitutions are strings")
    must(sum(len(tag.encode()) + len(word.encode()) for tag, word in words.items()) <= 10_000, "substitutions too long")
    for text in (subject, *(each["value"] for each in mail["content"])):
        must(set(TAG.findall(text)) <= set(words), "a tag that nothing stands for")
    must(not TAG.search("".join(words.values())), "a tag in the words for another")
    return arguments["message_key"], to["email"]


def check_sms(path: str, headers: Headers, body: bytes) -> Deliveries:
    """Who would get this text, by key. Raises Broken."""
    scheme, _, secret = headers.get("authorization", "").partition(" ")
    account = path.split("/")[3]
    must(re.fullmatch(r"AC[0-9a-f]{32}", account), "no account")
    must(scheme == "Basic" and base64.b64decode(secret).decode().startswith(f"{account}:"), "not this account's key")
    must(headers.get("content-type", "").startswith("application/x-www-form-urlencoded"), "not a form")
    pairs = parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=True)
    form = dict(pairs)
    must(len(form) == len(pairs) and set(form) <= SMS_KEYS, "unknown fields, or one twice")
    must(re.fullmatch(r"\+[1-9][0-9]{6,14}", form["To"]), "To is not E.164")
    must(("From" in form) != ("MessagingServiceSid" in form), "one of From and MessagingServiceSid")
    must(re.fullmatch(r"MG[0-9a-fA-F]{32}", form.get("MessagingServiceSid", "MG" + "0" * 32)), "MessagingServiceSid")
    must(1 <= len(form["Body"]) <= 1600, "1 to 1,600 characters")
    must(form["ValidityPeriod"].isdigit() and 1 <= int(form["ValidityPeriod"]) <= 36_000, "1 to 36,000 seconds")
    callback = urlsplit(form["StatusCallback"])
    must(callback.scheme == "https" and "_" not in callback.netloc, "StatusCallback: https, no underscore in the host")
    must(callback.fragment == "rc=5&rp=all", "StatusCallback asks for no repeats")
    query = dict(parse_qsl(callback.query))
    return [(query["message_key"], form["To"])]


class Provider:
    """What arrived, what it met, what was delivered."""

    def __init__(self) -> None:
        self.begin({})

    def begin(self, schedule: dict[str, Any]) -> None:
        self.seed = schedule.get("seed", 0)
        self.faults: dict[str, int] = schedule.get("faults", {})
        self.resets = float(schedule.get("resets", 0))  # the share of connections
        self.latency = float(schedule.get("latency", 0))  # seconds that any answer takes
        self.connections = 0
        self.bad = set(schedule.get("bad", []))
        self.is_keeping = schedule.get("keep", False)
        self.kept: list[tuple[str, Headers, bytes]] = []
        self.deliveries: Deliveries = []
        self.requests = 0
        self.violations: list[str] = []
        self.met: Counter[str] = Counter()
        self.comes: Counter[str] = Counter()

    def report(self) -> dict[str, Any]:
        for request in self.kept:
            try:
                self.deliver(self.read(*request))
            except Broken as problem:
                self.violations.append(str(problem))
        self.kept = []
        return {
            "deliveries": self.deliveries,
            "requests": self.requests,
            "violations": self.violations,
            "met": self.met,
        }

    def deliver(self, messages: Deliveries) -> None:
        self.deliveries += messages

    def read(self, path: str, headers: Headers, body: bytes) -> Deliveries:
        """The messages in a request. Raises Broken."""
        try:
            if path == "/v3/mail/send":
                return check_mail(headers, body)
            must(re.fullmatch(r"/2010-04-01/Accounts/\w+/Messages\.json", path), f"no such path: {path}")
            return check_sms(path, headers, body)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as problem:
            raise Broken(f"{type(problem).__name__}: {problem}") from problem

    def hangs_up(self) -> bool:
        """Whether this connection is reset before its request has been read."""
        self.connections += 1
        hangs_up = random.Random(f"{self.seed} {self.connections}").random() < self.resets
        self.met["reset_before_reading"] += hangs_up
        return hangs_up

    def fault(self, messages: Deliveries) -> str:
        """What this request meets; `accept` where nothing."""
        first = min(key for key, _ in messages)
        self.comes[first] += 1
        dice = random.Random(f"{self.seed} {first} {self.comes[first]}")
        kind = dice.choices(list(self.faults), list(self.faults.values()))[0] if self.faults else "accept"
        if kind in ("500", "503") and dice.random() < 0.5:
            kind += "_taken"
        self.met[kind] += 1
        return kind


class Connection:
    """One client: requests after each other until it hangs up."""

    def __init__(self, provider: Provider, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.provider, self.reader, self.writer = provider, reader, writer

    async def serve(self) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while await self._one():
                pass
        self.writer.close()

    async def _one(self) -> bool:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        _, target, _ = head[0].split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        if not target.startswith("/drill/") and self.provider.hangs_up():
            return self._reset()
        body = await self.reader.readexactly(int(headers.get("content-length", 0)))
        if target.startswith("/drill/"):
            if target == "/drill/begin":
                self.provider.begin(json.loads(body))
            if target == "/drill/calm":
                self.provider.faults, self.provider.resets = {}, 0.0
            await self._answer(200, self.provider.report())
            return True
        self.provider.requests += 1
        is_kept = await self._meet(target, headers, body)
        return is_kept and headers.get("connection", "").lower() != "close"

    async def _meet(self, path: str, headers: Headers, body: bytes) -> bool:
        """Answer as the schedule says; whether the connection goes on."""
        provider, is_mail = self.provider, path == "/v3/mail/send"
        if provider.is_keeping and is_mail:
            provider.kept.append((path, headers, body))
            return await self._answer(202, None, {"X-Message-Id": "m" * 22})
        try:
            messages = provider.read(path, headers, body)
        except Broken as problem:
            provider.violations.append(str(problem))
            return await self._answer(400, {"errors": [{"message": str(problem)}]})
        await asyncio.sleep(provider.latency)
        if any(to in provider.bad for _, to in messages):
            return await self._answer(400, {"code": 21211, "errors": [{"message": "bad recipient"}]})
        kind = provider.fault(messages)
        if kind == "429":
            reset = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(time.time()) + 20)}
            return await self._answer(429, {"code": 20429}, reset if is_mail else {})
        if kind == "401":
            return await self._answer(401, {"code": 20003})
        if kind in ("500", "503"):
            return await self._answer(int(kind), {})
        provider.deliver(messages[: len(messages) // 2] if kind == "half" else messages)
        if kind == "half" or kind.endswith("_taken"):
            return await self._answer(int(kind[:3]) if kind != "half" else 500, {"code": 20500})
        if kind == "accept_then_silence":
            await asyncio.sleep(SILENCE)
            return False
        if kind == "accept_then_reset":
            return self._reset()
        if kind == "slow":
            await asyncio.sleep(SLOW)
        if kind == "200":
            return await self._answer(200, {})
        if is_mail:
            return await self._answer(202, None, {"X-Message-Id": "m" * 22}, is_cut=kind == "cut_answer")
        return await self._answer(201, {"sid": "SM" + "0" * 32, "status": "queued"}, is_cut=kind == "cut_answer")

    async def _answer(self, status: int, content: Any, headers: Headers | None = None, is_cut: bool = False) -> bool:
        body = b"" if content is None else json.dumps(content).encode()
        lines = [f"HTTP/1.1 {status} -", f"Content-Length: {len(body)}", "Content-Type: application/json"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        answer = "\r\n".join([*lines, "", ""]).encode() + body
        self.writer.write(answer[: len(answer) // 3] if is_cut else answer)
        await self.writer.drain()
        return not is_cut

    def _reset(self) -> bool:
        """Hang up with a reset in place of an end."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()
        return False


async def _serve() -> None:
    provider = Provider()
    server = await asyncio.start_server(
        lambda reader, writer: Connection(provider, reader, writer).serve(), "127.0.0.1", 0, limit=2**26
    )
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)  # until whoever started us is gone
    os._exit(0)  # connections that wait for something are of no use to anybody


class Remote:
    """The provider as the one who started it sees it."""

    def __init__(self, url: str, pid: int) -> None:
        self.url = url
        self.pid = pid

    def begin(self, **schedule: Any) -> None:
        self._ask("begin", json.dumps(schedule).encode())

    def calm(self) -> None:
        self._ask("calm", b"")

    def report(self) -> dict[str, Any]:
        return self._ask("report", None)

    def _ask(self, what: str, body: bytes | None) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.url}/drill/{what}", data=body, timeout=30) as answer:
            return json.loads(answer.read())


@contextlib.contextmanager
def started() -> Iterator[Remote]:
    """Start one, stop it afterwards."""
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__))], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield Remote(process.stdout.readline().strip(), process.pid)
    finally:
        process.stdin.close()
        process.wait()
        process.stdout.close()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve())
