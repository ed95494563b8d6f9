from pathlib import Path

import pytest

from retention.core.errors import InputError
from retention.core.settings import from_environment

LONG = "x" * 10_000


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        *(
            ("RETENTION_SHOP_TIME_ZONE", zone)
            for zone in (
                "Europe",
                "../x",
                "/etc/passwd",
                "/",
                " ",
                LONG,
                "zone.tab",
                "right/Europe/Amsterdam",
                "localtime",
                "a\0b",
                "\udcff",
            )
        ),
        *(
            (f"RETENTION_{name}", number)
            for name in (
                "WORKERS",
                "BATCH_SIZE",
                "EMAILS_PER_REQUEST",
                "SMS_SEGMENTS",
                "SMS_AT_ONCE",
                "EMAIL_REQUESTS_AT_ONCE",
                "INACTIVE_DAYS",
                "EMAIL_DELAY",
                "PROVIDER_TIMEOUT",
                "FILES_DEADLINE",
            )
            for number in ("-1", "NaN", "inf", "1e400", "1_0", "²", "١٢", " ", "1000000000", "9" * 5000, "+5")
        ),
        *(
            (name, url)
            for name in ("RETENTION_PUBLIC_URL", "RETENTION_SHOP_URL", "SENDGRID_HOST", "TWILIO_BASE_URL")
            for url in (
                "shop.example",
                "ftp://shop.example",
                "https://",
                "https:///x",
                "https://a b",
                "https://x:99999",
                "https://x:²",
                "https://u:p@x",
                "https://x?y",
                "https://x\n",
                " ",
                "\udcff",
                "https://[::1",
                "https://" + LONG,
            )
        ),
        *(
            ("RETENTION_DATABASE_URL", url)
            for url in (
                "nonsense",
                "mysql://h/d",
                "sqlite:///x",
                "postgresql://h:port/d",
                "postgresql://h:99999/d",
                "postgresql://h/d?nonsense=1",
                " ",
                "postgresql://h/\0",
                "postgresql://[h/d",
                "\udcff",
            )
        ),
        *(
            ("RETENTION_EMAIL_FROM", address)
            for address in (
                "shop",
                "@",
                "a@b",
                "a b@shop.example",
                "a@shop.example\n",
                "Shop <a@shop.example>",
                " ",
                LONG + "@shop.example",
            )
        ),
        *(("RETENTION_REPORTING_CURRENCY", code) for code in ("eur", "EURO", "€", "E R", "123", " ")),
        *(
            (name, text)
            for name in (
                "RETENTION_SHOP_NAME",
                "RETENTION_SHOP_ADDRESS",
                "RETENTION_AUDIENCES",
                "RETENTION_SECRET",
                "RETENTION_COUPONS_SECRET",
                "SENDGRID_API_KEY",
                "SENDGRID_WEBHOOK_PUBLIC_KEY",
                "TWILIO_ACCOUNT_SID",
                "TWILIO_AUTH_TOKEN",
                "TWILIO_FROM",
            )
            for text in (" ", "\t", "a\x07b", "a\0b", "\udcff", "a\r\nBcc: b", LONG)
        ),
        *(
            ("RETENTION_INCLUDE", path)
            for path in ("/dev/null", "/etc/passwd/x", LONG, "a\0b", "\udcff", "/proc/1/root/x")
        ),
        *(("RETENTION_LOCAL", path) for path in ("/dev/null", "/etc/passwd/x", "/" + LONG, "a\0b", " ", "\udcff")),
        *(
            (name, key)
            for name in ("SENDGRID_API_KEY", "TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN")
            for key in ("SG.key\n", "SG.k\u00e9y")
        ),
        ("SENDGRID_API_KEY", "SG key"),
        ("RETENTION_CLOCK", "sundial"),
        ("RETENTION_DELIVERY", "pigeon"),
        ("RETENTION_SHOP_TIME_ZONE", "Europe/Atlantis"),
        ("RETENTION_SHOP_TIME_ZONE", "../../etc/passwd"),
        ("RETENTION_BATCH_SIZE", "many"),
        ("RETENTION_BATCH_SIZE", "0"),
        ("RETENTION_INCLUDE", "/nowhere"),
        ("RETENTION_TRUSTED_PROXIES", "proxy.shop.example"),
        ("RETENTION_TRUSTED_PROXIES", "10.0.0.1,10.0.0.1/8"),
        ("RETENTION_TRUSTED_PROXIES", "*"),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_by_its_variables_name(variable: str, value: str) -> None:
    with pytest.raises(InputError, match=f"^{variable} ") as refused:
        from_environment({variable: value})
    assert len(str(refused.value)) < 400
    str(refused.value).encode()


@pytest.mark.parametrize("variable", ["RETENTION_DATABASE_URL", "RETENTION_SECRET", "SENDGRID_API_KEY"])
def test_a_secret_that_cannot_be_used_is_not_repeated(variable: str) -> None:
    with pytest.raises(InputError) as refused:
        from_environment({variable: "postgresql://u:hunter2@h:port/d\n"})
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("RETENTION_DATABASE_URL", "postgresql:///shop?host=/var/run/postgresql"),
        ("RETENTION_DATABASE_URL", "postgres://u:p%40@db.example:5433/shop?sslmode=require"),
        ("RETENTION_SHOP_TIME_ZONE", "America/Argentina/Buenos_Aires"),
        ("RETENTION_SHOP_TIME_ZONE", "Etc/GMT+5"),
        ("RETENTION_PROVIDER_TIMEOUT", "0.5"),
        ("RETENTION_PUBLIC_URL", "http://127.0.0.1:8088/base"),
        ("SENDGRID_HOST", "http://[::1]:8080"),
        ("RETENTION_AUDIENCES", "memory://audiences"),
        ("RETENTION_SHOP_NAME", "Blumen Müller & Söhne\u00a0— 花👩\u200d🌾"),
        ("RETENTION_EMAIL_FROM", "bloemen+shop@mail.shop.example"),
        ("SENDGRID_WEBHOOK_PUBLIC_KEY", "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\n"),
        ("RETENTION_SECRET", "a secret of several words"),
    ],
)
def test_a_value_that_can_be_used_is_kept(variable: str, value: str) -> None:
    assert value in {str(kept) for kept in vars(from_environment({variable: value})).values()}


def test_live_delivery_needs_a_secret_of_your_own() -> None:
    with pytest.raises(InputError, match="RETENTION_SECRET"):
        from_environment({"RETENTION_DELIVERY": "live"})


def test_secrets_do_not_show(tmp_path: Path) -> None:
    settings = from_environment(
        {"RETENTION_SECRET": "s3cret", "SENDGRID_API_KEY": "SG.key", "RETENTION_DATABASE_URL": "postgresql://u:pw@h/d"}
    )
    assert not [secret for secret in ("s3cret", "SG.key", "pw") if secret in repr(settings)]
