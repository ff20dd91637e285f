"""What is looked for in texts. A further kind is one more line.

Patterns run on google-re2, in time that is linear in the text. They are bytes: offsets into
UTF-8. The order decides where two kinds claim the same bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from streams.redact.checks import (
    iban_length,
    is_card,
    is_ipv4,
    is_ipv6,
    is_ssn,
    phone_length,
    trunk_length,
)

if TYPE_CHECKING:
    from collections.abc import Callable


class Kind(NamedTuple):
    """A kind of personal data or secret.

    ``length`` says how many bytes of what the pattern's last group found are really it; without
    it all of them are.
    """

    name: str
    pattern: str
    length: Callable[[str], int] | None = None


def _if(check: Callable[[str], bool]) -> Callable[[str], int]:
    return lambda found: len(found) if check(found) else 0


_EXTENSION = r"(?:x\d{1,5})?"
#: Numbers that their form alone gives away.
_PHONES = (
    r"\+\d[\d ().-]{6,18}\d" + _EXTENSION,
    # the international prefix in digits (ITU-T E.123) is a plus, if the country stands alone
    r"\b00[1-9]\d{0,2}[ .-][\d ().-]{4,16}\d" + _EXTENSION + r"\b",
    # an area in brackets, which is no year
    r"\((?:0\d{1,4}|\d{3})\)[ ./-]{0,2}(?:\d{2,4}[ .-])?\d{3,9}(?:[ .-]\d{2,4}){0,3}"
    + _EXTENSION
    + r"\b",
    r"\(\d{2}\) ?\d{4,5}[ -]?\d{4}\b",
    r"\b\d{3}[.-]\d{3}[.-]\d{4}" + _EXTENSION + r"\b",
    r"\b[2-9]\d{2} [2-9]\d{2} \d{4}\b",
)
#: Numbers with the trunk prefix, a zero. Those of fewer digits than these are dates.
_TRUNK = (
    r"0\d{1,4}(?: \d{2,4}){2,4}",
    r"0\d{1,4}(?:\.\d{2,4}){2,4}",
    r"0\d{1,4}(?:-\d{2,4}){2,4}",
    r"0\d{1,4}[/-] ?\d{2,4}(?: \d{2,4}){1,3}",
    r"0[1-9]\d{0,4}[/ -]\d{5,8}",
    r"0[1-9]\d{8,9}",
)

KINDS: tuple[Kind, ...] = (
    # secrets: they have beginnings that nothing else has
    Kind(
        "private_key",
        r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----(?:[^-]|-[^-])*(?:-----END [A-Z ]{0,30}-----)?",
    ),
    Kind("jwt", r"\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]*"),
    Kind("aws_key", r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    Kind("github_token", r"\b(?:gh[pousr]_[A-Za-z0-9]{36}[A-Za-z0-9]*|github_pat_\w{22}\w*)"),
    Kind("slack_token", r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}"),
    Kind("google_key", r"\bAIza[\w-]{35}"),
    Kind("stripe_key", r"\b[rs]k_live_[A-Za-z0-9]{16,}"),
    Kind("api_key", r"\bsk-[A-Za-z0-9_-]{20,}"),
    Kind("bearer_token", r"(?i)\bbearer\s+([A-Za-z0-9._~+/-]{16,}=*)"),
    Kind("url_password", r"[a-z][a-z0-9+.-]*://[^\s/:@]+:([^\s/@]+)@"),
    Kind(
        "password",
        r"(?i)\b(?:password|passwd|pwd|secret|api[_-]?key|access[_-]?token)"
        r"[\"']?\s*[:=]\s*[\"']?([^\s\"',;]{6,})",
    ),
    # personal data with a checksum or with ranges
    Kind(
        "iban",
        r"\b[A-Za-z]{2}\d{2} ?[A-Za-z0-9]{4}(?: ?[A-Za-z0-9]{4}){1,6}(?: ?[A-Za-z0-9]{1,3})?\b",
        iban_length,
    ),
    # where its form tells, apart from numbers beside it
    Kind("card", r"\b\d{12,19}\b|\b\d{4}[ -]\d{6}[ -]\d{4,5}\b", _if(is_card)),
    Kind("card", r"\b(?:\d{4}[ -]){3}\d{1,4}\b", _if(is_card)),
    Kind("card", r"\b\d(?:[ -]?\d){11,18}\b", _if(is_card)),
    Kind("ssn", r"\b\d{3}-\d{2}-\d{4}\b", _if(is_ssn)),
    # longer runs are object identifiers and the like: matched whole, so that no part is taken
    Kind("ip", r"\b\d{1,9}(?:\.\d{1,9}){3,}\b", _if(is_ipv4)),
    Kind("ip", r"\b[0-9A-Fa-f]{0,4}:(?:[0-9A-Fa-f]{0,4}:){1,6}[0-9A-Fa-f]{1,4}\b", _if(is_ipv6)),
    # personal data by its form alone
    Kind("email", r"[A-Za-z0-9._%+-]+@(?:[A-Za-z0-9-]+\.)+[A-Za-z]{2,24}\b"),
    Kind("phone", "|".join(_PHONES), phone_length),
    # not behind the rest of a time or of an amount
    Kind("phone", r"(?:^|[^\w:.,/$-])((?:" + "|".join(_TRUNK) + r")\b)", trunk_length),
    # a local number is one only by the word beside it
    Kind(
        "phone",
        r"(?i)\b(?:phone|tel|telephone|mobile|cell|fax|desk|call(?: \w+)? (?:on|at)"
        r"|answering at|registered)\b(?: number)?[\s:#.]{1,4}([+(]?\d[\d ().-]{5,17}\d)",
        phone_length,
    ),
    Kind(
        "phone", r"(?i)([+(]?\b\d[\d ().-]{5,17}\d)[ -](?:office|fax|mobile|cell)\b", phone_length
    ),
)
