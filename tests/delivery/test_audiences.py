"""Audiences: who is put in and taken out, as files for the platforms, whatever happens in between."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import itertools
import json
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st
from sqlalchemy import Engine

from planner import AMSTERDAM, DAY, MORNING, TEMPLATES, Planner
from retention.core.clock import Stopped
from retention.core.errors import DeliveryError, InputError, StateError
from retention.core.settings import Settings
from retention.core.shop import Shop
from retention.delivery.exports import audiences
from retention.delivery.exports import writing as exports
from retention.delivery.exports.audiences import export, google_email, identifiers, meta_email
from retention.delivery.operations import halting, proof
from retention.delivery.worker import deliver, replay
from retention.ledger import halts
from retention.ledger.claims import Ledger
from shop import NAMESPACE, ShopData

NEXT = DAY + timedelta(days=1)
NOON = MORNING + timedelta(hours=3)
BOTH = ("email", "sms", "audience")
STEPS = [{"step": "retarget", "day": 0, "until_day": 4, "channel": "audience"}]
GMAIL = "gmail.com"
UNTIL = DAY + timedelta(days=5)  # the last day in it


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


class Ads:
    """A campaign `ads` with an audience, and what was exported of it."""

    def __init__(self, settings: Settings, engine: Engine, shop: ShopData, planner: Planner) -> None:
        self.settings, self.engine, self.shop, self.planner = settings, engine, shop, planner
        planner.version("ads", "v1", TEMPLATES, steps=STEPS)

    def member(self, ref: str, **fields: Any) -> str:
        """A customer whose message puts them into the audience when it is claimed; its key."""
        self.shop.customer(ref, **{"consents": BOTH, **fields})
        return self.planner.message(ref, step="retarget", channel="audience", campaign="ads")

    def put_in(self, *refs: str, at: datetime = MORNING) -> None:
        """Customers who were put in, and are in a file."""
        for ref in refs:
            self.member(ref)
        deliver(Shop(self.settings, self.engine), at=at)
        self.export(at + timedelta(hours=1))

    def export(self, at: datetime = NOON) -> tuple[int, int]:
        """Export; how many were added and removed."""
        counts = export(Shop(self.settings, self.engine), at=at)
        return counts["added"], counts["removed"]

    @property
    def folders(self) -> list[Path]:
        return sorted((self.settings.local / "audiences").glob("*/*"))

    def inside(self, platform: str = "meta") -> set[str]:
        """What a platform has that applied every file in order: e-mail hashes."""
        found: set[str] = set()
        for folder in self.folders:
            manifest = json.loads((folder / "manifest.json").read_text())
            for file in manifest["files"]:
                if file["platform"] != platform:
                    continue
                content = (folder / file["name"]).read_bytes()
                assert (hashlib.sha256(content).hexdigest(), len(content)) == (file["sha256"], file["bytes"])
                rows = list(csv.reader(content.decode().splitlines()))[1:]
                assert len(rows) == file["rows"]
                for row in rows:
                    (found.add if file["action"] == "add" else found.discard)(row[0])
        return found

    def who(self) -> list[tuple[str, str | None]]:
        """Who was ever kept, and why they left."""
        rows = self.planner.run(
            "select customer_ref, left_reason from delivery.audience_members join shop.customers using (customer_id)"
            " order by customer_ref, entry_no"
        )
        return [(row["customer_ref"], row["left_reason"]) for row in rows]

    def end(self, ref: str, **changes: Any) -> None:
        """Change the enrolment of `ref`."""
        assignments = ", ".join(f"{name} = :{name}" for name in changes)
        self.planner.run(
            f"update campaigns.enrolments set {assignments} where customer_id = shop.customer_id(:namespace, :ref)",
            namespace=NAMESPACE,
            ref=ref,
            **changes,
        )


@pytest.fixture
def ads(settings: Settings, engine: Engine, shop: ShopData, planner: Planner) -> Ads:
    """The campaign `ads`, nobody in it."""
    shop.publish_each(DAY, DAY + timedelta(days=8))
    return Ads(settings, engine, shop, planner)


def email(ref: str) -> str:
    """The hash of a customer's address."""
    return digest(f"{ref}@mail.example")


