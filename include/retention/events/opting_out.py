"""What a text asks for: to be left alone, or to be written to again. Its wordings stand in ``include/opt_out.yaml``.

It knows nothing of channels: it is for whatever a customer writes back, by text or by mail. Of a mail, hand over what
the customer wrote, without what the mail quotes.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retention.core import documents

WORDS = 15  # in a text that is short
OWN_QUOTES = 3  # words that somebody puts in quotation marks ("STOP"); more are what is quoted: a text of ours

_WORDINGS = {
    "type": "array",
    "items": {
        "type": "string",
        "pattern": r"[^\W_]",
        "write": "words; put them in quotation marks if they are a number",
    },
    "write": "a list of wordings like [stop, remove me]",
}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "write": "the keys start and languages",
    "additionalProperties": False,
    "required": ["start", "languages"],
    "properties": {
        "start": _WORDINGS,
        "languages": {
            "type": "object",
            "write": "a language like en, with the keys anywhere, alone, polite, keep and other",
            "minProperties": 1,
            "additionalProperties": {
                "type": "object",
                "write": "the keys anywhere, alone, polite, keep and other, each with a list",
                "additionalProperties": False,
                "required": ["anywhere"],
                "properties": dict.fromkeys(("anywhere", "alone", "polite", "keep", "other"), _WORDINGS),
            },
        },
    },
}

_QUOTED = re.compile(r"[\"“”„«]([^\"“”„«»]*)[\"“”»]")
_APOSTROPHES = re.compile(r"['’‘ʼ`´′＇]")
_WORD = re.compile(r"[^\W_]+")
_INITIALS = re.compile(r"(?<!\w)(?:[^\W\d_]\.){2,}[^\W\d_]?(?!\w)")  # a.u.b.
_BETWEEN_SENTENCES = re.compile(r"[^\w\s-]|\n|(?<!\w)-|-(?!\w)")  # not what joins two words: non-stop
_DRAWN_OUT = re.compile(r"([^\W\d_])\1{2,}")  # STOOOP
# Letters that no decomposition takes apart, and capitals that look Latin. The alphabet of texts (GSM 03.38) has only
# the Latin ones of these, so a Greek phone sends ΔΙΑΓΡΑΦΗ in two alphabets.
_PLAIN = str.maketrans(
    "ŁØĐÐÞ" + "ΑΒΕΖΗΙΚΜΝΟΡΤΥΧ" + "АВЕЅІЈКМНОРСТУХ",
    "LODDT" + "ABEZHIKMNOPTYX" + "ABESIJKMHOPCTYX",
)


@dataclass(frozen=True)
class Wordings:
    """The wordings of all languages, folded."""

    anywhere: re.Pattern[str]
    whole: re.Pattern[str]  # one that stands alone but for polite words
    squeezed: frozenset[str]  # all of them without blanks: S.T.O.P. and REMOVEME
    polite: re.Pattern[str]  # nothing but polite words
    keep: re.Pattern[str]  # asks for the opposite, where a sentence begins with it
    other: re.Pattern[str]  # something else, where a sentence ends in it
    start: frozenset[str]  # without blanks

    def opt_keyword(self, text: str) -> str | None:
        """What `text` asks for: ``stop``, ``start``, or None for anything else."""
        own = _QUOTED.sub(lambda quoted: quoted[0] if len(_words(quoted[1])) <= OWN_QUOTES else " ", text)
        if self.polite.fullmatch(" ".join(_words(own))):
            own = text  # somebody who puts all of it in quotation marks quotes nobody
        sentences = _sentences(own)
        if "".join(sentences).replace(" ", "") in self.start:
            return "start"
        said = " ".join(self.other.sub("", self.keep.sub("", each)) for each in sentences)
        words = said.split()
        said = " ".join(words)
        found = self.anywhere.search(said)
        if found and found.start() == 0:
            return "stop"
        if len(words) > WORDS:
            return None
        return "stop" if found or "".join(words) in self.squeezed or self.whole.fullmatch(said) else None


def read(include: Path) -> Wordings:
    """The wordings of ``opt_out.yaml``. Raises InputError naming file and line for a mistake in it."""
    document = documents.read(include / "opt_out.yaml")
    document.check(SCHEMA)
    languages = document.content["languages"].values()

    def folded(kind: str) -> list[str]:
        return [" ".join(_words(each)) for language in languages for each in language.get(kind, [])]

    anywhere, alone, polite = _any_of(folded("anywhere")), _any_of(folded("alone")), _any_of(folded("polite"))
    return Wordings(
        anywhere=re.compile(rf"(?<!\S){anywhere}(?!\S)"),
        whole=re.compile(rf"(?:{polite} )*{alone}(?: {polite})*"),
        squeezed=frozenset(each.replace(" ", "") for each in folded("anywhere") + folded("alone")),
        polite=re.compile(rf"(?:{polite}(?: |$))*"),
        keep=re.compile(rf"^(?:{polite} )*{_any_of(folded('keep'))}(?!\S)"),
        other=re.compile(rf"(?<!\S){_any_of(folded('other'))}$"),
        start=frozenset("".join(_words(each)) for each in document.content["start"]),
    )


def _words(text: str) -> list[str]:
    """The words of `text`, folded: what is written alike, whatever the keyboard, is equal."""
    return _WORD.findall(_folded(text))


def _sentences(text: str) -> list[str]:
    """The words of each sentence, or part of one, folded: anything but blanks and a hyphen ends a part."""
    return [" ".join(_WORD.findall(each)) for each in _BETWEEN_SENTENCES.split(_folded(text))]


def _folded(text: str) -> str:
    apart = unicodedata.normalize("NFKD", _APOSTROPHES.sub("", text))
    # Accents, and what nobody sees: characters without width, variants of emoji.
    seen = "".join(each for each in apart if unicodedata.category(each) not in ("Mn", "Me", "Cf"))
    plain = _DRAWN_OUT.sub(r"\1", seen.upper().translate(_PLAIN))
    return _INITIALS.sub(lambda initials: initials[0].replace(".", ""), plain)


def _any_of(wordings: Iterable[str]) -> str:
    """A pattern of any of these, the longest first."""
    ordered = sorted(set(wordings), key=lambda each: (-len(each), each))
    return f"(?:{'|'.join(map(re.escape, ordered)) or '(?!)'})"
