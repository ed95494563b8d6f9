"""Settings: read once from the environment (DESIGN: names start with ``RETENTION_``), never changed after."""

from __future__ import annotations

import hashlib
import ipaddress
import os
import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from retention.core.errors import InputError

CLOCKS = ("wall", "days")
DELIVERIES = ("outbox", "live")
LOCAL_SECRET = "local-secret-for-the-outbox-only"
DEMO_SHOP_URL = "https://demo-shop.example"
MOST_WORKERS = 64
MOST_HOURS = 24 * 7  # that files are waited for: a sensor of Airflow ends after a week
UNSEEN = ("Cc", "Cs", "Zl", "Zp")  # control characters, bytes that are no UTF-8, line ends
NO_ZONES = ("posix", "right", "localtime", "posixrules", "Factory")  # of this machine only: PostgreSQL knows none


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
    orders_since: date = date(1990, 1, 1)  # an order dated before this day is a mistake
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
    files_deadline: float = 6.0  # hours after a day's end until which its files are waited for

    def __post_init__(self) -> None:
        for name, check in CHECKS.items():
            if (value := getattr(self, name)) is not None:
                check(variable(name), value)
        if self.delivery == "live" and self.secret == LOCAL_SECRET:
            raise InputError("RETENTION_DELIVERY is 'live', so RETENTION_SECRET must be set to a secret of your own.")

    def evolve(self, **changes: object) -> Settings:
        """The same settings with some values changed."""
        return replace(self, **changes)  # type: ignore[arg-type]


def from_environment(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings. Raises InputError with the variable's name when a value cannot be used."""
    include = Path(__file__).resolve().parents[2]
    if value := environ.get("RETENTION_INCLUDE"):
        include = folder("RETENTION_INCLUDE", value)
    if not _is_there("RETENTION_INCLUDE", include / "sql"):
        raise InputError(f"RETENTION_INCLUDE is {shown(str(include))}, but there is no folder sql/ in it.")
    local = include.parent / ".local"
    if value := environ.get("RETENTION_LOCAL"):
        local = folder("RETENTION_LOCAL", value)
    values: dict[str, object] = {"include": include, "local": local}
    if value := environ.get("RETENTION_SHOP_TIME_ZONE"):
        try:
            values["shop_time_zone"] = zone(value)
        except ValueError as problem:
            raise InputError(
                f"RETENTION_SHOP_TIME_ZONE is {shown(value)}; write a zone like 'Europe/Amsterdam'."
            ) from problem
    for name in TEXTS:
        if value := environ.get(variable(name)):
            values[name] = value
    for name in WHOLE_NUMBERS:
        if value := environ.get(variable(name)):
            values[name] = whole_number(variable(name), value)
    if value := environ.get("RETENTION_ORDERS_SINCE"):
        values["orders_since"] = day("RETENTION_ORDERS_SINCE", value)
    if value := environ.get("RETENTION_TRUSTED_PROXIES"):
        values["trusted_proxies"] = tuple(_network("RETENTION_TRUSTED_PROXIES", each) for each in value.split(","))
    if value := environ.get("RETENTION_PROVIDER_TIMEOUT"):
        values["provider_timeout"] = decimal("RETENTION_PROVIDER_TIMEOUT", value)
    if value := environ.get("RETENTION_FILES_DEADLINE"):
        values["files_deadline"] = decimal("RETENTION_FILES_DEADLINE", value, most=MOST_HOURS)
    return Settings(**values)  # type: ignore[arg-type]


def variable(name: str) -> str:
    """The environment variable of a setting."""
    return name.upper() if name.startswith(("sendgrid_", "twilio_")) else f"RETENTION_{name.upper()}"


# --- what a value must be: each raises InputError that begins with the variable's name ------------------------------


def whole_number(variable: str, value: str, least: int = 0, most: int = 999_999_999) -> int:
    """The whole number that `value` says, from `least` to `most`."""
    if not re.fullmatch("[0-9]{1,9}", value) or not least <= int(value) <= most:
        raise InputError(f"{variable} is {shown(value)}; write a whole number from {least} to {most}.")
    return int(value)


def decimal(variable: str, value: str, least: float = 0, most: float = 999_999_999) -> float:
    """The number that `value` says, like 6 or 0.5, from `least` to `most`."""
    if not re.fullmatch(r"[0-9]{1,9}([.][0-9]{1,9})?", value) or not least <= float(value) <= most:
        raise InputError(f"{variable} is {shown(value)}; write a number from {least:g} to {most:g}, like 6 or 0.5.")
    return float(value)


def day(variable: str, value: str) -> date:
    """The day that `value` says, like 1990-01-01."""
    try:
        if not re.fullmatch("(19|20|21)[0-9]{2}-[0-9]{2}-[0-9]{2}", value):
            raise ValueError(value)
        return date.fromisoformat(value)
    except ValueError as problem:
        raise InputError(f"{variable} is {shown(value)}; write a day like 1990-01-01.") from problem


def words(variable: str, value: str, most: int = 500) -> str:
    """`value` as it is: not blank, without line ends and control characters, of at most `most` characters."""
    _check_text(variable, value, most)
    return value


def folder(variable: str, value: str) -> Path:
    """The path that `value` says: a folder, or one that can be made."""
    _check_text(variable, value, most=4000)
    path = Path(value)
    for each in (path, *path.absolute().parents):
        if _is_there(variable, each):
            if not each.is_dir():
                raise InputError(f"{variable} is {shown(value)}, but {shown(str(each))} is not a folder.")
            break
    return path


def zone(name: str) -> ZoneInfo:
    """The time zone `name`. Raises ValueError for any other text: names of the folders of zones are none."""
    if not re.fullmatch("[A-Za-z][A-Za-z0-9_+/-]{0,63}", name) or name.split("/")[0] in NO_ZONES:
        raise ValueError(name)
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, OSError) as problem:
        raise ValueError(name) from problem