# --- what platforms find people by -----------------------------------------------------------------------------------


def test_the_platforms_own_examples_come_out() -> None:
    found = identifiers(f"john_smith@{GMAIL}", "+16505551212")
    assert found["email_meta"] == found["email_google"]
    assert found["email_google"] == "62a14e44f765419d10fea99367361a727c12365e2520f32218d505ed9aa0f62f"
    assert found["phone_meta"] == "e323ec626319ca94ee8bff2e4c87cf613be6ea19919ed1364124e16807ab3176"
    assert found["phone_google"] == digest("+16505551212")


@pytest.mark.parametrize(
    ("written", "meta", "google"),
    [
        (f" Jane.Doe+Shoes@{GMAIL.title()} ", f"jane.doe+shoes@{GMAIL}", f"janedoe@{GMAIL}"),
        (f"Jane.Doe+Shoes@google{GMAIL[1:]}", f"jane.doe+shoes@google{GMAIL[1:]}", f"janedoe@google{GMAIL[1:]}"),
        ("Jane.Doe+Shoes@Mail.example", "jane.doe+shoes@mail.example", "jane.doe+shoes@mail.example"),
        ("Żółć@Poczta.example", "żółć@poczta.example", "żółć@poczta.example"),
    ],
)
def test_an_address_is_written_as_each_platform_wants_it(written: str, meta: str, google: str) -> None:
    assert (meta_email(written), google_email(written)) == (meta, google)
    found = identifiers(written, None)
    assert found == {
        "email_meta": digest(meta),
        "email_google": digest(google),
        "phone_meta": None,
        "phone_google": None,
    }


@pytest.mark.parametrize(("mail", "phone"), [(None, None), ("", "")])
def test_what_is_no_address_gives_nothing(mail: str | None, phone: str | None) -> None:
    assert set(identifiers(mail, phone).values()) == {None}


@given(
    name=st.from_regex(r"[a-z0-9_]{1,10}(\.[a-z0-9_]{1,10}){0,3}", fullmatch=True),
    tag=st.from_regex(r"(\+[a-z.]{0,5})?", fullmatch=True),
    domain=st.sampled_from(["gmail.com", "googlemail.com", "mail.example", "gmail.com.example"]),
    data=st.data(),
)
def test_however_an_address_is_written_it_is_one_person(name: str, tag: str, domain: str, data: st.DataObject) -> None:
    """Case and spaces around never matter; dots and tags do not at Google's own mailboxes, and do elsewhere."""
    address = f"{name}{tag}@{domain}"
    upper = data.draw(st.lists(st.booleans(), min_size=len(address), max_size=len(address)))
    odd = "".join(sign.upper() if up else sign for sign, up in zip(address, upper, strict=True))
    assert identifiers(f" {odd} ", None) == identifiers(address, None)
    assert meta_email(meta_email(odd)) == meta_email(odd) == address
    assert google_email(google_email(odd)) == google_email(odd)
    bare = f"{name.replace('.', '')}@{domain}"
    assert (google_email(odd) == bare) == (domain in ("gmail.com", "googlemail.com") or address == bare)


@given(st.from_regex(r"\+[1-9][0-9]{6,14}", fullmatch=True))
def test_a_number_differs_between_the_platforms_by_its_plus(phone: str) -> None:
    found = identifiers(None, phone)
    assert (found["phone_meta"], found["phone_google"]) == (digest(phone[1:]), digest(phone))


# --- claiming --------------------------------------------------------------------------------------------------------


def test_who_is_accepted_is_kept_without_an_address(ads: Ads) -> None:
    key = ads.member("ada", email="Ada@Mail.example", phone="+31612345678")
    assert deliver(Shop(ads.settings, ads.engine), at=MORNING).counts()["accepted"] == 1
    row = ads.planner.one(key)
    assert (row["state"], row["provider"], row["attempts"]) == ("accepted", "files", 1)
    kept = ads.planner.run("select * from delivery.audience_members")
    assert [(each["message_key"], each["until_on"], each["kept_at"], each["added_in"]) for each in kept] == [
        (key, UNTIL, MORNING, None)
    ]
    assert kept[0]["email_meta"] == email("ada")
    assert kept[0]["phone_google"] == digest("+31612345678")
    assert "mail.example" not in str(kept).lower()
    assert "31612345678" not in str(kept)
    assert ads.planner.run("select * from delivery.outbox") == []


