"""Deliver: claim due messages, commit, hand them over, settle. The only sender; docs/states.md draws its states."""

from __future__ import annotations

import contextlib
import gc
import logging
import multiprocessing
import os
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from retention.campaigns import sms
from retention.campaigns.definitions import StepOffers
from retention.contact import law
from retention.core import channels, database, days
from retention.core.clock import Clock, Stopped
from retention.core.database import one
from retention.core.days import Counts, Part, Run
from retention.core.errors import DeliveryError, InputError
from retention.core.settings import DEMO_SHOP_URL, Settings
from retention.core.shop import Shop
from retention.delivery.channels.base import Channel, ChannelRefused, Outgoing
from retention.delivery.channels.outbox import Outbox
from retention.delivery.exports import audiences
from retention.delivery.rendering.placeholders import Content
from retention.delivery.rendering.render import Rendered, TemplateError, Templates, variables
from retention.ledger import caps, halts
from retention.ledger.claims import START, Claimed, DueMessage, Ledger, Place
from retention.ledger.outcomes import Outcome, not_attempted, refused
from retention.offers.definitions import Offer, parse

log = logging.getLogger(__name__)

DAY_LONG = timedelta(hours=24)
NOTHING = Rendered(Content(language="", text=""))  # to be in an audience is no message


@dataclass(frozen=True, kw_only=True)
class _Time:
    """The instants of one delivery: the pretended one by which it decides, where there is one, and the real clock."""

    wall: Clock
    at: datetime | None = None

    def __call__(self) -> datetime:
        return self.at or self.wall()


@dataclass(frozen=True, kw_only=True)
class DeliveryReport:
    """What one delivery did: how many messages were accepted, refused, unknown or skipped, and why others wait."""

    accepted: int
    refused: int
    unknown: int
    deferred: int  # due, and still planned
    skipped: int
    capped: int = 0  # of the deferred: a cap holds them back
    blocked: str | None = None  # why nothing may be sent: the orders are too old. What has expired is recorded
    halted: tuple[str, ...] = ()

    def counts(self) -> Counts:
        """As tasks and commands show it: without what there is nothing to say of."""
        waits: Counts = {"capped": self.capped, "blocked": self.blocked, "halted": list(self.halted)}
        done = {name: getattr(self, name) for name in ("accepted", "refused", "unknown", "deferred", "skipped")}
        return done | {name: value for name, value in waits.items() if value}


def deliver(shop: Shop, at: datetime | None = None, campaign: str | None = None) -> DeliveryReport:
    """Send all that is due at `at` (now, by the shop's clock, if None), of every campaign or of one.

    Raises InputError for an instant that is pretended while delivery is live, for one without an offset, for a
    campaign that nobody knows, or a mistake in caps.yaml or rules.csv; DeliveryError where live delivery is not
    possible or not meant.
    """
    _check_meant(shop.settings, shop.settings.clock, send_for_real=False)
    if campaign is not None:
        with shop.engine.connect() as connection, connection.begin():
            halts.check_known(shop.settings, connection, campaign)
    return _deliver(shop, _time(shop, at), campaign)


def _deliver(shop: Shop, time: _Time, campaign: str | None) -> DeliveryReport:
    with shop.engine.connect() as connection:
        ledger = Ledger(shop.settings, connection)
        with connection.begin():
            law.sync_rules(connection, shop.settings.include)
        caps.sync_rules(connection, shop.settings, time)
        counts = Counter(ledger.recover_orphaned_claims(time()))
        blocked = _why_blocked(shop.settings, connection, time())
        if blocked:
            log.warning("Nothing is sent: %s", blocked)
            counts += _Worker(shop.settings, ledger, time).send_all(campaign, is_blocked=True)
        else:
            with _others(shop.settings, ledger, time, campaign) as others:
                counts += _Worker(shop.settings, ledger, time).send_all(campaign)
            counts += others
        deferred, capped = ledger.deferred(time(), campaign)
        with connection.begin():
            halted = halts.in_force(connection)
        report = DeliveryReport(
            accepted=counts["accepted"],
            refused=counts["refused"],
            unknown=counts["unknown"],
            deferred=deferred,
            skipped=counts["skipped"],
            capped=capped,
            blocked=blocked,
            halted=tuple(halted),
        )
    log.info("delivered: %s", report.counts())
    return report