def shown(value: str) -> str:
    """A value in a message: what cannot be printed as escapes, and not longer than a line."""
    return repr(value[:60]) + ("..." if len(value) > 60 else "")


def _is_there(variable: str, path: Path) -> bool:
    try:
        return path.exists()
    except OSError as problem:
        raise InputError(f"{variable} is {shown(str(path))}, which cannot be used: {problem.strerror}.") from problem


def _check_text(variable: str, value: str, most: int = 500, is_secret: bool = False) -> None:
    what = "cannot be used" if is_secret else f"is {shown(value)}"
    if not value.strip():
        raise InputError(f"{variable} {what}; it is blank: write a value, or unset it.")
    if any(unicodedata.category(sign) in UNSEEN for sign in value):
        raise InputError(f"{variable} {what}; take out line ends and control characters.")
    if len(value) > most:
        raise InputError(f"{variable} {what}; it is {len(value)} characters long: write at most {most}.")


def _text(most: int = 500) -> Callable[[str, Any], None]:
    return lambda variable, value: _check_text(variable, value, most)


def _secret(variable: str, value: str) -> None:
    _check_text(variable, value, is_secret=True)


def _key(pattern: str) -> Callable[[str, Any], None]:
    def check(variable: str, value: str) -> None:
        _check_text(variable, value, is_secret=True)
        if not re.fullmatch(pattern, value):
            raise InputError(f"{variable} cannot be used; it holds a sign that no key has: set it anew.")

    return check


def _number(least: float, most: float) -> Callable[[str, Any], None]:
    def check(variable: str, value: float) -> None:
        if not least <= value <= most:  # NaN is in no range
            raise InputError(f"{variable} is {value}; write a number from {least:g} to {most:g}.")

    return check


def _one_of(*words: str) -> Callable[[str, Any], None]:
    def check(variable: str, value: str) -> None:
        if value not in words:
            raise InputError(f"{variable} is {shown(value)}; write {' or '.join(map(repr, words))}.")

    return check


def _like(pattern: str, what: str) -> Callable[[str, Any], None]:
    def check(variable: str, value: str) -> None:
        if not re.fullmatch(pattern, value) or len(value) > 500:
            raise InputError(f"{variable} is {shown(value)}; write {what}.")

    return check


