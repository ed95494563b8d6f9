from pathlib import Path

import pytest

from retention.errors import InputError
from retention.settings import from_environment


@pytest.mark.parametrize(
    ("variable", "value"),
    [
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
    with pytest.raises(InputError, match=variable):
        from_environment({variable: value})


def test_live_delivery_needs_a_secret_of_your_own() -> None:
    with pytest.raises(InputError, match="RETENTION_SECRET"):
        from_environment({"RETENTION_DELIVERY": "live"})


def test_secrets_do_not_show(tmp_path: Path) -> None:
    settings = from_environment(
        {"RETENTION_SECRET": "s3cret", "SENDGRID_API_KEY": "SG.key", "RETENTION_DATABASE_URL": "postgresql://u:pw@h/d"}
    )
    assert not [secret for secret in ("s3cret", "SG.key", "pw") if secret in repr(settings)]
