"""E-mail and phone: what counts as valid, and each platform's variant of an e-mail."""

import re

import idna
import phonenumbers

from connectors.identity.texts import IdentifierProblem, clean, lower

LONGEST_EMAIL = 254
LONGEST_LOCAL_PART = 64
LONGEST_DOMAIN = 253
LONGEST_PHONE = 60
GMAIL = ("gmail.com", "googlemail.com")

_BESIDE_AT = re.compile(r"\s*@\s*")
_LOCAL_PART = re.compile(r"[^\s@\"(),:;<>\[\]\\]+")
_DOMAIN = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+(?:[a-z]{2,63}|xn--[a-z0-9-]{0,58}[a-z0-9])", re.ASCII)
_LEADING_ZEROS = re.compile(r"[\s(]*0[\s(]*0")


def normalise_email(text: str) -> str | IdentifierProblem:
    """Trimmed, lower case, NFC, domain in punycode: the form that Meta, LinkedIn and TikTok hash."""
    cleaned = clean(text, LONGEST_EMAIL)
    if isinstance(cleaned, IdentifierProblem):
        return cleaned
    local_part, at, domain = _BESIDE_AT.sub("@", lower(cleaned)).partition("@")
    if not at or len(local_part) > LONGEST_LOCAL_PART or not _LOCAL_PART.fullmatch(local_part):
        return IdentifierProblem.INVALID
    if not _without_dots_and_tag(local_part):
        return IdentifierProblem.INVALID
    if not domain.isascii():
        try:
            domain = idna.encode(domain, uts46=True).decode("ascii")
        except UnicodeError:
            return IdentifierProblem.INVALID
    if len(domain) > LONGEST_DOMAIN or not _DOMAIN.fullmatch(domain):
        return IdentifierProblem.INVALID
    # Punycode is longer than what it stands for.
    email = f"{local_part}@{domain}"
    return email if len(email) <= LONGEST_EMAIL else IdentifierProblem.TOO_LONG


def google_email(email: str) -> str:
    """Google's variant of a normalised e-mail: dots and tag go for Gmail's two domains only."""
    return microsoft_email(email) if email.endswith(GMAIL) and email.rpartition("@")[2] in GMAIL else email


def microsoft_email(email: str) -> str:
    """Microsoft's variant of a normalised e-mail: dots and tag go for every domain."""
    local_part, _, domain = email.partition("@")
    return f"{_without_dots_and_tag(local_part)}@{domain}"


def normalise_phone(text: str, region: str | None) -> str | IdentifierProblem:
    """E.164 with its plus sign, where phonenumbers calls the number valid; an extension is left out.

    `region` (ISO alpha-2) reads national numbers. `00` stands for the plus where the region's own prefix gives nothing.
    """
    cleaned = clean(text, LONGEST_PHONE)
    if isinstance(cleaned, IdentifierProblem):
        return cleaned
    number = _valid_number(cleaned, region)
    if number is None and _LEADING_ZEROS.match(cleaned):
        number = _valid_number("+" + _LEADING_ZEROS.sub("", cleaned, count=1), None)
    if number is not None:
        return number
    is_national = region is None and not cleaned.lstrip("( ").startswith(("+", "\uff0b", "00"))
    has_digits = any(letter.isdecimal() for letter in cleaned)
    return IdentifierProblem.NO_COUNTRY if is_national and has_digits else IdentifierProblem.INVALID


def phone_digits(e164: str) -> str:
    """Meta's variant: E.164 without its plus sign."""
    return e164.removeprefix("+")


def _without_dots_and_tag(local_part: str) -> str:
    return local_part.partition("+")[0].replace(".", "")


def _valid_number(text: str, region: str | None) -> str | None:
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
