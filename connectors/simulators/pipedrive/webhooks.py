"""Webhooks v2: registered by API or app, one POST per event, retried, now and then twice or never, removed after failing.

Numbers of retries, bans and removal: pipedrive.readme.io, guide for webhooks v2.
"""

import base64
import json
import random
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from connectors.simulators.disorder import Disorder
from connectors.simulators.pipedrive.errors import Json
from connectors.simulators.pipedrive.instants import instant, iso_millis, millis

ACTIONS = frozenset({"create", "change", "delete", "*"})
OBJECTS = frozenset(["activity", "deal", "lead", "note", "organization", "person", "pipeline", "product", "stage", "user", "*"])
MOST_WEBHOOKS = 40
RETRIES = (timedelta(seconds=3), timedelta(seconds=30), timedelta(seconds=150))
BAN_AFTER = 10
BAN = timedelta(minutes=30)
REMOVAL = timedelta(days=3)


@dataclass(frozen=True, slots=True)
class WebhookRequest:
    """One POST as Pipedrive would send it."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes
    webhook_id: int


@dataclass(frozen=True, slots=True)
class Event:
    """A change that webhooks may ask for; `permitted` are the users who see the object."""

    action: str
    entity: str
    entity_id: str
    at_ms: int
    data: Json | None
    previous: Json | None
    user_id: int
    permitted: tuple[int, ...]
    source: str = "app"
    is_bulk: bool = False
    more: Mapping[str, object] | None = None


@dataclass(slots=True)
class Webhook:
    """One registration: an action times an object, with the Basic auth that deliveries carry."""

    id: int
    owner_id: int
    user_id: int
    event_action: str
    event_object: str
    subscription_url: str
    name: str
    add_ms: int
    http_auth_user: str | None = None
    http_auth_password: str | None = None
    type: str = "general"
    is_active: bool = True
    remove_ms: int | None = None
    remove_reason: str | None = None
    last_delivery_ms: int | None = None
    last_http_status: int | None = None
    failing_since_ms: int | None = None
    failures: int = 0
    banned_until_ms: int = 0

    def asks_for(self, action: str, entity: str) -> bool:
        """Whether it wants such events."""
        return self.is_active and self.event_action in (action, "*") and self.event_object in (entity, "*")


class Webhooks:
    """All webhooks of a company and what waits to be sent. `disorder` and `removal` may be set at any time."""

    def __init__(self, company_id: int, host: str, seed: int) -> None:
        self.all: dict[int, Webhook] = {}
        self.disorder = Disorder()
        self.removal = REMOVAL
        self._company_id = company_id
        self._host = host
        self._random = random.Random(seed)
        self._chance = random.Random(0)
        self._waiting: list[tuple[int, int, Json]] = []  # due, webhook, payload
        self._next_id = 501

    def set_disorder(self, disorder: Disorder) -> None:
        """Lose, double and shuffle from now on."""
        self.disorder = disorder
        self._chance = random.Random(disorder.seed)

    def add(self, webhook_fields: Mapping[str, object], owner_id: int, now_ms: int) -> Webhook:
        """Register one; its fields were checked before."""
        user = webhook_fields.get("user_id")
        login, password = webhook_fields.get("http_auth_user"), webhook_fields.get("http_auth_password")
        made = Webhook(
            id=self._next_id,
            owner_id=owner_id,
            user_id=user if isinstance(user, int) else owner_id,
            event_action=str(webhook_fields["event_action"]),
            event_object=str(webhook_fields["event_object"]),
            subscription_url=str(webhook_fields["subscription_url"]),
            name=str(webhook_fields["name"]),
            add_ms=now_ms,
            http_auth_user=None if login is None else str(login),
            http_auth_password=None if password is None else str(password),
        )
        self._next_id += 1
        self.all[made.id] = made
        return made

    def is_wanted(self, action: str, entity: str) -> bool:
        """Whether anybody asks for such events."""
        return any(one.asks_for(action, entity) for one in self.all.values())

    def offer(self, event: Event) -> None:
        """Queue an event for every webhook that asks for it and whose user may see the object."""
        event_id, correlation = self._uuid(), self._uuid()
        for one in self.all.values():
            if one.asks_for(event.action, event.entity) and one.user_id in event.permitted:
                body: Json = {
                    "data": event.data,
                    "previous": event.previous,
                    "meta": self._meta(event, one, event_id, correlation),
                }
                self._waiting.append((event.at_ms, one.id, body))

    def drain(self, now: datetime) -> list[WebhookRequest]:
        """All that is due, as requests; a banned or removed webhook's events are lost."""
        now_ms, luck = millis(now), self._chance
        due = [one for one in self._waiting if one[0] <= now_ms]
        self._waiting = [one for one in self._waiting if one[0] > now_ms]
        sent = [(hook, body) for _, hook, body in due if luck.random() >= self.disorder.loss and self._reaches(hook, now_ms)]
        sent += [(hook, _again(body)) for hook, body in sent if luck.random() < self.disorder.duplication]
        if self.disorder.is_shuffled:
            luck.shuffle(sent)
        return [self._request(self.all[hook], body) for hook, body in sent]

    def redelivered(self, body: bytes) -> WebhookRequest:
        """A delivery a second time: the same event and meta.id, the attempt counted up."""
        told: Json = json.loads(body)
        meta = told["meta"]
        if not isinstance(meta, dict):
            raise TypeError(body)
        return self._request(self.all[int(meta["webhook_id"])], _again(told))

    def answered(self, request: WebhookRequest, status: int, now: datetime) -> None:
        """Tell what the receiver answered: anything but 2xx is retried, ten first tries ban, days of failing remove."""
        one = self.all.get(request.webhook_id)
        if one is None:
            return
        now_ms = millis(now)
        one.last_http_status, one.last_delivery_ms = status, now_ms
        if 200 <= status < 300:
            one.failing_since_ms = None
            return
        body: Json = json.loads(request.body)
        attempt = _attempt(body)
        if attempt <= len(RETRIES):
            self._waiting.append((millis(now + RETRIES[attempt - 1]), one.id, _again(body)))
        if attempt == 1:
            one.failures += 1
        if one.failures >= BAN_AFTER:
            one.failures, one.banned_until_ms = 0, millis(now + BAN)
        one.failing_since_ms = now_ms if one.failing_since_ms is None else one.failing_since_ms
        if instant(now_ms) - instant(one.failing_since_ms) >= self.removal:
            self.remove(one.id, now, "No successful deliveries on 3 consecutive days")

    def remove(self, webhook_id: int, now: datetime, reason: str = "Removed by the system") -> None:
        """Switch one off as Pipedrive does after long failing; it stays listed with the reason."""
        one = self.all[webhook_id]
        one.is_active, one.remove_ms, one.remove_reason = False, millis(now), reason

    def _reaches(self, webhook_id: int, now_ms: int) -> bool:
        one = self.all.get(webhook_id)
        return one is not None and one.is_active and now_ms >= one.banned_until_ms

    def _request(self, one: Webhook, body: Json) -> WebhookRequest:
        headers = {"Content-Type": "application/json", "User-Agent": "Pipedrive Webhooks"}
        if one.http_auth_user is not None or one.http_auth_password is not None:
            login = f"{one.http_auth_user or ''}:{one.http_auth_password or ''}"
            headers["Authorization"] = "Basic " + base64.b64encode(login.encode()).decode()
        return WebhookRequest("POST", one.subscription_url, headers, json.dumps(body, separators=(",", ":")).encode(), one.id)

    def _meta(self, event: Event, one: Webhook, event_id: str, correlation: str) -> Json:
        return {
            "action": event.action,
            "entity": event.entity,
            "company_id": str(self._company_id),
            "correlation_id": correlation,
            "entity_id": event.entity_id,
            "id": event_id,
            "is_bulk_edit": event.is_bulk,
            "timestamp": iso_millis(event.at_ms),
            "type": one.type,
            "user_id": str(event.user_id),
            "version": "2.0",
            "webhook_id": str(one.id),
            "webhook_owner_id": str(one.owner_id),
            "change_source": event.source,
            "attempt": 1,
            "host": self._host,
            "permitted_user_ids": [str(user) for user in event.permitted],
            **(event.more or {}),
        }

    def _uuid(self) -> str:
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))


def _attempt(body: Json) -> int:
    meta = body["meta"]
    return int(meta["attempt"]) if isinstance(meta, dict) else 1


def _again(body: Json) -> Json:
    meta = body["meta"]
    return {**body, "meta": {**meta, "attempt": meta["attempt"] + 1}} if isinstance(meta, dict) else body
