"""Meta's own classes take the bodies that the connector writes, and its normaliser agrees with our hashes."""

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.ads.meta.payload import build
from connectors.ads.meta.settings import MetaSettings
from connectors.contract.conversions import Consent, ConsentState, DeliveryKind, Identifier, Money, Target, UploadRow
from connectors.identity import RawIdentity, identify

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
GRANTED = Consent(ConsentState.GRANTED, ConsentState.GRANTED)
PERSON = RawIdentity(
    email=("Anna.Muller+crm@Example.CO.UK",),
    phone=("+49 30 12345678",),
    first_name=("Valéry",),
    last_name=("O'Neil-Smith",),
    city=("New York",),
    state=("California",),
    postal_code=("94035-1234",),
    country=("US",),
    external_id=("HS-000123",),
    fbclid=("IwAR2F4abc",),
    fbp=("fb.1.1795345820402.1098115397",),
    meta_lead_id=("l:5128873341120976",),
    clicked_at=NOW - timedelta(days=20),
)
EVERYTHING = identify(PERSON).identifiers
ALONE = [
    Identifier.META_LEAD_ID,
    Identifier.FBC,
    Identifier.FBP,
    Identifier.EMAIL_SHA256,
    Identifier.PHONE_DIGITS_SHA256,
    Identifier.EXTERNAL_ID_SHA256,
]


@pytest.fixture
def package() -> Any:
    """facebook-business lives in an environment of its own (make test-referees)."""
    return pytest.importorskip("facebook_business", reason="facebook-business is not installed here")


def row(number: int, identifiers: Any = EVERYTHING, *, name: str = "Qualified", **changes: Any) -> UploadRow:
    return UploadRow(
        kind=DeliveryKind.UPLOAD,
        conversion_id=f"ll{number:026d}",
        milestone="qualified_lead",
        target=Target.of({"event_name": name}),
        occurred_at=changes.pop("occurred_at", NOW - timedelta(days=2, milliseconds=number)),
        identifiers=identifiers,
        consent=GRANTED,
        source_kind="hubspot",
        **changes,
    )


def rows() -> list[UploadRow]:
    """A spread of what may be sent: each identifier alone, broken ones beside good ones, moneys, edges of time."""
    email = {Identifier.EMAIL_SHA256: EVERYTHING[Identifier.EMAIL_SHA256]}
    names = {one: EVERYTHING[one] for one in (Identifier.FIRST_NAME_META_SHA256, Identifier.LAST_NAME_META_SHA256)}
    cases = [
        row(1, money=Money(4_200_000_000, "EUR")),
        row(2, name="Purchase", money=Money(0, "JPY")),
        row(3, name="Deal won: größer", money=Money(1_234_567, "KWD")),
        row(4, {**email, Identifier.FBC: "IwAR2F4abc", Identifier.META_LEAD_ID: "12", Identifier.FBP: "x"}),
        row(5, {**EVERYTHING, Identifier.PHONE_DIGITS_SHA256: "+49 30 12345678"}),
        row(6, occurred_at=NOW),
        row(7, occurred_at=NOW - timedelta(days=6, hours=23, minutes=50)),
        row(8, names),
    ]
    return cases + [row(10 + number, {one: EVERYTHING[one]}) for number, one in enumerate(ALONE)]


def verdict(shared: Path, body: object, *options: str) -> subprocess.CompletedProcess[str]:
    script = str(shared / "referee" / "meta_capi.py")
    command = [sys.executable, script, "-", f"--now={int(NOW.timestamp())}", *options]
    return subprocess.run(command, input=json.dumps(body), capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"without_lead_id": "other"},
        {"app_secret": "s", "token_in": "parameter"},
        {"data_processing_options": "LDU", "data_processing_options_state": "1000"},
    ],
)
def test_the_referee_takes_every_body(shared: Path, package: Any, settings: dict[str, str]) -> None:
    """One event that Meta refuses takes all others of its batch with it."""
    chosen = MetaSettings.from_mapping({"dataset_id": "7771234", "access_token": "x", **settings})
    drafts = [build(rows(), chosen, NOW), build([row(number) for number in range(1001)], chosen, NOW)]

    assert [len(draft.rows) for draft in drafts] == [len(rows()), 1000]
    for draft in drafts:
        ran = verdict(shared, {**draft.body, **chosen.secret_parameters})
        assert ran.returncode == 0, ran.stdout + ran.stderr


def test_the_referee_refuses_a_wrong_body(shared: Path, package: Any) -> None:
    """A referee that lets everything pass would prove nothing."""
    draft = build([row(1)], MetaSettings.from_mapping({"dataset_id": "7771234", "access_token": "x"}), NOW)
    events: Any = draft.body["data"]
    events[0]["user_data"]["em"] = ["anna@example.com"]

    assert verdict(shared, draft.body).returncode == 1


@pytest.mark.parametrize(
    ("field", "given", "identifier"),
    [
        ("em", "Anna.Muller+crm@Example.CO.UK", Identifier.EMAIL_SHA256),
        ("ph", "+49 30 12345678", Identifier.PHONE_DIGITS_SHA256),
        ("fn", "Valéry", Identifier.FIRST_NAME_META_SHA256),
        ("ct", "New York", Identifier.CITY_META_SHA256),
        ("zp", "94035-1234", Identifier.POSTAL_CODE_META_SHA256),
        ("country", "US", Identifier.COUNTRY_META_SHA256),
    ],
)
def test_our_hash_is_the_package_s(package: Any, field: str, given: str, identifier: Identifier) -> None:
    """A person hashed another way than Meta's is never matched, and nothing says so."""
    from facebook_business.adobjects.serverside.normalize import Normalize  # noqa: PLC0415 only in its own environment

    assert EVERYTHING[identifier] == Normalize.normalize(field, given, True)