def test_live_delivery_keeps_the_same_and_calls_nobody(ads: Ads, live: Settings, provider: Any) -> None:
    ads.member("ada")
    assert deliver(Shop(live, ads.engine, Stopped(MORNING))).counts()["accepted"] == 1
    assert provider.requests == []
    assert ads.export() == (1, 0)


def test_live_nobody_is_put_in_for_a_past_day_who_unsubscribed_by_now(ads: Ads, live: Settings) -> None:
    ads.member("ada")
    ads.member("eva")
    assert deliver(Shop(live, ads.engine, Stopped(MORNING))).counts()["accepted"] == 2
    ads.planner.suppress("ada", MORNING + timedelta(days=2))
    now = MORNING + timedelta(days=3)
    assert export(Shop(live, ads.engine, Stopped(now)), day=MORNING.date(), at=now)["added"] == 1


def test_each_rule_is_checked_again_in_the_claim(ads: Ads) -> None:
    keys = {
        "fine": ads.member("fine"),
        "by phone": ads.member("phone", email=None),
        "by mail": ads.member("mail", phone=None),
        "nowhere": ads.member("nowhere", email="x", phone="0612"),
        "no consent": ads.member("no", consents=("email", "sms")),
        "suppressed": ads.member("out"),
        "control": ads.member("control"),
        "bought": ads.member("bought"),
    }
    ads.planner.suppress("out", MORNING, "audience")
    ads.end("control", arm="control")
    ads.shop.order("bought", NEXT, known_at=MORNING)
    deliver(Shop(ads.settings, ads.engine), at=MORNING)
    assert {name: ads.planner.state(key)[1] for name, key in keys.items()} == {
        "fine": None,
        "by phone": None,
        "by mail": None,
        "nowhere": "no_address",
        "no consent": "no_consent",
        "suppressed": "suppressed",
        "control": "control",
        "bought": "order",
    }
    assert [ref for ref, _ in ads.who()] == ["fine", "mail", "phone"]


def test_an_audience_is_no_message_to_anybody(ads: Ads, monkeypatch: pytest.MonkeyPatch) -> None:
    """No cap counts it or holds it back; a message of the same day neither waits for it nor keeps it waiting."""
    ads.planner.run("insert into delivery.caps values ('all', 1, 24, :from, null)", **{"from": MORNING})
    monkeypatch.setattr("retention.ledger.caps.sync_rules", lambda *_: None)
    before, after = ads.member("ada"), ads.member("bob")
    mail = ads.planner.message("ada", campaign="ads")
    assert deliver(Shop(ads.settings, ads.engine), at=MORNING).counts()["accepted"] == 3
    late = ads.planner.message("bob", campaign="ads", step="other")
    ads.planner.run("update delivery.messages set step = 'hello' where message_key = :late", late=late)
    assert deliver(Shop(ads.settings, ads.engine), at=MORNING).counts()["accepted"] == 1
    carol = ads.shop.customer("carol", consents=BOTH)
    ads.planner.message(carol, campaign="ads")
    assert deliver(Shop(ads.settings, ads.engine), at=MORNING).counts()["accepted"] == 1
    ads.planner.message(carol, campaign="ads", step="retarget", channel="audience")
    assert deliver(Shop(ads.settings, ads.engine), at=MORNING).counts()["accepted"] == 1
    assert {ads.planner.state(key) for key in (before, after, mail, late)} == {("accepted", None)}


def test_a_worker_that_died_had_kept_nobody_so_the_message_is_planned_again(ads: Ads) -> None:
    key = ads.member("ada")
    with ads.engine.connect() as connection:
        ledger = Ledger(ads.settings, connection)
        with ledger.claim_lock() as claim:
            ledger.claim(claim, MORNING, None, {"audience": "files"}, called_at=MORNING)
    assert ads.planner.state(key) == ("attempting", None)
    assert deliver(Shop(ads.settings, ads.engine), at=MORNING).counts()["accepted"] == 1
    assert (ads.planner.one(key)["attempts"], ads.who()) == (1, [("ada", None)])


