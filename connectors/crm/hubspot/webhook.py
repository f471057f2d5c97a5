"""HubSpot's webhooks: signature v3 and the events' records (pure). Values in events are never read."""

import base64
import hashlib
import hmac
import re
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

import orjson

from connectors.contract.errors import UnexpectedReply
from connectors.contract.records import ObjectKind, RecordRef
from connectors.contract.source import Hint, WebhookRefused, WebhookRequest
from connectors.crm.hubspot.objects import KIND_BY_TYPE_ID
from connectors.crm.hubspot.replies import instant, record_id
from connectors.http.strict_json import Json, from_ms

SIGNATURE = "x-hubspot-signature-v3"
TIMESTAMP = "x-hubspot-request-timestamp"
TOLERANCE = timedelta(minutes=5)
UNAUTHORIZED = 401
BAD_REQUEST = 400

# The only escapes that HubSpot decodes before it signs (developers.hubspot.com, request validation, November 2026).
_DECODED = {"3A": ":", "2F": "/", "3F": "?", "40": "@", "21": "!", "24": "$", "27": "'", "28": "(", "29": ")", "2A": "*"} | {
    "2C": ",",
    "3B": ";",
}
_ESCAPE = re.compile(f"%({'|'.join(_DECODED)})", re.IGNORECASE)
_KIND_BY_WORD = {"contact": ObjectKind.CONTACT, "deal": ObjectKind.DEAL, "company": ObjectKind.COMPANY, "lead": ObjectKind.LEAD}


def parse_webhook(request: WebhookRequest, secrets: Sequence[str], now: datetime) -> tuple[Hint, ...] | WebhookRefused:
    """Verify a webhook and say which records may have changed. Events of other objects give no hint."""
    refused = _verify(request, secrets, now)
    if refused is not None:
        return refused
    try:
        events = orjson.loads(request.body)
    except orjson.JSONDecodeError:
        return WebhookRefused(BAD_REQUEST, "the body is no JSON")
    if not isinstance(events, list):
        return WebhookRefused(BAD_REQUEST, "the body is no array of events")
    hints = (hint for event in events if isinstance(event, dict) for hint in _hints(event))
    return tuple(dict.fromkeys(hints))


def _verify(request: WebhookRequest, secrets: Sequence[str], now: datetime) -> WebhookRefused | None:
    signature, timestamp = request.headers.get(SIGNATURE), request.headers.get(TIMESTAMP)
    if not signature or not timestamp:
        return WebhookRefused(UNAUTHORIZED, "the request carries no signature v3")
    if not (timestamp.isascii() and timestamp.isdigit()) or not _is_recent(timestamp, now):
        return WebhookRefused(UNAUTHORIZED, "the request's timestamp is not of the last five minutes")
    signed = b"".join((request.method.upper().encode(), _decoded(request.url).encode(), request.body, timestamp.encode()))
    given = signature.strip().encode()
    matches = [hmac.compare_digest(_signature(secret, signed), given) for secret in secrets if secret]
    return None if any(matches) else WebhookRefused(UNAUTHORIZED, "the signature fits no webhook secret")


def _is_recent(timestamp: str, now: datetime) -> bool:
    """Both ways: HubSpot's own packages accept any time ahead, which would let a captured request live for ever."""
    try:
        return abs(now - from_ms(int(timestamp))) <= TOLERANCE
    except (OverflowError, ValueError):
        return False


def _decoded(url: str) -> str:
    return _ESCAPE.sub(lambda match: _DECODED[match.group(1).upper()], url)


def _signature(secret: str, signed: bytes) -> bytes:
    return base64.b64encode(hmac.new(secret.encode(), signed, hashlib.sha256).digest())


def _hints(event: Json) -> Iterator[Hint]:
    """Hints for every record that the event names; one that cannot be read gives none and hinders no other."""
    account = event.get("portalId")
    if isinstance(account, bool) or not isinstance(account, int | str) or account == "":
        return
    word, _, what = str(event.get("subscriptionType") or event.get("eventType") or "").partition(".")
    occurred_at = _occurred_at(event)
    for ref in dict.fromkeys(_refs(event, word)):
        yield Hint(ref, str(account), occurred_at, is_privacy_deletion=what == "privacyDeletion")


def _refs(event: Json, word: str) -> Iterator[RecordRef]:
    kind = KIND_BY_TYPE_ID.get(str(event.get("objectTypeId"))) or _KIND_BY_WORD.get(word.lower())
    merged = event.get("mergedObjectIds")
    own = [event.get("objectId"), event.get("primaryObjectId"), event.get("newObjectId")]
    if not _is_association(event):
        yield from _refs_of(kind, [*own, *(merged if isinstance(merged, list) else [])])
        return
    from_word, _, to_word = str(event.get("associationType", "")).lower().partition("_to_")
    from_kind = KIND_BY_TYPE_ID.get(str(event.get("fromObjectTypeId"))) or _KIND_BY_WORD.get(from_word) or kind
    to_kind = KIND_BY_TYPE_ID.get(str(event.get("toObjectTypeId"))) or _KIND_BY_WORD.get(to_word.partition("_")[0])
    yield from _refs_of(from_kind, [event.get("fromObjectId")])
    yield from _refs_of(to_kind, [event.get("toObjectId")])


def _is_association(event: Json) -> bool:
    return event.get("fromObjectId") is not None or event.get("toObjectId") is not None


def _refs_of(kind: ObjectKind | None, ids: Sequence[object]) -> Iterator[RecordRef]:
    for one in ids:
        try:
            if kind is not None and one is not None:
                yield RecordRef(kind, record_id(one, "an event's id"))
        except UnexpectedReply:
            continue


def _occurred_at(event: Json) -> datetime | None:
    try:
        return instant(event["occurredAt"], "`occurredAt`") if "occurredAt" in event else None
    except UnexpectedReply:
        return None
