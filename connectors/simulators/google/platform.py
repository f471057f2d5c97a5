"""The simulated Google Ads behind the Data Manager API: what exists, what it received, and what it would count."""

import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from connectors.simulators.google.access import destination_violations, owner_violations, refuse_strangers
from connectors.simulators.google.ledger import Ledger
from connectors.simulators.google.oauth import DATA_MANAGER_SCOPE, AccessToken, RefreshGrant, ServiceAccount, TokenDesk
from connectors.simulators.google.processing import Arrival, sight
from connectors.simulators.google.quota import Quota
from connectors.simulators.google.refusals import Json, JsonObject, PathStyle, Violation, invalid
from connectors.simulators.google.request import IngestRequest, read_request
from connectors.simulators.google.rules import has_future_event, request_violations
from connectors.simulators.google.schema import shape_violations
from connectors.simulators.google.spending import Spending
from connectors.simulators.google.status import STATUS_KEPT, RecordIndices, TakenRequest, Verdict
from connectors.simulators.google.world import Account, Click, Person, World


@dataclass(slots=True)
class Behaviour:
    """What the facts leave open or call different between servers."""

    shortest_delay: timedelta = timedelta(minutes=30)
    longest_delay: timedelta = timedelta(hours=24)
    oldest_event: timedelta = timedelta(days=365)
    path_style: PathStyle = PathStyle.PLAIN
    record_indices: RecordIndices = RecordIndices.OVER_EVENTS
    index_base: int = 0
    checks_click_owner_at_once: bool = True
    is_service_enabled: bool = True


class GooglePlatform:
    """In-memory Google Ads. Change its parts at any time; times come with each call."""

    def __init__(
        self, accounts: Iterable[Account] = (), *, behaviour: Behaviour | None = None, quota: Quota | None = None, seed: int = 0
    ) -> None:
        self._chance = random.Random(seed)
        self.behaviour = behaviour or Behaviour()
        self.quota = quota or Quota()
        self.world = World({account.id: account for account in accounts})
        self.desk = TokenDesk(self._chance)
        self.ledger = Ledger()
        self.taken: dict[str, TakenRequest] = {}
        self.rehearsed: list[JsonObject] = []
        self.calls: Counter[str] = Counter()
        self.refuses: dict[str, str] = {}
        self.bodies: list[tuple[str, JsonObject]] = []
        self.spending = Spending()

    @property
    def duplicates(self) -> int:
        """How many events arrived again for a conversion that was recorded already, with nothing new."""
        return self.ledger.duplicates.total()

    def received(self, action: str | None = None, transaction_id: str | None = None) -> list[JsonObject]:
        """The raw events of all taken requests in order, for one action or transaction id where given."""
        found: list[JsonObject] = []
        for taken in self.taken.values():
            wanted = {index for each in taken.verdicts if action in (None, each.destination.action) for index in each.sent}
            events = enumerate(taken.events)
            found.extend(raw for index, raw in events if index in wanted and transaction_id in (None, raw.get("transactionId")))
        return found

    def add_clicks(self, *clicks: Click) -> None:
        """Let people click ads."""
        self.world.clicks.update({(click.kind, click.id): click for click in clicks})

    def add_people(self, *people: Person) -> None:
        """Let signed-in people click ads."""
        for person in people:
            for digest in person.digests:
                self.world.people.setdefault(digest, []).append(person)

    def add_token(
        self, value: str, accounts: Iterable[str], expires_at: datetime, scopes: Iterable[str] = (DATA_MANAGER_SCOPE,)
    ) -> AccessToken:
        """Issue an access token by hand."""
        token = AccessToken(value, expires_at, frozenset(scopes), frozenset(accounts))
        self.desk.tokens[value] = token
        return token

    def add_grant(self, grant: RefreshGrant) -> None:
        """Let a refresh token be exchanged at `/token`."""
        self.desk.grants[grant.refresh_token] = grant

    def add_service_account(self, account: ServiceAccount) -> None:
        """Let assertions signed by a service account be exchanged at `/token`."""
        self.desk.service_accounts[account.email] = account

    def new_request_id(self) -> str:
        """An opaque id."""
        return f"{self._chance.getrandbits(96):024x}"

    def ingest(self, body: Json, token: AccessToken, request_id: str, now: datetime) -> JsonObject:
        """Take a whole request or raise the `Refusal` of it."""
        wrong_shape = shape_violations(body)
        if wrong_shape or not isinstance(body, dict):
            raise invalid(*wrong_shape)
        request = read_request(body)
        refuse_strangers(request.destinations, token, self.world)
        violations = [*request_violations(request, now, self.behaviour.oldest_event), *self._account_violations(request, now)]
        violations += [
            Violation(f"events[{event.index}]", "The event is not accepted.", self.refuses[event.transaction_id])
            for event in request.events
            if event.transaction_id in self.refuses
        ]
        if violations or has_future_event(request, now):
            raise invalid(*violations)
        if request.validate_only:
            self.rehearsed.append(body)
        else:
            self._process(Arrival(request, request_id, now))
        answer: JsonObject = {"requestId": request_id}
        warnings = _warnings(request)
        if warnings:
            answer["fieldWarnings"] = warnings
        return answer

    def status(self, request_id: str, token: AccessToken, now: datetime) -> JsonObject:
        """Tell how far a request got, or raise the `Refusal`."""
        taken = self.taken.get(request_id)
        if taken is None:
            raise invalid(Violation("request_id", "The request ID is not valid.", "INVALID_REQUEST_ID"))
        if now - taken.received_at > STATUS_KEPT:
            raise invalid(Violation("request_id", "The request is too old.", "REQUEST_TOO_OLD"))
        refuse_strangers((each.destination for each in taken.verdicts), token, self.world)
        how = self.behaviour
        is_ready = now >= taken.ready_at
        told: list[Json] = [each.as_json(how.record_indices, how.index_base, is_ready=is_ready) for each in taken.verdicts]
        return {"requestStatusPerDestination": told}

    def _account_violations(self, request: IngestRequest, now: datetime) -> list[Violation]:
        found = list(destination_violations(request, self.world, now))
        if self.behaviour.checks_click_owner_at_once and not request.validate_only:
            found.extend(owner_violations(request, self.world))
        return found

    def _process(self, arrival: Arrival) -> None:
        request = arrival.request
        verdicts = tuple(Verdict(destination) for destination in request.destinations)
        for event in request.events:
            for position in request.targets(event):
                verdict = verdicts[position]
                verdict.sent.append(event.index)
                reason = self.ledger.take(sight(arrival, event, position, self.world, self.ledger))
                if reason is not None:
                    verdict.failed[reason].append(event.index)
        events = tuple(event.raw for event in request.events)
        longest = self.behaviour.longest_delay - self.behaviour.shortest_delay
        ready_at = arrival.received_at + self.behaviour.shortest_delay + longest * self._chance.random()
        self.taken[arrival.request_id] = TakenRequest(arrival.request_id, events, arrival.received_at, ready_at, verdicts)


def _warnings(request: IngestRequest) -> list[Json]:
    return [
        {
            "reason": "WARNING_REASON_CUSTOM_VARIABLE_NOT_ENABLED",
            "description": "The custom variable is not enabled and was ignored.",
            "field": f"events[{event.index}].custom_variables[{position}]",
        }
        for event in request.events
        for position in range(event.variables)
    ]
