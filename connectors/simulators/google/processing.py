"""The late verdict on one event for one destination: consent, click, person, age (pure)."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from connectors.simulators.google.codes import is_click_id
from connectors.simulators.google.ledger import Key, Ledger, Sighting
from connectors.simulators.google.request import ClickKind, Consent, Event, IngestRequest
from connectors.simulators.google.world import Account, ConversionAction, Counting, EnhancedConversions, World

YOUNGEST_CLICK = timedelta(hours=6)
OLDEST_CLICK = timedelta(days=90)
OLDEST_WITHOUT_CLICK = timedelta(days=63)
_PREFIX = "PROCESSING_ERROR_REASON_"


@dataclass(frozen=True, slots=True)
class Match:
    """The ad click that an event is credited to."""

    click: str
    kind: ClickKind | None
    clicked_at: datetime


@dataclass(frozen=True, slots=True)
class Arrival:
    """A request that was taken, on its way through processing."""

    request: IngestRequest
    request_id: str
    received_at: datetime


def sight(arrival: Arrival, event: Event, position: int, world: World, ledger: Ledger) -> Sighting:
    """Judge an event for the destination at a position of its request."""
    destination = arrival.request.destinations[position]
    account = world.accounts[destination.operating.id]
    action = account.actions[destination.action]
    key = Key(action.id, event.transaction_id or _stand_in_id(arrival, event))
    digests = event.digests(arrival.request.encoding) if event.identifiers and not arrival.request.is_encrypted else frozenset()
    found: Match | str = _consent_problem(event, account) or _match(arrival, event, (account, action), world, digests)
    if isinstance(found, str) and not found.endswith("_CONSENT") and ledger.recorded(key) is not None:
        # What is recorded is not judged again: the id says that this is the same conversion.
        found = Match("", None, event.occurred_at)
    use_default = event.value is None or action.always_uses_default_value
    return Sighting(
        key=key,
        request_id=arrival.request_id,
        index=event.index,
        received_at=arrival.received_at,
        event_at=event.occurred_at,
        value=action.default_value if use_default or event.value is None else event.value,
        currency=event.currency or account.currency,
        identifiers=digests | {click_id for _, click_id in event.clicks},
        match=found.click if isinstance(found, Match) else None,
        match_kind=found.kind if isinstance(found, Match) else None,
        is_one_per_click=action.counting is Counting.ONE_PER_CLICK,
        has_id=bool(event.transaction_id),
        failure=_PREFIX + found if isinstance(found, str) else None,
    )


def _stand_in_id(arrival: Arrival, event: Event) -> str:
    """Without an id Google knows a conversion by (gclid, time); without either it knows nothing."""
    gclid = dict(event.clicks).get(ClickKind.GCLID)
    return f"{gclid}@{event.occurred_at.isoformat()}" if gclid else f"{arrival.request_id}#{event.index}"


def _consent_problem(event: Event, account: Account) -> str | None:
    consent = account.default_consent if event.consent is Consent.UNSPECIFIED else event.consent
    match consent:
        case Consent.DENIED:
            return "DENIED_CONSENT"
        case Consent.UNSPECIFIED:
            return "UNKNOWN_CONSENT"
        case Consent.GRANTED:
            return None


def _match(
    arrival: Arrival, event: Event, target: tuple[Account, ConversionAction], world: World, digests: frozenset[str]
) -> Match | str:
    account, action = target
    if arrival.request.is_encrypted:
        return "DECRYPTION_ERROR"
    if arrival.received_at - event.occurred_at > (OLDEST_CLICK if event.clicks else OLDEST_WITHOUT_CLICK):
        return "EVENT_TOO_OLD"
    for kind, click_id in event.clicks:
        click = world.clicks.get((kind, click_id))
        if click is None and not is_click_id(click_id):
            return f"INVALID_{kind.name}"
        if kind is not ClickKind.GCLID and action.counting is Counting.ONE_PER_CLICK:
            return "ONE_PER_CLICK_CONVERSION_ACTION_NOT_PERMITTED_WITH_BRAID"
        if click is not None and not world.is_of(click.account, account.id):
            return "INVALID_OPERATING_ACCOUNT_FOR_CLICK"
        if click is not None:
            return _in_time(arrival, event, action, Match(click_id, kind, click.clicked_at)) or Match(
                click_id, kind, click.clicked_at
            )
    uses_people = account.enhanced_conversions is not EnhancedConversions.OFF_UNNOTICED
    person = world.find_person(digests, account.id, event.occurred_at) if digests and uses_people else None
    if person is None:
        return "CLICK_NOT_FOUND"
    seen = Match(f"person:{min(person.digests)}@{person.clicked_at.isoformat()}", None, person.clicked_at)
    return _in_time(arrival, event, action, seen) or seen


def _in_time(arrival: Arrival, event: Event, action: ConversionAction, match: Match) -> str | None:
    click_age = arrival.received_at - match.clicked_at
    if event.occurred_at < match.clicked_at:
        return "CONVERSION_PRECEDES_CLICK"
    if click_age < YOUNGEST_CLICK:
        return "TOO_RECENT_CLICK"
    if click_age > (OLDEST_WITHOUT_CLICK if match.kind is None else OLDEST_CLICK):
        return "EVENT_TOO_OLD"
    return "EXPIRED_CLICK" if event.occurred_at - match.clicked_at > action.click_window else None