# --- exports ---------------------------------------------------------------------------------------------------------


def test_an_export_is_a_folder_with_both_formats_and_a_manifest(ads: Ads) -> None:
    ads.put_in("ada")
    [folder] = ads.folders
    assert str(folder.relative_to(ads.settings.local)) == "audiences/ads_retarget/2026-11-21-0001"
    assert {each.name for each in folder.iterdir()} == {"meta_add.csv", "google_add.csv", "manifest.json"}
    phone = ads.planner.run("select phone from shop.customers")[0]["phone"]
    assert (folder / "meta_add.csv").read_text() == f"email,phone\n{email('ada')},{digest(phone[1:])}\n"
    assert (folder / "google_add.csv").read_text() == f"Email,Phone\n{email('ada')},{digest(phone)}\n"
    manifest = json.loads((folder / "manifest.json").read_text())
    assert {name: manifest[name] for name in ("list", "campaign", "step", "purpose", "day", "number", "rows")} == {
        "list": "ads_retarget",
        "campaign": "ads",
        "step": "retarget",
        "purpose": "marketing",
        "day": "2026-11-21",
        "number": 1,
        "rows": {"added": 1, "removed": 0},
    }
    assert ads.inside() == ads.inside("google") == {email("ada")}


def test_without_a_change_nothing_is_exported(ads: Ads) -> None:
    ads.put_in("ada")
    assert ads.export(NOON) == ads.export(NOON + timedelta(hours=1)) == (0, 0)
    assert len(ads.folders) == 1


def withdrawn(ads: Ads, at: datetime) -> None:
    ads.planner.withdraw("ada", "audience", at)


LEAVING: dict[str, Callable[[Ads, datetime], object]] = {
    "order": lambda ads, at: ads.shop.order("ada", NEXT, known_at=at),
    "unsubscribe": lambda ads, at: ads.end("ada", exited_on=DAY, exit_reason="unsubscribe"),
    "left_selection": lambda ads, at: ads.end("ada", exited_on=DAY, exit_reason="left_selection"),
    "control": lambda ads, at: ads.end("ada", arm="control"),
    "suppressed": lambda ads, at: ads.planner.suppress("ada", at),
    "no_consent": withdrawn,
    "no_enrolment": lambda ads, at: ads.planner.run(
        "delete from campaigns.enrolments where customer_id = shop.customer_id('test', 'ada')"
    ),
}


@pytest.mark.parametrize("reason", LEAVING)
def test_who_may_no_longer_be_in_comes_out_with_the_next_export(ads: Ads, reason: str) -> None:
    ads.put_in("ada", "bob")
    LEAVING[reason](ads, NOON)
    assert ads.export(NOON) == (0, 1)
    assert ads.inside() == ads.inside("google") == {email("bob")}
    assert ads.who() == [("ada", reason), ("bob", None)]


def test_an_order_takes_out_also_whose_enrolment_is_finished(ads: Ads) -> None:
    ads.put_in("ada")
    ads.end("ada", exited_on=NEXT, exit_reason="finished")
    assert ads.export(NOON) == (0, 0)
    ads.shop.order("ada", NEXT, known_at=NOON)
    assert ads.export(NOON) == (0, 1)


def test_the_last_day_is_inside_and_the_next_is_not(ads: Ads) -> None:
    ads.put_in("ada")
    midnight = datetime.combine(UNTIL + timedelta(days=1), time(0), AMSTERDAM)
    assert ads.export(midnight - timedelta(seconds=1)) == (0, 0)
    assert ads.export(midnight) == (0, 1)
    assert ads.who() == [("ada", "until_over")]


def test_who_leaves_before_any_export_is_in_no_file(ads: Ads) -> None:
    ads.member("ada")
    deliver(Shop(ads.settings, ads.engine), at=MORNING)
    ads.planner.suppress("ada", MORNING)
    assert ads.export() == (0, 0)
    assert (ads.folders, ads.who()) == ([], [("ada", "suppressed")])