def _url(variable: str, value: str) -> None:
    try:
        parts = urlsplit(value)
        is_good = bool(parts.hostname) and parts.port != 0
    except ValueError:  # of a port or of brackets
        is_good = False
    if not is_good or len(value) > 500 or not re.fullmatch(r"https?://[^\s/?#@\\]+(/[^\s?#\\]*)?", value):
        raise InputError(f"{variable} is {shown(value)}; write an address like 'https://www.shop.example'.")
    _check_text(variable, value)


def check_database_url(variable: str, value: str) -> None:
    """PostgreSQL's, and never repeated in a message: it holds a password."""
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    _check_text(variable, value, most=2000, is_secret=True)
    try:
        is_good = value.startswith(("postgresql://", "postgres://"))
        if is_good:
            make_url(value)
            port = str(conninfo_to_dict(value).get("port") or "5432")
            is_good = bool(re.fullmatch("[0-9]{1,5}", port)) and 0 < int(port) < 65536
    except (ProgrammingError, ArgumentError, ValueError):
        is_good = False
    if not is_good:
        raise InputError(f"{variable} cannot be used; write an address like postgresql://user@host/retention.")


def _email_delay(variable: str, value: int) -> None:
    if value and not 600 < value <= 259_200:
        raise InputError(
            f"{variable} is {value}; write 601 to 259200 seconds: SendGrid cancels nothing "
            "that is due within ten minutes, and holds nothing for more than 72 hours."
        )


CHECKS: dict[str, Callable[[str, Any], None]] = {
    "database_url": check_database_url,
    "shop_name": _text(),
    "shop_address": _text(),
    "email_from": _like(
        r"[^\s@<>(),;:\"\[\]\\]{1,64}@[\w-]+([.][\w-]+)+", "an e-mail address alone, like 'shop@shop.example'"
    ),
    "reporting_currency": _like("[A-Z]{3}", "a code of three capitals, like 'EUR'"),
    "clock": _one_of(*CLOCKS),
    "delivery": _one_of(*DELIVERIES),
    "audiences": _text(4000),
    "workers": _number(1, MOST_WORKERS),
    "batch_size": _number(1, 100_000),
    "emails_per_request": _number(1, 1000),
    "email_delay": _email_delay,
    "sms_segments": _number(1, 10),
    "email_requests_at_once": _number(1, 1000),
    "sms_at_once": _number(1, 1000),
    "inactive_days": _number(1, 36_525),
    "public_url": _url,
    "shop_url": _url,
    "secret": _secret,
    "sendgrid_api_key": _key("[!-~]+"),  # goes into a header
    "sendgrid_host": _url,
    "sendgrid_webhook_public_key": _like(r"[A-Za-z0-9+/=\s-]*[A-Za-z0-9+/=-]\s*", "the key as SendGrid shows it"),
    "coupons_secret": _secret,
    "twilio_account_sid": _key("[ -~]+"),
    "twilio_auth_token": _key("[ -~]+"),
    "twilio_base_url": _url,
    "twilio_from": _text(),
    "provider_timeout": _number(0.001, 3600),
    "files_deadline": _number(0, MOST_HOURS),
}
WHOLE_NUMBERS = [each.name for each in fields(Settings) if each.type == "int"]
TEXTS = [name for name in CHECKS if name not in (*WHOLE_NUMBERS, "provider_timeout", "files_deadline")]


@lru_cache(maxsize=8)
def hmac_pads(secret: str) -> tuple[bytes, bytes]:
    """The two padded keys of HMAC-SHA256 (RFC 2104): a statement can do the rest without the secret."""
    key = secret.encode()
    key = (hashlib.sha256(key).digest() if len(key) > 64 else key).ljust(64, b"\0")
    return bytes(byte ^ 0x36 for byte in key), bytes(byte ^ 0x5C for byte in key)


def _network(variable: str, value: str) -> str:
    try:
        return str(ipaddress.ip_network(value.strip()))
    except ValueError as problem:
        raise InputError(
            f"{variable} holds {value.strip()!r}; write addresses and networks with commas between them, like "
            "'10.0.0.7,172.16.0.0/12'."
        ) from problem
