"""The web service over a small shop."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from desk import PUBLIC, PUBLIC_KEY, SECRET, TOKEN, Desk
from fastapi.testclient import TestClient
from sqlalchemy import Engine

from retention.core.settings import Settings
from retention.core.shop import Shop
from retention.events.http import service
from shop import ShopData


@pytest.fixture
def desk(settings: Settings, engine: Engine, shop: ShopData) -> Iterator[Desk]:
    """The service at NOW, with the customers A (Dutch) and B."""
    shop.customer("A", language="nl")
    shop.customer("B")
    ours = settings.evolve(
        public_url=PUBLIC,
        sendgrid_webhook_public_key=PUBLIC_KEY,
        twilio_auth_token=TOKEN,
        secret="s3",
        coupons_secret=SECRET,
    )
    made: list[Desk] = []
    app = service.create_app(Shop(ours, engine, lambda: made[0].now))
    with TestClient(app, base_url=PUBLIC) as client:
        made.append(Desk(ours, engine, shop, client))
        yield made[0]
