"""Whether what people wrote can be used: campaigns with their templates, offers, costs. Nothing is run, or written."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from retention.campaigns import definitions as campaigns
from retention.core import database, days
from retention.core.days import Counts
from retention.core.documents import nearest
from retention.core.errors import InputError
from retention.core.shop import Shop
from retention.offers import costs, floors
from retention.offers import definitions as offers
from retention.offers.definitions import Offer


def check(shop: Shop, names: Collection[str] = ()) -> Counts:
    """All campaigns and offers, or those of these names: how many, what is wrong with them, and what to know.

    Margin floors are held against what is known on the newest published day. Raises InputError for an unknown name.
    """
    include = shop.settings.include
    known = sorted({*campaigns.names(include), *offers.names(include)})
    for name in names:
        if name not in known:
            raise InputError(f"There is no campaign and no offer {name[:80]!r}.{nearest(name, known)}")
    sound, broken = offers.read_each(include)
    problems = [str(broken[name]) for name in _asked(broken, names)]
    its_campaigns = _asked(campaigns.names(include), names)
    asked = set(_asked(sound, names))
    for name in its_campaigns:
        try:
            asked |= campaigns.read(include, name).offers.keys() & sound.keys()
        except InputError as problem:
            problems.append(str(problem))
    under, remarks = list[str](), list[str]()
    try:
        costs.read(include)
        under, remarks = _margins(shop, [sound[name] for name in sorted(asked)])
    except InputError as problem:
        problems.append(str(problem))
    return {
        "campaigns": len(its_campaigns),
        "offers": len(asked),
        "problems": [*dict.fromkeys(problems), *under],
        "remarks": remarks,
    }


def _margins(shop: Shop, asked: Iterable[Offer]) -> tuple[list[str], list[str]]:
    """Which offers are under their floor, and what is to know of those that nobody checks."""
    remarks = [
        f"Offer {offer.name} has no margin_floor, so nobody checks what it leaves of the price."
        for offer in asked
        if offer.has_code and offer.margin_floor is None
    ]
    with database.rehearsal(shop.engine) as engine, engine.begin() as connection:
        day = days.newest_published(connection)
        if day is None:
            return [], [*remarks, "No day is published yet, so no margin floor was checked."]
        return list(floors.problems(connection, shop.settings, asked, day).values()), remarks


def _asked(known: Iterable[str], names: Collection[str]) -> list[str]:
    return [name for name in known if not names or name in names]
