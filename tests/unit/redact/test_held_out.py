"""Structured kinds in texts that the patterns were not made on: other countries, other forms."""

from __future__ import annotations

import random
import string
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING

from streams.redact import Redactor
from streams.redact.checks import IBAN_LENGTHS, luhn

if TYPE_CHECKING:
    from collections.abc import Callable

REDACTOR = Redactor()
RNG = random.Random(20261125)
TEXTS = 1000
SURROUNDINGS = [
    "Bitte buchen Sie es auf {} um.",
    "le numero est {} et rien d'autre",
    "Please update {} in my account; order 2026-11-25 #48213.",
    "[{}] was logged at 12:45:09 v2.14.3",
    "use {} (not the other one), total 1,249.00 EUR",
    "id={};ref=A-77120-9",
]
CARDS = [("4", 16), ("51", 16), ("34", 15), ("6011", 16), ("3528", 16), ("2221", 16), ("62", 16)]
COUNTRIES = ["DE", "FR", "GB", "NL", "ES", "IT", "PL", "SE", "NO", "MT", "TR", "SA", "BR", "GR"]


def digits(count: int) -> str:
    return "".join(RNG.choices(string.digits, k=count))


def word() -> str:
    return "".join(RNG.choices(string.ascii_lowercase, k=RNG.randint(2, 9)))


def card() -> str:
    beginning, length = RNG.choice(CARDS)
    body = beginning + digits(length - len(beginning) - 1)
    number = next(body + last for last in string.digits if luhn(body + last))
    cuts = (0, 4, 10, 15) if length == 15 else (0, 4, 8, 12, 16)
    groups = [number[at:end] for at, end in pairwise(cuts)]
    return RNG.choice(["", " ", "-"]).join(groups)


def iban() -> str:
    country = RNG.choice(COUNTRIES)
    bank = word()[:1].upper() * 4 if country in ("GB", "NL", "MT") else digits(4)
    account = bank + digits(IBAN_LENGTHS[country] - 8)
    rest = int("".join(str(int(character, 36)) for character in account + country + "00")) % 97
    number = f"{country}{98 - rest:02}{account}"
    groups = [number[at : at + 4] for at in range(0, len(number), 4)]
    return RNG.choice(["", " "]).join(groups)


def ssn() -> str:
    return f"{RNG.randint(1, 665):03}-{RNG.randint(1, 99):02}-{RNG.randint(1, 9999):04}"


def ip() -> str:
    hexes = [f"{RNG.randint(1, 65535):x}" for _ in range(8)]
    v4 = ".".join(str(RNG.randint(1, 255)) for _ in range(4))
    return RNG.choice(
        [v4, ":".join(hexes), f"2001:db8::{hexes[0]}", f"fe80::{hexes[0]}:{hexes[1]}"]
    )


def email() -> str:
    user = RNG.choice([f"{word()}.{word()}", f"{word()}+{word()}", f"{word()}_{digits(2)}"])
    return f"{user}@{word()}.{RNG.choice(['de', 'co.uk', 'museum', 'io'])}"


def phone() -> str:
    return RNG.choice(
        [
            f"+49 30 {digits(3)} {digits(4)}",
            f"+33 6 {digits(2)} {digits(2)} {digits(2)} {digits(2)}",
            f"+44 (0)20 {digits(4)} {digits(4)}",
            f"+81-3-{digits(4)}-{digits(4)}",
            f"+1{digits(10)}",
            f"0{RNG.randint(1, 9)} {digits(2)} {digits(2)} {digits(2)} {digits(2)}",
            f"0049 {digits(3)} {digits(7)}",
            f"0{RNG.randint(10, 99)}/{digits(8)}",
            f"06-{digits(8)}",
        ]
    )


KINDS: list[Callable[[], str]] = [card, iban, ssn, ip, email, phone]


def test_what_was_not_tuned_on_is_found_too() -> None:
    outcome: Counter[str] = Counter()
    for make in KINDS:
        found = 0
        for _ in range(TEXTS):
            before, after = RNG.choice(SURROUNDINGS).split("{}")
            value = make()
            hits = REDACTOR.find((before + value + after).encode())
            right = [
                hit
                for hit in hits
                if hit.kind == make.__name__
                and hit.start < len(before) + len(value)
                and hit.end > len(before)
            ]
            found += bool(right)
            outcome["right"] += len(right)
            outcome["wrong"] += len(hits) - len(right)
        assert found / TEXTS >= 0.97, make.__name__
    assert outcome["right"] / outcome.total() >= 0.95
