"""A destination with a scripted Google behind it, rows and error bodies."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from connectors.ads.google.destination import GoogleDestination
from connectors.ads.google.settings import GoogleSettings
from connectors.contract.conversions import Consent, ConsentState, DeliveryKind, Identifier, Target, UploadRow
from connectors.contract.errors import AuthenticationFailed
from connectors.contract.findings import Finding
from connectors.http.auth import Auth, StaticToken

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
DIGEST = "fb98d44ad7501a959f3f4f4a3f004fe2d9e581ea6207e218c4b02c08a4d75adf"
SQL, WON = "7302219941", "7302219958"
GRANTED = Consent(ConsentState.GRANTED, ConsentState.GRANTED)
EMAIL = {Identifier.EMAIL_GOOGLE_SHA256: DIGEST}
ADDRESS = {
    Identifier.FIRST_NAME_GOOGLE_SHA256: DIGEST,
    Identifier.LAST_NAME_GOOGLE_SHA256: DIGEST,
    Identifier.POSTAL_CODE: "10115",
    Identifier.COUNTRY: "DE",
}
SETTINGS = GoogleSettings.from_mapping({"account_id": "481-209-3377", "login_account_id": "7701128856", "access_token": "x"})
# With one host for both APIs the scripted Google answers calls of the Google Ads API too.
ONE_HOST = GoogleSettings.from_mapping(
    {"account_id": "481-209-3377", "login_account_id": "7701128856", "access_token": "x", "base_url": "http://google.test"}
)


def row(number: int = 1, *, action: str = SQL, **changes: Any) -> UploadRow:
    parts: dict[str, Any] = {
        "kind": DeliveryKind.UPLOAD,
        "conversion_id": f"ll{number:026d}",
        "milestone": "qualified_lead",
        "target": Target.of({"conversion_action": action}),
        "occurred_at": NOW - timedelta(days=2),
        "identifiers": EMAIL,
        "consent": GRANTED,
    }
    return UploadRow(**{**parts, **changes})


def refused(*violations: tuple[str, str], reason: str = "INVALID_ARGUMENT", status: str = "INVALID_ARGUMENT", **info: Any) -> Any:
    """Google's error object; violations are (field, reason)."""
    fields = [{"field": path, "reason": code, "description": "no good"} for path, code in violations]
    details: list[Any] = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, **info}]
    if fields:
        details.append({"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": fields})
    return {"error": {"code": 400, "status": status, "message": "There was a problem with the request.", "details": details}}


def ads_refused(code: str, index: int | None = None, *, family: str = "conversionAdjustmentUploadError", **more: Any) -> Any:
    """A google.rpc.Status with one error of the Google Ads API."""
    return ads_status((code, index), family=family, **more)


def ads_status(*errors: tuple[str, int | None], family: str = "conversionAdjustmentUploadError", **more: Any) -> Any:
    """A google.rpc.Status with a GoogleAdsFailure; errors are (code, index of the row)."""
    found = [
        {
            "errorCode": {family: code},
            "message": "It was not taken: jane@example.com",
            "trigger": {"stringValue": "jane@example.com"},
            "location": {
                "fieldPathElements": [
                    {"fieldName": "conversion_adjustments", **({} if index is None else {"index": index})},
                    {"fieldName": "order_id"},
                ]
            },
            **more,
        }
        for code, index in errors
    ]
    kind = "type.googleapis.com/google.ads.googleads.v26.errors.GoogleAdsFailure"
    return {"code": 3, "message": "Some failed.", "details": [{"@type": kind, "errors": found, "requestId": "ads-1"}]}


class Google:
    """Answers in turn, the last answer for ever, and remembers what it was asked."""

    def __init__(self, *answers: tuple[int, Any] | Exception, headers: Mapping[str, str] | None = None) -> None:
        self.answers = list(answers)
        self.headers = headers
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.host.startswith("googleads."):
            return httpx.Response(403, json={"error": {"code": 403, "status": "PERMISSION_DENIED", "message": "no"}})
        self.requests.append(request)
        answer = self.answers[0] if len(self.answers) == 1 else self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer[0], json=answer[1], headers=self.headers)

    @property
    def bodies(self) -> list[Any]:
        return [json.loads(request.content) for request in self.requests if request.content]


class NoToken:
    """Credentials that the token endpoint refuses."""

    async def headers(self) -> Mapping[str, str]:
        raise AuthenticationFailed("Google token endpoint: answered 400", code="invalid_grant", status=400)

    async def refresh(self, used: Mapping[str, str]) -> bool:
        return False


@asynccontextmanager
async def connected(
    google: Google, auth: Auth | None = None, settings: GoogleSettings = SETTINGS
) -> AsyncIterator[GoogleDestination]:
    """A destination whose pauses pass in no time."""

    async def at_once(seconds: float) -> None:
        """Reads are tried four times; no test need wait."""

    async with httpx.AsyncClient(transport=httpx.MockTransport(google)) as client:
        yield GoogleDestination(client, settings, auth or StaticToken("x"), lambda: NOW, sleep=at_once)


def told_of_uploads(findings: Sequence[Finding]) -> list[Finding]:
    """Without what is told of the Google Ads API."""
    return [one for one in findings if one.subject != "ads_api"]
