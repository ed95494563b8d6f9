"""What the demo shop's people and products are called. Every name is common, every address and number is made up.

E-mail domains end in ``.example``, which nobody can register (RFC 2606). Phone numbers come from ranges that the
country's regulator keeps for film and drama; where a country has none, from a range that is not given out at all.
"""

from __future__ import annotations

# Per language: first names of women, of men, and family names as (of a woman, of a man).
NAMES: dict[str, tuple[list[str], list[str], list[tuple[str, str]]]] = {
    "nl": (
        ["Sanne", "Lotte", "Femke", "Anouk", "Maaike", "Noor", "Fleur", "Iris", "Eva", "Zoë", "Marijke", "Joke"],
        ["Daan", "Sem", "Bram", "Thijs", "Jeroen", "Ruben", "Koen", "Lars", "Pieter", "Stijn", "Henk", "Joost"],
        [
            (name, name)
            for name in (
                "de Jong",
                "Jansen",
                "de Vries",
                "van den Berg",
                "Bakker",
                "Visser",
                "Smit",
                "Meijer",
                "Mulder",
                "Bos",
                "van der Linden",
                "Peeters",
                "Janssens",
                "Hendriks",
                "Dekker",
                "van 't Hof",
            )
        ],
    ),
    "pl": (
        ["Zofia", "Małgorzata", "Agnieszka", "Katarzyna", "Łucja", "Barbara", "Ewa", "Hanna", "Joanna", "Żaneta"],
        ["Łukasz", "Paweł", "Michał", "Grzegorz", "Tomasz", "Wojciech", "Andrzej", "Krzysztof", "Stanisław", "Jan"],
        [
            ("Kowalska", "Kowalski"),
            ("Wiśniewska", "Wiśniewski"),
            ("Wójcik", "Wójcik"),
            ("Kamińska", "Kamiński"),
            ("Zielińska", "Zieliński"),
            ("Szymańska", "Szymański"),
            ("Dąbrowska", "Dąbrowski"),
            ("Król", "Król"),
            ("Wróbel", "Wróbel"),
            ("Jabłońska", "Jabłoński"),
            ("Nowak", "Nowak"),
            ("Źródło", "Źródło"),
        ],
    ),
    "el": (
        ["Μαρία", "Ελένη", "Κατερίνα", "Βασιλική", "Σοφία", "Αγγελική", "Γεωργία", "Δήμητρα", "Ιωάννα", "Χρυσούλα"],
        ["Γιώργος", "Γιάννης", "Κώστας", "Δημήτρης", "Νίκος", "Παναγιώτης", "Βασίλης", "Χρήστος", "Θανάσης", "Σπύρος"],
        [
            ("Παπαδοπούλου", "Παπαδόπουλος"),
            ("Βλάχου", "Βλάχος"),
            ("Αγγελοπούλου", "Αγγελόπουλος"),
            ("Νικολαΐδου", "Νικολαΐδης"),
            ("Γεωργίου", "Γεωργίου"),
            ("Δημητρίου", "Δημητρίου"),
            ("Ψαρρά", "Ψαρράς"),
            ("Οικονόμου", "Οικονόμου"),
            ("Καραγιάννη", "Καραγιάννης"),
            ("Ξενάκη", "Ξενάκης"),
        ],
    ),
    "en": (
        ["Emily", "Olivia", "Grace", "Charlotte", "Niamh", "Hannah", "Amelia", "Ruth", "Chloe", "Siobhán"],
        ["Jack", "Oliver", "Harry", "Conor", "James", "Thomas", "Liam", "George", "Samuel", "Seán"],
        [
            (name, name)
            for name in (
                "Smith",
                "Jones",
                "O'Brien",
                "Taylor",
                "Murphy",
                "Walker",
                "Wright",
                "Byrne",
                "Hughes",
                "Clarke",
                "Turner",
                "Edwards",
                "Wood",
                "Kelly",
            )
        ],
    ),
}

# Share of families, country, (language, its share) ..., time zones.
COUNTRIES: list[tuple[float, str, list[tuple[str, float]], list[str]]] = [
    (0.33, "NL", [("nl", 0.92), ("en", 0.08)], ["Europe/Amsterdam"]),
    (0.07, "BE", [("nl", 0.9), ("en", 0.1)], ["Europe/Brussels"]),
    (0.20, "PL", [("pl", 0.95), ("en", 0.05)], ["Europe/Warsaw"]),
    (0.15, "GR", [("el", 0.95), ("en", 0.05)], ["Europe/Athens"]),
    (0.03, "CY", [("el", 0.8), ("en", 0.2)], ["Asia/Nicosia"]),
    (0.10, "GB", [("en", 1.0)], ["Europe/London"]),
    (0.04, "IE", [("en", 1.0)], ["Europe/Dublin"]),
    (0.03, "FR", [("en", 1.0)], ["Europe/Paris"]),
    (0.02, "DE", [("en", 0.8), ("pl", 0.2)], ["Europe/Berlin"]),
    (0.02, "US", [("en", 0.9), ("el", 0.1)], ["America/New_York", "America/Los_Angeles"]),
    (0.01, "AU", [("en", 0.8), ("el", 0.2)], ["Australia/Sydney"]),
]