def replay(shop: Shop, day: date, send_for_real: bool = False) -> Counts:
    """Clock `days`: the sends of run `day`, each at its instant of the day after, with what was known then.

    In order of days, each once; the counts are read from the ledger, so a day that crashed and was played to its end
    counts like one that did not. What is sent for real is sent now, by the shop's clock, and by what is known now,
    whatever day it was for: what has expired is too late, what is not due yet waits for a later delivery; then the
    counts are those of that delivery. Raises DeliveryError for live delivery unless `send_for_real`.
    """
    _check_meant(shop.settings, "days", send_for_real)
    shop = shop.evolve(clock="days", workers=1)  # in one order, whoever plays the day

    def do(connection: Connection, its: Run) -> Counts:
        if shop.settings.delivery == "live":
            return _send_now(shop)
        start, until = (
            days.known_at(its.day, shop.settings.shop_time_zone),
            days.known_at(its.day + timedelta(days=1), shop.settings.shop_time_zone),
        )
        with shop.engine.connect() as own:
            ledger = Ledger(shop.settings, own)
            ledger.recover_orphaned_claims(start)
            audiences.export(shop, at=start)
            caps.sync_rules(own, shop.settings, Stopped(start))  # who is in a selection may have changed
            instant = ledger.next_instant(start, until, None)
            while instant is not None:
                deliver(shop, at=instant)
                instant = ledger.next_instant(start, until, instant)
        _export(shop, until - timedelta(seconds=1))
        return one(connection, "ledger/replayed", **{"from": start, "until": until})

    return Part("delivery").run(shop.engine, day, do)


def _send_now(shop: Shop) -> Counts:
    """A day that is played for real: a live provider never meets the instants of the day."""
    counts = _deliver(shop, _time(shop, None), None).counts()
    _export(shop, shop.clock())
    return counts


def _export(shop: Shop, at: datetime) -> None:
    for spec in channels.exported():
        channels.load(spec.export)(shop, at=at)


