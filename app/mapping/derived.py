"""Fields of a person that no CRM has: read from their e-mail and phone for conditions alone, stored nowhere (pure)."""

from collections.abc import Sequence

import phonenumbers

from app.mapping.free_mail import FREE_MAIL

PERSON = "person"
# Field -> what it is, for messages.
DERIVED = {
    "email_domain": "the part of the first e-mail behind its @",
    "is_free_mail": "true where that belongs to a provider of free mailboxes, false where it does not",
    "phone_country": "the country of the first valid phone, in two letters",
}


def derived(name: str, emails: Sequence[str], phones: Sequence[str], region: str | None) -> str | None:
    """A derived field; None where the person has nothing that it could be read from. `region` reads national numbers."""
    match name:
        case "email_domain":
            return email_domain(emails)
        case "is_free_mail":
            domain = email_domain(emails)
            return None if domain is None else str(domain in FREE_MAIL).lower()
        case "phone_country":
            return next((country for phone in phones if (country := _country_of(phone, region)) is not None), None)
        case _:
            return None


def email_domain(emails: Sequence[str]) -> str | None:
    """The part behind the @ of the first candidate that has one, in lower case."""
    domains = (email.strip().casefold().rpartition("@")[2] for email in emails if "@" in email)
    return next((domain for domain in domains if domain), None)


def _country_of(phone: str, region: str | None) -> str | None:
    try:
        number = phonenumbers.parse(phone, region)
    except phonenumbers.NumberParseException:
        return None
    country = phonenumbers.region_code_for_number(number) if phonenumbers.is_valid_number(number) else None
    return country if country is not None and country.isalpha() else None
