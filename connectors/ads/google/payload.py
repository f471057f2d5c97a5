"""The body of events:ingest, and what is refused before it is sent (pure)."""

import hashlib
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from connectors.ads.google.settings import GoogleSettings
from connectors.contract.conversions import Consent, ConsentState, DeliveryKind, Identifier, UploadRow
from connectors.contract.results import Later, Rejected, Retry, TargetRefused, UploadResult

ACTION_SETTING = "conversion_action"
AGE_WITH_CLICK = timedelta(days=90)
AGE_WITHOUT_CLICK = timedelta(days=63)
# In the order of preference: an event carries one click id.
CLICK_IDS = (Identifier.GCLID, Identifier.GBRAID, Identifier.WBRAID)
ADDRESS = {
    Identifier.FIRST_NAME_GOOGLE_SHA256: "givenName",
    Identifier.LAST_NAME_GOOGLE_SHA256: "familyName",
    Identifier.COUNTRY: "regionCode",
    Identifier.POSTAL_CODE: "postalCode",
}
BAD_ACTION = "the target needs conversion_action, the bare number of a conversion action (ctId in its address in Google Ads)"

_ACCOUNT_TYPE = "GOOGLE_ADS"
_CONSENT = {ConsentState.GRANTED: "CONSENT_GRANTED", ConsentState.DENIED: "CONSENT_DENIED"}


@dataclass(frozen=True, slots=True)
class Plan:
    """One request: `sent` are the positions of its events in the upload, `actions` its destinations in order."""

    body: Mapping[str, object]
    sent: tuple[int, ...]
    actions: tuple[str, ...]
    refused: Mapping[int, UploadResult]


def plan(rows: Sequence[UploadRow], settings: GoogleSettings, now: datetime) -> Plan:
    """Sort out what Google would refuse and build the body of the rest."""
    refused: dict[int, UploadResult] = {}
    kept: list[int] = []
    keys: set[tuple[str, str]] = set()
    for position, row in enumerate(rows):
        problem = local_problem(row, now)
        key = (row.conversion_id, action_of(row))
        if problem is None and key in keys:
            # Google refuses both of two events with one id and action; the second one waits for the first.
            problem = Retry("DUPLICATE_IN_REQUEST")
        if problem is not None:
            refused[position] = problem
            continue
        keys.add(key)
        kept.append(position)
    actions = tuple(dict.fromkeys(action_of(rows[position]) for position in kept))
    body = request_body([event(rows[position], settings) for position in kept], actions, settings)
    return Plan(body, tuple(kept), actions, refused)


def local_problem(row: UploadRow, now: datetime) -> UploadResult | None:
    """Why this row must not be sent, None where it may."""
    if row.kind is DeliveryKind.RETRACT:
        return Rejected("UNSUPPORTED", "Data Manager has no retraction; a restatement to value 0 leaves the count")
    if not row.consent.allows_sending:
        return Rejected("LOCAL_CONSENT", "consent is denied or unknown")
    action = action_of(row)
    if not is_action(action):
        return TargetRefused(action, "INVALID_CONVERSION_ACTION_ID", BAD_ACTION)
    if row.money is not None and row.money.amount_micros < 0:
        return Rejected("NEGATIVE_VALUE", "a conversion's value must not be negative")
    if row.occurred_at > now:
        return Later(row.occurred_at, "FUTURE")
    click = ad_identifiers(row.identifiers)
    if now - row.occurred_at > (AGE_WITH_CLICK if click else AGE_WITHOUT_CLICK):
        return Rejected("EVENT_TOO_OLD", "older than 90 days, or than 63 days without a click id")
    if not click and not user_identifiers(row.identifiers):
        return Rejected("NO_IDENTIFIERS_PROVIDED", "no click id, e-mail, phone or complete address")
    return None


def action_of(row: UploadRow) -> str:
    """The conversion action that a row goes to, "" where its target names none."""
    return row.target.get(ACTION_SETTING) or ""