# Per country: streets that are nowhere, {} being the house, and towns with a postal code that is not given out.
ADDRESSES: dict[str, tuple[list[str], list[tuple[str, str]]]] = {
    "NL": (["Voorbeeldstraat {}", "Nergensgracht {}"], [("0100 AA", "Amsterdam"), ("0200 AA", "Utrecht")]),
    "BE": (["Voorbeeldlaan {}"], [("0100", "Gent"), ("0200", "Antwerpen")]),
    "PL": (["ul. Przykładowa {}", "ul. Żadna {}"], [("00-000", "Łódź"), ("00-000", "Kraków")]),
    "GR": (["Οδός Παραδείγματος {}"], [("000 00", "Αθήνα"), ("000 00", "Θεσσαλονίκη")]),
    "CY": (["Οδός Παραδείγματος {}"], [("0000", "Λευκωσία")]),
    "GB": (["{} Example Street"], [("QQ1 0AA", "London"), ("QQ2 0AA", "Leeds")]),
    "IE": (["{} Example Street"], [("A00 0000", "Cork")]),
    "FR": (["{} rue de l'Exemple"], [("00000", "Orléans")]),
    "DE": (["Beispielstraße {}"], [("00000", "Köln")]),
    "US": (["{} Example Street"], [("00000", "Springfield")]),
    "AU": (["{} Example Street"], [("0000", "Hobart")]),
}

# Per country: what a number begins with, and how many digits follow.
PHONES: dict[str, tuple[list[str], int]] = {
    "GB": (["+447700900"], 3),  # Ofcom: for drama
    "FR": (["+336399800", "+336399801", "+336399802"], 2),  # Arcep: for film
    "IE": (["+353209110", "+353209111"], 3),  # ComReg: for drama
    "DE": (["+491713920", "+491760406"], 3),  # Bundesnetzagentur: for film, begin 017139200 and 0176040690
    "US": (["+120255501", "+121355501", "+131255501", "+161755501"], 2),  # NANPA: 555-0100 to 555-0199
    "AU": (["+6149157"], 4),  # ACMA: for drama, a few of these
    "NL": (["+31600"], 6),  # no such range: not given out
    "BE": (["+32400"], 6),
    "PL": (["+48100"], 6),
    "GR": (["+30600"], 7),
    "CY": (["+35710"], 6),
}

DOMAINS = ["mail.example", "post.example", "inbox.example", "brief.example", "home.example"]

# Category -> products, as (name, price in cents).
PRODUCTS: dict[str, list[tuple[str, int]]] = {
    "coffee": [
        ("Espresso beans 1 kg", 2195),
        ("Filter coffee 500 g", 1095),
        ("Decaf beans 500 g", 1245),
        ("Ethiopia Sidamo 250 g", 895),
        ("Colombia Huila 250 g", 875),
        ("Cold brew bags", 1150),
    ],
    "tea": [
        ("Earl Grey, loose 100 g", 695),
        ("Sencha 100 g", 945),
        ("Rooibos 100 g", 525),
        ("Mountain tea, bunch", 480),
        ("Mint, dried 50 g", 390),
        ("Chai mix 250 g", 985),
    ],
    "chocolate": [
        ("Dark 85 % bar", 345),
        ("Milk with sea salt bar", 325),
        ("Pralines, box of 16", 1690),
        ("Cocoa powder 250 g", 620),
        ("Hazelnut spread", 595),
        ("Tasting box, 6 bars", 1850),
    ],
    "kitchen": [
        ("Hand grinder", 5900),
        ("French press 1 l", 3450),
        ("Kettle, gooseneck", 7900),
        ("Milk frother", 2495),
        ("Paper filters, 100", 450),
        ("Kitchen scale", 2950),
    ],
    "tableware": [
        ("Mug, speckled", 1450),
        ("Espresso cups, 4", 2600),
        ("Teapot 1.2 l", 3900),
        ('Saucer, "Delft" blue', 890),
        ("Tea strainer", 750),
        ("Tray, oak", 3200),
    ],
    "gifts": [
        ("Breakfast box", 3495),
        ("Tea advent box", 2990),
        ("Coffee of the month, 3 months", 4800),
        ("Gift wrap", 250),
        ("Card, blank", 295),
        ("Voucher 25", 2500),
    ],
}

# What is left of the net price of the first product of a category; of each further one a hundredth more.
MARGINS = {"coffee": 0.32, "tea": 0.45, "chocolate": 0.36, "kitchen": 0.27, "tableware": 0.41, "gifts": 0.38}
WITHOUT_MARGIN = {"Gift wrap", "Card, blank", "Voucher 25"}  # nobody knows what these leave

COUPONS = {"WELCOME10": 10, "SPRING15": 15, "FRIENDS5": 5}
