"""The web service that providers and customers reach: reports, texts, unsubscribing, the way into the shop.

A request that is unsigned, too old, too large or malformed changes nothing and gets a 4xx. An event is committed before
it is acknowledged; while the database is away the answer is 503, and the provider comes again. A customer who follows
a link gets to the shop whatever happens: a click that is lost is counted, and logged. Nothing of a request is logged:
addresses and links that unsubscribe stand in it.
"""

from __future__ import annotations

import asyncio
import email.message
import email.parser
import email.policy
import hmac
import json
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, quote

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from sendgrid.helpers.eventwebhook import EventWebhook, EventWebhookHeader
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import ImmutableMultiDict
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send
from twilio.request_validator import RequestValidator

from retention.core import database
from retention.core.database import count, run
from retention.core.errors import InputError
from retention.core.settings import Settings
from retention.core.shop import Shop
from retention.delivery.rendering.links import read_click_token, read_unsubscribe_token
from retention.events import opting_out, receiving, reports
from retention.events.http.pages import page
from retention.events.http.writing import Busy, Writer
from retention.events.receiving import Report
from retention.offers import coupons

log = logging.getLogger(__name__)

SENDGRID_BYTES = 1_000_000  # SendGrid posts at most 768 KB
OTHER_BYTES = 64_000
INLINE_BYTES = 20_000  # what is read and checked at once: sooner done than handed to a thread
OLDEST = timedelta(hours=48)  # SendGrid tries again for 24 hours
NEWEST = timedelta(minutes=10)  # how far a clock may be ahead
CONNECTIONS = 8
SIGNED_WITHIN = timedelta(minutes=5)  # how old, or how far ahead, what the shop signs may be
PATIENCE = 2.0  # seconds that a customer waits for the database on the way into the shop
LONGEST_WAY = 2_000  # signs of a path and query of the shop
PRIVATE = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; "
    "frame-ancestors 'none'",
}

Form = ImmutableMultiDict[str, str]


