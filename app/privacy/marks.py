"""What is remembered of a forgotten person: keyed marks, made of what is stored and of nothing that names anybody."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from app.secrets import Fingerprints
from connectors.contract.conversions import Identifier
from connectors.contract.records import RecordRef

# What a click or a form gave one person alone. Google's braids stand for many people, cookies for a device.
SINGULAR = (
    Identifier.GCLID,
    Identifier.FBC,
    Identifier.META_LEAD_ID,
    Identifier.MSCLKID,
    Identifier.LI_FAT_ID,
    Identifier.LINKEDIN_LEAD_ID,
    Identifier.TTCLID,
    Identifier.TIKTOK_LEAD_ID,
)
FORM_IDS = (Identifier.META_LEAD_ID, Identifier.LINKEDIN_LEAD_ID, Identifier.TIKTOK_LEAD_ID)


class MarkKind(StrEnum):
    """Of what a mark is made."""

    EMAIL = "email"
    PHONE = "phone"
    RECORD = "record"
    CLICK = "click"


@dataclass(frozen=True, slots=True, order=True)
class Mark:
    """A keyed, one-way mark. It is neither the fingerprint that a lead has, nor anything that a platform takes."""

    kind: MarkKind
    hmac: bytes = field(repr=False)


class Marks:
    """Makes marks. They are made of stored fingerprints, so that a person can be barred of whom only these are left."""

    def __init__(self, fingerprints: Fingerprints) -> None:
        self._fingerprints = fingerprints

    @property
    def key_check(self) -> str:
        """Tells whether two databases have one fingerprint key: marks of another key bar nobody."""
        return self._fingerprints.of("tombstone check", "").hex()

    def of_email(self, email_key: bytes) -> Mark:
        """Of an e-mail's fingerprint."""
        return Mark(MarkKind.EMAIL, self._fingerprints.of("tombstone email", email_key.hex()))

    def of_phone(self, phone_key: bytes) -> Mark:
        """Of a phone's fingerprint."""
        return Mark(MarkKind.PHONE, self._fingerprints.of("tombstone phone", phone_key.hex()))

    def of_record(self, source_id: int, ref: RecordRef) -> Mark:
        """Of a CRM's own name of the person."""
        return Mark(MarkKind.RECORD, self._fingerprints.of("tombstone record", f"{source_id}\0{ref.kind}\0{ref.external_id}"))

    def of_identifiers(self, identifiers: Mapping[Identifier, str]) -> Iterable[Mark]:
        """Of click ids and platforms' lead ids. Meta's click counts by the click itself, whatever instant was put before it."""
        for name in SINGULAR:
            value = identifiers.get(name)
            if value:
                text = value.rpartition(".")[2] if name is Identifier.FBC else value
                yield Mark(MarkKind.CLICK, self._fingerprints.of("tombstone click", f"{name}\0{text}"))
