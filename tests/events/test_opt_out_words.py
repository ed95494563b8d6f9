"""Which texts are an opt-out: any wording of ``include/opt_out.yaml``, however it is typed."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
import yaml
from desk import Desk
from hypothesis import given, settings
from hypothesis import strategies as st

from retention.core.errors import InputError
from retention.events import opting_out

INCLUDE = Path(__file__).resolve().parents[2] / "include"
LISTED = yaml.safe_load((INCLUDE / "opt_out.yaml").read_text())
STOPS = sorted(
    {each for words in LISTED["languages"].values() for kind in ("anywhere", "alone") for each in words.get(kind, [])}
)
WORDINGS = opting_out.read(INCLUDE)


@pytest.mark.parametrize(
    "said",
    [
        "stoppen",
        "Uitschrijven",
        "afmeld",
        "Rezygnacja",
        "rezygnację proszę",
        "nie chcę",
        "NIE CHCE",
        "nie chce juz",
        "διαγραφή",
        "ΔΙΑΓΡΑΦΗ",
        "σταματήστε",
        "Σταματηστε παρακαλω",
        "τέλος",
        "den thelo",
        "diagrafi",
        "abmelden",
        "Löschen bitte",
        "LOESCHEN",
        "keine Werbung mehr",
        "remove me",
        "unsubscribe please",
        "Désabonnez-moi",
        "darme de baja",
        "disiscrivimi",
        "não quero",
        "wypisz mnie",
        "proszę nie wysyłać",
    ],
)
def test_a_text_that_says_stop_in_the_customers_language_is_obeyed(desk: Desk, said: str) -> None:
    assert desk.says("A", said).status_code == 200
    assert desk.suppressions() == {("A", "all", "stopped")}


@pytest.mark.parametrize(
    "said",
    [
        "STOP",
        "STOPALL",
        "UNSUBSCRIBE",
        "CANCEL",
        "END",
        "QUIT",
        "REVOKE",
        "OPTOUT",  # Twilio's own
        "s.t.o.p.",
        "S T O P",
        "STOOOOP!!!",
        "removeme",
        "\u200bst\u200dop",
        "ＳＴＯＰ",
        "🛑 stop 🛑",
        "“STOP”",
        "'stop'",
        "SΤΟΡ",  # Greek capitals that look Latin
        "ΔIAΓPAΦH",  # and the other way round, as the alphabet of texts has it
        "I do not want to receive any more of your messages, please stop",
        "please cancel, thank you",
        "end please",
        "if you don't stop I call the police",
        "don’t text me",
        "Don't. Stop.",
        "at which bus stop is your shop?",
        "STOP sending me this, I never signed up for it, and I shall write to the authority if it goes on like that",
        "STOPSMS",
        "please STOPSMS me",
        "stopt",
        "entfernen",
        "Bitte löscht meine Nummer",
        "keine weiteren Nachrichten",
        "lass mich in ruhe",
        "ich kündige",
        "ich kuendige hiermit",
        "wil afgemeld worden",
        "schrijf mij a.u.b. uit",
        "schrijf me s.v.p. uit",
        "uitschrijf",
        "meld af",
        "proszę mnie wykreślić",
        "zrezygnuj",
        "wyłącz",
        "quit texting me",
        "cancel these texts",
        "cancel my subscription",
        "cancel subscription",
        "End subscription",
        "quiero baja",
        "darse de baja",
        "pas de sms",
        "je ne veux pas recevoir",
        "je ne veux pas recevoir vos offres",
        "plus rien svp",
        "get me off this list",
        "geen sms",
        "anuluj subskrypcję",
        "quit it",
    ],
)
def test_a_stop_is_understood_however_it_is_typed_and_worded(said: str) -> None:
    assert WORDINGS.opt_keyword(said) == "stop"


@pytest.mark.parametrize(
    "said",
    [
        "",
        "🙂",
        "thanks",
        "ok",
        "can I cancel my order?",
        "at the end of the month",
        "when does the sale end",
        "HELP",
        "Don't stop!",
        "please tell me more",
        "an unstoppable offer",
        "nonstop",
        "non-stop",
        "niet stoppen",
        "do not start",
        "not yet, start later",
        "Liked “Demo Shop: 10% korting met code ABC, geldig tot 21 november. Afmelden? Antwoord STOP.”",
        "Hello, I ordered last week. Could the driver wait at the bus stop, please, as my street is closed today?",
    ],
)
def test_what_merely_contains_such_a_word_is_no_opt_out(said: str) -> None:
    assert WORDINGS.opt_keyword(said) is None


@pytest.mark.parametrize(
    "said",
    [
        "“Please stop sending me messages”",
        '"Please remove me now"',
        "«keine Nachrichten mehr an mich»",
        '"please remove me now" thanks',
    ],
)
def test_a_text_wholly_in_quotation_marks_is_the_customers_own(said: str) -> None:
    assert WORDINGS.opt_keyword(said) == "stop"


@pytest.mark.parametrize(
    "said",
    [
        "please don't stop",
        "Don't stop!! love it",
        "Love it! Please don’t stop sending these",
        "never stop",
        "I don't want to stop getting these",
        "I do not want to unsubscribe",
        "please don't remove me",
        "bitte nicht aufhören, ich mag das",
        "Ich möchte mich nicht abmelden",
        "stop niet aub",
        "Ik wil niet stoppen met jullie berichten",
        "n'arrêtez pas svp",
        "Je ne veux pas arrêter",
        "nie chcę rezygnować",
        "no quiero darme de baja",
        "where is the bus stop?",
        "When does bus stop?",
        "I read it at the bus stop 🙂",
    ],
)
def test_what_asks_for_the_opposite_or_means_another_stop_is_no_opt_out(said: str) -> None:
    assert WORDINGS.opt_keyword(said) is None


@pytest.mark.parametrize(
    "said",
    [
        "don't, stop",
        "Don't - stop",
        "don't\nstop",
        "don't 🛑 stop",
        "I don't want this, stop",
        "if you don't stop I call the police",
        "these messages never stop",
        "don't stop me from unsubscribing",
        "Don't stop! No, do stop",
        "on the bus stop texting me",
        "the bus, stop",
        "warum kann ich mich nicht abmelden?",
        "ik kan me niet afmelden",
        "don't want to stop? I do: stop",
    ],
)
def test_in_doubt_a_negation_before_the_word_changes_nothing(said: str) -> None:
    assert WORDINGS.opt_keyword(said) == "stop"


@pytest.mark.parametrize("said", ["START", " start! ", "Unstop", "yes", "ＳＴＡＲＴ"])
def test_a_start_is_a_start(said: str) -> None:
    assert WORDINGS.opt_keyword(said) == "start"


def test_a_text_with_start_among_other_words_lifts_no_stop(desk: Desk) -> None:
    desk.says("A", "rezygnacja", "SM1")
    for number, said in enumerate(["do not start", "stop, do not start again", "yes, I did say stop"]):
        desk.says("A", said, f"SM1{number}")
    assert desk.suppressions() == {("A", "all", "stopped")}


MARKS = st.sampled_from(["", "", "", "\u0301", "\u0308", "\u0327", "\u200b", "\u00ad", "\ufe0f"])
GAPS = st.sampled_from([" ", "  ", "-", ". ", " , ", "\u00a0", "\n", " 🙏 ", "\u2026", "_"])
ENDS = st.sampled_from(["", ".", "!!", " :)", "…", " 🙂", "?", "\n", ">", '"', " pls", " thanks", "  "])
STARTS = st.sampled_from(["", " ", "¡", "- ", "👋 ", '"', "Hi, ", "\ufeff", "*"])


def typed(draw: st.DrawFn, wording: str) -> str:
    """The wording as somebody may type it: case, accents more or less, wide letters, what stands between the words."""

    def letter(each: str) -> str:
        each = draw(st.sampled_from([each, each.upper(), each.lower(), each.swapcase()]))
        if draw(st.booleans()):  # without its accent
            each = "".join(part for part in unicodedata.normalize("NFD", each) if not unicodedata.combining(part))
        if "a" <= each <= "z" and draw(st.integers(0, 5)) == 0:
            each = chr(ord(each) + 0xFEE0)
        return each + draw(MARKS)

    words = ["".join(letter(each) for each in word) for word in wording.split()]
    text = words[0]
    for word in words[1:]:
        text += draw(GAPS) + word
    return draw(STARTS) + text + draw(ENDS)


@st.composite
def any_typing(draw: st.DrawFn) -> tuple[str, str]:
    wording = draw(st.sampled_from(STOPS))
    return wording, typed(draw, wording)


@settings(max_examples=1_500, deadline=None, derandomize=True, database=None)
@given(any_typing())
def test_every_listed_wording_is_obeyed_however_it_is_typed(case: tuple[str, str]) -> None:
    wording, text = case
    assert WORDINGS.opt_keyword(text) == "stop", f"{wording!r} typed as {text!r}"


@pytest.mark.parametrize("wording", STOPS)
def test_every_listed_wording_is_obeyed_alone_in_capitals_and_without_accents(wording: str) -> None:
    bare = "".join(each for each in unicodedata.normalize("NFD", wording) if not unicodedata.combining(each))
    for text in (wording, wording.upper(), bare, wording.replace("ł", "l"), wording.replace(" ", ""), f"{wording}!"):
        assert WORDINGS.opt_keyword(text) == "stop", text


@settings(max_examples=500, deadline=None, derandomize=True, database=None)
@given(st.text(max_size=300))
def test_no_text_makes_it_fail(text: str) -> None:
    assert WORDINGS.opt_keyword(text) in ("stop", "start", None)


def test_every_country_with_a_rule_has_its_language() -> None:
    spoken = {
        "DE": "de",
        "NL": "nl",
        "GR": "el",
        "PL": "pl",
        "BE": "fr",
        "FR": "fr",
        "AT": "de",
        "GB": "en",
        "US": "es",
        "unknown": "en",
    }
    countries = {line.split(",")[0] for line in (INCLUDE / "rules.csv").read_text().splitlines()[1:]}
    assert {spoken[each] for each in countries} <= set(LISTED["languages"])


@pytest.mark.parametrize(
    ("content", "line", "what"),
    [
        ("languages: {en: {anywhere: [stop]}}", 1, "'start' is missing"),
        ("start: [start]\nlanguages:\n  en:\n    any: [stop]", 4, "unknown key 'any'"),
        ("start: [start]\nlanguages:\n  en:\n    anywhere: ['!!']", 4, "write words"),
        ("start: [start]\nlanguages:\n  en:\n    anywhere: stop", 4, "a list of wordings"),
    ],
)
def test_a_mistake_in_the_list_is_told_with_its_line(tmp_path: Path, content: str, line: int, what: str) -> None:
    (tmp_path / "opt_out.yaml").write_text(content)
    with pytest.raises(InputError, match=rf"opt_out\.yaml, line {line}: .*{what}"):
        opting_out.read(tmp_path)
