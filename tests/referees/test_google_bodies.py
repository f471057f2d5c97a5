"""Google's own protobuf classes and discovery document take the bodies that the connector writes."""

import importlib
import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.ads.google.errors import ERROR_REASONS
from connectors.ads.google.payload import healthcheck_body, plan
from connectors.ads.google.settings import GoogleSettings
from connectors.contract.conversions import Consent, ConsentState, DeliveryKind, Identifier, Money, Target, UploadRow

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
SETTINGS = GoogleSettings("4812093377", login_account_id="7701128856", access_token="x")
DIGEST = "fb98d44ad7501a959f3f4f4a3f004fe2d9e581ea6207e218c4b02c08a4d75adf"
ADDRESS = {
    Identifier.FIRST_NAME_GOOGLE_SHA256: DIGEST,
    Identifier.LAST_NAME_GOOGLE_SHA256: DIGEST,
    Identifier.POSTAL_CODE: "10115",
    Identifier.COUNTRY: "DE",
}


@pytest.fixture
def package() -> Any:
    """google-ads-datamanager lives in an environment of its own (make test-referees)."""
    try:
        return importlib.import_module("google.ads.datamanager_v1")
    except ImportError:
        pytest.skip("google-ads-datamanager is not installed here")


def row(number: int, identifiers: dict[Identifier, str], action: str, **changes: Any) -> UploadRow:
    target = Target.of({"conversion_action": action})
    consent = changes.pop("consent", Consent(ConsentState.GRANTED, ConsentState.NOT_REQUIRED))
    when = NOW - timedelta(days=number)
    return UploadRow(DeliveryKind.UPLOAD, f"ll{number:026d}", "won", target, when, identifiers, consent, **changes)


def bodies() -> list[Any]:
    """A batch with every identifier, kind of money and consent; one of a click only; a health check."""
    everything = {
        Identifier.EMAIL_GOOGLE_SHA256: DIGEST,
        Identifier.PHONE_SHA256: DIGEST,
        **ADDRESS,
        Identifier.GCLID: "Cj0KCQ_x",
    }
    nobody_asked = Consent(ConsentState.NOT_REQUIRED, ConsentState.NOT_REQUIRED)
    rows = [
        row(1, everything, "7302219941", money=Money(120_500_000, "EUR")),
        row(2, {Identifier.GBRAID: "0AAAAAo_x"}, "7302219958", money=Money(1_000_000, "JPY"), consent=nobody_asked),
        row(3, ADDRESS, "7302219958"),
        row(4, {Identifier.WBRAID: "Clw_x", Identifier.COUNTRY: "DE"}, "7302219941"),
    ]
    planned = [plan(rows, SETTINGS, NOW), plan(rows[1:2], SETTINGS, NOW)]
    assert not any(each.refused for each in planned)
    return [*(each.body for each in planned), healthcheck_body("7302219941", SETTINGS, NOW)]


@pytest.mark.parametrize("number", [0, 1, 2])
def test_bodies_are_accepted(number: int, shared: Path, package: Any) -> None:
    """A field that Google does not know refuses the whole request."""
    referee = shared / "referee" / "google_datamanager.py"
    if not referee.exists():
        pytest.skip("shared/referee has no google_datamanager.py")
    text = json.dumps(bodies()[number])
    done = subprocess.run([sys.executable, str(referee), "-"], input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_refusal_reason_is_known(package: Any) -> None:
    """ErrorReason is only enumerated in Google's package."""
    assert {each.name for each in package.ErrorReason} - set(ERROR_REASONS) == set()