@pytest.mark.parametrize("which", [{}, {"campaign": "ads"}, {"channel": "audience"}])
def test_a_halt_keeps_people_from_being_put_in_and_never_from_being_taken_out(ads: Ads, which: dict[str, str]) -> None:
    ads.put_in("ada")
    ads.member("bob")
    deliver(Shop(ads.settings, ads.engine), at=MORNING)
    halting.halt(Shop(ads.settings, ads.engine), **which)
    ads.planner.suppress("ada", NOON)
    assert ads.export(NOON) == (0, 1)
    assert ads.inside() == set()
    halts.resume(Shop(ads.settings, ads.engine), **which)
    assert ads.export(NOON) == (1, 0)
    assert ads.inside() == {email("bob")}


def test_somebody_erased_is_taken_out_and_then_nothing_is_kept(ads: Ads) -> None:
    ads.put_in("ada", "bob")
    ads.member("carol")
    deliver(Shop(ads.settings, ads.engine), at=MORNING)
    with ads.engine.begin() as connection:
        for ref in ("ada", "carol"):
            who = connection.exec_driver_sql(f"select shop.customer_id('test', '{ref}')").scalar_one()
            audiences.queue_removal(connection, who, NOON)
    assert ads.export(NOON) == (0, 1)
    assert (ads.inside(), ads.who()) == ({email("bob")}, [("bob", None)])
    assert ads.export(NOON) == (0, 0)


def test_after_a_month_folders_and_hashes_are_deleted_but_not_of_who_is_in(ads: Ads) -> None:
    ads.put_in("ada", "bob")
    ads.planner.suppress("ada", NOON)
    ads.export(NOON)
    ads.planner.run("update delivery.audience_members set until_on = '2027-12-31' where left_at is null")
    ads.export(NOON + timedelta(days=31))
    assert ads.folders == []
    kept = ads.planner.run("select left_reason, email_meta from delivery.audience_members order by 1 nulls first")
    assert [(row["left_reason"], row["email_meta"]) for row in kept] == [(None, email("bob")), ("suppressed", None)]
    ads.planner.suppress("bob", NOON + timedelta(days=32))
    assert ads.export(NOON + timedelta(days=32)) == (0, 1)


def test_a_telephone_that_two_share_is_not_put_in_and_taken_out_at_once(ads: Ads) -> None:
    phone = "+31600000099"
    ads.member("ada", phone=phone)
    deliver(Shop(ads.settings, ads.engine), at=MORNING)
    ads.export(NOON)
    ads.member("bob", phone=phone)
    deliver(Shop(ads.settings, ads.engine), at=NOON)
    ads.planner.suppress("ada", NOON)
    assert ads.export(NOON + timedelta(hours=1)) == (1, 1)
    assert (ads.folders[-1] / "meta_remove.csv").read_text().endswith(f"{email('ada')},{digest(phone[1:])}\n")
    assert (ads.folders[-1] / "meta_add.csv").read_text().endswith(f"{email('bob')},\n")


def test_who_enters_again_while_still_in_never_falls_out_by_the_first_entry(ads: Ads) -> None:
    ads.put_in("ada")
    ads.end("ada", exited_on=NEXT, exit_reason="finished")
    ads.planner.run(
        "insert into campaigns.enrolments (customer_id, campaign, entry_no, version, arm, entered_on)"
        " select customer_id, campaign, 2, version, arm, entered_on + 3 from campaigns.enrolments"
    )
    ads.planner.run(
        "insert into delivery.audience_members (customer_id, message_key, campaign, step, entry_no, until_on,"
        " email_meta, email_google, kept_at) select customer_id, 'second', campaign, step, 2, until_on + 3, email_meta,"
        " email_google, kept_at from delivery.audience_members"
    )
    over = datetime.combine(UNTIL + timedelta(days=1), time(0), AMSTERDAM)
    results = [ads.export(at) for at in (NOON, over, over + timedelta(hours=1), over + timedelta(days=3))]
    assert results == [(0, 0), (0, 1), (1, 0), (0, 1)]


