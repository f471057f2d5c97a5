"""What a customer's flows push: signed JSON with ids, and outbound messages (SOAP) with values; late, twice, or never."""

import hashlib
import hmac
import json
import random
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol

from connectors.simulators.disorder import Disorder
from connectors.simulators.salesforce.envelopes import envelope, is_acknowledged
from connectors.simulators.salesforce.ids import make_id
from connectors.simulators.salesforce.instants import millis, moment
from connectors.simulators.salesforce.table import Value

if TYPE_CHECKING:
    from connectors.simulators.salesforce.org import Org

MOST_NOTIFICATIONS = 100
LONGEST_GAP = timedelta(hours=2)
DROPPED_AFTER = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class WebhookRequest:
    """One POST as the org would send it; `notifications` are the ids of an outbound message's, the same at each attempt."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes
    notifications: tuple[str, ...] = ()


class Outbox(Protocol):
    """One subscription: takes in what changed, gives out what is due."""

    def offer(self, name: str, record_id: str, ready_ms: int) -> None:
        """Hear of a change that is committed at an instant."""
        ...

    def drain(self, now: datetime) -> list[WebhookRequest]:
        """The requests that are due."""
        ...


def sign(secret: str, timestamp: str, body: bytes) -> str:
    """Hex of HMAC-SHA256(secret, timestamp + "." + body)."""
    return hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def signed_json(secret: str, url: str, body: object, now: datetime) -> WebhookRequest:
    """The POST of a flow or trigger, signed at this instant."""
    raw = json.dumps(body, separators=(",", ":")).encode()
    timestamp = str(int(now.timestamp()))
    headers = {"Content-Type": "application/json", "X-Leadloop-Timestamp": timestamp}
    return WebhookRequest("POST", url, {**headers, "X-Leadloop-Signature": sign(secret, timestamp, raw)}, raw)


@dataclass(frozen=True, slots=True)
class _Event:
    """One change of one record. `id` is the notification's where there is one, `due_ms` when it is next to be sent."""

    object: str
    record_id: str
    at_ms: int
    due_ms: int
    id: str = ""
    attempts: int = 0


class _Queue:
    """Events that wait, and the disorder that they meet when they are taken out."""

    def __init__(self, disorder: Disorder) -> None:
        self.events: list[_Event] = []
        self.lost: list[_Event] = []  # of the last time
        self._disorder = disorder
        self._random = random.Random(disorder.seed)

    def due(self, now: datetime, is_dropped: Callable[[_Event], bool] = lambda _: False) -> list[_Event]:
        """Take out what is due, after losses, doublings and shuffling."""
        now_ms = millis(now)
        ready = [one for one in self.events if one.due_ms <= now_ms]
        self.events = [one for one in self.events if one.due_ms > now_ms]
        kept = [one for one in ready if not is_dropped(one)]
        self.lost = [one for one in kept if self._random.random() < self._disorder.loss]
        sent = [one for one in kept if one not in self.lost] if self.lost else kept
        sent += [one for one in sent if self._random.random() < self._disorder.duplication]
        if self._disorder.is_shuffled:
            self._random.shuffle(sent)
        return sent


class JsonOutbox:
    """A flow's callouts: sent once, never again."""

    def __init__(
        self, org: "Org", target_url: str, secret: str, objects: Collection[str], batch: int, disorder: Disorder
    ) -> None:
        self._org = org
        self._target_url = target_url
        self._secret = secret
        self._objects = frozenset(objects)
        self._batch = batch
        self._queue = _Queue(disorder)

    def offer(self, name: str, record_id: str, ready_ms: int) -> None:
        """Queue a change of an object that the flow is for."""
        if name in self._objects:
            self._queue.events.append(_Event(name, record_id, ready_ms, ready_ms))

    def drain(self, now: datetime) -> list[WebhookRequest]:
        """All that is due, as signed requests."""
        told = [self._told(one) for one in self._queue.due(now)]
        if self._batch == 1:
            return [signed_json(self._secret, self._target_url, one, now) for one in told]
        batches = (told[start : start + self._batch] for start in range(0, len(told), self._batch))
        return [signed_json(self._secret, self._target_url, batch, now) for batch in batches]

    def _told(self, event: _Event) -> dict[str, str]:
        occurred_at = moment(event.at_ms).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
        return {
            "organizationId": self._org.org_id,
            "object": event.object,
            "id": event.record_id,
            "occurredAt": occurred_at,
        }


