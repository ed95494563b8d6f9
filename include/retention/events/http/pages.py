"""The two pages a customer sees: a button to unsubscribe, and that it is done."""

from __future__ import annotations

from jinja2 import StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

WORDS = {
    "en": {
        "ask": "Do you want to stop getting offers and news from {shop}, by e-mail and by text message?",
        "button": "Unsubscribe",
        "done": "Done. {shop} will not send you any more offers and news, by e-mail or by text message.",
        "bad": "This link is not valid. Please use the link in our latest message.",
    },
    "nl": {
        "ask": "Wil je geen aanbiedingen en nieuws meer van {shop} krijgen, per e-mail en per sms?",
        "button": "Afmelden",
        "done": "Gelukt. {shop} stuurt je geen aanbiedingen en nieuws meer, niet per e-mail en niet per sms.",
        "bad": "Deze link is niet geldig. Gebruik de link in ons laatste bericht.",
    },
    "pl": {
        "ask": "Czy nie chcesz już otrzymywać ofert i nowości od {shop}, e-mailem ani SMS-em?",
        "button": "Wypisz mnie",
        "done": "Gotowe. {shop} nie będzie już wysyłać Ci ofert ani nowości, ani e-mailem, ani SMS-em.",
        "bad": "Ten link jest nieprawidłowy. Użyj linku z naszej ostatniej wiadomości.",
    },
    "el": {
        "ask": "Θέλετε να μη λαμβάνετε πλέον προσφορές και νέα από {shop}, με e-mail και SMS;",
        "button": "Διαγραφή",
        "done": "Έγινε. Δεν θα λαμβάνετε πλέον προσφορές και νέα από {shop}, ούτε με e-mail ούτε με SMS.",
        "bad": "Ο σύνδεσμος δεν είναι έγκυρος. Χρησιμοποιήστε τον σύνδεσμο στο τελευταίο μας μήνυμα.",
    },
}

_PAGE = ImmutableSandboxedEnvironment(autoescape=True, undefined=StrictUndefined).from_string(
    """<!doctype html>
<html lang="{{ language }}">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>{{ shop }}</title>
<style>
body { font: 1.1rem/1.5 system-ui, sans-serif; max-width: 32rem; margin: 15vh auto 0; padding: 0 1.5rem; }
button { font: inherit; padding: .6rem 1.4rem; cursor: pointer; }
</style>
<main>
<h1>{{ shop }}</h1>
<p role="status">{{ sentence }}</p>
{% if button %}
<form method="post"><button name="List-Unsubscribe" value="One-Click">{{ button }}</button></form>
{% endif %}
</main>
</html>
"""
)


def page(kind: str, shop: str, language: str | None) -> str:
    """The page `kind` (ask, done or bad) in the customer's language, in English where we do not have it."""
    known = language if language in WORDS else "en"
    words = WORDS[known]
    return _PAGE.render(
        language=known,
        shop=shop,
        sentence=words[kind].replace("{shop}", shop),
        button=words["button"] if kind == "ask" else None,
    )
