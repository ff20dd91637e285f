"""What a pattern found is only what it looks like if its checksum or its ranges agree."""

from __future__ import annotations

from ipaddress import AddressValueError, IPv6Address

#: Length of the IBANs of each country that issues them (ISO 13616 registry).
IBAN_LENGTHS = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22,
    "BI": 27, "BR": 29, "BY": 28, "CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DJ": 27,
    "DK": 18, "DO": 28, "EE": 20, "EG": 29, "ES": 24, "FI": 18, "FK": 18, "FO": 18, "FR": 27,
    "GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27, "GT": 28, "HR": 21, "HU": 28, "IE": 22,
    "IL": 23, "IQ": 23, "IS": 26, "IT": 27, "JO": 30, "KW": 30, "KZ": 20, "LB": 28, "LC": 32,
    "LI": 21, "LT": 20, "LU": 20, "LV": 21, "LY": 25, "MC": 27, "MD": 24, "ME": 22, "MK": 19,
    "MN": 20, "MR": 27, "MT": 31, "MU": 30, "NI": 28, "NL": 18, "NO": 15, "OM": 23, "PK": 24,
    "PL": 28, "PS": 29, "PT": 25, "QA": 29, "RO": 24, "RS": 22, "RU": 33, "SA": 24, "SC": 31,
    "SD": 18, "SE": 24, "SI": 19, "SK": 24, "SM": 27, "SO": 23, "ST": 25, "SV": 28, "TL": 23,
    "TN": 24, "TR": 26, "UA": 29, "VA": 22, "VG": 24, "XK": 20, "YE": 30,
}  # fmt: skip
_MAX_OCTET = 255
_SSN_RESERVED = 900


def luhn(digits: str) -> bool:
    """Check the last digit of a card number (ISO/IEC 7812-1, annex B).

    Examples
    --------
    >>> luhn("4111111111111111"), luhn("4111111111111112")
    (True, False)
    """
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if place % 2 else 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


#: First digits of a card scheme -> lengths of its numbers.
_CARDS: tuple[tuple[tuple[str, ...], frozenset[int]], ...] = (
    (("4",), frozenset({13, 16, 19})),
    (("34", "37"), frozenset({15})),
    (("2131", "1800"), frozenset({15})),
    (("30", "36", "38", "39"), frozenset({14, 16, 19})),
    (("35",), frozenset({16, 17, 18, 19})),
    (("51", "52", "53", "54", "55"), frozenset({16})),
    (tuple(str(number) for number in range(222, 273)), frozenset({16})),
    (("60", "62", "64", "65"), frozenset({16, 17, 18, 19})),
    (("50", "56", "57", "58", "59", "6"), frozenset(range(12, 20))),
)


def is_card(found: str) -> bool:
    """Say whether digits, perhaps in groups, are the number of a payment card."""
    digits = "".join(filter(str.isdigit, found))
    known = any(
        digits.startswith(beginnings) and len(digits) in lengths for beginnings, lengths in _CARDS
    )
    return known and luhn(digits)


def iban_length(found: str) -> int:
    """Return how many characters of a text are an IBAN with valid check digits, 0 if none.

    Examples
    --------
    >>> iban_length("GB82 WEST 1234 5698 7654 32 to others")
    27
    """
    wanted = IBAN_LENGTHS.get(found[:2].upper(), 0)
    compact, end = [], 0
    for end, character in enumerate(found, 1):  # noqa: B007 - the end is the result
        if character != " ":
            compact.append(character.upper())
        if len(compact) == wanted:
            break
    if not wanted or len(compact) != wanted:
        return 0
    rearranged = compact[4:] + compact[:4]
    number = int("".join(str(int(character, 36)) for character in rearranged))
    return end if number % 97 == 1 else 0


def is_ssn(found: str) -> bool:
    """Say whether ``AAA-GG-SSSS`` is in the ranges that are given out."""
    area, group, serial = (int(part) for part in found.split("-"))
    return 0 < area < _SSN_RESERVED and area != 666 and group > 0 and serial > 0


def is_ipv4(found: str) -> bool:
    """Say whether numbers are an address: four, none of them with a zero before it."""
    parts = found.split(".")
    return len(parts) == 4 and all(
        int(part) <= _MAX_OCTET and str(int(part)) == part for part in parts
    )


def is_ipv6(found: str) -> bool:
    """Say whether colons and digits are an address, and more than ``::``."""
    try:
        return bool(IPv6Address(found)) and len(found) > 4
    except AddressValueError:
        return False


def phone_length(found: str, least: int = 7, most: int = 15) -> int:
    """Return how many characters are a telephone number: the groups that it has digits for.

    What follows may be another number. ITU-T E.164 allows 15 digits; an extension counts extra.

    Examples
    --------
    >>> phone_length("+44 20 7946 0958 1234567890")
    16
    """
    end = digits = 0
    for place, (character, following) in enumerate(zip(found, found[1:] + " ", strict=True), 1):
        if character == "x":
            return len(found) if end else 0
        digits += character.isdigit()
        if digits > most:
            break
        if digits >= least and character.isdigit() and not following.isdigit():
            end = place
    return end


def trunk_length(found: str) -> int:
    """Return how many characters are a number with a trunk prefix; 0 for a date."""
    return phone_length(found, least=9, most=13)