@pytest.mark.parametrize("reason", ["order", "suppressed", "no_consent", "control"])
def test_the_proof_finds_who_stands_in_a_file_for_a_day_too_long(ads: Ads, reason: str) -> None:
    ads.put_in("ada", "bob")
    assert set(proof.prove(Shop(ads.settings, ads.engine), NOON + timedelta(days=2)).values()) == {0}
    LEAVING[reason](ads, NOON)
    a_day_later = NOON + timedelta(days=1)
    found = [
        proof.prove(Shop(ads.settings, ads.engine), at)["audience_overstayed"]
        for at in (a_day_later - timedelta(seconds=1), a_day_later)
    ]
    assert found == ([1, 1] if reason == "control" else [0, 1])
    ads.export(a_day_later)
    assert proof.prove(Shop(ads.settings, ads.engine), a_day_later)["audience_overstayed"] == 0


# --- crashes and repetitions -----------------------------------------------------------------------------------------


def contents(folders: list[Path]) -> dict[str, bytes]:
    return {f"{each.parent.name}/{each.name}": each.read_bytes() for folder in folders for each in folder.iterdir()}


def test_the_same_day_again_gives_the_same_bytes(ads: Ads) -> None:
    ads.put_in("ada", "bob")
    ads.planner.suppress("bob", NOON)
    ads.export(NOON)
    before = contents(ads.folders)
    for each in ads.folders[0].iterdir():
        each.unlink()
    (ads.folders[1] / "meta_remove.csv").touch()
    assert export(Shop(ads.settings, ads.engine), day=NEXT, at=NOON + timedelta(days=3))["exports"] == 1
    assert contents(ads.folders) == before


