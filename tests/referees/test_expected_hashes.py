"""Each normalisation gives the hash of the vendor's own code, but for exceptions that the identity room lists with reasons."""

import importlib.util
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import connectors.identity
from connectors.contract.conversions import Identifier
from connectors.identity import RawIdentity, identify

Case = tuple[str, str, str]
Beside = dict[str, tuple[str, ...]]
GERMANY: Beside = {"country": ("DE",)}
AMERICA: Beside = {"country": ("US",)}
# By vendor and field: the raw field, what it becomes, and what stands beside it.
FIELDS: dict[tuple[str, str], tuple[str, Identifier, Beside]] = {
    ("google", "email"): ("email", Identifier.EMAIL_GOOGLE_SHA256, {}),
    ("google", "phone"): ("phone", Identifier.PHONE_SHA256, {}),
    ("google", "given_name"): ("first_name", Identifier.FIRST_NAME_GOOGLE_SHA256, {}),
    ("google", "family_name"): ("last_name", Identifier.LAST_NAME_GOOGLE_SHA256, {}),
    ("google", "region_code"): ("country", Identifier.COUNTRY, {}),
    ("google", "postal_code"): ("postal_code", Identifier.POSTAL_CODE, GERMANY),
    ("meta", "em"): ("email", Identifier.EMAIL_SHA256, {}),
    ("meta", "ph"): ("phone", Identifier.PHONE_DIGITS_SHA256, {}),
    ("meta", "fn"): ("first_name", Identifier.FIRST_NAME_META_SHA256, {}),
    ("meta", "ln"): ("last_name", Identifier.LAST_NAME_META_SHA256, {}),
    ("meta", "ct"): ("city", Identifier.CITY_META_SHA256, {}),
    ("meta", "st"): ("state", Identifier.STATE_META_SHA256, AMERICA),
    ("meta", "zp"): ("postal_code", Identifier.POSTAL_CODE_META_SHA256, AMERICA),
    ("meta", "country"): ("country", Identifier.COUNTRY_META_SHA256, {}),
}
EMAILS = (
    "anna@example.com", " Anna.Muller+crm@Example.CO.UK ", "J.Ane+x@gmail.com", "j.ane@GoogleMail.com", "a_b-c@sub.example.org",
    "ÄNNA@example.com", "anna@münchen.example", "anna @example.com", "an na@example.com", "+tag@example.com", "..@gmail.com",
    "no at sign", "anna@@example.com", "anna@example", "a@b@example.com", "ANNA@EXAMPLE.COM",
)  # fmt: skip
PHONES = (
    "+49 30 12345678", "+1 (650) 555-0123", "+44 20 7946 0958", "+33 1 09 75 83 51", "+16505550123", "+44 (0)20 7946 0958",
    "(030) 12345678", "+1", "call me", "+49 30 12345678 ext. 5",
)  # fmt: skip
NAMES = ("Anna", " ANNA ", "Valéry", "Jean Luc", "O'Neil-Smith", "Dr. Who", "李", "123", "-", "van der Berg")
CITIES = ("Berlin", "New York", " SÃO PAULO ", "L'Aquila", "St. Louis", "Zürich")
STATES = ("CA", "ca", "California", "New York", "Bavaria", " TX ")
POSTAL_CODES = ("94035", "94035-1234", " 10115 ", "00-950")
COUNTRIES = ("US", "de", " FR ", "Germany", "USA")
INPUTS = {
    "email": EMAILS, "em": EMAILS, "phone": PHONES, "ph": PHONES, "given_name": NAMES, "family_name": NAMES, "fn": NAMES,
    "ln": NAMES, "ct": CITIES, "st": STATES, "zp": POSTAL_CODES, "postal_code": POSTAL_CODES, "region_code": COUNTRIES,
    "country": COUNTRIES,
}  # fmt: skip
CASES: list[Case] = [(vendor, field, value) for vendor, field in FIELDS for value in INPUTS[field]]
# Where we differ on purpose: the words with which the identity room's list gives the reason.
EXCEPTIONS: dict[str, list[Case]] = {
    "keeps an international domain as written": [
        ("google", "email", "anna@münchen.example"), ("meta", "em", "anna@münchen.example"),
    ],
    "A blank beside the @ is a slip of the keyboard": [
        ("google", "email", "anna @example.com"), ("meta", "em", "anna @example.com"), ("meta", "em", "an na@example.com"),
    ],
    "invalid for all platforms, as at Google for Gmail": [
        ("google", "email", "+tag@example.com"), ("meta", "em", "+tag@example.com"), ("meta", "em", "..@gmail.com"),
    ],
    "An e-mail has one @ and a domain with a dot": [
        ("google", "email", "anna@example"), ("meta", "em", "anna@@example.com"), ("meta", "em", "a@b@example.com"),
    ],
    "keeps a trunk zero": [("google", "phone", "+44 (0)20 7946 0958"), ("meta", "ph", "+44 (0)20 7946 0958")],
    "both take national numbers": [
        ("google", "phone", "(030) 12345678"), ("google", "phone", "+1"), ("meta", "ph", "(030) 12345678"),
    ],
    "A phone's extension is left out": [
        ("google", "phone", "+49 30 12345678 ext. 5"), ("meta", "ph", "+49 30 12345678 ext. 5"),
    ],
    "Names without a letter": [
        ("google", "given_name", "123"), ("google", "given_name", "-"), ("google", "family_name", "123"),
        ("google", "family_name", "-"), ("meta", "fn", "123"), ("meta", "fn", "-"), ("meta", "ln", "123"), ("meta", "ln", "-"),
    ],
    "A country may be a name or three letters": [
        ("google", "region_code", "Germany"), ("google", "region_code", "USA"), ("meta", "country", "Germany"),
        ("meta", "country", "USA"),
    ],
    "leaves the punctuation of names and the apostrophe of cities": [
        ("meta", "fn", "O'Neil-Smith"), ("meta", "fn", "Dr. Who"), ("meta", "ln", "O'Neil-Smith"), ("meta", "ln", "Dr. Who"),
        ("meta", "ct", "L'Aquila"),
    ],
    "lower-cases a state's name": [
        ("meta", "st", "California"), ("meta", "st", "New York"), ("meta", "st", "Bavaria"),
    ],
    "cuts a postal code at its dash": [("meta", "zp", "00-950")],
}  # fmt: skip


