"""A destination with a scripted Meta behind it, rows and error bodies."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from connectors.ads.meta.destination import MetaDestination
from connectors.ads.meta.settings import MetaSettings
from connectors.contract.conversions import Consent, ConsentState, DeliveryKind, Identifier, Target, UploadRow

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
DIGEST = "33ba87fd9ed214b4fcc4d931be50d6091c9572974bda75ec5df228f11a448892"
DATASET = "1234567890"
GRANTED = Consent(ConsentState.GRANTED, ConsentState.GRANTED)
EMAIL = {Identifier.EMAIL_SHA256: DIGEST}
LEAD_ID = {Identifier.META_LEAD_ID: "5128873341120976"}
REQUIRED = {"dataset_id": DATASET, "access_token": "x"}
SETTINGS = MetaSettings.from_mapping(REQUIRED)


def settings_of(**changes: str) -> MetaSettings:
    return MetaSettings.from_mapping({**REQUIRED, **changes})


def row(number: int = 1, *, name: str = "Qualified", **changes: Any) -> UploadRow:
    parts: dict[str, Any] = {
        "kind": DeliveryKind.UPLOAD,
        "conversion_id": f"ll{number:026d}",
        "milestone": "qualified_lead",
        "target": Target.of({"event_name": name}),
        "occurred_at": NOW - timedelta(days=2),
        "identifiers": EMAIL,
        "consent": GRANTED,
        "source_kind": "hubspot",
    }
    return UploadRow(**{**parts, **changes})


def error(code: int, subcode: int | None = None, **more: Any) -> dict[str, Any]:
    """Meta's error object."""
    told: dict[str, Any] = {"message": "Invalid parameter", "type": "OAuthException", "code": code, "fbtrace_id": "A1"}
    if subcode is not None:
        told["error_subcode"] = subcode
    return {"error": {**told, **more}}


def received(count: int) -> dict[str, Any]:
    return {"events_received": count, "messages": [], "fbtrace_id": "A1"}


class Meta:
    """Answers in turn, the last answer for ever, and remembers what it was asked."""

    def __init__(self, *answers: tuple[int, Any] | Exception, headers: Mapping[str, str] | None = None) -> None:
        self.answers = list(answers)
        self.headers = headers
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers[0] if len(self.answers) == 1 else self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer[0], json=answer[1], headers=self.headers)

    @property
    def bodies(self) -> list[Any]:
        return [json.loads(request.content) for request in self.requests if request.content]


@asynccontextmanager
async def connected(meta: Meta, settings: MetaSettings = SETTINGS) -> AsyncIterator[MetaDestination]:
    async with httpx.AsyncClient(transport=httpx.MockTransport(meta)) as client:
        yield MetaDestination(client, settings, lambda: NOW)