class SoapOutbox:
    """Outbound messages: repeated with growing gaps until they are acknowledged exactly, at most for a day."""

    def __init__(
        self,
        org: "Org",
        target_url: str,
        fields: Mapping[str, Sequence[str]],
        disorder: Disorder,
        *,
        sends_session: bool,
    ) -> None:
        self._org = org
        self._target_url = target_url
        self._fields = fields
        self._sends_session = sends_session
        self._queue = _Queue(disorder)
        self._sent: dict[str, _Event] = {}
        self._count = 0
        self._actions = {name: make_id("04k", number) for number, name in enumerate(fields, start=1)}

    def offer(self, name: str, record_id: str, ready_ms: int) -> None:
        """Queue a change of an object that a message is for."""
        if name in self._fields:
            self._count += 1
            notification_id = make_id("04l", self._count)
            self._queue.events.append(_Event(name, record_id, ready_ms, ready_ms, notification_id))

    def drain(self, now: datetime) -> list[WebhookRequest]:
        """All that is due, up to 100 notifications a request, with the values of now."""
        too_old_ms = millis(now - DROPPED_AFTER)
        due = self._queue.due(now, lambda one: one.at_ms <= too_old_ms)
        self._queue.events += [_again(one, now) for one in self._queue.lost]
        requests: list[WebhookRequest] = []
        for name in self._fields:
            rows = self._org.records.tables[name].rows
            events = [one for one in due if one.object == name and one.record_id in rows]
            starts = range(0, len(events), MOST_NOTIFICATIONS)
            requests += [self._request(name, events[start : start + MOST_NOTIFICATIONS], now) for start in starts]
        return requests

    def answered(self, request: WebhookRequest, status: int, body: bytes, now: datetime) -> bool:
        """Tell how a request was answered: False where it was no exact Ack, and its notifications are sent again later."""
        is_delivered = 200 <= status < 300 and is_acknowledged(body)
        for one in request.notifications:
            event = self._sent.pop(one, None)
            if event is None or is_delivered:
                continue
            self._queue.events.append(_again(event, now))
        return is_delivered

    def _request(self, name: str, events: Sequence[_Event], now: datetime) -> WebhookRequest:
        self._sent |= {one.id: one for one in events}
        session = self._org.sessions.issue(now) if self._sends_session else None
        notifications = [(one.id, self._values(name, one.record_id)) for one in events]
        body = envelope(self._org.org_id, self._actions[name], self._org.my_domain, name, notifications, session)
        headers = {"Content-Type": "text/xml; charset=utf-8", "SOAPAction": '""'}
        return WebhookRequest("POST", self._target_url, headers, body, tuple(one.id for one in events))

    def _values(self, name: str, record_id: str) -> list[tuple[str, object]]:
        records = self._org.records
        row = records.tables[name].rows[record_id]
        known = self._org.schema.fields[name]
        named = [one for one in self._fields[name] if one != "Id" and one in known]
        return [("Id", record_id), *((one, _told_in_xml(known[one].type, records.tables[name].get(row, one))) for one in named)]


def _again(event: _Event, now: datetime) -> _Event:
    gap = min(timedelta(minutes=2) * 2**event.attempts, LONGEST_GAP)
    return replace(event, due_ms=millis(now + gap), attempts=event.attempts + 1)


def _told_in_xml(field_type: str, value: Value) -> object:
    """A value as outbound messages write it: instants with Z, booleans in small letters."""
    if isinstance(value, bool):
        return str(value).lower()
    if field_type == "datetime" and value is not None:
        return moment(int(value)).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
    return value