@pytest.fixture(scope="module")
def vendors(shared: Path) -> Any:
    """The vendors' own normalisers, as far as they are installed."""
    spec = importlib.util.spec_from_file_location("expected_hash", shared / "referee" / "expected_hash.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def theirs(function: Callable[[str, str], tuple[Any, Any]], field: str, value: str) -> str | None:
    """The vendor's hash, or its plain value where it hashes none; None where it refuses."""
    try:
        normalised, digest = function(field, value)
    except Exception:  # noqa: BLE001 each normaliser refuses in its own way
        return None
    found = digest or normalised
    return str(found) if found else None


def ours(case: Case) -> str | None:
    vendor, field, value = case
    name, identifier, beside = FIELDS[vendor, field]
    return identify(RawIdentity(**{**beside, name: (value,)})).identifiers.get(identifier)  # type: ignore[arg-type]  # texts by name


@pytest.mark.parametrize(("vendor", "package"), [("google", "google.ads.datamanager_util"), ("meta", "facebook_business")])
def test_the_vendor_s_code_gives_the_same_hash(vendors: Any, vendor: str, package: str) -> None:
    """A person hashed another way than the vendor's is never matched, and nothing says so."""
    pytest.importorskip(package, reason=f"{package} is not installed here")
    function = getattr(vendors, vendor)

    differing = {case for case in CASES if case[0] == vendor and theirs(function, case[1], case[2]) != ours(case)}

    assert differing == {case for cases in EXCEPTIONS.values() for case in cases if case[0] == vendor}


def test_every_exception_has_its_reason() -> None:
    """An exception without a reason is a mistake that was made a test."""
    listed = " ".join((connectors.identity.__doc__ or "").split())

    assert all(re.search(re.escape(words), listed) for words in EXCEPTIONS)
