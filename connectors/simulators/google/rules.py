"""What Google checks of a well-shaped request before it takes it: identifiers, digests, ids, times, money (pure)."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from connectors.simulators.google.codes import (
    CURRENCIES,
    LONGEST_TRANSACTION_ID,
    PLACEHOLDER_IDS,
    REGIONS,
    digest_problem,
    looks_hashed,
)
from connectors.simulators.google.refusals import Violation
from connectors.simulators.google.request import ClickKind, Event, Identifier, IngestRequest

MOST_EVENTS = 2000
MOST_DESTINATIONS = 10
MOST_IDENTIFIERS = 10


def request_violations(request: IngestRequest, now: datetime, oldest_event: timedelta) -> list[Violation]:
    """Every field of a request that Google refuses by itself, whatever the accounts."""
    found = [*_sizes(request), *_references(request), *_encoding(request)]
    oldest = now - oldest_event
    for event in request.events:
        found.extend(_event(event, request, oldest))
    found.extend(_duplicates(request))
    return found


def has_future_event(request: IngestRequest, now: datetime) -> bool:
    """Whether an event lies ahead of now; the answer to that names no field (seen live, 2026)."""
    return any(event.occurred_at > now for event in request.events)


def _sizes(request: IngestRequest) -> Iterator[Violation]:
    if len(request.events) > MOST_EVENTS:
        yield Violation("events", f"At most {MOST_EVENTS} events in one request.", "TOO_MANY_EVENTS")
    if len(request.destinations) > MOST_DESTINATIONS:
        yield Violation("destinations", f"At most {MOST_DESTINATIONS} destinations in one request.", "TOO_MANY_DESTINATIONS")


def _references(request: IngestRequest) -> Iterator[Violation]:
    known: set[str] = set()
    for position, destination in enumerate(request.destinations):
        if destination.reference in known:
            field = f"destinations[{position}].reference"
            yield Violation(field, "Two destinations have the same reference.", "DUPLICATE_DESTINATION_REFERENCE")
        known |= {destination.reference} - {""}
    for event in request.events:
        for position, reference in enumerate(event.references):
            if reference not in known:
                field = f"events[{event.index}].destination_references[{position}]"
                yield Violation(field, "The reference names no destination of the request.", "INVALID_DESTINATION")


def _encoding(request: IngestRequest) -> Iterator[Violation]:
    if not request.encoding and any(event.has_user_data for event in request.events):
        yield Violation("encoding", "The encoding is required where user data is present.", "REQUIRED_FIELD_MISSING")


def _event(event: Event, request: IngestRequest, oldest: datetime) -> Iterator[Violation]:
    path = f"events[{event.index}]"
    if not event.source:
        yield Violation(f"{path}.event_source", "Required field is missing.", "REQUIRED_FIELD_MISSING")
    if event.occurred_at < oldest:
        yield Violation(f"{path}.event_timestamp", "The event lies outside the acceptable time window.", "EVENT_TIME_INVALID")
    if not event.has_ad_identifier and not event.identifiers:
        yield Violation(path, "The event has neither user identifiers nor ad identifiers.", "NO_IDENTIFIERS_PROVIDED")
    if {ClickKind.GBRAID, ClickKind.WBRAID} <= {kind for kind, _ in event.clicks}:
        yield Violation(f"{path}.ad_identifiers", "gbraid and wbraid can't be used together.", "INVALID_EVENT")
    if event.is_third_party:
        field = f"{path}.third_party_user_data"
        yield Violation(field, "Only data partners send third-party user data.", "THIRD_PARTY_USER_DATA_NOT_ALLOWED")
    yield from _user_data(event, request, f"{path}.user_data.user_identifiers")
    yield from _money(event, path)
    yield from _transaction_id(event, path, validate_only=request.validate_only)


def _user_data(event: Event, request: IngestRequest, path: str) -> Iterator[Violation]:
    if len(event.identifiers) > MOST_IDENTIFIERS:
        yield Violation(path, f"At most {MOST_IDENTIFIERS} identifiers for one event.", "TOO_MANY_USER_IDENTIFIERS")
    if not request.encoding:
        return
    for position, identifier in enumerate(event.identifiers):
        yield from _identifier(identifier, request, f"{path}[{position}]")


def _identifier(identifier: Identifier, request: IngestRequest, path: str) -> Iterator[Violation]:
    address = identifier.address
    if address is None:
        hashed = {identifier.field: identifier.digest}
    else:
        hashed = {"address.given_name": address.given_name, "address.family_name": address.family_name}
        if address.region_code not in REGIONS:
            yield Violation(f"{path}.address.region_code", "The region code is not valid.", "INVALID_REGION_CODE")
        if looks_hashed(address.postal_code):
            yield Violation(f"{path}.address.postal_code", "The postal code is not valid.", "INVALID_POSTAL_CODE")
    if request.is_encrypted:
        return
    for field, digest in hashed.items():
        reason = digest_problem(digest, request.encoding)
        if reason is not None:
            yield Violation(f"{path}.{field}", "The value is not a SHA-256 digest in the given encoding.", reason)


def _money(event: Event, path: str) -> Iterator[Violation]:
    if event.value is not None and event.value < 0:
        yield Violation(f"{path}.conversion_value", "The value must not be negative.", "INVALID_NUMBER_FORMAT")
    if event.currency and event.currency not in CURRENCIES:
        yield Violation(f"{path}.currency", "The currency code is not supported.", "INVALID_CURRENCY_CODE")


def _transaction_id(event: Event, path: str, *, validate_only: bool) -> Iterator[Violation]:
    """Numeric and one-character ids pass a dry run and fail the real call (seen live, 2026-08)."""
    given = event.transaction_id
    is_numeric = given.isascii() and given.isdigit()
    if is_numeric or len(given) == 1:
        if not validate_only:
            yield Violation(path, "The event is not valid.", "INVALID_ARGUMENT")
    elif given.lower() in PLACEHOLDER_IDS:
        yield Violation(f"{path}.transaction_id", "The transaction id is not valid.", "INVALID_FORMAT")
    elif len(given) > LONGEST_TRANSACTION_ID:
        yield Violation(f"{path}.transaction_id", "The field value is too long.", "FIELD_VALUE_TOO_LONG")


def _duplicates(request: IngestRequest) -> Iterator[Violation]:
    """Two events with one id for one action: neither would be processed."""
    first: dict[tuple[str, str, str], int] = {}
    told: set[int] = set()
    for event in request.events:
        for position in request.targets(event) if event.transaction_id else ():
            destination = request.destinations[position]
            key = (destination.operating.id, destination.action, event.transaction_id)
            if key in first:
                told |= {first[key], event.index}
            first.setdefault(key, event.index)
    for index in sorted(told):
        yield Violation(f"events[{index}]", "Another event has the same transaction id and destination.", "INVALID_EVENT")
