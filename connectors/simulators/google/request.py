"""An ingest request in typed form, read from a body whose shape was already checked."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from connectors.simulators.google.codes import hex_digest
from connectors.simulators.google.refusals import Json, JsonObject
from connectors.simulators.google.schema import read_time


class ClickKind(StrEnum):
    """The click ids that a conversion may carry, as `adIdentifiers` names them."""

    GCLID = "gclid"
    GBRAID = "gbraid"
    WBRAID = "wbraid"


class Consent(StrEnum):
    """The consent states of `adUserData`."""

    UNSPECIFIED = "CONSENT_STATUS_UNSPECIFIED"
    GRANTED = "CONSENT_GRANTED"
    DENIED = "CONSENT_DENIED"


@dataclass(frozen=True, slots=True)
class ProductAccount:
    """An account as a destination names it."""

    id: str
    kind: str
    product: str


@dataclass(frozen=True, slots=True)
class Destination:
    """Where events go: a conversion action of an account, reached through a login account."""

    reference: str
    operating: ProductAccount
    login: ProductAccount | None
    has_linked: bool
    action: str
    raw: JsonObject


@dataclass(frozen=True, slots=True)
class Address:
    """An address: names as digests, region and postal code in clear."""

    given_name: str
    family_name: str
    region_code: str
    postal_code: str


@dataclass(frozen=True, slots=True)
class Identifier:
    """One of: an e-mail digest, a phone digest, an address."""

    field: str
    digest: str
    address: Address | None


@dataclass(frozen=True, slots=True)
class Event:
    """One conversion as the caller reports it."""

    index: int
    references: tuple[str, ...]
    transaction_id: str
    occurred_at: datetime
    source: str
    clicks: tuple[tuple[ClickKind, str], ...]
    has_ad_identifier: bool
    has_user_data: bool
    identifiers: tuple[Identifier, ...]
    is_third_party: bool
    consent: Consent
    value: float | None
    currency: str
    variables: int
    raw: JsonObject

    def digests(self, encoding: str) -> frozenset[str]:
        """E-mail and phone digests in lower-case hex."""
        return frozenset(hex_digest(each.digest, encoding) for each in self.identifiers if each.address is None)


@dataclass(frozen=True, slots=True)
class IngestRequest:
    """A whole request."""

    destinations: tuple[Destination, ...]
    events: tuple[Event, ...]
    encoding: str
    is_encrypted: bool
    validate_only: bool

    def targets(self, event: Event) -> Iterator[int]:
        """The positions of the destinations that an event goes to: those it names, or all."""
        wanted = set(event.references)
        return (position for position, each in enumerate(self.destinations) if not wanted or each.reference in wanted)


def read_request(body: JsonObject) -> IngestRequest:
    """Read a body in which the shape check found nothing."""
    default = _consent(body, Consent.UNSPECIFIED)
    encoding = _text(body, "encoding")
    return IngestRequest(
        destinations=tuple(_destination(each) for each in _objects(body, "destinations")),
        events=tuple(_event(index, each, default) for index, each in enumerate(_objects(body, "events"))),
        encoding="" if encoding == "ENCODING_UNSPECIFIED" else encoding,
        is_encrypted="encryptionInfo" in body,
        validate_only=body.get("validateOnly") is True,
    )


def _destination(raw: JsonObject) -> Destination:
    return Destination(
        reference=_text(raw, "reference"),
        operating=_account(_object(raw, "operatingAccount")),
        login=_account(_object(raw, "loginAccount")) if "loginAccount" in raw else None,
        has_linked="linkedAccount" in raw,
        action=_text(raw, "productDestinationId"),
        raw=raw,
    )


def _account(raw: JsonObject) -> ProductAccount:
    return ProductAccount(_text(raw, "accountId"), _text(raw, "accountType"), _text(raw, "product"))


def _event(index: int, raw: JsonObject, default: Consent) -> Event:
    ads = _object(raw, "adIdentifiers")
    value = raw.get("conversionValue")
    source = _text(raw, "eventSource")
    return Event(
        index=index,
        references=tuple(each for each in _list(raw, "destinationReferences") if isinstance(each, str)),
        transaction_id=_text(raw, "transactionId"),
        occurred_at=read_time(_text(raw, "eventTimestamp")) or datetime.min.replace(tzinfo=UTC),
        source="" if source == "EVENT_SOURCE_UNSPECIFIED" else source,
        clicks=tuple((kind, _text(ads, kind.value)) for kind in ClickKind if _text(ads, kind.value)),
        has_ad_identifier=any(each not in ("", [], {}) for key, each in ads.items() if key != "landingPageDeviceInfo"),
        has_user_data="userData" in raw,
        identifiers=tuple(_identifier(each) for each in _objects(_object(raw, "userData"), "userIdentifiers")),
        is_third_party="thirdPartyUserData" in raw,
        consent=_consent(raw, default),
        value=float(value) if isinstance(value, int | float) else None,
        currency=_text(raw, "currency"),
        variables=len(_list(raw, "customVariables")),
        raw=raw,
    )


def _identifier(raw: JsonObject) -> Identifier:
    address = _object(raw, "address")
    if "address" in raw:
        parts = (_text(address, key) for key in ("givenName", "familyName", "regionCode", "postalCode"))
        return Identifier("address", "", Address(*parts))
    key, field = ("emailAddress", "email_address") if "emailAddress" in raw else ("phoneNumber", "phone_number")
    return Identifier(field, _text(raw, key), None)


def _consent(raw: JsonObject, default: Consent) -> Consent:
    given = Consent(_text(_object(raw, "consent"), "adUserData") or Consent.UNSPECIFIED)
    return default if given is Consent.UNSPECIFIED else given


def _text(raw: Mapping[str, Json], key: str) -> str:
    value = raw.get(key)
    return value if isinstance(value, str) else ""


def _object(raw: Mapping[str, Json], key: str) -> JsonObject:
    value = raw.get(key)
    return value if isinstance(value, dict) else {}


def _list(raw: Mapping[str, Json], key: str) -> list[Json]:
    value = raw.get(key)
    return value if isinstance(value, list) else []


def _objects(raw: Mapping[str, Json], key: str) -> list[JsonObject]:
    return [each for each in _list(raw, key) if isinstance(each, dict)]