@contextlib.contextmanager
def _others(settings: Settings, ledger: Ledger, time: _Time, campaign: str | None) -> Iterator[Counter[str]]:
    """The other workers, processes of their own, beside what is done inside; then holds what they counted.

    As many as RETENTION_WORKERS says, but none for which no batch is due.
    """
    counts: Counter[str] = Counter()
    number = settings.workers - 1
    if number:
        number = min(number, ledger.deferred(time(), campaign)[0] // settings.batch_size)
    if not number:
        yield counts
        return
    # Spawned, not forked: who calls may hold connections and threads, as Airflow does.
    with ProcessPoolExecutor(number, multiprocessing.get_context("spawn"), initializer=_watch_parent) as pool:
        working = [pool.submit(_work, settings, time, campaign) for _ in range(number)]
        yield counts
        for each in working:
            counts.update(each.result())


def _work(settings: Settings, time: _Time, campaign: str | None) -> Counter[str]:
    """What one of the other workers does."""
    with database.connect(settings).connect() as connection:
        return _Worker(settings, Ledger(settings, connection), time).send_all(campaign)


class _Parent:
    """The process that started this one, if it is another worker's: without it this one ends, after its batch."""

    def __init__(self) -> None:
        self.is_gone = threading.Event()
        self.sending: contextlib.AbstractContextManager[Any] = contextlib.nullcontext()

    def watch(self) -> None:
        """From now on end when the parent is gone."""
        self.sending = lock = threading.Lock()

        def end() -> None:
            if parent := multiprocessing.parent_process():
                parent.join()
                self.is_gone.set()  # no further claim, and what has been claimed is handed over and settled
                with lock:
                    log.error("The process that started this worker is gone, so it ends.")
                    os._exit(1)  # nobody waits for it, and its pool would for ever

        threading.Thread(target=end, name="parent", daemon=True).start()


_parent = _Parent()


def _watch_parent() -> None:
    """What the process of another worker does first."""
    _parent.watch()


@contextlib.contextmanager
def _rarely_collecting() -> Iterator[None]:
    """Python looks for cycles after every 700 new objects; a batch makes thousands of rows, and no cycles."""
    threshold = gc.get_threshold()
    gc.set_threshold(100_000, *threshold[1:])
    try:
        yield
    finally:
        gc.set_threshold(*threshold)


class _Worker:
    """One worker: batch after batch, each claimed and committed before any of it is handed over."""

    def __init__(self, settings: Settings, ledger: Ledger, time: _Time) -> None:
        _refuse_pretended(settings, time.at)
        self._settings = settings
        self._ledger = ledger
        self._time = time
        self._versions: dict[tuple[str, str], tuple[Templates, StepOffers]] = {}

    @_rarely_collecting()
    def send_all(self, campaign: str | None, is_blocked: bool = False) -> Counter[str]:
        """Until nothing is due: page after page of the queue, and from its start again while a round decides anything.

        A message given back meanwhile, or one whose cap has room again, stands before the page that is looked at.
        While sending `is_blocked` nothing is sent; what has expired is recorded.
        """
        counts: Counter[str] = Counter()
        names = self._ledger.due_channels(self._time(), campaign)
        senders = {name: open_channel(self._settings, name, self._time) for name in names}
        place, is_moving = START, True
        while senders and not _parent.is_gone.is_set():
            with _parent.sending, self._ledger.claim_lock() as claim:
                claimed = self._claim(claim, campaign, senders, place, is_blocked)
                if claimed:
                    counts += Counter({state: claimed.decided.get(state, 0) for state in ("skipped", "unknown")})
                    counts.update(self._hand_over(claim, claimed.messages, senders))
                    place, is_moving = claimed.end, is_moving or bool(claimed.decided)
                elif is_moving:
                    place, is_moving = START, False
                else:
                    break
        return counts

    def _claim(
        self, claim: str, campaign: str | None, senders: Mapping[str, Channel], after: Place, is_blocked: bool
    ) -> Claimed | None:
        called_at = self._time.wall()
        return self._ledger.claim(
            claim,
            self._time.at or called_at,
            campaign,
            {name: channel.provider for name, channel in senders.items()},
            after,
            called_at=called_at,
            is_blocked=is_blocked,
        )

    def _hand_over(self, claim: str, due: Sequence[DueMessage], senders: Mapping[str, Channel]) -> Counter[str]:
        counts: Counter[str] = Counter()
        messages = self._render(claim, due, counts)
        for name, channel in senders.items():
            mine = [message for message in messages if message.channel == name]
            if mine:
                counts.update(self._send(claim, name, channel, mine))
        if counts.total() < len(due):
            log.error(
                "%s messages of claim %s were settled by somebody else: this worker was taken for dead. They are "
                "unknown; see docs/states.md.",
                len(due) - counts.total(),
                claim,
            )
        return counts

    def _send(self, claim: str, name: str, channel: Channel, messages: list[Outgoing]) -> Mapping[str, int]:
        """Call outside a transaction, settle in one."""
        halted = False
        try:
            settled = channel.send(messages)
        except ChannelRefused as problem:
            log.error("The channel %s is halted: %s", name, problem)
            done = {message.message_key for message, _ in problem.settled}
            rest = [message for message in messages if message.message_key not in done]
            settled = [*problem.settled, *((message, not_attempted("channel_refused")) for message in rest)]
            halted = True
        connection = self._ledger.connection
        with connection.begin():
            if halted:  # in the transaction that plans the rest again, so that nobody claims it in between
                halts.write(connection, "channel", name)
            now = self._time()
            counts = self._ledger.settle(claim, now, settled)
            if kept := [message for message, outcome in settled if outcome.state == "accepted"]:
                channel.keep(connection, claim, kept, now)
            return counts

    def _render(self, claim: str, due: Sequence[DueMessage], counts: Counter[str]) -> list[Outgoing]:
        """The rows as messages; what cannot be made one is refused at once: its template fails, or it is too long."""
        messages: list[Outgoing] = []
        failed: list[tuple[DueMessage, Outcome]] = []
        problems: Counter[str] = Counter()
        longest = min(self._settings.sms_segments, sms.LONGEST_SEGMENTS)
        for each in due:
            try:
                message = self._outgoing(each)
                if (number := message.segments or 0) > longest:
                    problems[f"{each.step} has {number} segments, more than {longest}"] += 1
                    failed.append((each, refused(f"too_long: {number} segments")))
                else:
                    messages.append(message)
            except TemplateError as problem:
                problems[f"{problem} (campaign {each.campaign}, version {each.version})"] += 1
                failed.append((each, refused(f"template_error: {problem}"[:500])))
            except (ArithmeticError, LookupError, TypeError, ValueError) as problem:  # their words may quote a value
                problems[f"{each.message_key} is unreadable ({type(problem).__name__})"] += 1
                failed.append((each, refused("unreadable")))
        for sentence, number in problems.items():
            log.error("%s messages refused: %s", number, sentence)
        if failed:
            with self._ledger.connection.begin():
                counts.update(self._ledger.settle_unmade(claim, self._time(), failed))
        return messages

    def _outgoing(self, due: DueMessage) -> Outgoing:
        rendered, headers = NOTHING, {}
        spec = channels.get(due.channel)
        if spec.is_message:
            templates, offers = self._version(due.campaign, due.version)
            terms = due.offer_terms or (due.offer_percent is not None and {"percent": due.offer_percent})
            if due.offer and terms:  # what the code is good for, whatever the version offers by now
                offer: Offer | None = parse(due.offer, terms)
            else:
                offer = offers.of(due.step, due.campaign_variant, due.level)
            values = variables(self._settings, due, offer)
            zone = ZoneInfo(due.time_zone)
            variants = (due.variant, due.campaign_variant, due.level)
            rendered = templates.render(due.step, due.channel, due.language, values, zone, variants)
            if spec.is_mail:
                headers = {
                    "List-Unsubscribe": f"<{values['unsubscribe_url']}>",
                    "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
                }
        return Outgoing(
            customer_id=due.customer_id,
            message_key=due.message_key,
            campaign=due.campaign,
            version=due.version,
            step=due.step,
            channel=due.channel,
            recipient=due.recipient,
            person={name: getattr(due, name) for name in spec.person},
            rendered=rendered,
            headers=headers,
            send_before=due.send_before,
            attempts=due.attempts,
        )

    def _version(self, campaign: str, version: str) -> tuple[Templates, StepOffers]:
        """What a version of the campaign says and offers."""
        if (campaign, version) not in self._versions:
            with self._ledger.connection.begin():
                row = one(self._ledger.connection, "delivery/templates", campaign=campaign, version=version)
            offers = StepOffers(row["steps"] or [], row["offers"] or {})
            self._versions[campaign, version] = (Templates(row["templates"]), offers)
        return self._versions[campaign, version]


def open_channel(settings: Settings, name: str, clock: Clock) -> Channel:
    """The channel as the settings want it.

    Raises InputError for a channel that there is not, DeliveryError, naming the setting, where live delivery lacks one.
    """
    spec = channels.get(name)
    if spec.export:
        kept: Channel = channels.load(spec.sender)()
        return kept
    if settings.delivery == "outbox":
        return Outbox(settings, clock)
    if not settings.public_url.startswith("https://"):
        raise DeliveryError(
            f"RETENTION_PUBLIC_URL is {settings.public_url!r}; live delivery needs an https address that the world "
            "reaches: links to unsubscribe and reports of the provider lead there."
        )
    if settings.shop_url == DEMO_SHOP_URL or not settings.shop_url.startswith("https://"):
        raise DeliveryError(
            f"RETENTION_SHOP_URL is {settings.shop_url!r}; live delivery needs the https address of the shop: links in "
            "messages lead there."
        )
    if spec.sender is None:
        raise DeliveryError(f"Nothing sends the channel {name} for real; keep RETENTION_DELIVERY at 'outbox'.")
    sent: Channel = channels.load(spec.sender)(settings, clock)
    return sent


def _check_meant(settings: Settings, clock: str, send_for_real: bool) -> None:
    if settings.delivery == "live" and clock == "days" and not send_for_real:
        raise DeliveryError(
            "RETENTION_DELIVERY is 'live', but the clock is 'days': messages of past days would go out for real. "
            "Set RETENTION_DELIVERY=outbox, or say --send-for-real."
        )


def check_instant(settings: Settings, at: datetime | None) -> None:
    """Whether messages may be delivered as if it were `at`. Changes nothing.

    Raises InputError for an instant without an offset, or for one that is pretended while delivery is live.
    """
    if at is not None and at.tzinfo is None:
        raise InputError(f"{at.isoformat()} has no offset; write it like 2026-11-21T09:00:00+01:00.")
    _refuse_pretended(settings, at)


def _time(shop: Shop, at: datetime | None) -> _Time:
    check_instant(shop.settings, at)
    return _Time(wall=shop.clock, at=at)


def _refuse_pretended(settings: Settings, at: datetime | None) -> None:
    """Whoever delivers, here or in a process of its own: a live provider is called by the real clock only."""
    if settings.delivery == "live" and at is not None:
        raise InputError(
            f"RETENTION_DELIVERY is 'live', so nothing can be delivered as if it were {at.isoformat()}: real people "
            "would get it now. Leave --at out, or set RETENTION_DELIVERY=outbox."
        )


def _why_blocked(settings: Settings, connection: Connection, now: datetime) -> str | None:
    """Why nothing may be sent at `now`, None if it may: with old orders everybody looks lapsed, and gets a mail."""
    zone = settings.shop_time_zone
    ended = now.astimezone(zone).date() - timedelta(days=1)
    with connection.begin():
        newest = one(connection, "delivery/newest_published_by", day=ended)["day"]
    if newest is None:
        return f"no day has been published by {now.isoformat()}; sync the shop's orders first."
    # In UTC, since Python subtracts two times of one zone by their clocks, an hour off when summer time ends.
    age = now.astimezone(UTC) - days.known_at(newest, zone).astimezone(UTC)
    # The files of the next day may come until their deadline: until then nobody is late.
    if age <= DAY_LONG + timedelta(hours=settings.files_deadline):
        return None
    return (
        f"the newest day published is {newest}; it ended more than 24 hours and the "
        f"{settings.files_deadline:g} of RETENTION_FILES_DEADLINE before {now.isoformat()}. "
        "Sync the days since, then deliver again."
    )
