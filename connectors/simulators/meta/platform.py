"""The simulated datasets of Meta behind the Conversions API: tokens, throttling, leads, and what was received."""

import hashlib
import hmac
import random
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from connectors.simulators.meta.ad_account import AdAccount
from connectors.simulators.meta.errors import GraphError, Json, JsonObject, invalid, no_such_object
from connectors.simulators.meta.event import Event, read_event
from connectors.simulators.meta.ledger import Ledger

MOST_EVENTS = 1000
_HOUR = timedelta(hours=1)
_REQUEST_KEYS = frozenset(
    {
        "data",
        "test_event_code",
        "partner_agent",
        "namespace_id",
        "upload_id",
        "upload_tag",
        "upload_source",
        "platforms",
        "progress",
        "trace",
        "access_token",
        "appsecret_proof",
    }
)


@dataclass(slots=True)
class Dataset:
    """A dataset (formerly: pixel); offline events need it consolidated, the CRM integration needs CRM mode."""

    id: str
    name: str = "Website and CRM"
    is_crm: bool = True
    is_consolidated_container: bool = True
    is_unavailable: bool = False
    owner_business: str = "1029384756"
    last_fired_at: datetime | None = None


@dataclass(slots=True)
class Token:
    """An access token and what it may do; with an app secret every call must carry its proof.

    A token made in Events Manager may send and see the quality report; `may_read` is the right to read the dataset itself.
    """

    value: str = field(repr=False)
    datasets: frozenset[str]
    expires_at: datetime | None = None
    may_send: bool = True
    may_read: bool = True
    may_see_quality: bool = True
    app_secret: str | None = field(default=None, repr=False)


