"""Texts of Faker with personal data in the forms of many countries.

Words of a language, with values put between them that no word announces, and with decoys that
look much like them: dates, times, prices, books, products, identifiers, places on a map.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, NamedTuple

from faker import Faker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Whose forms of telephone numbers are to be found, whether or not they begin with a country.
HOME = ("en_US", "en_GB", "de_DE", "fr_FR")
ABROAD = (
    "cs_CZ", "da_DK", "de_AT", "de_CH", "en_AU", "en_CA", "en_IE", "en_IN", "en_NZ", "es_ES",
    "es_MX", "fi_FI", "fr_CH", "it_IT", "ja_JP", "nl_BE", "nl_NL", "no_NO", "pl_PL", "pt_BR",
    "pt_PT", "sv_SE", "tr_TR",
)  # fmt: skip
#: Others get invalid numbers of Great Britain from Faker.
WITH_IBAN = ("de_DE", "fr_FR", "en_GB", "it_IT", "es_ES", "nl_NL", "pl_PL", "fi_FI", "de_CH")
HOME_SHARE = 4
MARKS = [("", "")] * 6 + [("(", ")"), ("", ","), ("", "."), ('"', '"')]


class Span(NamedTuple):
    """A value in a text, by the offsets of its UTF-8."""

    kind: str
    start: int
    end: int
    value: str
    locale: str


class Strangers:
    """Texts of one seed.

    Parameters
    ----------
    seed
        Of everything: the same one gives the same texts.
    """

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        self._fakers = {locale: Faker(locale) for locale in (*HOME, *ABROAD)}
        for number, faker in enumerate(self._fakers.values()):
            faker.seed_instance(seed * 1000 + number)

    def texts(self, count: int) -> Iterator[tuple[bytes, list[Span]]]:
        """Yield texts, each with what is in it."""
        locales = [*HOME * HOME_SHARE, *ABROAD]
        for _ in range(count):
            yield self._text(self._rng.choice(locales))

    def _text(self, locale: str) -> tuple[bytes, list[Span]]:
        rng, faker = self._rng, self._fakers[locale]
        words: list[tuple[str, str]] = [("", word) for word in faker.paragraph().split()]
        for _ in range(rng.randint(0, 3)):
            words.insert(rng.randint(0, len(words)), ("", self._decoy(faker)))
        for _ in range(rng.randint(0, 2)):
            words.insert(rng.randint(0, len(words)), self._personal(faker, locale))
        text, spans = b"", []
        for kind, word in words:
            before, after = rng.choice(MARKS) if kind else ("", "")
            text += before.encode()
            if kind:
                spans.append(Span(kind, len(text), len(text) + len(word.encode()), word, locale))
            text += f"{word}{after} ".encode()
        return text, spans

    def _personal(self, faker: Faker, locale: str) -> tuple[str, str]:
        kind = self._rng.choice(["card", "iban", "ssn", "email", "ip", "phone", "phone", "phone"])
        if kind == "phone" or (kind == "iban" and locale not in WITH_IBAN):
            return "phone", faker.phone_number()
        makers: dict[str, Callable[[], str]] = {
            "card": faker.credit_card_number,
            "iban": faker.iban,
            "ssn": self._fakers["en_US"].ssn,
            "email": self._rng.choice([faker.email, faker.company_email]),
            "ip": self._rng.choice([faker.ipv4, faker.ipv6]),
        }
        return kind, makers[kind]()

    def _decoy(self, faker: Faker) -> str:
        forms = ("######", "%#.%#.%", "%###,##", "%,###,###", "v%.##.#", "??-#####", "%% %% EUR")
        makers: list[Callable[[], object]] = [
            faker.date,
            faker.time,
            lambda: faker.date("%d.%m.%Y"),
            lambda: faker.date("%d/%m/%Y"),
            faker.iso8601,
            faker.unix_time,
            faker.isbn10,
            faker.isbn13,
            faker.ean13,
            faker.uuid4,
            faker.md5,
            faker.mac_address,
            faker.hex_color,
            faker.postcode,
            faker.building_number,
            faker.url,
            faker.uri,
            faker.file_path,
            faker.user_name,
            faker.swift,
            lambda: f"{faker.latitude()}, {faker.longitude()}",
            lambda: faker.bothify(self._rng.choice(forms)),
        ]
        return str(self._rng.choice(makers)())