@pytest.mark.parametrize("written", range(4))
def test_a_crash_between_the_database_and_the_files_is_mended_by_the_next_export(
    ads: Ads, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    ads.member("ada")
    deliver(Shop(ads.settings, ads.engine), at=MORNING)
    system, _ = exports.place(ads.settings)
    calls = iter(range(99))
    original = type(system).pipe_file

    def pipe_file(self: Any, path: str, value: bytes, **more: Any) -> None:
        if next(calls) == written:
            raise OSError("the disk is gone")
        original(self, path, value, **more)

    if written < 3:  # two files and the manifest
        monkeypatch.setattr(type(system), "pipe_file", pipe_file)
    else:
        monkeypatch.setattr(exports, "_is_written", lambda *_: (_ for _ in ()).throw(OSError("gone before the commit")))
    with pytest.raises((DeliveryError, OSError), match="gone"):
        ads.export(NOON)
    monkeypatch.undo()
    ads.planner.suppress("ada", NOON + timedelta(minutes=1))
    export(Shop(ads.settings, ads.engine), at=NOON + timedelta(hours=1))
    assert [folder.name[-4:] for folder in ads.folders] == ["0001", "0002"]
    assert json.loads((ads.folders[0] / "manifest.json").read_text())["rows"] == {"added": 1, "removed": 0}
    assert ads.inside() == set()
    assert ads.export(NOON + timedelta(hours=2)) == (0, 0)


@pytest.mark.parametrize("later", [0, 1])
def test_an_older_copy_of_the_database_does_not_write_over_what_it_has_forgotten(ads: Ads, later: int) -> None:
    ads.put_in("ada")
    before = contents(ads.folders)
    ads.planner.run("delete from delivery.exports")
    ads.planner.run("delete from delivery.audience_members")
    ads.planner.run("delete from delivery.messages")
    with pytest.raises(StateError, match="older copy"):
        ads.put_in("bob", at=MORNING + timedelta(days=later))
    assert contents(ads.folders) == before


def test_a_day_that_is_over_is_exported_as_of_its_end_and_one_to_come_is_refused(ads: Ads) -> None:
    ads.member("ada")
    deliver(Shop(ads.settings, ads.engine), at=MORNING)
    later = NOON + timedelta(days=2)
    with pytest.raises(InputError, match="is not over"):
        export(Shop(ads.settings, ads.engine), day=later.date() + timedelta(days=1), at=later)
    assert export(Shop(ads.settings, ads.engine), day=NEXT, at=later)["added"] == 1
    assert ads.folders[0].name == "2026-11-21-0001"
    assert export(Shop(ads.settings, ads.engine), day=DAY, at=later)["exports"] == 0


def test_a_day_that_is_played_exports_at_its_beginning_and_its_end(ads: Ads) -> None:
    for ref in ("ada", "bob"):
        ads.member(ref)
    for number in range(7):
        if number == 1:
            ads.shop.order("bob", NEXT)  # known from the midnight after it
        replay(Shop(ads.settings, ads.engine), DAY + timedelta(days=number))
    assert [
        (folder.name, *json.loads((folder / "manifest.json").read_text())["rows"].values()) for folder in ads.folders
    ] == [("2026-11-21-0001", 2, 0), ("2026-11-22-0002", 0, 1), ("2026-11-26-0003", 0, 1)]
    assert ads.who() == [("ada", "until_over"), ("bob", "order")]


numbers = itertools.count(1)
EVENTS = ("enter", "bought", "suppressed", "withdrew", "halt", "resume", "erased", "export", "crash", "days pass")


@hypothesis(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    events=st.lists(st.tuples(st.sampled_from(EVENTS), st.integers(0, 3)), max_size=20),
)
def test_added_less_removed_over_all_exports_is_who_should_be_in(ads: Ads, events: list[tuple[str, int]]) -> None:
    """Whatever happens in whatever order; each example in a campaign of its own."""
    campaign = f"c{next(numbers)}"
    ads.planner.run("delete from delivery.audience_members")
    ads.planner.run("delete from delivery.exports")
    ads.planner.version(campaign, "v1", TEMPLATES, steps=STEPS)
    mine = ads.settings.evolve(local=ads.settings.local / campaign)
    at, halted, started = MORNING, False, date(2026, 11, 21)
    due: set[str] = set()  # who should be in, if nothing is halted
    for event, number in events:
        at += timedelta(minutes=7)
        ref = f"{campaign}-{number}"
        if event == "enter" and ref not in due and not _is_there(ads, ref) and at.date() == started:
            ads.shop.customer(ref, consents=BOTH)
            ads.planner.message(ref, step="retarget", channel="audience", campaign=campaign)
            if not halted:
                deliver(Shop(mine, ads.engine), at=at, campaign=campaign)
                due.add(ref)
            else:
                ads.planner.run(
                    "delete from delivery.messages where campaign = :campaign and state = 'planned'", campaign=campaign
                )
        elif event in ("bought", "suppressed", "withdrew", "erased") and _is_there(ads, ref):
            if event == "bought":
                ads.shop.order(ref, at.date(), known_at=at)
            elif event == "suppressed":
                ads.planner.suppress(ref, at)
            elif event == "withdrew" and ref in due:
                ads.planner.withdraw(ref, "audience", at)
            elif event == "erased":
                with ads.engine.begin() as connection:
                    who = connection.exec_driver_sql(f"select shop.customer_id('test', '{ref}')").scalar_one()
                    audiences.queue_removal(connection, who, at)
            due.discard(ref)
        elif event in ("halt", "resume"):
            halted = event == "halt"
            (halting.halt if halted else halts.resume)(Shop(mine, ads.engine), campaign=campaign)
        elif event == "days pass":
            at += timedelta(days=number)
        elif event == "crash":
            with pytest.MonkeyPatch.context() as patch, contextlib.suppress(OSError):
                patch.setattr(exports, "write", lambda *_: (_ for _ in ()).throw(OSError("gone")))
                export(Shop(mine, ads.engine), at=at)
        elif event == "export":
            export(Shop(mine, ads.engine), at=at)
        if at.date() > UNTIL:
            due.clear()
    halts.resume(Shop(mine, ads.engine), campaign=campaign)
    at += timedelta(minutes=7)
    export(Shop(mine, ads.engine), at=at)
    one = Ads.__new__(Ads)
    one.settings = mine
    assert one.inside() == one.inside("google") == {email(ref) for ref in due}


def _is_there(ads: Ads, ref: str) -> bool:
    return bool(ads.planner.run("select 1 from shop.customers where customer_ref = :ref", ref=ref))
