"""Google's own protobuf classes and discovery document take the bodies that the connector writes."""

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.ads.google.adjustments import CODES as ADJUSTMENTS
from connectors.ads.google.errors import REFUSALS
from connectors.ads.google.payload import build
from connectors.ads.google.settings import GoogleSettings
from connectors.contract.conversions import Consent, ConsentState, DeliveryKind, Identifier, Money, Target, UploadRow

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
DIGEST = "fb98d44ad7501a959f3f4f4a3f004fe2d9e581ea6207e218c4b02c08a4d75adf"
EMAIL = {Identifier.EMAIL_GOOGLE_SHA256: DIGEST}
EVERYTHING = {
    **EMAIL,
    Identifier.PHONE_SHA256: DIGEST,
    Identifier.FIRST_NAME_GOOGLE_SHA256: DIGEST,
    Identifier.LAST_NAME_GOOGLE_SHA256: DIGEST,
    Identifier.POSTAL_CODE: "10115",
    Identifier.COUNTRY: "DE",
    Identifier.GCLID: "Cj0KCQ_x",
}


@pytest.fixture
def package() -> Any:
    """google-ads-datamanager lives in an environment of its own (make test-referees)."""
    return pytest.importorskip("google.ads.datamanager_v1", reason="google-ads-datamanager is not installed here")


def row(number: int, identifiers: dict[Identifier, str], *, is_asked: bool = True, **changes: Any) -> UploadRow:
    state = ConsentState.GRANTED if is_asked else ConsentState.NOT_REQUIRED
    return UploadRow(
        kind=changes.pop("kind", DeliveryKind.UPLOAD),
        conversion_id=f"ll{number:026d}",
        milestone="won",
        target=Target.of({"conversion_action": changes.pop("action", "7302219941")}),
        occurred_at=NOW - timedelta(days=2, milliseconds=number),
        identifiers=identifiers,
        consent=Consent(state, state),
        **changes,
    )


def bodies(encoding: str, *, validate_only: bool) -> list[Any]:
    settings = GoogleSettings.from_mapping({"account_id": "4812093377", "access_token": "x", "encoding": encoding})
    managed = GoogleSettings.from_mapping({"account_id": "4812093377", "access_token": "x", "login_account_id": "7701128856"})
    rows = [
        row(1, EVERYTHING, money=Money(120_500_000, "EUR")),
        row(2, {Identifier.GBRAID: "0AAAAAo_x"}, money=Money(1_000_000, "JPY"), is_asked=False, action="7302219958"),
        row(3, EMAIL, money=Money(0, "KWD")),
        row(4, {Identifier.WBRAID: "Clw_x", Identifier.COUNTRY: "DE"}),
    ]
    restated = [row(5, EMAIL, money=Money(0, "KWD"), kind=DeliveryKind.RESTATE)]
    drafts = [
        build(rows, settings, NOW, validate_only=validate_only),
        build(restated, settings, NOW, kind=DeliveryKind.RESTATE, validate_only=validate_only),
        build([row(number, EMAIL) for number in range(2001)], managed, NOW),
    ]
    assert [len(draft.rows) for draft in drafts] == [4, 1, 2000]
    return [draft.body for draft in drafts]


@pytest.mark.parametrize("encoding", ["HEX", "BASE64"])
@pytest.mark.parametrize("validate_only", [False, True])
def test_the_referee_takes_every_body(shared: Path, package: Any, encoding: str, validate_only: bool) -> None:  # noqa: FBT001 a parameter
    """What Google's classes refuse, Google refuses, and with it all rows of the request."""
    for body in bodies(encoding, validate_only=validate_only):
        script = str(shared / "referee" / "google_datamanager.py")
        ran = subprocess.run([sys.executable, script, "-"], input=json.dumps(body), capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stdout + ran.stderr


def test_the_referee_refuses_a_wrong_body(shared: Path, package: Any) -> None:
    """A referee that lets everything pass would prove nothing."""
    body = bodies("HEX", validate_only=False)[0]
    body["events"][0]["gclid"] = "Cj0"
    script = str(shared / "referee" / "google_datamanager.py")

    ran = subprocess.run([sys.executable, script, "-"], input=json.dumps(body), capture_output=True, text=True, check=False)

    assert ran.returncode == 1


def test_every_error_reason_of_the_package_is_known(package: Any) -> None:
    """Google adds reasons with each release; each needs a meaning of its own."""
    assert {reason.name for reason in package.ErrorReason} - set(REFUSALS) == set()


def test_every_code_of_an_adjustment_in_the_package_is_known() -> None:
    """The Google Ads API adds codes with each version, and a retraction must not end in one that nobody thought about."""
    name = "google.ads.googleads.v26.errors.types.conversion_adjustment_upload_error"
    errors = pytest.importorskip(name, reason="google-ads is not installed here")
    enum = errors.ConversionAdjustmentUploadErrorEnum.ConversionAdjustmentUploadError

    assert {one.name for one in enum} - {"UNSPECIFIED", "UNKNOWN"} - set(ADJUSTMENTS) == set()
