"""A campaign with messages to plan, and live delivery to a provider on this machine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from local_provider import Provider, serve
from planner import DAY, Planner

from retention.core.settings import Settings
from shop import ShopData


@pytest.fixture
def planner(shop: ShopData) -> Planner:
    """A campaign `winback` in an otherwise empty shop whose day DAY is published."""
    shop.publish(DAY)
    return Planner(shop)


@pytest.fixture
def provider() -> Iterator[Provider]:
    """A provider that accepts everything until told otherwise."""
    with serve() as each:
        yield each


@pytest.fixture
def live(settings: Settings, provider: Provider) -> Settings:
    """Settings for live delivery, to the local provider."""
    return settings.evolve(
        delivery="live",
        secret="a secret of our own",
        public_url="https://shop.example",
        sendgrid_api_key="SG.key",
        shop_url="https://shop.example",
        sendgrid_host=provider.url,
        twilio_account_sid="AC" + "1" * 32,
        twilio_auth_token="token",
        twilio_base_url=provider.url,
        twilio_from="+31600000000",
        provider_timeout=2.0,
    )
