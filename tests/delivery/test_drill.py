"""The drill: a few schedules of it each time, and that it finds what it is there to find."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
from checking_provider import Broken, check_mail, check_sms

DRILL = Path(__file__).with_name("drill.py")
MAIL_HEADERS = {"authorization": "Bearer SG.key", "content-type": "application/json"}
ACCOUNT = "AC" + "1" * 32
SMS_HEADERS = {
    "authorization": "Basic " + b64encode(f"{ACCOUNT}:token".encode()).decode(),
    "content-type": "application/x-www-form-urlencoded",
}
FORM = (
    "To=%2B31612345678&From=%2B31600000000&Body=Hello&ValidityPeriod=600"
    "&StatusCallback=https%3A%2F%2Fshop.example%2Fevents%3Fmessage_key%3Dk1%23rc%3D5%26rp%3Dall"
)


def drill(server: str, *words: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(DRILL.parent), str(DRILL.parents[1])])
    return subprocess.run(
        [sys.executable, str(DRILL), "--server", server, *words],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )


@pytest.mark.timeout(900)
def test_no_message_twice_and_none_lost_whatever_fails_or_dies(server: str) -> None:
    done = drill(server, "--schedules", "100", "--seed", "1")
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    total = json.loads(done.stdout.splitlines()[-1])
    assert total["schedules"] == 100
    met = ("accepted", "delivered", "bounced", "refused", "unknown", "skipped", "kills", "restores", "decisions")
    assert min(total[each] for each in met) > 10


def test_the_drill_finds_a_sender_that_sends_again_what_timed_out(server: str) -> None:
    done = drill(server, "--schedules", "4", "--seed", "7", "--broken")
    assert done.returncode == 1
    assert "DUPLICATE" in done.stdout


def mail(**changes: Any) -> bytes:
    person = {
        "to": [{"email": "ada@mail.example"}],
        "headers": {
            "List-Unsubscribe": "<https://shop.example/u/x>",
            "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        },
        "custom_args": {"message_key": "k1"},
    }
    content = [{"type": "text/plain", "value": "Hello"}]
    whole = {"from": {"email": "shop@shop.example"}, "subject": "Hello", "content": content}
    return json.dumps(whole | {"personalizations": [person | changes]}).encode()


def test_the_provider_takes_what_keeps_the_rules() -> None:
    assert check_mail(MAIL_HEADERS, mail()) == [("k1", "ada@mail.example")]
    path = f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json"
    assert check_sms(path, SMS_HEADERS, FORM.encode()) == [("k1", "+31612345678")]


@pytest.mark.parametrize(
    "changes",
    [
        {"to": [{"email": "ada"}]},
        {"to": [{"email": "ada@mail.example"}, {"email": "bob@mail.example"}]},
        {"to": [{"email": "ada@mail.example", "name": "a; b"}]},
        {"custom_args": {"message_key": "k1", "customer_id": 7}},
        {"custom_args": {"message_key": "ada@mail.example"}},
        {"substitutions": {"-t-": "x" * 10_000}},
        {"headers": {}},
        {"headers": {"Subject": "x"}},
        {"subject": "two\nlines"},
        {"send_at": "soon"},
    ],
)
def test_the_provider_refuses_a_mail_that_breaks_a_rule(changes: dict[str, Any]) -> None:
    with pytest.raises(Broken):
        check_mail(MAIL_HEADERS, mail(**changes))


@pytest.mark.parametrize(
    ("what", "instead"),
    [
        ("To=%2B31", "To=31"),
        ("Body=Hello", "Body=" + "x" * 1601),
        ("ValidityPeriod=600", "ValidityPeriod=36001"),
        ("StatusCallback=https", "StatusCallback=http"),
        ("shop.example", "my_shop.example"),
        ("%23rc%3D5%26rp%3Dall", ""),
        ("From=%2B31600000000&", ""),
        ("Body=Hello", "Body=Hello&Tag=x"),
    ],
)
def test_the_provider_refuses_an_sms_that_breaks_a_rule(what: str, instead: str) -> None:
    with pytest.raises((Broken, KeyError)):
        check_sms(f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json", SMS_HEADERS, FORM.replace(what, instead).encode())
