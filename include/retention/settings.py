"""Settings: read once from the environment (DESIGN: names start with ``RETENTION_``), never changed after."""

from __future__ import annotations

import hashlib
import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from retention.errors import InputError

CLOCKS = ("wall", "days")
DELIVERIES = ("outbox", "live")
LOCAL_SECRET = "local-secret-for-the-outbox-only"
DEMO_SHOP_URL = "https://demo-shop.example"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that may differ between two installations. Secrets never show in ``repr``."""

    include: Path  # the folder with sql/, sources/, campaigns/, messages/ ...
    local: Path  # where this machine keeps the embedded server, the outbox and logs
    database_url: str | None = field(default=None, repr=False)  # None: the embedded server
    shop_time_zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("Europe/Amsterdam"))
    shop_name: str = "Demo Shop"
    shop_address: str = "Demo Shop, Keizersgracht 1, Amsterdam"  # law wants a postal address in each mail
    email_from: str = "shop@demo-shop.example"
    reporting_currency: str = "EUR"
    clock: str = "wall"  # wall: now; days: sends of run D play on D+1
    audiences: str | None = None  # where lists leave as files, a folder or URL; None: the folder audiences in `local`
    delivery: str = "outbox"  # outbox: keep the rendered message; live: hand it to the provider
    workers: int = 1  # processes that deliver side by side
    batch_size: int = 500  # messages claimed at once
    emails_per_request: int = 100  # what one lost answer leaves unknown
    email_delay: int = 0  # seconds that SendGrid holds an e-mail for, so that a halt can cancel it
    sms_segments: int = 3  # of one text; a longer one is refused, since every segment costs
    email_requests_at_once: int = 4  # that one worker has under way at SendGrid
    sms_at_once: int = 16  # calls to Twilio that one worker has under way
    inactive_days: int = 180  # no open or click for so long, while we looked: not in send_base
    public_url: str = "http://127.0.0.1:8088"  # where links in messages lead
    trusted_proxies: tuple[str, ...] = ()  # addresses and networks whose X-Forwarded-For the web service believes
    shop_url: str = DEMO_SHOP_URL  # where they lead from there: the shop's own address
    secret: str = field(default=LOCAL_SECRET, repr=False)  # key of coupon codes and links
    sendgrid_api_key: str | None = field(default=None, repr=False)
    sendgrid_host: str = "https://api.sendgrid.com"
    sendgrid_webhook_public_key: str | None = field(default=None, repr=False)  # what its reports are signed for
    coupons_secret: str | None = field(default=None, repr=False)  # what the shop signs redeemed coupons with
    twilio_account_sid: str | None = field(default=None, repr=False)
    twilio_auth_token: str | None = field(default=None, repr=False)
    twilio_base_url: str = "https://api.twilio.com"
    twilio_from: str | None = None
    provider_timeout: float = 10.0  # seconds until a call counts as unanswered

    def __post_init__(self) -> None:
        if self.clock not in CLOCKS:
            raise InputError(f"RETENTION_CLOCK is {self.clock!r}; write 'wall' or 'days'.")
        if self.email_delay and not 600 < self.email_delay <= 259_200:
            raise InputError(
                f"RETENTION_EMAIL_DELAY is {self.email_delay}; write 601 to 259200 seconds: SendGrid cancels nothing "
                "that is due within ten minutes, and holds nothing for more than 72 hours."
            )
        if self.delivery not in DELIVERIES:
            raise InputError(f"RETENTION_DELIVERY is {self.delivery!r}; write 'outbox' or 'live'.")
        if self.delivery == "live" and self.secret == LOCAL_SECRET:
            raise InputError("RETENTION_DELIVERY is 'live', so RETENTION_SECRET must be set to a secret of your own.")
        if not re.fullmatch(r"https?://[^\s/?#@\\]+(/[^\s?#\\]*)?", self.shop_url):
            raise InputError(
                f"RETENTION_SHOP_URL is {self.shop_url!r}; write the shop's address, like 'https://www.shop.example'."
            )

    def evolve(self, **changes: object) -> Settings:
        """The same settings with some values changed."""
        return replace(self, **changes)  # type: ignore[arg-type]


def from_environment(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings. Raises InputError with the variable's name when a value cannot be used."""
    include = Path(environ.get("RETENTION_INCLUDE") or Path(__file__).resolve().parents[1])
    if not (include / "sql").is_dir():
        raise InputError(f"RETENTION_INCLUDE is {str(include)!r}, but there is no folder sql/ in it.")
    values: dict[str, object] = {
        "include": include,
        "local": Path(environ.get("RETENTION_LOCAL") or include.parent / ".local"),
        "shop_time_zone": _zone(environ.get("RETENTION_SHOP_TIME_ZONE") or "Europe/Amsterdam"),
    }
    for name in (
        "database_url shop_name shop_address email_from reporting_currency clock delivery audiences public_url "
        "shop_url secret coupons_secret"
    ).split():
        if value := environ.get(f"RETENTION_{name.upper()}"):
            values[name] = value
    for name in (
        "sendgrid_api_key sendgrid_host sendgrid_webhook_public_key "
        "twilio_account_sid twilio_auth_token twilio_base_url twilio_from"
    ).split():
        if value := environ.get(name.upper()):
            values[name] = value
    for name in (
        "workers",
        "batch_size",
        "emails_per_request",
        "email_delay",
        "sms_segments",
        "sms_at_once",
        "email_requests_at_once",
        "inactive_days",
    ):
        if value := environ.get(f"RETENTION_{name.upper()}"):
            values[name] = _number(f"RETENTION_{name.upper()}", value, int)
    if value := environ.get("RETENTION_TRUSTED_PROXIES"):
        values["trusted_proxies"] = tuple(_network("RETENTION_TRUSTED_PROXIES", each) for each in value.split(","))
    if value := environ.get("RETENTION_PROVIDER_TIMEOUT"):
        values["provider_timeout"] = _number("RETENTION_PROVIDER_TIMEOUT", value, float)
    return Settings(**values)  # type: ignore[arg-type]


@lru_cache(maxsize=8)
def hmac_pads(secret: str) -> tuple[bytes, bytes]:
    """The two padded keys of HMAC-SHA256 (RFC 2104): a statement can do the rest without the secret."""
    key = secret.encode()
    key = (hashlib.sha256(key).digest() if len(key) > 64 else key).ljust(64, b"\0")
    return bytes(byte ^ 0x36 for byte in key), bytes(byte ^ 0x5C for byte in key)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as problem:
        raise InputError(f"RETENTION_SHOP_TIME_ZONE is {name!r}; write a zone like 'Europe/Amsterdam'.") from problem


def _network(variable: str, value: str) -> str:
    try:
        return str(ipaddress.ip_network(value.strip()))
    except ValueError as problem:
        raise InputError(
            f"{variable} holds {value.strip()!r}; write addresses and networks with commas between them, like "
            "'10.0.0.7,172.16.0.0/12'."
        ) from problem


def _number(variable: str, value: str, kind: type[int] | type[float]) -> int | float:
    try:
        number = kind(value)
    except ValueError as problem:
        raise InputError(f"{variable} is {value!r}; write a number.") from problem
    if number <= 0:
        raise InputError(f"{variable} is {value!r}; write a number above 0.")
    return number
