"""What an ad platform is told: conversions with hashed identities, money, consent and target."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

# ISO 4217 currencies whose minor unit is not the hundredth.
ZERO_DECIMAL = frozenset(
    ["BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND", "VUV", "XAF", "XOF", "XPF"]
)
THREE_DECIMAL = frozenset(["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"])
MICROS = 1_000_000


class DeliveryKind(StrEnum):
    """What is owed: the conversion itself, a new value for it, or its withdrawal."""

    UPLOAD = "upload"
    RESTATE = "restate"
    RETRACT = "retract"


class Identifier(StrEnum):
    """One way by which a platform may know a person. `*_sha256*` are lower-case hex SHA-256 of the variant named.

    Google and Meta normalise e-mails and names differently, so one e-mail gives several identifiers.
    `PHONE_SHA256` hashes E.164 with its plus sign, `PHONE_DIGITS_SHA256` without (Meta).
    `POSTAL_CODE` and `COUNTRY` are plain (Google takes them so). New members go at the end: the order is stored.
    """

    EMAIL_SHA256 = "email_sha256"
    EMAIL_GOOGLE_SHA256 = "email_google_sha256"
    EMAIL_MICROSOFT_SHA256 = "email_microsoft_sha256"
    PHONE_SHA256 = "phone_sha256"
    PHONE_DIGITS_SHA256 = "phone_digits_sha256"
    FIRST_NAME_GOOGLE_SHA256 = "first_name_google_sha256"
    FIRST_NAME_META_SHA256 = "first_name_meta_sha256"
    LAST_NAME_GOOGLE_SHA256 = "last_name_google_sha256"
    LAST_NAME_META_SHA256 = "last_name_meta_sha256"
    POSTAL_CODE = "postal_code"
    POSTAL_CODE_META_SHA256 = "postal_code_meta_sha256"
    COUNTRY = "country"
    COUNTRY_META_SHA256 = "country_meta_sha256"
    CITY_META_SHA256 = "city_meta_sha256"
    STATE_META_SHA256 = "state_meta_sha256"
    EXTERNAL_ID_SHA256 = "external_id_sha256"
    GCLID = "gclid"
    GBRAID = "gbraid"
    WBRAID = "wbraid"
    FBC = "fbc"
    FBP = "fbp"
    META_LEAD_ID = "meta_lead_id"
    MSCLKID = "msclkid"
    LI_FAT_ID = "li_fat_id"
    LINKEDIN_LEAD_ID = "linkedin_lead_id"
    TTCLID = "ttclid"
    TIKTOK_LEAD_ID = "tiktok_lead_id"


IDENTIFIER_BITS: Mapping[Identifier, int] = {identifier: 1 << position for position, identifier in enumerate(Identifier)}


def bit_mask(identifiers: Mapping[Identifier, str]) -> int:
    """Which identifiers are there, as one integer, so that a choice can be made without opening the sealed values."""
    mask = 0
    for identifier in identifiers:
        mask |= IDENTIFIER_BITS[identifier]
    return mask


class ConsentState(StrEnum):
    """Unknown is not granted. NOT_REQUIRED: the mapping says that this person's country asks for none."""

    GRANTED = "granted"
    DENIED = "denied"
    UNKNOWN = "unknown"
    NOT_REQUIRED = "not_required"


@dataclass(frozen=True, slots=True)
class Consent:
    """The two signals that platforms ask for."""

    ad_user_data: ConsentState
    ad_personalization: ConsentState

    @property
    def allows_sending(self) -> bool:
        """True where each purpose is granted or not required."""
        return {self.ad_user_data, self.ad_personalization} <= {ConsentState.GRANTED, ConsentState.NOT_REQUIRED}

    @property
    def is_denied(self) -> bool:
        """True where a purpose is refused: not only unknown."""
        return ConsentState.DENIED in (self.ad_user_data, self.ad_personalization)

    def to_text(self) -> str:
        """`granted,denied`: how it is stored."""
        return f"{self.ad_user_data},{self.ad_personalization}"

    @classmethod
    def from_text(cls, text: str) -> "Consent":
        """Read what `to_text` wrote."""
        ad_user_data, _, ad_personalization = text.partition(",")
        return cls(ConsentState(ad_user_data), ConsentState(ad_personalization))


@dataclass(frozen=True, slots=True)
class Money:
    """An amount in millionths of the currency's major unit; never a float."""

    amount_micros: int
    currency: str

    def quantised(self) -> Decimal:
        """The amount in major units, rounded half-even to the currency's minor unit (JPY 0, USD 2, KWD 3 digits)."""
        digits = 0 if self.currency in ZERO_DECIMAL else 3 if self.currency in THREE_DECIMAL else 2
        return (Decimal(self.amount_micros) / MICROS).quantize(Decimal(1).scaleb(-digits))


@dataclass(frozen=True, slots=True)
class Target:
    """Where a milestone goes at one platform, e.g. `{"conversion_action": "7302219941"}` or `{"event_name": "Lead"}`."""

    settings: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, settings: Mapping[str, str]) -> "Target":
        """Build from a mapping's target; the order of keys does not matter."""
        return cls(tuple(sorted(settings.items())))

    def get(self, name: str) -> str | None:
        """One setting, None where absent."""
        return dict(self.settings).get(name)


@dataclass(frozen=True, slots=True)
class UploadRow:
    """One delivery, ready to be sent: frozen at its first try, so that a later try sends exactly the same.

    `conversion_id` is the deterministic id (28 characters, starts with "ll"). `occurred_at` and `clicked_at` are aware UTC.
    `identifiers` are personal data and stay out of the repr. `source_kind` is the CRM's kind ("hubspot").
    """

    kind: DeliveryKind
    conversion_id: str
    milestone: str
    target: Target
    occurred_at: datetime
    identifiers: Mapping[Identifier, str] = field(repr=False)
    consent: Consent
    money: Money | None = None
    clicked_at: datetime | None = None
    source_kind: str = ""
