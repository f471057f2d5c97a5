"""Webhooks as HubSpot sends them: arrays of up to 100 events, signed with v3, in no order, now and then twice or never."""

import base64
import hashlib
import hmac
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import cast

from connectors.simulators.disorder import Disorder
from connectors.simulators.hubspot.catalogue import ObjectType
from connectors.simulators.hubspot.errors import Json
from connectors.simulators.hubspot.instants import millis

BATCH = 100

# The only escapes of a URI that are decoded before it is signed.
_DECODED = {"3A": ":", "2F": "/", "3F": "?", "40": "@", "21": "!", "24": "$", "27": "'"}
_DECODED |= {"28": "(", "29": ")", "2A": "*", "2C": ",", "3B": ";"}


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """One POST as HubSpot would send it."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Subscription:
    """`type` is generic (`object.propertyChange` with an object type) or old (`deal.propertyChange`).

    A propertyChange subscription names one property.
    """

    type: str
    object_type: str
    property: str | None = None


@dataclass(frozen=True, slots=True)
class WebhookEvent:
    """A change that subscriptions may ask for. `kind` is creation, deletion, merge, restore, propertyChange and so on."""

    kind: str
    object_type: ObjectType
    object_id: int
    at_ms: int
    source_type: str = "CRM_UI"
    property: str | None = None
    value: str | None = None
    more: Mapping[str, object] = field(default_factory=dict)


def signed_uri(url: str) -> str:
    """The URI as it goes into the signature: the listed escapes decoded, the rest as sent."""
    head, *rest = url.split("%")
    return head + "".join(_DECODED[part[:2].upper()] + part[2:] if part[:2].upper() in _DECODED else f"%{part}" for part in rest)


def sign_v3(secret: str, method: str, url: str, body: bytes, timestamp: str) -> str:
    """Base64 of HMAC-SHA256(secret, method + URI + body + timestamp)."""
    text = method.upper().encode() + signed_uri(url).encode() + body + timestamp.encode()
    return base64.b64encode(hmac.new(secret.encode(), text, hashlib.sha256).digest()).decode()


def signed_request(secret: str, url: str, events: Sequence[Json], now: datetime) -> SignedRequest:
    """The POST that carries these events, signed at this instant."""
    body = json.dumps(events, separators=(",", ":")).encode()
    timestamp = str(millis(now))
    headers = {
        "Content-Type": "application/json",
        "X-HubSpot-Request-Timestamp": timestamp,
        "X-HubSpot-Signature-v3": sign_v3(secret, "POST", url, body, timestamp),
    }
    return SignedRequest("POST", url, headers, body)


class Outbox:
    """One app's webhooks for one portal: what it subscribed to, and the events that wait for the next sending."""

    def __init__(
        self, portal_id: int, app_id: int, target_url: str, secret: str, subscriptions: Sequence[Subscription], disorder: Disorder
    ) -> None:
        self.events: list[Json] = []
        self._portal_id = portal_id
        self._app_id = app_id
        self._target_url = target_url
        self._secret = secret
        self._subscriptions = tuple(enumerate(subscriptions, start=1000))
        self._disorder = disorder
        self._random = random.Random(disorder.seed)

    def offer(self, event: WebhookEvent) -> None:
        """Queue an event for every subscription that asks for it."""
        self.events += [self._told(event, number, one) for number, one in self._subscriptions if _asks_for(one, event)]

    def drain(self, now: datetime) -> list[SignedRequest]:
        """All that waits, as signed requests; afterwards nothing waits."""
        events = [event for event in self.events if self._random.random() >= self._disorder.loss]
        events += [event for event in events if self._random.random() < self._disorder.duplication]
        if self._disorder.is_shuffled:
            self._random.shuffle(events)
        self.events = []
        batches = [events[start : start + BATCH] for start in range(0, len(events), BATCH)]
        return [signed_request(self._secret, self._target_url, batch, now) for batch in batches]

    def redeliver(self, request: SignedRequest, now: datetime) -> SignedRequest:
        """The same events again, as after a delivery that failed: the attempt counted up and signed anew."""
        events = cast("list[Json]", json.loads(request.body))
        again = [{**event, "attemptNumber": cast("int", event["attemptNumber"]) + 1} for event in events]
        return signed_request(self._secret, self._target_url, again, now)

    def _told(self, event: WebhookEvent, number: int, subscription: Subscription) -> Json:
        told: Json = {
            "eventId": self._random.randrange(1, 1 << 32),
            "subscriptionId": number,
            "portalId": self._portal_id,
            "appId": self._app_id,
            "occurredAt": event.at_ms,
            "subscriptionType": subscription.type,
            "attemptNumber": 0,
            "objectId": event.object_id,
            "changeSource": event.source_type,
            **event.more,
        }
        if subscription.type.startswith("object."):
            told["objectTypeId"] = event.object_type.type_id
        if event.property is not None:
            told |= {"propertyName": event.property, "propertyValue": event.value or ""}
        return told


def _asks_for(subscription: Subscription, event: WebhookEvent) -> bool:
    prefix, _, kind = subscription.type.partition(".")
    if kind != event.kind or subscription.object_type != event.object_type.name:
        return False
    if prefix not in ("object", event.object_type.singular):
        return False
    return event.property is None or subscription.property == event.property