@dataclass(slots=True)
class Throttle:
    """Calls in any hour; over the limit they fail with a business-use-case code. Without a limit nothing is throttled."""

    per_hour: int | None = None
    code: int = 80004
    _recent: deque[datetime] = field(default_factory=deque)

    def spend(self, now: datetime) -> None:
        """Count one call, or raise."""
        while self._recent and self._recent[0] <= now - _HOUR:
            self._recent.popleft()
        if self.per_hour is not None and len(self._recent) >= self.per_hour:
            raise GraphError("There have been too many calls to this account.", self.code)
        self._recent.append(now)

    def used_percent(self) -> int:
        """How much of the hour's calls are used."""
        return 0 if self.per_hour is None else min(100, len(self._recent) * 100 // max(1, self.per_hour))

    def minutes_to_regain(self, now: datetime) -> int:
        """How long until a call is free again; 0 where one is."""
        if self.used_percent() < 100 or not self._recent:
            return 0
        return max(1, -int((now - _HOUR - self._recent[0]).total_seconds() // 60))


class MetaPlatform:
    """In-memory Meta. Change its parts at any time; times come with each call.

    `leads` knows when lead-ad leads were made (earlier events vanish silently), `drops` names event ids that vanish from a
    batch with only `events_received` telling, `refuses` gives by event id the error of a rule that only Meta knows,
    `errors_to_come` fails the next uploads with vendor errors.
    """

    def __init__(self, datasets: Iterable[Dataset] = (), *, throttle: Throttle | None = None, seed: int = 0) -> None:
        self._chance = random.Random(seed)
        self.datasets = {dataset.id: dataset for dataset in datasets}
        self.tokens: dict[str, Token] = {}
        self.throttle = throttle or Throttle()
        self.versions = {"v26.0"}
        self.leads: dict[str, datetime] = {}
        self.drops: set[str] = set()
        self.refuses: dict[str, GraphError] = {}
        self.errors_to_come: deque[GraphError] = deque()
        self.ledger = Ledger()
        self.taken: list[tuple[str, JsonObject]] = []
        self.test_events: list[tuple[str, Event]] = []
        self.alerts: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        self.ad_account = AdAccount()
        self.bodies: list[tuple[str, JsonObject]] = []

    @property
    def duplicates(self) -> int:
        """How many events were recognised as repetitions."""
        return self.ledger.duplicates

    def received(self, event_name: str | None = None, event_id: str | None = None) -> list[JsonObject]:
        """The raw events of all taken batches in order (no test events)."""
        return [
            raw
            for _, raw in self.taken
            if event_name in (None, raw.get("event_name")) and event_id in (None, raw.get("event_id"))
        ]

    def add_token(self, token: Token) -> Token:
        """Make a token known."""
        self.tokens[token.value] = token
        return token

    def new_trace_id(self) -> str:
        """An opaque id for support."""
        return f"A{self._chance.getrandbits(80):020x}"

    def admit(self, value: str, proof: str, now: datetime) -> Token:
        """The caller's token, or the error of it."""
        if not value:
            raise GraphError("An access token is required to request this resource.", 104)
        token = self.tokens.get(value)
        if token is None:
            raise GraphError("Invalid OAuth access token.", 190, None, 401)
        if token.expires_at is not None and now >= token.expires_at:
            raise GraphError("Error validating access token: Session has expired.", 190, 463, 401)
        if token.app_secret is not None:
            expected = hmac.new(token.app_secret.encode(), value.encode(), hashlib.sha256).hexdigest()
            if not hmac.compare_digest(expected, proof):
                raise GraphError("Invalid appsecret_proof provided in the API argument", 104)
        self.throttle.spend(now)
        return token

    def send(self, dataset_id: str, body: JsonObject, token: Token, now: datetime) -> JsonObject:
        """Take a whole batch or raise the one error of it."""
        dataset = self._dataset(dataset_id, token, "post")
        if not token.may_send:
            raise GraphError("(#200) The permission to send events is missing", 200, None, 403)
        if self.errors_to_come:
            raise self.errors_to_come.popleft()
        unknown = sorted(body.keys() - _REQUEST_KEYS)
        if unknown:
            raise invalid(f"Invalid parameter: unknown field {unknown[0]}")
        data = body.get("data")
        if not isinstance(data, list) or not 1 <= len(data) <= MOST_EVENTS:
            raise invalid(f"Invalid parameter: data must hold 1 to {MOST_EVENTS} events")
        events = [read_event(each, now) for each in data]
        for event in events:
            if event.id in self.refuses:
                raise self.refuses[event.id]
        if any(event.is_in_store for event in events) and not dataset.is_consolidated_container:
            raise invalid("Invalid parameter: the dataset takes no offline events")
        dataset.last_fired_at = now
        if body.get("test_event_code"):
            self.test_events.extend((dataset_id, event) for event in events)
            return {"events_received": len(events), "messages": []}
        return {"events_received": self._store(dataset, events, now), "messages": []}

    def describe(self, dataset_id: str, fields: str, token: Token) -> JsonObject:
        """The asked fields of a dataset."""
        dataset = self._dataset(dataset_id, token, "get")
        if not token.may_read:
            raise GraphError("(#200) Missing permissions", 200, None, 403)
        fired = dataset.last_fired_at
        known: JsonObject = {
            "id": dataset.id,
            "name": dataset.name,
            "is_crm": dataset.is_crm,
            "is_consolidated_container": dataset.is_consolidated_container,
            "is_unavailable": dataset.is_unavailable,
            "owner_business": {"id": dataset.owner_business, "name": "Business"},
            "last_fired_time": fired.strftime("%Y-%m-%dT%H:%M:%S+0000") if fired else None,
        }
        asked = [name.strip() for name in fields.split(",")] if fields else ["id", "name"]
        unknown = next((name for name in asked if name not in known), None)
        if unknown is not None:
            raise invalid(f"(#100) Tried accessing nonexisting field ({unknown})")
        return {name: known[name] for name in dict.fromkeys([*asked, "id"]) if known[name] is not None}

    def quality(self, dataset_id: str, token: Token) -> JsonObject:
        """The quality report: of web events only, so an empty one for a dataset that has none."""
        dataset = self._dataset(dataset_id, token, "get")
        if not token.may_see_quality:
            raise GraphError("(#200) Missing permissions", 200, None, 403)
        names = sorted(
            {str(raw["event_name"]) for of, raw in self.taken if of == dataset.id and raw["action_source"] == "website"}
        )
        return {"web": [{"event_name": name} for name in names]}

    def usage(self, now: datetime) -> Json:
        """The content of X-Business-Use-Case-Usage."""
        used = self.throttle.used_percent()
        row: JsonObject = {
            "type": "ads_management",
            "call_count": used,
            "total_cputime": used // 2,
            "total_time": used // 2,
            "estimated_time_to_regain_access": self.throttle.minutes_to_regain(now),
            "ads_api_access_tier": "standard_access",
        }
        business = next(iter(self.datasets.values())).owner_business if self.datasets else "0"
        return {business: [row]}

    def _dataset(self, dataset_id: str, token: Token, verb: str) -> Dataset:
        dataset = self.datasets.get(dataset_id)
        if dataset is None or dataset_id not in token.datasets:
            raise no_such_object(dataset_id, verb)
        return dataset

    def _store(self, dataset: Dataset, events: list[Event], now: datetime) -> int:
        """Count the events; the answer is how many Meta says it received."""
        lost = 0
        for event in events:
            if event.id in self.drops:
                lost += 1
                continue
            self.taken.append((dataset.id, event.raw))
            self.alerts["invalid_fbc"] += event.has_bad_click_id
            made_at = self.leads.get(event.lead_id)
            is_dropped = made_at is not None and event.occurred_at <= made_at
            self.ledger.take(dataset.id, event, now, is_crm_dataset=dataset.is_crm, is_dropped=is_dropped)
        return len(events) - lost