class Refused(Exception):
    """This request is not taken: its status, and a word on why for whoever sent it."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


def opened(settings: Settings) -> Shop:
    """The shop as the service wants it, its connections kept open."""
    return Shop(settings, database.connect(settings, pool=CONNECTIONS))


def create_app(shop: Shop) -> FastAPI:
    """The service as an ASGI application.

    Raises InputError if SENDGRID_WEBHOOK_PUBLIC_KEY is no key, or ``opt_out.yaml`` cannot be read.
    """
    service = _Service(shop)
    app = FastAPI(title="retention events", openapi_url=None, docs_url=None, redoc_url=None)

    async def answer(request: Request, problem: Exception) -> Response:
        return _answer(problem)

    for kind in (Refused, Busy, SQLAlchemyError, ClientDisconnect, Exception):
        app.add_exception_handler(kind, answer)

    @app.get("/health")
    def health() -> dict[str, bool | int]:
        service.check()
        return {"ok": True, "clicks_lost": service.clicks_lost}

    @app.post("/events/sendgrid")
    async def sendgrid(request: Request) -> Response:
        body = await _body(request, SENDGRID_BYTES)
        return await service.sendgrid(body, request.headers)

    @app.post("/events/twilio")
    async def twilio(request: Request) -> Response:
        body = await _body(request, OTHER_BYTES)
        return await service.twilio(request, body)

    @app.post("/events/twilio/inbound")
    async def inbound(request: Request) -> Response:
        body = await _body(request, OTHER_BYTES)
        await run_in_threadpool(service.inbound, request, body)
        return Response("<?xml version='1.0' encoding='UTF-8'?><Response/>", media_type="text/xml")

    @app.post("/events/coupons")
    async def coupons_used(request: Request) -> Response:
        body = await _body(request, SENDGRID_BYTES)
        return await run_in_threadpool(service.coupons, body, request.headers)

    @app.get("/u/{token}")
    @app.head("/u/{token}")
    def ask(token: str) -> Response:
        return service.ask(token)

    @app.post("/u/{token}")
    async def unsubscribe(token: str, request: Request) -> Response:
        body = await _body(request, OTHER_BYTES)
        return await run_in_threadpool(service.unsubscribe, token, body, request.headers.get("content-type", ""))

    @app.get("/c/{token}")
    @app.head("/c/{token}")
    @app.get("/c/{token}/{path:path}")
    @app.head("/c/{token}/{path:path}")
    async def follow(token: str, request: Request, path: str = "") -> Response:
        return await service.follow(token, path, request)

    app.add_middleware(_Direct, {"/events/sendgrid": sendgrid, "/events/twilio": twilio})
    return app


def _answer(problem: Exception) -> Response:
    """What a request gets that was not taken."""
    if isinstance(problem, Refused):
        return JSONResponse({"refused": str(problem)}, problem.status)
    if isinstance(problem, ClientDisconnect):
        return JSONResponse({"refused": "incomplete"}, 400)
    if isinstance(problem, Busy):
        log.error("More events come than can be written: a request was told to come again.")
        return JSONResponse({"failed": "too much at once"}, 503, {"Retry-After": "30"})
    if isinstance(problem, SQLAlchemyError):
        # The statement's text at most: its values are hidden, and what PostgreSQL quotes of them is not logged.
        log.error("The database did not take a request: %s", type(getattr(problem, "orig", None) or problem).__name__)
        return JSONResponse({"failed": "the database is away"}, 503, {"Retry-After": "30"})
    # An error of ours: the provider comes again, and by then it may be mended.
    log.error("A request failed: %s", type(problem).__name__)
    return JSONResponse({"failed": "an error of ours"}, 503, {"Retry-After": "300"})


class _Direct:
    """Reports come in great numbers: they go past what the framework does for each route, a third of their time."""

    def __init__(self, app: ASGIApp, routes: Mapping[str, Callable[[Request], Awaitable[Response]]]) -> None:
        self._app = app
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        take = self._routes.get(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else None
        if take is None:
            await self._app(scope, receive, send)
            return
        try:
            response = await take(Request(scope, receive))
        except Exception as problem:
            response = _answer(problem)
        await response(scope, receive, send)


class _Service:
    """What the routes do."""

    def __init__(self, shop: Shop) -> None:
        self._settings = shop.settings
        self._engine = shop.engine
        self._now = shop.clock
        self._writer = Writer(shop)
        self._wordings = opting_out.read(shop.settings.include)
        self.clicks_lost = 0  # since the start
        self._sendgrid = _sendgrid_verifier(shop.settings)
        self._twilio = RequestValidator(shop.settings.twilio_auth_token) if shop.settings.twilio_auth_token else None

    def check(self) -> None:
        """Raises Refused or an error of the database unless events can be stored."""
        with self._engine.begin() as connection:
            if not count(connection, "events/answers"):
                raise Refused(503, "run `retention db init`")

    async def sendgrid(self, body: bytes, headers: Any) -> Response:
        """Store a report of SendGrid."""
        received_at = self._now()
        if len(body) <= INLINE_BYTES:
            events = self._read_sendgrid(body, headers, received_at)
        else:
            events = await run_in_threadpool(self._read_sendgrid, body, headers, received_at)
        return await self._store(Report("sendgrid", events, received_at))

    async def twilio(self, request: Request, body: bytes) -> Response:
        """Store a status callback of Twilio."""
        received_at = self._now()
        form = self._twilio_form(request, body)
        event = reports.from_twilio(request.query_params, form, received_at)
        if event is None:
            raise Refused(400, "not a report of a message of ours")
        return await self._store(Report("twilio", [event], received_at))

    async def follow(self, token: str, path: str, request: Request) -> Response:
        """Count the click, show the way into the shop. It leads there also when the click cannot be stored."""
        received_at = self._now()
        seen = read_click_token(self._settings, token)
        way = _way(path, request.scope["query_string"])
        if seen is None or way is None:
            return self._page("bad", None, 404)
        agent = reports.text(request.headers.get("user-agent"), 200)
        click = reports.clicked(*seen, self._settings.shop_url, path, request.method, agent, received_at)
        try:
            async with asyncio.timeout(PATIENCE):
                await self._writer.write(Report("retention", [click], received_at))
        except Exception as problem:
            self.clicks_lost += 1
            log.error("A click is lost, %s since the start: %s", self.clicks_lost, type(problem).__name__)
        return RedirectResponse(self._settings.shop_url.rstrip("/") + way, 302, PRIVATE)

    async def _store(self, report: Report) -> Response:
        new = await self._writer.write(report)
        return Response(json.dumps({"ours": len(report.events), "new": new}), media_type="application/json")

    def _read_sendgrid(self, body: bytes, headers: Any, received_at: datetime) -> list[reports.Event]:
        content = _text(body)
        self._check_sendgrid(content, headers, received_at)
        try:
            return reports.from_sendgrid(content, received_at)
        except ValueError:
            raise Refused(400, "not a list of events") from None

    def coupons(self, body: bytes, headers: Any) -> Response:
        """Redeem the coupons that the shop reports; what became of each."""
        received_at = self._now()
        self._check_shop(body, headers, received_at)
        try:
            uses = coupons.read(_text(body), received_at)
        except ValueError as problem:
            raise Refused(400, str(problem)) from None
        with self._engine.begin() as connection:
            return JSONResponse(coupons.redeem_reported(self._settings, connection, uses, received_at))

    def inbound(self, request: Request, body: bytes) -> None:
        """Obey a text: STOP and START. Any other text is for somebody else."""
        received_at = self._now()
        form = self._twilio_form(request, body)
        if not form.get("From") or not form.get("MessageSid"):
            raise Refused(400, "not a text")
        # What Twilio takes a text for comes first: a STOP that it obeyed by itself holds there as well.
        said = form.get("OptOutType", "").lower()
        if asked := said if said in ("stop", "start") else self._wordings.opt_keyword(form.get("Body", "")):
            with self._engine.begin() as connection:
                changed = receiving.obey_text(self._settings, connection, form, asked, received_at)
            log.info("a text says %s: %s customers changed", asked, changed)

    def ask(self, token: str) -> Response:
        """The page with the button. It changes nothing: programs that scan mails open every link."""
        customer_id = self._customer(token)
        if customer_id is None:
            return self._page("bad", None, 404)
        return self._page("ask", self._language(customer_id))

    def unsubscribe(self, token: str, body: bytes, content_type: str) -> Response:
        """One click, from the button or from a mail program (RFC 8058): no login, no cookie, no second page."""
        received_at = self._now()
        customer_id = self._customer(token)
        if customer_id is None:
            return self._page("bad", None, 404)
        if not _is_one_click(body, content_type):
            raise Refused(400, "the body must be List-Unsubscribe=One-Click")
        with self._engine.begin() as connection:
            receiving.unsubscribe(self._settings, connection, customer_id, received_at)
        return self._page("done", self._language(customer_id))

    def _customer(self, token: str) -> int | None:
        found = read_unsubscribe_token(self._settings, token)
        return found[0] if found else None

    def _language(self, customer_id: int) -> str | None:
        with self._engine.begin() as connection:
            return run(connection, "events/language", customer_id=customer_id).scalar()

    def _page(self, kind: str, language: str | None, status: int = 200) -> Response:
        return HTMLResponse(page(kind, self._settings.shop_name, language), status, PRIVATE)

    def _check_sendgrid(self, content: str, headers: Any, received_at: datetime) -> None:
        """Raises Refused unless SendGrid signed this, not too long ago: its helper looks at no age."""
        if self._sendgrid is None:
            raise Refused(403, "SENDGRID_WEBHOOK_PUBLIC_KEY is not set")
        signature, signed_at = headers.get(EventWebhookHeader.SIGNATURE), headers.get(EventWebhookHeader.TIMESTAMP)
        if not signature or not signed_at or not re.fullmatch(r"[0-9]{1,12}", signed_at):
            raise Refused(403, "not signed")
        try:
            is_valid = self._sendgrid.verify_signature(content, signature, signed_at)
        except Exception:  # a signature that cannot be read, in whichever way
            is_valid = False
        if not is_valid:
            raise Refused(403, "the signature is wrong")
        age = received_at.timestamp() - int(signed_at)
        if not -NEWEST.total_seconds() <= age <= OLDEST.total_seconds():
            raise Refused(403, "signed too long ago")

    def _check_shop(self, body: bytes, headers: Any, received_at: datetime) -> None:
        """Raises Refused unless the shop signed this, just now."""
        if not self._settings.coupons_secret:
            raise Refused(403, "RETENTION_COUPONS_SECRET is not set")
        signature, signed_at = headers.get("X-Retention-Signature", ""), headers.get("X-Retention-Timestamp", "")
        if not re.fullmatch(r"[0-9]{1,12}", signed_at):
            raise Refused(403, "not signed")
        said = signed_at.encode() + b"." + body
        wanted = "sha256=" + hmac.new(self._settings.coupons_secret.encode(), said, "sha256").hexdigest()
        if not hmac.compare_digest(signature.encode(), wanted.encode()):
            raise Refused(403, "the signature is wrong")
        if abs(received_at.timestamp() - int(signed_at)) > SIGNED_WITHIN.total_seconds():
            raise Refused(403, "signed too long ago")

    def _twilio_form(self, request: Request, body: bytes) -> Form:
        """The form of a request that Twilio signed, over the address that the world knows. Raises Refused."""
        if self._twilio is None:
            raise Refused(403, "TWILIO_AUTH_TOKEN is not set")
        signature = request.headers.get("X-Twilio-Signature")
        if not signature:
            raise Refused(403, "not signed")
        try:
            form = Form(parse_qsl(_text(body), keep_blank_values=True, max_num_fields=200))
        except ValueError:
            raise Refused(400, "not a form") from None
        query = request.scope["query_string"].decode("latin-1")
        url = self._settings.public_url.rstrip("/") + request.scope["path"] + (f"?{query}" if query else "")
        try:
            is_valid = self._twilio.validate(url, form, signature)
        except Exception:  # an address or a signature that cannot be read
            is_valid = False
        if not is_valid:
            raise Refused(403, "the signature is wrong")
        return form


def _sendgrid_verifier(settings: Settings) -> Any:
    if not settings.sendgrid_webhook_public_key:
        return None
    try:
        return EventWebhook(settings.sendgrid_webhook_public_key.strip())
    except Exception:  # the key is a secret of its kind: not quoted
        raise InputError(
            "SENDGRID_WEBHOOK_PUBLIC_KEY is no public key; copy the verification key from SendGrid's mail settings, "
            "without BEGIN and END lines."
        ) from None


async def _body(request: Request, limit: int) -> bytes:
    """The body, read no further than `limit` bytes. Raises Refused above it."""
    length = request.headers.get("content-length", "0")
    if length.isascii() and length.isdigit() and int(length[:20]) > limit:
        raise Refused(413, f"more than {limit} bytes")
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise Refused(413, f"more than {limit} bytes")
        parts.append(part)
    return b"".join(parts)


def _way(path: str, query: bytes) -> str | None:
    """The rest of a link as a path and query of the shop, always within it; None for what cannot be one."""
    if len(path) + len(query) > LONGEST_WAY or any(part in (".", "..") for part in re.split(r"[/\\]", path)):
        return None
    try:
        way = "/" + quote(path, safe="/:@!$&'()*+,;=~") if path else ""
        return way + ("?" + quote(query, safe="/:@!$&'()*+,;=~?%") if query else "")
    except UnicodeEncodeError:
        return None


def _text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise Refused(400, "not UTF-8") from None


def _is_one_click(body: bytes, content_type: str) -> bool:
    """Whether the form says List-Unsubscribe=One-Click; RFC 8058 allows both ways of writing a form."""
    if "multipart/form-data" in content_type.lower():
        head = b"Content-Type: " + content_type.encode("latin-1", "replace").replace(b"\r", b"").replace(b"\n", b"")
        parsed = email.parser.BytesParser(policy=email.policy.compat32).parsebytes(head + b"\r\n\r\n" + body)
        parts = parsed.get_payload() if parsed.is_multipart() else []
        return any(_is_one_click_part(part) for part in parts if isinstance(part, email.message.Message))
    try:
        fields = parse_qsl(body.decode("latin-1"), max_num_fields=200)
    except ValueError:
        return False
    return ("List-Unsubscribe", "One-Click") in fields


def _is_one_click_part(part: email.message.Message) -> bool:
    name = part.get_param("name", header="content-disposition")
    payload = part.get_payload(decode=True)
    return name == "List-Unsubscribe" and isinstance(payload, bytes) and payload.strip() == b"One-Click"
