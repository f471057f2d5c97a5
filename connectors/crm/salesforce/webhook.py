"""Salesforce's two doors: signed JSON (Flow, Apex) and Outbound Messages (pure). Values in messages are never read."""

import hashlib
import hmac
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

import orjson

from connectors.contract.errors import UnexpectedReply
from connectors.contract.records import ObjectKind, RecordRef
from connectors.contract.source import Hint, WebhookRefused, WebhookReply, WebhookRequest
from connectors.crm.salesforce.objects import KIND_BY_NAME
from connectors.crm.salesforce.outbound import ACKNOWLEDGED, is_organization, is_outbound, parse_outbound
from connectors.crm.salesforce.replies import instant, is_record_id, long_id
from connectors.http.strict_json import Json, from_ms

SIGNATURE = "x-leadloop-signature"
TIMESTAMP = "x-leadloop-timestamp"
# Flow cannot compute a signature; its External Credential can send a constant header.
SECRET = "x-leadloop-secret"  # noqa: S105 the header's name
TOLERANCE = timedelta(minutes=5)
UNAUTHORIZED = 401
BAD_REQUEST = 400


def parse_webhook(request: WebhookRequest, secrets: Sequence[str], now: datetime) -> tuple[Hint, ...] | WebhookRefused:
    """Say which records may have changed. JSON must be signed, or carry a secret; an Outbound Message cannot."""
    if is_outbound(request):
        return parse_outbound(request.body)
    refused = _verify(request, secrets, now)
    if refused is not None:
        return refused
    try:
        body = orjson.loads(request.body)
    except orjson.JSONDecodeError:
        return WebhookRefused(BAD_REQUEST, "the body is no JSON")
    events = body if isinstance(body, list) else [body]
    if not all(isinstance(one, dict) for one in events):
        return WebhookRefused(BAD_REQUEST, "the body is no object and no array of objects")
    return tuple(dict.fromkeys(hint for event in events for hint in _hints(event)))


def acknowledge(request: WebhookRequest) -> WebhookReply | None:
    """What Salesforce must read in answer to an Outbound Message that was taken; None for JSON."""
    return ACKNOWLEDGED if is_outbound(request) else None


def _verify(request: WebhookRequest, secrets: Sequence[str], now: datetime) -> WebhookRefused | None:
    """A signature over timestamp and body; else one of the secrets itself."""
    known = [secret for secret in secrets if secret]
    given, timestamp = request.headers.get(SIGNATURE), request.headers.get(TIMESTAMP)
    if given is None or timestamp is None:
        return _verify_constant(request.headers.get(SECRET), known)
    timestamp = timestamp.strip()
    if not (timestamp.isascii() and timestamp.isdigit()) or not _is_recent(timestamp, now):
        return WebhookRefused(UNAUTHORIZED, "the request's timestamp is not of the last five minutes")
    signed = timestamp.encode() + b"." + request.body
    matches = [hmac.compare_digest(_signature(secret, signed), given.strip().lower().encode()) for secret in known]
    return None if any(matches) else WebhookRefused(UNAUTHORIZED, "the signature fits no webhook secret")


def _verify_constant(given: str | None, known: Sequence[str]) -> WebhookRefused | None:
    if not given:
        return WebhookRefused(UNAUTHORIZED, "the request carries neither a signature with its timestamp nor a secret")
    matches = [hmac.compare_digest(secret.encode(), given.strip().encode()) for secret in known]
    return None if any(matches) else WebhookRefused(UNAUTHORIZED, "the request's secret is no webhook secret")


def _is_recent(timestamp: str, now: datetime) -> bool:
    try:
        return abs(now - from_ms(int(timestamp) * 1000)) <= TOLERANCE
    except (OverflowError, ValueError):
        return False


def _signature(secret: str, signed: bytes) -> bytes:
    return hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest().encode()


def _hints(event: Json) -> Iterator[Hint]:
    """A hint for what the event names; one that cannot be read gives none and hinders no other."""
    organization, name, own_id = event.get("organizationId"), event.get("object"), event.get("id")
    if not isinstance(organization, str) or not is_organization(organization.strip()) or not isinstance(name, str):
        return
    kind = KIND_BY_NAME.get(name.strip().lower())
    if kind is None and name.strip().lower() == "opportunitycontactrole":
        kind, own_id = ObjectKind.DEAL, event.get("opportunityId")
    if kind is None or not isinstance(own_id, str) or not is_record_id(own_id.strip()):
        return
    yield Hint(RecordRef(kind, long_id(own_id.strip())), long_id(organization.strip()), _occurred_at(event))


def _occurred_at(event: Json) -> datetime | None:
    try:
        return instant(event["occurredAt"], "`occurredAt`") if event.get("occurredAt") else None
    except UnexpectedReply:
        return None
