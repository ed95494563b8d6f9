"""What things cost the shop, as ``costs.yaml`` says: messages, orders, offers, new customers."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from retention.core import channels, documents
from retention.offers import language

MUST_SAY = ("free_shipping", "gift", "trial")  # the types of offers that cost something beside a discount
_COST = {"type": "number", "minimum": 0, "write": "what one costs, like 0.075"}


@dataclass(frozen=True, kw_only=True)
class Costs:
    """In the shop's reporting currency."""

    message: Mapping[str, Decimal]  # each message, by channel
    shipping: Decimal  # each order, beyond what the customer pays for it
    offer: Mapping[str, Decimal]  # each order with an offer, beside the discount, by type; of other types nothing
    acquisition: Mapping[str, Mapping[str, Decimal]]  # a new customer, by channel and month like 2026-10


def read(include: Path) -> Costs:
    """The costs. Raises InputError for the first mistake in the file."""
    document = documents.read(include / "costs.yaml")
    document.check(_SCHEMA)
    content = document.content
    return Costs(
        message=_exact(content["message"]),
        shipping=Decimal(str(content["shipping"])),
        offer=_exact(content["offer"]),
        acquisition={name: _exact(months) for name, months in content.get("acquisition", {}).items()},
    )


def _exact(costs: Mapping[str, float]) -> dict[str, Decimal]:
    return {name: Decimal(str(cost)) for name, cost in costs.items()}


def _keys(description: str, known: Iterable[str], required: Collection[str]) -> dict[str, Any]:
    return {
        "description": description,
        "type": "object",
        "additionalProperties": False,
        "required": list(required),
        "properties": dict.fromkeys(known, _COST),
    }


_SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["message", "shipping", "offer"],
    "properties": {
        "message": _keys("what a message costs, by channel", channels.NAMES, channels.NAMES),
        "shipping": {
            **_COST,
            "description": "what it costs to send an order, beyond what the customer pays for it, like 1.50",
        },
        "offer": _keys("what an order with an offer costs beside the discount, by type", language.TYPES, MUST_SAY),
        "acquisition": {
            "description": "what a new customer cost, by channel and month, like search: {2026-10: 24.50}",
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "write": "costs by month, like {2026-10: 24.50}",
                "propertyNames": {"pattern": "^[0-9]{4}-(0[1-9]|1[0-2])$", "write": "a month like 2026-10"},
                "additionalProperties": _COST,
            },
        },
    },
}