def is_action(action: str) -> bool:
    """Whether this can be the id of a conversion action."""
    return re.fullmatch(r"[0-9]{1,19}", action) is not None


def request_body(
    events: Sequence[Mapping[str, object]], actions: Sequence[str], settings: GoogleSettings, *, validate_only: bool = False
) -> Mapping[str, object]:
    """An IngestEventsRequest with one destination for each action."""
    return {
        "destinations": [_destination(action, settings) for action in actions],
        "events": list(events),
        "encoding": "HEX",
        "validateOnly": validate_only,
    }


def event(row: UploadRow, settings: GoogleSettings) -> Mapping[str, object]:
    """One conversion as an Event; what is not known is left out."""
    made: dict[str, object] = {
        "destinationReferences": [_reference(action_of(row))],
        "transactionId": row.conversion_id,
        "eventTimestamp": timestamp(row.occurred_at),
        "eventSource": settings.event_source,
    }
    optional: dict[str, object] = {"adIdentifiers": ad_identifiers(row.identifiers), "consent": _consent(row.consent)}
    identifiers = user_identifiers(row.identifiers)
    if identifiers:
        optional["userData"] = {"userIdentifiers": identifiers}
    made.update({name: value for name, value in optional.items() if value})
    if row.money is not None:
        made["conversionValue"] = float(row.money.quantised())
        made["currency"] = row.money.currency
    return made


def healthcheck_body(action: str, settings: GoogleSettings, now: datetime) -> Mapping[str, object]:
    """A dry run of one made-up event: nothing is stored."""
    made = {
        "destinationReferences": [_reference(action)],
        "transactionId": f"healthcheck-{uuid.uuid4().hex}",
        "eventTimestamp": timestamp(now - timedelta(hours=1)),
        "eventSource": settings.event_source,
        "userData": {"userIdentifiers": [{"emailAddress": hashlib.sha256(b"healthcheck@example.com").hexdigest()}]},
        "consent": {"adUserData": "CONSENT_GRANTED", "adPersonalization": "CONSENT_GRANTED"},
    }
    return request_body([made], [action], settings, validate_only=True)


def timestamp(instant: datetime) -> str:
    """RFC 3339 in UTC with milliseconds."""
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def ad_identifiers(identifiers: Mapping[Identifier, str]) -> Mapping[str, str]:
    """The best click id there is; Google takes only one."""
    for each in CLICK_IDS:
        if identifiers.get(each):
            return {each.value: identifiers[each]}
    return {}


def user_identifiers(identifiers: Mapping[Identifier, str]) -> Sequence[Mapping[str, object]]:
    """Hashed e-mail, phone and address; an address only where all four parts are there (else Google refuses)."""
    found: list[Mapping[str, object]] = []
    for identifier, name in ((Identifier.EMAIL_GOOGLE_SHA256, "emailAddress"), (Identifier.PHONE_SHA256, "phoneNumber")):
        if identifiers.get(identifier):
            found.append({name: identifiers[identifier]})
    address = {name: identifiers[part] for part, name in ADDRESS.items() if identifiers.get(part)}
    if len(address) == len(ADDRESS):
        found.append({"address": {**address, "regionCode": address["regionCode"].upper()}})
    return found


def _consent(consent: Consent) -> Mapping[str, str]:
    states = {"adUserData": consent.ad_user_data, "adPersonalization": consent.ad_personalization}
    return {name: _CONSENT[state] for name, state in states.items() if state in _CONSENT}


def _reference(action: str) -> str:
    return f"a{action}"


def _destination(action: str, settings: GoogleSettings) -> Mapping[str, object]:
    made: dict[str, object] = {
        "reference": _reference(action),
        "operatingAccount": {"accountType": _ACCOUNT_TYPE, "accountId": settings.account_id},
        "productDestinationId": action,
    }
    if settings.login_account_id:
        made["loginAccount"] = {"accountType": _ACCOUNT_TYPE, "accountId": settings.login_account_id}
    return made
