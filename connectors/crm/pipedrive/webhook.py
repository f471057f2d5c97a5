"""Pipedrive's webhooks: Basic authentication and the event's record (pure). Values in events are never read."""

import base64
import binascii
import hmac
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

import orjson

from connectors.contract.errors import UnexpectedReply
from connectors.contract.records import ObjectKind, RecordRef
from connectors.contract.source import Hint, WebhookRefused, WebhookRequest
from connectors.crm.pipedrive.replies import record_id, second
from connectors.http.strict_json import Json

UNAUTHORIZED = 401
BAD_REQUEST = 400
BASIC = "basic "

_KINDS: Mapping[str, ObjectKind] = {
    "deal": ObjectKind.DEAL,
    "person": ObjectKind.CONTACT,
    "lead": ObjectKind.LEAD,
    "organization": ObjectKind.COMPANY,
}


def parse_webhook(request: WebhookRequest, secrets: Sequence[str], now: datetime) -> tuple[Hint, ...] | WebhookRefused:
    """Verify a webhook and say which record may have changed. Events of other objects give no hint.

    Pipedrive signs nothing: whoever has the pair and the address can knock, so a hint only makes us read the record again.
    """
    del now
    refused = _verify(request, secrets)
    if refused is not None:
        return refused
    try:
        event = orjson.loads(request.body)
    except orjson.JSONDecodeError:
        return WebhookRefused(BAD_REQUEST, "the body is no JSON")
    if not isinstance(event, dict) or not isinstance(event.get("meta"), dict):
        return WebhookRefused(BAD_REQUEST, "the body is no event with a `meta`")
    return tuple(dict.fromkeys(_hints(event["meta"])))


def _verify(request: WebhookRequest, secrets: Sequence[str]) -> WebhookRefused | None:
    given = request.headers.get("authorization", "")
    if given[: len(BASIC)].lower() != BASIC:
        return WebhookRefused(UNAUTHORIZED, "the request carries no Basic authentication")
    try:
        pair = base64.b64decode(given[len(BASIC) :].strip(), validate=True)
    except (binascii.Error, ValueError):
        return WebhookRefused(UNAUTHORIZED, "the request's Basic authentication is unreadable")
    matches = [hmac.compare_digest(secret.encode(), pair) for secret in secrets if secret]
    return None if any(matches) else WebhookRefused(UNAUTHORIZED, "the request's user and password fit no webhook secret")


def _hints(meta: Json) -> Iterator[Hint]:
    """The record of the event, and the one that it was merged into."""
    account = meta.get("company_id")
    if isinstance(account, bool) or not isinstance(account, int | str) or account == "":
        return
    # Webhooks of version 1 name the object `object` and its id `id`.
    is_first_version = "entity" not in meta
    kind = _KINDS.get(str(meta.get("object" if is_first_version else "entity")))
    ref = _ref(kind, meta.get("id" if is_first_version else "entity_id"))
    if ref is None:
        return
    winner = _ref(kind, meta.get("merged_to_id"))
    winner = None if winner == ref else winner
    occurred_at = _occurred_at(meta.get("timestamp"))
    yield Hint(ref, str(account), occurred_at, merged_into=winner)
    if winner is not None:
        yield Hint(winner, str(account), occurred_at)


def _ref(kind: ObjectKind | None, value: object) -> RecordRef | None:
    try:
        return None if kind is None or value is None else RecordRef(kind, record_id(kind, value, "an event's id"))
    except UnexpectedReply:
        return None


def _occurred_at(value: object) -> datetime | None:
    """Version 2 writes ISO 8601, version 1 epoch seconds."""
    try:
        if isinstance(value, int) and not isinstance(value, bool):
            return datetime.fromtimestamp(value, UTC)
        return second(value, "`timestamp`")
    except (UnexpectedReply, ValueError, OverflowError, OSError):
        return None
